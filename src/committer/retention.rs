//! What of a shared log is kept, and for whom: truncation, leases, archiving.

use super::GroupCommitter;
use crate::{
    error::Result,
    lsn::Lsn,
    segment::{ArchiveError, Archiver, Lease, LeaseInfo, SealedSegment, TruncateOutcome},
};

impl GroupCommitter {
    /// Gives up sealed segments; see
    /// [`SegmentedWal::truncate_before`](crate::SegmentedWal::truncate_before).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn truncate_before(&self, lsn: Lsn) -> Result<TruncateOutcome> {
        let shared = self.shared();
        shared.check()?;
        shared.log.truncate_before(lsn)
    }

    /// Takes the lease of a consumer; see [`SegmentedWal::lease`](crate::SegmentedWal::lease).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn lease(&self, name: &str, from: Lsn, budget_bytes: u64) -> Result<Lease> {
        self.shared().log.lease(name, from, budget_bytes)
    }

    /// The leases of the log, by name, those that were dropped and not released yet as well.
    #[must_use]
    pub fn leases(&self) -> Vec<LeaseInfo> {
        self.shared().log.leases()
    }

    /// Lets go of a lease; see [`SegmentedWal::release_lease`](crate::SegmentedWal::release_lease).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn release_lease(&self, name: &str) -> Result<()> {
        self.shared().log.release_lease(name)
    }

    /// Has every sealed segment archived before it may be retired; see
    /// [`SegmentedWal::archive`](crate::SegmentedWal::archive).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn archive(
        &self,
        name: &str,
        budget_bytes: u64,
        callback: impl FnMut(&SealedSegment) -> Result<(), ArchiveError> + Send + 'static,
    ) -> Result<Archiver> {
        self.shared().log.archive(name, budget_bytes, callback)
    }
}
