//! Picks the configuration to run: of those on the front that do as well as the best one by what is
//! asked for, as far as the run can tell, the simplest whose tail is not clearly worse.

use crate::cli::Objective;
use crate::profile::SettingKey;
use crate::stats::overlap;
use crate::store::schema::Plan;

use super::knee::Bend;
use super::measures::{Candidate, Measure, Merit, WORSE_P99_RATIO, Yardstick};
use super::simplest::Complexity;

/// Settings that describe the load, not the log: a recommendation is for one of them.
pub(crate) const LOAD: [SettingKey; 3] =
    [SettingKey::RecordSize, SettingKey::Clients, SettingKey::Rate];

/// The chosen configuration, by position in the plan.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Choice {
    /// The one to run.
    pub config: usize,
    /// Configurations that cannot be told from the best one, best first.
    pub ties: Vec<usize>,
    /// What they are best in.
    pub merit: Merit,
    /// Whether that is less than the highest rate, for the sake of latency.
    pub stepped_back: bool,
}

/// The configurations that may be recommended, by position in the plan.
///
/// Encryption is the user's to require, not a way to be fast: where it varies, configurations at
/// its first level compete. Where the load varies, the first level of each load axis is
/// recommended for.
pub(crate) fn competing(plan: &Plan) -> Vec<usize> {
    let Some(baseline) = plan.configurations.first().map(|first| &first.settings) else {
        return Vec::new();
    };
    let configurations = plan.configurations.iter().enumerate();
    configurations
        .filter(|(_, configuration)| {
            let settings = &configuration.settings;
            let right_load = LOAD.iter().all(|key| key.text(settings) == key.text(baseline));
            right_load && settings.encryption == baseline.encryption
        })
        .map(|(config, _)| config)
        .collect()
}

/// Chooses among candidates; `None` when there are none, or none has the number that is asked for.
///
/// `on_front` says which of them are on the front; one that is not may tie and is never chosen.
pub(crate) fn choose(
    plan: &Plan,
    candidates: &[Candidate],
    on_front: &[bool],
    bend: Option<Bend>,
    objective: Objective,
    yardstick: &Yardstick,
) -> Option<Choice> {
    let merit = merit(objective);
    let step_back = bend.filter(|bend| objective == Objective::Balanced && bend.steep);
    let anchor = match step_back {
        Some(bend) => &candidates[bend.knee],
        None => best(candidates, merit)?,
    };
    let tied = |other: &Candidate| {
        other.measure(merit).is_some()
            && !yardstick.is_clearly_better(merit, anchor, other)
            && !(step_back.is_some() && yardstick.is_clearly_better(Merit::P99, anchor, other))
    };
    let mut ties: Vec<usize> = (0..candidates.len()).filter(|i| tied(&candidates[*i])).collect();
    ties.sort_by(|a, b| order(merit, &candidates[*a], &candidates[*b]));
    let among = |ties: &mut dyn Iterator<Item = &usize>| -> Vec<&Candidate> {
        ties.map(|tie| &candidates[*tie]).collect()
    };
    let mut eligible = among(&mut ties.iter().filter(|tie| on_front[**tie]));
    if eligible.is_empty() {
        // What makes all of them superfluous is, with errors as large as these, no tie itself.
        eligible = among(&mut ties.iter());
    }
    let fast = as_fast(&eligible, yardstick);
    let chosen = lowest_p99(&fast)
        .into_iter()
        .min_by_key(|candidate| Complexity::of(plan, candidate.config))?;
    Some(Choice {
        config: chosen.config,
        ties: ties.iter().map(|tie| candidates[*tie].config).collect(),
        merit,
        stepped_back: step_back.is_some(),
    })
}

/// What the objective is measured by.
pub(crate) fn merit(objective: Objective) -> Merit {
    match objective {
        Objective::Balanced | Objective::Rate => Merit::Rate,
        Objective::P99 => Merit::P99,
        Objective::P999 => Merit::P999,
        Objective::Bytes => Merit::Bytes,
        Objective::Cpu => Merit::Cpu,
        Objective::Memory => Merit::Memory,
    }
}

/// Whether the setting is an axis with more than one level.
pub(crate) fn varies(plan: &Plan, key: SettingKey) -> bool {
    plan.axes.iter().any(|axis| axis.name == key.name() && axis.levels.len() > 1)
}

/// The best first; one without the number last.
fn order(merit: Merit, a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    let value = |candidate: &Candidate| {
        let value = candidate.measure(merit).map_or(f64::INFINITY, |found| found.estimate.value);
        if merit == Merit::Rate { -value } else { value }
    };
    value(a).total_cmp(&value(b)).then(a.config.cmp(&b.config))
}

fn best(candidates: &[Candidate], merit: Merit) -> Option<&Candidate> {
    let measured = candidates.iter().filter(|candidate| candidate.measure(merit).is_some());
    measured.min_by(|a, b| order(merit, a, b))
}

/// Drops those that are clearly slower than the fastest of them.
fn as_fast<'a>(ties: &[&'a Candidate], yardstick: &Yardstick) -> Vec<&'a Candidate> {
    let fastest = ties.iter().copied().min_by(|a, b| order(Merit::Rate, a, b));
    let slower = |other: &Candidate| {
        fastest.is_some_and(|fastest| yardstick.is_clearly_better(Merit::Rate, fastest, other))
    };
    ties.iter().copied().filter(|candidate| !slower(candidate)).collect()
}

/// Drops those whose p99 is distinguishably and noticeably above the lowest.
fn lowest_p99<'a>(ties: &[&'a Candidate]) -> Vec<&'a Candidate> {
    let of_blocks = |candidate: &Candidate| candidate.p99_us.filter(|p99| !p99.pooled);
    let lowest = ties
        .iter()
        .filter_map(|candidate| of_blocks(candidate))
        .min_by(|a, b| a.estimate.value.total_cmp(&b.estimate.value));
    let is_fine = |own: Measure, lowest: Measure| {
        overlap(&own.estimate, &lowest.estimate)
            || own.estimate.value / lowest.estimate.value - 1.0 <= WORSE_P99_RATIO
    };
    ties.iter()
        .copied()
        .filter(|candidate| match (of_blocks(candidate), lowest) {
            (Some(own), Some(lowest)) => is_fine(own, lowest),
            _ => true,
        })
        .collect()
}
