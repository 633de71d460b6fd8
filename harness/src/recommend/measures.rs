//! What can be traded for what: the numbers of one configuration, each with what is known of its
//! error, and when one of them is clearly better than another.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::load::Percentile;
use crate::stats::{Bootstrap, MIN_BLOCKS, median, point, quantile_interval};
use crate::store::schema::{Estimate, Settings, TrialResult};

use super::noise::Noise;
use super::observations::{Metric, Observations, p99_us, rate};

/// A difference of bytes or processor time that is worth another setting, as a ratio minus 1.
const WORTH_A_SETTING_RATIO: f64 = 0.05;

/// A p99 less than this above the lowest is not worth another moving part, as a ratio minus 1.
pub(crate) const WORSE_P99_RATIO: f64 = 0.10;

/// A number of one configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measure {
    /// The number and its 95 % interval.
    pub estimate: Estimate,
    /// Whether the interval says how far off the number may be. Blocks that all agree have one
    /// without width, and so has a number of a single block; this tells them apart.
    pub known: bool,
    /// Whether it is of all blocks together and not the median of them. The two are not the same
    /// number: one slow block in five makes the tail of all five, and leaves their median alone.
    pub pooled: bool,
}

impl Measure {
    /// The median over blocks.
    pub(crate) fn over_blocks(bootstrap: &Bootstrap, values: &[f64]) -> Option<Self> {
        let estimate = bootstrap.median(values).or_else(|| median(values).map(point))?;
        Some(Self { estimate, known: values.len() >= MIN_BLOCKS, pooled: false })
    }

    /// A number that is calculated and not measured.
    fn exact(value: f64) -> Self {
        Self { estimate: point(value), known: true, pooled: false }
    }
}

/// What a configuration can be better in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merit {
    Rate,
    P99,
    P999,
    Bytes,
    Cpu,
    Memory,
}

/// A configuration that competes.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// Its position in the plan.
    pub config: usize,
    pub rate: Measure,
    pub p99_us: Option<Measure>,
    pub p999_us: Option<Measure>,
    pub device_bytes_per_payload_byte: Option<Measure>,
    pub cpu_us_per_commit: Option<Measure>,
    pub memory_bytes: u64,
}

impl Candidate {
    /// `None` for one that has no rate.
    pub(crate) fn new(
        observations: &Observations<'_>,
        config: usize,
        tails: &Tails<'_>,
        bootstrap: &Bootstrap,
    ) -> Option<Self> {
        if !observations.is_measured(config) {
            return None;
        }
        let settings = &observations.plan.configurations[config].settings;
        let over_blocks = |metric: Metric| {
            let values: Vec<f64> = observations.trials(config).filter_map(metric).collect();
            Measure::over_blocks(bootstrap, &values)
        };
        Some(Self {
            config,
            rate: over_blocks(rate)?,
            p99_us: tails.typical(observations, config, Percentile::P99, bootstrap),
            p999_us: tails.typical(observations, config, Percentile::P999, bootstrap),
            device_bytes_per_payload_byte: over_blocks(device_bytes_per_payload_byte),
            cpu_us_per_commit: over_blocks(cpu_us_per_commit),
            memory_bytes: memory_bytes(settings),
        })
    }

    /// The number, where there is one.
    pub(crate) fn measure(&self, merit: Merit) -> Option<Measure> {
        match merit {
            Merit::Rate => Some(self.rate),
            Merit::P99 => self.p99_us,
            Merit::P999 => self.p999_us,
            Merit::Bytes => self.device_bytes_per_payload_byte,
            Merit::Cpu => self.cpu_us_per_commit,
            Merit::Memory => Some(Measure::exact(self.memory_bytes as f64)),
        }
    }
}

/// Memory for buffers: one for each batch in flight, one that fills, one that is handed over.
fn memory_bytes(settings: &Settings) -> u64 {
    settings.buffer_size_bytes.saturating_mul(u64::from(settings.pipeline_depth) + 2)
}

/// Bytes to the device for each payload byte.
pub(crate) fn device_bytes_per_payload_byte(trial: &TrialResult) -> Option<f64> {
    Some(trial.device_bytes_per_payload_byte).filter(|bytes| bytes.is_finite() && *bytes > 0.0)
}

/// Processor time of one commit.
pub(crate) fn cpu_us_per_commit(trial: &TrialResult) -> Option<f64> {
    (trial.commits > 0).then(|| trial.cpu_seconds * 1e6 / trial.commits as f64)
}

/// The tails of latency, of each block or of all blocks together.
pub(crate) struct Tails<'a> {
    latency_ns_by_config: &'a BTreeMap<String, Histogram<u64>>,
}

impl<'a> Tails<'a> {
    pub(crate) fn new(latency_ns_by_config: &'a BTreeMap<String, Histogram<u64>>) -> Self {
        Self { latency_ns_by_config }
    }

    /// What a promise is held against: the median over blocks where every block supports the
    /// percentile, and otherwise that of all together. `None` where the sample does not support it.
    pub(crate) fn promised(
        &self,
        observations: &Observations<'_>,
        config: usize,
        percentile: Percentile,
        bootstrap: &Bootstrap,
    ) -> Option<Measure> {
        let blocks = observations.blocks.len();
        self.of_blocks(observations, config, percentile, bootstrap, blocks)
    }

    /// What configurations are compared by: the same, but of the blocks that support it, if they
    /// are enough for an interval.
    fn typical(
        &self,
        observations: &Observations<'_>,
        config: usize,
        percentile: Percentile,
        bootstrap: &Bootstrap,
    ) -> Option<Measure> {
        self.of_blocks(observations, config, percentile, bootstrap, MIN_BLOCKS)
    }

    fn of_blocks(
        &self,
        observations: &Observations<'_>,
        config: usize,
        percentile: Percentile,
        bootstrap: &Bootstrap,
        fewest: usize,
    ) -> Option<Measure> {
        let metric = of_trial(percentile);
        let values: Vec<f64> = observations.trials(config).filter_map(metric).collect();
        if !values.is_empty() && values.len() >= fewest {
            return Measure::over_blocks(bootstrap, &values);
        }
        self.merged(observations, config, percentile.quantile())
    }

    /// The percentile of all blocks together, counted in commit groups. Its interval knows the
    /// luck of the sample and not how blocks differ.
    fn merged(
        &self,
        observations: &Observations<'_>,
        config: usize,
        quantile: f64,
    ) -> Option<Measure> {
        let id = &observations.plan.configurations[config].id;
        let histogram = self.latency_ns_by_config.get(id).filter(|found| !found.is_empty())?;
        let groups = commit_groups(observations, config);
        let (low, high) = quantile_interval(quantile, groups)?;
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Some(Measure {
            estimate: Estimate { value: at(quantile), low: at(low), high: at(high) },
            known: true,
            pooled: true,
        })
    }
}

/// Commit groups of all whole blocks.
pub(crate) fn commit_groups(observations: &Observations<'_>, config: usize) -> u64 {
    let trials = observations.trials(config);
    trials.fold(0, |sum, trial| sum.saturating_add(trial.commit_groups))
}

fn of_trial(percentile: Percentile) -> Metric {
    match percentile {
        Percentile::P50 => |trial| Some(trial.latency.p50_us).filter(|p50| *p50 > 0.0),
        Percentile::P90 => |trial| Some(trial.latency.p90_us).filter(|p90| *p90 > 0.0),
        Percentile::P99 => p99_us,
        Percentile::P999 => |trial| trial.latency.p999_us.filter(|p999| *p999 > 0.0),
        Percentile::P9999 => |trial| trial.latency.p9999_us.filter(|p9999| *p9999 > 0.0),
    }
}

/// How far apart two numbers have to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Yardstick {
    rate: f64,
    tail: f64,
    bytes: f64,
    cpu: f64,
}

impl Yardstick {
    pub(crate) fn new(noise: &Noise) -> Self {
        let worth = |floor: Option<f64>| floor.unwrap_or(0.0).max(WORTH_A_SETTING_RATIO);
        Self {
            rate: noise.rate_threshold(),
            tail: noise.p99_threshold().max(WORSE_P99_RATIO),
            bytes: worth(noise.device_bytes),
            cpu: worth(noise.cpu),
        }
    }

    /// Whether the first is worse by more than equal runs differ, or than is worth a setting, whether
    /// or not that is sure.
    pub(crate) fn seems_worse(&self, merit: Merit, one: &Candidate, other: &Candidate) -> bool {
        let (Some(one), Some(other)) = (one.measure(merit), other.measure(merit)) else {
            return false;
        };
        let (one, other) = (one.estimate.value, other.estimate.value);
        let times = if merit == Merit::Rate { other / one } else { one / other };
        times - 1.0 > self.smallest(merit)
    }

    /// Whether the first is better, as surely as this run can tell: the intervals share no value,
    /// and the numbers differ by more than equal runs do, or than is worth a setting. Numbers of
    /// which one is missing, or has no known error, or is of another kind, are never told apart.
    pub(crate) fn is_clearly_better(
        &self,
        merit: Merit,
        one: &Candidate,
        other: &Candidate,
    ) -> bool {
        let (Some(one), Some(other)) = (one.measure(merit), other.measure(merit)) else {
            return false;
        };
        if !(one.known && other.known) || one.pooled != other.pooled {
            return false;
        }
        let (better, worse, apart) = if merit == Merit::Rate {
            (one.estimate.value, other.estimate.value, one.estimate.low > other.estimate.high)
        } else {
            (other.estimate.value, one.estimate.value, one.estimate.high < other.estimate.low)
        };
        apart && better / worse - 1.0 > self.smallest(merit)
    }

    fn smallest(&self, merit: Merit) -> f64 {
        match merit {
            Merit::Rate => self.rate,
            Merit::P99 | Merit::P999 => self.tail,
            Merit::Bytes => self.bytes,
            Merit::Cpu => self.cpu,
            Merit::Memory => 0.0,
        }
    }
}

/// The tail that two configurations are compared by: the farthest that the samples of both support.
pub(crate) fn common_tail(one: &Candidate, other: &Candidate) -> Merit {
    if one.p999_us.is_some() && other.p999_us.is_some() { Merit::P999 } else { Merit::P99 }
}
