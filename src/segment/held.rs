//! What one lease holds at this moment, and reading the files of leases.

use super::{
    lease::LeaseInfo,
    name::{lease_file_name, parse_lease_file_name},
};
use crate::{
    device::LogDirectory,
    error::{Result, WalError},
    format::{FORMAT_VERSION, LEASE_LEN, LeaseProblem, LeaseRecord, Meta},
    lsn::Lsn,
    sync::{Mutex, lock},
};

/// One lease.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) name: String,
    pub(super) state: Mutex<HeldState>,
    /// What its archiver has failed with, until it succeeds.
    last_error: Mutex<Option<String>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct HeldState {
    pub(super) position: Lsn,
    /// The position that its file states.
    pub(super) stored: Lsn,
    pub(super) budget_bytes: u64,
    pub(super) dropped: bool,
    pub(super) in_use: bool,
    /// Released, or the log is closed: no handle can do anything any more.
    pub(super) end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Released,
    Closed,
}

/// Reads the leases in a directory, by name.
///
/// # Errors
///
/// [`WalError::LeaseDamaged`] for a file that is damaged, of another log, or misnamed.
pub(super) fn read_leases(directory: &LogDirectory, meta: &Meta) -> Result<Vec<Held>> {
    let mut names = directory.names()?;
    names.retain(|name| parse_lease_file_name(name).is_some());
    names.sort_unstable();
    let mut leases = Vec::new();
    for file_name in names {
        let path = directory.join(&file_name);
        let read = directory.read_small(&file_name, LEASE_LEN as u64 + 1);
        // Released a moment ago, if this is no writer that asks.
        let Some(bytes) = read.map_err(WalError::io("read", &path))? else { continue };
        let damaged = |problem: &str| WalError::LeaseDamaged {
            path: path.clone(),
            problem: problem.to_owned(),
        };
        let record = LeaseRecord::decode(&bytes).map_err(|problem| match problem {
            LeaseProblem::Damaged(problem) => damaged(problem),
            LeaseProblem::Version(found) => WalError::UnsupportedVersion {
                path: path.clone(),
                found,
                supported: FORMAT_VERSION,
            },
        })?;
        if lease_file_name(&record.name) != file_name {
            return Err(damaged("the name in it is another one; a file was renamed or copied"));
        }
        if record.log_id != meta.log_id {
            return Err(damaged("it belongs to another log"));
        }
        leases.push(Held::of(record, meta.retention_floor));
    }
    Ok(leases)
}

/// Fails where an opening would because of a lease.
pub(crate) fn check_leases(directory: &LogDirectory, meta: &Meta) -> Result<()> {
    read_leases(directory, meta).map(drop)
}

impl Held {
    pub(super) fn of(record: LeaseRecord, floor: Lsn) -> Self {
        let state = HeldState {
            position: record.position,
            stored: record.position,
            budget_bytes: record.budget_bytes,
            // What it held is gone: a file of an earlier time was put back.
            dropped: record.dropped || record.position < floor,
            in_use: false,
            end: None,
        };
        Self { name: record.name, state: Mutex::new(state), last_error: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The handle is gone.
    pub(super) fn hand_back(&self) {
        lock(&self.state).in_use = false;
    }

    pub(super) fn info(&self, held_bytes: impl Fn(Lsn) -> u64) -> LeaseInfo {
        let state = *lock(&self.state);
        LeaseInfo {
            name: self.name.clone(),
            position: state.position,
            budget_bytes: state.budget_bytes,
            held_bytes: if state.dropped { 0 } else { held_bytes(state.position) },
            dropped: state.dropped,
            in_use: state.in_use,
            last_error: lock(&self.last_error).clone(),
        }
    }

    pub(super) fn note_error(&self, problem: Option<String>) {
        *lock(&self.last_error) = problem;
    }

    pub(super) fn is_dropped(&self) -> bool {
        lock(&self.state).dropped
    }
}
