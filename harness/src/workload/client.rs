//! A closed-loop client, a thread or a task: commits a record, waits until it is durable, and goes
//! on to the next.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use futures::future::join_all;
use hdrhistogram::Histogram;
use plimsoll::{GroupCommitter, Level, Lsn, Record, RecordKind, WalError};

use super::payload::Payloads;
use super::{INTERVALS, Problem};

/// Longest latency told apart from longer ones.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// When the measured time is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) measure_from: Instant,
    pub(super) measure_until: Instant,
}

impl Schedule {
    pub(super) fn from_now(warmup: Duration, measured: Duration) -> Self {
        let measure_from = Instant::now() + warmup;
        Self { measure_from, measure_until: measure_from + measured }
    }

    /// Which tenth of the measured time a moment in it lies in.
    fn interval(&self, moment: Instant) -> usize {
        let length = self.measure_until.saturating_duration_since(self.measure_from).as_nanos();
        let past = moment.saturating_duration_since(self.measure_from).as_nanos();
        let index = (past * INTERVALS as u128).checked_div(length).unwrap_or(0);
        usize::try_from(index).unwrap_or(INTERVALS).min(INTERVALS - 1)
    }
}

/// Holds the clients back until all of them are there, or sends them home.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
enum GateState {
    #[default]
    Closed,
    Open(Schedule),
    Cancelled,
}

impl Gate {
    pub(super) fn open(&self, schedule: Schedule) {
        self.set(GateState::Open(schedule));
    }

    pub(super) fn cancel(&self) {
        self.set(GateState::Cancelled);
    }

    fn set(&self, state: GateState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.changed.notify_all();
    }

    /// Waits; `None` when there is nothing to do after all.
    fn pass(&self) -> Option<Schedule> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *state {
                GateState::Open(schedule) => return Some(schedule),
                GateState::Cancelled => return None,
                GateState::Closed => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

/// What a client keeps: enough to verify every record, eight bytes each, and its latencies.
#[derive(Debug)]
pub(super) struct ClientLog {
    /// LSN of each acknowledged record; the index is its sequence number.
    pub(super) acknowledged_lsns: Vec<u64>,
    /// Records handed to the log: those acknowledged, and one more if its commit failed.
    pub(super) submitted: u64,
    /// Commits acknowledged within the measured time.
    pub(super) commits_in_time: u64,
    pub(super) latency_ns: Histogram<u64>,
    pub(super) interval_latency_ns: Vec<Histogram<u64>>,
    /// From when to when each acknowledged commit took, by sequence number, if that was asked for.
    pub(super) spans: Option<Vec<Span>>,
    /// What ended it early.
    pub(super) error: Option<WalError>,
}

/// From when to when something took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) began: Instant,
    pub(super) ended: Instant,
}

/// A client before it starts. Everything it needs is allocated by then.
pub(super) struct Client<'a> {
    number: u32,
    committer: &'a GroupCommitter,
    payloads: &'a Payloads,
    log: ClientLog,
}

impl<'a> Client<'a> {
    pub(super) fn new(
        number: u32,
        committer: &'a GroupCommitter,
        payloads: &'a Payloads,
        keep_spans: bool,
    ) -> Result<Self, Problem> {
        let log = ClientLog {
            acknowledged_lsns: Vec::new(),
            submitted: 0,
            commits_in_time: 0,
            latency_ns: latency_histogram_ns()?,
            interval_latency_ns: interval_histograms_ns()?,
            spans: keep_spans.then(Vec::new),
            error: None,
        };
        Ok(Self { number, committer, payloads, log })
    }

    /// Commits from the gate's opening until the end of the measured time, blocking its thread.
    pub(super) fn run(mut self, gate: &Gate) -> ClientLog {
        let Some(schedule) = gate.pass() else {
            return self.log;
        };
        let mut payload = Vec::new();
        while let Some((record, began)) = self.next_record(&schedule, &mut payload) {
            let outcome = self.committer.commit(&record);
            if !self.log.take_in(&schedule, began, outcome) {
                break;
            }
        }
        self.log
    }

    /// The same as a task, which awaits each commit.
    async fn run_as_task(mut self, schedule: Schedule) -> ClientLog {
        let mut payload = Vec::new();
        while let Some((record, began)) = self.next_record(&schedule, &mut payload) {
            let outcome = match self.committer.submit(&record) {
                Ok(commit) => commit.await.map(Level::lsn),
                Err(error) => Err(error),
            };
            if !self.log.take_in(&schedule, began, outcome) {
                break;
            }
        }
        self.log
    }

    /// The next record and the moment its commit begins, `None` at the end of the measured time.
    fn next_record<'p>(
        &mut self,
        schedule: &Schedule,
        payload: &'p mut Vec<u8>,
    ) -> Option<(Record<'p>, Instant)> {
        let sequence = self.log.submitted;
        self.payloads.fill(self.number, sequence, payload);
        let record =
            Record::new(RecordKind::PUT, payload.as_slice()).vshard(self.number).database(sequence);
        let began = Instant::now();
        if began >= schedule.measure_until {
            return None;
        }
        self.log.submitted += 1;
        Some((record, began))
    }
}

/// Runs all clients as tasks of the calling thread.
pub(super) fn run_as_tasks(clients: Vec<Client<'_>>, gate: &Gate) -> Vec<ClientLog> {
    let Some(schedule) = gate.pass() else {
        return clients.into_iter().map(|client| client.log).collect();
    };
    block_on(join_all(clients.into_iter().map(|client| client.run_as_task(schedule))))
}

impl ClientLog {
    /// Notes how a commit ended. `false` if the client cannot go on.
    fn take_in(
        &mut self,
        schedule: &Schedule,
        began: Instant,
        outcome: Result<Lsn, WalError>,
    ) -> bool {
        match outcome {
            Ok(lsn) => self.acknowledged_lsns.push(lsn.get()),
            Err(error) => {
                self.error = Some(error);
                return false;
            }
        }
        self.note(schedule, began, Instant::now());
        true
    }

    /// The rate counts acknowledgements within the measured time, the latency all commits that
    /// began in it: neither is bent by what hangs over its ends.
    fn note(&mut self, schedule: &Schedule, began: Instant, acknowledged: Instant) {
        if let Some(spans) = &mut self.spans {
            spans.push(Span { began, ended: acknowledged });
        }
        if acknowledged >= schedule.measure_from && acknowledged < schedule.measure_until {
            self.commits_in_time += 1;
        }
        if began >= schedule.measure_from {
            let latency = acknowledged.saturating_duration_since(began).as_nanos();
            let latency_ns = u64::try_from(latency).unwrap_or(LATENCY_NS_MAX);
            self.latency_ns.saturating_record(latency_ns);
            self.interval_latency_ns[schedule.interval(began)].saturating_record(latency_ns);
        }
    }
}

/// Three digits from 1 ns to 60 s; longer ones count as 60 s.
pub(super) fn latency_histogram_ns() -> Result<Histogram<u64>, Problem> {
    histogram_ns(3)
}

/// One for each tenth of the measured time, to two digits: a hundredth of the memory would do for
/// a plot, and a thousand clients have theirs each.
pub(super) fn interval_histograms_ns() -> Result<Vec<Histogram<u64>>, Problem> {
    (0..INTERVALS).map(|_| histogram_ns(2)).collect()
}

fn histogram_ns(significant_digits: u8) -> Result<Histogram<u64>, Problem> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, significant_digits)
        .map_err(|error| Problem::Failed(format!("cannot make a histogram: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn log() -> ClientLog {
        ClientLog {
            acknowledged_lsns: Vec::new(),
            submitted: 0,
            commits_in_time: 0,
            latency_ns: latency_histogram_ns().expect("histogram"),
            interval_latency_ns: interval_histograms_ns().expect("histograms"),
            spans: None,
            error: None,
        }
    }

    #[test]
    fn warm_up_is_left_out_and_a_stall_at_the_end_is_charged() {
        let schedule = Schedule::from_now(100 * MS, 100 * MS);
        let from = schedule.measure_from;
        let mut log = log();
        log.note(&schedule, from - 50 * MS, from - 40 * MS);
        assert_eq!((log.commits_in_time, log.latency_ns.len()), (0, 0), "all in the warm-up");
        log.note(&schedule, from - 5 * MS, from + 5 * MS);
        assert_eq!((log.commits_in_time, log.latency_ns.len()), (1, 0), "began in the warm-up");
        log.note(&schedule, from + 5 * MS, from + 7 * MS);
        assert_eq!((log.commits_in_time, log.latency_ns.len()), (2, 1));
        log.note(&schedule, from + 99 * MS, from + 399 * MS);
        assert_eq!((log.commits_in_time, log.latency_ns.len()), (2, 2), "a stall over the end");
        let longest_ns = log.latency_ns.max();
        assert!((299_000_000..=301_000_000).contains(&longest_ns), "{longest_ns}");
        let by_interval: Vec<u64> = log.interval_latency_ns.iter().map(Histogram::len).collect();
        assert_eq!(by_interval, [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn intervals_are_tenths_and_the_ends_belong_to_the_outer_ones() {
        let schedule = Schedule::from_now(Duration::ZERO, 100 * MS);
        for (past, interval) in [(0, 0), (9, 0), (10, 1), (99, 9), (100, 9), (5_000, 9)] {
            assert_eq!(schedule.interval(schedule.measure_from + past * MS), interval, "{past}");
        }
        assert_eq!(schedule.interval(schedule.measure_from - MS), 0);
        let nothing = Schedule::from_now(Duration::ZERO, Duration::ZERO);
        assert_eq!(nothing.interval(nothing.measure_from), 0);
    }

    #[test]
    fn clients_wait_at_the_gate_and_go_home_when_it_stays_shut() {
        let gate = Gate::default();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.pass().is_none());
            gate.cancel();
            assert!(waiting.join().expect("no panic"));
        });
        gate.open(Schedule::from_now(MS, MS));
        assert!(gate.pass().is_some());
    }
}
