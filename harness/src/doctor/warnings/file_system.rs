//! What the file system, its mount options and its free space do to a log.

use serde::Serialize;

use super::{Severity, Words};
use crate::doctor::facts::{Facts, LogAnswer};
use crate::units::{format_bytes, format_data, format_share};

/// ext4 reserves as much against fragmentation (mke2fs(8), `-m`).
const FREE_SHARE_MIN: f64 = 0.05;

/// A property of the file system.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub(crate) enum FileSystemWarning {
    /// Mounted with data=journal.
    JournaledData,
    /// Mounted with sync.
    SynchronousMount,
    /// Each block is written to a new place.
    CopyOnWrite {
        /// Its type.
        filesystem: String,
    },
    /// Less is free than a log keeps.
    NoRoomForSegments {
        /// Free.
        free_bytes: u64,
        /// Kept by a log with the default settings.
        needed_bytes: u64,
    },
    /// Hardly anything is free.
    NearlyFull {
        /// 0 to 1.
        free_share: f64,
    },
    /// Mounted with discard.
    OnlineDiscard,
}

impl FileSystemWarning {
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::JournaledData
            | Self::SynchronousMount
            | Self::CopyOnWrite { .. }
            | Self::NoRoomForSegments { .. } => Severity::Slow,
            Self::NearlyFull { .. } | Self::OnlineDiscard => Severity::Note,
        }
    }

    pub(super) fn words(&self) -> Words {
        match self {
            Self::JournaledData => Words::new(
                "the file system journals data (data=journal): everything is written twice, and \
                 nothing directly",
                "mount it with data=ordered, the default",
            ),
            Self::SynchronousMount => Words::new(
                "the file system is mounted with sync: every change of a name or size waits for the \
                 disk",
                "mount it without sync; a log asks for durability where it needs it",
            ),
            Self::CopyOnWrite { filesystem } => Words::new(
                format!(
                    "{filesystem} writes each block to a new place, so that preparing segments gains \
                     nothing"
                ),
                "chattr +C on the empty directory (btrfs), or use ext4 or XFS",
            ),
            Self::NoRoomForSegments { free_bytes, needed_bytes } => Words::new(
                format!(
                    "{} are free, and a log with the default settings keeps {} of segments",
                    format_data(*free_bytes as f64),
                    format_bytes(*needed_bytes)
                ),
                "free some space, or use smaller segments (segment_size)",
            ),
            Self::NearlyFull { free_share } => Words::new(
                format!("{} of the file system is free", format_share(*free_share)),
                "free some: what is left is scattered, and a full disk stops the log",
            ),
            Self::OnlineDiscard => Words::new(
                "freed space is passed on to the disk at once (mount option discard), so that deleting \
                 segments can delay commits",
                "keep preparation = \"recycle\", the default, or mount it without discard and run \
                 fstrim by timer",
            ),
        }
    }
}

pub(super) fn of(facts: &Facts) -> Vec<FileSystemWarning> {
    let filesystem = facts.environment.filesystem.as_deref().unwrap_or("");
    let mut found = Vec::new();
    if facts.is_mounted_with("data=journal") {
        found.push(FileSystemWarning::JournaledData);
    }
    if facts.is_mounted_with("sync") {
        found.push(FileSystemWarning::SynchronousMount);
    }
    if ["btrfs", "zfs", "bcachefs"].contains(&filesystem) && !facts.is_mounted_with("nodatacow") {
        found.push(FileSystemWarning::CopyOnWrite { filesystem: filesystem.to_owned() });
    }
    if facts.is_mounted_with("discard") {
        found.push(FileSystemWarning::OnlineDiscard);
    }
    found.extend(space(facts));
    found
}

/// 0 is what an unknown amount is stored as; on a full file system a log refuses to open.
fn space(facts: &Facts) -> Option<FileSystemWarning> {
    let free_bytes = Some(facts.environment.free_bytes).filter(|bytes| *bytes > 0)?;
    if let LogAnswer::Opens { choices } = &facts.log {
        let needed_bytes = choices.segment_bytes * u64::from(choices.segments);
        if free_bytes < needed_bytes {
            return Some(FileSystemWarning::NoRoomForSegments { free_bytes, needed_bytes });
        }
    }
    let all_bytes = Some(facts.place.filesystem_bytes).filter(|bytes| *bytes > 0)?;
    let free_share = free_bytes as f64 / all_bytes as f64;
    (free_share < FREE_SHARE_MIN).then_some(FileSystemWarning::NearlyFull { free_share })
}
