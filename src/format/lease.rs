//! A lease file: up to where a named consumer needs the log no more, and how much of it may stay on
//! its account.

use super::{FORMAT_VERSION, field::layout};
use crate::lsn::Lsn;

const MAGIC: [u8; 8] = *b"PLIMLEAS";
const FLAG_DROPPED: u16 = 1;

layout! {
    magic = 8,
    crc32c = 4,
    version = 2,
    flags = 2,
    log_id = 16,
    position_lsn = 8,
    budget_bytes = 8,
    name = 64,
    reserved = 16,
}

/// Length of the file.
pub(crate) const LEASE_LEN: usize = at::reserved.end();
const _: () = assert!(LEASE_LEN == 128);

/// Longest name of a lease. One byte of the field stays zero, so that a name always ends in it.
const MAX_LEASE_NAME_LEN: usize = 63;
const _: () = assert!(MAX_LEASE_NAME_LEN + 1 == at::name.len);

/// The decoded file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseRecord {
    /// The log that it holds.
    pub(crate) log_id: [u8; 16],
    /// The consumer's, as in the file's name.
    pub(crate) name: String,
    /// Oldest LSN the consumer needs.
    pub(crate) position: Lsn,
    /// How many bytes may stay for it alone that the embedder gave up.
    pub(crate) budget_bytes: u64,
    /// It went over its budget and holds nothing any more.
    pub(crate) dropped: bool,
}

/// Why bytes are not the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseProblem {
    /// Wrong length, magic, checksum, or a value that cannot be.
    Damaged(&'static str),
    /// A version this library does not know.
    Version(u16),
}

/// Whether a consumer may have this name: 1 to 63 of `a` to `z`, `0` to `9`, `-` and `_`. Safe in
/// the name of a file, also where upper and lower case are the same.
pub(crate) fn is_lease_name(name: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=MAX_LEASE_NAME_LEN).contains(&name.len()) && name.bytes().all(allowed)
}

impl LeaseRecord {
    /// The file's bytes. The name is one that [`is_lease_name`] allows.
    pub(crate) fn encode(&self) -> [u8; LEASE_LEN] {
        debug_assert!(is_lease_name(&self.name));
        let mut bytes = [0; LEASE_LEN];
        let mut name = [0; MAX_LEASE_NAME_LEN + 1];
        name[..self.name.len()].copy_from_slice(self.name.as_bytes());
        at::magic.put(&mut bytes, &MAGIC);
        at::version.put(&mut bytes, &FORMAT_VERSION.to_le_bytes());
        at::flags.put(&mut bytes, &(if self.dropped { FLAG_DROPPED } else { 0 }).to_le_bytes());
        at::log_id.put(&mut bytes, &self.log_id);
        at::position_lsn.put(&mut bytes, &self.position.get().to_le_bytes());
        at::budget_bytes.put(&mut bytes, &self.budget_bytes.to_le_bytes());
        at::name.put(&mut bytes, &name);
        let crc = crc32c::crc32c(&bytes[at::crc32c.end()..]);
        at::crc32c.put(&mut bytes, &crc.to_le_bytes());
        bytes
    }

    /// Decodes the file.
    ///
    /// # Errors
    ///
    /// Says why the bytes cannot be it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, LeaseProblem> {
        if bytes.len() != LEASE_LEN {
            return Err(LeaseProblem::Damaged("its length is wrong"));
        }
        if at::magic.of(bytes) != MAGIC {
            return Err(LeaseProblem::Damaged("it does not start with PLIMLEAS"));
        }
        if crc32c::crc32c(&bytes[at::crc32c.end()..]) != at::crc32c.get_u32(bytes) {
            return Err(LeaseProblem::Damaged("its checksum does not match"));
        }
        if at::version.get_u16(bytes) != FORMAT_VERSION {
            return Err(LeaseProblem::Version(at::version.get_u16(bytes)));
        }
        let field = at::name.of(bytes);
        let len = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        let name = std::str::from_utf8(&field[..len]).ok().filter(|name| is_lease_name(name));
        let Some(name) = name.filter(|_| field[len..].iter().all(|byte| *byte == 0)) else {
            return Err(LeaseProblem::Damaged("the name in it is none"));
        };
        Ok(Self {
            log_id: at::log_id.get_bytes(bytes),
            name: name.to_owned(),
            position: Lsn::new(at::position_lsn.get_u64(bytes)),
            budget_bytes: at::budget_bytes.get_u64(bytes),
            dropped: at::flags.get_u16(bytes) & FLAG_DROPPED != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_survives_encoding_and_every_flipped_bit_is_noticed() {
        for (name, dropped) in [("replica-2", false), (&"x".repeat(MAX_LEASE_NAME_LEN), true)] {
            let lease = LeaseRecord {
                log_id: [9; 16],
                name: name.to_owned(),
                position: Lsn::new(41),
                budget_bytes: 1 << 30,
                dropped,
            };
            let mut bytes = lease.encode();
            assert_eq!(LeaseRecord::decode(&bytes).as_ref(), Ok(&lease));
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(LeaseRecord::decode(&bytes).is_err(), "bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            assert!(LeaseRecord::decode(&bytes[..LEASE_LEN - 1]).is_err());
        }
    }

    #[test]
    fn a_name_is_safe_as_a_file_name() {
        for name in ["a", "replica-2", "archive_eu", &"x".repeat(63)] {
            assert!(is_lease_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "Replica", "a.b", "ä", "a b", "a\0", &"x".repeat(64)] {
            assert!(!is_lease_name(name), "{name}");
        }
    }
}
