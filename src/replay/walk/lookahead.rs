//! What lies ahead of a position, looked at without taking it: is more there, what does it call
//! durable, and what is in a segment whose header is lost.

use std::collections::BTreeMap;

use super::SegmentWalk;
use crate::{
    device::SegmentFile,
    error::Result,
    format::{
        BATCH_HEADER_LEN, BatchBlock, BatchHeader, ChecksumSeed, MAX_BLOCK_BYTES, MIN_BLOCK_BYTES,
        round_up,
    },
    lsn::Lsn,
    replay::source::{NEWS_BYTES, ReadingStyle, SegmentSource, WINDOW_BYTES},
};

/// How far a glimpse looks for the next header; what was read along with the present position.
const UNEXPLAINED_BYTES: u64 = NEWS_BYTES as u64 / 2;
/// Seeds that are counted in one file.
const SEEDS_MAX: usize = 4096;

/// What can be seen, from headers alone, of what is next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Glimpse {
    /// Highest durable LSN that it claims.
    pub(in super::super) claimed_durable_lsn: Lsn,
    /// LSN behind the batches that follow each other from here on.
    pub(in super::super) end_lsn: Lsn,
}

/// What lies behind a position that does not hold the next batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct TailScan {
    /// Highest durable LSN that a later batch claims.
    pub(in super::super) claimed_durable_lsn: Lsn,
    /// Intact batch headers of this segment.
    pub(in super::super) batches: u64,
    /// Bytes up to the last block that is neither blank nor of an earlier life.
    pub(in super::super) suspicious_bytes: u64,
}

impl SegmentWalk {
    /// Passes over the markers that are next. They hold no record, and need nobody's claim.
    pub(in super::super) fn pass_markers(&mut self) -> Result<()> {
        loop {
            let head = self.source.slice(self.offset_bytes, BATCH_HEADER_LEN)?;
            match BatchHeader::read(self.context.seed, head) {
                BatchBlock::Valid(BatchHeader { record_count: 0, .. }) if self.next_batch()? => {}
                _ => return Ok(()),
            }
        }
    }

    /// Looks at the headers of what is next, without taking any of it, until one of them claims that
    /// the next batch is durable. Batches may land in any order, so that a little of
    /// something else may lie before each.
    pub(in super::super) fn glimpse(&mut self) -> Result<Glimpse> {
        let mut glimpse = Glimpse { end_lsn: self.expected_lsn, ..Glimpse::default() };
        let mut offset_bytes = self.offset_bytes;
        let mut unexplained_until = offset_bytes + UNEXPLAINED_BYTES;
        while offset_bytes < unexplained_until && glimpse.claimed_durable_lsn < self.expected_lsn {
            let seed = self.context.seed;
            let head = self.head_ahead(offset_bytes)?;
            let BatchBlock::Valid(batch) = BatchHeader::read(seed, head) else {
                offset_bytes += self.context.block_bytes;
                continue;
            };
            offset_bytes += round_up(batch.batch_len() as u64, self.context.block_bytes);
            unexplained_until = offset_bytes + UNEXPLAINED_BYTES;
            glimpse.claimed_durable_lsn = glimpse.claimed_durable_lsn.max(batch.durable_lsn);
            if batch.first_lsn == glimpse.end_lsn {
                glimpse.end_lsn = batch.end_lsn();
            }
        }
        Ok(glimpse)
    }

    /// The bytes of a header not far ahead, in one window with all that lies before it, so that none
    /// of that is read twice.
    fn head_ahead(&mut self, offset_bytes: u64) -> Result<&[u8]> {
        match usize::try_from(offset_bytes - self.offset_bytes) {
            Ok(gap) if gap <= WINDOW_BYTES => {
                let bytes = self.source.slice(self.offset_bytes, gap + BATCH_HEADER_LEN)?;
                Ok(bytes.get(gap..).unwrap_or_default())
            }
            _ => Ok(self.source.slice(offset_bytes, BATCH_HEADER_LEN)?),
        }
    }

    /// Looks at every block from the current position to the end of the file.
    pub(in super::super) fn scan_tail(&mut self) -> Result<TailScan> {
        self.source.invalidate();
        let mut scan = TailScan::default();
        let start = self.offset_bytes;
        let mut offset_bytes = start;
        // Blocks before this are the body of a batch of the file's earlier life. They explain
        // themselves, but a batch of this life among them counts all the same: nothing but a
        // misdirected write can have brought them together.
        let mut earlier_life_until = start;
        while offset_bytes < self.source.file_len() {
            let head = self.source.slice(offset_bytes, BATCH_HEADER_LEN)?;
            let block_end = offset_bytes + self.context.block_bytes;
            match BatchHeader::read(self.context.seed, head) {
                BatchBlock::Valid(batch) => {
                    scan.batches += 1;
                    scan.claimed_durable_lsn = scan.claimed_durable_lsn.max(batch.durable_lsn);
                    let end = offset_bytes + batch.batch_len() as u64;
                    scan.suspicious_bytes = scan.suspicious_bytes.max(end - start);
                }
                BatchBlock::Foreign(batch) if batch.first_lsn < self.expected_lsn => {
                    let len = round_up(batch.batch_len() as u64, self.context.block_bytes);
                    earlier_life_until = offset_bytes + len;
                }
                BatchBlock::Blank => {}
                BatchBlock::Foreign(_) | BatchBlock::NotABatch => {
                    if offset_bytes >= earlier_life_until {
                        scan.suspicious_bytes = scan.suspicious_bytes.max(block_end - start);
                    }
                }
            }
            offset_bytes = block_end;
        }
        #[cfg(feature = "simulated")]
        if crate::sabotage::is(crate::sabotage::Sabotage::IgnoreLaterClaims) {
            scan.claimed_durable_lsn = Lsn::NONE;
        }
        self.source.invalidate();
        Ok(scan)
    }
}

/// What the batches of a segment with an unreadable header claim.
pub(in super::super) fn claims_without_header(file: SegmentFile, first_lsn: Lsn) -> Result<Lsn> {
    let mut claimed = Lsn::NONE;
    batches_without_header(file, first_lsn, |_, _, batch| {
        claimed = claimed.max(batch.durable_lsn);
    })?;
    Ok(claimed)
}

/// The seed of a segment with an unreadable header, and the block that its batches are padded to:
/// those of most of its batches. `None` if it has none.
pub(crate) fn seed_without_header(
    file: SegmentFile,
    first_lsn: Lsn,
) -> Result<Option<(ChecksumSeed, u64)>> {
    let mut found: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    batches_without_header(file, first_lsn, |offset_bytes, seed, _| {
        // Of a segment there is one, and misplaced writes are few; a file can be made to have many.
        if found.len() == SEEDS_MAX && !found.contains_key(&seed) {
            return;
        }
        let (count, offsets) = found.entry(seed).or_default();
        *count += 1;
        *offsets |= offset_bytes;
    })?;
    let most = found.into_iter().max_by_key(|(_, (count, _))| *count);
    Ok(most.map(|(seed, (_, offsets))| {
        // The first batch is behind one block, and each other one behind several.
        let block_bytes = 1 << offsets.trailing_zeros().min(MAX_BLOCK_BYTES.trailing_zeros());
        (ChecksumSeed::from_stored(seed), block_bytes)
    }))
}

/// Hands out the batch headers of a segment whose own cannot be read, with their places and seeds.
/// Without the header its salt is unknown, but each batch names its seed; those of an earlier life of
/// the file are told apart by their lower LSNs.
fn batches_without_header(
    file: SegmentFile,
    first_lsn: Lsn,
    mut found: impl FnMut(u64, u32, &BatchHeader),
) -> Result<()> {
    let mut source = SegmentSource::new(file, MIN_BLOCK_BYTES, ReadingStyle::default())?;
    let mut offset_bytes = MIN_BLOCK_BYTES;
    while offset_bytes < source.file_len() {
        let head = source.slice(offset_bytes, BATCH_HEADER_LEN)?;
        let block = BatchHeader::read(ChecksumSeed::from_stored(0), head);
        if let BatchBlock::Valid(batch) | BatchBlock::Foreign(batch) = block
            && batch.first_lsn >= first_lsn
        {
            found(offset_bytes, BatchHeader::stored_seed(head), &batch);
        }
        offset_bytes += MIN_BLOCK_BYTES;
    }
    Ok(())
}
