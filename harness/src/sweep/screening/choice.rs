//! What a screening leads to: which axes are varied in the run's plan, as many as fit the time, and
//! where the others are held. It follows from stored trials alone, so that a run that was killed
//! comes to the same plan.

use super::Allowance;
use super::design::compared_levels;
use super::effects::{AxisLevels, Effect, effects};
use crate::profile::{Levels, Profile, SettingKey};
use crate::stats::has_interval;
use crate::store::observations::Observations;
use crate::store::schema::{
    Axis, Configuration, Estimate, Plan, ScreenedAxis, Settings, TrialResult,
};
use crate::units::format_change_estimate;

/// Changes under this are not worth a setting, however surely they are measured.
const SMALLEST_CHANGE_RATIO: f64 = 0.01;

/// What the screening's trials lead to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refinement {
    /// What to run next.
    pub(crate) plan: Plan,
    /// Why that, axis by axis.
    pub(crate) axes: Vec<ScreenedAxis>,
}

/// An axis and what it did.
struct Screened<'a> {
    axis: &'a Axis,
    key: Option<SettingKey>,
    levels: AxisLevels,
}

/// Draws the conclusion from the screening's whole blocks: of the axes that matter the strongest
/// are varied, with all their levels, as many as fit what is left of the time.
pub(crate) fn refine(
    profile: &Profile,
    plan: &Plan,
    trials: &[TrialResult],
    left: &Allowance,
) -> Refinement {
    let axes = &plan.axes;
    let compared: Vec<Levels> = axes.iter().map(compared_levels).collect();
    let observations = Observations::new(plan, trials);
    let found = effects(&observations, &runs_of(plan), &compared);
    let screened: Vec<Screened<'_>> = (axes.iter().zip(found))
        .map(|(axis, levels)| Screened { axis, key: SettingKey::from_name(&axis.name), levels })
        .collect();

    let mut ranked: Vec<usize> =
        (0..axes.len()).filter(|axis| screened[*axis].strength() > 0.0).collect();
    // Stable: of equally strong axes the profile's first one.
    ranked.sort_by(|a, b| screened[*b].strength().total_cmp(&screened[*a].strength()));
    let kept = |count: usize| -> Vec<Levels> {
        let varied = &ranked[..count];
        let levels = |(index, axis): (usize, &Screened<'_>)| match varied.contains(&index) {
            true => (0..axis.axis.levels.len()).collect(),
            false => vec![axis.held_level()],
        };
        screened.iter().enumerate().map(levels).collect()
    };
    let fits = |count: usize| {
        let blocks = left.blocks_of(&kept(count))?;
        Some((count, blocks))
    };
    // The least that the time was checked for fits in any case, or overruns it.
    let (count, blocks) = (0..=ranked.len()).rev().find_map(fits).unwrap_or((0, left.blocks_min));
    let axes = screened.iter().enumerate().filter(|(_, axis)| axis.axis.levels.len() > 1);
    let told = axes.map(|(index, axis)| axis.told(ranked[..count].contains(&index)));
    Refinement { axes: told.collect(), plan: profile.plan_over(&kept(count), blocks, plan.seed) }
}

/// The level of each axis in each configuration, read off its settings: whatever rule once made
/// the plan.
pub(super) fn runs_of(plan: &Plan) -> Vec<Levels> {
    let level = |axis: &Axis, settings: &Settings| {
        let text = SettingKey::from_name(&axis.name).map(|key| key.text(settings));
        axis.levels.iter().position(|level| Some(level) == text.as_ref()).unwrap_or(0)
    };
    let levels =
        |known: &Configuration| plan.axes.iter().map(|axis| level(axis, &known.settings)).collect();
    plan.configurations.iter().map(levels).collect()
}

impl Screened<'_> {
    /// How far the axis moves the rate or p99, as the logarithm of a ratio; 0 where it does not
    /// matter.
    fn strength(&self) -> f64 {
        let ratios = self.levels.iter().flat_map(|level| [level.rate, level.p99]).flatten();
        ratios.filter(matters).map(|ratio| ratio.value.ln().abs()).fold(0.0, f64::max)
    }

    /// Where the axis is held if it is not varied: at its first level, which is the simplest, unless
    /// another one is clearly better and the choice is free.
    fn held_level(&self) -> usize {
        let first = self.levels.first().map_or(0, |effect| effect.level);
        if self.key.is_some_and(SettingKey::is_given) {
            return first;
        }
        let better = |ratio: fn(&Effect) -> Option<f64>| {
            let scored = self.levels.iter().filter_map(|level| Some((level.level, ratio(level)?)));
            scored.filter(|(_, gain)| *gain > 1.0).max_by(|a, b| a.1.total_cmp(&b.1))
        };
        let by_rate = |level: &Effect| level.rate.filter(matters).map(|ratio| ratio.value);
        let by_p99 = |level: &Effect| level.p99.filter(matters).map(|ratio| 1.0 / ratio.value);
        let moves_rate = self.levels.iter().any(|level| by_rate(level).is_some());
        let best = if moves_rate { better(by_rate) } else { better(by_p99) };
        best.map_or(first, |(level, _)| level)
    }

    fn told(&self, varied: bool) -> ScreenedAxis {
        let held_at = (!varied).then(|| self.axis.levels[self.held_level()].clone());
        ScreenedAxis {
            axis: self.axis.name.clone(),
            levels: self.levels.iter().map(|level| level.stored(&self.axis.levels)).collect(),
            sentence: self.sentence(held_at.as_deref()),
            held_at,
        }
    }

    fn sentence(&self, held_at: Option<&str>) -> String {
        let name = &self.axis.name;
        let found = match self.levels.as_slice() {
            [] | [_] => format!("{name} has no second level that could be measured here"),
            levels if self.strength() > 0.0 => {
                let clauses: Vec<String> =
                    levels.iter().skip(1).filter_map(|level| self.clause(level)).collect();
                format!("{name} matters: {}", clauses.join("; "))
            }
            levels if levels.iter().any(|level| level.rate.is_some_and(|r| has_interval(&r))) => {
                format!("{name} shows no effect beyond the noise")
            }
            _ => format!("{name} could not be judged: too few whole blocks"),
        };
        let becomes = match held_at {
            None => "so all its levels are varied in the run".to_owned(),
            Some(level) if self.strength() > 0.0 => {
                format!("but there was no time to vary it, so it is held at {level}")
            }
            Some(level) => format!("so it is held at {level}"),
        };
        format!("{found}, {becomes}.")
    }

    /// What one level did, where it matters.
    fn clause(&self, level: &Effect) -> Option<String> {
        let said = |what: &str, ratio: Option<Estimate>| {
            ratio
                .filter(matters)
                .map(|ratio| format!("{what} by {}", format_change_estimate(&ratio)))
        };
        let said: Vec<String> =
            [said("commits", level.rate), said("p99", level.p99)].into_iter().flatten().collect();
        (!said.is_empty())
            .then(|| format!("{} changes {}", self.axis.levels[level.level], said.join(" and ")))
    }
}

/// The interval excludes 1 and the change is worth a setting.
fn matters(ratio: &Estimate) -> bool {
    let excludes_1 = has_interval(ratio) && (ratio.low > 1.0 || ratio.high < 1.0);
    excludes_1 && ratio.value.max(1.0 / ratio.value) - 1.0 > SMALLEST_CHANGE_RATIO
}
