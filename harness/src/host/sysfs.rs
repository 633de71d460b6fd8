//! Reads the kernel's small text files below a root, which is `/` except in tests.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longest file read, bytes. The largest real one is /proc/cpuinfo of a machine with thousands of
/// processors; more is not something these files say.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The kernel's files below a root. Paths are relative to it: `proc/stat`, `sys/dev/block/8:0`.
#[derive(Clone, Debug)]
pub(crate) struct Sysfs {
    root: PathBuf,
}

impl Sysfs {
    /// The files of the running kernel.
    pub(crate) fn of_this_machine() -> Self {
        Self::below(Path::new("/"))
    }

    /// The files of a tree that looks like one.
    pub(crate) fn below(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// A file's text without surrounding white space; `None` if it is missing, unreadable or
    /// empty. Bytes that are not UTF-8 are replaced.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        let bytes = self.read_bytes(path)?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// A file's bytes; `None` if it is missing or unreadable.
    pub(crate) fn read_bytes(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let file = fs::File::open(self.at(path)).ok()?;
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// A file that holds one number.
    pub(crate) fn read_number(&self, path: impl AsRef<Path>) -> Option<u64> {
        self.read(path)?.parse().ok()
    }

    /// Whether the file or folder exists.
    pub(crate) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.at(path).exists()
    }

    /// Names in a folder, sorted; none if it is missing.
    pub(crate) fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.at(path)) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Follows symbolic links to the real place, relative to the root again; `None` if it is
    /// missing or lies outside of the root.
    pub(crate) fn resolve(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        let root = self.root.canonicalize().ok()?;
        let real = self.at(path).canonicalize().ok()?;
        Some(real.strip_prefix(root).ok()?.to_path_buf())
    }

    /// Below the root even when `path` is absolute, as paths found inside kernel files are.
    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_below_the_root_and_trimmed() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("sys/block")).unwrap();
        fs::write(tree.path().join("sys/block/size"), " 4096\n").unwrap();
        fs::write(tree.path().join("sys/block/empty"), "\n").unwrap();
        fs::write(tree.path().join("sys/block/garbage"), b"\xff\xfe-1").unwrap();
        let sysfs = Sysfs::below(tree.path());
        assert_eq!(sysfs.read_number("sys/block/size"), Some(4096));
        assert_eq!(sysfs.read_number("/sys/block/size"), Some(4096));
        assert_eq!(sysfs.read("sys/block/empty"), None);
        assert_eq!(sysfs.read_number("sys/block/garbage"), None);
        assert_eq!(sysfs.read("sys/block"), None);
        assert_eq!(sysfs.read("sys/missing"), None);
        assert_eq!(sysfs.names("sys/block"), ["empty", "garbage", "size"]);
        assert!(sysfs.names("sys/missing").is_empty());
    }

    #[test]
    fn links_resolve_within_the_root_only() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("devices/sda")).unwrap();
        std::os::unix::fs::symlink("devices/sda", tree.path().join("inside")).unwrap();
        std::os::unix::fs::symlink("/", tree.path().join("outside")).unwrap();
        let sysfs = Sysfs::below(tree.path());
        assert_eq!(sysfs.resolve("inside"), Some(PathBuf::from("devices/sda")));
        assert_eq!(sysfs.resolve("outside"), None);
        assert_eq!(sysfs.resolve("missing"), None);
    }
}
