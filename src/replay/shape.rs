//! What a batch looks like from its header alone, and where the headers of its frames, and of a next
//! batch like it, must be. Only a guess, but where records are of one length it is always right.

use std::iter;

use crate::format::{BATCH_HEADER_LEN, BatchHeader, round_up};

/// Frames of this length on average are worth passing over. Below it reading everything is as fast,
/// and checks everything.
const WORTH_SKIPPING_BYTES: u64 = 16 << 10;
/// So many reads of a block's length are worth passing over as well.
const WORTH_SKIPPING_BLOCKS: u64 = 4;

/// Lengths of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchShape {
    records: u32,
    frame_bytes: u64,
    padded_bytes: u64,
}

impl BatchShape {
    /// The shape of a batch with records.
    pub(super) fn of(header: &BatchHeader, block_bytes: u64) -> Option<Self> {
        let frame_bytes = u64::from(header.body_bytes).checked_div(header.record_count.into())?;
        Some(Self {
            records: header.record_count,
            frame_bytes,
            padded_bytes: round_up(header.batch_len() as u64, block_bytes),
        })
    }

    /// Whether reading headers alone is faster than reading everything.
    pub(super) fn is_worth_skipping(&self, align_bytes: u64) -> bool {
        self.frame_bytes >= WORTH_SKIPPING_BYTES.max(WORTH_SKIPPING_BLOCKS * align_bytes)
    }

    /// Where the headers are, if a batch like this begins at `offset_bytes`, and others behind it.
    pub(super) fn batches_from(self, offset_bytes: u64) -> impl Iterator<Item = u64> {
        let batches =
            iter::successors(Some(offset_bytes), move |at| at.checked_add(self.padded_bytes));
        batches.flat_map(move |at| {
            let first = at.saturating_add(BATCH_HEADER_LEN as u64);
            iter::once(at).chain(self.frames(first, self.records))
        })
    }

    /// Where the headers of these many frames are from `offset_bytes` on, and those of batches
    /// behind them.
    pub(super) fn frames_from(
        self,
        offset_bytes: u64,
        remaining: u32,
        next_batch_bytes: u64,
    ) -> impl Iterator<Item = u64> {
        self.frames(offset_bytes, remaining).chain(self.batches_from(next_batch_bytes))
    }

    fn frames(self, offset_bytes: u64, count: u32) -> impl Iterator<Item = u64> {
        // A frame's length is a multiple of 8.
        let frame_bytes = self.frame_bytes & !7;
        (0..u64::from(count)).map(move |index| offset_bytes.saturating_add(index * frame_bytes))
    }
}
