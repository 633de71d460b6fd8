//! Properties over bytes and values that nobody vouches for, drawn by proptest: a log of any shape,
//! damaged in any way, gives back a prefix of what was appended or is refused, by everybody alike;
//! settings and key files are taken as they are or refused. 6,000 cases here, 16,000 in
//! `src/format/properties.rs`, 6,000 in the harness. A failure prints the smallest input.

mod common;

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use common::TestDir;
use plimsoll::{
    Durability, Engine, KeyRing, LogRecord, Lsn, Preparation, Record, RecordKind,
    SegmentedWalConfig, VerifyOnOpen, WalError,
    simulated::{DiskOptions, Examined, SimulatedDisk, examine, examine_as, open, read},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

fn tries(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// What happens to the bytes of a file behind the log's back.
#[derive(Clone, Debug)]
enum Damage {
    Flip(usize, u8),
    Overwrite(usize, Vec<u8>),
    Cut(usize),
    Grow(usize),
    /// A block over another one.
    Copy(usize, usize),
    Remove,
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<usize>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, bit)| Damage::Flip(at, bit % 8)),
        2 => (at(), vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Damage::Overwrite(at, bytes)),
        1 => at().prop_map(Damage::Cut),
        1 => (1..2000_usize).prop_map(Damage::Grow),
        2 => (at(), at()).prop_map(|(from, to)| Damage::Copy(from, to)),
        1 => Just(Damage::Remove),
    ]
}

fn apply(disk: &SimulatedDisk, file: usize, damage: &Damage) {
    let mut names = disk.names();
    names.sort();
    let Some(name) = names.get(file % names.len().max(1)) else { return };
    let mut content = disk.read(name).expect("it is there");
    let len = content.len();
    if len == 0 {
        return;
    }
    match damage {
        Damage::Flip(at, bit) => content[at % len] ^= 1 << bit,
        Damage::Overwrite(at, bytes) => {
            let at = at % len;
            content.iter_mut().skip(at).zip(bytes).for_each(|(byte, new)| *byte = *new);
        }
        Damage::Cut(at) => content.truncate(at % len),
        Damage::Grow(by) => content.resize(len + by, 0),
        Damage::Copy(from, to) if len >= 512 => {
            let (from, to) = (from % (len / 512) * 512, to % (len / 512) * 512);
            content.copy_within(from..from + 512, to);
        }
        Damage::Copy(..) => {}
        Damage::Remove => return disk.remove(name),
    }
    disk.write(name, content);
}

fn config(keys: Option<&KeyRing>) -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig::default();
    (config.buffer_size, config.segment_size) = (4096, 4096);
    config.preparation = Preparation::None;
    config.verify_on_open = VerifyOnOpen::Everything;
    config.keys = keys.cloned();
    config
}

fn payload_of(n: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + n).to_le_bytes()[0]).collect()
}

/// A log of batches with payloads of these lengths, and every record it was given.
fn log_of(batches: &[Vec<usize>], keys: Option<&KeyRing>, close: bool) -> (SimulatedDisk, usize) {
    let disk = SimulatedDisk::new(DiskOptions::default());
    let mut wal = open(&disk, config(keys)).expect("a new log");
    let mut count = 0;
    for batch in batches {
        let records: Vec<_> = batch
            .iter()
            .map(|len| {
                count += 1;
                Record::new(RecordKind::PUT, payload_of(count, *len))
            })
            .collect();
        wal.append_batch(&records).expect("append");
        wal.sync().expect("sync");
    }
    if close {
        wal.close().expect("close");
    } else {
        disk.end_process();
        drop(wal);
    }
    (disk.copy(), count)
}

fn read_all(found: &Examined) -> Result<Vec<LogRecord>, WalError> {
    found.records(Lsn::NONE).collect()
}

fn is_prefix(records: &[LogRecord], batches: &[Vec<usize>]) -> bool {
    let lens = batches.iter().flatten();
    records.iter().zip(lens).enumerate().all(|(index, (record, len))| {
        record.lsn() == Lsn::new(index as u64 + 1)
            && record.payload() == payload_of(index + 1, *len)
    })
}

proptest! {
    #![proptest_config(tries(3000))]

    #[test]
    fn a_damaged_log_gives_a_prefix_or_is_refused(
        batches in vec(vec(0..700_usize, 1..4), 1..8),
        key in option::of(any::<[u8; 32]>()),
        close in any::<bool>(),
        damages in vec((any::<usize>(), damage()), 1..4),
    ) {
        let keys = key.map(|key| KeyRing::new(1, key).expect("memory for a key"));
        let (disk, count) = log_of(&batches, keys.as_ref(), close);
        damages.iter().for_each(|(file, damage)| apply(&disk, *file, damage));
        let opening = open(&disk.copy(), config(keys.as_ref()));
        let newest = examine_as(&disk, keys.as_ref(), VerifyOnOpen::Newest);
        let read_after = newest.as_ref().map(read_all);
        match examine(&disk, keys.as_ref()) {
            Ok(found) => {
                let records = found.records(Lsn::NONE).collect::<Result<Vec<_>, _>>();
                let records = records.expect("recovery has promised them");
                prop_assert!(records.len() <= count && is_prefix(&records, &batches));
                prop_assert_eq!(records.len() as u64, found.report.last_lsn.get());
                let opened = opening.expect("not refused");
                prop_assert_eq!(opened.recovery(), &found.report);
                if disk.read("wal.meta").is_some() {
                    let read = read(&disk, keys.as_ref(), Lsn::NONE).expect("not refused");
                    let read = read.collect::<Result<Vec<_>, _>>().expect("not refused");
                    prop_assert!(read == records, "a reader gets other records");
                }
                let found_by_less = &newest.as_ref().expect("not refused").report;
                prop_assert_eq!(found_by_less.last_lsn, found.report.last_lsn);
                prop_assert_eq!(found_by_less.segments, found.report.segments);
                let read_after = read_after.expect("not refused").expect("not refused");
                prop_assert!(read_after == records, "an opening that reads less, others");
            }
            Err(refusal) => {
                // An opening that reads less refuses it, or whoever reads after it.
                prop_assert!(!matches!(read_after, Ok(Ok(_))), "{}", refusal);
                let opening = opening.map(drop).expect_err("refused as well");
                prop_assert_eq!(opening.to_string(), refusal.to_string());
            }
        }
    }
}

proptest! {
    #![proptest_config(tries(1000))]

    /// Whatever is written down within the bounds is what is read.
    #[test]
    fn settings_read_back_as_they_were_written(
        (alignment_bits, buffer_size, segment_size) in (9..17_u32, 4096..1_u64 << 26, 1..1_u64 << 40),
        (window_us, depth, prepared) in (0..1_000_001_u64, 1..65_u32, 0..3_u32),
        (engine, durability, single_issuer) in (
            select(vec![("auto", Engine::Auto), ("uring", Engine::Uring)]),
            select(vec![("dsync", Durability::Dsync), ("fdatasync", Durability::Fdatasync)]),
            any::<bool>(),
        ),
    ) {
        let dir = TestDir::new("settings");
        let path = dir.path().join("profile.toml");
        let text = format!(
            "[wal]\nalignment = {}\nbuffer_size = {buffer_size}\nsegment_size = {segment_size}\n\
             commit_window = \"{window_us}us\"\npipeline_depth = {depth}\nengine = \"{}\"\n\
             durability = \"{}\"\nsingle_issuer = {single_issuer}\nprepared_segments = {}\n",
            1_u64 << alignment_bits, engine.0, durability.0, prepared + 1
        );
        fs::write(&path, text).expect("writable");
        let config = SegmentedWalConfig::from_profile(&path).expect("within the bounds");
        prop_assert_eq!(config.alignment, Some(1 << alignment_bits));
        prop_assert_eq!((config.buffer_size, config.segment_size), (buffer_size, segment_size));
        prop_assert_eq!(config.commit_window, Duration::from_micros(window_us));
        prop_assert_eq!((config.pipeline_depth, config.prepared_segments), (depth, prepared + 1));
        prop_assert_eq!((config.engine, config.durability), (engine.1, durability.1));
        prop_assert_eq!(config.single_issuer, single_issuer);
    }

    /// A value is within its bounds, or the error names the field and the line.
    #[test]
    fn settings_out_of_bounds_are_refused_by_name(
        field in select(vec![
            "alignment", "buffer_size", "segment_size", "commit_window", "pipeline_depth",
            "prepared_segments", "idle_marker_after", "engine", "durability", "preparation",
            "verify_on_open",
        ]),
        value in prop_oneof![
            any::<i64>().prop_map(|n| n.to_string()),
            "\"[0-9]{1,12}[a-zA-Z]{0,4}\"",
            // A second quote would end the value, and three begin one of many lines.
            "\"[^\"\\pC]{0,20}\"",
            Just("\"\"\"".to_owned()),
            Just("true".to_owned()),
            Just("[]".to_owned()),
        ],
    ) {
        let dir = TestDir::new("bounds");
        let path = dir.path().join("profile.toml");
        fs::write(&path, format!("[wal]\n{field} = {value}\n")).expect("writable");
        match SegmentedWalConfig::from_profile(&path) {
            Ok(config) => {
                let only_dir = |error: &WalError| error.to_string().contains("dir");
                prop_assert!(config.validate().err().is_none_or(|error| only_dir(&error)));
            }
            Err(error) => {
                let text = error.to_string();
                // Text without an end is missed where the file ends.
                let line = if value == "\"\"\"" { 3 } else { 2 };
                prop_assert!(text.contains(&format!("profile.toml:{line}:")), "{text}");
            }
        }
    }

    #[test]
    fn a_key_file_is_taken_if_it_is_private_and_whole(
        len in prop_oneof![3 => Just(32_usize), 1 => 0..70_usize],
        mode in prop_oneof![Just(0o600_u32), Just(0o400_u32), 0..0o1000_u32],
        byte in any::<u8>(),
    ) {
        let dir = TestDir::new("keys");
        let path = dir.path().join("key");
        fs::write(&path, vec![byte; len]).expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
        let readable = fs::File::open(&path).is_ok();
        let loaded = KeyRing::from_file(9, &path);
        let good = len == 32 && mode & 0o077 == 0 && readable;
        prop_assert_eq!(loaded.is_ok(), good, "{:?}", loaded);
        if let Ok(ring) = loaded {
            prop_assert_eq!(ring.current_key_id(), 9);
            let shown = format!("{ring:?}");
            prop_assert!(!shown.contains(&format!("{byte}, {byte}")), "{shown}");
        }
    }
}
