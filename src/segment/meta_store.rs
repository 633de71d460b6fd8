//! Keeping `wal.meta`: one owner of the file, replaced atomically and only ever moved forward.

use std::{io, path::PathBuf};

use super::name::META_NAME;
use crate::{
    device::LogDirectory,
    error::{Result, WalError},
    format::{FORMAT_VERSION, META_LEN, Meta, MetaProblem},
    lsn::Lsn,
    sync::{Mutex, lock},
};

/// The file and what it says.
#[derive(Debug)]
pub(crate) struct MetaStore {
    directory: LogDirectory,
    /// Held only for a look or to set it: a commit that starts a segment reads it, and must not
    /// wait for somebody who replaces the file.
    current: Mutex<Meta>,
    /// Held by whoever replaces the file.
    replacing: Mutex<()>,
}

/// Reads `wal.meta`; `None` if there is none.
pub(crate) fn read_meta(directory: &LogDirectory) -> Result<Option<Meta>> {
    let path = directory.join(META_NAME);
    let bytes = directory
        .read_small(META_NAME, META_LEN as u64 + 1)
        .map_err(WalError::io("read", &path))?;
    let Some(bytes) = bytes else { return Ok(None) };
    match Meta::decode(&bytes) {
        Ok(meta) => Ok(Some(meta)),
        Err(MetaProblem::Version(found)) => {
            Err(WalError::UnsupportedVersion { path, found, supported: FORMAT_VERSION })
        }
        Err(MetaProblem::Damaged(problem)) => {
            Err(WalError::MetaDamaged { path, problem: problem.to_owned() })
        }
    }
}

impl MetaStore {
    /// Takes over an existing file.
    pub(crate) fn existing(directory: LogDirectory, meta: Meta) -> Self {
        Self { directory, current: Mutex::new(meta), replacing: Mutex::new(()) }
    }

    /// Writes the file of a new log: a fresh random id, and nothing durable yet. The floor is where
    /// the log begins.
    pub(crate) fn create(directory: LogDirectory, first_lsn: Lsn) -> Result<Self> {
        let mut log_id = [0; 16];
        directory.fill_random(&mut log_id)?;
        let meta = Meta {
            log_id,
            retention_floor: first_lsn,
            newest_segment_number: 0,
            durable_lsn: Lsn::NONE,
            encrypted: false,
            closing_marker_offset_bytes: None,
        };
        directory
            .replace_small(META_NAME, &meta.encode())
            .map_err(WalError::io("create", directory.join(META_NAME)))?;
        Ok(Self::existing(directory, meta))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(META_NAME)
    }

    /// What the file says.
    pub(crate) fn get(&self) -> Meta {
        *lock(&self.current)
    }

    /// Changes the file durably, unless nothing changes. A failure leaves it as it was or as it
    /// was to become; both are true statements about the log.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Meta)) -> io::Result<()> {
        let _replacing = lock(&self.replacing);
        let current = self.get();
        let mut next = current;
        change(&mut next);
        next.retention_floor = next.retention_floor.max(current.retention_floor);
        next.durable_lsn = next.durable_lsn.max(current.durable_lsn);
        next.newest_segment_number = next.newest_segment_number.max(current.newest_segment_number);
        if next != current {
            self.directory.replace_small(META_NAME, &next.encode())?;
            *lock(&self.current) = next;
        }
        Ok(())
    }
}
