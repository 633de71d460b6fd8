//! The first screen: what was measured and where, the settings to run with and why, the numbers
//! they gave, and what to know before relying on them.

use maud::{Markup, html};

use super::super::view::{Row, View, named_settings, usable};
use crate::page::text::{
    DASH, count, estimate, interval, number, optional_number, printable, ratio,
};
use crate::store::certificate::{Standing, Verdict};
use crate::store::schema::{Environment, Manifest, RunStatus};
use crate::units::{format_bytes_per_second, format_seconds, format_share};

/// Page header with the title and what was measured.
pub(super) fn header(view: &View<'_>) -> Markup {
    let manifest = view.run.manifest;
    html! {
        header {
            p.eyebrow { "Plimsoll run report" }
            h1 { (printable(&manifest.profile_name)) " on " (printable(&manifest.environment_before.hostname)) }
            p.lead { (printable(&manifest.profile_description)) }
            p.facts { (machine(&manifest.environment_before)) }
            p.facts { (method(manifest)) }
            nav aria-label="Sections" {
                @for (id, name) in [
                    ("trade-offs", "Trade-offs"), ("effects", "Effects"), ("throughput", "Throughput"), ("latency", "Latency"),
                    ("rounds", "Rounds"), ("configurations", "All configurations"),
                    ("environment", "Environment"), ("reproduce", "Reproduce"), ("glossary", "Glossary"),
                ] {
                    a href={ "#" (id) } { (name) } " "
                }
            }
        }
    }
}

fn machine(environment: &Environment) -> String {
    let device = environment.device_model.as_ref().or(environment.device.as_ref());
    let mut parts =
        vec![device.map_or_else(|| "unknown device".to_owned(), |name| printable(name))];
    parts.extend(environment.filesystem.as_deref().map(printable));
    parts.push(printable(&environment.target));
    parts.extend(environment.cpu_model.as_deref().map(printable));
    parts.push(printable(&environment.kernel));
    parts.retain(|part| !part.is_empty());
    parts.join(" · ")
}

fn method(manifest: &Manifest) -> String {
    let plan = &manifest.plan;
    let rounds = if manifest.snia_steady_state {
        "SNIA steady-state rounds"
    } else {
        "short rounds, not a SNIA steady state"
    };
    format!(
        "{} configurations × {} · {} a trial after {} of warm-up · {rounds} · {}",
        count(plan.configurations.len() as u64),
        match plan.blocks {
            1 => "1 block".to_owned(),
            blocks => format!("{} blocks", count(u64::from(blocks))),
        },
        format_seconds(plan.trial_seconds),
        format_seconds(plan.warmup_seconds),
        printable(&manifest.started_utc)
    )
}

/// The recommendation, or why there is none.
pub(super) fn decision(view: &View<'_>) -> Markup {
    html! {
        section #recommendation aria-labelledby="recommendation-heading" {
            @if let Some(alert) = alert(view) { (alert) }
            @match (view.recommended_row(), &view.run.analysis.recommendation) {
                (Some(row), Some(choice)) => {
                    h2 #recommendation-heading { "Run it with these settings" }
                    (headline(view, row))
                    (settings_table(view, row))
                    @if let Some(standing) = view.run.standing { (proof(standing)) }
                    (ties(view, &choice.ties))
                    (caveats(&choice.caveats))
                }
                _ => {
                    h2 #recommendation-heading { "No recommendation" }
                    @if let Some(refusal) = &view.run.analysis.refusal {
                        @for reason in &refusal.reasons { p { (printable(reason)) } }
                        h3 { "What would settle it" }
                        ul { @for settled in &refusal.settled_by { li { (printable(settled)) } } }
                    }
                    p {
                        "No configuration could be measured well enough to be recommended. "
                        "The table of " a href="#configurations" { "all configurations" }
                        " says why, one by one."
                    }
                }
            }
        }
    }
}

/// Whether the settings were shown to lose nothing when power is cut.
fn proof(standing: &Standing) -> Markup {
    let broken = match standing {
        Standing::OfThese(certificate) => certificate.verdict() == Verdict::Broken,
        Standing::Uncertified | Standing::OfOthers(_) => false,
    };
    html! {
        @if broken {
            p class="alert failed" role="note" { (printable(&standing.sentence())) }
        } @else {
            p { (printable(&standing.sentence())) }
        }
    }
}

/// What makes the whole run less than it set out to be.
fn alert(view: &View<'_>) -> Option<Markup> {
    let manifest = view.run.manifest;
    let (class, text) = match manifest.status {
        RunStatus::Complete => return None,
        RunStatus::Failed => (
            "alert failed",
            "At least one acknowledged record was lost or came back wrong. Nothing here may be \
             relied on until that is explained; the affected configurations are marked as failed."
                .to_owned(),
        ),
        RunStatus::Running => (
            "alert",
            "The run had not finished when this report was made, or it was killed.".to_owned(),
        ),
        RunStatus::Interrupted | RunStatus::TimeBudget => {
            let why = if manifest.status == RunStatus::Interrupted {
                "The run was interrupted"
            } else {
                "The run stopped at its time budget"
            };
            let (done, planned) = (view.run.analysis.blocks, manifest.plan.blocks);
            ("alert", format!("{why}: {done} of {planned} planned blocks are in this report."))
        }
    };
    Some(html! { p class=(class) role="note" { (text) } })
}

fn headline(view: &View<'_>, row: &Row<'_>) -> Markup {
    let rate_note = interval(row.rate_per_second).map_or_else(
        || "no interval: too few blocks".to_owned(),
        |interval| format!("95 % interval {interval}"),
    );
    let latency_note =
        format!("p50 {} µs · p99.9 {} µs", estimate(row.p50_us), optional_number(row.p999_us));
    let (against, against_note) = against_device(view, row);
    html! {
        dl.numbers {
            (card("Durable commits a second", &estimate(row.rate_per_second), "", &rate_note))
            (card("p99 commit latency", &estimate(row.p99_us), "µs", &latency_note))
            (card("Against the device’s F0", &against, "", &against_note))
            (card(
                "Device bytes per payload byte",
                &optional_number(row.device_bytes_per_payload_byte),
                "",
                &bandwidth(view, row),
            ))
        }
    }
}

fn card(name: &str, value: &str, unit: &str, note: &str) -> Markup {
    html! {
        div {
            dt { (name) }
            dd.value { (value) @if !unit.is_empty() && value != DASH { " " small { (unit) } } }
            dd.note { (note) }
        }
    }
}

fn against_device(view: &View<'_>, row: &Row<'_>) -> (String, String) {
    let (Some(f0), Some(rate)) = (view.f0_per_second(), row.rate_per_second) else {
        return (DASH.to_owned(), "the device’s own speed was not measured".to_owned());
    };
    let against = rate.value / f0;
    let why = if against > 1.0 { "; above ×1, records share writes" } else { "" };
    (ratio(against), format!("F0: {} single durable writes a second{why}", number(f0)))
}

fn bandwidth(view: &View<'_>, row: &Row<'_>) -> String {
    let Some(payload) = row.payload_bytes_per_second() else {
        return String::new();
    };
    let text = format!("{} of payload", format_bytes_per_second(payload));
    let durable =
        view.run.manifest.ceiling.as_ref().and_then(|c| usable(Some(c.durable_bytes_per_second)));
    match (durable, row.device_bytes_per_payload_byte) {
        (Some(durable), Some(factor)) => format!(
            "{text}; to the device, {} of its {}",
            format_share(payload * factor / durable),
            format_bytes_per_second(durable)
        ),
        _ => text,
    }
}

/// Every setting of the recommended configuration; those the run compared come first.
fn settings_table(view: &View<'_>, row: &Row<'_>) -> Markup {
    let reasons = view.run.analysis.recommendation.as_ref().map(|choice| &choice.reasons);
    let why = |name: &str| reasons.and_then(|reasons| reasons.get(name)).map(|why| printable(why));
    let named = named_settings(&row.configuration.settings);
    let axes = &view.run.manifest.plan.axes;
    let fixed = named.iter().filter(|(name, _)| axes.iter().all(|axis| axis.name != *name));
    html! {
        div.scroll role="region" aria-label="Recommended settings" tabindex="0" {
            table.settings {
                thead { tr {
                    th scope="col" { "Setting" }
                    th scope="col" { "Value" }
                    th scope="col" { "Why" }
                } }
                tbody {
                    @for ((axis, shown), level) in axes.iter().zip(&view.axes).zip(&row.levels) {
                        tr {
                            th scope="row" { code { (shown) } }
                            td { code.chosen { (level) } }
                            td { (why(&axis.name).unwrap_or_else(|| DASH.to_owned())) }
                        }
                    }
                    @for (name, level) in fixed {
                        tr.fixed {
                            th scope="row" { code { (name) } }
                            td { code { (level) } }
                            td { (why(name).unwrap_or_else(|| "given by the profile, not compared".to_owned())) }
                        }
                    }
                }
            }
        }
    }
}

fn ties(view: &View<'_>, ties: &[String]) -> Markup {
    let others: Vec<usize> = ties
        .iter()
        .filter_map(|id| view.rows.iter().position(|row| row.configuration.id == *id))
        .filter(|index| Some(*index) != view.recommended)
        .collect();
    html! {
        @if !others.is_empty() {
            details {
                summary {
                    (others.len()) " other "
                    (if others.len() == 1 { "configuration was" } else { "configurations were" })
                    " as fast, as far as this run can tell"
                }
                ul {
                    @for index in others {
                        li {
                            (view.description(index)) ": "
                            (estimate(view.rows[index].rate_per_second)) " commits a second, p99 "
                            (estimate(view.rows[index].p99_us)) " µs"
                        }
                    }
                }
            }
        }
    }
}

fn caveats(caveats: &[String]) -> Markup {
    html! {
        @if !caveats.is_empty() {
            div.caveats {
                h3 { "Before you rely on it" }
                ul { @for caveat in caveats { li { (printable(caveat)) } } }
            }
        }
    }
}
