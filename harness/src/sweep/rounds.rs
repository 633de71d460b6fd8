//! The blocks of a plan: every configuration once in each, in its seeded order, a sentinel at both
//! ends, and each trial stored before the next one starts. What is stored already is passed over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::preflight::Target;
use super::progress::{BlockReport, Progress};
use super::session::seconds_per_trial;
use super::stored::{Stored, refused};
use super::trial::{Place, Trials};
use crate::load::Trace;
use crate::profile::block_order;
use crate::scratch::Interrupts;
use crate::store::RunFolder;
use crate::store::schema::{Plan, RunStatus, TrialResult, TrialStatus};

/// Trials that fail one after the other before the sweep gives up: the disk is full, gone or broken,
/// and the rest would only say so again.
const FAILURES_IN_A_ROW_MAX: usize = 8;

/// What it takes to run a plan's blocks.
pub(super) struct Rounds<'a> {
    pub(super) plan: &'a Plan,
    /// The plan's trace, if it has one.
    pub(super) trace: Option<&'a Arc<Trace>>,
    /// What its blocks are called.
    pub(super) name: &'static str,
    /// Trials of the plan that are stored already.
    pub(super) stored: &'a [TrialResult],
    pub(super) time: Time,
    pub(super) min_blocks: u32,
    pub(super) target: &'a Target,
    pub(super) folder: &'a RunFolder,
    pub(super) interrupts: &'a Interrupts,
}

/// The time that blocks may take. What was measured before counts too: the ceiling, a screening,
/// and the trials of earlier sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    pub(super) budget: Option<Duration>,
    /// Taken by earlier sessions.
    pub(super) before: Duration,
    /// When this session began.
    pub(super) began: Instant,
}

impl Time {
    pub(super) fn spent(&self) -> Duration {
        self.before + self.began.elapsed()
    }
}

/// What the blocks so far came to.
#[derive(Debug, Default)]
struct Tally {
    blocks: u32,
    slowest_block: Duration,
    /// Configurations that cannot run here. They are not tried again: the answer does not change,
    /// and a block is whole without them.
    refused: BTreeSet<usize>,
    failed: usize,
    failed_in_a_row: usize,
}

/// Why a block was not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// It was.
    Whole,
    /// Ctrl-C.
    Interrupted,
    /// Nothing works any more.
    GivenUp,
}

impl Rounds<'_> {
    /// Runs blocks until all are done, the time is up or the user has had enough.
    pub(super) fn run(&self, progress: Progress) -> Result<RunStatus> {
        let stored = Stored::of(self.plan, self.stored)?;
        let trials_per_block = block_order(self.plan, 0).len() as u64;
        progress.start(trials_per_block * u64::from(self.plan.blocks));
        let mut tally = Tally::of(self.plan, self.stored);
        let mut status = RunStatus::Complete;
        for block in 0..self.plan.blocks {
            // A block that was begun within the time is finished.
            if !stored.holds_any_of(block)
                && tally.time_is_up(self.time.budget, self.min_blocks, self.time.spent())
            {
                progress.notice("stopping here: another block would exceed the time budget");
                status = RunStatus::TimeBudget;
                break;
            }
            match self.block(block, &stored, &mut tally, &progress)? {
                Ended::Whole => {}
                Ended::Interrupted => {
                    status = RunStatus::Interrupted;
                    break;
                }
                Ended::GivenUp => {
                    progress.notice(&format!(
                        "stopping here: {FAILURES_IN_A_ROW_MAX} trials in a row failed"
                    ));
                    break;
                }
            }
        }
        progress.finish();
        Ok(if tally.failed > 0 { RunStatus::Failed } else { status })
    }

    /// Runs one block, or as much of it as makes sense.
    fn block(
        &self,
        block: u32,
        stored: &Stored,
        tally: &mut Tally,
        progress: &Progress,
    ) -> Result<Ended> {
        let began = Instant::now();
        let (mut trials, mut refused, failed_before) = (0, 0, tally.failed);
        for (position, planned) in (0..).zip(block_order(self.plan, block)) {
            if stored.holds(block, position) || tally.refused.contains(&planned.config_index) {
                progress.trial_passed_over();
                continue;
            }
            if self.interrupts.requested() {
                return Ok(Ended::Interrupted);
            }
            if tally.failed_in_a_row >= FAILURES_IN_A_ROW_MAX {
                return Ok(Ended::GivenUp);
            }
            let place = Place { block, position, sentinel: planned.sentinel };
            let status = self.trial(planned.config_index, place, progress)?;
            trials += 1;
            refused += usize::from(matches!(status, TrialStatus::Refused { .. }));
            tally.note(planned.config_index, &status);
            progress.trial_done();
        }
        tally.blocks += 1;
        if trials == 0 {
            return Ok(Ended::Whole);
        }
        let took = began.elapsed();
        tally.slowest_block = tally.slowest_block.max(took);
        progress.block_done(&BlockReport {
            name: self.name,
            done: tally.blocks,
            planned: self.plan.blocks,
            seconds: took.as_secs_f64(),
            trials,
            refused,
            failed: tally.failed - failed_before,
        });
        Ok(Ended::Whole)
    }

    /// Runs one trial and stores it.
    fn trial(&self, config_index: usize, place: Place, progress: &Progress) -> Result<TrialStatus> {
        let configuration = &self.plan.configurations[config_index];
        progress.trial(&configuration.id, place.block);
        let trials = Trials {
            plan: self.plan,
            trace: self.trace,
            target: self.target,
            interrupts: self.interrupts,
        };
        let trial = trials.run(configuration, place)?;
        self.folder.record_trial(&trial.result, trial.files())?;
        if let TrialStatus::Failed { reason } = &trial.result.status {
            progress.notice(&format!("{} FAILED: {reason}", configuration.id));
        }
        Ok(trial.result.status)
    }
}

impl Tally {
    /// After the trials that are stored. Whole blocks are counted as they are met.
    fn of(plan: &Plan, stored: &[TrialResult]) -> Self {
        let per_block = block_order(plan, 0).len() as f64 * seconds_per_trial(plan, stored);
        let is_failed = |trial: &&TrialResult| matches!(trial.status, TrialStatus::Failed { .. });
        Self {
            slowest_block: if stored.is_empty() {
                Duration::ZERO
            } else {
                Duration::from_secs_f64(per_block.max(0.0))
            },
            refused: refused(plan, stored),
            failed: stored.iter().filter(is_failed).count(),
            ..Self::default()
        }
    }

    /// Whether a block as long as the longest so far would end after the budget.
    fn time_is_up(&self, budget: Option<Duration>, min_blocks: u32, elapsed: Duration) -> bool {
        let would_exceed = |budget| elapsed + self.slowest_block > budget;
        self.blocks >= min_blocks && budget.is_some_and(would_exceed)
    }

    fn note(&mut self, config_index: usize, status: &TrialStatus) {
        match status {
            TrialStatus::Ok => self.failed_in_a_row = 0,
            // The log works: it was offered too much, or not what it should have been.
            TrialStatus::Overloaded { .. } | TrialStatus::Invalid { .. } => {
                self.failed_in_a_row = 0;
            }
            TrialStatus::Refused { .. } => {
                self.refused.insert(config_index);
            }
            TrialStatus::Failed { .. } => {
                self.failed += 1;
                self.failed_in_a_row += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::synthetic::SyntheticRun;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_time_budget_counts_a_whole_block_ahead_and_spares_the_least_number() {
        let after = |blocks| Tally { blocks, slowest_block: 10 * SECOND, ..Tally::default() };
        let budget = Some(40 * SECOND);
        for (blocks, elapsed_seconds, up) in
            [(0, 100, false), (2, 100, false), (3, 30, false), (3, 31, true), (4, 39, true)]
        {
            let elapsed = elapsed_seconds * SECOND;
            let found = after(blocks).time_is_up(budget, 3, elapsed);
            assert_eq!(found, up, "{blocks} blocks, {elapsed_seconds} s");
            assert!(!after(blocks).time_is_up(None, 3, elapsed));
        }
    }

    #[test]
    fn what_is_stored_counts_as_if_it_had_just_been_run() {
        let SyntheticRun { manifest, mut trials, .. } = SyntheticRun::small();
        let id = trials[1].config_id.clone();
        trials[1].status = TrialStatus::Refused { reason: String::new() };
        trials[2].status = TrialStatus::Failed { reason: String::new() };
        let tally = Tally::of(&manifest.plan, &trials[..4]);
        let refused = manifest.plan.configurations.iter().position(|known| known.id == id);
        assert_eq!(tally.refused, refused.into_iter().collect());
        // A disk that has been given room again starts with a clean slate.
        assert_eq!((tally.failed, tally.failed_in_a_row, tally.blocks), (1, 0, 0));
        assert_eq!(Tally::of(&manifest.plan, &[]).slowest_block, Duration::ZERO);
    }

    #[test]
    fn refused_configurations_are_remembered_and_a_good_trial_ends_a_row_of_failures() {
        let mut tally = Tally::default();
        let failed = TrialStatus::Failed { reason: String::new() };
        let refused = TrialStatus::Refused { reason: String::new() };
        for status in [&failed, &failed, &refused, &failed] {
            tally.note(7, status);
        }
        assert_eq!((tally.failed, tally.failed_in_a_row), (3, 3));
        tally.note(1, &TrialStatus::Ok);
        assert_eq!((tally.failed, tally.failed_in_a_row), (3, 0));
        assert_eq!(tally.refused, BTreeSet::from([7]));
    }
}
