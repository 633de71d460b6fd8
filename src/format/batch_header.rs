//! The header of a batch: the unit that becomes durable, and is replayed, whole or not at all.

use super::{ChecksumSeed, field::layout};
use crate::lsn::Lsn;

const MAGIC: [u8; 4] = *b"PLB1";

layout! {
    magic = 4,
    crc32c = 4,
    seed = 4,
    flags = 4,
    body_bytes = 4,
    record_count = 4,
    first_lsn = 8,
    durable_lsn = 8,
}

/// Encoded length.
pub(crate) const BATCH_HEADER_LEN: usize = at::durable_lsn.end();
const _: () = assert!(BATCH_HEADER_LEN == 40);
const _: () = assert!(BATCH_HEADER_LEN.is_multiple_of(8));

/// The checksum covers what follows the seed. The seed itself is its start value: covered as well,
/// it would cancel itself out, since CRC combines its start value with the first four bytes.
const COVERED_FROM: usize = at::seed.end();

/// Largest batch, header included. A reader never allocates more for one.
pub(crate) const MAX_BATCH_BYTES: usize = 128 << 20;
/// Most records of one batch.
pub(crate) const MAX_BATCH_RECORDS: usize = 1 << 20;

const FLAG_CLEAN_CLOSE: u32 = 1;

/// A decoded batch header. A batch without records is a marker: it only states a durable LSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    /// Bytes of frames after the header.
    pub(crate) body_bytes: u32,
    /// Frames in the body.
    pub(crate) record_count: u32,
    /// LSN of the first record; for a marker the LSN the next record will get.
    pub(crate) first_lsn: Lsn,
    /// What was durable when the batch was submitted.
    pub(crate) durable_lsn: Lsn,
    /// The writer closed the log in good order after this.
    pub(crate) clean_close: bool,
    /// The header's own checksum: names this batch in the successor's segment header.
    pub(crate) checksum: u32,
}

/// What the first bytes of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchBlock {
    /// A batch header of this segment.
    Valid(BatchHeader),
    /// An intact batch header under another seed: the file's earlier life, or another segment's.
    Foreign(BatchHeader),
    /// Zero in the length of a header.
    Blank,
    /// Anything else.
    NotABatch,
}

/// Which check a block failed that is [`BatchBlock::NotABatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchHeaderFault {
    /// The file ends inside the header.
    Short,
    Magic,
    Checksum,
    /// The checksum is good and the fields cannot be a batch's.
    Impossible,
}

impl BatchHeader {
    /// Length of the batch on disk before padding.
    pub(crate) fn batch_len(&self) -> usize {
        BATCH_HEADER_LEN + self.body_bytes as usize
    }

    /// The LSN after the batch's last record.
    pub(crate) fn end_lsn(&self) -> Lsn {
        Lsn::new(self.first_lsn.get().saturating_add(u64::from(self.record_count)))
    }

    /// Encodes the header into the first [`BATCH_HEADER_LEN`] bytes and returns its checksum.
    pub(crate) fn encode(&self, segment_seed: ChecksumSeed, bytes: &mut [u8]) -> u32 {
        let bytes = &mut bytes[..BATCH_HEADER_LEN];
        at::magic.put(bytes, &MAGIC);
        at::seed.put(bytes, &segment_seed.get().to_le_bytes());
        at::flags.put(bytes, &(if self.clean_close { FLAG_CLEAN_CLOSE } else { 0 }).to_le_bytes());
        at::body_bytes.put(bytes, &self.body_bytes.to_le_bytes());
        at::record_count.put(bytes, &self.record_count.to_le_bytes());
        at::first_lsn.put(bytes, &self.first_lsn.get().to_le_bytes());
        at::durable_lsn.put(bytes, &self.durable_lsn.get().to_le_bytes());
        let checksum = segment_seed.checksum(&bytes[COVERED_FROM..]);
        at::crc32c.put(bytes, &checksum.to_le_bytes());
        checksum
    }

    /// Reads the header a block may start with. The bounds of every length are checked here.
    pub(crate) fn read(segment_seed: ChecksumSeed, block: &[u8]) -> BatchBlock {
        let Some(bytes) = block.get(..BATCH_HEADER_LEN) else {
            return BatchBlock::NotABatch;
        };
        if bytes.iter().all(|&byte| byte == 0) {
            return BatchBlock::Blank;
        }
        let own_seed = ChecksumSeed::from_stored(at::seed.get_u32(bytes));
        let checksum = at::crc32c.get_u32(bytes);
        if at::magic.of(bytes) != MAGIC || own_seed.checksum(&bytes[COVERED_FROM..]) != checksum {
            return BatchBlock::NotABatch;
        }
        let header = Self {
            body_bytes: at::body_bytes.get_u32(bytes),
            record_count: at::record_count.get_u32(bytes),
            first_lsn: Lsn::new(at::first_lsn.get_u64(bytes)),
            durable_lsn: Lsn::new(at::durable_lsn.get_u64(bytes)),
            clean_close: at::flags.get_u32(bytes) & FLAG_CLEAN_CLOSE != 0,
            checksum,
        };
        if !header.is_plausible() || at::flags.get_u32(bytes) & !FLAG_CLEAN_CLOSE != 0 {
            return BatchBlock::NotABatch;
        }
        if own_seed == segment_seed {
            BatchBlock::Valid(header)
        } else {
            BatchBlock::Foreign(header)
        }
    }

    /// The seed that a header names, whichever it is.
    pub(crate) fn stored_seed(bytes: &[u8]) -> u32 {
        at::seed.get_u32(bytes)
    }

    /// Why these bytes are [`BatchBlock::NotABatch`].
    pub(crate) fn fault(block: &[u8]) -> BatchHeaderFault {
        let Some(bytes) = block.get(..BATCH_HEADER_LEN) else {
            return BatchHeaderFault::Short;
        };
        if at::magic.of(bytes) != MAGIC {
            return BatchHeaderFault::Magic;
        }
        let seed = ChecksumSeed::from_stored(at::seed.get_u32(bytes));
        if seed.checksum(&bytes[COVERED_FROM..]) != at::crc32c.get_u32(bytes) {
            return BatchHeaderFault::Checksum;
        }
        BatchHeaderFault::Impossible
    }

    fn is_plausible(&self) -> bool {
        self.batch_len() <= MAX_BATCH_BYTES
            && self.record_count as usize <= MAX_BATCH_RECORDS
            && self.first_lsn != Lsn::NONE
            && self.first_lsn.checked_add(u64::from(self.record_count)).is_some()
            && self.durable_lsn < self.first_lsn
            && (self.record_count == 0) == (self.body_bytes == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> BatchHeader {
        BatchHeader {
            body_bytes: 128,
            record_count: 2,
            first_lsn: Lsn::new(10),
            durable_lsn: Lsn::new(7),
            clean_close: false,
            checksum: 0,
        }
    }

    #[test]
    fn a_header_is_valid_under_its_seed_only() {
        let ours = ChecksumSeed::from_stored(5);
        let mut bytes = [0; BATCH_HEADER_LEN];
        let checksum = sample().encode(ours, &mut bytes);
        let expected = BatchHeader { checksum, ..sample() };
        assert_eq!(BatchHeader::read(ours, &bytes), BatchBlock::Valid(expected));
        let other = ChecksumSeed::from_stored(6);
        assert_eq!(BatchHeader::read(other, &bytes), BatchBlock::Foreign(expected));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let ours = ChecksumSeed::from_stored(5);
        let mut bytes = [0; BATCH_HEADER_LEN];
        sample().encode(ours, &mut bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BatchHeader::read(ours, &bytes), BatchBlock::NotABatch, "bit {bit}");
            let magic = bit < at::magic.end() * 8;
            let fault = if magic { BatchHeaderFault::Magic } else { BatchHeaderFault::Checksum };
            assert_eq!(BatchHeader::fault(&bytes), fault, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn impossible_lengths_are_refused_before_use() {
        let ours = ChecksumSeed::from_stored(5);
        let mut bytes = [0; BATCH_HEADER_LEN];
        for bad in [
            BatchHeader { body_bytes: u32::MAX, ..sample() },
            BatchHeader { record_count: u32::MAX, ..sample() },
            BatchHeader { record_count: 0, ..sample() },
            BatchHeader { first_lsn: Lsn::NONE, durable_lsn: Lsn::NONE, ..sample() },
            BatchHeader { first_lsn: Lsn::new(u64::MAX), ..sample() },
            BatchHeader { durable_lsn: Lsn::new(10), ..sample() },
        ] {
            bad.encode(ours, &mut bytes);
            assert_eq!(BatchHeader::read(ours, &bytes), BatchBlock::NotABatch, "{bad:?}");
            assert_eq!(BatchHeader::fault(&bytes), BatchHeaderFault::Impossible, "{bad:?}");
        }
    }
}
