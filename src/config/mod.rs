//! Every setting of a log: what it means, its unit, default and range, and what it trades.
//! Validated once, here; nothing downstream checks again.

mod parse;
mod profile;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::{
    crypto::KeyRing,
    device::{Durability, Engine, Geometry},
    error::{Result, WalError},
    format::{MAX_BLOCK_BYTES, MIN_BLOCK_BYTES},
    record::KnownKinds,
};

/// How segments are made ready ahead of need by a background thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Preparation {
    /// Not at all: the file grows as it is written, and each commit also changes its size.
    None,
    /// Space is reserved, so a full disk shows early. The first write of each block still changes
    /// an extent; on the reference machine that is slower than growing.
    Allocate,
    /// Space is reserved and written with zeros: appending overwrites and changes no metadata.
    Zero,
    /// As [`Preparation::Zero`], and truncated segments are used again instead of deleted: a log
    /// that is truncated as fast as it grows writes each byte once.
    #[default]
    Recycle,
}

/// How much of a log its opening reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyOnOpen {
    /// The header of every segment, and the records of the newest segment; after
    /// [`SegmentedWal::close`](crate::SegmentedWal::close) only the batch that ends it. A segment
    /// that has a successor was durable as a whole before the successor began, so a crash cannot
    /// have cut it short. What was damaged in it since is refused by whoever reads it.
    #[default]
    Newest,
    /// Every record of every segment, so that an opening that succeeds has seen all that it
    /// promises. It takes as long as reading the log.
    Everything,
}

/// Settings of a log. Fields carry the names of the axes of a sweep and of the keys in a profile.
///
/// ```no_run
/// # fn main() -> Result<(), plimsoll::WalError> {
/// use plimsoll::{SegmentedWal, SegmentedWalConfig};
/// let mut config = SegmentedWalConfig::new("/var/lib/db/wal");
/// config.segment_size = 256 << 20;
/// let wal = SegmentedWal::open(config)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SegmentedWalConfig {
    /// Directory of the log; created (mode 0700) when missing. No default. In a profile it may be
    /// left out and set with [`SegmentedWalConfig::in_dir`].
    pub dir: PathBuf,

    /// Block that every batch is padded to, bytes: a power of two from 512 B to 64 KiB, no less
    /// than the device's physical block. Default: what the device reports. Larger blocks waste
    /// space on small batches; they help only devices whose internal page is larger than they
    /// admit.
    #[serde(deserialize_with = "parse::alignment")]
    pub alignment: Option<u64>,

    /// Accept an `alignment` below the device's physical block. Default: false. A torn write can
    /// then damage a neighbouring block that was durable already; for experiments only.
    pub force_alignment: bool,

    /// Largest batch assembled in memory, bytes: 4 KiB to 64 MiB, rounded up to whole blocks.
    /// Default: 256 KiB. Memory is `buffer_size` × (`pipeline_depth` + 2). A larger record gets a
    /// buffer of its own while it is written.
    #[serde(deserialize_with = "parse::buffer_size")]
    pub buffer_size: u64,

    /// Target size of a segment file, bytes: 1 B to 1 TiB, rounded up to whole blocks and at
    /// least three. Default: 64 MiB. Larger segments roll over less often and are truncated in
    /// larger steps. A batch larger than a segment gets a segment of its own.
    #[serde(deserialize_with = "parse::segment_size")]
    pub segment_size: u64,

    /// How long a group commit waits for company before it writes: 0 to 1 s. Default: 0, since
    /// the next batch fills while the device is busy anyway. A window helps only when commits
    /// arrive more slowly than the device can flush and fewer flushes are worth the delay.
    #[serde(deserialize_with = "parse::commit_window")]
    pub commit_window: Duration,

    /// Batches in flight at once: 1 to 64. Default: 1. More helps devices that serve several
    /// writes in parallel, and only with the io_uring engine.
    #[serde(deserialize_with = "parse::pipeline_depth")]
    pub pipeline_depth: u32,

    /// Which engine writes. Default: [`Engine::Auto`].
    #[serde(deserialize_with = "parse::engine")]
    pub engine: Engine,

    /// The log is driven by one thread only, so io_uring may be set up for a single issuer with
    /// deferred completions. Default: false. Using the log from another thread is then
    /// [`WalError::WrongThread`].
    pub single_issuer: bool,

    /// How a batch is made durable. Default: [`Durability::Dsync`].
    #[serde(deserialize_with = "parse::durability")]
    pub durability: Durability,

    /// How segments are prepared. Default: [`Preparation::Recycle`]. While a segment is being zeroed,
    /// a commit on ext4 also writes the block of inodes that both files share: a third of its time
    /// on the reference machine.
    #[serde(deserialize_with = "parse::preparation")]
    pub preparation: Preparation,

    /// Segments kept ready ahead of need: 1 to 16. Default: 1. Each takes `segment_size` of disk
    /// space.
    #[serde(deserialize_with = "parse::prepared_segments")]
    pub prepared_segments: u32,

    /// How long a group commit is idle before it states in the log that everything is durable, so
    /// that damage to the last records is noticed too: 1 ms to 1 h. Default: 100 ms.
    #[serde(deserialize_with = "parse::idle_marker_after")]
    pub idle_marker_after: Duration,

    /// How much an opening reads. Default: [`VerifyOnOpen::Newest`], some milliseconds after a clean
    /// close, and one segment's read after a crash. [`VerifyOnOpen::Everything`] reads the whole
    /// log, and refuses at once what otherwise the first replay of the damaged place refuses: for
    /// a log that nobody replays after it was opened.
    #[serde(deserialize_with = "parse::verify_on_open")]
    pub verify_on_open: VerifyOnOpen,

    /// Record kinds the embedder can interpret. Default: all. Not part of a profile.
    #[serde(skip)]
    pub known_kinds: KnownKinds,

    /// Keys to seal and open records with. Default: none, records are stored in clear. A log that
    /// was in clear so far needs a ring made with [`KeyRing::with_plain_past`]. In a
    /// profile this is `key_files`, a list of `{ id = 1, path = "…" }` whose first entry is the
    /// current key.
    #[serde(rename = "key_files", deserialize_with = "parse::key_files")]
    pub keys: Option<KeyRing>,
}

impl Default for SegmentedWalConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::new(),
            alignment: None,
            force_alignment: false,
            buffer_size: 256 << 10,
            segment_size: 64 << 20,
            commit_window: Duration::ZERO,
            pipeline_depth: 1,
            engine: Engine::Auto,
            single_issuer: false,
            durability: Durability::Dsync,
            preparation: Preparation::Recycle,
            prepared_segments: 1,
            idle_marker_after: Duration::from_millis(100),
            verify_on_open: VerifyOnOpen::Newest,
            known_kinds: KnownKinds::All,
            keys: None,
        }
    }
}

impl SegmentedWalConfig {
    /// The defaults, for a log in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), ..Self::default() }
    }

    /// Loads the `[wal]` table of a profile, such as the `recommended.toml` of a sweep. Other
    /// tables are left to others.
    ///
    /// # Errors
    ///
    /// [`WalError::Profile`] naming file, line, column, field and the values allowed;
    /// [`WalError::KeyFile`] for a key file that must not be trusted.
    pub fn from_profile(path: impl AsRef<Path>) -> Result<Self> {
        profile::load(path.as_ref())
    }

    /// The same settings for a log in another directory.
    #[must_use]
    pub fn in_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = dir.into();
        self
    }

    /// The same settings with keys.
    #[must_use]
    pub fn with_keys(mut self, keys: KeyRing) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// [`WalError::InvalidConfig`] with the field and the values allowed.
    pub fn validate(&self) -> Result<()> {
        if self.dir.as_os_str().is_empty() {
            return Err(WalError::InvalidConfig {
                origin: String::new(),
                field: "dir",
                value: "\"\"".into(),
                allowed: "the directory of the log".into(),
            });
        }
        if let Some(alignment) = self.alignment {
            parse::ALIGNMENT.check(alignment)?;
        }
        parse::BUFFER_SIZE.check(self.buffer_size)?;
        parse::SEGMENT_SIZE.check(self.segment_size)?;
        parse::COMMIT_WINDOW.check(self.commit_window)?;
        parse::PIPELINE_DEPTH.check(self.pipeline_depth)?;
        parse::PREPARED_SEGMENTS.check(self.prepared_segments)?;
        parse::IDLE_MARKER_AFTER.check(self.idle_marker_after)
    }

    /// The block that batches are padded to on a device of this geometry.
    ///
    /// # Errors
    ///
    /// [`WalError::AlignmentRefused`] when the device cannot write it whole.
    pub(crate) fn block_bytes(&self, geometry: &Geometry) -> Result<u64> {
        let natural = geometry.natural_block_bytes();
        let Some(alignment) = self.alignment else {
            return Ok(natural.clamp(MIN_BLOCK_BYTES, MAX_BLOCK_BYTES));
        };
        let refuse = |problem: String| {
            Err(WalError::AlignmentRefused {
                path: self.dir.clone(),
                alignment_bytes: alignment,
                problem,
            })
        };
        let smallest = geometry.offset_align_bytes.or(geometry.logical_block_bytes).unwrap_or(0);
        if alignment < smallest {
            return refuse(format!(
                "direct I/O works in units of {smallest} bytes there; use at least that"
            ));
        }
        if alignment < natural && !self.force_alignment {
            return refuse(format!(
                "the block it writes whole is {natural} bytes, and rewriting part of one can damage a \
                 neighbour that is durable already; use {natural} or more (force_alignment = true \
                 accepts the risk)"
            ));
        }
        Ok(alignment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(offset: u64, physical: u64) -> Geometry {
        Geometry {
            offset_align_bytes: Some(offset),
            physical_block_bytes: Some(physical),
            ..Geometry::default()
        }
    }

    #[test]
    fn the_defaults_are_valid_once_a_directory_is_named() {
        assert!(SegmentedWalConfig::new("x").validate().is_ok());
        let error = SegmentedWalConfig::default().validate().expect_err("no directory");
        assert!(error.to_string().contains("dir"), "{error}");
    }

    #[test]
    fn every_range_is_enforced() {
        let broken: [fn(&mut SegmentedWalConfig); 8] = [
            |c| c.alignment = Some(3000),
            |c| c.alignment = Some(128 << 10),
            |c| c.buffer_size = 100,
            |c| c.segment_size = 0,
            |c| c.commit_window = Duration::from_secs(2),
            |c| c.pipeline_depth = 0,
            |c| c.prepared_segments = 0,
            |c| c.idle_marker_after = Duration::ZERO,
        ];
        for (index, break_it) in broken.into_iter().enumerate() {
            let mut config = SegmentedWalConfig::new("x");
            break_it(&mut config);
            let error = config.validate().expect_err("out of range");
            assert!(matches!(error, WalError::InvalidConfig { .. }), "case {index}: {error}");
        }
    }

    #[test]
    fn alignment_follows_the_device_unless_forced() {
        let mut config = SegmentedWalConfig::new("x");
        assert_eq!(config.block_bytes(&geometry(512, 4096)).expect("natural"), 4096);
        config.alignment = Some(512);
        let refused = config.block_bytes(&geometry(512, 4096)).expect_err("below physical");
        assert!(refused.to_string().contains("writes whole is 4096"), "{refused}");
        config.force_alignment = true;
        assert_eq!(config.block_bytes(&geometry(512, 4096)).expect("forced"), 512);
        assert!(config.block_bytes(&geometry(4096, 4096)).is_err(), "impossible even if forced");
        config.alignment = Some(16 << 10);
        assert_eq!(config.block_bytes(&geometry(512, 4096)).expect("larger"), 16 << 10);
    }
}
