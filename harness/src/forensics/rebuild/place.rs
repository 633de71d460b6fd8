//! Where a new log is built: beside its final name, so that whatever is interrupted is recognised
//! as unfinished, and renamed once it is known to be whole.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::failure::Failure;
use crate::store::sync_folder;

/// What the name of an unfinished log ends with.
const UNFINISHED: &str = ".partial";

/// A directory under its unfinished name, which goes away with it unless it is finished.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    unfinished: PathBuf,
    finished: bool,
}

impl Place {
    /// Makes a directory for the log that is to be `path`, which must not exist or be empty. It is
    /// not below `source`, where nothing may be written.
    ///
    /// # Errors
    /// When it cannot be made, is taken, or an earlier attempt was interrupted.
    pub(crate) fn claim(path: &Path, source: &Path) -> Result<Self, Failure> {
        let usage = |problem: String| Err(Failure::Usage(anyhow!("{}: {problem}", path.display())));
        let Some(name) = path.file_name() else {
            return usage("name a directory for the new log".into());
        };
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let folder = folder
            .canonicalize()
            .with_context(|| format!("{}: create it first", folder.display()))
            .map_err(Failure::Usage)?;
        if source.canonicalize().is_ok_and(|source| folder.starts_with(source)) {
            return usage(format!("it is inside {}, which is only read", source.display()));
        }
        match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => return usage("it is not empty; name a new directory".into()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return usage(format!("{error}; name a new directory")),
        }
        let path = folder.join(name);
        let mut unfinished = path.clone().into_os_string();
        unfinished.push(UNFINISHED);
        let unfinished = PathBuf::from(unfinished);
        match DirBuilder::new().mode(0o700).create(&unfinished) {
            Ok(()) => Ok(Self { path, unfinished, finished: false }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Err(Failure::Refused(anyhow!(
                    "{} is there, of an attempt that did not end or is still under way; remove it \
                     and try again",
                    unfinished.display()
                )))
            }
            Err(error) => {
                Err(Failure::Usage(anyhow!("cannot create {}: {error}", unfinished.display())))
            }
        }
    }

    /// Where the log is while it is built.
    pub(crate) fn unfinished(&self) -> &Path {
        &self.unfinished
    }

    /// Gives the log its name, for good.
    ///
    /// # Errors
    /// When it cannot be renamed; then it stays under the unfinished name.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        // It is whole, whatever becomes of its name.
        self.finished = true;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::rename(&self.unfinished, &self.path)
            .and_then(|()| sync_folder(folder))
            .with_context(|| {
                let (from, to) = (self.unfinished.display(), self.path.display());
                format!("the new log is whole, and {from} cannot be renamed to {to}; do it by hand")
            })
            .map_err(Failure::Broken)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.finished {
            // On the way out with an error that is the news; this one would hide it.
            let _ = fs::remove_dir_all(&self.unfinished);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gets_its_name_when_it_is_whole_and_leaves_nothing_when_it_is_not() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (new, old) = (folder.path().join("new"), folder.path().join("old"));
        fs::create_dir(&old).expect("a folder");
        let place = Place::claim(&new, &old).expect("free");
        fs::write(place.unfinished().join("file"), "x").expect("writable");
        assert!(!new.exists());
        let second = Place::claim(&new, &old).expect_err("under way");
        assert!(
            matches!(&second, Failure::Refused(why) if why.to_string().contains("new.partial"))
        );
        drop(place);
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1, "only `old`");

        fs::create_dir(&new).expect("an empty folder");
        let place = Place::claim(&new, &old).expect("empty");
        fs::write(place.unfinished().join("file"), "x").expect("writable");
        place.finish().expect("renamed");
        assert_eq!(fs::read(new.join("file")).expect("there"), b"x");
        let taken = Place::claim(&new, &old).expect_err("not empty");
        assert!(matches!(taken, Failure::Usage(_)), "{taken}");
    }

    #[test]
    fn nothing_is_built_in_what_is_only_read() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let inside = Place::claim(&folder.path().join("new"), folder.path()).expect_err("inside");
        assert!(inside.to_string().contains("only read"), "{inside}");
        let missing = Place::claim(&folder.path().join("a/b"), Path::new("/x")).expect_err("none");
        assert!(missing.to_string().contains("create it first"), "{missing}");
    }
}
