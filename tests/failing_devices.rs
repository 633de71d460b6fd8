//! Disks that fail under a real file system: one that is gone, and one that fills while the log is
//! at work. The log says so, acknowledges nothing more where it promised that, and has everything
//! again once the disk is back. Needs root.
//!
//! Not here: a loop device whose own storage is full. It reports a write of which a part was stored
//! as whole, and thereby belongs to those that lie.

mod common;

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use common::{
    eventually,
    loop_mount::{LoopMount, path_text, run, skip},
    lsns, open, put, replay,
};
use plimsoll::{
    CommitPolicy, Engine, GroupCommitter, Lsn, Preparation, SegmentedWal, SegmentedWalConfig,
    WalError,
};

const MIB: u64 = 1 << 20;
const MKFS: [&str; 4] = ["mkfs.ext4", "-q", "-m", "0"];
/// What is left of a device that is gone; with nothing at all the kernel would not check.
const LEFT_BYTES: u64 = 64 << 10;
const PREPARATIONS: [Preparation; 4] =
    [Preparation::Zero, Preparation::Recycle, Preparation::None, Preparation::Allocate];

fn config(dir: &Path, engine: Engine, preparation: Preparation) -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig::new(dir);
    config.segment_size = MIB;
    (config.engine, config.preparation) = (engine, preparation);
    // Nothing is written but what a test asks for.
    config.idle_marker_after = Duration::from_secs(3600);
    config
}

fn payload(lsn: Lsn) -> Vec<u8> {
    lsn.get().to_le_bytes().repeat(5000)
}

fn commit(log: &GroupCommitter) -> Result<Lsn, WalError> {
    log.commit(&put(&payload(log.next_lsn())))
}

/// Everything up to `promised` is there, and perhaps more that was on its way.
fn assert_holds(wal: &SegmentedWal, promised: Lsn) {
    let records = replay(wal);
    assert!(records.len() as u64 >= promised.get(), "{} of {promised}", records.len());
    assert_eq!(lsns(&records), (1..=records.len() as u64).collect::<Vec<_>>());
    for record in records {
        assert!(record.payload() == payload(record.lsn()), "LSN {}", record.lsn());
    }
}

/// Leaves next to nothing of the disk.
fn cut_off(mounted: &LoopMount) {
    let name = mounted.device.trim_start_matches("/dev/");
    let sectors = || fs::read_to_string(format!("/sys/block/{name}/size")).expect("readable");
    // A write that comes in between makes the file grow again.
    while sectors().trim() != (LEFT_BYTES / 512).to_string() {
        let image = File::create(mounted.image()).expect("nothing is left");
        image.set_len(LEFT_BYTES).expect("next to nothing");
        run(&["losetup", "--set-capacity", &mounted.device]).expect("a new size");
    }
}

/// What the kernel makes of a device that is gone: errors for every read and write. The disk shrinks
/// to less than its file system's first block group needs, and gets its bytes back later.
#[test]
fn a_device_that_is_gone_poisons_the_log_and_loses_nothing() {
    for engine in [Engine::Blocking, Engine::Uring] {
        let mut mounted = match LoopMount::new("gone", &MKFS, 32 * MIB, 512) {
            Ok(mounted) => mounted,
            Err(why) => return skip(&why),
        };
        let config = config(&mounted.log_dir(), engine, Preparation::Allocate);
        let log = GroupCommitter::start(open(&config), CommitPolicy::Greedy).expect("starts");
        let promised = (0..40).fold(Lsn::NONE, |_, _| commit(&log).expect("commit"));
        // The next segment is ready, and nothing else goes on in the background.
        eventually(|| {
            let names =
                fs::read_dir(&config.dir).expect("listed").map(|entry| entry.expect("is").path());
            names.into_iter().any(|path| path_text(&path).contains("spare-"))
        });
        run(&["sync", "-f", &path_text(&mounted.mount_point)]).expect("synced");
        let kept = mounted.image().with_extension("kept");
        fs::copy(mounted.image(), &kept).expect("there is space");

        cut_off(&mounted);
        let error = commit(&log).expect_err("nothing can be written");
        let WalError::Poisoned { durable_lsn, source, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*durable_lsn, source.raw_os_error()), (promised, Some(libc::EIO)), "{error}");
        let read = log.replay_from(Lsn::FIRST).expect("the files are known").next();
        assert!(matches!(read, Some(Err(WalError::Read { .. }))), "{read:?}");
        assert!(commit(&log).is_err_and(|error| error.is_poisoned()), "for good");

        fs::copy(&kept, mounted.image()).expect("there is space");
        run(&["losetup", "--set-capacity", &mounted.device]).expect("a new size");
        assert!(commit(&log).is_err_and(|error| error.is_poisoned()), "also when it is back");
        assert!(log.close().is_err_and(|error| error.is_poisoned()));
        drop(log);
        mounted.mount_again("ext4");
        assert_holds(&open(&config), promised);
    }
}

/// Fills what is left of a file system, and gives the file to remove.
fn fill(dir: &Path) -> PathBuf {
    let path = dir.join("filler");
    let mut file = File::create(&path).expect("there is a name left");
    for len in [64 << 10, 4096] {
        while file.write_all(&vec![1; len]).and_then(|()| file.sync_data()).is_ok() {}
    }
    path
}

/// Where space is taken before it is needed nothing had been promised, and the log goes on. Where
/// the file grows as it is written, the write itself fails.
#[test]
fn a_disk_that_fills_is_no_loss_and_where_space_is_prepared_no_end() {
    for engine in [Engine::Blocking, Engine::Uring] {
        for preparation in PREPARATIONS {
            let mounted = match LoopMount::new("fills", &MKFS, 16 * MIB, 512) {
                Ok(mounted) => mounted,
                Err(why) => return skip(&why),
            };
            let config = config(&mounted.log_dir(), engine, preparation);
            let log = GroupCommitter::start(open(&config), CommitPolicy::Greedy).expect("starts");
            let mut promised = commit(&log).expect("commit");
            let filler = fill(&mounted.mount_point);
            let error = loop {
                match commit(&log) {
                    Ok(lsn) => promised = lsn,
                    Err(error) => break error,
                }
            };
            fs::remove_file(filler).expect("removed");
            match &error {
                WalError::NoSpace { .. } => {
                    assert_ne!(preparation, Preparation::None);
                    assert_eq!(commit(&log).expect("there is space"), promised.next());
                    promised = promised.next();
                }
                WalError::Poisoned { durable_lsn, source, .. } => {
                    assert_eq!(source.kind(), io::ErrorKind::StorageFull, "{error:?}");
                    assert_eq!(*durable_lsn, promised);
                    assert!(commit(&log).is_err_and(|error| error.is_poisoned()), "for good");
                }
                _ => panic!("{error:?}"),
            }
            drop(log);
            assert_holds(&open(&config), promised);
        }
    }
}
