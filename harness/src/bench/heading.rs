//! The lines above the tables: what was measured, where, on a device that does what by itself, and
//! what was checked meanwhile. They are Markdown, too.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::case::{Arm, Quantity, What};
use super::report::Report;
use super::sample::{DisruptionSummary, Sample};
use super::targets::REFERENCE_F0_PER_SECOND;
use super::words::{DASH, grouped, printable};
use crate::stats::median;
use crate::units::{
    format_bytes, format_bytes_per_second, format_rate, format_seconds, format_share, format_us,
};

/// Up to this ratio, either way, an F0 is like that of the machine the targets were set on.
const F0_LIKE_REFERENCE: f64 = 1.25;

/// Arms of the case that is the device by itself.
const BLOCKS: usize = 0;
const ORDINARY_PAGES: usize = 1;
const HUGE_PAGES: usize = 2;

pub(super) fn heading(report: &Report) -> String {
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
    lines.extend(other_f0(report));
    lines.extend(unique(report, |arm, sample| {
        let engine = sample.engine_active.as_deref().filter(|_| is_free_to_choose(arm))?;
        Some(format!("engine, chosen by auto: {engine}"))
    }));
    lines.extend(unique(report, |arm, sample| {
        Some(format!("skipped: {}: {}", arm.name, sample.skipped.as_deref()?))
    }));
    lines.extend(disruptions(report));
    lines.push(format!("load of others: {}", others(report)));
    lines.extend(verified(report));
    lines.iter().fold(String::new(), |mut text, line| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "- {}", printable(line));
        text
    })
}

/// What is said of any sample, each sentence once.
fn unique(
    report: &Report,
    say: impl Fn(&Arm, &Sample) -> Option<String>,
) -> impl Iterator<Item = String> {
    let mut lines = BTreeSet::new();
    for (_, arm, samples) in report.arms_with_samples() {
        lines.extend(samples.iter().filter_map(|sample| say(arm, sample)));
    }
    lines.into_iter()
}

fn is_free_to_choose(arm: &Arm) -> bool {
    matches!(&arm.what, What::Log(log) if log.settings.engine == "auto")
}

/// What was checked of the runs that were measured.
fn verified(report: &Report) -> Vec<String> {
    let sum = |count: fn(&Sample) -> u64| grouped(report.all_samples().map(count).sum());
    let mut lines = vec![
        format!(
            "verified: {} acknowledged records were read back, each with its own bytes at its own \
             LSN",
            sum(|sample| sample.verified_records)
        ),
        format!(
            "durable LSN never ahead of the device: looked up on the device {} times while the \
             clients went on, and there each time",
            sum(|sample| sample.durable_checks)
        ),
    ];
    let mut logs = report.all_samples().filter(|sample| sample.engine_active.is_some()).peekable();
    if logs.peek().is_some() && logs.all(|log| log.page_cache_growth_bytes.is_none()) {
        lines.push("page cache: not looked at, as `fincore` (util-linux) is missing".to_owned());
    }
    lines
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
    let from = |arm: usize| {
        let samples: Vec<&Sample> = report.samples(0, arm).collect();
        spread(&samples, Quantity::Bandwidth, format_bytes_per_second)
    };
    format!(
        "{} from ordinary pages, {} from huge pages (transparent huge pages: {}), single durable \
         writes of 256 KiB",
        from(ORDINARY_PAGES),
        from(HUGE_PAGES),
        report.huge_pages.as_deref().unwrap_or("none")
    )
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
    let sum = |count: fn(&DisruptionSummary) -> u64| grouped(found.iter().map(count).sum());
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

#[cfg(test)]
mod tests {
    use super::super::table::tests::report;
    use super::*;

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
}
