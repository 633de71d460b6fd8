//! The directory of a log on a simulated disk, as one process sees it.

use std::{
    io,
    path::Path,
    sync::{Arc, MutexGuard},
};

use super::{
    SimulatedDisk, SimulatedFile,
    disk::Disk,
    engine::SimulatedEngine,
    file::enter,
    state::{Event, FileNumber, Name, NameChange},
};
use crate::{
    device::{ActiveEngine, Device, Engine, EngineReport, Geometry, blocking::BlockingEngine},
    sabotage::{Sabotage, is},
    sync::others_may_run,
};

/// An open directory. Dead once the process that opened it has ended.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedDirectory {
    disk: SimulatedDisk,
    process: u64,
}

/// The writer's lock; free again when dropped or when the process ends.
#[derive(Debug)]
pub(crate) struct SimulatedLock {
    directory: SimulatedDirectory,
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        if let Ok(mut disk) = self.directory.enter() {
            disk.locked = false;
        }
    }
}

impl SimulatedDirectory {
    /// Opens the directory, making it when missing; the parent that holds it is synced.
    pub(crate) fn open_or_create(disk: &SimulatedDisk) -> Self {
        let directory = Self::open(disk);
        let mut guard = disk.lock();
        if !guard.state.directory_exists {
            guard.happened(Event::DirectoryMade);
            if !is(Sabotage::NoSyncAfterCreate) {
                guard.happened(Event::ParentSynced);
            }
        }
        drop(guard);
        directory
    }

    /// Opens the directory as it is.
    pub(crate) fn open(disk: &SimulatedDisk) -> Self {
        let process = disk.lock().process;
        Self { disk: disk.clone(), process }
    }

    fn enter(&self) -> io::Result<MutexGuard<'_, Disk>> {
        enter(&self.disk, self.process)
    }

    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let disk = self.enter()?;
        Ok(disk.state.names.iter().map(|(name, _)| name.to_string()).collect())
    }

    pub(crate) fn create_file(&self, path: &Path) -> io::Result<SimulatedFile> {
        others_may_run();
        let mut disk = self.enter()?;
        let name = name_of(path)?;
        if disk.state.file_named(&name).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let number = disk.create(name);
        Ok(SimulatedFile::new(self.disk.clone(), self.process, number))
    }

    pub(crate) fn open_file(&self, path: &Path) -> io::Result<SimulatedFile> {
        let (_, number) = self.enter()?.find(path)?;
        Ok(SimulatedFile::new(self.disk.clone(), self.process, number))
    }

    pub(crate) fn names_file(&self, path: &Path, file: Option<&SimulatedFile>) -> io::Result<bool> {
        let (_, number) = self.enter()?.find(path)?;
        Ok(file.is_some_and(|file| file.number() == number))
    }

    pub(crate) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        others_may_run();
        let mut disk = self.enter()?;
        let (_, number) = disk.find(from)?;
        disk.rename(NameChange::Moved(name_of(to)?, number));
        Ok(())
    }

    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        others_may_run();
        let mut disk = self.enter()?;
        let (name, number) = disk.find(path)?;
        disk.rename(NameChange::Removed(name, number));
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        others_may_run();
        self.enter()?.sync_names()
    }

    pub(crate) fn file_len(&self, path: &Path) -> io::Result<u64> {
        let disk = self.enter()?;
        let (_, number) = disk.find(path)?;
        Ok(disk.state.files[number].live.len() as u64)
    }

    pub(crate) fn read_small(&self, path: &Path, max_len: u64) -> io::Result<Option<Vec<u8>>> {
        let mut disk = self.enter()?;
        let Ok((_, number)) = disk.find(path) else { return Ok(None) };
        let len = disk.state.files[number].live.len();
        let mut bytes = vec![0; len.min(usize::try_from(max_len).unwrap_or(usize::MAX))];
        disk.read(number, &mut bytes, 0)?;
        Ok(Some(bytes))
    }

    /// A new file, written and flushed. One of that name is replaced.
    pub(crate) fn write_small(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        others_may_run();
        let mut disk = self.enter()?;
        let number = disk.create(name_of(path)?);
        disk.write_small(number, bytes)
    }

    pub(crate) fn lock(&self) -> Option<SimulatedLock> {
        let mut disk = self.enter().ok()?;
        if disk.locked {
            return None;
        }
        disk.locked = true;
        Some(SimulatedLock { directory: self.clone() })
    }

    pub(crate) fn geometry(&self) -> Geometry {
        let options = self.disk.lock().options.clone();
        let logical = options.logical_block_bytes as u64;
        Geometry {
            memory_align_bytes: Some(logical),
            offset_align_bytes: Some(logical),
            logical_block_bytes: Some(logical),
            physical_block_bytes: Some(options.physical_block_bytes as u64),
            filesystem_block_bytes: None,
            volatile_cache: Some(options.volatile_cache),
            fua: Some(options.fua),
            filesystem: "simulated".into(),
        }
    }

    pub(crate) fn fill_random(&self, bytes: &mut [u8]) {
        self.disk.lock().fill_random(bytes);
    }

    /// Whether the background thread, which a simulated disk does without, gets something done now.
    pub(crate) fn background_runs(&self) -> bool {
        self.disk.lock().chance.happens(1, 2)
    }

    /// The blocking engine as it is, or one that completes writes in the order of the seed.
    pub(crate) fn open_engine(&self, requested: Engine) -> (Box<dyn Device>, EngineReport) {
        let asynchronous = requested == Engine::Uring;
        let active = if asynchronous { ActiveEngine::Uring } else { ActiveEngine::Blocking };
        let reason = "the disk is simulated".into();
        let report = EngineReport { requested, active, reason, trial: None };
        if asynchronous {
            (Box::new(SimulatedEngine::default()), report)
        } else {
            (Box::new(BlockingEngine::default()), report)
        }
    }
}

impl Disk {
    fn find(&self, path: &Path) -> io::Result<(Name, FileNumber)> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let found = self.state.names.iter().find(|(known, _)| **known == *name);
        let (name, number) = found.ok_or(io::ErrorKind::NotFound)?;
        Ok((Arc::clone(name), *number))
    }

    /// A new, empty file; its name is not durable.
    fn create(&mut self, name: Name) -> FileNumber {
        let number = self.state.files.len();
        self.rename(NameChange::Created(name, number));
        number
    }
}

fn name_of(path: &Path) -> io::Result<Name> {
    let name = path.file_name().and_then(|name| name.to_str());
    Ok(name.ok_or(io::ErrorKind::InvalidInput)?.into())
}
