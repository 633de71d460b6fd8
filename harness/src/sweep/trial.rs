//! One trial from an empty directory to a stored result: runs the load, looks at what else the
//! machine was doing, and puts the numbers into the form that is stored.

use std::time::Duration;

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::preflight::Target;
use super::utc_now;
use crate::host::other_runnable;
use crate::measure::{intervals_csv, latency_summary};
use crate::scratch::Interrupts;
use crate::scratch::Scratch;
use crate::store::schema::{
    Configuration, LatencySummary, Plan, SCHEMA_VERSION, TrialResult, TrialStatus,
};
use crate::store::{TrialFiles, to_hlog_with_intervals};
use crate::workload::{self, Callers, Load, Measurement, Problem};

/// Where in the run a trial stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) block: u32,
    /// Within the block, sentinels included.
    pub(super) position: u32,
    pub(super) sentinel: bool,
}

/// A trial and what is stored beside its result.
#[derive(Debug)]
pub(super) struct FinishedTrial {
    pub(super) result: TrialResult,
    latency_hlog: Option<Vec<u8>>,
    intervals_csv: Option<String>,
}

impl FinishedTrial {
    fn without_numbers(result: TrialResult) -> Self {
        Self { result, latency_hlog: None, intervals_csv: None }
    }

    pub(super) fn files(&self) -> TrialFiles<'_> {
        TrialFiles {
            latency_hlog: self.latency_hlog.as_deref(),
            intervals_csv: self.intervals_csv.as_deref(),
        }
    }
}

/// Runs a trial in a fresh directory, which is gone afterwards. A log that refuses or fails is a
/// result too, and so is a disk that has no room for the directory any more.
///
/// # Errors
/// When the directory cannot be removed, or the latencies cannot be encoded.
pub(super) fn run_trial(
    plan: &Plan,
    configuration: &Configuration,
    place: Place,
    target: &Target,
    interrupts: &Interrupts,
) -> Result<FinishedTrial> {
    let unmeasured = unmeasured_result(configuration, place, utc_now());
    let scratch = match Scratch::create(target.path(), interrupts) {
        Ok(scratch) => scratch,
        Err(error) => {
            let status = TrialStatus::Failed { reason: format!("{error:#}") };
            return Ok(FinishedTrial::without_numbers(TrialResult { status, ..unmeasured }));
        }
    };
    let measured = Duration::from_secs_f64(plan.trial_seconds);
    let load = Load {
        settings: &configuration.settings,
        callers: Callers::Threads,
        directory: scratch.path(),
        seed: trial_seed(plan.seed, place),
        warmup: Duration::from_secs_f64(plan.warmup_seconds),
        measured,
        under_watch: false,
    };
    let outcome = workload::run(&load);
    let other_runnable = other_runnable();
    scratch.remove()?;
    match outcome {
        Ok(found) => {
            let intervals = &found.interval_latency_ns;
            let hlog = to_hlog_with_intervals(&found.latency_ns, &[], intervals, measured)?;
            let result =
                measured_result(unmeasured, configuration, &found, measured, other_runnable);
            Ok(FinishedTrial {
                result,
                latency_hlog: Some(hlog),
                intervals_csv: Some(intervals_csv(intervals, measured)),
            })
        }
        Err(problem) => {
            let status = match problem {
                Problem::Refused(reason) => TrialStatus::Refused { reason },
                Problem::Failed(reason) => TrialStatus::Failed { reason },
            };
            Ok(FinishedTrial::without_numbers(TrialResult { status, ..unmeasured }))
        }
    }
}

/// Payloads of their own for each trial, from the run's one seed.
fn trial_seed(seed: u64, place: Place) -> u64 {
    let digest = Sha256::new()
        .chain_update(b"plimsoll payloads v1")
        .chain_update(seed.to_le_bytes())
        .chain_update(place.block.to_le_bytes())
        .chain_update(place.position.to_le_bytes())
        .finalize();
    digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

/// A result with nothing measured in it.
fn unmeasured_result(
    configuration: &Configuration,
    place: Place,
    started_utc: String,
) -> TrialResult {
    TrialResult {
        schema_version: SCHEMA_VERSION.to_owned(),
        config_id: configuration.id.clone(),
        block: place.block,
        position: place.position,
        sentinel: place.sentinel,
        status: TrialStatus::Ok,
        started_utc,
        measured_seconds: 0.0,
        commits: 0,
        commit_groups: 0,
        rate_per_second: 0.0,
        payload_bytes_per_second: 0.0,
        device_bytes_per_payload_byte: 0.0,
        latency: LatencySummary::default(),
        cpu_seconds: 0.0,
        context_switches: 0,
        steal_ratio: 0.0,
        other_runnable: 0.0,
        disturbed: false,
        engine_active: String::new(),
        verified_records: 0,
        steadiness: None,
    }
}

fn measured_result(
    unmeasured: TrialResult,
    configuration: &Configuration,
    found: &Measurement,
    measured: Duration,
    other_runnable: f64,
) -> TrialResult {
    let measured_seconds = measured.as_secs_f64();
    let rate_per_second = found.commits as f64 / measured_seconds;
    TrialResult {
        measured_seconds,
        commits: found.commits,
        commit_groups: found.commit_groups,
        rate_per_second,
        payload_bytes_per_second: rate_per_second * configuration.settings.record_size_bytes as f64,
        // Records without payload have no such ratio; 0 is read as "not known".
        device_bytes_per_payload_byte: match found.payload_bytes {
            0 => 0.0,
            payload_bytes => found.device_bytes as f64 / payload_bytes as f64,
        },
        latency: latency_summary(&found.latency_ns, found.commit_groups),
        cpu_seconds: found.pressure.cpu_seconds,
        context_switches: found.pressure.context_switches,
        steal_ratio: found.pressure.steal_ratio,
        other_runnable,
        disturbed: found.pressure.is_disturbed(other_runnable),
        engine_active: found.engine_active.clone(),
        verified_records: found.verified_records,
        ..unmeasured
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::*;
    use crate::host::PressureChange;
    use crate::profile::default_settings;

    fn configuration() -> Configuration {
        Configuration { id: "c00".into(), settings: default_settings() }
    }

    fn measurement() -> Measurement {
        let histogram = |digits| Histogram::new_with_bounds(1, 1_000_000, digits);
        let mut latency_ns = histogram(3).expect("histogram");
        latency_ns.record_n(250_000, 2_000).expect("in range");
        Measurement {
            commits: 2_000,
            commit_groups: 500,
            payload_bytes: 512_000,
            device_bytes: 2_048_000,
            latency_ns,
            interval_latency_ns: vec![histogram(2).expect("histogram")],
            pressure: PressureChange { cpu_seconds: 0.5, ..PressureChange::default() },
            allocations: 0,
            segments_started: 0,
            page_cache_growth_bytes: None,
            durable_checks: 0,
            engine_active: "blocking: asked for".into(),
            verified_records: 2_500,
        }
    }

    const PLACE: Place = Place { block: 2, position: 5, sentinel: true };

    fn result(found: &Measurement, other_runnable: f64) -> TrialResult {
        let unmeasured = unmeasured_result(&configuration(), PLACE, utc_now());
        let measured = Duration::from_millis(500);
        measured_result(unmeasured, &configuration(), found, measured, other_runnable)
    }

    #[test]
    fn rates_and_ratios_are_of_the_measured_time() {
        let found = result(&measurement(), 0.0);
        assert_eq!((found.block, found.position, found.sentinel), (2, 5, true));
        assert_eq!(found.rate_per_second, 4_000.0);
        assert_eq!(found.payload_bytes_per_second, 1_024_000.0);
        assert_eq!(found.device_bytes_per_payload_byte, 4.0);
        assert_eq!((found.commits, found.verified_records), (2_000, 2_500));
        assert!(found.latency.p99_us.is_some() && found.latency.p999_us.is_none());
        assert_eq!((found.cpu_seconds, found.disturbed), (0.5, false));
    }

    #[test]
    fn empty_records_have_no_ratio_and_the_result_can_still_be_stored() {
        let empty = Measurement { payload_bytes: 0, ..measurement() };
        let found = result(&empty, 0.0);
        assert_eq!(found.device_bytes_per_payload_byte, 0.0);
        let text = serde_json::to_string(&found).expect("JSON");
        assert_eq!(serde_json::from_str::<TrialResult>(&text).expect("reads back"), found);
    }

    #[test]
    fn stolen_time_and_a_busy_run_queue_disturb() {
        for (steal_ratio, runnable, disturbed) in
            [(0.0, 0.0, false), (0.049, 0.0, false), (0.05, 0.0, true), (0.0, 1.0, true)]
        {
            let pressure = PressureChange { steal_ratio, ..PressureChange::default() };
            let found = result(&Measurement { pressure, ..measurement() }, runnable);
            assert_eq!(found.disturbed, disturbed, "{steal_ratio} {runnable}");
            assert_eq!((found.steal_ratio, found.other_runnable), (steal_ratio, runnable));
        }
    }

    #[test]
    fn every_trial_has_payloads_of_its_own_that_the_seed_repeats() {
        let places = [(0, 0), (0, 1), (1, 0), (256, 0), (0, 256)];
        let mut seeds: Vec<u64> = places
            .iter()
            .flat_map(|(block, position)| {
                let place = Place { block: *block, position: *position, sentinel: false };
                [1, 2].map(|seed| trial_seed(seed, place))
            })
            .collect();
        assert_eq!(trial_seed(1, PLACE), trial_seed(1, Place { sentinel: false, ..PLACE }));
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 10);
    }
}
