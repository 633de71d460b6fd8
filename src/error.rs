//! Everything that can go wrong, as one type. Each variant carries what a program needs to act on
//! it, and its sentence tells a person what happened, where, and what to do.

use std::{io, path::PathBuf, sync::Arc};

use crate::{lsn::Lsn, record::RecordKind};

/// Shorthand for results of this library.
pub type Result<T, E = WalError> = std::result::Result<T, E>;

/// An error of the log.
///
/// Errors are cheap to clone, because one failed write is told to every waiter.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// A system call failed where nothing had been promised; the log is unchanged by it.
    #[error("cannot {operation} {path}: {source}", path = path.display())]
    Io {
        /// What was attempted, as a verb: `open`, `read`, `create`.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's reason.
        source: Arc<io::Error>,
    },

    /// A read failed. This is never taken for an end of the log: nothing was decided.
    #[error(
        "cannot read {path} at byte {offset_bytes}: {source}; nothing was decided or changed, \
         check the device and open again",
        path = path.display()
    )]
    Read {
        /// The segment.
        path: PathBuf,
        /// Where, in bytes from the start of the file.
        offset_bytes: u64,
        /// The system's reason.
        source: Arc<io::Error>,
    },

    /// A write, flush or directory sync failed, now or earlier. The log accepts nothing more:
    /// records after `durable_lsn` may or may not have survived. No flush is ever retried, since
    /// a second one may succeed without the data.
    #[error(
        "the log stopped after a failed {operation} on {path}: {source}; records after LSN \
         {durable_lsn} have an unknown outcome, reopen the log to learn which survived",
        path = path.display()
    )]
    Poisoned {
        /// The first operation that failed.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Every record up to here is durable.
        durable_lsn: Lsn,
        /// The system's reason.
        source: Arc<io::Error>,
    },

    /// No space for the next segment. Nothing that was promised is affected; free space and
    /// append again.
    #[error(
        "no space to prepare a segment of {segment_bytes} bytes in {path}; free space (or truncate \
         the log) and append again, nothing acknowledged is affected",
        path = path.display()
    )]
    NoSpace {
        /// The log's directory.
        path: PathBuf,
        /// Size of the segment that could not be prepared.
        segment_bytes: u64,
    },

    /// The log once acknowledged records that cannot be read any more. Opening would silently
    /// lose them, so it is refused.
    #[error(
        "acknowledged records are lost: {path} holds no valid batch at byte {offset_bytes}, where \
         LSN {first_missing_lsn} belongs, yet the log itself says that everything up to LSN \
         {claimed_durable_lsn} was durable; restore the file, or copy what is whole with a salvage",
        path = path.display()
    )]
    AcknowledgedDataLost {
        /// The damaged segment.
        path: PathBuf,
        /// Where the next batch should have been.
        offset_bytes: u64,
        /// First LSN that cannot be read.
        first_missing_lsn: Lsn,
        /// Highest LSN that later batches or headers claim was durable.
        claimed_durable_lsn: Lsn,
    },

    /// A segment file is missing, or two files do not belong together.
    #[error("the chain of segments is broken at {path}: {problem}", path = path.display())]
    ChainBroken {
        /// The file (or directory) where it shows.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },

    /// A segment's header is damaged.
    #[error(
        "the header of segment {path} is damaged ({problem}); restore the file from a copy, or \
         salvage the others",
        path = path.display()
    )]
    HeaderDamaged {
        /// The segment.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },

    /// `wal.meta` is missing or damaged, so a deleted segment could not be told from a truncated
    /// one.
    #[error("{path} is unusable: {problem}; restore it from a copy, or salvage the log", path = path.display())]
    MetaDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },

    /// Bytes of a version this library does not know.
    #[error(
        "{path} has format version {found}; this library reads version {supported}, use a newer one",
        path = path.display()
    )]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// The version read here.
        supported: u16,
    },

    /// The log is encrypted and no key ring was given.
    #[error("the log in {path} is encrypted; open it with the key ring that holds key {key_id}", path = path.display())]
    KeyRequired {
        /// The segment or directory.
        path: PathBuf,
        /// The key it names, 0 if not known.
        key_id: u64,
    },

    /// A key ring was given, and a segment is in clear. Whoever may write the files could have put it
    /// there, so that it is accepted only if the ring says that the log has a past in clear.
    #[error(
        "segment {path} is in clear, and the key ring is for an encrypted log; if the log was in \
         clear once, open it with KeyRing::with_plain_past, else restore the file",
        path = path.display()
    )]
    NotEncrypted {
        /// The segment.
        path: PathBuf,
    },

    /// The key ring lacks the key a segment was written with.
    #[error(
        "segment {path} was written with key {key_id}, which is not in the key ring; add the key \
         to open the log",
        path = path.display()
    )]
    KeyMissing {
        /// The segment.
        path: PathBuf,
        /// The key it names.
        key_id: u64,
    },

    /// The key ring has a key of that id, but it is a different key.
    #[error(
        "key {key_id} in the key ring is not the key that segment {path} was written with; nothing \
         was changed, open with the right key",
        path = path.display()
    )]
    WrongKey {
        /// The segment.
        path: PathBuf,
        /// The key's id.
        key_id: u64,
    },

    /// The checksums are good and the bytes are not what a holder of the key wrote: somebody altered
    /// them, or put a segment in clear behind an encrypted one.
    #[error(
        "{path} was tampered with at byte {offset_bytes} (LSN {lsn}): the checksum is good but the \
         authentication tag is not, or is not there; nothing was truncated, restore the file",
        path = path.display()
    )]
    Tampered {
        /// The segment.
        path: PathBuf,
        /// Where.
        offset_bytes: u64,
        /// Which record, [`Lsn::NONE`] for the segment's header.
        lsn: Lsn,
    },

    /// A key file that must not be trusted, or cannot be a key.
    #[error("key file {path} was refused: {problem}", path = path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        problem: String,
    },

    /// A new key under the id of another one that the log may still need for reading.
    #[error(
        "the log in {path} has another key under id {key_id}; nothing was changed, give the new key \
         an id of its own",
        path = path.display()
    )]
    KeyIdTaken {
        /// The log's directory.
        path: PathBuf,
        /// The id.
        key_id: u64,
    },

    /// Another writer has the log open.
    #[error(
        "the log in {path} is in use by another writer (lock file {lock}); close it there first",
        path = path.display(), lock = lock.display()
    )]
    Locked {
        /// The log's directory.
        path: PathBuf,
        /// The lock file.
        lock: PathBuf,
    },

    /// There is a log already where a new one was to begin.
    #[error(
        "there is a log in {path} already; open it, or begin the new one in another directory",
        path = path.display()
    )]
    LogExists {
        /// The log's directory.
        path: PathBuf,
    },

    /// The file system cannot do direct I/O.
    #[error(
        "the file system of {path} ({filesystem}) does not support direct I/O (O_DIRECT); put the \
         log on ext4, XFS, btrfs or a block device",
        path = path.display()
    )]
    DirectIoUnsupported {
        /// The log's directory.
        path: PathBuf,
        /// Type of its file system.
        filesystem: String,
    },

    /// The alignment asked for does not suit the device.
    #[error(
        "alignment {alignment_bytes} does not suit the device of {path}: {problem}",
        path = path.display()
    )]
    AlignmentRefused {
        /// The log's directory.
        path: PathBuf,
        /// What was asked for, bytes.
        alignment_bytes: u64,
        /// Why, and what to do.
        problem: String,
    },

    /// A setting is out of its range.
    #[error("{origin}{field} = {value} is not possible; allowed: {allowed}")]
    InvalidConfig {
        /// Empty, or `file:line:column: `.
        origin: String,
        /// The field.
        field: &'static str,
        /// The value given.
        value: String,
        /// What would do.
        allowed: String,
    },

    /// A profile that is not valid TOML or has an unknown or mistyped field.
    #[error("{path}{problem}", path = path.display())]
    Profile {
        /// The profile.
        path: PathBuf,
        /// `:line:column: ` and what is wrong, with the values allowed.
        problem: String,
    },

    /// A payload over the limit. Nothing was written.
    #[error("a payload of {len_bytes} bytes is over the limit of {max_bytes} bytes; split it")]
    RecordTooLarge {
        /// Its length.
        len_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },

    /// An atomic batch over the limit. Nothing was written.
    #[error(
        "an atomic batch of {records} records and {len_bytes} bytes is over the limit of \
         {max_records} records and {max_bytes} bytes; split it"
    )]
    BatchTooLarge {
        /// Records in it.
        records: usize,
        /// Its encoded length.
        len_bytes: usize,
        /// The limit on records.
        max_records: usize,
        /// The limit on bytes.
        max_bytes: usize,
    },

    /// An atomic batch without records has no LSN to return.
    #[error("an atomic batch needs at least one record")]
    EmptyBatch,

    /// Every LSN has been used.
    #[error("the log has used every LSN; start a new one")]
    LsnExhausted,

    /// A required record kind that the embedder does not know.
    #[error(
        "record {lsn} has kind {kind:#06x}, which is marked as required and is not known to this \
         program; replay it with a newer version",
        kind = kind.get()
    )]
    UnknownRequiredKind {
        /// The record.
        lsn: Lsn,
        /// Its kind.
        kind: RecordKind,
    },

    /// Somebody waits for a record that was not appended.
    #[error("nothing has LSN {lsn} yet, the next record gets LSN {next_lsn}; append it first")]
    NotAppended {
        /// What was waited for.
        lsn: Lsn,
        /// The LSN of the next record.
        next_lsn: Lsn,
    },

    /// Every buffer of the log is on its way to the device. Nothing was appended.
    #[error(
        "the log's buffers are full, the device is slower than its callers; nothing was appended, \
         try again later or wait with a deadline"
    )]
    QueueFull,

    /// A record is not durable by its deadline. It is appended and still on its way.
    #[error(
        "record {lsn} is not durable by its deadline; it is still on its way, and its outcome is \
         known once the durable LSN has passed it"
    )]
    DeadlineExceeded {
        /// The record, or the last one of an atomic batch.
        lsn: Lsn,
    },

    /// Records that were handed out as written, before they were durable, are not part of the log:
    /// it was opened again without them and goes on with others under the same LSNs.
    #[error(
        "records from LSN {first_lsn} on were handed out before they were durable, and the log in \
         {path} was opened again without them; undo what was done with them, and follow the log from \
         LSN {first_lsn}",
        path = path.display()
    )]
    NotKept {
        /// The log's directory.
        path: PathBuf,
        /// The first LSN that was given out again.
        first_lsn: Lsn,
    },

    /// The records asked for were truncated away.
    #[error("LSN {requested} was truncated; the log starts at LSN {floor}")]
    Truncated {
        /// What was asked for.
        requested: Lsn,
        /// The oldest LSN the log promises to keep.
        floor: Lsn,
    },

    /// A lease cannot have this name. Nothing was done.
    #[error("a lease cannot be named {name:?}: use 1 to 63 of a to z, 0 to 9, - and _")]
    InvalidLeaseName {
        /// The name.
        name: String,
    },

    /// A handle to this lease is in use already: two consumers would move each other on.
    #[error(
        "lease {name} is in use by another handle; drop that one first, or use a name of its own"
    )]
    LeaseInUse {
        /// The lease.
        name: String,
    },

    /// There is no lease of this name; it may have been released.
    #[error("the log in {path} has no lease {name}", path = path.display())]
    NoSuchLease {
        /// The log's directory.
        path: PathBuf,
        /// What was asked for.
        name: String,
    },

    /// A lease went over its budget and holds nothing any more. The log has moved on.
    #[error(
        "lease {name} was dropped at LSN {position}: what it held went over its budget of \
         {budget_bytes} bytes; the log starts at LSN {floor} now. If that is too late, copy the state \
         anew; release the lease and take one again"
    )]
    LeaseDropped {
        /// The lease.
        name: String,
        /// The oldest LSN its consumer needed.
        position: Lsn,
        /// The oldest LSN the log promises to keep now. Not above `position` if nothing has been
        /// given up yet.
        floor: Lsn,
        /// What it was allowed to hold.
        budget_bytes: u64,
    },

    /// The file of a lease is damaged or not of this log.
    #[error(
        "lease file {path} is unusable: {problem}; restore it from a copy, or remove it to let go of \
         what it holds, after which its consumer may have to start anew",
        path = path.display()
    )]
    LeaseDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },

    /// The log was closed.
    #[error("the log is closed")]
    Closed,

    /// A log set up for one thread was used from another.
    #[error(
        "this log was opened with single_issuer = true and belongs to the thread that first \
         appended; use it there, or open it with single_issuer = false"
    )]
    WrongThread,
}

impl WalError {
    /// An [`WalError::Io`] for use with `map_err`.
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source: Arc::new(source) }
    }

    /// Whether the log can no longer be written.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        matches!(self, Self::Poisoned { .. })
    }
}
