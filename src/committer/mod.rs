//! [`GroupCommitter`]: one log shared by many threads. While the device is busy with one batch,
//! the records of everybody else gather in the next; whoever finds the device free writes for all.

mod calls;
mod commit;
mod driver;
mod idle;
mod lead;
mod retention;
mod state;
mod tail;
#[cfg(test)]
mod tests;
mod wakers;
mod window;

use std::{
    mem,
    path::Path,
    slice,
    sync::Arc,
    time::{Duration, Instant},
};

pub use self::{commit::Commit, tail::Tailer};
use self::{
    state::{Patience, Shared},
    window::CommitWindow,
};
use crate::{
    append::WalStats,
    crypto::KeyRing,
    device::{EngineReport, Geometry},
    error::{Result, WalError},
    level::{Durable, Level, Reach},
    lsn::{Lsn, LsnRange},
    record::{Record, RecordHeader},
    replay::{RecoveryReport, WalReader},
    segment::SegmentInfo,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        lock,
        thread::JoinHandle,
    },
    telemetry::WalCounters,
    wal::SegmentedWal,
};

/// How long a batch waits for company.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitPolicy {
    /// As the configuration's `commit_window` says; 0, the default, is [`CommitPolicy::Greedy`].
    #[default]
    FromConfig,
    /// Not at all: the next batch fills while the device is busy with the last one.
    Greedy,
    /// From its first record, this long or until it is full. Worth it only when records arrive
    /// more slowly than the device can flush, and fewer flushes are worth the delay.
    Window(Duration),
    /// As long as it saves flushes and keeps the 99th percentile of commit latency at this aim: not
    /// at all while records arrive so fast that the device keeps them together anyway, and never
    /// longer than half the aim. The percentile is of batches, each as slow as its slowest record.
    /// An aim that the device cannot keep even without a window is not kept.
    Adaptive {
        /// The aim.
        p99: Duration,
    },
}

/// A log that any number of threads commit to. Clones share the log; the last one to be dropped
/// lets go of it without writing, as after a crash, and [`GroupCommitter::close`] ends it in good
/// order.
///
/// ```no_run
/// # fn main() -> Result<(), plimsoll::WalError> {
/// use plimsoll::{CommitPolicy, GroupCommitter, Record, RecordKind};
/// use plimsoll::{SegmentedWal, SegmentedWalConfig};
/// let wal = SegmentedWal::open(SegmentedWalConfig::new("/var/lib/db/wal"))?;
/// let committer = GroupCommitter::start(wal, CommitPolicy::FromConfig)?;
/// let clone = committer.clone();
/// let other = std::thread::spawn(move || clone.commit(&Record::new(RecordKind::PUT, b"a")));
/// let lsn = committer.commit(&Record::new(RecordKind::PUT, b"b"))?;
/// println!("{lsn} is durable");
/// # drop(other); Ok(()) }
/// ```
#[derive(Clone)]
pub struct GroupCommitter {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// Looked at by each submission, so that it need not take the lock of `threads`.
    driver_runs: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl GroupCommitter {
    /// Shares `wal` between threads. Records appended to it and not synced are synced first.
    ///
    /// # Errors
    ///
    /// [`WalError::Poisoned`], or [`WalError::Io`] if the thread for idle markers cannot start.
    pub fn start(mut wal: SegmentedWal, policy: CommitPolicy) -> Result<Self> {
        wal.sync()?;
        wal.share()?;
        let window = CommitWindow::of(policy, wal.config().commit_window);
        let idle_after = wal.config().idle_marker_after;
        let (log, appender, writer) = wal.into_parts();
        let shared = Arc::new(Shared::new(log, appender, writer, window));
        let idle_thread = idle::spawn(Arc::clone(&shared), idle_after)?;
        let inner = Inner {
            shared,
            driver_runs: AtomicBool::new(false),
            threads: Mutex::new(vec![idle_thread]),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// Appends a record and returns its LSN once it survives power loss.
    ///
    /// # Errors
    ///
    /// [`WalError::RecordTooLarge`], [`WalError::NoSpace`] and [`WalError::Closed`]: nothing was
    /// appended. [`WalError::Poisoned`]: the log has failed for good and the record's outcome is
    /// unknown.
    pub fn commit(&self, record: &Record<'_>) -> Result<Lsn> {
        self.commit_as::<Durable>(record).map(Durable::lsn)
    }

    /// Appends a record and answers once it has got as far as asked for: [`Durable`], [`Written`] or
    /// [`Buffered`]. The type of the answer says which.
    ///
    /// What is less than durable becomes so with the next durable commit, at the latest after
    /// `idle_marker_after` without one.
    ///
    /// ```no_run
    /// # fn example(log: plimsoll::GroupCommitter) -> Result<(), plimsoll::WalError> {
    /// use plimsoll::{Buffered, Durable, Record, RecordKind, Written};
    /// let metric = log.commit_as::<Buffered>(&Record::new(RecordKind::PUT, b"load=3"))?;
    /// let session = log.commit_as::<Written>(&Record::new(RecordKind::PUT, b"seen=now"))?;
    /// let payment: Durable = log.commit_as(&Record::new(RecordKind::PUT, b"paid=7"))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`GroupCommitter::commit`].
    ///
    /// [`Written`]: crate::Written
    /// [`Buffered`]: crate::Buffered
    pub fn commit_as<L: Level>(&self, record: &Record<'_>) -> Result<L> {
        self.commit_records::<L>(slice::from_ref(record)).map(|range| L::given(range.last))
    }

    /// Appends records that are replayed all together or not at all, and returns their LSNs once
    /// they survive power loss.
    ///
    /// # Errors
    ///
    /// [`WalError::EmptyBatch`] for none, [`WalError::BatchTooLarge`], and as
    /// [`GroupCommitter::commit`].
    pub fn commit_batch(&self, records: &[Record<'_>]) -> Result<LsnRange> {
        if records.is_empty() {
            return Err(WalError::EmptyBatch);
        }
        self.commit_records::<Durable>(records)
    }

    fn commit_records<L: Level>(&self, records: &[Record<'_>]) -> Result<LsnRange> {
        self.prepare_for::<L>()?;
        let range = self.shared().append(records, L::REACH, Patience::Forever)?;
        self.shared().wait_for(range.last, L::REACH, Patience::Forever)?;
        #[cfg(shuttle)]
        if crate::sabotage::is(crate::sabotage::Sabotage::LastLsnForEverybody) {
            return Ok(LsnRange { last: self.durable_lsn(), ..range });
        }
        Ok(range)
    }

    /// Appends a record of `payload_len` bytes that `fill` writes in place, without a copy and
    /// outside every lock, and returns its LSN once it survives power loss. `fill` finds zeros. It
    /// must not use the log, and others wait for it: the batch is not written before it returns.
    ///
    /// The LSN is given out before `fill` runs: should it panic, a record of kind
    /// [`RecordKind::NOOP`](crate::RecordKind::NOOP), all zeros, has taken the record's place.
    ///
    /// # Errors
    ///
    /// As [`GroupCommitter::commit`].
    pub fn commit_with(
        &self,
        record: RecordHeader,
        payload_len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Lsn> {
        let shared = self.shared();
        let lsn = shared.append_with(record, payload_len, fill, Reach::Durable)?;
        shared.wait_for(lsn, Reach::Durable, Patience::Forever)?;
        Ok(lsn)
    }

    /// As [`GroupCommitter::commit`], but no longer than until `deadline`, give or take one write of
    /// the device.
    ///
    /// # Errors
    ///
    /// [`WalError::QueueFull`]: there was no room for the record by then, and nothing was appended.
    /// [`WalError::DeadlineExceeded`]: it was appended, and is still on its way. And as
    /// [`GroupCommitter::commit`].
    pub fn commit_by(&self, record: &Record<'_>, deadline: Instant) -> Result<Lsn> {
        let (shared, patience) = (self.shared(), Patience::Until(deadline));
        let lsn = shared.append(slice::from_ref(record), Reach::Durable, patience)?.last;
        if shared.wait_for(lsn, Reach::Durable, patience)? {
            return Ok(lsn);
        }
        // Nobody else may be there to write it.
        self.inner.start_driver()?;
        shared.wake_driver();
        Err(WalError::DeadlineExceeded { lsn })
    }

    /// Appends a record and returns at once, with its LSN and a handle to wait for or to await. A
    /// background thread writes for all submissions.
    ///
    /// Blocks only while every buffer is full: a slow disk slows its callers and never grows
    /// memory, which is bounded by `buffer_size` × (`pipeline_depth` + 2) and a waker for each
    /// record in those buffers.
    ///
    /// ```no_run
    /// # async fn example(log: plimsoll::GroupCommitter) -> Result<(), plimsoll::WalError> {
    /// # use plimsoll::{Record, RecordKind};
    /// let commit = log.submit(&Record::new(RecordKind::PUT, b"k=v"))?;
    /// println!("record {} is on its way", commit.lsn());
    /// let durable = commit.await?; // it survives power loss from here on
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`GroupCommitter::commit`]; also [`WalError::Io`] if the thread cannot be started.
    pub fn submit(&self, record: &Record<'_>) -> Result<Commit> {
        self.submit_records(slice::from_ref(record), Patience::Forever)
    }

    /// [`GroupCommitter::submit`] for an answer of another level, see
    /// [`GroupCommitter::commit_as`].
    ///
    /// # Errors
    ///
    /// As [`GroupCommitter::submit`].
    pub fn submit_as<L: Level>(&self, record: &Record<'_>) -> Result<Commit<L>> {
        self.submit_records(slice::from_ref(record), Patience::Forever)
    }

    /// [`GroupCommitter::submit`] for records that are replayed all together or not at all.
    ///
    /// # Errors
    ///
    /// [`WalError::EmptyBatch`] for none, [`WalError::BatchTooLarge`], and as
    /// [`GroupCommitter::submit`].
    pub fn submit_batch(&self, records: &[Record<'_>]) -> Result<Commit> {
        if records.is_empty() {
            return Err(WalError::EmptyBatch);
        }
        self.submit_records(records, Patience::Forever)
    }

    /// [`GroupCommitter::submit`] for a record whose payload is written in place, see
    /// [`GroupCommitter::commit_with`].
    ///
    /// # Errors
    ///
    /// As [`GroupCommitter::submit`].
    pub fn submit_with(
        &self,
        record: RecordHeader,
        payload_len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Commit> {
        self.inner.start_driver()?;
        let lsn = self.shared().append_with(record, payload_len, fill, Reach::Durable)?;
        self.shared().wake_driver();
        Ok(Commit::new(Arc::clone(&self.inner.shared), LsnRange { first: lsn, last: lsn }))
    }

    /// [`GroupCommitter::submit`] that never blocks.
    ///
    /// # Errors
    ///
    /// [`WalError::QueueFull`] where that would wait for a buffer: nothing was appended. And as
    /// [`GroupCommitter::submit`].
    pub fn try_submit(&self, record: &Record<'_>) -> Result<Commit> {
        self.submit_records(slice::from_ref(record), Patience::None)
    }

    /// [`GroupCommitter::submit`] that blocks no longer than until `deadline`.
    ///
    /// # Errors
    ///
    /// [`WalError::QueueFull`] if there was no buffer by then: nothing was appended. And as
    /// [`GroupCommitter::submit`].
    pub fn submit_by(&self, record: &Record<'_>, deadline: Instant) -> Result<Commit> {
        self.submit_records(slice::from_ref(record), Patience::Until(deadline))
    }

    fn submit_records<L: Level>(
        &self,
        records: &[Record<'_>],
        patience: Patience,
    ) -> Result<Commit<L>> {
        self.inner.start_driver()?;
        let range = self.shared().append(records, L::REACH, patience)?;
        if L::REACH > Reach::Buffered {
            self.shared().wake_driver();
        }
        Ok(Commit::new(Arc::clone(&self.inner.shared), range))
    }

    /// Has the background thread there for records that nobody waits for.
    fn prepare_for<L: Level>(&self) -> Result<()> {
        if L::REACH == Reach::Buffered { self.inner.start_driver() } else { Ok(()) }
    }

    /// Streams every durable record from `from` on ([`Lsn::NONE`]: from the oldest).
    ///
    /// # Errors
    ///
    /// [`WalError::Truncated`] below the oldest record kept.
    pub fn replay_from(&self, from: Lsn) -> Result<WalReader> {
        self.shared().log.replay(from, self.durable_lsn())
    }

    /// Follows the log from `from` on ([`Lsn::NONE`]: from the oldest record kept): durable records, and
    /// those that become so.
    ///
    /// # Errors
    ///
    /// [`WalError::Truncated`] below the oldest record kept, [`WalError::NotAppended`] beyond the LSN
    /// that the next record gets, [`WalError::Closed`] and [`WalError::Poisoned`].
    pub fn tail(&self, from: Lsn) -> Result<Tailer> {
        Tailer::new(Arc::clone(&self.inner.shared), from)
    }

    /// Seals later segments with the current key of `keys`; see [`SegmentedWal::rotate_keys`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn rotate_keys(&self, keys: KeyRing) -> Result<()> {
        let mut state = lock(&self.shared().state);
        let appender = state.appender()?;
        appender.rotate_keys(self.shared().log.adopt_keys(keys)?);
        Ok(())
    }

    /// The segment files, oldest first; the last one is being written.
    ///
    /// # Errors
    ///
    /// [`WalError::Io`] if a file cannot be examined.
    pub fn list_segments(&self) -> Result<Vec<SegmentInfo>> {
        self.shared().log.list_segments()
    }

    /// Size of all segment files together, bytes; prepared space included.
    ///
    /// # Errors
    ///
    /// As [`GroupCommitter::list_segments`].
    pub fn total_size_bytes(&self) -> Result<u64> {
        self.shared().log.total_size_bytes()
    }

    /// Every record up to here has reached the device, which may lose what is past the durable LSN
    /// with its power.
    #[must_use]
    pub fn written_lsn(&self) -> Lsn {
        self.shared().reached(Reach::Written)
    }

    /// Every record up to here survives power loss.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        self.shared().durable_lsn()
    }

    /// The LSN the next record will get.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        lock(&self.shared().state).next_lsn
    }

    /// The counters of [`GroupCommitter::stats`] alone, which cost next to nothing.
    #[must_use]
    pub fn counters(&self) -> WalCounters {
        self.shared().telemetry.counters()
    }

    /// What the log has done since it was opened, up to the last completed batch.
    #[must_use]
    pub fn stats(&self) -> WalStats {
        let shared = self.shared();
        let (engine, leases) = (shared.log.engine.clone(), shared.log.leases());
        WalStats::new(shared.telemetry.snapshot(), engine, leases)
    }

    /// What opening found.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.shared().log.recovery
    }

    /// The engine the log writes with, and why.
    #[must_use]
    pub fn engine(&self) -> &EngineReport {
        &self.shared().log.engine
    }

    /// The device under the log, as the kernel describes it.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.shared().log.geometry
    }

    /// The directory of the log.
    #[must_use]
    pub fn wal_dir(&self) -> &Path {
        self.shared().log.directory.path()
    }

    /// Ends the log in good order, for all clones: waits for what is being committed, and states
    /// in the log that everything is durable. Later commits fail with [`WalError::Closed`].
    ///
    /// # Errors
    ///
    /// [`WalError::Closed`] if it is already, [`WalError::Poisoned`] if the log has failed.
    pub fn close(&self) -> Result<()> {
        let (appender, writer) = self.shared().take_down()?;
        self.inner.join_threads();
        SegmentedWal::from_parts(Arc::clone(&self.shared().log), appender, writer).close()
    }
}

impl Inner {
    fn start_driver(&self) -> Result<()> {
        if self.driver_runs.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut threads = lock(&self.threads);
        if !self.driver_runs.load(Ordering::Acquire) {
            threads.push(driver::spawn(Arc::clone(&self.shared))?);
            self.driver_runs.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn join_threads(&self) {
        for thread in mem::take(&mut *lock(&self.threads)) {
            // A panic there has been reported by the panic hook; here it changes nothing.
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.abandon();
        self.join_threads();
    }
}

impl std::fmt::Debug for GroupCommitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupCommitter")
            .field("dir", &self.wal_dir())
            .field("durable_lsn", &self.durable_lsn())
            .finish_non_exhaustive()
    }
}
