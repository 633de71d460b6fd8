//! Defects that the crash matrix found, each reduced to the few steps that lead to it. The seed is
//! that of the history in which it showed first.
#![allow(clippy::field_reassign_with_default, reason = "the options are open to new fields")]

mod common;

use common::put;
use plimsoll::{
    Durability, Engine, Lsn, Preparation, SegmentedWalConfig,
    simulated::{DiskOptions, Fault, SimulatedDisk, examine, open},
};

/// Power cuts that each case is held against.
const CUTS: u64 = 500;

fn config() -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig::default();
    config.segment_size = 4 << 10;
    config.buffer_size = 4 << 10;
    config.engine = Engine::Blocking;
    config.durability = Durability::Fdatasync;
    config.preparation = Preparation::Zero;
    config
}

fn disk_with(fault: Fault) -> SimulatedDisk {
    let mut options = DiskOptions::default();
    options.fault = Some(fault);
    options.flush_covers_device = true;
    SimulatedDisk::new(options)
}

/// Seed 45. The newest segment was written and not flushed; its predecessor was given up.
#[test]
fn a_truncation_keeps_what_the_log_needs_to_be_opened() {
    let disk = SimulatedDisk::new(DiskOptions::default());
    let mut wal = open(&disk, config()).expect("opens");
    let mut last = Lsn::NONE;
    while wal.list_segments().expect("list").len() < 2 {
        last = wal.append(&put(&[1; 1500])).expect("append");
    }
    wal.truncate_before(last).expect("truncate");
    for seed in 0..CUTS {
        let found = examine(&disk.cut_power(seed), None).expect("nothing is damaged");
        assert!(found.report.last_lsn >= wal.durable_lsn(), "seed {seed}");
    }
    wal.sync().expect("sync");
    let outcome = wal.truncate_before(last).expect("truncate");
    assert!(outcome.segments_deleted > 0, "it goes once its successor is durable");
}

/// Seed 115. A sync waited for the write that had failed.
#[test]
fn a_sync_after_a_failed_write_says_so_and_returns() {
    let mut config = config();
    config.engine = Engine::Uring;
    config.preparation = Preparation::None;
    // The first writes are those of the new log; which number fails does not matter.
    for number in 2..12 {
        let Ok(mut wal) = open(&disk_with(Fault::Write(number)), config.clone()) else { continue };
        let append = |wal: &mut plimsoll::SegmentedWal| wal.append(&put(&[2; 3000])).map(drop);
        while append(&mut wal).is_ok() {}
        let durable = wal.durable_lsn();
        for _ in 0..3 {
            assert!(wal.sync().expect_err("poisoned").is_poisoned());
            assert!(append(&mut wal).expect_err("poisoned").is_poisoned());
        }
        assert_eq!(wal.durable_lsn(), durable);
    }
}

/// Seeds 635 and 1200. A directory sync failed and the process ended; the next one found names that
/// were not durable, and built on them.
#[test]
fn opening_makes_durable_what_it_builds_on() {
    let mut refused = 0;
    for number in 1..10 {
        let disk = disk_with(Fault::DirectorySync(number));
        let Err(_) = open(&disk, config()) else { continue };
        refused += 1;
        disk.end_process();
        let mut wal = open(&disk, config()).expect("the fault is over");
        let record = wal.append(&put(b"record")).expect("append");
        assert_eq!(wal.sync().expect("sync"), record);
        for seed in 0..10 * CUTS {
            // In the middle of the second opening, among other places.
            if let Err(error) = examine(&disk.cut_power_earlier(seed), None) {
                panic!("sync {number}, seed {seed}: nothing is damaged, yet {error}");
            }
        }
    }
    assert!(refused >= 2, "the first directory syncs are those of an opening");
}

/// Seed 18574. The flush of a spare failed and took a batch with it; the batch's own flush, later,
/// succeeded.
#[test]
fn a_flush_that_fails_while_preparing_ends_the_log() {
    let mut failed = 0;
    for number in 2..30 {
        let disk = disk_with(Fault::Flush(number));
        let Ok(mut wal) = open(&disk, config()) else { continue };
        for _ in 0..20 {
            let _ = wal.append(&put(&[3; 900]));
            let _ = wal.append(&put(&[4; 9000]));
            let _ = wal.sync();
        }
        failed += u64::from(wal.sync().is_err());
        let durable = wal.durable_lsn();
        for seed in 0..CUTS {
            let found = examine(&disk.cut_power(seed), None).expect("nothing is damaged");
            assert!(found.report.last_lsn >= durable, "flush {number}, seed {seed}");
        }
    }
    assert!(failed >= 20, "each failed flush is final: {failed}");
}
