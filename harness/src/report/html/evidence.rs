//! The evidence: what each parameter did, how fast and how steady every configuration was, and
//! the table they all stand in.

use maud::{Markup, html};

use super::super::view::{Row, View, usable, usable_estimate};
use crate::page::text::{estimate, interval, optional_number, printable, ratio};
use crate::page::{Plot, figure, scrolling};
use crate::store::schema::{AxisEffect, Estimate, LevelEffect};
use crate::units::{format_bytes_per_second, format_share, format_us};

/// What changing one setting did, and two at once.
pub(super) fn effects(view: &View<'_>, plot: Option<&Plot>, pairs: Option<&Plot>) -> Markup {
    let axes = &view.run.analysis.axes;
    html! {
        section #effects aria-labelledby="effects-heading" {
            h2 #effects-heading { "What each setting does" }
            @if axes.is_empty() {
                p.empty { "The plan varied nothing, or nothing was measured." }
            } @else {
                dl.sentences {
                    @for axis in axes {
                        div {
                            dt {
                                code { (printable(&axis.axis)) }
                                @if axis.matters { " " span.badge { "matters" } }
                            }
                            dd { (printable(&axis.sentence)) }
                        }
                    }
                }
                @if let Some(plot) = plot { (figure(plot)) }
                @if let Some(plot) = pairs { (figure(plot)) }
                (scrolling("Effects with their intervals", &effects_table(axes)))
            }
        }
    }
}

fn effects_table(axes: &[AxisEffect]) -> Markup {
    ratio_table(axes.iter().map(|axis| Ratios {
        axis: &axis.axis,
        levels: &axis.levels,
        baseline: &axis.baseline,
        baseline_words: "the baseline of this setting",
    }))
}

/// The levels of one setting beside the one they are compared with.
pub(super) struct Ratios<'a> {
    pub axis: &'a str,
    pub levels: &'a [LevelEffect],
    pub baseline: &'a str,
    /// What stands in its row instead of ratios.
    pub baseline_words: &'static str,
}

pub(super) fn ratio_table<'a>(settings: impl Iterator<Item = Ratios<'a>>) -> Markup {
    html! {
        table.data {
            thead { tr {
                th scope="col" { "Setting" }
                th scope="col" { "Level" }
                th.number scope="col" { "Rate, ratio" }
                th.number scope="col" { "95 % interval" }
                th.number scope="col" { "p99, ratio" }
                th.number scope="col" { "95 % interval" }
            } }
            @for setting in settings {
                tbody {
                    @for level in setting.levels {
                        @let is_baseline = level.level == setting.baseline;
                        tr class=[is_baseline.then_some("fixed")] {
                            th scope="row" { code { (printable(setting.axis)) } }
                            td { code { (printable(&level.level)) } }
                            @if is_baseline {
                                td.number colspan="4" { (setting.baseline_words) }
                            } @else {
                                (ratio_cells(level.rate_ratio))
                                (ratio_cells(level.p99_ratio))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn ratio_cells(value: Option<Estimate>) -> Markup {
    let value = usable_estimate(value);
    let ends = value.filter(|ratio| ratio.low < ratio.high);
    html! {
        @match value {
            None => { td.number colspan="2" { "not measured" } }
            Some(value) => {
                td.number { (ratio(value.value)) }
                td.number { @if let Some(ends) = ends { (ratio(ends.low)) "–" (ratio(ends.high)) } }
            }
        }
    }
}

/// Every configuration beside the device's own speed.
pub(super) fn throughput(view: &View<'_>, plot: Option<&Plot>) -> Markup {
    html! {
        section #throughput aria-labelledby="throughput-heading" {
            h2 #throughput-heading { "Throughput" }
            p { (ceiling_sentence(view)) }
            @match plot {
                Some(plot) => (figure(plot)),
                None => p.empty { "No configuration has a rate." },
            }
        }
    }
}

fn ceiling_sentence(view: &View<'_>) -> String {
    let Some((ceiling, f0)) = view.run.manifest.ceiling.as_ref().zip(view.f0_per_second()) else {
        return "The device’s own speed was not measured, so there is no ceiling to compare with."
            .to_owned();
    };
    format!(
        "Bare durable writes without a log, measured in the same run: {} a second one at a time \
         (F0; p50 {}, p99 {}), and {} in sequence with 256 KiB writes.",
        crate::page::text::number(f0),
        format_us(ceiling.durable_write_p50_us),
        format_us(ceiling.durable_write_p99_us),
        format_bytes_per_second(ceiling.durable_bytes_per_second)
    )
}

/// Latency percentiles, and latency over time.
pub(super) fn latency(plot: Option<&Plot>, over_time: Option<&Plot>) -> Markup {
    html! {
        section #latency aria-labelledby="latency-heading" {
            h2 #latency-heading { "Latency" }
            @match plot {
                Some(plot) => (figure(plot)),
                None => p.empty { "No latency histogram was stored." },
            }
            @if let Some(plot) = over_time { (figure(plot)) }
        }
    }
}

/// Drift over the run, and how each trial settled.
pub(super) fn rounds(view: &View<'_>, plot: Option<&Plot>, settling: Option<&Plot>) -> Markup {
    html! {
        section #rounds aria-labelledby="rounds-heading" {
            h2 #rounds-heading { "Was the machine steady?" }
            p {
                @match usable(view.run.analysis.noise_floor_ratio) {
                    Some(noise) => {
                        "The same configuration, run at both ends of each block, varied by ±"
                        (format_share(noise)) " (95 %). Differences smaller than that say nothing."
                    }
                    None => { "Too few blocks to tell the machine’s own noise." }
                }
            }
            @match plot {
                Some(plot) => (figure(plot)),
                None => p.empty { "It takes at least two blocks to see drift." },
            }
            @if let Some(plot) = settling { (figure(plot)) }
        }
    }
}

/// The full table, fastest first, then those without a rate.
pub(super) fn configurations(view: &View<'_>) -> Markup {
    let unmeasured = (0..view.rows.len()).filter(|index| !view.by_rate.contains(index));
    let order: Vec<usize> = view.by_rate.iter().copied().chain(unmeasured).collect();
    let table = html! {
        table.data {
            thead { tr {
                th scope="col" { "Id" }
                @for axis in &view.axes { th scope="col" { code { (breakable(axis)) } } }
                th scope="col" { "Status" }
                th.number scope="col" { "Commits/s" }
                th.number scope="col" { "95 % interval" }
                th.number scope="col" { "p50 µs" }
                th.number scope="col" { "p99 µs" }
                th.number scope="col" { "p99.9 µs" }
                th.number scope="col" { "Bytes per payload byte" }
                th.number scope="col" { "CPU µs per commit" }
                th.number scope="col" { "Trials (disturbed)" }
            } }
            tbody { @for index in &order { (configuration_row(view, *index)) } }
        }
    };
    html! {
        section #configurations aria-labelledby="configurations-heading" {
            h2 #configurations-heading { "All configurations" }
            @if order.is_empty() {
                p.empty { "The plan holds no configuration." }
            } @else {
                (scrolling("All configurations", &table))
            }
        }
    }
}

/// A name that a narrow column may break after each of its words.
fn breakable(name: &str) -> Markup {
    html! {
        @for part in name.split_inclusive('_') { (part) wbr; }
    }
}

fn configuration_row(view: &View<'_>, index: usize) -> Markup {
    let row = &view.rows[index];
    let is_recommended = view.recommended == Some(index);
    html! {
        tr class=[is_recommended.then_some("recommended")] {
            th scope="row" {
                (printable(&row.configuration.id))
                @if is_recommended { " " span.badge { "recommended" } }
                @if view.baseline == Some(index) { " " span.badge.quiet { "baseline" } }
            }
            @for level in &row.levels { td { code { (level) } } }
            td { (row.state.word()) }
            @if row.rate_per_second.is_none() && !row.state.reason().is_empty() {
                td.reason colspan="8" { (row.state.reason()) }
            } @else {
                (measured_cells(row))
            }
        }
        @if row.rate_per_second.is_some() && !row.state.reason().is_empty() {
            tr { td.reason colspan=(view.axes.len() + 10) { (row.state.reason()) } }
        }
    }
}

fn measured_cells(row: &Row<'_>) -> Markup {
    let counts = &row.counts;
    html! {
        td.number { (estimate(row.rate_per_second)) }
        td.number { (interval(row.rate_per_second).unwrap_or_default()) }
        td.number { (estimate(row.p50_us)) }
        td.number { (estimate(row.p99_us)) }
        td.number { (optional_number(row.p999_us)) }
        td.number { (optional_number(row.device_bytes_per_payload_byte)) }
        td.number { (optional_number(row.cpu_us_per_commit)) }
        td.number {
            (counts.trials_ok)
            @if counts.trials_disturbed > 0 { " (" (counts.trials_disturbed) ")" }
        }
    }
}
