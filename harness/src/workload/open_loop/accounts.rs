//! What became of each record of an open loop. Latency counts from the moment a record was *due*,
//! so that a stall is charged to everyone who would have waited, and it is never corrected again.

use std::collections::VecDeque;

use hdrhistogram::Histogram;

use super::super::client::{interval_histograms_ns, latency_histogram_ns};
use super::super::{INTERVALS, Problem};

/// The measured time, nanoseconds since the load began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from_ns: u64,
    pub(super) until_ns: u64,
}

impl Window {
    fn measures(self, moment_ns: u64) -> bool {
        moment_ns >= self.from_ns && moment_ns < self.until_ns
    }

    /// When tenth `tenth` of it begins; the last one, [`INTERVALS`], is its end.
    fn tenth_from_ns(self, tenth: usize) -> u64 {
        let length = self.until_ns.saturating_sub(self.from_ns);
        self.from_ns.saturating_add(length.saturating_mul(tenth as u64) / INTERVALS as u64)
    }
}

/// Which part of the time a moment lies in: 0 before the measured time, then its tenths from 1, and
/// behind them one more for what is after it. Moments ascend, so that no division is needed.
#[derive(Clone, Copy, Debug)]
struct Part {
    window: Window,
    index: usize,
    until_ns: u64,
}

impl Part {
    fn new(window: Window) -> Self {
        Self { window, index: 0, until_ns: window.from_ns }
    }

    fn of(&mut self, moment_ns: u64) -> usize {
        while moment_ns >= self.until_ns && self.index <= INTERVALS {
            self.index += 1;
            self.until_ns = match self.index {
                index if index <= INTERVALS => self.window.tenth_from_ns(index),
                _ => u64::MAX,
            };
        }
        self.index
    }
}

/// A record that was handed over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Submission {
    pub(super) lsn: u64,
    /// When it was due.
    pub(super) intended_ns: u64,
    /// When it was handed over.
    pub(super) began_ns: u64,
    /// When the log had taken it.
    pub(super) returned_ns: u64,
}

/// The accounts of one load.
#[derive(Debug)]
pub(super) struct Accounts {
    window: Window,
    on_their_way: VecDeque<Submission>,
    /// When the last record had been taken: before that the next one could not be handed over.
    returned_ns: u64,
    /// LSN of each acknowledged record; the index is its sequence number.
    acknowledged_lsns: Vec<u64>,
    /// By part of the time, see [`Part`].
    due: [u64; INTERVALS + 2],
    answered: [u64; INTERVALS + 2],
    histograms: Histograms,
    /// Where handing over is, where answers are, and where the records lie that they are for.
    parts: Parts,
}

#[derive(Clone, Copy, Debug)]
struct Parts {
    handed_over: Part,
    answered: Part,
    due: Part,
}

/// Distributions over the records that were due in the measured time, nanoseconds.
#[derive(Debug)]
struct Histograms {
    latency: Histogram<u64>,
    service: Histogram<u64>,
    lag: Histogram<u64>,
    own_lag: Histogram<u64>,
    by_tenth: Vec<Histogram<u64>>,
}

/// What an open loop came to. Records due in the measured time count, and no others.
#[derive(Debug)]
pub(crate) struct Answers {
    /// Records that were due.
    pub(crate) due: u64,
    /// Records that became durable in the measured time.
    pub(crate) answered: u64,
    /// From when a record was due until it was durable: the latency that is promised.
    pub(crate) latency_ns: Histogram<u64>,
    /// From when it was handed over until it was durable: what a closed loop would have seen.
    pub(crate) service_ns: Histogram<u64>,
    /// From when it was due until it was handed over.
    pub(crate) lag_ns: Histogram<u64>,
    /// The part of the lag in which the log was not busy taking the record before: the generator's.
    pub(crate) own_lag_ns: Histogram<u64>,
    /// Latency by the tenth of the measured time in which a record was due, to two digits.
    pub(crate) interval_latency_ns: Vec<Histogram<u64>>,
    /// Records due and not durable at the start of the measured time and at the end of each tenth.
    pub(crate) backlog: Vec<u64>,
}

impl Accounts {
    /// Accounts with room for so many records: more of them cost an allocation now and then.
    pub(super) fn new(window: Window, expected_records: usize) -> Result<Self, Problem> {
        let histograms = Histograms {
            latency: latency_histogram_ns()?,
            service: latency_histogram_ns()?,
            lag: latency_histogram_ns()?,
            own_lag: latency_histogram_ns()?,
            by_tenth: interval_histograms_ns()?,
        };
        Ok(Self {
            window,
            on_their_way: VecDeque::with_capacity(4_096),
            returned_ns: 0,
            acknowledged_lsns: Vec::with_capacity(expected_records),
            due: [0; INTERVALS + 2],
            answered: [0; INTERVALS + 2],
            histograms,
            parts: Parts {
                handed_over: Part::new(window),
                answered: Part::new(window),
                due: Part::new(window),
            },
        })
    }

    /// Records that are not durable yet.
    pub(super) fn on_their_way(&self) -> u64 {
        self.on_their_way.len() as u64
    }

    pub(super) fn submitted(&mut self, record: Submission) {
        let Submission { intended_ns, began_ns, returned_ns, .. } = record;
        self.due[self.parts.handed_over.of(intended_ns)] += 1;
        if self.window.measures(intended_ns) {
            let could_begin_ns = intended_ns.max(self.returned_ns);
            self.histograms.lag.saturating_record(began_ns.saturating_sub(intended_ns));
            self.histograms.own_lag.saturating_record(began_ns.saturating_sub(could_begin_ns));
        }
        self.returned_ns = returned_ns;
        self.on_their_way.push_back(record);
    }

    /// Everything up to `durable_lsn` is durable now.
    pub(super) fn acknowledge(&mut self, durable_lsn: u64, now_ns: u64) {
        while let Some(first) = self.on_their_way.front()
            && first.lsn <= durable_lsn
        {
            let Submission { lsn, intended_ns, began_ns, .. } = *first;
            self.on_their_way.pop_front();
            self.acknowledged_lsns.push(lsn);
            self.answered[self.parts.answered.of(now_ns)] += 1;
            if self.window.measures(intended_ns) {
                let latency_ns = now_ns.saturating_sub(intended_ns);
                self.histograms.latency.saturating_record(latency_ns);
                self.histograms.service.saturating_record(now_ns.saturating_sub(began_ns));
                let tenth = self.parts.due.of(intended_ns).clamp(1, INTERVALS) - 1;
                self.histograms.by_tenth[tenth].saturating_record(latency_ns);
            }
        }
    }

    /// Closes the accounts: the answers, and the LSN of each acknowledged record by sequence number.
    pub(super) fn close(self) -> (Answers, Vec<u64>) {
        let within = |parts: &[u64; INTERVALS + 2]| parts[1..=INTERVALS].iter().sum();
        let up_to = |parts: &[u64; INTERVALS + 2], part: usize| parts[..=part].iter().sum::<u64>();
        let left = |part| up_to(&self.due, part).saturating_sub(up_to(&self.answered, part));
        let backlog = (0..=INTERVALS).map(left).collect();
        let Histograms { latency, service, lag, own_lag, by_tenth } = self.histograms;
        let answers = Answers {
            due: within(&self.due),
            answered: within(&self.answered),
            latency_ns: latency,
            service_ns: service,
            lag_ns: lag,
            own_lag_ns: own_lag,
            interval_latency_ns: by_tenth,
            backlog,
        };
        (answers, self.acknowledged_lsns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts::new(Window { from_ns: 1_000, until_ns: 2_000 }, 0).expect("histograms")
    }

    fn record(lsn: u64, intended_ns: u64, began_ns: u64, returned_ns: u64) -> Submission {
        Submission { lsn, intended_ns, began_ns, returned_ns }
    }

    #[test]
    fn latency_counts_from_when_a_record_was_due_and_service_from_when_it_was_handed_over() {
        let mut accounts = accounts();
        accounts.submitted(record(1, 1_100, 1_150, 1_400));
        // Due while the log was still taking the first one: only 20 of 270 are the generator's.
        accounts.submitted(record(2, 1_150, 1_420, 1_430));
        accounts.acknowledge(2, 1_500);
        let (answers, lsns) = accounts.close();
        assert_eq!(lsns, [1, 2]);
        assert_eq!((answers.due, answers.answered), (2, 2));
        assert_eq!((answers.latency_ns.min(), answers.latency_ns.max()), (350, 400));
        assert_eq!((answers.service_ns.min(), answers.service_ns.max()), (80, 350));
        assert_eq!((answers.lag_ns.min(), answers.lag_ns.max()), (50, 270));
        assert_eq!((answers.own_lag_ns.min(), answers.own_lag_ns.max()), (20, 50));
    }

    #[test]
    fn what_was_due_outside_of_the_measured_time_is_acknowledged_and_not_measured() {
        let mut accounts = accounts();
        for (lsn, intended_ns) in [(1, 999), (2, 1_000), (3, 1_999), (4, 2_000)] {
            accounts.submitted(record(lsn, intended_ns, intended_ns, intended_ns));
        }
        accounts.acknowledge(1, 1_050);
        accounts.acknowledge(4, 9_000);
        let (answers, lsns) = accounts.close();
        assert_eq!(lsns, [1, 2, 3, 4]);
        assert_eq!((answers.due, answers.answered), (2, 1));
        assert_eq!(answers.latency_ns.len(), 2, "a stall over the end is charged");
        assert!(answers.latency_ns.max() >= 8_000);
    }

    #[test]
    fn the_backlog_is_what_is_due_and_not_durable() {
        let mut accounts = accounts();
        for lsn in 1..=20 {
            let due_ns = 900 + lsn * 50;
            accounts.submitted(record(lsn, due_ns, due_ns, due_ns));
            // Half as fast as they come.
            accounts.acknowledge(lsn / 2, due_ns);
        }
        let (answers, _) = accounts.close();
        assert_eq!(answers.backlog, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]);
    }
}
