//! What a bench prints: a few lines on what was measured where, one table of ratios, one of what a
//! commit costs, and how many targets were met. All of it is Markdown as well, to be pasted into a
//! document as it is.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::case::{Arm, Case, Quantity, What};
use super::heading::heading;
use super::ratios::Ratio;
use super::report::Report;
use super::sample::Sample;
use super::targets::Target;
use super::words::{DASH, quantity, three_digits};
use crate::stats::median;

pub(super) fn text(report: &Report) -> String {
    format!(
        "{}\n{}\nWhat a commit costs, medians of the rounds:\n\n{}\n{}",
        heading(report),
        ratios(report),
        costs(report),
        summary(report)
    )
}

fn ratios(report: &Report) -> String {
    let header = [
        "case",
        "this : that",
        "this",
        "that",
        "ratio",
        "[lowest, highest]",
        "target",
        "met",
        "disturbed",
    ];
    let rows = report.compared().map(|(case, comparison, ratio)| {
        [
            case.name.to_owned(),
            comparison.what.to_owned(),
            quantity(comparison.of.quantity(), ratio.of),
            quantity(comparison.against.quantity(), ratio.against),
            ratio.median.map_or(DASH.to_owned(), three_digits),
            match (ratio.lowest, ratio.highest) {
                (Some(low), Some(high)) => {
                    format!("[{}, {}]", three_digits(low), three_digits(high))
                }
                _ => DASH.to_owned(),
            },
            comparison.target.map_or(String::new(), target),
            comparison.target.map_or(String::new(), |_| met(&ratio)),
            match ratio.rounds_disturbed {
                0 => String::new(),
                rounds => format!("{rounds} of {}", report.rounds.len()),
            },
        ]
    });
    table(header, rows, 2..5)
}

/// What the processor does for a commit, of every log: context switches set the price.
fn costs(report: &Report) -> String {
    let header = [
        "case",
        "log",
        "commits",
        "p50",
        "p99",
        "commits a write",
        "bytes a write",
        "context switches a commit",
        "processor time a commit",
        "allocations a commit",
    ];
    let logs = report.arms_with_samples().filter(|(_, arm, _)| matches!(arm.what, What::Log(_)));
    let rows = logs.map(|(case, arm, samples)| cost(case, arm, &samples));
    table(header, rows, 2..10)
}

fn cost(case: &Case, arm: &Arm, samples: &[&Sample]) -> [String; 10] {
    let measured = || samples.iter().filter(|sample| sample.skipped.is_none());
    let middle = |value: &dyn Fn(&Sample) -> Option<f64>| {
        let values: Vec<f64> = measured().filter_map(|sample| value(sample)).collect();
        median(&values)
    };
    let of = |which: Quantity| quantity(which, middle(&|sample| sample.quantity(which)));
    let shown = |value: Option<f64>| value.map_or(DASH.to_owned(), three_digits);
    let per_commit = |value: f64, sample: &Sample| value / sample.commits.max(1) as f64;
    [
        case.name.to_owned(),
        arm.name.to_owned(),
        of(Quantity::Rate),
        of(Quantity::P50),
        of(Quantity::P99),
        shown(middle(&|s| Some(s.rate_per_second / s.batches_per_second.max(f64::MIN_POSITIVE)))),
        middle(&|s| Some(s.batch_bytes)).map_or(DASH.to_owned(), batch_bytes),
        shown(middle(&|s| Some(s.context_switches_per_commit))),
        middle(&|s| Some(1e6 * s.processors_used / s.rate_per_second.max(f64::MIN_POSITIVE)))
            .map_or(DASH.to_owned(), |us| format!("{} µs", three_digits(us))),
        shown(middle(&|s| s.allocations.map(|count| per_commit(count as f64, s)))),
    ]
}

/// In KiB, as buffers and blocks are: `12.4 KiB`.
fn batch_bytes(bytes: f64) -> String {
    format!("{} KiB", three_digits(bytes / 1024.0))
}

/// How it went, at a glance: what was met as a number, what was not by name.
fn summary(report: &Report) -> String {
    let targets = report.targets();
    let all = targets.met + targets.missed.len() + targets.unknown.len();
    let mut text = format!("Targets met: {} of {all}.\n", targets.met);
    for (what, named) in [("Not met", &targets.missed), ("Not known", &targets.unknown)] {
        if !named.is_empty() {
            text.push_str(&format!("\n{what}:\n\n"));
        }
        for one in named {
            let found = one.ratio.map_or(DASH.to_owned(), three_digits);
            let wanted = target(one.target);
            text.push_str(&format!("- {}, {}: {found}, target {wanted}\n", one.case, one.what));
        }
    }
    text
}

fn table<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    rows: impl Iterator<Item = [String; COLUMNS]>,
    numbers: std::ops::Range<usize>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_content_arrangement(ContentArrangement::Disabled).force_no_tty();
    table.set_header(header);
    for column in numbers {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.add_rows(rows);
    format!("{}\n", table.trim_fmt())
}

fn target(target: Target) -> String {
    let (sign, ratio, origin) = match target {
        Target::AtLeast { ratio, origin } => ('≥', ratio, origin),
        Target::AtMost { ratio, origin } => ('≤', ratio, origin),
    };
    let origin = origin.map_or(String::new(), |origin| format!(" ({origin})"));
    format!("{sign} {}{origin}", three_digits(ratio))
}

/// `yes`, or in how many rounds if that was not all or none of them.
fn met(ratio: &Ratio) -> String {
    let Some(is_met) = ratio.target_met else { return DASH.to_owned() };
    let word = if is_met { "yes" } else { "NO" };
    match (ratio.rounds_met, ratio.by_round.len()) {
        (0, _) => word.to_owned(),
        (met, all) if met == all => word.to_owned(),
        (met, all) => format!("{word} ({met} of {all} rounds)"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::super::cases::{case, device};
    use super::*;
    use crate::cli::{BenchArgs, BenchCase};
    use crate::store::schema::{Environment, LatencySummary};

    pub(crate) fn sample(rate_per_second: f64, p99_us: Option<f64>) -> Sample {
        let latency = LatencySummary { p50_us: 40.0, p99_us, ..LatencySummary::default() };
        Sample { rate_per_second, latency, ..Sample::default() }
    }

    pub(crate) fn report(rounds: usize) -> Report {
        let args = BenchArgs {
            against_ceiling: true,
            target: "/x".into(),
            rounds: 1,
            seconds: 1.0,
            only: Vec::new(),
            json: None,
            quiet: true,
        };
        let environment =
            Environment { device: Some("vd\u{1b}a".into()), ..Environment::default() };
        let cases = vec![device(), case(BenchCase::Owner1, 4096, 1.0)];
        let mut report = Report::new(&args, environment, 4096, cases);
        let pair = vec![sample(20_000.0, Some(60.0)), sample(19_000.0, None)];
        report.rounds = vec![vec![pair.clone(), pair]; rounds];
        report
    }

    #[test]
    fn the_table_is_markdown_and_says_what_was_missed_and_what_is_unknown() {
        let mut report = report(2);
        report.rounds[1][1][1].rate_per_second = 20_000.0;
        report.rounds[1][1][1].disturbed = true;
        let table = ratios(&report);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 4, "{table}");
        assert!(lines.iter().all(|line| line.starts_with('|') && line.ends_with('|')), "{table}");
        let widths: BTreeSet<usize> = lines.iter().map(|line| line.chars().count()).collect();
        assert_eq!(widths.len(), 1, "aligned: {table}");
        let cells = |line: &str| -> Vec<String> {
            line.split('|').map(|cell| cell.trim().to_owned()).collect()
        };
        let rate = cells(lines[2]);
        assert_eq!(rate[3..6], ["19.5 k/s", "20.0 k/s", "0.975"], "{table}");
        assert_eq!(rate[6..10], ["[0.950, 1.00]", "≥ 0.970", "yes (1 of 2 rounds)", "1 of 2"]);
        let p99 = cells(lines[3]);
        assert_eq!(p99[3..9], ["–", "60 µs", "–", "–", "≤ 1.10", "–"], "{table}");
    }

    #[test]
    fn costs_are_per_commit_and_of_logs_only() {
        let mut report = report(1);
        let log = &mut report.rounds[0][1][1];
        log.commits = 1_000;
        (log.allocations, log.processors_used) = (Some(5), 0.38);
        (log.batches_per_second, log.batch_bytes) = (9_500.0, 4_096.0);
        let table = costs(&report);
        assert_eq!(table.lines().count(), 3, "one log: {table}");
        let cells: Vec<&str> =
            table.lines().nth(2).expect("a log").split('|').map(str::trim).collect();
        assert_eq!(cells[1..4], ["owner1", "its owner, 1 client", "19.0 k/s"], "{table}");
        assert_eq!(cells[6..11], ["2.00", "4.00 KiB", "0", "20.0 µs", "0.005"], "{table}");
        report.rounds[0][1][1].skipped = Some("cannot be had".into());
        let table = costs(&report);
        assert_eq!(table.lines().nth(2).expect("a log").matches(DASH).count(), 8, "{table}");
    }

    #[test]
    fn the_summary_names_what_was_missed_and_what_is_unknown() {
        let mut report = report(1);
        let unknown = "Targets met: 0 of 2.\n\n\
                       Not met:\n\n\
                       - owner1, commits : bare block writes: 0.950, target ≥ 0.970\n\n\
                       Not known:\n\n\
                       - owner1, p99 : p99 of bare block writes: –, target ≤ 1.10\n";
        assert_eq!(summary(&report), unknown);
        report.rounds[0][1][1] = sample(20_000.0, Some(60.0));
        assert_eq!(summary(&report), "Targets met: 2 of 2.\n");
    }
}
