//! Where and how files become ready to be segments: made in one go, or a piece at a time.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::name::{SpareState, spare_name, unfinished_name};
use crate::{
    config::Preparation,
    device::{LogDirectory, SegmentFile},
    error::{Result, WalError},
    format::MAX_BLOCK_BYTES,
    poison::Poison,
};

/// Zeros for the first block of a file that has had a life before, so that an old header cannot be
/// taken for the new segment's should power fail between its name and its header.
const BLANK_HEADER_BYTES: u64 = MAX_BLOCK_BYTES;

/// A file that is ready to become a segment.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) file: SegmentFile,
    /// Space for header and batches; `None` when the file grows without bound.
    pub(crate) fixed_bytes: Option<u64>,
}

/// How segments are prepared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PreparerOptions {
    pub(crate) preparation: Preparation,
    /// Size of an ordinary segment.
    pub(crate) segment_bytes: u64,
    /// Spares kept ready.
    pub(crate) ahead: u32,
}

/// Used by the background thread, and directly for a segment of unusual size.
#[derive(Clone, Debug)]
pub(super) struct Workshop {
    pub(super) directory: LogDirectory,
    pub(super) options: PreparerOptions,
    pub(super) poison: Poison,
}

/// A file with all of its space and not all of its zeros.
#[derive(Debug)]
pub(super) struct Unfinished {
    file: SegmentFile,
    total_bytes: u64,
    pub(super) done_bytes: u64,
}

/// What a piece of work made of a file.
#[derive(Debug)]
pub(super) enum Progress {
    Unfinished(Unfinished),
    /// Content and space survive power loss; the name need not.
    Finished(SegmentFile),
}

impl Workshop {
    /// The state a file needs to be in to be of use.
    pub(super) fn wanted_state(&self) -> SpareState {
        match self.options.preparation {
            Preparation::None => SpareState::Empty,
            Preparation::Allocate => SpareState::Allocated,
            Preparation::Zero | Preparation::Recycle => SpareState::Written,
        }
    }

    /// The file as a spare of this size.
    pub(super) fn spare(&self, file: SegmentFile, bytes: u64) -> Spare {
        let is_fixed = self.options.preparation != Preparation::None;
        Spare { file, fixed_bytes: is_fixed.then_some(bytes) }
    }

    /// Creates a file and takes all of its disk space: a full disk shows here. It gets the first of
    /// `numbers` that is free: what an earlier life left under such a name is still being deleted.
    pub(super) fn begin(&self, mut numbers: impl FnMut() -> u64, bytes: u64) -> Result<Unfinished> {
        let file = loop {
            let path = self.directory.join(&unfinished_name(numbers()));
            match self.directory.create_file(path.clone()) {
                Ok(file) => break file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(self.give_up(path, bytes, error)),
            }
        };
        if self.wanted_state() != SpareState::Empty
            && let Err(error) = file.allocate(bytes)
        {
            return Err(self.give_up(file.path().to_owned(), bytes, error));
        }
        Ok(Unfinished { file, total_bytes: bytes, done_bytes: 0 })
    }

    /// Zeroes the next `bytes` of a file, as far as it is to be zeroed at all, and finishes it with
    /// the last of them. On failure no file is left.
    pub(super) fn advance(&self, mut unfinished: Unfinished, bytes: u64) -> Result<Progress> {
        let Unfinished { total_bytes, done_bytes, .. } = unfinished;
        let end_bytes = match self.wanted_state() {
            SpareState::Empty | SpareState::Allocated => total_bytes,
            SpareState::Written => done_bytes.saturating_add(bytes).min(total_bytes),
        };
        let advance = || {
            if self.wanted_state() == SpareState::Written {
                unfinished.file.zero_allocated(done_bytes, end_bytes)?;
            }
            if end_bytes == total_bytes {
                self.flushed(unfinished.file.path(), unfinished.file.sync_all())?;
            }
            Ok(())
        };
        match advance() {
            Ok(()) if end_bytes == total_bytes => Ok(Progress::Finished(unfinished.file)),
            Ok(()) => {
                unfinished.done_bytes = end_bytes;
                Ok(Progress::Unfinished(unfinished))
            }
            Err(error) => Err(self.give_up(unfinished.file.path().to_owned(), total_bytes, error)),
        }
    }

    /// Makes a file from nothing, at full speed. On failure none is left.
    pub(super) fn build(&self, numbers: impl FnMut() -> u64, bytes: u64) -> Result<Spare> {
        let mut progress = Progress::Unfinished(self.begin(numbers, bytes)?);
        loop {
            match progress {
                Progress::Finished(file) => return Ok(self.spare(file, bytes)),
                Progress::Unfinished(unfinished) => {
                    progress = self.advance(unfinished, bytes)?;
                }
            }
        }
    }

    /// A flush that fails may have lost what the device's cache held of other files as well, the
    /// newest batches among it: nothing may be acknowledged after it. A full disk is no such case.
    fn flushed(&self, path: &Path, flushed: io::Result<()>) -> io::Result<()> {
        flushed.inspect_err(|error| {
            if !is_full(error) {
                self.poison.set("flush", path, copy_of(error));
            }
        })
    }

    fn give_up(&self, path: PathBuf, segment_bytes: u64, error: io::Error) -> WalError {
        // Best effort: what stays is cleared away at the next open.
        let _ = self.directory.remove(&path);
        if is_full(&error) {
            WalError::NoSpace { path: self.directory.path().to_owned(), segment_bytes }
        } else {
            WalError::io("prepare segment", path)(error)
        }
    }

    /// Makes a recycled segment, or a spare of an earlier life, which may have got as far as a
    /// header, fit for use.
    pub(super) fn reuse(&self, path: &Path) -> Result<Spare> {
        let bytes = self.options.segment_bytes;
        let prepare = || {
            let file = self.directory.open_for_write(path.to_owned())?;
            if self.wanted_state() != SpareState::Empty {
                file.write_zeros(0, BLANK_HEADER_BYTES.min(bytes))?;
                self.flushed(path, file.flush())?;
            }
            Ok(self.spare(file, bytes))
        };
        prepare().map_err(WalError::io("prepare segment", path))
    }

    /// Gives a complete file the name of a spare.
    pub(super) fn put_away(&self, file: SegmentFile, number: u64) -> Result<SegmentFile> {
        let path = self.directory.join(&spare_name(self.wanted_state(), number));
        match self.directory.rename(file.path(), &path) {
            Ok(()) => Ok(file.renamed(path)),
            Err(error) => Err(WalError::io("prepare segment", path)(error)),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}

fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => error.kind().into(),
    }
}
