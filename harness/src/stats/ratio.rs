//! Ratios between matched measurements, and the noise floor below which a ratio means nothing.
//!
//! Both members of a pair come from the same block, so whatever slowed the whole block cancels.
//! Work is done on logarithms: halving and doubling are then equally large, and the way back is
//! one `exp`.

use crate::store::schema::Estimate;

use super::Bootstrap;

/// Two measurements of the same quantity under the same conditions but for one difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pair {
    /// Without the difference.
    pub baseline: f64,
    /// With it.
    pub changed: f64,
}

/// `ln(changed / baseline)`; `None` unless both are positive and finite.
pub(crate) fn log_ratio(pair: Pair) -> Option<f64> {
    let usable = |value: f64| value > 0.0 && value.is_finite();
    // A difference of logarithms cannot overflow where the quotient could.
    (usable(pair.baseline) && usable(pair.changed)).then(|| pair.changed.ln() - pair.baseline.ln())
}

/// The same ratio seen from the other side: `a/b` becomes `b/a`, and the interval's ends swap.
pub(crate) fn invert(ratio: Estimate) -> Estimate {
    Estimate { value: 1.0 / ratio.value, low: 1.0 / ratio.high, high: 1.0 / ratio.low }
}

impl Bootstrap {
    /// The ratio behind one log-ratio per block: `exp` of their median, with its 95 % interval.
    /// `None` below [`super::MIN_BLOCKS`] finite log-ratios.
    ///
    /// The median, because one block that another process disturbed should not move the answer.
    pub(crate) fn ratio(&self, log_ratios: &[f64]) -> Option<Estimate> {
        let logs = self.median(log_ratios)?;
        Some(Estimate { value: logs.value.exp(), low: logs.low.exp(), high: logs.high.exp() })
    }

    /// The machine's own noise from pairs that should be equal (the same configuration at both
    /// ends of a block): half the width of the log-ratio's 95 % interval, as a ratio minus 1, so
    /// 0.03 says that differences up to 3 % appear by themselves. `None` as for
    /// [`ratio`](Self::ratio).
    pub(crate) fn noise_floor_ratio(&self, equal_pairs: &[Pair]) -> Option<f64> {
        let logs: Vec<f64> = equal_pairs.iter().copied().filter_map(log_ratio).collect();
        let interval = self.median(&logs)?;
        Some(((interval.high - interval.low) / 2.0).exp_m1())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    /// `n` pairs in blocks of very different speed; `changed` is `effect` times the baseline,
    /// give or take 2 %.
    fn pairs(n: usize, effect: f64, seed: u64) -> Vec<Pair> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        (0..n)
            .map(|_| {
                let block_speed = rng.random_range(5_000.0..50_000.0);
                Pair {
                    baseline: block_speed * rng.random_range(0.99..1.01),
                    changed: block_speed * effect * rng.random_range(0.99..1.01),
                }
            })
            .collect()
    }

    fn logs(pairs: &[Pair]) -> Vec<f64> {
        pairs.iter().copied().filter_map(log_ratio).collect()
    }

    #[test]
    fn a_known_effect_is_recovered_whatever_the_blocks_speed() {
        for effect in [0.5, 0.9, 1.1, 2.0] {
            let found = Bootstrap::quick(3).ratio(&logs(&pairs(9, effect, 42))).unwrap();
            assert!((found.value / effect - 1.0).abs() < 0.02, "{effect}: {found:?}");
            assert!(found.low > 1.0 || found.high < 1.0, "{effect}: {found:?}");
        }
    }

    #[test]
    fn no_effect_has_an_interval_that_contains_1() {
        let found = Bootstrap::quick(3).ratio(&logs(&pairs(9, 1.0, 42))).unwrap();
        assert!(found.low <= 1.0 && 1.0 <= found.high, "{found:?}");
    }

    #[test]
    fn the_noise_floor_grows_with_the_noise_and_ignores_drift() {
        let bootstrap = Bootstrap::quick(3);
        let quiet = bootstrap.noise_floor_ratio(&pairs(9, 1.0, 1)).unwrap();
        assert!(quiet > 0.0 && quiet < 0.02, "{quiet}");
        let drifting = bootstrap.noise_floor_ratio(&pairs(9, 0.8, 1)).unwrap();
        assert!((drifting - quiet).abs() < 1e-9, "{drifting} {quiet}");
        let noisy: Vec<Pair> =
            [0.7, 1.4, 0.8, 1.2, 1.0, 1.3].map(|changed| Pair { baseline: 1.0, changed }).to_vec();
        assert!(bootstrap.noise_floor_ratio(&noisy).unwrap() > 0.1);
        assert_eq!(bootstrap.noise_floor_ratio(&noisy[..2]), None);
    }

    #[test]
    fn pairs_without_a_ratio_are_left_out() {
        for (baseline, changed) in
            [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (f64::NAN, 1.0), (1.0, f64::INFINITY)]
        {
            assert_eq!(log_ratio(Pair { baseline, changed }), None);
        }
        let extreme = Pair { baseline: f64::MIN_POSITIVE, changed: f64::MAX };
        assert!(log_ratio(extreme).unwrap().is_finite());
    }

    #[test]
    fn inverting_twice_changes_nothing() {
        let ratio = Estimate { value: 0.5, low: 0.4, high: 0.8 };
        assert_eq!(invert(ratio), Estimate { value: 2.0, low: 1.25, high: 2.5 });
        assert_eq!(invert(invert(ratio)), ratio);
    }
}
