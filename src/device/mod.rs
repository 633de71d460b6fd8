//! Files, buffers and system calls. This is the only module with `unsafe` and the only one that
//! talks to the kernel; it knows offsets and bytes and never a record.
//!
//! Writing goes through [`Device`], a queue of owned buffers with two engines behind it: inline
//! blocking calls and io_uring. Which is faster depends on the hardware; both make the same
//! promises.
#![allow(unsafe_code)]

mod blocking;
mod buffer;
mod completion_event;
mod directory;
mod engine;
mod file;
mod futex;
mod geometry;
#[cfg(feature = "simulated")]
mod heap;
mod private_file;
mod scattered;
mod secret;
#[cfg(feature = "simulated")]
pub(crate) mod simulated;
mod trial;
mod uring;

use std::{io, ops::Range, os::fd::BorrowedFd, sync::Arc};

pub(crate) use buffer::{BlockBuffer, BufferPart, BufferPool, SharedBuffer};
pub(crate) use directory::{DirectoryLock, LogDirectory};
pub use engine::{ActiveEngine, Durability, Engine, EngineReport};
pub(crate) use engine::{EngineOptions, open_engine, open_shared_uring};
pub(crate) use file::{SegmentFile, read_text_file};
pub(crate) use futex::{Broadcast, Epoch};
pub use geometry::Geometry;
pub(crate) use private_file::read_private_file;
pub(crate) use scattered::{Piece, SCATTERED_READS_MAX, ScatteredReads};
#[cfg(any(test, not(feature = "accelerated-aes")))]
pub(crate) use secret::leaving_no_trace;
pub(crate) use secret::{Secret, SecretBytes, derived};
pub use trial::EngineTrial;

/// Whether a write's completion means that its bytes survive power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteSync {
    /// The device has it, perhaps in a volatile cache; a later flush makes it durable.
    Volatile,
    /// Durable when complete (`RWF_DSYNC`, pwritev2(2)).
    Durable,
}

/// One write of whole blocks. The buffer belongs to the device until the completion returns it.
#[derive(Debug)]
pub(crate) struct WriteRequest {
    /// Comes back with the completion.
    pub(crate) token: u64,
    pub(crate) file: Arc<SegmentFile>,
    pub(crate) buffer: BlockBuffer,
    /// Which part of the buffer to write.
    pub(crate) range: Range<usize>,
    /// Where in the file.
    pub(crate) offset_bytes: u64,
    pub(crate) sync: WriteSync,
}

/// The end of a write or a flush.
#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) token: u64,
    /// What was attempted, for error messages: `write` or `flush`.
    pub(crate) operation: &'static str,
    pub(crate) file: Arc<SegmentFile>,
    /// A write's buffer; a flush has none.
    pub(crate) buffer: Option<BlockBuffer>,
    /// Whole, or failed: short writes are continued inside the device.
    pub(crate) result: io::Result<()>,
}

/// How long [`Device::reap`] may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Return what has completed already.
    Poll,
    /// Block until one request completes, unless none is in flight.
    One,
}

/// A queue of writes and flushes, driven by one thread at a time.
pub(crate) trait Device: Send {
    /// Takes a write. The inline engine does it here; the asynchronous one starts it at the next
    /// [`Device::reap`].
    fn submit_write(&mut self, request: WriteRequest);

    /// Takes a flush of the file's device: everything that completed before is durable once it
    /// completes.
    fn submit_flush(&mut self, file: Arc<SegmentFile>, token: u64);

    /// Starts what was submitted and returns one completion, if there is one.
    ///
    /// # Errors
    ///
    /// The queue itself failed; the outcome of everything in flight is unknown.
    fn reap(&mut self, wait: Wait) -> io::Result<Option<Completion>>;

    /// Requests submitted and not yet returned by [`Device::reap`].
    fn in_flight(&self) -> usize;

    /// A descriptor that becomes readable when something has completed, for somebody's event loop.
    /// It is cleared by [`Device::reap`].
    ///
    /// # Errors
    ///
    /// The kernel has no descriptor to spare.
    fn completion_fd(&mut self) -> io::Result<BorrowedFd<'_>>;

    /// Whether the calling thread may drive the queue.
    fn usable_from_here(&self) -> bool {
        true
    }
}
