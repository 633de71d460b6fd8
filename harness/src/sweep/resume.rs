//! `plimsoll sweep --resume`: whether a stored run may be gone on with, and from where.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};

use super::preflight::Target;
use super::progress::Progress;
use super::run::Run;
use super::session;
use super::stored::missing;
use super::{Outcome, preview, sha256_of};
use crate::cli::SweepArgs;
use crate::failure::Failure;
use crate::host;
use crate::profile::Profile;
use crate::scratch::{Interrupts, remove_left_behind};
use crate::store::RunFolder;
use crate::store::capacity::{RunKind, run_kind};
use crate::store::identity::{Difference, Weight, differences};
use crate::store::schema::{
    Environment, Manifest, Plan, RunStatus, SCHEMA_VERSION, TrialResult, TrialStatus,
};

/// Goes on with the run in `path`.
///
/// # Errors
/// See [`Failure`].
pub(super) fn resume(args: &SweepArgs, path: &Path) -> Result<Outcome, Failure> {
    if run_kind(path).map_err(Failure::Usage)? == RunKind::Capacity {
        let path = path.display();
        return Err(Failure::Usage(anyhow!(
            "{path} holds a capacity run, and only a sweep can be gone on with; start it again"
        )));
    }
    let (folder, manifest) = RunFolder::open(path).map_err(Failure::Usage)?;
    if args.dry_run {
        let held = Held::read(&folder, &manifest).map_err(|e| damaged(path, e))?;
        return Ok(Outcome::Planned(preview::rest(&manifest, held.missing)));
    }
    let began = Instant::now();
    let lock = folder.lock().map_err(Failure::Usage)?.ok_or_else(|| {
        Failure::Refused(anyhow!(
            "{} is being measured by another plimsoll; wait until that is through",
            path.display()
        ))
    })?;
    // Again, now that nobody else writes it.
    let (folder, mut manifest) = RunFolder::open(path).map_err(Failure::Usage)?;
    let held = Held::read(&folder, &manifest).map_err(|error| damaged(path, error))?;
    if held.is_finished(&manifest) {
        let note = "nothing is left to measure; its report is made again";
        Progress::new(args.quiet).notice(&format!("{}: {note}", path.display()));
        return Ok(Outcome::Ran { folder: path.to_path_buf(), interrupted: false });
    }
    let manifest_path = path.join("manifest.json");
    let profile = Profile::stored(&manifest_path, &manifest.profile_toml, &manifest.plan)
        .map_err(|error| Failure::Usage(error.into()))?;
    let changed = changed(&manifest, path, args)?;

    let target = Path::new(&manifest.environment_before.target).to_path_buf();
    let interrupts = Interrupts::install().map_err(Failure::Broken)?;
    for session in manifest.sessions.iter().filter(|session| session.finished_utc.is_none()) {
        remove_left_behind(&target, session.process_id).map_err(Failure::Broken)?;
    }
    let target = Target::prepare(&target, &interrupts)?;
    reopen(&mut manifest, &held, changed);
    folder.write_manifest(&manifest).map_err(Failure::Broken)?;
    let note = format!("{} trials are stored, {} are left", held.count(), held.left());
    Progress::new(args.quiet).notice(&note);
    let run =
        Run { profile: &profile, target: &target, folder: &folder, interrupts: &interrupts, began };
    let interrupted = run.measure(&mut manifest, args.quiet)?;
    drop(lock);
    Ok(Outcome::Ran { folder: path.to_path_buf(), interrupted })
}

/// What a run's folder holds.
struct Held {
    screened: Vec<TrialResult>,
    trials: Vec<TrialResult>,
    missing: Missing,
}

/// Trials that are not stored yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// Of a screening that is not through; its plan's trials come on top.
    pub(super) screening: Option<usize>,
    pub(super) trials: usize,
}

impl Held {
    /// Reads the journals and holds them against the plans.
    fn read(folder: &RunFolder, manifest: &Manifest) -> Result<Self> {
        has_hash(&manifest.plan, &manifest.plan_sha256)?;
        let (screened, screening) = match &manifest.screening {
            None => (Vec::new(), None),
            Some(screening) => {
                has_hash(&screening.plan, &screening.plan_sha256).context("its screening")?;
                let screened = folder.screening().trials()?;
                let missing = missing(&screening.plan, &screened).context("its screening")?;
                (screened, screening.axes.is_empty().then_some(missing))
            }
        };
        let trials = folder.trials()?;
        let missing = Missing { screening, trials: missing(&manifest.plan, &trials)? };
        Ok(Self { screened, trials, missing })
    }

    /// Whether the run ended by itself, and a resumption would find nothing to do. One that was
    /// stopped by a full disk, or because everything failed, goes on.
    fn is_finished(&self, manifest: &Manifest) -> bool {
        let lost_data = |trials: &[TrialResult]| {
            trials.iter().any(|trial| matches!(trial.status, TrialStatus::Failed { .. }))
        };
        match manifest.status {
            RunStatus::Complete | RunStatus::TimeBudget => true,
            RunStatus::Running | RunStatus::Interrupted => false,
            RunStatus::Failed => match self.missing.screening {
                Some(missing) => missing == 0 && lost_data(&self.screened),
                None => self.missing.trials == 0,
            },
        }
    }

    fn count(&self) -> usize {
        self.screened.len() + self.trials.len()
    }

    fn left(&self) -> String {
        match self.missing.screening {
            Some(screening) => format!("{screening} of the screening, and then the run's own,"),
            None => self.missing.trials.to_string(),
        }
    }
}

/// Puts a run that ended, or was killed, back under way.
fn reopen(manifest: &mut Manifest, held: &Held, changed: Vec<String>) {
    let split = match &manifest.screening {
        Some(screening) if held.missing.screening.is_some() => {
            session::split_block(&screening.plan, &held.screened, true)
        }
        _ => session::split_block(&manifest.plan, &held.trials, false),
    };
    SCHEMA_VERSION.clone_into(&mut manifest.schema_version);
    manifest.status = RunStatus::Running;
    manifest.finished_utc = None;
    manifest.environment_after = None;
    session::begin(manifest, held.count(), split, changed);
}

/// What is not as it was when the run began. Another machine, device or build refuses, unless it is
/// forced.
fn changed(manifest: &Manifest, path: &Path, args: &SweepArgs) -> Result<Vec<String>, Failure> {
    let target = Path::new(&manifest.environment_before.target);
    let here = Manifest { environment_before: host::capture(target), ..manifest.clone() };
    let found = differences(manifest, &here);
    let mut refusals: Vec<String> = found
        .iter()
        .filter(|found| found.weight == Weight::Refuses || found.is_build())
        .map(ToString::to_string)
        .collect();
    refusals.extend(another_disk(&manifest.environment_before, &here.environment_before));
    let is_told = |found: &&Difference| found.weight == Weight::IsTold && !found.is_build();
    let told = found.iter().filter(is_told).map(ToString::to_string);
    if !refusals.is_empty() && !args.force {
        return Err(Failure::Refused(anyhow!(
            "{} was measured where something else was in place, and its trials would not compare \
             with more from here: {}; start a new run, or go on regardless with --force",
            path.display(),
            refusals.join("; ")
        )));
    }
    Ok(refusals.into_iter().chain(told).collect())
}

/// A device without a serial number is known by its name.
fn another_disk(before: &Environment, here: &Environment) -> Option<String> {
    let has_serial = before.device_serial_hash.is_some() || here.device_serial_hash.is_some();
    let name = |environment: &Environment| {
        environment.device.clone().unwrap_or_else(|| "unknown".to_owned())
    };
    let (before, here) = (name(before), name(here));
    (!has_serial && before != here).then(|| format!("device is {before} and {here}"))
}

fn has_hash(plan: &Plan, sha256: &str) -> Result<()> {
    if sha256_of(plan) != sha256 {
        bail!(
            "its plan does not have the hash that the manifest states, so it was changed or is \
             damaged; start a new run"
        );
    }
    Ok(())
}

fn damaged(path: &Path, error: anyhow::Error) -> Failure {
    Failure::Refused(error.context(format!("{} cannot be resumed", path.display())))
}
