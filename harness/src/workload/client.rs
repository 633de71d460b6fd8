//! A closed-loop client: commits a record, waits until it is durable, and goes on to the next.
//! Who waits, and how, is told by the caller of [`Client`]: a thread, a task, or the log's owner.

use std::time::Instant;

use hdrhistogram::Histogram;
use plimsoll::{Lsn, Record, RecordKind, WalError};

use super::gate::{Schedule, Shift};
use super::payload::Payloads;
use super::{INTERVALS, Problem};

/// Longest latency told apart from longer ones.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

/// What a client keeps: enough to verify every record, eight bytes each, and its latencies.
#[derive(Debug)]
pub(super) struct ClientLog {
    /// LSN of each acknowledged record, by sequence number from `first_sequence`.
    pub(super) acknowledged_lsns: Vec<u64>,
    /// Sequence number of the first of them; those before it were given up by truncations.
    pub(super) first_sequence: u64,
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
    payloads: &'a Payloads,
    pub(super) log: ClientLog,
}

impl<'a> Client<'a> {
    /// A client with room for so many records: more of them cost an allocation now and then.
    pub(super) fn new(
        number: u32,
        payloads: &'a Payloads,
        expected_records: usize,
        keep_spans: bool,
    ) -> Result<Self, Problem> {
        let log = ClientLog {
            acknowledged_lsns: Vec::with_capacity(expected_records),
            first_sequence: 0,
            submitted: 0,
            commits_in_time: 0,
            latency_ns: latency_histogram_ns()?,
            interval_latency_ns: interval_histograms_ns()?,
            spans: keep_spans.then(Vec::new),
            error: None,
        };
        Ok(Self { number, payloads, log })
    }

    /// The client of another round: it counts its records on from where it was, forgets those below
    /// `truncated_before_lsn`, and measures anew.
    pub(super) fn again(
        number: u32,
        payloads: &'a Payloads,
        log: ClientLog,
        truncated_before_lsn: u64,
    ) -> Result<Self, Problem> {
        let mut acknowledged_lsns = log.acknowledged_lsns;
        let gone = acknowledged_lsns.partition_point(|lsn| *lsn < truncated_before_lsn);
        acknowledged_lsns.drain(..gone);
        let keep_spans = log.spans.is_some();
        let fresh = Self::new(number, payloads, 0, keep_spans)?;
        let log = ClientLog {
            acknowledged_lsns,
            first_sequence: log.first_sequence + gone as u64,
            submitted: log.submitted,
            ..fresh.log
        };
        Ok(Self { number, payloads, log })
    }

    /// The next record and the moment its commit begins, `None` at the end of the shift.
    pub(super) fn next_record<'p>(
        &mut self,
        shift: &Shift<'_>,
        payload: &'p mut Vec<u8>,
    ) -> Option<(Record<'p>, Instant)> {
        let sequence = self.log.submitted;
        self.payloads.fill(self.number, sequence, payload);
        let record = Record::new(RecordKind::PUT, payload.as_slice())
            .tenant(self.payloads.tenant(self.number, sequence))
            .vshard(self.number)
            .database(sequence);
        let began = Instant::now();
        if shift.is_over(began) {
            return None;
        }
        self.log.submitted += 1;
        Some((record, began))
    }
}

impl ClientLog {
    /// Notes how a commit ended. `false` if the client cannot go on.
    pub(super) fn take_in(
        &mut self,
        schedule: &Schedule,
        began: Instant,
        outcome: Result<Lsn, WalError>,
    ) -> bool {
        match outcome {
            Ok(lsn) => {
                self.acknowledge(schedule, lsn, Span { began, ended: Instant::now() });
                true
            }
            Err(error) => {
                self.error = Some(error);
                false
            }
        }
    }

    /// Notes that the record of this LSN is durable.
    pub(super) fn acknowledge(&mut self, schedule: &Schedule, lsn: Lsn, span: Span) {
        self.acknowledged_lsns.push(lsn.get());
        self.note(schedule, span);
    }

    /// The rate counts acknowledgements within the measured time, the latency all commits that
    /// began in it: neither is bent by what hangs over its ends.
    fn note(&mut self, schedule: &Schedule, span: Span) {
        let Span { began, ended } = span;
        if let Some(spans) = &mut self.spans {
            spans.push(span);
        }
        if schedule.measures(ended) {
            self.commits_in_time += 1;
        }
        if schedule.measures(began) {
            let latency = ended.saturating_duration_since(began).as_nanos();
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
    use std::sync::LazyLock;

    use std::time::Duration;

    use super::super::gate::Gate;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn client(payloads: &Payloads) -> Client<'_> {
        Client::new(0, payloads, 0, false).expect("a client")
    }

    fn payloads() -> Payloads {
        static PAYLOADS: LazyLock<Payloads> =
            LazyLock::new(|| Payloads::new(1, 16).expect("length"));
        PAYLOADS.clone()
    }

    #[test]
    fn only_the_measured_time_counts_and_a_stall_at_its_end_is_charged() {
        let schedule = Schedule::from_now(100 * MS, 100 * MS);
        let from = schedule.measure_from;
        let payloads = payloads();
        let mut log = client(&payloads).log;
        let mut note = |began: Instant, ended: Instant| {
            log.note(&schedule, Span { began, ended });
            (log.commits_in_time, log.latency_ns.len())
        };
        assert_eq!(note(from - 50 * MS, from - 40 * MS), (0, 0), "all in the warm-up");
        assert_eq!(note(from - 5 * MS, from + 5 * MS), (1, 0), "began in the warm-up");
        assert_eq!(note(from + 5 * MS, from + 7 * MS), (2, 1));
        assert_eq!(note(from + 99 * MS, from + 399 * MS), (2, 2), "a stall over the end");
        assert_eq!(note(from + 100 * MS, from + 101 * MS), (2, 2), "all after the end");
        let longest_ns = log.latency_ns.max();
        assert!((299_000_000..=301_000_000).contains(&longest_ns), "{longest_ns}");
        let by_interval: Vec<u64> = log.interval_latency_ns.iter().map(Histogram::len).collect();
        assert_eq!(by_interval, [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_client_goes_on_until_it_is_released() {
        let gate = Gate::default();
        gate.open(Schedule::from_now(Duration::ZERO, Duration::ZERO));
        let shift = gate.pass().expect("open");
        let payloads = payloads();
        let (mut client, mut payload) = (client(&payloads), Vec::new());
        assert!(client.next_record(&shift, &mut payload).is_some());
        gate.release();
        assert!(client.next_record(&shift, &mut payload).is_none());
        assert_eq!(client.log.submitted, 1, "what was not handed over was not submitted");
    }
}
