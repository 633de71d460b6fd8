//! The statistics behind every number a person acts on: centres, quantiles, bootstrap intervals,
//! matched ratios, the noise floor, rank tests, least squares, change points and steady state. Pure functions over
//! slices: no clock, no files, and the same seed always gives the same answer.
//!
//! Values that are not finite are left out everywhere, so one broken trial cannot turn a whole
//! table into `NaN`; an answer that would rest on nothing is `None`.

mod bootstrap;
mod change_points;
mod least_squares;
mod percentile;
mod rank;
mod ratio;
mod steady;
mod student;
#[cfg(test)]
pub(crate) mod truth;

pub(crate) use bootstrap::{Bootstrap, MIN_BLOCKS};
pub(crate) use change_points::{Shift, ShiftRules, find_shifts};
pub(crate) use least_squares::least_squares;
pub(crate) use percentile::{quantile_interval, samples_to_support, supports};
pub(crate) use rank::{holm, mann_whitney_p, signed_rank_p};
pub(crate) use ratio::{Pair, invert, log_ratio};
pub(crate) use steady::{final_steadiness, steadiness};
pub(crate) use student::{blocks_to_settle, student_t_p};

use crate::store::schema::Estimate;

/// The median: [`quantile`] at 0.5.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The `q` quantile of the finite values, `None` when there are none or `q` is outside 0 to 1.
///
/// Definition: type 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996), the
/// default of R and NumPy: linear interpolation at rank `q * (n - 1)` of the sorted sample.
pub(crate) fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = finite(values);
    sorted.sort_unstable_by(f64::total_cmp);
    quantile_of_sorted(&sorted, q)
}

/// The arithmetic mean of the finite values.
pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    let kept = finite(values);
    (!kept.is_empty()).then(|| kept.iter().sum::<f64>() / kept.len() as f64)
}

/// The geometric mean of the positive finite values; zero and negative values have no logarithm
/// and are left out like `NaN`.
pub(crate) fn geometric_mean(values: &[f64]) -> Option<f64> {
    let logs: Vec<f64> =
        values.iter().filter(|value| **value > 0.0).map(|value| value.ln()).collect();
    mean(&logs).map(f64::exp)
}

/// A value without an interval, as stored results write it: both ends are the value itself.
pub(crate) fn point(value: f64) -> Estimate {
    Estimate { value, low: value, high: value }
}

/// Whether the estimate carries an interval, rather than being a bare [`point`].
pub(crate) fn has_interval(estimate: &Estimate) -> bool {
    estimate.low < estimate.high
}

/// Whether two intervals share a value, so that the estimates cannot be told apart. Bare points
/// never can: nothing is known of their error.
pub(crate) fn overlap(a: &Estimate, b: &Estimate) -> bool {
    let known = has_interval(a) && has_interval(b);
    !known || (a.low <= b.high && b.low <= a.high)
}

/// The finite values, in their order.
fn finite(values: &[f64]) -> Vec<f64> {
    values.iter().copied().filter(|v| v.is_finite()).collect()
}

/// [`quantile`] of values already finite and ascending.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the rank lies between 0 and the slice's length"
)]
fn quantile_of_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    if !(0.0..=1.0).contains(&q) {
        return None;
    }
    let rank = q * last as f64;
    let below = (rank.floor() as usize).min(last);
    let above = (below + 1).min(last);
    let share = rank - below as f64;
    // Weights, not `low + share * (high - low)`: the difference of two finite values can overflow.
    Some(sorted[below] * (1.0 - share) + sorted[above] * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_follow_type_7() {
        let values = [40.0, 10.0, 30.0, 20.0];
        assert_eq!(quantile(&values, 0.0), Some(10.0));
        assert_eq!(quantile(&values, 1.0), Some(40.0));
        assert_eq!(median(&values), Some(25.0));
        // R: quantile(c(10, 20, 30, 40), 0.9, type = 7) is 37.
        let p90 = quantile(&values, 0.9).unwrap();
        assert!((p90 - 37.0).abs() < 1e-9, "{p90}");
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[f64::NAN, f64::INFINITY]), None);
        assert_eq!(mean(&[f64::NAN]), None);
        assert_eq!(geometric_mean(&[0.0, -1.0, f64::NAN]), None);
        for q in [-0.1, 1.1, f64::NAN] {
            assert_eq!(quantile(&[1.0], q), None);
        }
    }

    #[test]
    fn values_that_are_not_finite_are_left_out() {
        assert_eq!(median(&[f64::NAN, 3.0, f64::NEG_INFINITY, 5.0]), Some(4.0));
        assert_eq!(mean(&[1.0, f64::INFINITY, 3.0]), Some(2.0));
        let geometric = geometric_mean(&[2.0, 8.0, f64::NAN, 0.0]).unwrap();
        assert!((geometric - 4.0).abs() < 1e-12, "{geometric}");
    }

    #[test]
    fn intervals_overlap_unless_known_to_be_apart() {
        let interval = |low, high| Estimate { value: (low + high) / 2.0, low, high };
        assert!(overlap(&interval(1.0, 2.0), &interval(2.0, 3.0)));
        assert!(!overlap(&interval(1.0, 2.0), &interval(2.1, 3.0)));
        assert!(!overlap(&interval(2.1, 3.0), &interval(1.0, 2.0)));
        assert!(overlap(&point(1.0), &interval(2.0, 3.0)));
        assert!(!has_interval(&point(1.0)));
    }

    #[test]
    fn extreme_values_do_not_overflow() {
        let middle = median(&[f64::MAX, f64::MIN]).unwrap();
        assert!(middle.is_finite());
    }
}
