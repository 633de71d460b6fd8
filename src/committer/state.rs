//! What the threads of a committer share: the half of the log that records are appended to, and how
//! far the other half has got.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    wakers::{TailWakers, TaskWakers, wake_tailers, wake_tasks},
    window::CommitWindow,
};
use crate::{
    append::{Appender, BatchWriter, SealedBatch},
    device::Broadcast,
    error::{Result, WalError},
    level::Reach,
    lsn::Lsn,
    poison::Poison,
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
        lock, now,
    },
    telemetry::Telemetry,
    wal::Log,
};

/// How long a caller waits where it has to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    Forever,
    Until(Instant),
    None,
}

/// Shared by all clones and the background threads.
pub(super) struct Shared {
    pub(super) log: Arc<Log>,
    pub(super) poison: Poison,
    pub(super) telemetry: Telemetry,
    /// Batches in flight at once.
    pub(super) depth: usize,
    pub(super) state: Mutex<State>,
    /// Every record up to here has reached the device. Written by whoever has the writer.
    written_lsn: AtomicU64,
    /// Every record up to here survives power loss. Written by whoever has the writer.
    durable_lsn: AtomicU64,
    /// Whether the log is closed, or its last handle gone: what is not durable by now never will
    /// be.
    is_shut: AtomicBool,
    /// Whether the writer was free when last looked at: worth taking the lock for.
    pub(super) writer_free: AtomicBool,
    /// The durable or the written LSN moved, the log failed, or the writer is free.
    pub(super) progress: Broadcast,
    /// A batch is full, or the log is to be closed: waiting for company is over.
    pub(super) batch_full: Condvar,
    /// For the idle thread: something was committed, or the log was closed.
    pub(super) idle_wake: Condvar,
    /// For the driver: something was submitted, or the log was closed.
    pub(super) driver_wake: Condvar,
    written_tasks: Mutex<TaskWakers>,
    durable_tasks: Mutex<TaskWakers>,
    /// Tasks that follow the log.
    pub(super) tail_tasks: Mutex<TailWakers>,
}

pub(super) struct State {
    /// `None` once closed.
    pub(super) working: Option<Working>,
    /// Somebody waits to close the log: no batch waits for company any more.
    pub(super) is_closing: bool,
    pub(super) next_lsn: Lsn,
    /// How long a batch waits for company.
    pub(super) window: CommitWindow,
    /// Records written so far.
    pub(super) written_records: u64,
    /// Records written the last time: whether there is company to wait for.
    pub(super) last_batch_records: u64,
    /// Empty; kept for its memory, so that writing a batch allocates nothing.
    pub(super) batches: Vec<SealedBatch>,
    /// Whether the idle thread sleeps until something is committed.
    pub(super) idle_sleeps: bool,
    /// Whether the driver sleeps until something is submitted.
    pub(super) driver_sleeps: bool,
}

pub(super) struct Working {
    pub(super) appender: Appender,
    /// Away while a thread writes for all.
    pub(super) writer: Option<BatchWriter>,
}

impl State {
    pub(super) fn is_closed(&self) -> bool {
        self.working.is_none()
    }

    /// The half that records are appended to.
    pub(super) fn appender(&mut self) -> Result<&mut Appender> {
        self.working.as_mut().map(|working| &mut working.appender).ok_or(WalError::Closed)
    }

    /// Whether records wait for somebody to write them: a full batch, or one that somebody wants to
    /// get further than memory.
    pub(super) fn has_work(&self) -> bool {
        self.working.as_ref().is_some_and(|Working { appender, .. }| {
            let is_wanted = appender.open_reach().is_some_and(|reach| reach > Reach::Buffered);
            is_wanted || appender.has_sealed()
        })
    }
}

impl Shared {
    pub(super) fn new(
        log: Arc<Log>,
        appender: Appender,
        writer: BatchWriter,
        window: CommitWindow,
    ) -> Self {
        let durable_lsn = writer.durable_lsn();
        Self {
            poison: writer.poison().clone(),
            telemetry: writer.telemetry().clone(),
            depth: log.config.pipeline_depth as usize,
            written_lsn: AtomicU64::new(durable_lsn.get()),
            durable_lsn: AtomicU64::new(durable_lsn.get()),
            is_shut: AtomicBool::new(false),
            writer_free: AtomicBool::new(true),
            state: Mutex::new(State {
                next_lsn: appender.next_lsn(),
                window,
                written_records: writer.submitted_records(),
                working: Some(Working { appender, writer: Some(writer) }),
                is_closing: false,
                last_batch_records: 0,
                batches: Vec::new(),
                idle_sleeps: false,
                driver_sleeps: false,
            }),
            progress: Broadcast::default(),
            batch_full: Condvar::new(),
            idle_wake: Condvar::new(),
            driver_wake: Condvar::new(),
            written_tasks: Mutex::new(TaskWakers::new(durable_lsn)),
            durable_tasks: Mutex::new(TaskWakers::new(durable_lsn)),
            tail_tasks: Mutex::default(),
            log,
        }
    }

    /// Every record up to here has got so far.
    pub(super) fn reached(&self, reach: Reach) -> Lsn {
        match reach {
            Reach::Buffered => Lsn::new(u64::MAX),
            Reach::Written => Lsn::new(self.written_lsn.load(Ordering::Acquire)),
            Reach::Durable => Lsn::new(self.durable_lsn.load(Ordering::Acquire)),
        }
    }

    /// Every record up to here survives power loss.
    pub(super) fn durable_lsn(&self) -> Lsn {
        self.reached(Reach::Durable)
    }

    /// Whether every record up to `lsn` has got so far.
    ///
    /// # Errors
    ///
    /// It never will: the log has failed, or has been let go of.
    pub(super) fn has_reached(&self, lsn: Lsn, reach: Reach) -> Result<bool> {
        if self.reached(reach) >= lsn {
            return Ok(true);
        }
        let Err(error) = self.check() else { return Ok(false) };
        #[cfg(shuttle)]
        if crate::sabotage::is(crate::sabotage::Sabotage::OneLookAtAClosedLog) {
            return Err(error);
        }
        // It may have got there since that look, and the log been closed then.
        if self.reached(reach) >= lsn { Ok(true) } else { Err(error) }
    }

    /// Takes note of how far a writer has got.
    pub(super) fn publish(&self, writer: &BatchWriter) {
        self.written_lsn.store(writer.written_lsn().get(), Ordering::Release);
        self.durable_lsn.store(writer.durable_lsn().get(), Ordering::Release);
    }

    /// A bug on purpose.
    #[cfg(shuttle)]
    pub(super) fn publish_early(&self, writer: &BatchWriter) {
        self.durable_lsn.store(writer.submitted_lsn().get(), Ordering::Release);
    }

    /// Tells threads and tasks that something was published, or that the log has failed.
    pub(super) fn tell_everybody(&self, failed: bool) {
        self.progress.notify_all();
        wake_tasks(&self.written_tasks, self.reached(Reach::Written), failed);
        wake_tasks(&self.durable_tasks, self.reached(Reach::Durable), failed);
        #[cfg(shuttle)]
        if crate::sabotage::is(crate::sabotage::Sabotage::TailersSleepOn) {
            return;
        }
        wake_tailers(&self.tail_tasks, self.reached(Reach::Durable), failed);
    }

    /// The tasks that wait for records to get so far.
    pub(super) fn tasks(&self, reach: Reach) -> &Mutex<TaskWakers> {
        if reach == Reach::Durable { &self.durable_tasks } else { &self.written_tasks }
    }

    /// Fails if the log has failed, or has been let go of.
    pub(super) fn check(&self) -> Result<()> {
        self.poison.check(self.durable_lsn())?;
        if self.is_shut.load(Ordering::SeqCst) { Err(WalError::Closed) } else { Ok(()) }
    }

    /// Whether the log has been closed or let go of.
    pub(super) fn is_shut(&self) -> bool {
        #[cfg(shuttle)]
        if crate::sabotage::is(crate::sabotage::Sabotage::AdvanceAClosedLog) {
            return false;
        }
        self.is_shut.load(Ordering::SeqCst)
    }

    /// Lets go of the log as it is, as a crash would.
    pub(super) fn abandon(&self) {
        drop(self.shut(lock(&self.state)));
    }

    /// Ends the log for everybody who comes later, and tells those who wait.
    pub(super) fn shut(&self, mut state: MutexGuard<'_, State>) -> Option<Working> {
        let working = state.working.take();
        drop(state);
        self.is_shut.store(true, Ordering::SeqCst);
        self.batch_full.notify_all();
        self.idle_wake.notify_all();
        self.driver_wake.notify_all();
        self.tell_everybody(true);
        working
    }
}

impl Patience {
    pub(super) fn is_over(self) -> bool {
        match self {
            Self::Forever => false,
            Self::Until(end) => now() >= end,
            Self::None => true,
        }
    }

    /// The time that is left, `None` if it is unlimited.
    pub(super) fn left(self) -> Option<Duration> {
        match self {
            Self::Forever => None,
            Self::Until(end) => Some(end.saturating_duration_since(now())),
            Self::None => Some(Duration::ZERO),
        }
    }
}
