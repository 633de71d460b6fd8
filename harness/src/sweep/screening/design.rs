//! Which combinations a screening runs: a regular two-level fraction of resolution IV, so that the
//! effect of an axis is mixed up with that of no other axis, and with that of no pair of axes
//! (NIST/SEMATECH e-Handbook of Statistical Methods, 5.3.3.4, "Fractional factorial designs").
//!
//! The rule: as many runs as the smallest power of two that is at least twice the number of
//! columns, and at least 8. Run r has, in the column of vector v, the parity of r & v; all vectors
//! have the top bit set, so that no three of them add up to nothing, which is what resolution IV
//! asks for. An axis takes one column. One whose levels are kinds of things, three or four of them,
//! takes two, whose four combinations are its levels, the first one twice where there are three
//! (5.3.3.10, "Three-level, mixed-level and fractional factorial designs"). Of other axes the first
//! and the last level are run.

use crate::profile::{Levels, SettingKey};
use crate::store::schema::Axis;

/// Fewest runs; up to three columns are varied in full in them.
const RUNS_MIN: usize = 8;

/// Fewest where two axes take two columns each: those four have to be independent.
const RUNS_MIN_OF_KINDS: usize = 16;

/// Levels that two columns can tell apart.
const KINDS_MAX: usize = 4;

/// The combinations of a screening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Design {
    /// For each run, the level of each axis. The first run has every axis at its first level.
    pub(super) runs: Vec<Levels>,
    /// Columns in use.
    pub(super) columns: usize,
}

impl Design {
    /// The fraction for these axes.
    pub(super) fn of(axes: &[Axis]) -> Self {
        let widths: Vec<usize> = axes.iter().map(columns_of).collect();
        let columns: usize = widths.iter().sum();
        let wide = widths.iter().filter(|width| **width > 1).count();
        let least = if wide > 1 { RUNS_MIN_OF_KINDS } else { RUNS_MIN };
        let count = (2 * columns).next_power_of_two().max(least);
        // Axes of two columns first: the first vectors are independent, so that their four
        // combinations meet every combination of any other axis equally often.
        let mut order: Vec<usize> = (0..axes.len()).collect();
        order.sort_by_key(|axis| std::cmp::Reverse(widths[*axis]));
        let mut vectors = vectors(count).into_iter();
        let mut vectors_of = vec![Vec::new(); axes.len()];
        for axis in order {
            vectors_of[axis] = vectors.by_ref().take(widths[axis]).collect();
        }
        let run = |run: usize| {
            let levels = axes.iter().zip(&vectors_of);
            levels.map(|(axis, vectors)| level(axis, vectors, run)).collect()
        };
        Self { runs: (0..count).map(run).collect(), columns }
    }

    /// For people.
    pub(super) fn sentence(&self) -> String {
        format!(
            "A two-level fractional factorial design of resolution IV: {} runs for {} columns, so \
             that the effect of a setting is not mistaken for that of another one or of a pair.",
            self.runs.len(),
            self.columns
        )
    }
}

/// Levels of an axis that a screening compares, the first one first.
pub(super) fn compared_levels(axis: &Axis) -> Levels {
    let count = axis.levels.len();
    match columns_of(axis) {
        0 => vec![0],
        1 => vec![0, count - 1],
        _ => (0..count.min(KINDS_MAX)).collect(),
    }
}

fn columns_of(axis: &Axis) -> usize {
    let is_kind = SettingKey::from_name(&axis.name).is_some_and(SettingKey::is_kind);
    match axis.levels.len() {
        0 | 1 => 0,
        3.. if is_kind => 2,
        _ => 1,
    }
}

/// The columns' vectors for so many runs: all with the top bit, and first those that are
/// independent of each other.
fn vectors(runs: usize) -> Vec<usize> {
    let top = runs / 2;
    let mut rest: Vec<usize> = (0..top).collect();
    rest.sort_by_key(|rest| rest.count_ones() > 1);
    rest.into_iter().map(|rest| top | rest).collect()
}

fn level(axis: &Axis, vectors: &[usize], run: usize) -> usize {
    let sign = |vector: &usize| (run & vector).count_ones() % 2 == 1;
    let signs: Vec<bool> = vectors.iter().map(sign).collect();
    match (signs.as_slice(), axis.levels.len()) {
        ([], _) | ([false], _) => 0,
        ([true], count) => count - 1,
        ([true, true], 3) => 0,
        (signs, _) => usize::from(signs[0]) + 2 * usize::from(signs[1]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(name: &str, levels: usize) -> Axis {
        Axis { name: name.into(), levels: (0..levels).map(|level| level.to_string()).collect() }
    }

    /// From one axis to all eleven, with and without kinds of more than two levels.
    fn plans() -> Vec<Vec<Axis>> {
        let numbers = (1..=SettingKey::ALL.len())
            .map(|count| SettingKey::ALL[..count].iter().map(|key| axis(key.name(), 2)).collect());
        let mixed = vec![
            vec![axis("engine", 3), axis("buffer_size", 5), axis("clients", 1)],
            vec![axis("buffer_size", 2), axis("preparation", 4), axis("engine", 3)],
            vec![axis("preparation", 4), axis("engine", 3)],
            SettingKey::ALL
                .iter()
                .map(|key| match key {
                    SettingKey::Engine => axis("engine", 3),
                    SettingKey::Preparation => axis("preparation", 4),
                    key => axis(key.name(), 2),
                })
                .collect(),
        ];
        numbers.chain(mixed).collect()
    }

    #[test]
    fn every_compared_level_is_run_and_the_first_run_is_the_baseline() {
        for axes in plans() {
            let design = Design::of(&axes);
            assert!(design.runs[0].iter().all(|level| *level == 0));
            for (index, axis) in axes.iter().enumerate() {
                let mut seen: Levels = design.runs.iter().map(|run| run[index]).collect();
                seen.sort_unstable();
                seen.dedup();
                assert_eq!(seen, compared_levels(axis), "{} of {axes:?}", axis.name);
                assert!(axis.levels.len() < 3 || seen.len() > 1);
            }
            let mut runs = design.runs.clone();
            runs.sort();
            runs.dedup();
            let repeats = design.columns < 3 || axes.iter().any(|axis| axis.levels.len() == 3);
            assert!(repeats || runs.len() == design.runs.len(), "{axes:?}");
        }
    }

    /// At each level of an axis, every level of any other is run as often as elsewhere: effects are
    /// plain differences of means.
    #[test]
    fn axes_are_balanced_against_each_other() {
        for axes in plans() {
            let runs = Design::of(&axes).runs;
            let count = |wanted: &[(usize, usize)]| {
                runs.iter().filter(|run| wanted.iter().all(|(axis, l)| run[*axis] == *l)).count()
            };
            for a in 0..axes.len() {
                for b in (0..axes.len()).filter(|b| *b != a) {
                    for at in compared_levels(&axes[a]) {
                        for level in compared_levels(&axes[b]) {
                            let both = count(&[(a, at), (b, level)]) * runs.len();
                            let apart = count(&[(a, at)]) * count(&[(b, level)]);
                            assert_eq!(
                                both, apart,
                                "{} {} of {axes:?}",
                                axes[a].name, axes[b].name
                            );
                        }
                    }
                }
            }
        }
    }

    /// Resolution IV: an effect of two axes together leaves the mean effect of every other axis
    /// alone.
    #[test]
    fn a_pair_of_axes_is_not_mistaken_for_an_axis() {
        for axes in plans() {
            let runs = Design::of(&axes).runs;
            let two_level: Vec<usize> =
                (0..axes.len()).filter(|axis| compared_levels(&axes[*axis]).len() == 2).collect();
            let sign = |run: &Levels, axis: usize| if run[axis] == 0 { -1 } else { 1 };
            for a in &two_level {
                for b in two_level.iter().filter(|b| *b != a) {
                    for c in two_level.iter().filter(|c| *c != a && *c != b) {
                        let mixed: i32 =
                            runs.iter().map(|r| sign(r, *a) * sign(r, *b) * sign(r, *c)).sum();
                        assert_eq!(mixed, 0, "{a} {b} {c} of {axes:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn as_many_runs_as_the_rule_says() {
        let runs = |count: usize| {
            let axes: Vec<Axis> =
                SettingKey::ALL[..count].iter().map(|key| axis(key.name(), 2)).collect();
            Design::of(&axes).runs.len()
        };
        assert_eq!([1, 2, 3, 4, 5, 8, 9, 11].map(runs), [8, 8, 8, 8, 16, 16, 32, 32]);
    }
}
