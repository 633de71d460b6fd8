//! What is on the medium, what is only in the device's cache, and which names are durable.
//!
//! A file has two images: what the running system reads, and what is durable; the writes between
//! the two are kept one by one. The directory has the same two, and the changes between them. Every
//! change is an [`Event`], so that a life of a disk can be walked through again, and power cut at
//! any point of it.

use std::{fmt, ops::Range, sync::Arc};

use super::content::Content;

pub(crate) type Name = Arc<str>;

/// Index of a file; a name leads to one.
pub(crate) type FileNumber = usize;

/// Something that happened to a disk.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The log's directory was created in its parent.
    DirectoryMade,
    /// Its parent was synced.
    ParentSynced,
    /// A name changed; durable once the directory is synced.
    Renamed(NameChange),
    /// The directory was synced: these many of the oldest changes are durable.
    NamesDurable(Vec<NameChange>),
    /// A write or a change of length was started.
    Wrote(PendingWrite),
    /// These writes of a file are durable.
    Durable(FileNumber, Vec<u64>),
    /// These writes of a file are gone: a flush has failed.
    Lost(FileNumber, Vec<u64>),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DirectoryMade => f.write_str("made the directory"),
            Self::ParentSynced => f.write_str("synced its parent"),
            Self::Renamed(NameChange::Created(name, file)) => {
                write!(f, "file {file}: created {name}")
            }
            Self::Renamed(NameChange::Moved(name, file)) => write!(f, "file {file}: now {name}"),
            Self::Renamed(NameChange::Removed(name, file)) => {
                write!(f, "file {file}: no more {name}")
            }
            Self::NamesDurable(changes) => write!(f, "{} names durable", changes.len()),
            Self::Wrote(PendingWrite { number, file, offset, data, file_len, .. }) => {
                let end = offset + data.len();
                write!(f, "file {file}: write {number}, bytes {offset} to {end} of {file_len}")
            }
            Self::Durable(file, writes) => write!(f, "file {file}: durable {writes:?}"),
            Self::Lost(file, writes) => write!(f, "file {file}: lost {writes:?}"),
        }
    }
}

/// A change of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NameChange {
    Created(Name, FileNumber),
    /// The file is known by this name now, and by no other.
    Moved(Name, FileNumber),
    Removed(Name, FileNumber),
}

/// What is written.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    Bytes(Arc<[u8]>),
    /// So many zeros.
    Zeros(usize),
}

impl Data {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Zeros(len) => *len,
        }
    }

    /// The bytes, none for zeros.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Zeros(_) => &[],
        }
    }

    /// All of the bytes, zeros as well.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.to_vec(),
            Self::Zeros(len) => vec![0; *len],
        }
    }
}

impl From<&[u8]> for Data {
    fn from(bytes: &[u8]) -> Self {
        // Compared with itself one further on: as fast as memory is.
        let is_zero = bytes.first().is_none_or(|&byte| byte == 0)
            && bytes.get(1..).is_none_or(|rest| *rest == bytes[..rest.len()]);
        if is_zero { Self::Zeros(bytes.len()) } else { Self::Bytes(bytes.into()) }
    }
}

/// A write that is not durable.
#[derive(Clone, Debug)]
pub(crate) struct PendingWrite {
    pub(crate) number: u64,
    pub(crate) file: FileNumber,
    pub(crate) offset: usize,
    /// Empty for a mere change of length.
    pub(crate) data: Data,
    /// Length of the file after it, if no other write makes it longer.
    pub(crate) file_len: usize,
    /// The device has taken it. Only what was complete before a flush is covered by it.
    pub(crate) complete: bool,
}

impl PendingWrite {
    fn overlaps(&self, other: &Self) -> bool {
        let (end, other_end) = (self.offset + self.data.len(), other.offset + other.data.len());
        self.offset < other_end && other.offset < end
    }
}

/// A file's two images.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileState {
    pub(crate) live: Content,
    pub(crate) durable: Content,
    pub(crate) pending: Vec<PendingWrite>,
}

/// Everything on a disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) files: Vec<FileState>,
    pub(crate) names: Vec<(Name, FileNumber)>,
    pub(crate) durable_names: Vec<(Name, FileNumber)>,
    pub(crate) pending_names: Vec<NameChange>,
    pub(crate) directory_exists: bool,
    pub(crate) directory_is_durable: bool,
    /// Sectors that cannot be read: file and offset.
    pub(crate) unreadable: Vec<(FileNumber, usize)>,
}

impl State {
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::DirectoryMade => self.directory_exists = true,
            Event::ParentSynced => self.directory_is_durable = self.directory_exists,
            Event::Renamed(change) => {
                if let NameChange::Created(_, file) = change
                    && *file >= self.files.len()
                {
                    self.files.resize(file + 1, FileState::default());
                }
                change_names(&mut self.names, change);
                self.pending_names.push(change.clone());
            }
            Event::NamesDurable(changes) => {
                for change in changes {
                    change_names(&mut self.durable_names, change);
                }
                self.pending_names.retain(|change| !changes.contains(change));
            }
            Event::Wrote(write) => {
                let file = &mut self.files[write.file];
                put(&mut file.live, write);
                file.pending.push(write.clone());
            }
            Event::Durable(file, numbers) => {
                let FileState { durable, pending, .. } = &mut self.files[*file];
                let (covered, others): (Vec<_>, Vec<_>) =
                    pending.drain(..).partition(|write| numbers.contains(&write.number));
                // What was written to the same place before lies below it, and never comes later.
                let (below, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|older| {
                    covered.iter().any(|write| write.number > older.number && write.overlaps(older))
                });
                below.iter().chain(&covered).for_each(|write| put(durable, write));
                *pending = others;
            }
            Event::Lost(file, numbers) => {
                let FileState { live, durable, pending } = &mut self.files[*file];
                pending.retain(|write| !numbers.contains(&write.number));
                live.clone_from(durable);
                pending.iter().for_each(|write| put(live, write));
            }
        }
    }

    pub(crate) fn file_named(&self, name: &str) -> Option<FileNumber> {
        self.names.iter().find(|(known, _)| **known == *name).map(|(_, file)| *file)
    }

    /// Marks a write as taken by the device. No event: nothing depends on it but what a later
    /// flush covers.
    pub(crate) fn complete(&mut self, file: FileNumber, number: u64) {
        let pending = &mut self.files[file].pending;
        if let Some(write) = pending.iter_mut().find(|write| write.number == number) {
            write.complete = true;
        }
    }

    /// Complete writes that are not durable yet.
    pub(crate) fn complete_writes(&self, file: FileNumber) -> Vec<u64> {
        let pending = self.files[file].pending.iter();
        pending.filter(|write| write.complete).map(|write| write.number).collect()
    }

    /// A number for the next write, above all those that are pending.
    pub(crate) fn next_write(&self) -> u64 {
        let pending = self.files.iter().flat_map(|file| &file.pending);
        pending.map(|write| write.number + 1).max().unwrap_or(0)
    }

    /// Every write that was started is with the device, and durable there if it has no volatile
    /// cache.
    pub(crate) fn complete_all(&mut self, volatile_cache: bool) {
        for FileState { durable, pending, .. } in &mut self.files {
            pending.iter_mut().for_each(|write| write.complete = true);
            if !volatile_cache {
                pending.drain(..).for_each(|write| put(durable, &write));
            }
        }
    }

    /// Whether power cut now could lose anything.
    pub(crate) fn has_pending(&self) -> bool {
        self.directory_exists != self.directory_is_durable
            || !self.pending_names.is_empty()
            || self.names.iter().any(|(_, file)| !self.files[*file].pending.is_empty())
    }

    /// Space taken by files that have a name.
    pub(crate) fn bytes_in_use(&self) -> usize {
        self.names.iter().map(|(_, file)| self.files[*file].live.len()).sum()
    }
}

/// Applies a change of a name to one image of the directory. A file has one name: a renamed one
/// disappears under its old name even if the creation of that was never made durable by itself.
pub(super) fn change_names(names: &mut Vec<(Name, FileNumber)>, change: &NameChange) {
    match change {
        NameChange::Created(name, file) | NameChange::Moved(name, file) => {
            names.retain(|(known, number)| known != name && number != file);
            names.push((Arc::clone(name), *file));
        }
        NameChange::Removed(name, file) => {
            names.retain(|(known, number)| known != name || number != file);
        }
    }
}

pub(super) fn put(content: &mut Content, write: &PendingWrite) {
    content.grow(write.file_len);
    put_part(content, write, 0..write.data.len());
}

/// Applies some bytes of a write.
pub(super) fn put_part(content: &mut Content, write: &PendingWrite, part: Range<usize>) {
    let offset = write.offset + part.start;
    match &write.data {
        Data::Bytes(bytes) => content.put(offset, &bytes[part]),
        Data::Zeros(_) => content.put_zeros(offset, part.len()),
    }
}
