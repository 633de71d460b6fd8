//! The only place a measurement writes to below the target: a fresh directory for each, removed
//! when it is over, however it ends, Ctrl-C included. Nothing else there is ever touched.

mod interrupt;

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, bail};

pub(crate) use interrupt::Interrupts;

/// What names of trial directories begin with.
const PREFIX: &str = "plimsoll-trial-";

/// Names tried before giving up; each is in use only if an earlier run of this process id was
/// killed.
const NAME_ATTEMPTS: u32 = 10_000;

/// A directory that did not exist before, and will not afterwards.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    interrupts: Interrupts,
    removed: bool,
}

impl Scratch {
    /// Creates one in `target`.
    pub(crate) fn create(target: &Path, interrupts: &Interrupts) -> Result<Self> {
        for attempt in 0..NAME_ATTEMPTS {
            let path = target.join(format!("{PREFIX}{}-{attempt}", process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    interrupts.set_scratch(Some(&path));
                    return Ok(Self { path, interrupts: interrupts.clone(), removed: false });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot create {}", path.display()));
                }
            }
        }
        bail!("{} is full of directories named {PREFIX}*; remove them", target.display())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it where it is, for people to look at, and says where that is.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.removed = true;
        self.interrupts.set_scratch(None);
        self.path.clone()
    }

    /// Removes it and waits until the file system has noted that, so that the next trial does not
    /// pay for it.
    pub(crate) fn remove(mut self) -> Result<()> {
        self.removed = true;
        let outcome = fs::remove_dir_all(&self.path).and_then(|()| match self.path.parent() {
            Some(target) => File::open(target)?.sync_all(),
            None => Ok(()),
        });
        self.interrupts.set_scratch(None);
        outcome.with_context(|| format!("cannot remove {}; remove it by hand", self.path.display()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.removed {
            // On the way out with an error that is the news; this one would hide it.
            let _ = fs::remove_dir_all(&self.path);
            self.interrupts.set_scratch(None);
        }
    }
}

/// Removes what a killed process left in `target`. Its number may be in use again by now: what is in
/// the way of a running process stays.
pub(crate) fn remove_left_behind(target: &Path, process_id: u32) -> Result<()> {
    let is_somebody_else =
        process_id != process::id() && Path::new("/proc").join(process_id.to_string()).exists();
    let entries = match fs::read_dir(target) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        read => read.with_context(|| format!("cannot list {}", target.display()))?,
    };
    let prefix = format!("{PREFIX}{process_id}-");
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", target.display()))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_left = name.strip_prefix(&prefix).is_some_and(|rest| rest.parse::<u32>().is_ok());
        if is_left && !is_somebody_else {
            fs::remove_dir_all(&path)
                .with_context(|| format!("cannot remove {}; remove it by hand", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("list").map(|entry| entry.expect("entry"));
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn directories_are_fresh_and_leave_nothing_but_what_was_there() {
        let target = tempfile::tempdir().expect("temporary folder");
        let interrupts = Interrupts::default();
        let leftover = target.path().join(format!("{PREFIX}{}-0", process::id()));
        fs::create_dir(&leftover).expect("what a killed sweep left");
        fs::write(leftover.join("precious"), "x").expect("a file");
        let before = names(target.path());

        let first = Scratch::create(target.path(), &interrupts).expect("first");
        let second = Scratch::create(target.path(), &interrupts).expect("second");
        assert_ne!(first.path(), second.path());
        assert_eq!(names(first.path()), [""; 0]);
        fs::write(first.path().join("wal-1.seg"), "x").expect("a file");
        first.remove().expect("removed");
        fs::create_dir(second.path().join("nested")).expect("a folder");
        drop(second);
        assert_eq!(names(target.path()), before);
        let kept = Scratch::create(target.path(), &interrupts).expect("third").keep();
        assert!(kept.exists());
        assert!(leftover.join("precious").exists());
    }

    #[test]
    fn what_a_killed_process_left_goes_and_nothing_else() {
        let target = tempfile::tempdir().expect("temporary folder");
        // The largest number that a process can have, and one that is running: the first of all.
        let (dead, running) = (4_194_304, 1);
        let left = format!("{PREFIX}{dead}-0");
        let kept = [
            format!("{PREFIX}{dead}-mine"),
            format!("{PREFIX}{dead}1-0"),
            format!("{PREFIX}{running}-0"),
            "precious".to_owned(),
        ];
        for name in kept.iter().chain([&left]) {
            fs::create_dir(target.path().join(name)).expect("a folder");
        }
        fs::write(target.path().join(&left).join("wal-1.seg"), "x").expect("a file");
        for process_id in [dead, running] {
            remove_left_behind(target.path(), process_id).expect("removed");
        }
        let mut kept = kept.to_vec();
        kept.sort();
        assert_eq!(names(target.path()), kept);
        remove_left_behind(&target.path().join("missing"), dead).expect("nothing to remove");
    }

    #[test]
    fn a_target_that_is_no_directory_is_named() {
        let target = tempfile::tempdir().expect("temporary folder");
        let file = target.path().join("file");
        fs::write(&file, "x").expect("a file");
        let error = Scratch::create(&file, &Interrupts::default()).expect_err("no directory");
        assert!(format!("{error:#}").contains("file/plimsoll-trial-"), "{error:#}");
    }
}
