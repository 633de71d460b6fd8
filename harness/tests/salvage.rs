//! `plimsoll log salvage` from outside: logs on a real disk, damaged at random, and the new log held
//! against what had been written; what a user can get wrong; and that the damaged log is only read.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(missing_docs, reason = "tests are no interface")]
#![allow(dead_code, reason = "the sweep's tests use all of the support")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use plimsoll::inspect::{LogFiles, Piece};
use plimsoll::{
    KeyRing, LogRecord, Lsn, Preparation, Record, RecordKind, SegmentedWal, SegmentedWalConfig,
};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::Value;
use support::{Ran, Workshop};

const BLOCK_BYTES: usize = 4096;

fn ring() -> KeyRing {
    KeyRing::new(4, [9; 32]).expect("memory")
}

fn config(dir: PathBuf, sealed: bool) -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig::new(dir);
    config.alignment = Some(BLOCK_BYTES as u64);
    config.segment_size = 64 << 10;
    config.preparation = Preparation::Zero;
    config.keys = sealed.then(ring);
    config
}

/// The payload of a record, from its LSN alone.
fn payload(lsn: u64) -> Vec<u8> {
    (0..1 + lsn * 37 % 3000).map(|j| u8::try_from((lsn * 31 + j) % 256).expect("a byte")).collect()
}

/// Batches of one to four records, in order: first and last LSN of each.
fn write(dir: PathBuf, sealed: bool, records: u64, close: bool) -> Vec<(u64, u64)> {
    let mut wal = SegmentedWal::open(config(dir, sealed)).expect("opens");
    let mut batches = Vec::new();
    while wal.next_lsn().get() <= records {
        let first = wal.next_lsn().get();
        let payloads: Vec<_> = (first..=first + first % 4).map(payload).collect();
        let records: Vec<_> = payloads
            .iter()
            .zip(first..)
            .map(|(payload, lsn)| Record::new(RecordKind::PUT, &payload[..]).tenant(lsn))
            .collect();
        let range = wal.append_batch(&records).expect("appended");
        wal.sync().expect("synced");
        batches.push((range.first.get(), range.last.get()));
    }
    if close {
        wal.close().expect("closes");
    }
    batches
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.to_string_lossy().contains("/wal-0")).collect();
    paths.sort();
    paths
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = fs::read(path).expect("readable");
    change(&mut content);
    fs::write(path, content).expect("writable");
}

/// Where the batches with records are in each segment: offset, first and last LSN.
fn batches_in(dir: &Path) -> Vec<(PathBuf, usize, u64, u64)> {
    let log = LogFiles::open(dir).expect("a log");
    let mut found = Vec::new();
    for segment in log.segments() {
        let Ok(mut survey) = log.survey(segment, None).expect("readable") else { continue };
        while let Some(piece) = survey.next_piece().expect("readable") {
            if let Piece::Batch(batch) = piece
                && batch.record_count > 0
            {
                let at = usize::try_from(batch.offset_bytes).expect("small");
                let lsns = (batch.first_lsn.get(), batch.last_lsn().get());
                found.push((segment.path.clone(), at, lsns.0, lsns.1));
            }
        }
    }
    found
}

fn records(dir: &Path, sealed: bool) -> Vec<LogRecord> {
    let keys = sealed.then(ring);
    let reader = SegmentedWal::replay_from_dir(dir, keys.as_ref(), Lsn::NONE).expect("a log");
    reader.map(|record| record.expect("whole")).collect()
}

fn state(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64, i64)> {
    let entries = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    let of = |path: PathBuf| {
        let metadata = fs::metadata(&path).expect("there");
        (path.clone(), (fs::read(path).expect("readable"), metadata.mtime(), metadata.mtime_nsec()))
    };
    entries.map(of).collect()
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

fn shop_with_key() -> Option<Workshop> {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return None;
    }
    fs::write(shop.path("wal.key"), [9; 32]).expect("written");
    fs::set_permissions(shop.path("wal.key"), fs::Permissions::from_mode(0o600)).expect("changed");
    Some(shop)
}

/// Each record that is there is as it was written, and every other place holds a `NOOP`. Says which
/// were there.
fn genuine(dir: &Path, sealed: bool) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    let mut next = None;
    for record in records(dir, sealed) {
        let lsn = record.lsn().get();
        assert!(next.is_none_or(|next| next == lsn), "dense");
        next = Some(lsn + 1);
        if record.kind() == RecordKind::NOOP {
            assert!(record.payload().is_empty());
        } else {
            assert_eq!((record.payload(), record.tenant()), (&*payload(lsn), lsn));
            found.insert(lsn);
        }
    }
    found
}

/// Damages a log, and says which LSNs that costs.
fn damage(dir: &Path, sealed: bool, chance: &mut Xoshiro256PlusPlus) -> (BTreeSet<u64>, bool) {
    let batches = batches_in(dir);
    let paths = segments(dir);
    let mut lost = BTreeSet::new();
    let mut meta_is_gone = false;
    for _ in 0..chance.random_range(1..4) {
        let path = &paths[chance.random_range(0..paths.len() - 1)];
        let inside = |of: &Path| {
            let of: Vec<_> = batches.iter().filter(|batch| batch.0 == of).cloned().collect();
            of.into_iter()
        };
        if !path.exists() {
            continue;
        }
        match chance.random_range(0..5) {
            0 => {
                fs::remove_file(path).expect("removed");
                lost.extend(inside(path).flat_map(|batch| batch.2..=batch.3));
            }
            1 => {
                edit(path, |content| content[..300].fill(0));
                if sealed {
                    lost.extend(inside(path).flat_map(|batch| batch.2..=batch.3));
                }
            }
            2 | 3 => {
                let hit: Vec<_> = inside(path).collect();
                let (_, at, first, last) = hit[chance.random_range(0..hit.len())].clone();
                let at = at + chance.random_range(0..80);
                edit(path, |content| content[at] ^= 1 << chance.random_range(0..8));
                // The seed is not covered by the header's own checksum; the frames' are not right then.
                lost.extend(first..=last);
            }
            _ => {
                meta_is_gone |= chance.random_bool(0.5);
            }
        }
    }
    if meta_is_gone {
        fs::remove_file(dir.join("wal.meta")).expect("removed");
    }
    (lost, meta_is_gone)
}

#[test]
fn whatever_is_damaged_the_new_log_holds_exactly_what_is_whole() {
    let Some(shop) = shop_with_key() else { return };
    for seed in 0..40 {
        let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed);
        let (old, new, sealed) = (format!("old{seed}"), format!("new{seed}"), seed % 3 == 0);
        let batches = write(shop.path(&old), sealed, 120, chance.random_bool(0.5));
        let all = batches.last().expect("batches").1;
        let (lost, meta_is_gone) = damage(&shop.path(&old), sealed, &mut chance);
        let before = state(&shop.path(&old));
        let mut words = vec!["log", "salvage", &old, &new, "--json"];
        if sealed {
            words.extend(["--key-file", "4=wal.key"]);
        }
        let ran = shop.run(&words);
        assert!(state(&shop.path(&old)) == before, "seed {seed}: only read");
        let report = json(&ran);
        let found = genuine(&shop.path(&new), sealed);
        // Without wal.meta nobody knows of a first segment that is gone.
        let first = report["log"]["first_lsn"].as_u64().expect("a number");
        assert!(first == 1 || meta_is_gone, "seed {seed}: {report}");
        let expected: BTreeSet<u64> = (first..=all).filter(|lsn| !lost.contains(lsn)).collect();
        assert_eq!(found, expected, "seed {seed}: {report}");
        let holes = report["log"]["holes"]["listed"].as_array().expect("holes");
        let told: BTreeSet<u64> = holes
            .iter()
            .flat_map(|hole| {
                let lsn = |name: &str| hole[name].as_u64().expect("a number");
                assert!(hole["why"].as_str().is_some_and(|why| !why.starts_with("nothing was")));
                lsn("first_lsn")..=lsn("last_lsn")
            })
            .collect();
        let missing: BTreeSet<u64> = lost.iter().copied().filter(|lsn| *lsn >= first).collect();
        assert_eq!(told, missing, "seed {seed}: {report}");
        let code = if !told.is_empty() {
            1
        } else if meta_is_gone {
            4
        } else {
            0
        };
        assert_eq!(ran.code, code, "seed {seed}: {report}");
        let mut verify = vec!["log", "verify", &new];
        if sealed {
            verify.extend(["--key-file", "4=wal.key"]);
        }
        assert_eq!(shop.run(&verify).code, 0, "seed {seed}");
        // The next record gets an LSN that no lost one had.
        let wal = SegmentedWal::open(config(shop.path(&new), sealed)).expect("opens");
        assert_eq!(wal.next_lsn().get(), all + 1, "seed {seed}");
    }
}

#[test]
fn a_torn_tail_stays_out_and_a_lost_end_keeps_its_lsns() {
    let Some(shop) = shop_with_key() else { return };
    // Killed: the last batch is damaged, and nothing says that it was durable.
    write(shop.path("torn"), false, 30, false);
    let batches = batches_in(&shop.path("torn"));
    let (path, at, first, _) = batches.last().expect("batches").clone();
    edit(&path, |content| content[at + 60] ^= 1);
    let ran = shop.run(&["log", "salvage", "torn", "new"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("nothing behind it was promised"), "{ran:?}");
    assert!(ran.stdout.contains("everything that torn promised"), "{ran:?}");
    assert_eq!(genuine(&shop.path("new"), false), (1..first).collect());
    assert_eq!(records(&shop.path("new"), false).len() as u64, first - 1);

    // Closed: the same damage is a loss, and the LSNs are not given out again.
    let all = write(shop.path("lost"), false, 40, true).last().expect("batches").1;
    let (path, at, first, last) = batches_in(&shop.path("lost")).last().expect("batches").clone();
    edit(&path, |content| content[at + 60] ^= 1);
    let ran = shop.run(&["log", "salvage", "lost", "new2"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stdout.contains(&format!("{} records of lost are lost", last - first + 1)),
        "{ran:?}"
    );
    assert_eq!(genuine(&shop.path("new2"), false), (1..first).collect());
    assert_eq!(records(&shop.path("new2"), false).len() as u64, all);
}

#[test]
fn what_was_sealed_stays_so_and_what_was_tampered_with_stays_out() {
    let Some(shop) = shop_with_key() else { return };
    write(shop.path("old"), true, 60, true);
    let words = ["log", "salvage", "old", "new", "-q"];
    shop.run(&words).assert_one_sentence(3, &["sealed", "--key-file"]);
    fs::write(shop.path("other.key"), [1; 32]).expect("written");
    fs::set_permissions(shop.path("other.key"), fs::Permissions::from_mode(0o600))
        .expect("changed");
    let with = |key: &str| shop.run(&[&words[..], &["--key-file", key]].concat());
    with("4=other.key").assert_one_sentence(3, &["key 4", "not the key"]);
    with("5=wal.key").assert_one_sentence(3, &["sealed with key 4", "--leave-out-sealed"]);
    assert_eq!(shop.names(""), ["old", "other.key", "wal.key"], "nothing is left of NEW");

    // A frame altered by somebody who knows CRC and not the key.
    let (path, at, first, last) = batches_in(&shop.path("old"))[5].clone();
    edit(&path, |content| {
        let frame = at + 40;
        let stored = u32::from_le_bytes(content[frame + 4..frame + 8].try_into().expect("four"));
        let len = (40 + usize::try_from(stored).expect("small") + 16).next_multiple_of(8);
        let seed = u32::from_le_bytes(content[at + 8..at + 12].try_into().expect("four"));
        content[frame + 40] ^= 1;
        let crc = crc32c::crc32c_append(seed, &content[frame + 4..frame + len]);
        content[frame..frame + 4].copy_from_slice(&crc.to_le_bytes());
    });
    let ran = with("4=wal.key");
    assert_eq!(ran.code, 1, "{ran:?}");
    let lost: BTreeSet<u64> = (first..=last).collect();
    let found = genuine(&shop.path("new"), true);
    assert!(found.is_disjoint(&lost) && found.len() + lost.len() >= 60, "the batch is one whole");
    let told = shop.run(&["log", "salvage", "old", "again", "--key-file", "4=wal.key"]);
    assert!(told.stdout.contains("was tampered with"), "{told:?}");
    for segment in segments(&shop.path("new")) {
        let content = fs::read(segment).expect("readable");
        assert!(content[14..16] == [1, 0] || content.iter().all(|&byte| byte == 0), "sealed");
    }
    let clear = ["log", "salvage", "old", "clear", "--key-file", "4=wal.key", "--in-clear", "-q"];
    assert_eq!(shop.run(&clear).code, 1);
    assert_eq!(genuine(&shop.path("clear"), false), found);
}

#[test]
fn beside_a_live_writer_it_copies_up_to_where_that_is() {
    let Some(shop) = shop_with_key() else { return };
    let mut wal = SegmentedWal::open(config(shop.path("live"), false)).expect("opens");
    for lsn in 1..=30 {
        wal.append(&Record::new(RecordKind::PUT, payload(lsn)).tenant(lsn)).expect("appended");
        wal.sync().expect("synced");
    }
    // Spare files and wal.meta are the writer's, which is at work.
    let content =
        |dir: &Path| segments(dir).into_iter().map(fs::read).collect::<Result<Vec<_>, _>>();
    let before = content(&shop.path("live")).expect("readable");
    let ran = shop.run(&["log", "salvage", "live", "new"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("a writer was at work"), "{ran:?}");
    assert_eq!(genuine(&shop.path("new"), false), (1..=30).collect());
    assert!(content(&shop.path("live")).expect("readable") == before, "only read");
    wal.append(&Record::new(RecordKind::PUT, payload(31)).tenant(31)).expect("goes on");
    wal.close().expect("closes");
}

#[test]
fn what_a_crash_cut_off_and_a_later_life_gave_out_anew_stays_out() {
    let Some(shop) = shop_with_key() else { return };
    write(shop.path("old"), false, 20, false);
    // The last batch is damaged; the next life gives its LSNs out anew, to other records.
    let (path, at, first, _) = batches_in(&shop.path("old")).last().expect("batches").clone();
    let whole = fs::read(&path).expect("readable");
    edit(&path, |content| content[at + 60] ^= 1);
    let mut wal = SegmentedWal::open(config(shop.path("old"), false)).expect("a torn tail");
    assert_eq!(wal.next_lsn().get(), first);
    let second =
        wal.append(&Record::new(RecordKind::DELETE, &b"second life"[..])).expect("appended");
    wal.close().expect("closes");
    // Now the batch is whole again, as it might have been.
    edit(&path, |content| content[at..at + 80].copy_from_slice(&whole[at..at + 80]));
    let ran = shop.run(&["log", "salvage", "old", "new"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("not of the log"), "{ran:?}");
    let records = records(&shop.path("new"), false);
    assert_eq!(records.last().expect("records").kind(), RecordKind::DELETE);
    assert_eq!(records.last().expect("records").lsn(), second);
}

#[test]
fn what_only_the_user_can_put_right_is_refused() {
    let Some(shop) = shop_with_key() else { return };
    write(shop.path("old"), false, 60, true);
    fs::create_dir(shop.path("empty")).expect("a folder");
    shop.run(&["log", "salvage", "empty", "new"]).assert_one_sentence(2, &["empty", "no log"]);
    shop.run(&["log", "salvage", "old", "old/new"]).assert_one_sentence(2, &["only read"]);
    let keyed = ["log", "salvage", "old", "new", "--key-file", "4=wal.key"];
    shop.run(&keyed).assert_one_sentence(2, &["in clear", "leave out --key-file"]);
    let paths = segments(&shop.path("old"));
    let renamed = shop.path("old").join("wal-00000000000000000002.seg");
    fs::rename(&paths[1], &renamed).expect("renamed");
    let name = paths[1].file_name().expect("a name").to_str().expect("UTF-8");
    shop.run(&["log", "salvage", "old", "new"]).assert_one_sentence(3, &[name]);
    fs::rename(&renamed, &paths[1]).expect("renamed");
    // A segment of another log is none of this one.
    write(shop.path("other"), false, 60, true);
    let foreign = segments(&shop.path("other"))[1].clone();
    fs::copy(foreign, &paths[1]).expect("copied");
    let ran = shop.run(&["log", "salvage", "old", "new"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("a segment of another log"), "{ran:?}");
}
