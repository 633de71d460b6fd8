//! A few seconds of the bare disk: single durable writes (F0), writes and flushes apart, and
//! bandwidth, in rounds, so that a disturbance shows as rounds that differ.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::host::{Pressure, other_runnable};
use crate::measure::{
    CeilingFile, Flushes, LARGE_WRITE_BYTES, Pages, Writes, block_bytes, latency_summary,
};
use crate::scratch::Interrupts;
use crate::store::schema::LatencySummary;

/// Free space without which nothing is measured: the file that is written over, and as much again
/// for whoever else needs some meanwhile.
pub(super) const SPACE_BYTES_MIN: u64 = 64 << 20;

/// Rounds, and the time of each part of one. Together with preparing the file some three seconds.
const ROUNDS: u32 = 3;
const DURABLE: Duration = Duration::from_millis(400);
const FLUSHES: Duration = Duration::from_millis(250);
const BANDWIDTH: Duration = Duration::from_millis(150);

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Measured {
    /// Block of the small writes, bytes.
    pub block_bytes: u64,
    /// Write of the bandwidth measurements, bytes.
    pub large_write_bytes: u64,
    /// How long it took, seconds.
    pub seconds: f64,
    /// F0: single blocks made durable a second, one after the other.
    pub durable_writes_per_second: f64,
    /// The same in each round.
    pub durable_writes_per_second_by_round: Vec<f64>,
    /// Latency of these.
    pub durable_write: LatencySummary,
    /// Latency of a direct write of a block that is not durable yet.
    pub plain_write: LatencySummary,
    /// Latency of the flush that follows it.
    pub flush: LatencySummary,
    /// Direct sequential writes, not durable by themselves, bytes a second.
    pub bytes_per_second: f64,
    /// Latency of these.
    pub large_write: LatencySummary,
    /// Durable sequential writes, bytes a second.
    pub durable_bytes_per_second: f64,
    /// Latency of these.
    pub durable_large_write: LatencySummary,
    /// Share of the machine's processor time that the host gave to others meanwhile, 0 to 1.
    pub steal_ratio: f64,
    /// Runnable tasks of others right afterwards.
    pub other_runnable: f64,
}

impl Measured {
    /// The slowest and the fastest round's F0.
    pub(super) fn f0_range(&self) -> (f64, f64) {
        let rounds = &self.durable_writes_per_second_by_round;
        let low = rounds.iter().copied().fold(f64::INFINITY, f64::min);
        (low, rounds.iter().copied().fold(0.0, f64::max))
    }
}

/// Measures in `directory`, which the caller removes; `None` after Ctrl-C.
///
/// # Errors
/// When the disk cannot be written to.
pub(super) fn measure(
    directory: &Path,
    physical_block_bytes: Option<u64>,
    interrupts: &Interrupts,
) -> Result<Option<Measured>> {
    let (began, pressure) = (Instant::now(), Pressure::sample());
    let file = CeilingFile::prepare(directory)?;
    let block_bytes = block_bytes(physical_block_bytes);
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        if interrupts.requested() {
            return Ok(None);
        }
        rounds.push(Round {
            durable: file.overwrite(block_bytes, Pages::Ordinary, DURABLE)?,
            flushes: file.write_and_flush(block_bytes, FLUSHES)?,
            plain: file.overwrite_plainly(LARGE_WRITE_BYTES, BANDWIDTH)?,
            durable_large: file.overwrite(LARGE_WRITE_BYTES, Pages::Ordinary, BANDWIDTH)?,
        });
    }
    let busy = Pressure::sample().since(&pressure);
    let measured = Measured {
        seconds: began.elapsed().as_secs_f64(),
        steal_ratio: busy.steal_ratio,
        other_runnable: other_runnable(),
        ..summary(block_bytes, &rounds)?
    };
    Ok((!interrupts.requested()).then_some(measured))
}

struct Round {
    durable: Writes,
    flushes: Flushes,
    plain: Writes,
    durable_large: Writes,
}

fn summary(block_bytes: u64, rounds: &[Round]) -> Result<Measured> {
    let rate =
        |of: fn(&Round) -> f64| rounds.iter().map(of).sum::<f64>() / rounds.len().max(1) as f64;
    Ok(Measured {
        block_bytes,
        large_write_bytes: LARGE_WRITE_BYTES,
        seconds: 0.0,
        durable_writes_per_second: rate(|round| round.durable.writes_per_second),
        durable_writes_per_second_by_round: rounds
            .iter()
            .map(|round| round.durable.writes_per_second)
            .collect(),
        durable_write: latency(rounds, |round| &round.durable.latency_ns)?,
        plain_write: latency(rounds, |round| &round.flushes.write_ns)?,
        flush: latency(rounds, |round| &round.flushes.flush_ns)?,
        bytes_per_second: rate(|round| round.plain.bytes_per_second()),
        large_write: latency(rounds, |round| &round.plain.latency_ns)?,
        durable_bytes_per_second: rate(|round| round.durable_large.bytes_per_second()),
        durable_large_write: latency(rounds, |round| &round.durable_large.latency_ns)?,
        steal_ratio: 0.0,
        other_runnable: 0.0,
    })
}

/// Of all rounds together: each write is one sample.
fn latency(rounds: &[Round], of: fn(&Round) -> &Histogram<u64>) -> Result<LatencySummary> {
    let mut all: Option<Histogram<u64>> = None;
    for histogram in rounds.iter().map(of) {
        match &mut all {
            None => all = Some(histogram.clone()),
            Some(sum) => sum.add(histogram).context("cannot add up latencies")?,
        }
    }
    Ok(all.map(|all| latency_summary(&all, all.len())).unwrap_or_default())
}
