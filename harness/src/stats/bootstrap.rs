//! Percentile bootstrap over blocks: how far a statistic would move if the same experiment had
//! drawn other blocks. Blocks are resampled, never single commits, because commits within one
//! trial share its luck (Efron and Tibshirani, "An Introduction to the Bootstrap", ch. 13).

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::store::schema::Estimate;

use super::{finite, median, quantile_of_sorted};

/// Fewest blocks that get an interval. One block has no spread and two only a range, so below
/// this every interval is `None` rather than a number that looks like knowledge.
///
/// Three to five blocks get one that is too narrow: no interval drawn from n values can cover
/// their median more often than `1 - 2^(1-n)` (75 % at 3, 94 % at 5, 97 % at 6).
pub(crate) const MIN_BLOCKS: usize = 3;

/// Ends of a 95 % interval.
const LOW_QUANTILE: f64 = 0.025;
const HIGH_QUANTILE: f64 = 0.975;

/// A seeded bootstrap: how often to resample and from which seed. The same seed and values give
/// the same interval on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bootstrap {
    /// Resamples drawn; 10,000 settle the ends to about the second digit, 100,000 to the third.
    pub resamples: u32,
    /// Seed of the resampling.
    pub seed: u64,
}

impl Bootstrap {
    /// A bootstrap for the many: thousands of configurations still take seconds.
    pub(crate) fn quick(seed: u64) -> Self {
        Self { resamples: 10_000, seed }
    }

    /// A bootstrap for the few numbers that decide.
    pub(crate) fn fine(seed: u64) -> Self {
        Self { resamples: 100_000, seed }
    }

    /// The median over blocks with its 95 % interval.
    pub(crate) fn median(&self, blocks: &[f64]) -> Option<Estimate> {
        self.estimate(blocks, middle)
    }

    /// Any statistic over blocks with its 95 % percentile interval. `statistic` may reorder the
    /// values it is given; it is called with as many as there are finite blocks.
    ///
    /// `None` below [`MIN_BLOCKS`] finite blocks, with 0 resamples, or when the statistic of the
    /// blocks themselves is not finite.
    pub(crate) fn estimate(
        &self,
        blocks: &[f64],
        statistic: impl Fn(&mut [f64]) -> f64,
    ) -> Option<Estimate> {
        let blocks = finite(blocks);
        if blocks.len() < MIN_BLOCKS {
            return None;
        }
        let value = statistic(&mut blocks.clone());
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let mut resample = vec![0.0; blocks.len()];
        self.interval(value, || {
            draw(&blocks, &mut resample, &mut rng);
            statistic(&mut resample)
        })
    }

    /// How far the median of `changed` lies above that of `baseline`, with its 95 % interval. The
    /// two are resampled apart: for blocks that were not measured in pairs.
    ///
    /// `None` where either has fewer than [`MIN_BLOCKS`] finite blocks.
    pub(crate) fn median_difference(&self, baseline: &[f64], changed: &[f64]) -> Option<Estimate> {
        let (baseline, changed) = (finite(baseline), finite(changed));
        if baseline.len().min(changed.len()) < MIN_BLOCKS {
            return None;
        }
        let value = median(&changed)? - median(&baseline)?;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let (mut before, mut after) = (vec![0.0; baseline.len()], vec![0.0; changed.len()]);
        self.interval(value, || {
            draw(&baseline, &mut before, &mut rng);
            draw(&changed, &mut after, &mut rng);
            middle(&mut after) - middle(&mut before)
        })
    }

    /// The value between the ends that 95 % of the outcomes of resampling lie within.
    fn interval(&self, value: f64, resampled: impl FnMut() -> f64) -> Option<Estimate> {
        let mut outcomes: Vec<f64> = std::iter::repeat_with(resampled)
            .take(self.resamples as usize)
            .filter(|outcome| outcome.is_finite())
            .collect();
        outcomes.sort_unstable_by(f64::total_cmp);
        Some(Estimate {
            value: value.is_finite().then_some(value)?,
            low: quantile_of_sorted(&outcomes, LOW_QUANTILE)?,
            high: quantile_of_sorted(&outcomes, HIGH_QUANTILE)?,
        })
    }
}

/// Fills `resample` with blocks drawn with replacement.
fn draw(blocks: &[f64], resample: &mut [f64], rng: &mut Xoshiro256PlusPlus) {
    for slot in resample {
        *slot = blocks[rng.random_range(0..blocks.len())];
    }
}

/// The median of a resample, whose order does not matter; never of none. By selection, because
/// it is asked for a hundred thousand times.
fn middle(resample: &mut [f64]) -> f64 {
    let upper_at = resample.len() / 2;
    let is_odd = resample.len() % 2 == 1;
    let (lower, upper, _) = resample.select_nth_unstable_by(upper_at, f64::total_cmp);
    if is_odd {
        return *upper;
    }
    let below = lower.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    below * 0.5 + *upper * 0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A seeded standard normal sample (Box-Muller).
    fn normal(rng: &mut Xoshiro256PlusPlus) -> f64 {
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
    }

    /// Share of 400 normal samples of `n` blocks whose interval holds the true centre, 100.
    fn coverage(n: usize, interval: impl Fn(&Bootstrap, &[f64]) -> Option<Estimate>) -> f64 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(20_260_101);
        let rounds = 400_u32;
        let held = (0..rounds)
            .filter(|round| {
                let blocks: Vec<f64> = (0..n).map(|_| 100.0 + 5.0 * normal(&mut rng)).collect();
                let bootstrap = Bootstrap { resamples: 1_000, seed: u64::from(*round) };
                let estimate = interval(&bootstrap, &blocks).unwrap();
                estimate.low <= 100.0 && 100.0 <= estimate.high
            })
            .count();
        held as f64 / f64::from(rounds)
    }

    fn mean(bootstrap: &Bootstrap, blocks: &[f64]) -> Option<Estimate> {
        let mean = |resample: &mut [f64]| resample.iter().sum::<f64>() / resample.len() as f64;
        bootstrap.estimate(blocks, mean)
    }

    #[test]
    fn intervals_of_nine_blocks_cover_about_as_often_as_they_claim() {
        let mean = coverage(9, mean);
        let median = coverage(9, Bootstrap::median);
        assert!((0.85..=0.99).contains(&mean), "mean {mean}");
        assert!((0.85..=0.99).contains(&median), "median {median}");
    }

    #[test]
    fn the_difference_of_two_unpaired_samples_covers_about_as_often_as_it_claims() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(20_260_102);
        let rounds = 400_u32;
        let held = (0..rounds)
            .filter(|round| {
                let mut blocks = |n: usize, centre: f64| -> Vec<f64> {
                    (0..n).map(|_| centre + 5.0 * normal(&mut rng)).collect()
                };
                let (before, after) = (blocks(9, 100.0), blocks(12, 103.0));
                let bootstrap = Bootstrap { resamples: 1_000, seed: u64::from(*round) };
                let found = bootstrap.median_difference(&before, &after).unwrap();
                found.low <= 3.0 && 3.0 <= found.high
            })
            .count();
        let coverage = held as f64 / f64::from(rounds);
        assert!((0.88..=0.99).contains(&coverage), "{coverage}");
        assert_eq!(Bootstrap::quick(1).median_difference(&[1.0; 2], &[1.0; 9]), None);
        let equal = Bootstrap::quick(1).median_difference(&[1.0; 3], &[3.0; 4]).unwrap();
        assert_eq!((equal.low, equal.value, equal.high), (2.0, 2.0, 2.0));
    }

    #[test]
    fn three_blocks_cover_less_than_they_claim_as_documented() {
        let median = coverage(3, Bootstrap::median);
        assert!((0.65..=0.80).contains(&median), "{median}");
    }

    #[test]
    fn fewer_than_three_blocks_get_no_interval() {
        let bootstrap = Bootstrap::quick(1);
        for blocks in [&[][..], &[1.0], &[1.0, 2.0], &[1.0, 2.0, f64::NAN]] {
            assert_eq!(bootstrap.median(blocks), None);
            assert_eq!(mean(&bootstrap, blocks), None);
        }
        assert!(bootstrap.median(&[1.0, 2.0, 3.0]).is_some());
    }

    #[test]
    fn hostile_input_gives_none_not_a_panic() {
        let no_resamples = Bootstrap { resamples: 0, seed: 1 };
        assert_eq!(no_resamples.median(&[1.0, 2.0, 3.0]), None);
        let bootstrap = Bootstrap::quick(1);
        assert_eq!(bootstrap.estimate(&[1.0, 2.0, 3.0], |_| f64::NAN), None);
        assert_eq!(mean(&bootstrap, &[f64::MAX, f64::MAX, f64::MAX]), None);
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let blocks = [3.0, 1.0, 4.0, 1.5, 5.0, 9.0];
        let first = mean(&Bootstrap::quick(7), &blocks).unwrap();
        assert_eq!(mean(&Bootstrap::quick(7), &blocks), Some(first));
        // Few resamples, so that the seed shows in the ends at all.
        let rough = |seed| Bootstrap { resamples: 50, seed };
        assert_ne!(mean(&rough(7), &blocks), mean(&rough(8), &blocks));
        assert!(first.low < first.value && first.value < first.high);
    }

    #[test]
    fn the_selected_middle_is_the_median() {
        for n in 1..12 {
            let mut values: Vec<f64> = (0..n).map(|i| f64::from(i * 7 % 12)).collect();
            assert_eq!(Some(middle(&mut values.clone())), median(&values));
            values.reverse();
            assert_eq!(Some(middle(&mut values.clone())), median(&values));
        }
    }

    #[test]
    fn equal_blocks_have_a_point_for_an_interval() {
        let estimate = Bootstrap::quick(1).median(&[2.0; 6]).unwrap();
        assert_eq!((estimate.low, estimate.value, estimate.high), (2.0, 2.0, 2.0));
    }
}
