//! A commit on its way: what [`GroupCommitter::submit`](crate::GroupCommitter::submit) returns,
//! to be waited for by a thread or awaited by a task of any runtime.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use super::state::{Patience, Shared};
use crate::{
    error::{Result, WalError},
    level::{Durable, Level},
    lsn::{Lsn, LsnRange},
    sync::lock,
};

/// Records that have their LSNs and are on their way to the disk.
///
/// Awaiting it, or [`Commit::wait`], gives the answer once the records have got as far as its level
/// says. Dropping it takes nothing back: the records are written all the same, and nobody is told.
#[must_use = "nothing is durable before it has been awaited"]
pub struct Commit<L = Durable> {
    shared: Arc<Shared>,
    range: LsnRange,
    level: PhantomData<L>,
}

impl<L: Level> Commit<L> {
    pub(super) fn new(shared: Arc<Shared>, range: LsnRange) -> Self {
        Self { shared, range, level: PhantomData }
    }

    /// The LSN of the record, or of the last one of an atomic batch.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.range.last
    }

    /// The LSNs of all records.
    #[must_use]
    pub fn range(&self) -> LsnRange {
        self.range
    }

    /// Whether the records survive power loss by now.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.shared.durable_lsn() >= self.range.last
    }

    /// Blocks until the records have got as far as the level says.
    ///
    /// # Errors
    ///
    /// [`WalError::Poisoned`](crate::WalError::Poisoned): the log has failed and their outcome is
    /// unknown.
    pub fn wait(self) -> Result<L> {
        self.shared.wait_for(self.range.last, L::REACH, Patience::Forever)?;
        Ok(L::given(self.range.last))
    }

    /// As [`Commit::wait`], but no longer than until `deadline`, give or take one write of the
    /// device. The records stay on their way, and can be waited for again.
    ///
    /// # Errors
    ///
    /// [`WalError::DeadlineExceeded`](crate::WalError::DeadlineExceeded), and as [`Commit::wait`].
    pub fn wait_until(&self, deadline: Instant) -> Result<L> {
        let lsn = self.range.last;
        if self.shared.wait_for(lsn, L::REACH, Patience::Until(deadline))? {
            Ok(L::given(lsn))
        } else {
            Err(WalError::DeadlineExceeded { lsn })
        }
    }

    fn outcome(&self) -> Option<Result<L>> {
        let lsn = self.range.last;
        match self.shared.has_reached(lsn, L::REACH) {
            Ok(has_reached) => has_reached.then(|| Ok(L::given(lsn))),
            Err(error) => Some(Err(error)),
        }
    }
}

impl<L> fmt::Debug for Commit<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commit").field("range", &self.range).finish_non_exhaustive()
    }
}

impl<L: Level> Future for Commit<L> {
    type Output = Result<L>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(outcome) = self.outcome() {
            return Poll::Ready(outcome);
        }
        lock(self.shared.tasks(L::REACH)).register(self.range.last, context.waker());
        #[cfg(shuttle)]
        if crate::sabotage::is(crate::sabotage::Sabotage::NoSecondLook) {
            return Poll::Pending;
        }
        // It may have got there before the waker was there to be woken.
        self.outcome().map_or(Poll::Pending, Poll::Ready)
    }
}
