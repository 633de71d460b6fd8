//! The leases of a log and their files. A lease on disk never claims less than what is held: it is
//! moved on, or dropped, durably before a truncation makes use of that.

use std::{io, path::Path, sync::Arc};

use super::{
    lease::{HeldBack, Lease, LeaseInfo},
    meta_store::MetaStore,
    name::{lease_file_name, parse_lease_file_name},
};
use crate::{
    device::LogDirectory,
    error::{Result, WalError},
    format::{FORMAT_VERSION, LEASE_LEN, LeaseProblem, LeaseRecord, Meta, is_lease_name},
    lsn::Lsn,
    poison::Poison,
    sync::{Mutex, MutexGuard, lock},
};

/// All leases of an open log.
#[derive(Debug)]
pub(crate) struct LeaseStore {
    directory: LogDirectory,
    meta: Arc<MetaStore>,
    poison: Poison,
    /// Held for a look or a change and never during I/O.
    held: Mutex<Vec<Arc<Held>>>,
    /// Held by whoever truncates the log or changes a file of a lease, so that none is taken below
    /// a floor that is just moving.
    changing: Mutex<Changing>,
}

#[derive(Debug)]
struct Changing {
    /// The directory may be another writer's by now.
    closed: bool,
}

/// One lease.
#[derive(Debug)]
pub(super) struct Held {
    name: String,
    state: Mutex<HeldState>,
    /// What its archiver has failed with, until it succeeds.
    last_error: Mutex<Option<String>>,
}

#[derive(Clone, Copy, Debug)]
struct HeldState {
    position: Lsn,
    /// The position that its file states.
    stored: Lsn,
    budget_bytes: u64,
    dropped: bool,
    in_use: bool,
    /// Released, or the log is closed: no handle can do anything any more.
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Released,
    Closed,
}

/// What the leases leave of a truncation.
#[derive(Debug)]
pub(super) struct Way {
    /// How far it may go.
    pub(super) upto: Lsn,
    pub(super) held_back: Option<HeldBack>,
    /// Those that went over their budget.
    pub(super) dropped: Vec<String>,
}

/// While this lives, no lease is taken, released or written, and nobody else truncates.
#[derive(Debug)]
pub(super) struct Still<'a> {
    store: &'a LeaseStore,
    _changing: MutexGuard<'a, Changing>,
}

/// Reads the leases in a directory, by name.
///
/// # Errors
///
/// [`WalError::LeaseDamaged`] for a file that is damaged, of another log, or misnamed.
pub(super) fn read_leases(directory: &LogDirectory, meta: &Meta) -> Result<Vec<Held>> {
    let mut names = directory.names()?;
    names.retain(|name| parse_lease_file_name(name).is_some());
    names.sort_unstable();
    let mut leases = Vec::new();
    for file_name in names {
        let path = directory.join(&file_name);
        let read = directory.read_small(&file_name, LEASE_LEN as u64 + 1);
        // Released a moment ago, if this is no writer that asks.
        let Some(bytes) = read.map_err(WalError::io("read", &path))? else { continue };
        let damaged = |problem: &str| WalError::LeaseDamaged {
            path: path.clone(),
            problem: problem.to_owned(),
        };
        let record = LeaseRecord::decode(&bytes).map_err(|problem| match problem {
            LeaseProblem::Damaged(problem) => damaged(problem),
            LeaseProblem::Version(found) => WalError::UnsupportedVersion {
                path: path.clone(),
                found,
                supported: FORMAT_VERSION,
            },
        })?;
        if lease_file_name(&record.name) != file_name {
            return Err(damaged("the name in it is another one; a file was renamed or copied"));
        }
        if record.log_id != meta.log_id {
            return Err(damaged("it belongs to another log"));
        }
        leases.push(Held::of(record, meta.retention_floor));
    }
    Ok(leases)
}

/// Fails where an opening would because of a lease.
#[cfg(feature = "simulated")]
pub(crate) fn check_leases(directory: &LogDirectory, meta: &Meta) -> Result<()> {
    read_leases(directory, meta).map(drop)
}

impl Held {
    fn of(record: LeaseRecord, floor: Lsn) -> Self {
        let state = HeldState {
            position: record.position,
            stored: record.position,
            budget_bytes: record.budget_bytes,
            // What it held is gone: a file of an earlier time was put back.
            dropped: record.dropped || record.position < floor,
            in_use: false,
            end: None,
        };
        Self { name: record.name, state: Mutex::new(state), last_error: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The handle is gone.
    pub(super) fn hand_back(&self) {
        lock(&self.state).in_use = false;
    }

    pub(super) fn info(&self, held_bytes: impl Fn(Lsn) -> u64) -> LeaseInfo {
        let state = *lock(&self.state);
        LeaseInfo {
            name: self.name.clone(),
            position: state.position,
            budget_bytes: state.budget_bytes,
            held_bytes: if state.dropped { 0 } else { held_bytes(state.position) },
            dropped: state.dropped,
            in_use: state.in_use,
            last_error: lock(&self.last_error).clone(),
        }
    }

    pub(super) fn note_error(&self, problem: Option<String>) {
        *lock(&self.last_error) = problem;
    }

    fn is_dropped(&self) -> bool {
        lock(&self.state).dropped
    }
}

impl LeaseStore {
    /// Takes over the leases of a directory.
    ///
    /// # Errors
    ///
    /// As [`read_leases`].
    pub(crate) fn open(
        directory: LogDirectory,
        meta: Arc<MetaStore>,
        poison: Poison,
    ) -> Result<Self> {
        let leases = read_leases(&directory, &meta.get())?;
        Ok(Self {
            directory,
            meta,
            poison,
            held: Mutex::new(leases.into_iter().map(Arc::new).collect()),
            changing: Mutex::new(Changing { closed: false }),
        })
    }

    /// Nothing is changed in this directory through this log any more.
    pub(crate) fn close(&self) {
        lock(&self.changing).closed = true;
        for held in self.all() {
            lock(&held.state).end.get_or_insert(End::Closed);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.changing).closed
    }

    fn all(&self) -> Vec<Arc<Held>> {
        lock(&self.held).clone()
    }

    fn find(&self, name: &str) -> Option<Arc<Held>> {
        lock(&self.held).iter().find(|held| held.name == name).cloned()
    }

    /// The leases by name.
    pub(super) fn list(&self, held_bytes: impl Fn(Lsn) -> u64) -> Vec<LeaseInfo> {
        let mut list: Vec<_> = self.all().iter().map(|held| held.info(&held_bytes)).collect();
        list.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        list
    }

    /// Whether there are none, which costs a truncation and a snapshot nothing.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.held).is_empty()
    }

    /// Has everybody else keep still.
    ///
    /// # Errors
    ///
    /// [`WalError::Closed`], and [`WalError::Poisoned`].
    pub(super) fn keep_still(&self) -> Result<Still<'_>> {
        let changing = lock(&self.changing);
        if changing.closed {
            return Err(WalError::Closed);
        }
        self.poison.check(self.meta.get().durable_lsn)?;
        Ok(Still { store: self, _changing: changing })
    }

    /// Takes the lease of this name, where it was, or a new one from `from` on.
    pub(super) fn take(
        self: &Arc<Self>,
        name: &str,
        from: Lsn,
        budget_bytes: u64,
    ) -> Result<Lease> {
        if !is_lease_name(name) {
            return Err(WalError::InvalidLeaseName { name: name.to_owned() });
        }
        let still = self.keep_still()?;
        let held = match self.find(name) {
            Some(held) => {
                self.take_again(&still, &held, budget_bytes)?;
                held
            }
            None => self.take_new(&still, name, from, budget_bytes)?,
        };
        Ok(Lease::new(Arc::clone(self), held))
    }

    fn take_again(&self, still: &Still<'_>, held: &Held, budget_bytes: u64) -> Result<()> {
        if held.is_dropped() {
            return Err(self.dropped_error(held));
        }
        let before = *lock(&held.state);
        if before.in_use {
            return Err(WalError::LeaseInUse { name: held.name.clone() });
        }
        if before.budget_bytes != budget_bytes {
            still.write(held, |record| record.budget_bytes = budget_bytes)?;
        }
        lock(&held.state).in_use = true;
        Ok(())
    }

    fn take_new(
        &self,
        still: &Still<'_>,
        name: &str,
        from: Lsn,
        budget_bytes: u64,
    ) -> Result<Arc<Held>> {
        let floor = self.meta.get().retention_floor;
        let position = if from == Lsn::NONE { floor } else { from };
        if position < floor {
            return Err(WalError::Truncated { requested: position, floor });
        }
        let (name, log_id) = (name.to_owned(), self.meta.get().log_id);
        let record = LeaseRecord { log_id, name, position, budget_bytes, dropped: false };
        let held = Arc::new(Held::of(record, floor));
        still.write(&held, |_| {})?;
        lock(&held.state).in_use = true;
        lock(&self.held).push(Arc::clone(&held));
        Ok(held)
    }

    pub(super) fn position(&self, held: &Held) -> Result<Lsn> {
        let state = *lock(&held.state);
        self.check(held, state)?;
        Ok(state.position)
    }

    pub(super) fn advance(&self, held: &Held, lsn: Lsn) -> Result<()> {
        let mut state = lock(&held.state);
        if state.end.is_some() || state.dropped {
            let now = *state;
            drop(state);
            self.check(held, now)?;
            return Err(WalError::Closed);
        }
        state.position = state.position.max(lsn);
        Ok(())
    }

    pub(super) fn persist(&self, held: &Held) -> Result<()> {
        let still = self.keep_still()?;
        let state = *lock(&held.state);
        self.check(held, state)?;
        if state.stored < state.position { still.write(held, |_| {}) } else { Ok(()) }
    }

    /// Lets go of the lease of this name, whoever has it.
    pub(super) fn release(&self, name: &str) -> Result<()> {
        let _still = self.keep_still()?;
        let Some(held) = self.find(name) else { return Err(self.no_such(name)) };
        let path = self.directory.join(&lease_file_name(name));
        self.directory.remove(&path).map_err(WalError::io("remove", &path))?;
        lock(&held.state).end = Some(End::Released);
        lock(&self.held).retain(|other| other.name != name);
        self.directory
            .sync()
            .map_err(|error| self.fail("sync directory", self.directory.path(), error))
    }

    /// Writes down every position that has moved.
    pub(crate) fn persist_all(&self) -> Result<()> {
        let still = self.keep_still()?;
        self.all().iter().try_for_each(|held| {
            let state = *lock(&held.state);
            if state.stored < state.position { still.write(held, |_| {}) } else { Ok(()) }
        })
    }

    fn check(&self, held: &Held, state: HeldState) -> Result<()> {
        match state.end {
            Some(End::Released) => Err(self.no_such(&held.name)),
            _ if state.dropped => Err(self.dropped_error(held)),
            _ => Ok(()),
        }
    }

    fn no_such(&self, name: &str) -> WalError {
        WalError::NoSuchLease { path: self.directory.path().to_owned(), name: name.to_owned() }
    }

    fn dropped_error(&self, held: &Held) -> WalError {
        let HeldState { position, budget_bytes, .. } = *lock(&held.state);
        let floor = self.meta.get().retention_floor;
        WalError::LeaseDropped { name: held.name.clone(), position, floor, budget_bytes }
    }

    fn fail(&self, operation: &'static str, path: &Path, error: io::Error) -> WalError {
        self.poison.fail(operation, path, error, self.meta.get().durable_lsn)
    }
}

impl Still<'_> {
    /// How far the log may be given up that is to be given up before `wanted`. Drops, durably, those
    /// that hold more than they may. `bytes_from` is the size of what `wanted` gives up and a
    /// position holds.
    ///
    /// Each budget is held against what its own position holds, whether or not others hold it, too:
    /// two consumers that are stuck at the same place would protect each other for ever.
    pub(super) fn make_way(&self, wanted: Lsn, bytes_from: impl Fn(Lsn) -> u64) -> Result<Way> {
        let mut way = Way { upto: wanted, held_back: None, dropped: Vec::new() };
        for held in self.store.all() {
            let state = *lock(&held.state);
            if state.dropped || state.position >= wanted {
                continue;
            }
            let bytes = bytes_from(state.position);
            if bytes > state.budget_bytes {
                self.drop_lease(&held, bytes)?;
                way.dropped.push(held.name.clone());
            } else if state.position < way.upto {
                way.upto = state.position;
                way.held_back = (bytes > 0).then(|| HeldBack {
                    lease: held.name.clone(),
                    position: state.position,
                    bytes,
                });
            }
        }
        Ok(way)
    }

    /// Has every lease on disk be at `floor` or above, so that what lies before it may go.
    pub(super) fn write_up_to(&self, floor: Lsn) -> Result<()> {
        #[cfg(feature = "simulated")]
        if crate::sabotage::is(crate::sabotage::Sabotage::LeaseWrittenLate) {
            return Ok(());
        }
        self.store.all().iter().try_for_each(|held| {
            let state = *lock(&held.state);
            if state.dropped || state.stored >= floor { Ok(()) } else { self.write(held, |_| {}) }
        })
    }

    fn drop_lease(&self, held: &Held, bytes: u64) -> Result<()> {
        self.write(held, |record| record.dropped = true)?;
        let state = *lock(&held.state);
        tracing::warn!(
            lease = held.name,
            position = %state.position,
            held_bytes = bytes,
            budget_bytes = state.budget_bytes,
            "a lease went over its budget and is dropped"
        );
        Ok(())
    }

    /// Replaces a lease's file by what is so now, changed. Where the disk is full nothing has
    /// changed, and the log goes on; any other failure is final.
    fn write(&self, held: &Held, change: impl FnOnce(&mut LeaseRecord)) -> Result<()> {
        let state = *lock(&held.state);
        let mut record = LeaseRecord {
            log_id: self.store.meta.get().log_id,
            name: held.name.clone(),
            position: state.position,
            budget_bytes: state.budget_bytes,
            dropped: state.dropped,
        };
        change(&mut record);
        let directory = &self.store.directory;
        let name = lease_file_name(&held.name);
        let (temporary, path) = (directory.join(&format!("{name}.tmp")), directory.join(&name));
        if let Err(error) = directory.write_small(&temporary, &record.encode()) {
            if is_out_of_space(&error) {
                // It holds nothing; left behind it is written anew.
                let _ = directory.remove(&temporary);
                return Err(WalError::io("write", path)(error));
            }
            return Err(self.store.fail("write", &path, error));
        }
        directory
            .rename(&temporary, &path)
            .and_then(|()| directory.sync())
            .map_err(|error| self.store.fail("write", &path, error))?;
        let mut state = lock(&held.state);
        state.stored = record.position;
        state.budget_bytes = record.budget_bytes;
        state.dropped = record.dropped;
        Ok(())
    }
}

fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
