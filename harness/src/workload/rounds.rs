//! A trial that goes on in rounds until its speed has settled, as a steady-state test demands. The
//! log stays open from the first round to the last, and is truncated as it grows, so that neither
//! the disk nor the memory fills up however long it takes. What counts is the last rounds.

use std::collections::VecDeque;
use std::time::Duration;

use plimsoll::{GroupCommitter, SegmentedWal};

use super::checkpoint::Truncation;
use super::client::{Client, ClientLog};
use super::payload::Payloads;
use super::{Load, Measurement, Problem, Trial, config, merge, read_back, shared, submitted};
use crate::host::PressureChange;
use crate::stats::{steadiness, supports};
use crate::store::schema::{Round, STEADY_ROUNDS, Steadiness};

/// How often the log is truncated: a fast disk writes some hundred megabytes in that time.
const TRUNCATE_EVERY: Duration = Duration::from_millis(250);

/// What is left of the log at least, to be read back at the end.
const KEPT_BYTES: u64 = 256 << 20;

/// Segments that are left however large they are: the one being written and the one before.
const SEGMENTS_KEPT_MIN: u64 = 2;

/// What such a trial came to.
#[derive(Debug)]
pub(crate) struct SteadyMeasurement {
    /// The last rounds together. Only what was left of the log is verified: all that the last
    /// truncation did not give up.
    pub(crate) measurement: Measurement,
    /// Every round.
    pub(crate) rounds: Vec<Round>,
    pub(crate) steadiness: Steadiness,
}

/// Bytes of log that lie on the disk at most, however long it takes, if the log takes so many a
/// second: what a truncation leaves, and what is written until the next one.
pub(crate) fn bytes_in_rounds(segment_bytes: u64, log_bytes_per_second: f64) -> f64 {
    let kept_bytes = segments_kept(segment_bytes).saturating_mul(segment_bytes) as f64;
    // As long again for the truncation itself, which gives its files back a little at a time.
    kept_bytes + 2.0 * TRUNCATE_EVERY.as_secs_f64() * log_bytes_per_second
}

fn segments_kept(segment_bytes: u64) -> u64 {
    KEPT_BYTES.div_ceil(segment_bytes.max(1)).max(SEGMENTS_KEPT_MIN)
}

/// Runs rounds of the load's measured time, the first one after its warm-up, until five in a row are
/// alike or there were 25.
///
/// # Errors
/// As [`run`](super::run).
pub(crate) fn run_rounds(load: &Load<'_>) -> Result<SteadyMeasurement, Problem> {
    let segments = segments_kept(load.settings.segment_size_bytes);
    let segments_kept = usize::try_from(segments).unwrap_or(usize::MAX);
    run_truncated(load, Truncation { every: TRUNCATE_EVERY, segments_kept, keep_spans: false })
}

fn run_truncated(load: &Load<'_>, truncation: Truncation) -> Result<SteadyMeasurement, Problem> {
    let config = config::build(load.settings, load.directory)?;
    let wal = SegmentedWal::open(config.clone()).map_err(|error| config::classify(&error))?;
    let payloads = Payloads::shaped(load.seed, load.shape)?;
    let keys = config.keys.clone();
    let trial = Trial { load, payloads: &payloads, keys, truncation: Some(truncation) };
    let committer = shared::start(wal)?;
    let series = Series::run(&trial, &committer)?;
    shared::close(&committer)?;
    drop(committer);
    let submitted = submitted(&series.clients, series.truncated_before_lsn);
    let verified_records = read_back(config, &payloads, &submitted)?;
    let measurement = Measurement { verified_records, ..series.measurement };
    Ok(SteadyMeasurement { measurement, rounds: series.rounds, steadiness: series.steadiness })
}

/// Rounds on one log, and what its clients still know.
struct Series {
    clients: Vec<ClientLog>,
    truncated_before_lsn: u64,
    measurement: Measurement,
    rounds: Vec<Round>,
    steadiness: Steadiness,
}

impl Series {
    fn run(trial: &Trial<'_>, committer: &GroupCommitter) -> Result<Self, Problem> {
        let mut clients = trial.clients()?;
        let (mut rounds, mut last) = (Vec::new(), VecDeque::new());
        let mut truncated_before_lsn = 0;
        loop {
            let warmup = if rounds.is_empty() { trial.load.warmup } else { Duration::ZERO };
            let load = Load { warmup, ..*trial.load };
            let round = Trial { load: &load, keys: trial.keys.clone(), ..*trial };
            let loaded = shared::shift(&round, committer, clients)?;
            // What this round did not truncate an earlier one may have.
            let checkpoints = loaded.checkpoints.as_ref();
            let before_lsn = checkpoints.map_or(0, |log| log.truncated_before_lsn);
            truncated_before_lsn = truncated_before_lsn.max(before_lsn);
            let measurement = loaded.measurement(0)?;
            rounds.push(round_of(&measurement, trial.load.measured));
            last.push_back(measurement);
            if last.len() > STEADY_ROUNDS as usize {
                last.pop_front();
            }
            if let Some(steadiness) = steadiness(&rounds) {
                let measurement = together(last)?;
                let clients = loaded.clients;
                return Ok(Self { clients, truncated_before_lsn, measurement, rounds, steadiness });
            }
            clients = (0..)
                .zip(loaded.clients)
                .map(|(number, log)| {
                    Client::again(number, trial.payloads, log, truncated_before_lsn)
                })
                .collect::<Result<_, _>>()?;
        }
    }
}

fn round_of(found: &Measurement, length: Duration) -> Round {
    let p99_us = found.latency_ns.value_at_quantile(0.99) as f64 / 1e3;
    Round {
        rate_per_second: found.commits as f64 / length.as_secs_f64(),
        p99_us: supports(0.99, found.commit_groups).then_some(p99_us),
    }
}

/// Rounds as one measurement: sums, and the intervals of all of them one after the other.
fn together(rounds: VecDeque<Measurement>) -> Result<Measurement, Problem> {
    let mut rounds = rounds.into_iter();
    let nothing = || Problem::Failed("there was no round".into());
    let first = rounds.next().ok_or_else(nothing)?;
    let (mut sum, mut count) = (first, 1.0);
    for round in rounds {
        count += 1.0;
        sum.commits += round.commits;
        sum.commit_groups += round.commit_groups;
        sum.payload_bytes += round.payload_bytes;
        sum.device_bytes += round.device_bytes;
        merge(&mut sum.latency_ns, &round.latency_ns)?;
        sum.interval_latency_ns.extend(round.interval_latency_ns);
        sum.allocations += round.allocations;
        sum.segments_started += round.segments_started;
        sum.durable_checks += round.durable_checks;
        sum.pressure = PressureChange {
            steal_ratio: sum.pressure.steal_ratio + round.pressure.steal_ratio,
            cpu_seconds: sum.pressure.cpu_seconds + round.pressure.cpu_seconds,
            context_switches: sum.pressure.context_switches + round.pressure.context_switches,
            ..round.pressure
        };
    }
    // All rounds are equally long.
    sum.pressure.steal_ratio /= count;
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::super::client::{interval_histograms_ns, latency_histogram_ns};
    use super::super::tests::{directory, load, small};
    use super::*;
    use crate::store::schema::{STEADY_ROUNDS_MAX, Settings};

    fn round(commits: u64, steal_ratio: f64) -> Measurement {
        let mut latency_ns = latency_histogram_ns().expect("histogram");
        latency_ns.record_n(1_000 * commits, commits).expect("in range");
        Measurement {
            commits,
            commit_groups: commits / 2,
            payload_bytes: commits * 10,
            device_bytes: commits * 20,
            latency_ns,
            interval_latency_ns: interval_histograms_ns().expect("histograms"),
            pressure: PressureChange { steal_ratio, cpu_seconds: 1.0, ..Default::default() },
            allocations: 0,
            segments_started: 1,
            page_cache_growth_bytes: None,
            durable_checks: 0,
            engine_active: "blocking: asked for".into(),
            verified_records: 0,
        }
    }

    #[test]
    fn rounds_end_when_they_are_alike_or_many_and_the_log_stays_small() {
        const SEGMENT_BYTES: u64 = 64 << 10;
        let Some(root) = directory() else { return };
        let settings = Settings {
            segment_size_bytes: SEGMENT_BYTES,
            // So large that a slow disk, too, fills many segments.
            record_size_bytes: 16 << 10,
            ..small()
        };
        let log = root.path().join("log");
        let round = Duration::from_millis(100);
        let load = Load { measured: round, under_watch: false, ..load(&settings, &log) };
        let every = Duration::from_millis(5);
        let truncation = Truncation { every, segments_kept: 3, keep_spans: false };
        let SteadyMeasurement { measurement, rounds, steadiness } =
            run_truncated(&load, truncation).expect("a trial");
        let told = match &steadiness {
            Steadiness::Steady { rounds } | Steadiness::Transient { rounds, .. } => *rounds,
        };
        assert_eq!(told as usize, rounds.len(), "{steadiness:?}");
        assert!((STEADY_ROUNDS..=STEADY_ROUNDS_MAX).contains(&told), "{steadiness:?}");
        let in_all: f64 = rounds.iter().map(|round| round.rate_per_second * 0.1).sum();
        let last: f64 = rounds[rounds.len() - 5..].iter().map(|r| r.rate_per_second * 0.1).sum();
        assert!(
            (measurement.commits as f64 - last).abs() < 0.5,
            "{} of {last}",
            measurement.commits
        );
        assert_eq!(measurement.interval_latency_ns.len(), 5 * super::super::INTERVALS);
        let verified = measurement.verified_records as f64;
        assert!(verified > 0.0 && verified < in_all, "{verified} of {in_all}");
        let files = std::fs::read_dir(&log).expect("the log").flatten();
        let left: u64 = files.filter_map(|file| Some(file.metadata().ok()?.len())).sum();
        let written = in_all * settings.record_size_bytes as f64;
        assert!((left as f64) < written && left < 24 * SEGMENT_BYTES, "{left} of {written}");
    }

    #[test]
    fn rounds_together_are_their_sums_and_the_mean_of_their_shares() {
        let found = together([round(1_000, 0.1), round(3_000, 0.3)].into()).expect("two rounds");
        assert_eq!((found.commits, found.commit_groups), (4_000, 2_000));
        assert_eq!((found.payload_bytes, found.device_bytes), (40_000, 80_000));
        assert_eq!((found.latency_ns.len(), found.segments_started), (4_000, 2));
        assert_eq!(found.interval_latency_ns.len(), 2 * super::super::INTERVALS);
        assert!((found.pressure.steal_ratio - 0.2).abs() < 1e-12);
        assert_eq!(found.pressure.cpu_seconds, 2.0);
        assert!(together(VecDeque::new()).is_err());
    }

    #[test]
    fn a_round_has_a_p99_if_its_groups_support_one() {
        let second = Duration::from_secs(2);
        let found = round_of(&round(1_000, 0.0), second);
        assert_eq!(found.rate_per_second, 500.0);
        assert!(found.p99_us.is_some_and(|p99| (p99 / 1_000.0 - 1.0).abs() < 0.01), "{found:?}");
        assert_eq!(round_of(&round(900, 0.0), second).p99_us, None, "450 groups");
    }

    #[test]
    fn what_is_left_of_a_log_is_bounded_and_never_less_than_two_segments() {
        for (segment_bytes, segments) in
            [(16 << 20, 16), (100 << 20, 3), (1 << 30, 2), (0, 256 << 20)]
        {
            assert_eq!(segments_kept(segment_bytes), segments, "{segment_bytes}");
        }
        assert_eq!(bytes_in_rounds(1 << 20, 0.0), 256.0 * 1_048_576.0);
        assert_eq!(bytes_in_rounds(1 << 20, 2e9) - bytes_in_rounds(1 << 20, 0.0), 1e9);
    }
}
