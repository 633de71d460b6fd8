//! Synthetic runs with an analysis made up to fit them, and runs that no sane harness would write,
//! for the tests of the reports. Only ever compiled for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::Run;
use crate::store::certificate::Standing;
use crate::store::schema::{
    Analysis, Axis, AxisEffect, AxisVerdict, Configuration, ConfigurationSummary, Estimate,
    FrontPoint, LevelEffect, Manifest, Plan, Recommendation, Round, SCHEMA_VERSION, Steadiness,
    TrialResult, TrialStatus,
};
use crate::store::synthetic::{SyntheticRun, baseline_settings, refusal, set, true_rate};

/// A run's parts, owned.
pub(crate) struct Synthetic {
    /// See [`Run`].
    pub manifest: Manifest,
    /// See [`Run`].
    pub trials: Vec<TrialResult>,
    /// See [`Run`].
    pub analysis: Analysis,
    /// See [`Run`].
    pub latency_ns_by_config: BTreeMap<String, Histogram<u64>>,
    /// See [`Run`].
    pub interval_latency_ns: Vec<Vec<Histogram<u64>>>,
    /// See [`Run`].
    pub standing: Standing,
}

impl Synthetic {
    /// See [`SyntheticRun::full`].
    pub(crate) fn full() -> Self {
        Self::of(SyntheticRun::full())
    }

    /// See [`SyntheticRun::with_refusals`].
    pub(crate) fn with_refusals() -> Self {
        Self::of(SyntheticRun::with_refusals())
    }

    /// See [`SyntheticRun::small`].
    pub(crate) fn small() -> Self {
        Self::of(SyntheticRun::small())
    }

    /// See [`SyntheticRun::single_block`].
    pub(crate) fn single_block() -> Self {
        let mut run = Self::of(SyntheticRun::single_block());
        run.analysis.noise_floor_ratio = None;
        run
    }

    /// See [`SyntheticRun::empty`].
    pub(crate) fn empty() -> Self {
        let mut run = Self::of(SyntheticRun::empty());
        run.analysis.noise_floor_ratio = None;
        run
    }

    /// See [`SyntheticRun::all_refused`].
    pub(crate) fn all_refused() -> Self {
        let mut run = Self::of(SyntheticRun::all_refused());
        for level in run.analysis.axes.iter_mut().flat_map(|axis| &mut axis.levels) {
            level.rate_ratio = None;
            level.p99_ratio = None;
        }
        run
    }

    /// Numbers that are none: NaN, infinities, zeros and negatives everywhere.
    pub(crate) fn hostile_numbers() -> Self {
        let mut run = Self::full();
        let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1e300, f64::MIN_POSITIVE];
        let at = |index: usize| bad[index % bad.len()];
        let estimate =
            |index: usize| Estimate { value: at(index), low: at(index + 1), high: at(index + 2) };
        for (index, summary) in run.analysis.configurations.iter_mut().enumerate() {
            summary.rate_per_second = Some(estimate(index));
            summary.p50_us = Some(estimate(index + 1));
            summary.p99_us = Some(estimate(index + 2));
            summary.p999_us = Some(at(index));
            summary.device_bytes_per_payload_byte = Some(at(index));
            summary.cpu_us_per_commit = Some(at(index));
        }
        for (index, level) in
            run.analysis.axes.iter_mut().flat_map(|axis| &mut axis.levels).enumerate()
        {
            level.rate_ratio = Some(estimate(index));
            level.p99_ratio = Some(estimate(index + 3));
        }
        for (index, point) in run.analysis.front.iter_mut().enumerate() {
            point.rate_per_second = at(index);
            (point.p99_us, point.p999_us) = (Some(at(index + 1)), Some(at(index + 2)));
        }
        for (index, trial) in run.trials.iter_mut().enumerate() {
            trial.rate_per_second = at(index);
            trial.commit_groups = [0, 1, u64::MAX][index % 3];
            trial.commits = u64::MAX;
            trial.verified_records = u64::MAX;
        }
        run.trials[0].block = u32::MAX;
        run.trials[1].position = u32::MAX;
        run.analysis.noise_floor_ratio = Some(f64::NAN);
        if let Some(ceiling) = &mut run.manifest.ceiling {
            ceiling.durable_writes_per_second = f64::INFINITY;
            ceiling.durable_bytes_per_second = 0.0;
        }
        run.manifest.plan.trial_seconds = f64::NAN;
        run
    }

    /// Markup, quotes and escape sequences in every string a machine or a person can set.
    pub(crate) fn hostile_strings() -> Self {
        let mut run = Self::small();
        let bad = format!("<script>alert('x')</script>\"&\u{1b}[31m\0{}", "y".repeat(200));
        let environment = &mut run.manifest.environment_before;
        for text in [&mut environment.hostname, &mut environment.kernel, &mut environment.target] {
            text.clone_from(&bad);
        }
        environment.cpu_model = Some(bad.clone());
        environment.device_model = Some(bad.clone());
        environment.mount_options = Some(bad.clone());
        environment.queue_limits.insert(bad.clone(), bad.clone());
        let manifest = &mut run.manifest;
        manifest.profile_toml = format!("</pre></details>{bad}");
        manifest.argv.push(bad.clone());
        for text in
            [&mut manifest.profile_name, &mut manifest.profile_description, &mut manifest.run_id]
        {
            text.clone_from(&bad);
        }
        manifest.plan.axes[0].name.clone_from(&bad);
        manifest.plan.axes[0].levels[1].clone_from(&bad);
        let axis = &mut run.analysis.axes[0];
        axis.axis.clone_from(&bad);
        axis.sentence.clone_from(&bad);
        axis.levels[1].level.clone_from(&bad);
        run.analysis.configurations[1].refused = Some(bad.clone());
        if let Some(choice) = &mut run.analysis.recommendation {
            choice.caveats.push(bad.clone());
            choice.reasons.insert("engine".to_owned(), bad.clone());
        }
        run
    }

    /// All of the above and a good one, by name.
    pub(crate) fn every_kind() -> Vec<(&'static str, Self)> {
        vec![
            ("full", Self::full()),
            ("with_refusals", Self::with_refusals()),
            ("small", Self::small()),
            ("single_block", Self::single_block()),
            ("empty", Self::empty()),
            ("all_refused", Self::all_refused()),
            ("hostile_numbers", Self::hostile_numbers()),
            ("hostile_strings", Self::hostile_strings()),
        ]
    }

    /// The parts, borrowed.
    pub(super) fn run(&self) -> Run<'_> {
        Run {
            manifest: &self.manifest,
            trials: &self.trials,
            analysis: &self.analysis,
            latency_ns_by_config: &self.latency_ns_by_config,
            interval_latency_ns: &self.interval_latency_ns,
            standing: Some(&self.standing),
        }
    }

    fn of(run: SyntheticRun) -> Self {
        let SyntheticRun { manifest, mut trials, latency_ns_by_config } = run;
        trials.iter_mut().for_each(settle);
        let analysis = analysis(&manifest.plan, &trials, &latency_ns_by_config);
        let interval_latency_ns = intervals(&trials, &analysis);
        let standing = Standing::Uncertified;
        Synthetic {
            manifest,
            trials,
            analysis,
            latency_ns_by_config,
            interval_latency_ns,
            standing,
        }
    }
}

fn analysis(
    plan: &Plan,
    trials: &[TrialResult],
    histograms: &BTreeMap<String, Histogram<u64>>,
) -> Analysis {
    let configurations: Vec<ConfigurationSummary> = plan
        .configurations
        .iter()
        .map(|configuration| summary(configuration, trials, histograms))
        .collect();
    let best = (0..configurations.len())
        .filter(|&index| configurations[index].rate_per_second.is_some())
        .max_by(|&a, &b| {
            let rate = |index: usize| configurations[index].rate_per_second.unwrap().value;
            rate(a).total_cmp(&rate(b))
        });
    Analysis {
        schema_version: SCHEMA_VERSION.to_owned(),
        blocks: plan.blocks,
        noise_floor_ratio: Some(0.012),
        axes: plan.axes.iter().map(|axis| effect(plan, axis)).collect(),
        recommendation: best.map(|index| recommendation(plan, &configurations, index)),
        refusal: None,
        front: configurations.iter().filter_map(|summary| front_point(plan, summary)).collect(),
        knee: None,
        interactions: None,
        window_helps_from_per_second: Some(1_560.0),
        asked: None,
        configurations,
    }
}

/// Six rounds, the first of them slower.
fn settle(trial: &mut TrialResult) {
    if trial.status == TrialStatus::Ok {
        let round = |speed: f64| Round {
            rate_per_second: trial.rate_per_second * speed,
            p99_us: trial.latency.p99_us.map(|p99_us| p99_us / speed),
        };
        trial.rounds = [0.7, 0.98, 1.0, 1.03, 0.97, 1.02].map(round).to_vec();
        trial.steadiness = Some(Steadiness::Steady { rounds: 6 });
    }
}

/// Ten parts of each trial of the sentinel and the recommended configuration, the third of them
/// with a stall.
fn intervals(trials: &[TrialResult], analysis: &Analysis) -> Vec<Vec<Histogram<u64>>> {
    let recommended = analysis.recommendation.as_ref().map(|choice| choice.config_id.as_str());
    let part = |trial: &TrialResult, part: u64| {
        let mut histogram = Histogram::new(2).unwrap();
        for commit in 0..400 {
            let spread = 0.7 + ((commit * 37 + part * 11) % 100) as f64 * 0.008;
            let stall = if part == 2 && commit % 100 == 0 { 40.0 } else { 1.0 };
            let latency_us = trial.latency.p50_us * spread * stall;
            let latency_ns = Duration::from_secs_f64(latency_us / 1e6).as_nanos();
            histogram.record(u64::try_from(latency_ns).unwrap()).unwrap();
        }
        histogram
    };
    let of_trial = |trial: &TrialResult| {
        let shown = (trial.sentinel || recommended == Some(trial.config_id.as_str()))
            && trial.status == TrialStatus::Ok;
        if shown { (0..10).map(|index| part(trial, index)).collect() } else { Vec::new() }
    };
    trials.iter().map(of_trial).collect()
}

fn summary(
    configuration: &Configuration,
    trials: &[TrialResult],
    histograms: &BTreeMap<String, Histogram<u64>>,
) -> ConfigurationSummary {
    let own: Vec<&TrialResult> = trials
        .iter()
        .filter(|trial| trial.config_id == configuration.id && !trial.sentinel)
        .collect();
    let mut rates: Vec<f64> = own.iter().map(|trial| trial.rate_per_second).collect();
    rates.sort_by(f64::total_cmp);
    let histogram = histograms.get(&configuration.id);
    let spread = if rates.len() > 1 { 0.02 } else { 0.0 };
    let percentile = |quantile: f64| {
        let value = histogram?.value_at_quantile(quantile) as f64 / 1e3;
        Some(Estimate { value, low: value * (1.0 - spread), high: value * (1.0 + spread) })
    };
    let measured = histogram.is_some() && !rates.is_empty();
    ConfigurationSummary {
        config_id: configuration.id.clone(),
        trials_ok: if measured { count(own.len()) } else { 0 },
        trials_disturbed: count(own.iter().filter(|trial| trial.disturbed).count()),
        refused: refusal(&configuration.settings),
        rate_per_second: measured.then(|| Estimate {
            value: rates[rates.len() / 2],
            low: rates[0],
            high: rates[rates.len() - 1],
        }),
        p50_us: percentile(0.5),
        p99_us: percentile(0.99),
        p999_us: percentile(0.999).map(|estimate| estimate.value),
        device_bytes_per_payload_byte: measured
            .then_some(configuration.settings.alignment_bytes as f64 / 1024.0),
        cpu_us_per_commit: measured.then_some(if configuration.settings.encryption {
            24.6
        } else {
            21.0
        }),
    }
}

fn effect(plan: &Plan, axis: &Axis) -> AxisEffect {
    let levels: Vec<LevelEffect> = axis
        .levels
        .iter()
        .enumerate()
        .map(|(index, level)| {
            let mut changed = baseline_settings();
            set(&mut changed, &axis.name, level);
            let ratio = true_rate(&changed) / true_rate(&baseline_settings());
            let spread = if index == 0 { 0.0 } else { 0.009 };
            let estimate = |value: f64| {
                Some(Estimate { value, low: value * (1.0 - spread), high: value * (1.0 + spread) })
            };
            let possible = refusal(&changed).is_none();
            LevelEffect {
                level: level.clone(),
                rate_ratio: estimate(ratio).filter(|_| possible),
                p99_ratio: estimate(ratio.powf(-1.2)).filter(|_| possible),
            }
        })
        .collect();
    let matters = levels
        .iter()
        .filter_map(|level| level.rate_ratio)
        .any(|ratio| (ratio.value - 1.0).abs() > 0.021);
    let sentence = if matters {
        format!("{} changes the rate; see the interval.", axis.name)
    } else {
        format!("{} makes no difference that this run could tell from noise.", axis.name)
    };
    let blocks_used = plan.blocks > 0;
    AxisEffect {
        axis: axis.name.clone(),
        baseline: axis.levels[0].clone(),
        levels: if blocks_used { levels } else { Vec::new() },
        matters,
        verdict: Some(if matters { AxisVerdict::Matters } else { AxisVerdict::CannotTell }),
        sentence,
    }
}

/// On the front is what is fast; the numbers are those of the summary.
fn front_point(plan: &Plan, summary: &ConfigurationSummary) -> Option<FrontPoint> {
    let own = |known: &&Configuration| known.id == summary.config_id;
    let settings = &plan.configurations.iter().find(own)?.settings;
    Some(FrontPoint {
        config_id: summary.config_id.clone(),
        rate_per_second: summary.rate_per_second?.value,
        p99_us: summary.p99_us.map(|estimate| estimate.value),
        p999_us: summary.p999_us,
        device_bytes_per_payload_byte: summary.device_bytes_per_payload_byte?,
        cpu_us_per_commit: summary.cpu_us_per_commit?,
        memory_bytes: settings.buffer_size_bytes * u64::from(settings.pipeline_depth + 2),
        on_front: summary.rate_per_second?.value > 12_000.0,
        meets_slo: None,
    })
}

fn recommendation(plan: &Plan, summaries: &[ConfigurationSummary], best: usize) -> Recommendation {
    let low = summaries[best].rate_per_second.unwrap().low;
    let ties = summaries
        .iter()
        .filter(|summary| summary.rate_per_second.is_some_and(|rate| rate.high >= low))
        .map(|summary| summary.config_id.clone())
        .collect();
    let reasons = [
        (
            "alignment",
            "4KiB is the device's physical block; 16KiB wrote four times the bytes for less speed.",
        ),
        (
            "commit_window",
            "Waiting for company cost 22 % of the rate: eight clients fill a batch while the device is busy.",
        ),
        ("engine", "uring committed 1.5 times as often as blocking at the same p99."),
        (
            "segment_size",
            "No difference beyond noise, so the smaller segment, which is reclaimed sooner.",
        ),
    ];
    Recommendation {
        config_id: plan.configurations[best].id.clone(),
        ties,
        reasons: reasons
            .iter()
            .map(|(name, why)| ((*name).to_owned(), (*why).to_owned()))
            .collect(),
        caveats: vec![
            "Trials were 5 s long and are not a SNIA steady-state measurement.".to_owned(),
            "Commit latency includes the virtual disk's host; a bare device will differ."
                .to_owned(),
        ],
    }
}

fn count(trials: usize) -> u32 {
    u32::try_from(trials).expect("few trials")
}
