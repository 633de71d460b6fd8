//! What a trial says of its rate: one verdict, from how the load was kept and from the percentiles
//! that its sample supports.

use crate::load::{Percentile, Slo, SloLimit};
use crate::stats::{samples_to_support, supports};
use crate::store::capacity::Verdict;
use crate::store::schema::LatencySummary;
use crate::units::{format_duration_us, format_us};
use crate::workload::{Fault, Pace};

/// Judges a load that was kept so, with these latencies, which rest on so many commit groups.
pub(super) fn judge(
    pace: Pace,
    latency: &LatencySummary,
    commit_groups: u64,
    slo: &Slo,
) -> Verdict {
    match pace.fault() {
        Some(Fault::Overloaded(reason)) => return Verdict::Overloaded { reason },
        Some(Fault::Invalid(reason)) => return Verdict::Invalid { reason },
        None => {}
    }
    let missed: Vec<String> =
        slo.limits().iter().filter_map(|limit| missed(limit, latency)).collect();
    if !missed.is_empty() {
        return Verdict::Missed { reason: missed.join(", ") };
    }
    let strictest = slo.strictest().quantile();
    if supports(strictest, commit_groups) {
        return Verdict::Met;
    }
    Verdict::Unsupported { groups_needed: samples_to_support(strictest).unwrap_or(u64::MAX) }
}

fn missed(limit: &SloLimit, latency: &LatencySummary) -> Option<String> {
    let found_us = percentile_us(latency, limit.percentile)?;
    (found_us > limit.at_most_us as f64).then(|| {
        let (name, allowed) = (limit.percentile.name(), format_duration_us(limit.at_most_us));
        format!("{name} {} of {allowed}", format_us(found_us))
    })
}

/// The percentile, microseconds; `None` where the sample does not support it.
pub(super) fn percentile_us(latency: &LatencySummary, percentile: Percentile) -> Option<f64> {
    match percentile {
        Percentile::P50 => Some(latency.p50_us),
        Percentile::P90 => Some(latency.p90_us),
        Percentile::P99 => latency.p99_us,
        Percentile::P999 => latency.p999_us,
        Percentile::P9999 => latency.p9999_us,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(p99_us: f64, p999_us: f64) -> LatencySummary {
        LatencySummary { p99_us: Some(p99_us), p999_us: Some(p999_us), ..LatencySummary::default() }
    }

    fn verdict(pace: Pace, latency: &LatencySummary, commit_groups: u64) -> Verdict {
        judge(pace, latency, commit_groups, &"p99=1ms,p99.9=5ms".parse().expect("objectives"))
    }

    #[test]
    fn every_objective_has_to_hold() {
        let groups = 10_000;
        assert_eq!(verdict(Pace::Kept, &latency(1_000.0, 5_000.0), groups), Verdict::Met);
        for (p99_us, p999_us, named) in
            [(1_001.0, 4_000.0, "p99 1.00 ms of 1ms"), (900.0, 5_100.0, "p99.9 5.10 ms of 5ms")]
        {
            let found = verdict(Pace::Kept, &latency(p99_us, p999_us), groups);
            assert_eq!(found, Verdict::Missed { reason: named.into() });
        }
    }

    #[test]
    fn a_load_that_was_not_kept_is_no_measurement_however_fast() {
        let fast = latency(1.0, 1.0);
        for pace in [
            Pace::Behind { achieved_ratio: 0.5 },
            Pace::Growing { first: 1.0, last: 9.0 },
            Pace::HeldUp { lag_ratio: 0.1 },
        ] {
            assert!(matches!(verdict(pace, &fast, 10_000), Verdict::Overloaded { .. }), "{pace:?}");
        }
        let late = verdict(Pace::GeneratorLate { lag_ratio: 0.2 }, &fast, 10_000);
        assert!(matches!(late, Verdict::Invalid { .. }), "{late:?}");
    }

    #[test]
    fn a_sample_that_is_too_small_decides_nothing_but_a_lower_percentile_may() {
        let small = LatencySummary { p99_us: Some(900.0), ..LatencySummary::default() };
        let found = verdict(Pace::Kept, &small, 4_602);
        assert_eq!(found, Verdict::Unsupported { groups_needed: 4_603 });
        let missed = LatencySummary { p99_us: Some(2_000.0), ..LatencySummary::default() };
        assert!(matches!(verdict(Pace::Kept, &missed, 4_602), Verdict::Missed { .. }));
    }
}
