//! Rate over the rounds of the run, for the sentinel and the recommended configuration, each
//! against its own median: a machine that drifts while it is measured shows here.

use std::collections::BTreeSet;

use anyhow::Result;

use super::super::text::{number, shortened, tick as tick_label};
use super::super::view::{View, usable};
use super::Plot;
use super::canvas::{Canvas, Document, Ink, LABEL, Symbol, WIDTH, render};
use super::scale::{Scale, as_f64, extent};
use crate::stats::median;
use crate::store::schema::{TrialResult, TrialStatus};
use crate::units::format_share;

const LEFT: f64 = 58.0;
const RIGHT: f64 = WIDTH - 16.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 282.0;
const LEGEND_TOP: f64 = BOTTOM + 62.0;

/// One configuration over time.
struct Series {
    name: &'static str,
    description: String,
    median_per_second: f64,
    points: Vec<Point>,
    ink: Ink,
    symbol: Symbol,
}

/// One trial.
struct Point {
    /// Blocks since the start of the first one.
    time_blocks: f64,
    /// Rate over the series' median, minus 1.
    deviation: f64,
    disturbed: bool,
}

pub(super) fn plot(view: &View<'_>) -> Result<Option<Plot>> {
    let series: Vec<Series> = [sentinel(view), recommended(view)].into_iter().flatten().collect();
    let blocks: BTreeSet<u32> = view.run.trials.iter().map(|trial| trial.block).collect();
    if series.is_empty() || blocks.len() < 2 {
        return Ok(None);
    }
    let noise = usable(view.run.analysis.noise_floor_ratio);
    let title = "Steadiness: rate in each round against its own median".to_owned();
    let mut caption =
        "The sentinel ran at both ends of every block, the recommended configuration \
                       at its seeded place inside. A slope or a step would mean that the machine \
                       changed while it was measured; hollow points were disturbed by other load."
            .to_owned();
    if let Some(noise) = noise {
        caption.push_str(&format!(" The band is the noise floor, ±{}.", format_share(noise)));
    }
    let document = Document {
        name: "rounds",
        title: &title,
        description: &caption,
        height: LEGEND_TOP + as_f64(series.len() + usize::from(noise.is_some())) * 22.0 + 2.0,
    };
    let svg = render(&document, |canvas| draw(canvas, &series, &blocks, noise))?;
    Ok(Some(Plot { file_name: "rounds.svg", title, svg, caption }))
}

fn sentinel(view: &View<'_>) -> Option<Series> {
    let points = series_points(view, |trial| trial.sentinel)?;
    let id = &view.run.manifest.plan.sentinel;
    let index = view.rows.iter().position(|row| row.configuration.id == *id)?;
    let description = view.description(index);
    let (median_per_second, points) = points;
    let (name, ink, symbol) = ("Sentinel", Ink::Muted, Symbol::Square);
    Some(Series { name, description, median_per_second, points, ink, symbol })
}

fn recommended(view: &View<'_>) -> Option<Series> {
    let index = view.recommended?;
    let id = &view.rows[index].configuration.id;
    let points = series_points(view, |trial| !trial.sentinel && trial.config_id == *id)?;
    let description = view.description(index);
    let (median_per_second, points) = points;
    let (name, ink, symbol) = ("Recommended", Ink::Blue, Symbol::Dot);
    Some(Series { name, description, median_per_second, points, ink, symbol })
}

/// The median rate of the chosen trials and their deviations from it, in the order they ran.
fn series_points(
    view: &View<'_>,
    is_chosen: impl Fn(&TrialResult) -> bool,
) -> Option<(f64, Vec<Point>)> {
    let trials = view.run.trials;
    let positions = trials.iter().map(|trial| trial.position).max()?;
    let mut chosen: Vec<&TrialResult> = trials
        .iter()
        .filter(|trial| is_chosen(trial) && trial.status == TrialStatus::Ok)
        .filter(|trial| usable(Some(trial.rate_per_second)).is_some())
        .collect();
    chosen.sort_by_key(|trial| (trial.block, trial.position));
    let rates: Vec<f64> = chosen.iter().map(|trial| trial.rate_per_second).collect();
    let median = usable(median(&rates))?;
    let points = chosen
        .iter()
        .map(|trial| Point {
            time_blocks: f64::from(trial.block)
                + (f64::from(trial.position) + 0.5) / (f64::from(positions) + 1.0),
            deviation: trial.rate_per_second / median - 1.0,
            disturbed: trial.disturbed,
        })
        .collect();
    Some((median, points))
}

fn draw(
    canvas: &Canvas<'_>,
    series: &[Series],
    blocks: &BTreeSet<u32>,
    noise: Option<f64>,
) -> Result<()> {
    let first = blocks.first().copied().unwrap_or(0);
    let last = blocks.last().copied().unwrap_or(0);
    let x = Scale::linear(f64::from(first)..f64::from(last) + 1.0, LEFT..RIGHT);
    let deviations = series.iter().flat_map(|one| &one.points).map(|point| point.deviation.abs());
    let reach = extent(deviations).map_or(0.0, |range| range.end).max(0.02);
    let reach = reach.max(noise.unwrap_or(0.0)) * 1.2;
    let y = Scale::linear(-reach..reach, BOTTOM..TOP);

    draw_frame(canvas, &x, &y, blocks, noise)?;
    for one in series {
        let path: Vec<(f64, f64)> = one
            .points
            .iter()
            .map(|point| (x.at(point.time_blocks), y.at(point.deviation)))
            .collect();
        canvas.path(&path, one.ink, 1.5)?;
        for (at, point) in path.iter().zip(&one.points) {
            let symbol = if point.disturbed { Symbol::Ring } else { one.symbol };
            canvas.symbol(*at, 4.5, symbol, one.ink)?;
        }
    }
    draw_legend(canvas, series, noise)
}

fn draw_frame(
    canvas: &Canvas<'_>,
    x: &Scale,
    y: &Scale,
    blocks: &BTreeSet<u32>,
    noise: Option<f64>,
) -> Result<()> {
    canvas.text((0.0, 42.0), "rate against its own median, %", LABEL)?;
    if let Some(noise) = noise {
        canvas.shade((LEFT, y.at(noise)), (RIGHT, y.at(-noise)), Ink::Quiet, 0.16)?;
    }
    for tick in y.ticks(6) {
        let is_zero = tick.abs() < 1e-12;
        let (ink, width) = if is_zero { (Ink::Muted, 1.5) } else { (Ink::Grid, 1.0) };
        canvas.line((LEFT, y.at(tick)), (RIGHT, y.at(tick)), ink, width)?;
        canvas.text((LEFT - 10.0, y.at(tick)), &signed_percent(tick), LABEL.right())?;
    }
    let labelled_every = blocks.len().div_ceil(20).max(1);
    for (index, &block) in blocks.iter().enumerate() {
        let (left, middle) = (x.at(f64::from(block)), x.at(f64::from(block) + 0.5));
        canvas.line((left, TOP), (left, BOTTOM), Ink::Grid, 1.0)?;
        if index % labelled_every == 0 {
            let label = (u64::from(block) + 1).to_string();
            canvas.text((middle, BOTTOM + 16.0), &label, LABEL.centred())?;
        }
    }
    canvas.text(
        ((LEFT + RIGHT) / 2.0, BOTTOM + 35.0),
        "block, in the order they ran; trials at their place within it",
        LABEL.centred(),
    )
}

fn draw_legend(canvas: &Canvas<'_>, series: &[Series], noise: Option<f64>) -> Result<()> {
    let mut y = LEGEND_TOP;
    for one in series {
        canvas.line((12.0, y), (44.0, y), one.ink, 2.0)?;
        canvas.symbol((28.0, y), 4.5, one.symbol, one.ink)?;
        canvas.text((LEFT, y), one.name, LABEL.ink(Ink::Text).bold())?;
        let description = shortened(&one.description, LABEL.fitting(560.0));
        canvas.text((LEFT + 116.0, y), &description, LABEL)?;
        let median = format!("median {} commits/s", number(one.median_per_second));
        canvas.text((RIGHT, y), &median, LABEL.ink(Ink::Text).right())?;
        y += 22.0;
    }
    if let Some(noise) = noise {
        canvas.shade((12.0, y - 7.0), (44.0, y + 7.0), Ink::Quiet, 0.16)?;
        canvas.text((LEFT, y), &format!("noise floor ±{}", format_share(noise)), LABEL)?;
    }
    Ok(())
}

fn signed_percent(share: f64) -> String {
    let percent = share * 100.0;
    match tick_label(percent.abs()) {
        size if percent.abs() < 1e-9 || size == "0" => "0".to_owned(),
        size if percent > 0.0 => format!("+{size}"),
        size => format!("−{size}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::synthetic::Synthetic;
    use super::*;

    #[test]
    fn a_series_is_in_time_order_and_around_its_median() {
        let mut synthetic = Synthetic::full();
        synthetic.trials.reverse();
        let view = View::new(synthetic.run());
        let sentinel = sentinel(&view).unwrap();
        assert_eq!(sentinel.points.len(), 10, "two a block");
        assert!(sentinel.points.is_sorted_by_key(|point| point.time_blocks));
        let below = sentinel.points.iter().filter(|point| point.deviation < 0.0).count();
        assert_eq!(below, 5);
        assert_eq!(recommended(&view).unwrap().points.len(), 5);
    }

    #[test]
    fn trials_that_failed_are_not_on_the_line() {
        let mut synthetic = Synthetic::full();
        for trial in synthetic.trials.iter_mut().filter(|trial| trial.sentinel && trial.block < 4) {
            trial.status = TrialStatus::Failed { reason: "lost".to_owned() };
        }
        let view = View::new(synthetic.run());
        assert_eq!(sentinel(&view).unwrap().points.len(), 2);
    }
}
