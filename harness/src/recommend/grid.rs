//! A plan's configurations as points of a factorial grid, and which of them differ in one axis or in
//! two.

use crate::store::schema::Plan;

use super::observations::Observations;

/// Two configurations that differ in one axis only, by position in the plan.
pub(crate) struct Matched {
    pub baseline: usize,
    pub changed: usize,
}

/// The plan's configurations as points of a factorial grid.
pub(crate) struct Grid {
    /// For each axis, how far apart in the plan two neighbouring levels are.
    strides: Vec<usize>,
    /// For each axis, its number of levels.
    lengths: Vec<usize>,
    configurations: usize,
}

impl Grid {
    /// `None` when the plan does not hold exactly the combinations of its axes.
    pub(crate) fn of(plan: &Plan) -> Option<Self> {
        let lengths: Vec<usize> = plan.axes.iter().map(|axis| axis.levels.len()).collect();
        let mut strides = vec![1; lengths.len()];
        let mut configurations = 1_usize;
        for (stride, length) in strides.iter_mut().zip(&lengths).rev() {
            *stride = configurations;
            configurations = configurations.checked_mul(*length)?;
        }
        (configurations > 0 && configurations == plan.configurations.len()).then_some(Self {
            strides,
            lengths,
            configurations,
        })
    }

    /// The level of an axis that a configuration has.
    pub(crate) fn level(&self, config: usize, axis: usize) -> usize {
        config / self.strides[axis] % self.lengths[axis]
    }

    /// Measured configurations at the axis's first level, each with the one that differs from it
    /// only in having `level`.
    pub(crate) fn matched(
        &self,
        observations: &Observations<'_>,
        axis: usize,
        level: usize,
    ) -> Vec<Matched> {
        (0..self.configurations)
            .filter(|config| self.level(*config, axis) == 0)
            .map(|baseline| Matched { baseline, changed: baseline + level * self.strides[axis] })
            .filter(|pair| {
                observations.is_measured(pair.baseline) && observations.is_measured(pair.changed)
            })
            .collect()
    }

    /// Squares of four configurations: with neither level, with one of them, with both, and equal
    /// in everything else. Each is an axis and a level of it that is not its first.
    pub(crate) fn corners(&self, one: (usize, usize), other: (usize, usize)) -> Vec<Corners> {
        let (step, other_step) = (one.1 * self.strides[one.0], other.1 * self.strides[other.0]);
        (0..self.configurations)
            .filter(|config| self.level(*config, one.0) == 0 && self.level(*config, other.0) == 0)
            .map(|neither| Corners {
                neither,
                one: neither + step,
                other: neither + other_step,
                both: neither + step + other_step,
            })
            .collect()
    }
}

/// Four configurations that differ in two axes only, by position in the plan.
pub(crate) struct Corners {
    pub neither: usize,
    pub one: usize,
    pub other: usize,
    pub both: usize,
}

impl Corners {
    pub(crate) fn all(&self) -> [usize; 4] {
        [self.neither, self.one, self.other, self.both]
    }
}
