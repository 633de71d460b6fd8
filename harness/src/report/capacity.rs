//! What a stored capacity run tells: the answer for the terminal, the load-latency plot and one
//! page. Pure functions of what is stored; only [`write_capacity`] writes.

use std::path::PathBuf;

use anyhow::Result;

use super::html::capacity_html;
use super::plots::{LOAD_LATENCY, load_latency};
use super::table::Style;
use crate::load::Percentile;
use crate::page::text::{count, number, optional_number, printable, wrapped};
use crate::store::capacity::{
    CapacityAnalysis, CapacityFolder, CapacityManifest, CapacityTrial, Phase, Verdict,
};
use crate::store::schema::LatencySummary;
use crate::units::{format_bytes_per_second, format_data, format_rate, format_us};

/// A year has so many days; below one year a drive's life is told in days.
const DAYS_PER_YEAR: f64 = 365.25;

/// Writes `plots/load-latency.svg` and `report.html`, and returns where the latter is.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write_capacity(
    folder: &CapacityFolder,
    manifest: &CapacityManifest,
    trials: &[CapacityTrial],
    analysis: &CapacityAnalysis,
) -> Result<PathBuf> {
    let plot = load_latency(manifest, trials, analysis)?;
    let folder = folder.folder();
    let name = format!("plots/{LOAD_LATENCY}");
    match &plot {
        Some(plot) => {
            folder.write_artifact(&name, plot.svg.as_bytes())?;
        }
        None => folder.remove_artifact(&name)?,
    }
    let html = capacity_html(manifest, trials, analysis, plot.as_ref());
    folder.write_artifact("report.html", html.as_bytes())
}

/// The answer as text, ended by a newline; no line is wider than the style says.
pub(crate) fn capacity_summary(
    manifest: &CapacityManifest,
    trials: &[CapacityTrial],
    analysis: &CapacityAnalysis,
    style: Style,
) -> String {
    const NAME_WIDTH: usize = 16;
    let width = usize::from(style.width.max(40));
    let mut text = curve(trials);
    text.push('\n');
    for line in wrapped(&printable(&analysis.answer), width) {
        text.push_str(&format!("{line}\n"));
    }
    text.push('\n');
    for (name, value) in facts(manifest, analysis) {
        for (index, line) in wrapped(&printable(&value), width - NAME_WIDTH).iter().enumerate() {
            let name = if index == 0 { name } else { "" };
            text.push_str(&format!("{name:NAME_WIDTH$}{line}\n"));
        }
    }
    if !analysis.caveats.is_empty() {
        text.push_str("\nBefore relying on it:\n");
        for caveat in &analysis.caveats {
            for (index, line) in wrapped(&printable(caveat), width - 2).iter().enumerate() {
                text.push_str(&format!("{} {line}\n", if index == 0 { "-" } else { " " }));
            }
        }
    }
    text
}

/// The load-latency curve in numbers, by rate.
fn curve(trials: &[CapacityTrial]) -> String {
    let mut rows: Vec<&CapacityTrial> = trials.iter().filter(|trial| trial.answered > 0).collect();
    rows.sort_by(|a, b| a.offered_rate_per_second.total_cmp(&b.offered_rate_per_second));
    let mut text = format!(
        "{:>12} {:>6} {:>10} {:>10} {:>10} {:>9}  {}\n",
        "due /s", "s", "p50 µs", "p99 µs", "p99.9 µs", "achieved", "verdict"
    );
    for trial in rows {
        text.push_str(&format!(
            "{:>12} {:>6} {:>10} {:>10} {:>10} {:>7.1} %  {}{}\n",
            number(trial.offered_rate_per_second),
            number(trial.measured_seconds),
            number(trial.latency.p50_us),
            optional_number(trial.latency.p99_us),
            optional_number(trial.latency.p999_us),
            achieved_percent(trial),
            word(&trial.verdict),
            if trial.phase == Phase::Confirm { " (confirmation)" } else { "" },
        ));
    }
    text
}

pub(super) fn achieved_percent(trial: &CapacityTrial) -> f64 {
    if trial.due == 0 { 100.0 } else { trial.answered as f64 / trial.due as f64 * 100.0 }
}

/// A verdict in a word.
pub(super) fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Missed { .. } => "missed",
        Verdict::Overloaded { .. } => "overloaded",
        Verdict::Invalid { .. } => "invalid",
        Verdict::Unsupported { .. } => "too few groups",
        Verdict::Failed { .. } => "FAILED",
    }
}

/// What there is to know, by name, in the order of importance.
pub(super) fn facts(
    manifest: &CapacityManifest,
    analysis: &CapacityAnalysis,
) -> Vec<(&'static str, String)> {
    let mut facts: Vec<(&'static str, String)> = Vec::new();
    if let Some(carried) = analysis.carried_rate_per_second {
        let upper = if carried.high > carried.value {
            format!("the limit lies between that and {}", format_rate(carried.high))
        } else {
            "more was not offered".to_owned()
        };
        let bytes = carried.value * manifest.question.mean_record_bytes;
        facts.push((
            "Carried",
            format!(
                "{}, {} of payload; held in {} trials of {} s; {upper}",
                format_rate(carried.value),
                format_bytes_per_second(bytes),
                manifest.question.confirmations,
                manifest.question.confirm_seconds
            ),
        ));
    }
    if let Some(advised) = analysis.advised_rate_per_second {
        facts.push(("Advised", format!("{}, 70 % of it", format_rate(advised))));
    }
    if let Some(latency) = &analysis.latency {
        facts.push(("Latency there", percentiles(latency)));
    }
    facts.push(("Limited by", analysis.limited_by.clone()));
    if let Some(ratio) = analysis.log_bytes_per_payload_byte {
        let disk = match analysis.disk_bytes_per_payload_byte {
            Some(disk) => format!(
                "{} by the kernel's count of the whole device, zeroed segments and everybody else's \
                 writes included",
                number(disk)
            ),
            None => "the kernel does not say what the device wrote in all".to_owned(),
        };
        let text = format!("{} to the device for each payload byte; {disk}", number(ratio));
        facts.push(("Bytes", text));
    }
    facts.push(("Drive's life", life(analysis)));
    if let Some(overhead_ns) = manifest.generator_ns_per_record {
        facts.push((
            "Harness",
            format!("{overhead_ns:.0} ns of its own for each record, on a log that does nothing"),
        ));
    }
    let verified = count(analysis.verified_records);
    facts
        .push(("Verified", format!("{verified} acknowledged records were read back and compared")));
    facts
}

fn percentiles(latency: &LatencySummary) -> String {
    let found = [
        (Percentile::P50, Some(latency.p50_us)),
        (Percentile::P99, latency.p99_us),
        (Percentile::P999, latency.p999_us),
        (Percentile::P9999, latency.p9999_us),
    ];
    let shown: Vec<String> = found
        .into_iter()
        .filter_map(|(percentile, us)| Some(format!("{} {}", percentile.name(), format_us(us?))))
        .collect();
    format!("{}, slowest {}", shown.join(", "), format_us(latency.max_us))
}

fn life(analysis: &CapacityAnalysis) -> String {
    let rate = analysis.advised_log_bytes_per_second;
    let a_day = rate.map(|rate| format!("{} a day", format_data(rate * 86_400.0)));
    match (analysis.life_years_advised, analysis.life_years_carried, a_day) {
        (Some(advised), Some(carried), Some(a_day)) => format!(
            "{} at the advised rate ({a_day}), {} at the carried one: {}",
            years(advised),
            years(carried),
            analysis.life_basis
        ),
        (_, _, Some(a_day)) => format!(
            "{}; at the advised rate the log writes {a_day}, each byte once",
            analysis.life_basis
        ),
        _ => analysis.life_basis.clone(),
    }
}

fn years(years: f64) -> String {
    if years < 1.0 {
        format!("{:.0} days", years * DAYS_PER_YEAR)
    } else {
        format!("{years:.1} years")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::capacity::{Finding, synthetic};
    use crate::store::schema::{Estimate, SCHEMA_VERSION};

    /// As is concluded from the synthetic run.
    fn analysis() -> CapacityAnalysis {
        CapacityAnalysis {
            schema_version: SCHEMA_VERSION.to_owned(),
            finding: Finding::Carried,
            answer: "This log carries 10.0 k/s.".into(),
            carried_rate_per_second: Some(Estimate { value: 1e4, low: 1e4, high: 1.1e4 }),
            advised_rate_per_second: Some(7_000.0),
            latency: Some(synthetic::trials()[7].latency.clone()),
            limited_by: "At 11.0 k/s it breaks: p99 1.02 ms of 1ms.".into(),
            log_bytes_per_payload_byte: Some(10.0),
            disk_bytes_per_payload_byte: Some(20.0),
            advised_log_bytes_per_second: Some(17.92e6),
            life_years_advised: Some(1.06),
            life_years_carried: Some(0.74),
            life_basis: "600 TB rated endurance (--tbw)".into(),
            caveats: vec!["A <script> is \u{1b}[31mnone.".into()],
            verified_records: 1_000_000,
        }
    }

    #[test]
    fn the_terminal_has_the_answer_within_its_width_and_no_control_characters() {
        let (manifest, trials) = (synthetic::manifest(), synthetic::trials());
        let style = Style { colour: false, width: 100 };
        let text = capacity_summary(&manifest, &trials, &analysis(), style);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(text.chars().all(|c| !c.is_control() || c == '\n'), "{text}");
        for part in [
            "Carried         10.0 k/s, 2.56 MB/s of payload",
            "held in 3 trials of 30 s; the limit lies between",
            "Advised         7.00 k/s",
            "1.1 years at the advised rate (1.55 TB a day), 270 days",
            "150 ns of its own for each record",
            "overloaded",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(text.matches("(confirmation)").count(), 3);
    }

    #[test]
    fn the_page_is_whole_offline_and_the_same_each_time() {
        let (manifest, trials, analysis) = (synthetic::manifest(), synthetic::trials(), analysis());
        let plot = load_latency(&manifest, &trials, &analysis).expect("draws").expect("a plot");
        assert!(!plot.svg.contains("NaN") && !plot.svg.contains("<script"), "{}", plot.svg);
        for part in ["carried 10.0 k/s", "p99 ≤ 1.00 ms", "p99.9 ≤ 5.00 ms", "F0 12.0 k/s"] {
            assert!(plot.svg.contains(part), "{part}");
        }
        let html = capacity_html(&manifest, &trials, &analysis, Some(&plot));
        assert!(html == capacity_html(&manifest, &trials, &analysis, Some(&plot)));
        assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>"));
        for loads in ["<script", "src=", "url(", "@import", "<link", "https://", "\u{1b}", "NaN"] {
            assert!(!html.contains(loads), "{loads}");
        }
        for element in ["section", "table", "tr", "td", "th", "div", "p", "ul", "li", "dl"] {
            let opened = html.matches(&format!("<{element}>")).count()
                + html.matches(&format!("<{element} ")).count();
            assert_eq!(opened, html.matches(&format!("</{element}>")).count(), "{element}");
        }
    }

    #[test]
    fn a_run_without_trials_has_a_page_and_no_plot() {
        let manifest = CapacityManifest { ceiling: None, ..synthetic::manifest() };
        let nothing = CapacityAnalysis {
            finding: Finding::Unfinished,
            carried_rate_per_second: None,
            advised_rate_per_second: None,
            latency: None,
            life_years_advised: None,
            life_years_carried: None,
            advised_log_bytes_per_second: None,
            ..analysis()
        };
        assert!(load_latency(&manifest, &[], &nothing).expect("no error").is_none());
        let html = capacity_html(&manifest, &[], &nothing, None);
        assert!(html.contains("Nothing was measured."));
    }
}
