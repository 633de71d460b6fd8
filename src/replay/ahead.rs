//! A thread that reads the next windows of a segment while the last one is decoded, so that whichever
//! of the two is slower sets the pace. It has two windows ahead of it: with one, the disk would be
//! idle while the two threads wake each other (0.74 of a bare loop's speed).

use std::{
    collections::VecDeque,
    fmt, io,
    ops::Range,
    sync::{Arc, PoisonError},
};

use crate::{
    device::{BlockBuffer, SegmentFile},
    sync::{Condvar, Mutex, MutexGuard, lock, thread},
};

/// A window as it was read.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) offset_bytes: u64,
    pub(super) buffer: BlockBuffer,
    /// How much there was before the end of the file.
    pub(super) read: io::Result<usize>,
}

/// Windows that are ordered and not taken, at most.
pub(super) const WINDOWS_AHEAD: usize = 2;

/// The reading thread, which ends with this.
pub(super) struct ReadAhead {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
    /// Windows that are ordered and not taken.
    ordered: usize,
}

struct Shared {
    desk: Mutex<Desk>,
    changed: Condvar,
}

/// What lies between the two threads, in the order of the file.
#[derive(Default)]
struct Desk {
    orders: VecDeque<(u64, BlockBuffer)>,
    filled: VecDeque<Filled>,
    is_closed: bool,
}

impl ReadAhead {
    /// Starts a thread that reads into this part of each buffer, or says why it cannot.
    pub(super) fn start(file: Arc<SegmentFile>, part: Range<usize>) -> io::Result<Self> {
        let shared = Arc::new(Shared { desk: Mutex::default(), changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("plimsoll-read".to_owned())
            .spawn(move || theirs.work(&file, &part))?;
        Ok(Self { shared, thread: Some(thread), ordered: 0 })
    }

    /// How many windows are ordered and not taken.
    pub(super) fn ordered(&self) -> usize {
        self.ordered
    }

    /// Has the window at `offset_bytes` read, after those ordered before.
    pub(super) fn order(&mut self, offset_bytes: u64, buffer: BlockBuffer) {
        self.ordered += 1;
        lock(&self.shared.desk).orders.push_back((offset_bytes, buffer));
        self.shared.changed.notify_all();
    }

    /// The oldest window that was ordered, once it is read.
    pub(super) fn take(&mut self) -> Option<Filled> {
        self.ordered = self.ordered.checked_sub(1)?;
        let mut desk = lock(&self.shared.desk);
        loop {
            if let Some(filled) = desk.filled.pop_front() {
                return Some(filled);
            }
            desk = self.shared.wait(desk);
        }
    }
}

impl Shared {
    fn wait<'a>(&self, desk: MutexGuard<'a, Desk>) -> MutexGuard<'a, Desk> {
        self.changed.wait(desk).unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, file: &SegmentFile, part: &Range<usize>) {
        let mut desk = lock(&self.desk);
        while !desk.is_closed {
            let Some((offset_bytes, mut buffer)) = desk.orders.pop_front() else {
                desk = self.wait(desk);
                continue;
            };
            drop(desk);
            let read = file.read_at(&mut buffer[part.clone()], offset_bytes);
            desk = lock(&self.desk);
            desk.filled.push_back(Filled { offset_bytes, buffer, read });
            self.changed.notify_all();
        }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        lock(&self.shared.desk).is_closed = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for ReadAhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadAhead").field("ordered", &self.ordered).finish_non_exhaustive()
    }
}
