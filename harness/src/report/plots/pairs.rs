//! Two settings at once, as heat maps: what each pair of levels gives with everything else as
//! recommended. Only pairs that act on each other are shown, because the effects plot tells of all
//! others.

use anyhow::Result;

use super::super::view::{Row, State, View};
use crate::page::Plot;
use crate::page::canvas::{Canvas, Document, Ink, LABEL, WIDTH, render};
use crate::page::scale::as_f64;
use crate::page::text::{DASH, number, printable, shortened};

const TOP: f64 = 44.0;
const PANEL_WIDTH: f64 = 460.0;
const PANEL_GAP: f64 = WIDTH - 2.0 * PANEL_WIDTH;
/// Of a panel's left, for the names of the levels.
const LEVELS_WIDTH: f64 = 92.0;
const HEAD_HEIGHT: f64 = 44.0;
const CELL_HEIGHT: f64 = 44.0;
const PANEL_BELOW: f64 = 26.0;

/// More pairs than this are a table, not a plot.
const PAIRS_MOST: usize = 4;

/// Fewer cells than a square show no pair.
const CELLS_LEAST: usize = 4;

/// Opacity of the slowest and the fastest cell.
const OPACITY: (f64, f64) = (0.05, 0.5);

/// One heat map.
struct Pair {
    /// Indexes into the view's axes: down, and across.
    down: usize,
    across: usize,
    /// What the analysis says of the two together.
    sentence: Option<String>,
    /// Row of the view for each pair of levels, down first.
    cells: Vec<Vec<Option<usize>>>,
}

pub(super) fn plot(view: &View<'_>) -> Result<Option<Plot>> {
    let Some(recommended) = view.recommended else { return Ok(None) };
    let pairs = chosen(view, recommended);
    let Some(best) = view.by_rate.first().and_then(|&index| view.rows[index].rate_per_second)
    else {
        return Ok(None);
    };
    if pairs.is_empty() {
        return Ok(None);
    }
    let title = "Two settings at once, everything else as recommended".to_owned();
    let caption = caption(&pairs);
    let height = TOP + pairs.chunks(2).map(line_height).sum::<f64>();
    let document =
        Document { name: "pairs", title: &title, description: &caption, height: height.max(1.0) };
    let colours = Colours::new(view, &pairs, best.value);
    let svg = render(&document, |canvas| {
        let mut top = TOP;
        for line in pairs.chunks(2) {
            for (pair, left) in line.iter().zip([0.0, PANEL_WIDTH + PANEL_GAP]) {
                draw_panel(canvas, view, pair, &colours, (left, top))?;
            }
            top += line_height(line);
        }
        Ok(())
    })?;
    Ok(Some(Plot { file_name: "pairs.svg", title, svg, caption }))
}

fn caption(pairs: &[Pair]) -> String {
    let mut sentences: Vec<&str> =
        pairs.iter().filter_map(|pair| pair.sentence.as_deref()).collect();
    if sentences.is_empty() {
        sentences.push("The two settings with the largest effects.");
    }
    format!(
        "{} A cell is one configuration: its rate as a share of the fastest of all, and its p99 \
         latency. The stronger the colour, the faster; the frame is what is recommended.",
        sentences.join(" ")
    )
}

/// The pairs worth showing: those that act on each other, the strongest first, or else the two
/// strongest axes of those that matter.
fn chosen(view: &View<'_>, recommended: usize) -> Vec<Pair> {
    let interactions = view.run.analysis.interactions.as_ref();
    let mut pairs: Vec<Pair> = Vec::new();
    for found in interactions.iter().flat_map(|interactions| &interactions.found) {
        let axis = |name: &str| view.run.manifest.plan.axes.iter().position(|a| a.name == *name);
        let (Some(a), Some(b)) = (axis(&found.axis), axis(&found.other_axis)) else { continue };
        let is_same =
            |pair: &Pair| [pair.down, pair.across] == [a, b] || [pair.across, pair.down] == [a, b];
        if pairs.len() < PAIRS_MOST && !pairs.iter().any(is_same) {
            pairs.extend(pair(view, recommended, [a, b], Some(printable(&found.sentence))));
        }
    }
    if pairs.is_empty() {
        let matters = |axis: &usize| {
            let name = &view.run.manifest.plan.axes[*axis].name;
            view.run.analysis.axes.iter().any(|one| one.axis == *name && one.matters)
        };
        let strongest: Vec<usize> = view.axes_by_strength().into_iter().filter(matters).collect();
        if let [a, b, ..] = strongest[..] {
            pairs.extend(pair(view, recommended, [a, b], None));
        }
    }
    pairs
}

/// Two axes, unless next to nothing was measured of them, as where the plan is a part of all
/// combinations.
fn pair(
    view: &View<'_>,
    recommended: usize,
    [a, b]: [usize; 2],
    sentence: Option<String>,
) -> Option<Pair> {
    let levels = |axis: usize| view.levels(axis);
    // The one with more levels goes down, where there is room.
    let (down, across) = if levels(b).len() > levels(a).len() { (b, a) } else { (a, b) };
    let cells = cells(view, recommended, (down, &levels(down)), (across, &levels(across)));
    let measured = |cell: &&Option<usize>| {
        cell.is_some_and(|index| view.rows[index].rate_per_second.is_some())
    };
    let shown = cells.iter().flatten().filter(measured).count();
    (shown >= CELLS_LEAST).then_some(Pair { down, across, sentence, cells })
}

/// The configurations that differ from the recommended one in these two axes only.
fn cells(
    view: &View<'_>,
    recommended: usize,
    (down, down_levels): (usize, &[String]),
    (across, across_levels): (usize, &[String]),
) -> Vec<Vec<Option<usize>>> {
    let find = |down_level: &String, across_level: &String| {
        let mut wanted = view.rows[recommended].levels.clone();
        wanted[down].clone_from(down_level);
        wanted[across].clone_from(across_level);
        view.rows.iter().position(|row| row.levels == wanted)
    };
    let line = |down_level| across_levels.iter().map(|level| find(down_level, level)).collect();
    down_levels.iter().map(line).collect()
}

/// What a rate is drawn as.
struct Colours {
    best_per_second: f64,
    slowest_share: f64,
}

impl Colours {
    fn new(view: &View<'_>, pairs: &[Pair], best_per_second: f64) -> Self {
        let shown = pairs.iter().flat_map(|pair| pair.cells.iter().flatten()).flatten();
        let shares = shown
            .filter_map(|&index| view.rows[index].rate_per_second)
            .map(|rate| rate.value / best_per_second);
        Self { best_per_second, slowest_share: shares.fold(1.0, f64::min) }
    }

    fn opacity(&self, share: f64) -> f64 {
        let place = (share - self.slowest_share) / (1.0 - self.slowest_share).max(1e-9);
        OPACITY.0 + (OPACITY.1 - OPACITY.0) * place.clamp(0.0, 1.0)
    }
}

fn line_height(line: &[Pair]) -> f64 {
    let rows = line.iter().map(|pair| pair.cells.len()).max().unwrap_or(0);
    HEAD_HEIGHT + as_f64(rows) * CELL_HEIGHT + PANEL_BELOW
}

fn draw_panel(
    canvas: &Canvas<'_>,
    view: &View<'_>,
    pair: &Pair,
    colours: &Colours,
    (left, top): (f64, f64),
) -> Result<()> {
    let (down_levels, across_levels) = (view.levels(pair.down), view.levels(pair.across));
    let cell_width = (PANEL_WIDTH - LEVELS_WIDTH) / as_f64(across_levels.len());
    let grid_left = left + LEVELS_WIDTH;
    let (small, name) = (LABEL.size(11.0), LABEL.ink(Ink::Text).bold());
    let down = shortened(&view.axes[pair.down], name.fitting(LEVELS_WIDTH + 40.0));
    canvas.text((left, top + 8.0), &format!("{down} ↓"), name)?;
    let across = shortened(&view.axes[pair.across], name.fitting(200.0));
    canvas.text((left + PANEL_WIDTH, top + 8.0), &format!("{across} →"), name.right())?;
    for (column, level) in across_levels.iter().enumerate() {
        let x = grid_left + (as_f64(column) + 0.5) * cell_width;
        let level = shortened(level, small.fitting(cell_width - 4.0));
        canvas.text((x, top + HEAD_HEIGHT - 12.0), &level, small.centred())?;
    }
    for (line, (level, cells)) in down_levels.iter().zip(&pair.cells).enumerate() {
        let y = top + HEAD_HEIGHT + as_f64(line) * CELL_HEIGHT;
        let level = shortened(level, small.fitting(LEVELS_WIDTH - 14.0));
        canvas.text((grid_left - 10.0, y + CELL_HEIGHT / 2.0), &level, small.right())?;
        for (column, cell) in cells.iter().enumerate() {
            let corner = (grid_left + as_f64(column) * cell_width, y);
            draw_cell(canvas, view, *cell, colours, corner, cell_width)?;
        }
    }
    Ok(())
}

fn draw_cell(
    canvas: &Canvas<'_>,
    view: &View<'_>,
    cell: Option<usize>,
    colours: &Colours,
    (left, top): (f64, f64),
    width: f64,
) -> Result<()> {
    let (right, bottom) = (left + width - 2.0, top + CELL_HEIGHT - 2.0);
    let middle = (left + right) / 2.0;
    let row = cell.map(|index| &view.rows[index]);
    let Some((row, rate)) = row.and_then(|row| Some((row, row.rate_per_second?))) else {
        canvas.shade((left, top), (right, bottom), Ink::Quiet, 0.08)?;
        let word = row.map_or(DASH, |row| why_empty(row));
        let word = shortened(word, LABEL.size(11.0).fitting(width - 4.0));
        return canvas.text((middle, (top + bottom) / 2.0), &word, LABEL.size(11.0).centred());
    };
    let share = rate.value / colours.best_per_second;
    canvas.shade((left, top), (right, bottom), Ink::Blue, colours.opacity(share))?;
    let figure = LABEL.ink(Ink::Text).bold().centred();
    canvas.text((middle, top + 14.0), &format!("{:.0} %", share * 100.0), figure)?;
    let p99 = row.p99_us.map_or_else(|| DASH.to_owned(), |p99| format!("{} µs", number(p99.value)));
    let small = LABEL.size(11.0).ink(Ink::Text);
    let p99 = shortened(&format!("p99 {p99}"), small.fitting(width));
    canvas.text((middle, top + 30.0), &p99, small.centred())?;
    if cell == view.recommended {
        let (left, top, right, bottom) = (left + 1.0, top + 1.0, right - 1.0, bottom - 1.0);
        let frame = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
        canvas.path(&frame, Ink::Text, 2.0)?;
    }
    Ok(())
}

fn why_empty(row: &Row<'_>) -> &'static str {
    if row.state == State::Ok { DASH } else { row.state.word() }
}

#[cfg(test)]
mod tests {
    use super::super::super::synthetic::Synthetic;
    use super::*;
    use crate::store::schema::{Estimate, Interaction, Interactions};

    fn names(view: &View<'_>, pairs: &[Pair]) -> Vec<(String, String)> {
        let name = |axis: usize| view.axes[axis].clone();
        pairs.iter().map(|pair| (name(pair.down), name(pair.across))).collect()
    }

    fn interaction(axis: &str, other_axis: &str) -> Interaction {
        Interaction {
            axis: axis.to_owned(),
            level: String::new(),
            other_axis: other_axis.to_owned(),
            other_level: String::new(),
            metric: "rate".to_owned(),
            ratio_at_baseline: 0.78,
            ratio_at_other_level: 0.9,
            interaction_ratio: Estimate { value: 1.15, low: 1.1, high: 1.2 },
            adjusted_p: 0.01,
            sentence: format!("{axis} depends on {other_axis}."),
        }
    }

    #[test]
    fn pairs_that_act_on_each_other_are_shown_once_each() {
        let mut synthetic = Synthetic::full();
        let found = vec![
            interaction("commit_window", "engine"),
            interaction("engine", "commit_window"),
            interaction("encryption", "engine"),
            interaction("encryption", "of another plan"),
        ];
        synthetic.analysis.interactions = Some(Interactions { tested: 60, found });
        let view = View::new(synthetic.run());
        let pairs = chosen(&view, view.recommended.unwrap());
        let expected = [("commit_window", "engine"), ("encryption", "engine")];
        assert_eq!(names(&view, &pairs), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        let caption = caption(&pairs);
        let sentences = "commit_window depends on engine. encryption depends on engine. A cell";
        assert!(caption.starts_with(sentences), "{caption}");
    }

    #[test]
    fn without_an_interaction_the_two_strongest_settings_are_shown() {
        let synthetic = Synthetic::full();
        let view = View::new(synthetic.run());
        let pairs = chosen(&view, view.recommended.unwrap());
        assert_eq!(names(&view, &pairs), [("engine".to_owned(), "commit_window".to_owned())]);
        assert!(caption(&pairs).starts_with("The two settings with the largest effects."));
    }

    #[test]
    fn a_cell_differs_from_the_recommended_in_its_two_settings_only() {
        let synthetic = Synthetic::with_refusals();
        let view = View::new(synthetic.run());
        let recommended = &view.rows[view.recommended.unwrap()].levels;
        let pairs = chosen(&view, view.recommended.unwrap());
        for pair in &pairs {
            for index in pair.cells.iter().flatten().flatten() {
                for (axis, level) in view.rows[*index].levels.iter().enumerate() {
                    let varies = axis == pair.down || axis == pair.across;
                    assert!(varies || *level == recommended[axis]);
                }
            }
        }
    }

    #[test]
    fn one_axis_makes_no_pair() {
        let synthetic = Synthetic::single_block();
        assert_eq!(plot(&View::new(synthetic.run())).unwrap(), None);
    }
}
