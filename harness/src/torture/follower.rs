//! Somebody who follows the victim's log from outside, from its directory alone, while it lives. What
//! they were given as durable has to be in the log when it is opened again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use plimsoll::{DirectoryTailer, KeyRing, LogRecord, Lsn, WalError};

use super::records::{Identity, Payloads, Recovered};

/// Between tries while there is no log yet.
const PAUSE: Duration = Duration::from_millis(1);
/// Nothing came for so long: whatever a victim that is gone has left is read.
const QUIET: Duration = Duration::from_millis(5);

/// What was handed out, by LSN; the error is for people.
type Seen = Result<Vec<(u64, Identity)>, String>;

/// A follower, in a thread of its own. It is told to stop when it is dropped.
pub(super) struct Follower {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<Seen>>,
}

/// What the thread knows.
struct Following {
    dir: PathBuf,
    keys: Option<KeyRing>,
    payloads: Payloads,
    /// What comes next.
    from: u64,
    seen: Vec<(u64, Identity)>,
}

impl Follower {
    /// Follows the log in `dir`, which need not be there yet, from `from` on.
    pub(super) fn start(
        dir: PathBuf,
        keys: Option<KeyRing>,
        payloads: Payloads,
        from: u64,
    ) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stopped);
        let mut following = Following { dir, keys, payloads, from, seen: Vec::new() };
        let thread = thread::spawn(move || {
            following.follow(&is_over)?;
            Ok(following.seen)
        });
        Self { stopped, thread: Some(thread) }
    }

    /// Reads what is left, and returns what it was given, by LSN.
    ///
    /// # Errors
    /// A record that nobody wrote, one out of order, or an error of the tailer.
    pub(super) fn stop(mut self) -> Seen {
        self.stopped.store(true, Ordering::Release);
        let joined = self.thread.take().map(JoinHandle::join);
        joined.unwrap_or(Ok(Ok(Vec::new()))).unwrap_or_else(|_| Err("it panicked".to_owned()))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
    }
}

impl Following {
    fn follow(&mut self, is_over: &AtomicBool) -> Result<(), String> {
        loop {
            let opened = DirectoryTailer::open(&self.dir, self.keys.as_ref(), Lsn::new(self.from));
            match opened.and_then(|tailer| self.read(tailer, is_over)) {
                Ok(read) => return read,
                // The log was truncated past it, which it may be at any time.
                Err(WalError::Truncated { floor, .. }) if floor.get() > self.from => {
                    self.from = floor.get();
                }
                // The victim has not made a log of the directory yet.
                Err(WalError::MetaDamaged { .. } | WalError::Io { .. }) if self.from <= 1 => {
                    if is_over.load(Ordering::Acquire) {
                        return Ok(());
                    }
                    thread::sleep(PAUSE);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// The inner error is a record that is not what was written.
    fn read(
        &mut self,
        mut tailer: DirectoryTailer,
        is_over: &AtomicBool,
    ) -> plimsoll::Result<Result<(), String>> {
        loop {
            // Looked at first: what the victim wrote is there by then.
            let last_look = is_over.load(Ordering::Acquire);
            match tailer.next_timeout(QUIET)? {
                Some(record) => {
                    if let Err(problem) = self.take(record) {
                        return Ok(Err(problem));
                    }
                }
                None if last_look => return Ok(Ok(())),
                None => {}
            }
        }
    }

    /// Compares a record with what was written.
    fn take(&mut self, record: LogRecord) -> Result<(), String> {
        let Recovered { lsn, identity, payload } = Recovered::from(record);
        let mut expected = Vec::new();
        self.payloads.fill(identity, &mut expected);
        if lsn != self.from || payload != expected {
            let len = payload.len();
            return Err(format!("{lsn} came for {}: {identity:?}, {len} bytes", self.from));
        }
        self.from = lsn + 1;
        self.seen.push((lsn, identity));
        Ok(())
    }
}
