//! From the samples of all rounds to one ratio: a pure function, so that tests can hand it rounds
//! of which the answer is known.

use serde::Serialize;

use super::case::{Comparison, Value};
use super::sample::Sample;
use crate::stats::median;

/// A comparison over all rounds. Values are medians; a round without one of its two values (a
/// percentile that its sample does not support) has no ratio.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Ratio {
    /// Median over rounds of what is compared.
    pub(super) of: Option<f64>,
    /// Of what it is compared with.
    pub(super) against: Option<f64>,
    /// Of each round that has one.
    pub(super) by_round: Vec<f64>,
    /// Median of those; not the ratio of the medians.
    pub(super) median: Option<f64>,
    /// The lowest and the highest of them.
    pub(super) lowest: Option<f64>,
    /// See above.
    pub(super) highest: Option<f64>,
    /// Whether the median meets the target, if there is one.
    pub(super) target_met: Option<bool>,
    /// Rounds that meet it by themselves.
    pub(super) rounds_met: usize,
    /// Rounds in which one of the measurements was disturbed.
    pub(super) rounds_disturbed: usize,
}

/// Compares within each round; `rounds` holds the samples of one case, by arm.
pub(super) fn ratio(comparison: &Comparison, rounds: &[&[Sample]]) -> Ratio {
    let values = |value: &Value| -> Vec<f64> {
        rounds.iter().filter_map(|round| value.in_round(round)).collect()
    };
    let by_round: Vec<f64> = rounds
        .iter()
        .filter_map(|round| {
            let (of, against) =
                (comparison.of.in_round(round)?, comparison.against.in_round(round)?);
            Some(of / against).filter(|ratio| ratio.is_finite())
        })
        .collect();
    let middle = median(&by_round);
    let is_met = |ratio: f64| comparison.target.map(|target| target.is_met(ratio));
    let arms = [comparison.of.arms(), comparison.against.arms()].concat();
    let disturbed = |round: &&&[Sample]| {
        arms.iter().any(|arm| round.get(*arm).is_some_and(|sample| sample.disturbed))
    };
    Ratio {
        of: median(&values(&comparison.of)),
        against: median(&values(&comparison.against)),
        median: middle,
        lowest: by_round.iter().copied().reduce(f64::min),
        highest: by_round.iter().copied().reduce(f64::max),
        target_met: middle.and_then(is_met),
        rounds_met: by_round.iter().filter(|ratio| is_met(**ratio) == Some(true)).count(),
        rounds_disturbed: rounds.iter().filter(disturbed).count(),
        by_round,
    }
}

#[cfg(test)]
mod tests {
    use super::super::case::Quantity;
    use super::super::targets::Target;
    use super::*;

    fn comparison(quantity: Quantity, target: Option<Target>) -> Comparison {
        let [against, of] = [0, 1].map(|arm| Value::Of { arm, quantity });
        Comparison { what: "x", of, against, target }
    }

    fn round(bare: f64, log: f64) -> Vec<Sample> {
        [bare, log].map(|rate_per_second| Sample { rate_per_second, ..Sample::default() }).to_vec()
    }

    fn ratios(comparison: &Comparison, rounds: &[Vec<Sample>]) -> Ratio {
        let rounds: Vec<&[Sample]> = rounds.iter().map(Vec::as_slice).collect();
        ratio(comparison, &rounds)
    }

    #[test]
    fn ratios_are_taken_within_rounds_however_much_the_disk_drifts() {
        let target = Some(Target::AtLeast { ratio: 0.9, origin: None });
        let rounds = [round(100.0, 90.0), round(1_000.0, 880.0), round(10.0, 9.5)];
        let found = ratios(&comparison(Quantity::Rate, target), &rounds);
        assert_eq!(found.by_round, [0.9, 0.88, 0.95]);
        assert_eq!(
            (found.lowest, found.median, found.highest),
            (Some(0.88), Some(0.9), Some(0.95))
        );
        assert_eq!((found.of, found.against), (Some(90.0), Some(100.0)));
        assert_eq!((found.target_met, found.rounds_met), (Some(true), 2));
    }

    #[test]
    fn without_a_target_or_a_value_nothing_is_met() {
        let found = ratios(&comparison(Quantity::Rate, None), &[round(2.0, 1.0)]);
        assert_eq!((found.median, found.target_met, found.rounds_met), (Some(0.5), None, 0));
        let target = Some(Target::AtMost { ratio: 3.0, origin: None });
        for rounds in [&[round(2.0, 1.0)][..], &[]] {
            let found = ratios(&comparison(Quantity::P99, target), rounds);
            assert_eq!(found, Ratio::default());
        }
        // Nothing of something is a ratio, and something of nothing is none.
        let none = ratios(&comparison(Quantity::Rate, target), &[round(1.0, 0.0)]);
        assert_eq!((none.median, none.target_met), (Some(0.0), Some(true)));
        let stalled = ratios(&comparison(Quantity::Rate, target), &[round(0.0, 1.0)]);
        assert_eq!((stalled.median, stalled.target_met), (None, None));
    }

    #[test]
    fn a_round_is_disturbed_with_either_of_its_measurements() {
        let mut rounds = vec![round(1.0, 1.0); 3];
        rounds[0][0].disturbed = true;
        rounds[2][0].disturbed = true;
        rounds[2][1].disturbed = true;
        assert_eq!(ratios(&comparison(Quantity::Rate, None), &rounds).rounds_disturbed, 2);
    }
}
