//! Whether an open loop was one: if the log kept up with the rate that was offered, and if the
//! generator did. A load that was not kept says nothing of the latency at that rate and is never
//! averaged in.

use hdrhistogram::Histogram;

use super::Answers;
use crate::units::format_share;

/// Least share of the records due that have to become durable in the measured time.
const ACHIEVED_RATIO_MIN: f64 = 0.97;

/// Most that the p99 of the lag may be of the p99 of the latency.
const LAG_RATIO_MAX: f64 = 0.05;

/// A backlog grows if its mean over the last third exceeds that over the first by so much of all
/// records due, and …
const GROWTH_RATIO_MIN: f64 = 0.005;

/// … is more than so many times as large. Random ups and downs of a steady queue do not do both.
const GROWTH_TIMES_MIN: f64 = 2.0;

/// How a load was kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// By both.
    Kept,
    /// The log did not keep up: less became durable than was due, in this proportion.
    Behind { achieved_ratio: f64 },
    /// The log kept up on average, but made its caller wait: the p99 of the lag is this share of
    /// the p99 of the latency.
    HeldUp { lag_ratio: f64 },
    /// What was on its way grew all the time.
    Growing { first: f64, last: f64 },
    /// The generator was late by itself, so that the load was not the one that was asked for.
    GeneratorLate { lag_ratio: f64 },
}

/// What follows where a load was not kept: its numbers are none of the log's at that rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The log's: it did not keep up, or made its caller wait.
    Overloaded(String),
    /// The generator's own.
    Invalid(String),
}

impl Pace {
    /// What went wrong, in a sentence; `None` if nothing did.
    pub(crate) fn fault(self) -> Option<Fault> {
        let overloaded = |reason: String| Some(Fault::Overloaded(reason));
        match self {
            Self::Kept => None,
            Self::Behind { achieved_ratio } => overloaded(format!(
                "only {} of what was due became durable in time",
                format_share(achieved_ratio)
            )),
            Self::Growing { first, last } => {
                overloaded(format!("the backlog grew from {first:.0} records to {last:.0}"))
            }
            Self::HeldUp { lag_ratio } => overloaded(format!(
                "the log held its caller up: the p99 of the lag is {} of the p99 latency",
                format_share(lag_ratio)
            )),
            Self::GeneratorLate { lag_ratio } => Some(Fault::Invalid(format!(
                "the generator was late by itself: the p99 of its lag is {} of the p99 latency",
                format_share(lag_ratio)
            ))),
        }
    }
}

impl Answers {
    /// How the load was kept.
    pub(crate) fn pace(&self) -> Pace {
        let latency_p99 = p99(&self.latency_ns);
        let ratio =
            |lag: &Histogram<u64>| if latency_p99 > 0.0 { p99(lag) / latency_p99 } else { 0.0 };
        let own_lag_ratio = ratio(&self.own_lag_ns);
        if own_lag_ratio > LAG_RATIO_MAX {
            return Pace::GeneratorLate { lag_ratio: own_lag_ratio };
        }
        let achieved_ratio = self.achieved_ratio();
        if achieved_ratio < ACHIEVED_RATIO_MIN {
            return Pace::Behind { achieved_ratio };
        }
        if let Some((first, last)) = self.growth() {
            return Pace::Growing { first, last };
        }
        let lag_ratio = ratio(&self.lag_ns);
        if lag_ratio > LAG_RATIO_MAX { Pace::HeldUp { lag_ratio } } else { Pace::Kept }
    }

    /// What became durable in the measured time, of what was due in it; 1 if nothing was.
    pub(crate) fn achieved_ratio(&self) -> f64 {
        if self.due == 0 { 1.0 } else { self.answered as f64 / self.due as f64 }
    }

    /// The mean backlog of the first and of the last third, if it grew.
    fn growth(&self) -> Option<(f64, f64)> {
        let third = self.backlog.len() / 3;
        let mean = |part: &[u64]| part.iter().sum::<u64>() as f64 / part.len().max(1) as f64;
        let first = mean(&self.backlog[..third]);
        let last = mean(&self.backlog[self.backlog.len() - third..]);
        let much = last - first > GROWTH_RATIO_MIN * self.due as f64;
        (much && last > GROWTH_TIMES_MIN * first).then_some((first, last))
    }
}

fn p99(histogram: &Histogram<u64>) -> f64 {
    histogram.value_at_quantile(0.99) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(value: u64) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).expect("histogram");
        histogram.record_n(value, 1_000).expect("in range");
        histogram
    }

    /// A latency of 1 ms, and everything in time.
    fn answers() -> Answers {
        Answers {
            due: 10_000,
            answered: 10_000,
            latency_ns: histogram(1_000_000),
            service_ns: histogram(1_000_000),
            lag_ns: histogram(10_000),
            own_lag_ns: histogram(10_000),
            interval_latency_ns: Vec::new(),
            backlog: vec![10; 11],
        }
    }

    #[test]
    fn a_load_that_was_kept_is_told_from_four_that_were_not() {
        assert_eq!(answers().pace(), Pace::Kept);
        assert_eq!(Answers { answered: 9_700, ..answers() }.pace(), Pace::Kept);
        let behind = Answers { answered: 9_699, ..answers() };
        assert_eq!(behind.pace(), Pace::Behind { achieved_ratio: 0.9699 });
        let held_up = Answers { lag_ns: histogram(51_000), ..answers() };
        assert!(matches!(held_up.pace(), Pace::HeldUp { .. }));
        let late = Answers { own_lag_ns: histogram(51_000), ..held_up };
        assert!(matches!(late.pace(), Pace::GeneratorLate { .. }));
        let growing = Answers { backlog: (0..11).map(|part| 10 * part).collect(), ..answers() };
        assert_eq!(growing.pace(), Pace::Growing { first: 10.0, last: 90.0 });
    }

    #[test]
    fn a_backlog_that_goes_up_and_down_or_grows_a_little_is_steady() {
        for backlog in [
            vec![40, 0, 60, 10, 90, 5, 70, 30, 50, 20, 80],
            vec![1, 1, 1, 2, 2, 3, 4, 5, 5, 5, 5],
            vec![1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_100, 1_100, 1_100, 1_100],
        ] {
            let shown = format!("{backlog:?}");
            assert_eq!(Answers { backlog, ..answers() }.pace(), Pace::Kept, "{shown}");
        }
    }
}
