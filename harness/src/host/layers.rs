//! What lies beneath a file system, from the top down: partitions, loop devices over files, mapped
//! and RAID devices, and the disks at the bottom with the way they are attached. A log is as durable
//! as the weakest of these.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::device::DeviceNumber;
use super::sysfs::Sysfs;

/// Deepest stack that is followed. Real ones have four or five layers (a partition, RAID, LUKS, LVM).
const DEPTH_MAX: u32 = 12;

/// Layers told at most: an array may have hundreds of members.
const LAYERS_MAX: usize = 64;

/// A device in the stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Layer {
    /// Name, e.g. `dm-0`.
    pub name: String,
    /// How many layers lie above it.
    pub depth: u32,
    /// What it is.
    pub device: LayerDevice,
}

impl Layer {
    /// Whether it is a disk, beneath which there is nothing that this machine can see.
    pub(crate) fn is_disk(&self) -> bool {
        matches!(self.device, LayerDevice::Disk { .. })
    }
}

/// What a layer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub(crate) enum LayerDevice {
    /// A part of the disk below.
    Partition {
        /// By how much it begins beside the disk's physical blocks, bytes.
        alignment_offset_bytes: Option<u64>,
    },
    /// A file that is used as a disk.
    Loop {
        /// The file.
        backing_file: String,
        /// Whether writes bypass the page cache on their way to the file.
        direct_io: bool,
    },
    /// Device mapper.
    Mapped {
        /// Its name in /dev/mapper.
        mapped_name: Option<String>,
        /// Who made it, e.g. `LVM`, `CRYPT`; `None` where the device does not carry it.
        made_by: Option<String>,
    },
    /// Software RAID.
    Raid {
        /// E.g. `raid1`.
        level: Option<String>,
    },
    /// A disk.
    Disk {
        /// How it is attached.
        transport: Transport,
    },
}

/// How a disk is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Transport {
    /// NVMe on the machine's own bus.
    NvmePcie,
    /// NVMe over a network.
    NvmeFabrics,
    /// SATA or PATA.
    Ata,
    /// Serial-attached SCSI.
    Sas,
    /// USB.
    Usb,
    /// SD card or eMMC.
    Mmc,
    /// SCSI over a network.
    Iscsi,
    /// A network block device: nbd, rbd, drbd.
    Network,
    /// A paravirtual disk of KVM, Firecracker and others.
    Virtio,
    /// A paravirtual disk of Xen.
    Xen,
    /// A paravirtual disk of Hyper-V.
    HyperV,
    /// A disk in main memory: zram, brd.
    Memory,
    /// Persistent memory.
    PersistentMemory,
    /// None of these.
    Unknown,
}

impl Transport {
    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::NvmePcie => "NVMe on PCIe",
            Self::NvmeFabrics => "NVMe over a network",
            Self::Ata => "SATA",
            Self::Sas => "SAS",
            Self::Usb => "USB",
            Self::Mmc => "SD card or eMMC",
            Self::Iscsi => "iSCSI",
            Self::Network => "network block device",
            Self::Virtio => "virtio",
            Self::Xen => "Xen virtual disk",
            Self::HyperV => "Hyper-V virtual disk",
            Self::Memory => "main memory",
            Self::PersistentMemory => "persistent memory",
            Self::Unknown => "attached in an unknown way",
        }
    }
}

/// Finds the device that a file lies on.
pub(super) type DeviceOfFile<'a> = &'a dyn Fn(&Path) -> Option<DeviceNumber>;

/// All layers from the device with this number down to the disks, those that lie on several devices
/// before their parts.
pub(super) fn below(
    sysfs: &Sysfs,
    number: DeviceNumber,
    device_of_file: DeviceOfFile<'_>,
) -> Vec<Layer> {
    let mut walk = Walk { sysfs, device_of_file, found: Vec::new() };
    if let Some(top) = sysfs.resolve(format!("sys/dev/block/{number}")) {
        walk.descend(&top, 0);
    }
    walk.found
}

struct Walk<'a> {
    sysfs: &'a Sysfs,
    device_of_file: DeviceOfFile<'a>,
    found: Vec<Layer>,
}

impl Walk<'_> {
    fn descend(&mut self, device: &Path, depth: u32) {
        if depth >= DEPTH_MAX || self.found.len() >= LAYERS_MAX {
            return;
        }
        let (kind, beneath) = self.examine(device);
        let name = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.found.push(Layer { name, depth, device: kind });
        for below in beneath {
            self.descend(&below, depth + 1);
        }
    }

    /// What a device is, and the devices that it lies on.
    fn examine(&self, device: &Path) -> (LayerDevice, Vec<PathBuf>) {
        let sysfs = self.sysfs;
        if sysfs.exists(device.join("partition")) {
            let alignment_offset_bytes = sysfs.read_number(device.join("alignment_offset"));
            let disk = device.parent().map(Path::to_path_buf);
            return (LayerDevice::Partition { alignment_offset_bytes }, disk.into_iter().collect());
        }
        if let Some(backing_file) = sysfs.read(device.join("loop/backing_file")) {
            let direct_io = sysfs.read_number(device.join("loop/dio")) == Some(1);
            let below = (self.device_of_file)(Path::new(&backing_file))
                .and_then(|number| sysfs.resolve(format!("sys/dev/block/{number}")));
            return (LayerDevice::Loop { backing_file, direct_io }, below.into_iter().collect());
        }
        let slaves = device.join("slaves");
        let below: Vec<PathBuf> = sysfs
            .names(&slaves)
            .iter()
            .filter_map(|name| sysfs.resolve(slaves.join(name)))
            .collect();
        if sysfs.exists(device.join("dm")) {
            let made_by = sysfs.read(device.join("dm/uuid")).and_then(|uuid| made_by(&uuid));
            let mapped_name = sysfs.read(device.join("dm/name"));
            return (LayerDevice::Mapped { mapped_name, made_by }, below);
        }
        if sysfs.exists(device.join("md")) {
            return (LayerDevice::Raid { level: sysfs.read(device.join("md/level")) }, below);
        }
        (LayerDevice::Disk { transport: transport(sysfs, device) }, below)
    }
}

/// Device mapper's tools begin a device's UUID with their own name: `LVM-…`, `CRYPT-LUKS2-…`.
fn made_by(uuid: &str) -> Option<String> {
    let (name, _) = uuid.split_once('-')?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// From the device's name, NVMe's own word, and the buses in its path below /sys.
fn transport(sysfs: &Sysfs, disk: &Path) -> Transport {
    let name = disk.file_name().unwrap_or_default().to_string_lossy();
    let named = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if named(&["zram", "ram"]) {
        return Transport::Memory;
    }
    if named(&["pmem"]) {
        return Transport::PersistentMemory;
    }
    if named(&["nbd", "rbd", "drbd"]) {
        return Transport::Network;
    }
    if named(&["nvme"]) {
        return match nvme_transport(sysfs, disk).as_deref() {
            Some("pcie" | "apple-nvme") => Transport::NvmePcie,
            Some(_) => Transport::NvmeFabrics,
            None => Transport::Unknown,
        };
    }
    let parts: Vec<String> =
        disk.iter().map(|part| part.to_string_lossy().to_ascii_lowercase()).collect();
    // USB and virtio carry SCSI and ATA disks, too, so that the outer bus is looked for first.
    let buses: [(&str, Transport); 9] = [
        ("usb", Transport::Usb),
        ("session", Transport::Iscsi),
        ("virtio", Transport::Virtio),
        ("vmbus", Transport::HyperV),
        ("vbd-", Transport::Xen),
        ("mmc_host", Transport::Mmc),
        ("end_device-", Transport::Sas),
        ("ata", Transport::Ata),
        ("nvme", Transport::NvmePcie),
    ];
    let on = |bus: &str| parts.iter().any(|part| part.starts_with(bus));
    buses.iter().find(|(bus, _)| on(bus)).map_or(Transport::Unknown, |(_, found)| *found)
}

/// A namespace's `device` is its controller, or, with several paths to it, the subsystem that names
/// its controllers.
fn nvme_transport(sysfs: &Sysfs, disk: &Path) -> Option<String> {
    sysfs.read(nvme_controller(sysfs, disk)?.join("transport"))
}

/// The (first) controller of an NVMe disk.
pub(super) fn nvme_controller(sysfs: &Sysfs, disk: &Path) -> Option<PathBuf> {
    let device = disk.join("device");
    if sysfs.exists(device.join("transport")) {
        return sysfs.resolve(&device);
    }
    let is_controller = |name: &String| {
        name.strip_prefix("nvme").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let first = sysfs.names(&device).into_iter().find(is_controller)?;
    sysfs.resolve(device.join(first))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join("sys").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn link(&self, to: &str, at: &str) {
            let root = self.0.path().join("sys");
            let at = root.join(at);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            symlink(root.join(to), at).unwrap();
        }

        fn below(&self, major: u64, minor: u64) -> Vec<Layer> {
            let sysfs = Sysfs::below(self.0.path());
            let on_nvme = |path: &Path| {
                (path == Path::new("/images/disk.img")).then(|| DeviceNumber::new(259, 2))
            };
            below(&sysfs, DeviceNumber::new(major, minor), &on_nvme)
        }
    }

    fn layer(name: &str, depth: u32, device: LayerDevice) -> Layer {
        Layer { name: name.into(), depth, device }
    }

    fn with_nvme() -> Tree {
        let tree = Tree::new();
        tree.write("devices/pci/nvme/nvme0/transport", "pcie\n");
        tree.write("devices/pci/nvme/nvme0/nvme0n1/queue/fua", "1");
        tree.write("devices/pci/nvme/nvme0/nvme0n1/nvme0n1p2/partition", "2");
        tree.write("devices/pci/nvme/nvme0/nvme0n1/nvme0n1p2/alignment_offset", "512");
        tree.link("devices/pci/nvme/nvme0", "devices/pci/nvme/nvme0/nvme0n1/device");
        tree.link("devices/pci/nvme/nvme0/nvme0n1/nvme0n1p2", "dev/block/259:2");
        tree
    }

    const PARTITION: LayerDevice = LayerDevice::Partition { alignment_offset_bytes: Some(512) };
    const NVME: LayerDevice = LayerDevice::Disk { transport: Transport::NvmePcie };

    #[test]
    fn a_stack_is_followed_to_its_disks() {
        let tree = with_nvme();
        // LVM over RAID 1 of the NVMe partition and a SATA disk.
        tree.write("devices/virtual/block/dm-3/dm/uuid", "LVM-abc\n");
        tree.write("devices/virtual/block/dm-3/dm/name", "vg-wal\n");
        tree.write("devices/virtual/block/md0/md/level", "raid1\n");
        tree.write("devices/pci/ata3/host2/target2:0:0/2:0:0:0/block/sdb/size", "9");
        tree.link("devices/virtual/block/dm-3", "dev/block/253:3");
        tree.link("devices/virtual/block/md0", "devices/virtual/block/dm-3/slaves/md0");
        let sata = "devices/pci/ata3/host2/target2:0:0/2:0:0:0/block/sdb";
        tree.link(sata, "devices/virtual/block/md0/slaves/sdb");
        let part = "devices/pci/nvme/nvme0/nvme0n1/nvme0n1p2";
        tree.link(part, "devices/virtual/block/md0/slaves/nvme0n1p2");
        let mapped =
            LayerDevice::Mapped { mapped_name: Some("vg-wal".into()), made_by: Some("LVM".into()) };
        let expected = [
            layer("dm-3", 0, mapped),
            layer("md0", 1, LayerDevice::Raid { level: Some("raid1".into()) }),
            layer("nvme0n1p2", 2, PARTITION),
            layer("nvme0n1", 3, NVME),
            layer("sdb", 2, LayerDevice::Disk { transport: Transport::Ata }),
        ];
        assert_eq!(tree.below(253, 3), expected);
        assert_eq!(tree.below(1, 1), [], "no such device");
    }

    #[test]
    fn a_loop_device_lies_on_what_its_file_lies_on() {
        let tree = with_nvme();
        tree.write("devices/virtual/block/loop0/loop/backing_file", "/images/disk.img\n");
        tree.write("devices/virtual/block/loop0/loop/dio", "1\n");
        tree.link("devices/virtual/block/loop0", "dev/block/7:0");
        let file =
            |direct_io| LayerDevice::Loop { backing_file: "/images/disk.img".into(), direct_io };
        let expected = [
            layer("loop0", 0, file(true)),
            layer("nvme0n1p2", 1, PARTITION),
            layer("nvme0n1", 2, NVME),
        ];
        assert_eq!(tree.below(7, 0), expected);
        tree.write("devices/virtual/block/loop0/loop/dio", "0\n");
        assert_eq!(tree.below(7, 0)[0], layer("loop0", 0, file(false)));
    }

    #[test]
    fn a_circle_ends() {
        let tree = Tree::new();
        tree.write("devices/virtual/block/dm-0/dm/name", "odd");
        tree.link("devices/virtual/block/dm-0", "dev/block/253:0");
        tree.link("devices/virtual/block/dm-0", "devices/virtual/block/dm-0/slaves/dm-0");
        assert_eq!(tree.below(253, 0).len(), DEPTH_MAX as usize);
    }

    #[test]
    fn transports_are_told_by_bus() {
        let tree = Tree::new();
        let sysfs = Sysfs::below(tree.0.path());
        for (path, expected) in [
            ("sys/devices/pci0000:00/0000:00:02.0/virtio1/block/vda", Transport::Virtio),
            ("sys/devices/pci0/virtio2/host0/target0:0:0/0:0:0:0/block/sda", Transport::Virtio),
            ("sys/devices/pci0/usb1/1-2/host6/target6:0:0/6:0:0:0/block/sdc", Transport::Usb),
            ("sys/devices/platform/host9/session1/target9:0:0/9:0:0:1/block/sdd", Transport::Iscsi),
            (
                "sys/devices/pci0/host0/port-0:0/end_device-0:0/target0:0:0/block/sde",
                Transport::Sas,
            ),
            ("sys/devices/platform/mmc_host/mmc0/mmc0:0001/block/mmcblk0", Transport::Mmc),
            ("sys/devices/vbd-51712/block/xvda", Transport::Xen),
            ("sys/devices/ACPI0004:00/VMBUS:00/x/host0/block/sda", Transport::HyperV),
            ("sys/devices/virtual/block/zram0", Transport::Memory),
            ("sys/devices/virtual/block/nbd3", Transport::Network),
            ("sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1", Transport::Unknown),
            ("sys/devices/somewhere/block/sdz", Transport::Unknown),
        ] {
            assert_eq!(transport(&sysfs, Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn a_multipath_namespace_is_told_by_its_controller() {
        let tree = Tree::new();
        let subsystem = "devices/virtual/nvme-subsystem/nvme-subsys0";
        tree.write(&format!("{subsystem}/nvme0n1/size"), "9");
        tree.write("devices/nvme-fabrics/ctl/nvme0/transport", "tcp\n");
        tree.link(subsystem, &format!("{subsystem}/nvme0n1/device"));
        tree.link("devices/nvme-fabrics/ctl/nvme0", &format!("{subsystem}/nvme0"));
        let sysfs = Sysfs::below(tree.0.path());
        let disk = Path::new("sys").join(subsystem).join("nvme0n1");
        assert_eq!(transport(&sysfs, &disk), Transport::NvmeFabrics);
    }
}
