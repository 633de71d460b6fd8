//! From what a trial measured to what is stored of it: the result, the latencies, and whether the
//! speed had settled.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use super::trial::Place;
use super::utc_now;
use crate::host::PressureChange;
use crate::measure::{intervals_csv, latency_summary};
use crate::stats::{final_steadiness, supports};
use crate::store::schema::{
    Configuration, LatencySummary, OpenLoop, Round, SCHEMA_VERSION, STEADY_ROUNDS, TrialResult,
    TrialStatus,
};
use crate::store::{TrialFiles, to_hlog_with_intervals};
use crate::workload::{Fault, Measurement, OpenMeasurement, Problem, SteadyMeasurement};

/// A part of a trial stands for a round only if its p99 is well known, which that of the fewest
/// groups that support one is not: it has to support so much of the distribution.
const ROUND_QUANTILE: f64 = 0.999;

/// A trial and what is stored beside its result.
#[derive(Debug)]
pub(super) struct FinishedTrial {
    pub(super) result: TrialResult,
    latency_hlog: Option<Vec<u8>>,
    intervals_csv: Option<String>,
}

impl FinishedTrial {
    pub(super) fn files(&self) -> TrialFiles<'_> {
        TrialFiles {
            latency_hlog: self.latency_hlog.as_deref(),
            intervals_csv: self.intervals_csv.as_deref(),
        }
    }

    /// A trial that measured nothing.
    pub(super) fn without_numbers(about: &About<'_>, problem: Problem) -> Self {
        let status = match problem {
            Problem::Refused(reason) => TrialStatus::Refused { reason },
            Problem::Failed(reason) => TrialStatus::Failed { reason },
        };
        let result = TrialResult { status, ..about.unmeasured() };
        Self { result, latency_hlog: None, intervals_csv: None }
    }

    /// A closed loop of a fixed length.
    ///
    /// # Errors
    /// When the latencies cannot be encoded; so too below.
    pub(super) fn closed(about: &About<'_>, found: &Measurement) -> Result<Self> {
        let rounds = fifths(&found.interval_latency_ns, about.measured, found.commit_groups);
        let steadiness = rounds.as_deref().map(final_steadiness);
        let result = TrialResult { steadiness, ..about.measured(found) };
        Self::with_files(result, about, &found.latency_ns, &[], &found.interval_latency_ns)
    }

    /// A closed loop that went on until it was steady.
    pub(super) fn in_rounds(about: &About<'_>, found: SteadyMeasurement) -> Result<Self> {
        let SteadyMeasurement { measurement, rounds, steadiness } = found;
        let steadiness = Some(steadiness);
        let result = TrialResult { steadiness, rounds, ..about.measured(&measurement) };
        let intervals = &measurement.interval_latency_ns;
        Self::with_files(result, about, &measurement.latency_ns, &[], intervals)
    }

    /// An open loop.
    pub(super) fn open(about: &About<'_>, rate: f64, found: &OpenMeasurement) -> Result<Self> {
        let result = about.opened(rate, found);
        let answers = &found.answers;
        let intervals = &answers.interval_latency_ns;
        Self::with_files(result, about, &answers.latency_ns, &found.parts_ns(), intervals)
    }

    fn with_files(
        result: TrialResult,
        about: &About<'_>,
        latency_ns: &Histogram<u64>,
        parts_ns: &[(&str, &Histogram<u64>)],
        intervals_ns: &[Histogram<u64>],
    ) -> Result<Self> {
        let hlog = to_hlog_with_intervals(latency_ns, parts_ns, intervals_ns, about.measured)?;
        Ok(Self {
            result,
            latency_hlog: Some(hlog),
            intervals_csv: Some(intervals_csv(intervals_ns, about.measured)),
        })
    }
}

/// What is known of a trial before it, and how busy the machine was after it.
#[derive(Clone, Debug)]
pub(super) struct About<'a> {
    pub(super) configuration: &'a Configuration,
    pub(super) place: Place,
    pub(super) started_utc: String,
    /// Time that the numbers are of.
    pub(super) measured: Duration,
    /// Runnable tasks besides our own at its end.
    pub(super) other_runnable: f64,
}

impl<'a> About<'a> {
    pub(super) fn now(configuration: &'a Configuration, place: Place, measured: Duration) -> Self {
        Self { configuration, place, started_utc: utc_now(), measured, other_runnable: 0.0 }
    }

    /// A result with nothing measured in it.
    fn unmeasured(&self) -> TrialResult {
        TrialResult {
            schema_version: SCHEMA_VERSION.to_owned(),
            config_id: self.configuration.id.clone(),
            block: self.place.block,
            position: self.place.position,
            sentinel: self.place.sentinel,
            status: TrialStatus::Ok,
            started_utc: self.started_utc.clone(),
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
            rounds: Vec::new(),
            open: None,
        }
    }

    fn measured(&self, found: &Measurement) -> TrialResult {
        let measured_seconds = self.measured.as_secs_f64();
        let rate_per_second = found.commits as f64 / measured_seconds;
        let record_bytes = self.configuration.settings.record_size_bytes as f64;
        TrialResult {
            measured_seconds,
            commits: found.commits,
            commit_groups: found.commit_groups,
            rate_per_second,
            payload_bytes_per_second: rate_per_second * record_bytes,
            device_bytes_per_payload_byte: ratio(found.device_bytes, found.payload_bytes),
            latency: latency_summary(&found.latency_ns, found.commit_groups),
            engine_active: found.engine_active.clone(),
            verified_records: found.verified_records,
            ..self.under_pressure(&found.pressure)
        }
    }

    /// The numbers are kept even where the rate was not: they show what became of it.
    fn opened(&self, rate: f64, found: &OpenMeasurement) -> TrialResult {
        let measured_seconds = self.measured.as_secs_f64();
        let (answers, groups) = (&found.answers, found.commit_groups);
        let summary = |histogram: &Histogram<u64>| latency_summary(histogram, groups);
        let status = match answers.pace().fault() {
            None => TrialStatus::Ok,
            Some(Fault::Overloaded(reason)) => TrialStatus::Overloaded { reason },
            Some(Fault::Invalid(reason)) => TrialStatus::Invalid { reason },
        };
        // The rate is the generator's and cannot move; the latency can.
        let steadiness =
            fifths(&answers.interval_latency_ns, self.measured, groups).map(|fifths| {
                let as_offered = |round: Round| Round { rate_per_second: rate, ..round };
                final_steadiness(&fifths.into_iter().map(as_offered).collect::<Vec<_>>())
            });
        TrialResult {
            status,
            measured_seconds,
            commits: answers.answered,
            commit_groups: groups,
            rate_per_second: answers.answered as f64 / measured_seconds,
            payload_bytes_per_second: found.payload_bytes as f64 / measured_seconds,
            device_bytes_per_payload_byte: ratio(found.log_bytes, found.payload_bytes),
            latency: summary(&answers.latency_ns),
            engine_active: found.engine_active.clone(),
            verified_records: found.verified_records,
            steadiness,
            open: Some(OpenLoop {
                offered_rate_per_second: rate,
                due: answers.due,
                service: summary(&answers.service_ns),
                lag: summary(&answers.lag_ns),
                own_lag: summary(&answers.own_lag_ns),
                group_wait: summary(&found.group_wait_ns),
                submit_to_complete: summary(&found.submit_to_complete_ns),
                backlog: answers.backlog.clone(),
            }),
            ..self.under_pressure(&found.pressure)
        }
    }

    fn under_pressure(&self, pressure: &PressureChange) -> TrialResult {
        TrialResult {
            cpu_seconds: pressure.cpu_seconds,
            context_switches: pressure.context_switches,
            steal_ratio: pressure.steal_ratio,
            other_runnable: self.other_runnable,
            disturbed: pressure.is_disturbed(self.other_runnable),
            ..self.unmeasured()
        }
    }
}

/// Records without payload have no such ratio; 0 is read as "not known".
fn ratio(device_bytes: u64, payload_bytes: u64) -> f64 {
    match payload_bytes {
        0 => 0.0,
        payload_bytes => device_bytes as f64 / payload_bytes as f64,
    }
}

/// The measured time in five short rounds, which are not SNIA's; `None` where one of them would rest
/// on too few commit groups.
fn fifths(
    intervals_ns: &[Histogram<u64>],
    measured: Duration,
    commit_groups: u64,
) -> Option<Vec<Round>> {
    let per_round = intervals_ns.len() / STEADY_ROUNDS as usize;
    if per_round == 0 {
        return None;
    }
    let commits: u64 = intervals_ns.iter().map(Histogram::len).sum();
    let round = |parts: &[Histogram<u64>]| {
        let mut all = parts.first()?.clone();
        for part in &parts[1..] {
            all.add(part).ok()?;
        }
        // Groups are counted over the whole time only; a round has its share of them.
        let share = u128::from(commit_groups) * u128::from(all.len());
        let groups = u64::try_from(share.checked_div(u128::from(commits))?).ok()?;
        let seconds = measured.as_secs_f64() / f64::from(STEADY_ROUNDS);
        supports(ROUND_QUANTILE, groups).then(|| Round {
            rate_per_second: all.len() as f64 / seconds,
            p99_us: Some(all.value_at_quantile(0.99) as f64 / 1e3),
        })
    };
    intervals_ns.chunks_exact(per_round).map(round).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::default_settings;
    use crate::store::schema::Steadiness;

    const PLACE: Place = Place { block: 2, position: 5, sentinel: true };

    fn configuration() -> Configuration {
        Configuration { id: "c00".into(), settings: default_settings() }
    }

    fn histogram(value_ns: u64, count: u64) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, 1_000_000_000, 3).expect("histogram");
        histogram.record_n(value_ns, count).expect("in range");
        histogram
    }

    fn measurement() -> Measurement {
        Measurement {
            commits: 2_000,
            commit_groups: 500,
            payload_bytes: 512_000,
            device_bytes: 2_048_000,
            latency_ns: histogram(250_000, 2_000),
            interval_latency_ns: vec![histogram(250_000, 200); 10],
            pressure: PressureChange { cpu_seconds: 0.5, ..PressureChange::default() },
            allocations: 0,
            segments_started: 0,
            page_cache_growth_bytes: None,
            durable_checks: 0,
            engine_active: "blocking: asked for".into(),
            verified_records: 2_500,
        }
    }

    fn result(found: &Measurement, other_runnable: f64) -> TrialResult {
        let configuration = configuration();
        let about = About::now(&configuration, PLACE, Duration::from_millis(500));
        let about = About { other_runnable, ..about };
        FinishedTrial::closed(&about, found).expect("encodes").result
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

    /// A trial of so many commits in each tenth, four to a group, at that p99.
    fn of_tenths(tenths: [(u64, u64); 10]) -> Option<Steadiness> {
        let intervals = tenths.map(|(commits, p99_ns)| histogram(p99_ns, commits));
        let commits: u64 = tenths.iter().map(|(commits, _)| commits).sum();
        let found = Measurement {
            commits,
            commit_groups: commits / 4,
            interval_latency_ns: intervals.to_vec(),
            ..measurement()
        };
        result(&found, 0.0).steadiness
    }

    #[test]
    fn a_flat_trial_is_steady_a_ramp_is_transient_and_a_short_one_is_neither() {
        let flat = [(10_000, 250_000); 10];
        assert_eq!(of_tenths(flat), Some(Steadiness::Steady { rounds: 5 }));
        // 4,603 groups in each fifth are needed, at four commits a group.
        assert_eq!(of_tenths([(9_000, 250_000); 10]), None, "4,500 groups");
        assert_eq!(of_tenths([(0, 250_000); 10]), None);
        let mut slowing = flat;
        for (tenth, (commits, _)) in (0..).zip(&mut slowing) {
            *commits -= 50 * tenth;
        }
        assert_eq!(of_tenths(slowing), Some(Steadiness::Steady { rounds: 5 }), "by 4 %");
        let mut falling = [(20_000, 250_000); 10];
        for (tenth, (commits, _)) in (0..).zip(&mut falling) {
            *commits -= 300 * tenth;
        }
        let found = of_tenths(falling);
        let Some(Steadiness::Transient { rounds: 5, reason }) = found else { panic!("{found:?}") };
        assert!(reason.starts_with("rate: it falls by"), "{reason}");
        let mut stalling = flat;
        (stalling[9].1, stalling[8].1) = (400_000, 400_000);
        let found = of_tenths(stalling);
        let Some(Steadiness::Transient { reason, .. }) = found else { panic!("{found:?}") };
        assert!(reason.starts_with("p99: "), "{reason}");
    }
}
