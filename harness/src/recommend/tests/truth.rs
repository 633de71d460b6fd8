//! What an answer is worth, with the noise of a real machine: interactions that are there are found
//! and others are not, and two runs of the same recommend what does equally well.

use super::*;
use crate::recommend::interactions::interactions;
use crate::stats::mean;
use crate::stats::truth::{Machine, TRIAL_SIGMA};
use crate::store::schema::{Interaction, Settings};

const SEEDS: u64 = 100;

/// Fewer than the program draws: the ends of an interval are coarser, not elsewhere.
const BOOTSTRAP: Bootstrap = Bootstrap { resamples: 500, seed: 1 };

/// A trial of `profiles/quick.toml`, with what lies between two of them.
const TRIAL_SECONDS: f64 = 0.2;

/// p99 is noisier than the rate.
const P99_SIGMA: f64 = 2.0 * TRIAL_SIGMA;

/// The trials of a plan on a machine that drifts, by the true rates.
fn on_a_drifting_machine(
    plan: &SyntheticRun,
    seed: u64,
    rate: impl Fn(&Settings) -> f64,
) -> Vec<TrialResult> {
    let mut machine = Machine::new(seed);
    let mut trials = plan.trials.clone();
    // Trials are stored in the order they ran, which differs from block to block.
    for trial in &mut trials {
        let known = plan.manifest.plan.configurations.iter().find(|c| c.id == trial.config_id);
        let drift = machine.after(TRIAL_SECONDS);
        let own = rate(&known.expect("planned").settings) * drift.exp();
        trial.rate_per_second = own * machine.quick(TRIAL_SIGMA).exp();
        trial.latency.p99_us = Some(1e7 / own * machine.quick(P99_SIGMA).exp());
        trial.latency.p999_us = None;
        trial.disturbed = false;
    }
    trials
}

/// The axes of `profiles/quick.toml`.
const QUICK: [(&str, &[&str]); 6] = [
    ("alignment", &["4KiB", "16KiB"]),
    ("buffer_size", &["64KiB", "1MiB"]),
    ("commit_window", &["0us", "100us"]),
    ("segment_size", &["4MiB", "16MiB"]),
    ("encryption", &["false", "true"]),
    ("engine", &["blocking", "uring"]),
];

/// Rates with main effects, and with `interaction` between the window and the engine.
fn with_interaction(settings: &Settings, interaction: f64) -> f64 {
    let (window, uring) = (settings.commit_window_us > 0, settings.engine == "uring");
    let mut rate = 15_000.0;
    rate *= if window { 0.63 } else { 1.0 };
    rate *= if uring { 0.9 } else { 1.0 };
    rate * if window && uring { interaction } else { 1.0 }
}

fn found(plan: &SyntheticRun, seed: u64, interaction: f64) -> Vec<Interaction> {
    let trials = on_a_drifting_machine(plan, seed, |s| with_interaction(s, interaction));
    let observations = Observations::new(&plan.manifest.plan, &trials);
    let all = interactions(&observations, &BOOTSTRAP).expect("a full grid");
    assert_eq!(all.tested, 30, "15 pairs, for rate and p99");
    all.found
}

#[test]
fn an_interaction_of_a_tenth_is_found_in_95_of_100_runs_and_none_is_in_95_of_100_without() {
    let is_it = |found: &Interaction| {
        let axes = [found.axis.as_str(), found.other_axis.as_str()];
        axes == ["commit_window", "engine"] && found.metric == "rate"
    };
    let plan = SyntheticRun::build(&QUICK, 9);
    let there = (0..SEEDS).filter(|seed| found(&plan, *seed, 1.10).iter().any(is_it)).count();
    let false_alarms =
        (0..SEEDS).filter(|seed| !found(&plan, 1_000 + seed, 1.0).is_empty()).count();
    assert!(there >= 95, "{there} of {SEEDS}");
    assert!(false_alarms <= 5, "{false_alarms} of {SEEDS}");
}

#[test]
fn an_interaction_is_told_by_what_it_means() {
    let all = found(&SyntheticRun::build(&QUICK, 9), 7, 1.7);
    let rate = all.iter().find(|found| found.metric == "rate").expect("it is large");
    let ratio = rate.interaction_ratio;
    assert!((ratio.value / 1.7 - 1.0).abs() < 0.1, "{rate:?}");
    assert!(ratio.low < ratio.value && ratio.value < ratio.high && rate.adjusted_p < 0.001);
    // 0.63 and 0.63 · 1.7.
    assert!((rate.ratio_at_baseline / 0.63 - 1.0).abs() < 0.1, "{rate:?}");
    assert!((rate.ratio_at_other_level / 1.071 - 1.0).abs() < 0.1, "{rate:?}");
    let told = "commit_window pays with engine uring only: 100us against 0us changes commits by +";
    assert!(rate.sentence.starts_with(told), "{}", rate.sentence);
}

/// Of two configurations in one run, the ratio of rates that their own intervals allow.
fn allowed(analysis: &Analysis, from: &str, to: &str) -> (f64, f64) {
    let rate = |id: &str| {
        let own = analysis.configurations.iter().find(|own| own.config_id == id);
        own.and_then(|own| own.rate_per_second).expect("measured")
    };
    let (from, to) = (rate(from), rate(to));
    (to.low / from.high, to.high / from.low)
}

#[test]
fn two_runs_of_the_same_recommend_what_does_equally_well_in_95_of_100() {
    let axes: [(&str, &[&str]); 4] = [
        ("alignment", &["4KiB", "16KiB"]),
        ("commit_window", &["0us", "100us"]),
        ("segment_size", &["4MiB", "16MiB"]),
        ("engine", &["blocking", "uring"]),
    ];
    let truth = |settings: &Settings| {
        let aligned = if settings.alignment_bytes > 4096 { 0.95 } else { 1.0 };
        let segment = if settings.segment_size_bytes > 4 << 20 { 1.03 } else { 1.0 };
        with_interaction(settings, 1.1) * aligned * segment
    };
    let (five, nine) = (SyntheticRun::build(&axes, 5), SyntheticRun::build(&axes, 9));
    let quick = |seed| {
        let trials = on_a_drifting_machine(&five, seed, truth);
        let resampling = Resampling { quick: BOOTSTRAP, fine: BOOTSTRAP };
        let question = Question::default();
        analyse_with(&five.manifest, &trials, &BTreeMap::new(), &question, resampling)
    };
    let mut different = 0;
    let agree = (0..SEEDS)
        .filter(|seed| {
            let runs = [quick(2 * seed), quick(2 * seed + 1)];
            let [one, two] = [0, 1].map(|run| choice(&runs[run]).config_id.clone());
            different += u32::from(one != two);
            let ratio = measured_in_turns(&nine, 10_000 + seed, truth, &one, &two);
            runs.iter().all(|run| {
                let (low, high) = allowed(run, &one, &two);
                // What is measured, and that there is no difference at all.
                (low..=high).contains(&ratio) && (low..=high).contains(&1.0)
            })
        })
        .count();
    assert!(agree >= 95, "{agree} of {SEEDS}, and {different} recommended something else");
}

/// The two measured against each other, in nine blocks.
fn measured_in_turns(
    plan: &SyntheticRun,
    seed: u64,
    truth: impl Fn(&Settings) -> f64,
    one: &str,
    two: &str,
) -> f64 {
    let trials = on_a_drifting_machine(plan, seed, truth);
    let logs: Vec<f64> = (0..9)
        .map(|block| {
            let of = |id: &str| {
                let own = |trial: &&TrialResult| {
                    trial.block == block && !trial.sentinel && trial.config_id == id
                };
                trials.iter().find(own).expect("measured").rate_per_second
            };
            (of(two) / of(one)).ln()
        })
        .collect();
    mean(&logs).expect("blocks").exp()
}
