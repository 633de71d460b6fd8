//! Reading a log back, by its owner or from its directory alone.

use std::path::Path;

use super::{
    SegmentedWal,
    log::{read_directory, take_page},
};
use crate::{crypto::KeyRing, error::Result, lsn::Lsn, record::LogRecord, replay::WalReader};

impl SegmentedWal {
    /// Streams every durable record, oldest first, in bounded memory. [`WalReader`] has the ways to
    /// take them: owned or borrowed, headers first, filtered, in pages, decoded in parallel.
    ///
    /// # Errors
    ///
    /// [`WalError::Io`](crate::WalError::Io). While reading, each item may be an error: damage is
    /// never skipped.
    pub fn replay(&self) -> Result<WalReader> {
        self.replay_from(Lsn::NONE)
    }

    /// Streams the durable records from `from` on; beyond the end there are none.
    ///
    /// # Errors
    ///
    /// [`WalError::Truncated`](crate::WalError::Truncated) below the oldest record kept
    /// ([`Lsn::NONE`] stands for that one).
    pub fn replay_from(&self, from: Lsn) -> Result<WalReader> {
        self.log.replay(from, self.durable_lsn())
    }

    /// At most `limit` durable records from `from` on, and whether there are more;
    /// [`WalReader::into_page`] also says where to go on, which a filter makes another matter.
    ///
    /// # Errors
    ///
    /// As [`SegmentedWal::replay_from`], and whatever reading meets before the page is full.
    pub fn replay_from_limit(&self, from: Lsn, limit: usize) -> Result<(Vec<LogRecord>, bool)> {
        take_page(self.replay_from(from)?, limit)
    }

    /// Streams the records of the log in `dir` from `from` on without taking its lock. A writer
    /// may be at work: records it has not promised yet may be among those read.
    ///
    /// # Errors
    ///
    /// As [`SegmentedWal::replay_from`], [`WalError::MetaDamaged`](crate::WalError::MetaDamaged)
    /// where there is no log, and
    /// those of encryption.
    pub fn replay_from_dir(
        dir: impl AsRef<Path>,
        keys: Option<&KeyRing>,
        from: Lsn,
    ) -> Result<WalReader> {
        read_directory(dir.as_ref(), keys.cloned(), from)
    }

    /// At most `limit` records of the log in `dir`, and whether there are more; see
    /// [`SegmentedWal::replay_from_dir`].
    ///
    /// # Errors
    ///
    /// As [`SegmentedWal::replay_from_dir`], and whatever reading meets.
    pub fn replay_from_limit_dir(
        dir: impl AsRef<Path>,
        keys: Option<&KeyRing>,
        from: Lsn,
        limit: usize,
    ) -> Result<(Vec<LogRecord>, bool)> {
        take_page(Self::replay_from_dir(dir, keys, from)?, limit)
    }
}
