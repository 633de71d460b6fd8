//! What the machine under a measurement is, and how busy it was meanwhile. Reads /proc, /sys and a
//! few system calls; whatever the kernel does not say is `None`, never a guess.
//!
//! Every file's format is a pure function over its text; [`Sysfs`] is the thin layer that reads,
//! with a root that tests point at a tree of their own.

mod allocations;
mod cgroup;
mod cpu;
mod device;
mod direct_io;
mod layers;
mod mounts;
mod nvme;
mod page_cache;
mod place;
mod power;
mod pressure;
mod queue;
mod sysfs;
mod uring;

use std::path::{Path, PathBuf};

use nix::sys::{resource, stat, statvfs, utsname};

use crate::store::schema::Environment;

pub(crate) use allocations::allocations_so_far;
pub use allocations::{CountingAllocator, INSTRUMENTED_SYSTEM};
pub(crate) use direct_io::{DirectIo, direct_io};
pub(crate) use layers::{Layer, LayerDevice, Transport};
pub(crate) use page_cache::page_cache_bytes;
pub(crate) use place::{Place, examine};
pub(crate) use pressure::{Pressure, PressureChange, other_runnable};
pub(crate) use uring::{IoUringState, io_uring_state};
#[cfg(test)]
pub(crate) use {cgroup::WriteLimits, nvme::Nvme, power::Power, queue::Queue};

use device::{BlockDevice, DeviceNumber};
use mounts::Mount;
use sysfs::Sysfs;

/// Describes this machine and what lies under the directory `target`.
///
/// Never fails: a `target` that does not exist yet is described by its nearest existing parent,
/// and everything unknown is `None` (or 0 where the type has no `None`).
pub(crate) fn capture(target: &Path) -> Environment {
    let sysfs = Sysfs::of_this_machine();
    let existing = nearest_existing(target);
    let mountinfo = sysfs.read("proc/self/mountinfo").unwrap_or_default();
    let mounts = mounts::parse(&mountinfo);
    let mount = mounts::containing(&mounts, &existing);
    let device = block_device_under(&sysfs, &existing, mount);
    let limits = cgroup::limits(&sysfs, &mounts);
    let cpuinfo = sysfs.read("proc/cpuinfo").unwrap_or_default();
    let names = utsname::uname().ok();
    let name = |part: fn(&utsname::UtsName) -> &std::ffi::OsStr| {
        names.as_ref().map(|names| part(names).to_string_lossy().into_owned()).unwrap_or_default()
    };
    let kernel = [name(utsname::UtsName::sysname), name(utsname::UtsName::release)];

    Environment {
        hostname: name(utsname::UtsName::nodename),
        kernel: kernel.join(" ").trim().to_owned(),
        cpu_model: cpu::model(&cpuinfo),
        cpus: cpus_allowed(&sysfs),
        cpu_governor: sysfs.read("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        cpu_crypto_flags: cpu::crypto_flags(&cpuinfo),
        memory_bytes: sysfs
            .read("proc/meminfo")
            .and_then(|text| cpu::memory_bytes(&text))
            .unwrap_or(0),
        cgroup_cpu_limit: limits.cpus,
        cgroup_memory_limit_bytes: limits.memory_bytes,
        io_uring_disabled: sysfs.read("proc/sys/kernel/io_uring_disabled"),
        memlock_limit_bytes: memlock_limit_bytes(),
        target: std::path::absolute(target)
            .unwrap_or_else(|_| target.to_path_buf())
            .display()
            .to_string(),
        filesystem: mount.map(|mount| mount.filesystem.clone()),
        mount_point: mount.map(|mount| mount.point.display().to_string()),
        mount_options: mount.map(|mount| mount.options.clone()),
        free_bytes: free_bytes(&existing),
        load_average_1m: sysfs
            .read("proc/loadavg")
            .and_then(|text| pressure::load_average_1m(&text))
            .unwrap_or(0.0),
        plimsoll_version: plimsoll_version(),
        ..device_fields(device)
    }
}

/// An [`Environment`] with only the fields filled in that describe the device.
fn device_fields(device: Option<BlockDevice>) -> Environment {
    let Some(device) = device else {
        return Environment::default();
    };
    Environment {
        device: Some(device.name),
        device_model: device.model,
        device_firmware: device.firmware,
        device_serial_hash: device.serial_hash,
        logical_block_bytes: device.logical_block_bytes,
        physical_block_bytes: device.physical_block_bytes,
        write_cache: device.write_cache,
        fua: device.fua,
        atomic_write_max_bytes: device.atomic_write_max_bytes,
        scheduler: device.scheduler,
        queue_limits: device.queue_limits,
        ..Environment::default()
    }
}

/// The device under `path`; see [`device_number_under`].
fn block_device_under(sysfs: &Sysfs, path: &Path, mount: Option<&Mount>) -> Option<BlockDevice> {
    device::find(sysfs, device_number_under(sysfs, path, mount)?)
}

/// The number of the block device under `path`: the one `stat` gives, or, where that is an anonymous
/// one (btrfs, overlay), that of the device node the mount names as its source.
fn device_number_under(sysfs: &Sysfs, path: &Path, mount: Option<&Mount>) -> Option<DeviceNumber> {
    let by_number = stat::stat(path).ok().map(|found| DeviceNumber::of(found.st_dev));
    let is_device = |number: &DeviceNumber| sysfs.exists(format!("sys/dev/block/{number}"));
    by_number.filter(is_device).or_else(|| {
        let source = Path::new(&mount?.source);
        let node = stat::stat(source).ok()?;
        let is_block = stat::SFlag::from_bits_truncate(node.st_mode & stat::SFlag::S_IFMT.bits())
            == stat::SFlag::S_IFBLK;
        is_block.then(|| DeviceNumber::of(node.st_rdev)).filter(is_device)
    })
}

/// Bytes written since the machine started to the whole device that `target` lies on, whoever wrote
/// them; `None` if the kernel does not say.
pub(crate) fn written_bytes(target: &Path) -> Option<u64> {
    let sysfs = Sysfs::of_this_machine();
    let existing = nearest_existing(target);
    let mountinfo = sysfs.read("proc/self/mountinfo")?;
    let mounts = mounts::parse(&mountinfo);
    block_device_under(&sysfs, &existing, mounts::containing(&mounts, &existing))?.written_bytes
}

/// `target` with symbolic links resolved, or its nearest parent that exists.
pub(crate) fn nearest_existing(target: &Path) -> PathBuf {
    let absolute = std::path::absolute(target).unwrap_or_else(|_| target.to_path_buf());
    absolute.ancestors().find_map(|path| path.canonicalize().ok()).unwrap_or(absolute)
}

/// Processors this process may run on, by its affinity mask; cgroup quotas are reported apart.
fn cpus_allowed(sysfs: &Sysfs) -> u32 {
    sysfs
        .read("proc/self/status")
        .and_then(|text| cpu::allowed_count(&text))
        .or_else(|| u32::try_from(std::thread::available_parallelism().ok()?.get()).ok())
        .unwrap_or(0)
}

/// Soft limit of locked memory, `None` when unlimited or unknown.
fn memlock_limit_bytes() -> Option<u64> {
    let (soft, _hard) = resource::getrlimit(resource::Resource::RLIMIT_MEMLOCK).ok()?;
    (soft != resource::RLIM_INFINITY).then_some(soft)
}

/// Whether the limit of locked memory does not bind this process.
pub(crate) fn may_lock_without_limit() -> bool {
    let status = Sysfs::of_this_machine().read("proc/self/status").unwrap_or_default();
    cpu::may_lock_without_limit(&status).unwrap_or(false)
}

/// Bytes an unprivileged process may still write there; 0 when unknown.
fn free_bytes(path: &Path) -> u64 {
    statvfs::statvfs(path)
        .map_or(0, |found| found.blocks_available().saturating_mul(found.fragment_size()))
}

/// When the kernel gives huge pages to anonymous memory: `always`, `madvise` (when asked to) or
/// `never`; `None` if it has none.
pub(crate) fn huge_pages() -> Option<String> {
    chosen(&Sysfs::of_this_machine().read("sys/kernel/mm/transparent_hugepage/enabled")?)
}

/// The word in brackets of a setting that is shown as `one [two] three`.
fn chosen(setting: &str) -> Option<String> {
    let (_, after) = setting.split_once('[')?;
    Some(after.split_once(']')?.0.to_owned())
}

/// Version, commit if the build was told one (`PLIMSOLL_GIT_COMMIT`), and build profile: a debug
/// build's numbers are worth nothing and must be recognisable afterwards.
fn plimsoll_version() -> String {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("PLIMSOLL_GIT_COMMIT") {
        Some(commit) => format!("{version} ({commit}) {profile}"),
        None => format!("{version} {profile}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_word_is_the_one_in_brackets() {
        assert_eq!(chosen("always [madvise] never").as_deref(), Some("madvise"));
        for text in ["", "madvise", "[madvise", "]madvise["] {
            assert_eq!(chosen(text), None, "{text}");
        }
    }

    #[test]
    fn this_machine_is_described() {
        let folder = tempfile::tempdir().unwrap();
        let found = capture(folder.path());
        assert!(found.kernel.starts_with("Linux "), "{}", found.kernel);
        assert!(found.cpus >= 1);
        assert!(found.memory_bytes > 1 << 20);
        assert!(found.free_bytes > 0);
        assert!(found.filesystem.is_some());
        let mount_point = found.mount_point.unwrap();
        let real = folder.path().canonicalize().unwrap();
        assert!(real.starts_with(&mount_point), "{mount_point}");
        assert!(found.plimsoll_version.starts_with(env!("CARGO_PKG_VERSION")));
        assert!(found.plimsoll_version.ends_with("debug") == cfg!(debug_assertions));
    }

    #[test]
    fn a_target_that_does_not_exist_yet_is_described_by_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("not/yet/there");
        let (of_missing, of_parent) = (capture(&missing), capture(folder.path()));
        assert_eq!(of_missing.target, missing.display().to_string());
        assert_eq!(of_missing.mount_point, of_parent.mount_point);
        assert_eq!(of_missing.device, of_parent.device);
    }

    #[test]
    fn hostile_targets_do_not_panic() {
        for target in ["", "\0", "/proc/self/fd/99999/x", "relative/../.."] {
            let found = capture(Path::new(target));
            assert!(!found.kernel.is_empty());
        }
    }
}
