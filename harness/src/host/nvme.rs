//! Who an NVMe disk is, and what it may do to save power, from /sys: no admin commands, so that no
//! rights are needed. The serial number is hashed, as everywhere.

use std::path::Path;

use serde::Serialize;

use super::device::hash;
use super::layers::nvme_controller;
use super::sysfs::Sysfs;

/// An NVMe namespace and its (first) controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Nvme {
    /// E.g. `nvme0`.
    pub controller: String,
    /// Model.
    pub model: Option<String>,
    /// Firmware revision.
    pub firmware: Option<String>,
    /// First 16 hex digits of the SHA-256 of the serial number.
    pub serial_hash: Option<String>,
    /// Namespace number.
    pub namespace: Option<u64>,
    /// `pcie`, `tcp`, `rdma`, `fc`.
    pub transport: Option<String>,
    /// Queues, the admin queue included.
    pub queues: Option<u64>,
    /// Entries of each.
    pub queue_entries: Option<u64>,
    /// `live` when all is well.
    pub state: Option<String>,
    /// Wake-up latency that the controller may take on to save power by itself (APST),
    /// microseconds; 0 keeps it awake, `None` where it cannot or the kernel does not say.
    pub power_saving_latency_us: Option<u64>,
}

impl Nvme {
    /// Of the disk whose folder below /sys this is; `None` when it is no NVMe disk.
    pub(super) fn of(sysfs: &Sysfs, disk: &Path) -> Option<Self> {
        let name = disk.file_name()?.to_string_lossy();
        let controller = name.starts_with("nvme").then(|| nvme_controller(sysfs, disk))??;
        let text = |name: &str| sysfs.read(controller.join(name));
        let number = |name: &str| sysfs.read_number(controller.join(name));
        Some(Self {
            controller: controller.file_name()?.to_string_lossy().into_owned(),
            model: text("model"),
            firmware: text("firmware_rev"),
            serial_hash: text("serial").map(|serial| hash(&serial)),
            namespace: sysfs.read_number(disk.join("nsid")),
            transport: text("transport"),
            queues: number("queue_count"),
            queue_entries: number("sqsize").map(|last| last + 1),
            state: text("state"),
            power_saving_latency_us: number("power/pm_qos_latency_tolerance_us"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn an_nvme_disk_says_who_it_is_and_another_disk_nothing() {
        let tree = tempfile::tempdir().unwrap();
        let controller = tree.path().join("sys/devices/nvme0");
        fs::create_dir_all(controller.join("nvme0n1")).unwrap();
        fs::create_dir_all(controller.join("power")).unwrap();
        symlink(&controller, controller.join("nvme0n1/device")).unwrap();
        for (name, text) in [
            ("model", "Fast Disk 1TB   \n"),
            ("serial", "S123\n"),
            ("firmware_rev", "FW1\n"),
            ("transport", "pcie\n"),
            ("queue_count", "9\n"),
            ("sqsize", "1023\n"),
            ("state", "live\n"),
            ("power/pm_qos_latency_tolerance_us", "100000\n"),
            ("nvme0n1/nsid", "1\n"),
        ] {
            fs::write(controller.join(name), text).unwrap();
        }
        let sysfs = Sysfs::below(tree.path());
        let found = Nvme::of(&sysfs, Path::new("sys/devices/nvme0/nvme0n1"));
        let found = found.expect("an NVMe disk");
        assert_eq!((found.controller.as_str(), found.namespace), ("nvme0", Some(1)));
        assert_eq!(found.model.as_deref(), Some("Fast Disk 1TB"));
        assert_eq!((found.queues, found.queue_entries), (Some(9), Some(1024)));
        assert_eq!(found.power_saving_latency_us, Some(100_000));
        assert!(found.serial_hash.is_some_and(|hashed| !hashed.contains("S123")));
        assert_eq!(Nvme::of(&sysfs, Path::new("sys/block/vda")), None);
    }
}
