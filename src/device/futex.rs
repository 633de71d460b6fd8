//! Waking everybody who waits for the same event with one system call (futex(2)). A condition
//! variable lets them through its lock one by one; with 64 committers that is most of a commit.

use std::{
    ptr,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use nix::sys::time::TimeSpec;

/// An event that happens again and again. Waiting is for the next one after a remembered epoch, so
/// nothing that happens between looking and sleeping is missed.
#[derive(Debug, Default)]
pub(crate) struct Broadcast {
    /// Counts events, wrapping.
    epoch: AtomicU32,
    sleepers: AtomicU32,
}

/// The moment from which the next event is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch(u32);

impl Broadcast {
    /// Now. To be taken before looking at whatever the event changes.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::SeqCst))
    }

    /// Whether something has happened since.
    pub(crate) fn has_passed(&self, since: Epoch) -> bool {
        self.epoch.load(Ordering::SeqCst) != since.0
    }

    /// Sleeps until something happens, unless it already has, or until the time is over. May also
    /// return for no reason.
    pub(crate) fn wait(&self, since: Epoch, timeout: Option<Duration>) {
        let timeout = timeout.map(TimeSpec::from);
        let timeout =
            timeout.as_ref().map_or(ptr::null(), |timeout| ptr::from_ref(timeout.as_ref()));
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the word and the timeout, which is relative or null, outlive the call; the kernel
        // only compares the one and reads the other.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.epoch.as_ptr(),
                libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                since.0,
                timeout,
            );
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Something has happened: wakes everybody. Costs no system call when nobody sleeps.
    pub(crate) fn notify_all(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        // Whoever is not counted yet compares the epoch after being counted, and does not sleep.
        if self.sleepers.load(Ordering::SeqCst) == 0 {
            return;
        }
        // SAFETY: the word outlives the call; waking changes nothing in memory.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.epoch.as_ptr(),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                i32::MAX,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicU64, thread};

    use super::*;

    #[test]
    fn nobody_sleeps_through_an_event() {
        const EVENTS: u64 = 20_000;
        let (event, count) = (Broadcast::default(), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    loop {
                        let epoch = event.epoch();
                        if count.load(Ordering::Acquire) == EVENTS {
                            break;
                        }
                        event.wait(epoch, None);
                    }
                });
            }
            for _ in 0..EVENTS {
                count.fetch_add(1, Ordering::Release);
                event.notify_all();
            }
        });
        assert_eq!(event.sleepers.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn an_event_before_the_wait_is_not_missed() {
        let event = Broadcast::default();
        let epoch = event.epoch();
        assert!(!event.has_passed(epoch));
        event.notify_all();
        assert!(event.has_passed(epoch));
        event.wait(epoch, None);
    }

    #[test]
    fn a_wait_for_nothing_ends_with_its_time() {
        let event = Broadcast::default();
        let epoch = event.epoch();
        event.wait(epoch, Some(Duration::from_millis(1)));
        assert!(!event.has_passed(epoch));
    }
}
