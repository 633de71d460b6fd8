//! The key file and the profile that the library loads: real files, in a folder in memory.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::LazyLock,
};

use plimsoll::{
    KeyRing, Lsn, Record, RecordKind, SegmentedWalConfig,
    simulated::{DiskOptions, SimulatedDisk, examine, open},
};
use tempfile::TempDir;

use crate::{INPUT_BYTES_MAX, memory::bounded, recovery::config};

const KEY_LEN: usize = 32;

/// A folder for this process, in memory where there is such a place.
pub(crate) fn folder() -> &'static Path {
    static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        tempfile::Builder::new().prefix("plimsoll-fuzz").tempdir_in(place).expect("a folder")
    });
    FOLDER.path()
}

/// Puts a new file there.
pub(crate) fn put_file(name: &str, content: &[u8], mode: u32) -> PathBuf {
    let path = folder().join(name);
    let _ = fs::remove_file(&path);
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
    let mut file = opened.expect("the folder is ours");
    file.write_all(content).expect("there is room");
    // Whatever the umask says.
    file.set_permissions(fs::Permissions::from_mode(mode)).expect("the file is ours");
    path
}

/// Permissions, then the content.
pub(crate) fn key_file(bytes: &[u8]) {
    let Some((mode, bytes)) = bytes.split_at_checked(2) else { return };
    let mode = u32::from(u16::from_le_bytes([mode[0], mode[1]])) & 0o777;
    let path = put_file("key", bytes, mode);
    let loaded = bounded(bytes.len(), || KeyRing::from_file(3, &path));
    // For root the file can be read whatever its own bits say.
    let readable = fs::File::open(&path).is_ok();
    match loaded {
        Ok(ring) => {
            assert!(
                mode & 0o077 == 0 && bytes.len() == KEY_LEN,
                "{mode:03o}, {} bytes",
                bytes.len()
            );
            check_key(&ring, bytes.try_into().expect("32 bytes"));
        }
        Err(error) => {
            assert!(mode & 0o077 != 0 || bytes.len() != KEY_LEN || !readable, "refused: {error}");
            assert!(error.to_string().contains("key"), "{error}");
        }
    }
}

/// What was sealed with the key from the file opens with the same bytes, and only with them.
fn check_key(ring: &KeyRing, key: [u8; KEY_LEN]) {
    let disk = SimulatedDisk::new(DiskOptions::default());
    let mut wal = open(&disk, config(Some(ring))).expect("a new log");
    let lsn = wal.append(&Record::new(RecordKind::PUT, b"sealed")).expect("append");
    wal.close().expect("close");
    let same = KeyRing::new(3, key).expect("memory for a key");
    assert_eq!(examine(&disk, Some(&same)).expect("the same key").report.last_lsn, lsn);
    assert_eq!(lsn, Lsn::FIRST);
    let mut other = key;
    other[31] ^= 1;
    let other = KeyRing::new(3, other).expect("memory for a key");
    assert!(examine(&disk, Some(&other)).is_err(), "another key opens it");
}

/// The text of a profile. What is accepted is valid: a log opens with it.
pub(crate) fn wal_profile(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(INPUT_BYTES_MAX)];
    let path = put_file("profile.toml", bytes, 0o600);
    match bounded(bytes.len(), || SegmentedWalConfig::from_profile(&path)) {
        Ok(config) => config.validate().or_else(only_without_dir).expect("what is read is valid"),
        Err(error) => assert!(error.to_string().contains("profile.toml"), "{error}"),
    }
}

/// A profile may leave the directory to the program.
fn only_without_dir(error: plimsoll::WalError) -> Result<(), plimsoll::WalError> {
    let without_dir =
        matches!(&error, plimsoll::WalError::InvalidConfig { field, .. } if *field == "dir");
    if without_dir { Ok(()) } else { Err(error) }
}
