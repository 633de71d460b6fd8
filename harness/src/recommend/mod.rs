//! From stored trials to settings: what each axis did, which configuration to run, why, and what a
//! reader must know before relying on it. Pure functions over the stored types, so the same run
//! always gives the same answer.
//!
//! Estimates rest on whole blocks only. Below [`crate::stats::MIN_BLOCKS`] of them there are no
//! intervals: the stored [`Estimate`](crate::store::schema::Estimate) then has both ends equal to
//! its value, no axis is said to matter, and a caveat says so.

mod caveats;
mod choice;
mod effects;
mod noise;
mod reasons;
mod settings_file;
mod summary;
mod wording;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::stats::{Bootstrap, supports};
use crate::store::observations;
use crate::store::schema::{
    Analysis, Manifest, Recommendation, SCHEMA_VERSION, TrialResult, TrialStatus,
};

use noise::Noise;
use observations::Observations;

pub(crate) use settings_file::recommended_toml;

/// Everything that follows from a run's trials.
///
/// Trials of unknown configurations and of incomplete blocks are left out. A configuration with a
/// refused or failed trial has no estimates; one that failed is never recommended, whatever its
/// speed. `p999_us` is filled in only for a single block: over several it is a percentile of the
/// merged histograms, which are stored apart: see [`add_merged_p999`].
pub(crate) fn analyse(manifest: &Manifest, trials: &[TrialResult]) -> Analysis {
    let plan = &manifest.plan;
    // Effects and noise are few and decide; configurations may be thousands.
    let (quick, fine) = (Bootstrap::quick(plan.seed), Bootstrap::fine(plan.seed));
    let observations = Observations::new(plan, trials);
    let noise = Noise::measure(&observations, &fine);
    let mut analysis = Analysis {
        schema_version: SCHEMA_VERSION.to_owned(),
        blocks: u32::try_from(observations.blocks.len()).unwrap_or(u32::MAX),
        noise_floor_ratio: noise.rate,
        configurations: summary::summaries(&observations, &quick),
        axes: effects::effects(&observations, &noise, &fine),
        recommendation: None,
    };
    if let Some(choice) = choice::choose(plan, &analysis.configurations, noise.rate_threshold()) {
        analysis.recommendation = Some(Recommendation {
            config_id: plan.configurations[choice.config].id.clone(),
            reasons: reasons::reasons(plan, &choice, &analysis.axes),
            caveats: caveats::caveats(manifest, &observations, &noise, &choice, &analysis),
            ties: choice
                .ties
                .iter()
                .map(|config| plan.configurations[*config].id.clone())
                .collect(),
        });
    }
    analysis
}

/// Fills in p99.9 of every configuration with estimates, from the histograms of all its blocks
/// merged (nanoseconds, by configuration id), where the commit groups behind them support it.
pub(crate) fn add_merged_p999(
    analysis: &mut Analysis,
    trials: &[TrialResult],
    latency_ns_by_config: &BTreeMap<String, Histogram<u64>>,
) {
    const QUANTILE: f64 = 0.999;
    for summary in analysis.configurations.iter_mut().filter(|s| s.rate_per_second.is_some()) {
        let groups = trials
            .iter()
            .filter(|trial| !trial.sentinel && trial.config_id == summary.config_id)
            .filter(|trial| trial.status == TrialStatus::Ok)
            .fold(0_u64, |sum, trial| sum.saturating_add(trial.commit_groups));
        let histogram = latency_ns_by_config.get(&summary.config_id).filter(|h| !h.is_empty());
        if let Some(histogram) = histogram {
            summary.p999_us = supports(QUANTILE, groups)
                .then(|| histogram.value_at_quantile(QUANTILE) as f64 / 1e3);
        }
    }
}

#[cfg(test)]
mod tests;
