//! What a case is made of: the measurements that a round makes, and the values that are compared in
//! each round.

use super::sample::Sample;
use super::targets::Target;
use crate::measure::Pages;
use crate::store::schema::Settings;
use crate::workload::Callers;

/// Large records, bytes: of those cases that ask for bandwidth.
pub(super) const LARGE_RECORD_BYTES: u64 = 4 << 10;

/// Something to compare.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) arms: Vec<Arm>,
    pub(super) comparisons: Vec<Comparison>,
}

/// One measurement of a round.
#[derive(Clone, Debug)]
pub(super) struct Arm {
    pub(super) name: &'static str,
    pub(super) what: What,
    /// Whether one busy process per core runs beside it.
    pub(super) beside_busy: bool,
}

/// What is measured.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// Bare durable writes of one block.
    BareBlocks,
    /// Bare durable writes of 256 KiB, from such pages.
    BareLarge(Pages),
    /// Bare durable writes as large as the mean batch of the log in this arm of the same case.
    BareBatchesOf(usize),
    /// One core that seals records of 4 KiB, and no log.
    Sealing,
    /// A log.
    Log(Log),
}

/// A log, and who commits to it.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) settings: Settings,
    pub(super) callers: Callers,
    /// Whether it is truncated all the time.
    pub(super) truncated: bool,
}

/// A ratio of two values of one round.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    pub(super) what: &'static str,
    pub(super) of: Value,
    pub(super) against: Value,
    pub(super) target: Option<Target>,
}

/// A value of a round.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A quantity of one arm.
    Of {
        /// Which, in the case's order.
        arm: usize,
        /// Which.
        quantity: Quantity,
    },
    /// The greatest of those that were measured.
    Greatest(Vec<Value>),
    /// The least of all of them.
    Least(Vec<Value>),
    /// A share of another one.
    Share(f64, Box<Value>),
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    /// Durable commits (bare: writes) a second.
    Rate,
    /// Payload (bare: written or sealed) bytes a second.
    Bandwidth,
    /// Batches (bare: writes) a second.
    Batches,
    /// Median latency.
    P50,
    /// 99th percentile.
    P99,
    /// 99.9th percentile.
    P999,
    /// The slowest.
    Max,
    /// The slowest near a rollover or a truncation.
    NearMax,
    /// Commits in the measured time.
    Commits,
    /// Payload bytes in the measured time.
    Payload,
    /// Allocations of the process in the measured time.
    Allocations,
    /// Segments begun in the measured time.
    Segments,
    /// Bytes by which the page cache's share of the log's files grew.
    CacheGrowth,
}

impl Value {
    /// In a round of the case; `None` where it was not measured or the sample does not support it.
    pub(super) fn in_round(&self, round: &[Sample]) -> Option<f64> {
        match self {
            Self::Of { arm, quantity } => round.get(*arm)?.quantity(*quantity),
            Self::Greatest(values) => {
                values.iter().filter_map(|value| value.in_round(round)).reduce(f64::max)
            }
            Self::Least(values) => {
                let found: Option<Vec<f64>> =
                    values.iter().map(|value| value.in_round(round)).collect();
                found?.into_iter().reduce(f64::min)
            }
            Self::Share(share, value) => Some(share * value.in_round(round)?),
        }
    }

    /// What it is an amount of. All parts of a value are amounts of the same.
    pub(super) fn quantity(&self) -> Quantity {
        match self {
            Self::Of { quantity, .. } => *quantity,
            Self::Greatest(values) | Self::Least(values) => {
                values.first().map_or(Quantity::Rate, Self::quantity)
            }
            Self::Share(_, value) => value.quantity(),
        }
    }

    /// The arms that it is taken from.
    pub(super) fn arms(&self) -> Vec<usize> {
        match self {
            Self::Of { arm, .. } => vec![*arm],
            Self::Greatest(values) | Self::Least(values) => {
                values.iter().flat_map(Self::arms).collect()
            }
            Self::Share(_, value) => value.arms(),
        }
    }
}

impl From<(usize, Quantity)> for Value {
    fn from((arm, quantity): (usize, Quantity)) -> Self {
        Self::Of { arm, quantity }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_of_two_does_without_one_and_the_lower_of_two_does_not() {
        let round = [Some(3.0), Some(5.0), None].map(|rate: Option<f64>| Sample {
            rate_per_second: rate.unwrap_or_default(),
            skipped: rate.is_none().then(|| "cannot be had".to_owned()),
            ..Sample::default()
        });
        let of = |arms: &[usize]| -> Vec<Value> {
            arms.iter().map(|arm| Value::from((*arm, Quantity::Rate))).collect()
        };
        let found = |value: Value| value.in_round(&round);
        assert_eq!(found(Value::Greatest(of(&[0, 1, 2]))), Some(5.0));
        assert_eq!(found(Value::Greatest(of(&[2]))), None);
        assert_eq!(found(Value::Least(of(&[0, 1]))), Some(3.0));
        assert_eq!(found(Value::Least(of(&[0, 1, 2]))), None);
        let half = Value::Share(0.5, Box::new(Value::Greatest(of(&[0, 1]))));
        assert_eq!((half.arms(), half.quantity()), (vec![0, 1], Quantity::Rate));
        assert_eq!(found(half), Some(2.5));
    }
}
