//! The folder of a capacity run, beside the one of a sweep, and which of the two a folder is.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{CapacityAnalysis, CapacityManifest, CapacityTrial, KIND};
use crate::store::files::{cannot_write, create_folders, read_json, replace_file, sync_folder};
use crate::store::schema::SCHEMA_VERSION;
use crate::store::{
    ANALYSIS, JOURNAL, LATENCY, MANIFEST, RunFolder, TRIALS, TrialFiles, create_named, journal,
    json,
};

/// Which kind of run a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunKind {
    Sweep,
    Capacity,
}

/// Looks into the manifest of the run in `path`.
///
/// # Errors
/// When there is none, or it is damaged.
pub(crate) fn run_kind(path: &Path) -> Result<RunKind> {
    #[derive(Deserialize)]
    struct Kind {
        kind: Option<String>,
    }
    let manifest = path.join(MANIFEST);
    // Whoever opens the folder says what is wrong with one that is none.
    let kind = if manifest.is_file() { read_json::<Kind>(&manifest)?.kind } else { None };
    match kind.as_deref() {
        None => Ok(RunKind::Sweep),
        Some(KIND) => Ok(RunKind::Capacity),
        Some(other) => bail!("{} holds a run of kind {other:?}, unknown here", path.display()),
    }
}

/// A capacity run's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CapacityFolder {
    folder: RunFolder,
}

impl CapacityFolder {
    /// Creates the folder under `out_dir`, with the manifest and an empty journal in it. Fills in
    /// what the manifest says of itself.
    ///
    /// # Errors
    /// When the folder cannot be created or written.
    pub(crate) fn create(out_dir: &Path, manifest: &mut CapacityManifest) -> Result<Self> {
        let host = &manifest.environment_before.hostname;
        let (run_id, path) = create_named(out_dir, &manifest.started_utc, host, KIND)?;
        manifest.run_id = run_id;
        KIND.clone_into(&mut manifest.kind);
        SCHEMA_VERSION.clone_into(&mut manifest.schema_version);
        replace_file(&path.join(JOURNAL), b"")?;
        let folder = Self { folder: RunFolder { path } };
        folder.write_manifest(manifest)?;
        sync_folder(out_dir).with_context(|| cannot_write(out_dir))?;
        Ok(folder)
    }

    /// Opens an existing folder and reads its manifest.
    ///
    /// # Errors
    /// When there is no manifest, it is damaged, or its major schema version is another.
    pub(crate) fn open(path: &Path) -> Result<(Self, CapacityManifest)> {
        let manifest = read_json(&path.join(MANIFEST))?;
        Ok((Self { folder: RunFolder { path: path.to_path_buf() } }, manifest))
    }

    /// The folder of any run, for what is made from it.
    pub(crate) fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Replaces `manifest.json`.
    ///
    /// # Errors
    /// When it cannot be written; the old one is then still there.
    pub(crate) fn write_manifest(&self, manifest: &CapacityManifest) -> Result<()> {
        self.folder.write_json(MANIFEST, manifest)
    }

    /// Stores a trial: its files first, then its line in the journal.
    ///
    /// # Errors
    /// When a file cannot be written; the trial does not count then.
    pub(crate) fn record_trial(&self, trial: &CapacityTrial, files: TrialFiles<'_>) -> Result<()> {
        let name = format!("{:03}-{}", trial.number, trial.phase.name());
        let folder = self.folder.path.join(TRIALS).join(name);
        create_folders(&folder)?;
        if let Some(content) = files.latency_hlog {
            replace_file(&folder.join(LATENCY), content)?;
        }
        if let Some(content) = files.intervals_csv {
            replace_file(&folder.join("intervals.csv"), content.as_bytes())?;
        }
        replace_file(&folder.join("result.json"), &json(trial)?)?;
        journal::append(&self.folder.path.join(JOURNAL), trial)
    }

    /// Every stored trial in the order they ran.
    ///
    /// # Errors
    /// When the journal cannot be read, or a whole line of it is damaged.
    pub(crate) fn trials(&self) -> Result<Vec<CapacityTrial>> {
        journal::read(&self.folder.path.join(JOURNAL))
    }

    /// Replaces `analysis.json`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_analysis(&self, analysis: &CapacityAnalysis) -> Result<()> {
        self.folder.write_json(ANALYSIS, analysis)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::synthetic;
    use super::*;

    #[test]
    fn a_run_is_read_back_as_it_was_stored_and_known_for_what_it_is() {
        let out = tempfile::tempdir().expect("temporary folder");
        let mut manifest = synthetic::manifest();
        let folder = CapacityFolder::create(out.path(), &mut manifest).expect("create");
        let trials = synthetic::trials();
        for trial in &trials {
            folder.record_trial(trial, TrialFiles::default()).expect("record");
        }
        let path = folder.folder().path();
        assert_eq!(run_kind(path).expect("a run"), RunKind::Capacity);
        let (opened, read) = CapacityFolder::open(path).expect("open");
        assert_eq!((read, opened.trials().expect("read")), (manifest, trials));
        assert!(path.join("trials/003-bisect/result.json").is_file());
        assert!(path.file_name().is_some_and(|name| name.to_string_lossy().contains("-capacity-")));
    }

    #[test]
    fn another_kind_or_another_major_version_is_refused() {
        let out = tempfile::tempdir().expect("temporary folder");
        let mut manifest = synthetic::manifest();
        let folder = CapacityFolder::create(out.path(), &mut manifest).expect("create");
        let path = folder.folder().path().join(MANIFEST);
        let text = fs::read_to_string(&path).expect("read");
        fs::write(&path, text.replace("\"capacity\"", "\"horoscope\"")).expect("write");
        let error = run_kind(folder.folder().path()).expect_err("unknown").to_string();
        assert!(error.contains("\"horoscope\""), "{error}");
        fs::write(&path, text.replace(&format!("{SCHEMA_VERSION:?}"), "\"2.0\"")).expect("write");
        let error = format!("{:#}", run_kind(folder.folder().path()).expect_err("another"));
        assert!(error.contains("1.x"), "{error}");
        assert_eq!(run_kind(out.path()).expect("no manifest"), RunKind::Sweep);
    }
}
