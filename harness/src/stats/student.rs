//! Student's t distribution: how surprising an average is, given the spread that it was seen with;
//! and how many blocks it takes until a change of some size would show.

use super::finite;

/// 97.5 % of a standard normal distribution lie below.
const Z: f64 = 1.96;

/// Two-sided p of `t` with so many degrees of freedom; `None` without any, or for a `t` that is no
/// number.
///
/// M. Abramowitz and I. A. Stegun, "Handbook of Mathematical Functions" (1964), 26.7.3 and 26.7.4:
/// exact for whole degrees of freedom.
pub(crate) fn student_t_p(t: f64, degrees: u32) -> Option<f64> {
    if degrees == 0 || t.is_nan() {
        return None;
    }
    let angle = (t.abs() / f64::from(degrees).sqrt()).atan();
    let (sine, cosine) = angle.sin_cos();
    let is_odd = degrees % 2 == 1;
    // The series begins with cos for odd degrees and with 1 for even ones, and each member is the
    // last one times cos² and the next fraction.
    let mut member = if is_odd { cosine } else { 1.0 };
    let mut sum = 0.0;
    let mut numerator = if is_odd { 2 } else { 1 };
    let members = if is_odd { (degrees - 1) / 2 } else { degrees / 2 };
    for _ in 0..members {
        sum += member;
        member *= cosine * cosine * f64::from(numerator) / f64::from(numerator + 1);
        numerator += 2;
    }
    let inside =
        if is_odd { (angle + sine * sum) * std::f64::consts::FRAC_2_PI } else { sine * sum };
    Some((1.0 - inside).clamp(0.0, 1.0))
}

/// Blocks until the 95 % interval of the median of such values is no wider to either side than
/// `half_width`: `π/2 · (1.96 σ / half_width)²`, since a median of normal values varies π/2 times as
/// much as their mean. `None` where the values have no spread to go by.
#[allow(
    clippy::cast_possible_truncation,
    reason = "positive, and a float-to-integer cast saturates"
)]
pub(crate) fn blocks_to_settle(blocks: &[f64], half_width: f64) -> Option<u32> {
    let blocks = finite(blocks);
    let mean = super::mean(&blocks)?;
    let squares: f64 = blocks.iter().map(|value| (value - mean).powi(2)).sum();
    let variance = squares / blocks.len().checked_sub(1).filter(|others| *others > 0)? as f64;
    let needed = std::f64::consts::FRAC_PI_2 * (Z / half_width).powi(2) * variance;
    (needed.is_finite() && needed > 0.0).then(|| needed.ceil() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables of critical values: two-sided 5 % and 1 %.
    #[test]
    fn p_is_that_of_the_tables() {
        for (degrees, t, expected) in [
            (1, 12.706, 0.05),
            (2, 4.303, 0.05),
            (3, 3.182, 0.05),
            (4, 4.604, 0.01),
            (5, 4.032, 0.01),
            (12, 2.179, 0.05),
            (30, 2.750, 0.01),
            (1_000, 1.962, 0.05),
        ] {
            for t in [t, -t] {
                let p = student_t_p(t, degrees).expect("a p");
                assert!((p - expected).abs() < 2e-4, "{t} with {degrees}: {p}");
            }
        }
        assert_eq!(student_t_p(0.0, 7), Some(1.0));
        assert!(student_t_p(f64::INFINITY, 7).expect("a p") < 1e-12);
        assert_eq!((student_t_p(1.0, 0), student_t_p(f64::NAN, 5)), (None, None));
    }

    #[test]
    fn blocks_grow_with_the_square_of_the_noise() {
        let spread = |size: f64| [-size, size, -size, size, -size, size];
        let few = blocks_to_settle(&spread(0.05), 0.05).expect("a number");
        let many = blocks_to_settle(&spread(0.1), 0.05).expect("a number");
        // The variance of six values that lie 0.05 from their mean is 0.003; 1.57 · 39.2² · 0.003.
        assert_eq!((few, many), (8, 29));
        assert_eq!(blocks_to_settle(&[1.0; 5], 0.05), None);
        assert_eq!(blocks_to_settle(&[1.0], 0.05), None);
    }
}
