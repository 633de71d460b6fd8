//! One trial: a real log in a directory of its own, clients that commit to it in a closed loop or
//! records that arrive on a schedule, and afterwards the proof that everything acknowledged can be
//! read back.
//!
//! Knows the library through its public API only, and nothing of plans, files of results or
//! reports. How fast a trial was counts for nothing if its proof fails.

mod aging;
mod arrivals;
mod by_default;
mod checkpoint;
mod client;
mod config;
mod gate;
mod observe;
mod open_loop;
mod owner;
mod payload;
mod promise;
mod rounds;
mod shared;
mod verify;

use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use plimsoll::{
    ActiveEngine, Engine, EngineReport, KeyRing, KnownKinds, Lsn, Preparation, RecordKind,
    SegmentedWal, SegmentedWalConfig, WalCounters, WalError, WalReader,
};
use serde::Serialize;

use crate::host::PressureChange;
use crate::load::RecordShape;
use crate::store::schema::Settings;

use checkpoint::{CheckpointLog, Truncation};
use client::{Client, ClientLog};
use observe::Observed;
use payload::Payloads;
use verify::{Comparison, Mismatch, Submitted};

#[cfg(test)]
pub(crate) use by_default::EngineChoice;
pub(crate) use by_default::{Choices, choices};
pub(crate) use checkpoint::Disruptions;
pub(crate) use config::LogConfig;
#[cfg(test)]
pub(crate) use open_loop::simulated;
pub(crate) use open_loop::{
    Answers, Fault, OpenLoad, OpenMeasurement, Pace, overhead_ns_per_record, run_open,
};

pub(crate) use rounds::{SteadyMeasurement, bytes_in_rounds, run_rounds};

/// Equal parts of the measured time that latencies are also kept by.
pub(crate) const INTERVALS: usize = 10;

/// Segments that a truncation leaves of a log that is looked at around it: the one being written and
/// the one before.
const SEGMENTS_KEPT: usize = 2;

/// Records that room is made for ahead, so that the clients' own vectors do not grow while they are
/// measured: for so many a second, up to so many in all. Memory that is not used is not taken.
const EXPECTED_RECORDS_PER_SECOND: f64 = 4e6;
const EXPECTED_RECORDS_MAX: f64 = 16e6;

/// What the clients are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Callers {
    /// Each a thread, which blocks in its commit.
    Threads,
    /// Tasks of one thread, which await their commits.
    Tasks,
    /// Whoever one thread, which owns the log, appends and writes for.
    Owner,
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    /// The log's settings, and how many clients commit to it.
    pub(crate) settings: &'a Settings,
    /// What they commit.
    pub(crate) shape: &'a RecordShape,
    /// What the clients are.
    pub(crate) callers: Callers,
    /// An empty directory for the log; the caller removes it.
    pub(crate) directory: &'a Path,
    /// Seed of the payloads.
    pub(crate) seed: u64,
    /// Time before the measured time; verified like the rest and not measured.
    pub(crate) warmup: Duration,
    /// Measured time.
    pub(crate) measured: Duration,
    /// Whether to look, after the measured time and while the clients go on, if what is called
    /// durable is on the device, and what the page cache holds of the log.
    pub(crate) under_watch: bool,
}

/// Why a trial measured nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The settings cannot be used here.
    Refused(String),
    /// The log failed, or lost or altered a record.
    Failed(String),
}

/// What a trial measured. Warm-up, and what is committed while the log is looked at afterwards, are
/// left out of everything but `verified_records`.
#[derive(Debug)]
pub(crate) struct Measurement {
    /// Commits acknowledged within the measured time.
    pub(crate) commits: u64,
    /// Batches written in that time, markers left out.
    pub(crate) commit_groups: u64,
    /// Payload bytes in those batches.
    pub(crate) payload_bytes: u64,
    /// Bytes handed to the device in that time. Zeroing segments ahead of use is not counted.
    pub(crate) device_bytes: u64,
    /// Call to durable acknowledgement, nanoseconds, of every commit that began within the
    /// measured time: a stall at its end is charged in full.
    pub(crate) latency_ns: Histogram<u64>,
    /// The same to two digits, by the tenth of the measured time in which the commit began.
    pub(crate) interval_latency_ns: Vec<Histogram<u64>>,
    /// What the process spent and the host stole in the measured time.
    pub(crate) pressure: PressureChange,
    /// Allocations and reallocations of the whole process in the measured time.
    pub(crate) allocations: u64,
    /// Segments begun in that time.
    pub(crate) segments_started: u64,
    /// By how much more of the log's files the page cache held at its end than before the load;
    /// `None` if nobody looked or nobody can.
    pub(crate) page_cache_growth_bytes: Option<u64>,
    /// How often, under load, the record of the durable LSN was looked for on the device, and
    /// found.
    pub(crate) durable_checks: u64,
    /// The engine the log wrote with, and why.
    pub(crate) engine_active: String,
    /// Acknowledged records that were read back and compared, warm-up included.
    pub(crate) verified_records: u64,
}

/// Runs one trial: opens a log, loads it, closes it, opens it again and compares every record.
///
/// The generator's own cost (about 0.1 µs for 256 bytes) lies between the commits: it counts into
/// the processor time and not into the latency.
///
/// # Errors
/// [`Problem::Refused`] when the settings do not suit the device, or io_uring was asked for and the
/// log had to do without it: such a measurement would carry the wrong name. [`Problem::Failed`]
/// when the log failed, or an acknowledged record is not there as it was submitted.
pub(crate) fn run(load: &Load<'_>) -> Result<Measurement, Problem> {
    run_with(load, None).map(|(measurement, _)| measurement)
}

/// As [`run`], with a log that has been in use before, and while it is truncated every `every` to its
/// last two segments, as an embedder's checkpoints do; says what commits took near rollovers and
/// truncations. What was truncated
/// before the end cannot be read back and is not counted as verified.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_truncating(
    load: &Load<'_>,
    every: Duration,
) -> Result<(Measurement, Disruptions), Problem> {
    let (measurement, disruptions) = run_with(load, Some(every))?;
    let missing = || Problem::Failed("the log was not truncated".into());
    Ok((measurement, disruptions.ok_or_else(missing)?))
}

fn run_with(
    load: &Load<'_>,
    truncate_every: Option<Duration>,
) -> Result<(Measurement, Option<Disruptions>), Problem> {
    let config = config::build(load.settings, load.directory)?;
    let mut wal = SegmentedWal::open(config.clone()).map_err(|error| config::classify(&error))?;
    if truncate_every.is_some() {
        aging::age(&mut wal).map_err(|error| config::classify(&error))?;
    }
    let payloads = Payloads::shaped(load.seed, load.shape)?;
    let keys = config.keys.clone();
    let truncation = truncate_every.map(|every| Truncation {
        every,
        segments_kept: SEGMENTS_KEPT,
        keep_spans: true,
    });
    let trial = Trial { load, payloads: &payloads, keys, truncation };
    let clients = trial.clients()?;
    // Both let go of the directory's lock.
    let loaded = match load.callers {
        Callers::Threads | Callers::Tasks => shared::apply(&trial, wal, clients)?,
        Callers::Owner => owner::apply(&trial, wal, clients)?,
    };
    let truncated_before_lsn =
        loaded.checkpoints.as_ref().map_or(0, |log| log.truncated_before_lsn);
    let submitted = submitted(&loaded.clients, truncated_before_lsn);
    let verified_records = read_back(config, &payloads, &submitted)?;
    let disruptions = loaded
        .checkpoints
        .as_ref()
        .map(|log| log.disruptions(&loaded.clients, &loaded.observed.schedule))
        .transpose()?;
    Ok((loaded.measurement(verified_records)?, disruptions))
}

/// What the clients handed to a log that was truncated before an LSN, 0 if it was not.
fn submitted(clients: &[ClientLog], truncated_before_lsn: u64) -> Vec<Submitted<'_>> {
    clients
        .iter()
        .map(|client| Submitted {
            acknowledged_lsns: &client.acknowledged_lsns,
            first_sequence: client.first_sequence,
            count: client.submitted,
            truncated_before_lsn,
        })
        .collect()
}

/// A log that was asked to use io_uring and cannot: what it measured would carry the wrong name.
fn refuse_another_engine(engine: &EngineReport) -> Result<(), Problem> {
    if engine.requested == Engine::Uring && engine.active != ActiveEngine::Uring {
        return Err(Problem::Refused(engine.reason.clone()));
    }
    Ok(())
}

/// Why no log can be had in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Its file system, of this type, has no direct I/O.
    NoDirectIo {
        /// Type of the file system.
        filesystem: String,
    },
    /// Its file system is full.
    NoSpace,
    /// Something else, in the library's words.
    Other(String),
}

impl From<&WalError> for Unusable {
    fn from(error: &WalError) -> Self {
        match error {
            WalError::DirectIoUnsupported { filesystem, .. } => {
                Self::NoDirectIo { filesystem: filesystem.clone() }
            }
            WalError::NoSpace { .. } => Self::NoSpace,
            other => Self::Other(other.to_string()),
        }
    }
}

impl Unusable {
    /// Says so of the directory that was asked for. `how` names another one: `" with --target"`.
    pub(crate) fn sentence(&self, directory: &Path, how: &str) -> String {
        let path = directory.display();
        match self {
            Self::NoDirectIo { filesystem } => format!(
                "the file system of {path} ({filesystem}) does not support direct I/O (O_DIRECT); \
                 name a directory on ext4, XFS or btrfs{how}"
            ),
            Self::NoSpace => format!("{path} has no space left; free some"),
            Self::Other(reason) => format!("no log can be opened in {path}: {reason}"),
        }
    }
}

/// Opens a log in an empty directory to learn whether one can be had there at all, and returns the
/// smallest block that its device writes whole, bytes.
///
/// # Errors
/// Why not.
pub(crate) fn probe(directory: &Path) -> Result<u64, Unusable> {
    let mut config = SegmentedWalConfig::new(directory);
    config.preparation = Preparation::None;
    config.engine = Engine::Blocking;
    config.segment_size = 1;
    let wal = SegmentedWal::open(config).map_err(|error| Unusable::from(&error))?;
    Ok(wal.geometry().natural_block_bytes())
}

/// What everybody in a trial knows.
struct Trial<'a> {
    load: &'a Load<'a>,
    payloads: &'a Payloads,
    keys: Option<KeyRing>,
    /// How to truncate the log, if at all.
    truncation: Option<Truncation>,
}

impl<'a> Trial<'a> {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a float-to-integer cast saturates, and the number is clamped"
    )]
    fn clients(&self) -> Result<Vec<Client<'a>>, Problem> {
        let seconds = (self.load.warmup + self.load.measured).as_secs_f64();
        let expected = (EXPECTED_RECORDS_PER_SECOND * seconds).clamp(0.0, EXPECTED_RECORDS_MAX);
        let expected = expected as usize / (self.load.settings.clients.max(1) as usize);
        let keep_spans = self.truncation.is_some_and(|truncation| truncation.keep_spans);
        (0..self.load.settings.clients)
            .map(|number| Client::new(number, self.payloads, expected, keep_spans))
            .collect()
    }
}

/// What the clients kept and what was seen of them.
struct Loaded {
    clients: Vec<ClientLog>,
    checkpoints: Option<CheckpointLog>,
    observed: Observed,
    engine_active: String,
}

impl Loaded {
    /// What a client was told comes first: the rest follows from it.
    fn new(
        clients: Vec<ClientLog>,
        checkpoints: Option<CheckpointLog>,
        observed: Result<Observed, Problem>,
        engine: &EngineReport,
    ) -> Result<Self, Problem> {
        if let Some((client, error)) = first_error(&clients) {
            return Err(Problem::Failed(format!("client {client} was told: {error}")));
        }
        let engine_active = format!("{}: {}", engine.active, engine.reason);
        Ok(Self { clients, checkpoints, observed: observed?, engine_active })
    }

    fn measurement(&self, verified_records: u64) -> Result<Measurement, Problem> {
        let mut latency_ns = client::latency_histogram_ns()?;
        let mut interval_latency_ns = client::interval_histograms_ns()?;
        for client in &self.clients {
            merge(&mut latency_ns, &client.latency_ns)?;
            for (sum, part) in interval_latency_ns.iter_mut().zip(&client.interval_latency_ns) {
                merge(sum, part)?;
            }
        }
        let Observed { before, after, .. } = &self.observed;
        let grown = |count: fn(&WalCounters) -> u64| count(after).saturating_sub(count(before));
        Ok(Measurement {
            commits: self.clients.iter().map(|client| client.commits_in_time).sum(),
            commit_groups: grown(|stats| stats.batches.saturating_sub(stats.markers)),
            payload_bytes: grown(|stats| stats.payload_bytes),
            device_bytes: grown(|stats| stats.device_bytes),
            latency_ns,
            interval_latency_ns,
            pressure: self.observed.pressure,
            allocations: self.observed.allocations,
            segments_started: grown(|stats| stats.segments_started),
            page_cache_growth_bytes: self.observed.page_cache_growth_bytes,
            durable_checks: self.observed.durable_checks,
            engine_active: self.engine_active.clone(),
            verified_records,
        })
    }
}

fn merge(sum: &mut Histogram<u64>, part: &Histogram<u64>) -> Result<(), Problem> {
    sum.add(part).map_err(|error| Problem::Failed(format!("cannot merge latencies: {error:?}")))
}

fn first_error(clients: &[ClientLog]) -> Option<(usize, &WalError)> {
    clients
        .iter()
        .enumerate()
        .find_map(|(number, client)| client.error.as_ref().map(|error| (number, error)))
}

/// Opens the log as after a restart and compares what it replays with what was submitted. Nothing
/// is prepared ahead: the reopened log is only read.
fn read_back(
    mut config: SegmentedWalConfig,
    payloads: &Payloads,
    submitted: &[Submitted<'_>],
) -> Result<u64, Problem> {
    let unreadable = |error: WalError| Problem::Failed(format!("reading back: {error}"));
    config.preparation = Preparation::None;
    // What a log was aged with means nothing.
    config.known_kinds = KnownKinds::Only(vec![RecordKind::PUT]);
    let wal = SegmentedWal::open(config).map_err(unreadable)?;
    let mut reader = wal.replay_from(Lsn::NONE).map_err(unreadable)?;
    compare(&mut reader, payloads, submitted)
        .map_err(|mismatch| Problem::Failed(mismatch.to_string()))
}

/// Looks at each record where it was read to. A read error is no end of the log.
fn compare(
    reader: &mut WalReader,
    payloads: &Payloads,
    submitted: &[Submitted<'_>],
) -> Result<u64, Mismatch> {
    let mut comparison = Comparison::new(payloads, submitted);
    while let Some(record) = reader.next_ref() {
        let record = record.map_err(|error| Mismatch::Unreadable { reason: error.to_string() })?;
        comparison.take(&record.into())?;
    }
    comparison.finish()
}

#[cfg(test)]
#[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
mod tests;
