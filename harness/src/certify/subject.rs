//! What is to be certified: a run's recommendation, or any file of settings.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use plimsoll::{KeyRing, SegmentedWalConfig};

use crate::store::RunFolder;
use crate::store::certificate::{CertifiedSettings, RECOMMENDED, certified_settings, run_of};

/// Settings to certify.
#[derive(Debug)]
pub(super) struct Subject {
    /// The file with the `[wal]` table.
    pub(super) file: PathBuf,
    /// What it says, and a key if the log is to be encrypted: which one does not matter, the
    /// matrix has keys of its own.
    pub(super) config: SegmentedWalConfig,
    /// The same, as a certificate states it.
    pub(super) settings: CertifiedSettings,
    /// The run that recommends them.
    pub(super) run: Option<PathBuf>,
}

impl Subject {
    /// Reads a run's folder, its `recommended.toml`, or another file of settings.
    pub(super) fn load(path: &Path) -> Result<Self> {
        let Some(folder) = run_of(path) else {
            let config = SegmentedWalConfig::from_profile(path)?;
            return Self::of(path.to_owned(), config, None);
        };
        let (run, manifest) = RunFolder::open(folder)?;
        let file = folder.join(RECOMMENDED);
        if !file.is_file() {
            bail!(
                "{} recommends no settings, so that there is nothing to certify; name a settings \
                 file, or a run that holds a {RECOMMENDED}",
                folder.display()
            );
        }
        let mut config = SegmentedWalConfig::from_profile(&file)?;
        if run.analysis()?.recommended(&manifest).is_some_and(|chosen| chosen.settings.encryption) {
            config = config.with_keys(some_key()?);
        }
        Self::of(file, config, Some(folder.to_owned()))
    }

    fn of(file: PathBuf, config: SegmentedWalConfig, run: Option<PathBuf>) -> Result<Self> {
        let config = config.in_dir("simulated");
        config.validate()?;
        let unusable = || format!("cannot use {}", file.display());
        let text = fs::read_to_string(&file).with_context(unusable)?;
        let settings = certified_settings(&text, config.keys.is_some()).with_context(unusable)?;
        Ok(Self { file, config, settings, run })
    }

    /// Whether records are sealed.
    pub(super) fn is_encrypted(&self) -> bool {
        self.config.keys.is_some()
    }
}

fn some_key() -> Result<KeyRing> {
    KeyRing::new(1, rand::random()).map_err(|error| anyhow!(error))
}
