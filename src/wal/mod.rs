//! [`SegmentedWal`]: a log with one owner, whose thread does the I/O.

mod log;
mod open;
mod owner;
mod reading;
mod retention;
#[cfg(feature = "simulated")]
pub(crate) mod simulated;

use std::{iter, path::Path, slice, sync::Arc};

pub(crate) use log::Log;
use open::Wanted;

use crate::{
    append::{Appender, BatchWriter, Reservation, Room, WalStats},
    config::SegmentedWalConfig,
    crypto::KeyRing,
    device::{ActiveEngine, Durability, EngineReport, Geometry, open_shared_uring},
    error::{Result, WalError},
    level::Reach,
    lsn::{Lsn, LsnRange},
    record::{Record, RecordHeader},
    replay::RecoveryReport,
    segment::SegmentInfo,
    telemetry::WalCounters,
};

/// A write-ahead log in a directory of segments, with one owner: the caller's thread encodes,
/// writes and flushes. To share a log between threads, hand it to a
/// [`GroupCommitter`](crate::GroupCommitter).
///
/// An appended record is safe once [`SegmentedWal::sync`] has returned an LSN at or above its own.
/// After the first failed write, flush or directory sync the log accepts nothing more
/// ([`WalError::Poisoned`]): open it again to learn what survived.
///
/// Dropping a log writes nothing; what was appended and not synced is gone, as after a crash.
/// [`SegmentedWal::close`] ends it in good order.
pub struct SegmentedWal {
    // The fields drop in this order: the writer first, which waits for what the kernel still
    // reads; the lock last.
    writer: BatchWriter,
    appender: Appender,
    log: Arc<Log>,
}

impl SegmentedWal {
    /// Opens the log in `config.dir`, creating it when missing, and recovers what is there.
    ///
    /// The header of every segment is checked, and the newest segment is read, or only its end after
    /// a close in good order; [`SegmentedWalConfig::verify_on_open`] may ask for all of them. A torn
    /// tail of batches that nobody was promised is passed over and reported by
    /// [`SegmentedWal::recovery`]; everything else that is wrong is refused, and nothing is changed.
    /// What is wrong in a segment that was not read is refused by the replay that comes to it. The
    /// log then goes on in a fresh segment.
    ///
    /// # Errors
    ///
    /// [`WalError::InvalidConfig`], [`WalError::Locked`], [`WalError::DirectIoUnsupported`],
    /// [`WalError::AlignmentRefused`], [`WalError::NoSpace`], the refusals of recovery
    /// ([`WalError::AcknowledgedDataLost`], [`WalError::ChainBroken`],
    /// [`WalError::HeaderDamaged`], [`WalError::MetaDamaged`], [`WalError::Read`]), those of
    /// encryption ([`WalError::KeyRequired`], [`WalError::KeyMissing`], [`WalError::WrongKey`],
    /// [`WalError::Tampered`]), and [`WalError::Io`].
    pub fn open(config: SegmentedWalConfig) -> Result<Self> {
        open::open(config, Wanted::LogOrNew)
    }

    /// Begins a new log in `config.dir` whose first record gets `first_lsn`: the continuation of one
    /// that was kept elsewhere, or a copy, whose LSNs others refer to. What came before counts as
    /// truncated, see [`WalError::Truncated`]. Opened later, the log goes on like any other.
    ///
    /// A crash in here leaves no log, or one that [`SegmentedWal::open`] opens, and that begins with
    /// `first_lsn` all the same.
    ///
    /// # Errors
    ///
    /// [`WalError::LogExists`] if there is a log already, or a part of one,
    /// [`WalError::InvalidConfig`] for an LSN that no record can have, and as
    /// [`SegmentedWal::open`].
    pub fn create_at(config: SegmentedWalConfig, first_lsn: Lsn) -> Result<Self> {
        open::open(config, Wanted::new_at(first_lsn)?)
    }

    pub(crate) fn from_parts(log: Arc<Log>, appender: Appender, writer: BatchWriter) -> Self {
        Self { writer, appender, log }
    }

    /// The settings it was opened with.
    pub(crate) fn config(&self) -> &SegmentedWalConfig {
        &self.log.config
    }

    /// Replaces an engine that belongs to one thread by one of the same kind that any thread may
    /// drive.
    ///
    /// # Errors
    ///
    /// [`WalError::Io`] if the kernel refuses a second one.
    pub(crate) fn share(&mut self) -> Result<()> {
        if !self.log.config.single_issuer || self.log.engine.active == ActiveEngine::Blocking {
            return Ok(());
        }
        let path = self.log.directory.path();
        let device = open_shared_uring(self.log.config.pipeline_depth, self.appender.pool())
            .map_err(WalError::io("set up a shared io_uring for", path))?;
        self.writer.set_device(device);
        Ok(())
    }

    /// Takes the log apart, for a writer that is shared.
    pub(crate) fn into_parts(self) -> (Arc<Log>, Appender, BatchWriter) {
        (self.log, self.appender, self.writer)
    }

    /// Appends a record and returns its LSN. It is safe once [`SegmentedWal::sync`] says so.
    ///
    /// # Errors
    ///
    /// [`WalError::RecordTooLarge`] and [`WalError::NoSpace`]: nothing was appended, and the log
    /// goes on. [`WalError::Poisoned`]: the log has failed for good.
    pub fn append(&mut self, record: &Record<'_>) -> Result<Lsn> {
        self.append_all(slice::from_ref(record)).map(|range| range.first)
    }

    /// Appends a record of `payload_len` bytes that `fill` writes in place, without a copy, and
    /// returns its LSN. `fill` finds zeros. Should it panic, a record of kind
    /// [`RecordKind::NOOP`](crate::RecordKind::NOOP), all zeros, has taken the record's place.
    ///
    /// ```no_run
    /// # fn example(wal: &mut plimsoll::SegmentedWal) -> Result<(), plimsoll::WalError> {
    /// use plimsoll::{RecordHeader, RecordKind};
    /// let page = wal.append_with(RecordHeader::new(RecordKind::PUT), 4096, |payload| {
    ///     payload[..8].copy_from_slice(&42_u64.to_le_bytes());
    /// })?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`SegmentedWal::append`].
    pub fn append_with(
        &mut self,
        record: RecordHeader,
        payload_len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<Lsn> {
        let reserved = self.reserve(&iter::once(payload_len))?;
        let lsn = reserved.fill_with(record, payload_len, fill);
        self.write_full_batches()?;
        Ok(lsn)
    }

    /// Appends records that are replayed all together or not at all, and returns their LSNs.
    ///
    /// # Errors
    ///
    /// [`WalError::EmptyBatch`] for none, [`WalError::BatchTooLarge`], and as
    /// [`SegmentedWal::append`].
    pub fn append_batch(&mut self, records: &[Record<'_>]) -> Result<LsnRange> {
        if records.is_empty() {
            return Err(WalError::EmptyBatch);
        }
        self.append_all(records)
    }

    fn append_all(&mut self, records: &[Record<'_>]) -> Result<LsnRange> {
        let reserved = self.reserve(&records.iter().map(|record| record.payload.len()))?;
        let range = reserved.fill(records);
        self.write_full_batches()?;
        Ok(range)
    }

    /// Makes everything appended durable and returns the last durable LSN; the one before the log's
    /// first, which is [`Lsn::NONE`] as a rule, if there never was a record. Returns at once when nothing is new.
    ///
    /// # Errors
    ///
    /// [`WalError::Poisoned`]: what was appended since the last success has an unknown outcome.
    pub fn sync(&mut self) -> Result<Lsn> {
        self.check_thread()?;
        self.seal(Reach::Durable);
        while self.appender.has_sealed() {
            self.write_one()?;
        }
        let durable_lsn = self.writer.sync()?;
        self.collect_buffers();
        Ok(durable_lsn)
    }

    /// States in the log that everything up to the durable LSN is durable, so that damage to the
    /// last records is noticed at the next opening. For quiet moments: it costs one write.
    ///
    /// # Errors
    ///
    /// As [`SegmentedWal::sync`].
    pub fn write_idle_marker(&mut self) -> Result<()> {
        self.sync()?;
        self.write_marker(false)
    }

    /// Writes a batch without records. Everything is durable by then.
    fn write_marker(&mut self, clean_close: bool) -> Result<()> {
        while self.appender.open_marker()? == Room::NoBuffer {
            self.free_a_buffer()?;
        }
        self.appender.raise(Reach::Durable);
        self.appender.seal();
        while let Some(batch) = self.appender.pop_sealed() {
            self.writer.submit(batch, clean_close)?;
        }
        self.writer.sync()?;
        self.collect_buffers();
        Ok(())
    }

    /// Ends the log in good order: syncs, and states in the log and in `wal.meta` what is durable,
    /// so that the next opening notices damage to the end of the log, and finds it with one read. A
    /// spare segment is left to it, which takes the time of zeroing one if none is ready.
    ///
    /// # Errors
    ///
    /// As [`SegmentedWal::sync`]. The log is closed in any case.
    pub fn close(mut self) -> Result<()> {
        let ended = self.end_in_good_order();
        // After a failure the kernel may still be writing: dropping the writer waits for that.
        let Self { writer, appender, log } = self;
        drop((writer, appender));
        log.release();
        ended
    }

    fn end_in_good_order(&mut self) -> Result<()> {
        let durable_lsn = self.sync()?;
        self.write_marker(true)?;
        match self.log.leases.persist_all() {
            // No room: on disk they stay behind, which holds more and loses nothing.
            Err(error @ WalError::Io { .. }) => {
                tracing::warn!(%error, "the positions of leases are not noted");
            }
            persisted => persisted?,
        }
        let number = self.writer.active_number();
        let closing_marker_offset_bytes = self.writer.newest_batch_offset_bytes();
        let meta = &self.log.meta;
        meta.update(|meta| {
            meta.note_started_segment(number, durable_lsn);
            meta.closing_marker_offset_bytes = closing_marker_offset_bytes;
        })
        .map_err(WalError::io("write", meta.path()))
    }

    fn check_thread(&self) -> Result<()> {
        if self.writer.usable_from_here() { Ok(()) } else { Err(WalError::WrongThread) }
    }

    fn reserve(
        &mut self,
        payload_lens: &(impl ExactSizeIterator<Item = usize> + Clone),
    ) -> Result<Reservation> {
        self.check_thread()?;
        self.writer.check()?;
        loop {
            match self.appender.reserve(payload_lens.clone(), Reach::Buffered)? {
                Some(reserved) => return Ok(reserved),
                None => self.free_a_buffer()?,
            }
        }
    }

    /// Closes the open batch, if it holds records, and has what waits get at least so far.
    fn seal(&mut self, reach: Reach) {
        self.appender.raise(reach);
        if self.appender.open_reach().is_some() {
            self.appender.seal();
        }
    }

    /// Submits full batches as far as the pipeline has room.
    fn write_full_batches(&mut self) -> Result<()> {
        if !self.appender.has_sealed() {
            return Ok(());
        }
        self.appender.raise_sealed(self.reach_of_full_batches());
        self.start_what_fits()
    }

    /// Nobody has asked for a full batch yet, but somebody will. A write that is durable by itself
    /// goes the whole way at once; a flush is better shared with what follows.
    fn reach_of_full_batches(&self) -> Reach {
        match self.log.config.durability {
            Durability::Dsync => Reach::Durable,
            Durability::Fdatasync => Reach::Written,
        }
    }

    /// Takes in what has completed and submits sealed batches as far as the pipeline has room.
    fn start_what_fits(&mut self) -> Result<()> {
        let depth = self.log.config.pipeline_depth as usize;
        loop {
            self.writer.poll()?;
            self.collect_buffers();
            if self.writer.in_flight() >= depth {
                return Ok(());
            }
            let Some(batch) = self.appender.pop_sealed() else { return Ok(()) };
            self.writer.submit(batch, false)?;
        }
    }

    /// Submits the oldest sealed batch once the pipeline has room.
    fn write_one(&mut self) -> Result<()> {
        let depth = self.log.config.pipeline_depth as usize;
        if let Some(batch) = self.appender.pop_sealed() {
            self.writer.drain_to(depth - 1)?;
            self.writer.submit(batch, false)?;
        }
        self.collect_buffers();
        Ok(())
    }

    /// Every buffer is sealed or on its way: moves one on until it is free.
    fn free_a_buffer(&mut self) -> Result<()> {
        if self.appender.has_sealed() {
            self.appender.raise_sealed(self.reach_of_full_batches());
            return self.write_one();
        }
        self.writer.drain_to(self.writer.in_flight().saturating_sub(1))?;
        self.collect_buffers();
        Ok(())
    }

    fn collect_buffers(&mut self) {
        for buffer in self.writer.drain_returned() {
            self.appender.put_back(buffer);
        }
    }

    /// Seals later segments with the current key of `keys`. The next batch starts a new segment;
    /// keys of earlier segments are kept for reading.
    ///
    /// # Errors
    ///
    /// [`WalError::Io`] if `wal.meta` cannot note that the log is encrypted, and
    /// [`WalError::KeyIdTaken`] for another key under an id in use; nothing changed then.
    pub fn rotate_keys(&mut self, keys: KeyRing) -> Result<()> {
        self.sync()?;
        let merged = self.log.adopt_keys(keys)?;
        self.appender.rotate_keys(merged);
        Ok(())
    }

    /// The segment files, oldest first; the last one is being written.
    ///
    /// # Errors
    ///
    /// [`WalError::Io`] if a file cannot be examined.
    pub fn list_segments(&self) -> Result<Vec<SegmentInfo>> {
        self.log.list_segments()
    }

    /// Size of all segment files together, bytes; prepared space included.
    ///
    /// # Errors
    ///
    /// As [`SegmentedWal::list_segments`].
    pub fn total_size_bytes(&self) -> Result<u64> {
        self.log.total_size_bytes()
    }

    /// What opening found.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.log.recovery
    }

    /// The engine the log writes with, and why.
    #[must_use]
    pub fn engine(&self) -> &EngineReport {
        &self.log.engine
    }

    /// The device under the log, as the kernel describes it.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.log.geometry
    }

    /// The LSN the next record will get.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.appender.next_lsn()
    }

    /// Every record up to here has reached the device, which may lose what is past the durable LSN
    /// with its power.
    #[must_use]
    pub fn written_lsn(&self) -> Lsn {
        self.writer.written_lsn()
    }

    /// Every record up to here survives power loss.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        self.writer.durable_lsn()
    }

    /// First LSN of the segment being written.
    #[must_use]
    pub fn active_segment_first_lsn(&self) -> Lsn {
        self.log.catalog.active_first_lsn()
    }

    /// The directory of the log.
    #[must_use]
    pub fn wal_dir(&self) -> &Path {
        self.log.directory.path()
    }

    /// The counters of [`SegmentedWal::stats`] alone, which cost next to nothing.
    #[must_use]
    pub fn counters(&self) -> WalCounters {
        self.writer.telemetry().counters()
    }

    /// What the log has done since it was opened, up to the last completed batch.
    #[must_use]
    pub fn stats(&self) -> WalStats {
        let snapshot = self.writer.telemetry().snapshot();
        WalStats::new(snapshot, self.log.engine.clone(), self.leases())
    }
}

impl std::fmt::Debug for SegmentedWal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentedWal")
            .field("dir", &self.wal_dir())
            .field("next_lsn", &self.next_lsn())
            .field("durable_lsn", &self.durable_lsn())
            .finish_non_exhaustive()
    }
}
