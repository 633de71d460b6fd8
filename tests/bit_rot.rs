//! One flipped bit anywhere in a log that was closed in good order is refused, or changes nothing
//! that a reader sees. It never makes the log silently shorter or different.
#![allow(clippy::cast_possible_truncation, reason = "offsets in small files")]

mod common;

use std::{fs, os::unix::fs::FileExt, path::PathBuf};

use common::{TestDir, commit_each, key_ring, open, put, replay, segment_paths};
use plimsoll::{KeyRing, LogRecord, Lsn, Preparation, SegmentedWal, SegmentedWalConfig};

/// Every how many cases the log is also opened, which writes and flushes.
const OPEN_EVERY: usize = 101;

struct Log {
    _dir: TestDir,
    config: SegmentedWalConfig,
    keys: Option<KeyRing>,
    records: Vec<LogRecord>,
    /// The segments and `wal.meta`.
    files: Vec<PathBuf>,
}

/// Three segments: one batch of several records, single records, and a record of several blocks.
fn closed_log(encrypted: bool) -> Log {
    let dir = TestDir::new(if encrypted { "bit-rot-encrypted" } else { "bit-rot" });
    let mut config = dir.config();
    (config.preparation, config.segment_size) = (Preparation::None, 16 << 10);
    let keys = encrypted.then(key_ring);
    config.keys = keys.clone();
    let mut wal = open(&config);
    wal.append_batch(&[put(b"one"), put(b""), put(b"three")]).expect("batch");
    wal.sync().expect("sync");
    commit_each(&mut wal, [&b"four"[..], b"five", &[6; 9000], b"seven"]);
    wal.close().expect("close");
    let (records, _) =
        SegmentedWal::replay_from_limit_dir(dir.path(), keys.as_ref(), Lsn::FIRST, 100)
            .expect("whole");
    assert_eq!(records.len(), 7);
    let mut files = segment_paths(dir.path());
    assert!(files.len() >= 2);
    files.push(dir.path().join("wal.meta"));
    Log { _dir: dir, config, keys, records, files }
}

/// The bytes worth flipping: all that are not zero, their neighbours, and a sample of the padding.
fn places(bytes: &[u8]) -> impl Iterator<Item = usize> {
    (0..bytes.len()).filter(|&at| {
        let near = at.saturating_sub(8)..(at + 8).min(bytes.len());
        let in_large_payload = bytes[near.clone()].iter().all(|&byte| byte == 6);
        let is_padding = bytes[near].iter().all(|&byte| byte == 0);
        !(is_padding || in_large_payload) || at.is_multiple_of(509)
    })
}

fn no_flip_goes_unnoticed(encrypted: bool) {
    let log = closed_log(encrypted);
    let (mut cases, mut refused) = (0, 0);
    for path in &log.files {
        let bytes = fs::read(path).expect("read");
        let file = fs::OpenOptions::new().write(true).open(path).expect("open");
        for at in places(&bytes) {
            let bit = (at * 7 + at / 8) % 8;
            let what = || format!("byte {at}, bit {bit} of {}", path.display());
            file.write_all_at(&[bytes[at] ^ (1 << bit)], at as u64).expect("flip");
            let read = SegmentedWal::replay_from_limit_dir(
                &log.config.dir,
                log.keys.as_ref(),
                Lsn::FIRST,
                100,
            );
            match read {
                Ok((records, _)) => assert!(records == log.records, "{}", what()),
                Err(_) => refused += 1,
            }
            if cases % OPEN_EVERY == 0 {
                open_a_copy(&log, &what());
            }
            cases += 1;
            file.write_all_at(&bytes[at..=at], at as u64).expect("flip back");
        }
    }
    assert!(refused * 2 > cases, "most flips hit something: {refused} of {cases}");
}

fn open_a_copy(log: &Log, what: &str) {
    let copy = TestDir::new(if log.keys.is_some() { "rotten-encrypted" } else { "rotten" });
    for path in &log.files {
        let name = path.file_name().expect("a file");
        fs::copy(path, copy.path().join(name)).expect("copy");
    }
    let config = log.config.clone().in_dir(copy.path());
    if let Ok(wal) = SegmentedWal::open(config) {
        assert!(replay(&wal) == log.records, "{what}");
    }
}

#[test]
fn a_flipped_bit_in_a_plain_log_is_never_silent() {
    no_flip_goes_unnoticed(false);
}

#[test]
fn a_flipped_bit_in_an_encrypted_log_is_never_silent() {
    no_flip_goes_unnoticed(true);
}
