//! What each axis did in a screening: a model in which every level of every axis multiplies the
//! rate, fitted by least squares to the logarithms. Its intervals rest on how much equal trials of
//! different blocks differ beyond what the whole block did, and not on what the model leaves
//! unexplained: axes that act together would pass for noise.

use crate::profile::Levels;
use crate::stats::{MIN_BLOCKS, least_squares, mean, point};
use crate::store::observations::{Metric, Observations, p99_us, rate};
use crate::store::schema::{Estimate, LevelEffect};

/// Half the width of an interval, in standard errors: 95 % of a normal distribution's, which that
/// of a mean of dozens of trials is close to.
const STANDARD_ERRORS: f64 = 1.96;

/// One axis: for each of the compared levels what it did against the first of them.
pub(super) type AxisLevels = Vec<Effect>;

/// What one level did against the first one that was compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Effect {
    /// The level's number in the profile.
    pub(super) level: usize,
    /// Ratio of the commit rate; `None` where it could not be measured.
    pub(super) rate: Option<Estimate>,
    /// Ratio of p99 latency.
    pub(super) p99: Option<Estimate>,
}

impl Effect {
    pub(super) fn stored(&self, levels: &[String]) -> LevelEffect {
        LevelEffect {
            level: levels.get(self.level).cloned().unwrap_or_default(),
            rate_ratio: self.rate,
            p99_ratio: self.p99,
        }
    }
}

/// The effects of all axes: `runs` are the levels of each configuration, `compared` the levels that
/// an axis was to be compared at. A level of which nothing could be measured is left out; where
/// that is the first one, the next one takes its place.
pub(super) fn effects(
    observations: &Observations<'_>,
    runs: &[Levels],
    compared: &[Levels],
) -> Vec<AxisLevels> {
    let seen: Vec<Levels> = (compared.iter().enumerate())
        .map(|(axis, levels)| {
            let is_measured = |level: &usize| {
                let of_level = |config: usize| runs[config][axis] == *level;
                (0..runs.len()).any(|config| observations.is_measured(config) && of_level(config))
            };
            levels.iter().copied().filter(is_measured).collect()
        })
        .collect();
    let rates = ratios(observations, runs, &seen, rate);
    let p99s = ratios(observations, runs, &seen, p99_us);
    (seen.iter().zip(rates.into_iter().zip(p99s)))
        .map(|(levels, (rates, p99s))| {
            let values = rates.into_iter().zip(p99s);
            let levels = levels.iter().zip(values);
            levels.map(|(level, (rate, p99))| Effect { level: *level, rate, p99 }).collect()
        })
        .collect()
}

/// For each axis and seen level the ratio against the axis's first seen level.
fn ratios(
    observations: &Observations<'_>,
    runs: &[Levels],
    seen: &[Levels],
    metric: Metric,
) -> Vec<Vec<Option<Estimate>>> {
    let Some(measured) = Measured::of(observations, metric) else {
        return seen.iter().map(|levels| vec![None; levels.len()]).collect();
    };
    let indicators = |config: &usize| {
        let of_axis = |(axis, levels): (usize, &Levels)| {
            let is_at = |level: &usize| f64::from(u8::from(runs[*config][axis] == *level));
            levels.iter().skip(1).map(is_at).collect::<Vec<f64>>()
        };
        let all = seen.iter().enumerate().flat_map(of_axis);
        std::iter::once(1.0).chain(all).collect::<Vec<f64>>()
    };
    let rows: Vec<Vec<f64>> = measured.configs.iter().map(indicators).collect();
    let fitted = least_squares(&rows, &measured.means);
    let mut coefficients = fitted.into_iter().skip(1);
    let of_axis = |levels: &Levels| {
        let first = (!levels.is_empty()).then_some(Some(point(1.0)));
        let others = coefficients.by_ref().take(levels.len().saturating_sub(1));
        let estimate = |value: f64, variance: f64| {
            let half = STANDARD_ERRORS * (variance * measured.variance_of_a_mean).sqrt();
            Estimate { value: value.exp(), low: (value - half).exp(), high: (value + half).exp() }
        };
        let others = others.map(|found| found.map(|found| estimate(found.value, found.variance)));
        first.into_iter().chain(others).collect()
    };
    seen.iter().map(of_axis).collect()
}

/// Logarithms of one metric, of the configurations that have it in every whole block.
struct Measured {
    configs: Vec<usize>,
    /// Of each of them, over the blocks.
    means: Vec<f64>,
    /// Variance of such a mean.
    variance_of_a_mean: f64,
}

impl Measured {
    /// `None` with fewer blocks than support an interval, or fewer than two configurations.
    fn of(observations: &Observations<'_>, metric: Metric) -> Option<Self> {
        let blocks = observations.blocks.len();
        if blocks < MIN_BLOCKS {
            return None;
        }
        let logs = |config: usize| -> Option<Vec<f64>> {
            let log = |block: &u32| Some(observations.value(config, *block, metric)?.ln());
            observations.blocks.iter().map(log).collect()
        };
        let (configs, logs): (Vec<usize>, Vec<Vec<f64>>) = (0..observations.fates.len())
            .filter(|config| observations.is_measured(*config))
            .filter_map(|config| Some((config, logs(config)?)))
            .unzip();
        let means: Vec<f64> = logs.iter().filter_map(|logs| mean(logs)).collect();
        if configs.len() < 2 || means.len() != configs.len() {
            return None;
        }
        let whole = mean(&means)?;
        let of_block = |block: usize| {
            let column: Vec<f64> = logs.iter().map(|logs| logs[block]).collect();
            mean(&column).map(|mean| mean - whole)
        };
        let block_effects: Vec<f64> = (0..blocks).filter_map(of_block).collect();
        let residuals = logs.iter().zip(&means).flat_map(|(logs, mean)| {
            logs.iter().zip(&block_effects).map(move |(log, block)| log - mean - block)
        });
        let squares: f64 = residuals.map(|residual| residual * residual).sum();
        let freedom = (configs.len() - 1) * (blocks - 1);
        let variance_of_a_mean = squares / freedom as f64 / blocks as f64;
        Some(Self { configs, means, variance_of_a_mean })
    }
}
