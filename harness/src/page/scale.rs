//! From values to pixels: linear and logarithmic axes and the round numbers they are marked with.
//! A scale always has a positive finite length, whatever values it was made from.

use std::ops::Range;

/// An axis: values of `domain` on the pixels of `range` (which runs downward for a y axis).
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    logarithmic: bool,
    domain: Range<f64>,
    range: Range<f64>,
}

impl Scale {
    /// A linear axis over the domain, which may be empty or unordered.
    pub(crate) fn linear(domain: Range<f64>, range: Range<f64>) -> Self {
        let fits = domain.start.is_finite() && domain.end.is_finite() && domain.start < domain.end;
        let domain = if fits { domain } else { 0.0..1.0 };
        Scale { logarithmic: false, domain, range }
    }

    /// A logarithmic axis; a domain that has no logarithm is replaced by 1 to 10.
    pub(crate) fn logarithmic(domain: Range<f64>, range: Range<f64>) -> Self {
        let fits = domain.start > 0.0 && domain.end.is_finite() && domain.start < domain.end;
        let domain = if fits { domain } else { 1.0..10.0 };
        Scale { logarithmic: true, domain, range }
    }

    /// The pixel of a value; a value beyond an end is drawn at that end.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let value = value.clamp(self.domain.start, self.domain.end);
        let (low, high) = (self.position(self.domain.start), self.position(self.domain.end));
        let share = (self.position(value) - low) / (high - low);
        let pixel = self.range.start + share * (self.range.end - self.range.start);
        if pixel.is_finite() { pixel } else { self.range.start }
    }

    /// Whether the value lies on the axis.
    pub(crate) fn contains(&self, value: f64) -> bool {
        value >= self.domain.start && value <= self.domain.end
    }

    /// Round values to mark, at most about `most`.
    pub(crate) fn ticks(&self, most: usize) -> Vec<f64> {
        if self.logarithmic { self.logarithmic_ticks(most) } else { self.linear_ticks(most) }
    }

    fn position(&self, value: f64) -> f64 {
        if self.logarithmic { value.ln() } else { value }
    }

    /// Multiples of 1, 2 or 5 times a power of ten: the finest step that gives few enough.
    fn linear_ticks(&self, most: usize) -> Vec<f64> {
        let length = self.domain.end - self.domain.start;
        let finest = 10f64.powf((length / as_f64(most.max(1))).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * finest)
            .find(|step| length / step <= as_f64(most))
            .unwrap_or(10.0 * finest);
        let first = (self.domain.start / step).ceil();
        (0..=most)
            .map(|index| (first + as_f64(index)) * step)
            .filter(|tick| self.contains(*tick))
            // Turns -0 into 0, which prints without a sign.
            .map(|tick| tick + 0.0)
            .collect()
    }

    /// Powers of ten, with 2 and 5 between them where there is room; where the axis is shorter
    /// than that, linear ticks.
    fn logarithmic_ticks(&self, most: usize) -> Vec<f64> {
        let lowest = exponent(self.domain.start);
        let highest = exponent(self.domain.end) + 1;
        let ladder = |steps: &[f64], stride: i32| -> Vec<f64> {
            (lowest..=highest)
                .filter(|power| power.rem_euclid(stride) == 0)
                .flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)))
                .filter(|tick| self.contains(*tick))
                .collect()
        };
        let candidates = [
            ladder(&[1.0, 2.0, 5.0], 1),
            ladder(&[1.0], 1),
            ladder(&[1.0], 2),
            ladder(&[1.0], 10),
            ladder(&[1.0], 100),
        ];
        let chosen = candidates.into_iter().find(|ticks| ticks.len() <= most).unwrap_or_default();
        if chosen.len() >= 3 { chosen } else { self.linear_ticks(most.min(4)) }
    }
}

/// Marks for an axis of ratios around 1: the finest of a few familiar series whose marks lie at
/// least `gap` pixels apart, so that 1 is always among them where it is on the axis.
pub(crate) fn ratio_ticks(scale: &Scale, gap: f64) -> Vec<f64> {
    const SERIES: [&[f64]; 7] = [
        &[0.96, 0.97, 0.98, 0.99, 1.0, 1.01, 1.02, 1.03, 1.04],
        &[0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15],
        &[0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.6],
        &[0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 2.5],
        &[0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0],
        &[0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0],
        &[0.001, 1.0, 1000.0],
    ];
    let covers = |series: &[f64]| {
        !scale.contains(series[0] / 1.1) && !scale.contains(series[series.len() - 1] * 1.1)
    };
    let apart =
        |ticks: &[f64]| ticks.windows(2).all(|pair| scale.at(pair[1]) - scale.at(pair[0]) >= gap);
    let on_axis = |series: &[f64]| -> Vec<f64> {
        series.iter().copied().filter(|tick| scale.contains(*tick)).collect()
    };
    let mut fitting = SERIES.into_iter().filter(|series| apart(&on_axis(series)));
    // Where the axis reaches beyond a series, a coarser one marks more of it, if there is one.
    fitting
        .clone()
        .find(|series| covers(series))
        .or_else(|| fitting.next_back())
        .map_or_else(|| vec![1.0], on_axis)
}

/// The smallest range that holds every finite value, `None` without any.
pub(crate) fn extent(values: impl Iterator<Item = f64>) -> Option<Range<f64>> {
    values.filter(|value| value.is_finite()).fold(None, |range, value| match range {
        None => Some(value..value),
        Some(Range { start, end }) => Some(start.min(value)..end.max(value)),
    })
}

#[allow(clippy::cast_possible_truncation, reason = "the logarithm of an f64 lies within ±324")]
fn exponent(value: f64) -> i32 {
    value.log10().floor() as i32
}

/// A count or an index as a coordinate.
#[allow(clippy::cast_precision_loss, reason = "counts of things drawn are far below 2^53")]
pub(crate) fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let linear = Scale::linear(0.0..9_300.0, 0.0..100.0);
        assert_eq!(linear.ticks(5), [0.0, 2_000.0, 4_000.0, 6_000.0, 8_000.0]);
        let decades = Scale::logarithmic(80.0..30_000.0, 0.0..100.0);
        assert_eq!(decades.ticks(4), [100.0, 1_000.0, 10_000.0]);
        let one = Scale::logarithmic(90.0..1_100.0, 0.0..100.0);
        assert_eq!(one.ticks(6), [100.0, 200.0, 500.0, 1_000.0]);
    }

    #[test]
    fn ratio_ticks_include_one_and_stay_apart_at_every_zoom() {
        for reach in [1.001, 1.02, 1.1, 1.5, 3.0, 20.0, 900.0, 1e9] {
            for domain in [1.0 / reach..reach, 0.99..reach * 1.1, 0.9 / reach..1.01] {
                let scale = Scale::logarithmic(domain.clone(), 0.0..250.0);
                let ticks = ratio_ticks(&scale, 36.0);
                assert!(ticks.contains(&1.0), "{domain:?}: {ticks:?}");
                for pair in ticks.windows(2) {
                    assert!(scale.at(pair[1]) - scale.at(pair[0]) >= 36.0, "{domain:?}: {ticks:?}");
                }
            }
        }
    }

    #[test]
    fn no_input_gives_a_pixel_off_the_axis() {
        let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1e308, f64::MIN_POSITIVE];
        for start in bad {
            for end in bad {
                for scale in [
                    Scale::linear(start..end, 10.0..20.0),
                    Scale::logarithmic(start..end, 10.0..20.0),
                ] {
                    assert!(scale.ticks(5).len() <= 6);
                    for value in bad {
                        assert!((10.0..=20.0).contains(&scale.at(value)), "{scale:?} {value}");
                    }
                }
            }
        }
    }

    #[test]
    fn extent_passes_over_what_is_no_number() {
        assert_eq!(extent([3.0, f64::NAN, 1.0].into_iter()), Some(1.0..3.0));
        assert_eq!(extent([f64::INFINITY].into_iter()), None);
    }
}
