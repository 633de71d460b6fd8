//! The run folder, `results/<utc>-<host>-<profile>-<id>/`: what a run leaves on disk and all that
//! reports and recommendations are made from. `schema` says what the files hold; here is where
//! they lie, how they are written so that a crash costs at most the trial under way, and that a
//! folder of another major schema version is refused.

pub(crate) mod capacity;
pub(crate) mod certificate;
mod files;
pub(crate) mod identity;
mod journal;
mod latency;
mod lock;
pub(crate) mod measured;
pub(crate) mod observations;
pub(crate) mod parts;
pub(crate) mod quantity;
pub(crate) mod schema;
#[cfg(test)]
pub(crate) mod schema_files;
#[cfg(test)]
pub(crate) mod synthetic;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use jiff::Timestamp;
use serde::Serialize;

use files::{cannot_write, create_folders, read_json, replace_file};
use schema::{Analysis, Manifest, SCHEMA_VERSION, TrialResult, TrialStatus};

pub(crate) use files::sync_folder;
pub(crate) use files::{parse_json, unusable};
pub(crate) use latency::{empty_histogram_ns, from_hlog, to_hlog, to_hlog_with_intervals};
pub(crate) use lock::RunLock;

const MANIFEST: &str = "manifest.json";
const JOURNAL: &str = "journal.ndjson";
const ANALYSIS: &str = "analysis.json";
const TRIALS: &str = "trials";
const SCREENING: &str = "screening";
const LATENCY: &str = "latency.hlog";

/// Longest part of a folder's name that a host or a profile may take, in characters.
const NAME_PART_CHARS: usize = 40;

/// Attempts at a folder name that nobody has; each draws another of 65,536 ids.
const NAME_ATTEMPTS: u32 = 64;

/// A run's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunFolder {
    path: PathBuf,
}

/// What a trial leaves besides its result; a trial that was refused leaves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TrialFiles<'a> {
    /// Content of `latency.hlog`, as [`to_hlog`] makes it.
    pub(crate) latency_hlog: Option<&'a [u8]>,
    /// Content of `intervals.csv`.
    pub(crate) intervals_csv: Option<&'a str>,
}

impl RunFolder {
    /// Creates the folder under `out_dir`, with the manifest and an empty journal in it. Fills in
    /// the manifest's `run_id`, made of its start, host and profile, and its `schema_version`.
    ///
    /// # Errors
    /// When the folder cannot be created or written, or the manifest's start is not RFC 3339.
    pub(crate) fn create(out_dir: &Path, manifest: &mut Manifest) -> Result<Self> {
        let host = &manifest.environment_before.hostname;
        let (run_id, path) =
            create_named(out_dir, &manifest.started_utc, host, &manifest.profile_name)?;
        manifest.run_id = run_id;
        SCHEMA_VERSION.clone_into(&mut manifest.schema_version);
        let folder = Self { path };
        replace_file(&folder.path.join(JOURNAL), b"")?;
        folder.write_manifest(manifest)?;
        sync_folder(out_dir).with_context(|| cannot_write(out_dir))?;
        Ok(folder)
    }

    /// Opens an existing folder and reads its manifest.
    ///
    /// # Errors
    /// When there is no manifest, it is damaged, or its major schema version is not
    /// [`SCHEMA_VERSION`]'s.
    pub(crate) fn open(path: &Path) -> Result<(Self, Manifest)> {
        let manifest = path.join(MANIFEST);
        if !manifest.is_file() {
            bail!(
                "{} is not the folder of a run: it holds no {MANIFEST}; name a folder that a sweep \
                 made, such as results/20260301T020000Z-db1-quick-3f9a",
                path.display()
            );
        }
        Ok((Self { path: path.to_path_buf() }, read_json(&manifest)?))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the trials of the run's screening lie: like a run's own, below it, without a manifest.
    pub(crate) fn screening(&self) -> Self {
        Self { path: self.path.join(SCREENING) }
    }

    /// Takes the lock of whoever measures into the folder; `None` when somebody has it.
    ///
    /// # Errors
    /// When the folder cannot be opened or locked.
    pub(crate) fn lock(&self) -> Result<Option<RunLock>> {
        RunLock::take(&self.path)
    }

    /// Replaces `manifest.json`.
    ///
    /// # Errors
    /// When it cannot be written; the old one is then still there.
    pub(crate) fn write_manifest(&self, manifest: &Manifest) -> Result<()> {
        self.write_json(MANIFEST, manifest)
    }

    /// Stores a trial: its files first, then its line in the journal. Once this returns the trial
    /// survives a crash; if it fails the trial does not count.
    ///
    /// # Errors
    /// When a file cannot be written, or the configuration's id cannot name a folder.
    pub(crate) fn record_trial(&self, trial: &TrialResult, files: TrialFiles<'_>) -> Result<()> {
        let folder = self.trial_folder(trial)?;
        create_folders(&folder)?;
        if let Some(content) = files.latency_hlog {
            replace_file(&folder.join(LATENCY), content)?;
        }
        if let Some(content) = files.intervals_csv {
            replace_file(&folder.join("intervals.csv"), content.as_bytes())?;
        }
        replace_file(&folder.join("result.json"), &json(trial)?)?;
        journal::append(&self.path.join(JOURNAL), trial)
    }

    /// Every stored trial, sentinels included, in the order they ran. A torn last line, left by a
    /// crash, is passed over.
    ///
    /// Analyse what this returns rather than what was just measured: the same stored bytes should
    /// give the same answer whenever they are read.
    ///
    /// # Errors
    /// When the journal cannot be read, or a whole line of it is damaged.
    pub(crate) fn trials(&self) -> Result<Vec<TrialResult>> {
        journal::read(&self.path.join(JOURNAL))
    }

    /// The commit latency of every configuration, nanoseconds: all its trials that ended well,
    /// merged, sentinels left out. A configuration that stored none is absent.
    ///
    /// # Errors
    /// When a stored histogram cannot be read or is damaged.
    pub(crate) fn latency_ns_by_config(
        &self,
        trials: &[TrialResult],
    ) -> Result<BTreeMap<String, Histogram<u64>>> {
        let mut merged = BTreeMap::new();
        for trial in trials.iter().filter(|t| !t.sentinel && t.status == TrialStatus::Ok) {
            let path = self.trial_folder(trial)?.join(LATENCY);
            let content = match fs::read(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                read => read.with_context(|| format!("cannot read {}", path.display()))?,
            };
            let found = latency::from_hlog(&content)
                .with_context(|| format!("cannot use {}", path.display()))?;
            let sum: &mut Histogram<u64> = match merged.entry(trial.config_id.clone()) {
                std::collections::btree_map::Entry::Vacant(slot) => {
                    slot.insert(empty_histogram_ns()?)
                }
                std::collections::btree_map::Entry::Occupied(slot) => slot.into_mut(),
            };
            sum.add(&found)
                .map_err(|error| anyhow::anyhow!("cannot merge {}: {error:?}", path.display()))?;
        }
        Ok(merged)
    }

    /// The commit latency of a trial in equal parts of its measured time, nanoseconds; none where
    /// the trial stored none, as those of schema version 1.0.
    ///
    /// # Errors
    /// When a stored histogram cannot be read or is damaged.
    pub(crate) fn interval_latency_ns(&self, trial: &TrialResult) -> Result<Vec<Histogram<u64>>> {
        let path = self.trial_folder(trial)?.join(LATENCY);
        match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            read => {
                let content = read.with_context(|| format!("cannot read {}", path.display()))?;
                latency::intervals_from_hlog(&content)
                    .with_context(|| format!("cannot use {}", path.display()))
            }
        }
    }

    /// Reads `analysis.json`.
    ///
    /// # Errors
    /// When it is missing or damaged, or of another major schema version.
    pub(crate) fn analysis(&self) -> Result<Analysis> {
        read_json(&self.path.join(ANALYSIS))
    }

    /// Replaces `analysis.json`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_analysis(&self, analysis: &Analysis) -> Result<()> {
        self.write_json(ANALYSIS, analysis)
    }

    /// Writes a file that is made from the others, such as `plots/effects.svg`, and returns where.
    ///
    /// # Errors
    /// When it cannot be written, or `name` leads out of the folder.
    pub(crate) fn write_artifact(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.artifact(name)?;
        if let Some(folder) = path.parent() {
            create_folders(folder)?;
        }
        replace_file(&path, content)?;
        Ok(path)
    }

    /// Removes such a file, if there is one: a stale one would contradict the others.
    ///
    /// # Errors
    /// When it is there and cannot be removed, or `name` leads out of the folder.
    pub(crate) fn remove_artifact(&self, name: &str) -> Result<()> {
        let path = self.artifact(name)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn artifact(&self, name: &str) -> Result<PathBuf> {
        let stays_inside = |part| matches!(part, Component::Normal(_));
        if name.is_empty() || !Path::new(name).components().all(stays_inside) {
            bail!("{name:?} is not a file within a run's folder");
        }
        Ok(self.path.join(name))
    }

    fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        replace_file(&self.path.join(name), &json(value)?)
    }

    /// A sentinel runs twice in a block, so its folder says at which position.
    fn trial_folder(&self, trial: &TrialResult) -> Result<PathBuf> {
        let id = &trial.config_id;
        if name_part(id) != *id {
            bail!("configuration id {id:?} cannot name a folder; use letters, digits, - and _");
        }
        let name = match trial.sentinel {
            true => format!("{id}-sentinel-{}", trial.position),
            false => id.clone(),
        };
        Ok(self.path.join(TRIALS).join(name).join(trial.block.to_string()))
    }
}

/// Pretty JSON that ends with a line end, and reads back: JSON has no `NaN` and would say `null`.
fn json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut text = serde_json::to_string_pretty(value).context("a result has no JSON form")?;
    text.push('\n');
    Ok(text.into_bytes())
}

/// Creates a run's folder, named by its start, its host and what it is a run of.
fn create_named(
    out_dir: &Path,
    started_utc: &str,
    host: &str,
    name: &str,
) -> Result<(String, PathBuf)> {
    create_folders(out_dir)?;
    let started: Timestamp = started_utc
        .parse()
        .with_context(|| format!("the run's start, {started_utc:?}, is not RFC 3339"))?;
    create_unique(out_dir, |id| {
        let started = started.strftime("%Y%m%dT%H%M%SZ");
        format!("{started}-{}-{}-{id:04x}", name_part(host), name_part(name))
    })
}

/// Creates the first folder of the names drawn that does not exist yet.
fn create_unique(out_dir: &Path, name: impl Fn(u16) -> String) -> Result<(String, PathBuf)> {
    for _ in 0..NAME_ATTEMPTS {
        let run_id = name(rand::random());
        let path = out_dir.join(&run_id);
        match fs::create_dir(&path) {
            Ok(()) => return Ok((run_id, path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| cannot_write(&path)),
        }
    }
    bail!("{} holds too many runs of this second; try again", out_dir.display())
}

/// The text as part of a file name: letters, digits, `.`, `_` and `-`, and no leading dot.
fn name_part(text: &str) -> String {
    let kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let part: String =
        text.chars().take(NAME_PART_CHARS).map(|c| if kept(c) { c } else { '-' }).collect();
    match part.trim_start_matches('.') {
        "" => "unknown".to_owned(),
        part => part.to_owned(),
    }
}

#[cfg(test)]
mod tests;
