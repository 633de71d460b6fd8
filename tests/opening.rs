//! What an opening reads, counted on a simulated disk, and each way in which what `wal.meta` says of
//! a close can be out of date: it is never more than a place to look at.
#![allow(clippy::cast_possible_truncation, reason = "offsets in small files")]
#![allow(clippy::field_reassign_with_default, reason = "the options are open to new fields")]

mod common;

use std::mem::discriminant;

use common::put;
use plimsoll::{
    Lsn, Preparation, SegmentedWal, SegmentedWalConfig, VerifyOnOpen, WalError,
    simulated::{DiskOptions, SimulatedDisk, examine, examine_as, open},
};

const BLOCK_BYTES: usize = 512;
/// What is read around the place that is looked at.
const LOOK_BYTES: u64 = 4096;
const META: &str = "wal.meta";
/// Of `docs/format.md`.
const DURABLE_LSN: std::ops::Range<usize> = 48..56;
const CLOSING_MARKER: std::ops::Range<usize> = 56..64;

fn config(verify: VerifyOnOpen) -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig::default();
    config.segment_size = 32 << 10;
    config.preparation = Preparation::Zero;
    config.verify_on_open = verify;
    config
}

fn new_disk() -> SimulatedDisk {
    SimulatedDisk::new(DiskOptions::default())
}

fn write(wal: &mut SegmentedWal, records: usize) {
    for _ in 0..records {
        wal.append(&put(&[0xa5; 900])).expect("append");
        wal.sync().expect("sync");
    }
}

/// A log of three segments that was closed.
fn closed() -> SimulatedDisk {
    let disk = new_disk();
    let mut wal = open(&disk, config(VerifyOnOpen::Newest)).expect("a new log");
    write(&mut wal, 80);
    wal.close().expect("close");
    disk.copy()
}

/// The same, of a process that was killed.
fn killed() -> SimulatedDisk {
    let disk = new_disk();
    let mut wal = open(&disk, config(VerifyOnOpen::Newest)).expect("a new log");
    write(&mut wal, 80);
    disk.end_process();
    drop(wal);
    disk.copy()
}

fn segments(disk: &SimulatedDisk) -> Vec<String> {
    let mut names = disk.names();
    names.retain(|name| name.starts_with("wal-"));
    names.sort();
    names
}

fn newest(disk: &SimulatedDisk) -> String {
    segments(disk).pop().expect("there is a segment")
}

fn edit(disk: &SimulatedDisk, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = disk.read(name).expect("the file is there");
    change(&mut content);
    disk.write(name, content);
}

/// Changes a field of `wal.meta`, whose checksum stays right.
fn set_meta(disk: &SimulatedDisk, field: std::ops::Range<usize>, value: u64) {
    edit(disk, META, |content| {
        content[field].copy_from_slice(&value.to_le_bytes());
        let crc = crc32c::crc32c(&content[12..]);
        content[8..12].copy_from_slice(&crc.to_le_bytes());
    });
}

/// Where `wal.meta` says that the closing marker is, 0 if it does not.
fn stated_place(disk: &SimulatedDisk) -> usize {
    let content = disk.read(META).expect("a log");
    u64::from_le_bytes(content[CLOSING_MARKER].try_into().expect("eight bytes")) as usize
}

fn first_lsn(name: &str) -> Lsn {
    Lsn::new(name[4..24].parse().expect("a segment's name"))
}

/// The log is found whole, after its newest segment has been read, and opening it says the same.
fn found_by_reading(disk: &SimulatedDisk, last: u64) {
    let examined = examine_as(disk, None, VerifyOnOpen::Newest).expect("not refused");
    assert_eq!(examined.report.last_lsn, Lsn::new(last));
    assert_eq!(examined.report.verified_from, first_lsn(&newest(disk)), "not by the marker");
    assert_eq!(examine(disk, None).expect("not refused").report.last_lsn, Lsn::new(last));
    let wal = open(&disk.copy(), config(VerifyOnOpen::Newest)).expect("not refused");
    assert_eq!(*wal.recovery(), examined.report);
}

#[test]
fn after_a_clean_close_an_opening_reads_headers_and_the_closing_marker() {
    let disk = closed();
    let names = segments(&disk);
    assert!(names.len() >= 3, "{names:?}");
    let wal = open(&disk, config(VerifyOnOpen::Newest)).expect("opens");
    for name in &names {
        let looks = if *name == names[names.len() - 1] { 2 } else { 1 };
        assert_eq!(disk.read_bytes(name), looks * LOOK_BYTES, "{name}");
    }
    let report = wal.recovery();
    assert_eq!((report.last_lsn, report.clean_close), (Lsn::new(80), true));
    assert_eq!((report.verified_from, report.segments), (Lsn::new(81), names.len()));
    assert!(wal.replay().expect("replay").map(|r| r.expect("whole").lsn().get()).eq(1..=80));
}

#[test]
fn after_a_crash_an_opening_reads_headers_and_the_newest_segment() {
    let disk = killed();
    let names = segments(&disk);
    let wal = open(&disk, config(VerifyOnOpen::Newest)).expect("opens");
    let (newest, older) = names.split_last().expect("segments");
    for name in older {
        assert_eq!(disk.read_bytes(name), LOOK_BYTES, "{name}");
    }
    let len = disk.read(newest).expect("there").len() as u64;
    assert!(disk.read_bytes(newest) >= len);
    assert_eq!(wal.recovery().verified_from, first_lsn(newest));
    assert_eq!(wal.recovery().last_lsn, Lsn::new(80));
}

#[test]
fn everything_is_read_if_that_is_asked_for() {
    for disk in [closed(), killed()] {
        let names = segments(&disk);
        let wal = open(&disk, config(VerifyOnOpen::Everything)).expect("opens");
        for name in names {
            // All records: the last block or two of a full segment may be free.
            let len = disk.read(&name).expect("there").len() as u64;
            assert!(disk.read_bytes(&name) + 2048 >= len, "{name}");
        }
        assert_eq!(wal.recovery().verified_from, Lsn::FIRST);
    }
}

/// The damage is met by whoever reads, before anything behind it is handed out, and by an opening
/// that reads everything.
#[test]
fn damage_in_what_was_not_read_is_refused_by_reading() {
    let whole = closed();
    for name in segments(&whole) {
        let disk = whole.copy();
        // Some record in the middle, the marker behind the last one untouched.
        edit(&disk, &name, |content| content[6 * BLOCK_BYTES + 100] ^= 1);
        let refusal = examine(&disk, None).map(drop).expect_err("refused");
        let wal = open(&disk, config(VerifyOnOpen::Newest)).expect("opens");
        assert_eq!(wal.recovery().last_lsn, Lsn::new(80));
        let mut records = wal.replay().expect("replay");
        let error = records.find_map(Result::err).expect("refused");
        assert_eq!(discriminant(&error), discriminant(&refusal), "{error} and {refusal}");
        assert!(records.next().is_none(), "nothing is handed out behind it");
        // Nor does another life make it unseen.
        wal.close().expect("close");
        let again = examine(&disk, None).map(drop).expect_err("refused");
        assert_eq!(discriminant(&again), discriminant(&refusal), "{again} and {refusal}");
    }
}

#[test]
fn wal_meta_states_a_close_only_while_the_log_is_closed() {
    let disk = closed();
    assert_ne!(stated_place(&disk), 0);
    let mut wal = open(&disk, config(VerifyOnOpen::Newest)).expect("opens");
    assert_eq!(stated_place(&disk), 0, "before anything can be appended");
    write(&mut wal, 1);
    assert_eq!(stated_place(&disk), 0);
    wal.close().expect("close");
    assert_ne!(stated_place(&disk), 0);
    // A life without a record has its segment replaced by one of the same name and number.
    open(&disk, config(VerifyOnOpen::Newest)).expect("opens").close().expect("close");
    let name = newest(&disk);
    assert_ne!(stated_place(&disk), 0);
    let wal = open(&disk, config(VerifyOnOpen::Newest)).expect("opens");
    assert_eq!((newest(&disk), stated_place(&disk)), (name, 0));
    drop(wal);
}

#[test]
fn a_place_that_does_not_hold_the_marker_is_not_believed() {
    let whole = closed();
    let place = stated_place(&whole);
    let len = whole.read(&newest(&whole)).expect("there").len();
    for wrong in [
        BLOCK_BYTES,         // the marker of the opening
        2 * BLOCK_BYTES,     // records
        place + BLOCK_BYTES, // zeros
        place + 1,
        8,
        len - BLOCK_BYTES,
        len,
        len * 5,
        usize::MAX,
    ] {
        let disk = whole.copy();
        set_meta(&disk, CLOSING_MARKER, wrong as u64);
        found_by_reading(&disk, 80);
    }
}

#[test]
fn a_marker_that_is_damaged_or_of_another_segment_is_not_believed() {
    let whole = closed();
    let place = stated_place(&whole);
    let disk = whole.copy();
    edit(&disk, &newest(&disk), |content| content[place + 30] ^= 1);
    found_by_reading(&disk, 80);

    // As in a recycled file, whose earlier life was closed at the same place.
    let mut options = DiskOptions::default();
    options.seed = 7;
    let stranger = SimulatedDisk::new(options);
    let mut wal = open(&stranger, config(VerifyOnOpen::Newest)).expect("a new log");
    write(&mut wal, 80);
    wal.close().expect("close");
    assert_eq!(stated_place(&stranger), place);
    let foreign = stranger.read(&newest(&stranger)).expect("there");
    let disk = whole.copy();
    edit(&disk, &newest(&disk), |content| {
        content[place..][..BLOCK_BYTES].copy_from_slice(&foreign[place..][..BLOCK_BYTES]);
    });
    found_by_reading(&disk, 80);
}

#[test]
fn a_marker_that_states_something_else_than_wal_meta_is_not_believed() {
    let disk = closed();
    set_meta(&disk, DURABLE_LSN, 79);
    found_by_reading(&disk, 80);
    let disk = closed();
    set_meta(&disk, DURABLE_LSN, 81);
    let error = examine_as(&disk, None, VerifyOnOpen::Newest).map(drop).expect_err("refused");
    assert!(matches!(error, WalError::AcknowledgedDataLost { .. }), "{error}");
}

/// Power failed, or the process ended, before the next life's segment was noted in `wal.meta`.
#[test]
fn a_close_that_was_followed_by_another_life_is_not_believed() {
    for records_before in [0, 80] {
        let disk = new_disk();
        let mut wal = open(&disk, config(VerifyOnOpen::Newest)).expect("a new log");
        write(&mut wal, records_before);
        wal.close().expect("close");
        let meta = disk.read(META).expect("a log");
        let mut wal = open(&disk, config(VerifyOnOpen::Newest)).expect("opens");
        write(&mut wal, 5);
        disk.end_process();
        drop(wal);
        let disk = disk.copy();
        // Without a record before, the segment has the name and the number of the closed one.
        disk.write(META, meta);
        assert_ne!(stated_place(&disk), 0);
        found_by_reading(&disk, records_before as u64 + 5);
    }
}

#[test]
fn a_name_behind_the_close_means_that_the_log_was_opened_since() {
    let disk = closed();
    let unused = "wal-00000000000000000081.seg";
    disk.write(unused, vec![0; 32 << 10]);
    let report = examine_as(&disk, None, VerifyOnOpen::Newest).expect("not refused").report;
    assert!(report.removed_unused.is_some_and(|path| path.ends_with(unused)));
    assert!(report.verified_from <= report.last_lsn);
}

#[test]
fn a_marker_that_cannot_be_read_decides_nothing() {
    let disk = closed();
    disk.make_unreadable(&newest(&disk), stated_place(&disk));
    let error = open(&disk, config(VerifyOnOpen::Newest)).map(drop).expect_err("refused");
    assert!(matches!(error, WalError::Read { .. }), "{error}");
}
