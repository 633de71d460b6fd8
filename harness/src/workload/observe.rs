//! What is looked at from beside the clients: the log's counters and the process's own at both ends
//! of the measured time, what the page cache holds of the log, and whether what is called durable is
//! on the device.

use std::thread;
use std::time::Instant;

use plimsoll::{Lsn, WalCounters};

use super::gate::{Gate, Schedule};
use super::promise::check_durable_lsn;
use super::{Problem, Trial};
use crate::host::{Pressure, PressureChange, allocations_so_far, page_cache_bytes};

/// A log that others are working on.
pub(super) trait Subject {
    /// What it has written.
    fn counters(&self) -> WalCounters;

    /// Everything up to here is promised to survive power loss.
    fn durable_lsn(&self) -> Lsn;
}

/// Looks at a trial's log while its clients work.
pub(super) struct Observer<'a, S: Subject> {
    pub(super) trial: &'a Trial<'a>,
    pub(super) subject: &'a S,
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) schedule: Schedule,
    pub(super) before: WalCounters,
    pub(super) after: WalCounters,
    pub(super) pressure: PressureChange,
    /// Of the whole process in the measured time.
    pub(super) allocations: u64,
    pub(super) page_cache_growth_bytes: Option<u64>,
    pub(super) durable_checks: u64,
}

impl<S: Subject> Observer<'_, S> {
    /// Opens the gate, and lets the clients go when everything has been seen.
    pub(super) fn observe(&self, gate: &Gate) -> Result<Observed, Problem> {
        let load = self.trial.load;
        let cached_bytes_before = self.cached_bytes();
        let schedule = Schedule::from_now(load.warmup, load.measured);
        gate.open(schedule);
        sleep_until(schedule.measure_from);
        // Sampling allocates, so the allocations are counted from after the one sample to before
        // the other.
        let (before, pressure_before) = (self.subject.counters(), Pressure::sample());
        let allocations_before = allocations_so_far();
        sleep_until(schedule.measure_until);
        let allocations = allocations_so_far().saturating_sub(allocations_before);
        let (after, pressure_after) = (self.subject.counters(), Pressure::sample());
        let cached_bytes_after = self.cached_bytes();
        let durable_checks = if load.under_watch { self.check_durable_lsn() } else { Ok(0) };
        gate.release();
        Ok(Observed {
            schedule,
            before,
            after,
            pressure: pressure_after.since(&pressure_before),
            allocations,
            page_cache_growth_bytes: cached_bytes_before
                .zip(cached_bytes_after)
                .map(|(before, after)| after.saturating_sub(before)),
            durable_checks: durable_checks?,
        })
    }

    fn cached_bytes(&self) -> Option<u64> {
        let load = self.trial.load;
        if load.under_watch { page_cache_bytes(load.directory) } else { None }
    }

    fn check_durable_lsn(&self) -> Result<u64, Problem> {
        let Trial { load, payloads, keys, .. } = self.trial;
        check_durable_lsn(load.directory, keys.as_ref(), payloads, || self.subject.durable_lsn())
    }
}

fn sleep_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}
