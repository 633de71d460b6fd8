//! One of those who share a log: asks for this and that, and notes what it is told.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use shuttle::future::block_on;

use super::{
    ledger::{Ledger, RequestId},
    plan::{Ending, Plan},
};
use crate::{
    committer::{Commit, GroupCommitter},
    device::simulated::Chance,
    error::{Result, WalError},
    level::{Buffered, Durable, Level, Reach, Written},
    lsn::{Lsn, LsnRange},
    record::Record,
    sync::now,
};

/// An actor, in a thread of its own.
pub(super) struct Actor {
    /// Until it is dropped.
    log: Option<GroupCommitter>,
    ledger: Arc<Ledger>,
    chance: Chance,
    record_bytes: usize,
    /// The disk has a fault.
    may_fail: bool,
    ending: Ending,
    has_failed: bool,
    /// Commits on their way.
    pending: Vec<Pending>,
}

enum Pending {
    Durable(RequestId, Commit<Durable>),
    Written(RequestId, Commit<Written>),
}

impl Actor {
    pub(super) fn new(plan: &Plan, log: GroupCommitter, ledger: Arc<Ledger>, seed: u64) -> Self {
        Self {
            log: Some(log),
            ledger,
            chance: Chance::new(seed),
            record_bytes: plan.record_bytes,
            may_fail: plan.disk.fault.is_some(),
            ending: plan.ending,
            has_failed: false,
            pending: Vec::new(),
        }
    }

    /// Does something.
    pub(super) fn step(&mut self) {
        let Some(log) = self.log.clone() else { return self.see_to_one() };
        match self.chance.below(27) {
            0..5 => self.commit::<Durable>(&log),
            5 => self.commit::<Written>(&log),
            6 => self.commit::<Buffered>(&log),
            7 => self.commit_batch(&log),
            8 | 9 => self.commit_in_place(&log),
            10 => self.panic_in_place(&log),
            11 | 12 => self.commit_by(&log),
            13..16 => self.submit(&log),
            16 => self.submit_written(&log),
            17 => self.submit_batch(&log),
            18 => self.submit_in_place(&log),
            19 => self.submit_if_there_is_room(&log),
            20 | 21 => self.see_to_one(),
            22 => self.look(&log),
            23 => self.truncate(&log),
            24 | 25 => self.follow(&log),
            _ if self.ending == Ending::Dropped => self.log = None,
            _ => self.look(&log),
        }
    }

    /// Drops its handle, perhaps before it has seen to what is on its way. Returns whether the log
    /// has failed, as the disk made it.
    pub(super) fn end(mut self) -> bool {
        if self.ending == Ending::Dropped && self.chance.happens(1, 2) {
            self.log = None;
        }
        while !self.pending.is_empty() {
            self.see_to_one();
        }
        self.has_failed
    }

    fn len(&mut self) -> usize {
        self.chance.below(self.record_bytes)
    }

    fn ask_for_one(&mut self) -> (RequestId, Record<'static>) {
        let len = self.len();
        let (id, mut records) = self.ledger.ask(&[len], false);
        (id, records.remove(0))
    }

    fn ask_for_some(&mut self) -> (RequestId, Vec<Record<'static>>) {
        let lens: Vec<_> = (0..2 + self.chance.below(3)).map(|_| self.len()).collect();
        self.ledger.ask(&lens, false)
    }

    /// A time that is over by now, or soon.
    fn soon(&mut self) -> Instant {
        now() + Duration::from_millis(self.chance.next() % 3)
    }

    fn commit<L: Level>(&mut self, log: &GroupCommitter) {
        let (id, record) = self.ask_for_one();
        let answer = log.commit_as::<L>(&record);
        self.answered(id, answer.map(|answer| only(answer.lsn())), L::REACH);
    }

    fn commit_batch(&mut self, log: &GroupCommitter) {
        let (id, records) = self.ask_for_some();
        let answer = log.commit_batch(&records);
        self.answered(id, answer, Reach::Durable);
    }

    fn commit_in_place(&mut self, log: &GroupCommitter) {
        let (id, record) = self.ask_for_one();
        let answer = log.commit_with(record.header(), record.payload.len(), |payload| {
            payload.copy_from_slice(&record.payload);
        });
        self.answered(id, answer.map(only), Reach::Durable);
    }

    /// Writes half of a payload and panics. Nobody else is to suffer.
    fn panic_in_place(&mut self, log: &GroupCommitter) {
        let len = self.len();
        let (id, records) = self.ledger.ask(&[len], true);
        let (header, waits) = (records[0].header(), self.chance.happens(1, 2));
        let write = |payload: &mut [u8]| {
            payload[len / 2..].fill(7);
            // No panic hook: this one is expected.
            resume_unwind(Box::new("half-way"));
        };
        let write = AssertUnwindSafe(|| match waits {
            true => log.commit_with(header, len, write).map(drop),
            false => log.submit_with(header, len, write).map(drop),
        });
        if let Ok(answer) = catch_unwind(write) {
            let error = answer.expect_err("the payload was never written");
            self.failed(&error);
            self.ledger.refused(id);
        }
    }

    fn commit_by(&mut self, log: &GroupCommitter) {
        let (id, record) = self.ask_for_one();
        let deadline = self.soon();
        let answer = log.commit_by(&record, deadline);
        if let Err(WalError::DeadlineExceeded { lsn }) = &answer {
            return self.ledger.placed(id, only(*lsn));
        }
        self.answered(id, answer.map(only), Reach::Durable);
    }

    fn submit(&mut self, log: &GroupCommitter) {
        let (id, record) = self.ask_for_one();
        let submitted = log.submit(&record);
        self.submitted(id, submitted);
    }

    fn submit_batch(&mut self, log: &GroupCommitter) {
        let (id, records) = self.ask_for_some();
        let submitted = log.submit_batch(&records);
        self.submitted(id, submitted);
    }

    fn submit_in_place(&mut self, log: &GroupCommitter) {
        let (id, record) = self.ask_for_one();
        let submitted = log.submit_with(record.header(), record.payload.len(), |payload| {
            payload.copy_from_slice(&record.payload);
        });
        self.submitted(id, submitted);
    }

    fn submit_if_there_is_room(&mut self, log: &GroupCommitter) {
        let (id, record) = self.ask_for_one();
        let submitted = match self.chance.happens(1, 2) {
            true => log.try_submit(&record),
            false => {
                let deadline = self.soon();
                log.submit_by(&record, deadline)
            }
        };
        self.submitted(id, submitted);
    }

    fn submitted(&mut self, id: RequestId, submitted: Result<Commit>) {
        match submitted {
            Ok(commit) => {
                self.ledger.placed(id, commit.range());
                self.pending.push(Pending::Durable(id, commit));
            }
            Err(error) => self.not_appended(id, &error),
        }
    }

    fn submit_written(&mut self, log: &GroupCommitter) {
        let (id, record) = self.ask_for_one();
        match log.submit_as::<Written>(&record) {
            Ok(commit) => {
                self.ledger.placed(id, commit.range());
                self.pending.push(Pending::Written(id, commit));
            }
            Err(error) => self.not_appended(id, &error),
        }
    }

    /// Waits for a commit that is on its way, or awaits it, or lets go of it.
    fn see_to_one(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let index = self.chance.below(self.pending.len());
        match self.pending.swap_remove(index) {
            Pending::Durable(id, commit) => {
                if let Some(commit) = self.see_to(id, commit) {
                    self.pending.push(Pending::Durable(id, commit));
                }
            }
            Pending::Written(id, commit) => {
                if let Some(commit) = self.see_to(id, commit) {
                    self.pending.push(Pending::Written(id, commit));
                }
            }
        }
    }

    /// Returns what is still on its way.
    fn see_to<L: Level>(&mut self, id: RequestId, mut commit: Commit<L>) -> Option<Commit<L>> {
        let range = commit.range();
        let answer = match self.chance.below(10) {
            0..3 => commit.wait(),
            3..7 => block_on(commit),
            7 => {
                let deadline = self.soon();
                match commit.wait_until(deadline) {
                    Err(WalError::DeadlineExceeded { .. }) => return Some(commit),
                    answer => answer,
                }
            }
            8 => match Pin::new(&mut commit).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => return Some(commit),
                Poll::Ready(answer) => answer,
            },
            _ => return None,
        };
        match answer {
            Ok(answer) => {
                assert_eq!(answer.lsn(), range.last, "the answer is for another record");
                self.ledger.told(id, range, L::REACH);
            }
            // Its outcome is unknown: nobody was there any more to write it.
            Err(WalError::Closed) => {
                let abandoned = self.ending == Ending::Dropped && self.log.is_none();
                assert!(abandoned, "{range:?} is closed away");
            }
            Err(error) => self.failed(&error),
        }
        None
    }

    /// Takes note of an answer to a request.
    fn answered(&mut self, id: RequestId, answer: Result<LsnRange>, reach: Reach) {
        match answer {
            Ok(range) => {
                let fine = !self.has_failed || reach < Reach::Durable;
                assert!(fine, "{range:?} is acknowledged after a failure");
                self.ledger.told(id, range, reach);
            }
            Err(error) if error.is_poisoned() => self.failed(&error),
            Err(error) => self.not_appended(id, &error),
        }
    }

    /// Takes note that nothing was appended.
    fn not_appended(&mut self, id: RequestId, error: &WalError) {
        match error {
            WalError::QueueFull => {}
            WalError::Closed => {
                assert_eq!(self.ending, Ending::ClosedMeanwhile, "nobody closed it");
            }
            // A segment could not be prepared.
            WalError::Io { .. } if self.may_fail => {}
            error => self.failed(error),
        }
        // What a poisoned log was asked for may have been appended before it was.
        if !error.is_poisoned() {
            self.ledger.refused(id);
        }
    }

    /// The log has failed, which only a fault of the disk makes it.
    fn failed(&mut self, error: &WalError) {
        let WalError::Poisoned { durable_lsn, .. } = error else {
            let closed = matches!(error, WalError::Closed);
            let prepared = matches!(error, WalError::Io { .. }) && self.may_fail;
            let fine = (closed && self.ending == Ending::ClosedMeanwhile) || prepared;
            assert!(fine, "unexpected: {error}");
            return;
        };
        assert!(self.may_fail, "the disk works, and the log has failed: {error}");
        self.has_failed = true;
        self.ledger.is_durable(*durable_lsn);
    }

    /// What the log says of itself, and what it replays.
    fn look(&mut self, log: &GroupCommitter) {
        self.ledger.is_durable(log.durable_lsn());
        assert!(log.written_lsn() < log.next_lsn());
        if let Ok(records) = log.replay_from(Lsn::NONE) {
            self.ledger.check_replay(records);
        }
    }

    /// Submits a record and follows the log until something has become durable.
    fn follow(&mut self, log: &GroupCommitter) {
        let tailer = log.tail(log.durable_lsn().next());
        self.submit(log);
        let Ok(mut tailer) = tailer else { return };
        let next = match self.chance.below(4) {
            0 => {
                let deadline = self.soon();
                tailer.next_by(deadline).transpose()
            }
            1 => tailer.next(),
            _ => block_on(tailer.next_async()),
        };
        match next {
            Some(Ok(record)) => self.ledger.is_durable(record.lsn()),
            // Somebody else has written and truncated meanwhile.
            Some(Err(WalError::Truncated { .. })) | None => {}
            Some(Err(error)) => self.failed(&error),
        }
    }

    fn truncate(&mut self, log: &GroupCommitter) {
        let before = Lsn::new(1 + self.chance.next() % (log.durable_lsn().get() + 1));
        self.ledger.gives_up_before(before);
        if let Err(error) = log.truncate_before(before) {
            self.failed(&error);
        }
    }
}

fn only(lsn: Lsn) -> LsnRange {
    LsnRange { first: lsn, last: lsn }
}
