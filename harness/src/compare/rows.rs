//! The table of a comparison: each number of each configuration, and of all configurations
//! together, where several that are a little slower add up to certainty.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::stats::{Bootstrap, Pair, median};
use crate::store::measured::{Evidence, Measured, label, means_by_block};
use crate::store::observations::{Fate, SentinelPair};
use crate::store::quantity::Quantity;
use crate::store::schema::Estimate;

use super::change::{
    Change, Finding, LOOKED_FOR_RATIO, adjusted, change, finding, in_turns, threshold_ratio,
};

/// Scope of the rows over all configurations.
const TOGETHER: &str = "all configurations";

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Row {
    /// Configuration id; `None` for all together (the mean of the logarithms).
    pub(super) config_id: Option<String>,
    /// What the axes say of it.
    pub(super) scope: String,
    /// Which number.
    pub(super) quantity: Quantity,
    /// Median over BASE's blocks, with its interval.
    pub(super) base: Estimate,
    /// The same of NEW.
    pub(super) new: Estimate,
    /// NEW by BASE.
    pub(super) ratio: Estimate,
    /// Chance of as much between equal builds, and adjusted for the number of questions asked.
    pub(super) p: f64,
    /// See above.
    pub(super) p_adjusted: f64,
    /// Smallest change that counts, as a ratio minus 1: 1 %, or the noise floor if that is more.
    pub(super) threshold_ratio: f64,
    /// What it is taken for.
    pub(super) finding: Finding,
    /// Whether the rerun showed it, too; `None` if there was none, or nothing to confirm.
    pub(super) confirmed: Option<bool>,
}

/// What identifies a row across comparisons of the same plan.
pub(super) type Key = (Option<String>, Quantity);

impl Row {
    pub(super) fn key(&self) -> Key {
        (self.config_id.clone(), self.quantity)
    }
}

/// Two measurements side by side.
pub(super) struct Pairing<'a> {
    base: &'a Measured,
    new: &'a Measured,
    base_evidence: Evidence<'a>,
    new_evidence: Evidence<'a>,
    /// Places of configurations with equal settings that ran well in both.
    matched: Vec<(usize, usize)>,
    /// Whether block stands beside block.
    pub(super) in_turns: bool,
}

/// A row before it is judged.
struct Measurement {
    config: Option<usize>,
    quantity: Quantity,
    base: Vec<f64>,
    new: Vec<f64>,
    change: Change,
    configurations: usize,
}

impl<'a> Pairing<'a> {
    pub(super) fn new(base: &'a Measured, new: &'a Measured) -> Self {
        let (base_evidence, new_evidence) = (base.evidence(), new.evidence());
        let ran = |evidence: &Evidence<'_>, index: usize| evidence.fates[index] == Fate::Measured;
        let counterpart = |index: usize| {
            let settings = &base.configurations()[index].settings;
            new.configurations().iter().position(|other| other.settings == *settings)
        };
        let matched = (0..base.configurations().len())
            .filter_map(|index| Some((index, counterpart(index)?)))
            .filter(|(a, b)| ran(&base_evidence, *a) && ran(&new_evidence, *b))
            .collect();
        let in_turns = in_turns(&base_evidence.blocks, &new_evidence.blocks);
        Self { base, new, base_evidence, new_evidence, matched, in_turns }
    }

    pub(super) fn blocks(&self) -> (usize, usize) {
        (self.base_evidence.blocks.len(), self.new_evidence.blocks.len())
    }

    pub(super) fn configurations(&self) -> usize {
        self.matched.len()
    }

    /// Configurations that ran in BASE and cannot run, do not keep their rate, or failed, in NEW: id and reason.
    pub(super) fn lost(&self) -> Vec<(String, Fate)> {
        let ids = self.new.configurations().iter().zip(&self.new_evidence.fates);
        ids.filter(|(configuration, fate)| {
            let mut before = self.base.configurations().iter().zip(&self.base_evidence.fates);
            let ran = before.any(|(other, fate)| {
                other.settings == configuration.settings && *fate == Fate::Measured
            });
            matches!(fate, Fate::Failed(_))
                || (ran && matches!(fate, Fate::Refused(_) | Fate::RateNotKept(_)))
        })
        .map(|(configuration, fate)| (configuration.id.clone(), fate.clone()))
        .collect()
    }

    /// Share of the trials of either side, whichever is larger, that other load disturbed.
    pub(super) fn disturbed_share(&self) -> f64 {
        let share = |evidence: &Evidence<'_>| {
            let trials = evidence.blocks.iter().flat_map(|block| block.trials.iter().flatten());
            let marks: Vec<bool> = trials.map(|trial| trial.disturbed).collect();
            marks.iter().filter(|mark| **mark).count() as f64 / marks.len().max(1) as f64
        };
        share(&self.base_evidence).max(share(&self.new_evidence))
    }

    /// The device's own speed without a log, NEW by BASE, from the ceilings of their runs. `None`
    /// where one was not measured.
    pub(super) fn device_ratio(&self) -> Option<f64> {
        let speed = |measured: &Measured| {
            let ceilings = measured.runs.iter().filter_map(|run| run.manifest.ceiling.as_ref());
            let speeds = ceilings.map(|ceiling| ceiling.durable_writes_per_second);
            median(&speeds.collect::<Vec<f64>>()).filter(|speed| *speed > 0.0)
        };
        Some(speed(self.new)? / speed(self.base)?)
    }

    /// Whether the device itself was another one in speed while NEW was measured, so that a change
    /// says nothing of the log. In turns, its moods happen to both.
    pub(super) fn device_changed(&self) -> bool {
        let size = |ratio: f64| ratio.max(1.0 / ratio) - 1.0;
        !self.in_turns && self.device_ratio().is_some_and(|ratio| size(ratio) > LOOKED_FOR_RATIO)
    }

    /// Every row, judged; `aa_floor` is the noise floor of an A/A comparison, where there is one.
    pub(super) fn rows(
        &self,
        bootstrap: &Bootstrap,
        aa_floor: impl Fn(&Key) -> Option<f64>,
    ) -> Vec<Row> {
        let (together, apart): (Vec<_>, Vec<_>) =
            self.measurements(bootstrap).into_iter().partition(|row| row.config.is_none());
        // Two families of questions: the numbers, and the numbers of each configuration. In one,
        // the many small ones would drown the few that rest on everything.
        let floors = self.sentinel_floors(bootstrap);
        let judged = |family: &[Measurement]| {
            let changes: Vec<Change> = family.iter().map(|row| row.change).collect();
            let adjusted = adjusted(&changes);
            let rows = family.iter().zip(adjusted);
            let judge =
                |(row, p): (&Measurement, f64)| self.judged(row, p, bootstrap, &floors, &aa_floor);
            rows.filter_map(judge).collect::<Vec<Row>>()
        };
        let mut rows = judged(&together);
        rows.extend(judged(&apart));
        rows
    }

    fn measurements(&self, bootstrap: &Bootstrap) -> Vec<Measurement> {
        let mut found = Vec::new();
        for quantity in Quantity::ALL {
            let logs: Vec<(usize, Vec<f64>, Vec<f64>)> = (self.matched.iter())
                .filter_map(|(a, b)| {
                    let base = self.base_evidence.logs(*a, quantity)?;
                    Some((*a, base, self.new_evidence.logs(*b, quantity)?))
                })
                .collect();
            let mut add = |config, configurations, base: Vec<f64>, new: Vec<f64>| {
                if let Some(change) = change(&base, &new, self.in_turns, bootstrap) {
                    found.push(Measurement { config, quantity, base, new, change, configurations });
                }
            };
            if logs.len() > 1 {
                let base: Vec<&[f64]> = logs.iter().map(|(_, base, _)| base.as_slice()).collect();
                let new: Vec<&[f64]> = logs.iter().map(|(_, _, new)| new.as_slice()).collect();
                add(None, logs.len(), means_by_block(&base), means_by_block(&new));
            }
            for (config, base, new) in logs {
                add(Some(config), 1, base, new);
            }
        }
        found
    }

    fn judged(
        &self,
        row: &Measurement,
        p_adjusted: f64,
        bootstrap: &Bootstrap,
        sentinel_floors: &BTreeMap<Quantity, f64>,
        aa_floor: &impl Fn(&Key) -> Option<f64>,
    ) -> Option<Row> {
        let plan = &self.base.manifest().plan;
        let config_id = row.config.map(|config| plan.configurations[config].id.clone());
        // A mean over n configurations is steadier by the square root of n.
        let steadied = |floor: &f64| (floor.ln_1p() / (row.configurations as f64).sqrt()).exp_m1();
        let floor = aa_floor(&(config_id.clone(), row.quantity))
            .or_else(|| sentinel_floors.get(&row.quantity).map(steadied));
        let threshold_ratio = threshold_ratio(floor);
        let Change { ratio, p } = row.change;
        let quick = quick(bootstrap);
        Some(Row {
            config_id,
            scope: row.config.map_or_else(|| TOGETHER.to_owned(), |config| label(plan, config)),
            quantity: row.quantity,
            base: quick.ratio(&row.base)?,
            new: quick.ratio(&row.new)?,
            ratio,
            p,
            p_adjusted,
            threshold_ratio,
            finding: finding(&ratio, p_adjusted, threshold_ratio, |r| row.quantity.is_worse(r)),
            confirmed: None,
        })
    }

    /// How far equal runs of one configuration lie apart within a block, from the sentinels of the
    /// noisier side.
    fn sentinel_floors(&self, bootstrap: &Bootstrap) -> BTreeMap<Quantity, f64> {
        let floor = |evidence: &Evidence<'_>, quantity: Quantity| {
            let pair = |ends: &SentinelPair<'_>| {
                let (opening, closing) = (quantity.of(ends.opening)?, quantity.of(ends.closing)?);
                Some(Pair { baseline: opening, changed: closing })
            };
            let pairs: Vec<Pair> = evidence.sentinels.iter().filter_map(pair).collect();
            quick(bootstrap).noise_floor_ratio(&pairs)
        };
        let noisier = |quantity: Quantity| {
            let base = floor(&self.base_evidence, quantity)?;
            Some((quantity, base.max(floor(&self.new_evidence, quantity)?)))
        };
        Quantity::ALL.into_iter().filter_map(noisier).collect()
    }
}

/// For what is shown and decides nothing by itself.
fn quick(bootstrap: &Bootstrap) -> Bootstrap {
    let quick = Bootstrap::quick(bootstrap.seed);
    Bootstrap { resamples: quick.resamples.min(bootstrap.resamples), ..quick }
}

/// The noise floor that an A/A comparison shows in a row, as a ratio minus 1: half its interval, or
/// the difference itself if that is more.
pub(super) fn floor_of(row: &Row) -> f64 {
    let half = (row.ratio.high.ln() - row.ratio.low.ln()) / 2.0;
    half.max(row.ratio.value.ln().abs()).exp_m1()
}
