//! Following a shared log in its own process: [`Tailer`] reads what is durable, and waits, as a thread
//! or as a task, for more.

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::state::{Patience, Shared};
use crate::{
    error::{Result, WalError},
    lsn::Lsn,
    record::LogRecord,
    replay::LiveReader,
    sync::{lock, now},
};

/// Follows an open log: every durable record from some LSN on, each as soon as it is durable, over
/// rollovers. What [`GroupCommitter::tail`](crate::GroupCommitter::tail) returns.
///
/// It reads the files of the log, from where it stands and past the page cache; it is woken by each
/// batch that becomes durable and costs those who commit nothing else. It holds nothing: a log that is
/// truncated past it answers [`WalError::Truncated`]; a [`Lease`](crate::Lease) prevents that.
///
/// It ends when the log was closed, or its last handle dropped, and everything durable has been handed
/// out: as an iterator and a task with `None`, otherwise with [`WalError::Closed`]. After a failure of
/// the log it ends with that, behind the last record that is known to be durable. As a handle of the log it keeps the
/// directory locked, unless the log was closed.
///
/// ```no_run
/// # fn example(log: plimsoll::GroupCommitter) -> Result<(), plimsoll::WalError> {
/// # use plimsoll::Lsn;
/// let tailer = log.tail(Lsn::FIRST)?;
/// std::thread::spawn(move || {
///     for record in tailer { // waits for each
///         println!("{}", record?.lsn());
///     }
///     Ok::<_, plimsoll::WalError>(())
/// });
/// # Ok(()) }
/// ```
pub struct Tailer {
    shared: Arc<Shared>,
    reader: LiveReader,
    /// Where its waker is.
    id: u64,
    next_lsn: Lsn,
    failed: Option<WalError>,
}

impl Tailer {
    pub(super) fn new(shared: Arc<Shared>, from: Lsn) -> Result<Self> {
        shared.check()?;
        let next_lsn = lock(&shared.state).next_lsn;
        if from > next_lsn {
            return Err(WalError::NotAppended { lsn: from, next_lsn });
        }
        let upto = shared.durable_lsn();
        let reader = shared.log.follow(from, upto)?;
        let id = lock(&shared.tail_tasks).next_id();
        let next_lsn = if from == Lsn::NONE { shared.log.catalog.floor() } else { from };
        Ok(Self { shared, reader, id, next_lsn, failed: None })
    }

    /// The LSN from which it goes on; records of kinds that the log's configuration does not know are
    /// passed over.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// The next record, or `None` if it is not durable yet. Does not wait, except for the disk.
    ///
    /// # Errors
    ///
    /// [`WalError::Closed`] at the end of the log; [`WalError::Poisoned`] if the log has failed;
    /// [`WalError::Truncated`] if it was truncated past the tailer; and whatever reading meets. All
    /// are final: the same one is given from then on.
    pub fn try_next(&mut self) -> Result<Option<LogRecord>> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let read = self.read();
        match &read {
            Ok(Some(record)) => self.next_lsn = record.lsn().next(),
            Ok(None) => {}
            Err(error) => self.failed = Some(error.clone()),
        }
        read
    }

    /// The next record, or `None` if none became durable within this time.
    ///
    /// # Errors
    ///
    /// As [`Tailer::try_next`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<LogRecord>> {
        let end = now().checked_add(timeout);
        self.wait_for_next(end.map_or(Patience::Forever, Patience::Until))
    }

    /// The next record, or `None` if none became durable by then.
    ///
    /// # Errors
    ///
    /// As [`Tailer::try_next`].
    pub fn next_by(&mut self, deadline: Instant) -> Result<Option<LogRecord>> {
        self.wait_for_next(Patience::Until(deadline))
    }

    /// The next record, once it is durable; `None` at the end of the log. For a task of any runtime.
    /// The disk is read in the task's own thread: microseconds where the tailer has caught up.
    /// Dropping the future loses nothing.
    ///
    /// ```no_run
    /// # async fn example(mut tailer: plimsoll::Tailer) -> Result<(), plimsoll::WalError> {
    /// while let Some(record) = tailer.next_async().await {
    ///     println!("{}", record?.lsn());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Tailer::try_next`], but for the end. After an error it gives `None`.
    pub async fn next_async(&mut self) -> Option<Result<LogRecord>> {
        if self.failed.is_some() {
            return None;
        }
        let next = poll_fn(|context| self.poll_next(context)).await;
        Self::unless_ended(next)
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<LogRecord>> {
        if let Some(next) = self.try_next().transpose() {
            return Poll::Ready(next);
        }
        let awaited = self.reader.upto().next();
        lock(&self.shared.tail_tasks).register(self.id, awaited, context.waker());
        #[cfg(shuttle)]
        if crate::sabotage::is(crate::sabotage::Sabotage::TailersLookOnce) {
            return Poll::Pending;
        }
        // It may have become durable before the waker was there to be woken.
        match self.try_next().transpose() {
            Some(next) => {
                lock(&self.shared.tail_tasks).forget(self.id);
                Poll::Ready(next)
            }
            None => Poll::Pending,
        }
    }

    fn wait_for_next(&mut self, patience: Patience) -> Result<Option<LogRecord>> {
        loop {
            let epoch = self.shared.progress.epoch();
            if let Some(record) = self.try_next()? {
                return Ok(Some(record));
            }
            if patience.is_over() {
                return Ok(None);
            }
            self.shared.progress.wait(epoch, patience.left());
        }
    }

    fn read(&mut self) -> Result<Option<LogRecord>> {
        loop {
            if let Some(record) = self.reader.next_record()? {
                return Ok(Some(record));
            }
            // Whether the log goes on is looked at first: what is durable then is all that will be.
            let ended = self.shared.check();
            let durable_lsn = self.shared.durable_lsn();
            if durable_lsn <= self.reader.upto() {
                return ended.map(|()| None);
            }
            let log = &self.shared.log;
            self.reader.move_to(durable_lsn, &log.catalog, || lock(&log.keys).clone());
        }
    }

    /// The end of the log is none of the errors.
    fn unless_ended(next: Result<LogRecord>) -> Option<Result<LogRecord>> {
        match next {
            Err(WalError::Closed) => None,
            next => Some(next),
        }
    }
}

impl Iterator for Tailer {
    type Item = Result<LogRecord>;

    /// Waits for the next record, for ever if need be. `None` at the end of the log, and after an
    /// error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed.is_some() {
            return None;
        }
        let next = self.wait_for_next(Patience::Forever).transpose()?;
        Self::unless_ended(next)
    }
}

impl Drop for Tailer {
    fn drop(&mut self) {
        lock(&self.shared.tail_tasks).forget(self.id);
    }
}

impl fmt::Debug for Tailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tailer").field("next_lsn", &self.next_lsn).finish_non_exhaustive()
    }
}
