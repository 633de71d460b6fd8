//! The verdict of an opening, without one; beside a live writer, that of a reader.

use super::meta_of;
use crate::{
    config::VerifyOnOpen,
    crypto::KeyRing,
    device::LogDirectory,
    error::{Result, WalError},
    lsn::Lsn,
    record::{KnownKinds, LogRecord},
    replay::{self, ReadBound, ReaderOptions, RecoveryReport, WalReader},
    segment::{list_segments, read_header, read_meta},
};

/// Writers that come and go while a log without one is examined.
const ATTEMPTS: usize = 10;

/// What a log was found to be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Examined {
    /// What it is.
    pub finding: Finding,
    /// Whether there are sealed records and there was no key: their checksums have been verified, and
    /// their authentication tags have not.
    pub tags_unchecked: bool,
}

/// What a log was found to be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Finding {
    /// There is no log: neither `wal.meta` nor a segment.
    NoLog,
    /// An opening goes on behind the last record.
    Whole(RecoveryReport),
    /// A writer was at work: everything up to the place that it had got to is there.
    BesideWriter {
        /// Oldest LSN that could be read.
        floor: Lsn,
        /// Last record that could be read, [`Lsn::NONE`] for none.
        last_lsn: Lsn,
        /// Records read. Those that the writer truncated meanwhile may not be among them.
        records: u64,
    },
    /// An opening is refused; beside a writer, a reader is.
    Refused(WalError),
}

pub(super) fn examine(directory: &LogDirectory, keys: Option<&KeyRing>) -> Examined {
    let sealed;
    let ring = match keys {
        Some(ring) => ring,
        None => {
            sealed = KeyRing::leaving_sealed();
            &sealed
        }
    };
    let finding = finding(directory, ring).unwrap_or_else(Finding::Refused);
    let tags_unchecked = keys.is_none() && is_sealed(directory);
    Examined { finding, tags_unchecked }
}

fn finding(directory: &LogDirectory, keys: &KeyRing) -> Result<Finding> {
    let mut attempts = 0;
    loop {
        if directory.has_writer()? {
            return beside_writer(directory, keys);
        }
        let before = meta_of(directory);
        let found = match replay::examine(directory, Some(keys), VerifyOnOpen::Everything) {
            Ok(_) if matches!(before, Ok(None)) => Ok(Finding::NoLog),
            Ok((_, recovered)) => Ok(Finding::Whole(recovered.report)),
            Err(error) => Err(error),
        };
        attempts += 1;
        // Under a writer that came meanwhile, files change between two looks.
        let undisturbed = match (&before, meta_of(directory)) {
            (Ok(before), Ok(after)) => *before == after && !directory.has_writer()?,
            _ => true,
        };
        if undisturbed || attempts == ATTEMPTS {
            return found;
        }
    }
}

/// Reads everything, from the floor to where the writer is. Starts at the new floor when a truncation
/// has overtaken it, which happens less and less often: the floor only moves forward.
fn beside_writer(directory: &LogDirectory, keys: &KeyRing) -> Result<Finding> {
    let (mut last_lsn, mut records) = (Lsn::NONE, 0);
    let mut from = Lsn::NONE;
    loop {
        let floor = meta_of(directory)?.map_or(Lsn::FIRST, |meta| meta.retention_floor);
        let mut read = |record: LogRecord| {
            last_lsn = record.lsn();
            records += 1;
        };
        match reader(directory, keys, from.max(floor)).and_then(|reader| drain(reader, &mut read)) {
            Ok(()) => return Ok(Finding::BesideWriter { floor, last_lsn, records }),
            Err(WalError::Truncated { floor: moved, .. }) if moved > floor => {
                from = last_lsn.next().max(moved);
            }
            Err(error) => return Err(error),
        }
    }
}

fn reader(directory: &LogDirectory, keys: &KeyRing, from: Lsn) -> Result<WalReader> {
    let options = ReaderOptions {
        keys: Some(keys.clone()),
        known_kinds: KnownKinds::All,
        bound: ReadBound::Tail,
        from,
    };
    WalReader::over_directory(directory.clone(), options)
}

fn drain(reader: WalReader, read: &mut impl FnMut(LogRecord)) -> Result<()> {
    for record in reader {
        read(record?);
    }
    Ok(())
}

/// Whether anything says that records are sealed.
fn is_sealed(directory: &LogDirectory) -> bool {
    if matches!(read_meta(directory), Ok(Some(meta)) if meta.encrypted) {
        return true;
    }
    let segments = list_segments(directory).unwrap_or_default();
    segments.into_iter().any(|(_, path)| {
        let header = directory.open_for_read(path).ok().and_then(|file| read_header(&file).ok());
        matches!(header, Some(Ok(header)) if header.identity.key_id.is_some())
    })
}
