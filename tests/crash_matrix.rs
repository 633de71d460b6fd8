//! The crash matrix: power cut at millions of points in generated lives of a log, each outcome held
//! against what had been acknowledged; and the seeded bugs that it has to catch.
//!
//! A violation names its seed. `PLIMSOLL_SEED=17 cargo test --test crash_matrix` runs that history
//! alone; `PLIMSOLL_FIRST_SEED` and `PLIMSOLL_SEEDS` set the range (`scripts/crash-nightly`).
#![allow(clippy::print_stderr, reason = "what was explored is worth seeing")]

#[path = "common/seeds.rs"]
mod seeds;

use std::{ops::Range, time::Instant};

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

/// Runs the histories on every core, and stops at the first violation.
fn explore(seeds: Range<u64>, sabotage: Option<Sabotage>) -> Result<Outcome, Violation> {
    let parts = seeds::on_every_core(seeds, SEEDS_AT_ONCE, |seeds| {
        CrashMatrix { seeds, images_per_seed: IMAGES_PER_SEED, sabotage, settings: None }.run()
    })?;
    let mut total = Outcome::default();
    parts.iter().for_each(|part| total.add(part));
    Ok(total)
}

#[test]
fn nothing_acknowledged_is_ever_lost() {
    let seeds = seeds::asked_for(SEEDS);
    let begun = Instant::now();
    let outcome = match explore(seeds.clone(), None) {
        Ok(outcome) => outcome,
        Err(violation) => {
            panic!("{violation}\nrun it again alone with PLIMSOLL_SEED={}", violation.seed)
        }
    };
    let Outcome { lives, images, damaged, refused, residue, opened, records, .. } = outcome;
    let Outcome { residue_of_several, residue_batches_at_most, refused_by_reading, .. } = outcome;
    eprintln!(
        "seeds {seeds:?}: {lives} lives, {images} images with {records} acknowledged records in \
         {:.1} s; {opened} opened and crashed again; {damaged} damaged, of which {refused} were \
         refused, {refused_by_reading} opened and refused by reading, and {residue} ended early with nothing left to tell of it: one acknowledged batch \
         short, but for {residue_of_several} that were up to {residue_batches_at_most} short",
        begun.elapsed().as_secs_f64()
    );
    assert_eq!(images, (seeds.end - seeds.start) * IMAGES_PER_SEED as u64);
    if seeds.end - seeds.start > 1000 {
        assert!(damaged * 10 > images, "{outcome:?}");
        assert!((refused + refused_by_reading) * 2 > damaged, "damage is noticed: {outcome:?}");
        assert!(refused_by_reading * 20 > damaged, "older segments are damaged, too: {outcome:?}");
        assert!(residue * 10 < damaged, "what cannot be noticed is rare: {outcome:?}");
    }
}

#[test]
fn every_seeded_bug_is_caught() {
    if seeds::one_alone() {
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
    if seeds::one_alone() {
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
