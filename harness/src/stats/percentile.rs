//! How many samples a percentile needs before it may be reported.
//!
//! A quantile is supported once a sample of that size would, with 99 % confidence, hold at least
//! one value beyond it; with fewer, the "p99.9" printed is often just the largest value seen.

/// Probability left for a sample that holds no value beyond the quantile it claims to show.
const CHANCE_OF_NO_EXCEEDANCE: f64 = 0.01;

/// Independent samples needed to report the `q` quantile: the smallest n with `q^n <= 0.01`, so
/// `n >= ln(0.01) / ln(q)`. `None` when `q` is not strictly between 0 and 1.
///
/// Count commit groups, not records: records that shared one flush are one sample.
#[allow(
    clippy::cast_possible_truncation,
    reason = "positive, and a float-to-integer cast saturates"
)]
pub(crate) fn samples_to_support(q: f64) -> Option<u64> {
    (q > 0.0 && q < 1.0).then(|| (CHANCE_OF_NO_EXCEEDANCE.ln() / q.ln()).ceil() as u64)
}

/// Whether `samples` independent samples support the `q` quantile.
pub(crate) fn supports(q: f64, samples: u64) -> bool {
    samples_to_support(q).is_some_and(|needed| samples >= needed)
}

/// The quantiles of a sample between which its true `q` quantile lies in 95 of 100 cases, whatever
/// the shape of the distribution: how many of `samples` values lie below it is binomial, and with so
/// many that a percentile is supported, nearly normal (G. J. Hahn and W. Q. Meeker, "Statistical
/// Intervals" (1991), section 5.2). `None` where the sample is too small for that.
pub(crate) fn quantile_interval(q: f64, samples: u64) -> Option<(f64, f64)> {
    /// 97.5 % of a standard normal distribution lie below.
    const Z: f64 = 1.96;
    let error = Z * (q * (1.0 - q) / samples as f64).sqrt();
    (supports(q, samples) && q + error < 1.0).then(|| ((q - error).max(0.0), q + error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_has_an_interval_once_the_sample_supports_it() {
        let (low, high) = quantile_interval(0.5, 100).expect("a median");
        assert!((low - 0.402).abs() < 1e-9 && (high - 0.598).abs() < 1e-9, "{low} {high}");
        assert!(quantile_interval(0.999, 4_603).is_some());
        assert_eq!((quantile_interval(0.999, 4_602), quantile_interval(0.99, 0)), (None, None));
    }

    #[test]
    fn the_known_thresholds() {
        for (q, needed) in [(0.99, 459), (0.999, 4_603), (0.9999, 46_050)] {
            assert_eq!(samples_to_support(q), Some(needed), "{q}");
            assert!(supports(q, needed));
            assert!(!supports(q, needed - 1));
        }
    }

    #[test]
    fn the_rule_is_the_smallest_sample_that_meets_it() {
        for q in [0.5, 0.9, 0.95, 0.99, 0.999] {
            let needed = i32::try_from(samples_to_support(q).unwrap()).unwrap();
            assert!(q.powi(needed) <= CHANCE_OF_NO_EXCEEDANCE, "{q}");
            assert!(q.powi(needed - 1) > CHANCE_OF_NO_EXCEEDANCE, "{q}");
        }
    }

    #[test]
    fn no_quantile_no_support() {
        for q in [0.0, 1.0, -1.0, 2.0, f64::NAN, f64::INFINITY] {
            assert_eq!(samples_to_support(q), None);
            assert!(!supports(q, u64::MAX));
        }
    }
}
