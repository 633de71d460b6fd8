//! What the clients write. Every payload follows from the seed, the client and the sequence number
//! alone, so that it can be made again to compare, and begins with both numbers, so that no two
//! are equal.
//!
//! The bytes are random and so incompressible, the worst case for a drive that compresses; a
//! chosen compressibility is not available.

use rand::SeedableRng;
use rand::rand_core::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::Problem;

/// Client (u32) and sequence (u64), little-endian. Payloads too short to hold them have random
/// bytes only; the record's own fields tell those apart.
const STAMP_BYTES: usize = 12;

/// The generator of a trial's payloads.
#[derive(Clone, Debug)]
pub(super) struct Payloads {
    seed: u64,
    length: usize,
}

impl Payloads {
    /// Payloads of `length_bytes` from `seed`.
    pub(super) fn new(seed: u64, length_bytes: u64) -> Result<Self, Problem> {
        let length = usize::try_from(length_bytes)
            .map_err(|_| Problem::Refused(format!("records of {length_bytes} bytes")))?;
        Ok(Self { seed, length })
    }

    /// Writes the payload of the `sequence`-th record of `client` into `buffer`.
    pub(super) fn fill(&self, client: u32, sequence: u64, buffer: &mut Vec<u8>) {
        buffer.resize(self.length, 0);
        // SplitMix64, which expands this number to the generator's state, scatters neighbours.
        let mixed = self.seed ^ (u64::from(client) << 48) ^ sequence;
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(mixed);
        generator.fill_bytes(buffer);
        if let Some(stamp) = buffer.get_mut(..STAMP_BYTES) {
            stamp[..4].copy_from_slice(&client.to_le_bytes());
            stamp[4..].copy_from_slice(&sequence.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn payload(seed: u64, length: u64, client: u32, sequence: u64) -> Vec<u8> {
        let mut buffer = vec![0xee; 3];
        Payloads::new(seed, length).expect("length").fill(client, sequence, &mut buffer);
        buffer
    }

    #[test]
    fn a_payload_is_made_again_from_its_numbers_alone() {
        assert_eq!(payload(7, 256, 3, 1_000), payload(7, 256, 3, 1_000));
        assert_ne!(
            payload(7, 256, 3, 1_000)[STAMP_BYTES..],
            payload(8, 256, 3, 1_000)[STAMP_BYTES..]
        );
        for length in [0, 1, 11, 12, 13, 5_000] {
            assert_eq!(payload(7, length, 0, 0).len() as u64, length);
        }
    }

    #[test]
    fn no_two_payloads_that_hold_their_numbers_are_equal() {
        let mut seen = BTreeSet::new();
        for client in [0, 1, 2, 1_023] {
            for sequence in (0..300).chain([1 << 48, u64::MAX]) {
                assert!(seen.insert(payload(7, 12, client, sequence)), "{client} {sequence}");
            }
        }
    }

    #[test]
    fn payloads_do_not_compress() {
        // Order-0 entropy of 64 KiB of payloads: random bytes have 7.99 bits each.
        let mut counts = [0_u32; 256];
        for sequence in 0..256 {
            for byte in payload(7, 256, 0, sequence) {
                counts[usize::from(byte)] += 1;
            }
        }
        let bits: f64 = counts
            .iter()
            .filter(|count| **count > 0)
            .map(|count| f64::from(*count) / 65_536.0)
            .map(|share| -share * share.log2())
            .sum();
        assert!(bits > 7.8, "{bits}");
    }
}
