//! An open file on a simulated disk, as one process sees it.

use std::{io, sync::MutexGuard};

use super::{SimulatedDisk, disk::Disk, state::FileNumber};
use crate::{
    device::WriteSync,
    sabotage::{Sabotage, is},
    sync::others_may_run,
};

/// An open file. Dead once the process that opened it has ended.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedFile {
    disk: SimulatedDisk,
    process: u64,
    number: FileNumber,
}

impl SimulatedFile {
    pub(super) fn new(disk: SimulatedDisk, process: u64, number: FileNumber) -> Self {
        Self { disk, process, number }
    }

    pub(super) fn number(&self) -> FileNumber {
        self.number
    }

    /// The disk, unless the process has ended meanwhile.
    pub(super) fn enter(&self) -> io::Result<MutexGuard<'_, Disk>> {
        enter(&self.disk, self.process)
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        Ok(self.enter()?.state.files[self.number].live.len() as u64)
    }

    pub(crate) fn read_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
        let mut disk = self.enter()?;
        disk.interrupted()?;
        disk.read(self.number, buffer, offset_bytes)
    }

    /// Writes some of `bytes`: all of them, unless the disk interrupts.
    pub(crate) fn write_at(
        &self,
        bytes: &[u8],
        offset_bytes: u64,
        sync: WriteSync,
    ) -> io::Result<usize> {
        others_may_run();
        let mut disk = self.enter()?;
        disk.interrupted()?;
        let taken = disk.taken(bytes.len());
        let number = disk.start_write(self.number, offset_bytes, &bytes[..taken])?;
        disk.complete_write(self.number, number, sync);
        Ok(if is(Sabotage::AcceptShortWrite) { bytes.len() } else { taken })
    }

    pub(crate) fn flush(&self) -> io::Result<()> {
        others_may_run();
        self.enter()?.flush(self.number)
    }

    pub(crate) fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        others_may_run();
        let len = usize::try_from(len_bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.enter()?.allocate(self.number, len)
    }
}

impl Disk {
    /// How much of a write of `len` bytes the device takes at once.
    pub(super) fn taken(&mut self, len: usize) -> usize {
        let unit = self.options.logical_block_bytes;
        if self.options.interruptions && len > unit && self.chance.happens(1, 12) {
            return (1 + self.chance.below(len / unit - 1)) * unit;
        }
        len
    }
}

/// The disk, for a process that has not ended.
pub(super) fn enter(disk: &SimulatedDisk, process: u64) -> io::Result<MutexGuard<'_, Disk>> {
    let disk = disk.lock();
    if disk.process != process {
        return Err(io::Error::other("the process that opened this has ended"));
    }
    Ok(disk)
}
