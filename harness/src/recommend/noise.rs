//! What the machine does by itself between two runs of the same thing, and by that measure which
//! changes matter.

use crate::stats::{Bootstrap, Pair, has_interval, log_ratio};
use crate::store::schema::{Estimate, LevelEffect};

use super::measures::{cpu_us_per_commit, device_bytes_per_payload_byte};
use super::observations::{Observations, p99_us, rate};

/// Changes under this are not worth a setting, however surely they are measured.
pub(crate) const SMALLEST_CHANGE_RATIO: f64 = 0.01;

/// How equal two equal runs are on this machine, from the sentinel pairs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Noise {
    /// Noise floor of the commit rate, as a ratio minus 1.
    pub rate: Option<f64>,
    /// Noise floor of p99 latency.
    pub p99: Option<f64>,
    /// Noise floor of bytes to the device per payload byte.
    pub device_bytes: Option<f64>,
    /// Noise floor of processor time a commit.
    pub cpu: Option<f64>,
    /// Rate at a block's end against its start: where its interval excludes 1, the machine
    /// drifts within a block.
    pub drift: Option<Estimate>,
}

impl Noise {
    /// Measures it.
    pub(crate) fn measure(observations: &Observations<'_>, bootstrap: &Bootstrap) -> Self {
        let pairs = |metric| -> Vec<Pair> {
            let sentinels = observations.sentinels.iter();
            sentinels.filter_map(|ends| ends.pair(metric)).collect()
        };
        let rates = pairs(rate);
        let logs: Vec<f64> = rates.iter().copied().filter_map(log_ratio).collect();
        Self {
            rate: bootstrap.noise_floor_ratio(&rates),
            p99: bootstrap.noise_floor_ratio(&pairs(p99_us)),
            device_bytes: bootstrap.noise_floor_ratio(&pairs(device_bytes_per_payload_byte)),
            cpu: bootstrap.noise_floor_ratio(&pairs(cpu_us_per_commit)),
            drift: bootstrap.ratio(&logs),
        }
    }

    /// Whether a change of the commit rate is real and worth acting on.
    pub(crate) fn rate_matters(&self, effect: &LevelEffect) -> bool {
        effect.rate_ratio.is_some_and(|ratio| matters(&ratio, self.rate_threshold()))
    }

    /// Whether a change of p99 latency is.
    pub(crate) fn p99_matters(&self, effect: &LevelEffect) -> bool {
        effect.p99_ratio.is_some_and(|ratio| matters(&ratio, self.p99_threshold()))
    }

    /// Smallest change of p99 that counts, as a ratio minus 1.
    pub(crate) fn p99_threshold(&self) -> f64 {
        self.p99.unwrap_or(0.0).max(SMALLEST_CHANGE_RATIO)
    }

    /// Smallest change of the rate that counts, as a ratio minus 1.
    pub(crate) fn rate_threshold(&self) -> f64 {
        self.rate.unwrap_or(0.0).max(SMALLEST_CHANGE_RATIO)
    }
}

/// The interval excludes 1, and the change, read as "times more" in whichever direction, exceeds
/// the threshold.
fn matters(ratio: &Estimate, threshold: f64) -> bool {
    let excludes_1 = has_interval(ratio) && (ratio.low > 1.0 || ratio.high < 1.0);
    excludes_1 && ratio.value.max(1.0 / ratio.value) - 1.0 > threshold
}
