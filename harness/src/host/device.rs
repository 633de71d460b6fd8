//! The block device under a file system, from /sys: its queue's limits and caches, and who made
//! it. A partition has no queue of its own, so the disk it lies on is described.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use nix::sys::stat;
use sha2::{Digest, Sha256};

use super::sysfs::Sysfs;

/// Queue files kept as they are.
const QUEUE_LIMITS: [&str; 3] = ["nr_requests", "max_sectors_kb", "rotational"];

/// Deepest stack of mapped devices (LVM on LUKS on …) followed to the disk below.
const MAX_STACK: usize = 8;

/// A device's number, written as /sys does: `259:2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceNumber {
    major: u64,
    minor: u64,
}

impl DeviceNumber {
    #[cfg(test)]
    pub(super) fn new(major: u64, minor: u64) -> Self {
        Self { major, minor }
    }

    /// From the number `stat` gives (`st_dev` or `st_rdev`).
    pub(crate) fn of(number: u64) -> Self {
        Self { major: stat::major(number), minor: stat::minor(number) }
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// What /sys says about a disk; `None` where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockDevice {
    /// `nvme0n1`, `vda`, `dm-0`.
    pub name: String,
    /// Model of the disk; for a mapped device, of the one disk below it.
    pub model: Option<String>,
    /// Its firmware revision.
    pub firmware: Option<String>,
    /// First 16 hex digits of the SHA-256 of its serial number: tells two drives apart without
    /// publishing which ones they are.
    pub serial_hash: Option<String>,
    /// Logical block size, bytes.
    pub logical_block_bytes: Option<u64>,
    /// Physical block size, bytes.
    pub physical_block_bytes: Option<u64>,
    /// `write back` or `write through`.
    pub write_cache: Option<String>,
    /// Whether a write can ask for its own durability.
    pub fua: Option<bool>,
    /// Largest single write that is never torn, bytes; 0 says the device promises none.
    pub atomic_write_max_bytes: Option<u64>,
    /// The scheduler in force.
    pub scheduler: Option<String>,
    /// `nr_requests`, `max_sectors_kb` and `rotational`, as written.
    pub queue_limits: BTreeMap<String, String>,
    /// Bytes written to it since the machine started.
    pub written_bytes: Option<u64>,
}

/// The device with this number; `None` when it is not a block device (tmpfs, btrfs, overlay).
pub(crate) fn find(sysfs: &Sysfs, number: DeviceNumber) -> Option<BlockDevice> {
    let found = sysfs.resolve(format!("sys/dev/block/{number}"))?;
    let disk =
        if sysfs.exists(found.join("partition")) { found.parent()?.to_path_buf() } else { found };
    Some(describe(sysfs, &disk))
}

fn describe(sysfs: &Sysfs, disk: &Path) -> BlockDevice {
    let queue = disk.join("queue");
    let text = |name: &str| sysfs.read(queue.join(name));
    let number = |name: &str| sysfs.read_number(queue.join(name));
    let bottom = disk_below(sysfs, disk);
    let identity = |names: &[&str]| names.iter().find_map(|name| sysfs.read(bottom.join(name)));
    BlockDevice {
        name: file_name(disk),
        // NVMe and SCSI call it model; SD and eMMC cards, name.
        model: identity(&["device/model", "device/name"]),
        firmware: identity(&["device/firmware_rev", "device/rev", "device/fwrev"]),
        serial_hash: serial(sysfs, &bottom).map(|serial| hash(&serial)),
        logical_block_bytes: number("logical_block_size"),
        physical_block_bytes: number("physical_block_size"),
        write_cache: text("write_cache"),
        fua: number("fua").map(|fua| fua != 0),
        atomic_write_max_bytes: number("atomic_write_unit_max_bytes"),
        scheduler: text("scheduler").and_then(|text| scheduler_in_force(&text)),
        queue_limits: QUEUE_LIMITS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), text(name)?)))
            .collect(),
        written_bytes: sysfs.read(disk.join("stat")).and_then(|text| written_bytes(&text)),
    }
}

/// The seventh number of a disk's `stat` counts sectors of 512 bytes, whatever the device's own are
/// (Documentation/block/stat.rst).
fn written_bytes(stat: &str) -> Option<u64> {
    let sectors: u64 = stat.split_whitespace().nth(6)?.parse().ok()?;
    sectors.checked_mul(512)
}

/// Follows a mapped device down to the disk it lies on, as long as there is exactly one.
fn disk_below(sysfs: &Sysfs, disk: &Path) -> PathBuf {
    let mut current = disk.to_path_buf();
    for _ in 0..MAX_STACK {
        let slaves = current.join("slaves");
        let [only] = &sysfs.names(&slaves)[..] else {
            break;
        };
        let Some(below) = sysfs.resolve(slaves.join(only)) else {
            break;
        };
        current = match below.parent() {
            Some(parent) if sysfs.exists(below.join("partition")) => parent.to_path_buf(),
            _ => below,
        };
    }
    current
}

/// NVMe and MMC keep the serial beside the device, virtio with the disk, and SCSI in VPD page 0x80:
/// four header bytes, the last two the length, then the serial (SPC-4, 7.8.15).
fn serial(sysfs: &Sysfs, disk: &Path) -> Option<String> {
    let plain = ["device/serial", "serial"].iter().find_map(|name| sysfs.read(disk.join(name)));
    plain.or_else(|| vpd_serial(&sysfs.read_bytes(disk.join("device/vpd_pg80"))?))
}

fn vpd_serial(page: &[u8]) -> Option<String> {
    let [_, 0x80, high, low, rest @ ..] = page else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let text = String::from_utf8_lossy(rest.get(..length)?);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// The first 16 hex digits of the SHA-256.
pub(super) fn hash(serial: &str) -> String {
    Sha256::digest(serial.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The name in brackets (`[mq-deadline] none`), or the only one there is.
pub(super) fn scheduler_in_force(text: &str) -> Option<String> {
    let bracketed = text
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map(|(name, _)| name.trim());
    let mut words = text.split_whitespace();
    let only = words.next().filter(|_| words.next().is_none());
    bracketed.or(only).filter(|name| !name.is_empty()).map(str::to_owned)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A tree like /sys with an NVMe disk, a partition on it and a mapped device over that.
    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let root = tree.path();
        let write = |path: &str, text: &str| {
            let path = root.join("sys").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("devices/pci/nvme0/model", "Fast Disk 1TB   \n");
        write("devices/pci/nvme0/firmware_rev", "FW1.2\n");
        write("devices/pci/nvme0/serial", "S123\n");
        for (name, text) in [
            ("logical_block_size", "512\n"),
            ("physical_block_size", "4096\n"),
            ("write_cache", "write back\n"),
            ("fua", "1\n"),
            ("atomic_write_unit_max_bytes", "16384\n"),
            ("scheduler", "mq-deadline kyber [none]\n"),
            ("nr_requests", "1023\n"),
            ("rotational", "0\n"),
        ] {
            write(&format!("devices/pci/nvme0/nvme0n1/queue/{name}"), text);
        }
        write("devices/pci/nvme0/nvme0n1/stat", " 5 0 40 1 7 2 96 3 0 4 4\n");
        write("devices/pci/nvme0/nvme0n1/nvme0n1p2/partition", "2\n");
        write("devices/virtual/dm-0/queue/write_cache", "write through\n");
        fs::create_dir_all(root.join("sys/devices/virtual/dm-0/slaves")).unwrap();
        fs::create_dir_all(root.join("sys/dev/block")).unwrap();
        let link = |to: &str, at: &str| {
            symlink(root.join("sys").join(to), root.join("sys").join(at)).unwrap();
        };
        link("devices/pci/nvme0", "devices/pci/nvme0/nvme0n1/device");
        link("devices/pci/nvme0/nvme0n1", "dev/block/259:0");
        link("devices/pci/nvme0/nvme0n1/nvme0n1p2", "dev/block/259:2");
        link("devices/virtual/dm-0", "dev/block/253:0");
        link("devices/pci/nvme0/nvme0n1/nvme0n1p2", "devices/virtual/dm-0/slaves/nvme0n1p2");
        tree
    }

    fn number(major: u64, minor: u64) -> DeviceNumber {
        DeviceNumber::new(major, minor)
    }

    #[test]
    fn a_partition_is_described_by_its_disk() {
        let tree = tree();
        let sysfs = Sysfs::below(tree.path());
        let disk = find(&sysfs, number(259, 2)).unwrap();
        assert_eq!(Some(&disk), find(&sysfs, number(259, 0)).as_ref());
        assert_eq!(disk.name, "nvme0n1");
        assert_eq!(disk.model.as_deref(), Some("Fast Disk 1TB"));
        assert_eq!(disk.firmware.as_deref(), Some("FW1.2"));
        assert_eq!(disk.logical_block_bytes, Some(512));
        assert_eq!(disk.physical_block_bytes, Some(4096));
        assert_eq!(disk.write_cache.as_deref(), Some("write back"));
        assert_eq!(disk.fua, Some(true));
        assert_eq!(disk.atomic_write_max_bytes, Some(16384));
        assert_eq!(disk.scheduler.as_deref(), Some("none"));
        assert_eq!(disk.written_bytes, Some(96 * 512));
        let limits: Vec<_> = disk.queue_limits.into_iter().collect();
        let expected = [("nr_requests", "1023"), ("rotational", "0")];
        assert_eq!(limits, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }

    #[test]
    fn the_serial_is_hashed() {
        let tree = tree();
        let disk = find(&Sysfs::below(tree.path()), number(259, 0)).unwrap();
        let hashed = disk.serial_hash.unwrap();
        assert_eq!(hashed.len(), 16);
        assert!(!hashed.contains("S123"));
        // From `printf abc | sha256sum`.
        assert_eq!(hash("abc"), "ba7816bf8f01cfea");
    }

    #[test]
    fn a_mapped_device_has_its_own_queue_and_its_disks_identity() {
        let tree = tree();
        let mapped = find(&Sysfs::below(tree.path()), number(253, 0)).unwrap();
        assert_eq!(mapped.name, "dm-0");
        assert_eq!(mapped.write_cache.as_deref(), Some("write through"));
        assert_eq!(mapped.model.as_deref(), Some("Fast Disk 1TB"));
        assert_eq!(mapped.fua, None);
    }

    #[test]
    fn an_unknown_number_is_no_device() {
        let tree = tree();
        assert_eq!(find(&Sysfs::below(tree.path()), number(0, 42)), None);
        assert_eq!(find(&Sysfs::below(Path::new("/nonexistent")), number(259, 0)), None);
    }

    #[test]
    fn the_scheduler_in_force() {
        assert_eq!(scheduler_in_force("[mq-deadline] none").as_deref(), Some("mq-deadline"));
        assert_eq!(scheduler_in_force("none").as_deref(), Some("none"));
        for text in ["", "a b", "[] x y", "[open x"] {
            assert_eq!(scheduler_in_force(text), None, "{text}");
        }
    }

    #[test]
    fn scsi_serials_come_from_the_vital_product_data() {
        assert_eq!(vpd_serial(b"\0\x80\0\x06  AB12rest").as_deref(), Some("AB12"));
        for page in
            [&b""[..], b"\0\x80\0", b"\0\x80\0\x09short", b"\0\x83\0\x04AB12", b"\0\x80\0\x02  "]
        {
            assert_eq!(vpd_serial(page), None);
        }
    }
}
