//! A number over the runs of a history, by date: a dot a run, the level between change points, and
//! each change point with its size.

use std::ops::Range;

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::series::{Entry, History, Series};
use crate::page::canvas::{Canvas, Document, Ink, LABEL, Symbol, WIDTH, render};
use crate::page::scale::{Scale, as_f64, extent};
use crate::page::text::{number, shortened};
use crate::page::{Plot, grid};
use crate::stats::median;
use crate::store::quantity::Quantity;
use crate::units::format_change;

const LEFT: f64 = 92.0;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 96.0;
const BOTTOM: f64 = 320.0;
const HEIGHT: f64 = 366.0;
/// Names of change points stand on so many lines, so that neighbours do not write over each other.
const NAME_LINES: usize = 3;

const SMALL_COLUMNS: usize = 3;
const SMALL_GAP: f64 = 24.0;
const SMALL_HEIGHT: f64 = 118.0;
const SMALL_TOP: f64 = 40.0;

/// Steps between dates on the axis, seconds: from a second to a year.
const STEPS: [i64; 16] = [
    1, 10, 60, 600, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600, 2_592_000,
    7_862_400, 15_724_800, 31_536_000,
];
const DAY: i64 = 86_400;

/// One number by itself.
pub(super) fn plot(history: &History, series: &Series, name: &str) -> Result<Plot> {
    let quantity = series.quantity;
    let title = format!("{} of {}", name_of(quantity), series.scope);
    let better = if quantity.bigger_is_better() { "Higher" } else { "Lower" };
    let caption = format!(
        "Each dot is a run: the median over its blocks. {better} is better. The line is the level \
         {}.",
        match series.shifts.len() {
            0 => "over all of them: there is no change point".to_owned(),
            1 => "before and after the one change point".to_owned(),
            n => format!("between the {n} change points"),
        }
    );
    let document = Document { name, title: &title, description: &caption, height: HEIGHT };
    let times = times(&history.entries);
    let svg = render(&document, |canvas| {
        let x = Scale::linear(times[0]..times[times.len() - 1], LEFT + 12.0..RIGHT - 12.0);
        let y = values_scale(series, BOTTOM..TOP);
        draw_axes(canvas, series, (&x, &y), &times)?;
        draw_series(canvas, series, (&x, &y), &times, 3.5)?;
        draw_change_points(canvas, series, &x, &times)
    })
    .with_context(|| format!("cannot draw the {title}"))?;
    Ok(Plot { file_name: "history.svg", title, svg, caption })
}

/// Many numbers side by side, each on a scale of its own.
pub(super) fn small_multiples(history: &History, all: &[&Series], name: &str) -> Result<Plot> {
    let quantity = all.first().map_or_else(String::new, |series| name_of(series.quantity));
    let title = format!("{quantity}, configuration by configuration");
    let (first, last) = (history.entries.first(), history.entries.last());
    let day = |entry: Option<&Entry>| {
        entry.map_or("", |entry| entry.started_utc.get(..10).unwrap_or_default()).to_owned()
    };
    let caption = format!(
        "The same runs, {} to {}; each plot is scaled for itself, and its ends are written beside \
         it. Dashed lines are change points.",
        day(first),
        day(last)
    );
    let lines = all.len().div_ceil(SMALL_COLUMNS);
    let height = SMALL_TOP + as_f64(lines) * SMALL_HEIGHT;
    let document = Document { name, title: &title, description: &caption, height };
    let times = times(&history.entries);
    let width = (WIDTH - as_f64(SMALL_COLUMNS - 1) * SMALL_GAP) / as_f64(SMALL_COLUMNS);
    let svg = render(&document, |canvas| {
        for (index, series) in all.iter().enumerate() {
            let left = as_f64(index % SMALL_COLUMNS) * (width + SMALL_GAP);
            let top = SMALL_TOP + as_f64(index / SMALL_COLUMNS) * SMALL_HEIGHT;
            draw_small(canvas, series, &times, (left, left + width), top)?;
        }
        Ok(())
    })
    .with_context(|| format!("cannot draw the {title}"))?;
    Ok(Plot { file_name: "history.svg", title, svg, caption })
}

/// Its name as a heading begins.
pub(super) fn name_of(quantity: Quantity) -> String {
    let mut name = quantity.name().to_owned();
    // A percentile is written small everywhere.
    let is_percentile = matches!(quantity, Quantity::P50 | Quantity::P99 | Quantity::P999);
    if let Some(first) = name.get_mut(..1).filter(|_| !is_percentile) {
        first.make_ascii_uppercase();
    }
    name
}

/// When the runs began, seconds; their order where that is not known or all the same.
fn times(entries: &[Entry]) -> Vec<f64> {
    let known: Option<Vec<f64>> = entries
        .iter()
        .map(|entry| entry.started_utc.parse::<Timestamp>().ok())
        .map(|time| time.map(|time| time.as_second() as f64))
        .collect();
    let differ = |times: &Vec<f64>| times.first() < times.last();
    known.filter(differ).unwrap_or_else(|| (0..entries.len().max(1)).map(as_f64).collect())
}

fn values_scale(series: &Series, pixels: Range<f64>) -> Scale {
    let range = extent(series.values.iter().copied()).unwrap_or(0.0..1.0);
    let margin = ((range.end - range.start) * 0.08).max(range.end.abs() * 0.02);
    Scale::linear(range.start - margin..range.end + margin, pixels)
}

fn draw_axes(
    canvas: &Canvas<'_>,
    series: &Series,
    (x, y): (&Scale, &Scale),
    times: &[f64],
) -> Result<()> {
    let quantity = series.quantity;
    let label = format!("{}, {}", quantity.name(), quantity.unit());
    canvas.text((0.0, 40.0), &label, LABEL)?;
    grid::levels(canvas, y, 6, (LEFT, RIGHT))?;
    for (time, label) in dates(times) {
        canvas.line((x.at(time), TOP), (x.at(time), BOTTOM), Ink::Grid, 1.0)?;
        canvas.text((x.at(time), BOTTOM + 16.0), &label, LABEL.centred())?;
    }
    canvas.text(((LEFT + RIGHT) / 2.0, BOTTOM + 36.0), "start of the run, UTC", LABEL.centred())
}

/// Round moments to mark, few enough for their labels.
#[allow(clippy::cast_possible_truncation, reason = "seconds since 1970 fit by far")]
fn dates(times: &[f64]) -> Vec<(f64, String)> {
    const MOST: i64 = 7;
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return Vec::new() };
    let (first, last) = (first.floor() as i64, last.ceil() as i64);
    let step = STEPS.into_iter().find(|step| (last - first) / step <= MOST);
    let step = step.unwrap_or_else(|| ((last - first) / MOST / DAY + 1) * DAY);
    let format = match step {
        DAY.. => "%Y-%m-%d",
        60.. => "%m-%d %H:%M",
        _ => "%H:%M:%S",
    };
    let start = first + (step - first.rem_euclid(step)) % step;
    (0..=MOST)
        .map(|index| start + index * step)
        .filter(|second| *second <= last)
        .filter_map(|second| Some((second, Timestamp::from_second(second).ok()?)))
        .map(|(second, time)| (second as f64, time.strftime(format).to_string()))
        .collect()
}

/// Dots, and the level between one change point and the next.
fn draw_series(
    canvas: &Canvas<'_>,
    series: &Series,
    (x, y): (&Scale, &Scale),
    times: &[f64],
    radius: f64,
) -> Result<()> {
    let points: Vec<(f64, f64)> =
        times.iter().zip(&series.values).map(|(time, value)| (x.at(*time), y.at(*value))).collect();
    for point in &points {
        canvas.symbol(*point, radius, Symbol::Dot, Ink::Quiet)?;
    }
    let ends = series.first_runs().chain([points.len()]);
    let mut start = 0;
    for end in ends {
        let Some(level) = series.values.get(start..end).and_then(median) else { continue };
        let (from, to) = (points[start].0 - 4.0, points[end - 1].0 + 4.0);
        canvas.line((from, y.at(level)), (to, y.at(level)), Ink::Blue, 2.5)?;
        start = end;
    }
    Ok(())
}

/// Halfway between the last run before it and the first one after.
fn boundary(x: &Scale, times: &[f64], first: usize) -> f64 {
    f64::midpoint(x.at(times[first - 1]), x.at(times[first]))
}

fn draw_change_points(
    canvas: &Canvas<'_>,
    series: &Series,
    x: &Scale,
    times: &[f64],
) -> Result<()> {
    for (index, (first, point)) in series.first_runs().zip(&series.shifts).enumerate() {
        let at = boundary(x, times, first);
        let ink = if point.is_worse { Ink::Red } else { Ink::Green };
        let line_y = 58.0 + as_f64(index % NAME_LINES) * 15.0;
        canvas.dashes((at, line_y + 8.0), (at, BOTTOM), ink)?;
        let name = shortened(&point.first.name, 34);
        let label = format!("{} since {name}", format_change(point.ratio));
        let lettering = LABEL.ink(ink).bold();
        if at > (LEFT + RIGHT) / 2.0 {
            canvas.text((at + 4.0, line_y), &label, lettering.right())?;
        } else {
            canvas.text((at - 4.0, line_y), &label, lettering)?;
        }
    }
    Ok(())
}

fn draw_small(
    canvas: &Canvas<'_>,
    series: &Series,
    times: &[f64],
    (left, right): (f64, f64),
    top: f64,
) -> Result<()> {
    let (top, bottom) = (top + 24.0, top + SMALL_HEIGHT - 20.0);
    let small = LABEL.size(11.0);
    let change: String = series
        .shifts
        .last()
        .map_or_else(String::new, |point| format!("{} ", format_change(point.ratio)));
    let scope = shortened(&series.scope, small.fitting(right - left - 66.0));
    canvas.text((left, top - 12.0), &scope, small.ink(Ink::Text))?;
    if let Some(point) = series.shifts.last() {
        let ink = if point.is_worse { Ink::Red } else { Ink::Green };
        canvas.text((right, top - 12.0), &change, small.ink(ink).bold().right())?;
    }
    let range = extent(series.values.iter().copied()).unwrap_or(0.0..1.0);
    let y = values_scale(series, bottom..top);
    let x = Scale::linear(times[0]..times[times.len() - 1], left + 62.0..right - 6.0);
    canvas.line((left + 54.0, bottom), (right, bottom), Ink::Grid, 1.0)?;
    for value in [range.start, range.end] {
        canvas.text((left + 50.0, y.at(value)), &number(value), small.right())?;
    }
    draw_series(canvas, series, (&x, &y), times, 1.8)?;
    for (first, point) in series.first_runs().zip(&series.shifts) {
        let ink = if point.is_worse { Ink::Red } else { Ink::Green };
        let at = boundary(&x, times, first);
        canvas.dashes((at, top), (at, bottom), ink)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_round_and_few_at_every_length() {
        let from = |seconds: f64| {
            let start = 1_780_279_200.0; // 2026-06-01T02:00:00Z
            dates(&[start, start + seconds])
        };
        for seconds in [0.0, 5.0, 300.0, 9_000.0, 86_400.0, 1e6, 2.5e6, 1e8, 1e10] {
            let found = from(seconds);
            assert!(found.len() <= 8, "{seconds}: {found:?}");
            assert!(seconds < 5.0 || !found.is_empty(), "{seconds}");
        }
        let month: Vec<String> = from(29.0 * 86_400.0).into_iter().map(|date| date.1).collect();
        assert_eq!(month, ["2026-06-04", "2026-06-11", "2026-06-18", "2026-06-25"]);
    }

    #[test]
    fn runs_without_a_date_keep_their_order() {
        let entry = |started_utc: &str| Entry {
            name: String::new(),
            started_utc: started_utc.to_owned(),
            plimsoll_version: String::new(),
            kernel: String::new(),
        };
        let same = entry("2026-06-01T02:00:00Z");
        assert_eq!(times(&[same.clone(), same.clone()]), [0.0, 1.0]);
        assert_eq!(times(&[entry("yesterday"), same.clone()]), [0.0, 1.0]);
        assert_eq!(times(&[same, entry("2026-06-01T02:01:00Z")])[0], 1_780_279_200.0);
    }
}
