//! Which trials count: the whole blocks, what became of each configuration, and the pairs of
//! sentinel runs that should be equal.

use std::collections::{BTreeMap, BTreeSet};

use crate::stats::Pair;
use crate::store::schema::{Plan, TrialResult, TrialStatus};

/// One number of a trial; `None` where the trial does not have it.
pub(crate) type Metric = fn(&TrialResult) -> Option<f64>;

/// Commits a second.
pub(crate) fn rate(trial: &TrialResult) -> Option<f64> {
    positive(trial.rate_per_second)
}

/// Median latency.
pub(crate) fn p50_us(trial: &TrialResult) -> Option<f64> {
    positive(trial.latency.p50_us)
}

/// p99 latency, where the sample supports it.
pub(crate) fn p99_us(trial: &TrialResult) -> Option<f64> {
    trial.latency.p99_us.and_then(positive)
}

/// Zero stands for "nothing measured" in all of these, and has no logarithm.
pub(super) fn positive(value: f64) -> Option<f64> {
    (value.is_finite() && value > 0.0).then_some(value)
}

/// What became of a configuration over the whole run; the worst that happened counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// No trial of it is stored.
    Unmeasured,
    /// Every trial ended well.
    Measured,
    /// The device cannot run it.
    Refused(String),
    /// It lost or corrupted a record, or the log failed.
    Failed(String),
    /// It was not offered the rate that was asked for, or did not carry it, in one trial at least:
    /// numbers that count in no average.
    RateNotKept(String),
}

/// The trials that count, by position in the plan.
pub(crate) struct Observations<'a> {
    /// The plan they were made by.
    pub plan: &'a Plan,
    /// Fate of each configuration.
    pub fates: Vec<Fate>,
    /// Whole blocks, ascending.
    pub blocks: Vec<u32>,
    /// Sentinel runs of the whole blocks that have both: at its start and at its end.
    pub sentinels: Vec<SentinelPair<'a>>,
    /// Ordinary trials that ended well, by configuration and block, in whole blocks only.
    trials: Vec<BTreeMap<u32, &'a TrialResult>>,
}

/// The sentinel configuration at both ends of a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentinelPair<'a> {
    /// Run first in the block.
    pub opening: &'a TrialResult,
    /// Run last.
    pub closing: &'a TrialResult,
}

impl SentinelPair<'_> {
    /// Both ends' values, if both have one.
    pub(crate) fn pair(&self, metric: Metric) -> Option<Pair> {
        Some(Pair { baseline: metric(self.opening)?, changed: metric(self.closing)? })
    }
}

impl<'a> Observations<'a> {
    /// Sorts a run's trials by the plan.
    ///
    /// A block is whole when every configuration that can run has ended well in it; those refused
    /// or failed anywhere, or whose rate was not kept, do not hold a block back.
    pub(crate) fn new(plan: &'a Plan, trials: &'a [TrialResult]) -> Self {
        let index_of: BTreeMap<&str, usize> = (plan.configurations.iter().enumerate())
            .map(|(index, configuration)| (configuration.id.as_str(), index))
            .collect();
        let mut fates = vec![Fate::Unmeasured; plan.configurations.len()];
        let mut by_config = vec![BTreeMap::new(); plan.configurations.len()];
        for trial in trials {
            let Some(&index) = index_of.get(trial.config_id.as_str()) else {
                continue;
            };
            fates[index] = worse(&fates[index], &trial.status, trial.sentinel);
            if !trial.sentinel && trial.status == TrialStatus::Ok {
                // Resuming never repeats a stored trial; were there two, the first is the one
                // that ran in its place in the order.
                by_config[index].entry(trial.block).or_insert(trial);
            }
        }
        let blocks = whole_blocks(&fates, &by_config);
        for trials in &mut by_config {
            trials.retain(|block, _| blocks.contains(block));
        }
        let sentinels = sentinel_pairs(plan, trials, &blocks);
        Self { plan, fates, blocks: blocks.into_iter().collect(), sentinels, trials: by_config }
    }

    /// The configuration's ordinary trials in whole blocks, by block.
    pub(crate) fn trials(&self, config: usize) -> impl Iterator<Item = &'a TrialResult> {
        self.trials[config].values().copied()
    }

    /// One of them.
    pub(super) fn trial(&self, config: usize, block: u32) -> Option<&'a TrialResult> {
        self.trials[config].get(&block).copied()
    }

    /// The metric of one trial; `None` if there is no such trial or it has no such number.
    pub(crate) fn value(&self, config: usize, block: u32, metric: Metric) -> Option<f64> {
        metric(self.trials[config].get(&block)?)
    }

    /// Whether the configuration ran well everywhere.
    pub(crate) fn is_measured(&self, config: usize) -> bool {
        self.fates[config] == Fate::Measured
    }
}

/// A sentinel run that ended well says nothing about whether the ordinary trials were run.
fn worse(fate: &Fate, status: &TrialStatus, sentinel: bool) -> Fate {
    match (fate, status) {
        (Fate::Failed(_), _) => fate.clone(),
        (_, TrialStatus::Failed { reason }) => Fate::Failed(reason.clone()),
        (Fate::Refused(_), _) => fate.clone(),
        (_, TrialStatus::Refused { reason }) => Fate::Refused(reason.clone()),
        (Fate::RateNotKept(_), _) => fate.clone(),
        (_, TrialStatus::Overloaded { reason } | TrialStatus::Invalid { reason }) => {
            Fate::RateNotKept(reason.clone())
        }
        (_, TrialStatus::Ok) if sentinel => fate.clone(),
        (_, TrialStatus::Ok) => Fate::Measured,
    }
}

fn whole_blocks(fates: &[Fate], by_config: &[BTreeMap<u32, &TrialResult>]) -> BTreeSet<u32> {
    let mut runnable = (fates.iter().zip(by_config))
        .filter(|(fate, _)| matches!(fate, Fate::Measured | Fate::Unmeasured))
        .map(|(_, trials)| trials);
    let Some(first) = runnable.next() else {
        return BTreeSet::new();
    };
    let mut whole: BTreeSet<u32> = first.keys().copied().collect();
    for trials in runnable {
        whole.retain(|block| trials.contains_key(block));
    }
    whole
}

fn sentinel_pairs<'a>(
    plan: &Plan,
    trials: &'a [TrialResult],
    blocks: &BTreeSet<u32>,
) -> Vec<SentinelPair<'a>> {
    blocks
        .iter()
        .filter_map(|block| {
            let in_block = || {
                trials.iter().filter(|trial| {
                    trial.sentinel
                        && trial.block == *block
                        && trial.config_id == plan.sentinel
                        && trial.status == TrialStatus::Ok
                })
            };
            let opening = in_block().min_by_key(|trial| trial.position)?;
            let closing = in_block().max_by_key(|trial| trial.position)?;
            (opening.position < closing.position).then_some(SentinelPair { opening, closing })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::synthetic::SyntheticRun;

    #[test]
    fn a_rate_that_was_not_kept_once_counts_in_no_average_and_holds_nobody_else_back() {
        let whole = SyntheticRun::small();
        let reason = || "the backlog grew".to_owned();
        for status in [
            TrialStatus::Overloaded { reason: reason() },
            TrialStatus::Invalid { reason: reason() },
        ] {
            let mut run = SyntheticRun::small();
            let is_it = |trial: &&mut TrialResult| trial.config_id == "c02" && trial.block == 1;
            run.trials.iter_mut().find(is_it).expect("a trial of it").status = status;
            let found = Observations::new(&run.manifest.plan, &run.trials);
            assert_eq!(found.fates[2], Fate::RateNotKept(reason()));
            assert!(!found.is_measured(2) && found.is_measured(1));
            let all = Observations::new(&whole.manifest.plan, &whole.trials);
            assert_eq!(found.blocks, all.blocks, "the others' blocks stay whole");
            assert_eq!(found.value(2, 1, rate), None);
        }
    }

    #[test]
    fn a_lost_record_is_worse_than_a_rate_that_was_not_kept() {
        let not_kept = Fate::RateNotKept("late".to_owned());
        let lost = TrialStatus::Failed { reason: "lost".to_owned() };
        assert_eq!(worse(&not_kept, &lost, true), Fate::Failed("lost".to_owned()));
        assert_eq!(worse(&not_kept, &TrialStatus::Ok, false), not_kept);
    }
}
