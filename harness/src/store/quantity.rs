//! What two runs are compared by: for each number of a trial its name, its unit, and which way is
//! better. Kept in one place, so that a comparison, a history and an export mean the same thing.

use serde::{Deserialize, Serialize};

use super::observations::{p50_us, p99_us, positive, rate};
use super::schema::TrialResult;

/// One number of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Quantity {
    /// Durable commits a second.
    Rate,
    /// Median commit latency, microseconds.
    P50,
    /// 99th percentile of it.
    P99,
    /// 99.9th percentile of it.
    P999,
    /// Bytes written to the device for each payload byte.
    DeviceBytes,
}

impl Quantity {
    /// In the order in which reports show them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Rate, Self::P50, Self::P99, Self::P999, Self::DeviceBytes];

    /// Its value in a trial; `None` where the trial does not have it, which for a percentile means
    /// that its sample was too small.
    pub(crate) fn of(self, trial: &TrialResult) -> Option<f64> {
        match self {
            Self::Rate => rate(trial),
            Self::P50 => p50_us(trial),
            Self::P99 => p99_us(trial),
            Self::P999 => trial.latency.p999_us.and_then(positive),
            Self::DeviceBytes => positive(trial.device_bytes_per_payload_byte),
        }
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::P50 => "p50 latency",
            Self::P99 => "p99 latency",
            Self::P999 => "p99.9 latency",
            Self::DeviceBytes => "device bytes per payload byte",
        }
    }

    /// For machines: lower-case letters, digits and `-`, with the unit.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Rate => "rate-per-second",
            Self::P50 => "latency-p50-us",
            Self::P99 => "latency-p99-us",
            Self::P999 => "latency-p999-us",
            Self::DeviceBytes => "device-bytes-per-payload-byte",
        }
    }

    /// Its unit, as trackers print it beside a number.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Rate => "commits/s",
            Self::P50 | Self::P99 | Self::P999 => "µs",
            Self::DeviceBytes => "B/B",
        }
    }

    /// Whether more of it is better.
    pub(crate) fn bigger_is_better(self) -> bool {
        self == Self::Rate
    }

    /// Whether a change by this ratio is for the worse.
    pub(crate) fn is_worse(self, ratio: f64) -> bool {
        if self.bigger_is_better() { ratio < 1.0 } else { ratio > 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::synthetic::SyntheticRun;

    #[test]
    fn every_quantity_is_read_from_its_own_field() {
        let mut trial = SyntheticRun::small().trials.remove(0);
        trial.rate_per_second = 1.0;
        trial.latency.p50_us = 2.0;
        trial.latency.p99_us = Some(3.0);
        trial.latency.p999_us = Some(4.0);
        trial.device_bytes_per_payload_byte = 5.0;
        let read = Quantity::ALL.map(|quantity| quantity.of(&trial));
        assert_eq!(read, [1.0, 2.0, 3.0, 4.0, 5.0].map(Some));
        trial.latency.p99_us = None;
        trial.latency.p999_us = Some(0.0);
        trial.device_bytes_per_payload_byte = 0.0;
        let read = Quantity::ALL.map(|quantity| quantity.of(&trial));
        assert_eq!(read, [Some(1.0), Some(2.0), None, None, None]);
    }

    #[test]
    fn worse_is_slower_later_or_more() {
        assert!(Quantity::Rate.is_worse(0.9) && !Quantity::Rate.is_worse(1.1));
        for quantity in &Quantity::ALL[1..] {
            assert!(quantity.is_worse(1.1) && !quantity.is_worse(0.9));
        }
    }

    /// Bencher allows 64 characters and these alone; github-action-benchmark and Otava any.
    #[test]
    fn slugs_are_fit_for_every_tracker() {
        for quantity in Quantity::ALL {
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(quantity.slug().len() <= 64 && quantity.slug().chars().all(allowed));
        }
    }
}
