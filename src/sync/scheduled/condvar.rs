//! A condition variable whose waits end for no reason at times, and whose timed waits end when the
//! scheduler says that their time is over. The scheduler's own do neither.

use std::{
    sync::{
        LockResult, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{MutexGuard, clock, once_in, thread};

/// A wait for at least this long is one for ever: whoever forgets to end it does not get away with
/// its time being over.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// See the module.
#[derive(Debug)]
pub(crate) struct Condvar {
    inner: shuttle::sync::Condvar,
    /// Counts notifications, for those that wait with a timeout. They look at it again and again,
    /// so that the scheduler has somebody to run whose time may be over; one notification wakes all
    /// of them, which is a spurious wake-up for all but one.
    notified: AtomicU64,
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self { inner: shuttle::sync::Condvar::new(), notified: AtomicU64::new(0) }
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        let (mutex, held) = guard.into_parts();
        if once_in(16) {
            drop(held);
            return mutex.lock();
        }
        match self.inner.wait(held) {
            Ok(held) => Ok(MutexGuard::from_parts(mutex, held)),
            Err(error) => Err(PoisonError::new(MutexGuard::from_parts(mutex, error.into_inner()))),
        }
    }

    /// The second half of the answer is whether the time ran out.
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        time: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, bool)> {
        let with = |in_time: bool| {
            move |guard: LockResult<MutexGuard<'a, T>>| match guard {
                Ok(guard) => Ok((guard, !in_time)),
                Err(error) => Err(PoisonError::new((error.into_inner(), !in_time))),
            }
        };
        if time >= FOR_EVER {
            return with(true)(self.wait(guard));
        }
        // Nothing can come between this look and giving the lock back: both are one step.
        let before = self.notified.load(Ordering::SeqCst);
        let (mutex, held) = guard.into_parts();
        drop(held);
        loop {
            thread::yield_now();
            if self.notified.load(Ordering::SeqCst) != before {
                return with(true)(mutex.lock());
            }
            if once_in(4) {
                clock::pass(time);
                return with(false)(mutex.lock());
            }
        }
    }

    pub(crate) fn notify_one(&self) {
        // In the same step as the scheduler's own, which begins with a choice of who runs.
        self.inner.notify_one();
        self.notified.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn notify_all(&self) {
        self.inner.notify_all();
        self.notified.fetch_add(1, Ordering::SeqCst);
    }
}
