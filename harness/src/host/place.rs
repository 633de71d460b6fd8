//! A directory as a place for a log: beyond what every run records of its machine, the stack of
//! devices beneath it, their queue, and what may limit or delay a write.

use std::path::Path;

use nix::sys::statvfs;
use serde::Serialize;

use super::cgroup::{self, WriteLimits};
use super::layers::{self, Layer};
use super::mounts::{self, Mount};
use super::nvme::Nvme;
use super::power::Power;
use super::queue::Queue;
use super::sysfs::Sysfs;
use super::{device, device_number_under, nearest_existing};

/// What lies under a directory.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// The directory itself, or its nearest parent that exists.
    pub directory: String,
    /// Size of the file system, bytes; 0 when unknown.
    pub filesystem_bytes: u64,
    /// Devices from the top down; empty when there is none (tmpfs, a network file system).
    pub layers: Vec<Layer>,
    /// Queue of the topmost device that has one.
    pub queue: Option<Queue>,
    /// The one NVMe disk at the bottom, if that is what there is.
    pub nvme: Option<Nvme>,
    /// What may go to sleep.
    pub power: Power,
    /// Limits of this process's cgroup on writing to any of the devices.
    pub write_limits: WriteLimits,
}

/// Looks at what lies under `target`, or under its nearest parent that exists. Never fails; what the
/// kernel does not say is unknown.
pub(crate) fn examine(target: &Path) -> Place {
    let sysfs = Sysfs::of_this_machine();
    let existing = nearest_existing(target);
    let mountinfo = sysfs.read("proc/self/mountinfo").unwrap_or_default();
    let mounts = mounts::parse(&mountinfo);
    let number = device_number_under(&sysfs, &existing, mounts::containing(&mounts, &existing));
    let of_file = |path: &Path| -> Option<device::DeviceNumber> {
        device_number_under(&sysfs, path, mounts::containing(&mounts, path))
    };
    let layers = number.map(|number| layers::below(&sysfs, number, &of_file)).unwrap_or_default();
    let folder = |layer: &Layer| sysfs.resolve(Path::new("sys/class/block").join(&layer.name));
    let top = layers.iter().filter_map(folder).find(|disk| sysfs.exists(disk.join("queue")));
    // With several disks no single one would be the truth.
    let disks: Vec<&Layer> = layers.iter().filter(|layer| layer.is_disk()).collect();
    let bottom = match disks[..] {
        [only] => folder(only),
        _ => None,
    };
    Place {
        directory: existing.display().to_string(),
        filesystem_bytes: statvfs::statvfs(&existing)
            .map_or(0, |found| found.blocks().saturating_mul(found.fragment_size())),
        queue: top.as_ref().and_then(|disk| Queue::of(&sysfs, disk)),
        nvme: bottom.as_ref().and_then(|disk| Nvme::of(&sysfs, disk)),
        power: Power::of(&sysfs, bottom.as_deref()),
        write_limits: write_limits(&sysfs, &mounts, &layers),
        layers,
    }
}

/// The smallest limit on any of the devices binds.
fn write_limits(sysfs: &Sysfs, mounts: &[Mount], layers: &[Layer]) -> WriteLimits {
    let numbers = layers
        .iter()
        .filter_map(|layer| sysfs.read(Path::new("sys/class/block").join(&layer.name).join("dev")));
    numbers
        .map(|number| cgroup::write_limits(sysfs, mounts, &number))
        .fold(WriteLimits::default(), WriteLimits::tighter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_does_not_exist_is_its_parents() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("temporary folder");
        let here = examine(folder.path());
        assert_eq!(here, examine(&folder.path().join("not/yet/there")));
        assert!(here.filesystem_bytes > 0);
        assert!(here.layers.iter().zip(0..).all(|(layer, at)| layer.depth <= at), "{here:?}");
        // A stack of devices ends in disks, and its top has a queue.
        assert_eq!(here.layers.is_empty(), here.queue.is_none(), "{here:?}");
        assert_eq!(here.layers.is_empty(), !here.layers.iter().any(Layer::is_disk), "{here:?}");
    }

    #[test]
    fn proc_is_on_no_device() {
        let found = examine(Path::new("/proc/self"));
        assert!(found.layers.is_empty() && found.queue.is_none() && found.nvme.is_none());
    }
}
