//! One trial of a rate: offers it to a real log in a fresh directory, judges what came of it, and
//! stores both.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use hdrhistogram::Histogram;

use super::judge::{judge, percentile_us};
use super::search::{Offered, Offers};
use super::utc_now;
use crate::failure::Failure;
use crate::host::{self, other_runnable};
use crate::load::RecordShape;
use crate::measure::{intervals_csv, latency_summary};
use crate::scratch::{Interrupts, Scratch};
use crate::store::capacity::{CapacityFolder, CapacityTrial, Phase, Question, Verdict};
use crate::store::schema::{Ceiling, SCHEMA_VERSION};
use crate::store::{TrialFiles, to_hlog_with_intervals};
use crate::units::{format_data, format_rate, format_us};
use crate::workload::{Answers, LogConfig, OpenLoad, OpenMeasurement, Problem, run_open};

/// What a record takes in the log besides its payload, bytes, at most: its frame and its tag.
const FRAME_BYTES: f64 = 80.0;

/// Offers rates to a real log.
pub(super) struct RealOffers<'a> {
    pub(super) config: &'a LogConfig,
    pub(super) shape: &'a RecordShape,
    pub(super) question: &'a Question,
    pub(super) ceiling: &'a Ceiling,
    pub(super) target: &'a std::path::Path,
    pub(super) folder: &'a CapacityFolder,
    pub(super) interrupts: &'a Interrupts,
    pub(super) quiet: bool,
    pub(super) next_number: u32,
}

impl Offers for RealOffers<'_> {
    type Error = Failure;

    fn offer(
        &mut self,
        phase: Phase,
        rate_per_second: f64,
        seconds: f64,
    ) -> Result<Offered, Failure> {
        if self.interrupts.requested() {
            return Err(Failure::Interrupted);
        }
        self.check_space(rate_per_second, seconds)?;
        let started = Started {
            number: self.next_number,
            phase,
            rate_per_second,
            started_utc: utc_now(),
            seconds,
        };
        self.next_number += 1;
        let (trial, found) = self.run(&started).map_err(Failure::Broken)?;
        self.store(&trial, found.as_ref(), seconds).map_err(Failure::Broken)?;
        self.tell(&trial);
        if let Verdict::Failed { reason } = &trial.verdict {
            return Err(Failure::LogFailed(anyhow!("{reason}")));
        }
        Ok(Offered { verdict: trial.verdict, commit_groups: trial.commit_groups })
    }
}

/// What is known of a trial before it.
struct Started {
    number: u32,
    phase: Phase,
    rate_per_second: f64,
    started_utc: String,
    seconds: f64,
}

impl RealOffers<'_> {
    /// A disk that fills up in the middle of a trial would look like a log that failed.
    fn check_space(&self, rate_per_second: f64, seconds: f64) -> Result<(), Failure> {
        let needed = trial_bytes(
            self.config,
            self.question,
            rate_per_second,
            seconds,
            self.ceiling.durable_writes_per_second,
        );
        let free = host::capture(self.target).free_bytes as f64;
        // 0 is what an unknown amount is told as.
        if free == 0.0 || free >= needed {
            return Ok(());
        }
        Err(Failure::Refused(anyhow!(
            "the next trial, {} for {seconds:.0} s, needs {} of free space, and the target's file \
             system has {}; free some, name another directory with --target, or bound the search \
             with --max-rate",
            format_rate(rate_per_second),
            format_data(needed),
            format_data(free)
        )))
    }

    fn run(&self, started: &Started) -> Result<(CapacityTrial, Option<OpenMeasurement>)> {
        let scratch = Scratch::create(self.target, self.interrupts)?;
        let load = OpenLoad {
            config: self.config,
            shape: self.shape,
            rate_per_second: started.rate_per_second,
            directory: scratch.path(),
            seed: self.question.seed.wrapping_add(u64::from(started.number) << 32),
            warmup: Duration::from_secs_f64(self.question.warmup_seconds),
            measured: Duration::from_secs_f64(started.seconds),
        };
        let outcome = run_open(&load);
        let other_runnable = other_runnable();
        scratch.remove()?;
        match outcome {
            Ok(found) => {
                let answers = &found.answers;
                let mut trial = answered(started, answers, found.commit_groups, self.question);
                trial.payload_bytes = found.payload_bytes;
                trial.log_bytes = found.log_bytes;
                trial.disk_bytes = found.disk_bytes;
                trial.group_wait = latency_summary(&found.group_wait_ns, found.commit_groups);
                trial.submit_to_complete =
                    latency_summary(&found.submit_to_complete_ns, found.commit_groups);
                trial.steal_ratio = found.pressure.steal_ratio;
                trial.other_runnable = other_runnable;
                trial.disturbed = found.pressure.is_disturbed(other_runnable);
                trial.engine_active.clone_from(&found.engine_active);
                trial.verified_records = found.verified_records;
                Ok((trial, Some(found)))
            }
            Err(Problem::Refused(reason) | Problem::Failed(reason)) => {
                let mut trial = unmeasured(started);
                trial.verdict = Verdict::Failed { reason };
                Ok((trial, None))
            }
        }
    }

    fn store(
        &self,
        trial: &CapacityTrial,
        found: Option<&OpenMeasurement>,
        seconds: f64,
    ) -> Result<()> {
        let measured = Duration::from_secs_f64(seconds);
        let files = found.map(|found| -> Result<(Vec<u8>, String)> {
            let answers = &found.answers;
            let intervals = &answers.interval_latency_ns;
            let parts = found.parts_ns();
            let hlog = to_hlog_with_intervals(&answers.latency_ns, &parts, intervals, measured)?;
            Ok((hlog, intervals_csv(intervals, measured)))
        });
        let files = files.transpose().context("cannot store a trial")?;
        let files = files.as_ref().map_or_else(TrialFiles::default, |(hlog, csv)| TrialFiles {
            latency_hlog: Some(hlog),
            intervals_csv: Some(csv),
        });
        self.folder.record_trial(trial, files)
    }

    /// One line a trial. A closed standard error is no reason to stop measuring.
    fn tell(&self, trial: &CapacityTrial) {
        if self.quiet {
            return;
        }
        let mut line = format!(
            "{:8}{:>12} for {:3.0} s",
            trial.phase.name(),
            format_rate(trial.offered_rate_per_second),
            trial.measured_seconds
        );
        for limit in self.question.slo.limits() {
            let found = percentile_us(&trial.latency, limit.percentile);
            let shown = found.map_or_else(|| "?".to_owned(), format_us);
            line.push_str(&format!("  {} {shown}", limit.percentile.name()));
        }
        line.push_str("  ");
        line.push_str(&word(&trial.verdict));
        let _ = writeln!(io::stderr(), "{line}");
    }
}

fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Met => "met".to_owned(),
        Verdict::Missed { .. } => "missed".to_owned(),
        Verdict::Overloaded { reason } => format!("overloaded: {reason}"),
        Verdict::Invalid { reason } => format!("invalid: {reason}"),
        Verdict::Unsupported { .. } => "too few commit groups, again and longer".to_owned(),
        Verdict::Failed { reason } => format!("FAILED: {reason}"),
    }
}

/// Free bytes that a trial needs at most: one batch a durable write at least, each padded, and
/// segments ahead.
pub(super) fn trial_bytes(
    config: &LogConfig,
    question: &Question,
    rate_per_second: f64,
    seconds: f64,
    durable_writes_per_second: f64,
) -> f64 {
    const BLOCK_BYTES: f64 = 4_096.0;
    let seconds = seconds + question.warmup_seconds;
    let batches = rate_per_second.min(durable_writes_per_second * 1.5);
    let log_bytes = rate_per_second * (question.mean_record_bytes + FRAME_BYTES);
    let padding_bytes = batches * BLOCK_BYTES;
    let beside = f64::from(config.segments_beside()) * config.segment_bytes() as f64;
    (log_bytes + padding_bytes) * seconds * 1.05 + beside
}

/// A trial's result as far as the answers tell it.
fn answered(
    started: &Started,
    answers: &Answers,
    commit_groups: u64,
    question: &Question,
) -> CapacityTrial {
    let summary = |histogram: &Histogram<u64>| latency_summary(histogram, commit_groups);
    let latency = summary(&answers.latency_ns);
    CapacityTrial {
        verdict: judge(answers.pace(), &latency, commit_groups, &question.slo),
        measured_seconds: started.seconds,
        due: answers.due,
        answered: answers.answered,
        commit_groups,
        latency,
        service: summary(&answers.service_ns),
        lag: summary(&answers.lag_ns),
        own_lag: summary(&answers.own_lag_ns),
        backlog: answers.backlog.clone(),
        ..unmeasured(started)
    }
}

fn unmeasured(started: &Started) -> CapacityTrial {
    CapacityTrial {
        schema_version: SCHEMA_VERSION.to_owned(),
        number: started.number,
        phase: started.phase,
        offered_rate_per_second: started.rate_per_second,
        verdict: Verdict::Met,
        started_utc: started.started_utc.clone(),
        measured_seconds: 0.0,
        due: 0,
        answered: 0,
        commit_groups: 0,
        latency: Default::default(),
        service: Default::default(),
        lag: Default::default(),
        own_lag: Default::default(),
        group_wait: Default::default(),
        submit_to_complete: Default::default(),
        backlog: Vec::new(),
        payload_bytes: 0,
        log_bytes: 0,
        disk_bytes: None,
        steal_ratio: 0.0,
        other_runnable: 0.0,
        disturbed: false,
        engine_active: String::new(),
        verified_records: 0,
    }
}

/// The search, the judge and the analysis against a simulated device whose limit is known.
#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::super::search::{SearchPlan, search};
    use super::super::{analyse, tests::manifest};
    use super::*;
    use crate::store::capacity::Finding;
    use crate::workload::simulated::{SimulatedDevice, m_d_1_quantile_ns};

    /// Each record a commit group of its own, on a device under a clock of its own.
    struct SimulatedOffers {
        device: SimulatedDevice,
        question: Question,
        seed: u64,
        trials: Vec<CapacityTrial>,
    }

    impl Offers for SimulatedOffers {
        type Error = Infallible;

        fn offer(&mut self, phase: Phase, rate: f64, seconds: f64) -> Result<Offered, Infallible> {
            let number = u32::try_from(self.trials.len()).expect("few trials");
            #[allow(clippy::cast_possible_truncation, reason = "seconds of a test")]
            let spans = (1_000_000_000, (seconds * 1e9) as u64);
            let answers = self.device.offered(rate, self.seed + u64::from(number), spans);
            let started = Started {
                number,
                phase,
                rate_per_second: rate,
                started_utc: String::new(),
                seconds,
            };
            let trial = answered(&started, &answers, answers.answered, &self.question);
            let offered =
                Offered { verdict: trial.verdict.clone(), commit_groups: trial.commit_groups };
            self.trials.push(trial);
            Ok(offered)
        }
    }

    /// The rate at which the p99 of an M/D/1 queue is just the limit.
    fn true_limit(service_ns: f64, p99_ns: f64) -> f64 {
        let (mut low, mut high) = (0.0, 0.85e9 / service_ns);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if m_d_1_quantile_ns(middle, service_ns, 0.99) < p99_ns {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    fn searched(seed: u64, slo: &str) -> Vec<CapacityTrial> {
        let question = Question { slo: slo.parse().expect("objectives"), ..manifest().question };
        let plan = SearchPlan {
            first_rate_per_second: 500.0,
            max_rate_per_second: 1e6,
            probe_seconds: 10.0,
            confirm_seconds: 30.0,
            confirmations: 3,
            groups_needed: 459,
        };
        let device = SimulatedDevice::serving_in(200_000);
        let mut offers = SimulatedOffers { device, question, seed, trials: Vec::new() };
        search(&plan, &mut offers).expect("cannot fail");
        offers.trials
    }

    #[test]
    fn the_search_lands_within_3_percent_of_the_true_limit_of_a_simulated_device() {
        // Five service times: reached at 56 % of the device's 5,000 records a second.
        let limit = true_limit(200_000.0, 1e6);
        assert!((2_700.0..2_900.0).contains(&limit), "{limit}");
        for seed in [100, 200] {
            let trials = searched(seed, "p99=1ms");
            let analysis = analyse(&manifest(), &trials);
            assert_eq!(analysis.finding, Finding::Carried, "{}", analysis.answer);
            let carried = analysis.carried_rate_per_second.expect("carried");
            let off = carried.value / limit - 1.0;
            assert!(off.abs() < 0.03, "seed {seed}: {carried:?} for {limit}, {off:+.4}");
            assert!(carried.high / carried.value < 1.1, "{carried:?}");
        }
    }

    #[test]
    fn a_device_that_is_slower_than_its_objective_carries_nothing() {
        let trials = searched(1, "p50=100us");
        let analysis = analyse(&manifest(), &trials);
        assert_eq!(analysis.finding, Finding::Impossible, "{}", analysis.answer);
        assert!(analysis.answer.contains("p50 200 µs of 100us"), "{}", analysis.answer);
    }
}
