//! What a run's folder already holds of its plan, checked against it: each trial where the plan has
//! it, and none twice.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::profile::{PlannedTrial, block_order};
use crate::store::schema::{Plan, TrialResult, TrialStatus};

/// The places of a plan that need not be run any more.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Block and position.
    places: BTreeSet<(u32, u32)>,
}

impl Stored {
    /// Finds each trial's place.
    ///
    /// # Errors
    /// With the first trial that is not where the plan has it, or that is there twice.
    pub(super) fn of(plan: &Plan, trials: &[TrialResult]) -> Result<Self> {
        let mut places = BTreeSet::new();
        let mut order: (u32, Vec<PlannedTrial>) = (0, block_order(plan, 0));
        for trial in trials {
            if order.0 != trial.block {
                order = (trial.block, block_order(plan, trial.block));
            }
            let planned = order.1.get(trial.position as usize);
            let is_planned = trial.block < plan.blocks
                && planned.is_some_and(|planned| {
                    let id = &plan.configurations[planned.config_index].id;
                    *id == trial.config_id && planned.sentinel == trial.sentinel
                });
            if !is_planned {
                bail!(
                    "its journal holds {} at position {} of block {}, where its plan has something \
                     else, so the run is damaged; start a new one",
                    trial.config_id,
                    trial.position,
                    trial.block
                );
            }
            if !places.insert((trial.block, trial.position)) {
                bail!(
                    "its journal holds position {} of block {} twice, so the run is damaged; start \
                     a new one",
                    trial.position,
                    trial.block
                );
            }
        }
        Ok(Self { places })
    }

    /// Whether the trial is stored.
    pub(super) fn holds(&self, block: u32, position: u32) -> bool {
        self.places.contains(&(block, position))
    }

    /// Whether any trial of the block is.
    pub(super) fn holds_any_of(&self, block: u32) -> bool {
        self.places.range((block, 0)..=(block, u32::MAX)).next().is_some()
    }
}

/// Configurations that cannot run here: they are not tried again.
pub(super) fn refused(plan: &Plan, trials: &[TrialResult]) -> BTreeSet<usize> {
    let refused = trials.iter().filter(|t| matches!(t.status, TrialStatus::Refused { .. }));
    let position = |trial: &TrialResult| {
        plan.configurations.iter().position(|known| known.id == trial.config_id)
    };
    refused.filter_map(position).collect()
}

/// Trials that a plan still asks for.
pub(super) fn missing(plan: &Plan, trials: &[TrialResult]) -> Result<usize> {
    let stored = Stored::of(plan, trials)?;
    let refused = refused(plan, trials);
    let in_block = |block: u32| {
        let order = (0..).zip(block_order(plan, block));
        order
            .filter(|(position, planned)| {
                !stored.holds(block, *position) && !refused.contains(&planned.config_index)
            })
            .count()
    };
    Ok((0..plan.blocks).map(in_block).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::synthetic::SyntheticRun;

    /// A run's plan, and its trials in the plan's own order.
    fn run() -> (Plan, Vec<TrialResult>) {
        let SyntheticRun { manifest, trials, .. } = SyntheticRun::small();
        let plan = manifest.plan;
        let ordered = (0..plan.blocks).flat_map(|block| {
            let places = (0..).zip(block_order(&plan, block));
            places.map(move |(position, planned)| (block, position, planned)).collect::<Vec<_>>()
        });
        let stored = ordered.map(|(block, position, planned)| TrialResult {
            config_id: plan.configurations[planned.config_index].id.clone(),
            sentinel: planned.sentinel,
            block,
            position,
            ..trials[0].clone()
        });
        let stored = stored.collect();
        (plan, stored)
    }

    #[test]
    fn what_is_stored_is_not_missing_and_what_is_refused_neither() {
        let (plan, trials) = run();
        assert_eq!((trials.len(), missing(&plan, &[]).expect("fits")), (18, 18));
        assert_eq!(missing(&plan, &trials).expect("fits"), 0);
        for count in 0..=trials.len() {
            assert_eq!(missing(&plan, &trials[..count]).expect("fits"), 18 - count);
            let stored = Stored::of(&plan, &trials[..count]).expect("fits");
            assert_eq!(
                (0..3).filter(|block| stored.holds_any_of(*block)).count(),
                count.div_ceil(6)
            );
        }
        let mut refused = trials[..2].to_vec();
        refused[1].status = TrialStatus::Refused { reason: String::new() };
        let is_sentinel = refused[1].config_id == plan.sentinel;
        // Once in each of two more blocks; a sentinel at both ends of three blocks, too.
        assert_eq!(missing(&plan, &refused).expect("fits"), if is_sentinel { 16 - 7 } else { 14 });
    }

    type Damage = fn(&mut Vec<TrialResult>);

    #[test]
    fn a_trial_out_of_place_or_twice_is_refused() {
        let (plan, trials) = run();
        let damages: [(&str, Damage); 5] = [
            ("twice", |trials| trials.push(trials[3].clone())),
            ("something else", |trials| trials[1].config_id = "c77".to_owned()),
            ("something else", |trials| trials[0].sentinel = false),
            ("something else", |trials| trials[0].block = 3),
            ("something else", |trials| trials[0].position = 6),
        ];
        for (why, damage) in damages {
            let mut damaged = trials.clone();
            damage(&mut damaged);
            let error = Stored::of(&plan, &damaged).expect_err(why).to_string();
            assert!(error.contains(why) && error.contains("damaged"), "{error}");
        }
    }
}
