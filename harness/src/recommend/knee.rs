//! Where a little more rate begins to cost much latency.
//!
//! The bend is the point of the rate-latency front that lies farthest below the line between its
//! ends: V. Satopää, J. Albrecht, D. Irwin and B. Raghavan, "Finding a 'Kneedle' in a Haystack:
//! Detecting Knee Points in System Behavior", ICDCS Workshops (2011), section III, without their
//! smoothing, since the points are few. Both axes are logarithms: halving and doubling are as far.

use super::measures::{Candidate, Merit, Yardstick};

/// Latency has to fall by this power of the rate given up. In a queue with one server latency goes
/// as 1/(1-u) with its utilisation u, which is this steep at u = 0.75: M/M/1, L. Kleinrock,
/// "Queueing Systems" I (1975), section 3.2. `capacity` advises to stay below 70 %.
const STEEP_POWER: f64 = 3.0;

/// "A little less": no more of the fastest one's rate is given up than this.
const LITTLE_LESS_RATE: f64 = 0.20;

/// The bend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bend {
    /// Positions among the candidates.
    pub knee: usize,
    pub fastest: usize,
    /// The knee's numbers by those of the fastest.
    pub rate_ratio: f64,
    pub p99_ratio: f64,
    /// Whether what lies behind it is steep enough to step back.
    pub steep: bool,
}

/// The bend of those that are on the front; `None` where it has none.
pub(crate) fn bend(
    candidates: &[Candidate],
    on_front: &[bool],
    yardstick: &Yardstick,
) -> Option<Bend> {
    let curve = curve(candidates, on_front);
    let (fastest, slowest) = (*curve.first()?, *curve.last()?);
    let log = |point: Point| (point.rate.ln(), point.p99_us.ln());
    let (low, high) = (log(slowest), log(fastest));
    let below = |point: Point| {
        let (rate, p99) = log(point);
        (rate - low.0) / (high.0 - low.0) - (p99 - low.1) / (high.1 - low.1)
    };
    let knee = match curve.as_slice() {
        // Of two points the slower one is the only one to step back to.
        [_, other] => *other,
        [_, inner @ .., _] => {
            let farthest = inner.iter().max_by(|a, b| below(**a).total_cmp(&below(**b)))?;
            Some(*farthest).filter(|point| below(*point) > 0.0)?
        }
        _ => return None,
    };
    let (rate_ratio, p99_ratio) = (knee.rate / fastest.rate, knee.p99_us / fastest.p99_us);
    let (one, other) = (&candidates[knee.candidate], &candidates[fastest.candidate]);
    let steep = rate_ratio >= 1.0 - LITTLE_LESS_RATE
        && p99_ratio <= rate_ratio.powf(STEEP_POWER)
        && yardstick.is_clearly_better(Merit::P99, one, other);
    Some(Bend { knee: knee.candidate, fastest: fastest.candidate, rate_ratio, p99_ratio, steep })
}

#[derive(Clone, Copy)]
struct Point {
    candidate: usize,
    rate: f64,
    p99_us: f64,
}

/// From the fastest to the one of lowest latency: each slower one has a lower p99.
fn curve(candidates: &[Candidate], on_front: &[bool]) -> Vec<Point> {
    let mut points: Vec<Point> = candidates
        .iter()
        .enumerate()
        .filter(|(candidate, _)| on_front[*candidate])
        .filter_map(|(candidate, found)| {
            let p99 = found.p99_us.filter(|p99| !p99.pooled)?;
            let (rate, p99_us) = (found.rate.estimate.value, p99.estimate.value);
            (rate > 0.0 && p99_us > 0.0).then_some(Point { candidate, rate, p99_us })
        })
        .collect();
    points.sort_by(|a, b| b.rate.total_cmp(&a.rate).then(a.p99_us.total_cmp(&b.p99_us)));
    let mut curve: Vec<Point> = Vec::new();
    for point in points {
        if curve.last().is_none_or(|last| point.p99_us < last.p99_us && point.rate < last.rate) {
            curve.push(point);
        }
    }
    curve
}

#[cfg(test)]
mod tests {
    use super::super::measures::Measure;
    use super::super::noise::Noise;
    use super::*;
    use crate::store::schema::Estimate;

    /// Rates and p99, each known to 1 %.
    fn candidates(points: &[(f64, f64)]) -> Vec<Candidate> {
        let measure = |value: f64| Measure {
            estimate: Estimate { value, low: value * 0.99, high: value * 1.01 },
            known: true,
            pooled: false,
        };
        let candidate = |(config, (rate, p99_us)): (usize, &(f64, f64))| Candidate {
            config,
            rate: measure(*rate),
            p99_us: Some(measure(*p99_us)),
            p999_us: None,
            device_bytes_per_payload_byte: None,
            cpu_us_per_commit: None,
            memory_bytes: 0,
        };
        points.iter().enumerate().map(candidate).collect()
    }

    fn bend_of(points: &[(f64, f64)]) -> Option<Bend> {
        let candidates = candidates(points);
        let yardstick = Yardstick::new(&Noise::default());
        bend(&candidates, &vec![true; points.len()], &yardstick)
    }

    /// 1/(1-u) at u of 0.5, 0.7, 0.8, 0.9, 0.95: Kneedle's own kind of curve.
    #[test]
    fn the_bend_is_where_the_curve_is_farthest_below_its_chord() {
        let curve = [(500.0, 2.0), (700.0, 3.33), (800.0, 5.0), (900.0, 10.0), (950.0, 20.0)];
        let found = bend_of(&curve).expect("a bend");
        assert_eq!((found.knee, found.fastest), (2, 4), "{found:?}");
        assert!(found.steep && found.rate_ratio > 0.84 && found.p99_ratio == 0.25, "{found:?}");
    }

    #[test]
    fn a_gentle_slope_a_long_way_back_and_a_difference_in_doubt_are_no_reason_to_step_back() {
        for (what, points) in [
            ("gentle", [(1000.0, 10.0), (850.0, 8.0)]),
            ("a long way back", [(1000.0, 10.0), (700.0, 1.0)]),
            ("in doubt", [(1000.0, 10.0), (995.0, 9.85)]),
        ] {
            let found = bend_of(&points).expect("two points");
            assert!(!found.steep, "{what}: {found:?}");
        }
        assert!(bend_of(&[(1000.0, 10.0), (850.0, 3.0)]).expect("two points").steep);
    }

    #[test]
    fn a_line_a_hollow_the_other_way_and_a_single_point_have_no_bend() {
        assert_eq!(bend_of(&[(1000.0, 10.0)]), None);
        assert_eq!(bend_of(&[]), None);
        // Faster and of lower latency: one point of the front, whatever else was measured.
        assert_eq!(bend_of(&[(1000.0, 10.0), (900.0, 11.0), (800.0, 12.0)]), None);
        assert_eq!(bend_of(&[(1000.0, 10.0), (900.0, 9.9), (500.0, 1.0)]), None);
    }
}
