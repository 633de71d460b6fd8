//! A consumer's hold on the log: [`Lease`], the handle that it moves on, and [`LeaseInfo`], what
//! others see of it.

use std::{path::Path, sync::Arc};

use super::{
    chain::list_segments,
    lease_store::{Held, LeaseStore, read_leases},
    meta_store::read_meta,
    name::META_NAME,
};
use crate::{
    device::LogDirectory,
    error::{Result, WalError},
    lsn::Lsn,
};

/// Holds the log for a consumer that follows it, as a replication slot does: no record from its
/// position on is truncated, while it stays within its budget.
///
/// Its name and position are kept in the log's directory. Dropping the handle keeps the lease, and so
/// does the end of the process: a consumer that is away for a minute must not lose its place. Taking
/// it again gives it back where it was; [`Lease::release`] lets go of it.
///
/// [`Lease::advance`] costs no I/O. The position is written down when the log is closed and before
/// a truncation relies on it, so after a crash it may be an earlier one, from which everything is
/// still there: a consumer that must see no record twice remembers its own position.
///
/// ```no_run
/// # fn example(log: plimsoll::GroupCommitter) -> Result<(), plimsoll::WalError> {
/// use plimsoll::Lsn;
/// let lease = log.lease("replica-2", Lsn::NONE, 10 << 30)?; // at most 10 GiB for it
/// for record in log.replay_from(lease.position()?)? {
///     let record = record?;
///     // … send it, and once it has arrived there …
///     lease.advance(record.lsn().next())?;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Lease {
    store: Arc<LeaseStore>,
    held: Arc<Held>,
}

/// What is known of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseInfo {
    /// The consumer.
    pub name: String,
    /// The oldest LSN it needs. From the directory alone: as last written down, perhaps earlier.
    pub position: Lsn,
    /// How many bytes may stay because of it that the embedder has given up.
    pub budget_bytes: u64,
    /// Size of the sealed segments that cannot go before it has moved on, bytes; 0 once it was
    /// dropped. What others hold as well is counted for each.
    pub held_bytes: u64,
    /// Whether it went over its budget and holds nothing any more.
    pub dropped: bool,
    /// Whether a handle is in use. Always `false` from the directory alone.
    pub in_use: bool,
    /// What an [`Archiver`](crate::Archiver) that has it failed with last; `None` once it succeeds, and
    /// from the directory alone.
    pub last_error: Option<String>,
}

/// What keeps a truncation from going as far as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldBack {
    /// The lease with the lowest position.
    pub lease: String,
    /// Its position.
    pub position: Lsn,
    /// Size of the segments that stay because of it, bytes.
    pub bytes: u64,
}

impl Lease {
    pub(super) fn new(store: Arc<LeaseStore>, held: Arc<Held>) -> Self {
        Self { store, held }
    }

    /// The name it was taken under.
    #[must_use]
    pub fn name(&self) -> &str {
        self.held.name()
    }

    pub(super) fn note_error(&self, problem: Option<String>) {
        self.held.note_error(problem);
    }

    /// The oldest LSN that it holds: where to go on reading.
    ///
    /// # Errors
    ///
    /// [`WalError::LeaseDropped`] if it went over its budget, [`WalError::NoSuchLease`] if somebody
    /// released it by name.
    pub fn position(&self) -> Result<Lsn> {
        self.store.position(&self.held)
    }

    /// Records before `lsn` are needed no more. Costs no I/O; an LSN below the position changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// As [`Lease::position`]. [`WalError::Closed`] once the log is closed: the position is not kept.
    pub fn advance(&self, lsn: Lsn) -> Result<()> {
        self.store.advance(&self.held, lsn)
    }

    /// Writes the position down at once, for a consumer to which seeing records again after a crash
    /// costs more than a small write and a directory sync.
    ///
    /// # Errors
    ///
    /// As [`Lease::advance`]; [`WalError::Io`] if the disk is full, and [`WalError::Poisoned`].
    pub fn persist(&self) -> Result<()> {
        self.store.persist(&self.held)
    }

    /// Lets go of what it holds, for good. The next truncation gives it up.
    ///
    /// # Errors
    ///
    /// [`WalError::Closed`] once the log is closed, [`WalError::NoSuchLease`] if it was released by
    /// name, [`WalError::Io`] and [`WalError::Poisoned`].
    pub fn release(self) -> Result<()> {
        self.store.release(self.held.name())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.held.hand_back();
    }
}

/// The leases of the log in `dir`, by name, from the directory alone: no lock is taken and nothing is
/// changed. Beside a live writer the positions may be behind.
///
/// # Errors
///
/// [`WalError::MetaDamaged`] where there is no log, [`WalError::LeaseDamaged`],
/// [`WalError::UnsupportedVersion`] and [`WalError::Io`].
pub fn leases_in(dir: impl AsRef<Path>) -> Result<Vec<LeaseInfo>> {
    leases_of(&LogDirectory::open(dir.as_ref())?)
}

pub(crate) fn leases_of(directory: &LogDirectory) -> Result<Vec<LeaseInfo>> {
    let meta = read_meta(directory)?.ok_or_else(|| WalError::MetaDamaged {
        path: directory.join(META_NAME),
        problem: "it is missing, so this is no log".into(),
    })?;
    let leases = read_leases(directory, &meta)?;
    let segments = list_segments(directory)?;
    let mut sealed = Vec::new();
    for pair in segments.windows(2) {
        let ((first, path), (next, _)) = (&pair[0], &pair[1]);
        if *next > meta.retention_floor {
            // One that a truncation has taken away meanwhile holds nothing.
            sealed.push((*first, *next, directory.file_len(path).unwrap_or(0)));
        }
    }
    let held_bytes = |position: Lsn| {
        sealed.iter().filter(|(_, next, _)| *next > position).map(|(_, _, len)| len).sum()
    };
    Ok(leases.iter().map(|held| held.info(held_bytes)).collect())
}
