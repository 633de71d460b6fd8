//! What the victim writes. A record says in its own fields who wrote it and when, and its payload
//! follows from that and the seed, so that whatever a log holds can be compared byte by byte.

use plimsoll::{LogRecord, Record, RecordKind};
use rand::SeedableRng;
use rand::rand_core::Rng;
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};

/// Most records are no longer than this.
const USUAL_BYTES: u64 = 600;
/// One in so many may be as long as the longest.
const LONG_EVERY: u64 = 8;
/// Longest payload: longer than many a buffer.
const LONGEST_BYTES: u64 = 64 << 10;

/// Which record: the `sequence`-th of a client of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) cycle: u64,
    pub(super) client: u32,
    pub(super) sequence: u64,
}

/// A record as recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recovered {
    pub(super) lsn: u64,
    pub(super) identity: Identity,
    pub(super) payload: Vec<u8>,
}

impl From<LogRecord> for Recovered {
    fn from(record: LogRecord) -> Self {
        let identity = Identity {
            cycle: record.tenant(),
            client: record.vshard(),
            sequence: record.database(),
        };
        Self { lsn: record.lsn().get(), identity, payload: record.into_payload() }
    }
}

/// The generator of a run's payloads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payloads {
    seed: u64,
    bytes_max: u64,
}

impl Payloads {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, bytes_max: LONGEST_BYTES }
    }

    /// The same, but no longer than this.
    #[cfg(test)]
    pub(super) const fn up_to(seed: u64, bytes_max: u64) -> Self {
        Self { seed, bytes_max }
    }

    /// Writes the payload of this record into `buffer`.
    pub(super) fn fill(&self, identity: Identity, buffer: &mut Vec<u8>) {
        let Identity { cycle, client, sequence } = identity;
        let numbers = [self.seed, cycle, u64::from(client), sequence];
        let seed = numbers
            .into_iter()
            .fold(0, |mixed, number| SplitMix64::seed_from_u64(mixed ^ number).next_u64());
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let usual =
            if random.next_u64().is_multiple_of(LONG_EVERY) { u64::MAX } else { USUAL_BYTES };
        let length = random.next_u64() % (self.bytes_max.min(usual) + 1);
        buffer.clear();
        buffer.resize(usize::try_from(length).unwrap_or(0), 0);
        random.fill_bytes(buffer);
    }
}

/// The record to append.
pub(super) fn record(identity: Identity, payload: &[u8]) -> Record<'_> {
    let Identity { cycle, client, sequence } = identity;
    Record::new(RecordKind::PUT, payload).tenant(cycle).vshard(client).database(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_follow_from_the_numbers_alone_and_differ_with_each_of_them() {
        let first = Identity { cycle: 1, client: 2, sequence: 3 };
        let payload = |seed, bytes_max, identity| {
            let mut buffer = vec![7; 9];
            Payloads::up_to(seed, bytes_max).fill(identity, &mut buffer);
            buffer
        };
        assert_eq!(payload(5, 4096, first), payload(5, 4096, first));
        let others = [
            (6, first),
            (5, Identity { cycle: 2, ..first }),
            (5, Identity { client: 3, ..first }),
            (5, Identity { sequence: 4, ..first }),
        ];
        for (seed, identity) in others {
            assert_ne!(payload(seed, 4096, identity), payload(5, 4096, first), "{identity:?}");
        }
        assert!(payload(5, 0, first).is_empty());
        let lengths =
            (0..200).map(|sequence| payload(5, 9000, Identity { sequence, ..first }).len());
        let longest = lengths.max().expect("some");
        assert!((601..=9000).contains(&longest), "{longest}");
    }
}
