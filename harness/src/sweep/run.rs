//! A run under way, from wherever its folder says that it is: the ceiling, a screening where there
//! is one, and the plan's blocks. Whoever starts a run and whoever resumes one go through here.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::preflight::{Target, check_space};
use super::progress::Progress;
use super::rounds::{Rounds, Time};
use super::screening::{Allowance, SCREENING_SHARE, refine};
use super::session::{self, seconds_of, seconds_per_trial};
use super::{sha256_of, utc_now};
use crate::failure::Failure;
use crate::host;
use crate::measure::{CeilingOptions, measure_ceiling};
use crate::profile::Profile;
use crate::scratch::{Interrupts, Scratch};
use crate::stats::MIN_BLOCKS;
use crate::store::RunFolder;
use crate::store::schema::{Ceiling, Manifest, Plan, RunStatus, Screening};

/// The ceiling takes as long as this many trials, within bounds, for each of its two parts.
const CEILING_TRIALS: f64 = 4.0;
const CEILING_SECONDS_MIN: f64 = 0.5;
const CEILING_SECONDS_MAX: f64 = 5.0;
const CEILING_PARTS: f64 = 2.0;

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) profile: &'a Profile,
    pub(super) target: &'a Target,
    pub(super) folder: &'a RunFolder,
    pub(super) interrupts: &'a Interrupts,
    /// When this session began.
    pub(super) began: Instant,
}

/// What the ceiling takes.
pub(super) fn ceiling_seconds(trial: Duration) -> f64 {
    CEILING_PARTS * part_seconds(trial.as_secs_f64())
}

fn part_seconds(trial_seconds: f64) -> f64 {
    (trial_seconds * CEILING_TRIALS).clamp(CEILING_SECONDS_MIN, CEILING_SECONDS_MAX)
}

impl Run<'_> {
    /// Measures what is not stored yet, and finishes the manifest. Returns whether Ctrl-C ended it.
    pub(super) fn measure(&self, manifest: &mut Manifest, quiet: bool) -> Result<bool, Failure> {
        let spent = self.spent_before(manifest).map_err(Failure::Broken)?;
        let time = Time { budget: None, before: spent, began: self.began };
        if !self.has_ceiling(manifest) {
            let ceiling = self.ceiling(manifest);
            manifest.ceiling = Some(self.kept(ceiling)?);
        }
        self.kept(self.folder.write_manifest(manifest))?;
        let mut status = self.screen(manifest, time, quiet)?;
        if status == RunStatus::Complete {
            self.check_space(manifest, None)?;
            let stored = self.kept(self.folder.trials())?;
            let rounds = Rounds {
                plan: &manifest.plan,
                trace: self.profile.trace(),
                name: "block",
                stored: &stored,
                time: Time { budget: self.budget(manifest), ..time },
                min_blocks: self.profile.min_blocks,
                target: self.target,
                folder: self.folder,
                interrupts: self.interrupts,
            };
            status = self.kept(rounds.run(Progress::new(quiet)))?;
        }
        self.kept(self.finish(manifest, status))?;
        if status == RunStatus::Interrupted {
            let folder = self.folder.path().display();
            Progress::new(quiet).notice(&format!("go on with: plimsoll sweep --resume {folder}"));
        }
        Ok(self.interrupts.requested())
    }

    /// Runs the screening and puts the plan that follows from it into the manifest, unless there is
    /// none or that is done. Anything but complete ends the run.
    fn screen(
        &self,
        manifest: &mut Manifest,
        time: Time,
        quiet: bool,
    ) -> Result<RunStatus, Failure> {
        let Some(screening) = manifest.screening.clone().filter(|found| found.axes.is_empty())
        else {
            return Ok(RunStatus::Complete);
        };
        self.check_space(manifest, Some(&screening.plan))?;
        let folder = self.folder.screening();
        let stored = self.kept(folder.trials())?;
        let rounds = Rounds {
            plan: &screening.plan,
            trace: self.profile.trace(),
            name: "screening block",
            stored: &stored,
            time: Time {
                budget: self.budget(manifest).map(|time| time.mul_f64(SCREENING_SHARE)),
                ..time
            },
            min_blocks: u32::try_from(MIN_BLOCKS).unwrap_or(u32::MAX),
            target: self.target,
            folder: &folder,
            interrupts: self.interrupts,
        };
        match self.kept(rounds.run(Progress::new(quiet)))? {
            RunStatus::Complete | RunStatus::TimeBudget => {}
            ended => return Ok(ended),
        }
        // From what is stored, as whoever resumes would.
        let trials = self.kept(folder.trials())?;
        let plan = &screening.plan;
        let per_trial = seconds_per_trial(plan, &trials);
        let taken = self.ceiling_seconds(manifest) + seconds_of(plan, &trials);
        let given = manifest.time_seconds.unwrap_or_default();
        let left = Allowance::of(self.profile, given - taken, per_trial);
        let refinement = refine(self.profile, plan, &trials, &left);
        let progress = Progress::new(quiet);
        for axis in &refinement.axes {
            progress.notice(&axis.sentence);
        }
        manifest.plan_sha256 = sha256_of(&refinement.plan);
        manifest.plan = refinement.plan;
        manifest.screening = Some(Screening { axes: refinement.axes, ..screening });
        self.kept(self.folder.write_manifest(manifest))?;
        Ok(RunStatus::Complete)
    }

    /// `--time`, or else what the profile says.
    fn budget(&self, manifest: &Manifest) -> Option<Duration> {
        let given = manifest.time_seconds.and_then(|time| Duration::try_from_secs_f64(time).ok());
        given.or(self.profile.time_budget)
    }

    /// What is stored has taken that long.
    fn spent_before(&self, manifest: &Manifest) -> Result<Duration> {
        let screened = match &manifest.screening {
            Some(screening) => seconds_of(&screening.plan, &self.folder.screening().trials()?),
            None => 0.0,
        };
        let ceiling = manifest.ceiling.as_ref().map_or(0.0, |_| self.ceiling_seconds(manifest));
        let trials = seconds_of(&manifest.plan, &self.folder.trials()?);
        Ok(Duration::try_from_secs_f64(screened + ceiling + trials).unwrap_or_default())
    }

    /// Whether the ceiling is measured or not wanted. It comes before the first trial, so where it
    /// is missing there is none.
    fn has_ceiling(&self, manifest: &Manifest) -> bool {
        manifest.ceiling.is_some() || manifest.without_ceiling
    }

    fn ceiling_seconds(&self, manifest: &Manifest) -> f64 {
        if manifest.without_ceiling { 0.0 } else { ceiling_seconds(self.profile.trial) }
    }

    fn ceiling(&self, manifest: &Manifest) -> Result<Ceiling> {
        let options = CeilingOptions {
            physical_block_bytes: manifest.environment_before.physical_block_bytes,
            duration: Duration::from_secs_f64(part_seconds(manifest.plan.trial_seconds)),
        };
        let scratch = Scratch::create(self.target.path(), self.interrupts)?;
        let ceiling = measure_ceiling(scratch.path(), &options)?;
        scratch.remove()?;
        Ok(ceiling)
    }

    /// Whether the largest trial of the manifest's plan, or of another one, fits, at the speed that
    /// the device has. If not, the run ends here.
    fn check_space(&self, manifest: &mut Manifest, plan: Option<&Plan>) -> Result<(), Failure> {
        let speed = manifest.ceiling.as_ref().map(|ceiling| ceiling.durable_bytes_per_second);
        let free_bytes = host::capture(self.target.path()).free_bytes;
        let plan = plan.unwrap_or(&manifest.plan);
        if let Err(error) = check_space(plan, free_bytes, speed) {
            self.kept(self.finish(manifest, RunStatus::Failed))?;
            return Err(Failure::Refused(error));
        }
        Ok(())
    }

    fn finish(&self, manifest: &mut Manifest, status: RunStatus) -> Result<()> {
        session::end(manifest);
        manifest.status = status;
        manifest.finished_utc = Some(utc_now());
        manifest.environment_after = Some(host::capture(self.target.path()));
        self.folder.write_manifest(manifest)
    }

    /// An error that ends the run says where what was measured is.
    fn kept<T>(&self, outcome: Result<T>) -> Result<T, Failure> {
        let folder = self.folder.path().display();
        let kept = || {
            format!(
                "the sweep broke off; what was measured is in {folder}, and `plimsoll sweep \
                 --resume {folder}` goes on with it"
            )
        };
        outcome.with_context(kept).map_err(Failure::Broken)
    }
}
