//! What a log is beside the records on their way: its directory, segments, settings and lock.
//! Shared by the writer and by everybody who reads or truncates.

use std::{path::Path, sync::Arc};

use crate::{
    config::SegmentedWalConfig,
    crypto::KeyRing,
    device::{DirectoryLock, EngineReport, Geometry, LogDirectory},
    error::{Result, WalError},
    lsn::Lsn,
    record::{KnownKinds, LogRecord},
    replay::{LiveReader, ReadBound, ReaderOptions, RecoveryReport, WalReader},
    segment::{
        ArchiveError, Archiver, Lease, LeaseInfo, LeaseStore, MetaStore, Preparer, SealedSegment,
        SegmentCatalog, SegmentInfo, TruncateOutcome,
    },
    sync::{Mutex, lock},
};

/// The parts of an open log that do not depend on who writes it.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) config: SegmentedWalConfig,
    pub(crate) directory: LogDirectory,
    pub(crate) geometry: Geometry,
    pub(crate) recovery: RecoveryReport,
    pub(crate) catalog: Arc<SegmentCatalog>,
    pub(crate) preparer: Arc<Preparer>,
    pub(crate) meta: Arc<MetaStore>,
    pub(crate) leases: Arc<LeaseStore>,
    pub(crate) engine: EngineReport,
    /// Every key the log has been opened or rotated with, for reading.
    pub(crate) keys: Mutex<Option<KeyRing>>,
    /// Released once everything above is at rest: at the close, or when the last handle goes.
    pub(crate) lock: Mutex<Option<DirectoryLock>>,
}

impl Log {
    /// Records from `from` to `durable_lsn`.
    pub(crate) fn replay(&self, from: Lsn, durable_lsn: Lsn) -> Result<WalReader> {
        let floor = self.catalog.floor();
        let from = if from == Lsn::NONE { floor } else { from };
        if from < floor {
            return Err(WalError::Truncated { requested: from, floor });
        }
        let options = ReaderOptions {
            keys: lock(&self.keys).clone(),
            known_kinds: self.config.known_kinds.clone(),
            bound: ReadBound::Durable(durable_lsn),
            from,
        };
        let (directory, log_id) = (self.directory.clone(), self.meta.get().log_id);
        Ok(WalReader::over_segments(directory, log_id, self.catalog.entries(), options))
    }

    /// As [`Log::replay`], to go on from there.
    pub(crate) fn follow(&self, from: Lsn, durable_lsn: Lsn) -> Result<LiveReader> {
        Ok(LiveReader::new(self.replay(from, durable_lsn)?, durable_lsn))
    }

    /// Leaves the directory to the next writer, with a spare segment for it. Nothing may be written
    /// through this log any more.
    pub(crate) fn release(&self) {
        self.catalog.close();
        self.preparer.stop_with_spare();
        drop(lock(&self.lock).take());
    }

    pub(crate) fn truncate_before(&self, lsn: Lsn) -> Result<TruncateOutcome> {
        let held = lock(&self.lock);
        if held.is_none() {
            return Err(WalError::Closed);
        }
        let (outcome, retired) = self.catalog.truncate_before(lsn)?;
        self.preparer.retire(retired);
        Ok(outcome)
    }

    pub(crate) fn lease(&self, name: &str, from: Lsn, budget_bytes: u64) -> Result<Lease> {
        self.catalog.lease(name, from, budget_bytes)
    }

    pub(crate) fn archive(
        &self,
        name: &str,
        budget_bytes: u64,
        callback: impl FnMut(&SealedSegment) -> Result<(), ArchiveError> + Send + 'static,
    ) -> Result<Archiver> {
        let lease = self.lease(name, Lsn::NONE, budget_bytes)?;
        Archiver::start(Arc::clone(&self.catalog), lease, callback)
    }

    pub(crate) fn leases(&self) -> Vec<LeaseInfo> {
        self.catalog.leases()
    }

    pub(crate) fn release_lease(&self, name: &str) -> Result<()> {
        self.catalog.release_lease(name)
    }

    pub(crate) fn list_segments(&self) -> Result<Vec<SegmentInfo>> {
        self.catalog.list()
    }

    pub(crate) fn total_size_bytes(&self) -> Result<u64> {
        Ok(self.list_segments()?.iter().map(|segment| segment.file_size).sum())
    }

    /// Takes over a new ring for reading, keeping the keys of earlier segments, and returns the
    /// ring to write with. An id stays with its key: the segments name no more than that.
    pub(crate) fn adopt_keys(&self, keys: KeyRing) -> Result<KeyRing> {
        let known = lock(&self.keys).clone();
        if let Some(key_id) = known.and_then(|known| keys.conflict_with(&known)) {
            return Err(WalError::KeyIdTaken { path: self.directory.path().to_owned(), key_id });
        }
        // Known to the directory before the first sealed record is, so that no later opening
        // without a key mistakes the log for a plain one.
        self.meta
            .update(|meta| meta.encrypted = true)
            .map_err(WalError::io("write", self.meta.path()))?;
        let mut held = lock(&self.keys);
        let merged = match held.take() {
            Some(older) => keys.with_older_ring(&older),
            // What is there already is in clear.
            None => keys.with_plain_past(),
        };
        *held = Some(merged.clone());
        Ok(merged)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Handles of leases may live on; the directory goes to the next writer.
        self.catalog.close();
    }
}

/// At most `limit` records, and whether there are more.
pub(crate) fn take_page(mut reader: WalReader, limit: usize) -> Result<(Vec<LogRecord>, bool)> {
    let mut page = Vec::new();
    while page.len() < limit {
        match reader.next() {
            Some(record) => page.push(record?),
            None => return Ok((page, false)),
        }
    }
    let more = reader.next().transpose()?.is_some();
    Ok((page, more))
}

/// A reader over a directory without its lock, beside a live writer or after it.
pub(crate) fn read_directory(path: &Path, keys: Option<KeyRing>, from: Lsn) -> Result<WalReader> {
    let options =
        ReaderOptions { keys, known_kinds: KnownKinds::All, bound: ReadBound::Tail, from };
    WalReader::over_directory(LogDirectory::open(path)?, options)
}
