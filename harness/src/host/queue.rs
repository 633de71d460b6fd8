//! The limits of a block device's request queue and what the device says of its caches, from
//! `/sys/block/*/queue` (Documentation/ABI/stable/sysfs-block). What the kernel does not say is
//! `None`; a 0 by which it says "there is none" is kept where it is an answer.

use std::path::Path;

use serde::Serialize;

use super::device::scheduler_in_force;
use super::sysfs::Sysfs;

/// A block device's queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Queue {
    /// Name of the device, e.g. `nvme0n1`.
    pub device: String,
    /// Smallest unit that can be addressed, bytes.
    pub logical_block_bytes: Option<u64>,
    /// Smallest unit that is written without reading first, bytes.
    pub physical_block_bytes: Option<u64>,
    /// Preferred unit of sustained writes, bytes; `None` where the device has no preference.
    pub optimal_io_bytes: Option<u64>,
    /// Largest request, bytes: a larger write is split.
    pub request_bytes_max: Option<u64>,
    /// Requests in the queue at most (`nr_requests`).
    pub requests_max: Option<u64>,
    /// Scheduler in force.
    pub scheduler: Option<String>,
    /// Whether the device calls itself a rotating one.
    pub rotational: Option<bool>,
    /// Whether freed blocks can be passed on to it.
    pub discard: Option<bool>,
    /// `none`, `host-aware` or `host-managed`.
    pub zone_model: Option<String>,
    /// 0: all merges of neighbouring requests are tried; 1: the simple ones; 2: none.
    pub nomerges: Option<u64>,
    /// Read latency that buffered write-back is throttled to keep, microseconds; 0 when it is not
    /// throttled, `None` where the kernel cannot.
    pub writeback_throttle_us: Option<u64>,
    /// Whether completions may be polled for.
    pub polling: Option<bool>,
    /// `write back` or `write through`, as the kernel sees it.
    pub write_cache: Option<String>,
    /// Whether a single write can be asked to bypass the cache.
    pub fua: Option<bool>,
    /// Smallest and largest write that is never torn, bytes; 0 where the device promises none.
    pub atomic_write_unit_min_bytes: Option<u64>,
    /// See above.
    pub atomic_write_unit_max_bytes: Option<u64>,
}

impl Queue {
    /// Of the disk whose folder below /sys this is.
    pub(super) fn of(sysfs: &Sysfs, disk: &Path) -> Option<Self> {
        let queue = disk.join("queue");
        if !sysfs.exists(&queue) {
            return None;
        }
        let text = |name: &str| sysfs.read(queue.join(name));
        let number = |name: &str| sysfs.read_number(queue.join(name));
        let flag = |name: &str| number(name).map(|value| value != 0);
        Some(Self {
            device: disk.file_name()?.to_string_lossy().into_owned(),
            logical_block_bytes: number("logical_block_size"),
            physical_block_bytes: number("physical_block_size"),
            optimal_io_bytes: number("optimal_io_size").filter(|bytes| *bytes > 0),
            request_bytes_max: number("max_sectors_kb").and_then(|kib| kib.checked_mul(1024)),
            requests_max: number("nr_requests"),
            scheduler: text("scheduler").and_then(|text| scheduler_in_force(&text)),
            rotational: flag("rotational"),
            discard: flag("discard_max_bytes"),
            zone_model: text("zoned"),
            nomerges: number("nomerges"),
            writeback_throttle_us: number("wbt_lat_usec"),
            polling: flag("io_poll"),
            write_cache: text("write_cache"),
            fua: flag("fua"),
            atomic_write_unit_min_bytes: number("atomic_write_unit_min_bytes"),
            atomic_write_unit_max_bytes: number("atomic_write_unit_max_bytes"),
        })
    }

    /// Whether completed writes can still be lost with the power; `None` if the kernel does not
    /// say.
    pub(crate) fn volatile_cache(&self) -> Option<bool> {
        self.write_cache.as_deref().map(|text| text == "write back")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_queue_is_read_and_what_is_missing_stays_unknown() {
        let tree = tempfile::tempdir().unwrap();
        let queue = tree.path().join("sys/block/sda/queue");
        fs::create_dir_all(&queue).unwrap();
        for (name, text) in [
            ("logical_block_size", "512\n"),
            ("optimal_io_size", "0\n"),
            ("max_sectors_kb", "1280\n"),
            ("scheduler", "none [mq-deadline]\n"),
            ("rotational", "1\n"),
            ("discard_max_bytes", "0\n"),
            ("wbt_lat_usec", "75000\n"),
            ("write_cache", "write back\n"),
            ("fua", "0\n"),
            ("atomic_write_unit_max_bytes", "0\n"),
        ] {
            fs::write(queue.join(name), text).unwrap();
        }
        let sysfs = Sysfs::below(tree.path());
        let expected = Queue {
            device: "sda".into(),
            logical_block_bytes: Some(512),
            request_bytes_max: Some(1280 << 10),
            scheduler: Some("mq-deadline".into()),
            rotational: Some(true),
            discard: Some(false),
            writeback_throttle_us: Some(75_000),
            write_cache: Some("write back".into()),
            fua: Some(false),
            atomic_write_unit_max_bytes: Some(0),
            ..Queue::default()
        };
        let found = Queue::of(&sysfs, Path::new("sys/block/sda"));
        assert_eq!(found, Some(expected));
        assert_eq!(Queue::of(&sysfs, Path::new("sys/block/sdb")), None);
    }

    #[test]
    fn only_write_back_is_volatile() {
        let of = |text: &str| Queue { write_cache: Some(text.into()), ..Queue::default() };
        assert_eq!(of("write back").volatile_cache(), Some(true));
        assert_eq!(of("write through").volatile_cache(), Some(false));
        assert_eq!(Queue::default().volatile_cache(), None);
    }
}
