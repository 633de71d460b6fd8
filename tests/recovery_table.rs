//! Every row of "The decision" in `docs/durability.md`, on a log that was made to fit it: what a
//! read-only recovery says, what an opening says, and that a refusal changes nothing. Both read
//! everything; what an opening that reads less does not refuse, reading after it does.

mod common;

use std::mem::discriminant;

use common::{key_ring, put};
use plimsoll::{
    KeyRing, Lsn, Preparation, RecoveryReport, SegmentedWal, SegmentedWalConfig, VerifyOnOpen,
    WalError,
    simulated::{DiskOptions, SimulatedDisk, examine, examine_as, open, read},
};

const BLOCK_BYTES: usize = 512;
const META: &str = "wal.meta";

fn config(keys: Option<KeyRing>) -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig::default();
    config.segment_size = 4 << 10;
    config.preparation = Preparation::Zero;
    config.verify_on_open = VerifyOnOpen::Everything;
    config.keys = keys;
    config
}

fn new_disk() -> SimulatedDisk {
    SimulatedDisk::new(DiskOptions::default())
}

fn commit(wal: &mut SegmentedWal, payload_len: usize) {
    let lsn = wal.append(&put(&vec![0xa5; payload_len])).expect("append");
    assert_eq!(wal.sync().expect("sync"), lsn);
}

/// A log of `records` records of one block each, whose process was killed.
fn killed(records: usize) -> SimulatedDisk {
    killed_with(records, None)
}

fn killed_with(records: usize, keys: Option<KeyRing>) -> SimulatedDisk {
    let disk = new_disk();
    let mut wal = open(&disk, config(keys)).expect("a new log");
    (0..records).for_each(|_| commit(&mut wal, 100));
    disk.end_process();
    drop(wal);
    disk.copy()
}

/// Names of the segments, oldest first.
fn segments(disk: &SimulatedDisk) -> Vec<String> {
    let mut names = disk.names();
    names.retain(|name| name.starts_with("wal-") && name.ends_with(".seg"));
    names.sort();
    names
}

fn newest(disk: &SimulatedDisk) -> String {
    segments(disk).pop().expect("there is a segment")
}

fn edit(disk: &SimulatedDisk, name: &str, change: impl FnOnce(&mut [u8])) {
    let mut content = disk.read(name).expect("the file is there");
    change(&mut content);
    disk.write(name, content);
}

/// Zeroes the block of this number.
fn blank(disk: &SimulatedDisk, name: &str, block: usize) {
    edit(disk, name, |content| content[block * BLOCK_BYTES..][..BLOCK_BYTES].fill(0));
}

/// The log is found whole up to `last`, and opening it says the same.
fn found(disk: &SimulatedDisk, keys: Option<KeyRing>, last: u64) -> RecoveryReport {
    let found = examine(disk, keys.as_ref()).expect("not refused");
    assert_eq!(found.report.last_lsn, Lsn::new(last));
    let records = found.records(Lsn::NONE).collect::<Result<Vec<_>, _>>().expect("readable");
    assert_eq!(records.len() as u64, last);
    let newest = examine_as(disk, keys.as_ref(), VerifyOnOpen::Newest).expect("not refused");
    let mut report = newest.report.clone();
    report.verified_from = found.report.verified_from;
    assert_eq!(report, found.report, "reading less finds the same");
    assert!(newest.records(Lsn::NONE).map(|record| record.expect("readable")).eq(records));
    let wal = open(&disk.copy(), config(keys)).expect("not refused");
    assert_eq!(*wal.recovery(), found.report);
    found.report
}

/// The log is refused, by recovery and by opening alike, and nothing is changed.
fn refused(disk: &SimulatedDisk, keys: Option<KeyRing>) -> WalError {
    let error = examine(disk, keys.as_ref()).map(drop).expect_err("refused");
    let later = match examine_as(disk, keys.as_ref(), VerifyOnOpen::Newest) {
        Ok(found) => found.records(Lsn::NONE).find_map(Result::err).expect("refused by reading"),
        Err(error) => error,
    };
    assert_eq!(discriminant(&later), discriminant(&error), "{later} and {error}");
    let contents = |disk: &SimulatedDisk| {
        let mut names = disk.names();
        names.sort();
        names.into_iter().map(|name| (disk.read(&name), name)).collect::<Vec<_>>()
    };
    let before = contents(disk);
    let opening = open(disk, config(keys)).map(drop).expect_err("refused");
    assert_eq!(opening.to_string(), error.to_string());
    assert_eq!(contents(disk), before, "a refusal changes nothing");
    error
}

macro_rules! assert_refused {
    ($disk:expr, $keys:expr, $pattern:pat $(if $guard:expr)?) => {
        let error = &refused($disk, $keys);
        assert!(matches!(error, $pattern $(if $guard)?), "{error:?}");
    };
    ($disk:expr, $pattern:pat $(if $guard:expr)?) => {
        assert_refused!($disk, None, $pattern $(if $guard)?);
    };
}

#[test]
fn zeros_behind_the_last_batch_are_a_clean_end() {
    let report = found(&killed(3), None, 3);
    assert_eq!((report.discarded, report.clean_close), (None, false));
}

#[test]
fn batches_of_an_earlier_life_of_the_file_are_a_clean_end() {
    // An old segment's batches behind the newest one's end, as in a recycled file.
    let disk = killed(9);
    let old = disk.read(&segments(&disk)[0]).expect("there");
    let report_before = found(&disk, None, 9);
    edit(&disk, &newest(&disk), |content| {
        let from = content.len() - 2 * BLOCK_BYTES;
        content[from..].copy_from_slice(&old[2 * BLOCK_BYTES..4 * BLOCK_BYTES]);
    });
    assert_eq!(found(&disk, None, 9), report_before);
}

#[test]
fn what_nobody_was_promised_is_a_torn_tail() {
    // The last batch has lost its first block, and nothing after it tells of it.
    let disk = new_disk();
    let mut wal = open(&disk, config(None)).expect("a new log");
    commit(&mut wal, 100);
    commit(&mut wal, 900);
    disk.end_process();
    drop(wal);
    let disk = disk.copy();
    let name = newest(&disk);
    blank(&disk, &name, 3);
    let discarded = found(&disk, None, 1).discarded.expect("reported");
    assert_eq!(discarded.path.file_name().and_then(|n| n.to_str()), Some(&*name));
    assert_eq!((discarded.offset_bytes, discarded.len_bytes), (3 * 512, 2 * 512));
    assert_eq!(discarded.batches, 0);
}

#[test]
fn a_loss_in_the_newest_segment_is_refused_by_what_later_batches_claim() {
    let disk = killed(3);
    blank(&disk, &newest(&disk), 3);
    assert_refused!(&disk, WalError::AcknowledgedDataLost {
        offset_bytes: 1536, first_missing_lsn, claimed_durable_lsn, ..
    } if (first_missing_lsn.get(), claimed_durable_lsn.get()) == (2, 2));
}

#[test]
fn a_loss_in_the_newest_segment_is_refused_by_what_wal_meta_claims() {
    let disk = new_disk();
    let mut wal = open(&disk, config(None)).expect("a new log");
    commit(&mut wal, 100);
    commit(&mut wal, 100);
    wal.close().expect("close");
    let disk = disk.copy();
    // The record and the closing marker, which states it.
    blank(&disk, &newest(&disk), 3);
    blank(&disk, &newest(&disk), 4);
    assert_refused!(&disk, WalError::AcknowledgedDataLost { first_missing_lsn, .. }
        if first_missing_lsn.get() == 2);
}

#[test]
fn a_loss_in_an_older_segment_is_refused() {
    let disk = killed(9);
    let oldest = segments(&disk)[0].clone();
    blank(&disk, &oldest, 4);
    assert_refused!(&disk, WalError::AcknowledgedDataLost { path, first_missing_lsn, .. }
        if path.ends_with(&oldest) && first_missing_lsn.get() == 3);
}

#[test]
fn a_last_batch_that_the_successor_does_not_name_is_refused() {
    let disk = new_disk();
    let mut wal = open(&disk, config(None)).expect("a new log");
    (0..5).for_each(|_| commit(&mut wal, 100));
    wal.write_idle_marker().expect("marker");
    commit(&mut wal, 100);
    disk.end_process();
    drop(wal);
    let disk = disk.copy();
    let [oldest, _] = &*segments(&disk) else { panic!("two segments") };
    found(&disk, None, 6);
    // The marker at the end of the older one: no record is missing without it.
    blank(&disk, oldest, 7);
    assert_refused!(&disk, WalError::ChainBroken { .. });
}

#[test]
fn a_segment_missing_in_between_in_front_or_at_the_end_is_refused() {
    let whole = killed(20);
    let names = segments(&whole);
    assert!(names.len() >= 3, "{names:?}");
    for missing in [0, 1, names.len() - 1] {
        let disk = whole.copy();
        disk.remove(&names[missing]);
        assert_refused!(&disk, WalError::ChainBroken { .. });
    }
    names.iter().for_each(|name| whole.remove(name));
    assert_refused!(&whole, WalError::ChainBroken { problem, .. }
        if problem.contains("was in use"));
}

#[test]
fn a_segment_that_does_not_belong_is_refused() {
    let disk = killed(9);
    let oldest = segments(&disk)[0].clone();
    let content = disk.read(&oldest).expect("there");

    let other_log = disk.copy();
    // A disk of another seed draws another log id.
    let mut options = DiskOptions::default();
    options.seed = 7;
    let stranger = SimulatedDisk::new(options);
    let mut wal = open(&stranger, config(None)).expect("a new log");
    commit(&mut wal, 100);
    drop(wal);
    other_log.write(&oldest, stranger.read(&newest(&stranger)).expect("there"));
    assert_refused!(&other_log, WalError::ChainBroken { problem, .. }
        if problem.contains("another log"));

    let wrong_name = disk.copy();
    wrong_name.write("wal-00000000000000000003.seg", content.clone());
    assert_refused!(&wrong_name, WalError::ChainBroken { problem, .. }
        if problem.contains("named after"));

    let cut_off = disk.copy();
    cut_off.write(&oldest, &content[..content.len() - BLOCK_BYTES]);
    assert_refused!(&cut_off, WalError::ChainBroken { problem, .. } if problem.contains("cut off"));

    let no_name = disk.copy();
    no_name.write("wal-1.seg", content);
    assert_refused!(&no_name, WalError::ChainBroken { problem, .. }
        if problem.contains("its name"));
}

#[test]
fn an_unreadable_header_of_an_older_segment_is_refused() {
    let disk = killed(9);
    let oldest = segments(&disk)[0].clone();
    blank(&disk, &oldest, 0);
    assert_refused!(&disk, WalError::HeaderDamaged { path, .. } if path.ends_with(&oldest));
}

#[test]
fn an_unreadable_header_of_the_newest_is_refused_if_it_was_in_use() {
    // `wal.meta` knows of it.
    let disk = killed(9);
    blank(&disk, &newest(&disk), 0);
    assert_refused!(&disk, WalError::HeaderDamaged { .. });

    // `wal.meta` is as it was when the log was opened, but the segment's batches tell of it.
    let disk = killed(9);
    disk.write(META, killed(0).read(META).expect("there"));
    found(&disk, None, 9);
    edit(&disk, &newest(&disk), |content| content[9] ^= 1);
    assert_refused!(&disk, WalError::HeaderDamaged { problem, .. }
        if problem.contains("durable records follow"));
}

#[test]
fn a_newest_file_that_was_never_used_is_removed() {
    let disk = killed(3);
    let unused = "wal-00000000000000000004.seg";
    disk.write(unused, vec![0; 4 << 10]);
    let removed = found(&disk, None, 3).removed_unused.expect("reported");
    assert!(removed.ends_with(unused));
    let wal = open(&disk, config(None)).expect("opens");
    assert_eq!(wal.active_segment_first_lsn(), Lsn::new(4), "the name is used again");
}

/// It is given once everything before it is durable.
#[test]
fn the_name_of_a_newest_file_that_was_never_used_says_what_was_durable() {
    let disk = killed(3);
    disk.write("wal-00000000000000000005.seg", vec![0; 4 << 10]);
    assert_refused!(&disk, WalError::AcknowledgedDataLost { first_missing_lsn, claimed_durable_lsn, .. }
        if (first_missing_lsn.get(), claimed_durable_lsn.get()) == (4, 4));
    // And nobody who reads without opening sees it otherwise.
    let mut reader = read(&disk, None, Lsn::NONE).expect("there is a log");
    let end = reader.by_ref().find_map(Result::err).expect("refused");
    assert!(matches!(end, WalError::AcknowledgedDataLost { .. }), "{end:?}");
}

/// Only durable records are truncated, so the floor speaks for what was before it.
#[test]
fn a_floor_beyond_the_end_is_a_loss() {
    let disk = killed(3);
    edit(&disk, META, |content| {
        content[32..40].copy_from_slice(&9_u64.to_le_bytes());
        let crc = crc32c::crc32c(&content[12..]);
        content[8..12].copy_from_slice(&crc.to_le_bytes());
    });
    assert_refused!(&disk, WalError::AcknowledgedDataLost { claimed_durable_lsn, .. }
        if claimed_durable_lsn.get() == 8);
}

/// Each segment before it holds a record, so its number is never above its first LSN; and a record
/// of the last LSN there is has nothing behind it.
#[test]
fn numbers_that_no_segment_can_have_are_refused() {
    for (at, number) in [(40, 10_u64), (48, u64::MAX)] {
        let disk = killed(0);
        let name = newest(&disk);
        let mut content = disk.read(&name).expect("there");
        content[at..at + 8].copy_from_slice(&number.to_le_bytes());
        content[at + 16..at + 24].copy_from_slice(&(number - 1).to_le_bytes());
        let crc = crc32c::crc32c(&content[12..256]);
        content[8..12].copy_from_slice(&crc.to_le_bytes());
        disk.write(&name, content);
        assert_refused!(&disk, WalError::HeaderDamaged { problem, .. }
            if problem.contains("impossible"));
    }
}

#[test]
fn a_newest_segment_without_a_record_gives_its_place_to_the_next() {
    let disk = killed(0);
    let removed = found(&disk, None, 0).removed_unused.expect("reported");
    assert!(removed.ends_with("wal-00000000000000000001.seg"));
    let mut wal = open(&disk, config(None)).expect("opens");
    commit(&mut wal, 100);
    assert_eq!(segments(&disk).len(), 1);
}

#[test]
fn wal_meta_missing_or_damaged_is_refused() {
    let disk = killed(3);
    disk.remove(META);
    assert_refused!(&disk, WalError::MetaDamaged { .. });
    let disk = killed(3);
    edit(&disk, META, |content| content[20] ^= 1);
    assert_refused!(&disk, WalError::MetaDamaged { .. });
}

#[test]
fn a_version_that_is_not_known_is_refused() {
    // `docs/format.md`: the checksum covers byte 12 on, where the version is.
    for name in [META.to_owned(), newest(&killed(3))] {
        let disk = killed(3);
        let covered = if name == META { 64 } else { 256 };
        edit(&disk, &name, |content| {
            content[12..14].copy_from_slice(&2_u16.to_le_bytes());
            let checksum = crc32c::crc32c(&content[12..covered]);
            content[8..12].copy_from_slice(&checksum.to_le_bytes());
        });
        assert_refused!(&disk, WalError::UnsupportedVersion { found: 2, .. });
    }
}

#[test]
fn a_good_checksum_with_a_bad_tag_is_tampering() {
    let keys = || Some(key_ring());
    let disk = killed_with(3, keys());
    found(&disk, keys(), 3);
    edit(&disk, &newest(&disk), |content| {
        // The second record: its batch's seed, and its frame of 40 + 100 + 16 bytes, padded to 160.
        let batch = &mut content[3 * BLOCK_BYTES..4 * BLOCK_BYTES];
        let seed = u32::from_le_bytes(batch[8..12].try_into().expect("four bytes"));
        let frame = &mut batch[40..200];
        frame[50] ^= 1;
        let checksum = crc32c::crc32c_append(seed, &frame[4..]);
        frame[..4].copy_from_slice(&checksum.to_le_bytes());
    });
    assert_refused!(&disk, keys(), WalError::Tampered { offset_bytes: 1576, lsn, .. }
        if lsn.get() == 2);
}

#[test]
fn the_wrong_key_a_missing_key_and_no_key_are_refused_apart() {
    let disk = killed_with(3, Some(key_ring()));
    assert_refused!(&disk, WalError::KeyRequired { .. });
    let other_id = KeyRing::new(8, [0x42; 32]).expect("memory");
    assert_refused!(&disk, Some(other_id), WalError::KeyMissing { key_id: 7, .. });
    let other_key = KeyRing::new(7, [0x43; 32]).expect("memory");
    assert_refused!(&disk, Some(other_key), WalError::WrongKey { key_id: 7, .. });
}

#[test]
fn a_read_that_fails_decides_nothing() {
    let whole = killed(9);
    for name in segments(&whole) {
        let sectors = whole.read(&name).expect("there").len() / BLOCK_BYTES;
        for sector in 0..sectors {
            let disk = whole.copy();
            disk.make_unreadable(&name, sector * BLOCK_BYTES);
            assert_refused!(&disk, WalError::Read { .. });
        }
    }
}
