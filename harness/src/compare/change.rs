//! One number of two measurements: its change with an interval, and how likely chance alone would
//! give as much. All on logarithms, so that halving and doubling are equally large.

use jiff::Timestamp;

use crate::stats::{Bootstrap, holm, mann_whitney_p, signed_rank_p};
use crate::store::measured::Block;
use crate::store::schema::Estimate;

/// Largest adjusted p of a change that is no chance.
const P_MAX: f64 = 0.05;

/// Changes under this are not worth an alarm, however surely they are measured.
const SMALLEST_CHANGE_RATIO: f64 = 0.01;

/// The regression that a gate is there to find: a comparison that cannot exclude one of this size
/// has not passed.
pub(super) const LOOKED_FOR_RATIO: f64 = 0.05;

/// A change as measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Change {
    /// NEW by BASE, with its 95 % interval.
    pub(super) ratio: Estimate,
    /// Chance of a change as large as this between equal builds.
    pub(super) p: f64,
}

/// Whether the blocks of both were measured in turns, one of each at a time in either order, so
/// that what slowed the machine for a while slowed both.
pub(super) fn in_turns(base: &[Block<'_>], new: &[Block<'_>]) -> bool {
    let began = |blocks: &[Block<'_>]| -> Option<Vec<Timestamp>> {
        blocks.iter().map(|block| block.began).collect()
    };
    let (Some(base), Some(new)) = (began(base), began(new)) else { return false };
    let turns: Vec<[Timestamp; 2]> =
        base.iter().zip(&new).map(|(a, b)| [*a.min(b), *a.max(b)]).collect();
    base.len() == new.len() && turns.windows(2).all(|pair| pair[0][1] < pair[1][0])
}

/// The change between the logarithms of one number, a value for each block. `None` with fewer than
/// three blocks on a side.
pub(super) fn change(
    base: &[f64],
    new: &[f64],
    in_turns: bool,
    bootstrap: &Bootstrap,
) -> Option<Change> {
    let (difference, p) = if in_turns {
        let differences: Vec<f64> = base.iter().zip(new).map(|(base, new)| new - base).collect();
        (bootstrap.median(&differences)?, signed_rank_p(&differences))
    } else {
        (bootstrap.median_difference(base, new)?, mann_whitney_p(base, new))
    };
    let Estimate { value, low, high } = difference;
    let ratio = Estimate { value: value.exp(), low: low.exp(), high: high.exp() };
    // Blocks that are all equal have no ranks, and no change.
    Some(Change { ratio, p: p.unwrap_or(1.0) })
}

/// What a change is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Finding {
    /// For the worse, and no chance: suspected, until a rerun shows it again.
    Worse,
    /// For the better, and no chance.
    Better,
    /// Not worse by as much as is looked for.
    NotWorse,
    /// The interval holds both no change and a regression: nobody can tell.
    Unclear,
}

/// The smallest change that counts, as a ratio minus 1.
pub(super) fn threshold_ratio(noise_floor_ratio: Option<f64>) -> f64 {
    noise_floor_ratio.unwrap_or(0.0).max(SMALLEST_CHANGE_RATIO)
}

/// Judges a change. `is_worse` says which way is for the worse; `p` is adjusted already.
pub(super) fn finding(
    ratio: &Estimate,
    p: f64,
    threshold_ratio: f64,
    is_worse: impl Fn(f64) -> bool,
) -> Finding {
    // Read as "times more" in whichever direction.
    let size = |ratio: f64| ratio.max(1.0 / ratio) - 1.0;
    let excludes_1 = ratio.low > 1.0 || ratio.high < 1.0;
    if excludes_1 && size(ratio.value) > threshold_ratio && p < P_MAX {
        return if is_worse(ratio.value) { Finding::Worse } else { Finding::Better };
    }
    let ends = [ratio.low, ratio.high];
    let regression_excluded = ends
        .iter()
        .all(|end| !is_worse(*end) || size(*end) < LOOKED_FOR_RATIO.max(threshold_ratio));
    if regression_excluded { Finding::NotWorse } else { Finding::Unclear }
}

/// p-values adjusted for how many of them there are, in their order.
pub(super) fn adjusted(changes: &[Change]) -> Vec<f64> {
    holm(&changes.iter().map(|change| change.p).collect::<Vec<f64>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(low: f64, value: f64, high: f64) -> Estimate {
        Estimate { value, low, high }
    }

    #[test]
    fn a_regression_needs_interval_size_and_certainty() {
        let slower = |rate: f64| rate < 1.0;
        let judged = |ratio, p, threshold| finding(&ratio, p, threshold, slower);
        let five_percent = ratio(0.93, 0.95, 0.97);
        assert_eq!(judged(five_percent, 0.01, 0.02), Finding::Worse);
        // Each alone is missing.
        assert_eq!(judged(five_percent, 0.06, 0.02), Finding::Unclear);
        assert_eq!(judged(five_percent, 0.01, 0.08), Finding::NotWorse);
        assert_eq!(judged(ratio(0.90, 0.95, 1.01), 0.01, 0.02), Finding::Unclear);
        assert_eq!(judged(ratio(1.03, 1.05, 1.07), 0.01, 0.02), Finding::Better);
        assert_eq!(judged(ratio(0.99, 1.0, 1.01), 0.9, 0.02), Finding::NotWorse);
        // A wide interval towards the better does no harm.
        assert_eq!(judged(ratio(0.98, 1.1, 1.3), 0.2, 0.02), Finding::NotWorse);
    }

    #[test]
    fn changes_are_those_of_the_blocks() {
        let base: Vec<f64> = (0..9).map(|block| 7.0 + f64::from(block) * 0.3).collect();
        let new: Vec<f64> = base.iter().map(|value| value + 0.95_f64.ln()).collect();
        let bootstrap = Bootstrap::quick(1);
        // In turns, the machine's drift from block to block cancels.
        let paired = change(&base, &new, true, &bootstrap).expect("nine blocks");
        assert!(
            (paired.ratio.value - 0.95).abs() < 1e-9 && paired.ratio.high < 0.951,
            "{paired:?}"
        );
        assert!(paired.p < 0.004, "{paired:?}");
        let apart = change(&base, &new, false, &bootstrap).expect("nine blocks");
        assert!((apart.ratio.value - 0.95).abs() < 1e-9 && apart.ratio.high > 1.0, "{apart:?}");
        assert!(apart.p > 0.5, "{apart:?}");
        assert_eq!(change(&base[..2], &new[..2], true, &bootstrap), None);
        let same = change(&base, &base, true, &bootstrap).expect("nine blocks");
        assert_eq!((same.ratio.value, same.p), (1.0, 1.0));
    }

    #[test]
    fn turns_are_told_from_two_nights() {
        let block = |seconds: i64| Block {
            began: Timestamp::from_second(1_700_000_000 + seconds).ok(),
            trials: Vec::new(),
        };
        let blocks = |seconds: &[i64]| seconds.iter().map(|s| block(*s)).collect::<Vec<_>>();
        let base = blocks(&[0, 30, 40]);
        assert!(in_turns(&base, &blocks(&[10, 20, 50])), "in either order");
        assert!(!in_turns(&base, &blocks(&[100, 130, 140])), "one after the other");
        assert!(!in_turns(&base, &blocks(&[10, 20])), "not as many");
        assert!(!in_turns(&base, &[block(10), block(20), Block { began: None, ..block(0) }]));
    }
}
