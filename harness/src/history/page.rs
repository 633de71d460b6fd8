//! A history as a page: what shifted and when, then every number over all runs. It opens offline
//! and runs no script, as a run's report.

use anyhow::Result;
use maud::{Markup, html};

use super::Shifted;
use super::plot::{name_of, plot, small_multiples};
use super::series::{History, Series};
use super::show::{headline, next, span, told, word};
use crate::page::text::printable;
use crate::page::{figure, scrolling, whole_page};
use crate::store::quantity::Quantity;
use crate::units::format_change;

/// The page. The same history gives the same bytes.
///
/// # Errors
/// Only when the SVG backend refuses to draw.
pub(super) fn page(history: &History) -> Result<String> {
    let title = format!("History of {}: Plimsoll", history.profile);
    let mut numbers = Vec::new();
    for quantity in Quantity::ALL {
        numbers.push(number(history, quantity)?);
    }
    let body = html! {
        header {
            p.eyebrow { "Plimsoll history" }
            h1 { (printable(&history.profile)) ", run after run" }
            p.lead { (printable(&span(history))) }
            nav aria-label="Sections" {
                a href="#changes" { "What changed" } " "
                @for series in leading(history) {
                    a href={ "#" (series.quantity.slug()) } { (name_of(series.quantity)) } " "
                }
                a href="#runs" { "Runs" }
            }
        }
        main {
            (changes(history))
            @for number in &numbers { (number) }
            (runs(history))
        }
    };
    Ok(whole_page(&title, &body))
}

/// Of each number the one that stands for it: all configurations together, or the only one.
fn leading(history: &History) -> Vec<&Series> {
    let of = |quantity: Quantity| history.series.iter().find(move |one| one.quantity == quantity);
    Quantity::ALL.into_iter().filter_map(of).collect()
}

fn changes(history: &History) -> Markup {
    let class = match history.shifted {
        Shifted::ForTheWorse => Some("alert failed"),
        Shifted::TooShort => Some("alert"),
        Shifted::Not => None,
    };
    let told = told(history);
    html! {
        section #changes aria-labelledby="changes-heading" {
            h2 #changes-heading { "What changed" }
            p class=[class] { (printable(&headline(history))) }
            p { (printable(&next(history))) }
            @if !told.is_empty() {
                (scrolling("Change points", &html! {
                    table.data {
                        thead { tr {
                            th scope="col" { "Configuration" }
                            th scope="col" { "Metric" }
                            th.number scope="col" { "Change" }
                            th scope="col" { "First run" }
                            th scope="col" { "Its build" }
                            th.number scope="col" { "Runs since" }
                            th scope="col" { "Verdict" }
                        } }
                        tbody {
                            @for (series, point) in &told {
                                tr {
                                    th scope="row" { (printable(&series.scope)) }
                                    td { (series.quantity.name()) }
                                    td.number { (format_change(point.ratio)) }
                                    td { (printable(&point.first.name)) }
                                    td { (printable(&point.first.plimsoll_version)) }
                                    td.number { (point.runs_since) }
                                    td { (word(point)) }
                                }
                            }
                        }
                    }
                }))
            }
        }
    }
}

/// A number of all configurations together, and of each of them.
fn number(history: &History, quantity: Quantity) -> Result<Markup> {
    let mut all = history.series.iter().filter(|series| series.quantity == quantity);
    let Some(leading) = all.next() else { return Ok(html! {}) };
    let slug = quantity.slug();
    let large = plot(history, leading, slug)?;
    let apart: Vec<&Series> = all.collect();
    let small = if apart.is_empty() {
        None
    } else {
        Some(small_multiples(history, &apart, &format!("{slug}-apart"))?)
    };
    let shifted = apart.iter().any(|series| !series.shifts.is_empty());
    let heading = format!("{slug}-heading");
    Ok(html! {
        section id=(slug) aria-labelledby=(heading) {
            h2 id=(heading) { (name_of(quantity)) }
            (figure(&large))
            @if let Some(small) = &small {
                details open[shifted] {
                    summary { "Each of the " (apart.len()) " configurations" }
                    (figure(small))
                }
            }
        }
    })
}

fn runs(history: &History) -> Markup {
    html! {
        section #runs aria-labelledby="runs-heading" {
            h2 #runs-heading { "Runs" }
            (scrolling("Runs", &html! {
                table.data {
                    thead { tr {
                        th scope="col" { "Run" }
                        th scope="col" { "Started" }
                        th scope="col" { "Plimsoll" }
                        th scope="col" { "Kernel" }
                    } }
                    tbody {
                        @for entry in history.entries.iter().rev() {
                            tr {
                                th scope="row" { (printable(&entry.name)) }
                                td { (printable(&entry.started_utc)) }
                                td { (printable(&entry.plimsoll_version)) }
                                td { (printable(&entry.kernel)) }
                            }
                        }
                    }
                }
            }))
        }
    }
}
