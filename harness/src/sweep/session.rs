//! The sessions of a run, and how much of its time they took. Time is counted by trials and what one
//! takes, so that a pause costs nothing, and whoever resumes a run comes to the same numbers.

use jiff::Timestamp;

use super::utc_now;
use crate::profile::{assumed_overhead_seconds, block_order};
use crate::stats::median;
use crate::store::schema::{Manifest, Plan, Session, SplitBlock, TrialResult};

/// Notes that a session begins.
pub(super) fn begin(
    manifest: &mut Manifest,
    trials_before: usize,
    split_block: Option<SplitBlock>,
    differences: Vec<String>,
) {
    manifest.sessions.push(Session {
        started_utc: utc_now(),
        finished_utc: None,
        argv: argv(),
        process_id: std::process::id(),
        trials_before: trials_before as u64,
        split_block,
        differences,
    });
}

/// Notes that the newest one ended.
pub(super) fn end(manifest: &mut Manifest) {
    if let Some(session) = manifest.sessions.last_mut() {
        session.finished_utc = Some(utc_now());
    }
}

/// The command.
pub(super) fn argv() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// What a trial takes, everything included: the median time from one start to the next, which no
/// pause moves. Assumed, where fewer than two were run.
pub(super) fn seconds_per_trial(plan: &Plan, trials: &[TrialResult]) -> f64 {
    let starts: Vec<Timestamp> =
        trials.iter().filter_map(|trial| trial.started_utc.parse().ok()).collect();
    let steps: Vec<f64> =
        starts.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs_f64()).collect();
    let assumed = || plan.warmup_seconds + plan.trial_seconds + assumed_overhead_seconds(plan);
    median(&steps).unwrap_or_else(assumed)
}

/// What stored trials took together.
pub(super) fn seconds_of(plan: &Plan, trials: &[TrialResult]) -> f64 {
    trials.len() as f64 * seconds_per_trial(plan, trials)
}

/// The block that is torn apart if the run goes on now, of whose trials some are stored.
pub(super) fn split_block(
    plan: &Plan,
    trials: &[TrialResult],
    screening: bool,
) -> Option<SplitBlock> {
    let last = trials.last()?;
    let in_block = trials.iter().filter(|trial| trial.block == last.block).count();
    let ended = |started: Timestamp| {
        let load_seconds = plan.warmup_seconds + plan.trial_seconds;
        Timestamp::now().duration_since(started).as_secs_f64() - load_seconds
    };
    (in_block < block_order(plan, last.block).len()).then(|| SplitBlock {
        screening,
        block: last.block,
        pause_seconds: last.started_utc.parse().map_or(0.0, ended).max(0.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::synthetic::SyntheticRun;

    /// A plan of three blocks of six trials of 6 s, and trials started at these seconds.
    fn run(starts: &[i64]) -> (Plan, Vec<TrialResult>) {
        let SyntheticRun { manifest, trials, .. } = SyntheticRun::small();
        let began: Timestamp = "2025-11-22T21:12:00Z".parse().expect("RFC 3339");
        let started = |seconds: &i64| {
            Timestamp::from_second(began.as_second() + seconds).expect("in range").to_string()
        };
        let started = starts
            .iter()
            .zip(&trials)
            .map(|(seconds, trial)| TrialResult { started_utc: started(seconds), ..trial.clone() });
        (manifest.plan, started.collect())
    }

    #[test]
    fn a_pause_moves_no_pace_and_takes_no_time() {
        let (plan, trials) = run(&[0, 7, 14, 90_000, 90_007, 90_014, 90_021]);
        assert_eq!(seconds_per_trial(&plan, &trials), 7.0);
        assert_eq!(seconds_of(&plan, &trials), 49.0);
        assert_eq!(seconds_of(&plan, &[]), 0.0);
        let assumed = seconds_per_trial(&plan, &trials[..1]);
        assert!(assumed > 6.0 && assumed < 7.0, "{assumed}");
    }

    #[test]
    fn a_block_is_split_where_some_of_its_trials_are_stored() {
        let (plan, trials) = run(&[0; 12]);
        assert_eq!(split_block(&plan, &[], false), None);
        assert_eq!(split_block(&plan, &trials[..6], false), None);
        assert_eq!(split_block(&plan, &trials[..12], false), None);
        let split = split_block(&plan, &trials[..7], true).expect("split");
        // Longer ago than this test is old.
        assert!(split.screening && split.block == 1 && split.pause_seconds > 1e6, "{split:?}");
    }
}
