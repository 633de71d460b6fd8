//! The crash matrix: power cut at millions of points in generated lives of a log, each outcome held
//! against what had been acknowledged; and the seeded bugs that it has to catch.
//!
//! A violation names its seed. `PLIMSOLL_SEED=17 cargo test --test crash_matrix` runs that history
//! alone; `PLIMSOLL_FIRST_SEED` and `PLIMSOLL_SEEDS` set the range (`scripts/crash-nightly`).
#![allow(clippy::print_stderr, reason = "what was explored is worth seeing")]

use std::{
    env,
    ops::Range,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Instant,
};

use plimsoll::{
    Preparation, SegmentedWalConfig,
    simulated::{CrashMatrix, Outcome, Sabotage, Violation},
};

const SEEDS: u64 = 20_000;
const IMAGES_PER_SEED: usize = 101;
/// Histories that a worker takes at once.
const SEEDS_AT_ONCE: u64 = 50;
/// Histories in which a seeded bug has to show.
const SEEDS_FOR_A_BUG: u64 = 4000;

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Runs the histories on every core, and stops at the first violation.
fn explore(seeds: Range<u64>, sabotage: Option<Sabotage>) -> Result<Outcome, Violation> {
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicBool::new(false);
    let worker = || {
        let mut total = Outcome::default();
        while !failed.load(Ordering::Relaxed) {
            let first = next.fetch_add(SEEDS_AT_ONCE, Ordering::Relaxed);
            if first >= seeds.end {
                break;
            }
            let seeds = first..seeds.end.min(first + SEEDS_AT_ONCE);
            let matrix =
                CrashMatrix { seeds, images_per_seed: IMAGES_PER_SEED, sabotage, settings: None };
            let part = matrix.run().inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            total.add(&part);
        }
        Ok(total)
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        let mut total = Outcome::default();
        for result in running {
            total.add(&result.join().expect("a worker does not panic")?);
        }
        Ok(total)
    })
}

#[test]
fn nothing_acknowledged_is_ever_lost() {
    let seeds = match number("PLIMSOLL_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("PLIMSOLL_FIRST_SEED").unwrap_or(0);
            first..first + number("PLIMSOLL_SEEDS").unwrap_or(SEEDS)
        }
    };
    let begun = Instant::now();
    let outcome = match explore(seeds.clone(), None) {
        Ok(outcome) => outcome,
        Err(violation) => {
            panic!("{violation}\nrun it again alone with PLIMSOLL_SEED={}", violation.seed)
        }
    };
    let Outcome { lives, images, damaged, refused, residue, opened, records, .. } = outcome;
    let Outcome { residue_of_several, residue_batches_at_most, .. } = outcome;
    eprintln!(
        "seeds {seeds:?}: {lives} lives, {images} images with {records} acknowledged records in \
         {:.1} s; {opened} opened and crashed again; {damaged} damaged, of which {refused} were \
         refused and {residue} ended early with nothing left to tell of it: one acknowledged batch \
         short, but for {residue_of_several} that were up to {residue_batches_at_most} short",
        begun.elapsed().as_secs_f64()
    );
    assert_eq!(images, (seeds.end - seeds.start) * IMAGES_PER_SEED as u64);
    if seeds.end - seeds.start > 1000 {
        assert!(damaged * 10 > images, "{outcome:?}");
        assert!(refused * 2 > damaged, "damage is noticed: {outcome:?}");
        assert!(residue * 10 < damaged, "what cannot be noticed is rare: {outcome:?}");
    }
}

#[test]
fn every_seeded_bug_is_caught() {
    if number("PLIMSOLL_SEED").is_some() {
        return;
    }
    for sabotage in Sabotage::ALL {
        match explore(0..SEEDS_FOR_A_BUG, Some(sabotage)) {
            Err(Violation { seed, problem, .. }) => {
                eprintln!("{sabotage:?} is caught by seed {seed}: {problem}");
            }
            Ok(outcome) => panic!("{sabotage:?} survives: {outcome:?}"),
        }
    }
}

/// Segments that are deleted in several steps, and filled by records of their own scale.
#[test]
fn given_settings_are_explored_with_their_own_sizes() {
    if number("PLIMSOLL_SEED").is_some() {
        return;
    }
    let mut settings = SegmentedWalConfig::new("unused");
    settings.segment_size = 2 << 20;
    settings.preparation = Preparation::Zero;
    let settings = Some(settings);
    let matrix = CrashMatrix { seeds: 0..12, images_per_seed: 10, sabotage: None, settings };
    let outcome = matrix.run().unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!((outcome.seeds, outcome.images), (12, 120), "{outcome:?}");
    let lost = CrashMatrix { sabotage: Some(Sabotage::NoFlush), ..matrix };
    assert!(lost.run().is_err(), "the same without a flush");
}
