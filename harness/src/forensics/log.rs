//! The log that a verb was pointed at: opened to be looked into, its segments chosen, and each gone
//! through.

use std::path::Path;

use anyhow::anyhow;
use plimsoll::WalError;
use plimsoll::inspect::{FileRole, LogFiles, SegmentFile};

use crate::cli::SegmentChoice;
use crate::failure::Failure;

/// Looks at a directory that is to hold a log.
///
/// # Errors
/// When it cannot be listed, or no file in it is a log's.
pub(super) fn look_into(dir: &Path) -> Result<LogFiles, Failure> {
    let log = LogFiles::open(dir).map_err(|error| Failure::Usage(error.into()))?;
    let role_of_a_log = |role: FileRole| matches!(role, FileRole::Meta | FileRole::Misnamed);
    if log.segments().is_empty() && !log.others().iter().any(|file| role_of_a_log(file.role)) {
        return Err(Failure::Usage(anyhow!(
            "{} holds no log: there is neither a segment nor a wal.meta; name a log's directory",
            dir.display()
        )));
    }
    Ok(log)
}

/// The segments that were asked for, or all of them.
///
/// # Errors
/// For one that is not there.
pub(super) fn chosen<'a>(
    log: &'a LogFiles,
    choices: &[SegmentChoice],
) -> Result<Vec<&'a SegmentFile>, Failure> {
    if choices.is_empty() {
        return Ok(log.segments().iter().collect());
    }
    let mut chosen = Vec::new();
    for choice in choices {
        let found = match choice {
            SegmentChoice::Holding(lsn) => {
                log.segments().iter().rev().find(|segment| segment.first_lsn.get() <= *lsn)
            }
            SegmentChoice::Named(name) => {
                log.segments().iter().find(|segment| segment.path.ends_with(name))
            }
        };
        let found = found.ok_or_else(|| {
            let wanted = match choice {
                SegmentChoice::Holding(lsn) => format!("LSN {lsn}"),
                SegmentChoice::Named(name) => name.clone(),
            };
            Failure::Usage(anyhow!(
                "{} has no segment for {wanted}; `plimsoll log stat` lists them",
                log.path().display()
            ))
        })?;
        chosen.push(found);
    }
    chosen.sort_by_key(|segment| segment.first_lsn);
    chosen.dedup_by_key(|segment| segment.first_lsn);
    Ok(chosen)
}

/// Why a log or a part of it cannot be gone through.
pub(super) fn unreadable(error: WalError) -> Failure {
    match error {
        WalError::KeyRequired { .. }
        | WalError::KeyMissing { .. }
        | WalError::WrongKey { .. }
        | WalError::NotEncrypted { .. } => Failure::Refused(error.into()),
        error => Failure::Usage(error.into()),
    }
}

/// The file's name, for people.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
