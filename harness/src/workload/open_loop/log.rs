//! The open loop on a real log: opens it, offers it the load, closes it, opens it again and compares
//! every record, as every trial does.

use std::hint;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use plimsoll::{
    CommitPolicy, GroupCommitter, Record, SegmentedWal, WalError, WalHistogram, WalStats,
};

use super::super::arrivals::Arrivals;
use super::super::client::latency_histogram_ns;
use super::super::config::{LogConfig, classify};
use super::super::payload::Payloads;
use super::super::verify::Submitted;
use super::super::{Problem, read_back, refuse_another_engine};
use super::Answers;
use super::accounts::{Accounts, Window};
use super::driver::{Stopped, Target, drive};
use crate::host::{Pressure, PressureChange, written_bytes};
use crate::load::RecordShape;

/// The load begins so long after everything is there.
const HEAD_START: Duration = Duration::from_millis(5);

/// How long to wait for the last answers before the trial has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where nothing is on its way and the next record is further off than this, the generator sleeps,
/// and wakes so long before it is due: later than a sleeping thread is ever woken on a machine that
/// can be measured on.
const SLEEP_ABOVE_NS: u64 = 600_000;
const WAKE_EARLY_NS: u64 = 300_000;

/// Records that room is made for ahead.
const EXPECTED_RECORDS_MAX: f64 = 64e6;

/// What to offer, and to which log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenLoad<'a> {
    pub(crate) config: &'a LogConfig,
    pub(crate) shape: &'a RecordShape,
    /// Records a second on average.
    pub(crate) rate_per_second: f64,
    /// An empty directory for the log; the caller removes it.
    pub(crate) directory: &'a Path,
    /// Seed of the schedule and the payloads.
    pub(crate) seed: u64,
    /// Time before the measured time; verified like the rest and not measured.
    pub(crate) warmup: Duration,
    pub(crate) measured: Duration,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct OpenMeasurement {
    pub(crate) answers: Answers,
    /// Batches written in the measured time, markers left out.
    pub(crate) commit_groups: u64,
    /// Payload bytes in them.
    pub(crate) payload_bytes: u64,
    /// Bytes the log handed to the device in that time; what it zeroed ahead of use is not counted.
    pub(crate) log_bytes: u64,
    /// Bytes the kernel wrote to the whole device in that time, for whomever; `None` if it does not
    /// say.
    pub(crate) disk_bytes: Option<u64>,
    /// How long a batch was filled before it was submitted, nanoseconds, by batch.
    pub(crate) group_wait_ns: Histogram<u64>,
    /// From a batch's submission to its completion, nanoseconds, by batch.
    pub(crate) submit_to_complete_ns: Histogram<u64>,
    pub(crate) pressure: PressureChange,
    /// The engine the log wrote with, and why.
    pub(crate) engine_active: String,
    /// Acknowledged records that were read back and compared, warm-up included.
    pub(crate) verified_records: u64,
}

impl OpenMeasurement {
    /// The parts of the latency with the names they are stored by.
    pub(crate) fn parts_ns(&self) -> [(&'static str, &Histogram<u64>); 5] {
        [
            ("service", &self.answers.service_ns),
            ("lag", &self.answers.lag_ns),
            ("own-lag", &self.answers.own_lag_ns),
            ("group-wait", &self.group_wait_ns),
            ("submit-to-complete", &self.submit_to_complete_ns),
        ]
    }
}

/// Offers the load.
///
/// # Errors
/// As [`run`](super::super::run).
pub(crate) fn run_open(load: &OpenLoad<'_>) -> Result<OpenMeasurement, Problem> {
    let config = load.config.in_directory(load.directory)?;
    let wal = SegmentedWal::open(config.clone()).map_err(|error| classify(&error))?;
    let payloads = Payloads::shaped(load.seed, load.shape)?;
    let mut accounts = load.accounts()?;
    let committer =
        GroupCommitter::start(wal, CommitPolicy::FromConfig).map_err(|error| classify(&error))?;
    let engine = committer.engine().clone();
    refuse_another_engine(&engine)?;
    let seen = load.offer(&committer, &payloads, &mut accounts)?;
    committer.close().map_err(|error| Problem::Failed(format!("closing the log: {error}")))?;
    drop(committer);
    let (answers, acknowledged_lsns) = accounts.close();
    let submitted = Submitted {
        acknowledged_lsns: &acknowledged_lsns,
        first_sequence: 0,
        count: acknowledged_lsns.len() as u64,
        truncated_before_lsn: 0,
    };
    let verified_records = read_back(config, &payloads, &[submitted])?;
    seen.measurement(answers, format!("{}: {}", engine.active, engine.reason), verified_records)
}

impl OpenLoad<'_> {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a float-to-integer cast saturates, and the number is clamped"
    )]
    fn accounts(&self) -> Result<Accounts, Problem> {
        let window = Window { from_ns: ns(self.warmup), until_ns: ns(self.warmup + self.measured) };
        let seconds = (self.warmup + self.measured).as_secs_f64();
        let expected = self.rate_per_second * seconds * 1.05 + 1_000.0;
        Accounts::new(window, expected.clamp(0.0, EXPECTED_RECORDS_MAX) as usize)
    }

    /// Runs the generator in a thread of its own, and looks at the log from this one at both ends of
    /// the measured time.
    fn offer(
        &self,
        committer: &GroupCommitter,
        payloads: &Payloads,
        accounts: &mut Accounts,
    ) -> Result<Seen, Problem> {
        let epoch = Instant::now() + HEAD_START;
        let arrivals = Arrivals::new(self.shape, self.rate_per_second, self.seed);
        let ends = (ns(self.warmup + self.measured), ns(PATIENCE));
        let (until_it_ends, ended) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let generator = move || {
                let mut log = RealLog { committer, epoch, yields: has_one_processor() };
                let outcome = drive(&mut log, arrivals, payloads, accounts, ends);
                if outcome.is_ok() {
                    // The last record may have been answered before the measured time is over.
                    let left_ns = ends.0.saturating_sub(log.now_ns());
                    thread::sleep(Duration::from_nanos(left_ns) + HEAD_START);
                }
                drop(until_it_ends);
                outcome
            };
            let generator = thread::Builder::new()
                .name("generator".into())
                .spawn_scoped(scope, generator)
                .map_err(|error| Problem::Failed(format!("cannot start a thread: {error}")))?;
            let look = |moment: Instant| {
                let left = moment.saturating_duration_since(Instant::now());
                // Nothing is ever sent: it waits until the moment, or until the load has failed.
                let _ = ended.recv_timeout(left);
                Look::at(committer, self.directory)
            };
            let before = look(epoch + self.warmup);
            let after = look(epoch + self.warmup + self.measured);
            let outcome =
                generator.join().map_err(|_| Problem::Failed("the generator panicked".into()))?;
            outcome.map_err(told)?;
            Ok(Seen { before, after })
        })
    }
}

fn told(stopped: Stopped<WalError>) -> Problem {
    Problem::Failed(match stopped {
        Stopped::Failed(error) => format!("the generator was told: {error}"),
        Stopped::Unanswered(count) => format!(
            "{count} records were not durable {} s after the last one was handed over",
            PATIENCE.as_secs()
        ),
    })
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A generator that never lets go of the only processor would keep the log from writing.
fn has_one_processor() -> bool {
    thread::available_parallelism().is_ok_and(|count| count.get() == 1)
}

/// The log under the real clock.
struct RealLog<'a> {
    committer: &'a GroupCommitter,
    epoch: Instant,
    yields: bool,
}

impl Target for RealLog<'_> {
    type Error = WalError;

    fn now_ns(&self) -> u64 {
        ns(Instant::now().saturating_duration_since(self.epoch))
    }

    /// The handle is let go of: the durable LSN, which it would look at, answers for all of them.
    fn submit(&mut self, record: &Record<'_>) -> Result<u64, WalError> {
        self.committer.submit(record).map(|commit| commit.lsn().get())
    }

    fn durable_lsn(&self) -> u64 {
        self.committer.durable_lsn().get()
    }

    fn wait(&mut self, moment_ns: u64, seen_lsn: u64, on_its_way: bool) {
        while !(on_its_way && self.durable_lsn() > seen_lsn) {
            let left_ns = moment_ns.saturating_sub(self.now_ns());
            if left_ns == 0 {
                return;
            }
            if !on_its_way && left_ns > SLEEP_ABOVE_NS {
                thread::sleep(Duration::from_nanos(left_ns - WAKE_EARLY_NS));
            } else if self.yields {
                thread::yield_now();
            } else {
                hint::spin_loop();
            }
        }
    }
}

/// The log and the machine at one moment.
struct Look {
    stats: WalStats,
    pressure: Pressure,
    disk_bytes: Option<u64>,
}

impl Look {
    fn at(committer: &GroupCommitter, directory: &Path) -> Self {
        Self {
            stats: committer.stats(),
            pressure: Pressure::sample(),
            disk_bytes: written_bytes(directory),
        }
    }
}

/// What was seen at both ends of the measured time.
struct Seen {
    before: Look,
    after: Look,
}

impl Seen {
    fn measurement(
        self,
        answers: Answers,
        engine_active: String,
        verified_records: u64,
    ) -> Result<OpenMeasurement, Problem> {
        let (before, after) = (&self.before.stats, &self.after.stats);
        let (was, is) = (&before.counters, &after.counters);
        let grown = |is: u64, was: u64| is.saturating_sub(was);
        let disk_bytes = self.before.disk_bytes.zip(self.after.disk_bytes);
        Ok(OpenMeasurement {
            answers,
            commit_groups: grown(is.batches - is.markers, was.batches - was.markers),
            payload_bytes: grown(is.payload_bytes, was.payload_bytes),
            log_bytes: grown(is.device_bytes, was.device_bytes),
            disk_bytes: disk_bytes.map(|(was, is)| grown(is, was)),
            group_wait_ns: since(
                &after.histograms.group_wait_ns,
                &before.histograms.group_wait_ns,
            )?,
            submit_to_complete_ns: since(
                &after.histograms.submit_to_complete_ns,
                &before.histograms.submit_to_complete_ns,
            )?,
            pressure: self.after.pressure.since(&self.before.pressure),
            engine_active,
            verified_records,
        })
    }
}

/// The library's distribution of the measured time as one of ours.
fn since(after: &WalHistogram, before: &WalHistogram) -> Result<Histogram<u64>, Problem> {
    let mut histogram = latency_histogram_ns()?;
    for (value_ns, count) in after.since(before).buckets() {
        histogram.saturating_record_n(value_ns, count);
    }
    Ok(histogram)
}
