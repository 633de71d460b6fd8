//! A thread that reads the next window of a segment while the last one is decoded. One window is
//! read at a time and nothing is thrown away: with two windows reading and decoding overlap, and
//! whichever of them is slower sets the pace.

use std::{
    fmt, io, mem,
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

/// The reading thread, which ends with this.
pub(super) struct ReadAhead {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
    /// A window is being read, or lies there.
    ordered: bool,
}

struct Shared {
    desk: Mutex<Desk>,
    changed: Condvar,
}

/// What lies between the two threads.
enum Desk {
    Empty,
    Ordered { offset_bytes: u64, buffer: BlockBuffer },
    Reading,
    Filled(Filled),
    Closed,
}

impl ReadAhead {
    /// Starts a thread that reads into this part of each buffer, or says why it cannot.
    pub(super) fn start(file: Arc<SegmentFile>, part: Range<usize>) -> io::Result<Self> {
        let shared = Arc::new(Shared { desk: Mutex::new(Desk::Empty), changed: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("plimsoll-read".to_owned())
            .spawn(move || theirs.work(&file, &part))?;
        Ok(Self { shared, thread: Some(thread), ordered: false })
    }

    /// Has the window at `offset_bytes` read. The one ordered before has been taken.
    pub(super) fn order(&mut self, offset_bytes: u64, buffer: BlockBuffer) {
        debug_assert!(!self.ordered, "one at a time");
        self.ordered = true;
        self.shared.put(Desk::Ordered { offset_bytes, buffer });
    }

    /// The window that was ordered last, once it is read.
    pub(super) fn take(&mut self) -> Option<Filled> {
        if !mem::take(&mut self.ordered) {
            return None;
        }
        let mut desk = lock(&self.shared.desk);
        loop {
            match mem::replace(&mut *desk, Desk::Empty) {
                Desk::Filled(filled) => return Some(filled),
                other => *desk = other,
            }
            desk = self.shared.wait(desk);
        }
    }
}

impl Shared {
    fn put(&self, content: Desk) {
        *lock(&self.desk) = content;
        self.changed.notify_all();
    }

    fn wait<'a>(&self, desk: MutexGuard<'a, Desk>) -> MutexGuard<'a, Desk> {
        self.changed.wait(desk).unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, file: &SegmentFile, part: &Range<usize>) {
        loop {
            let mut desk = lock(&self.desk);
            let (offset_bytes, mut buffer) = loop {
                match mem::replace(&mut *desk, Desk::Reading) {
                    Desk::Ordered { offset_bytes, buffer } => break (offset_bytes, buffer),
                    Desk::Closed => return,
                    other => *desk = other,
                }
                desk = self.wait(desk);
            };
            drop(desk);
            let read = file.read_at(&mut buffer[part.clone()], offset_bytes);
            let mut desk = lock(&self.desk);
            if matches!(*desk, Desk::Closed) {
                return;
            }
            *desk = Desk::Filled(Filled { offset_bytes, buffer, read });
            drop(desk);
            self.changed.notify_all();
        }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.shared.put(Desk::Closed);
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
