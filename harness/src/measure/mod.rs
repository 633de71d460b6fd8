//! From raw latencies to what a result says of them, and the machine's own speed to hold them
//! against: the device's and the cipher's. Knows nothing of the log.

mod ceiling;
mod pages;
mod sealing;

use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::stats::supports;
use crate::store::schema::LatencySummary;

pub(crate) use ceiling::{
    CeilingFile, CeilingOptions, Flushes, LARGE_WRITE_BYTES, Writes, block_bytes, measure_ceiling,
};
pub(crate) use pages::Pages;
pub(crate) use sealing::seal_for;

const NS_PER_US: f64 = 1_000.0;

/// The percentiles that the sample supports, in microseconds.
///
/// `commit_groups` is how many device commits the sample rests on: records that shared one flush
/// also shared its latency and count once (see [`supports`]).
pub(crate) fn latency_summary(latency_ns: &Histogram<u64>, commit_groups: u64) -> LatencySummary {
    if latency_ns.is_empty() {
        return LatencySummary::default();
    }
    let quantile_us = |q: f64| us(latency_ns.value_at_quantile(q));
    let supported_us = |q: f64| supports(q, commit_groups).then(|| quantile_us(q));
    LatencySummary {
        mean_us: latency_ns.mean() / NS_PER_US,
        p50_us: quantile_us(0.5),
        p90_us: quantile_us(0.9),
        p99_us: supported_us(0.99),
        p999_us: supported_us(0.999),
        p9999_us: supported_us(0.9999),
        max_us: us(latency_ns.max()),
    }
}

/// The content of `intervals.csv`: one line for each equal part of the measured time, commits
/// counted where they began. A part without commits has empty latencies.
pub(crate) fn intervals_csv(intervals_ns: &[Histogram<u64>], measured: Duration) -> String {
    let mut csv = String::from("start_ms,commits,p50_us,p99_us,max_us\r\n");
    let length_ms = measured.as_secs_f64() * 1e3 / intervals_ns.len().max(1) as f64;
    for (index, interval) in intervals_ns.iter().enumerate() {
        let start_ms = length_ms * index as f64;
        let latencies = if interval.is_empty() {
            ",,".to_owned()
        } else {
            let [p50, p99] = [0.5, 0.99].map(|q| us(interval.value_at_quantile(q)));
            format!("{p50:.1},{p99:.1},{:.1}", us(interval.max()))
        };
        // Writing to a String cannot fail.
        let _ = write!(csv, "{start_ms:.1},{},{latencies}\r\n", interval.len());
    }
    csv
}

fn us(ns: u64) -> f64 {
    ns as f64 / NS_PER_US
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values_ns: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("histogram");
        for value_ns in values_ns {
            histogram.record(value_ns).expect("in range");
        }
        histogram
    }

    #[test]
    fn nanoseconds_become_microseconds() {
        let found = latency_summary(&histogram((1..=1_000).map(|n| n * 1_000)), 1_000);
        let close = |value: f64, expected: f64| (value / expected - 1.0).abs() < 0.002;
        assert!(close(found.mean_us, 500.5), "{found:?}");
        assert!(close(found.p50_us, 500.0) && close(found.p90_us, 900.0), "{found:?}");
        assert!(close(found.p99_us.expect("supported"), 990.0), "{found:?}");
        assert!(close(found.max_us, 1_000.0), "{found:?}");
    }

    #[test]
    fn percentiles_need_enough_commit_groups_however_many_records_there_are() {
        let many = histogram((0..100_000).map(|n| n + 1_000));
        for (groups, p99, p999, p9999) in [
            (0, false, false, false),
            (458, false, false, false),
            (459, true, false, false),
            (4_602, true, false, false),
            (4_603, true, true, false),
            (46_050, true, true, true),
        ] {
            let found = latency_summary(&many, groups);
            let supported =
                (found.p99_us.is_some(), found.p999_us.is_some(), found.p9999_us.is_some());
            assert_eq!(supported, (p99, p999, p9999), "{groups}");
            assert!(found.p50_us > 0.0);
        }
    }

    #[test]
    fn no_commits_are_no_numbers() {
        assert_eq!(latency_summary(&histogram([]), 1_000_000), LatencySummary::default());
    }

    #[test]
    fn intervals_are_lines_with_their_start() {
        let intervals = [histogram([1_000, 3_000]), histogram([])];
        let csv = intervals_csv(&intervals, Duration::from_millis(25));
        assert_eq!(
            csv,
            "start_ms,commits,p50_us,p99_us,max_us\r\n0.0,2,1.0,3.0,3.0\r\n12.5,0,,,\r\n"
        );
        assert_eq!(intervals_csv(&[], Duration::ZERO).lines().count(), 1);
    }
}
