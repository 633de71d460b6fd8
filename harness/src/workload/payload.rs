//! What the clients write. Every payload follows from the seed, the client and the sequence number
//! alone, so that it can be made again to compare, and begins with both numbers, so that no two
//! are equal.
//!
//! The bytes are random and so incompressible, the worst case for a drive that compresses; a
//! chosen compressibility is not available. They are windows of a pool of random bytes: generating
//! each anew took as long as everything else that a client does for 4 KiB.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rand_core::Rng;
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};

use super::Problem;

/// Client (u32) and sequence (u64), little-endian. Payloads too short to hold them have random
/// bytes only; the record's own fields tell those apart.
const STAMP_BYTES: usize = 12;

/// Random bytes that windows are taken from. Far more than a drive looks back for repetitions.
const POOL_BYTES: usize = 8 << 20;

/// Windows begin at multiples of this.
const WINDOW_ALIGN_BYTES: usize = 8;

/// The generator of a trial's payloads.
#[derive(Clone, Debug)]
pub(super) struct Payloads {
    seed: u64,
    length: usize,
    pool: Arc<[u8]>,
}

impl Payloads {
    /// Payloads of `length_bytes` from `seed`.
    pub(super) fn new(seed: u64, length_bytes: u64) -> Result<Self, Problem> {
        let length = usize::try_from(length_bytes)
            .ok()
            .filter(|length| *length <= plimsoll::MAX_PAYLOAD_BYTES)
            .ok_or_else(|| Problem::Refused(format!("records of {length_bytes} bytes")))?;
        let mut pool = vec![0; POOL_BYTES + length];
        Xoshiro256PlusPlus::seed_from_u64(seed).fill_bytes(&mut pool);
        Ok(Self { seed, length, pool: pool.into() })
    }

    /// Writes the payload of the `sequence`-th record of `client` into `buffer`.
    pub(super) fn fill(&self, client: u32, sequence: u64, buffer: &mut Vec<u8>) {
        // Scatters neighbours over the pool.
        let mixed = self.seed ^ (u64::from(client) << 48) ^ sequence;
        let windows = POOL_BYTES / WINDOW_ALIGN_BYTES;
        let scattered = SplitMix64::seed_from_u64(mixed).next_u64() % windows as u64;
        let start = usize::try_from(scattered).unwrap_or(0) * WINDOW_ALIGN_BYTES;
        buffer.clear();
        buffer.extend_from_slice(&self.pool[start..start + self.length]);
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

    fn payloads(seed: u64, length: u64) -> Payloads {
        Payloads::new(seed, length).expect("length")
    }

    fn payload(payloads: &Payloads, client: u32, sequence: u64) -> Vec<u8> {
        let mut buffer = vec![0xee; 3];
        payloads.fill(client, sequence, &mut buffer);
        buffer
    }

    #[test]
    fn a_payload_is_made_again_from_its_numbers_alone() {
        let [first, again, other] = [7, 7, 8].map(|seed| payload(&payloads(seed, 256), 3, 1_000));
        assert_eq!(first, again);
        assert_ne!(first[STAMP_BYTES..], other[STAMP_BYTES..]);
        for length in [0, 1, 11, 12, 13, 5_000] {
            assert_eq!(payload(&payloads(7, length), 0, 0).len() as u64, length);
        }
    }

    #[test]
    fn no_two_payloads_that_hold_their_numbers_are_equal() {
        let mut seen = BTreeSet::new();
        let payloads = payloads(7, 12);
        for client in [0, 1, 2, 1_023] {
            for sequence in (0..300).chain([1 << 48, u64::MAX]) {
                assert!(seen.insert(payload(&payloads, client, sequence)), "{client} {sequence}");
            }
        }
    }

    #[test]
    fn payloads_do_not_compress() {
        // Order-0 entropy of 64 KiB of payloads: random bytes have 7.99 bits each.
        let mut counts = [0_u32; 256];
        let payloads = payloads(7, 256);
        for sequence in 0..256 {
            for byte in payload(&payloads, 0, sequence) {
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
