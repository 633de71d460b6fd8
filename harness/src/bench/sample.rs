//! One measurement of a round: runs what an arm says, in the one directory that the bench has, and
//! puts what was found into one form, so that a bare loop and a log can be divided by each other.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::Serialize;

use super::case::{Arm, LARGE_RECORD_BYTES, Log, Quantity, What};
use super::spin::Spinners;
use crate::failure::Failure;
use crate::host::{Pressure, PressureChange, other_runnable};
use crate::load::RecordShape;
use crate::measure::{CeilingFile, LARGE_WRITE_BYTES, Pages, Writes, latency_summary, seal_for};
use crate::store::schema::LatencySummary;
use crate::workload::{self, Disruptions, Load, Measurement, Problem};

/// Time before a log's measured time, as a share of it.
const WARMUP_SHARE: f64 = 0.2;
const WARMUP_SECONDS_MAX: f64 = 0.5;

/// Between two truncations of a log that is truncated all the time.
const TRUNCATE_EVERY: Duration = Duration::from_millis(50);

/// The one that a log may ask for and not get.
const ENGINE_THAT_MAY_BE_MISSING: &str = "uring";

/// What one measurement found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Sample {
    /// Why it could not be had here, in one sentence; everything else is nothing then.
    pub(super) skipped: Option<String>,
    /// Durable commits in the measured time; of a bare loop, writes.
    pub(super) commits: u64,
    /// The same a second.
    pub(super) rate_per_second: f64,
    /// Payload bytes made durable in the measured time; of a bare loop, all bytes.
    pub(super) payload_bytes: u64,
    /// The same a second.
    pub(super) bytes_per_second: f64,
    /// Device writes a second.
    pub(super) batches_per_second: f64,
    /// Mean bytes of a device write.
    pub(super) batch_bytes: f64,
    pub(super) latency: LatencySummary,
    /// Only of a log that was truncated.
    pub(super) disruptions: Option<DisruptionSummary>,
    /// User and system seconds of this process for each measured second.
    pub(super) processors_used: f64,
    /// Context switches of this process for each commit.
    pub(super) context_switches_per_commit: f64,
    /// Allocations and reallocations of this process in the measured time, of a log.
    pub(super) allocations: Option<u64>,
    /// Segments that a log began in the measured time.
    pub(super) segments_started: Option<u64>,
    /// By how much more of a log's files the page cache held after the measured time than before
    /// the load; `None` without `fincore`.
    pub(super) page_cache_growth_bytes: Option<u64>,
    /// Share of processor time stolen by the host, 0 to 1.
    pub(super) steal_ratio: f64,
    /// Whether other load on the machine probably disturbed it.
    pub(super) disturbed: bool,
    /// Acknowledged records that were read back; 0 of a bare loop.
    pub(super) verified_records: u64,
    /// How often, under load, the record of the durable LSN was looked for on the device, and
    /// found.
    pub(super) durable_checks: u64,
    /// Engine that the log used, and why.
    pub(super) engine_active: Option<String>,
}

/// Rollovers and truncations in the measured time, and the slowest commit near one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct DisruptionSummary {
    pub(super) rollovers: u64,
    pub(super) truncations: u64,
    pub(super) near_commits: u64,
    pub(super) near_max_us: Option<f64>,
}

impl Sample {
    /// `None` where the sample does not support it.
    pub(super) fn quantity(&self, quantity: Quantity) -> Option<f64> {
        if self.skipped.is_some() {
            return None;
        }
        match quantity {
            Quantity::Rate => Some(self.rate_per_second),
            Quantity::Bandwidth => Some(self.bytes_per_second),
            Quantity::Batches => Some(self.batches_per_second),
            Quantity::P50 => Some(self.latency.p50_us),
            Quantity::P99 => self.latency.p99_us,
            Quantity::P999 => self.latency.p999_us,
            Quantity::Max => Some(self.latency.max_us),
            Quantity::NearMax => self.disruptions?.near_max_us,
            Quantity::Commits => Some(self.commits as f64),
            Quantity::Payload => Some(self.payload_bytes as f64),
            Quantity::Allocations => self.allocations.map(|count| count as f64),
            Quantity::Segments => self.segments_started.map(|count| count as f64),
            Quantity::CacheGrowth => self.page_cache_growth_bytes.map(|bytes| bytes as f64),
        }
    }
}

/// Where and how long to measure.
#[derive(Debug)]
pub(super) struct Bench {
    directory: PathBuf,
    ceiling: CeilingFile,
    pub(super) block_bytes: u64,
    measured: Duration,
    processors: u32,
}

impl Bench {
    /// Prepares the file that the bare loops overwrite.
    pub(super) fn prepare(
        directory: &Path,
        block_bytes: u64,
        measured: Duration,
        processors: u32,
    ) -> Result<Self> {
        let ceiling = CeilingFile::prepare(directory)?;
        let directory = directory.to_path_buf();
        Ok(Self { directory, ceiling, block_bytes, measured, processors })
    }

    /// Runs an arm. `log_batch_bytes` is the mean batch of the log that it refers to, if it does.
    pub(super) fn measure(
        &self,
        arm: &Arm,
        log_batch_bytes: Option<f64>,
    ) -> Result<Sample, Failure> {
        let spinners = if arm.beside_busy {
            Some(Spinners::start(self.processors).map_err(Failure::Broken)?)
        } else {
            None
        };
        let sample = match &arm.what {
            What::BareBlocks => self.bare(self.block_bytes, Pages::Ordinary),
            What::BareLarge(pages) => self.bare(LARGE_WRITE_BYTES, *pages),
            What::BareBatchesOf(_) => {
                let batch_bytes = log_batch_bytes.unwrap_or_default();
                self.bare(whole_blocks(batch_bytes, self.block_bytes), Pages::Ordinary)
            }
            What::Sealing => self.sealing(),
            What::Log(log) => self.log(log),
        };
        if let Some(spinners) = spinners {
            spinners.stop().map_err(Failure::Broken)?;
        }
        let mut sample = sample?;
        // Whatever still runs when our own load has ended is somebody else's.
        sample.disturbed |= other_runnable() >= 1.0;
        Ok(sample)
    }

    fn bare(&self, write_bytes: u64, pages: Pages) -> Result<Sample, Failure> {
        let before = Pressure::sample();
        let writes = self.ceiling.overwrite(write_bytes, pages, self.measured);
        let writes = writes.map_err(Failure::Broken)?;
        let pressure = Pressure::sample().since(&before);
        Ok(self.with_pressure(bare_sample(&writes), &pressure))
    }

    #[allow(clippy::cast_possible_truncation, reason = "a float-to-integer cast saturates")]
    fn sealing(&self) -> Result<Sample, Failure> {
        let before = Pressure::sample();
        let rate = seal_for(LARGE_RECORD_BYTES, self.measured).map_err(Failure::Broken)?;
        let pressure = Pressure::sample().since(&before);
        let commits = (rate * self.measured.as_secs_f64()) as u64;
        let sample = Sample {
            commits,
            rate_per_second: rate,
            payload_bytes: commits * LARGE_RECORD_BYTES,
            bytes_per_second: rate * LARGE_RECORD_BYTES as f64,
            ..Sample::default()
        };
        Ok(self.with_pressure(sample, &pressure))
    }

    fn with_pressure(&self, sample: Sample, pressure: &PressureChange) -> Sample {
        let commits = sample.commits.max(1) as f64;
        Sample {
            steal_ratio: pressure.steal_ratio,
            disturbed: pressure.is_disturbed(0.0),
            processors_used: pressure.cpu_seconds / self.measured.as_secs_f64(),
            context_switches_per_commit: pressure.context_switches as f64 / commits,
            ..sample
        }
    }

    /// The log's directory is gone afterwards, however it ended.
    fn log(&self, log: &Log) -> Result<Sample, Failure> {
        let directory = self.directory.join("log");
        let measured_seconds = self.measured.as_secs_f64();
        let shape = RecordShape::fixed(log.settings.record_size_bytes);
        let load = Load {
            settings: &log.settings,
            shape: &shape,
            callers: log.callers,
            directory: &directory,
            seed: rand::random(),
            warmup: Duration::from_secs_f64(warmup_seconds(measured_seconds)),
            measured: self.measured,
            under_watch: true,
        };
        let outcome = if log.truncated {
            workload::run_truncating(&load, TRUNCATE_EVERY).map(|(m, d)| (m, Some(d)))
        } else {
            workload::run(&load).map(|measurement| (measurement, None))
        };
        let removed = remove(&directory).map_err(Failure::Broken);
        match outcome {
            Ok((measurement, disruptions)) => {
                removed?;
                let record_bytes = log.settings.record_size_bytes;
                let sample = log_sample(&measurement, record_bytes, measured_seconds);
                let sample = Sample { disruptions: disruptions.as_ref().map(summary), ..sample };
                Ok(self.with_pressure(sample, &measurement.pressure))
            }
            // Many containers forbid io_uring, and a log has to work there all the same.
            Err(Problem::Refused(reason)) if log.settings.engine == ENGINE_THAT_MAY_BE_MISSING => {
                Ok(Sample { skipped: Some(reason), ..Sample::default() })
            }
            Err(Problem::Refused(reason)) => Err(Failure::Refused(anyhow!(reason))),
            Err(Problem::Failed(reason)) => Err(Failure::LogFailed(anyhow!(reason))),
        }
    }
}

/// Warm-up of a log that is measured for so long.
pub(super) fn warmup_seconds(measured_seconds: f64) -> f64 {
    (measured_seconds * WARMUP_SHARE).min(WARMUP_SECONDS_MAX)
}

/// Removes a log and waits until the file system has noted that, so that the next measurement does
/// not pay for it.
fn remove(directory: &Path) -> Result<()> {
    let parent = directory.parent().unwrap_or(directory);
    let removed = match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => File::open(parent).and_then(|parent| parent.sync_all()),
    };
    removed.with_context(|| format!("cannot remove {}; remove it by hand", directory.display()))
}

/// The batch, rounded up to what the device writes.
#[allow(
    clippy::cast_possible_truncation,
    reason = "a float-to-integer cast saturates, and the size is clamped"
)]
fn whole_blocks(batch_bytes: f64, block_bytes: u64) -> u64 {
    const LARGEST: u64 = 1 << 20;
    let bytes = batch_bytes.ceil().clamp(0.0, LARGEST as f64) as u64;
    bytes.max(1).next_multiple_of(block_bytes)
}

fn bare_sample(writes: &Writes) -> Sample {
    Sample {
        commits: writes.latency_ns.len(),
        rate_per_second: writes.writes_per_second,
        payload_bytes: writes.latency_ns.len() * writes.write_bytes,
        bytes_per_second: writes.bytes_per_second(),
        batches_per_second: writes.writes_per_second,
        batch_bytes: writes.write_bytes as f64,
        latency: latency_summary(&writes.latency_ns, writes.latency_ns.len()),
        ..Sample::default()
    }
}

fn log_sample(found: &Measurement, record_bytes: u64, measured_seconds: f64) -> Sample {
    let rate_per_second = found.commits as f64 / measured_seconds;
    let groups = found.commit_groups.max(1) as f64;
    Sample {
        commits: found.commits,
        rate_per_second,
        payload_bytes: found.commits * record_bytes,
        bytes_per_second: rate_per_second * record_bytes as f64,
        batches_per_second: found.commit_groups as f64 / measured_seconds,
        batch_bytes: found.device_bytes as f64 / groups,
        latency: latency_summary(&found.latency_ns, found.commit_groups),
        allocations: Some(found.allocations),
        segments_started: Some(found.segments_started),
        page_cache_growth_bytes: found.page_cache_growth_bytes,
        verified_records: found.verified_records,
        durable_checks: found.durable_checks,
        engine_active: Some(found.engine_active.clone()),
        ..Sample::default()
    }
}

fn summary(found: &Disruptions) -> DisruptionSummary {
    let near = &found.near_latency_ns;
    DisruptionSummary {
        rollovers: found.rollovers,
        truncations: found.truncations,
        near_commits: near.len(),
        near_max_us: (!near.is_empty()).then(|| near.max() as f64 / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_become_whole_blocks_and_never_none() {
        for (batch, blocks) in
            [(0.0, 1), (1.0, 1), (4096.0, 1), (4096.1, 2), (1e12, 256), (f64::NAN, 1)]
        {
            assert_eq!(whole_blocks(batch, 4096), blocks * 4096, "{batch}");
        }
    }

    #[test]
    fn the_warm_up_is_a_fifth_and_at_most_half_a_second() {
        assert!((warmup_seconds(1.0) - 0.2).abs() < 1e-9);
        assert!((warmup_seconds(60.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn percentiles_that_are_not_supported_and_disruptions_that_were_none_have_no_quantity() {
        let sample = Sample { rate_per_second: 5.0, ..Sample::default() };
        assert_eq!(sample.quantity(Quantity::Rate), Some(5.0));
        for quantity in [Quantity::P99, Quantity::P999, Quantity::NearMax] {
            assert_eq!(sample.quantity(quantity), None);
        }
        let skipped = Sample { skipped: Some("no".into()), ..sample };
        assert_eq!(skipped.quantity(Quantity::Rate), None);
    }
}
