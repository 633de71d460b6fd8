//! What the kernel says about the device under a file: alignment for direct I/O, block sizes,
//! write cache. Asked, never guessed; what it does not say is `None`.

use std::{
    ffi::CString,
    fs, io,
    mem::MaybeUninit,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use nix::sys::statfs::{
    BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, NFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, TMPFS_MAGIC,
    XFS_SUPER_MAGIC, statfs,
};

use crate::error::{Result, WalError};

/// The device under a log, as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Geometry {
    /// Alignment of buffers in memory for direct I/O, bytes (statx(2), `STATX_DIOALIGN`).
    pub memory_align_bytes: Option<u64>,
    /// Alignment of file offsets and lengths for direct I/O, bytes.
    pub offset_align_bytes: Option<u64>,
    /// Smallest unit the device can address, bytes.
    pub logical_block_bytes: Option<u64>,
    /// Smallest unit the device can write without reading first, bytes. A write of less may tear
    /// or rewrite its neighbours.
    pub physical_block_bytes: Option<u64>,
    /// Block of the file system, bytes (statfs(2)): stands in for what the device does not say.
    pub filesystem_block_bytes: Option<u64>,
    /// Whether completed writes may still be lost on power failure until a flush.
    pub volatile_cache: Option<bool>,
    /// Whether the device can make a single write durable without flushing everything.
    pub fua: Option<bool>,
    /// Type of the file system, for messages.
    pub filesystem: String,
}

impl Geometry {
    /// Asks the kernel about the device under `path`, an existing regular file.
    ///
    /// # Errors
    ///
    /// [`WalError::DirectIoUnsupported`] where the file system has no direct I/O,
    /// [`WalError::Io`] if the file cannot be examined.
    pub fn of_file(path: &Path) -> Result<Self> {
        let answer = statx_dio(path).map_err(WalError::io("examine", path))?;
        let queue = queue_directory(answer.device_major, answer.device_minor)
            .or_else(|| queue_of_mount(answer.mount_id));
        let filesystem = filesystem_name(path);
        let unsupported = || WalError::DirectIoUnsupported {
            path: path.parent().unwrap_or(path).to_owned(),
            filesystem: filesystem.clone(),
        };
        // The file system answered that it cannot, or neither it nor a device below answered.
        if answer.offset_align == Some(0) || (answer.offset_align.is_none() && queue.is_none()) {
            return Err(unsupported());
        }
        let limit = |name: &str| -> Option<String> {
            let text = fs::read_to_string(queue.as_ref()?.join(name)).ok()?;
            Some(text.trim().to_owned())
        };
        let number = |name: &str| limit(name)?.parse::<u64>().ok().filter(|&value| value > 0);
        let logical_block_bytes = number("logical_block_size");
        let filesystem_block_bytes = filesystem_block_bytes(path);
        Ok(Self {
            memory_align_bytes: answer.memory_align.or(logical_block_bytes),
            offset_align_bytes: answer
                .offset_align
                .or_else(|| logical_block_bytes.max(filesystem_block_bytes)),
            filesystem_block_bytes,
            logical_block_bytes,
            physical_block_bytes: number("physical_block_size"),
            volatile_cache: limit("write_cache").map(|text| text == "write back"),
            fua: limit("fua").map(|text| text == "1"),
            filesystem,
        })
    }

    /// The smallest block that is written whole: what a log uses when nobody asks for more.
    #[must_use]
    pub fn natural_block_bytes(&self) -> u64 {
        let whole = self.physical_block_bytes.or(self.filesystem_block_bytes).unwrap_or(0);
        self.offset_align_bytes.unwrap_or(0).max(whole).max(512)
    }
}

struct DioAnswer {
    memory_align: Option<u64>,
    offset_align: Option<u64>,
    device_major: u32,
    device_minor: u32,
    mount_id: u64,
}

fn statx_dio(path: &Path) -> io::Result<DioAnswer> {
    let c_path = CString::new(path.as_os_str().as_bytes())?;
    let mut buffer = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: a NUL-terminated path and a buffer of the structure's size, both alive for the call.
    let result = unsafe {
        libc::statx(
            libc::AT_FDCWD,
            c_path.as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
            libc::STATX_BASIC_STATS | libc::STATX_DIOALIGN | libc::STATX_MNT_ID,
            buffer.as_mut_ptr(),
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed before and filled by the successful call; every bit pattern is valid.
    let answer = unsafe { buffer.assume_init() };
    let has_dio = answer.stx_mask & libc::STATX_DIOALIGN != 0;
    Ok(DioAnswer {
        memory_align: has_dio.then_some(u64::from(answer.stx_dio_mem_align)),
        offset_align: has_dio.then_some(u64::from(answer.stx_dio_offset_align)),
        device_major: answer.stx_dev_major,
        device_minor: answer.stx_dev_minor,
        mount_id: answer.stx_mnt_id,
    })
}

/// The queue limits of a block device in sysfs; a partition's are its parent's.
fn queue_directory(major: u32, minor: u32) -> Option<PathBuf> {
    let device = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    [device.join("queue"), device.join("../queue")].into_iter().find(|path| path.is_dir())
}

/// The queue limits of the device that a file system is mounted from, where its files carry the
/// number of no device: btrfs spans several, and says so by a number of its own.
fn queue_of_mount(mount_id: u64) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let id = mount_id.to_string();
    // Per proc_pid_mountinfo(5): the mount's id is the first field, and its source is the second
    // one after a lone hyphen.
    let line = mounts.lines().find(|line| line.split(' ').next() == Some(id.as_str()))?;
    let source = line.split_once(" - ")?.1.split(' ').nth(1)?;
    let node = fs::metadata(source).ok()?;
    if !node.file_type().is_block_device() {
        return None;
    }
    let (major, minor) = (libc::major(node.rdev()), libc::minor(node.rdev()));
    queue_directory(major, minor)
}

fn filesystem_block_bytes(path: &Path) -> Option<u64> {
    let block = u64::try_from(statfs(path).ok()?.block_size()).ok()?;
    block.is_power_of_two().then_some(block)
}

fn filesystem_name(path: &Path) -> String {
    let Ok(answer) = statfs(path) else { return "unknown".into() };
    match answer.filesystem_type() {
        EXT4_SUPER_MAGIC => "ext4".into(),
        XFS_SUPER_MAGIC => "xfs".into(),
        BTRFS_SUPER_MAGIC => "btrfs".into(),
        TMPFS_MAGIC => "tmpfs".into(),
        NFS_SUPER_MAGIC => "nfs".into(),
        OVERLAYFS_SUPER_MAGIC => "overlayfs".into(),
        other => format!("type {:#x}", other.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_natural_block_is_the_largest_constraint() {
        let geometry = |offset, physical| Geometry {
            offset_align_bytes: offset,
            physical_block_bytes: physical,
            ..Geometry::default()
        };
        assert_eq!(geometry(Some(512), Some(4096)).natural_block_bytes(), 4096);
        assert_eq!(geometry(Some(4096), Some(512)).natural_block_bytes(), 4096);
        assert_eq!(geometry(None, None).natural_block_bytes(), 512);
        let silent_device =
            Geometry { filesystem_block_bytes: Some(4096), ..geometry(Some(512), None) };
        assert_eq!(silent_device.natural_block_bytes(), 4096);
    }

    #[test]
    fn a_file_on_a_disk_has_an_alignment() {
        // The build directory is on a disk wherever this is built; /proc never is.
        match Geometry::of_file(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))) {
            Ok(geometry) => assert!(geometry.offset_align_bytes.is_some_and(|align| align >= 512)),
            Err(error) => assert!(matches!(error, WalError::DirectIoUnsupported { .. }), "{error}"),
        }
        let refused = Geometry::of_file(Path::new("/proc/version"));
        assert!(matches!(refused, Err(WalError::DirectIoUnsupported { .. })), "{refused:?}");
    }
}
