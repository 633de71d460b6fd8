//! The effect of every axis as a forest plot: one row a level, its ratio against the axis's
//! baseline level with the 95 % interval, for the rate and for p99 latency side by side.

use anyhow::Result;

use super::super::view::{View, usable, usable_estimate};
use crate::page::Plot;
use crate::page::canvas::{Canvas, Document, Ink, LABEL, Symbol, WIDTH, render};
use crate::page::scale::{Scale, as_f64, extent, ratio_ticks};
use crate::page::text::{printable, ratio, shortened};
use crate::store::schema::{AxisEffect, Estimate};
use crate::units::format_share;

const TOP: f64 = 76.0;
const ROW_HEIGHT: f64 = 26.0;
const LEVELS_RIGHT: f64 = 286.0;
const AXIS_WIDTH: f64 = 130.0;

/// Room a mark's label takes, pixels.
const TICK_GAP: f64 = 38.0;

/// The least change that is a verdict even where no noise is known, as a ratio minus 1.
const SMALLEST_CHANGE_RATIO: f64 = 0.01;

/// One level against its axis's baseline.
struct Row {
    /// Only on the first row of an axis.
    axis: Option<String>,
    change: String,
    rate: Option<Estimate>,
    p99: Option<Estimate>,
}

/// Half of the plot: a quantity and where it is drawn.
struct Panel {
    heading: &'static str,
    less: &'static str,
    more: &'static str,
    left: f64,
    right: f64,
    values_right: f64,
    more_is_better: bool,
    /// Half-width of the noise band as a ratio minus 1; only known for the rate.
    noise: Option<f64>,
    /// Changes under this are no verdict, as a ratio minus 1.
    smallest_change: f64,
    of: fn(&Row) -> Option<Estimate>,
}

pub(super) fn plot(view: &View<'_>) -> Result<Option<Plot>> {
    let rows: Vec<Row> = view.run.analysis.axes.iter().flat_map(rows_of).collect();
    if rows.iter().all(|row| row.rate.is_none() && row.p99.is_none()) {
        return Ok(None);
    }
    let noise = usable(view.run.analysis.noise_floor_ratio);
    let title = "What changing one setting did, everything else equal".to_owned();
    let caption = format!(
        "Each row changes one axis from its baseline level to another. A dot is the ratio against \
         the baseline level, its line the 95 % interval; ratios are on a log scale and 1 is no \
         change.{}",
        noise.map_or_else(String::new, |noise| format!(
            " The shaded band is the machine's own noise, ±{}, known for the rate.",
            format_share(noise)
        ))
    );
    let bottom = TOP + as_f64(rows.len()) * ROW_HEIGHT;
    let document =
        Document { name: "effects", title: &title, description: &caption, height: bottom + 74.0 };
    let svg = render(&document, |canvas| draw(canvas, &rows, noise, bottom))?;
    Ok(Some(Plot { file_name: "effects.svg", title, svg, caption }))
}

fn rows_of(effect: &AxisEffect) -> Vec<Row> {
    // The baseline comes first with ratio exactly 1: a row for it would say nothing.
    let others = effect.levels.iter().filter(|level| level.level != effect.baseline);
    others
        .enumerate()
        .map(|(index, level)| Row {
            axis: (index == 0).then(|| printable(&effect.axis)),
            change: format!(
                "{} → {}",
                shortened(&printable(&effect.baseline), 10),
                shortened(&printable(&level.level), 10)
            ),
            rate: usable_estimate(level.rate_ratio),
            p99: usable_estimate(level.p99_ratio),
        })
        .collect()
}

fn draw(canvas: &Canvas<'_>, rows: &[Row], noise: Option<f64>, bottom: f64) -> Result<()> {
    for (index, row) in rows.iter().enumerate() {
        let y = row_middle(index);
        if let Some(axis) = &row.axis {
            let name = shortened(axis, LABEL.bold().fitting(AXIS_WIDTH));
            canvas.text((0.0, y), &name, LABEL.ink(Ink::Text).bold())?;
            let line_y = y - ROW_HEIGHT / 2.0;
            canvas.line((0.0, line_y), (WIDTH, line_y), Ink::Grid, 1.0)?;
        }
        canvas.text((LEVELS_RIGHT, y), &row.change, LABEL.right())?;
    }
    // A tail is no steadier than the rate, so the rate's noise bounds what is said of it too.
    let smallest_change = noise.unwrap_or(0.0).max(SMALLEST_CHANGE_RATIO);
    let rate = Panel {
        heading: "Commits a second",
        less: "← fewer",
        more: "more →",
        left: 310.0,
        right: 560.0,
        values_right: 616.0,
        more_is_better: true,
        noise,
        smallest_change,
        of: |row| row.rate,
    };
    let p99 = Panel {
        heading: "p99 latency",
        less: "← shorter",
        more: "longer →",
        left: 654.0,
        right: 904.0,
        values_right: WIDTH,
        more_is_better: false,
        noise: None,
        smallest_change,
        of: |row| row.p99,
    };
    draw_panel(canvas, &rate, rows, bottom)?;
    draw_panel(canvas, &p99, rows, bottom)?;
    draw_legend(canvas, bottom + 60.0, noise)
}

fn draw_panel(canvas: &Canvas<'_>, panel: &Panel, rows: &[Row], bottom: f64) -> Result<()> {
    let scale = panel_scale(panel, rows);
    canvas.text((panel.left, 44.0), panel.heading, LABEL.ink(Ink::Text).bold())?;
    let band = panel.noise.unwrap_or(0.0);
    if band > 0.0 {
        let (left, right) = (scale.at(1.0 / (1.0 + band)), scale.at(1.0 + band));
        canvas.shade((left, TOP), (right, bottom), Ink::Quiet, 0.22)?;
    }
    for tick in ratio_ticks(&scale, TICK_GAP) {
        let x = scale.at(tick);
        canvas.line((x, TOP), (x, bottom), Ink::Grid, 1.0)?;
        canvas.text((x, bottom + 14.0), &format!("×{tick}"), LABEL.centred().size(11.0))?;
    }
    let one = scale.at(1.0);
    canvas.line((one, TOP - 4.0), (one, bottom), Ink::Muted, 1.5)?;
    canvas.text((panel.left, 62.0), panel.less, LABEL.size(11.0))?;
    canvas.text((panel.right, 62.0), panel.more, LABEL.size(11.0).right())?;
    canvas.text(
        ((panel.left + panel.right) / 2.0, bottom + 32.0),
        "ratio to the baseline level (log scale)",
        LABEL.centred().size(11.0),
    )?;
    for (index, row) in rows.iter().enumerate() {
        let y = row_middle(index);
        let Some(estimate) = (panel.of)(row) else {
            canvas.text((panel.values_right, y), "not measured", LABEL.right().size(11.0))?;
            continue;
        };
        let ink = verdict(estimate, panel.smallest_change, panel.more_is_better);
        canvas.line((scale.at(estimate.low), y), (scale.at(estimate.high), y), ink, 2.5)?;
        canvas.symbol((scale.at(estimate.value), y), 5.0, Symbol::Dot, ink)?;
        canvas.text(
            (panel.values_right, y),
            &ratio(estimate.value),
            LABEL.ink(Ink::Text).right(),
        )?;
    }
    Ok(())
}

/// Wide enough for every interval and the noise band, with 1 on it, and never so narrow that
/// noise looks like a result.
fn panel_scale(panel: &Panel, rows: &[Row]) -> Scale {
    const LEAST_REACH: f64 = 1.05;
    let reach = LEAST_REACH.max(1.0 + 1.5 * panel.noise.unwrap_or(0.0));
    let ends = rows.iter().filter_map(panel.of).flat_map(|ratio| [ratio.low, ratio.high]);
    let domain = extent(ends.chain([1.0 / reach, reach])).unwrap_or(1.0 / reach..reach);
    let margin = (domain.end / domain.start).powf(0.06);
    Scale::logarithmic(domain.start / margin..domain.end * margin, panel.left..panel.right)
}

/// Green or red only where the whole interval lies beyond the noise.
fn verdict(ratio: Estimate, noise: f64, more_is_better: bool) -> Ink {
    let above = ratio.low > 1.0 + noise;
    let below = ratio.high < 1.0 / (1.0 + noise);
    match (above, below) {
        (true, _) if more_is_better => Ink::Green,
        (_, true) if !more_is_better => Ink::Green,
        (false, false) => Ink::Quiet,
        _ => Ink::Red,
    }
}

fn draw_legend(canvas: &Canvas<'_>, y: f64, noise: Option<f64>) -> Result<()> {
    let entries = [
        (Ink::Green, "better", 80.0),
        (Ink::Red, "worse", 76.0),
        (Ink::Quiet, "cannot be told from no change", 240.0),
    ];
    let mut x = 310.0;
    for (ink, label, advance) in entries {
        canvas.line((x - 8.0, y), (x + 8.0, y), ink, 2.5)?;
        canvas.symbol((x, y), 5.0, Symbol::Dot, ink)?;
        canvas.text((x + 14.0, y), label, LABEL)?;
        x += advance;
    }
    if let Some(noise) = noise {
        canvas.shade((x - 6.0, y - 7.0), (x + 8.0, y + 7.0), Ink::Quiet, 0.22)?;
        let label = format!("noise floor ±{} (rate)", format_share(noise));
        canvas.text((x + 14.0, y), &label, LABEL)?;
    }
    Ok(())
}

fn row_middle(index: usize) -> f64 {
    TOP + (as_f64(index) + 0.5) * ROW_HEIGHT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_interval_beyond_the_noise_is_a_verdict() {
        let ratio = |low, high| Estimate { value: (low + high) / 2.0, low, high };
        assert_eq!(verdict(ratio(1.05, 1.10), 0.02, true), Ink::Green);
        assert_eq!(verdict(ratio(1.05, 1.10), 0.02, false), Ink::Red);
        assert_eq!(verdict(ratio(0.80, 0.90), 0.02, true), Ink::Red);
        assert_eq!(verdict(ratio(0.80, 0.90), 0.02, false), Ink::Green);
        assert_eq!(verdict(ratio(1.01, 1.10), 0.02, true), Ink::Quiet);
        assert_eq!(verdict(ratio(0.90, 1.10), 0.0, true), Ink::Quiet);
    }
}
