//! Threads and tasks that share one log, in orders that a scheduler thinks of: nobody sleeps for
//! ever, everybody is told the truth, and a power cut at any point takes nothing that was
//! acknowledged; and the seeded bugs between threads that this has to catch.
//!
//! Compiled with `--cfg shuttle` only; `scripts/schedules` runs it. A misstep names its seed:
//! `PLIMSOLL_SEED=17 scripts/schedules` runs that story alone; `PLIMSOLL_FIRST_SEED` and
//! `PLIMSOLL_SEEDS` set the range.
#![cfg(shuttle)]
#![allow(clippy::print_stderr, reason = "what was explored is worth seeing")]

#[path = "common/seeds.rs"]
mod seeds;

use std::{ops::Range, time::Instant};

use plimsoll::simulated::{Explored, Misstep, Sabotage, Schedules};

const SEEDS: u64 = 60_000;
const IMAGES_PER_SEED: usize = 6;
/// Stories that a worker takes at once.
const SEEDS_AT_ONCE: u64 = 20;
/// Stories in which a seeded bug has to show.
const SEEDS_FOR_A_BUG: u64 = 20_000;

/// Runs the stories on every core, and stops at the first misstep.
fn explore(seeds: Range<u64>, sabotage: Option<Sabotage>) -> Result<Explored, Misstep> {
    let parts = seeds::on_every_core(seeds, SEEDS_AT_ONCE, |seeds| {
        Schedules { seeds, images_per_seed: IMAGES_PER_SEED, sabotage }.run()
    })?;
    let mut total = Explored::default();
    parts.iter().for_each(|part| total.add(part));
    Ok(total)
}

#[test]
fn everybody_is_told_the_truth_in_every_order() {
    let seeds = seeds::asked_for(SEEDS);
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
    if seeds::one_alone() {
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
