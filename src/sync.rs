//! Locks that go on after a panic elsewhere: what they guard is kept consistent by the poison cell
//! of the log, not by unwinding.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, whether or not another thread panicked while holding it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
