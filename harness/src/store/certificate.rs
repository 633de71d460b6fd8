//! A certificate: what `certify` found out about settings, and whether settings are still the ones
//! that it speaks of. It lies beside the settings, `certificate.json` beside a `recommended.toml`
//! and `NAME.certificate.json` beside another file.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::files::{read_json, replace_file};
use super::{MANIFEST, json};
use crate::units::format_count;

/// Name of a run's settings file.
pub(crate) const RECOMMENDED: &str = "recommended.toml";

/// Keys of a `[wal]` table that say where a log is, not how it works.
const PLACES: [&str; 2] = ["dir", "key_files"];

/// What was certified: the keys of the `[wal]` table with their values as TOML, and `encryption`.
pub(crate) type CertifiedSettings = BTreeMap<String, String>;

/// `certificate.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Certificate {
    /// Schema version, [`SCHEMA_VERSION`](super::schema::SCHEMA_VERSION) when written.
    pub schema_version: String,
    /// Version and git commit of plimsoll.
    pub plimsoll_version: String,
    /// Start, RFC 3339 UTC.
    pub started_utc: String,
    /// How long it took.
    pub seconds: f64,
    /// The settings it speaks of.
    pub settings: CertifiedSettings,
    /// The first history of each part. The others follow.
    pub first_seed: u64,
    /// What was explored, in this order: with exactly the settings, and with small sizes.
    pub parts: Vec<Part>,
    /// The promise that was broken, if one was: the certificate certifies the contrary then.
    pub violation: Option<BrokenPromise>,
    /// Every seeded bug, and whether it was noticed.
    pub controls: Vec<Control>,
}

/// Histories with one choice of sizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// Whether the sizes are those of the settings.
    pub exact_sizes: bool,
    /// `buffer_size` in it.
    pub buffer_size_bytes: u64,
    /// `segment_size` in it.
    pub segment_size_bytes: u64,
    /// Histories.
    pub seeds: u64,
    /// Lives of a log in them.
    pub lives: u64,
    /// Images of a disk after a power cut, each recovered and read.
    pub images: u64,
    /// Of these, damaged besides.
    pub damaged: u64,
    /// Of the damaged, refused.
    pub refused: u64,
    /// Of the damaged, shorter with nothing left to tell of it.
    pub residue: u64,
    /// Images that were opened, written to and crashed again.
    pub opened: u64,
    /// Acknowledged records that were expected, over all images.
    pub records: u64,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BrokenPromise {
    /// Whether with the sizes of the settings.
    pub exact_sizes: bool,
    /// The history.
    pub seed: u64,
    /// What was promised and what was found, and the events before.
    pub problem: String,
}

/// A seeded bug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Control {
    /// Name of the bug.
    pub bug: String,
    /// What became of it.
    pub outcome: ControlOutcome,
}

/// What became of a seeded bug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub(crate) enum ControlOutcome {
    /// The matrix noticed it.
    Caught {
        /// Whether with the sizes of the settings.
        exact_sizes: bool,
        /// The history that did.
        seed: u64,
        /// What it noticed.
        problem: String,
    },
    /// These settings do not run the code that it is in.
    NotApplicable {
        /// Why not.
        reason: String,
    },
    /// The matrix did not notice it, and so vouches for little.
    Survived,
}

/// What a certificate comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing was lost, and every seeded bug that can show was noticed.
    Certified,
    /// A promise was broken.
    Broken,
    /// A seeded bug survived.
    Inconclusive,
}

/// Whether settings are certified.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Standing {
    /// There is no certificate.
    Uncertified,
    /// It speaks of other settings.
    OfOthers(Certificate),
    /// It speaks of these.
    OfThese(Certificate),
}

impl Certificate {
    pub(crate) fn verdict(&self) -> Verdict {
        let survives = |control: &Control| control.outcome == ControlOutcome::Survived;
        if self.violation.is_some() {
            Verdict::Broken
        } else if self.controls.iter().any(survives) || self.controls.is_empty() {
            Verdict::Inconclusive
        } else {
            Verdict::Certified
        }
    }

    /// The certificate of a settings file, if there is one.
    ///
    /// # Errors
    /// When it is there and cannot be read, or is of another major schema version.
    pub(crate) fn beside(settings_file: &Path) -> Result<Option<Self>> {
        let path = certificate_path(settings_file, "json");
        if path.is_file() { read_json(&path).map(Some) } else { Ok(None) }
    }

    /// Writes it beside the settings file, and `text`, what it says in words, beside that.
    /// Returns where both are.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn write_beside(&self, settings_file: &Path, text: &str) -> Result<[PathBuf; 2]> {
        let paths = ["json", "txt"].map(|kind| certificate_path(settings_file, kind));
        replace_file(&paths[0], &json(self)?)?;
        replace_file(&paths[1], text.as_bytes())?;
        Ok(paths)
    }

    /// `caught` of the seeded bugs that `can` show.
    pub(crate) fn caught_of_applicable(&self) -> (usize, usize) {
        let count = |wanted: fn(&ControlOutcome) -> bool| {
            self.controls.iter().filter(|control| wanted(&control.outcome)).count()
        };
        let caught = count(|outcome| matches!(outcome, ControlOutcome::Caught { .. }));
        (caught, count(|outcome| !matches!(outcome, ControlOutcome::NotApplicable { .. })))
    }
}

impl Standing {
    /// Of `settings`, given the certificate that lies beside them.
    pub(crate) fn of(settings: &CertifiedSettings, found: Option<Certificate>) -> Self {
        match found {
            None => Self::Uncertified,
            Some(certificate) if certificate.settings == *settings => Self::OfThese(certificate),
            Some(certificate) => Self::OfOthers(certificate),
        }
    }

    /// In a sentence or two.
    pub(crate) fn sentence(&self) -> String {
        let certificate = match self {
            Self::Uncertified => {
                return "Not certified yet: `plimsoll certify` with the run's folder cuts simulated \
                        power under exactly these settings."
                    .to_owned();
            }
            Self::OfOthers(certificate) => {
                return format!(
                    "Not certified: the certificate of {} speaks of other settings; run `plimsoll \
                     certify` again.",
                    certificate.started_utc
                );
            }
            Self::OfThese(certificate) => certificate,
        };
        match certificate.verdict() {
            Verdict::Certified => certified_sentence(certificate),
            Verdict::Broken => format!(
                "NOT SAFE: `plimsoll certify` found a broken promise under these settings on {}; \
                 certificate.txt has it.",
                certificate.started_utc
            ),
            Verdict::Inconclusive => {
                let (caught, can) = certificate.caught_of_applicable();
                format!(
                    "Not certified: nothing was lost, but only {caught} of {can} seeded bugs were \
                     noticed, so that this says little; run `plimsoll certify` with more seeds."
                )
            }
        }
    }
}

fn certified_sentence(certificate: &Certificate) -> String {
    let images = |exact: bool| {
        let parts = certificate.parts.iter().filter(|part| part.exact_sizes == exact);
        format_count(parts.map(|part| part.images).sum())
    };
    let (caught, can) = certificate.caught_of_applicable();
    format!(
        "Certified: {} simulated power cuts under exactly these settings, and {} with smaller \
         segments and buffers, lost nothing that was acknowledged; {caught} of {can} seeded bugs \
         that can show were noticed (plimsoll {}, {}). A simulated disk is not yours: see \
         docs/durability.md.",
        images(true),
        images(false),
        certificate.plimsoll_version,
        certificate.started_utc
    )
}

fn certificate_path(settings_file: &Path, kind: &str) -> PathBuf {
    let stem = settings_file.file_stem().unwrap_or(OsStr::new("settings"));
    let name = if settings_file.file_name() == Some(OsStr::new(RECOMMENDED)) {
        format!("certificate.{kind}")
    } else {
        format!("{}.certificate.{kind}", stem.to_string_lossy())
    };
    settings_file.with_file_name(name)
}

/// The folder of the run that a path names: itself, or the folder of its recommendation. `None` for
/// any other file.
pub(crate) fn run_of(path: &Path) -> Option<&Path> {
    if path.is_dir() {
        return Some(path);
    }
    let folder = path.parent().filter(|_| path.ends_with(RECOMMENDED))?;
    folder.join(MANIFEST).is_file().then_some(folder)
}

/// What a settings file asks for, given whether it is with a key.
///
/// # Errors
/// When it is no TOML or has no `[wal]` table.
pub(crate) fn certified_settings(text: &str, encryption: bool) -> Result<CertifiedSettings> {
    let file: toml::Table = toml::from_str(text).context("it is not TOML")?;
    let wal = file.get("wal").and_then(toml::Value::as_table).context("it has no [wal] table")?;
    let told = wal.iter().filter(|(key, _)| !PLACES.contains(&key.as_str()));
    let mut settings: CertifiedSettings =
        told.map(|(key, value)| (key.clone(), value.to_string())).collect();
    settings.insert("encryption".to_owned(), encryption.to_string());
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::super::schema::SCHEMA_VERSION;
    use super::*;

    fn certificate(settings: &str) -> Certificate {
        Certificate {
            schema_version: SCHEMA_VERSION.to_owned(),
            plimsoll_version: "0.1.0".to_owned(),
            started_utc: "2026-11-24T17:00:00Z".to_owned(),
            seconds: 61.0,
            settings: certified_settings(settings, false).expect("settings"),
            first_seed: 0,
            parts: vec![],
            violation: None,
            controls: vec![Control {
                bug: "NoFlush".to_owned(),
                outcome: ControlOutcome::Caught {
                    exact_sizes: true,
                    seed: 3,
                    problem: "lost".to_owned(),
                },
            }],
        }
    }

    const SETTINGS: &str = "# why\n[wal]\nalignment = \"4KiB\"\npipeline_depth = 2\n";

    #[test]
    fn settings_are_the_same_whatever_is_said_about_them_and_wherever_the_log_is() {
        let of = |text| certified_settings(text, false).expect("settings");
        assert_eq!(
            of(SETTINGS),
            of(
                "[wal]\npipeline_depth = 2 # two\ndir = \"/x\"\nalignment = \"4KiB\"\n[run]\na = 1\n"
            )
        );
        assert_ne!(of(SETTINGS), of("[wal]\nalignment = \"4KiB\"\npipeline_depth = 3\n"));
        assert_ne!(of(SETTINGS), of("[wal]\nalignment = \"4KiB\"\n"));
        assert_ne!(of(SETTINGS), certified_settings(SETTINGS, true).expect("settings"));
        for (text, why) in [("[wal", "not TOML"), ("[log]\n", "no [wal]"), ("wal = 1", "no [wal]")]
        {
            let error = certified_settings(text, false).expect_err(text);
            assert!(format!("{error:#}").contains(why), "{error:#}");
        }
    }

    #[test]
    fn a_certificate_lies_beside_its_settings_and_speaks_of_no_others() {
        let folder = tempfile::tempdir().expect("temporary folder");
        for (file, name) in
            [(RECOMMENDED, "certificate.json"), ("db1.toml", "db1.certificate.json")]
        {
            let file = folder.path().join(file);
            assert_eq!(Certificate::beside(&file).expect("none yet"), None);
            let [written, _] =
                certificate(SETTINGS).write_beside(&file, "in words").expect("written");
            assert_eq!(written, folder.path().join(name));
            let found = Certificate::beside(&file).expect("readable");
            assert_eq!(found, Some(certificate(SETTINGS)));
            let same = certified_settings(SETTINGS, false).expect("settings");
            let standing = Standing::of(&same, found.clone());
            assert!(standing.sentence().starts_with("Certified: "), "{}", standing.sentence());
            let sealed = certified_settings(SETTINGS, true).expect("settings");
            let standing = Standing::of(&sealed, found);
            assert!(standing.sentence().contains("other settings"), "{}", standing.sentence());
        }
        assert!(Standing::Uncertified.sentence().contains("Not certified yet"));
    }

    #[test]
    fn a_broken_promise_or_a_bug_that_survives_is_no_certificate() {
        let mut survived = certificate(SETTINGS);
        assert_eq!(survived.verdict(), Verdict::Certified);
        survived.controls[0].outcome = ControlOutcome::Survived;
        assert_eq!(survived.verdict(), Verdict::Inconclusive);
        let mut broken = certificate(SETTINGS);
        broken.violation =
            Some(BrokenPromise { exact_sizes: true, seed: 7, problem: "lost".to_owned() });
        assert_eq!(broken.verdict(), Verdict::Broken);
        let standing = Standing::OfThese(broken);
        assert!(standing.sentence().starts_with("NOT SAFE"), "{}", standing.sentence());
        let none = Certificate { controls: vec![], ..certificate(SETTINGS) };
        assert_eq!(none.verdict(), Verdict::Inconclusive, "nothing was tried");
    }
}
