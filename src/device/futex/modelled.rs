//! The word of [`kernel`](super::kernel) under a scheduler, which must not sleep in the kernel: what
//! futex(2) promises, and no more. Comparing and falling asleep are one step against waking.

use std::{sync::PoisonError, time::Duration};

use crate::sync::{
    Condvar, Mutex,
    atomic::{AtomicU32, Ordering},
    lock,
};

/// The word, and who sleeps on it.
#[derive(Debug)]
pub(super) struct Word {
    value: AtomicU32,
    /// Held from the comparison until asleep, and by whoever wakes.
    queue: Mutex<()>,
    woken: Condvar,
}

impl Default for Word {
    fn default() -> Self {
        Self { value: AtomicU32::new(0), queue: Mutex::new(()), woken: Condvar::new() }
    }
}

impl Word {
    pub(super) fn load(&self) -> u32 {
        self.value.load(Ordering::SeqCst)
    }

    pub(super) fn increment(&self) {
        self.value.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn sleep_while(&self, value: u32, timeout: Option<Duration>) {
        let queue = lock(&self.queue);
        if self.load() != value {
            return;
        }
        match timeout {
            Some(timeout) => {
                let waited = self.woken.wait_timeout(queue, timeout);
                drop(waited.unwrap_or_else(PoisonError::into_inner).0);
            }
            None => drop(self.woken.wait(queue).unwrap_or_else(PoisonError::into_inner)),
        }
    }

    pub(super) fn wake_all(&self) {
        let _queue = lock(&self.queue);
        self.woken.notify_all();
    }
}
