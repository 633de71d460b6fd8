//! A window that slides over a segment file with direct reads.

use std::io;

use crate::{
    device::{BlockBuffer, SegmentFile},
    error::{Result, WalError},
    format::round_up,
};

/// Bytes read at once, unless the file is smaller. Larger windows gain nothing on the reference machine.
pub(super) const WINDOW_BYTES: usize = 1 << 20;
/// Where a writer is followed closely, what is new is usually a batch or two.
pub(super) const NEWS_BYTES: usize = 16 << 10;
/// Reads start and end on multiples of this or of the segment's block, whichever is larger.
const MIN_READ_ALIGN_BYTES: u64 = 4096;

/// Reads a segment front to back.
#[derive(Debug)]
pub(super) struct SegmentSource {
    file: SegmentFile,
    file_len: u64,
    align_bytes: u64,
    window: BlockBuffer,
    window_start: u64,
    window_len: usize,
    /// What is read at once: all of [`WINDOW_BYTES`], unless a writer is followed.
    usual_bytes: usize,
    follows: bool,
}

impl SegmentSource {
    pub(super) fn new(file: SegmentFile, block_bytes: u64) -> Result<Self> {
        let file_len = file.len().map_err(WalError::io("examine", file.path()))?;
        Ok(Self {
            window: allocate(usual_window(0, file_len, WINDOW_BYTES), &file)?,
            file,
            file_len,
            align_bytes: block_bytes.max(MIN_READ_ALIGN_BYTES),
            window_start: 0,
            window_len: 0,
            usual_bytes: WINDOW_BYTES,
            follows: false,
        })
    }

    pub(super) fn file(&self) -> &SegmentFile {
        &self.file
    }

    /// Length of the file as last seen.
    pub(super) fn file_len(&self) -> u64 {
        self.file_len
    }

    /// The bytes at `offset_bytes`, `len` of them or as many as there are before the end of the
    /// file. `len` has been bounded by the caller.
    ///
    /// # Errors
    ///
    /// [`WalError::Read`]; a read that fails or falls short inside the file is never an end.
    pub(super) fn slice(&mut self, offset_bytes: u64, len: usize) -> Result<&mut [u8]> {
        let end = offset_bytes + len as u64;
        let cached_end = self.window_start + self.window_len as u64;
        if offset_bytes < self.window_start || end > cached_end {
            self.refill(offset_bytes, len)?;
        }
        let start = usize::try_from(offset_bytes - self.window_start).unwrap_or(usize::MAX);
        let start = start.min(self.window_len);
        let stop = (start + len).min(self.window_len);
        Ok(&mut self.window[start..stop])
    }

    /// Reads little after each look at what is new, and twice as much each time there is more.
    pub(super) fn follow(&mut self) {
        self.follows = true;
        self.usual_bytes = NEWS_BYTES;
    }

    /// Forgets what was read, so that the next slice comes from the device.
    pub(super) fn invalidate(&mut self) {
        self.window_len = 0;
        if self.follows {
            self.usual_bytes = NEWS_BYTES;
        }
    }

    fn refill(&mut self, offset_bytes: u64, len: usize) -> Result<()> {
        let start = offset_bytes - offset_bytes % self.align_bytes;
        let needed = usize::try_from(offset_bytes - start).unwrap_or(0) + len;
        let needed = usize::try_from(round_up(needed as u64, self.align_bytes)).unwrap_or(needed);
        if start + self.window.len() as u64 > self.file_len {
            // A file that is being written may have grown.
            self.file_len = self.file.len().map_err(|error| self.read_error(start, error))?;
        }
        let usual = usual_window(start, self.file_len, self.usual_bytes);
        let wanted = self.present(start, needed).max(usual);
        if self.window.len() < wanted || self.window.len() > wanted.max(WINDOW_BYTES) {
            self.window = allocate(wanted, &self.file)?;
        }
        self.window_len = 0;
        let len = if self.follows { wanted } else { self.window.len() };
        self.usual_bytes = WINDOW_BYTES.min(2 * self.usual_bytes);
        let read = self.file.read_at(&mut self.window[..len], start);
        let read = read.map_err(|error| self.read_error(start, error))?;
        let expected = self.file_len.saturating_sub(start).min(len as u64);
        if (read as u64) < expected {
            let problem = format!("{read} of {expected} bytes could be read");
            let error = io::Error::new(io::ErrorKind::UnexpectedEof, problem);
            return Err(self.read_error(start, error));
        }
        self.window_start = start;
        self.window_len = read;
        Ok(())
    }

    /// What there can be of `needed` bytes from `start` on. Memory is taken for the bytes of the
    /// file, not for those that a batch header in it speaks of.
    fn present(&self, start: u64, needed: usize) -> usize {
        #[cfg(feature = "simulated")]
        if crate::sabotage::is(crate::sabotage::Sabotage::TrustBatchLength) {
            return needed;
        }
        let rest = round_up(self.file_len.saturating_sub(start), self.align_bytes);
        usize::try_from(rest).unwrap_or(needed).min(needed)
    }

    fn read_error(&self, offset_bytes: u64, source: io::Error) -> WalError {
        WalError::Read { path: self.file.path().to_owned(), offset_bytes, source: source.into() }
    }
}

/// The window for what lies behind `start`: a whole small file, or a piece of a large one.
fn usual_window(start: u64, file_len: u64, usual_bytes: usize) -> usize {
    let rest = round_up(file_len.saturating_sub(start).max(1), MIN_READ_ALIGN_BYTES);
    usize::try_from(rest).unwrap_or(usual_bytes).min(usual_bytes)
}

fn allocate(len: usize, file: &SegmentFile) -> Result<BlockBuffer> {
    file.allocate_buffer(len).map_err(WalError::io("map memory to read", file.path()))
}
