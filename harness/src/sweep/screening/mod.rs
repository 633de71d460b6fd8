//! A sweep in a given time (`--time`). Where every combination fits, in all its blocks, that is the
//! run. Where it does not, a fraction of the combinations is run first, for at most half of the
//! time, and the axes that it shows to matter are then varied in full in what is left.

mod choice;
mod design;
mod effects;
#[cfg(test)]
mod tests;

use std::time::Duration;

use anyhow::anyhow;

use crate::failure::Failure;
use crate::profile::{Levels, Profile, assumed_overhead_seconds, plan_cost};
use crate::stats::MIN_BLOCKS;
use crate::store::schema::Plan;
use crate::units::format_seconds;

use design::Design;

pub(super) use choice::refine;

/// Trials of a screening that show an effect of 10 % where equal trials differ by as much, which is
/// what they do on the machine that this was developed on (see `stats::truth`).
const TRIALS_WANTED: usize = 96;

/// Share of the time that a screening takes at most, unless the fewest blocks take longer.
pub(super) const SCREENING_SHARE: f64 = 0.5;

/// Configurations of the smallest refinement: one axis of two levels.
const LEAST_REFINED: usize = 2;

/// Sentinel runs of a block.
const SENTINELS: usize = 2;

/// How a run goes about its profile.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Approach {
    /// Every combination.
    Full(Plan),
    /// A fraction of them first.
    Screening {
        /// That fraction.
        plan: Plan,
        /// Which one it is, in a sentence.
        design: String,
        /// What it leaves, as far as that can be told before.
        left: Allowance,
    },
}

/// Time that is left for blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Allowance {
    pub(super) seconds: f64,
    /// What a trial takes, everything included.
    pub(super) seconds_per_trial: f64,
    /// Fewest blocks worth running.
    pub(super) blocks_min: u32,
    /// Blocks that the profile asks for.
    pub(super) blocks_max: u32,
}

impl Allowance {
    /// Of a profile's blocks. Fewer than support an interval are not worth running, unless the
    /// profile wants no more.
    pub(super) fn of(profile: &Profile, seconds: f64, seconds_per_trial: f64) -> Self {
        let least = u32::try_from(MIN_BLOCKS).unwrap_or(u32::MAX);
        let blocks_min = profile.min_blocks.max(least.min(profile.blocks));
        Self { seconds, seconds_per_trial, blocks_min, blocks_max: profile.blocks }
    }

    /// How many blocks of all combinations of these levels fit; `None` when too few do.
    pub(super) fn blocks_of(&self, kept: &[Levels]) -> Option<u32> {
        self.blocks(kept.iter().map(Vec::len).product())
    }

    /// Configurations of which the fewest blocks fit.
    pub(super) fn configurations_max(&self) -> usize {
        let trials = self.seconds / self.seconds_per_trial / f64::from(self.blocks_min);
        #[allow(clippy::cast_possible_truncation, reason = "the cast saturates, and 0 is none")]
        (trials.max(0.0) as usize).saturating_sub(SENTINELS)
    }

    fn blocks(&self, configurations: usize) -> Option<u32> {
        let seconds_per_block = (configurations + SENTINELS) as f64 * self.seconds_per_trial;
        let fits = |blocks: &u32| f64::from(*blocks) * seconds_per_block <= self.seconds;
        (self.blocks_min..=self.blocks_max).rev().find(fits)
    }
}

impl Approach {
    /// What is run first.
    pub(super) fn first_plan(&self) -> &Plan {
        let (Self::Full(plan) | Self::Screening { plan, .. }) = self;
        plan
    }

    /// Chooses between the two. `ceiling_seconds` is what goes before any trial.
    ///
    /// # Errors
    /// When the time is too short for either; the sentence says what the least is.
    pub(super) fn choose(
        profile: &Profile,
        seed: u64,
        time: Option<Duration>,
        ceiling_seconds: f64,
    ) -> Result<Self, Failure> {
        let plan = profile.plan(seed);
        let Some(time) = time else { return Ok(Self::Full(plan)) };
        let per_trial = plan.warmup_seconds + plan.trial_seconds + assumed_overhead_seconds(&plan);
        let allowed = Allowance::of(profile, time.as_secs_f64() - ceiling_seconds, per_trial);
        let blocks_that_fit = allowed.blocks(plan.configurations.len());
        if blocks_that_fit == Some(plan.blocks) {
            return Ok(Self::Full(plan));
        }
        let design = Design::of(&plan.axes);
        if design.runs.len() >= plan.configurations.len() {
            // A fraction would be no smaller: the time ends the run after a whole block.
            let per_block = plan_cost(&plan, assumed_overhead_seconds(&plan)).seconds_per_block;
            let least = ceiling_seconds + per_block * f64::from(allowed.blocks_min);
            return match blocks_that_fit {
                Some(_) => Ok(Self::Full(plan)),
                None => Err(too_short(time, least, "the fewest blocks that support an interval")),
            };
        }
        Self::screening(profile, seed, &design, &allowed)
            .map_err(|least| too_short(time, ceiling_seconds + least, "a screening"))
    }

    /// The screening, or the least time that would do, seconds.
    fn screening(
        profile: &Profile,
        seed: u64,
        design: &Design,
        allowed: &Allowance,
    ) -> Result<Self, f64> {
        let seconds_per_block = (design.runs.len() + SENTINELS) as f64 * allowed.seconds_per_trial;
        let most = TRIALS_WANTED.div_ceil(design.runs.len()).max(MIN_BLOCKS);
        let fits = |blocks: &usize| {
            *blocks as f64 * seconds_per_block <= allowed.seconds * SCREENING_SHARE
        };
        let blocks = (MIN_BLOCKS..=most).rev().find(fits).unwrap_or(MIN_BLOCKS);
        let screening_seconds = blocks as f64 * seconds_per_block;
        let left = Allowance { seconds: allowed.seconds - screening_seconds, ..*allowed };
        if left.blocks(LEAST_REFINED).is_none() {
            let refined = (LEAST_REFINED + SENTINELS) as f64 * f64::from(allowed.blocks_min);
            return Err(screening_seconds + refined * allowed.seconds_per_trial);
        }
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        let plan = profile.plan_of_some('s', &design.runs, blocks, seed);
        Ok(Self::Screening { plan, design: design.sentence(), left })
    }
}

fn too_short(time: Duration, least_seconds: f64, what: &str) -> Failure {
    Failure::Usage(anyhow!(
        "{} is too short for this profile: {what} takes about {}; give it more time with --time, or \
         use shorter trials or fewer axes",
        format_seconds(time.as_secs_f64()),
        format_seconds(least_seconds)
    ))
}
