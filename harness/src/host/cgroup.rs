//! Limits that a container or service manager set on this process, from cgroup version 2 or 1
//! (cgroups(7)). A limit on any group above ours binds as well, so the smallest counts.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::mounts::Mount;
use super::sysfs::Sysfs;

/// The limits in force; `None` where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Limits {
    /// Processors' worth of time.
    pub cpus: Option<f64>,
    /// Memory, bytes.
    pub memory_bytes: Option<u64>,
}

/// Limits on writing to one device, or the tightest of several; `None` where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteLimits {
    /// Bytes a second.
    pub bytes_per_second: Option<u64>,
    /// Writes a second.
    pub writes_per_second: Option<u64>,
}

impl WriteLimits {
    pub(super) fn tighter(self, other: Self) -> Self {
        let smaller = |one: Option<u64>, two: Option<u64>| one.into_iter().chain(two).min();
        Self {
            bytes_per_second: smaller(self.bytes_per_second, other.bytes_per_second),
            writes_per_second: smaller(self.writes_per_second, other.writes_per_second),
        }
    }
}

/// Reads this process's limits on writing to the device with this number (`8:0`).
pub(super) fn write_limits(sysfs: &Sysfs, mounts: &[Mount], device: &str) -> WriteLimits {
    let membership = sysfs.read("proc/self/cgroup").unwrap_or_default();
    let unified = folders(&membership, mounts, "");
    let limits_v2 = unified.iter().filter_map(|folder| {
        let limits = line_of(&sysfs.read(folder.join("io.max"))?, device)?;
        Some(WriteLimits {
            bytes_per_second: key(&limits, "wbps"),
            writes_per_second: key(&limits, "wiops"),
        })
    });
    let throttle = |folder: &Path, what: &str| -> Option<u64> {
        let file = folder.join(format!("blkio.throttle.write_{what}_device"));
        line_of(&sysfs.read(file)?, device)?.parse().ok().filter(|limit| *limit > 0)
    };
    let legacy = folders(&membership, mounts, "blkio");
    let limits_v1 = legacy.iter().map(|folder| WriteLimits {
        bytes_per_second: throttle(folder, "bps"),
        writes_per_second: throttle(folder, "iops"),
    });
    limits_v2.chain(limits_v1).fold(WriteLimits::default(), WriteLimits::tighter)
}

/// What stands behind a device's number, in a file with a line for each device.
fn line_of(text: &str, device: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (number, rest) = line.trim().split_once(' ')?;
        (number == device).then(|| rest.trim().to_owned())
    })
}

/// The number behind `name=`; `max` is no limit.
fn key(limits: &str, name: &str) -> Option<u64> {
    limits
        .split_whitespace()
        .find_map(|word| word.split_once('=').filter(|(key, _)| *key == name))?
        .1
        .parse()
        .ok()
}

/// Reads this process's limits through the cgroup mounts among `mounts`.
pub(crate) fn limits(sysfs: &Sysfs, mounts: &[Mount]) -> Limits {
    let membership = sysfs.read("proc/self/cgroup").unwrap_or_default();
    let folders = |controller: &str| folders(&membership, mounts, controller);
    let unified = folders("");
    let cpu_v2 = unified.iter().filter_map(|folder| cpus_v2(&sysfs.read(folder.join("cpu.max"))?));
    let cpu_v1 = folders("cpu").into_iter().filter_map(|folder| {
        cpus_v1(
            &sysfs.read(folder.join("cpu.cfs_quota_us"))?,
            &sysfs.read(folder.join("cpu.cfs_period_us"))?,
        )
    });
    let memory_v2 =
        unified.iter().filter_map(|folder| memory_bytes(&sysfs.read(folder.join("memory.max"))?));
    let memory_v1 = folders("memory")
        .into_iter()
        .filter_map(|folder| memory_bytes(&sysfs.read(folder.join("memory.limit_in_bytes"))?));
    Limits {
        cpus: cpu_v2.chain(cpu_v1).min_by(f64::total_cmp),
        memory_bytes: memory_v2.chain(memory_v1).min(),
    }
}

/// Our group's folder and all above it up to the mount, for a version 1 `controller` or, with an
/// empty name, for version 2. Empty when it is not mounted.
fn folders(membership: &str, mounts: &[Mount], controller: &str) -> Vec<PathBuf> {
    let Some(group) = group_path(membership, controller) else {
        return Vec::new();
    };
    let mount = mounts.iter().find(|mount| {
        if controller.is_empty() {
            mount.filesystem == "cgroup2"
        } else {
            mount.filesystem == "cgroup" && mount.has_option(controller)
        }
    });
    let Some(mount) = mount else {
        return Vec::new();
    };
    // In a container the mount may show only our own subtree; the membership then names the path
    // from the real root. A group outside of what is mounted is seen only through the mount itself.
    let visible = Path::new(group).strip_prefix(&mount.root).ok();
    let below = visible
        .filter(|path| !path.components().any(|part| part.as_os_str() == ".."))
        .unwrap_or(Path::new(""));
    below.ancestors().map(|part| mount.point.join(part)).collect()
}

/// Our path in a hierarchy, from the `id:controllers:path` lines of /proc/self/cgroup.
fn group_path<'a>(membership: &'a str, controller: &str) -> Option<&'a str> {
    membership.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        controllers.split(',').any(|found| found == controller).then_some(path)
    })
}

/// `cpu.max`: quota and period in microseconds (`150000 100000`), or `max` for no limit.
fn cpus_v2(cpu_max: &str) -> Option<f64> {
    let (quota, period) = cpu_max.split_once(' ')?;
    cpus_v1(quota, period)
}

/// A quota of -1 (version 1) or `max` (version 2) is no limit.
fn cpus_v1(quota_us: &str, period_us: &str) -> Option<f64> {
    let quota: u64 = quota_us.trim().parse().ok()?;
    let period: u64 = period_us.trim().parse().ok()?;
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

/// `max`, or in version 1 a number next to 2^63, is no limit.
fn memory_bytes(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < 1 << 62)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::mounts;
    use std::fs;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn version_2_takes_the_smallest_limit_on_the_way_up() {
        let tree = tempfile::tempdir().unwrap();
        write(tree.path(), "proc/self/cgroup", "0::/web/log\n");
        write(tree.path(), "cg/web/log/cpu.max", "max 100000\n");
        write(tree.path(), "cg/web/cpu.max", "150000 100000\n");
        write(tree.path(), "cg/web/log/memory.max", "1073741824\n");
        write(tree.path(), "cg/web/memory.max", "max\n");
        let mounts = mounts::parse("30 1 0:26 / /cg rw - cgroup2 cgroup2 rw,nsdelegate");
        let found = limits(&Sysfs::below(tree.path()), &mounts);
        assert_eq!(found, Limits { cpus: Some(1.5), memory_bytes: Some(1 << 30) });
    }

    #[test]
    fn version_1_finds_each_controllers_own_mount() {
        let tree = tempfile::tempdir().unwrap();
        write(
            tree.path(),
            "proc/self/cgroup",
            "4:memory:/docker/ab\n1:cpu,cpuacct:/docker/ab\n0::/\n",
        );
        write(tree.path(), "cg/memory/memory.limit_in_bytes", "536870912");
        write(tree.path(), "cg/cpu/docker/ab/cpu.cfs_quota_us", "50000");
        write(tree.path(), "cg/cpu/docker/ab/cpu.cfs_period_us", "100000");
        write(tree.path(), "cg/cpu/cpu.cfs_quota_us", "-1");
        write(tree.path(), "cg/cpu/cpu.cfs_period_us", "100000");
        // Memory is mounted from our own group on, cpu from the real root.
        let mounts = mounts::parse(
            "31 1 0:27 /docker/ab /cg/memory rw - cgroup cgroup rw,memory\n\
             32 1 0:28 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct",
        );
        let found = limits(&Sysfs::below(tree.path()), &mounts);
        assert_eq!(found, Limits { cpus: Some(0.5), memory_bytes: Some(512 << 20) });
    }

    #[test]
    fn limits_on_writing_are_the_devices_own_and_the_tightest() {
        let tree = tempfile::tempdir().unwrap();
        write(tree.path(), "proc/self/cgroup", "3:blkio:/\n0::/web/log\n");
        write(tree.path(), "cg/web/log/io.max", "8:0 rbps=1 wbps=2000 riops=max wiops=max\n");
        write(tree.path(), "cg/web/io.max", "8:16 wbps=7\n8:0 rbps=max wbps=9000 wiops=120\n");
        write(tree.path(), "v1/blkio.throttle.write_bps_device", "8:16 5\n");
        write(tree.path(), "v1/blkio.throttle.write_iops_device", "");
        let mounts = mounts::parse(
            "30 1 0:26 / /cg rw - cgroup2 cgroup2 rw\n31 1 0:27 / /v1 rw - cgroup cgroup rw,blkio",
        );
        let sysfs = Sysfs::below(tree.path());
        let limits = |device| {
            let found = write_limits(&sysfs, &mounts, device);
            (found.bytes_per_second, found.writes_per_second)
        };
        assert_eq!(limits("8:0"), (Some(2000), Some(120)));
        assert_eq!(limits("8:16"), (Some(5), None));
        assert_eq!(limits("8:1"), (None, None));
    }

    #[test]
    fn a_group_outside_of_the_mount_never_leaves_it() {
        let mounts = mounts::parse("30 1 0:26 / /cg rw - cgroup2 cgroup2 rw");
        assert_eq!(folders("0::/../../etc", &mounts, ""), [PathBuf::from("/cg/")]);
        let inner = mounts::parse("30 1 0:26 /a /cg rw - cgroup2 cgroup2 rw");
        assert_eq!(folders("0::/b", &inner, ""), [PathBuf::from("/cg/")]);
    }

    #[test]
    fn no_limit_and_nonsense_are_none() {
        for text in ["max 100000", "", "100000", "x y", "0 100000", "100000 0", "-1 100000"] {
            assert_eq!(cpus_v2(text), None, "{text}");
        }
        for text in ["max", "", "-1", "9223372036854771712"] {
            assert_eq!(memory_bytes(text), None, "{text}");
        }
        let tree = tempfile::tempdir().unwrap();
        assert_eq!(limits(&Sysfs::below(tree.path()), &[]), Limits::default());
    }
}
