//! What of a log is kept, and for whom: truncation, leases, archiving.

use super::SegmentedWal;
use crate::{
    error::Result,
    lsn::Lsn,
    segment::{ArchiveError, Archiver, Lease, LeaseInfo, SealedSegment, TruncateOutcome},
};

impl SegmentedWal {
    /// Gives up the sealed segments all of whose records are before `lsn`: the embedder's
    /// checkpoint. The segment being written always stays, and so does what a lease holds; the
    /// outcome says which one.
    ///
    /// # Errors
    ///
    /// [`WalError::Io`](crate::WalError::Io) if the disk is too full to note the position of a
    /// lease; nothing was given up
    /// then.
    /// [`WalError::Poisoned`](crate::WalError::Poisoned) if the directory could not be changed
    /// durably.
    pub fn truncate_before(&mut self, lsn: Lsn) -> Result<TruncateOutcome> {
        self.writer.check()?;
        self.log.truncate_before(lsn)
    }

    /// Takes the lease of a consumer, which holds the log for it from its position on: where it was
    /// left, or, if there is none of this name, from `from` on ([`Lsn::NONE`]: from the oldest
    /// record kept). It is durable once this returns, and stays over restarts until it is released.
    ///
    /// A truncation stops at the lowest lease. A lease because of which more than `budget_bytes` of
    /// given-up segments stay is dropped then, and its consumer is told: a consumer that is gone
    /// must not fill the disk. `budget_bytes` takes the place of what was said before.
    ///
    /// # Errors
    ///
    /// [`WalError::InvalidLeaseName`](crate::WalError::InvalidLeaseName);
    /// [`WalError::LeaseInUse`](crate::WalError::LeaseInUse) while another handle has it;
    /// [`WalError::LeaseDropped`](crate::WalError::LeaseDropped) if it was dropped, until it is
    /// released;
    /// [`WalError::Truncated`](crate::WalError::Truncated) for a new one below the oldest record
    /// kept; [`WalError::Closed`](crate::WalError::Closed),
    /// [`WalError::Io`](crate::WalError::Io) on a full disk,
    /// [`WalError::Poisoned`](crate::WalError::Poisoned).
    pub fn lease(&self, name: &str, from: Lsn, budget_bytes: u64) -> Result<Lease> {
        self.log.lease(name, from, budget_bytes)
    }

    /// The leases of the log, by name, those that were dropped and not released yet as well.
    #[must_use]
    pub fn leases(&self) -> Vec<LeaseInfo> {
        self.log.leases()
    }

    /// Lets go of a lease whose consumer will not come back, or was told that it was dropped. A
    /// handle in use gets [`WalError::NoSuchLease`](crate::WalError::NoSuchLease) from now on.
    ///
    /// # Errors
    ///
    /// [`WalError::NoSuchLease`](crate::WalError::NoSuchLease),
    /// [`WalError::Closed`](crate::WalError::Closed), [`WalError::Io`](crate::WalError::Io),
    /// [`WalError::Poisoned`](crate::WalError::Poisoned).
    pub fn release_lease(&self, name: &str) -> Result<()> {
        self.log.release_lease(name)
    }

    /// Has every sealed segment archived before it may be retired. `callback` is called for each in
    /// order, in a thread of its own, with what a copy has to look like; only what it has answered
    /// with
    /// `Ok` is given up by a truncation. The segment being written is not offered before its
    /// successor
    /// is durable.
    ///
    /// After `Err` or a panic the same segment is offered again, after 50 ms at first and 10 s at
    /// most;
    /// the last error shows in [`WalStats::leases`](crate::WalStats::leases). Where it stands is
    /// kept with the lease of this
    /// name and written down after each segment, so that after a crash one may be offered a second
    /// time, and none is left out. A new archiver begins with the oldest segment there is.
    ///
    /// While more than `budget_bytes` wait that were given up, the lease is dropped and the
    /// archiver
    /// ends: an archive that cannot be reached must not fill the disk.
    ///
    /// ```no_run
    /// # fn example(log: &plimsoll::SegmentedWal) -> Result<(), plimsoll::WalError> {
    /// let archiver = log.archive("archive", 100 << 30, |segment| {
    ///     let target =
    /// std::path::Path::new("/mnt/archive").join(segment.path.file_name().unwrap());
    ///     std::fs::copy(&segment.path, &target)?;
    ///     // … compare the copy with `segment.crc32c`, and make it durable …
    ///     Ok(())
    /// })?;
    /// # drop(archiver); Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`SegmentedWal::lease`](crate::SegmentedWal::lease);
    /// [`WalError::Io`](crate::WalError::Io) if the thread cannot be started.
    pub fn archive(
        &self,
        name: &str,
        budget_bytes: u64,
        callback: impl FnMut(&SealedSegment) -> Result<(), ArchiveError> + Send + 'static,
    ) -> Result<Archiver> {
        self.log.archive(name, budget_bytes, callback)
    }
}
