//! One distribution of values, of fixed size: recording never allocates and never fails.

use std::fmt;

use hdrhistogram::Histogram;

/// What a histogram can tell apart. Everything is allotted when it is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Values below this look alike.
    pub(super) finest: u64,
    /// Values above this count as this.
    pub(super) highest: u64,
    pub(super) precision: Precision,
}

/// How far a reported value may be above the recorded one, in relation to it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Precision {
    /// At most 1/128, in 1 KiB for each doubling of the range.
    Fine,
    /// At most 1/16, in 128 bytes for each doubling of the range.
    Coarse,
}

/// A distribution of values, in the unit that its name in [`WalHistograms`](crate::WalHistograms)
/// ends with.
///
/// It keeps counts of value ranges, not values: what it reports is the upper end of a range, above
/// the true value by at most the error stated for it there, and never below.
#[derive(Clone)]
pub struct WalHistogram {
    // Not part of the interface: a new major version of that crate is none of this one.
    counts: Histogram<u64>,
}

/// The values of a [`WalHistogram`] that people ask for. All 0 when nothing was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct HistogramSummary {
    /// How many values were recorded.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half of them are not above this.
    pub p50: u64,
    /// 99 of 100 are not above this.
    pub p99: u64,
    /// 999 of 1000 are not above this.
    pub p99_9: u64,
    /// None is above this.
    pub max: u64,
}

impl WalHistogram {
    pub(super) fn new(bounds: Bounds) -> Self {
        let digits = match bounds.precision {
            Precision::Fine => 2,
            Precision::Coarse => 1,
        };
        #[expect(
            clippy::unwrap_used,
            reason = "fails for impossible bounds only; ours are constants"
        )]
        let counts = Histogram::new_with_bounds(bounds.finest, bounds.highest, digits).unwrap();
        Self { counts }
    }

    pub(super) fn record(&mut self, value: u64) {
        self.counts.saturating_record(value);
    }

    /// How many values were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.len()
    }

    /// The value that a share of `quantile` of all is not above: 0.99 for p99. 0 when nothing was
    /// recorded; a quantile outside 0 to 1 counts as the nearer of them.
    #[must_use]
    pub fn value_at_quantile(&self, quantile: f64) -> u64 {
        self.counts.value_at_quantile(quantile.clamp(0.0, 1.0))
    }

    /// Count, mean, and the usual quantiles.
    #[must_use]
    pub fn summary(&self) -> HistogramSummary {
        HistogramSummary {
            count: self.count(),
            mean: self.counts.mean(),
            p50: self.value_at_quantile(0.5),
            p99: self.value_at_quantile(0.99),
            p99_9: self.value_at_quantile(0.999),
            max: self.counts.max(),
        }
    }

    /// Every range that values fell into, lowest first: its upper end, and how many they were. To
    /// hand a whole distribution on to another system.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.counts.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value()))
    }

    /// What was recorded after `earlier` was taken: the distribution of the last minute out of two
    /// snapshots. If `earlier` was not taken from the same log before, as after a reopening, all of
    /// `self`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut later = self.clone();
        match later.counts.subtract(&earlier.counts) {
            Ok(()) => later,
            Err(_) => self.clone(),
        }
    }

    /// Memory of the counts, bytes.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.counts.distinct_values() * size_of::<u64>()
    }
}

impl fmt::Debug for WalHistogram {
    /// The summary; the counts would fill pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.summary().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(precision: Precision) -> WalHistogram {
        WalHistogram::new(Bounds { finest: 1, highest: 1_000_000, precision })
    }

    #[test]
    fn values_are_reported_within_the_stated_error() {
        for (precision, parts) in [(Precision::Fine, 128), (Precision::Coarse, 16)] {
            for value in (1..20).map(|power| (1 << power) + (1 << power) / 3) {
                let mut histogram = histogram(precision);
                histogram.record(value);
                let reported = histogram.value_at_quantile(0.5);
                let range = value..=value + value / parts;
                assert!(range.contains(&reported), "{value} as {reported}, {precision:?}");
            }
        }
    }

    #[test]
    fn a_summary_names_the_usual_quantiles() {
        let mut histogram = histogram(Precision::Fine);
        assert_eq!(histogram.summary(), HistogramSummary::default());
        (0..989).for_each(|_| histogram.record(10));
        (0..10).for_each(|_| histogram.record(100));
        histogram.record(200);
        let expected = HistogramSummary {
            count: 1000,
            mean: (989 * 10 + 10 * 100 + 200) as f64 / 1000.0,
            p50: 10,
            p99: 100,
            p99_9: 100,
            max: 200,
        };
        assert_eq!(histogram.summary(), expected);
        assert_eq!(
            (histogram.value_at_quantile(-1.0), histogram.value_at_quantile(7.0)),
            (10, 200)
        );
    }

    #[test]
    fn values_beyond_the_range_are_counted_at_its_end() {
        let mut histogram = histogram(Precision::Coarse);
        histogram.record(u64::MAX);
        let summary = histogram.summary();
        assert_eq!(summary.count, 1);
        assert!((1_000_000..1_100_000).contains(&summary.max), "{summary:?}");
    }

    #[test]
    fn what_came_later_is_the_difference_of_two_snapshots() {
        let mut histogram = histogram(Precision::Fine);
        histogram.record(5);
        let earlier = histogram.clone();
        histogram.record(70);
        histogram.record(70);
        let later = histogram.since(&earlier);
        assert_eq!(later.buckets().collect::<Vec<_>>(), [(70, 2)]);
        assert_eq!(later.summary().max, 70);
        // The other way round is what a reopened log looks like.
        assert_eq!(earlier.since(&histogram).buckets().collect::<Vec<_>>(), [(5, 1)]);
    }
}
