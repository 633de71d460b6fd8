//! Warnings as values: each says how bad it is, what is the matter, and what to do. They are grouped
//! by what they are about, and each group decides from the facts alone which of them a place
//! deserves. docs/doctor.md has the table.

mod disk;
mod file_system;
mod measurement;
mod power;
mod process;
mod promises;

use std::fmt;

use serde::Serialize;

use super::facts::{Facts, LogAnswer, Refusal};

pub(crate) use disk::DiskWarning;
pub(crate) use file_system::FileSystemWarning;
pub(crate) use measurement::MeasurementWarning;
pub(crate) use power::PowerWarning;
pub(crate) use process::ProcessWarning;
pub(super) use process::registered_bytes;
pub(super) use promises::KEY_BYTES;
pub(crate) use promises::PromiseWarning;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// No log can be here.
    Refused,
    /// Something that a log promises may not hold.
    Danger,
    /// It costs speed.
    Slow,
    /// Good to know.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Refused => "refused",
            Self::Danger => "danger",
            Self::Slow => "slow",
            Self::Note => "note",
        })
    }
}

/// Something to warn of, by what it is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum Warning {
    /// No log can be had.
    Refused(Refusal),
    /// What a log promises.
    Promise(PromiseWarning),
    /// The disk and its queue.
    Disk(DiskWarning),
    /// The file system.
    FileSystem(FileSystemWarning),
    /// What this process may do.
    Process(ProcessWarning),
    /// What may sleep.
    Power(PowerWarning),
    /// The measurement itself.
    Measurement(MeasurementWarning),
}

/// A warning in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// What is the matter.
    pub sentence: String,
    /// What to do.
    pub remedy: String,
}

impl Words {
    fn new(sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), remedy: remedy.into() }
    }
}

impl Warning {
    /// How bad it is.
    pub(crate) fn severity(&self) -> Severity {
        match self {
            Self::Refused(_) => Severity::Refused,
            Self::Promise(_) => Severity::Danger,
            Self::Disk(warning) => warning.severity(),
            Self::FileSystem(warning) => warning.severity(),
            Self::Process(_) => Severity::Slow,
            Self::Power(warning) => warning.severity(),
            Self::Measurement(warning) => warning.severity(),
        }
    }

    /// What is the matter, and what to do about it.
    pub(crate) fn words(&self) -> Words {
        match self {
            Self::Refused(refusal) => refused(refusal),
            Self::Promise(warning) => warning.words(),
            Self::Disk(warning) => warning.words(),
            Self::FileSystem(warning) => warning.words(),
            Self::Process(warning) => warning.words(),
            Self::Power(warning) => warning.words(),
            Self::Measurement(warning) => warning.words(),
        }
    }
}

/// Everything to warn of, the worst first.
pub(super) fn warnings(facts: &Facts) -> Vec<Warning> {
    let refusal = match &facts.log {
        LogAnswer::Refuses { refusal } => Some(Warning::Refused(refusal.clone())),
        LogAnswer::Opens { .. } => None,
    };
    let mut found: Vec<Warning> = refusal
        .into_iter()
        .chain(promises::of(facts).into_iter().map(Warning::Promise))
        .chain(disk::of(facts).into_iter().map(Warning::Disk))
        .chain(file_system::of(facts).into_iter().map(Warning::FileSystem))
        .chain(process::of(facts).into_iter().map(Warning::Process))
        .chain(power::of(facts).into_iter().map(Warning::Power))
        .chain(measurement::of(facts).into_iter().map(Warning::Measurement))
        .collect();
    found.sort_by_key(Warning::severity);
    found
}

fn refused(refusal: &Refusal) -> Words {
    match refusal {
        Refusal::NoDirectIo { filesystem } => Words::new(
            format!("{filesystem} does not support direct I/O (O_DIRECT), so a log refuses it"),
            "name a directory on ext4, XFS or btrfs",
        ),
        Refusal::ReadOnly => Words::new(
            "the file system is read-only",
            "mount it for writing (ext4 makes itself read-only after an error, which dmesg tells), \
             or name another directory",
        ),
        Refusal::NotWritable => Words::new(
            "this process may not write there",
            "give its user the directory, or name another one",
        ),
        Refusal::NoSpace => Words::new("the file system is full", "free some space"),
        Refusal::Other { reason } => {
            Words::new(format!("no log can be opened there: {reason}"), "name another directory")
        }
    }
}
