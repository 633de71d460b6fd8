//! What may break a promise of the log: durability, or that keys stay in memory.

use serde::Serialize;

use super::Words;
use crate::doctor::class::{self, DeviceClass};
use crate::doctor::facts::Facts;
use crate::host::LayerDevice;
use crate::units::{format_bytes, format_us};

/// What an encrypted log locks in memory, bytes: a page of 4 KiB for each master key, segment key and
/// cipher in use, and at most 16 that are kept for the next ones.
pub(in crate::doctor) const KEY_BYTES: u64 = 128 << 10;

/// Mount options that keep flushes from the disk (ext4(5), btrfs(5); XFS gave its own up).
const NO_BARRIERS: [&str; 3] = ["nobarrier", "barrier=0", "barrier=none"];

/// File systems of a host or of a program, which decides what is durable; those of FUSE are named
/// `fuse.sshfs` and the like.
const FILESYSTEMS_OF_PROGRAMS: [&str; 4] = ["9p", "virtiofs", "fuse", "fuseblk"];

/// Something that a log promises may not hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub(crate) enum PromiseWarning {
    /// The disk is in main memory.
    MemoryDevice,
    /// Faster than a disk can be.
    FlushesIgnored {
        /// Median, microseconds.
        durable_write_us: f64,
    },
    /// A mount option keeps flushes from the disk.
    BarriersOff {
        /// The option.
        option: String,
    },
    /// A network or user-space file system.
    ForeignFilesystem {
        /// Its type.
        filesystem: String,
    },
    /// An overlay, as containers have.
    ContainerLayer,
    /// Keys may be swapped out.
    KeysNotLocked {
        /// What may be locked.
        limit_bytes: u64,
        /// What keys take.
        needed_bytes: u64,
    },
    /// A partition beside the disk's physical blocks.
    MisalignedPartition {
        /// Its name.
        partition: String,
        /// By how much.
        offset_bytes: u64,
    },
}

impl PromiseWarning {
    pub(super) fn words(&self) -> Words {
        match self {
            Self::MemoryDevice => Words::new(
                "this is main memory: a log here is gone with the power",
                "name a directory on a real disk",
            ),
            Self::FlushesIgnored { durable_write_us } => Words::new(
                format!(
                    "a durable write takes {}, which no disk manages: flushes are answered and not \
                     done, or data stays in memory",
                    format_us(*durable_write_us)
                ),
                "find out what answers; for a virtual machine's disk, cache=none or \
                 cache=writethrough at the host, never cache=unsafe",
            ),
            Self::BarriersOff { option } => Words::new(
                format!("the file system is mounted with {option} and passes no flushes on"),
                format!("mount it without {option}"),
            ),
            Self::ForeignFilesystem { filesystem } => Words::new(
                format!(
                    "on {filesystem} it is decided elsewhere what is durable, and nothing here can \
                     see that"
                ),
                "use a local disk with ext4 or XFS",
            ),
            Self::ContainerLayer => Words::new(
                "this is an overlay, such as the writable layer of a container, and goes when the \
                 container goes",
                "mount a volume and put the log there",
            ),
            Self::KeysNotLocked { limit_bytes, needed_bytes } => Words::new(
                format!(
                    "{} may be locked in memory and keys take up to {}: those of an encrypted log \
                     could be swapped out to a disk",
                    format_bytes(*limit_bytes),
                    format_bytes(*needed_bytes)
                ),
                "raise the limit: LimitMEMLOCK= in systemd, ulimit -l in a shell",
            ),
            Self::MisalignedPartition { partition, offset_bytes } => Words::new(
                format!(
                    "{partition} begins {} beside the disk's physical blocks: a block of the log lies \
                     across two, and a torn one takes its neighbour along",
                    format_bytes(*offset_bytes)
                ),
                "make the partition again, beginning at a multiple of 1 MiB",
            ),
        }
    }
}

pub(super) fn of(facts: &Facts) -> Vec<PromiseWarning> {
    let filesystem = facts.environment.filesystem.as_deref().unwrap_or("");
    let mut found = Vec::new();
    match class::classify(facts).class {
        DeviceClass::Memory => found.push(PromiseWarning::MemoryDevice),
        DeviceClass::IgnoresFlushes => {
            found.extend(facts.measured.as_ref().map(|measured| PromiseWarning::FlushesIgnored {
                durable_write_us: measured.durable_write.p50_us,
            }));
        }
        _ => {}
    }
    let option = NO_BARRIERS.iter().find(|option| facts.is_mounted_with(option));
    found.extend(option.map(|option| PromiseWarning::BarriersOff { option: (*option).to_owned() }));
    let is_foreign = class::NETWORK_FILESYSTEMS.contains(&filesystem)
        || FILESYSTEMS_OF_PROGRAMS.contains(&filesystem)
        || filesystem.starts_with("fuse.");
    if is_foreign {
        found.push(PromiseWarning::ForeignFilesystem { filesystem: filesystem.to_owned() });
    }
    if filesystem == "overlay" {
        found.push(PromiseWarning::ContainerLayer);
    }
    let limit = facts.environment.memlock_limit_bytes.filter(|_| !facts.memory_lock_unlimited);
    found.extend(
        limit.filter(|limit| *limit < KEY_BYTES).map(|limit_bytes| PromiseWarning::KeysNotLocked {
            limit_bytes,
            needed_bytes: KEY_BYTES,
        }),
    );
    found.extend(facts.place.layers.iter().filter_map(|layer| match layer.device {
        LayerDevice::Partition { alignment_offset_bytes: Some(offset_bytes) }
            if offset_bytes > 0 =>
        {
            Some(PromiseWarning::MisalignedPartition {
                partition: layer.name.clone(),
                offset_bytes,
            })
        }
        _ => None,
    }));
    found
}
