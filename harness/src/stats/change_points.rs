//! Change points: where in a long history a number shifted and stayed. Comparing each run with the
//! one before it would miss a decline in small steps, and blame a run for its predecessor's luck.
//!
//! E-divisive: the split of a stretch of history that makes its two sides most unlike each other,
//! by the energy distance, is a change point if hardly any shuffled order of the same values would
//! have given as unlike ones; then the same again on both sides. Long histories are searched in
//! overlapping windows, so that an old shift does not hide a new one, and what was found is tested
//! again between its neighbours.
//!
//! Sources: D. S. Matteson and N. A. James, "A Nonparametric Approach for Multiple Change Point
//! Analysis of Multivariate Data", Journal of the American Statistical Association 109 (2014),
//! <https://arxiv.org/abs/1306.4933>; windows and weak points from M. Fleming et al., "Hunter: Using
//! Change Point Detection to Hunt for Performance Regressions" (2023),
//! <https://arxiv.org/abs/2301.03034>.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::median;

/// What counts as a change point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ShiftRules {
    /// Runs looked at together, at most.
    pub window_runs: usize,
    /// Largest share of shuffled orders that may look as much like a shift.
    pub p_max: f64,
    /// Smallest change of the median, as a ratio minus 1, in either direction.
    pub change_min: f64,
    /// Fewest runs on each side.
    pub runs_min: usize,
    /// Orders that are tried; they resolve `p_max` five times.
    pub permutations: u32,
    /// Seed of the shuffling: the same history gives the same answer.
    pub seed: u64,
}

impl ShiftRules {
    /// The rules of the method, with a seed: a window of 50 runs, p 0.001, 3 % and 3 runs.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            window_runs: 50,
            p_max: 0.001,
            change_min: 0.03,
            runs_min: 3,
            permutations: 4_999,
            seed,
        }
    }

    /// Fewest runs in which any shift could be told from chance: with fewer there are not enough
    /// ways to divide them, were they all equal on each side.
    pub(crate) fn runs_to_see_anything(&self) -> usize {
        (2 * self.runs_min..).find(|runs| self.can_be_seen(*runs)).unwrap_or(usize::MAX)
    }

    /// Of the ways to choose one half of so many runs, two (it or the other half) look best.
    fn can_be_seen(&self, runs: usize) -> bool {
        let half = runs / 2;
        let ways: f64 = (0..half).map(|k| (runs - k) as f64 / (half - k) as f64).product();
        2.0 / ways <= self.p_max
    }

    /// Shuffled orders that may look as much like a shift, of all that are tried.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    fn look_alikes_max(&self) -> u32 {
        // The order that was seen is one of them.
        (self.p_max * f64::from(self.permutations + 1)) as u32 - 1
    }
}

/// A change point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shift {
    /// Index of the first value after it.
    pub at: usize,
    /// Median after it, up to the next one, by the median before, back to the previous one.
    pub ratio: f64,
}

/// The change points of a history of positive values, oldest first.
pub(crate) fn find_shifts(values: &[f64], rules: &ShiftRules) -> Vec<Shift> {
    if values.iter().any(|value| !(value.is_finite() && *value > 0.0)) {
        return Vec::new();
    }
    let logs: Vec<f64> = values.iter().map(|value| value.ln()).collect();
    let mut search =
        Search { logs: &logs, rules, rng: Xoshiro256PlusPlus::seed_from_u64(rules.seed) };
    let mut points = search.candidates();
    search.keep_what_stands(&mut points);
    drop_small(&logs, rules, &mut points);
    let shift =
        |index: usize| Shift { at: points[index], ratio: step(&logs, &points, index).exp() };
    (0..points.len()).map(shift).collect()
}

struct Search<'a> {
    logs: &'a [f64],
    rules: &'a ShiftRules,
    rng: Xoshiro256PlusPlus,
}

impl Search<'_> {
    /// Everything that looks like a change point in some window; ascending.
    fn candidates(&mut self) -> Vec<usize> {
        let mut found = Vec::new();
        let mut from = 0;
        loop {
            let to = (from + self.rules.window_runs).min(self.logs.len());
            self.bisect(from, to, &mut found);
            if to == self.logs.len() {
                break;
            }
            from += (self.rules.window_runs / 2).max(1);
        }
        found.sort_unstable();
        // Two windows may place one shift a run or two apart.
        found.dedup_by(|next, kept| *next - *kept < self.rules.runs_min);
        found
    }

    fn bisect(&mut self, from: usize, to: usize, found: &mut Vec<usize>) {
        if let Some(at) = self.significant_split(from, to) {
            found.push(at);
            self.bisect(from, at, found);
            self.bisect(at, to, found);
        }
    }

    /// Tests each point again between its neighbours, where no other shift disturbs it, and
    /// places it anew; one that does not stand is dropped, and its neighbours are asked again.
    fn keep_what_stands(&mut self, points: &mut Vec<usize>) {
        let half = self.rules.window_runs / 2;
        let mut index = 0;
        while index < points.len() {
            let point = points[index];
            let before = index.checked_sub(1).map_or(0, |previous| points[previous]);
            let after = points.get(index + 1).copied().unwrap_or(self.logs.len());
            let (from, to) = (before.max(point.saturating_sub(half)), after.min(point + half));
            match self.significant_split(from, to) {
                Some(at) => {
                    points[index] = at;
                    index += 1;
                }
                None => {
                    points.remove(index);
                    index = index.saturating_sub(1);
                }
            }
        }
    }

    /// The best split of a stretch, if it is one that chance would not give.
    fn significant_split(&mut self, from: usize, to: usize) -> Option<usize> {
        let mut stretch = self.logs[from..to].to_vec();
        let best = best_split(&stretch, self.rules.runs_min)?;
        let mut look_alikes = 0;
        for _ in 0..self.rules.permutations {
            stretch.shuffle(&mut self.rng);
            // An order with no split that is unlike at all is no look-alike.
            let shuffled = best_split(&stretch, self.rules.runs_min);
            let is_alike = |shuffled: Split| shuffled.divergence >= best.divergence;
            look_alikes += u32::from(shuffled.is_some_and(is_alike));
            if look_alikes > self.rules.look_alikes_max() {
                return None;
            }
        }
        Some(from + best.at)
    }
}

/// Where a stretch is best divided, and how unlike the two sides are.
#[derive(Clone, Copy, Debug)]
struct Split {
    at: usize,
    divergence: f64,
}

/// The split `at` that, with some end of its right side, maximises the scaled energy distance
/// between left and right (Matteson and James, equations 5 and 7, alpha = 1). `None` where a side
/// would have fewer than `side_min` values, or no value differs from another.
fn best_split(values: &[f64], side_min: usize) -> Option<Split> {
    let side_min = side_min.max(2);
    let sums = DistanceSums::new(values);
    let mut best: Option<Split> = None;
    for at in side_min..=values.len().checked_sub(side_min)? {
        let within_left = sums.between(0..at, 0..at) / 2.0;
        for end in at + side_min..=values.len() {
            let (left, right) = (at as f64, (end - at) as f64);
            let across = sums.between(0..at, at..end);
            let within_right = sums.between(at..end, at..end) / 2.0;
            let energy = 2.0 / (left * right) * across
                - 2.0 / (left * (left - 1.0)) * within_left
                - 2.0 / (right * (right - 1.0)) * within_right;
            let divergence = left * right / (left + right) * energy;
            if divergence > best.map_or(0.0, |best| best.divergence) {
                best = Some(Split { at, divergence });
            }
        }
    }
    best
}

/// Sums of the distances between values over any rectangle of their matrix, in constant time.
struct DistanceSums {
    /// Row-major, one longer than the values each way: the sum above and left of each corner.
    corners: Vec<f64>,
    side: usize,
}

impl DistanceSums {
    fn new(values: &[f64]) -> Self {
        let side = values.len() + 1;
        let mut corners = vec![0.0; side * side];
        for (row, a) in values.iter().enumerate() {
            let mut row_sum = 0.0;
            for (column, b) in values.iter().enumerate() {
                row_sum += (a - b).abs();
                corners[(row + 1) * side + column + 1] = corners[row * side + column + 1] + row_sum;
            }
        }
        Self { corners, side }
    }

    fn between(&self, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> f64 {
        let corner = |row: usize, column: usize| self.corners[row * self.side + column];
        corner(rows.end, columns.end)
            - corner(rows.start, columns.end)
            - corner(rows.end, columns.start)
            + corner(rows.start, columns.start)
    }
}

/// Drops points whose step is too small to act on, the smallest first, until none is.
fn drop_small(logs: &[f64], rules: &ShiftRules, points: &mut Vec<usize>) {
    let size = |points: &[usize], index| step(logs, points, index).abs().exp_m1();
    while let Some(smallest) = (0..points.len())
        .min_by(|a, b| size(points, *a).total_cmp(&size(points, *b)))
        .filter(|smallest| size(points, *smallest) < rules.change_min)
    {
        points.remove(smallest);
    }
}

/// Difference of the logarithms' medians after and before a point.
fn step(logs: &[f64], points: &[usize], index: usize) -> f64 {
    let before = index.checked_sub(1).map_or(0, |previous| points[previous]);
    let after = points.get(index + 1).copied().unwrap_or(logs.len());
    let centre = |stretch: &[f64]| median(stretch).unwrap_or(0.0);
    centre(&logs[points[index]..after]) - centre(&logs[before..points[index]])
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::stats::truth;

    fn rules() -> ShiftRules {
        ShiftRules::new(1)
    }

    /// A history of so many runs around `level`, each off by its own noise.
    fn history(rng: &mut Xoshiro256PlusPlus, steps: &[(usize, f64)]) -> Vec<f64> {
        let run = |level: f64, rng: &mut Xoshiro256PlusPlus| {
            level * (truth::NIGHT_SIGMA * truth::normal(rng)).exp()
        };
        steps.iter().flat_map(|(runs, level)| vec![*level; *runs]).map(|l| run(l, rng)).collect()
    }

    /// The first promise of the method: a shift of 10 % is found, alone, and placed within two runs.
    #[test]
    fn a_shift_is_placed_within_two_runs() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(20_260_301);
        let mut placed = 0;
        for seed in 0..100 {
            let (before, after) = (rng.random_range(12..60), rng.random_range(8..30));
            let direction = if seed % 2 == 0 { 0.9 } else { 1.0 / 0.9 };
            let values = history(&mut rng, &[(before, 2_000.0), (after, 2_000.0 * direction)]);
            let found = find_shifts(&values, &ShiftRules::new(seed));
            placed += usize::from(matches!(&found[..], [shift] if shift.at.abs_diff(before) <= 2));
        }
        assert!(placed >= 95, "{placed} of 100");
    }

    /// The second: histories without a shift have none.
    #[test]
    fn equal_runs_have_no_change_point() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(20_260_302);
        let mut alarms = 0;
        for seed in 0..100 {
            let runs = rng.random_range(20..120);
            let values = history(&mut rng, &[(runs, 2_000.0)]);
            alarms += usize::from(!find_shifts(&values, &ShiftRules::new(seed)).is_empty());
        }
        assert!(alarms <= 5, "{alarms} of 100");
    }

    #[test]
    fn several_shifts_in_a_long_history_are_each_found() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(20_260_303);
        let steps = [(60, 1_000.0), (30, 850.0), (40, 1_010.0), (25, 1_200.0)];
        let found = find_shifts(&history(&mut rng, &steps), &rules());
        let places: Vec<usize> = found.iter().map(|shift| shift.at).collect();
        for (place, expected) in places.iter().zip([60, 90, 130]) {
            assert!(place.abs_diff(expected) <= 2, "{places:?}");
        }
        assert_eq!(places.len(), 3, "{places:?}");
        assert!((found[0].ratio / 0.85 - 1.0).abs() < 0.03, "{found:?}");
    }

    /// A shift smaller than 3 % is real here, and not worth a night's alarm.
    #[test]
    fn small_steps_are_dropped_however_certain() {
        let wobble = |index: usize| 1.0 + (index % 5) as f64 * 1e-4;
        let level = |index| if index < 30 { 1_000.0 } else { 980.0 };
        let values: Vec<f64> = (0..60).map(|index| level(index) * wobble(index)).collect();
        assert_eq!(find_shifts(&values, &rules()), []);
        let any = ShiftRules { change_min: 0.0, ..rules() };
        assert_eq!(find_shifts(&values, &any).len(), 1);
    }

    #[test]
    fn a_single_bad_night_is_no_change_point() {
        let mut values: Vec<f64> = (0..40).map(|index| 1_000.0 + f64::from(index % 7)).collect();
        values[20] = 400.0;
        values[21] = 410.0;
        assert_eq!(find_shifts(&values, &rules()), []);
    }

    #[test]
    fn too_few_runs_show_nothing_and_it_is_known_how_many_would() {
        // 2 of the 1,716 ways to choose 6 of 13 are too many; 2 of 3,432 of 14 are few enough.
        assert_eq!(rules().runs_to_see_anything(), 14);
        let step = |runs: usize| -> Vec<f64> {
            (0..runs).map(|i| if i < runs / 2 { 100.0 } else { 50.0 } + i as f64 * 1e-3).collect()
        };
        assert_eq!(find_shifts(&step(12), &rules()), []);
        assert_eq!(find_shifts(&step(16), &rules()).len(), 1);
        for values in [&[][..], &[1.0], &[1.0; 40], &[0.0; 40], &[f64::NAN; 40]] {
            assert_eq!(find_shifts(values, &rules()), []);
        }
    }

    /// By hand: left 0, 0 and right 1, 1. Across: mean 1, so 2; within: 0. The factor is 2·2/4.
    #[test]
    fn the_divergence_is_the_scaled_energy_distance() {
        let split = best_split(&[0.0, 0.0, 1.0, 1.0], 2).expect("a split");
        assert_eq!(split.at, 2);
        assert!((split.divergence - 2.0).abs() < 1e-12, "{split:?}");
        // Left 0, 1 and right 4, 6: across (4 + 6 + 3 + 5)/4 · 2 = 9; within 1 and 2.
        let split = best_split(&[0.0, 1.0, 4.0, 6.0], 2).expect("a split");
        assert!((split.divergence - 6.0).abs() < 1e-12, "{split:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_points() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let values = history(&mut rng, &[(25, 100.0), (15, 94.0)]);
        assert_eq!(find_shifts(&values, &rules()), find_shifts(&values, &rules()));
    }
}
