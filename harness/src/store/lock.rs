//! Who measures into a run's folder: one process at a time. The lock is the kernel's, on the folder
//! itself, so that it leaves no file behind and goes with the process that held it.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Held while a run's folder is measured into; released when dropped, or when the process ends.
#[derive(Debug)]
pub(crate) struct RunLock {
    _lock: Flock<File>,
}

impl RunLock {
    /// Takes the lock without waiting; `None` when another process has it.
    pub(super) fn take(folder: &Path) -> Result<Option<Self>> {
        let cannot = || format!("cannot lock {}", folder.display());
        let file = File::open(folder).with_context(cannot)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Self { _lock: lock })),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(errno).with_context(cannot),
        }
    }
}
