//! The Pareto front: rate against tail latency, one point a configuration. What is faster at the
//! price of a longer tail lies on the line; what is worse at both lies above it.

use anyhow::Result;

use super::super::view::{View, usable};
use crate::load::{Percentile, Slo};
use crate::page::canvas::{Canvas, Document, Ink, LABEL, Symbol, WIDTH, render};
use crate::page::scale::{Scale, as_f64, extent};
use crate::page::text::count;
use crate::page::{Plot, grid};
use crate::units::{format_rate, format_us};

const LEFT: f64 = 92.0;
const RIGHT: f64 = WIDTH - 16.0;
const TOP: f64 = 66.0;
const BOTTOM: f64 = 400.0;
const LEGEND_Y: f64 = BOTTOM + 64.0;
const HEIGHT: f64 = BOTTOM + 82.0;

/// A wider spread of rates is drawn on a log scale.
const LARGEST_LINEAR_SPREAD: f64 = 20.0;

/// The device's own numbers are on the scale if they are at most so far from what was measured.
const NEAR: f64 = 1.6;

/// A configuration as a point.
struct Point {
    /// Index into the view's rows.
    index: usize,
    id: String,
    rate_per_second: f64,
    tail_us: f64,
    kind: Kind,
    misses_slo: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing is as fast with as short a tail.
    OnLine,
    /// On the front for what this plot does not show.
    OnFront,
    /// Another one is as good in everything and better in something.
    Dominated,
}

/// What is drawn.
struct Front {
    points: Vec<Point>,
    percentile: Percentile,
    /// What was asked of that percentile, microseconds.
    at_most_us: Option<f64>,
    /// Points of the analysis that have no such percentile.
    left_out: usize,
}

pub(super) fn plot(view: &View<'_>) -> Result<Option<Plot>> {
    let front = Front::new(view);
    if front.points.len() < 2 {
        return Ok(None);
    }
    let title = format!("Trade-offs: rate against {} latency", front.percentile.name());
    let caption = front.caption();
    let document = Document { name: "front", title: &title, description: &caption, height: HEIGHT };
    let layout = Layout::new(view, &front);
    let svg = render(&document, |canvas| {
        draw_axes(canvas, &layout, &front)?;
        draw_ceiling(canvas, view, &layout)?;
        draw_objective(canvas, &layout, &front)?;
        canvas.path(&line(&layout, &front), Ink::Blue, 1.5)?;
        draw_points(canvas, view, &layout, &front)?;
        draw_labels(canvas, view, &layout, &front)?;
        draw_legend(canvas, &front)
    })?;
    Ok(Some(Plot { file_name: "front.svg", title, svg, caption }))
}

impl Front {
    /// p99.9 if every point of the front has it, or else p99.
    fn new(view: &View<'_>) -> Self {
        let all = &view.run.analysis.front;
        let has_p999 = all.iter().filter(|one| one.on_front).all(|one| one.p999_us.is_some());
        let percentile = if has_p999 { Percentile::P999 } else { Percentile::P99 };
        let mut points: Vec<Point> = all
            .iter()
            .filter_map(|one| {
                let tail = if has_p999 { one.p999_us } else { one.p99_us };
                let index =
                    view.rows.iter().position(|row| row.configuration.id == one.config_id)?;
                Some(Point {
                    index,
                    id: one.config_id.clone(),
                    rate_per_second: usable(Some(one.rate_per_second))?,
                    tail_us: usable(tail)?,
                    kind: if one.on_front { Kind::OnFront } else { Kind::Dominated },
                    misses_slo: one.meets_slo == Some(false),
                })
            })
            .collect();
        points.sort_by(|a, b| a.rate_per_second.total_cmp(&b.rate_per_second));
        let on_line: Vec<bool> = points.iter().map(|one| !is_dominated(one, &points)).collect();
        for (point, on_line) in points.iter_mut().zip(on_line) {
            if on_line {
                point.kind = Kind::OnLine;
            }
        }
        let asked = view.run.analysis.asked.as_ref();
        let slo: Option<Slo> = asked.and_then(|asked| asked.slo.as_ref()?.parse().ok());
        let limit = slo
            .as_ref()
            .and_then(|slo| slo.limits().iter().find(|limit| limit.percentile == percentile));
        let at_most_us = limit.map(|limit| limit.at_most_us as f64);
        Self { left_out: all.len() - points.len(), points, percentile, at_most_us }
    }

    fn caption(&self) -> String {
        let mut text = format!(
            "Each point is a configuration; lower and further right is better. On the line nothing \
             is as fast with as short a {} latency. Rings are on the front for what is not drawn: \
             bytes to the device, processor time or memory.",
            self.percentile.name()
        );
        if self.points.iter().any(|point| point.misses_slo) {
            text.push_str(" Red wedges miss the objectives.");
        }
        if self.left_out > 0 {
            let (have, are) = if self.left_out == 1 {
                ("1 configuration has".to_owned(), "is")
            } else {
                (format!("{} configurations have", self.left_out), "are")
            };
            text.push_str(&format!(
                " {have} too few commit groups for {} and {are} not shown.",
                self.percentile.name()
            ));
        }
        text
    }
}

/// Whether another point is as good in both and better in one.
fn is_dominated(point: &Point, points: &[Point]) -> bool {
    points.iter().any(|other| {
        let faster = other.rate_per_second - point.rate_per_second;
        let shorter = point.tail_us - other.tail_us;
        faster >= 0.0 && shorter >= 0.0 && (faster > 0.0 || shorter > 0.0)
    })
}

struct Layout {
    x: Scale,
    y: Scale,
    is_log: bool,
}

impl Layout {
    fn new(view: &View<'_>, front: &Front) -> Self {
        let near = |value: Option<f64>, range: &std::ops::Range<f64>| {
            value.filter(|value| *value > range.start / NEAR && *value < range.end * NEAR)
        };
        let rates = || front.points.iter().map(|point| point.rate_per_second);
        let range = extent(rates()).unwrap_or(1.0..10.0);
        let range = extent(rates().chain(near(view.f0_per_second(), &range))).unwrap_or(range);
        let is_log = range.end / range.start > LARGEST_LINEAR_SPREAD;
        let x = if is_log {
            Scale::logarithmic(range.start / 1.2..range.end * 1.2, LEFT..RIGHT)
        } else {
            let margin = (range.end - range.start).max(range.end * 0.02) * 0.08;
            Scale::linear(range.start - margin..range.end + margin, LEFT..RIGHT)
        };
        let tails = || front.points.iter().map(|point| point.tail_us);
        let range = extent(tails()).unwrap_or(1.0..10.0);
        let marks = [near(device_p99_us(view), &range), near(front.at_most_us, &range)];
        let range = extent(tails().chain(marks.into_iter().flatten())).unwrap_or(range);
        let y = Scale::logarithmic(range.start / 1.15..range.end * 1.15, BOTTOM..TOP);
        Self { x, y, is_log }
    }

    fn at(&self, point: &Point) -> (f64, f64) {
        (self.x.at(point.rate_per_second), self.y.at(point.tail_us))
    }
}

fn device_p99_us(view: &View<'_>) -> Option<f64> {
    usable(view.run.manifest.ceiling.as_ref().map(|ceiling| ceiling.durable_write_p99_us))
}

fn draw_axes(canvas: &Canvas<'_>, layout: &Layout, front: &Front) -> Result<()> {
    let label = format!("{} commit latency, µs (log scale)", front.percentile.name());
    canvas.text((0.0, 42.0), &label, LABEL)?;
    grid::levels(canvas, &layout.y, 8, (LEFT, RIGHT))?;
    grid::uprights(canvas, &layout.x, 9, (TOP, BOTTOM))?;
    let scale = if layout.is_log { " (log scale)" } else { "" };
    let middle = ((LEFT + RIGHT) / 2.0, BOTTOM + 36.0);
    canvas.text(middle, &format!("durable commits a second{scale}"), LABEL.centred())?;
    canvas.text((RIGHT, BOTTOM + 36.0), "better ↘", LABEL.bold().right())
}

fn draw_ceiling(canvas: &Canvas<'_>, view: &View<'_>, layout: &Layout) -> Result<()> {
    let small = LABEL.size(11.0);
    if let Some(f0) = view.f0_per_second().filter(|f0| layout.x.contains(*f0)) {
        let x = layout.x.at(f0);
        canvas.dashes((x, TOP), (x, BOTTOM), Ink::Muted)?;
        let label = format!("one durable write at a time (F0): {}", format_rate(f0));
        let left = x < (LEFT + RIGHT) / 2.0;
        let lettering = if left { small } else { small.right() };
        canvas.text((x + if left { 6.0 } else { -6.0 }, TOP + 8.0), &label, lettering)?;
    }
    if let Some(p99_us) = device_p99_us(view).filter(|us| layout.y.contains(*us)) {
        let y = layout.y.at(p99_us);
        canvas.dashes((LEFT, y), (RIGHT, y), Ink::Muted)?;
        let label = format!("the device’s own p99 of a durable write: {}", format_us(p99_us));
        canvas.text((LEFT + 6.0, y - 9.0), &label, small)?;
    }
    Ok(())
}

fn draw_objective(canvas: &Canvas<'_>, layout: &Layout, front: &Front) -> Result<()> {
    let Some(at_most_us) = front.at_most_us.filter(|us| layout.y.contains(*us)) else {
        return Ok(());
    };
    let y = layout.y.at(at_most_us);
    canvas.dashes((LEFT, y), (RIGHT, y), Ink::Red)?;
    let label = format!("{} ≤ {}", front.percentile.name(), format_us(at_most_us));
    canvas.text((RIGHT - 6.0, y - 10.0), &label, LABEL.ink(Ink::Red).bold().right())
}

/// The edge of what can be had: a step at each point of the line.
fn line(layout: &Layout, front: &Front) -> Vec<(f64, f64)> {
    let mut path: Vec<(f64, f64)> = Vec::new();
    for point in front.points.iter().filter(|point| point.kind == Kind::OnLine) {
        let (x, y) = layout.at(point);
        let from = path.last().map_or(LEFT, |last| last.0);
        path.extend([(from, y), (x, y)]);
    }
    if let Some((x, _)) = path.last().copied() {
        path.push((x, TOP));
    }
    path
}

fn draw_points(canvas: &Canvas<'_>, view: &View<'_>, layout: &Layout, front: &Front) -> Result<()> {
    // What matters is drawn last, on top.
    for kind in [Kind::Dominated, Kind::OnFront, Kind::OnLine] {
        for point in front.points.iter().filter(|point| point.kind == kind) {
            let (radius, symbol, ink) = look(point);
            canvas.symbol(layout.at(point), radius, symbol, ink)?;
        }
    }
    for point in front.points.iter().filter(|point| view.recommended == Some(point.index)) {
        canvas.symbol(layout.at(point), 9.0, Symbol::Ring, Ink::Text)?;
    }
    Ok(())
}

fn look(point: &Point) -> (f64, Symbol, Ink) {
    match (point.misses_slo, point.kind) {
        (true, Kind::Dominated) => (3.5, Symbol::Wedge, Ink::Red),
        (true, _) => (5.0, Symbol::Wedge, Ink::Red),
        (false, Kind::OnLine) => (5.0, Symbol::Dot, Ink::Blue),
        (false, Kind::OnFront) => (4.5, Symbol::Ring, Ink::Blue),
        (false, Kind::Dominated) => (3.0, Symbol::Dot, Ink::Quiet),
    }
}

/// Ids of the points of the line, where there is room, the recommended one first.
fn draw_labels(canvas: &Canvas<'_>, view: &View<'_>, layout: &Layout, front: &Front) -> Result<()> {
    let is_recommended = |point: &Point| view.recommended == Some(point.index);
    let mut named: Vec<&Point> = front
        .points
        .iter()
        .filter(|point| point.kind == Kind::OnLine || is_recommended(point))
        .collect();
    named.sort_by_key(|point| !is_recommended(point));
    let mut taken: Vec<Area> =
        front.points.iter().map(|point| Area::around(layout.at(point), 6.0)).collect();
    taken.extend(line(layout, front).windows(2).map(|ends| Area::between(ends[0], ends[1])));
    for point in named {
        let recommended = is_recommended(point);
        let name = if recommended { format!("{} recommended", point.id) } else { point.id.clone() };
        let lettering = if recommended { LABEL.ink(Ink::Text).bold() } else { LABEL };
        let width = as_f64(name.chars().count()) * if recommended { 8.3 } else { 7.5 };
        let (x, y) = layout.at(point);
        let places = [14.0, -14.0, 30.0, -30.0, 46.0, -46.0]
            .into_iter()
            .flat_map(|dy| [(12.0, dy), (-12.0 - width, dy)]);
        let free = places
            .into_iter()
            .map(|(dx, dy)| Area::of_text((x + dx, y + dy), width))
            .find(|area| area.is_on_sheet() && taken.iter().all(|other| !other.overlaps(area)));
        if let Some(area) = free {
            canvas.text((area.left, (area.top + area.bottom) / 2.0), &name, lettering)?;
            taken.push(area);
        }
    }
    Ok(())
}

/// Room that is taken on the sheet.
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Area {
    fn around((x, y): (f64, f64), radius: f64) -> Self {
        Self { left: x - radius, right: x + radius, top: y - radius, bottom: y + radius }
    }

    fn between(from: (f64, f64), to: (f64, f64)) -> Self {
        let (left, right) = (from.0.min(to.0) - 2.0, from.0.max(to.0) + 2.0);
        Self { left, right, top: from.1.min(to.1) - 2.0, bottom: from.1.max(to.1) + 2.0 }
    }

    fn of_text((left, middle): (f64, f64), width: f64) -> Self {
        Self { left, right: left + width, top: middle - 8.0, bottom: middle + 8.0 }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }

    fn is_on_sheet(&self) -> bool {
        self.left >= LEFT && self.right <= RIGHT && self.top >= TOP && self.bottom <= BOTTOM
    }
}

fn draw_legend(canvas: &Canvas<'_>, front: &Front) -> Result<()> {
    let has = |kind: Kind| front.points.iter().any(|p| p.kind == kind && !p.misses_slo);
    let dominated = front.points.iter().filter(|point| point.kind == Kind::Dominated).count();
    let misses = front.points.iter().any(|point| point.misses_slo);
    let beaten = format!("beaten by another one ({})", count(dominated as u64));
    let entries = [
        (has(Kind::OnLine), Symbol::Dot, Ink::Blue, "on the line", 110.0),
        (has(Kind::OnFront), Symbol::Ring, Ink::Blue, "on the front for another cost", 222.0),
        (dominated > 0, Symbol::Dot, Ink::Quiet, beaten.as_str(), 200.0),
        (misses, Symbol::Wedge, Ink::Red, "misses the objectives", 160.0),
    ];
    let mut x = LEFT + 6.0;
    for (_, symbol, ink, label, advance) in entries.into_iter().filter(|entry| entry.0) {
        canvas.symbol((x, LEGEND_Y), 4.5, symbol, ink)?;
        canvas.text((x + 12.0, LEGEND_Y), label, LABEL)?;
        x += advance;
    }
    canvas.symbol((x, LEGEND_Y), 8.0, Symbol::Ring, Ink::Text)?;
    canvas.text((x + 14.0, LEGEND_Y), "recommended", LABEL)
}

#[cfg(test)]
mod tests {
    use super::super::super::synthetic::Synthetic;
    use super::*;
    use crate::store::schema::Asked;

    #[test]
    fn the_line_is_what_nothing_beats_in_rate_and_tail_together() {
        let mut synthetic = Synthetic::small();
        let numbers = [(100.0, 50.0), (90.0, 60.0), (80.0, 40.0), (80.0, 45.0)];
        for (point, (rate, tail)) in synthetic.analysis.front.iter_mut().zip(numbers) {
            (point.rate_per_second, point.p999_us) = (rate, Some(tail));
            point.on_front = rate > 85.0;
        }
        let front = Front::new(&View::new(synthetic.run()));
        let mut kinds: Vec<(String, Kind)> =
            front.points.iter().map(|point| (point.id.clone(), point.kind)).collect();
        kinds.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [Kind::OnLine, Kind::OnFront, Kind::OnLine, Kind::Dominated];
        for ((id, kind), expected) in kinds.into_iter().zip(expected) {
            assert_eq!(kind, expected, "{id}");
        }
    }

    #[test]
    fn a_front_without_p999_is_drawn_with_p99_and_says_what_is_missing() {
        let mut synthetic = Synthetic::small();
        for point in &mut synthetic.analysis.front {
            (point.p999_us, point.on_front) = (None, true);
        }
        synthetic.analysis.front[3].p99_us = None;
        let front = Front::new(&View::new(synthetic.run()));
        assert_eq!((front.percentile, front.points.len(), front.left_out), (Percentile::P99, 3, 1));
        assert!(front.caption().contains("1 configuration has too few commit groups for p99 "));
    }

    #[test]
    fn an_objective_is_drawn_where_it_is_of_the_percentile_shown() {
        let mut synthetic = Synthetic::small();
        let mut limit = |slo: &str| {
            let slo = Some(slo.to_owned());
            synthetic.analysis.asked = Some(Asked { slo, objective: "rate".to_owned() });
            Front::new(&View::new(synthetic.run())).at_most_us
        };
        assert_eq!(limit("p99=1ms,p99.9=5ms"), Some(5_000.0));
        assert_eq!(limit("p99=1ms"), None);
    }

    #[test]
    fn an_older_analysis_has_no_front_and_no_plot() {
        let mut synthetic = Synthetic::full();
        synthetic.analysis.front.clear();
        assert_eq!(plot(&View::new(synthetic.run())).unwrap(), None);
    }
}
