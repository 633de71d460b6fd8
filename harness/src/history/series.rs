//! The numbers of a history, run by run, and where they shifted.

use serde::Serialize;

use crate::stats::{Shift, ShiftRules, find_shifts, median};
use crate::store::measured::{Evidence, Measured, label, means_by_block};
use crate::store::quantity::Quantity;

use super::Shifted;

/// Version of the JSON that a history is written as, `major.minor`.
const HISTORY_VERSION: &str = "1.0";

/// Scope of the series over all configurations.
const TOGETHER: &str = "all configurations";

/// A run, or a folder of runs, as one point of the history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) started_utc: String,
    pub(super) plimsoll_version: String,
    pub(super) kernel: String,
}

/// One number over the whole history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Series {
    /// Configuration id; `None` for all together (the mean of the logarithms).
    pub(super) config_id: Option<String>,
    /// What the axes say of it.
    pub(super) scope: String,
    pub(super) quantity: Quantity,
    /// Median over each run's blocks.
    pub(super) values: Vec<f64>,
    /// Oldest first.
    pub(super) shifts: Vec<ChangePoint>,
}

impl Series {
    /// Index of the first run after each change point.
    pub(super) fn first_runs(&self) -> impl Iterator<Item = usize> {
        self.shifts.iter().map(|point| self.values.len() - point.runs_since)
    }
}

/// Where a number shifted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ChangePoint {
    /// The first run after it, and the last one before.
    pub(super) first: Entry,
    /// See above.
    pub(super) last_before: Entry,
    /// Runs from the first one to the newest.
    pub(super) runs_since: usize,
    /// Median after it by median before.
    pub(super) ratio: f64,
    /// Whether that is for the worse.
    pub(super) is_worse: bool,
    /// Whether it is among the runs that decide the exit code.
    pub(super) is_recent: bool,
}

/// A history, as it is printed and stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct History {
    /// [`HISTORY_VERSION`].
    pub(super) history_version: &'static str,
    pub(super) profile: String,
    pub(super) shifted: Shifted,
    /// Runs of another profile or machine, which are no part of it.
    pub(super) left_out: usize,
    /// Fewest runs that could show a change point.
    pub(super) runs_needed: usize,
    pub(super) recent: usize,
    pub(super) entries: Vec<Entry>,
    pub(super) series: Vec<Series>,
}

impl History {
    /// Reads the numbers of measurements of one plan, oldest first, and searches each for shifts.
    pub(super) fn read(
        all: &[Measured],
        left_out: usize,
        recent: usize,
        rules: &ShiftRules,
    ) -> Self {
        let entries: Vec<Entry> = all.iter().map(entry).collect();
        let mut series = numbers(all);
        for one in &mut series {
            let shifts = find_shifts(&one.values, rules);
            let points = shifts.iter().map(|shift| point(shift, one.quantity, &entries, recent));
            one.shifts = points.collect();
        }
        let is_alarm = |point: &ChangePoint| point.is_worse && point.is_recent;
        let runs_needed = rules.runs_to_see_anything();
        let shifted = if series.iter().any(|one| one.shifts.iter().any(is_alarm)) {
            Shifted::ForTheWorse
        } else if entries.len() < runs_needed || series.is_empty() {
            Shifted::TooShort
        } else {
            Shifted::Not
        };
        Self {
            history_version: HISTORY_VERSION,
            profile: all.last().map_or_else(String::new, |m| m.manifest().profile_name.clone()),
            shifted,
            left_out,
            runs_needed,
            recent,
            entries,
            series,
        }
    }
}

fn entry(measured: &Measured) -> Entry {
    let manifest = measured.manifest();
    Entry {
        name: measured.name.clone(),
        started_utc: manifest.started_utc.clone(),
        plimsoll_version: manifest.environment_before.plimsoll_version.clone(),
        kernel: manifest.environment_before.kernel.clone(),
    }
}

fn point(shift: &Shift, quantity: Quantity, entries: &[Entry], recent: usize) -> ChangePoint {
    let runs_since = entries.len() - shift.at;
    ChangePoint {
        first: entries[shift.at].clone(),
        last_before: entries[shift.at - 1].clone(),
        runs_since,
        ratio: shift.ratio,
        is_worse: quantity.is_worse(shift.ratio),
        is_recent: runs_since <= recent,
    }
}

/// Every number that all runs have, all configurations together first.
fn numbers(all: &[Measured]) -> Vec<Series> {
    let evidence: Vec<Evidence<'_>> = all.iter().map(Measured::evidence).collect();
    let Some(plan) = all.last().map(|measured| &measured.manifest().plan) else {
        return Vec::new();
    };
    let (mut together, mut apart) = (Vec::new(), Vec::new());
    for quantity in Quantity::ALL {
        let mut everywhere = Vec::new();
        for config in 0..plan.configurations.len() {
            let logs: Option<Vec<Vec<f64>>> = evidence
                .iter()
                .map(|run| run.logs(config, quantity).filter(|logs| !logs.is_empty()))
                .collect();
            let Some(logs) = logs else { continue };
            apart.push(Series {
                config_id: Some(plan.configurations[config].id.clone()),
                scope: label(plan, config),
                quantity,
                values: logs.iter().filter_map(|logs| median(logs)).map(f64::exp).collect(),
                shifts: Vec::new(),
            });
            everywhere.push(logs);
        }
        if everywhere.len() > 1 {
            let of_run = |run: usize| {
                let configs: Vec<&[f64]> =
                    everywhere.iter().map(|logs| logs[run].as_slice()).collect();
                median(&means_by_block(&configs)).map(f64::exp)
            };
            together.push(Series {
                config_id: None,
                scope: TOGETHER.to_owned(),
                quantity,
                values: (0..all.len()).filter_map(of_run).collect(),
                shifts: Vec::new(),
            });
        }
    }
    together.extend(apart);
    together
}
