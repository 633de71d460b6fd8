//! The same vocabulary under the scheduler of `shuttle`. Each operation on a lock, an atomic or a
//! thread is a moment at which another thread may be chosen to run; a wait may end for no reason;
//! and time is what the scheduler says it is. All threads of a run take turns in one thread of the
//! operating system, so that nothing here may block that one.
//!
//! Every memory ordering counts as sequentially consistent: what a weaker one permits is not shown.

mod clock;
mod condvar;
mod mutex;

pub(crate) use clock::now;
pub(crate) use condvar::Condvar;
pub(crate) use mutex::{Mutex, MutexGuard};
pub(crate) use shuttle::sync::atomic;

use std::time::Duration;

use shuttle::rand::RngCore;

/// True once in so many times, as the scheduler says.
pub(crate) fn once_in(times: u64) -> bool {
    shuttle::rand::thread_rng().next_u64().is_multiple_of(times)
}

/// A moment at which the order of what threads do may matter, though no lock, atomic or thread is
/// used.
pub(crate) fn others_may_run() {
    // While a thread unwinds, whoever ran instead would seem to be panicking, too.
    if !std::thread::panicking() {
        shuttle::thread::sleep(Duration::ZERO);
    }
}

pub(crate) mod thread {
    pub(crate) use shuttle::thread::{Builder, JoinHandle, panicking, yield_now};
    #[cfg(test)]
    pub(crate) use shuttle::thread::{scope, spawn};

    /// Lets others run for a while.
    pub(crate) fn sleep(time: super::Duration) {
        super::clock::pass(time);
        // Not the scheduler's own: whoever sleeps in a loop is to hold up nobody.
        yield_now();
    }
}

/// A cell that is set once; looking at it is a moment like any other.
#[derive(Debug)]
pub(crate) struct OnceLock<T>(std::sync::OnceLock<T>);

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self(std::sync::OnceLock::new())
    }
}

impl<T> OnceLock<T> {
    pub(crate) fn get(&self) -> Option<&T> {
        others_may_run();
        self.0.get()
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        others_may_run();
        self.0.set(value)
    }
}
