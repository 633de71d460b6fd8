//! When clients begin, which of their time is measured, and when they may go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::INTERVALS;

/// When the measured time is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) measure_from: Instant,
    pub(super) measure_until: Instant,
}

impl Schedule {
    pub(super) fn from_now(warmup: Duration, measured: Duration) -> Self {
        let measure_from = Instant::now() + warmup;
        Self { measure_from, measure_until: measure_from + measured }
    }

    /// Whether a moment lies in the measured time.
    pub(super) fn measures(&self, moment: Instant) -> bool {
        moment >= self.measure_from && moment < self.measure_until
    }

    /// Which tenth of the measured time a moment in it lies in.
    pub(super) fn interval(&self, moment: Instant) -> usize {
        let length = self.measure_until.saturating_duration_since(self.measure_from).as_nanos();
        let past = moment.saturating_duration_since(self.measure_from).as_nanos();
        let index = (past * INTERVALS as u128).checked_div(length).unwrap_or(0);
        usize::try_from(index).unwrap_or(INTERVALS).min(INTERVALS - 1)
    }
}

/// Holds the clients back until all of them are there, or sends them home.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
    released: AtomicBool,
}

#[derive(Clone, Copy, Debug, Default)]
enum GateState {
    #[default]
    Closed,
    Open(Schedule),
    Cancelled,
}

/// What a client works by: it goes once the measured time is over and it has been released. Until
/// then it goes on, so that the log can be looked at under load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shift<'a> {
    pub(super) schedule: Schedule,
    released: &'a AtomicBool,
}

impl Gate {
    pub(super) fn open(&self, schedule: Schedule) {
        self.set(GateState::Open(schedule));
    }

    pub(super) fn cancel(&self) {
        self.set(GateState::Cancelled);
    }

    /// Lets the clients go, not before the end of the measured time.
    pub(super) fn release(&self) {
        self.released.store(true, Ordering::Relaxed);
    }

    fn set(&self, state: GateState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.changed.notify_all();
    }

    /// Waits; `None` when there is nothing to do after all.
    pub(super) fn pass(&self) -> Option<Shift<'_>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *state {
                GateState::Open(schedule) => {
                    return Some(Shift { schedule, released: &self.released });
                }
                GateState::Cancelled => return None,
                GateState::Closed => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl Shift<'_> {
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.schedule.measure_until && self.released.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn intervals_are_tenths_and_the_ends_belong_to_the_outer_ones() {
        let schedule = Schedule::from_now(Duration::ZERO, 100 * MS);
        for (past, interval) in [(0, 0), (9, 0), (10, 1), (99, 9), (100, 9), (5_000, 9)] {
            assert_eq!(schedule.interval(schedule.measure_from + past * MS), interval, "{past}");
        }
        assert_eq!(schedule.interval(schedule.measure_from - MS), 0);
        let nothing = Schedule::from_now(Duration::ZERO, Duration::ZERO);
        assert_eq!(nothing.interval(nothing.measure_from), 0);
    }

    #[test]
    fn clients_wait_at_the_gate_and_go_home_when_it_stays_shut() {
        let gate = Gate::default();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| gate.pass().is_none());
            gate.cancel();
            assert!(waiting.join().expect("no panic"));
        });
        gate.open(Schedule::from_now(MS, MS));
        assert!(gate.pass().is_some());
    }

    #[test]
    fn a_shift_ends_when_its_time_is_over_and_it_is_released_in_either_order() {
        let gate = Gate::default();
        let schedule = Schedule::from_now(MS, MS);
        gate.open(schedule);
        let shift = gate.pass().expect("open");
        let (early, late) = (schedule.measure_from, schedule.measure_until);
        assert!(!shift.is_over(early) && !shift.is_over(late), "not released");
        gate.release();
        assert!(!shift.is_over(early) && shift.is_over(late));
    }
}
