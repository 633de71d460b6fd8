//! What changing one axis did while everything else stayed equal, judged against what the machine
//! does by itself between two runs of the same thing.

use crate::stats::{Bootstrap, Pair, blocks_to_settle, log_ratio, mean, median, point};
use crate::store::schema::{Axis, AxisEffect, AxisVerdict, LevelEffect};

use super::grid::{Grid, Matched};
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
        let compared = level_effects(observations, bootstrap, grid.as_ref(), index, axis);
        let said = wording::axis_sentence(&axis.name, &compared, noise, observations.blocks.len());
        AxisEffect {
            axis: axis.name.clone(),
            baseline: axis.levels.first().cloned().unwrap_or_default(),
            matters: said.verdict == AxisVerdict::Matters,
            verdict: Some(said.verdict),
            sentence: said.sentence,
            levels: compared.into_iter().map(|level| level.effect).collect(),
        }
    })
    .collect()
}

/// A level, and what it would take to know its effect better.
pub(crate) struct ComparedLevel {
    pub effect: LevelEffect,
    /// Blocks after which the interval of its rate would be narrow enough to say that it does not
    /// matter, were it so.
    pub blocks_needed: Option<u32>,
}

fn level_effects(
    observations: &Observations<'_>,
    bootstrap: &Bootstrap,
    grid: Option<&Grid>,
    axis_index: usize,
    axis: &Axis,
) -> Vec<ComparedLevel> {
    let levels = axis.levels.iter().enumerate();
    levels
        .map(|(level, name)| {
            if level == 0 {
                let unchanged = Some(point(1.0));
                let effect = LevelEffect {
                    level: name.clone(),
                    rate_ratio: unchanged,
                    p99_ratio: unchanged,
                };
                return ComparedLevel { effect, blocks_needed: None };
            }
            let matched =
                grid.map_or_else(Vec::new, |grid| grid.matched(observations, axis_index, level));
            let logs = |metric| block_log_ratios(observations, &matched, metric);
            let ratio = |logs: &[f64]| {
                bootstrap.ratio(logs).or_else(|| median(logs).map(|log| point(log.exp())))
            };
            let rates = logs(rate);
            ComparedLevel {
                effect: LevelEffect {
                    level: name.clone(),
                    rate_ratio: ratio(&rates),
                    p99_ratio: ratio(&logs(p99_us)),
                },
                blocks_needed: blocks_to_settle(&rates, wording::SAME_RATE_RATIO.ln_1p()),
            }
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
