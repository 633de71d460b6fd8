//! Single blocks of a segment, for whoever looks at headers and passes over what lies between. The
//! blocks that will be asked for next are guessed and read along with the first one, since a device
//! answers many small reads in little more than the time of one.

use std::{io, ops::Range};

use crate::device::{BlockBuffer, Piece, SCATTERED_READS_MAX, ScatteredReads, SegmentFile};

/// How many blocks are read at once before it is known how good the guesses are.
const FIRST_READS: usize = 4;
/// Never fewer: otherwise nobody would notice that they have become good.
const LEAST_READS: usize = 2;

/// Blocks in memory.
#[derive(Debug)]
pub(super) struct Blocks {
    reads: ScatteredReads,
    buffer: Option<BlockBuffer>,
    slots: Vec<Slot>,
    /// How many are read at once: twice as many while the guesses are good, half when they are not.
    at_once: usize,
}

/// A place in the buffer.
#[derive(Debug)]
struct Slot {
    piece: Piece,
    /// How much was read.
    len: usize,
    was_used: bool,
}

impl Slot {
    fn part(&self, offset_bytes: u64, len: usize) -> Option<Range<usize>> {
        let skipped = usize::try_from(offset_bytes.checked_sub(self.piece.offset_bytes)?).ok()?;
        let end = skipped.checked_add(len).filter(|end| *end <= self.len)?;
        Some(self.piece.start + skipped..self.piece.start + end)
    }
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            reads: ScatteredReads::default(),
            buffer: None,
            slots: Vec::new(),
            at_once: FIRST_READS,
        }
    }
}

impl Blocks {
    pub(super) fn holds(&self, offset_bytes: u64, len: usize) -> bool {
        self.slots.iter().any(|slot| slot.part(offset_bytes, len).is_some())
    }

    /// The bytes at `offset_bytes`, or as many of them as there are before the end of the file.
    pub(super) fn held(&mut self, offset_bytes: u64, len: usize) -> &[u8] {
        let buffer = self.buffer.as_deref().unwrap_or_default();
        for slot in &mut self.slots {
            if let Some(part) = slot.part(offset_bytes, len) {
                slot.was_used = true;
                return &buffer[part];
            }
        }
        // The first slot is what was asked for last: the file ends in it.
        let Some(slot) = self.slots.first() else { return &[] };
        let skipped = offset_bytes.saturating_sub(slot.piece.offset_bytes);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX).min(slot.len);
        &buffer[slot.piece.start + skipped..slot.piece.start + slot.len]
    }

    pub(super) fn forget(&mut self) {
        self.slots.clear();
    }

    /// Reads the blocks of the bytes that are wanted, and of as many guesses as are worth it.
    pub(super) fn load(
        &mut self,
        file: &SegmentFile,
        file_len: u64,
        align_bytes: u64,
        (wanted, len): (u64, usize),
        guesses: impl Iterator<Item = u64>,
    ) -> io::Result<()> {
        self.judge_guesses();
        // What is asked for is shorter than a block, and may lie across two.
        let slot_bytes = usize::try_from(2 * align_bytes).unwrap_or(usize::MAX);
        let mut pieces: Vec<Piece> = Vec::with_capacity(self.at_once);
        // Several guesses may lie in one block: bounded as well.
        for offset_bytes in std::iter::once(wanted).chain(guesses.take(64 * self.at_once)) {
            if pieces.len() == self.at_once || (!pieces.is_empty() && offset_bytes >= file_len) {
                break;
            }
            let start = offset_bytes - offset_bytes % align_bytes;
            let end = (offset_bytes + len as u64).next_multiple_of(align_bytes);
            let is_there = |piece: &Piece| {
                (piece.offset_bytes..=piece.offset_bytes + piece.len as u64).contains(&end)
                    && piece.offset_bytes <= start
            };
            if !pieces.last().is_some_and(is_there) {
                let len = usize::try_from(end - start).unwrap_or(slot_bytes);
                pieces.push(Piece { offset_bytes: start, start: pieces.len() * slot_bytes, len });
            }
        }
        self.read(file, file_len, slot_bytes, pieces)
    }

    fn read(
        &mut self,
        file: &SegmentFile,
        file_len: u64,
        slot_bytes: usize,
        pieces: Vec<Piece>,
    ) -> io::Result<()> {
        self.slots.clear();
        let buffer_len = self.at_once * slot_bytes;
        let buffer = match self.buffer.take().filter(|buffer| buffer.len() >= buffer_len) {
            Some(buffer) => buffer,
            None => file.allocate_buffer(buffer_len)?,
        };
        let (buffer, counts) = match self.reads.read(file, buffer, &pieces) {
            Some(read) => read,
            // The ring has failed, and from now on there is none.
            None => self
                .reads
                .read(file, file.allocate_buffer(buffer_len)?, &pieces)
                .ok_or(io::ErrorKind::OutOfMemory)?,
        };
        self.buffer = Some(buffer);
        for (index, (piece, count)) in pieces.into_iter().zip(counts).enumerate() {
            let expected = file_len.saturating_sub(piece.offset_bytes).min(piece.len as u64);
            let count = count.and_then(|count| {
                if count as u64 >= expected {
                    return Ok(count);
                }
                let problem = format!("{count} of {expected} bytes could be read");
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem))
            });
            match count {
                Ok(len) => self.slots.push(Slot { piece, len, was_used: false }),
                Err(error) if index == 0 => return Err(error),
                // Nobody has asked for it so far; who does will meet the error.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn judge_guesses(&mut self) {
        if self.slots.is_empty() {
            return;
        }
        let used = self.slots.iter().filter(|slot| slot.was_used).count();
        if used * 4 >= self.slots.len() * 3 {
            self.at_once = (self.at_once * 2).min(SCATTERED_READS_MAX);
        } else if used * 2 < self.slots.len() {
            self.at_once = (self.at_once / 2).max(LEAST_READS);
        }
    }
}
