//! The scheduler's lock, with a guard that knows its lock: a condition variable has to take it again.

use std::{
    ops::{Deref, DerefMut},
    sync::{LockResult, PoisonError, TryLockError},
};

/// A lock.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

/// The lock, held.
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    held: shuttle::sync::MutexGuard<'a, T>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        match self.0.lock() {
            Ok(held) => Ok(MutexGuard { mutex: self, held }),
            Err(poisoned) => {
                Err(PoisonError::new(MutexGuard { mutex: self, held: poisoned.into_inner() }))
            }
        }
    }

    /// `None` also where the last holder panicked.
    pub(crate) fn try_lock(&self) -> Result<MutexGuard<'_, T>, ()> {
        match self.0.try_lock() {
            Ok(held) => Ok(MutexGuard { mutex: self, held }),
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => Err(()),
        }
    }
}

impl<'a, T> MutexGuard<'a, T> {
    /// Takes the guard apart, for one who is going to wait.
    pub(super) fn into_parts(self) -> (&'a Mutex<T>, shuttle::sync::MutexGuard<'a, T>) {
        (self.mutex, self.held)
    }

    pub(super) fn from_parts(mutex: &'a Mutex<T>, held: shuttle::sync::MutexGuard<'a, T>) -> Self {
        Self { mutex, held }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.held
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.held
    }
}
