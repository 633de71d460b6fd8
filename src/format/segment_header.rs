//! Block 0 of a segment: who it is, where it stands in the chain, and how to read the rest.

use super::{ChecksumSeed, FORMAT_VERSION, MAX_BLOCK_BYTES, MIN_BLOCK_BYTES, field::layout};
use crate::lsn::Lsn;

const MAGIC: [u8; 8] = *b"PLIMSOLL";

layout! {
    magic = 8,
    crc32c = 4,
    version = 2,
    cipher = 2,
    block_bytes = 4,
    predecessor_checksum = 4,
    log_id = 16,
    segment_number = 8,
    first_lsn = 8,
    predecessor_number = 8,
    predecessor_end_lsn = 8,
    retention_floor_lsn = 8,
    capacity_bytes = 8,
    created_unix_ns = 8,
    salt = 32,
    key_id = 8,
    key_check = 16,
    header_tag = 16,
    reserved = 88,
}

/// Encoded length; the rest of block 0 is zero.
pub(crate) const SEGMENT_HEADER_LEN: usize = at::reserved.end();
const _: () = assert!(SEGMENT_HEADER_LEN == 256);
const _: () = assert!(SEGMENT_HEADER_LEN as u64 <= MIN_BLOCK_BYTES);

/// What makes a segment itself. Sealed records are bound to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentIdentity {
    /// Random, one per directory.
    pub(crate) log_id: [u8; 16],
    /// Counts from 1, without gaps.
    pub(crate) segment_number: u64,
    /// LSN of its first record.
    pub(crate) first_lsn: Lsn,
    /// Random, one per segment.
    pub(crate) salt: [u8; 32],
    /// The key its records are sealed with, if any.
    pub(crate) key_id: Option<u64>,
}

impl SegmentIdentity {
    /// Start value of the segment's checksums.
    pub(crate) fn checksum_seed(&self) -> ChecksumSeed {
        ChecksumSeed::derive(&self.salt, &self.log_id, self.segment_number)
    }
}

/// The segment before this one, all of whose batches are durable once this header exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Predecessor {
    /// Its number; 0 when there is none.
    pub(crate) number: u64,
    /// Its last LSN: `first_lsn - 1` of this segment.
    pub(crate) end_lsn: Lsn,
    /// Checksum field of its last batch header, 0 when it has none.
    pub(crate) checksum: u32,
}

/// Which key sealed a segment, and how to tell that it is the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyReference {
    /// Value derived from the key alone.
    pub(crate) key_check: [u8; 16],
    /// Authenticates the header's other fields under the key.
    pub(crate) header_tag: [u8; 16],
}

/// A decoded segment header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) identity: SegmentIdentity,
    /// Blocks that batches are padded to.
    pub(crate) block_bytes: u64,
    pub(crate) predecessor: Predecessor,
    /// Oldest LSN the log promised to keep when the segment was started.
    pub(crate) retention_floor: Lsn,
    /// Planned size of the file.
    pub(crate) capacity_bytes: u64,
    /// Nanoseconds since 1970, for people only.
    pub(crate) created_unix_ns: u64,
    /// Present when the identity names a key.
    pub(crate) key: Option<KeyReference>,
}

/// Why bytes are not a segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderProblem {
    /// Only zeros: prepared and never used.
    Blank,
    /// Too short, wrong magic or wrong checksum.
    Damaged(&'static str),
    /// A version this library does not know.
    Version(u16),
}

impl HeaderProblem {
    /// Why, for people.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Blank => "it is blank",
            Self::Damaged(problem) => problem,
            Self::Version(_) => "its version is unknown",
        }
    }
}

impl SegmentHeader {
    /// Encodes the header into the first [`SEGMENT_HEADER_LEN`] bytes of `block` and zeroes the
    /// rest.
    pub(crate) fn encode(&self, block: &mut [u8]) {
        block.fill(0);
        let bytes = &mut block[..SEGMENT_HEADER_LEN];
        let id = &self.identity;
        at::magic.put(bytes, &MAGIC);
        at::version.put(bytes, &FORMAT_VERSION.to_le_bytes());
        at::cipher.put(bytes, &u16::from(id.key_id.is_some()).to_le_bytes());
        let block_len = u32::try_from(self.block_bytes).unwrap_or(u32::MAX);
        at::block_bytes.put(bytes, &block_len.to_le_bytes());
        at::log_id.put(bytes, &id.log_id);
        at::segment_number.put(bytes, &id.segment_number.to_le_bytes());
        at::first_lsn.put(bytes, &id.first_lsn.get().to_le_bytes());
        at::predecessor_number.put(bytes, &self.predecessor.number.to_le_bytes());
        at::predecessor_end_lsn.put(bytes, &self.predecessor.end_lsn.get().to_le_bytes());
        at::predecessor_checksum.put(bytes, &self.predecessor.checksum.to_le_bytes());
        at::retention_floor_lsn.put(bytes, &self.retention_floor.get().to_le_bytes());
        at::capacity_bytes.put(bytes, &self.capacity_bytes.to_le_bytes());
        at::created_unix_ns.put(bytes, &self.created_unix_ns.to_le_bytes());
        at::salt.put(bytes, &id.salt);
        if let (Some(id), Some(key)) = (id.key_id, self.key) {
            at::key_id.put(bytes, &id.to_le_bytes());
            at::key_check.put(bytes, &key.key_check);
            at::header_tag.put(bytes, &key.header_tag);
        }
        let crc = crc32c::crc32c(&bytes[at::crc32c.end()..]);
        at::crc32c.put(bytes, &crc.to_le_bytes());
    }

    /// The bytes that [`KeyReference::header_tag`] authenticates: the encoded header with checksum
    /// and tag zeroed.
    pub(crate) fn authenticated_bytes(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        self.encode(&mut bytes);
        at::crc32c.put(&mut bytes, &[0; 4]);
        at::header_tag.put(&mut bytes, &[0; 16]);
        bytes
    }

    /// Decodes block 0.
    ///
    /// # Errors
    ///
    /// Says why the bytes are not a header; never panics, whatever they are.
    pub(crate) fn decode(block: &[u8]) -> Result<Self, HeaderProblem> {
        let Some(bytes) = block.get(..SEGMENT_HEADER_LEN) else {
            return Err(HeaderProblem::Damaged("the file ends inside it"));
        };
        if bytes.iter().all(|&byte| byte == 0) {
            return Err(HeaderProblem::Blank);
        }
        if at::magic.of(bytes) != MAGIC {
            return Err(HeaderProblem::Damaged("it does not start with PLIMSOLL"));
        }
        if crc32c::crc32c(&bytes[at::crc32c.end()..]) != at::crc32c.get_u32(bytes) {
            return Err(HeaderProblem::Damaged("its checksum does not match"));
        }
        if at::version.get_u16(bytes) != FORMAT_VERSION {
            return Err(HeaderProblem::Version(at::version.get_u16(bytes)));
        }
        let block_len = u64::from(at::block_bytes.get_u32(bytes));
        if !block_len.is_power_of_two() || !(MIN_BLOCK_BYTES..=MAX_BLOCK_BYTES).contains(&block_len)
        {
            return Err(HeaderProblem::Damaged("its block size is impossible"));
        }
        let encrypted = match at::cipher.get_u16(bytes) {
            0 => false,
            1 => true,
            _ => return Err(HeaderProblem::Damaged("its cipher is unknown")),
        };
        // What is authenticated is encoded from what was decoded, so nothing may be beside it.
        let unused = if encrypted { at::reserved.offset } else { at::key_id.offset };
        if bytes[unused..].iter().any(|&byte| byte != 0) {
            return Err(HeaderProblem::Damaged("bytes that have to be zero are not"));
        }
        let header = Self {
            identity: SegmentIdentity {
                log_id: at::log_id.get_bytes(bytes),
                segment_number: at::segment_number.get_u64(bytes),
                first_lsn: Lsn::new(at::first_lsn.get_u64(bytes)),
                salt: at::salt.get_bytes(bytes),
                key_id: encrypted.then(|| at::key_id.get_u64(bytes)),
            },
            block_bytes: block_len,
            predecessor: Predecessor {
                number: at::predecessor_number.get_u64(bytes),
                end_lsn: Lsn::new(at::predecessor_end_lsn.get_u64(bytes)),
                checksum: at::predecessor_checksum.get_u32(bytes),
            },
            retention_floor: Lsn::new(at::retention_floor_lsn.get_u64(bytes)),
            capacity_bytes: at::capacity_bytes.get_u64(bytes),
            created_unix_ns: at::created_unix_ns.get_u64(bytes),
            key: encrypted.then(|| KeyReference {
                key_check: at::key_check.get_bytes(bytes),
                header_tag: at::header_tag.get_bytes(bytes),
            }),
        };
        header.check_plausible()?;
        Ok(header)
    }

    fn check_plausible(&self) -> Result<(), HeaderProblem> {
        let id = &self.identity;
        if id.first_lsn == Lsn::NONE || id.segment_number == 0 {
            return Err(HeaderProblem::Damaged("its number or first LSN is 0"));
        }
        // Every segment before it holds a record. So the number after it exists, too.
        if id.first_lsn.is_exhausted() || id.segment_number > id.first_lsn.get() {
            return Err(HeaderProblem::Damaged("its number or first LSN is impossible"));
        }
        if self.predecessor.end_lsn != id.first_lsn.previous()
            || self.predecessor.number != id.segment_number - 1
        {
            return Err(HeaderProblem::Damaged("it does not follow its predecessor"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SegmentHeader {
        SegmentHeader {
            identity: SegmentIdentity {
                log_id: *b"0123456789abcdef",
                segment_number: 3,
                first_lsn: Lsn::new(41),
                salt: [7; 32],
                key_id: Some(9),
            },
            block_bytes: 4096,
            predecessor: Predecessor { number: 2, end_lsn: Lsn::new(40), checksum: 0xfeed },
            retention_floor: Lsn::new(5),
            capacity_bytes: 64 << 20,
            created_unix_ns: 1,
            key: Some(KeyReference { key_check: [1; 16], header_tag: [2; 16] }),
        }
    }

    #[test]
    fn a_header_survives_encoding() {
        let mut block = [0xff; 4096];
        sample().encode(&mut block);
        assert_eq!(SegmentHeader::decode(&block), Ok(sample()));
        assert!(block[SEGMENT_HEADER_LEN..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut block = [0; SEGMENT_HEADER_LEN];
        sample().encode(&mut block);
        for bit in 0..block.len() * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&block).is_err(), "bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn zeros_are_a_segment_that_was_never_used() {
        assert_eq!(SegmentHeader::decode(&[0; 4096]), Err(HeaderProblem::Blank));
        assert!(matches!(SegmentHeader::decode(&[]), Err(HeaderProblem::Damaged(_))));
    }
}
