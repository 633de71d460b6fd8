//! Which prefix of the log is durable. Batches are numbered as they are submitted and may complete
//! in any order; the durable LSN moves only over a prefix that is whole. Positions only, no I/O.

use std::collections::VecDeque;

use crate::lsn::Lsn;

/// Follows submitted batches until they are durable.
///
/// A batch is *written* when its write has completed. It is *durable* when the write itself was
/// durable, or when a flush that began after the completion has ended.
#[derive(Debug)]
pub(crate) struct DurablePrefix {
    /// Submitted batches that are not yet part of the written prefix, oldest first.
    pending: VecDeque<PendingBatch>,
    /// Sequence number of the first entry of `pending`.
    first_pending: u64,
    written_lsn: Lsn,
    durable_lsn: Lsn,
}

#[derive(Debug)]
struct PendingBatch {
    last_lsn: Lsn,
    written: bool,
}

/// Names one submitted batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchTicket(u64);

impl DurablePrefix {
    /// A log whose records up to `durable_lsn` are safe.
    pub(crate) fn new(durable_lsn: Lsn) -> Self {
        Self { pending: VecDeque::new(), first_pending: 0, written_lsn: durable_lsn, durable_lsn }
    }

    /// A batch ending with `last_lsn` is about to be written.
    pub(crate) fn submit(&mut self, last_lsn: Lsn) -> BatchTicket {
        let ticket = BatchTicket(self.first_pending + self.pending.len() as u64);
        self.pending.push_back(PendingBatch { last_lsn, written: false });
        ticket
    }

    /// The write of a batch has completed.
    pub(crate) fn complete(&mut self, ticket: BatchTicket) {
        let index = ticket.0.checked_sub(self.first_pending);
        let batch = index
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| self.pending.get_mut(index));
        debug_assert!(batch.is_some(), "a batch completes once");
        if let Some(batch) = batch {
            batch.written = true;
        }
        while let Some(batch) = self.pending.pop_front_if(|batch| batch.written) {
            self.first_pending += 1;
            self.written_lsn = batch.last_lsn;
        }
        #[cfg(feature = "simulated")]
        if crate::sabotage::is(crate::sabotage::Sabotage::AdvancePastGap)
            && let Some(newest) = self.pending.iter().rfind(|batch| batch.written)
        {
            self.written_lsn = newest.last_lsn;
        }
    }

    /// Everything written up to `lsn` has been made durable, by its own writes or by a flush that
    /// began when [`Self::written_lsn`] was `lsn`.
    pub(crate) fn advance_durable(&mut self, lsn: Lsn) {
        debug_assert!(lsn <= self.written_lsn, "durable LSN {lsn} past {}", self.written_lsn);
        self.durable_lsn = self.durable_lsn.max(lsn);
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

    #[test]
    fn the_prefix_waits_for_the_slowest_batch() {
        let mut prefix = DurablePrefix::new(Lsn::new(4));
        let a = prefix.submit(Lsn::new(6));
        let b = prefix.submit(Lsn::new(9));
        let c = prefix.submit(Lsn::new(10));
        prefix.complete(c);
        prefix.complete(b);
        assert_eq!(prefix.written_lsn(), Lsn::new(4), "a is still missing");
        prefix.complete(a);
        assert_eq!(prefix.written_lsn(), Lsn::new(10));
        assert_eq!(prefix.durable_lsn(), Lsn::new(4), "written is not durable");
        prefix.advance_durable(Lsn::new(10));
        assert_eq!(prefix.durable_lsn(), Lsn::new(10));
    }

    #[test]
    fn tickets_stay_valid_while_the_front_moves() {
        let mut prefix = DurablePrefix::new(Lsn::NONE);
        for n in 1..=100 {
            let even = prefix.submit(Lsn::new(2 * n));
            let odd = prefix.submit(Lsn::new(2 * n + 1));
            prefix.complete(odd);
            prefix.complete(even);
            assert_eq!(prefix.written_lsn(), Lsn::new(2 * n + 1));
        }
    }

    #[test]
    fn a_flush_that_began_earlier_covers_only_what_was_written_then() {
        let mut prefix = DurablePrefix::new(Lsn::NONE);
        let a = prefix.submit(Lsn::new(1));
        prefix.complete(a);
        let covered = prefix.written_lsn();
        let b = prefix.submit(Lsn::new(2));
        prefix.complete(b);
        prefix.advance_durable(covered);
        assert_eq!(prefix.durable_lsn(), Lsn::new(1));
    }
}
