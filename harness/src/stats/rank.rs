//! Rank tests: whether two samples differ, whatever the shape of their noise. Latencies and rates
//! are skewed and have outliers, and a rank test asks only which value is the larger one.
//!
//! Small samples are tested exactly: the distribution of the statistic under "no difference" is
//! counted out over all assignments of the ranks that were seen, ties included. For large ones that
//! distribution is normal, with the variance of the same ranks.
//!
//! Sources: F. Wilcoxon, "Individual Comparisons by Ranking Methods", Biometrics Bulletin 1 (1945);
//! H. B. Mann and D. R. Whitney, "On a Test of Whether one of Two Random Variables is
//! Stochastically Larger than the Other", Annals of Mathematical Statistics 18 (1947); ties and the
//! conditional distribution as in M. Hollander and D. A. Wolfe, "Nonparametric Statistical
//! Methods", 2nd ed. (1999), sections 3.1 and 4.1.

use super::finite;

/// Values beyond which the normal distribution is used; its p is then within 0.005 of the exact one,
/// and where it matters on the cautious side.
const MANY: usize = 50;

/// Two-sided p of the Wilcoxon signed-rank test that paired differences have no tendency to one
/// side. Differences of exactly 0 are left out, as Wilcoxon did; `None` when none is left.
///
/// With n differences p cannot fall below `2^(1-n)`: 0.0039 at nine.
pub(crate) fn signed_rank_p(differences: &[f64]) -> Option<f64> {
    let differences: Vec<f64> =
        finite(differences).into_iter().filter(|difference| *difference != 0.0).collect();
    if differences.is_empty() {
        return None;
    }
    let sizes: Vec<f64> = differences.iter().map(|difference| difference.abs()).collect();
    let ranks = doubled_midranks(&sizes);
    let observed: usize = (ranks.iter().zip(&differences))
        .filter(|(_, difference)| **difference > 0.0)
        .map(|(rank, _)| rank)
        .sum();
    let p = if ranks.len() > MANY { signed_rank_normal } else { signed_rank_exact };
    Some(p(&ranks, observed))
}

fn signed_rank_exact(ranks: &[usize], observed: usize) -> f64 {
    // Share of the sign assignments by the sum of their positive ranks: each rank is in or out.
    let total: usize = ranks.iter().sum();
    let mut shares = vec![0.0; total + 1];
    shares[0] = 1.0;
    for rank in ranks {
        for sum in (0..=total).rev() {
            let with = sum.checked_sub(*rank).map_or(0.0, |before| shares[before]);
            shares[sum] = (shares[sum] + with) / 2.0;
        }
    }
    two_sided(&shares, observed)
}

fn signed_rank_normal(ranks: &[usize], observed: usize) -> f64 {
    let mean = ranks.iter().sum::<usize>() as f64 / 2.0;
    let squares: f64 = ranks.iter().map(|rank| (*rank as f64).powi(2)).sum();
    two_sided_normal(observed, mean, squares / 4.0)
}

/// Two-sided p of the Mann–Whitney test that neither of two independent samples tends to larger
/// values; `None` when one of them holds no finite value.
///
/// With nine and nine values p cannot fall below 0.00004, with six and six not below 0.002.
pub(crate) fn mann_whitney_p(first: &[f64], second: &[f64]) -> Option<f64> {
    let (first, second) = (finite(first), finite(second));
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let together: Vec<f64> = first.iter().chain(&second).copied().collect();
    let ranks = doubled_midranks(&together);
    let p = if ranks.len() > MANY { mann_whitney_normal } else { mann_whitney_exact };
    Some(p(&ranks, first.len()))
}

/// Of the ranks of both samples, the first `chosen` are those of the first one.
fn mann_whitney_exact(ranks: &[usize], chosen: usize) -> f64 {
    let observed = ranks[..chosen].iter().sum();
    // Numbers of ways to choose so many of the ranks with such a sum.
    let total: usize = ranks.iter().sum();
    let mut ways = vec![vec![0.0; total + 1]; chosen + 1];
    ways[0][0] = 1.0;
    for rank in ranks {
        for count in (1..=chosen).rev() {
            for sum in (*rank..=total).rev() {
                ways[count][sum] += ways[count - 1][sum - rank];
            }
        }
    }
    let all: f64 = ways[chosen].iter().sum();
    let shares: Vec<f64> = ways[chosen].iter().map(|ways| ways / all).collect();
    two_sided(&shares, observed)
}

fn mann_whitney_normal(ranks: &[usize], chosen: usize) -> f64 {
    let observed = ranks[..chosen].iter().sum();
    let (chosen, all) = (chosen as f64, ranks.len() as f64);
    let mean = ranks.iter().sum::<usize>() as f64 / all;
    let spread: f64 = ranks.iter().map(|rank| (*rank as f64 - mean).powi(2)).sum();
    let variance = chosen * (all - chosen) / (all * (all - 1.0)) * spread;
    two_sided_normal(observed, chosen * mean, variance)
}

/// p-values adjusted for having asked several questions, in the order given: the chance of one or
/// more false answers among all of them stays under whatever a single adjusted p is held against.
///
/// S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
/// Statistics 6 (1979).
pub(crate) fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut largest_so_far: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        let questions_left = (p_values.len() - rank) as f64;
        largest_so_far = largest_so_far.max((p_values[index] * questions_left).min(1.0));
        adjusted[index] = largest_so_far;
    }
    adjusted
}

/// Twice the smaller tail, the observed value included in both.
fn two_sided(shares: &[f64], observed: usize) -> f64 {
    let below: f64 = shares[..=observed].iter().sum();
    let above: f64 = shares[observed..].iter().sum();
    (2.0 * below.min(above)).min(1.0)
}

/// Twice the normal tail beyond the observed sum of doubled ranks, with the continuity correction:
/// neighbouring sums are two apart.
fn two_sided_normal(observed: usize, mean: f64, variance: f64) -> f64 {
    let away = ((observed as f64 - mean).abs() - 1.0).max(0.0);
    if away == 0.0 {
        return 1.0;
    }
    libm::erfc(away / variance.sqrt() / std::f64::consts::SQRT_2).min(1.0)
}

/// Twice the rank of each value from 1; equal values share the mean of their ranks, and doubling
/// makes that a whole number.
fn doubled_midranks(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0; values.len()];
    let mut from = 0;
    while from < order.len() {
        let ties =
            order[from..].iter().take_while(|index| values[**index] == values[order[from]]).count();
        for index in &order[from..from + ties] {
            // Ranks from + 1 to from + ties; twice their mean.
            ranks[*index] = 2 * from + ties + 1;
        }
        from += ties;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::seq::SliceRandom;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    fn near(found: Option<f64>, expected: f64) {
        let found = found.expect("a p-value");
        assert!((found - expected).abs() < 5e-5, "{found} is not {expected}");
    }

    /// Hollander and Wolfe, example 3.1 (depression scale factors), as in R's `wilcox.test`:
    /// V = 40, one-sided p 0.01953.
    #[test]
    #[allow(clippy::approx_constant, reason = "measured, not pi")]
    fn the_signed_rank_test_gives_the_published_value() {
        let before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30];
        let after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29];
        let differences: Vec<f64> = before.iter().zip(after).map(|(b, a)| b - a).collect();
        near(signed_rank_p(&differences), 2.0 * 0.019_53);
    }

    /// Hollander and Wolfe, example 4.1 (permeability), as in R's `wilcox.test`: W = 35, one-sided
    /// p 0.1272.
    #[test]
    fn the_mann_whitney_test_gives_the_published_value() {
        let at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
        let early = [1.15, 0.88, 0.90, 0.74, 1.21];
        near(mann_whitney_p(&at_term, &early), 0.254_4);
        near(mann_whitney_p(&early, &at_term), 0.254_4);
    }

    /// Critical values of the published tables at 5 %, two-sided: T = 5 at nine pairs, U = 17 at
    /// nine against nine.
    #[test]
    fn the_critical_values_are_those_of_the_tables() {
        let with_negative_ranks = |negative: &[u32]| {
            let signed = (1..=9_u32).map(|rank| {
                let size = f64::from(rank);
                if negative.contains(&rank) { -size } else { size }
            });
            signed_rank_p(&signed.collect::<Vec<f64>>()).expect("a p-value")
        };
        assert!(with_negative_ranks(&[5]) < 0.05 && with_negative_ranks(&[6]) > 0.05);
        near(Some(with_negative_ranks(&[])), 2.0 / 512.0);
        // U counts how many of the higher nine each of the lower nine exceeds.
        let high: Vec<f64> = (0..9).map(f64::from).collect();
        let with_u = |exceeded: [u32; 2]| {
            let below = (1..=7).map(|value| -f64::from(value));
            // Half a step below the next one, and not both in one place.
            let at = |which: usize| f64::from(exceeded[which]) - 0.5 - which as f64 * 0.1;
            let low: Vec<f64> = below.chain([at(0), at(1)]).collect();
            mann_whitney_p(&low, &high).expect("a p-value")
        };
        near(Some(with_u([0, 0])), 2.0 / 48_620.0);
        assert!(with_u([8, 9]) < 0.05 && with_u([9, 9]) > 0.05);
    }

    /// By counting: with the values 1, 1, 2 | 2, 3, 3 the first sample's rank sum is the smallest
    /// of the 20 choices' sums in 2 of them (either of the two equal values 2).
    #[test]
    fn ties_share_their_ranks() {
        assert_eq!(doubled_midranks(&[2.0, 1.0, 2.0, 3.0]), [5, 2, 5, 8]);
        near(mann_whitney_p(&[1.0, 1.0, 2.0], &[2.0, 3.0, 3.0]), 2.0 * 2.0 / 20.0);
        near(mann_whitney_p(&[1.0, 1.0], &[1.0, 1.0]), 1.0);
        near(signed_rank_p(&[1.0, 1.0, 1.0]), 2.0 / 8.0);
    }

    #[test]
    fn where_the_normal_distribution_takes_over_it_gives_the_exact_answer() {
        let ranks: Vec<usize> = (1..=MANY).map(|rank| 2 * rank).collect();
        let total: usize = ranks.iter().sum();
        let mut compared = 0;
        for observed in (0..=total).step_by(10) {
            let (exact, normal) =
                (signed_rank_exact(&ranks, observed), signed_rank_normal(&ranks, observed));
            assert!((exact - normal).abs() < 5e-3, "{observed}: {exact} {normal}");
            assert!(exact > 0.01 || exact <= normal, "{observed}: {exact} {normal}");
            compared += usize::from(exact < 0.05);
        }
        assert!(compared > 100, "{compared}");
        // Any half of the ranks against the other one.
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        for _ in 0..40 {
            let mut halves = ranks.clone();
            halves.shuffle(&mut rng);
            let (exact, normal) =
                (mann_whitney_exact(&halves, 25), mann_whitney_normal(&halves, 25));
            assert!((exact - normal).abs() < 5e-3, "{exact} {normal}");
        }
        let equal = vec![51; 50];
        assert_eq!(mann_whitney_normal(&equal, 25), 1.0);
    }

    #[test]
    fn without_values_there_is_no_answer() {
        assert_eq!(signed_rank_p(&[]), None);
        assert_eq!(signed_rank_p(&[0.0, f64::NAN]), None);
        assert_eq!(mann_whitney_p(&[], &[1.0]), None);
        assert_eq!(mann_whitney_p(&[1.0], &[f64::INFINITY]), None);
    }

    /// The example of R's `p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm")`, and out of order.
    #[test]
    fn holm_gives_the_published_value() {
        let adjusted = holm(&[0.04, 0.01, 0.03, 0.02]);
        for (found, expected) in adjusted.iter().zip([0.06, 0.04, 0.06, 0.06]) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert_eq!(holm(&[]), [0.0; 0]);
    }
}
