//! Waking everybody who waits for the same event with one system call (futex(2)). A condition
//! variable lets them through its lock one by one; with 64 committers that is most of a commit.

#[cfg(not(shuttle))]
mod kernel;
#[cfg(shuttle)]
mod modelled;

use std::time::Duration;

#[cfg(not(shuttle))]
use kernel::Word;
#[cfg(shuttle)]
use modelled::Word;

#[cfg(shuttle)]
use crate::sabotage::{Sabotage, is};
use crate::sync::atomic::{AtomicU32, Ordering};

/// An event that happens again and again. Waiting is for the next one after a remembered epoch, so
/// nothing that happens between looking and sleeping is missed.
#[derive(Debug, Default)]
pub(crate) struct Broadcast {
    /// Counts events, wrapping.
    epoch: Word,
    sleepers: AtomicU32,
}

/// The moment from which the next event is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch(u32);

impl Broadcast {
    /// Now. To be taken before looking at whatever the event changes.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load())
    }

    /// Whether something has happened since.
    pub(crate) fn has_passed(&self, since: Epoch) -> bool {
        self.epoch.load() != since.0
    }

    /// Sleeps until something happens, unless it already has, or until the time is over. May also
    /// return for no reason.
    pub(crate) fn wait(&self, since: Epoch, timeout: Option<Duration>) {
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        self.epoch.sleep_while(since.0, timeout);
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Something has happened: wakes everybody. Costs no system call when nobody sleeps.
    pub(crate) fn notify_all(&self) {
        #[cfg(shuttle)]
        if is(Sabotage::CountSleepersFirst) && self.sleepers.load(Ordering::SeqCst) == 0 {
            self.epoch.increment();
            return;
        }
        self.epoch.increment();
        // Whoever is not counted yet compares the epoch after being counted, and does not sleep.
        if self.sleepers.load(Ordering::SeqCst) == 0 {
            return;
        }
        self.epoch.wake_all();
    }
}

/// The same contract for both words: in the kernel, whose threads run as they like, and modelled,
/// whose threads run in many orders that a scheduler thinks of. `scripts/schedules` does the latter.
#[cfg(test)]
mod tests {
    #[cfg(shuttle)]
    use std::sync::Arc;

    #[cfg(shuttle)]
    use shuttle::{Runner, scheduler::DfsScheduler};

    use super::*;
    use crate::sync::{atomic::AtomicU64, thread};

    /// Events that nobody may sleep through; few where each is tried in many orders.
    const EVENTS: u64 = if cfg!(shuttle) { 3 } else { 20_000 };

    #[cfg(not(shuttle))]
    fn explore(test: impl Fn()) {
        test();
    }

    /// Runs it in many orders.
    #[cfg(shuttle)]
    fn explore(test: impl Fn() + Copy + Send + Sync + 'static) {
        shuttle::check_random(test, 2000);
    }

    #[test]
    fn nobody_sleeps_through_an_event() {
        explore(|| {
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
        });
    }

    #[test]
    fn an_event_before_the_wait_is_not_missed() {
        explore(|| {
            let event = Broadcast::default();
            let epoch = event.epoch();
            assert!(!event.has_passed(epoch));
            event.notify_all();
            assert!(event.has_passed(epoch));
            event.wait(epoch, None);
        });
    }

    #[test]
    fn a_wait_for_nothing_ends_with_its_time() {
        explore(|| {
            let event = Broadcast::default();
            let epoch = event.epoch();
            event.wait(epoch, Some(Duration::from_millis(1)));
            assert!(!event.has_passed(epoch));
        });
    }

    /// Every order of one sleeper and one event there is, not some of them.
    #[cfg(shuttle)]
    #[test]
    fn one_event_and_one_sleeper_in_every_order() {
        let scheduler = DfsScheduler::new(None, true);
        let orders = Runner::new(scheduler, shuttle::Config::default()).run(|| {
            let (event, happened) = (Arc::new(Broadcast::default()), Arc::new(AtomicU64::new(0)));
            let (sleeper, seen) = (Arc::clone(&event), Arc::clone(&happened));
            let sleeping = thread::spawn(move || {
                loop {
                    let epoch = sleeper.epoch();
                    if seen.load(Ordering::SeqCst) == 1 {
                        break;
                    }
                    sleeper.wait(epoch, None);
                }
            });
            happened.store(1, Ordering::SeqCst);
            event.notify_all();
            sleeping.join().expect("it wakes up");
        });
        assert!(orders > 100, "{orders} orders are not all");
    }
}
