//! File systems in files of their own, on loop devices. Mounting takes root and the mkfs tools;
//! without them a test says that it was skipped. With `PLIMSOLL_TEST_NO_SKIP=1` in the environment
//! that is a failure.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags},
};

use super::TestDir;

/// A file system in a file. Unmounted and detached when dropped, also by a test that panics.
pub(crate) struct LoopMount {
    pub(crate) mount_point: PathBuf,
    pub(crate) device: String,
    is_mounted: bool,
    // Removed last.
    dir: TestDir,
}

impl LoopMount {
    /// Makes one of `size_bytes`, or says why that is not possible here.
    pub(crate) fn new(
        name: &str,
        mkfs: &[&str],
        size_bytes: u64,
        sector_bytes: u32,
    ) -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("mounting takes root".into());
        }
        let dir = TestDir::new(name);
        let image = dir.path().join("image");
        let file = File::create(&image).expect("the build directory is writable");
        file.set_len(size_bytes).expect("the build directory is writable");
        let (image, sector) = (path_text(&image), sector_bytes.to_string());
        let attach = ["losetup", "--find", "--show", "--sector-size", &sector, &image];
        // Another test may be quicker to take the device that was found.
        let device = (0..5).find_map(|_| run(&attach).ok());
        let device = device.map_or_else(|| run(&attach), Ok)?.trim().to_owned();
        let mount_point = dir.path().join("mnt");
        let mut mounted = Self { mount_point, device, is_mounted: false, dir };
        run(&[mkfs, &[mounted.device.as_str()]].concat())?;
        fs::create_dir(&mounted.mount_point).expect("the build directory is writable");
        // The first time by the command, which knows what is on it.
        run(&["mount", &mounted.device, &path_text(&mounted.mount_point)])?;
        mounted.is_mounted = true;
        Ok(mounted)
    }

    /// Where a log may be.
    pub(crate) fn log_dir(&self) -> PathBuf {
        self.mount_point.join("log")
    }

    /// The file that is the disk.
    pub(crate) fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    /// Cuts the power: what the file system has not made durable is gone, its journal included, and
    /// every later operation fails until it has been mounted anew. (`FS_IOC_SHUTDOWN` with
    /// `NOLOGFLUSH`, which is what the command does without `-f`.)
    pub(crate) fn cut_power(&self) -> Result<(), String> {
        run(&["xfs_io", "-F", "-x", "-c", "shutdown", &path_text(&self.mount_point)]).map(drop)
    }

    /// The kernel takes a moment to put away the io_uring of a process that has ended, and what it
    /// has open until then.
    fn unmount(&mut self) -> nix::Result<()> {
        let give_up = Instant::now() + Duration::from_secs(20);
        while let Err(error) = nix::mount::umount(&self.mount_point) {
            if error != Errno::EBUSY || Instant::now() > give_up {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.is_mounted = false;
        Ok(())
    }

    /// Unmounts and mounts again, which replays the journal.
    pub(crate) fn mount_again(&mut self, filesystem: &str) {
        self.unmount().expect("nobody uses it any more");
        let device = Path::new(&self.device);
        let none: Option<&str> = None;
        nix::mount::mount(
            Some(device),
            &self.mount_point,
            Some(filesystem),
            MsFlags::empty(),
            none,
        )
        .expect("its journal brings it back");
        self.is_mounted = true;
    }
}

impl Drop for LoopMount {
    fn drop(&mut self) {
        // Best effort, and in this order whatever failed before.
        if self.is_mounted && self.unmount().is_err() {
            let _ = nix::mount::umount2(&self.mount_point, MntFlags::MNT_DETACH);
        }
        let _ = run(&["losetup", "--detach", &self.device]);
    }
}

pub(crate) fn path_text(path: &Path) -> String {
    path.to_str().expect("the build directory has a plain name").to_owned()
}

pub(crate) fn run(command: &[&str]) -> Result<String, String> {
    let output = Command::new(command[0]).args(&command[1..]).output();
    let output = output.map_err(|error| format!("{}: {error}", command[0]))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{}: {}", command.join(" "), stderr.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn skip(why: &str) {
    assert!(env::var_os("PLIMSOLL_TEST_NO_SKIP").is_none(), "must not be skipped: {why}");
    eprintln!("skipped: {why}");
}
