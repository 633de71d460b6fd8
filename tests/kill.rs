//! A writer that is killed at any moment has lost nothing that it acknowledged. A child process
//! commits and says so over a pipe; the parent kills it, opens the log and compares.
#![allow(clippy::print_stdout, reason = "what was tried, and what was caught")]

mod common;

use std::thread;

use common::{
    TestDir,
    child::{Heard, Living, Start},
    life::{self, Settings, Way},
    random::Random,
    replay,
    witness::Witness,
};
use plimsoll::SegmentedWal;

const CYCLES: u64 = 500;
/// Lives of one log before another one is begun, so that many openings are a log's first.
const LIVES_OF_A_LOG: u64 = 25;
/// Repeats a run that failed.
const SEED: &str = "PLIMSOLL_KILL_SEED";

#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn a_life() {
    life::live();
}

/// When a writer is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So many acknowledgements after it has opened the log; while it is opened, if there are none.
    Acknowledged(u64),
    /// As it begins its n-th truncation.
    Truncating(u64),
    /// As it begins to close the log.
    Closing,
}

impl Moment {
    fn drawn(random: &mut Random) -> Self {
        match random.below(8) {
            0 | 1 => Self::Acknowledged(0),
            2 => Self::Truncating(1 + random.below(3)),
            3 => Self::Closing,
            _ => Self::Acknowledged(1 + random.below(150)),
        }
    }

    /// Appends of a client, where the log is to be closed.
    fn appends(self, random: &mut Random) -> Option<u64> {
        matches!(self, Self::Closing).then(|| 1 + random.below(40))
    }

    /// Listens until the moment has come, or the process has ended.
    fn await_in(self, child: &mut Living, witness: &mut Witness) {
        let mut missing = match self {
            Self::Acknowledged(count) | Self::Truncating(count) => count,
            Self::Closing => 1,
        };
        while missing > 0 {
            let Some(heard) = child.hear() else { return };
            witness.hears(&heard);
            let counts = match self {
                Self::Acknowledged(_) => matches!(heard, Heard::Acknowledged(..)),
                Self::Truncating(_) => matches!(heard, Heard::Truncating(_)),
                Self::Closing => heard == Heard::Closing,
            };
            missing -= u64::from(counts);
        }
    }
}

/// Kills a writer, and holds what is left of its log against what it acknowledged.
fn killed(start: Start<'_>, moment: Moment, witness: &mut Witness, random: &mut Random) -> Outcome {
    let mut child = start.spawn();
    moment.await_in(&mut child, witness);
    let later_us = if matches!(moment, Moment::Acknowledged(0)) { 12_000 } else { 500 };
    thread::sleep(random.microseconds(later_us));
    child.kill();
    let last = child.hear_out(witness);
    let stopped = matches!(last, Some(Heard::Refused(..) | Heard::Failed(..)));
    assert!(!stopped, "it stopped by itself: {last:?}, {moment:?}, {:?}", start.settings);

    let config = Settings::drawn(random).config(start.dir);
    let wal = SegmentedWal::open(config).map_err(|refused| refused.to_string())?;
    let (floor, records) = (wal.recovery().floor.get(), replay(&wal));
    witness.examine(floor, &records)?;
    witness.kept(floor, &records);
    if random.below(4) == 0 {
        wal.close().expect("close");
    }
    Ok(!child.has_opened)
}

/// Whether it was killed before it had opened the log, or what is wrong.
type Outcome = Result<bool, String>;

/// Half of the cycles, all of them on logs of this kind.
fn cycles(kind: &str) {
    let mut random = Random::from_env(SEED);
    let (mut total, mut opening) = (0, 0);
    for log in 0..CYCLES / 2 / LIVES_OF_A_LOG {
        let dir = TestDir::new(&format!("kill-{log}-{kind}"));
        let log_dir = dir.path().join(kind);
        let mut witness = Witness::default();
        for life in 0..LIVES_OF_A_LOG {
            let settings = Settings::drawn(&mut random);
            let moment = Moment::drawn(&mut random);
            let appends = moment.appends(&mut random);
            let start = Start { appends, ..Start::new(&log_dir, life, settings) };
            match killed(start, moment, &mut witness, &mut random) {
                Ok(was_opening) => opening += u64::from(was_opening),
                Err(problem) => {
                    panic!("{problem}; log {log}, life {life}, {moment:?}, {settings:?}")
                }
            }
        }
        total += witness.total;
    }
    println!("{kind}: {total} acknowledgements, {opening} of {} killed while opening", CYCLES / 2);
    assert!(total > 10 * CYCLES, "only {total} acknowledgements in {CYCLES} lives");
    assert!(opening > 0, "nobody was killed while opening");
}

#[test]
fn a_killed_writer_has_lost_nothing_that_it_acknowledged() {
    cycles("clear");
}

#[test]
fn nor_has_one_that_seals_its_records() {
    cycles("sealed");
}

/// The control of this layer.
#[test]
fn a_writer_that_acknowledges_too_early_is_caught() {
    let mut random = Random::from_env(SEED);
    let dir = TestDir::new("kill-early");
    let settings = Settings::all().find(|settings| settings.way == Way::Tasks).expect("there is");
    let caught = (0..CYCLES).find_map(|life| {
        let mut witness = Witness::default();
        let log_dir = dir.path().join(life.to_string());
        let start = Start { early: true, ..Start::new(&log_dir, life, settings) };
        let moment = Moment::Acknowledged(1 + random.below(50));
        killed(start, moment, &mut witness, &mut random).err()
    });
    println!("caught: {}", caught.expect("nobody noticed"));
}
