//! Whether what one axis does depends on another one: the two-factor interactions of a full
//! factorial plan, on the logarithms of rate and p99.
//!
//! In each block the contrast of two levels of one axis is taken at both levels of the other, and
//! the difference of the two averaged over everything else. Its error comes from how far all trials
//! scatter about their configuration and block, which is known far better than how so few blocks
//! scatter about their mean: the test of the randomised complete block design, G. E. P. Box, J. S.
//! Hunter and W. G. Hunter, "Statistics for Experimenters", 2nd ed. (2005), sections 4.2 and 5.10.

use crate::stats::{Bootstrap, MIN_BLOCKS, holm, mean, student_t_p};
use crate::store::schema::{Estimate, Interaction, Interactions, Plan};
use crate::units::format_change;

use super::choice::LOAD;
use super::grid::{Corners, Grid};
use super::noise::SMALLEST_CHANGE_RATIO;
use super::observations::{Metric, Observations, p99_us, rate};

/// Chance of one or more false ones among all that are looked at.
const FALSE_ALARM: f64 = 0.05;

/// What interactions are looked for in: its name when stored, and how people call it.
#[derive(Clone, Copy)]
struct Subject {
    name: &'static str,
    people: &'static str,
    metric: Metric,
    bigger_is_better: bool,
}

const SUBJECTS: [Subject; 2] = [
    Subject { name: "rate", people: "commits", metric: rate, bigger_is_better: true },
    Subject { name: "p99", people: "p99", metric: p99_us, bigger_is_better: false },
];

/// All interactions of two axes; `None` where the plan cannot show any.
pub(crate) fn interactions(
    observations: &Observations<'_>,
    bootstrap: &Bootstrap,
) -> Option<Interactions> {
    let plan = observations.plan;
    let grid = Grid::of(plan)?;
    let axes_that_vary = plan.axes.iter().filter(|axis| axis.levels.len() > 1).count();
    if axes_that_vary < 2 || observations.blocks.len() < MIN_BLOCKS {
        return None;
    }
    let tested: Vec<Contrast> =
        SUBJECTS.into_iter().flat_map(|subject| contrasts(observations, &grid, subject)).collect();
    let p_values: Vec<f64> = tested.iter().map(|contrast| contrast.p).collect();
    let mut found: Vec<Interaction> = tested
        .iter()
        .zip(holm(&p_values))
        .filter(|(_, adjusted_p)| *adjusted_p < FALSE_ALARM)
        .filter_map(|(contrast, adjusted_p)| told(plan, contrast, adjusted_p, bootstrap))
        .collect();
    let size = |found: &Interaction| found.interaction_ratio.value.ln().abs();
    found.sort_by(|a, b| size(b).total_cmp(&size(a)));
    Some(Interactions { tested: u32::try_from(tested.len()).unwrap_or(u32::MAX), found })
}

/// One interaction: a level of one axis and a level of another, each against its baseline.
struct Contrast {
    subject: Subject,
    /// Axis and level.
    one: (usize, usize),
    other: (usize, usize),
    /// By block, the logarithms of: what `one` does at the other's baseline, what it does at its
    /// level; and the same of `other`.
    effects: Vec<[f64; 4]>,
    p: f64,
}

fn contrasts(observations: &Observations<'_>, grid: &Grid, subject: Subject) -> Vec<Contrast> {
    let table = Logs::of(observations, subject.metric);
    let Some((variance, degrees)) = table.residual_variance() else {
        return Vec::new();
    };
    let axes = &observations.plan.axes;
    let levels = |axis: usize| (1..axes[axis].levels.len()).map(move |level| (axis, level));
    let pairs =
        (0..axes.len()).flat_map(|one| (one + 1..axes.len()).map(move |other| (one, other)));
    pairs
        .flat_map(|(one, other)| {
            levels(one).flat_map(move |one| levels(other).map(move |other| (one, other)))
        })
        .filter_map(|(one, other)| {
            let corners: Vec<Corners> = grid
                .corners(one, other)
                .into_iter()
                .filter(|corners| corners.all().iter().all(|config| table.holds(*config)))
                .collect();
            let effects = table.effects(&corners)?;
            let differences: Vec<f64> =
                effects.iter().map(|effect| effect[1] - effect[0]).collect();
            // Four trials of each square enter, and no square shares one with another.
            let error = (4.0 * variance / (corners.len() * differences.len()) as f64).sqrt();
            let p = student_t_p(mean(&differences)? / error, degrees)?;
            Some(Contrast { subject, one, other, effects, p })
        })
        .collect()
}

/// Logarithms of one number, by configuration and block; only configurations that have it in every
/// block.
struct Logs {
    by_config: Vec<Option<Vec<f64>>>,
    blocks: usize,
}

impl Logs {
    fn of(observations: &Observations<'_>, metric: Metric) -> Self {
        let logs = |config: usize| {
            let blocks = observations.blocks.iter();
            let value = |block: &u32| observations.value(config, *block, metric).map(f64::ln);
            blocks.map(value).collect::<Option<Vec<f64>>>()
        };
        let configurations = 0..observations.plan.configurations.len();
        let by_config =
            configurations.map(|config| logs(config).filter(|_| observations.is_measured(config)));
        Self { by_config: by_config.collect(), blocks: observations.blocks.len() }
    }

    fn holds(&self, config: usize) -> bool {
        self.by_config[config].is_some()
    }

    /// How far trials scatter about the sum of their configuration and their block, and with how
    /// many degrees of freedom that is known.
    fn residual_variance(&self) -> Option<(f64, u32)> {
        let rows: Vec<&Vec<f64>> = self.by_config.iter().flatten().collect();
        let degrees = rows.len().checked_sub(1)? * self.blocks.checked_sub(1)?;
        let own: Vec<f64> = rows.iter().map(|row| mean(row)).collect::<Option<_>>()?;
        let all = mean(&own)?;
        let squares: f64 = (0..self.blocks)
            .map(|block| {
                let column: Vec<f64> = rows.iter().map(|row| row[block]).collect();
                let of_block = mean(&column).unwrap_or(all);
                let residuals =
                    column.iter().zip(&own).map(|(log, own)| log - own - of_block + all);
                residuals.map(|residual| residual * residual).sum::<f64>()
            })
            .sum();
        let variance = squares / degrees as f64;
        (variance > 0.0).then_some((variance, u32::try_from(degrees).unwrap_or(u32::MAX)))
    }

    /// See [`Contrast::effects`]; `None` where nothing is complete.
    fn effects(&self, corners: &[Corners]) -> Option<Vec<[f64; 4]>> {
        let at =
            |config: usize, block: usize| self.by_config[config].as_ref().map(|row| row[block]);
        (0..self.blocks)
            .map(|block| {
                let average = |from: fn(&Corners) -> usize, to: fn(&Corners) -> usize| {
                    let change = |c: &Corners| Some(at(to(c), block)? - at(from(c), block)?);
                    mean(&corners.iter().filter_map(change).collect::<Vec<f64>>())
                };
                Some([
                    average(|c| c.neither, |c| c.one)?,
                    average(|c| c.other, |c| c.both)?,
                    average(|c| c.neither, |c| c.other)?,
                    average(|c| c.one, |c| c.both)?,
                ])
            })
            .collect()
    }
}

/// An interaction that is no chance, if its interval says so, too, and it is worth telling.
fn told(
    plan: &Plan,
    contrast: &Contrast,
    adjusted_p: f64,
    bootstrap: &Bootstrap,
) -> Option<Interaction> {
    let differences: Vec<f64> = contrast.effects.iter().map(|e| e[1] - e[0]).collect();
    let average = |values: &mut [f64]| values.iter().sum::<f64>() / values.len() as f64;
    let log = bootstrap.estimate(&differences, average)?;
    let ratio = Estimate { value: log.value.exp(), low: log.low.exp(), high: log.high.exp() };
    let excludes_1 = ratio.low > 1.0 || ratio.high < 1.0;
    if !excludes_1 || ratio.value.max(1.0 / ratio.value) - 1.0 <= SMALLEST_CHANGE_RATIO {
        return None;
    }
    let effect = |index: usize| {
        let logs: Vec<f64> = contrast.effects.iter().map(|effect| effect[index]).collect();
        mean(&logs)
    };
    let (one, other) = ([effect(0)?, effect(1)?], [effect(2)?, effect(3)?]);
    // The one that does more is told as depending on the other; a load is never the one that acts.
    let is_load = |axis: usize| LOAD.iter().any(|key| key.name() == plan.axes[axis].name);
    let other_acts = match (is_load(contrast.one.0), is_load(contrast.other.0)) {
        (true, false) => true,
        (false, true) => false,
        _ => other[0].abs() > one[0].abs(),
    };
    let (actor, context, logs) = if other_acts {
        (contrast.other, contrast.one, other)
    } else {
        (contrast.one, contrast.other, one)
    };
    let name = |axis: usize| plan.axes[axis].name.clone();
    let level = |(axis, level): (usize, usize)| plan.axes[axis].levels[level].clone();
    let mut interaction = Interaction {
        axis: name(actor.0),
        level: level(actor),
        other_axis: name(context.0),
        other_level: level(context),
        metric: contrast.subject.name.to_owned(),
        ratio_at_baseline: logs[0].exp(),
        ratio_at_other_level: logs[1].exp(),
        interaction_ratio: ratio,
        adjusted_p,
        sentence: String::new(),
    };
    let baselines = (level((actor.0, 0)), level((context.0, 0)));
    interaction.sentence = sentence(&interaction, &baselines, contrast.subject);
    Some(interaction)
}

fn sentence(found: &Interaction, baselines: &(String, String), subject: Subject) -> String {
    let (own_baseline, other_baseline) = baselines;
    let Interaction { axis, level, other_axis, other_level, .. } = found;
    let pays = |ratio: f64| {
        let gain = if subject.bigger_is_better { ratio } else { 1.0 / ratio };
        gain - 1.0 > SMALLEST_CHANGE_RATIO
    };
    let verb = match (pays(found.ratio_at_baseline), pays(found.ratio_at_other_level)) {
        (true, false) => format!("pays with {other_axis} {other_baseline} only"),
        (false, true) => format!("pays with {other_axis} {other_level} only"),
        _ => format!("depends on {other_axis}"),
    };
    let factor = &found.interaction_ratio;
    format!(
        "{axis} {verb}: {level} against {own_baseline} changes {} by {} with {other_axis} \
         {other_level}, and by {} with {other_baseline} ({:.2}x [{:.2}, {:.2}] between the two).",
        subject.people,
        format_change(found.ratio_at_other_level),
        format_change(found.ratio_at_baseline),
        factor.value,
        factor.low,
        factor.high
    )
}
