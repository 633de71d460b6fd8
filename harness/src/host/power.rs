//! What may go to sleep between two commits: the processor, the disk, and the link between them.
//! Each shows as latency in a log that is written to now and then, and not under full load.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::sysfs::Sysfs;

/// Settings that save power; `None` where there is none, or the kernel does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Power {
    /// Driver of the processor's frequency.
    pub cpu_frequency_driver: Option<String>,
    /// Its preference between power and performance.
    pub cpu_energy_preference: Option<String>,
    /// Driver of the processor's idle states.
    pub cpu_idle_driver: Option<String>,
    /// Longest time that an idle state in use takes to be left, microseconds.
    pub cpu_idle_exit_us_max: Option<u64>,
    /// Runtime power management of the disk's device: `on` keeps it awake, `auto` does not.
    pub device_runtime: Option<String>,
    /// Link power management of a SATA disk's host.
    pub sata_link_policy: Option<String>,
}

impl Power {
    /// Of the machine and the disk whose folder below /sys this is.
    pub(super) fn of(sysfs: &Sysfs, disk: Option<&Path>) -> Self {
        let cpu = Path::new("sys/devices/system/cpu");
        let frequency = |name: &str| sysfs.read(cpu.join("cpu0/cpufreq").join(name));
        Self {
            cpu_frequency_driver: frequency("scaling_driver"),
            cpu_energy_preference: frequency("energy_performance_preference"),
            cpu_idle_driver: sysfs
                .read(cpu.join("cpuidle/current_driver"))
                .filter(|driver| driver != "none"),
            cpu_idle_exit_us_max: idle_exit_us_max(sysfs, &cpu.join("cpu0/cpuidle")),
            device_runtime: disk.and_then(|disk| runtime(sysfs, disk)),
            sata_link_policy: disk.and_then(|disk| link_policy(sysfs, disk)),
        }
    }
}

fn idle_exit_us_max(sysfs: &Sysfs, states: &Path) -> Option<u64> {
    let in_use = |name: &&String| sysfs.read_number(states.join(name).join("disable")) != Some(1);
    let names = sysfs.names(states);
    let latency = |name: &String| sysfs.read_number(states.join(name).join("latency"));
    names.iter().filter(in_use).filter_map(latency).max()
}

/// An NVMe controller sleeps with the PCI device below it; other disks have a switch of their own. A
/// device that cannot sleep has the switch, too, and says so beside it.
fn runtime(sysfs: &Sysfs, disk: &Path) -> Option<String> {
    let places = ["device/device/power", "device/power"].map(|place| disk.join(place));
    let can = |place: &&PathBuf| {
        sysfs.read(place.join("runtime_status")).as_deref() != Some("unsupported")
    };
    places.iter().filter(can).find_map(|place| sysfs.read(place.join("control")))
}

/// The policy belongs to the SCSI host somewhere above the disk.
fn link_policy(sysfs: &Sysfs, disk: &Path) -> Option<String> {
    disk.ancestors().find_map(|above| {
        let host = above.file_name()?.to_string_lossy().into_owned();
        let file = above.join("scsi_host").join(host).join("link_power_management_policy");
        sysfs.read(file)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_saves_power_is_found_above_and_beside_the_disk() {
        let tree = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = tree.path().join("sys/devices").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let disk = "ata1/host0/target0:0:0/0:0:0:0/block/sda";
        write(&format!("{disk}/device/power/control"), "auto\n");
        write("ata1/host0/scsi_host/host0/link_power_management_policy", "med_power_with_dipm\n");
        write("system/cpu/cpuidle/current_driver", "intel_idle\n");
        for (state, latency, disabled) in
            [("state0", "0", "0"), ("state1", "33", "0"), ("state2", "400", "1")]
        {
            write(&format!("system/cpu/cpu0/cpuidle/{state}/latency"), latency);
            write(&format!("system/cpu/cpu0/cpuidle/{state}/disable"), disabled);
        }
        let sysfs = Sysfs::below(tree.path());
        let found = Power::of(&sysfs, Some(&Path::new("sys/devices").join(disk)));
        let expected = Power {
            cpu_idle_driver: Some("intel_idle".into()),
            cpu_idle_exit_us_max: Some(33),
            device_runtime: Some("auto".into()),
            sata_link_policy: Some("med_power_with_dipm".into()),
            ..Power::default()
        };
        assert_eq!(found, expected);
        write(&format!("{disk}/device/power/runtime_status"), "unsupported\n");
        let found = Power::of(&sysfs, Some(&Path::new("sys/devices").join(disk)));
        assert_eq!(found.device_runtime, None, "a switch without a device that sleeps");
        let nothing = Sysfs::below(Path::new("/nonexistent"));
        assert_eq!(Power::of(&nothing, Some(Path::new("sys/block/x"))), Power::default());
    }
}
