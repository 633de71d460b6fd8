//! How far the measurement can be trusted, and what stands out in it.

use serde::Serialize;

use super::{Severity, Words};
use crate::doctor::facts::{Facts, LogAnswer};
use crate::doctor::measured::{Measured, SPACE_BYTES_MIN};
use crate::units::{format_bytes, format_data, format_rate, format_share, format_us};

/// Range of the rounds over their fastest from which they differ: the range that SNIA's rule for a
/// steady state allows.
const DIFFERING_SHARE: f64 = 0.2;

/// p99 over the median from which there are outliers. A choice: far beyond what the rounds of one
/// disk differ by, and enough to break an objective that was planned with the median.
const OUTLIER_RATIO: f64 = 10.0;

/// Stolen time, or others' tasks, from which the machine was busy.
const STEAL_RATIO_MIN: f64 = 0.05;
const OTHER_RUNNABLE_MIN: f64 = 1.0;

/// Something about the measurement.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub(crate) enum MeasurementWarning {
    /// Some durable writes take much longer.
    Outliers {
        /// Median, microseconds.
        p50_us: f64,
        /// 99th percentile.
        p99_us: f64,
    },
    /// The rounds differ.
    RoundsDiffer {
        /// Slowest round's F0.
        low_per_second: f64,
        /// Fastest round's.
        high_per_second: f64,
    },
    /// The machine was busy.
    Busy {
        /// Share of processor time that the host gave to others.
        steal_ratio: f64,
        /// Tasks of others.
        other_runnable: f64,
    },
    /// There was no room for measuring.
    NotMeasured {
        /// Free.
        free_bytes: u64,
        /// Wanted.
        needed_bytes: u64,
    },
}

impl MeasurementWarning {
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::Outliers { .. } => Severity::Slow,
            Self::RoundsDiffer { .. } | Self::Busy { .. } | Self::NotMeasured { .. } => {
                Severity::Note
            }
        }
    }

    pub(super) fn words(&self) -> Words {
        match self {
            Self::Outliers { p50_us, p99_us } => Words::new(
                format!(
                    "one durable write in a hundred takes {} and more, half of them at most {}",
                    format_us(*p99_us),
                    format_us(*p50_us)
                ),
                "look for others who use the disk; plan with p99, not with a mean",
            ),
            Self::RoundsDiffer { low_per_second, high_per_second } => Words::new(
                format!(
                    "F0 was {} in one round and {} in another",
                    format_rate(*low_per_second),
                    format_rate(*high_per_second)
                ),
                "take it for an impression; a sweep measures in blocks and says how sure it is",
            ),
            Self::Busy { steal_ratio, other_runnable } => Words::new(
                format!(
                    "the machine was busy: {} of its time went to others, and {other_runnable} of \
                     their tasks wanted to run",
                    format_share(*steal_ratio)
                ),
                "measure again when it is quiet",
            ),
            Self::NotMeasured { free_bytes, needed_bytes } => Words::new(
                format!(
                    "nothing was measured: {} are free, and {} wanted",
                    format_data(*free_bytes as f64),
                    format_bytes(*needed_bytes)
                ),
                "free some space and run this again",
            ),
        }
    }
}

pub(super) fn of(facts: &Facts) -> Vec<MeasurementWarning> {
    match &facts.measured {
        Some(measured) => of_measured(measured),
        None => no_room(facts).into_iter().collect(),
    }
}

fn of_measured(measured: &Measured) -> Vec<MeasurementWarning> {
    let mut found = Vec::new();
    let latency = &measured.durable_write;
    let outliers = latency.p99_us.filter(|p99_us| *p99_us >= latency.p50_us * OUTLIER_RATIO);
    found.extend(
        outliers.map(|p99_us| MeasurementWarning::Outliers { p50_us: latency.p50_us, p99_us }),
    );
    let (low_per_second, high_per_second) = measured.f0_range();
    if high_per_second - low_per_second > high_per_second * DIFFERING_SHARE {
        found.push(MeasurementWarning::RoundsDiffer { low_per_second, high_per_second });
    }
    let Measured { steal_ratio, other_runnable, .. } = *measured;
    if steal_ratio >= STEAL_RATIO_MIN || other_runnable >= OTHER_RUNNABLE_MIN {
        found.push(MeasurementWarning::Busy { steal_ratio, other_runnable });
    }
    found
}

/// A place that is refused has been told of already, and nobody expects numbers of it.
fn no_room(facts: &Facts) -> Option<MeasurementWarning> {
    let free_bytes = facts.environment.free_bytes;
    let opens = matches!(facts.log, LogAnswer::Opens { .. });
    (opens && free_bytes < SPACE_BYTES_MIN)
        .then_some(MeasurementWarning::NotMeasured { free_bytes, needed_bytes: SPACE_BYTES_MIN })
}
