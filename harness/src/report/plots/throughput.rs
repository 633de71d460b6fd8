//! Throughput as a specification curve: every configuration in the order of its rate, and below
//! each the levels it ran with, so that what fast configurations have in common is seen.

use anyhow::Result;

use super::super::view::{Row, View};
use crate::page::canvas::{CATEGORIES, Canvas, Document, Ink, LABEL, Symbol, WIDTH, render};
use crate::page::scale::{Scale, as_f64, extent};
use crate::page::text::{number, shortened};
use crate::page::{Plot, grid};

const LEFT: f64 = 206.0;
const RIGHT: f64 = WIDTH - 16.0;
const TOP: f64 = 86.0;
const BOTTOM: f64 = 380.0;
const LEVEL_HEIGHT: f64 = 16.0;
const AXIS_GAP: f64 = 8.0;
const MATRIX_TOP: f64 = BOTTOM + 26.0;

/// A rate spread wider than this is drawn on a log scale.
const LARGEST_LINEAR_SPREAD: f64 = 20.0;

/// Where columns and rates lie on the sheet.
struct Layout {
    /// Indexes into the view's rows, slowest first.
    order: Vec<usize>,
    column_width: f64,
    y: Scale,
    is_log: bool,
    /// The axis that sets the colour.
    colour_axis: Option<usize>,
    /// F0, if it is on the scale.
    f0_per_second: Option<f64>,
}

pub(super) fn plot(view: &View<'_>) -> Result<Option<Plot>> {
    if view.by_rate.is_empty() {
        return Ok(None);
    }
    let layout = Layout::new(view);
    let title = "Commits a second, every configuration".to_owned();
    let document = Document {
        name: "throughput",
        title: &title,
        description: &caption(view, &layout),
        height: MATRIX_TOP + matrix_height(view) + 10.0,
    };
    let svg = render(&document, |canvas| {
        draw_marked_columns(canvas, view, &layout)?;
        draw_axis(canvas, &layout)?;
        draw_rates(canvas, view, &layout)?;
        draw_matrix(canvas, view, &layout)
    })?;
    let caption = caption(view, &layout);
    Ok(Some(Plot { file_name: "throughput.svg", title, svg, caption }))
}

fn caption(view: &View<'_>, layout: &Layout) -> String {
    let mut caption = format!(
        "{} configurations from slowest to fastest: median over blocks with its 95 % interval. \
         The dots below a configuration are its settings.",
        layout.order.len()
    );
    if let Some(axis) = layout.colour_axis {
        let name = &view.axes[axis];
        caption.push_str(&format!(" Coloured by {name}, the axis with the largest effect."));
    }
    match (layout.f0_per_second, view.f0_per_second()) {
        (Some(_), _) => caption.push_str(
            " The dashed line is the device's own rate of one durable write at a time (F0); only \
             records that share a write, or writes in flight together, can pass it.",
        ),
        (None, Some(f0)) => caption.push_str(&format!(
            " The device's own rate of one durable write at a time (F0), {} a second, is beyond \
             the scale.",
            number(f0)
        )),
        (None, None) => {}
    }
    let unmeasured = view.rows.len() - layout.order.len();
    if unmeasured > 0 {
        caption.push_str(&format!(" {unmeasured} configurations have no rate and are not shown."));
    }
    caption
}

impl Layout {
    fn new(view: &View<'_>) -> Self {
        let order: Vec<usize> = view.by_rate.iter().rev().copied().collect();
        let rates = || order.iter().filter_map(|&index| view.rows[index].rate_per_second);
        let spread = extent(rates().flat_map(|rate| [rate.low, rate.high])).unwrap_or(1.0..10.0);
        // A ceiling far above everything would flatten what is compared.
        let f0_per_second =
            view.f0_per_second().filter(|f0| *f0 < spread.end * 3.0 && *f0 > spread.start / 30.0);
        let highest = spread.end.max(f0_per_second.unwrap_or(0.0));
        let is_log = highest / spread.start > LARGEST_LINEAR_SPREAD;
        let y = if is_log {
            let lowest = spread.start.min(f0_per_second.unwrap_or(spread.start));
            Scale::logarithmic(lowest / 1.3..highest * 1.2, BOTTOM..TOP)
        } else {
            Scale::linear(0.0..highest * 1.06, BOTTOM..TOP)
        };
        Layout {
            column_width: (RIGHT - LEFT) / as_f64(order.len()),
            order,
            y,
            is_log,
            colour_axis: view.strongest_axis(),
            f0_per_second,
        }
    }

    fn x(&self, column: usize) -> f64 {
        LEFT + (as_f64(column) + 0.5) * self.column_width
    }

    fn ink(&self, view: &View<'_>, row: &Row<'_>) -> Ink {
        self.colour_axis.map_or(Ink::Blue, |axis| level_ink(view, axis, row.levels.get(axis)))
    }

    fn column_of(&self, index: Option<usize>) -> Option<usize> {
        self.order.iter().position(|&other| Some(other) == index)
    }
}

fn level_ink(view: &View<'_>, axis: usize, level: Option<&String>) -> Ink {
    let levels = view.levels(axis);
    let position = levels.iter().position(|known| Some(known) == level).unwrap_or(0);
    CATEGORIES[position % CATEGORIES.len()]
}

/// Shaded columns for the recommended and the baseline, named above; on two lines, so that
/// neighbours do not write over each other.
fn draw_marked_columns(canvas: &Canvas<'_>, view: &View<'_>, layout: &Layout) -> Result<()> {
    let bottom = MATRIX_TOP + matrix_height(view);
    let both = view.recommended.is_some() && view.recommended == view.baseline;
    let name = if both { "recommended = baseline" } else { "recommended" };
    let marks = [
        (view.recommended, name, Ink::Text, 62.0, 0.26),
        (view.baseline.filter(|_| !both), "baseline", Ink::Muted, 77.0, 0.14),
    ];
    for (index, name, ink, label_y, opacity) in marks {
        let Some(column) = layout.column_of(index) else {
            continue;
        };
        let (x, half) = (layout.x(column), (layout.column_width / 2.0).clamp(2.0, 12.0));
        canvas.shade((x - half, label_y + 9.0), (x + half, bottom), Ink::Quiet, opacity)?;
        let lettering = LABEL.ink(ink).bold();
        if x > (LEFT + RIGHT) / 2.0 {
            canvas.text((x + half, label_y), name, lettering.right())?;
        } else {
            canvas.text((x - half, label_y), name, lettering)?;
        }
    }
    Ok(())
}

fn draw_axis(canvas: &Canvas<'_>, layout: &Layout) -> Result<()> {
    let scale = if layout.is_log { " (log scale)" } else { "" };
    canvas.text((0.0, 42.0), &format!("durable commits a second{scale}"), LABEL)?;
    grid::levels(canvas, &layout.y, 6, (LEFT, RIGHT))?;
    canvas.text((LEFT, BOTTOM + 13.0), "slowest", LABEL.size(11.0))?;
    canvas.text((RIGHT, BOTTOM + 13.0), "fastest", LABEL.size(11.0).right())
}

fn draw_rates(canvas: &Canvas<'_>, view: &View<'_>, layout: &Layout) -> Result<()> {
    let radius = (layout.column_width * 0.36).clamp(1.2, 5.0);
    if let Some(f0) = layout.f0_per_second {
        let y = layout.y.at(f0);
        canvas.dashes((LEFT, y), (RIGHT, y), Ink::Muted)?;
        let label = format!("one durable write at a time (F0): {} /s", number(f0));
        // Rates rise to the right, so the upper left is free, or else all below the line is, where
        // the line leaves room for it.
        let slowest = layout.order.first().and_then(|&index| view.rows[index].rate_per_second);
        if slowest.is_some_and(|rate| rate.low > f0) && y + 22.0 < BOTTOM {
            canvas.text((LEFT + 6.0, y + 13.0), &label, LABEL)?;
        } else {
            canvas.text((LEFT + 6.0, y - 12.0), &label, LABEL)?;
        }
    }
    for (column, &index) in layout.order.iter().enumerate() {
        let row = &view.rows[index];
        let Some(rate) = row.rate_per_second else {
            continue;
        };
        let (x, ink) = (layout.x(column), layout.ink(view, row));
        canvas.line((x, layout.y.at(rate.low)), (x, layout.y.at(rate.high)), ink, 1.5)?;
        canvas.symbol((x, layout.y.at(rate.value)), radius, Symbol::Dot, ink)?;
        if view.recommended == Some(index) {
            canvas.symbol((x, layout.y.at(rate.value)), radius + 4.0, Symbol::Ring, Ink::Text)?;
        }
    }
    Ok(())
}

fn draw_matrix(canvas: &Canvas<'_>, view: &View<'_>, layout: &Layout) -> Result<()> {
    let radius = (layout.column_width * 0.32).clamp(0.8, 4.0);
    let mut top = MATRIX_TOP;
    for (axis, name) in view.axes.iter().enumerate() {
        let is_colour = layout.colour_axis == Some(axis);
        canvas.line((0.0, top - AXIS_GAP / 2.0), (RIGHT, top - AXIS_GAP / 2.0), Ink::Grid, 1.0)?;
        let name = shortened(name, LABEL.bold().fitting(118.0));
        canvas.text((0.0, top + LEVEL_HEIGHT / 2.0), &name, LABEL.ink(Ink::Text).bold())?;
        for level in view.levels(axis) {
            let y = top + LEVEL_HEIGHT / 2.0;
            let ink = if is_colour { level_ink(view, axis, Some(&level)) } else { Ink::Quiet };
            canvas.text(
                (LEFT - 14.0, y),
                &shortened(&level, LABEL.fitting(74.0)),
                LABEL.right(),
            )?;
            for (column, &index) in layout.order.iter().enumerate() {
                if view.rows[index].levels.get(axis) == Some(&level) {
                    canvas.symbol((layout.x(column), y), radius, Symbol::Dot, ink)?;
                }
            }
            top += LEVEL_HEIGHT;
        }
        top += AXIS_GAP;
    }
    Ok(())
}

fn matrix_height(view: &View<'_>) -> f64 {
    (0..view.axes.len()).map(|axis| as_f64(view.levels(axis).len()) * LEVEL_HEIGHT + AXIS_GAP).sum()
}

#[cfg(test)]
mod tests {
    use super::super::super::synthetic::Synthetic;
    use super::*;

    #[test]
    fn columns_rise_and_the_strongest_axis_gives_the_colour() {
        let synthetic = Synthetic::with_refusals();
        let view = View::new(synthetic.run());
        let layout = Layout::new(&view);
        assert_eq!(layout.order.len(), 64, "32 of 96 were refused");
        let rates =
            layout.order.iter().map(|&index| view.rows[index].rate_per_second.unwrap().value);
        assert!(rates.is_sorted());
        assert_eq!(layout.colour_axis.map(|axis| view.axes[axis].as_str()), Some("engine"));
        assert!(caption(&view, &layout).contains("32 configurations have no rate"));
    }

    #[test]
    fn a_ceiling_out_of_reach_is_told_and_not_drawn() {
        let mut synthetic = Synthetic::small();
        synthetic.manifest.ceiling.as_mut().unwrap().durable_writes_per_second = 5e6;
        let view = View::new(synthetic.run());
        let layout = Layout::new(&view);
        assert_eq!(layout.f0_per_second, None);
        assert!(caption(&view, &layout).contains("5,000,000 a second, is beyond the scale"));
    }
}
