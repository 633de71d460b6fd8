//! The page of a capacity run: the answer first, then the curve, what follows from it, every trial,
//! and what a doubter or a repeater needs.

use maud::{Markup, html};

use super::super::capacity::{achieved_percent, facts, word};
use super::appendix::{environments, identity};
use crate::page::text::{count, number, optional_number, printable};
use crate::page::{Plot, figure, scrolling, whole_page};
use crate::store::capacity::{CapacityAnalysis, CapacityManifest, CapacityTrial, Finding};
use crate::units::{format_rate, format_us};

/// The page.
pub(in super::super) fn capacity_html(
    manifest: &CapacityManifest,
    trials: &[CapacityTrial],
    analysis: &CapacityAnalysis,
    plot: Option<&Plot>,
) -> String {
    let host = printable(&manifest.environment_before.hostname);
    let body = html! {
        (header(manifest, &host))
        main {
            (answer(manifest, analysis))
            section #curve aria-labelledby="curve-heading" {
                h2 #curve-heading { "Latency against load" }
                @match plot {
                    Some(plot) => (figure(plot)),
                    None => p.empty { "Nothing was measured." },
                }
            }
            (every_trial(trials))
            (settings(manifest))
            (environments(&manifest.environment_before, manifest.environment_after.as_ref()))
            (identity(&manifest.argv, &identity_facts(manifest)))
        }
    };
    whole_page(&format!("Capacity of {host}: Plimsoll report"), &body)
}

fn header(manifest: &CapacityManifest, host: &str) -> Markup {
    let question = &manifest.question;
    let device = manifest.environment_before.device.as_deref().unwrap_or("unknown device");
    let records = match &question.trace {
        Some(trace) => format!("records as in {}", trace.path),
        None => format!("records of {}", question.record_sizes),
    };
    html! {
        header {
            p.eyebrow { "Plimsoll capacity report" }
            h1 { "What " (host) " carries" }
            p.lead { "The highest rate of arrivals under " (question.slo.to_string()) "." }
            p.facts {
                (printable(&records)) " · " (printable(device)) " · "
                (printable(&manifest.environment_before.target)) " · "
                (printable(&manifest.started_utc))
            }
            nav aria-label="Sections" {
                @for (id, name) in [
                    ("answer", "Answer"), ("curve", "Curve"), ("trials", "Trials"),
                    ("settings", "Settings"), ("environment", "Environment"),
                    ("reproduce", "Reproduce"),
                ] {
                    a href={ "#" (id) } { (name) } " "
                }
            }
        }
    }
}

fn answer(manifest: &CapacityManifest, analysis: &CapacityAnalysis) -> Markup {
    let alert = match analysis.finding {
        Finding::Carried => None,
        Finding::Failed => Some("alert failed"),
        _ => Some("alert"),
    };
    html! {
        section #answer aria-labelledby="answer-heading" {
            h2 #answer-heading { "The answer" }
            @match alert {
                Some(class) => p class=(class) { (printable(&analysis.answer)) },
                None => p { (printable(&analysis.answer)) },
            }
            (numbers(analysis))
            dl.sentences {
                @for (name, value) in facts(manifest, analysis) {
                    div { dt { (name) } dd { (printable(&value)) } }
                }
            }
            @if !analysis.caveats.is_empty() {
                div.caveats {
                    h3 { "Before relying on it" }
                    ul { @for caveat in &analysis.caveats { li { (printable(caveat)) } } }
                }
            }
        }
    }
}

fn numbers(analysis: &CapacityAnalysis) -> Markup {
    let (Some(carried), Some(advised)) =
        (analysis.carried_rate_per_second, analysis.advised_rate_per_second)
    else {
        return html! {};
    };
    let p99_us = analysis.latency.as_ref().and_then(|latency| latency.p99_us);
    html! {
        dl.numbers {
            div {
                dt { "Advised" }
                dd.value { (format_rate(advised)) }
                dd.note { "70 % of what is carried" }
            }
            div {
                dt { "Carried" }
                dd.value { (format_rate(carried.value)) }
                dd.note { "the limit lies below " (format_rate(carried.high)) }
            }
            @if let Some(p99_us) = p99_us {
                div {
                    dt { "p99 there" }
                    dd.value { (format_us(p99_us)) }
                    dd.note { "from when a record was due" }
                }
            }
        }
    }
}

fn every_trial(trials: &[CapacityTrial]) -> Markup {
    let heads = [
        "Due /s",
        "Seconds",
        "Achieved %",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "Service p99 µs",
        "Lag p99 µs",
        "Group wait p99 µs",
        "Submit to complete p99 µs",
        "Records a batch",
    ];
    let table = html! {
        table.data {
            thead { tr {
                th scope="col" { "Trial" }
                @for head in heads { th.number scope="col" { (head) } }
                th scope="col" { "Verdict" }
            } }
            tbody {
                @for trial in trials {
                    tr {
                        th scope="row" { (trial.number) " " (trial.phase.name()) }
                        @for cell in cells(trial) { td.number { (cell) } }
                        td.reason {
                            (word(&trial.verdict))
                            @if let Some(reason) = trial.verdict.reason() { ": " (printable(reason)) }
                            @if trial.disturbed { " " span.badge.quiet { "disturbed" } }
                        }
                    }
                }
            }
        }
    };
    html! {
        section #trials aria-labelledby="trials-heading" {
            h2 #trials-heading { "Every trial" }
            p {
                "Lag is from when a record was due until it was handed over; service from then on. "
                "A batch is filled for the group wait, and takes from its submission to its completion."
            }
            (scrolling("Every trial", &table))
        }
    }
}

fn cells(trial: &CapacityTrial) -> [String; 11] {
    let batches = trial.commit_groups.max(1) as f64;
    [
        number(trial.offered_rate_per_second),
        number(trial.measured_seconds),
        number(achieved_percent(trial)),
        number(trial.latency.p50_us),
        optional_number(trial.latency.p99_us),
        optional_number(trial.latency.p999_us),
        optional_number(trial.service.p99_us),
        optional_number(trial.lag.p99_us),
        optional_number(trial.group_wait.p99_us),
        optional_number(trial.submit_to_complete.p99_us),
        number(trial.answered as f64 / batches),
    ]
}

fn settings(manifest: &CapacityManifest) -> Markup {
    let table = html! {
        table.settings {
            thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } } }
            tbody {
                @for (name, value) in &manifest.question.settings {
                    tr { th scope="row" { (printable(name)) } td { (printable(value)) } }
                }
            }
        }
    };
    html! {
        section #settings aria-labelledby="settings-heading" {
            h2 #settings-heading { "The log's settings" }
            @if manifest.question.settings_file.is_none() {
                p { "The library's defaults; name a tuned file with --config." }
            }
            (scrolling("Settings", &table))
        }
    }
}

fn identity_facts(manifest: &CapacityManifest) -> Vec<(&'static str, String)> {
    let finished = manifest.finished_utc.as_deref();
    vec![
        ("Run", printable(&manifest.run_id)),
        ("Seed", manifest.question.seed.to_string()),
        ("Plimsoll", printable(&manifest.environment_before.plimsoll_version)),
        ("Started", printable(&manifest.started_utc)),
        ("Finished", finished.map_or_else(|| "not finished".to_owned(), printable)),
        ("Confirmations", count(u64::from(manifest.question.confirmations))),
        ("Schema", printable(&manifest.schema_version)),
    ]
}
