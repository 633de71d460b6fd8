//! A log that begins at an LSN of the embedder's choice: what it promises of the records before it,
//! that power may go at any moment of its beginning, and what is refused.

mod common;

use std::{fs, path::Path};

use common::{TestDir, lsns, open, put, replay, replay_from, segment_paths};
use plimsoll::{
    Lsn, Preparation, SegmentedWal, SegmentedWalConfig, WalError,
    simulated::{self, DiskOptions, SimulatedDisk},
};

const FIRST: Lsn = Lsn::new(1_000_000);

fn create(config: &SegmentedWalConfig, first_lsn: Lsn) -> SegmentedWal {
    SegmentedWal::create_at(config.clone(), first_lsn).expect("a new log")
}

#[test]
fn it_goes_on_from_there_like_any_log() {
    for (name, encrypted) in [("create-at", false), ("create-at-sealed", true)] {
        let dir = TestDir::new(name);
        let mut config = if encrypted { dir.encrypted_config() } else { dir.config() };
        config.segment_size = 64 << 10;
        let mut wal = create(&config, FIRST);
        assert_eq!((wal.recovery().last_lsn, wal.recovery().floor), (FIRST.previous(), FIRST));
        assert_eq!((wal.next_lsn(), wal.durable_lsn()), (FIRST, FIRST.previous()));
        assert!(replay(&wal).is_empty());
        for _ in 0..20 {
            wal.append(&put(&[7; 9_000])).expect("append");
            wal.sync().expect("sync");
        }
        assert!(segment_paths(dir.path()).len() > 2, "it has rolled over");
        wal.close().expect("close");

        let mut wal = open(&config);
        let all: Vec<u64> = (0..20).map(|n| FIRST.get() + n).collect();
        assert_eq!(lsns(&replay(&wal)), all);
        assert_eq!(lsns(&replay_from(&wal, FIRST.get() + 18)), all[18..]);
        let below = wal.replay_from(FIRST.previous()).expect_err("never in this log");
        assert!(matches!(below, WalError::Truncated { floor: FIRST, .. }), "{below}");
        assert_eq!(wal.append(&put(b"next")).expect("append").get(), FIRST.get() + 20);
        wal.sync().expect("sync");
        let reader = SegmentedWal::replay_from_dir(dir.path(), config.keys.as_ref(), Lsn::NONE);
        let beside: Vec<_> = reader.expect("a reader").map(|r| r.expect("whole")).collect();
        assert_eq!(lsns(&beside).first(), Some(&FIRST.get()));
        let kept = Lsn::new(FIRST.get() + 15);
        assert!(wal.truncate_before(kept).expect("truncate").segments_deleted > 0);
        wal.close().expect("close");
        assert!(open(&config).recovery().floor > FIRST);
    }
}

#[test]
fn opened_before_its_first_record_it_still_begins_there() {
    let dir = TestDir::new("create-at-empty");
    create(&dir.config(), FIRST).close().expect("close");
    for _ in 0..2 {
        let wal = open(&dir.config());
        assert_eq!((wal.next_lsn(), wal.recovery().last_lsn), (FIRST, FIRST.previous()));
    }
    let names = segment_paths(dir.path());
    assert!(names[0].ends_with("wal-00000000000001000000.seg"), "{names:?}");
    // A log that was in use does not become a new one by losing its segments.
    fs::remove_file(&names[0]).expect("removed");
    let error = SegmentedWal::open(dir.config()).expect_err("a segment is missing");
    assert!(matches!(error, WalError::ChainBroken { .. }), "{error}");
}

#[test]
fn where_there_is_a_log_or_a_part_of_one_none_is_begun() {
    let dir = TestDir::new("create-at-taken");
    open(&dir.config()).close().expect("close");
    let segment = segment_paths(dir.path()).remove(0);
    let content = |path: &Path| fs::read(path).expect("readable");
    let before = (content(&segment), content(&dir.path().join("wal.meta")));
    let refused = || {
        let error = SegmentedWal::create_at(dir.config(), FIRST).expect_err("there is a log");
        assert!(matches!(error, WalError::LogExists { .. }), "{error}");
        assert!(error.to_string().contains("create-at-taken"), "{error}");
    };
    refused();
    assert_eq!((content(&segment), content(&dir.path().join("wal.meta"))), before);
    fs::remove_file(dir.path().join("wal.meta")).expect("removed");
    refused();
    fs::write(dir.path().join("wal.meta"), before.1).expect("written");
    fs::remove_file(&segment).expect("removed");
    refused();
}

#[test]
fn an_lsn_that_no_record_can_have_is_refused_and_the_last_one_is_not() {
    let dir = TestDir::new("create-at-ends");
    for impossible in [Lsn::NONE, Lsn::new(u64::MAX - 1), Lsn::new(u64::MAX)] {
        let error = SegmentedWal::create_at(dir.config(), impossible).expect_err("impossible");
        assert!(matches!(error, WalError::InvalidConfig { field: "first_lsn", .. }), "{error}");
    }
    let last = Lsn::new(u64::MAX - 2);
    let mut wal = create(&dir.config(), last);
    assert_eq!(wal.append(&put(b"the last")).expect("append"), last);
    assert!(matches!(wal.append(&put(b"none")), Err(WalError::LsnExhausted)));
    assert_eq!(wal.sync().expect("sync"), last);
    wal.close().expect("close");
    assert_eq!(lsns(&replay(&open(&dir.config()))), [last.get()]);
}

/// Power is lost anywhere in the beginning of a log. What is there then is no log yet, or one that
/// opens and begins at its LSN; a caller that tries again gets there either way.
#[test]
fn power_may_go_at_any_moment_of_its_beginning() {
    let (mut none, mut opened) = (0, 0);
    for seed in 0..2_000 {
        let mut config = SegmentedWalConfig::default();
        config.segment_size = 8 << 10;
        config.preparation = if seed % 2 == 0 { Preparation::Zero } else { Preparation::None };
        let mut options = DiskOptions::default();
        options.seed = seed;
        let disk = SimulatedDisk::new(options);
        let wal = simulated::create_at(&disk, config.clone(), FIRST).expect("a new log");
        disk.end_process();
        drop(wal);
        let disk = disk.cut_power_earlier(seed);
        let mut wal = match simulated::create_at(&disk, config.clone(), FIRST) {
            Err(WalError::LogExists { .. }) => {
                opened += 1;
                simulated::open(&disk, config.clone())
            }
            created => {
                none += 1;
                created
            }
        }
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(wal.append(&put(b"first")).expect("append"), FIRST, "seed {seed}");
        assert_eq!(wal.sync().expect("sync"), FIRST, "seed {seed}");
    }
    assert!(none > 100 && opened > 100, "{none} {opened}");
}
