//! Which files an old log consists of: one, or the segments of a directory in the order of their
//! names.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use super::window::Window;
use crate::failure::Failure;

/// Digits of the first LSN in the name of a segment.
const LSN_DIGITS: usize = 20;

/// A file of an old log.
#[derive(Clone, Debug)]
pub(super) struct OldFile {
    pub(super) path: PathBuf,
    /// For people.
    pub(super) name: String,
    /// From its name, if that says so.
    pub(super) first_lsn: Option<u64>,
}

/// An old log.
#[derive(Clone, Debug)]
pub(super) struct OldLog {
    pub(super) files: Vec<OldFile>,
    /// Names in its directory that are no segment's.
    pub(super) ignored: Vec<String>,
    /// Of all files together.
    pub(super) bytes: u64,
}

impl OldLog {
    /// Finds the files of the log at `path`; each of them can be read.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn find(path: &Path) -> Result<Self, Failure> {
        let find = || {
            let cannot = || format!("cannot read {}", path.display());
            let metadata = fs::metadata(path).with_context(cannot)?;
            let mut log = if metadata.is_dir() {
                segments_of(path).with_context(cannot)?
            } else {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let file = OldFile { path: path.to_owned(), name, first_lsn: None };
                Self { files: vec![file], ignored: Vec::new(), bytes: 0 }
            };
            for file in &log.files {
                log.bytes += Window::open(&file.path)?.len();
            }
            if log.files.is_empty() {
                return Err(anyhow!(
                    "{} holds no segment of an old log (wal-, {LSN_DIGITS} digits, .seg)",
                    path.display()
                ));
            }
            Ok(log)
        };
        find().map_err(Failure::Usage)
    }
}

fn segments_of(directory: &Path) -> Result<OldLog, std::io::Error> {
    let (mut files, mut ignored) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match first_lsn_of(&name) {
            Some(lsn) => {
                files.push(OldFile { path: entry.path(), name, first_lsn: Some(lsn) });
            }
            None => ignored.push(name),
        }
    }
    files.sort_by_key(|file| file.first_lsn);
    ignored.sort();
    Ok(OldLog { files, ignored, bytes: 0 })
}

/// The LSN in the name of a segment.
fn first_lsn_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("wal-")?.strip_suffix(".seg")?;
    let all = digits.len() == LSN_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|lsn| all && *lsn > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_known_by_their_names_and_come_in_order() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let none = OldLog::find(folder.path()).expect_err("empty");
        assert!(none.to_string().contains("no segment"), "{none}");
        let others =
            ["wal-1.seg", "wal-00000000000000000000.seg", "wal-+0000000000000000001.seg", "x"];
        let names = ["wal-00000000000000000100.seg", "wal-00000000000000000021.seg"];
        for name in names.iter().chain(&others) {
            fs::write(folder.path().join(name), name).expect("written");
        }
        let log = OldLog::find(folder.path()).expect("two segments");
        let lsns: Vec<_> = log.files.iter().map(|file| file.first_lsn).collect();
        assert_eq!((lsns, log.bytes), (vec![Some(21), Some(100)], 56));
        let mut expected = others.map(str::to_owned).to_vec();
        expected.sort();
        assert_eq!(log.ignored, expected);
        let single = OldLog::find(&folder.path().join("x")).expect("one file");
        assert_eq!((single.files.len(), single.bytes), (1, 1));
        assert!(OldLog::find(&folder.path().join("missing")).is_err());
    }
}
