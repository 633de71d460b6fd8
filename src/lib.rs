//! A write-ahead log for Linux that talks to the disk directly: O_DIRECT, io_uring, group commit,
//! CRC32C, AES-256-GCM.
//!
//! The story, bottom to top, each word a module:
//!
//! ```text
//!  record ─► frame ─► batch ─► block buffer ─► device ─► durable LSN ─► replay
//!  record    format   append   device/buffer   device    durable        replay
//!
//!  floor 8   lib                                  the front door
//!  floor 7   crash         schedules              power cuts and orders of threads, for tests
//!  floor 6   wal, then committer     inspect      one owner; shared by threads; looked into
//!  floor 5   append        replay                 never each other
//!  floor 4   segment                              names, headers, preparation, retirement
//!  floor 3   crypto        config                 keys, validated settings
//!  floor 2   device                               files, buffers, every system call, all `unsafe`
//!  floor 1   format  durable  poison  telemetry   bytes, positions and numbers, never I/O
//!  floor 0   lsn  record  error  level  sync  sabotage  the vocabulary
//! ```
//!
//! Imports run strictly downward; `tests/layering.rs` holds the code against this drawing.
//!
//! ```no_run
//! # fn main() -> Result<(), plimsoll::WalError> {
//! use plimsoll::{Lsn, Record, RecordKind, SegmentedWal, SegmentedWalConfig};
//!
//! let mut wal = SegmentedWal::open(SegmentedWalConfig::new("/var/lib/db/wal"))?;
//! let lsn = wal.append(&Record::new(RecordKind::PUT, b"key=value").tenant(1))?;
//! let durable = wal.sync()?; // every record up to here survives power loss
//! assert!(durable >= lsn);
//! for record in wal.replay_from(Lsn::FIRST)? {
//!     let record = record?;
//!     println!("{}: {} bytes", record.lsn(), record.payload().len());
//! }
//! wal.close()?;
//! # Ok(()) }
//! ```

mod append;
mod committer;
mod config;
#[cfg(feature = "simulated")]
mod crash;
mod crypto;
mod device;
mod durable;
mod error;
mod format;
pub mod inspect;
mod level;
mod lsn;
mod poison;
mod record;
mod replay;
#[cfg(feature = "simulated")]
mod sabotage;
#[cfg(shuttle)]
mod schedules;
mod segment;
mod sync;
mod telemetry;
mod wal;

pub use append::WalStats;
pub use committer::{Commit, CommitPolicy, GroupCommitter, Tailer};
pub use config::{Preparation, SegmentedWalConfig, VerifyOnOpen};
pub use crypto::KeyRing;
pub use device::{ActiveEngine, Durability, Engine, EngineReport, EngineTrial, Geometry};
pub use error::{Result, WalError};
pub use level::{Buffered, Durable, Level, Written};
pub use lsn::{Lsn, LsnRange};
pub use record::{KnownKinds, LogRecord, MAX_PAYLOAD_BYTES, Record, RecordHeader, RecordKind};
pub use replay::{
    DirectoryTailer, Discarded, Page, ParallelOptions, ParallelReader, RecordFilter, RecordHead,
    RecordRef, RecoveryReport, WalReader,
};
pub use segment::{
    ArchiveError, Archiver, HeldBack, Lease, LeaseInfo, SealedSegment, SegmentInfo,
    TruncateOutcome, leases_in,
};
pub use telemetry::{CommitPace, HistogramSummary, WalCounters, WalHistogram, WalHistograms};
pub use wal::SegmentedWal;

/// A disk that can lose power, the crash matrix that is run on it, and the way for hostile bytes
/// (`fuzz/`) through the front door: onto such a disk, and opened. For tests; not part of what
/// semantic versioning covers.
#[cfg(feature = "simulated")]
pub mod simulated {
    pub use crate::crash::{CrashMatrix, Outcome, Violation};
    pub use crate::device::simulated::{DiskOptions, Fault, SimulatedDisk};
    pub use crate::inspect::look_into;
    pub use crate::sabotage::{Sabotage, with as with_sabotage};
    #[cfg(shuttle)]
    pub use crate::schedules::{Explored, Misstep, Schedules};
    pub use crate::wal::simulated::{Examined, create_at, examine, examine_as, leases, open, read};
}
