//! What the threads of a committer share, and the rule by which one of them writes for all: who
//! finds the writer free takes it, writes what has gathered without holding the lock, puts it
//! back, and wakes everybody at once.

use std::{
    io, mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::commit::{TaskWakers, wake_tasks};
use crate::{
    append::{Appender, BatchWriter, Room, SealedBatch, WalStats},
    device::{Broadcast, Epoch},
    error::{Result, WalError},
    lsn::{Lsn, LsnRange},
    poison::Poison,
    record::Record,
    sync::lock,
    wal::Log,
};

/// How often a waiter gives way before it sleeps. A batch is often done by then, and a sleep and
/// a wake-up cost more than all of these together: with 64 threads of 128 B records on the
/// reference machine 0, 20, 50, 100 and 200 of them gave 79, 217, 253, 241 and 223 thousand
/// commits a second, at no more processor time a commit.
const YIELDS_BEFORE_SLEEP: u32 = 50;

/// Shared by all clones and the idle thread.
pub(super) struct Shared {
    pub(super) log: Arc<Log>,
    poison: Poison,
    /// Batches in flight at once.
    depth: usize,
    /// How long a batch waits for company.
    window: Duration,
    pub(super) state: Mutex<State>,
    /// Every record up to here survives power loss. Written by whoever has the writer.
    durable_lsn: AtomicU64,
    /// Whether the log is closed, or its last handle gone: what is not durable by now never will
    /// be.
    is_shut: AtomicBool,
    /// Whether the writer was free when last looked at: worth taking the lock for.
    writer_free: AtomicBool,
    /// The durable LSN moved, the log failed, or the writer is free.
    progress: Broadcast,
    /// A batch is full: waiting for company is over.
    batch_full: Condvar,
    /// For the idle thread: something was committed, or the log was closed.
    pub(super) idle_wake: Condvar,
    /// For the driver: something was submitted, or the log was closed.
    pub(super) driver_wake: Condvar,
    pub(super) tasks: Mutex<TaskWakers>,
}

pub(super) struct State {
    /// `None` once closed.
    working: Option<Working>,
    pub(super) next_lsn: Lsn,
    pub(super) stats: WalStats,
    /// Records written the last time: whether there is company to wait for.
    last_batch_records: u64,
    /// Empty; kept for its memory, so that writing a batch allocates nothing.
    batches: Vec<SealedBatch>,
    /// Whether the idle thread sleeps until something is committed.
    pub(super) idle_sleeps: bool,
    /// Whether the driver sleeps until something is submitted.
    pub(super) driver_sleeps: bool,
}

struct Working {
    appender: Appender,
    /// Away while a thread writes for all.
    writer: Option<BatchWriter>,
}

impl State {
    pub(super) fn is_closed(&self) -> bool {
        self.working.is_none()
    }

    /// The half that records are appended to.
    pub(super) fn appender(&mut self) -> Result<&mut Appender> {
        self.working.as_mut().map(|working| &mut working.appender).ok_or(WalError::Closed)
    }

    /// Whether records wait for somebody to write them.
    pub(super) fn has_unwritten(&self) -> bool {
        let appender = self.working.as_ref().map(|working| &working.appender);
        appender.is_some_and(|appender| appender.has_sealed() || appender.has_open_records())
    }
}

impl Shared {
    pub(super) fn new(
        log: Arc<Log>,
        appender: Appender,
        writer: BatchWriter,
        window: Duration,
    ) -> Self {
        let writer_durable_lsn = writer.durable_lsn();
        Self {
            poison: writer.poison().clone(),
            depth: log.config.pipeline_depth as usize,
            window,
            durable_lsn: AtomicU64::new(writer_durable_lsn.get()),
            is_shut: AtomicBool::new(false),
            writer_free: AtomicBool::new(true),
            state: Mutex::new(State {
                next_lsn: appender.next_lsn(),
                stats: writer.stats(),
                working: Some(Working { appender, writer: Some(writer) }),
                last_batch_records: 0,
                batches: Vec::new(),
                idle_sleeps: false,
                driver_sleeps: false,
            }),
            progress: Broadcast::default(),
            batch_full: Condvar::new(),
            idle_wake: Condvar::new(),
            driver_wake: Condvar::new(),
            tasks: Mutex::new(TaskWakers::new(writer_durable_lsn)),
            log,
        }
    }

    /// Every record up to here survives power loss.
    pub(super) fn durable_lsn(&self) -> Lsn {
        Lsn::new(self.durable_lsn.load(Ordering::Acquire))
    }

    /// Fails if the log has failed, or has been let go of.
    pub(super) fn check(&self) -> Result<()> {
        self.poison.check(self.durable_lsn())?;
        if self.is_shut.load(Ordering::SeqCst) { Err(WalError::Closed) } else { Ok(()) }
    }

    /// Appends records to one batch and returns their LSNs once they are durable.
    pub(super) fn commit(&self, records: &[Record<'_>]) -> Result<LsnRange> {
        let (state, range) = self.append(records)?;
        self.wait_durable(Some(state), range.last)?;
        Ok(range)
    }

    /// Appends records to one batch, for the driver to write.
    pub(super) fn submit(&self, records: &[Record<'_>]) -> Result<LsnRange> {
        let (mut state, range) = self.append(records)?;
        if mem::take(&mut state.driver_sleeps) {
            self.driver_wake.notify_one();
        }
        Ok(range)
    }

    /// Appends records to one batch, helping the device along while there is no buffer.
    fn append(&self, records: &[Record<'_>]) -> Result<(MutexGuard<'_, State>, LsnRange)> {
        let mut state = lock(&self.state);
        loop {
            self.check()?;
            let appender = state.appender()?;
            if appender.make_room(records.iter().map(|r| r.payload.len()))? == Room::Ready {
                let range = appender.push_all(records);
                if appender.has_sealed() {
                    self.batch_full.notify_one();
                }
                state.next_lsn = range.last.next();
                return Ok((state, range));
            }
            state = self.advance(state)?;
        }
    }

    /// Waits until `lsn` is durable, writing for all whenever nobody else does.
    pub(super) fn wait_durable<'a>(
        &'a self,
        mut held: Option<MutexGuard<'a, State>>,
        lsn: Lsn,
    ) -> Result<()> {
        loop {
            let epoch = self.progress.epoch();
            if self.durable_lsn() >= lsn {
                return Ok(());
            }
            self.check()?;
            let state = match held.take() {
                Some(state) => state,
                None if self.writer_free.load(Ordering::SeqCst) => lock(&self.state),
                None => {
                    self.wait_for_progress(epoch);
                    continue;
                }
            };
            if let Some((lead, state)) = self.take_lead(state) {
                drop(lead.write_what_gathered(state)?);
            }
        }
    }

    /// Writes what has gathered if the writer is free, and else waits for who has it.
    pub(super) fn advance<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>> {
        let epoch = self.progress.epoch();
        match self.take_lead(state) {
            Some((lead, state)) => lead.write_what_gathered(state),
            None => {
                self.wait_for_progress(epoch);
                Ok(lock(&self.state))
            }
        }
    }

    /// Takes the writer, if it is free; else lets go of the lock.
    fn take_lead<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Option<(Lead<'a>, MutexGuard<'a, State>)> {
        let writer = state.working.as_mut()?.writer.take()?;
        self.writer_free.store(false, Ordering::SeqCst);
        Some((Lead { shared: self, writer: Some(writer) }, state))
    }

    /// Gives way a few times, then sleeps.
    fn wait_for_progress(&self, since: Epoch) {
        for _ in 0..YIELDS_BEFORE_SLEEP {
            thread::yield_now();
            if self.progress.has_passed(since) {
                return;
            }
        }
        self.progress.wait(since);
    }

    /// Gives way once, so that those whom the last batch has just woken can be in this one too:
    /// without it two crowds take turns, and each batch carries half. A caller alone does not
    /// wait for anybody.
    fn let_others_join<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.last_batch_records <= 1 {
            return state;
        }
        drop(state);
        thread::yield_now();
        lock(&self.state)
    }

    /// Lets a batch fill for the commit window, or until it is full.
    fn wait_for_company<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if self.window.is_zero() {
            return state;
        }
        let end = Instant::now() + self.window;
        while !state.appender().is_ok_and(|appender| appender.has_sealed()) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.batch_full.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    /// Writes a marker, unless somebody is writing anyway.
    pub(super) fn write_marker<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>> {
        if state.appender()?.open_marker()? == Room::NoBuffer {
            return Ok(state);
        }
        let Some((lead, mut state)) = self.take_lead(state) else {
            // The empty batch stays open for the next record.
            return Ok(lock(&self.state));
        };
        state.appender()?.seal();
        lead.write_what_gathered(state)
    }

    /// Waits until everything appended is durable and the writer is free, then takes both out.
    pub(super) fn take_down(&self) -> Result<(Appender, BatchWriter)> {
        let mut state = lock(&self.state);
        loop {
            self.check()?;
            let working = state.working.as_ref().ok_or(WalError::Closed)?;
            let at_rest = state.next_lsn == self.durable_lsn().next();
            if working.writer.is_some() && at_rest {
                break;
            }
            state = self.advance(state)?;
        }
        match self.shut(state) {
            Some(Working { appender, writer: Some(writer) }) => Ok((appender, writer)),
            _ => Err(WalError::Closed),
        }
    }

    /// Lets go of the log as it is, as a crash would.
    pub(super) fn abandon(&self) {
        drop(self.shut(lock(&self.state)));
    }

    /// Ends the log for everybody who comes later, and tells those who wait.
    fn shut(&self, mut state: MutexGuard<'_, State>) -> Option<Working> {
        let working = state.working.take();
        drop(state);
        self.is_shut.store(true, Ordering::SeqCst);
        self.idle_wake.notify_all();
        self.driver_wake.notify_all();
        self.progress.notify_all();
        wake_tasks(&self.tasks, self.durable_lsn(), true);
        working
    }
}

/// The writer while a thread has it. Should that thread panic, the log is poisoned rather than
/// everybody left waiting.
struct Lead<'a> {
    shared: &'a Shared,
    writer: Option<BatchWriter>,
}

impl<'a> Lead<'a> {
    /// Writes what has gathered, after the commit window.
    fn write_what_gathered(self, state: MutexGuard<'a, State>) -> Result<MutexGuard<'a, State>> {
        let shared = self.shared;
        let state = shared.let_others_join(state);
        let mut state = shared.wait_for_company(state);
        let mut batches = mem::take(&mut state.batches);
        let appender = state.appender()?;
        while batches.len() < shared.depth {
            if !appender.has_sealed() && appender.has_open_records() {
                appender.seal();
            }
            let Some(batch) = appender.pop_sealed() else { break };
            batches.push(batch);
        }
        drop(state);
        self.write(batches)
    }

    /// Writes batches without holding the lock, then tells everybody.
    fn write(mut self, mut batches: Vec<SealedBatch>) -> Result<MutexGuard<'a, State>> {
        let shared = self.shared;
        let Some(writer) = &mut self.writer else { return Err(WalError::Closed) };
        let result = batches
            .drain(..)
            .try_for_each(|batch| writer.submit(batch, false))
            .and_then(|()| writer.sync());
        shared.durable_lsn.store(writer.durable_lsn().get(), Ordering::Release);

        let mut state = lock(&shared.state);
        state.last_batch_records = writer.stats().records - state.stats.records;
        state.stats = writer.stats();
        state.batches = batches;
        let sleeper = mem::take(&mut state.idle_sleeps);
        let mut writer = self.writer.take();
        // Without a working half the last handle is gone meanwhile, and the writer goes with it.
        if let (Some(working), Some(writer)) = (&mut state.working, &mut writer) {
            writer.drain_returned().for_each(|buffer| working.appender.put_back(buffer));
        }
        if let Some(working) = &mut state.working {
            working.writer = writer;
        }
        shared.writer_free.store(true, Ordering::SeqCst);
        shared.progress.notify_all();
        if sleeper {
            shared.idle_wake.notify_all();
        }
        drop(state);
        wake_tasks(&shared.tasks, shared.durable_lsn(), result.is_err());
        result.map(|_| lock(&shared.state))
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        // Without a panic the writer is still here only because the log was let go of meanwhile.
        if self.writer.is_some() && thread::panicking() {
            let error = io::Error::other("the thread that wrote for all panicked");
            self.shared.poison.set("write", self.shared.log.directory.path(), error);
            self.shared.progress.notify_all();
            wake_tasks(&self.shared.tasks, Lsn::NONE, true);
        }
    }
}
