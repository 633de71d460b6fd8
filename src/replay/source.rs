//! How the bytes of a segment come from the device: a window that slides over the file, read ahead by
//! a thread where there is much to read; and single blocks, for whoever passes over most of it.
//! All reads are direct: nothing is left in the page cache.

use std::{io, ops::Range, sync::Arc};

use super::{
    ahead::{Filled, ReadAhead},
    blocks::Blocks,
};
use crate::{
    device::{BlockBuffer, SegmentFile},
    error::{Result, WalError},
    format::round_up,
};

/// Bytes read at once, unless the file is smaller. Larger windows gain nothing on the reference machine.
pub(super) const WINDOW_BYTES: usize = 1 << 20;
/// Where a writer is followed closely, what is new is usually a batch or two.
pub(super) const NEWS_BYTES: usize = 16 << 10;
/// Room in front of a window for what was left of the last one, so that no byte is read twice where
/// a batch lies across two. With the window it makes one huge page.
const CARRY_BYTES: usize = 1 << 20;
/// A buffer in which windows follow each other.
const SLIDING_BYTES: usize = CARRY_BYTES + WINDOW_BYTES;
/// Reads start and end on multiples of this or of the segment's block, whichever is larger.
const MIN_READ_ALIGN_BYTES: u64 = 4096;

/// How a reader uses memory and threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadingStyle {
    /// Whether a thread may read ahead.
    pub(crate) reads_ahead: bool,
    /// Largest window, bytes: a batch that needs more is an error.
    pub(crate) window_bytes_max: usize,
    /// Whether a writer is expected behind the end: then little is read after each look at what is
    /// new, and twice as much each time there is more.
    pub(crate) follows: bool,
}

impl ReadingStyle {
    /// What is read at once after a look at what is new.
    fn first_bytes(self) -> usize {
        if self.follows { NEWS_BYTES } else { WINDOW_BYTES }
    }
}

impl Default for ReadingStyle {
    fn default() -> Self {
        Self { reads_ahead: true, window_bytes_max: usize::MAX, follows: false }
    }
}

/// Reads a segment front to back.
#[derive(Debug)]
pub(super) struct SegmentSource {
    file: Arc<SegmentFile>,
    file_len: u64,
    align_bytes: u64,
    style: ReadingStyle,
    /// What [`Self::slice`] reads at once.
    usual_bytes: usize,
    window: Window,
    ahead: Option<ReadAhead>,
    /// The other buffer of two, while nothing is read into it.
    spare: Option<BlockBuffer>,
    /// How much [`Self::fetch`] reads at least: more while what it is asked for lies in a row.
    fetch_bytes: usize,
    blocks: Blocks,
}

/// Bytes of the file that are in memory.
#[derive(Debug, Default)]
struct Window {
    buffer: Option<BlockBuffer>,
    /// Where in the buffer they begin.
    from: usize,
    len: usize,
    /// Where in the file they begin.
    start: u64,
    /// The buffer is one of two, the window is full, and the file goes on behind it.
    slides: bool,
}

impl Window {
    fn end(&self) -> u64 {
        self.start + self.len as u64
    }

    /// Where in the buffer the bytes at `offset_bytes` are, `len` of them or as many as there are.
    fn part(&self, offset_bytes: u64, len: usize) -> Range<usize> {
        let skipped = offset_bytes.saturating_sub(self.start);
        let start = usize::try_from(skipped).unwrap_or(usize::MAX).min(self.len);
        let stop = start.saturating_add(len).min(self.len);
        self.from + start..self.from + stop
    }

    fn holds(&self, offset_bytes: u64, len: usize) -> bool {
        offset_bytes >= self.start && offset_bytes + len as u64 <= self.end()
    }

    fn bytes(&mut self) -> &mut [u8] {
        self.buffer.as_deref_mut().unwrap_or_default()
    }
}

impl SegmentSource {
    pub(super) fn new(file: SegmentFile, block_bytes: u64, style: ReadingStyle) -> Result<Self> {
        let file_len = file.len().map_err(WalError::io("examine", file.path()))?;
        Ok(Self {
            file: Arc::new(file),
            file_len,
            align_bytes: block_bytes.max(MIN_READ_ALIGN_BYTES),
            style,
            usual_bytes: style.first_bytes(),
            window: Window::default(),
            ahead: None,
            spare: None,
            fetch_bytes: 0,
            blocks: Blocks::default(),
        })
    }

    /// Takes over what a source of the segment before has set up for reading single blocks.
    pub(super) fn go_on_from(&mut self, before: Self) {
        self.blocks = before.blocks;
        self.blocks.forget();
    }

    pub(super) fn file(&self) -> &SegmentFile {
        &self.file
    }

    /// Length of the file as last seen.
    pub(super) fn file_len(&self) -> u64 {
        self.file_len
    }

    /// Reads start and end on multiples of this.
    pub(super) fn align_bytes(&self) -> u64 {
        self.align_bytes
    }

    /// The bytes at `offset_bytes`, `len` of them or as many as there are before the end of the
    /// file. `len` has been bounded by the caller.
    ///
    /// # Errors
    ///
    /// [`WalError::Read`]; a read that fails or falls short inside the file is never an end.
    pub(super) fn slice(&mut self, offset_bytes: u64, len: usize) -> Result<&mut [u8]> {
        if !self.window.holds(offset_bytes, len) && !self.slide(offset_bytes, len)? {
            self.refill(offset_bytes, len, self.usual_bytes)?;
            self.usual_bytes = WINDOW_BYTES.min(2 * self.usual_bytes);
        }
        let part = self.window.part(offset_bytes, len);
        Ok(&mut self.window.bytes()[part])
    }

    /// As [`Self::slice`], for whoever will not go on right behind: reads no more than that.
    pub(super) fn fetch(&mut self, offset_bytes: u64, len: usize) -> Result<&mut [u8]> {
        if !self.window.holds(offset_bytes, len) && !self.slide(offset_bytes, len)? {
            let follows = self.window.len > 0
                && (self.window.start..=self.window.end()).contains(&offset_bytes);
            let grown = (2 * self.fetch_bytes).max(len).min(WINDOW_BYTES);
            self.fetch_bytes = if follows { grown } else { len };
            self.refill(offset_bytes, len, self.fetch_bytes)?;
        }
        let part = self.window.part(offset_bytes, len);
        Ok(&mut self.window.bytes()[part])
    }

    /// As [`Self::slice`], by reading a block or two where the bytes are not in memory yet, and the
    /// blocks at `guesses` along with them.
    pub(super) fn peek(
        &mut self,
        offset_bytes: u64,
        len: usize,
        guesses: impl Iterator<Item = u64>,
    ) -> Result<&[u8]> {
        if self.window.holds(offset_bytes, len) {
            let part = self.window.part(offset_bytes, len);
            return Ok(&self.window.bytes()[part]);
        }
        if !self.blocks.holds(offset_bytes, len) {
            if offset_bytes + len as u64 > self.file_len {
                self.look_at_length(offset_bytes)?;
            }
            let (file, file_len) = (&self.file, self.file_len);
            self.blocks
                .load(file, file_len, self.align_bytes, (offset_bytes, len), guesses)
                .map_err(|error| self.read_error(offset_bytes, error))?;
        }
        Ok(self.blocks.held(offset_bytes, len))
    }

    /// What the last [`Self::slice`] or [`Self::fetch`] has brought into memory.
    pub(super) fn held(&self, offset_bytes: u64, len: usize) -> &[u8] {
        let buffer = self.window.buffer.as_deref().unwrap_or_default();
        &buffer[self.window.part(offset_bytes, len)]
    }

    /// Forgets what was read, so that the next slice comes from the device.
    pub(super) fn invalidate(&mut self) {
        self.usual_bytes = self.style.first_bytes();
        self.window.len = 0;
        self.window.slides = false;
        self.blocks.forget();
        if let Some(Filled { buffer, .. }) = self.ahead.as_mut().and_then(ReadAhead::take) {
            self.spare = Some(buffer);
        }
    }

    /// Moves on to the window behind the present one, with what is left of that in front. `false`
    /// where something else than that is wanted.
    fn slide(&mut self, offset_bytes: u64, len: usize) -> Result<bool> {
        let next_start = self.window.end();
        if !self.window.slides || offset_bytes < self.window.start || offset_bytes > next_start {
            return Ok(false);
        }
        let kept = self.window.part(offset_bytes, WINDOW_BYTES + CARRY_BYTES);
        let fits = kept.len() <= CARRY_BYTES && len <= kept.len() + WINDOW_BYTES;
        if !fits || next_start + WINDOW_BYTES as u64 > self.file_len {
            return Ok(false);
        }
        let carried = CARRY_BYTES - kept.len()..CARRY_BYTES;
        let from = carried.start;
        let ahead = self.ahead.as_mut().and_then(ReadAhead::take);
        let read = match ahead {
            Some(Filled { offset_bytes, mut buffer, read }) if offset_bytes == next_start => {
                buffer[carried].copy_from_slice(&self.window.bytes()[kept]);
                self.spare = self.window.buffer.replace(buffer);
                read
            }
            elsewhere => {
                self.spare = elsewhere.map(|filled| filled.buffer).or(self.spare.take());
                self.window.bytes().copy_within(kept, from);
                self.file.read_at(&mut self.window.bytes()[CARRY_BYTES..SLIDING_BYTES], next_start)
            }
        };
        self.window.len = 0;
        self.check_read(next_start, WINDOW_BYTES, read)?;
        let len = SLIDING_BYTES - from;
        self.window = Window {
            buffer: self.window.buffer.take(),
            from,
            len,
            start: offset_bytes,
            slides: true,
        };
        self.order_next();
        Ok(true)
    }

    /// Has the window behind the present one read, if there is a whole one. Who reads two windows
    /// in a row will read more.
    fn order_next(&mut self) {
        let next_start = self.window.end();
        if !self.style.reads_ahead
            || !self.file.is_on_kernel()
            || next_start + WINDOW_BYTES as u64 > self.file_len
        {
            return;
        }
        if self.ahead.is_none() {
            match ReadAhead::start(Arc::clone(&self.file), CARRY_BYTES..SLIDING_BYTES) {
                Ok(ahead) => self.ahead = Some(ahead),
                Err(error) => {
                    tracing::debug!(%error, "no thread to read ahead");
                    self.style.reads_ahead = false;
                }
            }
        }
        let spare = self.spare.take().or_else(|| BlockBuffer::allocate(SLIDING_BYTES).ok());
        if let (Some(ahead), Some(spare)) = (&mut self.ahead, spare) {
            ahead.order(next_start, spare);
        }
    }

    /// Reads anew from `offset_bytes` on: `len` bytes, and `usual` of them if there are.
    fn refill(&mut self, offset_bytes: u64, len: usize, usual: usize) -> Result<()> {
        let start = offset_bytes - offset_bytes % self.align_bytes;
        let needed = usize::try_from(offset_bytes - start).unwrap_or(0).saturating_add(len);
        let needed = usize::try_from(round_up(needed as u64, self.align_bytes)).unwrap_or(needed);
        if start + needed.max(usual) as u64 > self.file_len {
            self.look_at_length(start)?;
        }
        let rest = round_up(self.file_len.saturating_sub(start).max(1), self.align_bytes);
        let rest = usize::try_from(rest).unwrap_or(usize::MAX);
        let wanted = self.present(needed, rest).max(usual.min(rest));
        let wanted = usize::try_from(round_up(wanted as u64, self.align_bytes)).unwrap_or(wanted);
        let slides = wanted == WINDOW_BYTES && rest > wanted;
        let from = if slides { CARRY_BYTES } else { 0 };
        self.window.len = 0;
        self.make_room(from + wanted)?;
        let target = &mut self.window.bytes()[from..from + wanted];
        let read = self.file.read_at(target, start);
        let read = self.check_read(start, wanted, read)?;
        let slides = slides && read == wanted;
        self.window = Window { buffer: self.window.buffer.take(), from, len: read, start, slides };
        Ok(())
    }

    /// Has a buffer for `len` bytes, and not one for much more.
    fn make_room(&mut self, len: usize) -> Result<()> {
        let present = self.window.buffer.as_ref().map_or(0, |buffer| buffer.len());
        if present >= len && present <= len.max(SLIDING_BYTES) {
            return Ok(());
        }
        let path = self.file.path();
        if len > self.style.window_bytes_max {
            return Err(WalError::io("map memory to read", path)(
                io::ErrorKind::OutOfMemory.into(),
            ));
        }
        self.window.buffer = None;
        let buffer = self.file.allocate_buffer(len);
        self.window.buffer = Some(buffer.map_err(WalError::io("map memory to read", path))?);
        Ok(())
    }

    /// Whether everything was read that the file has, which is never less than there was.
    fn check_read(&self, start: u64, wanted: usize, read: io::Result<usize>) -> Result<usize> {
        let read = read.map_err(|error| self.read_error(start, error))?;
        let expected = self.file_len.saturating_sub(start).min(wanted as u64);
        if (read as u64) < expected {
            let problem = format!("{read} of {expected} bytes could be read");
            let error = io::Error::new(io::ErrorKind::UnexpectedEof, problem);
            return Err(self.read_error(start, error));
        }
        Ok(read)
    }

    /// A file that is being written may have grown.
    fn look_at_length(&mut self, start: u64) -> Result<()> {
        self.file_len = self.file.len().map_err(|error| self.read_error(start, error))?;
        Ok(())
    }

    /// What there can be of `needed` bytes. Memory is taken for the bytes of the file, not for
    /// those that a batch header in it speaks of.
    fn present(&self, needed: usize, rest: usize) -> usize {
        #[cfg(feature = "simulated")]
        if crate::sabotage::is(crate::sabotage::Sabotage::TrustBatchLength) {
            return needed;
        }
        needed.min(rest)
    }

    fn read_error(&self, offset_bytes: u64, source: io::Error) -> WalError {
        WalError::Read { path: self.file.path().to_owned(), offset_bytes, source: source.into() }
    }
}
