//! A commit on its way: what [`GroupCommitter::submit`](crate::GroupCommitter::submit) returns,
//! to be waited for by a thread or awaited by a task of any runtime.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    marker::PhantomData,
    mem,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
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
        if self.shared.reached(L::REACH) >= self.range.last {
            return Some(Ok(L::given(self.range.last)));
        }
        self.shared.check().err().map(Err)
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
        // It may have got there before the waker was there to be woken.
        self.outcome().map_or(Poll::Pending, Poll::Ready)
    }
}

/// The wakers of tasks by the LSN they await. LSNs are dense, so a position is an index; memory
/// is bounded by the records between the durable LSN and the last one appended.
#[derive(Debug)]
pub(super) struct TaskWakers {
    /// LSN of the first slot.
    first: u64,
    slots: VecDeque<Option<Waker>>,
    /// Kept for its memory.
    released: Vec<Waker>,
}

impl TaskWakers {
    pub(super) fn new(durable_lsn: Lsn) -> Self {
        Self { first: durable_lsn.next().get(), slots: VecDeque::new(), released: Vec::new() }
    }

    /// Remembers who awaits `lsn`. One task awaits it: a commit is neither cloned nor shared.
    fn register(&mut self, lsn: Lsn, waker: &Waker) {
        let index = lsn.get().checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        // An LSN before the first slot is durable already, and the caller looks once more.
        let Some(index) = index else { return };
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
        }
        let slot = &mut self.slots[index];
        if !slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Takes out everybody who awaits `durable_lsn` or less.
    fn release(&mut self, durable_lsn: Lsn) -> Vec<Waker> {
        let mut released = mem::take(&mut self.released);
        while self.first <= durable_lsn.get()
            && let Some(slot) = self.slots.pop_front()
        {
            released.extend(slot);
            self.first += 1;
        }
        self.first = self.first.max(durable_lsn.next().get());
        released
    }

    /// Takes out everybody: the log has failed.
    fn release_all(&mut self) -> Vec<Waker> {
        self.slots.drain(..).flatten().collect()
    }
}

/// Wakes the tasks whose records have got there, or all of them when the log has failed. In one
/// pass, and outside the lock: a waker may do anything.
pub(super) fn wake_tasks(tasks: &Mutex<TaskWakers>, reached_lsn: Lsn, failed: bool) {
    let mut released = {
        let mut tasks = lock(tasks);
        if failed { tasks.release_all() } else { tasks.release(reached_lsn) }
    };
    released.drain(..).for_each(Waker::wake);
    if released.capacity() > 0 {
        lock(tasks).released = released;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn exactly_those_whose_records_are_durable_are_woken_once() {
        let counts: Vec<_> = (0..10).map(|_| Arc::new(Count::default())).collect();
        let tasks = Mutex::new(TaskWakers::new(Lsn::new(4)));
        for (count, lsn) in counts.iter().zip(5..) {
            let waker = Waker::from(Arc::clone(count));
            lock(&tasks).register(Lsn::new(lsn), &waker);
            lock(&tasks).register(Lsn::new(lsn), &waker);
        }
        let woken = || counts.iter().map(|c| c.0.load(Ordering::Relaxed)).collect::<Vec<_>>();
        wake_tasks(&tasks, Lsn::new(7), false);
        assert_eq!(woken(), [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
        wake_tasks(&tasks, Lsn::new(7), false);
        wake_tasks(&tasks, Lsn::new(8), true);
        assert_eq!(woken(), [1; 10], "a failure wakes the rest");
        lock(&tasks).register(Lsn::new(3), Waker::noop());
        assert!(lock(&tasks).slots.is_empty(), "long durable: not kept");
    }

    #[test]
    fn positions_move_on_past_records_nobody_awaits() {
        let count = Arc::new(Count::default());
        let tasks = Mutex::new(TaskWakers::new(Lsn::NONE));
        wake_tasks(&tasks, Lsn::new(1_000_000), false);
        lock(&tasks).register(Lsn::new(1_000_002), &Waker::from(Arc::clone(&count)));
        assert_eq!(lock(&tasks).slots.len(), 2, "memory for what is in flight only");
        wake_tasks(&tasks, Lsn::new(1_000_001), false);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        wake_tasks(&tasks, Lsn::new(1_000_002), false);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
}
