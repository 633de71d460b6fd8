//! The disk itself: what requests do to it, which of them fail, and the journal of it all.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Chance, Content, SECTOR_BYTES,
    state::{Event, FileNumber, Name, NameChange, PendingWrite, State},
    walk::{Journal, Walk},
};
use crate::{
    device::WriteSync,
    sabotage::{Sabotage, is},
};

/// What kind of disk it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DiskOptions {
    /// Everything that is left to chance follows from it.
    pub seed: u64,
    /// Smallest unit it can address, bytes: 512 or 4096.
    pub logical_block_bytes: usize,
    /// Unit that a write cut short may leave with anything in it, bytes: 512 to 64 KiB.
    pub physical_block_bytes: usize,
    /// Whether a completed write may be lost until a flush.
    pub volatile_cache: bool,
    /// Whether a durable write leaves what else is in the cache as it is.
    pub fua: bool,
    /// Whether flushing a file makes the other files' completed writes durable too.
    pub flush_covers_device: bool,
    /// Space for all files together, bytes.
    pub capacity_bytes: usize,
    /// Whether calls are interrupted and writes come out short now and then.
    pub interruptions: bool,
    /// One operation that fails.
    pub fault: Option<Fault>,
}

/// A failing operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The write of this number fails with `EIO`; any part of it may have arrived.
    Write(u64),
    /// The flush of this number fails with `EIO`. What it was to flush is lost in part, and
    /// another flush would succeed.
    Flush(u64),
    /// The directory sync of this number fails with `EIO`.
    DirectorySync(u64),
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            logical_block_bytes: 512,
            physical_block_bytes: 512,
            volatile_cache: true,
            fua: true,
            flush_covers_device: false,
            capacity_bytes: usize::MAX,
            interruptions: false,
            fault: None,
        }
    }
}

/// A disk with the directory of one log on it. Clones are the same disk.
#[derive(Clone)]
pub struct SimulatedDisk {
    shared: Arc<Mutex<Disk>>,
}

pub(super) struct Disk {
    pub(super) options: DiskOptions,
    pub(super) state: State,
    pub(super) chance: Chance,
    /// Counts the processes that have used it; a handle of an earlier one is dead.
    pub(super) process: u64,
    pub(super) locked: bool,
    start: State,
    events: Vec<Event>,
    next_write: u64,
    writes: u64,
    flushes: u64,
    directory_syncs: u64,
    /// Of each file, by number.
    read_bytes: Vec<u64>,
    entropy: Chance,
}

impl SimulatedDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(options: DiskOptions) -> Self {
        Self::with_state(options, State::default())
    }

    /// A disk with this on it.
    pub(crate) fn with_state(options: DiskOptions, state: State) -> Self {
        let start = state.clone();
        Self::with_start(options, state, start)
    }

    /// A disk to recover from, whose journal nobody will walk through.
    pub(crate) fn image(state: State) -> Self {
        Self::with_start(DiskOptions::default(), state, State::default())
    }

    fn with_start(options: DiskOptions, state: State, start: State) -> Self {
        let restart = if is(Sabotage::ReuseNonce) { 0 } else { options.seed };
        let disk = Disk {
            next_write: state.next_write(),
            chance: Chance::new(options.seed),
            entropy: Chance::new(!restart),
            options,
            start,
            state,
            process: 0,
            locked: false,
            events: Vec::new(),
            writes: 0,
            flushes: 0,
            directory_syncs: 0,
            read_bytes: Vec::new(),
        };
        Self { shared: Arc::new(Mutex::new(disk)) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Disk> {
        // Not a lock of `crate::sync`: nobody else runs while it is held, and looking at an image
        // is no moment at which the order of things matters.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the process that uses the disk: its handles are dead, its lock is free, and what it had
    /// on its way is completed, but not flushed.
    pub fn end_process(&self) {
        let mut disk = self.lock();
        disk.process += 1;
        disk.locked = false;
        let volatile_cache = disk.options.volatile_cache;
        disk.state.complete_all(true);
        for file in 0..disk.state.files.len() {
            let numbers = disk.state.complete_writes(file);
            if !volatile_cache && !numbers.is_empty() {
                disk.happened(Event::Durable(file, numbers));
            }
        }
        if is(Sabotage::ReuseNonce) {
            disk.entropy = Chance::new(!0);
        }
    }

    /// How much has happened so far.
    pub(crate) fn position(&self) -> usize {
        self.lock().events.len()
    }

    /// See [`State::least`].
    #[cfg(shuttle)]
    pub(crate) fn least(&self, written: bool) -> Self {
        Self::image(self.lock().state.least(written))
    }

    /// What has happened, from the beginning.
    pub(crate) fn journal(&self) -> Journal {
        let disk = self.lock();
        Journal { start: disk.start.clone(), events: disk.events.clone() }
    }

    /// Another disk, with what is left of this one when its power is cut now. What that is, where
    /// it is open, follows from `seed`.
    #[must_use]
    pub fn cut_power(&self, seed: u64) -> Self {
        let disk = self.lock();
        let physical = disk.options.physical_block_bytes;
        let state = disk.state.after_power_cut(&mut Chance::new(seed), physical);
        Self::with_state(DiskOptions { seed, fault: None, ..disk.options.clone() }, state)
    }

    /// As [`Self::cut_power`], at some point of the disk's life so far.
    #[must_use]
    pub fn cut_power_earlier(&self, seed: u64) -> Self {
        let (journal, options) = (self.journal(), self.lock().options.clone());
        let mut chance = Chance::new(seed);
        let mut walk = Walk::new(&journal);
        walk.go_to(chance.below(journal.events.len() + 1));
        let state = walk.cut_power(&mut chance, options.physical_block_bytes);
        Self::with_state(DiskOptions { seed, fault: None, ..options }, state)
    }

    /// The names in the directory.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.lock().state.names.iter().map(|(name, _)| name.to_string()).collect()
    }

    /// The content of a file, `None` if there is none of that name.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.lock();
        let file = disk.state.file_named(name)?;
        Some(disk.state.files[file].live.to_vec())
    }

    /// Every write ever sent to it, in order: which file, at which offset, what. A file keeps its
    /// number when it is renamed.
    #[must_use]
    pub fn writes(&self) -> Vec<(usize, usize, Vec<u8>)> {
        let disk = self.lock();
        let writes = disk.events.iter().filter_map(|event| match event {
            Event::Wrote(write) => Some((write.file, write.offset, write.data.to_vec())),
            _ => None,
        });
        writes.collect()
    }

    /// How many bytes of a segment file have been read, through every name that it has had.
    #[must_use]
    pub fn read_bytes(&self, name: &str) -> u64 {
        let disk = self.lock();
        let file = disk.state.file_named(name);
        file.and_then(|file| disk.read_bytes.get(file)).copied().unwrap_or(0)
    }

    /// Another disk with what is on this one, as if everything had been flushed.
    #[must_use]
    pub fn copy(&self) -> Self {
        let disk = self.lock();
        let mut state = State {
            directory_exists: disk.state.directory_exists,
            directory_is_durable: disk.state.directory_exists,
            ..State::default()
        };
        for (name, file) in &disk.state.names {
            state.put_file(name, disk.state.files[*file].live.clone());
        }
        Self::with_state(disk.options.clone(), state)
    }

    /// Puts a file there behind the log's back, or changes one.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        self.lock().state.put_file(name, content.as_ref().into());
    }

    /// Removes a file behind the log's back.
    pub fn remove(&self, name: &str) {
        let names = &mut self.lock().state;
        names.names.retain(|(known, _)| **known != *name);
        names.durable_names.retain(|(known, _)| **known != *name);
    }

    /// Makes the sector at `offset_bytes` of a file unreadable.
    pub fn make_unreadable(&self, name: &str, offset_bytes: usize) {
        let state = &mut self.lock().state;
        if let Some(file) = state.file_named(name) {
            state.unreadable.push((file, offset_bytes - offset_bytes % SECTOR_BYTES));
        }
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedDisk").field("names", &self.names()).finish_non_exhaustive()
    }
}

impl State {
    /// A file with this content, durable.
    pub(crate) fn put_file(&mut self, name: &str, content: Content) {
        let file = match self.file_named(name) {
            Some(file) => file,
            None => {
                self.files.push(super::state::FileState::default());
                let file = self.files.len() - 1;
                let name: Name = name.into();
                self.names.push((Arc::clone(&name), file));
                self.durable_names.push((name, file));
                file
            }
        };
        self.files[file].live = content.clone();
        self.files[file].durable = content;
    }
}

impl Disk {
    pub(super) fn happened(&mut self, event: Event) {
        self.state.apply(&event);
        self.events.push(event);
    }

    /// Draws from the disk's source of randomness.
    pub(super) fn fill_random(&mut self, bytes: &mut [u8]) {
        self.entropy.fill(bytes);
    }

    pub(super) fn interrupted(&mut self) -> io::Result<()> {
        if self.options.interruptions && self.chance.happens(1, 20) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }

    /// Starts a write and returns its number.
    pub(super) fn start_write(
        &mut self,
        file: FileNumber,
        offset_bytes: u64,
        bytes: &[u8],
    ) -> io::Result<u64> {
        self.writes += 1;
        let fails = self.options.fault == Some(Fault::Write(self.writes));
        let offset = usize::try_from(offset_bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
        let unit = self.options.logical_block_bytes;
        if !offset.is_multiple_of(unit) || !bytes.len().is_multiple_of(unit) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        self.reserve(file, offset + bytes.len())?;
        let number = self.push_write(file, offset, bytes, offset + bytes.len());
        if fails { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(number) }
    }

    fn push_write(&mut self, file: FileNumber, offset: usize, data: &[u8], end: usize) -> u64 {
        let data = data.into();
        let number = self.next_write;
        self.next_write += 1;
        let file_len = end.max(self.state.files[file].live.len());
        let complete = false;
        self.happened(Event::Wrote(PendingWrite {
            number,
            file,
            offset,
            data,
            file_len,
            complete,
        }));
        number
    }

    /// Fails unless the disk has room for the file to have this length.
    fn reserve(&self, file: FileNumber, len: usize) -> io::Result<()> {
        let growth = len.saturating_sub(self.state.files[file].live.len());
        if growth > 0 && self.state.bytes_in_use() + growth > self.options.capacity_bytes {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        Ok(())
    }

    /// Changes a file's length; the new bytes read as zeros.
    pub(super) fn allocate(&mut self, file: FileNumber, len: usize) -> io::Result<()> {
        self.reserve(file, len)?;
        let number = self.push_write(file, 0, &[], len);
        self.state.complete(file, number);
        Ok(())
    }

    /// Writes the whole of a small file through the page cache.
    pub(super) fn write_small(&mut self, file: FileNumber, bytes: &[u8]) -> io::Result<()> {
        self.reserve(file, bytes.len())?;
        let number = self.push_write(file, 0, bytes, bytes.len());
        self.state.complete(file, number);
        self.flush(file)
    }

    /// The device has taken a write. What of it is durable now depends on the kind of write.
    pub(super) fn complete_write(&mut self, file: FileNumber, number: u64, sync: WriteSync) {
        self.state.complete(file, number);
        let durable = sync == WriteSync::Durable && !is(Sabotage::NoFlush);
        if !self.options.volatile_cache || (durable && self.options.fua) {
            self.happened(Event::Durable(file, vec![number]));
        } else if durable {
            let covered = self.covered_by_flush(file);
            self.make_durable(covered);
        }
    }

    /// What a flush of a file that begins now covers.
    pub(super) fn covered_by_flush(&self, file: FileNumber) -> Vec<(FileNumber, Vec<u64>)> {
        let files = match self.options.flush_covers_device {
            true => 0..self.state.files.len(),
            false => file..file + 1,
        };
        let covered = files.map(|file| (file, self.state.complete_writes(file)));
        covered.filter(|(_, numbers)| !numbers.is_empty()).collect()
    }

    pub(super) fn make_durable(&mut self, covered: Vec<(FileNumber, Vec<u64>)>) {
        for (file, numbers) in covered {
            self.happened(Event::Durable(file, numbers));
        }
    }

    /// Flushes a file, whose completed writes are durable afterwards.
    pub(super) fn flush(&mut self, file: FileNumber) -> io::Result<()> {
        let covered = self.covered_by_flush(file);
        match self.finish_flush(covered) {
            Err(_) if is(Sabotage::RetryFailedFlush) => {
                let covered = self.covered_by_flush(file);
                self.finish_flush(covered)
            }
            outcome => outcome,
        }
    }

    /// The end of a flush that began when these writes were complete.
    pub(super) fn finish_flush(&mut self, covered: Vec<(FileNumber, Vec<u64>)>) -> io::Result<()> {
        self.flushes += 1;
        if self.options.fault == Some(Fault::Flush(self.flushes)) {
            for (file, mut numbers) in covered {
                numbers.retain(|_| self.chance.happens(1, 2));
                self.happened(Event::Lost(file, numbers));
            }
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        if !is(Sabotage::NoFlush) {
            self.make_durable(covered);
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, change: NameChange) {
        self.happened(Event::Renamed(change));
    }

    pub(super) fn sync_names(&mut self) -> io::Result<()> {
        self.directory_syncs += 1;
        if self.options.fault == Some(Fault::DirectorySync(self.directory_syncs)) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        let mut changes = self.state.pending_names.clone();
        if is(Sabotage::NoSyncAfterRename) {
            changes.retain(|change| !matches!(change, NameChange::Moved(..)));
        }
        self.happened(Event::NamesDurable(changes));
        Ok(())
    }

    /// Reads; a sector that cannot be read fails the whole call.
    pub(super) fn read(
        &mut self,
        file: FileNumber,
        buffer: &mut [u8],
        at: u64,
    ) -> io::Result<usize> {
        let content = &self.state.files[file].live;
        let start = usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
        let len = buffer.len().min(content.len() - start);
        let bad = |(number, offset): &(FileNumber, usize)| {
            *number == file && *offset < start + len && start < offset + SECTOR_BYTES
        };
        if self.state.unreadable.iter().any(bad) {
            return Err(io::Error::from_raw_os_error(libc::ENODATA));
        }
        if self.read_bytes.len() <= file {
            self.read_bytes.resize(file + 1, 0);
        }
        self.read_bytes[file] += len as u64;
        Ok(content.read(start, buffer))
    }
}
