//! What a bench prints: a few lines on what was measured where, and one table, both of them also
//! Markdown, to be pasted into a document as they are.

use std::collections::BTreeSet;
use std::fmt::Write;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::cases::{Operand, Quantity, REFERENCE_F0_PER_SECOND, Target};
use super::ratios::Ratio;
use super::report::Report;
use super::sample::Sample;
use crate::stats::median;
use crate::units::{
    format_bytes, format_bytes_per_second, format_rate, format_seconds, format_share, format_us,
};

const DASH: &str = "–";

/// Up to this ratio, either way, an F0 is like that of the machine the targets were set on.
const F0_LIKE_REFERENCE: f64 = 1.25;

/// Arms of the case that is the device by itself.
const BLOCKS: usize = 0;
const LARGE: usize = 1;

pub(super) fn text(report: &Report) -> String {
    format!("{}\n{}", heading(report), table(report))
}

fn heading(report: &Report) -> String {
    let environment = &report.environment;
    let cpu = environment.cpu_model.as_deref().unwrap_or("processors of an unknown model");
    let mut lines = vec![
        format!("command: `{}`, {}", report.command, report.started_utc),
        format!("version: {}", environment.plimsoll_version),
        format!("machine: {} × {cpu}, {}", environment.cpus, environment.kernel),
        format!("device: {}", device(report)),
        format!("F0: {}", f0(report)),
        format!("bandwidth: {}", bandwidth(report)),
        format!(
            "rounds: {} of {} a measurement, interleaved; ratios are medians of the rounds \
             [lowest, highest]",
            report.rounds.len(),
            format_seconds(report.seconds)
        ),
    ];
    let engines: BTreeSet<&str> =
        report.all_samples().filter_map(|sample| sample.engine_active.as_deref()).collect();
    lines.extend(engines.iter().map(|engine| format!("engine: {engine}")));
    lines.extend(other_f0(report));
    lines.extend(disruptions(report));
    lines.push(format!("load of others: {}", others(report)));
    let verified: u64 = report.all_samples().map(|sample| sample.verified_records).sum();
    lines.push(format!("verified: {} acknowledged records were read back", grouped(verified)));
    lines.iter().fold(String::new(), |mut text, line| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "- {}", printable(line));
        text
    })
}

fn device(report: &Report) -> String {
    let environment = &report.environment;
    let model = environment.device_model.as_ref().map(|model| format!(" ({model})"));
    let cache = environment.write_cache.as_ref().map(|cache| format!("{cache} cache"));
    let fua = environment.fua.map(|fua| if fua { "FUA" } else { "no FUA" }.to_owned());
    let named = environment.device.as_deref().unwrap_or("unknown").to_owned();
    [
        Some(named + &model.unwrap_or_default()),
        environment.filesystem.clone(),
        cache,
        fua,
        Some(format!("blocks of {}", format_bytes(report.block_bytes))),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(", ")
}

fn f0(report: &Report) -> String {
    let samples: Vec<&Sample> = report.samples(0, BLOCKS).collect();
    let latency = |quantity: Quantity| {
        let values: Vec<f64> = samples.iter().filter_map(|s| s.quantity(quantity)).collect();
        median(&values).map_or(DASH.to_owned(), format_us)
    };
    format!(
        "{}, single durable writes of {}, p50 {}, p99 {}",
        spread(&samples, Quantity::Rate, format_rate),
        format_bytes(report.block_bytes),
        latency(Quantity::P50),
        latency(Quantity::P99)
    )
}

/// A slow disk makes many commits for each of its writes, and a fast one few.
fn other_f0(report: &Report) -> Option<String> {
    let rates: Vec<f64> = report.samples(0, BLOCKS).map(|s| s.rate_per_second).collect();
    let easier = median(&rates)? / REFERENCE_F0_PER_SECOND;
    let word = match easier {
        ratio if ratio < 1.0 / F0_LIKE_REFERENCE => "easier",
        ratio if ratio > F0_LIKE_REFERENCE => "harder",
        _ => return None,
    };
    let reference = format_rate(REFERENCE_F0_PER_SECOND);
    Some(format!(
        "caution: targets in multiples of F0 or of a durable write were set where F0 is \
         {reference}; here they are {word} to meet than there"
    ))
}

fn bandwidth(report: &Report) -> String {
    let samples: Vec<&Sample> = report.samples(0, LARGE).collect();
    let shown = spread(&samples, Quantity::Bandwidth, format_bytes_per_second);
    format!("{shown}, single durable writes of 256 KiB from ordinary pages")
}

/// `24.1 k/s [23.9 k/s, 24.3 k/s]`.
fn spread(samples: &[&Sample], quantity: Quantity, format: fn(f64) -> String) -> String {
    let values: Vec<f64> = samples.iter().filter_map(|s| s.quantity(quantity)).collect();
    let ends = [f64::min, f64::max].map(|end| values.iter().copied().reduce(end));
    match (median(&values), ends) {
        (Some(middle), [Some(low), Some(high)]) => {
            format!("{} [{}, {}]", format(middle), format(low), format(high))
        }
        _ => DASH.to_owned(),
    }
}

/// How often logs rolled over and were truncated, if any was truncated.
fn disruptions(report: &Report) -> Option<String> {
    let found: Vec<_> = report.all_samples().filter_map(|sample| sample.disruptions).collect();
    let sum = |count: fn(&super::sample::DisruptionSummary) -> u64| {
        grouped(found.iter().map(count).sum())
    };
    (!found.is_empty()).then(|| {
        format!(
            "truncated logs: {} rollovers and {} truncations, {} commits within 5 ms of one",
            sum(|one| one.rollovers),
            sum(|one| one.truncations),
            sum(|one| one.near_commits)
        )
    })
}

fn others(report: &Report) -> String {
    let steal = report.all_samples().map(|sample| sample.steal_ratio).fold(0.0, f64::max);
    let disturbed = report.all_samples().filter(|sample| sample.disturbed).count();
    format!(
        "at most {} of the processor time stolen; {disturbed} of {} measurements disturbed",
        format_share(steal),
        report.all_samples().count()
    )
}

fn table(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_content_arrangement(ContentArrangement::Disabled).force_no_tty();
    table.set_header([
        "case",
        "what : against what",
        "what",
        "against",
        "ratio",
        "[lowest, highest]",
        "target",
        "met",
        "disturbed",
    ]);
    for column in [2, 3, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for (case, comparison, ratio) in report.compared() {
        table.add_row([
            case.name.to_owned(),
            comparison.what.to_owned(),
            quantity(comparison.of, ratio.of),
            quantity(comparison.against, ratio.against),
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
        ]);
    }
    format!("{}\n", table.trim_fmt())
}

fn quantity(operand: Operand, value: Option<f64>) -> String {
    let Some(value) = value else { return DASH.to_owned() };
    match operand.quantity {
        Quantity::Rate | Quantity::Batches => format_rate(value),
        Quantity::Bandwidth => format_bytes_per_second(value),
        Quantity::P50 | Quantity::P99 | Quantity::P999 | Quantity::Max | Quantity::NearMax => {
            format_us(value)
        }
    }
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

fn three_digits(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Names of devices and arguments come from outside: nothing in them steers a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::cases::{case, device};
    use super::*;
    use crate::cli::{BenchArgs, BenchCase};
    use crate::store::schema::{Environment, LatencySummary};

    fn sample(rate_per_second: f64, p99_us: Option<f64>) -> Sample {
        let latency = LatencySummary { p50_us: 40.0, p99_us, ..LatencySummary::default() };
        Sample { rate_per_second, latency, ..Sample::default() }
    }

    fn report(rounds: usize) -> Report {
        let args = BenchArgs {
            against_ceiling: true,
            target: "/x".into(),
            rounds: 1,
            seconds: 1.0,
            only: Vec::new(),
            json: None,
        };
        let environment =
            Environment { device: Some("vd\u{1b}a".into()), ..Environment::default() };
        let cases = vec![device(), case(BenchCase::One, 4096)];
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
        let table = table(&report);
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
    fn the_heading_is_a_list_without_control_characters_even_before_the_first_round() {
        for rounds in [0, 1, 3] {
            let heading = heading(&report(rounds));
            assert!(heading.lines().all(|line| line.starts_with("- ")), "{heading}");
            assert!(!heading.contains('\u{1b}'), "{heading}");
            assert!(heading.contains(&format!("rounds: {rounds} of 1.0 s")), "{heading}");
        }
        assert!(heading(&report(1)).contains("F0: 20.0 k/s [20.0 k/s, 20.0 k/s]"));
    }

    #[test]
    fn another_f0_than_that_of_the_targets_is_pointed_out() {
        let mut report = report(1);
        assert!(!heading(&report).contains("caution"), "20 k/s is like 24.3 k/s");
        for (f0, word) in [(3_700.0, "easier"), (90_000.0, "harder")] {
            report.rounds[0][0][BLOCKS].rate_per_second = f0;
            let heading = heading(&report);
            assert!(heading.contains("- caution: ") && heading.contains(word), "{heading}");
        }
    }

    #[test]
    fn numbers_have_three_digits_and_counts_groups_of_three() {
        let found = [0.5, 0.9994, 0.9996, 4.115, 20.58, 123.4].map(three_digits);
        assert_eq!(found, ["0.500", "0.999", "1.00", "4.12", "20.6", "123"]);
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
