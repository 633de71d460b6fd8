//! What threads share and wait on: locks, atomics, threads and the clock, from the standard library
//! in every build but one. With `--cfg shuttle` all of it comes from a scheduler that runs the
//! threads of a test one at a time, in an order that follows from a seed ([`scheduled`]).
//!
//! Locks go on after a panic elsewhere: what they guard is kept consistent by the poison cell of the
//! log, not by unwinding.

#[cfg(shuttle)]
mod scheduled;

#[cfg(not(shuttle))]
pub(crate) use self::standard::*;
#[cfg(shuttle)]
pub(crate) use scheduled::*;

use std::sync::PoisonError;

/// Locks `mutex`, whether or not another thread panicked while holding it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(not(shuttle))]
mod standard {
    use std::time::Instant;
    pub(crate) use std::{
        sync::{Condvar, Mutex, MutexGuard, OnceLock, atomic},
        thread,
    };

    /// The time.
    pub(crate) fn now() -> Instant {
        Instant::now()
    }

    /// A moment at which the order of what threads do may matter, though none of the above is used.
    #[cfg(feature = "simulated")]
    pub(crate) fn others_may_run() {}
}
