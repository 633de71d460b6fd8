//! `wal.meta`: the little that must be known beside the segments. It tells a truncated first
//! segment from a deleted one, and a deleted newest segment from one that never was.

use std::num::NonZeroU64;

use super::{FORMAT_VERSION, field::layout};
use crate::lsn::Lsn;

const MAGIC: [u8; 8] = *b"PLIMMETA";
const FLAG_ENCRYPTED: u16 = 1;

layout! {
    magic = 8,
    crc32c = 4,
    version = 2,
    flags = 2,
    log_id = 16,
    retention_floor_lsn = 8,
    newest_segment_number = 8,
    durable_lsn = 8,
    closing_marker_offset = 8,
}

/// Length of the file.
pub(crate) const META_LEN: usize = at::closing_marker_offset.end();
const _: () = assert!(META_LEN == 64);

/// The decoded file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Random, one per directory.
    pub(crate) log_id: [u8; 16],
    /// Oldest LSN the log promises to keep.
    pub(crate) retention_floor: Lsn,
    /// A segment with at least this number exists.
    pub(crate) newest_segment_number: u64,
    /// Everything up to here was durable.
    pub(crate) durable_lsn: Lsn,
    /// The log has been written with a key; without one it is not opened again.
    pub(crate) encrypted: bool,
    /// Where, in the segment of this number, the marker of a close in good order begins, which
    /// states this durable LSN. `None` while the log is in use, and after any other end.
    pub(crate) closing_marker_offset_bytes: Option<NonZeroU64>,
}

/// Why bytes are not the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaProblem {
    /// Wrong length, magic or checksum.
    Damaged(&'static str),
    /// A version this library does not know.
    Version(u16),
}

impl Meta {
    /// The file's bytes.
    pub(crate) fn encode(&self) -> [u8; META_LEN] {
        let mut bytes = [0; META_LEN];
        at::magic.put(&mut bytes, &MAGIC);
        at::version.put(&mut bytes, &FORMAT_VERSION.to_le_bytes());
        at::flags.put(&mut bytes, &(if self.encrypted { FLAG_ENCRYPTED } else { 0 }).to_le_bytes());
        at::log_id.put(&mut bytes, &self.log_id);
        at::retention_floor_lsn.put(&mut bytes, &self.retention_floor.get().to_le_bytes());
        at::newest_segment_number.put(&mut bytes, &self.newest_segment_number.to_le_bytes());
        at::durable_lsn.put(&mut bytes, &self.durable_lsn.get().to_le_bytes());
        let closing_marker = self.closing_marker_offset_bytes.map_or(0, NonZeroU64::get);
        at::closing_marker_offset.put(&mut bytes, &closing_marker.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[at::crc32c.end()..]);
        at::crc32c.put(&mut bytes, &crc.to_le_bytes());
        bytes
    }

    /// A segment has been started, and everything up to `durable_lsn` is durable.
    pub(crate) fn note_started_segment(&mut self, number: u64, durable_lsn: Lsn) {
        if number > self.newest_segment_number {
            self.newest_segment_number = number;
            self.forget_close();
        }
        self.durable_lsn = self.durable_lsn.max(durable_lsn);
    }

    /// The log is in use: what an earlier close has stated is not its end any more.
    pub(crate) fn forget_close(&mut self) {
        #[cfg(feature = "simulated")]
        if crate::sabotage::is(crate::sabotage::Sabotage::BelieveStatedClose) {
            return;
        }
        self.closing_marker_offset_bytes = None;
    }

    /// What the file calls durable. Only durable records are ever truncated, so that the floor
    /// speaks for what lay before it.
    pub(crate) fn claimed_durable_lsn(&self) -> Lsn {
        self.durable_lsn.max(self.retention_floor.previous())
    }

    /// Decodes the file.
    ///
    /// # Errors
    ///
    /// Says why the bytes cannot be it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, MetaProblem> {
        if bytes.len() != META_LEN {
            return Err(MetaProblem::Damaged("its length is wrong"));
        }
        if at::magic.of(bytes) != MAGIC {
            return Err(MetaProblem::Damaged("it does not start with PLIMMETA"));
        }
        if crc32c::crc32c(&bytes[at::crc32c.end()..]) != at::crc32c.get_u32(bytes) {
            return Err(MetaProblem::Damaged("its checksum does not match"));
        }
        if at::version.get_u16(bytes) != FORMAT_VERSION {
            return Err(MetaProblem::Version(at::version.get_u16(bytes)));
        }
        Ok(Self {
            log_id: at::log_id.get_bytes(bytes),
            retention_floor: Lsn::new(at::retention_floor_lsn.get_u64(bytes)),
            newest_segment_number: at::newest_segment_number.get_u64(bytes),
            durable_lsn: Lsn::new(at::durable_lsn.get_u64(bytes)),
            encrypted: at::flags.get_u16(bytes) & FLAG_ENCRYPTED != 0,
            closing_marker_offset_bytes: NonZeroU64::new(at::closing_marker_offset.get_u64(bytes)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_survives_encoding_and_every_flipped_bit_is_noticed() {
        let meta = Meta {
            log_id: [3; 16],
            retention_floor: Lsn::new(17),
            newest_segment_number: 4,
            durable_lsn: Lsn::new(99),
            encrypted: true,
            closing_marker_offset_bytes: NonZeroU64::new(8192),
        };
        let mut bytes = meta.encode();
        assert_eq!(Meta::decode(&bytes), Ok(meta));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Meta::decode(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(Meta::decode(&bytes[..META_LEN - 1]).is_err());
    }

    #[test]
    fn a_segment_that_is_started_ends_what_a_close_has_stated() {
        let closed = Meta {
            log_id: [3; 16],
            retention_floor: Lsn::FIRST,
            newest_segment_number: 4,
            durable_lsn: Lsn::new(99),
            encrypted: false,
            closing_marker_offset_bytes: NonZeroU64::new(8192),
        };
        let after = |number, durable| {
            let mut meta = closed;
            meta.note_started_segment(number, Lsn::new(durable));
            meta
        };
        assert_eq!(after(4, 90), closed, "told late, of a segment before the close");
        let opened = after(5, 99);
        assert_eq!((opened.newest_segment_number, opened.closing_marker_offset_bytes), (5, None));
    }
}
