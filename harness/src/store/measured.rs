//! One measurement to compare or to put into a history: a run, or a folder of runs of one plan
//! that were made one after another, whose blocks then count together. The second is how two
//! builds are measured in turns: a block of the one, a block of the other, and so on.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use super::identity::{Weight, differences};
use super::observations::{Fate, Observations, SentinelPair};
use super::quantity::Quantity;
use super::schema::{Configuration, Manifest, Plan, TrialResult};
use super::{MANIFEST, RunFolder};

/// A stored run, read.
#[derive(Clone, Debug)]
pub(crate) struct StoredRun {
    /// What was run, where, and how it ended.
    pub(crate) manifest: Manifest,
    /// Its trials, sentinels included, in the order they ran.
    pub(crate) trials: Vec<TrialResult>,
}

/// One or more runs of one plan on one machine, oldest first; never none.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Name of its folder.
    pub(crate) name: String,
    /// The runs.
    pub(crate) runs: Vec<StoredRun>,
}

/// A whole block: the trial of each configuration, by its place in the plan.
#[derive(Clone, Debug)]
pub(crate) struct Block<'a> {
    /// Start of its first trial.
    pub(crate) began: Option<Timestamp>,
    /// `None` for a configuration that did not run well everywhere.
    pub(crate) trials: Vec<Option<&'a TrialResult>>,
}

/// What a measurement's trials are evidence of.
#[derive(Clone, Debug)]
pub(crate) struct Evidence<'a> {
    /// Fate of each configuration of the plan; the worst of all runs.
    pub(crate) fates: Vec<Fate>,
    /// Whole blocks of all runs, oldest first.
    pub(crate) blocks: Vec<Block<'a>>,
    /// The sentinel pairs of those blocks.
    pub(crate) sentinels: Vec<SentinelPair<'a>>,
}

impl Measured {
    /// Reads a run's folder, or all runs in a folder.
    ///
    /// # Errors
    /// When it is neither, a run is damaged or of another major schema version, or the runs in it
    /// are not of one plan on one machine with one build.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let folders = if is_run(path) { vec![path.to_path_buf()] } else { runs_in(path)? };
        let runs: Vec<StoredRun> =
            folders.iter().map(|folder| StoredRun::open(folder)).collect::<Result<_>>()?;
        let Some(first) = runs.first() else {
            bail!(
                "{} is neither a run nor a folder of runs: name a folder that a sweep made, or one \
                 that holds several of them",
                path.display()
            );
        };
        for run in &runs[1..] {
            let (a, b) = (&first.manifest, &run.manifest);
            let differ = differences(a, b)
                .into_iter()
                .find(|difference| difference.weight == Weight::Refuses || difference.is_build());
            if let Some(differ) = differ {
                bail!(
                    "the runs in {} do not belong together: {differ} ({} and {})",
                    path.display(),
                    a.run_id,
                    b.run_id
                );
            }
        }
        let name = path.file_name().map_or_else(
            || first.manifest.run_id.clone(),
            |name| name.to_string_lossy().into_owned(),
        );
        Ok(Self { name, runs })
    }

    /// The manifest of the first run: plan, machine and build are those of every other one.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.runs[0].manifest
    }

    /// The plan's configurations.
    pub(crate) fn configurations(&self) -> &[Configuration] {
        &self.manifest().plan.configurations
    }

    /// Sorts the trials into blocks.
    pub(crate) fn evidence(&self) -> Evidence<'_> {
        let count = self.configurations().len();
        let mut evidence = Evidence {
            fates: vec![Fate::Unmeasured; count],
            blocks: Vec::new(),
            sentinels: Vec::new(),
        };
        for run in &self.runs {
            let observations = Observations::new(&run.manifest.plan, &run.trials);
            for (fate, found) in evidence.fates.iter_mut().zip(&observations.fates) {
                *fate = worse(fate, found);
            }
            let block = |block: &u32| {
                let trials: Vec<Option<&TrialResult>> =
                    (0..count).map(|config| observations.trial(config, *block)).collect();
                let starts = trials.iter().flatten().filter_map(|t| t.started_utc.parse().ok());
                Block { began: starts.min(), trials }
            };
            evidence.blocks.extend(observations.blocks.iter().map(block));
            evidence.sentinels.extend(observations.sentinels);
        }
        evidence.blocks.sort_by_key(|block| block.began);
        evidence
    }
}

impl Evidence<'_> {
    /// The logarithm of a number in each block. `None` unless every block has it: a percentile that
    /// only the blocks with many commits support would be a percentile of those blocks.
    pub(crate) fn logs(&self, config: usize, quantity: Quantity) -> Option<Vec<f64>> {
        let value = |block: &Block<'_>| Some(quantity.of(block.trials[config]?)?.ln());
        self.blocks.iter().map(value).collect()
    }
}

/// The mean over configurations in each block, of as many blocks as the first one has.
pub(crate) fn means_by_block(configurations: &[&[f64]]) -> Vec<f64> {
    let blocks = configurations.first().map_or(0, |blocks| blocks.len());
    let mean = |block: usize| {
        let values = configurations.iter().map(|blocks| blocks[block]);
        values.sum::<f64>() / configurations.len() as f64
    };
    (0..blocks).map(mean).collect()
}

impl StoredRun {
    fn open(path: &Path) -> Result<Self> {
        let (folder, manifest) = RunFolder::open(path)?;
        Ok(Self { manifest, trials: folder.trials()? })
    }
}

/// What the axes of a plan say of one of its configurations: `encryption=true, engine=uring`, or
/// its id where the plan is not every combination of its axes.
pub(crate) fn label(plan: &Plan, config: usize) -> String {
    let id = || plan.configurations[config].id.clone();
    let combinations: usize = plan.axes.iter().map(|axis| axis.levels.len()).product();
    if combinations != plan.configurations.len() {
        return id();
    }
    let mut remainder = config;
    let mut words = Vec::new();
    for axis in plan.axes.iter().rev() {
        let level = &axis.levels[remainder % axis.levels.len()];
        remainder /= axis.levels.len();
        if axis.levels.len() > 1 {
            words.push(format!("{}={level}", axis.name));
        }
    }
    words.reverse();
    if words.is_empty() { id() } else { words.join(", ") }
}

/// Whether the folder is a run's.
fn is_run(path: &Path) -> bool {
    path.join(MANIFEST).is_file()
}

/// The folders in a folder that are runs or hold some, by name, which begins with the time for
/// those that a sweep made.
///
/// # Errors
/// When the folder cannot be listed.
pub(crate) fn measurements_in(path: &Path) -> Result<Vec<PathBuf>> {
    let holds_runs = |path: &PathBuf| {
        is_run(path) || folders_in(path).is_ok_and(|inner| inner.iter().any(|path| is_run(path)))
    };
    Ok(folders_in(path)?.into_iter().filter(holds_runs).collect())
}

fn runs_in(path: &Path) -> Result<Vec<PathBuf>> {
    Ok(folders_in(path)?.into_iter().filter(|path| is_run(path)).collect())
}

fn folders_in(path: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        let entries: Vec<PathBuf> = fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<std::io::Result<_>>()?;
        Ok(entries.into_iter().filter(|path| path.is_dir()).collect())
    };
    let mut folders = read().with_context(|| format!("cannot list {}", path.display()))?;
    folders.sort();
    Ok(folders)
}

fn worse(known: &Fate, found: &Fate) -> Fate {
    let rank = |fate: &Fate| match fate {
        Fate::Unmeasured => 0,
        Fate::Measured => 1,
        Fate::RateNotKept(_) => 2,
        Fate::Refused(_) => 3,
        Fate::Failed(_) => 4,
    };
    if rank(found) > rank(known) { found.clone() } else { known.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::TrialFiles;
    use crate::store::synthetic::SyntheticRun;

    /// Stores a synthetic run in `out`.
    fn stored(out: &Path, mut run: SyntheticRun) -> PathBuf {
        let folder = RunFolder::create(out, &mut run.manifest).expect("create");
        for trial in &run.trials {
            folder.record_trial(trial, TrialFiles::default()).expect("record");
        }
        folder.path().to_path_buf()
    }

    fn later(mut run: SyntheticRun, minutes: u32) -> SyntheticRun {
        let time = format!("2025-11-22T22:{minutes:02}:00Z");
        run.manifest.started_utc.clone_from(&time);
        for trial in &mut run.trials {
            trial.started_utc.clone_from(&time);
        }
        run
    }

    #[test]
    fn a_folder_of_runs_is_one_measurement_of_all_their_blocks() {
        let out = tempfile::tempdir().expect("temporary folder");
        let first = stored(out.path(), later(SyntheticRun::small(), 1));
        stored(out.path(), later(SyntheticRun::small(), 2));
        let (one, both) = (Measured::open(&first), Measured::open(out.path()));
        let (one, both) = (one.expect("a run"), both.expect("runs"));
        assert_eq!((one.runs.len(), both.runs.len()), (1, 2));
        let blocks = |measured: &Measured| {
            let evidence = measured.evidence();
            assert!(evidence.blocks.is_sorted_by_key(|block| block.began));
            (evidence.blocks.len(), evidence.sentinels.len())
        };
        assert_eq!((blocks(&one), blocks(&both)), ((3, 3), (6, 6)));
    }

    #[test]
    fn runs_of_two_plans_machines_or_builds_are_no_measurement() {
        for change in [
            (|m: &mut Manifest| m.plan.trial_seconds = 1.0) as fn(&mut Manifest),
            |m| "other".clone_into(&mut m.environment_before.hostname),
            |m| "0.2.0 release".clone_into(&mut m.environment_before.plimsoll_version),
        ] {
            let out = tempfile::tempdir().expect("temporary folder");
            stored(out.path(), later(SyntheticRun::small(), 1));
            let mut other = later(SyntheticRun::small(), 2);
            change(&mut other.manifest);
            stored(out.path(), other);
            let error = format!("{:#}", Measured::open(out.path()).expect_err("two kinds"));
            assert!(error.contains("do not belong together"), "{error}");
        }
    }

    #[test]
    fn a_folder_without_runs_is_said_to_be_none() {
        let out = tempfile::tempdir().expect("temporary folder");
        for path in [out.path(), &out.path().join("missing")] {
            let error = format!("{:#}", Measured::open(path).expect_err("no runs"));
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
    }

    #[test]
    fn a_history_is_runs_and_folders_of_runs() {
        let out = tempfile::tempdir().expect("temporary folder");
        let run = stored(out.path(), later(SyntheticRun::small(), 1));
        let night = out.path().join("2026-01-02");
        stored(&night, later(SyntheticRun::small(), 2));
        fs::create_dir(out.path().join("empty")).expect("a folder");
        assert_eq!(measurements_in(out.path()).expect("listed"), [run, night]);
    }

    #[test]
    fn labels_say_what_the_axes_vary() {
        let plan = SyntheticRun::small().manifest.plan;
        assert_eq!(label(&plan, 0), "engine=uring, encryption=false");
        assert_eq!(label(&plan, 3), "engine=blocking, encryption=true");
        let mut some = plan.clone();
        some.configurations.pop();
        assert_eq!(label(&some, 1), "c01");
        let alone = SyntheticRun::build(&[("engine", &["uring"])], 1).manifest.plan;
        assert_eq!(label(&alone, 0), "c00");
    }
}
