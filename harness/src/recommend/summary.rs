//! One configuration over all its blocks: medians with intervals.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::stats::{Bootstrap, median, point, supports};
use crate::store::schema::{ConfigurationSummary, Estimate, TrialResult, TrialStatus};

use super::measures::{cpu_us_per_commit, device_bytes_per_payload_byte};
use super::observations::{Fate, Metric, Observations, p50_us, p99_us, rate};

/// Every configuration, in plan order.
pub(crate) fn summaries(
    observations: &Observations<'_>,
    bootstrap: &Bootstrap,
) -> Vec<ConfigurationSummary> {
    (0..observations.plan.configurations.len())
        .map(|config| summarise(observations, bootstrap, config))
        .collect()
}

fn summarise(
    observations: &Observations<'_>,
    bootstrap: &Bootstrap,
    config: usize,
) -> ConfigurationSummary {
    let trials: Vec<&TrialResult> = observations.trials(config).collect();
    let count = |some: &mut dyn Iterator<Item = bool>| {
        u32::try_from(some.filter(|counts| *counts).count()).unwrap_or(u32::MAX)
    };
    let refused = match &observations.fates[config] {
        Fate::Refused(reason) => Some(reason.clone()),
        _ => None,
    };
    // A configuration that was refused or lost data has no speed worth showing.
    let measured: &[&TrialResult] = if observations.is_measured(config) { &trials } else { &[] };
    let over_blocks = |metric: Metric| estimate(bootstrap, &values(measured, metric));
    let single_block = match measured {
        [only] => only.latency.p999_us,
        _ => None,
    };
    ConfigurationSummary {
        config_id: observations.plan.configurations[config].id.clone(),
        trials_ok: count(&mut trials.iter().map(|_| true)),
        trials_disturbed: count(&mut trials.iter().map(|trial| trial.disturbed)),
        refused,
        rate_per_second: over_blocks(rate),
        p50_us: over_blocks(p50_us),
        p99_us: over_blocks(p99_us),
        p999_us: single_block.filter(|value| value.is_finite()),
        device_bytes_per_payload_byte: median(&values(measured, device_bytes_per_payload_byte)),
        cpu_us_per_commit: median(&values(measured, cpu_us_per_commit)),
    }
}

/// Fills in p99.9 of every configuration with estimates, from the histograms of all its blocks
/// merged (nanoseconds, by configuration id), where the commit groups behind them support it.
pub(crate) fn add_merged_p999(
    summaries: &mut [ConfigurationSummary],
    trials: &[TrialResult],
    latency_ns_by_config: &BTreeMap<String, Histogram<u64>>,
) {
    const QUANTILE: f64 = 0.999;
    for summary in summaries.iter_mut().filter(|summary| summary.rate_per_second.is_some()) {
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

fn values(trials: &[&TrialResult], metric: Metric) -> Vec<f64> {
    trials.iter().filter_map(|trial| metric(trial)).collect()
}

/// The median with its interval, or bare where there are too few blocks for one.
fn estimate(bootstrap: &Bootstrap, values: &[f64]) -> Option<Estimate> {
    bootstrap.median(values).or_else(|| median(values).map(point))
}
