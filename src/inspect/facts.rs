//! What the files of a log say of themselves.

use std::{fmt, num::NonZeroU64, path::PathBuf};

use crate::{
    error::WalError,
    format::{HeaderProblem, Meta, SegmentHeader},
    lsn::Lsn,
    segment::NamedRole,
};

/// A segment, by its name, and what its header says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SegmentFile {
    /// The file.
    pub path: PathBuf,
    /// As its name says.
    pub first_lsn: Lsn,
    /// Length of the file, bytes.
    pub len_bytes: u64,
    pub(super) decoded: Result<SegmentHeader, HeaderTrouble>,
}

impl SegmentFile {
    /// What its header says.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub fn header(&self) -> Result<HeaderFacts, HeaderTrouble> {
        self.decoded.as_ref().map(HeaderFacts::from).map_err(Clone::clone)
    }
}

/// The fields of a segment header, see `docs/format.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeaderFacts {
    /// Random, the same in all segments.
    pub log_id: [u8; 16],
    /// Counts from 1.
    pub segment_number: u64,
    /// LSN of its first record; also in the file's name.
    pub first_lsn: Lsn,
    /// What batches are padded to.
    pub block_bytes: u64,
    /// The key that its records are sealed with; `None` for records in clear.
    pub key_id: Option<u64>,
    /// Number of the segment before; 0 for none.
    pub predecessor_number: u64,
    /// Last LSN of the segments before.
    pub predecessor_end_lsn: Lsn,
    /// Checksum of the last batch header of the segment before.
    pub predecessor_checksum: u32,
    /// Oldest LSN the log promised to keep when the segment was started.
    pub retention_floor: Lsn,
    /// Size the file was prepared with, bytes; 0 if it grows as it is written.
    pub capacity_bytes: u64,
    /// When it was started, nanoseconds since 1970, by the clock of its machine.
    pub created_unix_ns: u64,
    /// Random, of this segment.
    pub salt: [u8; 32],
}

impl From<&SegmentHeader> for HeaderFacts {
    fn from(header: &SegmentHeader) -> Self {
        Self {
            log_id: header.identity.log_id,
            segment_number: header.identity.segment_number,
            first_lsn: header.identity.first_lsn,
            block_bytes: header.block_bytes,
            key_id: header.identity.key_id,
            predecessor_number: header.predecessor.number,
            predecessor_end_lsn: header.predecessor.end_lsn,
            predecessor_checksum: header.predecessor.checksum,
            retention_floor: header.retention_floor,
            capacity_bytes: header.capacity_bytes,
            created_unix_ns: header.created_unix_ns,
            salt: header.identity.salt,
        }
    }
}

/// What is wrong with a segment's header.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HeaderTrouble {
    /// Only zeros: prepared, and not used yet.
    Blank,
    /// It is none, and why.
    Damaged(&'static str),
    /// Of a version that this library does not know.
    Version(u16),
    /// It cannot be read.
    Unreadable(WalError),
}

impl From<HeaderProblem> for HeaderTrouble {
    fn from(problem: HeaderProblem) -> Self {
        match problem {
            HeaderProblem::Blank => Self::Blank,
            HeaderProblem::Damaged(problem) => Self::Damaged(problem),
            HeaderProblem::Version(version) => Self::Version(version),
        }
    }
}

impl fmt::Display for HeaderTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("it is blank"),
            Self::Damaged(problem) => f.write_str(problem),
            Self::Version(version) => {
                write!(f, "its version is {version}, which is not known here; use a newer program")
            }
            Self::Unreadable(error) => error.fmt(f),
        }
    }
}

/// What `wal.meta` says, see `docs/format.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetaFacts {
    /// Random, the same in all segments.
    pub log_id: [u8; 16],
    /// Oldest LSN the log promises to keep.
    pub retention_floor: Lsn,
    /// A segment with at least this number has been in use.
    pub newest_segment_number: u64,
    /// Every record up to here was durable; the log is usually well ahead.
    pub durable_lsn: Lsn,
    /// Whether the log has been written with a key.
    pub encrypted: bool,
    /// Where in the newest segment the marker of a close in good order is, bytes; `None` if the log
    /// was not closed since it was opened last.
    pub closing_marker_offset_bytes: Option<u64>,
}

impl From<&Meta> for MetaFacts {
    fn from(meta: &Meta) -> Self {
        Self {
            log_id: meta.log_id,
            retention_floor: meta.retention_floor,
            newest_segment_number: meta.newest_segment_number,
            durable_lsn: meta.durable_lsn,
            encrypted: meta.encrypted,
            closing_marker_offset_bytes: meta.closing_marker_offset_bytes.map(NonZeroU64::get),
        }
    }
}

/// A file of the directory that is no segment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherFile {
    /// The file.
    pub path: PathBuf,
    /// Length of the file, bytes.
    pub len_bytes: u64,
    /// What it is to the log.
    pub role: FileRole,
}

/// What a file is to a log, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileRole {
    /// `wal.meta`.
    Meta,
    /// The next `wal.meta`, not renamed yet.
    MetaReplacement,
    /// The writer's lock.
    Lock,
    /// Ready to become a segment.
    Spare,
    /// Being prepared.
    Unfinished,
    /// A truncated segment on its way to being recycled or deleted.
    Retired,
    /// What a consumer holds, see [`leases_in`](crate::leases_in).
    Lease,
    /// Named like a segment and none: no log with it is opened.
    Misnamed,
    /// Somebody else's.
    Other,
}

impl FileRole {
    pub(super) fn of(role: NamedRole, is_lock: bool) -> Self {
        match role {
            NamedRole::Meta => Self::Meta,
            NamedRole::MetaReplacement => Self::MetaReplacement,
            NamedRole::Spare => Self::Spare,
            NamedRole::Unfinished => Self::Unfinished,
            NamedRole::Retired => Self::Retired,
            NamedRole::Lease => Self::Lease,
            NamedRole::Misnamed => Self::Misnamed,
            NamedRole::Segment(_) | NamedRole::Other if is_lock => Self::Lock,
            NamedRole::Segment(_) | NamedRole::Other => Self::Other,
        }
    }
}
