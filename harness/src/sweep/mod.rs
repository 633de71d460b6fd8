//! `plimsoll sweep`: runs a profile's plan and leaves a run's folder behind.
//!
//! The order of things is the point here: what could refuse the run is checked before anything is
//! written, the manifest is there before the first trial, each trial is stored before the next one
//! starts, and whatever ends a run early, whole trials are kept and the run can be resumed. What the
//! numbers mean is for those who read the folder.

mod outcome;
mod preflight;
mod preview;
mod progress;
mod resume;
mod rounds;
mod run;
mod screening;
mod session;
mod stored;
mod trial;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, anyhow};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::cli::SweepArgs;
use crate::failure::Failure;
use crate::host;
use crate::profile::Profile;
use crate::scratch::Interrupts;
use crate::store::RunFolder;
use crate::store::schema::{Environment, Manifest, Plan, RunStatus, Screening};

use preflight::Target;
use run::{Run, ceiling_seconds};
use screening::Approach;

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

/// Runs the sweep that the command line asks for, or goes on with one.
///
/// # Errors
/// See [`Failure`]; each is one sentence that says what to do.
pub(crate) fn run(args: &SweepArgs) -> Result<Outcome, Failure> {
    match (&args.resume, &args.profile) {
        (Some(folder), _) => resume::resume(args, folder),
        (None, Some(path)) => {
            let profile = Profile::load(path).map_err(|error| Failure::Usage(error.into()))?;
            start(args, &profile)
        }
        (None, None) => Err(Failure::Usage(anyhow!("name a profile, or a run to resume"))),
    }
}

fn start(args: &SweepArgs, profile: &Profile) -> Result<Outcome, Failure> {
    // Short enough to be typed again.
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let before_trials = if args.no_ceiling { 0.0 } else { ceiling_seconds(profile.trial) };
    let approach = Approach::choose(profile, seed, args.time, before_trials)?;
    let environment = host::capture(&args.target);
    if args.dry_run {
        return Ok(Outcome::Planned(preview::text(profile, args, &approach, &environment)));
    }

    let began = Instant::now();
    let interrupts = Interrupts::install().map_err(Failure::Broken)?;
    let target = Target::prepare(&args.target, &interrupts)?;
    let free = preflight::check_space(approach.first_plan(), environment.free_bytes, None);
    if let Err(error) = free {
        target.undo();
        return Err(Failure::Refused(error));
    }
    // Again, now that the target exists.
    let environment = host::capture(&args.target);
    let mut manifest = manifest(profile, args, approach, environment);
    let made = RunFolder::create(&args.out, &mut manifest).and_then(|folder| {
        let lock = folder.lock()?;
        Ok((folder, lock))
    });
    let (folder, _lock) = made.map_err(|error| {
        target.undo();
        Failure::Usage(error)
    })?;
    let run = Run { profile, target: &target, folder: &folder, interrupts: &interrupts, began };
    let interrupted = run.measure(&mut manifest, args.quiet)?;
    Ok(Outcome::Ran { folder: folder.path().to_path_buf(), interrupted })
}

fn manifest(
    profile: &Profile,
    args: &SweepArgs,
    approach: Approach,
    environment: Environment,
) -> Manifest {
    let (plan, screening) = match approach {
        Approach::Full(plan) => (plan, None),
        Approach::Screening { plan, design, .. } => {
            let not_yet = Plan { axes: Vec::new(), configurations: Vec::new(), ..plan.clone() };
            let plan_sha256 = sha256_of(&plan);
            (not_yet, Some(Screening { design, plan, plan_sha256, axes: Vec::new() }))
        }
    };
    let mut manifest = Manifest {
        // Both are filled in as the folder is made.
        schema_version: String::new(),
        run_id: String::new(),
        profile_name: profile.name.clone(),
        profile_description: profile.description.clone(),
        profile_toml: profile.text().to_owned(),
        snia_steady_state: profile.snia_steady_state,
        argv: session::argv(),
        started_utc: utc_now(),
        finished_utc: None,
        status: RunStatus::Running,
        plan_sha256: sha256_of(&plan),
        plan,
        ceiling: None,
        environment_before: environment,
        environment_after: None,
        without_ceiling: args.no_ceiling,
        time_seconds: args.time.map(|time| time.as_secs_f64()),
        screening,
        sessions: Vec::new(),
    };
    session::begin(&mut manifest, 0, None, Vec::new());
    manifest
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
