//! A history in each of its formats: what shifted, when, and what to do next.

use std::fmt::Write as _;

use anyhow::{Context, Result};

use crate::export::{Case, Outcome, Point, Table, junit_xml, otava_config, otava_csv};
use crate::store::quantity::Quantity;
use crate::units::format_change;

use super::Shifted;
use super::series::{ChangePoint, History, Series};

/// A shift is placed within so many runs, so that two numbers may show one a little apart.
const SAME_SHIFT_RUNS: usize = 2;

/// Where the Otava test definition expects the CSV.
const OTAVA_CSV: &str = "history.csv";

/// For a terminal.
pub(super) fn text(history: &History) -> String {
    let mut text = format!("{}\n{}\n\n", headline(history), next(history));
    let _ = writeln!(text, "{}", span(history));
    for (title, table) in tables(history) {
        let _ = write!(text, "\n{title}\n{}", table.text());
    }
    text
}

/// For a pull request or a job's summary.
pub(super) fn markdown(history: &History) -> String {
    let mark = match history.shifted {
        Shifted::Not => "✅",
        Shifted::ForTheWorse => "❌",
        Shifted::TooShort => "⚠️",
    };
    let mut text = format!("### {mark} {}\n\n{}\n\n", headline(history), next(history));
    let _ = writeln!(text, "{}", span(history));
    for (title, table) in tables(history) {
        let _ = write!(text, "\n**{title}**\n\n{}", table.markdown());
    }
    text
}

/// Everything, for programs.
pub(super) fn json(history: &History) -> Result<String> {
    let mut text = serde_json::to_string_pretty(history).context("a history has no JSON form")?;
    text.push('\n');
    Ok(text)
}

/// One case for each number, failed if it got worse lately.
pub(super) fn junit(history: &History) -> Result<String> {
    let too_short = history.entries.len() < history.runs_needed;
    let case = |series: &Series| {
        let alarm = series.shifts.iter().rev().find(|point| point.is_worse && point.is_recent);
        Case {
            class: format!("{}.{}", history.profile, series.scope),
            name: series.quantity.name().to_owned(),
            outcome: match alarm {
                Some(_) => Outcome::Failed,
                None if too_short => Outcome::Inconclusive,
                None => Outcome::Passed,
            },
            sentence: alarm.map_or_else(|| next(history), |point| sentence(series, point)),
        }
    };
    junit_xml("plimsoll history", &history.series.iter().map(case).collect::<Vec<Case>>())
}

/// The table that Apache Otava takes.
pub(super) fn otava(history: &History) -> String {
    let point = |(index, entry): (usize, &super::series::Entry)| Point {
        time: entry.started_utc.clone(),
        commit: entry.plimsoll_version.clone(),
        run: entry.name.clone(),
        values: history.series.iter().map(|series| series.values[index]).collect(),
    };
    let points: Vec<Point> = history.entries.iter().enumerate().map(point).collect();
    otava_csv(&columns(history), &points)
}

/// The test definition that goes with it.
pub(super) fn otava_test(history: &History) -> String {
    otava_config(&history.profile, OTAVA_CSV, &columns(history))
}

fn columns(history: &History) -> Vec<(String, Quantity)> {
    history.series.iter().map(|series| (series.scope.clone(), series.quantity)).collect()
}

pub(super) fn headline(history: &History) -> String {
    let mut alarms = told(history);
    alarms.retain(|(_, point)| point.is_worse && point.is_recent);
    match (history.shifted, alarms.first()) {
        (Shifted::ForTheWorse, Some((series, point))) => {
            let others = match alarms.len() - 1 {
                0 => String::new(),
                n => format!(" ({n} more below)"),
            };
            format!("Regression: {}{others}", sentence(series, point))
        }
        (Shifted::TooShort, _) => format!(
            "Inconclusive: {} runs; a change point can show in {} or more.",
            history.entries.len(),
            history.runs_needed
        ),
        _ => format!("No number got worse in the newest {} runs.", history.recent),
    }
}

/// The change points that a person is told: one that all configurations together show is not told
/// of each of them again. Of each number the newest first.
pub(super) fn told(history: &History) -> Vec<(&Series, &ChangePoint)> {
    let together = |quantity: Quantity| {
        let mut all = history.series.iter();
        all.find(|series| series.config_id.is_none() && series.quantity == quantity)
    };
    let is_told_of_all = |series: &Series, point: &ChangePoint| {
        let same = |other: &ChangePoint| {
            other.is_worse == point.is_worse
                && other.runs_since.abs_diff(point.runs_since) <= SAME_SHIFT_RUNS
        };
        let all = together(series.quantity).filter(|_| series.config_id.is_some());
        all.is_some_and(|all| all.shifts.iter().any(same))
    };
    let points = history
        .series
        .iter()
        .flat_map(|series| series.shifts.iter().rev().map(move |point| (series, point)));
    points.filter(|(series, point)| !is_told_of_all(series, point)).collect()
}

fn sentence(series: &Series, point: &ChangePoint) -> String {
    format!(
        "{} of {} {} since {}, {} runs ago.",
        series.quantity.name(),
        series.scope,
        format_change(point.ratio),
        point.first.name,
        point.runs_since
    )
}

pub(super) fn next(history: &History) -> String {
    let alarm = |point: &&ChangePoint| point.is_worse && point.is_recent;
    let point = history.series.iter().find_map(|series| series.shifts.iter().find(alarm));
    match (history.shifted, point) {
        (Shifted::ForTheWorse, Some(point)) => {
            let (before, after) = (&point.last_before, &point.first);
            let kernel = if before.kernel == after.kernel {
                String::new()
            } else {
                format!("; the kernel changed, too: {} -> {}", before.kernel, after.kernel)
            };
            format!(
                "Look between {} and {} ({} -> {}){kernel}.",
                before.name, after.name, before.plimsoll_version, after.plimsoll_version
            )
        }
        (Shifted::TooShort, _) => "Let it grow; until then, compare two runs.".to_owned(),
        _ => "Nothing to do.".to_owned(),
    }
}

pub(super) fn span(history: &History) -> String {
    let ends = match (history.entries.first(), history.entries.last()) {
        (Some(first), Some(last)) => format!(", {} to {}", first.name, last.name),
        _ => String::new(),
    };
    let left_out = match history.left_out {
        0 => String::new(),
        n => format!("; {n} of another profile or machine left out"),
    };
    format!("{}: {} runs{ends}{left_out}", history.profile, history.entries.len())
}

fn tables(history: &History) -> Vec<(&'static str, Table)> {
    let mut table =
        Table::new(["configuration", "metric", "change", "first run", "runs since", ""]);
    for (series, point) in told(history) {
        table.row([
            series.scope.clone(),
            series.quantity.name().to_owned(),
            format_change(point.ratio),
            point.first.name.clone(),
            point.runs_since.to_string(),
            word(point).to_owned(),
        ]);
    }
    if table.is_empty() { Vec::new() } else { vec![("Change points:", table)] }
}

/// A change point in a word.
pub(super) fn word(point: &ChangePoint) -> &'static str {
    match (point.is_worse, point.is_recent) {
        (true, true) => "WORSE",
        (true, false) => "worse, long ago",
        (false, _) => "better",
    }
}
