//! Finding the segments of a directory and checking that they form one unbroken chain.

use std::{
    io,
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::name::{looks_like_segment, segment_first_lsn, segment_name};
use crate::{
    device::{LogDirectory, SegmentFile},
    error::{Result, WalError},
    format::{
        FORMAT_VERSION, HeaderProblem, MAX_BLOCK_BYTES, Meta, SegmentHeader, SegmentIdentity,
    },
    lsn::Lsn,
};

/// Enough of a file to hold its header, and a multiple of nearly any device's alignment.
const USUAL_BLOCK_LEN: usize = 4096;
/// A multiple of any device's alignment.
const LARGEST_BLOCK_LEN: usize = 64 << 10;
const _: () = assert!(LARGEST_BLOCK_LEN as u64 == MAX_BLOCK_BYTES);

/// Threads that read headers. On the reference machine a direct read of 4 KiB takes 0.1 ms when the
/// disk is quiet and 1 ms when it is not, and eight at a time not much longer than one.
const READERS_AT_ONCE: usize = 8;

/// Longer than the kernel needs to put away the ring of a killed process, and than a device that
/// works takes for a write.
const PATIENCE_WITH_LAST_WRITES: Duration = Duration::from_secs(10);

/// A segment with a readable header.
#[derive(Clone, Debug)]
pub(crate) struct ChainSegment {
    pub(crate) path: PathBuf,
    pub(crate) header: SegmentHeader,
}

/// A newest file whose header cannot be read: never used, or damaged. What lies after the header
/// decides.
#[derive(Clone, Debug)]
pub(crate) struct UnreadableNewest {
    pub(crate) path: PathBuf,
    /// From its name.
    pub(crate) first_lsn: Lsn,
    pub(crate) problem: HeaderProblem,
}

/// The segments of a directory, oldest first, after every check that headers and names allow.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) segments: Vec<ChainSegment>,
    pub(crate) unreadable_newest: Option<UnreadableNewest>,
    /// Segments below the retention floor, left by an interrupted truncation.
    pub(crate) below_floor: Vec<PathBuf>,
}

/// Paths and first LSNs by name alone, oldest first.
pub(crate) fn list_segments(directory: &LogDirectory) -> Result<Vec<(Lsn, PathBuf)>> {
    let mut found = Vec::new();
    for name in directory.names()? {
        match segment_first_lsn(&name) {
            Some(first_lsn) if first_lsn != Lsn::NONE => {
                found.push((first_lsn, directory.join(&name)));
            }
            Some(_) | None if looks_like_segment(&name) => {
                return Err(WalError::ChainBroken {
                    path: directory.join(&name),
                    problem: format!(
                        "its name is like a segment's, but segments are named like {}; move it away",
                        segment_name(Lsn::FIRST)
                    ),
                });
            }
            _ => {}
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Reads the header of an open segment.
pub(crate) fn read_header(
    file: &SegmentFile,
) -> Result<std::result::Result<SegmentHeader, HeaderProblem>> {
    read_block(file, 0, SegmentHeader::decode)
}

/// Reads the block around `offset_bytes`, or what there is of it before the end of the file, and
/// looks at it from there on.
pub(crate) fn read_block<T>(
    file: &SegmentFile,
    offset_bytes: u64,
    look: impl Fn(&[u8]) -> T,
) -> Result<T> {
    let read_around = |block_len: usize| {
        let within = offset_bytes % block_len as u64;
        let start = offset_bytes - within;
        let left = file.len()?.saturating_sub(start);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(block_len);
        let mut bytes = file.allocate_buffer(len)?;
        let read = file.read_at(&mut bytes[..len], start)?;
        // A device that is gone may answer with nothing, which is no blank header.
        if read < len {
            let problem = format!("{read} of {len} bytes could be read");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem));
        }
        let from = usize::try_from(within).unwrap_or(len).min(len);
        Ok(look(&bytes[from..len]))
    };
    // A device whose blocks are larger than this refuses the short read and takes the long one.
    let read = read_around(USUAL_BLOCK_LEN).or_else(|error: io::Error| match error.kind() {
        io::ErrorKind::InvalidInput => read_around(LARGEST_BLOCK_LEN),
        _ => Err(error),
    });
    read.map_err(|source| WalError::Read {
        path: file.path().to_owned(),
        offset_bytes,
        source: source.into(),
    })
}

/// Waits until nothing is on its way to the newest segment any more. The lock of the directory goes
/// with a process that is killed; its writes may still arrive when it is gone, and must not do so
/// behind the back of an opening that has read the end of the log. Older segments are at rest: a
/// new one is started only behind a durable one.
///
/// # Errors
///
/// [`WalError::Locked`] if that takes more than ten seconds.
pub(crate) fn await_last_writes(directory: &LogDirectory) -> Result<()> {
    let Some((_, path)) = list_segments(directory)?.pop() else { return Ok(()) };
    let file = directory.open_for_read(path.clone()).map_err(WalError::io("open", &path))?;
    if file.await_rest(PATIENCE_WITH_LAST_WRITES).map_err(WalError::io("lock", &path))? {
        return Ok(());
    }
    Err(WalError::Locked { path: directory.path().to_owned(), lock: path })
}

/// Finds and checks the chain of a directory with this `wal.meta`.
///
/// # Errors
///
/// [`WalError::ChainBroken`] for a missing, foreign, shortened or misnamed segment,
/// [`WalError::HeaderDamaged`] for an older segment without a readable header.
pub(crate) fn discover_chain(directory: &LogDirectory, meta: &Meta) -> Result<Chain> {
    let mut found = list_segments(directory)?;
    // The segment that holds the floor is the last one that starts at or below it.
    let first_kept = found.partition_point(|(first, _)| *first <= meta.retention_floor);
    let below_floor: Vec<_> =
        found.drain(..first_kept.saturating_sub(1)).map(|(_, path)| path).collect();

    let mut chain = Chain { segments: Vec::new(), unreadable_newest: None, below_floor };
    let newest = found.len().saturating_sub(1);
    let headers = read_headers(directory, &found);
    for (index, ((first_lsn, path), read)) in found.into_iter().zip(headers).enumerate() {
        let HeaderRead { header, file_len } = read?;
        match header {
            Ok(header) => {
                check_segment(&path, file_len, &header, first_lsn, meta)?;
                chain.segments.push(ChainSegment { path, header });
            }
            Err(problem) if index == newest && !matches!(problem, HeaderProblem::Version(_)) => {
                chain.unreadable_newest = Some(UnreadableNewest { path, first_lsn, problem });
            }
            Err(problem) => return Err(header_error(&path, problem)),
        }
    }
    check_links(directory.path(), &chain, meta)?;
    Ok(chain)
}

/// A segment as it is before anything is checked.
struct HeaderRead {
    header: std::result::Result<SegmentHeader, HeaderProblem>,
    file_len: u64,
}

/// Reads the headers of these segments, each of them a wait for the disk: a few at a time, where
/// there are many.
fn read_headers(directory: &LogDirectory, segments: &[(Lsn, PathBuf)]) -> Vec<Result<HeaderRead>> {
    let read_all = |segments: &[(Lsn, PathBuf)]| -> Vec<_> {
        segments.iter().map(|(_, path)| look_at_header(directory, path)).collect()
    };
    let each = segments.len().div_ceil(READERS_AT_ONCE);
    // What happens on a simulated disk follows from its seed, and not from threads.
    if each < 2 || directory.is_simulated() {
        return read_all(segments);
    }
    thread::scope(|scope| {
        let readers: Vec<_> = segments
            .chunks(each)
            .map(|part| (part, thread::Builder::new().spawn_scoped(scope, move || read_all(part))))
            .collect();
        let parts = readers.into_iter().map(|(part, reader)| match reader {
            Ok(reader) => reader.join().unwrap_or_else(|panic| resume_unwind(panic)),
            // No more threads for this process: slower, and as good.
            Err(_) => read_all(part),
        });
        parts.flatten().collect()
    })
}

fn look_at_header(directory: &LogDirectory, path: &Path) -> Result<HeaderRead> {
    let file = directory.open_for_read(path.to_owned()).map_err(WalError::io("open", path))?;
    let header = read_header(&file)?;
    let file_len = file.len().map_err(WalError::io("examine", path))?;
    Ok(HeaderRead { header, file_len })
}

/// The error for a segment without a readable header.
pub(crate) fn header_error(path: &Path, problem: HeaderProblem) -> WalError {
    let path = path.to_owned();
    match problem {
        HeaderProblem::Version(found) => {
            WalError::UnsupportedVersion { path, found, supported: FORMAT_VERSION }
        }
        HeaderProblem::Blank | HeaderProblem::Damaged(_) => {
            WalError::HeaderDamaged { path, problem: problem.describe().to_owned() }
        }
    }
}

/// Checks one segment against its name, its log and its size.
fn check_segment(
    path: &Path,
    file_len: u64,
    header: &SegmentHeader,
    first_lsn: Lsn,
    meta: &Meta,
) -> Result<()> {
    let broken = |problem: String| Err(WalError::ChainBroken { path: path.to_owned(), problem });
    if header.identity.log_id != meta.log_id {
        return broken("it belongs to another log; move it away".into());
    }
    if header.identity.first_lsn != first_lsn {
        return broken(format!(
            "it is named after LSN {first_lsn} but starts at LSN {}; a file was renamed or copied \
             over another",
            header.identity.first_lsn
        ));
    }
    if file_len < header.capacity_bytes {
        return broken(format!(
            "it is {file_len} bytes long and was created with {}; its end was cut off",
            header.capacity_bytes
        ));
    }
    Ok(())
}

/// Checks that no segment is missing at the front, in between, or at the end.
fn check_links(directory: &Path, chain: &Chain, meta: &Meta) -> Result<()> {
    let missing = |path: &Path, problem: String| {
        Err(WalError::ChainBroken { path: path.to_owned(), problem })
    };
    if let Some(first) = chain.segments.first()
        && first.header.identity.first_lsn > meta.retention_floor
    {
        return missing(
            &first.path,
            format!(
                "the log promises records from LSN {}, but this is the first segment; an earlier \
                 one is missing, restore it",
                meta.retention_floor
            ),
        );
    }
    for pair in chain.segments.windows(2) {
        let (before, after) = (&pair[0].header.identity, &pair[1].header.identity);
        if after.segment_number != before.segment_number + 1 {
            return missing(
                &pair[1].path,
                format!(
                    "it is segment {} and the one before it is segment {}; restore what is missing",
                    after.segment_number, before.segment_number
                ),
            );
        }
    }
    for pair in chain.segments.windows(2) {
        check_stays_sealed(&pair[0].header.identity, &pair[1].header.identity, &pair[1].path)?;
    }
    let last = chain.segments.last().map_or(0, |last| last.header.identity.segment_number);
    if last < meta.newest_segment_number {
        let Some(newest) = &chain.unreadable_newest else {
            return missing(
                directory,
                format!(
                    "segment {} was in use, and the newest one found is segment {last}; restore \
                     what is missing",
                    meta.newest_segment_number
                ),
            );
        };
        return Err(header_error(&newest.path, newest.problem));
    }
    Ok(())
}

/// A log that is encrypted once never goes back to clear, so a segment in clear behind an encrypted
/// one is somebody's who has no key.
pub(crate) fn check_stays_sealed(
    before: &SegmentIdentity,
    after: &SegmentIdentity,
    path: &Path,
) -> Result<()> {
    #[cfg(feature = "simulated")]
    if crate::sabotage::is(crate::sabotage::Sabotage::PlainBehindEncrypted) {
        return Ok(());
    }
    if before.key_id.is_some() && after.key_id.is_none() {
        return Err(WalError::Tampered { path: path.to_owned(), offset_bytes: 0, lsn: Lsn::NONE });
    }
    Ok(())
}
