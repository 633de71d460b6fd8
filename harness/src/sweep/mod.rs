//! `plimsoll sweep`: runs a profile's plan and leaves a run's folder behind.
//!
//! The order of things is the point here: what could refuse the run is checked before anything is
//! written, the manifest is there before the first trial, each trial is stored before the next one
//! starts, and whatever ends a run early, whole trials are kept. What the numbers mean is for
//! those who read the folder.

mod outcome;
mod preflight;
mod preview;
mod progress;
mod rounds;
mod trial;

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::cli::SweepArgs;
use crate::host;
use crate::measure::{CeilingOptions, measure_ceiling};
use crate::profile::Profile;
use crate::scratch::{Interrupts, Scratch};
use crate::store::RunFolder;
use crate::store::schema::{Ceiling, Environment, Manifest, Plan, RunStatus};

use preflight::Target;
use progress::Progress;
use rounds::Rounds;

/// The ceiling takes as long as this many trials, within bounds, for each of its two parts.
const CEILING_TRIALS: f64 = 4.0;
const CEILING_SECONDS_MIN: f64 = 0.5;
const CEILING_SECONDS_MAX: f64 = 5.0;

/// What a sweep came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// `--dry-run`: the plan, for people. Nothing was written.
    Planned(String),
    /// Trials were run and stored.
    Ran {
        /// The run's folder.
        folder: PathBuf,
        /// Whether Ctrl-C ended it.
        interrupted: bool,
    },
}

/// Why there was no sweep, or only a part of one.
#[derive(Debug)]
pub(crate) enum SweepError {
    /// The command line or the profile is wrong.
    Usage(anyhow::Error),
    /// Running would not be safe, or not possible on this disk. Nothing was left there.
    Refused(anyhow::Error),
    /// The run broke off: its results could not be stored, or its files not be removed.
    Broken(anyhow::Error),
}

impl fmt::Display for SweepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(error) | Self::Refused(error) | Self::Broken(error)) = self;
        write!(f, "{error:#}")
    }
}

/// Runs the sweep that the command line asks for.
///
/// # Errors
/// See [`SweepError`]; each is one sentence that says what to do.
pub(crate) fn run(args: &SweepArgs) -> Result<Outcome, SweepError> {
    let profile = Profile::load(&args.profile).map_err(|error| SweepError::Usage(error.into()))?;
    // Short enough to be typed again.
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let plan = profile.plan(seed);
    let environment = host::capture(&args.target);
    if args.dry_run {
        return Ok(Outcome::Planned(preview::text(&profile, &plan, &environment)));
    }

    let interrupts = Interrupts::install().map_err(SweepError::Broken)?;
    let target = Target::prepare(&args.target, &interrupts)?;
    let free = preflight::check_space(&plan, environment.free_bytes, None);
    if let Err(error) = free {
        target.undo();
        return Err(SweepError::Refused(error));
    }
    // Again, now that the target exists.
    let environment = host::capture(&args.target);
    let mut manifest = manifest(&profile, plan, environment);
    let folder = RunFolder::create(&args.out, &mut manifest).map_err(|error| {
        target.undo();
        SweepError::Usage(error)
    })?;
    let run = Run { profile: &profile, target: &target, folder: &folder, interrupts: &interrupts };
    let interrupted = run.measure(&mut manifest, Progress::new(args.quiet))?;
    Ok(Outcome::Ran { folder: folder.path().to_path_buf(), interrupted })
}

/// A run under way.
struct Run<'a> {
    profile: &'a Profile,
    target: &'a Target,
    folder: &'a RunFolder,
    interrupts: &'a Interrupts,
}

impl Run<'_> {
    /// Measures the ceiling and the blocks, and finishes the manifest. Returns whether Ctrl-C
    /// ended it.
    fn measure(&self, manifest: &mut Manifest, progress: Progress) -> Result<bool, SweepError> {
        let began = Instant::now();
        let kept = || {
            format!("the sweep broke off; what was measured is in {}", self.folder.path().display())
        };
        let ceiling = self.ceiling(manifest).with_context(kept).map_err(SweepError::Broken)?;
        let space = preflight::check_space(
            &manifest.plan,
            host::capture(self.target.path()).free_bytes,
            Some(ceiling.durable_bytes_per_second),
        );
        manifest.ceiling = Some(ceiling);
        if let Err(error) = space {
            self.finish(manifest, RunStatus::Failed).map_err(SweepError::Broken)?;
            return Err(SweepError::Refused(error));
        }
        self.folder.write_manifest(manifest).with_context(kept).map_err(SweepError::Broken)?;
        let rounds = Rounds {
            plan: &manifest.plan,
            trace: self.profile.trace(),
            time_budget: self.profile.time_budget,
            min_blocks: self.profile.min_blocks,
            began,
            target: self.target,
            folder: self.folder,
            interrupts: self.interrupts,
        };
        let status = rounds.run(progress).with_context(kept).map_err(SweepError::Broken)?;
        self.finish(manifest, status).with_context(kept).map_err(SweepError::Broken)?;
        Ok(self.interrupts.requested())
    }

    fn ceiling(&self, manifest: &Manifest) -> Result<Ceiling> {
        let seconds = (manifest.plan.trial_seconds * CEILING_TRIALS)
            .clamp(CEILING_SECONDS_MIN, CEILING_SECONDS_MAX);
        let options = CeilingOptions {
            physical_block_bytes: manifest.environment_before.physical_block_bytes,
            duration: Duration::from_secs_f64(seconds),
        };
        let scratch = Scratch::create(self.target.path(), self.interrupts)?;
        let ceiling = measure_ceiling(scratch.path(), &options)?;
        scratch.remove()?;
        Ok(ceiling)
    }

    fn finish(&self, manifest: &mut Manifest, status: RunStatus) -> Result<()> {
        manifest.status = status;
        manifest.finished_utc = Some(utc_now());
        manifest.environment_after = Some(host::capture(self.target.path()));
        self.folder.write_manifest(manifest)
    }
}

fn manifest(profile: &Profile, plan: Plan, environment: Environment) -> Manifest {
    Manifest {
        // Both are filled in as the folder is made.
        schema_version: String::new(),
        run_id: String::new(),
        profile_name: profile.name.clone(),
        profile_description: profile.description.clone(),
        profile_toml: profile.text().to_owned(),
        snia_steady_state: profile.snia_steady_state,
        argv: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
        started_utc: utc_now(),
        finished_utc: None,
        status: RunStatus::Running,
        plan_sha256: sha256_of(&plan),
        plan,
        ceiling: None,
        environment_before: environment,
        environment_after: None,
    }
}

/// Of the plan's JSON without white space, as hexadecimal digits.
fn sha256_of(plan: &Plan) -> String {
    let json = serde_json::to_vec(plan).unwrap_or_default();
    Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Now, to the millisecond, as RFC 3339.
fn utc_now() -> String {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_written_as_the_store_reads_it() {
        let now = utc_now();
        assert!(now.ends_with('Z') && now.parse::<Timestamp>().is_ok(), "{now}");
    }

    #[test]
    fn the_plans_hash_is_that_of_its_json() {
        let text = "name = \"x\"\ndescription = \"x\"\ncost = \"x\"\nsnia_steady_state = false\n\
                    [run]\ntrial = \"10ms\"\nwarmup = \"0\"\nblocks = 1\nmin_blocks = 1\n";
        let profile = Profile::parse("x.toml".as_ref(), text).expect("valid");
        let hash = sha256_of(&profile.plan(1));
        assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
        assert_eq!(hash, sha256_of(&profile.plan(1)));
        assert_ne!(hash, sha256_of(&profile.plan(2)), "the seed is part of the plan");
    }
}
