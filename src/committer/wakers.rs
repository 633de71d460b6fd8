//! The wakers of tasks that wait for records to get somewhere, and waking them in one pass.

use std::{collections::VecDeque, mem, task::Waker};

use crate::{
    lsn::Lsn,
    sync::{Mutex, lock},
};

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
    pub(super) fn register(&mut self, lsn: Lsn, waker: &Waker) {
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

/// The wakers of tasks that follow the log, one for each tailer that awaits something.
#[derive(Debug, Default)]
pub(super) struct TailWakers {
    waiting: Vec<TailWaker>,
    next_id: u64,
}

#[derive(Debug)]
struct TailWaker {
    tailer: u64,
    /// The first LSN it has not seen.
    lsn: Lsn,
    waker: Waker,
}

impl TailWakers {
    /// Names a tailer.
    pub(super) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Remembers that a tailer awaits `lsn`. Its waker of before, if there is one, is stale.
    pub(super) fn register(&mut self, tailer: u64, lsn: Lsn, waker: &Waker) {
        self.forget(tailer);
        self.waiting.push(TailWaker { tailer, lsn, waker: waker.clone() });
    }

    /// The tailer is gone, or awaits nothing any more.
    pub(super) fn forget(&mut self, tailer: u64) {
        self.waiting.retain(|known| known.tailer != tailer);
    }
}

/// Wakes the tailers that have something to read, or all of them when the log has failed or ends.
/// Outside the lock: a waker may do anything. Without tailers it is a look under an uncontended lock.
pub(super) fn wake_tailers(tailers: &Mutex<TailWakers>, durable_lsn: Lsn, all: bool) {
    let mut tailers = lock(tailers);
    if tailers.waiting.is_empty() {
        return;
    }
    let ready = |known: &mut TailWaker| all || known.lsn <= durable_lsn;
    let woken: Vec<_> = tailers.waiting.extract_if(.., ready).collect();
    drop(tailers);
    woken.into_iter().for_each(|known| known.waker.wake());
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
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
    fn tailers_that_have_something_to_read_are_woken_once() {
        let counts: Vec<_> = (0..3).map(|_| Arc::new(Count::default())).collect();
        let tailers = Mutex::new(TailWakers::default());
        let ids: Vec<_> = counts.iter().map(|_| lock(&tailers).next_id()).collect();
        for ((count, id), lsn) in counts.iter().zip(&ids).zip([5, 9, 9]) {
            let waker = Waker::from(Arc::clone(count));
            lock(&tailers).register(*id, Lsn::new(1), Waker::noop());
            lock(&tailers).register(*id, Lsn::new(lsn), &waker);
        }
        let woken = || counts.iter().map(|c| c.0.load(Ordering::Relaxed)).collect::<Vec<_>>();
        wake_tailers(&tailers, Lsn::new(6), false);
        wake_tailers(&tailers, Lsn::new(7), false);
        assert_eq!(woken(), [1, 0, 0]);
        lock(&tailers).forget(ids[2]);
        wake_tailers(&tailers, Lsn::new(7), true);
        assert_eq!(woken(), [1, 1, 0], "the log ends, and one tailer is gone");
        assert!(lock(&tailers).waiting.is_empty());
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
