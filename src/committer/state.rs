//! What the threads of a committer share, and the rule by which one of them writes for all: who
//! finds the device free takes the writer out, writes what has gathered without holding the lock,
//! and puts the writer back.

use std::{
    io, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    append::{Appender, BatchWriter, Room, SealedBatch, WalStats},
    error::{Result, WalError},
    lsn::{Lsn, LsnRange},
    poison::Poison,
    record::Record,
    sync::lock,
    wal::Log,
};

/// Shared by all clones and the idle thread.
pub(super) struct Shared {
    pub(super) log: Arc<Log>,
    pub(super) poison: Poison,
    /// Batches in flight at once.
    pub(super) depth: usize,
    /// How long a batch waits for company.
    pub(super) window: Duration,
    pub(super) state: Mutex<State>,
    /// The durable LSN moved, the log failed, or the writer is free.
    pub(super) progress: Condvar,
    /// A batch is full: waiting for company is over.
    pub(super) batch_full: Condvar,
    /// For the idle thread: something was committed, or the log was closed.
    pub(super) idle_wake: Condvar,
}

pub(super) struct State {
    /// `None` once closed.
    working: Option<Working>,
    pub(super) durable_lsn: Lsn,
    pub(super) next_lsn: Lsn,
    pub(super) stats: WalStats,
    /// Whether the idle thread sleeps until something is committed.
    pub(super) idle_sleeps: bool,
}

struct Working {
    appender: Appender,
    /// Away while a thread writes for all.
    writer: Option<BatchWriter>,
}

impl State {
    pub(super) fn new(appender: Appender, writer: BatchWriter) -> Self {
        Self {
            durable_lsn: writer.durable_lsn(),
            next_lsn: appender.next_lsn(),
            stats: writer.stats(),
            working: Some(Working { appender, writer: Some(writer) }),
            idle_sleeps: false,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.working.is_none()
    }

    /// The half that records are appended to.
    pub(super) fn appender(&mut self) -> Result<&mut Appender> {
        self.working.as_mut().map(|working| &mut working.appender).ok_or(WalError::Closed)
    }

    fn take_writer(&mut self) -> Option<BatchWriter> {
        self.working.as_mut()?.writer.take()
    }

    /// Ends the log for everybody who comes later.
    pub(super) fn shut(&mut self) -> Option<(Appender, Option<BatchWriter>)> {
        self.working.take().map(|Working { appender, writer }| (appender, writer))
    }
}

impl Shared {
    /// Appends records to one batch, helping the device along while there is no buffer.
    pub(super) fn append(
        &self,
        records: &[Record<'_>],
    ) -> Result<(MutexGuard<'_, State>, LsnRange)> {
        let mut state = lock(&self.state);
        loop {
            self.poison.check(state.durable_lsn)?;
            let appender = state.appender()?;
            if appender.make_room(records)? == Room::Ready {
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
        mut state: MutexGuard<'a, State>,
        lsn: Lsn,
    ) -> Result<()> {
        while state.durable_lsn < lsn {
            self.poison.check(state.durable_lsn)?;
            state = self.advance(state)?;
        }
        Ok(())
    }

    /// Writes what has gathered if the writer is free, and else waits for who has it.
    fn advance<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Result<MutexGuard<'a, State>> {
        let Some(writer) = state.take_writer() else {
            return Ok(self.progress.wait(state).unwrap_or_else(PoisonError::into_inner));
        };
        let lead = Lead { shared: self, writer: Some(writer) };
        state = self.wait_for_company(state);
        let appender = state.appender()?;
        let mut batches = Vec::with_capacity(self.depth);
        while batches.len() < self.depth {
            if !appender.has_sealed() && appender.has_open_records() {
                appender.seal();
            }
            let Some(batch) = appender.pop_sealed() else { break };
            batches.push(batch);
        }
        lead.write(state, batches)
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

    /// Writes a marker if every record is durable and the writer is free.
    pub(super) fn write_marker<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>> {
        if state.appender()?.open_marker()? == Room::NoBuffer {
            return Ok(state);
        }
        let Some(writer) = state.take_writer() else { return Ok(state) };
        let appender = state.appender()?;
        appender.seal();
        let batches = appender.pop_sealed().into_iter().collect();
        Lead { shared: self, writer: Some(writer) }.write(state, batches)
    }

    /// Waits until everything appended is durable and the writer is free, then takes both out.
    pub(super) fn take_down(&self) -> Result<(Appender, BatchWriter)> {
        let mut state = lock(&self.state);
        loop {
            self.poison.check(state.durable_lsn)?;
            let working = state.working.as_ref().ok_or(WalError::Closed)?;
            let at_rest = state.next_lsn == state.durable_lsn.next();
            if working.writer.is_some() && at_rest {
                break;
            }
            state = self.advance(state)?;
        }
        let parts = state.shut();
        self.idle_wake.notify_all();
        match parts {
            Some((appender, Some(writer))) => Ok((appender, writer)),
            _ => Err(WalError::Closed),
        }
    }
}

/// The writer while a thread has it. Should that thread panic, the log is poisoned rather than
/// everybody left waiting.
struct Lead<'a> {
    shared: &'a Shared,
    writer: Option<BatchWriter>,
}

impl<'a> Lead<'a> {
    /// Writes batches without holding the lock, then tells everybody.
    fn write(
        mut self,
        state: MutexGuard<'a, State>,
        batches: Vec<SealedBatch>,
    ) -> Result<MutexGuard<'a, State>> {
        drop(state);
        let shared = self.shared;
        let Some(writer) = &mut self.writer else { return Err(WalError::Closed) };
        let result = batches
            .into_iter()
            .try_for_each(|batch| writer.submit(batch, false))
            .and_then(|()| writer.sync());

        let mut state = lock(&shared.state);
        state.durable_lsn = writer.durable_lsn();
        state.stats = writer.stats();
        let sleeper = mem::take(&mut state.idle_sleeps);
        if let Some(working) = &mut state.working {
            writer.drain_returned().for_each(|buffer| working.appender.put_back(buffer));
            working.writer = self.writer.take();
        }
        shared.progress.notify_all();
        if sleeper {
            shared.idle_wake.notify_all();
        }
        result.map(|_| state)
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if self.writer.is_some() {
            let error = io::Error::other("the thread that wrote for all panicked");
            self.shared.poison.set("write", self.shared.log.directory.path(), error);
            self.shared.progress.notify_all();
        }
    }
}
