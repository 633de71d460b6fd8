//! From a profile to the plan a run follows: the configurations, the order of each block, and what
//! it all costs.
//!
//! Everything here is a function of the profile and the seed, so a stored plan can be resumed, and
//! checked, by whoever holds it.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use sha2::{Digest, Sha256};

use crate::profile::{Profile, ProfileAxis};
use crate::store::schema::{Axis, Configuration, Plan, STEADY_ROUNDS_MAX, Settings};

/// Levels of one axis, by their number in the profile.
pub(crate) type Levels = Vec<usize>;

impl Profile {
    /// Expands the profile into every combination of its axes' levels, the last axis fastest. The
    /// sentinel is the combination of the first levels.
    pub(crate) fn plan(&self, seed: u64) -> Plan {
        let all: Vec<Levels> =
            self.axes.iter().map(|axis| (0..axis.levels.len()).collect()).collect();
        self.plan_over(&all, self.blocks, seed)
    }

    /// Every combination of those levels of each axis that are `kept`, in blocks. An axis of which
    /// one of several is kept is held there: it is no axis of that plan.
    pub(crate) fn plan_over(&self, kept: &[Levels], blocks: u32, seed: u64) -> Plan {
        let count: usize = kept.iter().map(Vec::len).product();
        let combinations: Vec<Levels> = (0..count)
            .map(|index| {
                // The index's digits in the mixed radix of the level counts.
                let mut rest = index;
                let mut levels: Levels = kept
                    .iter()
                    .rev()
                    .map(|kept| {
                        let level = kept[rest % kept.len()];
                        rest /= kept.len();
                        level
                    })
                    .collect();
                levels.reverse();
                levels
            })
            .collect();
        let axes = self.axes.iter().zip(kept);
        let varied = axes.filter(|(axis, kept)| kept.len() > 1 || axis.levels.len() == 1);
        let axes = varied.map(|(axis, kept)| axis.described(kept)).collect();
        self.plan_of(axes, 'c', &combinations, blocks, seed)
    }

    /// Some combinations of levels of all axes, named by a letter and their number, in blocks. The
    /// first one is the sentinel.
    pub(crate) fn plan_of_some(
        &self,
        letter: char,
        combinations: &[Levels],
        blocks: u32,
        seed: u64,
    ) -> Plan {
        self.plan_of(self.all_axes(), letter, combinations, blocks, seed)
    }

    /// Every axis with all its levels.
    pub(crate) fn all_axes(&self) -> Vec<Axis> {
        let all = |axis: &ProfileAxis| axis.described(&(0..axis.levels.len()).collect());
        self.axes.iter().map(all).collect()
    }

    fn plan_of(
        &self,
        axes: Vec<Axis>,
        letter: char,
        combinations: &[Levels],
        blocks: u32,
        seed: u64,
    ) -> Plan {
        let digits = combinations.len().saturating_sub(1).to_string().len().max(2);
        let id = |index: usize| format!("{letter}{index:0digits$}");
        let configurations = combinations.iter().enumerate().map(|(index, levels)| {
            let mut settings = self.base.clone();
            for (axis, level) in self.axes.iter().zip(levels) {
                axis.key.copy(&axis.levels[*level], &mut settings);
            }
            Configuration { id: id(index), settings }
        });
        Plan {
            axes,
            sentinel: id(0),
            configurations: configurations.collect(),
            blocks,
            trial_seconds: self.trial.as_secs_f64(),
            warmup_seconds: self.warmup.as_secs_f64(),
            seed,
            load: self.load.planned(),
            round_seconds: self.round.map(|round| round.as_secs_f64()),
        }
    }
}

impl ProfileAxis {
    fn described(&self, kept: &Levels) -> Axis {
        let text = |level: &usize| self.key.text(&self.levels[*level]);
        Axis { name: self.key.name().to_string(), levels: kept.iter().map(text).collect() }
    }
}

/// One trial of a block's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlannedTrial {
    /// Index into the plan's configurations.
    pub config_index: usize,
    /// Whether this is a sentinel run at the block's start or end; kept out of the effects.
    pub sentinel: bool,
}

/// The order in which a block runs: the sentinel, every configuration once in an order drawn from
/// the plan's seed and the block's number, and the sentinel again. A plan that names no such
/// sentinel (none made here does) runs without.
///
/// The order must not change between versions, or a resumed run would mix two orders; a test pins
/// it.
pub(crate) fn block_order(plan: &Plan, block: u32) -> Vec<PlannedTrial> {
    let mut order: Vec<usize> = (0..plan.configurations.len()).collect();
    order.shuffle(&mut block_generator(plan.seed, block));
    let sentinel = plan
        .configurations
        .iter()
        .position(|configuration| configuration.id == plan.sentinel)
        .map(|config_index| PlannedTrial { config_index, sentinel: true });
    let shuffled =
        order.into_iter().map(|config_index| PlannedTrial { config_index, sentinel: false });
    sentinel.into_iter().chain(shuffled).chain(sentinel).collect()
}

/// A generator of its own for each pair of seed and block: hashing keeps neighbouring seeds and
/// blocks, which are what people use, from sharing any state.
fn block_generator(seed: u64, block: u32) -> Xoshiro256PlusPlus {
    let digest = Sha256::new()
        .chain_update(b"plimsoll block order v1")
        .chain_update(seed.to_le_bytes())
        .chain_update(block.to_le_bytes())
        .finalize();
    Xoshiro256PlusPlus::from_seed(digest.into())
}

/// What running a plan costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PlanCost {
    /// Trials in a block, both sentinels included.
    pub trials_per_block: u64,
    /// Trials in all blocks.
    pub trials: u64,
    /// Seconds of load on the disk, warm-ups included.
    pub load_seconds: f64,
    /// Seconds of one block, overhead included.
    pub seconds_per_block: f64,
    /// Seconds of the whole plan, overhead included.
    pub seconds: f64,
}

/// Log written a second while nobody has measured it yet: what a drive in its middle age takes
/// from four clients.
pub(crate) const ASSUMED_LOG_BYTES_PER_SECOND: f64 = 100e6;

/// Seconds around a trial that do not depend on its length: opening, preparing two segments,
/// removing them, storing the result. Measured on a virtual disk that takes 600 MB/s.
const OVERHEAD_FIXED_SECONDS: f64 = 0.06;

/// Seconds around a trial for each second of its load: reading back and comparing what it wrote,
/// twice, as opening the log again reads it too.
const OVERHEAD_PER_LOAD_SECOND: f64 = 0.065;

/// The same for a trial in rounds, of whose log only the end is left to be read back.
const OVERHEAD_ROUNDS_SECONDS: f64 = 1.0;

/// What a trial is assumed to take besides its warm-up and measured time.
pub(crate) fn assumed_overhead_seconds(plan: &Plan) -> f64 {
    if plan.round_seconds.is_some() {
        return OVERHEAD_ROUNDS_SECONDS;
    }
    OVERHEAD_FIXED_SECONDS + OVERHEAD_PER_LOAD_SECOND * (plan.warmup_seconds + plan.trial_seconds)
}

/// What running the plan costs, if each trial takes `per_trial_overhead_seconds` besides its
/// warm-up and measured time (opening the log, preparing segments, reading back, removing).
pub(crate) fn plan_cost(plan: &Plan, per_trial_overhead_seconds: f64) -> PlanCost {
    let trials_per_block = block_order(plan, 0).len() as u64;
    let trials = trials_per_block * u64::from(plan.blocks);
    let trial_load_seconds = plan.warmup_seconds + plan.trial_seconds;
    let trial_seconds = trial_load_seconds + per_trial_overhead_seconds;
    PlanCost {
        trials_per_block,
        trials,
        load_seconds: trials as f64 * trial_load_seconds,
        seconds_per_block: trials_per_block as f64 * trial_seconds,
        seconds: trials as f64 * trial_seconds,
    }
}

/// The plan as it would be if no trial in rounds were ever steady: each goes on for all the rounds
/// there may be. Without rounds, the plan itself.
pub(crate) fn longest(plan: &Plan) -> Plan {
    let trial_seconds = plan.round_seconds.map(|seconds| seconds * f64::from(STEADY_ROUNDS_MAX));
    Plan { trial_seconds: trial_seconds.unwrap_or(plan.trial_seconds), ..plan.clone() }
}

/// What a record takes in the log besides its payload, bytes, at most: its frame and its tag.
const FRAME_BYTES: f64 = 80.0;

/// Bytes of log of a trial with these settings, if the log takes `log_bytes_per_second`: so many in
/// a closed loop. What arrives is written in the end, however slow the log is; the faster it is, the
/// fewer records share a batch and its padding.
pub(crate) fn trial_log_bytes(plan: &Plan, settings: &Settings, log_bytes_per_second: f64) -> f64 {
    let seconds = plan.warmup_seconds + plan.trial_seconds;
    let Some(rate) = settings.rate_per_second else {
        return seconds * log_bytes_per_second;
    };
    let shared = rate * (settings.record_size_bytes as f64 + FRAME_BYTES);
    let alone = shared + rate * settings.alignment_bytes as f64;
    seconds * log_bytes_per_second.clamp(shared, alone)
}

/// Bytes the plan writes, if the log takes `log_bytes_per_second` in every trial. How fast it is
/// only the run can say, so this is an estimate at an assumed speed.
///
/// Segments that are zeroed before use (`zero`, and `recycle` until there is something to recycle)
/// are written twice, in whole segments, and one is ready ahead of the log. A trial in rounds is
/// truncated as it grows, so that there is something.
pub(crate) fn plan_written_bytes(plan: &Plan, log_bytes_per_second: f64) -> f64 {
    let block_bytes: f64 = block_order(plan, 0)
        .iter()
        .map(|trial| {
            let settings = &plan.configurations[trial.config_index].settings;
            let log_bytes = trial_log_bytes(plan, settings, log_bytes_per_second);
            let segment_bytes = settings.segment_size_bytes as f64;
            let zeroed_bytes = match settings.preparation.as_str() {
                "recycle" if plan.round_seconds.is_some() => 0.0,
                "zero" | "recycle" => ((log_bytes / segment_bytes).ceil() + 1.0) * segment_bytes,
                _ => 0.0,
            };
            log_bytes + zeroed_bytes
        })
        .sum();
    block_bytes * f64::from(plan.blocks)
}
