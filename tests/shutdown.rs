//! Power cuts on real file systems: ext4 and XFS on loop devices are shut down under a log
//! (`FS_IOC_SHUTDOWN`), which fails every later operation and drops what the journal had not made
//! durable. Mounted again, the log has to hold what it acknowledged. Needs root.
//!
//! What this can see: names, sizes and extents that were relied upon before they were durable. What
//! it cannot see: a missing flush of blocks that were overwritten in place, since below O_DIRECT
//! there is no cache here that loses power; the crash matrix has one.
#![allow(clippy::print_stdout, reason = "what was cut, and what was caught")]

mod common;

use std::{
    thread,
    time::{Duration, Instant},
};

use common::{
    child::{Heard, Start},
    life::{self, DIRECTORY_SYNC, Settings, Way},
    loop_mount::{LoopMount, path_text, run, skip},
    random::Random,
    replay,
    witness::Witness,
};
use plimsoll::{Durability, Engine, Preparation, SegmentedWal};

const MIB: u64 = 1 << 20;
const CUTS: u64 = 200;
/// Cuts of one log before another one is begun.
const CUTS_OF_A_LOG: u64 = 10;
/// Cuts in which a control has to be caught; most take less than twenty.
const CUTS_OF_A_CONTROL: u64 = 400;
/// Repeats a run that failed.
const SEED: &str = "PLIMSOLL_SHUTDOWN_SEED";

#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn a_life() {
    life::live();
}

/// A file system, and how it is made.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    mkfs: &'static [&'static str],
    size_bytes: u64,
    /// Whether a promise that it makes while it is shut down need not hold. A flush on XFS has
    /// nothing to do when the inode is not pinned in the log; a shutdown unpins it by throwing away
    /// what the log was to hold, and for a flush on its way that looks like success. Where power
    /// fails, nobody is left to be told so.
    forgets_while_cut: bool,
}

const EXT4: Kind = Kind {
    name: "ext4",
    mkfs: &["mkfs.ext4", "-q"],
    size_bytes: 128 * MIB,
    forgets_while_cut: false,
};
const XFS: Kind =
    Kind { name: "xfs", mkfs: &["mkfs.xfs", "-q"], size_bytes: 320 * MIB, forgets_while_cut: true };

impl Kind {
    fn mounted(self, name: &str) -> Option<LoopMount> {
        let mounted =
            LoopMount::new(&format!("{name}-{}", self.name), self.mkfs, self.size_bytes, 512);
        mounted.map_err(|why| skip(&why)).ok()
    }
}

/// Whether the cut came while the log was opened, or what is wrong.
type Outcome = Result<bool, String>;

/// Cuts the power under a writer at some moment, and holds what is left against what it was
/// promised.
fn cut(
    kind: Kind,
    mounted: &mut LoopMount,
    start: Start<'_>,
    witness: &mut Witness,
    random: &mut Random,
) -> Outcome {
    let mut child = start.spawn();
    let mut awaited = random.below(4) * random.below(40);
    while awaited > 0 {
        let Some(heard) = child.hear() else { break };
        witness.hears(&heard);
        awaited -= u64::from(matches!(heard, Heard::Acknowledged(..)));
    }
    thread::sleep(random.microseconds(3000));
    while let Some(heard) = child.hear_by_now() {
        witness.hears(&heard);
    }
    mounted.cut_power().expect("shut down");
    // It is told so by every operation from now on, and says what it was told.
    let mut last = None;
    while let Some(heard) = child.hear() {
        if !(kind.forgets_while_cut && matches!(heard, Heard::Acknowledged(..))) {
            witness.hears(&heard);
        }
        last = Some(heard);
    }
    assert!(child.ended_well(), "{last:?}, {:?}", start.settings);
    let was_opening = match &last {
        Some(Heard::Refused(..)) => true,
        // Where nothing had been promised, a segment could not be prepared.
        Some(Heard::Failed(why, _)) if ["Poisoned", "Io"].contains(&why.as_str()) => false,
        heard => panic!("it was not told so: {heard:?}, {:?}", start.settings),
    };
    drop(child);
    mounted.mount_again(kind.name);

    let config = Settings::drawn(random).config(start.dir);
    let wal = SegmentedWal::open(config).map_err(|refused| refused.to_string())?;
    let (floor, records) = (wal.recovery().floor.get(), replay(&wal));
    witness.examine(floor, &records)?;
    witness.kept(floor, &records);
    if random.below(4) == 0 {
        wal.close().expect("close");
    }
    Ok(was_opening)
}

fn power_cuts(kind: Kind) {
    let mut random = Random::from_env(SEED);
    let Some(mut mounted) = kind.mounted("cuts") else { return };
    let (mut total, mut opening) = (0, 0);
    for log in 0..CUTS / CUTS_OF_A_LOG {
        // A new name for each: the cut may undo a removal.
        let kind_of_log = ["clear", "sealed"][usize::from(log % 2 == 1)];
        let log_dir = mounted.mount_point.join(format!("{log}-{kind_of_log}"));
        let mut witness = Witness::default();
        for life in 0..CUTS_OF_A_LOG {
            let settings = Settings::drawn(&mut random);
            let start = Start::new(&log_dir, life, settings);
            match cut(kind, &mut mounted, start, &mut witness, &mut random) {
                Ok(was_opening) => opening += u64::from(was_opening),
                Err(problem) => panic!("{problem}; log {log}, life {life}, {settings:?}"),
            }
        }
        total += witness.total;
    }
    println!("{}: {CUTS} cuts, {opening} of them while opening, {total} promises", kind.name);
    assert!(total > 5 * CUTS, "only {total} acknowledgements in {CUTS} lives");
}

#[test]
fn what_was_acknowledged_survives_power_cuts_on_ext4() {
    power_cuts(EXT4);
}

#[test]
fn what_was_acknowledged_survives_power_cuts_on_xfs() {
    power_cuts(XFS);
}

/// Cuts the power under a log that is kept from doing something, again and again, until somebody
/// notices: what, or `None` where this cannot be tried.
fn caught(kind: Kind, name: &str, no_op: &str, settings: Settings) -> Option<String> {
    let mut random = Random::from_env(SEED);
    let mut mounted = kind.mounted(name)?;
    let problem = (0..CUTS_OF_A_CONTROL).find_map(|life| {
        let log_dir = mounted.mount_point.join(format!("{life}-clear"));
        let mut witness = Witness::default();
        let start = Start { no_op: Some(no_op), ..Start::new(&log_dir, life, settings) };
        let problem = cut(kind, &mut mounted, start, &mut witness, &mut random).err()?;
        Some(format!("{} {name}: cut {life}: {problem}", kind.name))
    });
    Some(
        problem.unwrap_or_else(|| panic!("{name} survived {CUTS_OF_A_CONTROL} cuts: {settings:?}")),
    )
}

/// The one owner, who writes with plain calls, so that a filter can stop them.
fn owner_with(preparation: Preparation, durability: Durability) -> Settings {
    let fits = |settings: &Settings| {
        settings.way == Way::OwnerSyncs
            && settings.engine == Engine::Blocking
            && settings.preparation == preparation
            && settings.durability == durability
    };
    Settings::all().find(fits).expect("there is one")
}

/// Where each write makes an extent durable, the journal takes the names along; where blocks are
/// overwritten it does not, and the directory has to be synced for itself. ext4 shows it within some
/// ten cuts; XFS, of which only what was promised before the cut counts, seldom.
#[test]
fn names_that_are_not_durable_are_caught() {
    let settings = owner_with(Preparation::Recycle, Durability::Dsync);
    let Some(problem) = caught(EXT4, "no-directory-sync", DIRECTORY_SYNC, settings) else { return };
    println!("{problem}");
}

#[test]
fn files_that_are_not_durable_are_caught() {
    let settings = owner_with(Preparation::Recycle, Durability::Dsync);
    for kind in [EXT4, XFS] {
        let fsync = libc::SYS_fsync.to_string();
        let Some(problem) = caught(kind, "no-fsync", &fsync, settings) else { return };
        println!("{problem}");
    }
}

/// With segments that are zeroed before, nothing would show: see above.
#[test]
fn sizes_and_extents_that_are_not_durable_are_caught() {
    for (kind, preparation) in [(EXT4, Preparation::None), (XFS, Preparation::Allocate)] {
        let settings = owner_with(preparation, Durability::Fdatasync);
        let fdatasync = libc::SYS_fdatasync.to_string();
        let Some(problem) = caught(kind, "no-fdatasync", &fdatasync, settings) else { return };
        println!("{problem}");
    }
}

#[test]
fn a_test_that_panics_leaves_no_mount_and_no_loop_device_behind() {
    let Some(mounted) = EXT4.mounted("panics") else { return };
    let (mount_point, device) = (path_text(&mounted.mount_point), mounted.device.clone());
    let mounts = || std::fs::read_to_string("/proc/self/mounts").expect("readable");
    assert!(mounts().contains(&mount_point));
    let in_use = thread::spawn(move || {
        let _in_use = std::fs::File::create(mounted.mount_point.join("file")).expect("writable");
        panic!("on purpose");
    });
    assert!(in_use.join().is_err());
    assert!(!mounts().contains(&mount_point));
    // Where nothing is attached the command fails; another test may be quick to use the device, and
    // one that has just looked at it keeps it from being detached for a moment (losetup(8)).
    let query = ["losetup", "--list", "--noheadings", "--output", "BACK-FILE", &device];
    let is_attached = || run(&query).is_ok_and(|file| file.contains("panics"));
    let give_up = Instant::now() + Duration::from_secs(20);
    while is_attached() {
        assert!(Instant::now() < give_up, "{device} is attached");
        thread::sleep(Duration::from_millis(1));
    }
    std::fs::remove_dir_all(mount_point.trim_end_matches("/mnt")).expect("kept by the panic");
}
