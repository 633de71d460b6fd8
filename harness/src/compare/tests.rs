//! What a verdict is worth: regressions that are there are found, and ones that are not are not,
//! with the noise of a real machine.

use std::thread;

use jiff::Timestamp;

use super::judge::{Comparison, Runs, Verdict, judge};
use crate::stats::Bootstrap;
use crate::stats::truth::{Machine, TRIAL_SIGMA};
use crate::store::measured::{Measured, StoredRun};
use crate::store::schema::{TrialResult, TrialStatus};
use crate::store::synthetic::SyntheticRun;

/// Rounds of `scripts/nightly`: each a block of BASE and a block of NEW.
const ROUNDS: u32 = 150;

/// A block of four configurations between two sentinels: a run with one block, as the script makes.
const RUN_SECONDS: f64 = 5.0;
const TRIAL_SECONDS: f64 = 0.4;

/// Fewer than the program draws: the ends of an interval are coarser, not elsewhere.
const BOOTSTRAP: Bootstrap = Bootstrap { resamples: 1_000, seed: 1 };

/// A build as a machine sees it: what its rates are multiplied by.
#[derive(Clone, Copy)]
struct Build(f64);

/// Two builds measured in turns, in either order, on a machine that drifts.
fn in_turns(machine: &mut Machine, rounds: u32, base: Build, new: Build) -> [Measured; 2] {
    let template = SyntheticRun::build(
        &[("engine", &["uring", "blocking"]), ("encryption", &["false", "true"])],
        1,
    );
    let side = |name: &str| Measured {
        name: name.to_owned(),
        runs: vec![StoredRun { manifest: template.manifest.clone(), trials: Vec::new() }],
    };
    let mut sides = [side("base"), side("new")];
    for round in 0..rounds {
        let first = (round % 2) as usize;
        for (turn, which) in [first, 1 - first].into_iter().enumerate() {
            let build = [base, new][which];
            let began = f64::from(round) * 2.0 * RUN_SECONDS + turn as f64 * RUN_SECONDS;
            let trials = block(machine, &template.trials, build, round, began);
            sides[which].runs[0].trials.extend(trials);
            let blocks = template.trials.len() as f64 * TRIAL_SECONDS;
            machine.after(RUN_SECONDS - blocks);
        }
    }
    for side in &mut sides {
        side.runs[0].manifest.plan.blocks = rounds;
    }
    sides
}

fn block(
    machine: &mut Machine,
    template: &[TrialResult],
    build: Build,
    block: u32,
    began_seconds: f64,
) -> Vec<TrialResult> {
    let mut seconds = began_seconds;
    let trial = |trial: &TrialResult| {
        let speed = (machine.after(TRIAL_SECONDS) + machine.quick(TRIAL_SIGMA)).exp() * build.0;
        seconds += TRIAL_SECONDS;
        let mut trial = trial.clone();
        trial.block = block;
        trial.disturbed = false;
        trial.started_utc = at(seconds);
        trial.rate_per_second = 30_000.0 * speed;
        // A closed loop: each client waits for its commit. The tail has noise of its own.
        trial.latency.p50_us = 100.0 / speed;
        trial.latency.p99_us = Some(300.0 / speed * machine.quick(TRIAL_SIGMA).exp());
        trial.latency.p999_us = None;
        trial.device_bytes_per_payload_byte = 4.4 * machine.quick(0.04).exp();
        trial
    };
    template.iter().map(trial).collect()
}

fn at(seconds: f64) -> String {
    let start = Timestamp::from_second(1_780_000_000).expect("a time");
    let passed = jiff::SignedDuration::from_secs_f64(seconds);
    (start + passed).to_string()
}

/// A night: both builds in turns and, if something is suspected, both once more.
fn night(machine: &mut Machine, base: Build, new: Build) -> Comparison {
    let [first_base, first_new] = in_turns(machine, ROUNDS, base, new);
    let mut runs =
        Runs { base: &first_base, new: &first_new, again: None, base_again: None, noise: None };
    let comparison = judge(&runs, &BOOTSTRAP);
    if comparison.verdict != Verdict::Suspected {
        return comparison;
    }
    machine.after(60.0);
    let [base_again, again] = in_turns(machine, ROUNDS, base, new);
    (runs.again, runs.base_again) = (Some(&again), Some(&base_again));
    judge(&runs, &BOOTSTRAP)
}

/// The verdicts of 100 seeded nights.
fn nights(seed: u64, base: Build, new: Build) -> Vec<Verdict> {
    let of = |seeds: std::ops::Range<u64>| -> Vec<Verdict> {
        seeds.map(|n| night(&mut Machine::new(seed * 1_000 + n), base, new).verdict).collect()
    };
    thread::scope(|scope| {
        let half = scope.spawn(|| of(0..50));
        let mut all = of(50..100);
        all.extend(half.join().expect("no panic"));
        all
    })
}

fn count(verdicts: &[Verdict], wanted: &[Verdict]) -> usize {
    verdicts.iter().filter(|verdict| wanted.contains(verdict)).count()
}

/// The promise of the gate.
#[test]
fn a_regression_of_5_percent_is_found_in_95_of_100_nights() {
    let verdicts = nights(1, Build(1.0), Build(0.95));
    let found = count(&verdicts, &[Verdict::Regression]);
    assert!(found >= 95, "{found} of 100: {verdicts:?}");
}

/// And its other half: equal builds. Most nights pass; a suspicion costs a rerun and no alarm.
#[test]
fn equal_builds_raise_at_most_5_alarms_in_100_nights() {
    let verdicts = nights(2, Build(1.0), Build(1.0));
    let alarms = count(&verdicts, &[Verdict::Regression, Verdict::Broken]);
    assert!(alarms <= 5, "{alarms} of 100: {verdicts:?}");
    let passes = count(&verdicts, &[Verdict::Pass]);
    assert!(passes >= 80, "{passes} of 100 pass: {verdicts:?}");
}

/// The control: a gate that cannot fail would pass everything. Without turns, nine blocks on this
/// machine can neither see nor exclude 5 %, and it says so.
#[test]
fn nine_blocks_on_a_drifting_machine_do_not_pass() {
    let verdicts: Vec<Verdict> = (0..40)
        .map(|seed| {
            let mut machine = Machine::new(seed);
            let [base, new] = in_turns(&mut machine, 9, Build(1.0), Build(0.95));
            let (again, base_again, noise) = (None, None, None);
            judge(&Runs { base: &base, new: &new, again, base_again, noise }, &BOOTSTRAP).verdict
        })
        .collect();
    let passes = count(&verdicts, &[Verdict::Pass]);
    assert!(passes <= 4, "{passes} of 40 pass");
    assert!(count(&verdicts, &[Verdict::Inconclusive]) >= 20, "{verdicts:?}");
}

/// A faster build is no regression, and is said to be faster.
#[test]
fn an_improvement_passes() {
    let found = night(&mut Machine::new(7), Build(1.0), Build(1.10));
    assert_eq!(found.verdict, Verdict::Pass, "{}", found.headline);
    assert!(found.headline.contains("faster"), "{}", found.headline);
}

#[test]
fn a_rerun_that_does_not_show_it_confirms_nothing() {
    let mut machine = Machine::new(3);
    let [base, slow] = in_turns(&mut machine, ROUNDS, Build(1.0), Build(0.9));
    let [base_again, fine] = in_turns(&mut machine, ROUNDS, Build(1.0), Build(1.0));
    let mut runs = Runs { base: &base, new: &slow, again: None, base_again: None, noise: None };
    let first = judge(&runs, &BOOTSTRAP);
    assert_eq!(first.verdict, Verdict::Suspected, "{}", first.headline);
    assert!(first.next.contains("--confirm"), "{}", first.next);
    (runs.again, runs.base_again) = (Some(&fine), Some(&base_again));
    let second = judge(&runs, &BOOTSTRAP);
    assert_eq!(second.verdict, Verdict::NotConfirmed, "{}", second.headline);
}

/// Many small things that a noise floor says are nothing: an A/A run that lies 15 % apart.
#[test]
fn what_an_aa_run_does_by_itself_is_no_regression() {
    let mut machine = Machine::new(4);
    let [base, new] = in_turns(&mut machine, ROUNDS, Build(1.0), Build(0.95));
    let [_, noise] = in_turns(&mut machine, ROUNDS, Build(1.0), Build(0.85));
    let (again, base_again) = (None, None);
    let without = Runs { base: &base, new: &new, again, base_again, noise: None };
    assert_eq!(judge(&without, &BOOTSTRAP).verdict, Verdict::Suspected);
    let with = Runs { noise: Some(&noise), ..without };
    let found = judge(&with, &BOOTSTRAP);
    assert_ne!(found.verdict, Verdict::Suspected, "{}", found.headline);
    assert!(found.rows[0].threshold_ratio > 0.05, "{:?}", found.rows[0]);
}

fn with_status(status: &TrialStatus) -> Comparison {
    let mut machine = Machine::new(5);
    let [base, mut new] = in_turns(&mut machine, 9, Build(1.0), Build(1.0));
    for trial in new.runs[0].trials.iter_mut().filter(|trial| trial.config_id == "c02") {
        trial.status = status.clone();
    }
    let (again, base_again, noise) = (None, None, None);
    judge(&Runs { base: &base, new: &new, again, base_again, noise }, &BOOTSTRAP)
}

#[test]
fn a_lost_record_or_a_new_refusal_matters_more_than_speed() {
    let reason = "record 7 is missing".to_owned();
    let failed = with_status(&TrialStatus::Failed { reason });
    assert_eq!(failed.verdict, Verdict::Broken);
    assert!(failed.headline.contains("c02") && failed.headline.contains("record 7 is missing"));
    let refused = with_status(&TrialStatus::Refused { reason: "no such engine".to_owned() });
    assert_eq!(refused.verdict, Verdict::Broken);
    assert!(refused.headline.contains("ran in BASE and is refused in NEW"), "{refused:?}");
    assert_eq!(refused.configurations, 3);
    let reason = "the backlog grew".to_owned();
    for status in [
        TrialStatus::Overloaded { reason: reason.clone() },
        TrialStatus::Invalid { reason: reason.clone() },
    ] {
        let overloaded = with_status(&status);
        assert_eq!((overloaded.verdict, overloaded.configurations), (Verdict::Broken, 3));
        assert!(overloaded.headline.contains("kept its rate in BASE"), "{overloaded:?}");
    }
}

#[test]
fn a_machine_under_other_load_gives_no_verdict() {
    let mut machine = Machine::new(6);
    let [base, mut new] = in_turns(&mut machine, ROUNDS, Build(1.0), Build(0.8));
    for trial in &mut new.runs[0].trials {
        trial.disturbed = true;
    }
    let (again, base_again, noise) = (None, None, None);
    let found = judge(&Runs { base: &base, new: &new, again, base_again, noise }, &BOOTSTRAP);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(found.headline.contains("other work in most trials"), "{}", found.headline);
}

/// Two runs an hour apart, and a disk that was slower by itself in the second: that is no
/// regression of the log, and no pass either.
#[test]
fn a_device_that_changed_by_itself_gives_no_verdict() {
    let mut machine = Machine::new(10);
    let [base, mut new] = in_turns(&mut machine, ROUNDS, Build(1.0), Build(0.8));
    let verdict = |new: &Measured| {
        let (again, base_again, noise) = (None, None, None);
        judge(&Runs { base: &base, new, again, base_again, noise }, &BOOTSTRAP)
    };
    let ceiling = |new: &mut Measured| {
        let ceiling = new.runs[0].manifest.ceiling.as_mut().expect("measured");
        ceiling.durable_writes_per_second *= 0.8;
    };
    for trial in &mut new.runs[0].trials {
        let hour_later = trial.started_utc.parse::<Timestamp>().expect("a time");
        trial.started_utc = (hour_later + jiff::SignedDuration::from_hours(1)).to_string();
    }
    let fine = verdict(&new);
    assert_eq!((fine.verdict, fine.in_turns), (Verdict::Suspected, false), "{}", fine.headline);
    ceiling(&mut new);
    let found = verdict(&new);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(found.headline.contains("the device itself changed"), "{}", found.headline);
    // In turns the same slower disk happens to both, and takes nothing away.
    let [base, mut new] = in_turns(&mut machine, ROUNDS, Build(1.0), Build(0.8));
    ceiling(&mut new);
    let (again, base_again, noise) = (None, None, None);
    let runs = Runs { base: &base, new: &new, again, base_again, noise };
    assert_eq!(judge(&runs, &BOOTSTRAP).verdict, Verdict::Suspected);
}

#[test]
fn a_percentile_that_one_block_does_not_support_is_left_out() {
    let mut machine = Machine::new(8);
    let [base, mut new] = in_turns(&mut machine, 9, Build(1.0), Build(1.0));
    new.runs[0].trials[2].latency.p99_us = None;
    let config = new.runs[0].trials[2].config_id.clone();
    let (again, base_again, noise) = (None, None, None);
    let found = judge(&Runs { base: &base, new: &new, again, base_again, noise }, &BOOTSTRAP);
    let p99 = |id: &str| {
        let quantity = crate::store::quantity::Quantity::P99;
        found
            .rows
            .iter()
            .any(|row| row.config_id.as_deref() == Some(id) && row.quantity == quantity)
    };
    let others = ["c00", "c01", "c02", "c03"].into_iter().filter(|id| *id != config);
    assert!(!p99(&config) && others.into_iter().all(p99));
}

#[test]
fn every_format_says_the_same() {
    let found = night(&mut Machine::new(9), Build(1.0), Build(0.9));
    assert_eq!(found.verdict, Verdict::Regression);
    let text = super::show::text(&found);
    assert!(text.starts_with("Regression: rate of all configurations -1"), "{text}");
    assert!(text.lines().nth(1).is_some_and(|line| line.contains("git bisect")), "{text}");
    assert!(text.contains("WORSE, confirmed"), "{text}");
    let markdown = super::show::markdown(&found);
    assert!(markdown.starts_with("### ❌ Regression: ") && markdown.contains("| rate | "));
    let json: serde_json::Value =
        serde_json::from_str(&super::show::json(&found).expect("JSON")).expect("JSON");
    assert_eq!(json["verdict"], "regression");
    assert_eq!(json["rows"][0]["finding"], "worse");
    let junit = super::show::junit(&found).expect("XML");
    assert!(junit.contains("name=\"verdict\"") && junit.contains("<failure"), "{junit}");
    let bigger = super::show::github(&found, true).expect("JSON");
    let rate = found.rows[0].new.value;
    assert!(
        bigger.contains("quick/all configurations: rate") && bigger.contains(&format!("{rate}"))
    );
    let bmf = super::show::bencher_metrics(&found).expect("JSON");
    assert!(bmf.contains("\"latency-p99-us\"") && bmf.contains("\"lower_value\""), "{bmf}");
}
