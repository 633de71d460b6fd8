//! Threads and tasks that share one log, in orders that a scheduler thinks of: nobody sleeps for
//! ever, everybody is told the truth, and a power cut at any point takes nothing that was
//! acknowledged; and the seeded bugs between threads that this has to catch.
//!
//! Compiled with `--cfg shuttle` only; `scripts/schedules` runs it. A misstep names its seed:
//! `PLIMSOLL_SEED=17 scripts/schedules` runs that story alone; `PLIMSOLL_FIRST_SEED` and
//! `PLIMSOLL_SEEDS` set the range.
#![cfg(shuttle)]
#![allow(clippy::print_stderr, reason = "what was explored is worth seeing")]

use std::{
    env,
    ops::Range,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Instant,
};

use plimsoll::simulated::{Explored, Misstep, Sabotage, Schedules};

const SEEDS: u64 = 60_000;
const IMAGES_PER_SEED: usize = 6;
/// Stories that a worker takes at once.
const SEEDS_AT_ONCE: u64 = 20;
/// Stories in which a seeded bug has to show.
const SEEDS_FOR_A_BUG: u64 = 20_000;

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Runs the stories on every core, and stops at the first misstep.
fn explore(seeds: Range<u64>, sabotage: Option<Sabotage>) -> Result<Explored, Misstep> {
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicBool::new(false);
    let worker = || {
        let mut total = Explored::default();
        while !failed.load(Ordering::Relaxed) {
            let first = next.fetch_add(SEEDS_AT_ONCE, Ordering::Relaxed);
            if first >= seeds.end {
                break;
            }
            let seeds = first..seeds.end.min(first + SEEDS_AT_ONCE);
            let schedules = Schedules { seeds, images_per_seed: IMAGES_PER_SEED, sabotage };
            let part = schedules.run().inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            total.add(&part);
        }
        Ok(total)
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        let mut total = Explored::default();
        for result in running {
            total.add(&result.join().expect("a worker does not panic")?);
        }
        Ok(total)
    })
}

#[test]
fn everybody_is_told_the_truth_in_every_order() {
    let seeds = match number("PLIMSOLL_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("PLIMSOLL_FIRST_SEED").unwrap_or(0);
            first..first + number("PLIMSOLL_SEEDS").unwrap_or(SEEDS)
        }
    };
    let begun = Instant::now();
    let explored = match explore(seeds.clone(), None) {
        Ok(explored) => explored,
        Err(misstep) => {
            panic!("{misstep}\nrun it again alone with PLIMSOLL_SEED={}", misstep.seed)
        }
    };
    let Explored { stories, choices, answers, images, poisoned, abandoned, .. } = explored;
    eprintln!(
        "seeds {seeds:?}: {stories} stories of {} choices each, {answers} answers held against the \
         disk, {images} power cuts, in {:.1} s; {poisoned} logs were poisoned and {abandoned} \
         abandoned",
        choices / stories,
        begun.elapsed().as_secs_f64()
    );
    assert_eq!(stories, seeds.end - seeds.start);
    if stories > 1000 {
        assert!(choices > 100 * stories, "{explored:?}");
        assert!(answers > 4 * stories, "{explored:?}");
        assert!(poisoned * 20 > stories && abandoned * 20 > stories, "{explored:?}");
    }
}

#[test]
fn a_seed_is_a_story_that_can_be_told_again() {
    let tell = || {
        let schedules = Schedules { seeds: 0..200, images_per_seed: 1, sabotage: None };
        schedules.run().unwrap_or_else(|misstep| panic!("{misstep}"))
    };
    assert_eq!(tell(), tell());
}

#[test]
fn every_seeded_bug_between_threads_is_caught() {
    if number("PLIMSOLL_SEED").is_some() {
        return;
    }
    for sabotage in Sabotage::BETWEEN_THREADS {
        match explore(0..SEEDS_FOR_A_BUG, Some(sabotage)) {
            Err(Misstep { seed, problem, .. }) => {
                eprintln!("{sabotage:?} is caught by seed {seed}: {problem}");
            }
            Ok(explored) => panic!("{sabotage:?} survives: {explored:?}"),
        }
    }
}
