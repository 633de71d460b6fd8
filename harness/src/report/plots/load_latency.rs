//! Latency against offered load: what the log took at each rate that was tried, the objectives, the
//! device's own speed, and where the answer lies.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::page::canvas::{Canvas, Document, Ink, LABEL, Symbol, WIDTH, render};
use crate::page::scale::{Scale, as_f64, extent};
use crate::page::{Plot, grid};
use crate::stats::median;
use crate::store::capacity::{CapacityAnalysis, CapacityManifest, CapacityTrial, Verdict};
use crate::store::schema::LatencySummary;
use crate::units::{format_rate, format_us};

pub(in super::super) const FILE_NAME: &str = "load-latency.svg";

const LEFT: f64 = 92.0;
const RIGHT: f64 = WIDTH - 172.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 410.0;
const HEIGHT: f64 = 500.0;
/// Labels at the right end keep this distance.
const LABEL_GAP: f64 = 15.0;

/// A percentile, how it is drawn, and how it is read.
struct Curve {
    name: &'static str,
    ink: Ink,
    symbol: Symbol,
    of: fn(&LatencySummary) -> Option<f64>,
}

const CURVES: [Curve; 3] = [
    Curve { name: "p50", ink: Ink::Blue, symbol: Symbol::Dot, of: |found| Some(found.p50_us) },
    Curve { name: "p99", ink: Ink::Orange, symbol: Symbol::Triangle, of: |found| found.p99_us },
    Curve { name: "p99.9", ink: Ink::Purple, symbol: Symbol::Diamond, of: |found| found.p999_us },
];

/// Draws it; `None` if nothing was measured.
pub(in super::super) fn plot(
    manifest: &CapacityManifest,
    trials: &[CapacityTrial],
    analysis: &CapacityAnalysis,
) -> Result<Option<Plot>> {
    let Some(layout) = Layout::new(manifest, trials) else { return Ok(None) };
    let title = "Latency against offered load".to_owned();
    let caption = caption(manifest, analysis);
    let document =
        Document { name: "load-latency", title: &title, description: &caption, height: HEIGHT };
    let svg = render(&document, |canvas| {
        draw_axes(canvas, &layout)?;
        draw_answer(canvas, &layout, analysis)?;
        draw_ceiling(canvas, &layout, manifest)?;
        draw_objectives(canvas, &layout, manifest)?;
        for curve in CURVES.iter().rev() {
            draw_curve(canvas, &layout, trials, curve)?;
        }
        draw_legend(canvas)
    })?;
    Ok(Some(Plot { file_name: FILE_NAME, title, svg, caption }))
}

fn caption(manifest: &CapacityManifest, analysis: &CapacityAnalysis) -> String {
    let mut text = format!(
        "Latency from when a record was due until it was durable, at each rate that was offered; \
         medians where a rate was offered more than once. Rings are loads that the log did not keep \
         up with. Dashed: the objectives, {}.",
        manifest.question.slo
    );
    if manifest.ceiling.is_some() {
        text.push_str(
            " The grey dashes are the device's own median durable write, and the grey upright line \
             its rate of them, one at a time (F0): only records that share a write can pass it.",
        );
    }
    if analysis.carried_rate_per_second.is_some() {
        text.push_str(" The shaded part is what is advised; the green line is what is carried.");
    }
    text
}

struct Layout {
    x: Scale,
    y: Scale,
}

impl Layout {
    fn new(manifest: &CapacityManifest, trials: &[CapacityTrial]) -> Option<Self> {
        let measured = || trials.iter().filter(|trial| trial.answered > 0);
        let rates = extent(measured().map(|trial| trial.offered_rate_per_second))?;
        let found = measured()
            .flat_map(|trial| CURVES.iter().filter_map(|curve| (curve.of)(&trial.latency)))
            .filter(|us| *us > 0.0);
        let limits = manifest.question.slo.limits().iter().map(|limit| limit.at_most_us as f64);
        let device = manifest.ceiling.iter().map(|ceiling| ceiling.durable_write_p50_us);
        let latencies = extent(found.chain(limits).chain(device))?;
        Some(Self {
            x: Scale::logarithmic(rates.start / 1.15..rates.end * 1.15, LEFT..RIGHT),
            y: Scale::logarithmic(latencies.start / 1.3..latencies.end * 1.3, BOTTOM..TOP),
        })
    }
}

fn draw_axes(canvas: &Canvas<'_>, layout: &Layout) -> Result<()> {
    canvas.text((0.0, 42.0), "latency, µs (log scale)", LABEL)?;
    grid::levels(canvas, &layout.y, 8, (LEFT, RIGHT))?;
    grid::uprights(canvas, &layout.x, 9, (TOP, BOTTOM))?;
    let middle = (LEFT + RIGHT) / 2.0;
    canvas.text((middle, BOTTOM + 36.0), "records due a second (log scale)", LABEL.centred())
}

fn draw_answer(canvas: &Canvas<'_>, layout: &Layout, analysis: &CapacityAnalysis) -> Result<()> {
    if let Some(advised) = analysis.advised_rate_per_second {
        canvas.shade((LEFT, TOP), (layout.x.at(advised), BOTTOM), Ink::Green, 0.08)?;
    }
    if let Some(carried) = analysis.carried_rate_per_second {
        let x = layout.x.at(carried.value);
        canvas.line((x, TOP - 8.0), (x, BOTTOM), Ink::Green, 2.0)?;
        let label = format!("carried {}", format_rate(carried.value));
        let lettering = LABEL.ink(Ink::Green).bold();
        canvas.text((x, TOP - 18.0), &label, lettering.centred())?;
    }
    Ok(())
}

fn draw_ceiling(canvas: &Canvas<'_>, layout: &Layout, manifest: &CapacityManifest) -> Result<()> {
    let Some(ceiling) = &manifest.ceiling else { return Ok(()) };
    let f0 = ceiling.durable_writes_per_second;
    if layout.x.contains(f0) {
        let x = layout.x.at(f0);
        canvas.line((x, TOP), (x, BOTTOM), Ink::Quiet, 1.5)?;
        let label = format!("F0 {}", format_rate(f0));
        canvas.text((x - 5.0, BOTTOM - 10.0), &label, LABEL.size(11.0).right())?;
    }
    let y = layout.y.at(ceiling.durable_write_p50_us);
    canvas.dashes((LEFT, y), (RIGHT, y), Ink::Quiet)?;
    let label = format!("a durable write {}", format_us(ceiling.durable_write_p50_us));
    canvas.text((RIGHT + 8.0, y), &label, LABEL.size(11.0))
}

fn draw_objectives(
    canvas: &Canvas<'_>,
    layout: &Layout,
    manifest: &CapacityManifest,
) -> Result<()> {
    let mut label_y = f64::INFINITY;
    for limit in manifest.question.slo.limits() {
        let at_most_us = limit.at_most_us as f64;
        let y = layout.y.at(at_most_us);
        canvas.dashes((LEFT, y), (RIGHT, y), Ink::Red)?;
        // Higher percentiles have higher limits, so that labels only ever move up.
        label_y = y.min(label_y - LABEL_GAP);
        let label = format!("{} ≤ {}", limit.percentile.name(), format_us(at_most_us));
        canvas.text((RIGHT + 8.0, label_y), &label, LABEL.ink(Ink::Red).bold())?;
    }
    Ok(())
}

fn draw_curve(
    canvas: &Canvas<'_>,
    layout: &Layout,
    trials: &[CapacityTrial],
    curve: &Curve,
) -> Result<()> {
    // Positive numbers sort as their bits do.
    let mut kept: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for trial in trials.iter().filter(|trial| trial.answered > 0) {
        let Some(latency_us) = (curve.of)(&trial.latency) else { continue };
        let rate = trial.offered_rate_per_second;
        if matches!(trial.verdict, Verdict::Overloaded { .. } | Verdict::Invalid { .. }) {
            let point = (layout.x.at(rate), layout.y.at(latency_us));
            canvas.symbol(point, 4.5, Symbol::Ring, curve.ink)?;
        } else {
            kept.entry(rate.to_bits()).or_default().push(latency_us);
        }
    }
    let points: Vec<(f64, f64)> = kept
        .iter()
        .filter_map(|(rate, latencies_us)| {
            let latency_us = median(latencies_us)?;
            Some((layout.x.at(f64::from_bits(*rate)), layout.y.at(latency_us)))
        })
        .collect();
    if points.len() > 1 {
        canvas.path(&points, curve.ink, 2.0)?;
    }
    points.iter().try_for_each(|point| canvas.symbol(*point, 4.0, curve.symbol, curve.ink))
}

fn draw_legend(canvas: &Canvas<'_>) -> Result<()> {
    const ENTRY_WIDTH: f64 = 96.0;
    let y = BOTTOM + 64.0;
    for (index, curve) in CURVES.iter().enumerate() {
        let x = LEFT + as_f64(index) * ENTRY_WIDTH;
        canvas.line((x, y), (x + 32.0, y), curve.ink, 2.5)?;
        canvas.symbol((x + 16.0, y), 4.5, curve.symbol, curve.ink)?;
        canvas.text((x + 40.0, y), curve.name, LABEL.ink(Ink::Text))?;
    }
    let x = LEFT + as_f64(CURVES.len()) * ENTRY_WIDTH;
    canvas.symbol((x + 16.0, y), 4.5, Symbol::Ring, Ink::Muted)?;
    canvas.text((x + 32.0, y), "not kept up with", LABEL)
}
