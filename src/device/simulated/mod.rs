//! A disk that can lose power: files with a written and a durable image, a volatile cache, a
//! directory whose names are durable only once it is synced, and every fault of
//! `docs/durability.md`. It stands below [`SegmentFile`](super::SegmentFile),
//! [`LogDirectory`](super::LogDirectory) and [`Device`](super::Device), so that the log above it is
//! the one that is shipped, and everything on it follows from one seed.
//!
//! A disk keeps a journal of what happened to it. A crash is explored by walking through the
//! journal again ([`Walk`]) and cutting power at some point: what had not been made durable by then
//! survives in any part, and the result is another disk.

mod content;
mod directory;
mod disk;
mod engine;
mod file;
mod power;
mod random;
mod state;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use content::Content;
pub(crate) use directory::{SimulatedDirectory, SimulatedLock};
pub use disk::{DiskOptions, Fault, SimulatedDisk};
pub(crate) use file::SimulatedFile;
pub(crate) use random::Chance;
pub(crate) use state::{Event, PendingWrite, State};
pub(crate) use walk::{Journal, Walk};

/// What a disk writes whole at most, whatever it promises.
pub(crate) const SECTOR_BYTES: usize = 512;
