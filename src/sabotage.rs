//! Bugs on purpose, one at a time: the controls that the crash matrix has to catch. Compiled with
//! the feature `simulated` only. Most of them are properties of the simulated disk, which asks here
//! whether to misbehave; the few that have to be in the log itself ask here too.

use std::cell::Cell;

/// A seeded bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sabotage {
    /// The device says that it has flushed and has not.
    NoFlush,
    /// A write is reported complete as soon as it is submitted.
    AcknowledgeEarly,
    /// A flush that fails is tried again, and the second success is believed.
    RetryFailedFlush,
    /// A short write is taken for a whole one.
    AcceptShortWrite,
    /// Checksums do not depend on the segment, so that bytes of another life validate.
    AcceptStaleIdentity,
    /// The source of randomness repeats itself after a restart, and with it keys and nonces.
    ReuseNonce,
    /// The parent of a new directory is not synced.
    NoSyncAfterCreate,
    /// Syncing the directory does not make renamed names durable.
    NoSyncAfterRename,
    /// The device's physical block is larger than it says, so that a write that is cut short
    /// damages the durable block beside it.
    RewriteDurableBlock,
    /// The durable LSN follows the newest completed write, whether or not older ones are missing.
    AdvancePastGap,
    /// The decoder looks for the next batch right behind the last one, in the padding.
    PaddingNotSkipped,
    /// Opening takes every position without a batch for the end of the log.
    NothingIsEverLost,
    /// A batch states nothing to be durable.
    StateNothingDurable,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::NoFlush,
        Self::AcknowledgeEarly,
        Self::RetryFailedFlush,
        Self::AcceptShortWrite,
        Self::AcceptStaleIdentity,
        Self::ReuseNonce,
        Self::NoSyncAfterCreate,
        Self::NoSyncAfterRename,
        Self::RewriteDurableBlock,
        Self::AdvancePastGap,
        Self::PaddingNotSkipped,
        Self::NothingIsEverLost,
        Self::StateNothingDurable,
    ];
}

thread_local! {
    static ACTIVE: Cell<Option<Sabotage>> = const { Cell::new(None) };
}

/// Runs `work` with this bug in the calling thread.
pub(crate) fn with<T>(sabotage: Option<Sabotage>, work: impl FnOnce() -> T) -> T {
    let before = ACTIVE.replace(sabotage);
    let result = work();
    ACTIVE.set(before);
    result
}

/// Whether this bug is switched on.
pub(crate) fn is(sabotage: Sabotage) -> bool {
    ACTIVE.get() == Some(sabotage)
}
