//! Whether a series of rounds has settled: the steady-state rule of the SNIA Solid State Storage
//! Performance Test Specification (version 2.0.2, "Steady State"), held for the rate and for the p99
//! latency. It knows rounds only, not how long they are: whether they are SNIA's own, of a minute
//! each, is for whoever made them to say.

use crate::store::schema::{Round, STEADY_ROUNDS, STEADY_ROUNDS_MAX, Steadiness};
use crate::units::format_share;

/// The largest and the smallest of the last rounds differ by at most so much of their mean …
const RANGE_RATIO_MAX: f64 = 0.20;

/// … and the straight line fitted to them rises or falls by at most so much of it.
const EXCURSION_RATIO_MAX: f64 = 0.10;

/// The verdict on the rounds so far, by the last [`STEADY_ROUNDS`] of them; `None` while it is too
/// early for one: they have not settled, and there may be more.
pub(crate) fn steadiness(rounds: &[Round]) -> Option<Steadiness> {
    let count = u32::try_from(rounds.len()).unwrap_or(u32::MAX);
    match unsettled(rounds) {
        None => Some(Steadiness::Steady { rounds: count }),
        Some(reason) if count >= STEADY_ROUNDS_MAX => {
            Some(Steadiness::Transient { rounds: count, reason })
        }
        Some(_) => None,
    }
}

/// The verdict on exactly these rounds, when there will be no more.
pub(crate) fn final_steadiness(rounds: &[Round]) -> Steadiness {
    let count = u32::try_from(rounds.len()).unwrap_or(u32::MAX);
    match unsettled(rounds) {
        None => Steadiness::Steady { rounds: count },
        Some(reason) => Steadiness::Transient { rounds: count, reason },
    }
}

/// What has not settled in the last rounds, if anything has not.
fn unsettled(rounds: &[Round]) -> Option<String> {
    let Some(from) = rounds.len().checked_sub(STEADY_ROUNDS as usize) else {
        return Some(format!("{} rounds, of which {STEADY_ROUNDS} are needed", rounds.len()));
    };
    let last = &rounds[from..];
    let rates: Vec<f64> = last.iter().map(|round| round.rate_per_second).collect();
    let p99s: Option<Vec<f64>> = last.iter().map(|round| round.p99_us).collect();
    let Some(p99s) = p99s else {
        return Some("a round has too few commit groups for a p99".to_owned());
    };
    movement("rate", &rates).or_else(|| movement("p99", &p99s))
}

/// How far the values moved, where that is more than the rule allows.
fn movement(name: &str, values: &[f64]) -> Option<String> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    if !mean.is_finite() || mean <= 0.0 {
        return Some(format!("{name}: nothing was measured in the last {STEADY_ROUNDS} rounds"));
    }
    let highest = values.iter().copied().fold(f64::MIN, f64::max);
    let lowest = values.iter().copied().fold(f64::MAX, f64::min);
    let range_ratio = (highest - lowest) / mean;
    if range_ratio > RANGE_RATIO_MAX {
        return Some(format!(
            "{name}: the last {STEADY_ROUNDS} rounds are up to {} of their mean apart, and {} is \
             steady",
            format_share(range_ratio),
            format_share(RANGE_RATIO_MAX)
        ));
    }
    let excursion_ratio = slope(values, mean) * (count - 1.0) / mean;
    (excursion_ratio.abs() > EXCURSION_RATIO_MAX).then(|| {
        format!(
            "{name}: it {} by {} over the last {STEADY_ROUNDS} rounds, and {} is steady",
            if excursion_ratio > 0.0 { "rises" } else { "falls" },
            format_share(excursion_ratio.abs()),
            format_share(EXCURSION_RATIO_MAX)
        )
    })
}

/// Of the line of least squares through the values, a round.
fn slope(values: &[f64], mean: f64) -> f64 {
    let middle = (values.len() as f64 - 1.0) / 2.0;
    let (mut products, mut squares) = (0.0, 0.0);
    for (round, value) in values.iter().enumerate() {
        let distance = round as f64 - middle;
        products += distance * (value - mean);
        squares += distance * distance;
    }
    if squares > 0.0 { products / squares } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rounds(rates: &[f64]) -> Vec<Round> {
        let round = |rate: &f64| Round { rate_per_second: *rate, p99_us: Some(100.0) };
        rates.iter().map(round).collect()
    }

    fn is_steady(rounds: &[Round]) -> bool {
        matches!(final_steadiness(rounds), Steadiness::Steady { .. })
    }

    #[test]
    fn the_rule_holds_at_its_bounds_and_not_behind_them() {
        for (rates, steady, why) in [
            // Mean 100; 90 to 110 is a range of 20 %, and the line through them is flat.
            ([90.0, 110.0, 100.0, 110.0, 90.0], true, ""),
            ([89.0, 111.0, 100.0, 111.0, 89.0], false, "up to 22.0 % of their mean apart"),
            // A ramp of 10 % in all, and one of a little more.
            ([95.0, 97.5, 100.0, 102.5, 105.0], true, ""),
            ([94.0, 97.0, 100.0, 103.0, 106.0], false, "rate: it rises by 12.0 %"),
            ([106.0, 103.0, 100.0, 97.0, 94.0], false, "rate: it falls by 12.0 %"),
        ] {
            let found = final_steadiness(&rounds(&rates));
            match found {
                Steadiness::Steady { rounds } => assert!(steady && rounds == 5, "{rates:?}"),
                Steadiness::Transient { rounds, reason } => {
                    assert!(!steady && rounds == 5 && reason.contains(why), "{rates:?}: {reason}");
                }
            }
        }
    }

    #[test]
    fn the_p99_has_to_settle_too_and_has_to_be_known() {
        let mut moving = rounds(&[100.0; 5]);
        moving[4].p99_us = Some(180.0);
        let Steadiness::Transient { reason, .. } = final_steadiness(&moving) else { panic!() };
        assert!(reason.starts_with("p99: "), "{reason}");
        moving[4].p99_us = None;
        let Steadiness::Transient { reason, .. } = final_steadiness(&moving) else { panic!() };
        assert!(reason.contains("too few commit groups"), "{reason}");
    }

    #[test]
    fn only_the_last_five_count_and_there_are_25_at_most() {
        // A drive that falls to a third and stays there.
        let falling: Vec<f64> = (0..8).map(|round| 300.0 - 25.0 * f64::from(round)).collect();
        let settled: Vec<f64> = falling.iter().copied().chain([100.0; 5]).collect();
        for count in 0..=settled.len() {
            let found = steadiness(&rounds(&settled[..count]));
            let expected = (count == 13).then_some(Steadiness::Steady { rounds: 13 });
            assert_eq!(found, expected, "{count}");
        }
        // One that never settles.
        let restless: Vec<f64> = (0..25).map(|round| f64::from(100 + 60 * (round % 2))).collect();
        assert_eq!(steadiness(&rounds(&restless[..24])), None);
        let found = steadiness(&rounds(&restless));
        assert!(matches!(found, Some(Steadiness::Transient { rounds: 25, .. })), "{found:?}");
    }

    #[test]
    fn nothing_is_not_steady() {
        assert_eq!(steadiness(&[]), None);
        assert!(!is_steady(&rounds(&[0.0; 5])));
        assert!(!is_steady(&rounds(&[f64::NAN; 5])));
        assert!(!is_steady(&rounds(&[100.0; 4])));
    }

    proptest! {
        /// A straight ramp is steady exactly up to 10 % in all, whatever its unit and direction.
        #[test]
        fn a_ramp_is_steady_up_to_a_tenth(
            level in 1e-3..1e9_f64,
            tenths_of_percent in -300_i32..300,
        ) {
            prop_assume!(tenths_of_percent.abs() != 100);
            let total = f64::from(tenths_of_percent) / 1_000.0;
            let rates: Vec<f64> =
                (0..5).map(|round| level * (1.0 + total * (f64::from(round) / 4.0 - 0.5))).collect();
            prop_assert_eq!(is_steady(&rounds(&rates)), tenths_of_percent.abs() < 100);
        }

        /// Neither the unit nor the direction of time matters, and noise of less than a twentieth
        /// about a level is steady.
        #[test]
        fn units_and_direction_do_not_matter(
            rates in prop::collection::vec(50.0..150.0_f64, 5),
            scale in prop::sample::select(vec![0.125, 2.0, 1_024.0]),
        ) {
            let steady = is_steady(&rounds(&rates));
            let scaled: Vec<f64> = rates.iter().map(|rate| rate * scale).collect();
            prop_assert_eq!(is_steady(&rounds(&scaled)), steady);
            let backwards: Vec<f64> = rates.iter().rev().copied().collect();
            prop_assert_eq!(is_steady(&rounds(&backwards)), steady);
            let calm: Vec<f64> = rates.iter().map(|rate| 1_000.0 + rate / 3.0).collect();
            prop_assert!(is_steady(&rounds(&calm)));
        }
    }
}
