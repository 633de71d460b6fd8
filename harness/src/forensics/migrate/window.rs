//! A file read front to back, with as much of it in memory as is looked at at once.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

/// Bytes read at once, unless more are wanted.
const READ_BYTES: usize = 1 << 20;

/// A slice of a file that slides forward. The file is as long as it was when it was opened.
#[derive(Debug)]
pub(super) struct Window {
    file: File,
    path: PathBuf,
    len: u64,
    buffer: Vec<u8>,
    start: u64,
}

impl Window {
    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// When it is none, or must not be read.
    pub(super) fn open(path: &Path) -> Result<Self> {
        // NONBLOCK keeps the open of a FIFO from hanging; it means nothing for a regular file.
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path);
        let cannot = || format!("cannot read {}", path.display());
        let file = opened.with_context(cannot)?;
        let metadata = file.metadata().with_context(cannot)?;
        if !metadata.is_file() {
            return Err(anyhow!("{} is no regular file", path.display()));
        }
        let (path, buffer) = (path.to_owned(), Vec::new());
        Ok(Self { file, path, len: metadata.len(), buffer, start: 0 })
    }

    /// Length of the file, bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The bytes at `offset`, `len` of them or as many as there are. `len` is bounded by the caller.
    pub(super) fn bytes(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let len = self.present(offset, len);
        let end = offset + len as u64;
        if offset < self.start || end > self.start + self.buffer.len() as u64 {
            let wanted = self.present(offset, len.max(READ_BYTES));
            self.buffer.resize(wanted, 0);
            self.start = offset;
            if let Err(error) = self.file.read_exact_at(&mut self.buffer, offset) {
                self.buffer.clear();
                return Err(self.cannot_read(offset, error));
            }
            if wanted <= READ_BYTES {
                // What a long record took is not kept.
                self.buffer.shrink_to(READ_BYTES);
            }
        }
        let at = usize::try_from(offset - self.start).unwrap_or(usize::MAX).min(self.buffer.len());
        Ok(&self.buffer[at..(at + len).min(self.buffer.len())])
    }

    /// The first of these bytes that is not zero, if there is one.
    pub(super) fn first_nonzero(&mut self, from: u64, to: u64) -> Result<Option<u64>> {
        let mut at = from;
        while at < to {
            let chunk = self.chunk(at, to)?;
            if let Some(found) = chunk.iter().position(|&byte| byte != 0) {
                return Ok(Some(at + found as u64));
            }
            at += chunk.len() as u64;
        }
        Ok(None)
    }

    /// The first place from `from` on where these four bytes begin.
    pub(super) fn find(&mut self, pattern: [u8; 4], from: u64) -> Result<Option<u64>> {
        let mut at = from;
        while at + 4 <= self.len {
            let chunk = self.chunk(at, self.len)?;
            if let Some(found) = chunk.windows(4).position(|four| four == pattern) {
                return Ok(Some(at + found as u64));
            }
            // It may lie across two chunks.
            at += (chunk.len() - 3) as u64;
        }
        Ok(None)
    }

    /// Whether `len` bytes are the same at both places. Keeps the window where it is.
    pub(super) fn same(&self, one: u64, other: u64, len: u64) -> Result<bool> {
        let (mut first, mut second) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        let mut done = 0;
        while done < len {
            let now = usize::try_from(len - done).unwrap_or(usize::MAX).min(first.len());
            for (at, into) in [(one + done, &mut first), (other + done, &mut second)] {
                let read = self.file.read_exact_at(&mut into[..now], at);
                read.map_err(|error| self.cannot_read(at, error))?;
            }
            if first[..now] != second[..now] {
                return Ok(false);
            }
            done += now as u64;
        }
        Ok(true)
    }

    /// What is in memory from `at` on, or is read now: at least four bytes where there are so many.
    fn chunk(&mut self, at: u64, to: u64) -> Result<&[u8]> {
        let in_memory = (self.start + self.buffer.len() as u64).saturating_sub(at);
        let in_memory = if at < self.start { 0 } else { in_memory };
        let wanted = if in_memory < 4 { READ_BYTES as u64 } else { in_memory };
        let wanted = wanted.min((to - at).max(4)).min(READ_BYTES as u64);
        self.bytes(at, usize::try_from(wanted).unwrap_or(READ_BYTES))
    }

    fn present(&self, offset: u64, len: usize) -> usize {
        usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX).min(len)
    }

    fn cannot_read(&self, offset: u64, error: io::Error) -> anyhow::Error {
        let path = self.path.display();
        anyhow!(error).context(format!("cannot read {path} at byte {offset}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_across_two_reads_is_found() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("file");
        for at in [0, 5, READ_BYTES - 3, READ_BYTES - 1, READ_BYTES, 2 * READ_BYTES + 9] {
            let mut content = vec![0; 3 * READ_BYTES];
            content[at..at + 4].copy_from_slice(b"WNYS");
            std::fs::write(&path, content).expect("written");
            let mut window = Window::open(&path).expect("a file");
            assert_eq!(window.find(*b"WNYS", 0).expect("read"), Some(at as u64));
            assert_eq!(window.find(*b"WNYS", at as u64 + 1).expect("read"), None);
            let end = window.len();
            assert_eq!(window.first_nonzero(0, end).expect("read"), Some(at as u64));
            assert_eq!(window.first_nonzero(at as u64 + 4, end).expect("read"), None);
            assert!(window.same(at as u64, at as u64, 4).expect("read"));
            assert!(!window.same(at as u64, at as u64 + 4, 4).expect("read"));
            assert_eq!(window.bytes(at as u64 + 1, 3).expect("read"), b"NYS");
            assert!(window.bytes(end, 10).expect("nothing").is_empty());
        }
        assert!(
            Window::open(folder.path()).is_err() && Window::open(Path::new("/dev/null")).is_err()
        );
    }
}
