//! What a log has to hold: the records that were appended, which of them were acknowledged, and
//! when, measured in events on the disk.

use crate::{
    error::WalError,
    lsn::Lsn,
    record::{LogRecord, Record, RecordKind},
    replay::RecoveryReport,
};

/// A record as it was appended.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) record: Record<'static>,
    /// LSN of the first record that was appended together with it.
    pub(super) first_of_batch: u64,
    /// Every record up to here had been acknowledged by then, which its batch therefore states.
    pub(super) acknowledged_before: u64,
}

/// What is promised from some point of a life on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Promise {
    /// Every record up to here was acknowledged.
    pub(super) acknowledged: u64,
    /// Every record up to here has been appended, and may survive.
    pub(super) appended: u64,
    /// The oldest record kept is at least this one,
    pub(super) floor_at_least: u64,
    /// and at most this one.
    pub(super) floor_at_most: u64,
}

/// The model of one log.
#[derive(Debug)]
pub(super) struct Oracle {
    /// By LSN, from 1; those before the log's first are placeholders.
    pub(super) records: Vec<Expected>,
    /// The LSN before the log's first.
    before_first: u64,
    pub(super) now: Promise,
    /// When each promise was made in this life: after so many events.
    marks: Vec<(usize, Promise)>,
}

impl Oracle {
    /// Of a log that begins at `first_lsn`.
    pub(super) fn new(first_lsn: Lsn) -> Self {
        let before_first = first_lsn.previous().get();
        let now = Promise {
            acknowledged: before_first,
            appended: before_first,
            floor_at_least: first_lsn.get(),
            floor_at_most: first_lsn.get(),
        };
        let never = Expected {
            record: Record::new(RecordKind::NOOP, &b"never appended"[..]),
            first_of_batch: 0,
            acknowledged_before: 0,
        };
        let records = vec![never; index(before_first)];
        Self { records, before_first, now, marks: vec![(0, now)] }
    }

    /// Whether there is no log yet, which is right as long as nothing was acknowledged.
    pub(super) fn is_not_begun(&self, report: &RecoveryReport, promise: Promise) -> bool {
        report.last_lsn == Lsn::NONE
            && report.floor == Lsn::FIRST
            && promise.acknowledged == self.before_first
    }

    /// Whether a log that ends here holds nothing.
    pub(super) fn is_empty_at(&self, last: u64) -> bool {
        last == self.before_first
    }

    /// The last record of a log that an image holds, whether it has been begun or not.
    pub(super) fn last_lsn(&self, report: &RecoveryReport) -> u64 {
        report.last_lsn.get().max(self.before_first)
    }

    /// A new life begins on a disk that holds what `promise` says.
    pub(super) fn begin_life(&mut self, promise: Promise) {
        self.now = promise;
        self.marks = vec![(0, promise)];
    }

    /// The log was opened, and what it found counts as acknowledged from now on. After a power cut
    /// (`settled`) whatever was there was durable, so that a crash while opening changes nothing.
    pub(super) fn opened(
        &mut self,
        report: &RecoveryReport,
        position: usize,
        settled: bool,
    ) -> Result<(), String> {
        self.check_report(report, self.now)?;
        let found = report.last_lsn.get();
        self.records.truncate(index(found));
        self.now.appended = found;
        self.now.acknowledged = found;
        self.now.floor_at_least = report.floor.get();
        self.now.floor_at_most = report.floor.get();
        if settled {
            self.marks = vec![(0, self.now)];
        } else {
            for (_, promise) in &mut self.marks {
                promise.appended = promise.appended.min(found);
            }
            self.mark(position);
        }
        Ok(())
    }

    /// The promise of now holds from this position on.
    pub(super) fn mark(&mut self, position: usize) {
        match self.marks.last_mut() {
            Some((last, promise)) if *last == position => *promise = self.now,
            _ => self.marks.push((position, self.now)),
        }
    }

    /// What was promised after this many events.
    pub(super) fn promise_at(&self, position: usize) -> Promise {
        let later = self.marks.partition_point(|(made, _)| *made <= position);
        self.marks[later.saturating_sub(1)].1
    }

    /// Holds a verdict against a promise; the records are checked apart.
    pub(super) fn check_report(
        &self,
        report: &RecoveryReport,
        promise: Promise,
    ) -> Result<(), String> {
        if self.is_not_begun(report, promise) {
            return Ok(());
        }
        let last = report.last_lsn.get();
        if last < promise.acknowledged {
            return Err(format!(
                "records up to {} were acknowledged, and the log ends at {last}",
                promise.acknowledged
            ));
        }
        self.check_end(report, promise)
    }

    /// Holds what an undamaged log states to be durable against a promise: with the last
    /// acknowledged record it states everything that had been acknowledged before that was
    /// appended. What lies behind is the residue, whose loss nothing would tell of.
    pub(super) fn check_claim(&self, claimed: u64, promise: Promise) -> Result<(), String> {
        let last = promise.acknowledged.checked_sub(1).and_then(|at| self.records.get(index(at)));
        match last {
            Some(last) if claimed < last.acknowledged_before => Err(format!(
                "records up to {} had been acknowledged before {} was appended, and the log states \
                 no more than {claimed}",
                last.acknowledged_before, promise.acknowledged
            )),
            _ => Ok(()),
        }
    }

    /// The part of [`Self::check_report`] that holds for a damaged log too.
    pub(super) fn check_end(
        &self,
        report: &RecoveryReport,
        promise: Promise,
    ) -> Result<(), String> {
        if self.is_not_begun(report, promise) {
            return Ok(());
        }
        let (last, floor) = (report.last_lsn.get(), report.floor.get());
        if last > promise.appended {
            return Err(format!("{} records were appended, and {last} found", promise.appended));
        }
        if floor < promise.floor_at_least || floor > promise.floor_at_most {
            return Err(format!(
                "the floor is {floor}, and has to be from {} to {}",
                promise.floor_at_least, promise.floor_at_most
            ));
        }
        let next = self.records.get(index(last)).filter(|_| last < promise.appended);
        match next {
            Some(next) if next.first_of_batch <= last => Err(format!(
                "the log ends at {last}, in the middle of a batch from {}",
                next.first_of_batch
            )),
            _ => Ok(()),
        }
    }

    /// Holds what is read, from `floor` to `last`, against what was appended.
    pub(super) fn check_records(
        &self,
        records: impl Iterator<Item = Result<LogRecord, WalError>>,
        floor: u64,
        last: u64,
    ) -> Result<(), String> {
        let mut next = floor;
        for record in records {
            let record = record.map_err(|error| format!("reading record {next}: {error}"))?;
            if record.lsn() != Lsn::new(next) {
                return Err(format!("record {} where {next} belongs", record.lsn()));
            }
            let same = next.checked_sub(1).and_then(|at| self.records.get(index(at)));
            if !same.is_some_and(|expected| is_same(&record, &expected.record)) {
                return Err(format!("record {next} is not the one that was appended"));
            }
            next += 1;
        }
        if next != last + 1 {
            return Err(format!("the log ends at {last}, and reading it at {}", next - 1));
        }
        Ok(())
    }
}

fn is_same(read: &LogRecord, appended: &Record<'_>) -> bool {
    let header = appended.header();
    read.payload() == &*appended.payload
        && read.kind() == header.kind
        && read.tenant() == header.tenant
        && read.vshard() == header.vshard
        && read.database() == header.database
}

/// An LSN as the length of the records up to it.
pub(super) fn index(lsn: u64) -> usize {
    usize::try_from(lsn).unwrap_or(usize::MAX)
}
