//! Every single-bit flip and every truncation of a small log that was closed in good order, sorted
//! into the verdict that `docs/durability.md` gives for the place it hits. None is ever silent: the
//! log is refused, or nothing that a reader sees has changed. An opening that reads everything and one
//! that reads the least, with the reading after it, come to the same verdict.

mod common;

use common::{key_ring, put};
use plimsoll::{
    KeyRing, LogRecord, Lsn, Preparation, SegmentedWalConfig, VerifyOnOpen, WalError,
    simulated::{DiskOptions, SimulatedDisk, examine, examine_as, open},
};

const BLOCK_BYTES: usize = 512;
const META: &str = "wal.meta";
/// From `docs/format.md`.
const SEGMENT_HEADER_LEN: usize = 256;
const BATCH_HEADER_LEN: usize = 40;

/// What becomes of a damaged log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Whole,
    HeaderDamaged,
    MetaDamaged,
    ChainBroken,
    AcknowledgedDataLost,
}

struct Log {
    disk: SimulatedDisk,
    keys: Option<KeyRing>,
    records: Vec<LogRecord>,
    /// Names, oldest first.
    segments: Vec<String>,
}

/// Three segments: a batch of several records, single records, a record of several blocks, and an
/// idle marker that ends a segment.
fn closed_log(encrypted: bool, preparation: Preparation) -> Log {
    let disk = SimulatedDisk::new(DiskOptions::default());
    let mut config = SegmentedWalConfig::default();
    (config.preparation, config.segment_size) = (preparation, 3 << 10);
    let keys = encrypted.then(key_ring);
    config.keys.clone_from(&keys);
    let mut wal = open(&disk, config).expect("a new log");
    wal.append_batch(&[put(b"one"), put(b""), put(b"three")]).expect("batch");
    wal.sync().expect("sync");
    for payload in [&b"four"[..], &[5; 1200], &[6; 1500], b"seven"] {
        wal.append(&put(payload)).expect("append");
        wal.sync().expect("sync");
        if payload.len() == 1200 {
            wal.write_idle_marker().expect("marker");
        }
    }
    wal.close().expect("close");
    let found = examine(&disk, keys.as_ref()).expect("whole");
    let records: Vec<_> = found.records(Lsn::NONE).collect::<Result<_, _>>().expect("whole");
    assert_eq!(records.len(), 7);
    let mut segments = disk.names();
    segments.retain(|name| name.starts_with("wal-"));
    segments.sort();
    assert!(segments.len() >= 2, "{segments:?}");
    Log { disk, keys, records, segments }
}

impl Log {
    /// What opening and reading say of the log with this content in a file.
    fn verdict(&self, name: &str, content: Vec<u8>) -> Verdict {
        let disk = self.disk.copy();
        disk.write(name, content);
        let read = |verify| {
            let found = examine_as(&disk, self.keys.as_ref(), verify)?;
            let records: Result<Vec<_>, _> = found.records(Lsn::NONE).collect();
            if verify == VerifyOnOpen::Everything {
                return Ok(records.expect("what recovery has read is readable"));
            }
            records
        };
        let verdict = self.sort(read(VerifyOnOpen::Everything));
        let by_reading = self.sort(read(VerifyOnOpen::Newest));
        assert_eq!(by_reading, verdict, "whoever reads less when it opens, reads it later");
        verdict
    }

    fn sort(&self, read: Result<Vec<LogRecord>, WalError>) -> Verdict {
        match read {
            Ok(records) => {
                assert!(records == self.records, "silently different");
                Verdict::Whole
            }
            Err(WalError::HeaderDamaged { .. }) => Verdict::HeaderDamaged,
            Err(WalError::MetaDamaged { .. }) => Verdict::MetaDamaged,
            Err(WalError::ChainBroken { .. }) => Verdict::ChainBroken,
            Err(WalError::AcknowledgedDataLost { .. }) => Verdict::AcknowledgedDataLost,
            Err(error) => panic!("no verdict for one damaged place: {error}"),
        }
    }

    fn is_newest(&self, name: &str) -> bool {
        self.segments.last().is_some_and(|newest| newest == name)
    }

    /// The verdict that the document gives for a byte, by what lies there.
    fn expected(&self, name: &str, content: &[u8], at: usize) -> Verdict {
        if name == META {
            return Verdict::MetaDamaged;
        }
        if at < SEGMENT_HEADER_LEN {
            return Verdict::HeaderDamaged;
        }
        let batches = batches(content);
        let Some(batch) = batches.iter().find(|batch| batch.covers(at)) else {
            return Verdict::Whole;
        };
        let is_last = batches.last().is_some_and(|last| last.start == batch.start);
        match (is_last && batch.records == 0, self.is_newest(name)) {
            // The closing marker is lost: `wal.meta` states the same, and no record is missing.
            (true, true) => Verdict::Whole,
            // The batch that the next segment names is not there, though no record is missing.
            (true, false) => Verdict::ChainBroken,
            (false, _) => Verdict::AcknowledgedDataLost,
        }
    }
}

struct Batch {
    start: usize,
    len: usize,
    records: u32,
}

impl Batch {
    fn covers(&self, at: usize) -> bool {
        (self.start..self.start + self.len).contains(&at)
    }
}

fn number(content: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(content[at..at + 4].try_into().expect("four bytes"))
}

/// The batches of a segment, one after the other from the first block on.
fn batches(content: &[u8]) -> Vec<Batch> {
    let mut found = Vec::new();
    let mut start = BLOCK_BYTES;
    while content.get(start..start + 4) == Some(b"PLB1") {
        let len = BATCH_HEADER_LEN + number(content, start + 16) as usize;
        found.push(Batch { start, len, records: number(content, start + 20) });
        start += len.next_multiple_of(BLOCK_BYTES);
    }
    found
}

fn every_flip(encrypted: bool) {
    let log = closed_log(encrypted, Preparation::None);
    let (mut refused, mut whole) = (0, 0);
    for name in log.segments.iter().map(String::as_str).chain([META]) {
        let content = log.disk.read(name).expect("it is there");
        for bit in 0..content.len() * 8 {
            let mut flipped = content.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let verdict = log.verdict(name, flipped);
            assert_eq!(verdict, log.expected(name, &content, bit / 8), "bit {bit} of {name}");
            *(if verdict == Verdict::Whole { &mut whole } else { &mut refused }) += 1;
        }
    }
    assert!(refused > 20_000 && whole > 10_000, "{refused} and {whole}: the log holds of both");
}

#[test]
fn every_flipped_bit_of_a_plain_log_gets_its_verdict() {
    every_flip(false);
}

#[test]
fn every_flipped_bit_of_an_encrypted_log_gets_its_verdict() {
    every_flip(true);
}

/// A file that grew as it was written may end anywhere without contradicting itself: what is gone
/// decides. One that was prepared is as long as its header says.
fn every_truncation(encrypted: bool, preparation: Preparation) {
    let log = closed_log(encrypted, preparation);
    for name in log.segments.iter().map(String::as_str).chain([META]) {
        let content = log.disk.read(name).expect("it is there");
        for len in 0..content.len() {
            let expected = if name == META {
                Verdict::MetaDamaged
            } else if len < SEGMENT_HEADER_LEN {
                Verdict::HeaderDamaged
            } else if preparation == Preparation::Zero {
                Verdict::ChainBroken
            } else {
                // The first batch that is not whole any more; the padding behind one may be gone.
                let cut = batches(&content).into_iter().find(|b| b.start + b.len > len);
                cut.map_or(Verdict::Whole, |batch| log.expected(name, &content, batch.start))
            };
            let verdict = log.verdict(name, content[..len].to_vec());
            assert_eq!(verdict, expected, "{name} cut to {len} bytes");
        }
    }
}

#[test]
fn every_truncation_of_a_plain_log_gets_its_verdict() {
    every_truncation(false, Preparation::None);
    every_truncation(false, Preparation::Zero);
}

#[test]
fn every_truncation_of_an_encrypted_log_gets_its_verdict() {
    every_truncation(true, Preparation::None);
    every_truncation(true, Preparation::Zero);
}
