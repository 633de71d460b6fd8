//! How a run's files are written and read: each is complete or not there at all, and every error
//! names the path and what can be done about it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::schema::SCHEMA_VERSION;
use crate::failure::Failure;

/// Writes a file beside its final name, syncs it, renames it over the old one if there is one, and
/// syncs the folder, so that a crash leaves the old content or the new and never a mixture.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let outcome = write_synced(&temporary, content)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| match path.parent() {
            Some(folder) => sync_folder(folder),
            None => Ok(()),
        });
    if outcome.is_err() {
        // Nothing more can be done about a leftover than to try; the first error is the news.
        let _ = fs::remove_file(&temporary);
    }
    outcome.with_context(|| cannot_write(path))
}

/// Creates a folder and its missing parents.
pub(crate) fn create_folders(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| cannot_write(path))
}

/// Makes the names in a folder durable: a file's own sync does not reach the entry that names it.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

pub(crate) fn cannot_write(path: &Path) -> String {
    format!(
        "cannot write {}; check that the folder is writable and the disk is not full",
        path.display()
    )
}

/// Reads a JSON file that states its schema version.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse_json(&text).with_context(|| format!("cannot use {}", path.display()))
}

/// A file of another major schema version: whole, and not to be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnknownSchema {
    /// As the file states it.
    schema_version: String,
}

impl fmt::Display for UnknownSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "it has schema version {:?} and this program reads {}.x; use a plimsoll of the version \
             that wrote it",
            self.schema_version,
            major(SCHEMA_VERSION).unwrap_or_default()
        )
    }
}

impl std::error::Error for UnknownSchema {}

/// Why a verb cannot go on with a stored run that it could not read.
pub(crate) fn unusable(error: anyhow::Error) -> Failure {
    if error.is::<UnknownSchema>() { Failure::Refused(error) } else { Failure::Usage(error) }
}

/// Parses JSON that states its schema version, which is checked before anything else is looked at.
pub(crate) fn parse_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    #[derive(Deserialize)]
    struct Versioned {
        schema_version: String,
    }
    let Versioned { schema_version } = serde_json::from_str(text)
        .context("it is damaged, or not a file of a Plimsoll run (no schema_version)")?;
    let own = major(SCHEMA_VERSION);
    if major(&schema_version) != own {
        return Err(UnknownSchema { schema_version }.into());
    }
    serde_json::from_str(text).map_err(|error| {
        anyhow!(
            "its content does not fit schema version {SCHEMA_VERSION} (it states \
             {schema_version:?}), so it is damaged or newer than this program: {error}"
        )
    })
}

fn major(version: &str) -> Option<u32> {
    version.split_once('.')?.0.parse().ok()
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(rename = "schema_version")]
        _schema_version: String,
        value: u32,
    }

    fn refusal(text: &str) -> String {
        format!("{:#}", parse_json::<Sample>(text).expect_err(text))
    }

    #[test]
    fn a_newer_minor_version_is_read_and_another_major_is_not() {
        let read: Sample = parse_json(r#"{"schema_version":"1.7","value":3}"#).expect("1.x");
        assert_eq!(read.value, 3);
        for version in ["0.9", "2.0", "10.0", "1", "", "x.1"] {
            // The rest is never looked at: a later version may hold anything.
            let text = format!(r#"{{"schema_version":"{version}","other":[]}}"#);
            let why = refusal(&text);
            assert!(why.contains(&format!("{version:?}")) && why.contains("1.x"), "{why}");
        }
    }

    #[test]
    fn what_is_no_file_of_a_run_is_told_apart_from_what_does_not_fit() {
        for text in ["", "{", "[]", r#"{"value":3}"#, r#"{"schema_version":1}"#] {
            assert!(refusal(text).contains("no schema_version"), "{text}");
        }
        let unknown = refusal(r#"{"schema_version":"1.9","value":3,"added":true}"#);
        assert!(unknown.contains("`added`") && unknown.contains("\"1.9\""), "{unknown}");
    }

    #[test]
    fn replacing_leaves_one_whole_file_and_no_other() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("a.json");
        replace_file(&path, b"long first content").expect("first");
        replace_file(&path, b"second").expect("second");
        assert_eq!(fs::read(&path).expect("read"), b"second");
        assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1);
    }

    #[test]
    fn a_failed_write_names_the_path_and_leaves_nothing() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("taken");
        fs::create_dir(&path).expect("a folder where the file should be");
        let error = format!("{:#}", replace_file(&path, b"x").expect_err("a folder is no file"));
        assert!(error.contains("taken; check"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1);
    }
}
