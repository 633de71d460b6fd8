//! What changing one axis did while everything else stayed equal, judged against what the machine
//! does by itself between two runs of the same thing.

use crate::stats::{Bootstrap, Pair, log_ratio, mean, median, point};
use crate::store::schema::{Axis, AxisEffect, LevelEffect, Plan};

use super::noise::Noise;
use super::observations::{Metric, Observations, p99_us, rate};
use super::wording;

/// Every axis, in plan order.
pub(crate) fn effects(
    observations: &Observations<'_>,
    noise: &Noise,
    bootstrap: &Bootstrap,
) -> Vec<AxisEffect> {
    let grid = Grid::of(observations.plan);
    let axes = observations.plan.axes.iter().enumerate();
    axes.map(|(index, axis)| {
        let levels = level_effects(observations, bootstrap, grid.as_ref(), index, axis);
        let judged = levels.iter().skip(1);
        AxisEffect {
            axis: axis.name.clone(),
            baseline: axis.levels.first().cloned().unwrap_or_default(),
            matters: judged
                .clone()
                .any(|level| noise.rate_matters(level) || noise.p99_matters(level)),
            sentence: wording::axis_sentence(&axis.name, &levels, noise, observations.blocks.len()),
            levels,
        }
    })
    .collect()
}

fn level_effects(
    observations: &Observations<'_>,
    bootstrap: &Bootstrap,
    grid: Option<&Grid>,
    axis_index: usize,
    axis: &Axis,
) -> Vec<LevelEffect> {
    let levels = axis.levels.iter().enumerate();
    levels
        .map(|(level, name)| {
            if level == 0 {
                return LevelEffect {
                    level: name.clone(),
                    rate_ratio: Some(point(1.0)),
                    p99_ratio: Some(point(1.0)),
                };
            }
            let matched =
                grid.map_or_else(Vec::new, |grid| grid.matched(observations, axis_index, level));
            let ratio = |metric| {
                let logs = block_log_ratios(observations, &matched, metric);
                bootstrap.ratio(&logs).or_else(|| median(&logs).map(|log| point(log.exp())))
            };
            LevelEffect { level: name.clone(), rate_ratio: ratio(rate), p99_ratio: ratio(p99_us) }
        })
        .collect()
}

/// One log-ratio per block: the mean over the matched configurations. A match that lacks the
/// number in any block is left out of all, so that every block averages the same set.
fn block_log_ratios(
    observations: &Observations<'_>,
    matched: &[Matched],
    metric: Metric,
) -> Vec<f64> {
    let log = |pair: &Matched, block: u32| {
        log_ratio(Pair {
            baseline: observations.value(pair.baseline, block, metric)?,
            changed: observations.value(pair.changed, block, metric)?,
        })
    };
    let complete: Vec<&Matched> = matched
        .iter()
        .filter(|pair| observations.blocks.iter().all(|block| log(pair, *block).is_some()))
        .collect();
    let blocks = observations.blocks.iter();
    blocks
        .filter_map(|block| {
            let logs: Vec<f64> = complete.iter().filter_map(|pair| log(pair, *block)).collect();
            mean(&logs)
        })
        .collect()
}

/// Two configurations that differ in one axis only, by position in the plan.
struct Matched {
    baseline: usize,
    changed: usize,
}

/// The plan's configurations as points of a factorial grid.
pub(crate) struct Grid {
    /// For each axis, how far apart in the plan two neighbouring levels are.
    strides: Vec<usize>,
    /// For each axis, its number of levels.
    lengths: Vec<usize>,
    configurations: usize,
}

impl Grid {
    /// `None` when the plan does not hold exactly the combinations of its axes.
    pub(crate) fn of(plan: &Plan) -> Option<Self> {
        let lengths: Vec<usize> = plan.axes.iter().map(|axis| axis.levels.len()).collect();
        let mut strides = vec![1; lengths.len()];
        let mut configurations = 1_usize;
        for (stride, length) in strides.iter_mut().zip(&lengths).rev() {
            *stride = configurations;
            configurations = configurations.checked_mul(*length)?;
        }
        (configurations > 0 && configurations == plan.configurations.len()).then_some(Self {
            strides,
            lengths,
            configurations,
        })
    }

    /// The level of an axis that a configuration has.
    pub(crate) fn level(&self, config: usize, axis: usize) -> usize {
        config / self.strides[axis] % self.lengths[axis]
    }

    /// Measured configurations at the axis's first level, each with the one that differs from it
    /// only in having `level`.
    fn matched(&self, observations: &Observations<'_>, axis: usize, level: usize) -> Vec<Matched> {
        (0..self.configurations)
            .filter(|config| self.level(*config, axis) == 0)
            .map(|baseline| Matched { baseline, changed: baseline + level * self.strides[axis] })
            .filter(|pair| {
                observations.is_measured(pair.baseline) && observations.is_measured(pair.changed)
            })
            .collect()
    }
}
