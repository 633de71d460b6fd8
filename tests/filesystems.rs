//! The log on real file systems: ext4, XFS and btrfs on loop devices, a device with blocks of
//! 4 KiB, one that is full, and one without direct I/O.
//!
//! Mounting takes root and the mkfs tools; without them a test says that it was skipped. With
//! `PLIMSOLL_TEST_NO_SKIP=1` in the environment that is a failure.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use common::{
    loop_mount::{LoopMount, skip},
    lsns, put, replay,
};
use plimsoll::{
    ActiveEngine, Durability, Engine, Lsn, Preparation, SegmentedWal, SegmentedWalConfig, WalError,
};

const MIB: u64 = 1 << 20;

fn small_segments(dir: impl Into<PathBuf>) -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig::new(dir);
    config.segment_size = MIB;
    config
}

/// Payload of a record: its LSN, often enough to be noticed.
fn payload(lsn: u64, len: usize) -> Vec<u8> {
    lsn.to_le_bytes().into_iter().cycle().take(len).collect()
}

fn append_and_sync(wal: &mut SegmentedWal, len: usize) -> Result<Lsn, WalError> {
    let lsn = wal.append(&put(&payload(wal.next_lsn().get(), len)))?;
    assert_eq!(wal.sync()?, lsn);
    Ok(lsn)
}

fn assert_holds(wal: &SegmentedWal, first: Lsn, last: Lsn) {
    let records = replay(wal);
    assert_eq!(lsns(&records), (first.get()..=last.get()).collect::<Vec<_>>());
    for record in records {
        let expected = payload(record.lsn().get(), record.payload().len());
        assert!(record.payload() == expected, "LSN {} has another payload", record.lsn());
    }
}

/// Each engine with each durability, and each preparation.
const COMBINATIONS: [(Engine, Durability, Preparation); 5] = [
    (Engine::Blocking, Durability::Dsync, Preparation::Zero),
    (Engine::Blocking, Durability::Fdatasync, Preparation::None),
    (Engine::Uring, Durability::Dsync, Preparation::Recycle),
    (Engine::Uring, Durability::Dsync, Preparation::None),
    (Engine::Uring, Durability::Fdatasync, Preparation::Allocate),
];

/// A loop device can be told that it needs no flush; then the choice of an engine is open, and is
/// made by a trial.
#[test]
fn where_the_device_needs_no_flush_the_engine_is_chosen_by_a_trial() {
    let mounted = match LoopMount::new("engine-trial", &["mkfs.ext4", "-q"], 64 * MIB, 512) {
        Ok(mounted) => mounted,
        Err(why) => return skip(&why),
    };
    let name = mounted.device.rsplit('/').next().unwrap_or_default();
    if let Err(why) = fs::write(format!("/sys/block/{name}/queue/write_cache"), "write through") {
        return skip(&format!("the write cache of {name} cannot be set: {why}"));
    }
    let mut config = small_segments(mounted.log_dir());
    config.pipeline_depth = 4;
    let mut wal = SegmentedWal::open(config.clone()).expect("opens");
    assert_eq!(wal.geometry().volatile_cache, Some(false));
    let engine = wal.stats().engine;
    assert_eq!(engine.requested, Engine::Auto);
    match &engine.trial {
        Some(trial) => {
            assert!(engine.reason.contains(&trial.uring_per_second.to_string()), "{engine:?}");
            assert!(engine.reason.contains(&trial.blocking_per_second.to_string()), "{engine:?}");
            let wins = trial.uring_per_second > trial.blocking_per_second / 100 * 110;
            assert_eq!(engine.active == ActiveEngine::Uring, wins, "{engine:?}");
        }
        None => assert!(engine.reason.contains("refused"), "{engine:?}"),
    }
    for len in [0, 1, 100_000, 700_000] {
        append_and_sync(&mut wal, len).expect("append");
    }
    drop(wal);
    config.durability = Durability::Fdatasync;
    let wal = SegmentedWal::open(config).expect("opens");
    assert_holds(&wal, Lsn::FIRST, Lsn::new(4));
    assert_eq!(wal.engine().active, ActiveEngine::Blocking, "fdatasync in a queue starves");
    let names: Vec<_> = fs::read_dir(mounted.log_dir()).expect("listed").collect();
    assert!(!format!("{names:?}").contains("engine-trial.tmp"), "{names:?}");
}

/// Opens, appends over several segments, is cut off, and opens again.
fn works_on(filesystem: &str, mkfs: &[&str], size_bytes: u64) {
    let mounted = match LoopMount::new(&format!("fs-{filesystem}"), mkfs, size_bytes, 512) {
        Ok(mounted) => mounted,
        Err(why) => return skip(&why),
    };
    for (engine, durability, preparation) in COMBINATIONS {
        let mut config = small_segments(mounted.log_dir());
        (config.engine, config.durability) = (engine, durability);
        config.preparation = preparation;
        let mut wal = SegmentedWal::open(config.clone()).expect("opens");
        assert_eq!(wal.geometry().filesystem, filesystem);
        for len in [0, 1, 100_000, 700_000, 700_000, 5, 2_000_000] {
            append_and_sync(&mut wal, len).expect("append");
        }
        drop(wal);
        let mut wal = SegmentedWal::open(config.clone()).expect("opens after a crash");
        assert_holds(&wal, Lsn::FIRST, Lsn::new(7));
        let middle = wal.list_segments().expect("list")[1].first_lsn;
        wal.truncate_before(middle).expect("truncate");
        append_and_sync(&mut wal, 900_000).expect("append");
        wal.close().expect("close");
        let wal = SegmentedWal::open(config).expect("opens after a close");
        assert_holds(&wal, middle, Lsn::new(8));
        drop(wal);
        fs::remove_dir_all(mounted.log_dir()).expect("removed");
    }
}

#[test]
fn a_log_works_on_ext4() {
    works_on("ext4", &["mkfs.ext4", "-q"], 64 * MIB);
}

#[test]
fn a_log_works_on_xfs() {
    works_on("xfs", &["mkfs.xfs", "-q"], 320 * MIB);
}

#[test]
fn a_log_works_on_btrfs() {
    works_on("btrfs", &["mkfs.btrfs", "-q"], 256 * MIB);
}

#[test]
fn a_device_with_4_kib_sectors_refuses_a_smaller_alignment() {
    let mounted = match LoopMount::new("fs-4kn", &["mkfs.ext4", "-q"], 64 * MIB, 4096) {
        Ok(mounted) => mounted,
        Err(why) => return skip(&why),
    };
    let mut config = small_segments(mounted.log_dir());
    for forced in [false, true] {
        (config.alignment, config.force_alignment) = (Some(512), forced);
        let error = SegmentedWal::open(config.clone()).expect_err("cannot work");
        assert!(
            matches!(error, WalError::AlignmentRefused { alignment_bytes: 512, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("4096"), "{error}");
    }
    for alignment in [None, Some(4096), Some(8192)] {
        config.alignment = alignment;
        let mut wal = SegmentedWal::open(config.clone()).expect("opens");
        assert_eq!(wal.geometry().logical_block_bytes, Some(4096));
        let end = append_and_sync(&mut wal, 10).expect("append");
        drop(wal);
        assert_holds(&SegmentedWal::open(config.clone()).expect("opens again"), Lsn::FIRST, end);
    }
}

/// Larger than what is read of a segment at first to see its header.
#[test]
fn a_device_with_16_kib_sectors_works() {
    let mkfs = ["mkfs.xfs", "-q", "-s", "size=16384", "-b", "size=16384"];
    let mounted = match LoopMount::new("fs-16kn", &mkfs, 400 * MIB, 16384) {
        Ok(mounted) => mounted,
        Err(why) => return skip(&why),
    };
    let mut config = small_segments(mounted.log_dir());
    (config.alignment, config.buffer_size) = (None, 64 << 10);
    let mut end = Lsn::NONE;
    for _ in 0..3 {
        let mut wal = SegmentedWal::open(config.clone()).expect("opens");
        assert_eq!(wal.geometry().logical_block_bytes, Some(16384));
        assert_holds(&wal, Lsn::FIRST, end);
        end = append_and_sync(&mut wal, 10).expect("append");
    }
}

/// The same behind sectors of 512 bytes that the device writes whole, to tell it from the above.
#[test]
fn a_device_with_512_byte_sectors_takes_that_alignment() {
    let mounted = match LoopMount::new("fs-512n", &["mkfs.ext4", "-q"], 64 * MIB, 512) {
        Ok(mounted) => mounted,
        Err(why) => return skip(&why),
    };
    let mut config = small_segments(mounted.log_dir());
    config.alignment = Some(512);
    let mut wal = SegmentedWal::open(config.clone()).expect("opens");
    let end = append_and_sync(&mut wal, 10).expect("append");
    drop(wal);
    assert_holds(&SegmentedWal::open(config).expect("opens again"), Lsn::FIRST, end);
}

#[test]
fn a_file_system_without_direct_io_is_refused_in_one_sentence() {
    let shm = Path::new("/dev/shm");
    let is_tmpfs =
        |fs: nix::sys::statfs::Statfs| fs.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC;
    if !nix::sys::statfs::statfs(shm).is_ok_and(is_tmpfs) {
        return skip("/dev/shm is no tmpfs");
    }
    let dir = tempfile::tempdir_in(shm).expect("/dev/shm is writable");
    let log_dir = dir.path().join("log");
    for engine in [Engine::Blocking, Engine::Uring] {
        let mut config = small_segments(&log_dir);
        config.engine = engine;
        let error = SegmentedWal::open(config).expect_err("refused");
        assert!(matches!(error, WalError::DirectIoUnsupported { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!(
                "the file system of {} (tmpfs) does not support direct I/O (O_DIRECT); put the \
                 log on ext4, XFS, btrfs or a block device",
                log_dir.display()
            )
        );
        let names: Vec<_> = fs::read_dir(&log_dir).expect("is there").collect();
        assert!(names.len() <= 1, "nothing but the lock file is left: {names:?}");
    }
}

/// Appends until the disk is full, and returns the last LSN that was acknowledged.
fn fill(wal: &mut SegmentedWal) -> Lsn {
    for _ in 0..1000 {
        let durable_lsn = wal.durable_lsn();
        let Err(error) = append_and_sync(wal, 200_000) else { continue };
        assert!(matches!(error, WalError::NoSpace { .. }), "{error:?}");
        let dir = wal.wal_dir().display();
        assert_eq!(
            error.to_string(),
            format!(
                "no space to prepare a segment of 8388608 bytes in {dir}; free space (or truncate \
                 the log) and append again, nothing acknowledged is affected"
            )
        );
        assert_eq!(wal.next_lsn(), durable_lsn.next(), "no LSN was given out for nothing");
        assert_eq!(wal.sync().expect("NoSpace does not poison"), durable_lsn);
        return durable_lsn;
    }
    panic!("the disk never filled");
}

/// Space is freed in the background, so the first tries may still fail.
fn append_once_there_is_space(wal: &mut SegmentedWal) -> Lsn {
    for _ in 0..100 {
        match append_and_sync(wal, 200_000) {
            Err(WalError::NoSpace { .. }) => thread::sleep(Duration::from_millis(50)),
            outcome => return outcome.expect("append"),
        }
    }
    panic!("freed space was never noticed");
}

#[test]
fn a_full_disk_stops_appending_and_nothing_else() {
    let mkfs = ["mkfs.ext4", "-q", "-m", "0"];
    let mounted = match LoopMount::new("fs-full", &mkfs, 64 * MIB, 512) {
        Ok(mounted) => mounted,
        Err(why) => return skip(&why),
    };
    let filler = mounted.mount_point.join("filler");
    fs::write(&filler, vec![1; 20 << 20]).expect("there is space");
    let mut config = SegmentedWalConfig::new(mounted.log_dir());
    config.segment_size = 8 * MIB;

    let mut wal = SegmentedWal::open(config.clone()).expect("opens");
    let full = fill(&mut wal);
    assert_holds(&wal, Lsn::FIRST, full);
    fs::remove_file(&filler).expect("removed");
    let resumed = append_once_there_is_space(&mut wal);
    assert_eq!(resumed, full.next());

    let full = fill(&mut wal);
    assert!(full > resumed, "the freed space was used");
    let kept = wal.list_segments().expect("list")[1].first_lsn;
    assert_eq!(wal.truncate_before(kept).expect("truncate").segments_deleted, 1);
    assert_eq!(append_once_there_is_space(&mut wal), full.next());

    let full = fill(&mut wal);
    drop(wal);
    let refused = SegmentedWal::open(config.clone()).expect_err("no space for a fresh segment");
    assert!(matches!(refused, WalError::NoSpace { .. }), "{refused:?}");
    let (records, more) =
        SegmentedWal::replay_from_limit_dir(mounted.log_dir(), None, kept, 10_000)
            .expect("reading takes no space");
    assert_eq!((records.last().map(plimsoll::LogRecord::lsn), more), (Some(full), false));

    // The embedder's way out where it has nothing else to delete: a larger disk, or smaller steps.
    config.segment_size = MIB;
    let mut wal = SegmentedWal::open(config).expect("opens with smaller segments");
    assert_holds(&wal, kept, full);
    assert!(wal.truncate_before(full).expect("truncate").segments_deleted > 0);
    assert_eq!(append_once_there_is_space(&mut wal), full.next());
}
