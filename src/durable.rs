//! Which prefix of the log is written, and which is durable. Batches are numbered as they are
//! submitted and may complete in any order; both positions move only over a prefix that is whole.
//! Positions only, no I/O.

use std::collections::VecDeque;

use crate::lsn::Lsn;

/// Follows submitted batches until they are durable.
///
/// A batch is *written* when its write has completed. It is *durable* when the write itself was
/// durable, or when a flush that began after the completion has ended.
#[derive(Debug)]
pub(crate) struct DurablePrefix {
    /// Submitted batches that are not durable, oldest first.
    pending: VecDeque<PendingBatch>,
    /// Sequence number of the first entry of `pending`.
    first_pending: u64,
    /// How many entries at the front are written.
    written_count: usize,
    submitted_lsn: Lsn,
    written_lsn: Lsn,
    durable_lsn: Lsn,
}

#[derive(Debug)]
struct PendingBatch {
    last_lsn: Lsn,
    written: bool,
    /// Durable once written, without a flush.
    durable_by_itself: bool,
}

/// Names one submitted batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchTicket(u64);

/// What a flush that begins now makes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlushCover {
    /// Sequence number of the first batch that it does not cover.
    end: u64,
}

impl DurablePrefix {
    /// A log whose records up to `durable_lsn` are safe.
    pub(crate) fn new(durable_lsn: Lsn) -> Self {
        Self {
            pending: VecDeque::new(),
            first_pending: 0,
            written_count: 0,
            submitted_lsn: durable_lsn,
            written_lsn: durable_lsn,
            durable_lsn,
        }
    }

    /// A batch ending with `last_lsn` is about to be written; `durable_by_itself` if its write needs
    /// no flush.
    pub(crate) fn submit(&mut self, last_lsn: Lsn, durable_by_itself: bool) -> BatchTicket {
        let ticket = BatchTicket(self.first_pending + self.pending.len() as u64);
        self.pending.push_back(PendingBatch { last_lsn, written: false, durable_by_itself });
        self.submitted_lsn = last_lsn;
        ticket
    }

    /// The write of a batch has completed.
    pub(crate) fn complete(&mut self, ticket: BatchTicket) {
        let index = ticket.0.checked_sub(self.first_pending);
        let batch = index
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| self.pending.get_mut(index));
        debug_assert!(batch.as_ref().is_some_and(|batch| !batch.written), "completes once");
        if let Some(batch) = batch {
            batch.written = true;
        }
        while let Some(batch) = self.pending.get(self.written_count).filter(|batch| batch.written) {
            self.written_lsn = batch.last_lsn;
            self.written_count += 1;
        }
        self.pass_durable();
        #[cfg(feature = "simulated")]
        if crate::sabotage::is(crate::sabotage::Sabotage::AdvancePastGap)
            && let Some(newest) = self.pending.iter().rfind(|b| b.written && b.durable_by_itself)
        {
            self.durable_lsn = newest.last_lsn;
        }
    }

    /// A flush begins: it will cover what is written by now.
    pub(crate) fn begin_flush(&self) -> FlushCover {
        FlushCover { end: self.first_pending + self.written_count as u64 }
    }

    /// A flush has ended.
    pub(crate) fn end_flush(&mut self, cover: FlushCover) {
        while self.first_pending < cover.end {
            self.pass_front();
        }
        self.pass_durable();
    }

    /// Moves over the batches at the front that are durable without a flush.
    fn pass_durable(&mut self) {
        while self.pending.front().is_some_and(|batch| batch.written && batch.durable_by_itself) {
            self.pass_front();
        }
    }

    fn pass_front(&mut self) {
        if let Some(batch) = self.pending.pop_front() {
            debug_assert!(batch.written, "durable before it is written");
            self.first_pending += 1;
            self.written_count -= 1;
            self.durable_lsn = batch.last_lsn;
        }
    }

    /// How many batches at the front, not counting any before `first`, are written and wait for a
    /// flush.
    pub(crate) fn written_from(&self, first: BatchTicket) -> usize {
        let skipped = first.0.saturating_sub(self.first_pending);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        self.written_count.saturating_sub(skipped)
    }

    /// The first batch, if there is one, that a flush does not cover.
    pub(crate) fn first_after(&self, cover: FlushCover) -> Option<BatchTicket> {
        let end = self.first_pending + self.pending.len() as u64;
        (cover.end < end).then_some(BatchTicket(cover.end))
    }

    /// Whether a batch is durable.
    pub(crate) fn is_durable(&self, ticket: BatchTicket) -> bool {
        ticket.0 < self.first_pending
    }

    /// Whether some batch, written or not, will not be durable without a flush.
    pub(crate) fn has_volatile(&self) -> bool {
        self.pending.iter().any(|batch| !batch.durable_by_itself)
    }

    /// The last record handed to the device.
    pub(crate) fn submitted_lsn(&self) -> Lsn {
        self.submitted_lsn
    }

    /// Every batch up to here has been written, without a gap.
    pub(crate) fn written_lsn(&self) -> Lsn {
        self.written_lsn
    }

    /// Every batch up to here survives power loss.
    pub(crate) fn durable_lsn(&self) -> Lsn {
        self.durable_lsn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lsns(prefix: &DurablePrefix) -> (u64, u64) {
        (prefix.written_lsn().get(), prefix.durable_lsn().get())
    }

    #[test]
    fn the_prefix_waits_for_the_slowest_batch() {
        for by_itself in [true, false] {
            let mut prefix = DurablePrefix::new(Lsn::new(4));
            let a = prefix.submit(Lsn::new(6), by_itself);
            let b = prefix.submit(Lsn::new(9), by_itself);
            let c = prefix.submit(Lsn::new(10), by_itself);
            prefix.complete(c);
            prefix.complete(b);
            assert_eq!(lsns(&prefix), (4, 4), "a is still missing");
            assert_eq!(prefix.written_from(a), 0);
            prefix.complete(a);
            assert_eq!(lsns(&prefix), (10, if by_itself { 10 } else { 4 }));
            assert_eq!(prefix.written_from(a), if by_itself { 0 } else { 3 });
            assert_eq!(prefix.written_from(c), if by_itself { 0 } else { 1 });
            assert_eq!(prefix.is_durable(b), by_itself);
            prefix.end_flush(prefix.begin_flush());
            assert_eq!(lsns(&prefix), (10, 10));
            assert!(prefix.is_durable(c) && !prefix.has_volatile());
        }
    }

    #[test]
    fn tickets_stay_valid_while_the_front_moves() {
        let mut prefix = DurablePrefix::new(Lsn::NONE);
        for n in 1..=100 {
            let even = prefix.submit(Lsn::new(2 * n), true);
            let odd = prefix.submit(Lsn::new(2 * n + 1), true);
            prefix.complete(odd);
            prefix.complete(even);
            assert_eq!(prefix.written_lsn(), Lsn::new(2 * n + 1));
        }
    }

    #[test]
    fn a_flush_that_began_earlier_covers_only_what_was_written_then() {
        let mut prefix = DurablePrefix::new(Lsn::NONE);
        let a = prefix.submit(Lsn::new(1), false);
        prefix.complete(a);
        let cover = prefix.begin_flush();
        assert_eq!(prefix.first_after(cover), None);
        let b = prefix.submit(Lsn::new(2), false);
        assert_eq!(prefix.first_after(cover), Some(b));
        prefix.complete(b);
        prefix.end_flush(cover);
        assert_eq!(lsns(&prefix), (2, 1));
        assert_eq!((prefix.written_from(a), prefix.written_from(b)), (1, 1));
    }

    #[test]
    fn a_durable_write_behind_a_volatile_one_waits_for_its_flush() {
        let mut prefix = DurablePrefix::new(Lsn::NONE);
        let volatile = prefix.submit(Lsn::new(1), false);
        let durable = prefix.submit(Lsn::new(2), true);
        prefix.complete(volatile);
        let cover = prefix.begin_flush();
        prefix.complete(durable);
        assert_eq!(lsns(&prefix), (2, 0), "not a prefix yet");
        prefix.end_flush(cover);
        assert_eq!(lsns(&prefix), (2, 2), "the durable one follows by itself");
    }
}
