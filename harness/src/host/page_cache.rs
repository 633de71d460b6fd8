//! How much of a log the kernel's page cache holds, as `fincore` of util-linux says: no well-kept
//! crate wraps cachestat(2) or mincore(2), and this crate makes no unsafe calls of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Prints how many bytes of each file are in the page cache, one number a line.
const FINCORE: &str = "fincore";
const FINCORE_OPTIONS: [&str; 5] = ["--raw", "--bytes", "--noheadings", "--output", "RES"];

/// Bytes of the files in a directory that the page cache holds; `None` if `fincore` is missing or
/// does not say. A file that disappears meanwhile takes its share with it.
pub(crate) fn page_cache_bytes(directory: &Path) -> Option<u64> {
    let files: Vec<PathBuf> = fs::read_dir(directory)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .collect();
    if files.is_empty() {
        return Some(0);
    }
    let mut command = Command::new(FINCORE);
    command.args(FINCORE_OPTIONS).arg("--").args(&files).env("LC_ALL", "C");
    // It complains of a file that is gone, and counts the rest.
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    sum(&String::from_utf8_lossy(&output.stdout))
}

/// The sum of the numbers, one a line; `None` if there is none or something else.
fn sum(text: &str) -> Option<u64> {
    let numbers = text.lines().map(|line| line.trim().parse::<u64>());
    let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().ok()?;
    (!numbers.is_empty()).then(|| numbers.iter().fold(0_u64, |sum, n| sum.saturating_add(*n)))
}

#[cfg(test)]
#[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_added_and_anything_else_is_unknown() {
        assert_eq!(sum("4096\n 0\n8192\n"), Some(12_288));
        for text in ["", "fincore: no such file", "4096\nx", "-1"] {
            assert_eq!(sum(text), None, "{text}");
        }
        assert_eq!(sum("18446744073709551615\n1"), Some(u64::MAX));
    }

    #[test]
    fn what_was_written_through_the_cache_is_in_it() {
        let directory = tempfile::tempdir().expect("temporary folder");
        assert_eq!(page_cache_bytes(directory.path()), Some(0));
        fs::write(directory.path().join("file"), vec![1; 64 << 10]).expect("a file");
        match page_cache_bytes(directory.path()) {
            Some(bytes) => assert!(bytes >= 64 << 10, "{bytes}"),
            None => println!("skipped: {FINCORE} (util-linux) is missing"),
        }
        assert_eq!(page_cache_bytes(&directory.path().join("missing")), None);
    }
}
