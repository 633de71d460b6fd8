//! One trial: a real log in a directory of its own, clients that commit to it in a closed loop, and
//! afterwards the proof that everything acknowledged can be read back.
//!
//! Knows the library through its public API only, and nothing of plans, files of results or
//! reports. How fast a trial was counts for nothing if its proof fails.

mod checkpoint;
mod client;
mod config;
mod payload;
mod verify;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use plimsoll::{
    ActiveEngine, CommitPolicy, Engine, GroupCommitter, Lsn, Preparation, SegmentedWal,
    SegmentedWalConfig, WalCounters, WalError,
};

use crate::host::{Pressure, PressureChange};
use crate::store::schema::Settings;

use checkpoint::{CheckpointLog, Checkpoints};
use client::{Client, ClientLog, Gate, Schedule, run_as_tasks};
use payload::Payloads;
use verify::{ReadBack, Submitted, check};

pub(crate) use checkpoint::Disruptions;

/// Equal parts of the measured time that latencies are also kept by.
pub(crate) const INTERVALS: usize = 10;

/// What the clients are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Callers {
    /// Each a thread, which blocks in its commit.
    Threads,
    /// Tasks of one thread, which await their commits.
    Tasks,
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    /// The log's settings, and how many clients commit what.
    pub(crate) settings: &'a Settings,
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
}

/// Why a trial measured nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The settings cannot be used here.
    Refused(String),
    /// The log failed, or lost or altered a record.
    Failed(String),
}

/// What a trial measured. Warm-up is left out of everything but `verified_records`.
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

/// As [`run`], while the log is truncated every `every` to its last two segments, as an embedder's
/// checkpoints do, and says what commits took near rollovers and truncations. What was truncated
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
    let wal = SegmentedWal::open(config.clone()).map_err(|error| config::classify(&error))?;
    let committer =
        GroupCommitter::start(wal, CommitPolicy::FromConfig).map_err(|e| config::classify(&e))?;
    let engine = committer.engine().clone();
    if engine.requested == Engine::Uring && engine.active != ActiveEngine::Uring {
        return Err(Problem::Refused(engine.reason));
    }

    let payloads = Payloads::new(load.seed, load.settings.record_size_bytes)?;
    let loaded = apply(load, &committer, &payloads, truncate_every)?;
    if let Some((client, error)) = first_error(&loaded.clients) {
        return Err(Problem::Failed(format!("client {client} was told: {error}")));
    }
    let closed = committer.close();
    // Lets go of the directory's lock.
    drop(committer);
    closed.map_err(|error| Problem::Failed(format!("closing the log: {error}")))?;
    let truncated_before_lsn =
        loaded.checkpoints.as_ref().map_or(0, |log| log.truncated_before_lsn);
    let verified_records = read_back(config, &payloads, &loaded.clients, truncated_before_lsn)?;
    let disruptions = loaded
        .checkpoints
        .as_ref()
        .map(|log| log.disruptions(&loaded.clients, &loaded.schedule))
        .transpose()?;
    let engine = format!("{}: {}", engine.active, engine.reason);
    Ok((loaded.measurement(engine, verified_records)?, disruptions))
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

impl Unusable {
    /// Says so of the directory that was asked for.
    pub(crate) fn sentence(&self, directory: &Path) -> String {
        let path = directory.display();
        match self {
            Self::NoDirectIo { filesystem } => format!(
                "the file system of {path} ({filesystem}) does not support direct I/O (O_DIRECT); \
                 name a directory on ext4, XFS or btrfs with --target"
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
    match SegmentedWal::open(config) {
        Ok(wal) => Ok(wal.geometry().natural_block_bytes()),
        Err(WalError::DirectIoUnsupported { filesystem, .. }) => {
            Err(Unusable::NoDirectIo { filesystem })
        }
        Err(WalError::NoSpace { .. }) => Err(Unusable::NoSpace),
        Err(other) => Err(Unusable::Other(other.to_string())),
    }
}

/// What lay between the ends of the measured time, and what each client kept.
struct Loaded {
    schedule: Schedule,
    clients: Vec<ClientLog>,
    checkpoints: Option<CheckpointLog>,
    before: WalCounters,
    after: WalCounters,
    pressure: PressureChange,
}

/// Runs the clients through warm-up and measured time, and truncates the log meanwhile if asked.
fn apply(
    load: &Load<'_>,
    committer: &GroupCommitter,
    payloads: &Payloads,
    truncate_every: Option<Duration>,
) -> Result<Loaded, Problem> {
    let gate = Gate::default();
    let clients = (0..load.settings.clients)
        .map(|number| Client::new(number, committer, payloads, truncate_every.is_some()))
        .collect::<Result<Vec<Client<'_>>, Problem>>()?;
    thread::scope(|scope| {
        let mut handles = Vec::new();
        for (number, clients) in by_thread(load.callers, clients).into_iter().enumerate() {
            let gate = &gate;
            let handle = thread::Builder::new()
                .name(format!("client-{number}"))
                .spawn_scoped(scope, move || run_clients(load.callers, clients, gate))
                .map_err(|error| {
                    gate.cancel();
                    Problem::Failed(format!("cannot start client {number}: {error}"))
                })?;
            handles.push(handle);
        }
        let schedule = Schedule::from_now(load.warmup, load.measured);
        gate.open(schedule);
        let checkpoints = truncate_every.map(|every| {
            let checkpoints = Checkpoints { committer, every, until: schedule.measure_until };
            scope.spawn(move || checkpoints.run())
        });
        sleep_until(schedule.measure_from);
        let (before, pressure_before) = (committer.stats().counters, Pressure::sample());
        sleep_until(schedule.measure_until);
        let (after, pressure_after) = (committer.stats().counters, Pressure::sample());
        let clients = handles
            .into_iter()
            .map(|handle| handle.join().map_err(|_| Problem::Failed("a client panicked".into())))
            .collect::<Result<Vec<Vec<ClientLog>>, Problem>>()?
            .into_iter()
            .flatten()
            .collect();
        let checkpoints = checkpoints
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(Problem::Failed("a checkpoint panicked".into())))
            })
            .transpose()?;
        let pressure = pressure_after.since(&pressure_before);
        Ok(Loaded { schedule, clients, checkpoints, before, after, pressure })
    })
}

/// Divides the clients between threads, in their order.
fn by_thread(callers: Callers, clients: Vec<Client<'_>>) -> Vec<Vec<Client<'_>>> {
    match callers {
        Callers::Threads => clients.into_iter().map(|client| vec![client]).collect(),
        Callers::Tasks => vec![clients],
    }
}

/// What one thread does.
fn run_clients(callers: Callers, clients: Vec<Client<'_>>, gate: &Gate) -> Vec<ClientLog> {
    match callers {
        Callers::Threads => clients.into_iter().map(|client| client.run(gate)).collect(),
        Callers::Tasks => run_as_tasks(clients, gate),
    }
}

impl Loaded {
    fn measurement(
        self,
        engine_active: String,
        verified_records: u64,
    ) -> Result<Measurement, Problem> {
        let mut latency_ns = client::latency_histogram_ns()?;
        let mut interval_latency_ns = client::interval_histograms_ns()?;
        for client in &self.clients {
            merge(&mut latency_ns, &client.latency_ns)?;
            for (sum, part) in interval_latency_ns.iter_mut().zip(&client.interval_latency_ns) {
                merge(sum, part)?;
            }
        }
        let (before, after) = (self.before, self.after);
        let groups = |stats: &WalCounters| stats.batches.saturating_sub(stats.markers);
        Ok(Measurement {
            commits: self.clients.iter().map(|client| client.commits_in_time).sum(),
            commit_groups: groups(&after).saturating_sub(groups(&before)),
            payload_bytes: after.payload_bytes.saturating_sub(before.payload_bytes),
            device_bytes: after.device_bytes.saturating_sub(before.device_bytes),
            latency_ns,
            interval_latency_ns,
            pressure: self.pressure,
            engine_active,
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
    clients: &[ClientLog],
    truncated_before_lsn: u64,
) -> Result<u64, Problem> {
    let unreadable = |error: WalError| Problem::Failed(format!("reading back: {error}"));
    config.preparation = Preparation::None;
    let wal = SegmentedWal::open(config).map_err(unreadable)?;
    let records = wal
        .replay_from(Lsn::NONE)
        .map_err(unreadable)?
        .map(|record| record.map(ReadBack::from).map_err(|error| error.to_string()));
    let submitted: Vec<Submitted<'_>> = clients
        .iter()
        .map(|client| Submitted {
            acknowledged_lsns: &client.acknowledged_lsns,
            count: client.submitted,
            truncated_before_lsn,
        })
        .collect();
    check(records, payloads, &submitted).map_err(|mismatch| Problem::Failed(mismatch.to_string()))
}

fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}

#[cfg(test)]
#[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
mod tests;
