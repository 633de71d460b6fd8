//! Bugs on purpose, one at a time: the controls that the tests have to catch. Compiled with the
//! feature `simulated` only. Most of them are properties of the simulated disk, which asks here
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
    /// What `wal.meta` says of a close is believed without a look at the marker, and stays there
    /// while the log is in use.
    BelieveStatedClose,
    /// The pages of keys are ordinary memory: in core dumps and in forked processes.
    KeyInCoreDump,
    /// A key that is dropped stays where it was.
    KeyOutlivesItsOwner,
    /// What deriving a key leaves on the stack stays there.
    KeyOnStack,
    /// A record's tag does not cover the header of its frame.
    FrameHeaderNotAuthenticated,
    /// Segments in clear are welcome anywhere, behind encrypted ones as well.
    PlainBehindEncrypted,
    /// Memory for a batch is taken before its length is held against the file.
    TrustBatchLength,
    /// The length of a frame is used before it is held against its batch.
    TrustFrameLength,
    /// A batch may hold more than its frames.
    AcceptTrailingBytes,
    /// What batches behind the end call durable counts for nothing.
    IgnoreLaterClaims,
    /// A truncation does not wait until the positions of leases are on disk. For the test of leases.
    LeaseWrittenLate,
    /// Payloads are passed over where nobody vouches for the batch.
    SkipUnvouched,
    /// A waiter remembers the moment from which it waits after it has looked, not before.
    #[cfg(shuttle)]
    LookBeforeRemembering,
    /// A task leaves its waker and does not look once more.
    #[cfg(shuttle)]
    NoSecondLook,
    /// What was handed to the device counts as durable before the device has answered.
    #[cfg(shuttle)]
    PublishEarly,
    /// A batch is written before the last of its records has been encoded.
    #[cfg(shuttle)]
    WriteUnfilled,
    /// Everybody is told before the writer is back, and not again.
    #[cfg(shuttle)]
    TellEarly,
    /// The writer is put back and nobody is told.
    #[cfg(shuttle)]
    PutBackInSilence,
    /// Nobody is told that the log has failed.
    #[cfg(shuttle)]
    FailInSilence,
    /// Everybody in a batch is answered with the newest durable LSN instead of their own.
    #[cfg(shuttle)]
    LastLsnForEverybody,
    /// The driver is not woken for a submission.
    #[cfg(shuttle)]
    DriverSleepsOn,
    /// Whoever wakes everybody looks for sleepers before the event has happened, not after.
    #[cfg(shuttle)]
    CountSleepersFirst,
    /// The log is closed though not everything appended is durable.
    #[cfg(shuttle)]
    CloseInAHurry,
    /// Whoever has nothing to write sleeps without looking whether the log was closed.
    #[cfg(shuttle)]
    AdvanceAClosedLog,
    /// Tasks that follow the log are not woken.
    #[cfg(shuttle)]
    TailersSleepOn,
    /// A task that follows the log leaves its waker and does not look once more.
    #[cfg(shuttle)]
    TailersLookOnce,
    /// A waiter that finds the log closed does not look again whether its record is durable.
    #[cfg(shuttle)]
    OneLookAtAClosedLog,
}

impl Sabotage {
    /// Those that only bytes nobody wrote can show, or that show without a crash: for `fuzz/`.
    pub const HOSTILE: [Self; 4] = [
        Self::TrustBatchLength,
        Self::TrustFrameLength,
        Self::AcceptTrailingBytes,
        Self::IgnoreLaterClaims,
    ];

    /// Those of a log with one owner: for the crash matrix to catch.
    pub const ALL: [Self; 14] = [
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
        Self::BelieveStatedClose,
    ];

    /// Those that need several threads to show: for the schedules to catch.
    #[cfg(shuttle)]
    pub const BETWEEN_THREADS: [Self; 15] = [
        Self::LookBeforeRemembering,
        Self::NoSecondLook,
        Self::PublishEarly,
        Self::WriteUnfilled,
        Self::TellEarly,
        Self::PutBackInSilence,
        Self::FailInSilence,
        Self::LastLsnForEverybody,
        Self::DriverSleepsOn,
        Self::CountSleepersFirst,
        Self::CloseInAHurry,
        Self::AdvanceAClosedLog,
        Self::OneLookAtAClosedLog,
        Self::TailersSleepOn,
        Self::TailersLookOnce,
    ];

    /// Those that the tests of encryption have to catch.
    pub const ENCRYPTION: [Self; 6] = [
        Self::ReuseNonce,
        Self::KeyInCoreDump,
        Self::KeyOutlivesItsOwner,
        Self::KeyOnStack,
        Self::FrameHeaderNotAuthenticated,
        Self::PlainBehindEncrypted,
    ];
}

thread_local! {
    static ACTIVE: Cell<Option<Sabotage>> = const { Cell::new(None) };
}

/// Runs `work` with this bug in the calling thread.
pub fn with<T>(sabotage: Option<Sabotage>, work: impl FnOnce() -> T) -> T {
    /// Switches back even when `work` panics, which is how some bugs show.
    struct Before(Option<Sabotage>);
    impl Drop for Before {
        fn drop(&mut self) {
            ACTIVE.set(self.0);
        }
    }
    let _before = Before(ACTIVE.replace(sabotage));
    work()
}

/// Whether this bug is switched on.
pub(crate) fn is(sabotage: Sabotage) -> bool {
    ACTIVE.get() == Some(sabotage)
}
