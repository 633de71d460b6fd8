//! What the clients write. Every record follows from the seed, the client and the sequence number
//! alone, so that it can be made again to compare: its length, its tenant and its bytes, which begin
//! with both numbers, so that no two are equal.
//!
//! The bytes are windows of a pool of random bytes: generating each anew took as long as everything
//! else that a client does for 4 KiB. Windows follow one another through the pool, as memory likes
//! to be read; drawn at random, each cost more than the rest of a record's way. Random bytes do not compress, the worst case for a drive that
//! does; where something else is asked for, a share of each 64 bytes of the pool is zeros.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rand_core::Rng;
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};

use super::Problem;
use crate::load::RecordShape;

/// Client (u32) and sequence (u64), little-endian. Payloads too short to hold them have random
/// bytes only; the record's own fields tell those apart.
const STAMP_BYTES: usize = 12;

/// Random bytes that windows are taken from. Far more than a drive looks back for repetitions.
const POOL_BYTES: usize = 8 << 20;

/// Windows begin at multiples of this.
const WINDOW_ALIGN_BYTES: u64 = 8;

/// From one client's first window to the next one's: the golden ratio of the pool, in whole windows,
/// which keeps any number of them apart.
const CLIENT_STEP_BYTES: u64 = 5_184_528;

/// Each so many bytes have the same share of zeros.
const STRETCH_BYTES: usize = 64;

/// The generator of a trial's payloads.
#[derive(Clone, Debug)]
pub(super) struct Payloads {
    seed: u64,
    shape: RecordShape,
    /// Of every payload, where all are equally long.
    fixed_bytes: Option<usize>,
    /// From one window to the next: no two that are near each other share bytes.
    stride_bytes: u64,
    pool: Arc<[u8]>,
}

impl Payloads {
    /// Payloads of `length_bytes` from `seed`.
    #[cfg(test)]
    pub(super) fn new(seed: u64, length_bytes: u64) -> Result<Self, Problem> {
        Self::shaped(seed, &RecordShape::fixed(length_bytes))
    }

    /// Payloads of such a shape from `seed`.
    pub(super) fn shaped(seed: u64, shape: &RecordShape) -> Result<Self, Problem> {
        let max_bytes = shape.max_bytes();
        let longest = usize::try_from(max_bytes)
            .ok()
            .filter(|length| *length <= plimsoll::MAX_PAYLOAD_BYTES)
            .ok_or_else(|| Problem::Refused(format!("records of {max_bytes} bytes")))?;
        let mut pool = vec![0; POOL_BYTES + longest];
        Xoshiro256PlusPlus::seed_from_u64(seed).fill_bytes(&mut pool);
        make_compressible(&mut pool, shape.compressible);
        let is_fixed = shape.trace.is_none() && shape.sizes.at(0.0) == max_bytes;
        let fixed_bytes = is_fixed.then_some(longest);
        let stride_bytes = max_bytes.next_multiple_of(WINDOW_ALIGN_BYTES).max(WINDOW_ALIGN_BYTES);
        Ok(Self { seed, shape: shape.clone(), fixed_bytes, stride_bytes, pool: pool.into() })
    }

    /// Writes the payload of the `sequence`-th record of `client` into `buffer`.
    pub(super) fn fill(&self, client: u32, sequence: u64, buffer: &mut Vec<u8>) {
        let start = self.start(client, sequence);
        let length = self.fixed_bytes.unwrap_or_else(|| self.length(client, sequence));
        buffer.clear();
        buffer.extend_from_slice(&self.pool[start..start + length]);
        if let Some(stamp) = buffer.get_mut(..STAMP_BYTES) {
            stamp[..4].copy_from_slice(&client.to_le_bytes());
            stamp[4..].copy_from_slice(&sequence.to_le_bytes());
        }
    }

    /// Whose record it is.
    pub(super) fn tenant(&self, client: u32, sequence: u64) -> u64 {
        match &self.shape.trace {
            Some(trace) => trace.record(sequence).tenant,
            None if self.shape.tenants <= 1 => 0,
            // The bits that neither the window nor the length are made of.
            None => {
                (self.numbers(client, sequence).next_u64() >> 32) % u64::from(self.shape.tenants)
            }
        }
    }

    /// Numbers of a record's own.
    fn numbers(&self, client: u32, sequence: u64) -> SplitMix64 {
        SplitMix64::seed_from_u64(self.seed ^ (u64::from(client) << 48) ^ sequence)
    }

    /// Where a record's window begins. Each client starts somewhere else, and each time around
    /// begins a little later, so that no window comes again soon.
    fn start(&self, client: u32, sequence: u64) -> usize {
        const POOL: u64 = POOL_BYTES as u64;
        let way = sequence.wrapping_mul(self.stride_bytes);
        let around = way / POOL * WINDOW_ALIGN_BYTES;
        let first = u64::from(client).wrapping_mul(CLIENT_STEP_BYTES);
        usize::try_from(way.wrapping_add(around).wrapping_add(first) % POOL).unwrap_or(0)
    }

    fn length(&self, client: u32, sequence: u64) -> usize {
        let mut numbers = self.numbers(client, sequence);
        let bytes = match &self.shape.trace {
            Some(trace) => u64::from(trace.record(sequence).payload_bytes),
            // 53 bits are what a number between 0 and 1 holds.
            None => self.shape.sizes.at((numbers.next_u64() >> 11) as f64 / (1_u64 << 53) as f64),
        };
        usize::try_from(bytes).unwrap_or(0).min(self.pool.len() - POOL_BYTES)
    }
}

/// Puts zeros into the same share of each stretch of the pool.
#[allow(clippy::cast_possible_truncation, reason = "a share of 64")]
fn make_compressible(pool: &mut [u8], share: f64) {
    let zeros = (share.clamp(0.0, 1.0) * STRETCH_BYTES as f64).round() as usize;
    for stretch in pool.chunks_mut(STRETCH_BYTES) {
        let from = stretch.len().saturating_sub(zeros);
        stretch[from..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

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

    #[test]
    fn lengths_and_tenants_follow_their_distributions_and_are_made_again() {
        let sizes = "mix:100B=75,4KiB=25".parse().expect("sizes");
        let shape = RecordShape { sizes, tenants: 4, ..RecordShape::fixed(0) };
        let [first, again] = [7, 7].map(|seed| Payloads::shaped(seed, &shape).expect("shape"));
        let (mut long, mut by_tenant) = (0, [0_u32; 4]);
        for sequence in 0..8_000 {
            let found = payload(&first, 0, sequence);
            assert_eq!(found, payload(&again, 0, sequence));
            assert!(found.len() == 100 || found.len() == 4_096, "{}", found.len());
            long += u32::from(found.len() == 4_096);
            by_tenant[usize::try_from(first.tenant(0, sequence)).expect("of 4")] += 1;
        }
        assert!((1_850..2_150).contains(&long), "{long} of 2,000");
        assert!(by_tenant.iter().all(|count| (1_850..2_150).contains(count)), "{by_tenant:?}");
    }

    #[test]
    fn payloads_compress_by_the_share_that_was_asked_for() {
        for share in [0.0, 0.25, 0.5, 0.75] {
            let shape = RecordShape { compressible: share, ..RecordShape::fixed(4_096) };
            let payloads = Payloads::shaped(7, &shape).expect("shape");
            let mut all = Vec::new();
            for sequence in 0..64 {
                all.extend(payload(&payloads, 0, sequence));
            }
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&all).expect("to memory");
            let compressed = encoder.finish().expect("to memory").len() as f64;
            let taken = 1.0 - compressed / all.len() as f64;
            assert!((taken - share).abs() < 0.06, "{share}: {taken}");
        }
    }
}
