//! Hostile bytes for everything in Plimsoll that reads: each target is a plain function over bytes,
//! and panics if something does not hold that has to hold of any bytes at all: no panic, no hang,
//! bounded memory, and whatever was accepted is accepted in the same way by everybody.
//!
//! Two drivers use the targets: `tests/hostile.rs`, bounded and deterministic, on any toolchain,
//! with the corpus and mutations of it; and the programs in `fuzz_targets/`, guided by coverage,
//! for `cargo fuzz` on nightly (`scripts/fuzz-nightly`). `src/bin/corpus.rs` makes the corpus.

mod directory;
mod forge;
mod format;
mod harness;
mod inspection;
mod memory;
pub mod mutate;
mod reader;
mod recovery;
mod seeds;
mod settings;

use plimsoll::WalError;

pub use seeds::seeds;

use directory::{Directory, META, segment_name};
use recovery::{Verdict, check, keys};

/// Longest input that says anything new.
pub const INPUT_BYTES_MAX: usize = 128 << 10;

/// Something that reads.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of the program, of the corpus's folder.
    pub name: &'static str,
    /// Reads these bytes. Panics if something is wrong with how.
    pub read: fn(&[u8]),
    /// Inputs that a bounded run tries: an expensive target gets fewer.
    pub cases: usize,
}

/// All of them.
pub const TARGETS: [Target; 9] = [
    Target { name: "recovery", read: recovery_from_bytes, cases: 20_000 },
    Target { name: "forged", read: forged_log, cases: 40_000 },
    Target { name: "batches", read: batches, cases: 60_000 },
    Target { name: "headers", read: headers, cases: 40_000 },
    Target { name: "key_file", read: settings::key_file, cases: 10_000 },
    Target { name: "wal_profile", read: settings::wal_profile, cases: 20_000 },
    Target { name: "sweep_profile", read: harness::sweep_profile, cases: 6_000 },
    Target { name: "old_log", read: harness::old_log, cases: 10_000 },
    Target { name: "results", read: harness::results, cases: 2_000 },
];

/// Runs the target of this name.
///
/// # Panics
///
/// If there is none, or if it has found something.
pub fn run(target: &str, bytes: &[u8]) {
    let named = TARGETS.iter().find(|known| known.name == target);
    (named.expect("a target").read)(bytes);
}

/// The bytes are a directory, with its checksums as they are.
fn recovery_from_bytes(bytes: &[u8]) {
    let Some((sealed, bytes)) = bytes.split_first() else { return };
    let keys = (sealed & 1 == 1).then(keys);
    check(&Directory::from_bytes(bytes), keys.as_ref());
}

/// The bytes are edits of a genuine log. Of a sealed one nothing comes back that was not in it.
fn forged_log(bytes: &[u8]) {
    let (directory, genuine) = forge::forged(bytes);
    let verdict = check(&directory, genuine.keys.as_ref());
    if let (Verdict::Log(records), Some(_)) = (&verdict, &genuine.keys) {
        let known = |record| genuine.records.contains(record);
        assert!(records.iter().all(known), "a record that was never sealed came back");
    }
}

/// The bytes are everything behind the header of the one segment of a log.
fn batches(bytes: &[u8]) {
    let genuine = &forge::GENUINE[0].directory;
    let (name, segment) = genuine.segments().next().expect("a log has segments");
    let mut segment = segment[..format::block_bytes(segment)].to_vec();
    // Grows as it is written, so that any length will do.
    segment[80..88].fill(0);
    let seed = format::seed(&segment).expect("a whole header").to_le_bytes();
    segment.extend(bytes.iter().take(INPUT_BYTES_MAX));
    for start in format::batch_starts(&segment).collect::<Vec<_>>() {
        // Of this segment or of another, as the bytes have it: few bytes guess a seed.
        if segment[start + 8] & 1 == 0 {
            segment[start + 8..start + 12].copy_from_slice(&seed);
        }
    }
    let mut directory = Directory::default();
    directory.files.insert(name.clone(), segment);
    directory.files.insert(META.to_owned(), forge::GENUINE[3].directory.files[META].clone());
    format::mend(&mut directory);
    check(&directory, None);
}

/// The bytes are `wal.meta` and the headers of segments, whose batches are those of a genuine log.
fn headers(bytes: &[u8]) {
    let genuine = &forge::GENUINE[0];
    let mut reader = reader::Reader::new(bytes);
    let mut directory = Directory::default();
    let mut meta = genuine.directory.files[META].clone();
    overlay(&mut meta, reader.take(format::META_LEN));
    directory.files.insert(META.to_owned(), meta);
    for (_, segment) in genuine.directory.segments() {
        let mut segment = segment.clone();
        overlay(&mut segment, reader.take(format::SEGMENT_HEADER_LEN));
        let first_lsn = format::u64_at(&segment, 48).unwrap_or(0);
        directory.files.insert(segment_name(first_lsn), segment);
    }
    format::mend(&mut directory);
    let verdict = check(&directory, None);
    let io = matches!(verdict, Verdict::Refused(WalError::Io { .. } | WalError::Read { .. }));
    assert!(!io, "nothing failed but the bytes: {verdict:?}");
}

/// Changes bytes by exclusive or, so that zeros stand for what is genuine.
fn overlay(content: &mut [u8], changes: &[u8]) {
    content.iter_mut().zip(changes).for_each(|(byte, change)| *byte ^= change);
}
