//! Latency over time as a heat map: one column for each part of a trial's measured time, stronger
//! where more of its commits lie. A stall is a column that reaches up; a machine that slows down is
//! a band that climbs.

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;

use super::super::view::{View, usable};
use crate::page::canvas::{Canvas, Document, Ink, LABEL, WIDTH, render};
use crate::page::scale::{Scale, as_f64, extent};
use crate::page::text::shortened;
use crate::page::{Plot, grid};
use crate::units::format_us;

const LEFT: f64 = 66.0;
const RIGHT: f64 = WIDTH - 16.0;
const TOP: f64 = 40.0;
const STRIP_HEAD: f64 = 42.0;
const STRIP_HEIGHT: f64 = 180.0;
const STRIP_BELOW: f64 = 50.0;
const LEGEND_HEIGHT: f64 = 34.0;
/// Between two trials.
const TRIAL_GAP: f64 = 3.0;

/// Latencies are counted in so many equal steps a decade.
const BUCKETS_PER_DECADE: f64 = 10.0;

/// More columns than this are joined, trial by trial: what is narrower cannot be seen.
const COLUMNS_MOST: usize = 72;

/// Shares of a column's commits, and the opacity from there on.
const SHADES: [(f64, f64); 6] =
    [(0.0, 0.12), (0.001, 0.22), (0.01, 0.36), (0.05, 0.55), (0.15, 0.75), (0.4, 0.95)];

/// One configuration over its trials.
struct Strip {
    name: &'static str,
    description: String,
    ink: Ink,
    trials: Vec<Trial>,
}

struct Trial {
    block: u32,
    columns: Vec<Histogram<u64>>,
}

pub(super) fn plot(view: &View<'_>) -> Result<Option<Plot>> {
    let strips: Vec<Strip> = [recommended(view)?, sentinel(view)?].into_iter().flatten().collect();
    if strips.is_empty() {
        return Ok(None);
    }
    let title = "Commit latency over time".to_owned();
    let caption =
        "Each column is a part of a trial's measured time, trials in the order they ran; \
                   the stronger the colour, the more of its commits; the faintest is a single one. Dashes \
                   are the part's p50 and, in orange, p99. What rises in both strips at once is \
                   the machine's doing; the sentinel ran at both ends of every block."
            .to_owned();
    let height = TOP + as_f64(strips.len()) * strip_height() + LEGEND_HEIGHT;
    let document = Document { name: "over-time", title: &title, description: &caption, height };
    let (scale, device_us) = (latencies_us(&strips), device_p50_us(view));
    let svg = render(&document, |canvas| {
        for (index, strip) in strips.iter().enumerate() {
            let top = TOP + as_f64(index) * strip_height();
            let (top, bottom) = (top + STRIP_HEAD, top + STRIP_HEAD + STRIP_HEIGHT);
            let y = Scale::logarithmic(scale.clone(), bottom..top);
            draw_frame(canvas, strip, &y, (top, bottom), device_us)?;
            draw_trials(canvas, strip, &y, bottom)?;
        }
        draw_legend(canvas, height - 12.0)
    })?;
    Ok(Some(Plot { file_name: "over-time.svg", title, svg, caption }))
}

fn strip_height() -> f64 {
    STRIP_HEAD + STRIP_HEIGHT + STRIP_BELOW
}

fn recommended(view: &View<'_>) -> Result<Option<Strip>> {
    let Some(index) = view.recommended else { return Ok(None) };
    let id = view.rows[index].configuration.id.clone();
    let trials = trials(view, |trial| !trial.sentinel && trial.config_id == id)?;
    let description = view.description(index);
    let strip = Strip { name: "Recommended", description, ink: Ink::Blue, trials };
    Ok(Some(strip).filter(|strip| !strip.trials.is_empty()))
}

fn sentinel(view: &View<'_>) -> Result<Option<Strip>> {
    let id = &view.run.manifest.plan.sentinel;
    let Some(index) = view.rows.iter().position(|row| row.configuration.id == *id) else {
        return Ok(None);
    };
    let trials = trials(view, |trial| trial.sentinel)?;
    let description = view.description(index);
    let strip = Strip { name: "Sentinel", description, ink: Ink::Purple, trials };
    Ok(Some(strip).filter(|strip| !strip.trials.is_empty()))
}

/// The chosen trials that stored their parts, in the order they ran, of as many columns as can be
/// seen.
fn trials(
    view: &View<'_>,
    is_chosen: impl Fn(&crate::store::schema::TrialResult) -> bool,
) -> Result<Vec<Trial>> {
    let run = &view.run;
    let mut chosen: Vec<_> = run
        .trials
        .iter()
        .zip(run.interval_latency_ns)
        .filter(|(trial, parts)| is_chosen(trial) && parts.iter().any(|part| !part.is_empty()))
        .collect();
    chosen.sort_by_key(|(trial, _)| (trial.block, trial.position));
    let columns: usize = chosen.iter().map(|(_, parts)| parts.len()).sum();
    let joined = columns.div_ceil(COLUMNS_MOST).max(1);
    let of_trial = |(trial, parts): (&crate::store::schema::TrialResult, &Vec<_>)| {
        let columns: Result<Vec<Histogram<u64>>> = parts.chunks(joined).map(sum).collect();
        Ok(Trial { block: trial.block, columns: columns? })
    };
    chosen.into_iter().map(of_trial).collect()
}

fn sum(parts: &[Histogram<u64>]) -> Result<Histogram<u64>> {
    let mut sum = parts[0].clone();
    for part in &parts[1..] {
        sum.add(part).map_err(|error| anyhow!("parts of a trial do not fit: {error:?}"))?;
    }
    Ok(sum)
}

fn latencies_us(strips: &[Strip]) -> std::ops::Range<f64> {
    let columns = || strips.iter().flat_map(|strip| &strip.trials).flat_map(|trial| &trial.columns);
    let ends = columns().filter(|part| !part.is_empty()).flat_map(|part| [part.min(), part.max()]);
    let ends = extent(ends.map(us)).unwrap_or(1.0..10.0);
    bucket_start(bucket(ends.start))..bucket_start(bucket(ends.end) + 1)
}

fn device_p50_us(view: &View<'_>) -> Option<f64> {
    usable(view.run.manifest.ceiling.as_ref().map(|ceiling| ceiling.durable_write_p50_us))
}

fn us(ns: u64) -> f64 {
    (ns as f64 / 1e3).max(1e-3)
}

#[allow(clippy::cast_possible_truncation, reason = "latencies span a dozen decades")]
fn bucket(us: f64) -> i32 {
    (us.log10() * BUCKETS_PER_DECADE).floor() as i32
}

fn bucket_start(bucket: i32) -> f64 {
    10f64.powf(f64::from(bucket) / BUCKETS_PER_DECADE)
}

/// Runs of equally dark buckets of a column: from the first to the last, and their opacity.
fn shades(column: &Histogram<u64>) -> Vec<(i32, i32, f64)> {
    let mut counts: Vec<(i32, u64)> = Vec::new();
    for step in column.iter_recorded() {
        let bucket = bucket(us(step.value_iterated_to()));
        match counts.last_mut().filter(|last| last.0 == bucket) {
            Some(last) => last.1 += step.count_at_value(),
            None => counts.push((bucket, step.count_at_value())),
        }
    }
    let all = column.len() as f64;
    let mut runs: Vec<(i32, i32, f64)> = Vec::new();
    for (bucket, count) in counts {
        let share = count as f64 / all;
        let opacity = SHADES.iter().rev().find(|shade| share >= shade.0).map_or(0.0, |s| s.1);
        match runs.last_mut().filter(|last| last.1 + 1 == bucket && last.2 == opacity) {
            Some(last) => last.1 = bucket,
            None => runs.push((bucket, bucket, opacity)),
        }
    }
    runs
}

fn draw_frame(
    canvas: &Canvas<'_>,
    strip: &Strip,
    y: &Scale,
    (top, bottom): (f64, f64),
    device_us: Option<f64>,
) -> Result<()> {
    let name = LABEL.ink(Ink::Text).bold();
    canvas.text((0.0, top - 30.0), strip.name, name)?;
    let description = shortened(&strip.description, LABEL.fitting(RIGHT - 112.0));
    canvas.text((112.0, top - 30.0), &description, LABEL)?;
    canvas.text((0.0, top - 12.0), "commit latency, µs (log scale)", LABEL.size(11.0))?;
    grid::levels(canvas, y, 7, (LEFT, RIGHT))?;
    if let Some(device_us) = device_us.filter(|us| y.contains(*us)) {
        canvas.dashes((LEFT, y.at(device_us)), (RIGHT, y.at(device_us)), Ink::Muted)?;
        let label =
            format!("dashed: the device’s own median durable write, {}", format_us(device_us));
        canvas.text((RIGHT, top - 12.0), &label, LABEL.size(11.0).right())?;
    }
    let middle = ((LEFT + RIGHT) / 2.0, bottom + 29.0);
    canvas.text(
        middle,
        "block; measured time runs to the right within each trial",
        LABEL.size(11.0).centred(),
    )
}

fn draw_trials(canvas: &Canvas<'_>, strip: &Strip, y: &Scale, bottom: f64) -> Result<()> {
    let columns: usize = strip.trials.iter().map(|trial| trial.columns.len()).sum();
    let gaps = as_f64(strip.trials.len()) * TRIAL_GAP;
    let width = (RIGHT - LEFT - gaps) / as_f64(columns.max(1));
    let mut x = LEFT + TRIAL_GAP;
    let mut labelled_until = LEFT;
    let mut last_block = None;
    for trial in &strip.trials {
        let right = x + as_f64(trial.columns.len()) * width;
        if last_block != Some(trial.block) && x >= labelled_until {
            let label = (u64::from(trial.block) + 1).to_string();
            canvas.line((x, bottom), (x, bottom + 6.0), Ink::Quiet, 1.0)?;
            canvas.text((x + 4.0, bottom + 11.0), &label, LABEL.size(11.0))?;
            labelled_until = x + 30.0;
        }
        last_block = Some(trial.block);
        for (index, column) in trial.columns.iter().enumerate() {
            let left = x + as_f64(index) * width;
            draw_column(canvas, column, strip.ink, y, (left, left + width - 0.5))?;
        }
        x = right + TRIAL_GAP;
    }
    Ok(())
}

fn draw_column(
    canvas: &Canvas<'_>,
    column: &Histogram<u64>,
    ink: Ink,
    y: &Scale,
    (left, right): (f64, f64),
) -> Result<()> {
    if column.is_empty() {
        return Ok(());
    }
    for (first, last, opacity) in shades(column) {
        let (low, high) = (y.at(bucket_start(first)), y.at(bucket_start(last + 1)));
        canvas.shade((left, high), (right, low), ink, opacity)?;
    }
    for (quantile, ink) in [(0.5, Ink::Text), (0.99, Ink::Orange)] {
        let height = y.at(us(column.value_at_quantile(quantile)));
        canvas.line((left, height), (right, height), ink, 1.5)?;
    }
    Ok(())
}

fn draw_legend(canvas: &Canvas<'_>, y: f64) -> Result<()> {
    const LABELS: [&str; 6] = ["a commit", "0.1 %", "1 %", "5 %", "15 %", "40 %"];
    canvas.text((LEFT, y), "share of a column’s commits, from:", LABEL)?;
    let mut x = LEFT + 224.0;
    for ((_, opacity), label) in SHADES.into_iter().zip(LABELS) {
        canvas.shade((x, y - 7.0), (x + 14.0, y + 7.0), Ink::Blue, opacity)?;
        canvas.text((x + 20.0, y), label, LABEL)?;
        x += if label == "a commit" { 92.0 } else { 70.0 };
    }
    for (label, ink) in [("p50", Ink::Text), ("p99", Ink::Orange)] {
        canvas.line((x + 6.0, y), (x + 24.0, y), ink, 2.0)?;
        canvas.text((x + 30.0, y), label, LABEL)?;
        x += 66.0;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::synthetic::Synthetic;
    use super::*;

    fn histogram(values_us: &[u64]) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        values_us.iter().for_each(|us| histogram.record(us * 1_000).unwrap());
        histogram
    }

    #[test]
    fn equal_neighbours_are_one_cell_and_a_single_slow_commit_is_seen() {
        let mut values_us = vec![102; 50];
        values_us.extend([130; 50]);
        values_us.push(100_000);
        let found = shades(&histogram(&values_us));
        assert_eq!(found, [(20, 21, 0.95), (50, 50, 0.22)]);
        assert!((bucket_start(20) - 100.0).abs() < 1e-9 && bucket(us(0)) < 0);
    }

    #[test]
    fn columns_are_joined_within_a_trial_until_they_can_be_seen() {
        let synthetic = Synthetic::full();
        let view = View::new(synthetic.run());
        let strips = [recommended(&view).unwrap().unwrap(), sentinel(&view).unwrap().unwrap()];
        let columns = strips.map(|strip| {
            assert!(strip.trials.is_sorted_by_key(|trial| trial.block));
            strip.trials.iter().map(|trial| trial.columns.len()).collect::<Vec<usize>>()
        });
        // 5 trials and 10 of 10 parts each: the second are 100, and joined in pairs.
        assert_eq!(columns, [vec![10; 5], vec![5; 10]]);
    }

    #[test]
    fn a_run_without_parts_has_no_such_plot() {
        let mut synthetic = Synthetic::full();
        synthetic.interval_latency_ns.iter_mut().for_each(Vec::clear);
        assert_eq!(plot(&View::new(synthetic.run())).unwrap(), None);
    }
}
