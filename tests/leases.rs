//! Leases: they hold the log for a consumer, over restarts and power cuts, and not beyond their
//! budget.
#![allow(clippy::field_reassign_with_default, reason = "the options are open to new fields")]

mod common;

use std::fs;

use common::{TestDir, lsns, open, put, replay_from};
use plimsoll::{
    CommitPolicy, Durability, Engine, GroupCommitter, Lease, LeaseInfo, Lsn, Preparation,
    SegmentedWal, SegmentedWalConfig, WalError, leases_in,
    simulated::{self, DiskOptions, Fault, Sabotage, SimulatedDisk, with_sabotage},
};

const PLENTY: u64 = 1 << 40;
const SEGMENT_BYTES: u64 = 64 << 10;

fn config(dir: &TestDir) -> SegmentedWalConfig {
    let mut config = dir.config();
    config.segment_size = SEGMENT_BYTES;
    config
}

/// Appends until so many segments have been started since the log was opened; returns their first
/// LSNs, that of the one in use last.
fn fill(wal: &mut SegmentedWal, segments: usize) -> Vec<Lsn> {
    let mut first_lsns = vec![wal.active_segment_first_lsn()];
    while first_lsns.len() < segments {
        wal.append(&put(&[5; 1000])).expect("append");
        wal.sync().expect("sync");
        let active = wal.active_segment_first_lsn();
        if first_lsns.last() != Some(&active) {
            first_lsns.push(active);
        }
    }
    first_lsns
}

fn one(leases: Vec<LeaseInfo>) -> LeaseInfo {
    let [lease] = <[_; 1]>::try_from(leases).expect("one lease");
    lease
}

fn position_of(lease: &Lease) -> Lsn {
    lease.position().expect("it holds")
}

#[test]
fn a_truncation_stops_at_the_lowest_lease_and_says_which() {
    let dir = TestDir::new("lease-holds");
    let mut wal = open(&config(&dir));
    let starts = fill(&mut wal, 5);
    let slow = wal.lease("slow", starts[1], PLENTY).expect("lease");
    let fast = wal.lease("fast", Lsn::NONE, PLENTY).expect("lease");
    assert_eq!(position_of(&fast), Lsn::FIRST, "from the oldest record on");
    fast.advance(starts[3]).expect("advance");
    fast.advance(starts[2]).expect("an earlier one changes nothing");
    assert_eq!(position_of(&fast), starts[3]);

    let outcome = wal.truncate_before(starts[4]).expect("truncate");
    assert_eq!(outcome.segments_deleted, 1);
    let held_back = outcome.held_back.expect("both hold something");
    assert_eq!((held_back.lease.as_str(), held_back.position), ("slow", starts[1]));
    assert_eq!(held_back.bytes, 3 * SEGMENT_BYTES);
    assert_eq!(
        wal.replay_from(starts[1]).expect("it is there").next().unwrap().unwrap().lsn(),
        starts[1]
    );

    // In the middle of a segment all of that one stays.
    slow.advance(starts[3].previous()).expect("advance");
    let outcome = wal.truncate_before(starts[4]).expect("truncate");
    assert_eq!(outcome.segments_deleted, 1);
    assert_eq!(wal.list_segments().expect("list")[0].first_lsn, starts[2]);

    slow.release().expect("release");
    assert_eq!(
        wal.truncate_before(starts[4]).expect("truncate").held_back.expect("fast").lease,
        "fast"
    );
    fast.advance(Lsn::new(u64::MAX)).expect("advance");
    let outcome = wal.truncate_before(starts[4]).expect("truncate");
    assert_eq!((outcome.segments_deleted, outcome.held_back), (1, None));
}

#[test]
fn a_lease_outlives_its_handle_a_crash_and_a_close() {
    let dir = TestDir::new("lease-stays");
    let mut wal = open(&config(&dir));
    let starts = fill(&mut wal, 4);
    let lease = wal.lease("replica", starts[1], PLENTY).expect("lease");
    let refused = wal.lease("replica", starts[1], PLENTY).expect_err("one handle at a time");
    assert!(matches!(refused, WalError::LeaseInUse { .. }), "{refused}");
    drop(lease);
    let lease = wal.lease("replica", starts[3], PLENTY).expect("again");
    assert_eq!(position_of(&lease), starts[1], "where it was");
    lease.advance(starts[2]).expect("advance");
    drop((lease, wal));

    // Killed: nothing has relied on the new position yet.
    let mut wal = open(&config(&dir));
    let held = wal.truncate_before(starts[3]).expect("truncate").held_back.expect("held");
    assert_eq!(held.position, starts[1]);
    let lease = wal.lease("replica", Lsn::NONE, PLENTY).expect("again");
    lease.advance(starts[2]).expect("advance");
    lease.persist().expect("persist");
    drop((lease, wal));
    assert_eq!(one(leases_in(dir.path()).expect("readable")).position, starts[2]);

    let wal = open(&config(&dir));
    let lease = wal.lease("replica", Lsn::NONE, 7).expect("again");
    lease.advance(starts[3]).expect("advance");
    wal.close().expect("close");
    let closed = lease.advance(starts[3].next()).expect_err("it would not be kept");
    assert!(matches!(closed, WalError::Closed), "{closed}");
    assert!(matches!(lease.release(), Err(WalError::Closed)), "it is another writer's by now");
    let found = one(leases_in(dir.path()).expect("readable"));
    assert_eq!((found.position, found.budget_bytes, found.in_use), (starts[3], 7, false));
}

/// Number 18 of the project's list of faults.
#[test]
fn defect_18_a_consumer_that_is_stuck_does_not_fill_the_disk_and_is_seen() {
    let dir = TestDir::new("lease-budget");
    let wal = open(&config(&dir));
    let budget_bytes = 3 * SEGMENT_BYTES;
    let stuck = wal.lease("stuck", Lsn::FIRST, budget_bytes).expect("lease");
    // At the same place: neither protects the other.
    let gone = wal.lease("gone", Lsn::FIRST, budget_bytes).expect("lease");
    let steady = wal.lease("steady", Lsn::FIRST, PLENTY).expect("lease");
    drop(gone);
    let committer = GroupCommitter::start(wal, CommitPolicy::Greedy).expect("starts");

    let mut dropped = Vec::new();
    let mut largest_bytes = 0;
    for _ in 0..1000 {
        let lsn = committer.commit(&put(&[1; 1000])).expect("the log goes on");
        steady.advance(lsn).expect("it keeps up");
        let seen = committer.stats().leases;
        let held = seen.iter().find(|lease| lease.name == "stuck").expect("it is listed");
        largest_bytes = largest_bytes.max(held.held_bytes);
        dropped.extend(committer.truncate_before(lsn).expect("truncate").leases_dropped);
    }
    dropped.sort();
    assert_eq!(dropped, ["gone", "stuck"]);
    assert!(largest_bytes > budget_bytes && largest_bytes <= budget_bytes + SEGMENT_BYTES);
    let floor = committer.list_segments().expect("list")[0].first_lsn;
    assert!(floor > Lsn::new(900), "the log has moved on: {floor}");

    let told = stuck.advance(Lsn::new(2)).expect_err("its records are gone");
    let WalError::LeaseDropped { name, position, floor: now, .. } = &told else { panic!("{told}") };
    assert_eq!((name.as_str(), *position, *now), ("stuck", Lsn::FIRST, floor));
    assert!(matches!(stuck.position(), Err(WalError::LeaseDropped { .. })));
    let listed = committer.leases();
    let drops: Vec<_> = listed.iter().map(|l| (l.name.as_str(), l.dropped)).collect();
    assert_eq!(drops, [("gone", true), ("steady", false), ("stuck", true)]);
    committer.close().expect("close");

    // The one that was away is told when it comes back, and may start anew then.
    let wal = open(&config(&dir));
    let told = wal.lease("gone", Lsn::FIRST, PLENTY).expect_err("it has lost its place");
    assert!(matches!(told, WalError::LeaseDropped { .. }), "{told}");
    wal.release_lease("gone").expect("release");
    let early = wal.lease("gone", Lsn::FIRST, PLENTY).expect_err("these are gone");
    assert!(matches!(early, WalError::Truncated { .. }), "{early}");
    assert_eq!(position_of(&wal.lease("gone", Lsn::NONE, PLENTY).expect("anew")), floor);
}

#[test]
fn names_and_files_that_cannot_be_are_refused() {
    let dir = TestDir::new("lease-files");
    let wal = open(&config(&dir));
    for name in ["", "../up", "Upper", "a.b", &"x".repeat(64)] {
        let refused = wal.lease(name, Lsn::NONE, 0).expect_err("no name");
        assert!(matches!(refused, WalError::InvalidLeaseName { .. }), "{refused}");
    }
    assert!(matches!(wal.release_lease("nobody"), Err(WalError::NoSuchLease { .. })));
    let lease = wal.lease("a", Lsn::NONE, PLENTY).expect("lease");
    wal.release_lease("a").expect("by name");
    assert!(matches!(lease.advance(Lsn::FIRST), Err(WalError::NoSuchLease { .. })));
    drop(wal.lease("a", Lsn::NONE, PLENTY).expect("anew"));
    drop((lease, wal));

    let file = dir.path().join("lease-a.meta");
    let good = fs::read(&file).expect("it is there");
    let refused = |what: &str| {
        let opened = SegmentedWal::open(config(&dir)).expect_err(what);
        let listed = leases_in(dir.path()).expect_err(what);
        assert_eq!(opened.to_string(), listed.to_string());
        opened
    };
    for bit in [8 * 9, 8 * 33, 8 * 127] {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1;
        fs::write(&file, bytes).expect("writable");
        let error = refused("damaged");
        assert!(matches!(&error, WalError::LeaseDamaged { path, .. } if *path == file), "{error}");
    }
    fs::write(&file, &good[..100]).expect("writable");
    assert!(matches!(refused("cut off"), WalError::LeaseDamaged { .. }));
    fs::write(&file, &good).expect("writable");
    let copy = dir.path().join("lease-b.meta");
    fs::copy(&file, &copy).expect("copied");
    assert!(matches!(refused("a copy"), WalError::LeaseDamaged { path, .. } if path == copy));
    fs::remove_file(&copy).expect("removed");

    let other = TestDir::new("lease-other");
    drop(open(&config(&other)));
    fs::copy(&file, other.path().join("lease-a.meta")).expect("copied");
    let error = SegmentedWal::open(config(&other)).expect_err("of another log");
    assert!(matches!(error, WalError::LeaseDamaged { .. }), "{error}");

    // With the file gone the lease is.
    fs::remove_file(&file).expect("removed");
    assert!(open(&config(&dir)).leases().is_empty());
}

#[test]
fn a_lease_of_which_the_records_are_gone_is_told_so() {
    let dir = TestDir::new("lease-restored");
    let mut wal = open(&config(&dir));
    let starts = fill(&mut wal, 3);
    drop(wal.lease("a", starts[0], PLENTY).expect("lease"));
    let file = dir.path().join("lease-a.meta");
    let old = fs::read(&file).expect("it is there");
    wal.release_lease("a").expect("release");
    wal.truncate_before(starts[2]).expect("truncate");
    drop(wal);
    // Somebody puts the file back, from a backup say.
    fs::write(&file, old).expect("writable");
    let wal = open(&config(&dir));
    let told = wal.lease("a", Lsn::NONE, PLENTY).expect_err("its records are gone");
    assert!(matches!(told, WalError::LeaseDropped { floor, .. } if floor == starts[2]), "{told}");
    assert_eq!(lsns(&replay_from(&wal, starts[2].get()))[0], starts[2].get());
}

fn small_config() -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig::default();
    config.segment_size = 4 << 10;
    config.buffer_size = 4 << 10;
    config.engine = Engine::Blocking;
    config.durability = Durability::Fdatasync;
    config.preparation = Preparation::None;
    config
}

/// Appends records until a segment more has been started.
fn roll_over(wal: &mut SegmentedWal) -> Lsn {
    let before = wal.active_segment_first_lsn();
    while wal.active_segment_first_lsn() == before {
        wal.append(&put(&[1; 900])).expect("append");
        wal.sync().expect("sync");
    }
    wal.active_segment_first_lsn()
}

/// What is left of a disk after a power cut: every lease that `expected` names is there, no further
/// than acknowledged, and so are its records.
fn check_image(image: &SimulatedDisk, expected: &[(&str, Lsn)]) -> Result<(), String> {
    let wal = simulated::open(image, small_config()).map_err(|error| error.to_string())?;
    let found = wal.leases();
    for (name, acknowledged) in expected {
        let lease = found.iter().find(|lease| lease.name == *name);
        let lease = lease.ok_or_else(|| format!("lease {name} is gone"))?;
        if lease.dropped {
            return Err(format!("{lease:?} counts as dropped"));
        }
        if lease.position > *acknowledged {
            return Err(format!("{lease:?} is further than {acknowledged}"));
        }
    }
    for lease in found.iter().filter(|lease| !lease.dropped) {
        let first =
            wal.replay_from(lease.position).map_err(|error| format!("{lease:?}: {error}"))?;
        first.take(1).try_for_each(|record| record.map(drop)).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Two leases, one of which goes over its budget, and power cuts after each step and before it.
fn life_with_power_cuts(seed: u64) -> Result<(), String> {
    let mut options = DiskOptions::default();
    options.seed = seed;
    options.flush_covers_device = seed.is_multiple_of(2);
    let disk = SimulatedDisk::new(options);
    let mut wal = simulated::open(&disk, small_config()).map_err(|error| error.to_string())?;
    let (mut cut, mut starts) = (seed * 1000, vec![Lsn::FIRST]);
    let mut check = |expected: &[(&str, Lsn)]| {
        (0..4).try_for_each(|_| {
            cut += 1;
            check_image(&disk.cut_power(cut), expected)
                .and_then(|()| check_image(&disk.cut_power_earlier(cut), &[]))
                .map_err(|problem| format!("cut {cut}: {problem}"))
        })
    };
    let steady = wal.lease("steady", Lsn::FIRST, PLENTY).expect("lease");
    let stuck = wal.lease("stuck", Lsn::FIRST, 10_000).expect("lease");
    let mut is_stuck = true;
    for round in 0..8 {
        let both = [("steady", position_of(&steady)), ("stuck", Lsn::FIRST)];
        check(&both[..1 + usize::from(is_stuck)])?;
        starts.push(roll_over(&mut wal));
        steady.advance(starts[round]).expect("advance");
        let outcome = wal.truncate_before(*starts.last().expect("some")).expect("truncate");
        is_stuck &= outcome.leases_dropped.is_empty();
    }
    assert!(!is_stuck && stuck.position().is_err(), "8 segments of 4 KiB are over its budget");
    check(&[("steady", position_of(&steady))])
}

#[test]
fn what_a_lease_holds_is_there_after_a_power_cut() {
    for seed in 0..60 {
        life_with_power_cuts(seed).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    }
}

#[test]
fn a_lease_that_is_written_too_late_is_noticed() {
    let late = Some(Sabotage::LeaseWrittenLate);
    let caught = (0..60).find_map(|seed| with_sabotage(late, || life_with_power_cuts(seed)).err());
    assert!(caught.is_some(), "it went unnoticed");
}

#[test]
fn a_full_disk_gives_up_nothing_and_does_not_end_the_log() {
    let mut options = DiskOptions::default();
    options.capacity_bytes = 40 << 10;
    let disk = SimulatedDisk::new(options);
    let mut wal = simulated::open(&disk, small_config()).expect("opens");
    let lease = wal.lease("a", Lsn::FIRST, PLENTY).expect("lease");
    let start = roll_over(&mut wal);
    let in_use: usize =
        disk.names().iter().filter_map(|name| disk.read(name)).map(|f| f.len()).sum();
    disk.write("somebody-elses", vec![0; (40 << 10) - in_use - 100]);

    lease.advance(start).expect("advance");
    let full = wal.truncate_before(start).expect_err("there is no room for 128 bytes");
    assert!(matches!(full, WalError::Io { .. }), "{full}");
    let full = wal.lease("b", Lsn::NONE, 0).expect_err("nor for another");
    assert!(matches!(full, WalError::Io { .. }), "{full}");
    assert!(disk.names().iter().all(|name| !name.ends_with(".tmp")), "{:?}", disk.names());
    assert_eq!(
        lsns(&wal.replay().expect("replay").map(|r| r.expect("whole")).collect::<Vec<_>>())[0],
        1
    );

    disk.remove("somebody-elses");
    assert_eq!(wal.truncate_before(start).expect("there is room").segments_deleted, 1);
    wal.close().expect("close");
}

/// A directory sync that fails may have lost the new name: nothing may rely on it.
#[test]
fn a_lease_that_cannot_be_synced_ends_the_log() {
    let syncs = |number| {
        let mut options = DiskOptions::default();
        options.fault = Some(Fault::DirectorySync(number));
        let disk = SimulatedDisk::new(options);
        let wal = simulated::open(&disk, small_config()).ok()?;
        Some(wal.lease("a", Lsn::FIRST, PLENTY).map(|_| wal))
    };
    let failed =
        (0..50).filter_map(syncs).find_map(Result::err).expect("one of them is the lease's");
    assert!(failed.is_poisoned(), "{failed}");
}
