//! Goes through one file of the old format, record by record. Where there is none it looks for the
//! next whole one, and says what lay in between: padding, what an earlier batch left in the buffer of
//! direct I/O, or bytes that nothing explains.

use anyhow::Result;

use super::nodedb::{BLOCK_BYTES, HEADER_LEN, Header, MAGIC, NoRecord, PREAMBLE_LEN, Preamble};
use super::window::Window;
use crate::failure::Failure;

/// Batches of direct I/O that are remembered, to know what they left behind.
const BATCHES_REMEMBERED: usize = 64;
/// Bytes that look like records and are none may be this many times the file, and this many more.
/// Real damage is nowhere near; without a limit a file made for it would take years.
const VAIN_FACTOR: u64 = 64;
const VAIN_BYTES: u64 = 1 << 30;

/// What was met, in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// A whole record; its bytes are had with [`Scan::record`].
    Record { offset: u64, header: Header },
    /// Bytes that hold none.
    Passed { offset: u64, len: u64, what: What },
}

/// What bytes without a record are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Zeros between two batches or behind the last one, or the file's preamble.
    Padding,
    /// What an earlier, longer batch left in the buffer that this one was written from.
    Residue,
    /// Zeros where a record could be.
    Zeros,
    /// Bytes that nothing explains: damage, or a write that was cut short.
    Unreadable(NoRecord),
}

/// A file being gone through.
#[derive(Debug)]
pub(super) struct Scan {
    window: Window,
    offset: u64,
    /// Where the next whole record begins, if that has been looked for.
    next_record: Option<u64>,
    /// The start of each batch, and how far it reaches; the last one is the current.
    batches: Vec<Batch>,
    /// The last thing met was a record.
    in_batch: bool,
    vain_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Batch {
    start: u64,
    len: u64,
}

impl Scan {
    pub(super) fn new(window: Window) -> Self {
        Self {
            window,
            offset: 0,
            next_record: None,
            batches: Vec::new(),
            in_batch: false,
            vain_bytes: 0,
        }
    }

    /// What the file's preamble may be, likeliest first.
    pub(super) fn preambles(&mut self) -> Result<Vec<Preamble>, Failure> {
        Ok(Preamble::readings(self.start()?))
    }

    /// The bytes of the record that was met last.
    pub(super) fn record(&mut self, offset: u64, header: &Header) -> Result<&[u8], Failure> {
        self.window.bytes(offset, header.record_len()).map_err(Failure::Broken)
    }

    /// What comes next; `None` at the end of the file.
    ///
    /// # Errors
    /// When the file cannot be read, or was made to take for ever.
    pub(super) fn next(&mut self) -> Result<Option<Met>, Failure> {
        let offset = self.offset;
        if offset >= self.window.len() {
            return Ok(None);
        }
        if offset == 0 && Preamble::is_at(self.start()?) {
            return Ok(Some(self.pass(PREAMBLE_LEN as u64, What::Padding)));
        }
        match self.record_at(offset)? {
            Ok(header) => {
                self.note_batch(offset);
                self.offset += header.record_len() as u64;
                Ok(Some(Met::Record { offset, header }))
            }
            Err(problem) => self.pass_over(problem).map(Some),
        }
    }

    fn start(&mut self) -> Result<&[u8], Failure> {
        self.window.bytes(0, PREAMBLE_LEN).map_err(Failure::Broken)
    }

    fn record_at(&mut self, offset: u64) -> Result<Result<Header, NoRecord>, Failure> {
        let head = self.window.bytes(offset, HEADER_LEN).map_err(Failure::Broken)?;
        let header = match Header::decode(head) {
            Ok(header) => header,
            Err(problem) => return Ok(Err(problem)),
        };
        let record = self.window.bytes(offset, header.record_len()).map_err(Failure::Broken)?;
        let verified = header.verify(record);
        if verified.is_err() {
            self.vain_bytes += record.len() as u64;
        }
        Ok(verified.map(|()| header))
    }

    /// Finds the next whole record, and takes everything before it for one of what it can be.
    fn pass_over(&mut self, problem: NoRecord) -> Result<Met, Failure> {
        let from = self.offset;
        let to = match self.next_record.filter(|&found| found > from) {
            Some(found) => found,
            None => self.find_record(from + 1)?,
        };
        self.next_record = Some(to);
        let nonzero = self.window.first_nonzero(from, to).map_err(Failure::Broken)?;
        let what = match nonzero {
            None if self.is_between_batches(from, to) => What::Padding,
            None => What::Zeros,
            Some(_) if self.is_residue(from, to).map_err(Failure::Broken)? => What::Residue,
            Some(at) if at > from => {
                let what =
                    if self.is_between_batches(from, at) { What::Padding } else { What::Zeros };
                return Ok(self.pass(at - from, what));
            }
            Some(_) => What::Unreadable(problem),
        };
        Ok(self.pass(to - from, what))
    }

    fn pass(&mut self, len: u64, what: What) -> Met {
        let offset = self.offset;
        self.offset += len;
        self.in_batch = false;
        Met::Passed { offset, len, what }
    }

    fn find_record(&mut self, from: u64) -> Result<u64, Failure> {
        let allowed = self.window.len().saturating_mul(VAIN_FACTOR).saturating_add(VAIN_BYTES);
        let mut at = from;
        while let Some(candidate) = self.window.find(MAGIC, at).map_err(Failure::Broken)? {
            if self.record_at(candidate)?.is_ok() {
                return Ok(candidate);
            }
            if self.vain_bytes > allowed {
                return Err(Failure::Refused(anyhow::anyhow!(
                    "at byte {candidate} too much has looked like a record and is none; this is no \
                     log that was merely damaged"
                )));
            }
            at = candidate + 1;
        }
        Ok(self.window.len())
    }

    /// A record behind something else, at the start of a block, begins a batch.
    fn note_batch(&mut self, offset: u64) {
        let begins = !self.in_batch && offset.is_multiple_of(BLOCK_BYTES);
        self.in_batch = true;
        if !begins {
            return;
        }
        if let Some(before) = self.batches.last_mut() {
            before.len = offset - before.start;
        }
        if self.batches.len() == BATCHES_REMEMBERED {
            self.batches.remove(0);
        }
        self.batches.push(Batch { start: offset, len: 0 });
    }

    fn is_between_batches(&self, from: u64, to: u64) -> bool {
        from > 0 && (to.is_multiple_of(BLOCK_BYTES) || to == self.window.len())
    }

    /// Direct I/O wrote whole blocks from one buffer, so behind a batch lies what the buffer held: at
    /// each place what the last batch that reached so far had left there, zeros where none had.
    fn is_residue(&mut self, from: u64, to: u64) -> Result<bool> {
        let Some((current, earlier)) = self.batches.split_last() else { return Ok(false) };
        let (start, mut at, end) = (current.start, from - current.start, to - current.start);
        for batch in earlier.iter().rev().filter(|batch| batch.len > 0) {
            if at >= end {
                break;
            }
            if batch.len > at {
                let upto = batch.len.min(end);
                if !self.window.same(start + at, batch.start + at, upto - at)? {
                    return Ok(false);
                }
                at = upto;
            }
        }
        let explained = at > from - start;
        Ok(explained && self.window.first_nonzero(start + at, to)?.is_none())
    }
}
