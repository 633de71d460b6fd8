//! Handing sealed segments to an archiver, in order and with their checksum, before any of them may be
//! retired. A lease holds them meanwhile; a thread of its own reads them and calls the embedder.

use std::{
    any::Any,
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::{
    catalog::{SealedEntry, SegmentCatalog},
    chain::{header_error, read_header},
    lease::Lease,
};
use crate::{
    error::{Result, WalError},
    lsn::Lsn,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        lock,
        thread::{self, JoinHandle},
    },
};

/// Between tries of what has failed: at first, doubled each time, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Read at once.
const PIECE_BYTES: usize = 1 << 20;

/// What an archiver is offered: a segment that will not change any more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealedSegment {
    /// The file. It stays there while the callback runs, unless the lease goes over its budget.
    pub path: PathBuf,
    /// Counts the segments of the log from 1.
    pub segment_number: u64,
    /// LSN of its first record.
    pub first_lsn: Lsn,
    /// LSN of its last record.
    pub last_lsn: Lsn,
    /// Length of the file, bytes.
    pub len_bytes: u64,
    /// Plain CRC-32C of the whole file, as it was just read from the device: what a copy has to have.
    pub crc32c: u32,
}

/// Why a segment could not be archived.
pub type ArchiveError = Box<dyn Error + Send + Sync>;

/// An archiver at work. Dropping it stops the archiving after the segment that is being offered; its
/// lease stays, and holds what was not archived yet.
#[derive(Debug)]
pub struct Archiver {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the handle and the thread share.
#[derive(Debug)]
struct Shared {
    catalog: Arc<SegmentCatalog>,
    lease: Lease,
    stopped: AtomicBool,
    /// Why it ended by itself.
    ended: Mutex<Option<WalError>>,
}

/// Why a segment has not been archived.
enum Setback {
    /// It is tried again.
    Failed(String),
    /// It cannot go on.
    Ended(WalError),
}

impl Archiver {
    /// Starts the thread.
    pub(crate) fn start(
        catalog: Arc<SegmentCatalog>,
        lease: Lease,
        callback: impl FnMut(&SealedSegment) -> Result<(), ArchiveError> + Send + 'static,
    ) -> Result<Self> {
        let path = catalog.directory().path().to_owned();
        let (stopped, ended) = (AtomicBool::new(false), Mutex::new(None));
        let shared = Arc::new(Shared { catalog, lease, stopped, ended });
        let mut worker = Worker { shared: Arc::clone(&shared), callback };
        let thread = thread::Builder::new()
            .name("plimsoll-archive".into())
            .spawn(move || worker.run())
            .map_err(WalError::io("start a thread for", path))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The LSN up to which everything is archived, exclusive. What has failed last is in
    /// [`LeaseInfo::last_error`](crate::LeaseInfo::last_error) of the lease of this name.
    ///
    /// # Errors
    ///
    /// [`WalError::LeaseDropped`] if what waits to be archived went over the budget: the archiver
    /// has ended, and the log has moved on without it. [`WalError::NoSuchLease`] if the lease was
    /// released.
    pub fn position(&self) -> Result<Lsn> {
        self.shared.lease.position()
    }

    /// Stops, waits for a callback that is running, and gives the lease back, so that another
    /// archiver may take it.
    ///
    /// # Errors
    ///
    /// Why it had ended by itself: [`WalError::LeaseDropped`], or [`WalError::NoSuchLease`].
    pub fn stop(mut self) -> Result<()> {
        self.shared.stop();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook.
            let _ = thread.join();
        }
        lock(&self.shared.ended).take().map_or(Ok(()), Err)
    }
}

impl Drop for Archiver {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Shared {
    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.catalog.sealed().notify_all();
    }
}

/// The thread's side.
struct Worker<F> {
    shared: Arc<Shared>,
    callback: F,
}

impl<F: FnMut(&SealedSegment) -> Result<(), ArchiveError>> Worker<F> {
    fn run(&mut self) {
        let shared = Arc::clone(&self.shared);
        let Shared { catalog, lease, stopped, ended } = &*shared;
        let mut pause = FIRST_PAUSE;
        loop {
            let epoch = catalog.sealed().epoch();
            if stopped.load(Ordering::SeqCst) || catalog.is_closed() {
                return;
            }
            match self.archive_next() {
                Ok(true) => {
                    lease.note_error(None);
                    pause = FIRST_PAUSE;
                }
                Ok(false) => catalog.sealed().wait(epoch, None),
                Err(Setback::Failed(problem)) => {
                    tracing::warn!(archiver = lease.name(), problem, "a segment is not archived");
                    lease.note_error(Some(problem));
                    catalog.sealed().wait(epoch, Some(pause));
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
                Err(Setback::Ended(error)) => {
                    tracing::error!(archiver = lease.name(), %error, "the archiver has ended");
                    lease.note_error(Some(error.to_string()));
                    *lock(ended) = Some(error);
                    return;
                }
            }
        }
    }

    /// Offers the oldest segment that is not archived, if it is sealed.
    fn archive_next(&mut self) -> Result<bool, Setback> {
        let position = self.shared.lease.position().map_err(Setback::Ended)?;
        let Some(entry) = self.shared.catalog.sealed_from(position) else { return Ok(false) };
        let segment = self.shared.examine(&entry).map_err(|error| self.shared.setback(&error))?;
        let callback = &mut self.callback;
        match catch_unwind(AssertUnwindSafe(|| callback(&segment))) {
            Ok(Ok(())) => self.shared.archived(segment.last_lsn),
            Ok(Err(error)) => Err(Setback::Failed(error.to_string())),
            Err(panic) => Err(Setback::Failed(format!("it panicked: {}", text_of(&*panic)))),
        }
    }
}

impl Shared {
    /// Reads all of a segment.
    fn examine(&self, entry: &SealedEntry) -> Result<SealedSegment> {
        let path = &entry.path;
        let directory = self.catalog.directory();
        let file = directory.open_for_read(path.clone()).map_err(WalError::io("open", path))?;
        let header = read_header(&file)?.map_err(|problem| header_error(path, problem))?;
        let len_bytes = file.len().map_err(WalError::io("examine", path))?;
        let mut piece =
            file.allocate_buffer(PIECE_BYTES).map_err(WalError::io("map memory to read", path))?;
        let (mut crc, mut offset_bytes) = (0, 0);
        while offset_bytes < len_bytes {
            let wanted = (len_bytes - offset_bytes).min(PIECE_BYTES as u64);
            let read = file.read_at(&mut piece, offset_bytes).map_err(|source| WalError::Read {
                path: path.clone(),
                offset_bytes,
                source: source.into(),
            })?;
            if (read as u64) < wanted {
                return Err(WalError::ChainBroken {
                    path: path.clone(),
                    problem: "it became shorter while it was read".into(),
                });
            }
            crc = crc32c::crc32c_append(crc, &piece[..read]);
            offset_bytes += read as u64;
        }
        Ok(SealedSegment {
            path: path.clone(),
            segment_number: header.identity.segment_number,
            first_lsn: entry.first_lsn,
            last_lsn: entry.last_lsn,
            len_bytes: offset_bytes,
            crc32c: crc,
        })
    }

    /// A segment that cannot be read may be gone because the lease was dropped.
    fn setback(&self, error: &WalError) -> Setback {
        match self.lease.position() {
            Err(dropped) => Setback::Ended(dropped),
            Ok(_) => Setback::Failed(error.to_string()),
        }
    }

    fn archived(&self, last_lsn: Lsn) -> Result<bool, Setback> {
        let advanced = self.lease.advance(last_lsn.next());
        match advanced.and_then(|()| self.lease.persist()) {
            // The disk is full, or the log has failed or was closed meanwhile: on disk the position
            // stays behind, and the segment is offered again after the next opening.
            Ok(()) | Err(WalError::Io { .. } | WalError::Poisoned { .. } | WalError::Closed) => {
                Ok(true)
            }
            Err(error) => Err(Setback::Ended(error)),
        }
    }
}

/// What a panic says.
fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
