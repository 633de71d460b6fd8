//! The run arranged for reading: each configuration joined with its levels, its summary and its
//! counts, and the few configurations every report speaks of.
//!
//! Stored numbers are checked here once: what leaves this file is finite and positive or `None`.

use std::collections::BTreeMap;

use super::Run;
use crate::page::text::printable;
use crate::store::schema::{
    Configuration, ConfigurationSummary, Estimate, Plan, Settings, TrialStatus,
};
use crate::units::{format_bytes, format_duration_us, format_exact_rate};

/// The run, joined and checked.
pub(crate) struct View<'a> {
    /// What it was made from.
    pub run: Run<'a>,
    /// Axis names, printable, in plan order.
    pub axes: Vec<String>,
    /// In plan order.
    pub rows: Vec<Row<'a>>,
    /// Index of the configuration with every axis at its first level, against which all others
    /// are described.
    pub baseline: Option<usize>,
    /// Index of the recommended configuration.
    pub recommended: Option<usize>,
    /// Indexes of the configurations with a rate, fastest first; equal rates in plan order.
    pub by_rate: Vec<usize>,
}

/// One configuration.
pub(crate) struct Row<'a> {
    /// Its id and settings.
    pub configuration: &'a Configuration,
    /// Its level on each axis, in the order of [`View::axes`].
    pub levels: Vec<String>,
    /// Whether it could run.
    pub state: State,
    /// Totals of its trials.
    pub counts: Counts,
    /// Commits a second.
    pub rate_per_second: Option<Estimate>,
    /// Median latency.
    pub p50_us: Option<Estimate>,
    /// 99th percentile latency.
    pub p99_us: Option<Estimate>,
    /// 99.9th percentile latency.
    pub p999_us: Option<f64>,
    /// Bytes to the device for each payload byte.
    pub device_bytes_per_payload_byte: Option<f64>,
    /// Processor time, all cores together.
    pub cpu_us_per_commit: Option<f64>,
    /// Whether its rate cannot be told from the best one's.
    pub tied: bool,
}

/// Whether a configuration could run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Measured.
    Ok,
    /// The device or the library cannot use these settings, and why.
    Refused(String),
    /// At least one trial lost or corrupted a record, or the log failed, and how.
    Failed(String),
    /// At least one trial was not offered its rate, or did not carry it, and how.
    RateNotKept(String),
    /// No trial of it was stored.
    NotMeasured,
}

impl State {
    /// One word for tables.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Refused(_) => "refused",
            State::Failed(_) => "failed",
            State::RateNotKept(_) => "rate not kept",
            State::NotMeasured => "not measured",
        }
    }

    /// Why it did not run or did not hold; empty where there is nothing to explain.
    pub(crate) fn reason(&self) -> &str {
        match self {
            State::Refused(reason) | State::Failed(reason) | State::RateNotKept(reason) => reason,
            State::Ok | State::NotMeasured => "",
        }
    }
}

/// Totals of a configuration's trials, sentinels not counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    /// Trials that ended well.
    pub trials_ok: u32,
    /// Trials that failed.
    pub trials_failed: u32,
    /// Trials other load probably disturbed.
    pub trials_disturbed: u32,
    /// Durable commits.
    pub commits: u64,
    /// Batches written.
    pub commit_groups: u64,
    /// Records read back and compared.
    pub verified_records: u64,
}

impl<'a> View<'a> {
    /// Joins the run's parts. Parts that do not fit each other are left out, never a panic.
    pub(crate) fn new(run: Run<'a>) -> Self {
        let plan = &run.manifest.plan;
        let summaries: BTreeMap<&str, &ConfigurationSummary> = run
            .analysis
            .configurations
            .iter()
            .map(|summary| (summary.config_id.as_str(), summary))
            .collect();
        let tallies = tally(&run);
        let recommendation = run.analysis.recommendation.as_ref();
        let rows: Vec<Row<'a>> = plan
            .configurations
            .iter()
            .enumerate()
            .map(|(index, configuration)| {
                let id = configuration.id.as_str();
                let tied =
                    recommendation.is_some_and(|choice| choice.ties.iter().any(|tie| tie == id));
                let tally = tallies.get(id).cloned().unwrap_or_default();
                Row::new(
                    configuration,
                    levels_of(plan, index),
                    summaries.get(id).copied(),
                    tally,
                    tied,
                )
            })
            .collect();

        let position = |id: &str| rows.iter().position(|row| row.configuration.id == id);
        let mut by_rate: Vec<usize> =
            (0..rows.len()).filter(|&index| rows[index].rate_per_second.is_some()).collect();
        by_rate.sort_by(|&a, &b| rows[b].rate().total_cmp(&rows[a].rate()));
        View {
            axes: plan.axes.iter().map(|axis| printable(&axis.name)).collect(),
            baseline: if rows.is_empty() { None } else { Some(0) },
            recommended: recommendation.and_then(|choice| position(&choice.config_id)),
            by_rate,
            rows,
            run,
        }
    }

    /// What sets a configuration apart from the baseline, as `axis level, axis level`; for the
    /// baseline itself, all its levels.
    pub(crate) fn description(&self, index: usize) -> String {
        let row = &self.rows[index];
        let baseline = self.baseline.map(|baseline| &self.rows[baseline].levels);
        let is_baseline = self.baseline == Some(index);
        let parts: Vec<String> = self
            .axes
            .iter()
            .zip(&row.levels)
            .enumerate()
            .filter(|(axis, (_, level))| {
                is_baseline || baseline.and_then(|levels| levels.get(*axis)) != Some(*level)
            })
            .map(|(_, (axis, level))| format!("{axis} {level}"))
            .collect();
        if parts.is_empty() { "the only configuration".to_owned() } else { parts.join(", ") }
    }

    /// The recommended row, if there is one.
    pub(crate) fn recommended_row(&self) -> Option<&Row<'a>> {
        self.recommended.map(|index| &self.rows[index])
    }

    /// The device's own rate of single durable writes, F0, if it was measured.
    pub(crate) fn f0_per_second(&self) -> Option<f64> {
        let ceiling = self.run.manifest.ceiling.as_ref()?;
        usable(Some(ceiling.durable_writes_per_second))
    }

    /// The axis whose levels move the rate furthest, as an index into [`View::axes`]; `None` when
    /// no effect was measured.
    pub(crate) fn strongest_axis(&self) -> Option<usize> {
        let strongest = self.axes_by_strength().first().copied()?;
        (self.reach(strongest) > 0.0).then_some(strongest)
    }

    /// Indexes into [`View::axes`], the axis whose levels move the rate furthest first.
    pub(crate) fn axes_by_strength(&self) -> Vec<usize> {
        let mut axes: Vec<usize> = (0..self.axes.len()).collect();
        axes.sort_by(|&a, &b| self.reach(b).total_cmp(&self.reach(a)));
        axes
    }

    /// The largest effect of an axis on the rate, as the absolute logarithm of a ratio.
    fn reach(&self, axis: usize) -> f64 {
        let name = &self.run.manifest.plan.axes[axis].name;
        let effects = self.run.analysis.axes.iter().filter(|effect| effect.axis == *name);
        effects
            .flat_map(|effect| &effect.levels)
            .filter_map(|level| usable_estimate(level.rate_ratio))
            .map(|ratio| ratio.value.ln().abs())
            .fold(0.0, f64::max)
    }

    /// The levels of an axis as the rows write them, in plan order.
    pub(crate) fn levels(&self, axis: usize) -> Vec<String> {
        let mut levels: Vec<String> = Vec::new();
        for row in &self.rows {
            if let Some(level) = row.levels.get(axis).filter(|level| !levels.contains(level)) {
                levels.push(level.clone());
            }
        }
        levels
    }
}

impl<'a> Row<'a> {
    fn new(
        configuration: &'a Configuration,
        levels: Vec<String>,
        summary: Option<&ConfigurationSummary>,
        tally: Tally,
        tied: bool,
    ) -> Self {
        let refused = summary.and_then(|summary| summary.refused.clone()).or(tally.refused);
        let state = match (tally.failed, refused) {
            (Some(reason), _) => State::Failed(printable(&reason)),
            (None, Some(reason)) => State::Refused(printable(&reason)),
            (None, None) if tally.not_kept.is_some() => {
                State::RateNotKept(printable(&tally.not_kept.unwrap_or_default()))
            }
            (None, None) if summary.is_some_and(|summary| summary.trials_ok > 0) => State::Ok,
            (None, None) if tally.counts.trials_ok > 0 => State::Ok,
            (None, None) => State::NotMeasured,
        };
        Row {
            configuration,
            levels,
            state,
            counts: tally.counts,
            rate_per_second: summary.and_then(|summary| usable_estimate(summary.rate_per_second)),
            p50_us: summary.and_then(|summary| usable_estimate(summary.p50_us)),
            p99_us: summary.and_then(|summary| usable_estimate(summary.p99_us)),
            p999_us: summary.and_then(|summary| usable(summary.p999_us)),
            device_bytes_per_payload_byte: summary
                .and_then(|summary| usable(summary.device_bytes_per_payload_byte)),
            cpu_us_per_commit: summary.and_then(|summary| usable(summary.cpu_us_per_commit)),
            tied,
        }
    }

    /// Commits a second, or 0 where none was measured; for sorting.
    fn rate(&self) -> f64 {
        self.rate_per_second.map_or(0.0, |rate| rate.value)
    }

    /// Payload bytes made durable a second.
    #[allow(clippy::cast_precision_loss, reason = "a record is far below 2^53 bytes")]
    pub(crate) fn payload_bytes_per_second(&self) -> Option<f64> {
        let rate = self.rate_per_second?.value;
        usable(Some(rate * self.configuration.settings.record_size_bytes as f64))
    }
}

/// Every setting by its profile name, formatted as a profile writes it: clients, or the rate of an
/// open loop.
pub(crate) fn named_settings(settings: &Settings) -> [(&'static str, String); 11] {
    let load = match settings.rate_per_second {
        Some(rate) => ("rate", format_exact_rate(rate)),
        None => ("clients", settings.clients.to_string()),
    };
    [
        ("alignment", format_bytes(settings.alignment_bytes)),
        ("buffer_size", format_bytes(settings.buffer_size_bytes)),
        ("commit_window", format_duration_us(settings.commit_window_us)),
        ("segment_size", format_bytes(settings.segment_size_bytes)),
        ("encryption", settings.encryption.to_string()),
        ("engine", printable(&settings.engine)),
        ("durability", printable(&settings.durability)),
        ("pipeline_depth", settings.pipeline_depth.to_string()),
        ("preparation", printable(&settings.preparation)),
        ("record_size", format_bytes(settings.record_size_bytes)),
        load,
    ]
}

/// The estimate, if its value is a positive number; an interval end that is not one, or lies on
/// the wrong side, is replaced by the value, which reads as "no interval".
pub(crate) fn usable_estimate(estimate: Option<Estimate>) -> Option<Estimate> {
    let Estimate { value, low, high } = estimate?;
    usable(Some(value))?;
    Some(Estimate {
        value,
        low: usable(Some(low)).filter(|low| *low <= value).unwrap_or(value),
        high: usable(Some(high)).filter(|high| *high >= value).unwrap_or(value),
    })
}

/// The value, if it is a positive number. Every quantity reported here is positive.
pub(crate) fn usable(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite() && *value > 0.0)
}

/// The levels of the configuration at `index`. A plan lists configurations in factorial order,
/// the last axis fastest, so the index is a number with one digit an axis. Where the plan is not
/// factorial, levels are formatted from the settings.
fn levels_of(plan: &Plan, index: usize) -> Vec<String> {
    let combinations =
        plan.axes.iter().try_fold(1usize, |product, axis| product.checked_mul(axis.levels.len()));
    if combinations != Some(plan.configurations.len()) {
        let named = named_settings(&plan.configurations[index].settings);
        return plan
            .axes
            .iter()
            .map(|axis| {
                let known = named.iter().find(|(name, _)| *name == axis.name);
                known.map_or_else(|| "?".to_owned(), |(_, level)| level.clone())
            })
            .collect();
    }
    let mut remainder = index;
    let mut levels: Vec<String> = plan
        .axes
        .iter()
        .rev()
        .map(|axis| {
            let level = &axis.levels[remainder % axis.levels.len()];
            remainder /= axis.levels.len();
            printable(level)
        })
        .collect();
    levels.reverse();
    levels
}

#[derive(Clone, Default)]
struct Tally {
    counts: Counts,
    refused: Option<String>,
    failed: Option<String>,
    not_kept: Option<String>,
}

fn tally<'a>(run: &Run<'a>) -> BTreeMap<&'a str, Tally> {
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for trial in run.trials {
        let tally = tallies.entry(trial.config_id.as_str()).or_default();
        // A sentinel's speed is kept apart, but a record it lost is lost.
        match &trial.status {
            TrialStatus::Failed { reason } => {
                tally.counts.trials_failed += 1;
                tally.failed.get_or_insert_with(|| reason.clone());
            }
            TrialStatus::Refused { reason } => {
                tally.refused.get_or_insert_with(|| reason.clone());
            }
            TrialStatus::Overloaded { reason } | TrialStatus::Invalid { reason } => {
                tally.not_kept.get_or_insert_with(|| reason.clone());
            }
            TrialStatus::Ok if trial.sentinel => {}
            TrialStatus::Ok => {
                let counts = &mut tally.counts;
                counts.trials_ok += 1;
                counts.trials_disturbed += u32::from(trial.disturbed);
                counts.commits = counts.commits.saturating_add(trial.commits);
                counts.commit_groups = counts.commit_groups.saturating_add(trial.commit_groups);
                counts.verified_records =
                    counts.verified_records.saturating_add(trial.verified_records);
            }
        }
    }
    tallies
}

#[cfg(test)]
mod tests {
    use super::super::synthetic::Synthetic;
    use super::*;

    #[test]
    fn levels_follow_the_factorial_order() {
        let synthetic = Synthetic::full();
        let plan = &synthetic.manifest.plan;
        for (index, configuration) in plan.configurations.iter().enumerate() {
            let named = named_settings(&configuration.settings);
            for (axis, level) in plan.axes.iter().zip(levels_of(plan, index)) {
                let expected = named.iter().find(|(name, _)| *name == axis.name).unwrap();
                assert_eq!(level, expected.1, "{} of {}", axis.name, configuration.id);
            }
        }
    }

    #[test]
    fn a_plan_that_is_not_factorial_falls_back_to_the_settings() {
        let mut synthetic = Synthetic::full();
        synthetic.manifest.plan.configurations.truncate(7);
        let plan = &synthetic.manifest.plan;
        assert_eq!(
            levels_of(plan, 0)[0],
            format_bytes(plan.configurations[0].settings.alignment_bytes)
        );
        synthetic.manifest.plan.axes[0].name = "unheard_of".to_owned();
        assert_eq!(levels_of(&synthetic.manifest.plan, 0)[0], "?");
    }

    #[test]
    fn differences_are_told_against_the_baseline() {
        let synthetic = Synthetic::full();
        let view = View::new(synthetic.run());
        assert!(view.description(0).starts_with("alignment 4KiB, buffer_size"));
        assert_eq!(view.description(1), "engine blocking");
    }

    #[test]
    fn numbers_that_are_none_do_not_get_in() {
        let bad = |value, low, high| usable_estimate(Some(Estimate { value, low, high }));
        assert_eq!(bad(f64::NAN, 1.0, 2.0), None);
        assert_eq!(bad(f64::INFINITY, 1.0, 2.0), None);
        assert_eq!(bad(0.0, 0.0, 0.0), None);
        assert_eq!(bad(-1.0, -2.0, 0.0), None);
        let clamped = bad(5.0, f64::NAN, 3.0).unwrap();
        assert_eq!((clamped.low, clamped.high), (5.0, 5.0));
    }

    #[test]
    fn a_failed_trial_outweighs_everything_else() {
        let mut synthetic = Synthetic::small();
        synthetic.trials[0].status = TrialStatus::Failed { reason: "lost lsn 7".to_owned() };
        let id = synthetic.trials[0].config_id.clone();
        let view = View::new(synthetic.run());
        let row = view.rows.iter().find(|row| row.configuration.id == id).unwrap();
        assert_eq!(row.state, State::Failed("lost lsn 7".to_owned()));
        assert_eq!(row.counts.trials_failed, 1);
    }
}
