//! What a caller does: gets a place for its records and encodes them there, and waits until they
//! have got as far as it wants, writing for all whenever nobody else does.

use std::{iter, mem};

use super::{
    lead::Lead,
    state::{Patience, Shared, State, Working},
};
#[cfg(shuttle)]
use crate::sabotage::{Sabotage, is};
use crate::{
    append::{Appender, BatchWriter, Reservation},
    device::Epoch,
    error::{Result, WalError},
    level::Reach,
    lsn::{Lsn, LsnRange},
    record::{Record, RecordHeader},
    sync::{MutexGuard, atomic::Ordering, lock, thread},
};

/// How often a waiter gives way before it sleeps. A batch is often done by then, and a sleep and
/// a wake-up cost more than all of these together: with 64 threads of 128 B records on the
/// reference machine 0, 20, 50, 100 and 200 of them gave 79, 217, 253, 241 and 223 thousand
/// commits a second, at no more processor time a commit.
///
/// Under a scheduler that tries orders, a few of them leave it more to try.
const YIELDS_BEFORE_SLEEP: u32 = if cfg!(shuttle) { 2 } else { 50 };

impl Shared {
    /// Appends records to one batch and returns their LSNs.
    pub(super) fn append(
        &self,
        records: &[Record<'_>],
        reach: Reach,
        patience: Patience,
    ) -> Result<LsnRange> {
        let lens = records.iter().map(|record| record.payload.len());
        Ok(self.reserve(&lens, reach, patience)?.fill(records))
    }

    /// Appends a record whose payload `fill` writes in place, and returns its LSN.
    pub(super) fn append_with(
        &self,
        record: RecordHeader,
        payload_len: usize,
        fill: impl FnOnce(&mut [u8]),
        reach: Reach,
    ) -> Result<Lsn> {
        let lens = iter::once(payload_len);
        let reserved = self.reserve(&lens, reach, Patience::Forever)?;
        Ok(reserved.fill_with(record, payload_len, fill))
    }

    /// Gets a place in a batch, helping the device along while there is no buffer.
    fn reserve(
        &self,
        payload_lens: &(impl ExactSizeIterator<Item = usize> + Clone),
        reach: Reach,
        patience: Patience,
    ) -> Result<Reservation> {
        let mut state = lock(&self.state);
        loop {
            self.check()?;
            let appender = state.appender()?;
            if let Some(reserved) = appender.reserve(payload_lens.clone(), reach)? {
                let is_full = appender.has_sealed();
                state.next_lsn = reserved.lsns().last.next();
                self.note_appended(&mut state, reach, is_full);
                return Ok(reserved);
            }
            if patience.is_over() {
                return Err(WalError::QueueFull);
            }
            drop(state);
            self.advance(patience)?;
            state = lock(&self.state);
        }
    }

    /// Wakes who has to know that something was appended.
    fn note_appended(&self, state: &mut State, reach: Reach, is_full: bool) {
        if is_full {
            self.batch_full.notify_one();
        }
        // Nobody waits for what is only buffered: these two see to it.
        if reach == Reach::Buffered {
            if is_full && mem::take(&mut state.driver_sleeps) {
                self.driver_wake.notify_one();
            }
            if mem::take(&mut state.idle_sleeps) {
                self.idle_wake.notify_all();
            }
        }
    }

    /// Has the driver write what was appended.
    pub(super) fn wake_driver(&self) {
        #[cfg(shuttle)]
        if is(Sabotage::DriverSleepsOn) {
            return;
        }
        let mut state = lock(&self.state);
        if mem::take(&mut state.driver_sleeps) {
            self.driver_wake.notify_one();
        }
    }

    /// Waits until `lsn` has got so far, writing for all whenever nobody else does. `false` if time
    /// ran out.
    pub(super) fn wait_for(&self, lsn: Lsn, reach: Reach, patience: Patience) -> Result<bool> {
        loop {
            let epoch = self.progress.epoch();
            if self.has_reached(lsn, reach)? {
                return Ok(true);
            }
            #[cfg(shuttle)]
            let epoch = match is(Sabotage::LookBeforeRemembering) {
                true => self.progress.epoch(),
                false => epoch,
            };
            if patience.is_over() {
                return Ok(false);
            }
            match self.take_lead_if_free() {
                Some((lead, state)) => lead.write_what_gathered(state, patience)?,
                None => self.wait_for_progress(epoch, patience),
            }
        }
    }

    /// Writes what has gathered if the writer is free, and else waits for who has it.
    pub(super) fn advance(&self, patience: Patience) -> Result<()> {
        let epoch = self.progress.epoch();
        // In a log that was closed before this moment there is neither a writer to take nor anybody
        // who will tell. One that has failed still has the writer, and whoever takes it tells all.
        if self.is_shut() {
            return Err(WalError::Closed);
        }
        match self.take_lead_if_free() {
            Some((lead, state)) => lead.write_what_gathered(state, patience),
            None => {
                self.wait_for_progress(epoch, patience);
                Ok(())
            }
        }
    }

    fn take_lead_if_free(&self) -> Option<(Lead<'_>, MutexGuard<'_, State>)> {
        if !self.writer_free.load(Ordering::SeqCst) {
            return None;
        }
        Lead::take(self, lock(&self.state))
    }

    /// Gives way a few times, then sleeps.
    fn wait_for_progress(&self, since: Epoch, patience: Patience) {
        for _ in 0..YIELDS_BEFORE_SLEEP {
            thread::yield_now();
            if self.progress.has_passed(since) {
                return;
            }
        }
        self.progress.wait(since, patience.left());
    }

    /// Makes everything appended durable, unless somebody is writing anyway.
    pub(super) fn settle(&self, mut state: MutexGuard<'_, State>) -> Result<()> {
        state.appender()?.raise(Reach::Durable);
        match Lead::take(self, state) {
            Some((lead, state)) => lead.settle(state),
            None => Ok(()),
        }
    }

    /// Waits until everything appended is durable and the writer is free, then takes both out.
    pub(super) fn take_down(&self) -> Result<(Appender, BatchWriter)> {
        loop {
            let epoch = self.progress.epoch();
            self.check()?;
            let mut state = lock(&self.state);
            state.is_closing = true;
            let working = state.working.as_ref().ok_or(WalError::Closed)?;
            let at_rest = state.next_lsn == self.durable_lsn().next();
            #[cfg(shuttle)]
            let at_rest = at_rest || is(Sabotage::CloseInAHurry);
            if working.writer.is_none() {
                self.batch_full.notify_all();
                drop(state);
                self.wait_for_progress(epoch, Patience::Forever);
            } else if at_rest {
                return match self.shut(state) {
                    Some(Working { appender, writer: Some(writer) }) => Ok((appender, writer)),
                    _ => Err(WalError::Closed),
                };
            } else {
                self.settle(state)?;
            }
        }
    }
}
