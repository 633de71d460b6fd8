//! The latency percentile spectrum: latency over percentile, both logarithmic, for the
//! configurations a person compares. A line ends where its sample no longer supports it.

use anyhow::Result;
use hdrhistogram::Histogram;

use super::super::view::{Row, View};
use crate::page::canvas::{Canvas, Document, Ink, LABEL, Symbol, WIDTH, render};
use crate::page::scale::{Scale, as_f64, extent};
use crate::page::text::{estimate, optional_number, wrapped};
use crate::page::{Plot, grid};
use crate::stats::supports;

const LEFT: f64 = 58.0;
const RIGHT: f64 = WIDTH - 16.0;
const TOP: f64 = 62.0;
const BOTTOM: f64 = 392.0;
const LEGEND_TOP: f64 = BOTTOM + 66.0;
const LEGEND_LINE: f64 = 17.0;
const LEGEND_GAP: f64 = 7.0;
const ROLE_X: f64 = 58.0;
const DESCRIPTION_X: f64 = 292.0;
const DESCRIPTION_WIDTH: f64 = 440.0;
const NUMBERS_RIGHT: [f64; 3] = [796.0, 870.0, RIGHT];

/// Percentiles are marked and reached up to five nines; beyond, a run would take days.
const MARKS: [(f64, &str); 6] = [
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (0.99999, "99.999 %"),
];

/// One configuration's line.
struct Line {
    roles: String,
    description: Vec<String>,
    /// p50, p99 and p99.9 as the tables print them.
    numbers: [String; 3],
    /// Nines of the percentile, and latency in µs.
    points: Vec<(f64, f64)>,
    marks: Vec<(f64, f64)>,
    ink: Ink,
    symbol: Symbol,
}

pub(super) fn plot(view: &View<'_>) -> Result<Option<Plot>> {
    let lines: Vec<Line> =
        chosen(view).into_iter().filter_map(|chosen| line(view, &chosen)).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let title = "Commit latency by percentile".to_owned();
    let caption = "How long a commit took, from the call to the durable acknowledgement, all \
                   blocks together. Each step to the right is ten times rarer. A line ends where \
                   the number of commit groups no longer supports the percentile with 99 % \
                   confidence."
        .to_owned();
    let legend: f64 = lines.iter().map(legend_height).sum();
    let height = LEGEND_TOP + legend + 4.0;
    let document = Document { name: "latency", title: &title, description: &caption, height };
    let svg = render(&document, |canvas| draw(canvas, &lines))?;
    Ok(Some(Plot { file_name: "latency.svg", title, svg, caption }))
}

/// A configuration and why it is shown.
struct Chosen {
    index: usize,
    roles: Vec<&'static str>,
}

/// The recommended, the baseline, the fastest and slowest, and the ends of p99: each once, with
/// all the roles it has.
fn chosen(view: &View<'_>) -> Vec<Chosen> {
    let p99 = |index: &usize| view.rows[*index].p99_us.map_or(f64::NAN, |p99| p99.value);
    let with_p99 = || (0..view.rows.len()).filter(|index| view.rows[*index].p99_us.is_some());
    let candidates = [
        ("Recommended", view.recommended),
        ("Baseline", view.baseline),
        ("Fastest", view.by_rate.first().copied()),
        ("Slowest", view.by_rate.last().copied()),
        ("Lowest p99", with_p99().min_by(|a, b| p99(a).total_cmp(&p99(b)))),
        ("Highest p99", with_p99().max_by(|a, b| p99(a).total_cmp(&p99(b)))),
    ];
    let mut chosen: Vec<Chosen> = Vec::new();
    for (role, index) in candidates {
        let Some(index) = index else { continue };
        match chosen.iter_mut().find(|one| one.index == index) {
            Some(one) => one.roles.push(role),
            None => chosen.push(Chosen { index, roles: vec![role] }),
        }
    }
    chosen
}

fn line(view: &View<'_>, chosen: &Chosen) -> Option<Line> {
    let row = &view.rows[chosen.index];
    let histogram = view.run.latency_ns_by_config.get(&row.configuration.id)?;
    let points = spectrum(histogram, row);
    let marks = points.iter().copied().filter(|(nines, _)| is_mark(*nines)).collect();
    let (ink, symbol) = match chosen.roles.first() {
        Some(&"Recommended") => (Ink::Blue, Symbol::Dot),
        Some(&"Baseline") => (Ink::Muted, Symbol::Square),
        Some(&"Fastest") => (Ink::Green, Symbol::Triangle),
        Some(&"Slowest") => (Ink::Red, Symbol::Wedge),
        Some(&"Lowest p99") => (Ink::Purple, Symbol::Diamond),
        _ => (Ink::Orange, Symbol::Ring),
    };
    let mut roles = chosen.roles.join(", ").to_lowercase();
    if let Some(first) = roles.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    (!points.is_empty()).then(|| Line {
        roles,
        description: wrapped(&view.description(chosen.index), LABEL.fitting(DESCRIPTION_WIDTH)),
        numbers: [estimate(row.p50_us), estimate(row.p99_us), optional_number(row.p999_us)],
        points,
        marks,
        ink,
        symbol,
    })
}

/// Latency in µs at 60 steps a nine, up to the last percentile that the commit groups support.
#[allow(clippy::cast_precision_loss, reason = "a latency is drawn to three digits")]
fn spectrum(histogram: &Histogram<u64>, row: &Row<'_>) -> Vec<(f64, f64)> {
    const STEPS_PER_NINE: usize = 60;
    let steps = (0..=5 * STEPS_PER_NINE).map(|step| as_f64(step) / as_f64(STEPS_PER_NINE));
    let median = nines_of(MARKS[0].0);
    std::iter::once(median)
        .chain(steps.filter(|nines| *nines > median))
        .map(|nines| (nines, 1.0 - 10f64.powf(-nines)))
        .take_while(|(_, quantile)| supports(*quantile, row.counts.commit_groups))
        .map(|(nines, quantile)| (nines, histogram.value_at_quantile(quantile) as f64 / 1e3))
        .filter(|(_, latency_us)| *latency_us > 0.0)
        .collect()
}

/// How many nines a percentile has: 1 for 90 %, 2 for 99 %.
fn nines_of(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

fn is_mark(nines: f64) -> bool {
    MARKS.iter().any(|(quantile, _)| (nines_of(*quantile) - nines).abs() < 1e-6)
}

fn draw(canvas: &Canvas<'_>, lines: &[Line]) -> Result<()> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let furthest = extent(points().map(|point| point.0)).map_or(2.0, |nines| nines.end.max(2.0));
    let x = Scale::linear(nines_of(MARKS[0].0)..furthest + 0.06, LEFT..RIGHT);
    let latency = extent(points().map(|point| point.1)).unwrap_or(1.0..10.0);
    let y = Scale::logarithmic(latency.start / 1.15..latency.end * 1.15, BOTTOM..TOP);

    canvas.text((0.0, 42.0), "commit latency, µs (log scale)", LABEL)?;
    grid::levels(canvas, &y, 8, (LEFT, RIGHT))?;
    for (quantile, label) in MARKS {
        let nines = nines_of(quantile);
        if x.contains(nines) {
            canvas.line((x.at(nines), TOP), (x.at(nines), BOTTOM), Ink::Grid, 1.0)?;
            canvas.text((x.at(nines), BOTTOM + 16.0), label, LABEL.centred())?;
        }
    }
    canvas.text(
        ((LEFT + RIGHT) / 2.0, BOTTOM + 35.0),
        "share of commits that took at most so long (log scale of 1 ∕ (1 − share))",
        LABEL.centred(),
    )?;
    // The most important line comes first and is drawn last, on top.
    for (index, line) in lines.iter().enumerate().rev() {
        let path: Vec<(f64, f64)> = line.points.iter().map(|p| (x.at(p.0), y.at(p.1))).collect();
        canvas.path(&path, line.ink, if index == 0 { 3.0 } else { 2.0 })?;
        for mark in &line.marks {
            canvas.symbol((x.at(mark.0), y.at(mark.1)), 4.5, line.symbol, line.ink)?;
        }
    }
    draw_legend(canvas, lines)
}

fn draw_legend(canvas: &Canvas<'_>, lines: &[Line]) -> Result<()> {
    let mut top = LEGEND_TOP;
    let small = LABEL.size(11.0);
    for (x, heading) in NUMBERS_RIGHT.into_iter().zip(["p50 µs", "p99 µs", "p99.9 µs"]) {
        canvas.text((x, top - 14.0), heading, small.right())?;
    }
    for line in lines {
        let y = top + LEGEND_LINE / 2.0;
        canvas.line((ROLE_X - 46.0, y), (ROLE_X - 14.0, y), line.ink, 2.5)?;
        canvas.symbol((ROLE_X - 30.0, y), 4.5, line.symbol, line.ink)?;
        let role_lines = role_lines(line);
        for (index, text) in role_lines.iter().enumerate() {
            let y = y + as_f64(index) * LEGEND_LINE;
            canvas.text((ROLE_X, y), text, LABEL.ink(Ink::Text).bold())?;
        }
        for (index, text) in line.description.iter().enumerate() {
            canvas.text((DESCRIPTION_X, y + as_f64(index) * LEGEND_LINE), text, LABEL)?;
        }
        for (x, text) in NUMBERS_RIGHT.into_iter().zip(&line.numbers) {
            canvas.text((x, y), text, LABEL.ink(Ink::Text).right())?;
        }
        top += legend_height(line);
    }
    Ok(())
}

fn role_lines(line: &Line) -> Vec<String> {
    wrapped(&line.roles, LABEL.bold().fitting(DESCRIPTION_X - ROLE_X - 12.0))
}

fn legend_height(line: &Line) -> f64 {
    as_f64(line.description.len().max(role_lines(line).len())) * LEGEND_LINE + LEGEND_GAP
}

#[cfg(test)]
mod tests {
    use super::super::super::synthetic::Synthetic;
    use super::*;

    #[test]
    fn a_line_ends_where_its_sample_does() {
        let synthetic = Synthetic::small();
        let mut view = View::new(synthetic.run());
        let histogram = &synthetic.latency_ns_by_config["c00"];
        let reach =
            |view: &View<'_>| spectrum(histogram, &view.rows[0]).last().map(|point| point.0);

        // 459 groups support p99 and 458 do not.
        view.rows[0].counts.commit_groups = 459;
        assert!((reach(&view).unwrap() - 2.0).abs() < 1e-9);
        view.rows[0].counts.commit_groups = 458;
        assert!(reach(&view).unwrap() < 2.0);
        view.rows[0].counts.commit_groups = 0;
        assert_eq!(reach(&view), None);
    }

    #[test]
    fn a_configuration_is_drawn_once_with_all_its_roles() {
        let synthetic = Synthetic::single_block();
        let view = View::new(synthetic.run());
        let chosen = chosen(&view);
        let indexes: Vec<usize> = chosen.iter().map(|one| one.index).collect();
        assert_eq!(indexes, [0, 1]);
        assert_eq!(chosen[0].roles, ["Recommended", "Baseline", "Fastest", "Lowest p99"]);
    }
}
