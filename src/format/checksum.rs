//! CRC32C seeded with a segment's identity, so that intact bytes of an earlier life of a recycled
//! file never validate.

/// Start value of every checksum in one segment.
///
/// For fixed data CRC32C is a bijection of its start value (RFC 3720 section 12.1 gives the
/// polynomial), so a block written under another seed validates under this one never, unless the
/// seeds are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChecksumSeed(u32);

impl ChecksumSeed {
    /// The seed of a segment: a digest of its random salt, its log and its number.
    pub(crate) fn derive(salt: &[u8; 32], log_id: &[u8; 16], segment_number: u64) -> Self {
        #[cfg(feature = "simulated")]
        if crate::sabotage::is(crate::sabotage::Sabotage::AcceptStaleIdentity) {
            return Self(0x5eed);
        }
        let crc = crc32c::crc32c(salt);
        let crc = crc32c::crc32c_append(crc, log_id);
        Self(crc32c::crc32c_append(crc, &segment_number.to_le_bytes()))
    }

    /// A seed as stored in a batch header.
    pub(crate) const fn from_stored(value: u32) -> Self {
        Self(value)
    }

    /// The value stored in a batch header.
    pub(crate) const fn get(self) -> u32 {
        self.0
    }

    /// Checksum of `bytes` under this seed.
    pub(crate) fn checksum(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.0, bytes)
    }
}
