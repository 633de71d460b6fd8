//! Picks the configuration to run: of those whose rate cannot be told from the fastest one's, the
//! simplest whose p99 is not clearly worse.

use crate::profile::SettingKey;
use crate::stats::{has_interval, overlap};
use crate::store::schema::{ConfigurationSummary, Estimate, Plan, Settings};

use super::effects::Grid;

/// Settings that describe the load, not the log: a recommendation is for one of them.
pub(crate) const LOAD: [SettingKey; 2] = [SettingKey::RecordSize, SettingKey::Clients];

/// A p99 less than this above the lowest is not worth another moving part, as a ratio minus 1.
const WORSE_P99_RATIO: f64 = 0.10;

/// The chosen configuration, by position in the plan.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Choice {
    /// The one to run.
    pub config: usize,
    /// Its measured rate.
    pub rate: Estimate,
    /// Configurations whose rate cannot be told from the best one's, best first.
    pub ties: Vec<usize>,
}

/// A configuration that may be recommended.
struct Candidate<'a> {
    config: usize,
    rate: Estimate,
    summary: &'a ConfigurationSummary,
}

/// Chooses among the summaries, which are in plan order; `None` when none may be recommended.
///
/// Encryption is the user's to require, not a way to be fast: where it varies, configurations at
/// its first level compete. Where the load varies, the first level of each load axis is
/// recommended for. Rates tie where their intervals overlap, or where they differ by less than
/// `smallest_change_ratio`, which equal runs on this machine differ by too.
pub(crate) fn choose(
    plan: &Plan,
    summaries: &[ConfigurationSummary],
    smallest_change_ratio: f64,
) -> Option<Choice> {
    let baseline = &plan.configurations.first()?.settings;
    let mut candidates: Vec<Candidate<'_>> = (plan.configurations.iter().zip(summaries))
        .enumerate()
        .filter(|(_, (configuration, _))| {
            let settings = &configuration.settings;
            let right_load = LOAD.iter().all(|key| key.text(settings) == key.text(baseline));
            right_load && settings.encryption == baseline.encryption
        })
        .filter_map(|(config, (_, summary))| {
            Some(Candidate { config, rate: summary.rate_per_second?, summary })
        })
        .collect();
    candidates.sort_by(|a, b| b.rate.value.total_cmp(&a.rate.value));
    let best = candidates.first()?.rate;
    // Without intervals nothing can be told apart, and calling everything a tie would recommend
    // the baseline whatever was measured. The fastest stands alone then, and a caveat says why.
    let tied = |other: &Estimate| {
        overlap(other, &best) || best.value / other.value - 1.0 <= smallest_change_ratio
    };
    let ties: Vec<&Candidate<'_>> = candidates
        .iter()
        .enumerate()
        .filter(|(rank, other)| *rank == 0 || (has_interval(&best) && tied(&other.rate)))
        .map(|(_, candidate)| candidate)
        .collect();
    let chosen = lowest_p99(&ties)
        .into_iter()
        .min_by_key(|candidate| Complexity::of(plan, candidate.config))?;
    Some(Choice {
        config: chosen.config,
        rate: chosen.rate,
        ties: ties.iter().map(|candidate| candidate.config).collect(),
    })
}

/// Whether the setting is an axis with more than one level.
pub(crate) fn varies(plan: &Plan, key: SettingKey) -> bool {
    plan.axes.iter().any(|axis| axis.name == key.name() && axis.levels.len() > 1)
}

/// Drops those whose p99 is distinguishably and noticeably above the lowest.
fn lowest_p99<'a, 'b>(ties: &[&'b Candidate<'a>]) -> Vec<&'b Candidate<'a>> {
    let p99 = |candidate: &Candidate<'_>| candidate.summary.p99_us;
    let lowest = ties
        .iter()
        .filter_map(|candidate| p99(candidate))
        .min_by(|a, b| a.value.total_cmp(&b.value));
    ties.iter()
        .copied()
        .filter(|candidate| match (p99(candidate), lowest) {
            (Some(own), Some(lowest)) => {
                overlap(&own, &lowest) || own.value / lowest.value - 1.0 <= WORSE_P99_RATIO
            }
            _ => true,
        })
        .collect()
}

/// How far from the simplest configuration; compared field by field in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Complexity {
    /// Axes that are not at their first level.
    axes_changed: usize,
    /// Levels away from it, summed over axes.
    levels_away: usize,
    /// Of a window, io_uring, batches in flight and prepared segments: how many are in use.
    moving_parts: usize,
    /// Memory for buffers, bytes.
    buffer_bytes: u64,
    /// Position in the plan, so that equals always resolve alike.
    config: usize,
}

impl Complexity {
    fn of(plan: &Plan, config: usize) -> Self {
        let settings = &plan.configurations[config].settings;
        let levels: Vec<usize> = match Grid::of(plan) {
            Some(grid) => (0..plan.axes.len()).map(|axis| grid.level(config, axis)).collect(),
            None => changed_settings(&plan.configurations[0].settings, settings),
        };
        Self {
            axes_changed: levels.iter().filter(|level| **level > 0).count(),
            levels_away: levels.iter().sum(),
            moving_parts: [
                settings.commit_window_us > 0,
                settings.engine != "blocking",
                settings.pipeline_depth > 1,
                settings.preparation != "none",
            ]
            .into_iter()
            .filter(|in_use| *in_use)
            .count(),
            buffer_bytes: settings
                .buffer_size_bytes
                .saturating_mul(u64::from(settings.pipeline_depth)),
            config,
        }
    }
}

/// 1 for every setting that differs: the distance where the plan is not a full grid.
fn changed_settings(baseline: &Settings, settings: &Settings) -> Vec<usize> {
    SettingKey::ALL
        .iter()
        .map(|key| usize::from(key.text(baseline) != key.text(settings)))
        .collect()
}
