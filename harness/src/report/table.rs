//! The fastest configurations as a table for the terminal, beside the recommended, the baseline and
//! the slowest, in the roomiest layout that fits its width.

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, Table, TableStyle, presets,
};

use super::view::{Row, View};
use crate::page::text::{estimate, interval, optional_number};

/// How the terminal wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// Whether to use ANSI colours.
    pub colour: bool,
    /// Columns available; below 40 is treated as 40.
    pub width: u16,
}

/// How many of the fastest configurations are listed.
const BEST: usize = 5;

/// How a table tells settings and rates, from roomy to narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    settings_as_columns: bool,
    interval_on_own_line: bool,
    /// Bytes and processor time of a commit: the first to go, for the report has them.
    with_costs: bool,
}

impl Layout {
    const fn new(settings_as_columns: bool, interval_on_own_line: bool, with_costs: bool) -> Self {
        Self { settings_as_columns, interval_on_own_line, with_costs }
    }
}

/// The first layout that fits the terminal; if none does, the last one, wrapped.
pub(super) fn best_table(view: &View<'_>, style: Style) -> String {
    let rows = shown(view);
    let layouts = [
        Layout::new(true, false, true),
        Layout::new(true, true, true),
        Layout::new(true, true, false),
        Layout::new(false, true, true),
        Layout::new(false, true, false),
    ];
    for layout in layouts {
        let plain = table(view, &rows, layout, Style { colour: false, ..style }).to_string();
        if plain.lines().all(|line| line.chars().count() <= usize::from(style.width)) {
            return trimmed(&table(view, &rows, layout, style).to_string());
        }
    }
    let mut narrow = table(view, &rows, layouts[layouts.len() - 1], style);
    narrow.set_content_arrangement(ContentArrangement::Dynamic).set_width(style.width);
    trimmed(&narrow.to_string())
}

fn trimmed(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"
}

/// The fastest few, the recommended, the baseline and the slowest, each once, by rate.
pub(super) fn shown(view: &View<'_>) -> Vec<usize> {
    let special = [view.recommended, view.baseline, view.by_rate.last().copied()];
    view.by_rate
        .iter()
        .enumerate()
        .filter(|(rank, index)| *rank < BEST || special.contains(&Some(**index)))
        .map(|(_, index)| *index)
        .collect()
}

/// The axes whose levels differ among the rows; the others are told once, below.
pub(super) fn varying_axes(view: &View<'_>, rows: &[usize]) -> Vec<usize> {
    (0..view.axes.len())
        .filter(|&axis| {
            let level = |index: usize| view.rows[index].levels.get(axis);
            rows.iter().any(|&index| level(index) != level(rows[0]))
        })
        .collect()
}

fn table(view: &View<'_>, rows: &[usize], layout: Layout, style: Style) -> Table {
    const RULE: TableStyle =
        presets::NOTHING.header_separator(comfy_table::LineStyle::none().fill('─').junction('─'));
    let axes = varying_axes(view, rows);
    let mut table = Table::new();
    table.load_style(RULE).set_content_arrangement(ContentArrangement::Disabled);
    // Whether standard output is a terminal is the caller's to know, and is said in the style.
    table.force_no_tty();
    if style.colour {
        table.enforce_styling();
    }
    let mut header: Vec<String> = vec![" ".to_owned()];
    if layout.settings_as_columns {
        header.extend(axes.iter().map(|&axis| two_lines(&view.axes[axis])));
    } else {
        header.push("settings".to_owned());
    }
    let settings_columns = header.len();
    header.extend(
        ["commits/s\n(95 % interval)", "p50\nµs", "p99\nµs", "p99.9\nµs"].map(str::to_owned),
    );
    if layout.with_costs {
        header.extend(["bytes/\npayload", "CPU µs/\ncommit"].map(str::to_owned));
    }
    table.set_header(header.iter().map(Cell::new));
    for &index in rows {
        table.add_row(cells(view, index, &axes, layout, style));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding(if index == 0 { (0, 1) } else { (0, 2) });
        if index >= settings_columns {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if index + 1 == header.len() {
            column.set_padding((0, 0));
        }
    }
    table
}

fn cells(view: &View<'_>, index: usize, axes: &[usize], layout: Layout, style: Style) -> Vec<Cell> {
    let row = &view.rows[index];
    let is_recommended = view.recommended == Some(index);
    let mark = match () {
        () if is_recommended => "▶",
        () if view.baseline == Some(index) => "b",
        () if view.by_rate.last() == Some(&index) => "s",
        () => " ",
    };
    let mut texts = vec![mark.to_owned()];
    if layout.settings_as_columns {
        texts.extend(axes.iter().map(|&axis| row.levels.get(axis).cloned().unwrap_or_default()));
    } else {
        texts.push(view.description(index).replace(", ", "\n"));
    }
    texts.push(rate(row, layout));
    texts.extend([estimate(row.p50_us), estimate(row.p99_us), optional_number(row.p999_us)]);
    if layout.with_costs {
        let costs = [row.device_bytes_per_payload_byte, row.cpu_us_per_commit];
        texts.extend(costs.map(optional_number));
    }
    texts
        .into_iter()
        .map(|text| match Cell::new(text) {
            cell if is_recommended && style.colour => {
                cell.fg(Color::Green).add_attribute(Attribute::Bold)
            }
            cell => cell,
        })
        .collect()
}

fn rate(row: &Row<'_>, layout: Layout) -> String {
    let Some(interval) = interval(row.rate_per_second) else {
        return estimate(row.rate_per_second);
    };
    let between = if layout.interval_on_own_line { "\n" } else { " " };
    format!("{}{between}({interval})", estimate(row.rate_per_second))
}

/// `commit_window` as two lines, so that a narrow column keeps its whole name.
fn two_lines(name: &str) -> String {
    match name.split_once('_') {
        Some((first, rest)) => format!("{first}_\n{rest}"),
        None => name.to_owned(),
    }
}
