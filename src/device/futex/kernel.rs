//! A word that threads sleep on until it changes, by futex(2).

use std::{ptr, time::Duration};

use nix::sys::time::TimeSpec;

use crate::sync::atomic::{AtomicU32, Ordering};

/// The word.
#[derive(Debug, Default)]
pub(super) struct Word(AtomicU32);

impl Word {
    pub(super) fn load(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn increment(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Sleeps until it is woken or the time is over, unless the word has another value already. May
    /// also return for no reason.
    pub(super) fn sleep_while(&self, value: u32, timeout: Option<Duration>) {
        let timeout = timeout.map(TimeSpec::from);
        let timeout =
            timeout.as_ref().map_or(ptr::null(), |timeout| ptr::from_ref(timeout.as_ref()));
        // SAFETY: the word and the timeout, which is relative or null, outlive the call; the kernel
        // only compares the one and reads the other.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.0.as_ptr(),
                libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                value,
                timeout,
            );
        }
    }

    /// Wakes everybody who sleeps.
    pub(super) fn wake_all(&self) {
        // SAFETY: the word outlives the call; waking changes nothing in memory.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.0.as_ptr(),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                i32::MAX,
            );
        }
    }
}
