//! When records arrive, whatever the log does: the schedule of an open loop, in nanoseconds since
//! the load began. It follows from the seed alone.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rand_core::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::load::{RecordShape, Trace};

const NS_PER_SECOND: f64 = 1e9;

/// Keeps the schedule apart from payloads of the same seed.
const SCHEDULE_SALT: u64 = 0x5cfe_d01e_0a11_1aa5;

/// The moments at which records are due, ascending, without an end.
#[derive(Clone, Debug)]
pub(super) enum Arrivals {
    /// Independent of each other: gaps from an exponential distribution.
    Poisson { random: Xoshiro256PlusPlus, mean_gap_ns: f64, at_ns: f64 },
    /// As recorded, faster or slower as a whole, and from the start again behind the end.
    Recorded { trace: Arc<Trace>, ns_per_us: f64, sequence: u64 },
}

impl Arrivals {
    /// Arrivals of records of such a shape, `rate_per_second` of them on average. A trace keeps its
    /// pattern: its time is stretched.
    pub(super) fn new(shape: &RecordShape, rate_per_second: f64, seed: u64) -> Self {
        match &shape.trace {
            Some(trace) => Self::Recorded {
                trace: Arc::clone(trace),
                ns_per_us: 1e3 * trace.rate_per_second() / rate_per_second,
                sequence: 0,
            },
            None => Self::Poisson {
                random: Xoshiro256PlusPlus::seed_from_u64(seed ^ SCHEDULE_SALT),
                mean_gap_ns: NS_PER_SECOND / rate_per_second,
                at_ns: 0.0,
            },
        }
    }
}

impl Iterator for Arrivals {
    type Item = u64;

    #[allow(
        clippy::cast_possible_truncation,
        reason = "a moment is positive, and a float-to-integer cast saturates"
    )]
    fn next(&mut self) -> Option<u64> {
        let moment_ns = match self {
            Self::Poisson { random, mean_gap_ns, at_ns } => {
                // In (0, 1]: 0 has no logarithm.
                let uniform = ((random.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
                *at_ns -= uniform.ln() * *mean_gap_ns;
                *at_ns
            }
            Self::Recorded { trace, ns_per_us, sequence } => {
                let round = *sequence / trace.len() as u64;
                let arrival_us = trace.record(*sequence).arrival_us as f64;
                *sequence += 1;
                (round as f64 * trace.period_us() + arrival_us) * *ns_per_us
            }
        };
        Some(moment_ns as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poisson(rate_per_second: f64, seed: u64) -> Arrivals {
        Arrivals::new(&RecordShape::fixed(1), rate_per_second, seed)
    }

    #[test]
    fn the_seed_repeats_a_schedule_and_another_makes_another() {
        let first_ten = |seed| poisson(5_000.0, seed).take(10).collect::<Vec<u64>>();
        assert_eq!(first_ten(1), first_ten(1));
        assert_ne!(first_ten(1), first_ten(2));
    }

    #[test]
    fn gaps_are_exponential_with_the_mean_of_the_rate() {
        const COUNT: usize = 200_000;
        let moments: Vec<u64> = poisson(4_000.0, 3).take(COUNT).collect();
        let gaps: Vec<f64> = moments.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        assert!((mean / 250_000.0 - 1.0).abs() < 0.01, "{mean}");
        // Of an exponential distribution 1 - 1/e are below the mean, and the deviation is the mean.
        let below = gaps.iter().filter(|gap| **gap < mean).count() as f64 / gaps.len() as f64;
        assert!((below - (1.0 - (-1.0_f64).exp())).abs() < 0.005, "{below}");
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "{variance}");
    }

    #[test]
    fn a_trace_keeps_its_pattern_at_any_rate() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("trace.csv");
        // A burst of three, and a lull: 4 records in 4,000 µs.
        std::fs::write(&path, "0,1\n10,1\n20,1\n3000,1\n").expect("a trace");
        let trace = Some(Arc::new(Trace::load(&path).expect("a trace")));
        let shape = RecordShape { trace, ..RecordShape::fixed(0) };
        let at = |rate| Arrivals::new(&shape, rate, 0).take(6).collect::<Vec<u64>>();
        assert_eq!(at(1_000.0), [0, 10_000, 20_000, 3_000_000, 4_000_000, 4_010_000]);
        assert_eq!(at(2_000.0), [0, 5_000, 10_000, 1_500_000, 2_000_000, 2_005_000]);
    }
}
