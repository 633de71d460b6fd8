//! Which segments the log consists of right now: listing, sizes, and truncation.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    MetaStore,
    lease::{HeldBack, Lease, LeaseInfo},
    lease_store::{LeaseStore, Way},
    name::retired_name,
};
use crate::{
    device::{Broadcast, LogDirectory},
    error::{Result, WalError},
    lsn::Lsn,
    poison::Poison,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        lock,
    },
};

/// One segment file, as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The file.
    pub path: PathBuf,
    /// LSN of its first record.
    pub first_lsn: Lsn,
    /// Size of the file, bytes; prepared space included.
    pub file_size: u64,
    /// Whether it is the one being written. It is never truncated.
    pub active: bool,
}

/// What a truncation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TruncateOutcome {
    /// Segments that are gone.
    pub segments_deleted: u64,
    /// Their size, bytes. With recycling the space stays with the log, for new segments.
    pub bytes_reclaimed: u64,
    /// What stays because of a lease; `None` if no lease keeps anything that was given up.
    pub held_back: Option<HeldBack>,
    /// Leases that held more than their budget and do so no more.
    pub leases_dropped: Vec<String>,
}

/// A segment in the catalog.
#[derive(Clone, Debug)]
pub(crate) struct CatalogEntry {
    pub(crate) path: PathBuf,
    pub(crate) first_lsn: Lsn,
}

/// A segment in the catalog that is followed by one that power loss does not undo.
#[derive(Clone, Debug)]
pub(super) struct SealedEntry {
    pub(super) path: PathBuf,
    pub(super) first_lsn: Lsn,
    pub(super) last_lsn: Lsn,
}

/// The segments of an open log, oldest first; the last one is being written.
#[derive(Debug)]
pub(crate) struct SegmentCatalog {
    directory: LogDirectory,
    /// Held for a look or a change and never during I/O: a rollover does not wait for a
    /// truncation.
    segments: Mutex<VecDeque<CatalogEntry>>,
    /// Whether the newest segment's header and first batch survive power loss. Until then the one
    /// before it has to stay, whatever the embedder needs no more.
    newest_is_durable: AtomicBool,
    /// Whoever truncates has all of them keep still: nobody else takes segments away at the front.
    leases: Arc<LeaseStore>,
    /// Another segment is sealed, or the log is closed.
    sealed: Broadcast,
    meta: Arc<MetaStore>,
    poison: Poison,
}

impl SegmentCatalog {
    pub(crate) fn new(
        directory: LogDirectory,
        sealed: impl IntoIterator<Item = CatalogEntry>,
        meta: Arc<MetaStore>,
        leases: Arc<LeaseStore>,
        poison: Poison,
    ) -> Self {
        Self {
            directory,
            segments: Mutex::new(sealed.into_iter().collect()),
            newest_is_durable: AtomicBool::new(true),
            leases,
            sealed: Broadcast::default(),
            meta,
            poison,
        }
    }

    /// A new segment is being written from now on. It may have taken the name of an empty one.
    pub(crate) fn start(&self, path: PathBuf, first_lsn: Lsn) {
        let mut segments = lock(&self.segments);
        segments.pop_back_if(|newest| newest.first_lsn == first_lsn);
        segments.push_back(CatalogEntry { path, first_lsn });
        self.newest_is_durable.store(false, Ordering::Relaxed);
    }

    /// The first batch of the newest segment is durable.
    pub(crate) fn newest_is_durable(&self) {
        // Called by whoever has the writer, and nobody else, for each batch.
        if !self.newest_is_durable.load(Ordering::Relaxed) {
            self.newest_is_durable.store(true, Ordering::Release);
            self.sealed.notify_all();
        }
    }

    /// Nothing is changed in the directory through this log any more.
    pub(crate) fn close(&self) {
        self.leases.close();
        self.sealed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.leases.is_closed()
    }

    pub(super) fn directory(&self) -> &LogDirectory {
        &self.directory
    }

    /// Tells that another segment is sealed, or that the log is closed.
    pub(super) fn sealed(&self) -> &Broadcast {
        &self.sealed
    }

    /// The oldest sealed segment with a record at `lsn` or behind it.
    pub(super) fn sealed_from(&self, lsn: Lsn) -> Option<SealedEntry> {
        let segments = lock(&self.segments);
        let sure = self.sure_segments(&segments);
        let mut pairs = segments.iter().zip(segments.iter().take(sure).skip(1));
        let (entry, next) = pairs.find(|(_, next)| next.first_lsn > lsn)?;
        Some(SealedEntry {
            path: entry.path.clone(),
            first_lsn: entry.first_lsn,
            last_lsn: next.first_lsn.previous(),
        })
    }

    /// How many of the segments power loss does not undo.
    fn sure_segments(&self, segments: &VecDeque<CatalogEntry>) -> usize {
        let unsure = usize::from(!self.newest_is_durable.load(Ordering::Acquire));
        segments.len().saturating_sub(unsure)
    }

    /// The oldest LSN that can be replayed.
    pub(crate) fn floor(&self) -> Lsn {
        self.meta.get().retention_floor
    }

    pub(crate) fn entries(&self) -> Vec<CatalogEntry> {
        lock(&self.segments).iter().cloned().collect()
    }

    pub(crate) fn active_first_lsn(&self) -> Lsn {
        lock(&self.segments).back().map_or(Lsn::FIRST, |entry| entry.first_lsn)
    }

    pub(crate) fn list(&self) -> Result<Vec<SegmentInfo>> {
        let entries = self.entries();
        let last = entries.len().saturating_sub(1);
        entries
            .into_iter()
            .enumerate()
            .map(|(index, CatalogEntry { path, first_lsn })| {
                let file_size =
                    self.directory.file_len(&path).map_err(WalError::io("examine", &path))?;
                Ok(SegmentInfo { path, first_lsn, file_size, active: index == last })
            })
            .collect()
    }

    /// Gives up sealed segments all of whose records are before `lsn` and that no lease holds.
    ///
    /// What the leases state and then the new floor are durable before the first file goes, so a
    /// crash in between is finished at the next open. The files are renamed here and deleted or
    /// recycled by the caller's background thread, which gets their paths.
    pub(crate) fn truncate_before(&self, lsn: Lsn) -> Result<(TruncateOutcome, Vec<PathBuf>)> {
        let still = self.leases.keep_still()?;
        let sealed = if self.leases.is_empty() { Vec::new() } else { self.sealed_sizes(lsn) };
        let Way { upto, held_back, dropped } =
            still.make_way(lsn, |position| bytes_from(&sealed, position))?;
        let mut outcome =
            TruncateOutcome { held_back, leases_dropped: dropped, ..TruncateOutcome::default() };
        let Some((count, floor)) = self.superseded_by(upto) else {
            return Ok((outcome, Vec::new()));
        };
        still.write_up_to(floor)?;
        self.meta
            .update(|meta| meta.retention_floor = floor)
            .map_err(|error| self.fail("write", &self.meta.path(), error))?;

        let gone: Vec<_> = lock(&self.segments).drain(..count).collect();
        let mut retired = Vec::with_capacity(count);
        for entry in gone {
            let target = self.directory.join(&retired_name(entry.first_lsn));
            outcome.segments_deleted += 1;
            outcome.bytes_reclaimed += self.directory.file_len(&entry.path).unwrap_or(0);
            self.directory
                .rename(&entry.path, &target)
                .map_err(|error| self.fail("rename", &entry.path, error))?;
            retired.push(target);
        }
        self.directory
            .sync()
            .map_err(|error| self.fail("sync directory", self.directory.path(), error))?;
        Ok((outcome, retired))
    }

    /// Sealed segments all of whose records are before `lsn`: where the next one begins, and size.
    fn sealed_sizes(&self, lsn: Lsn) -> Vec<(Lsn, u64)> {
        let entries = self.entries();
        let sealed = entries.windows(2).map(|pair| (&pair[0].path, pair[1].first_lsn));
        let sealed = sealed.take_while(|(_, next)| *next <= lsn);
        sealed.map(|(path, next)| (next, self.directory.file_len(path).unwrap_or(0))).collect()
    }

    /// See [`LeaseStore`].
    pub(crate) fn lease(&self, name: &str, from: Lsn, budget_bytes: u64) -> Result<Lease> {
        self.leases.take(name, from, budget_bytes)
    }

    pub(crate) fn release_lease(&self, name: &str) -> Result<()> {
        self.leases.release(name)
    }

    /// The leases by name.
    pub(crate) fn leases(&self) -> Vec<LeaseInfo> {
        if self.leases.is_empty() {
            return Vec::new();
        }
        let sealed = self.sealed_sizes(Lsn::new(u64::MAX));
        self.leases.list(|position| bytes_from(&sealed, position))
    }

    /// How many segments hold only records before `lsn`, and where the log begins without them;
    /// `None` if there are none.
    fn superseded_by(&self, lsn: Lsn) -> Option<(usize, Lsn)> {
        let segments = lock(&self.segments);
        // A segment ends where its successor begins, so the last one never goes. One that power
        // loss may still undo is no successor yet.
        let sure = self.sure_segments(&segments);
        let successors = segments.iter().take(sure).skip(1);
        let count = successors.take_while(|next| next.first_lsn <= lsn).count();
        let first_kept = segments.get(count).filter(|_| count > 0)?;
        Some((count, first_kept.first_lsn))
    }

    fn fail(&self, operation: &'static str, path: &Path, error: io::Error) -> WalError {
        self.poison.fail(operation, path, error, self.meta.get().durable_lsn)
    }
}

/// Size of those of `sealed` that a lease at `position` holds: some record of theirs is not before it.
fn bytes_from(sealed: &[(Lsn, u64)], position: Lsn) -> u64 {
    sealed.iter().filter(|(next, _)| *next > position).map(|(_, len)| len).sum()
}
