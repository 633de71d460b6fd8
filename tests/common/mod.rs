//! What the integration tests share: fresh directories on the disk of the build, and short names
//! for the usual steps.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod child;
pub(crate) mod life;
pub(crate) mod loop_mount;
pub(crate) mod random;
pub(crate) mod seccomp;
pub(crate) mod witness;

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use plimsoll::{
    KeyRing, LogRecord, Lsn, Preparation, Record, RecordKind, SegmentedWal, SegmentedWalConfig,
};

/// Block of the logs written here, whatever disk they are on: offsets in the tests rely on it.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// A directory that is removed when the test has passed, and kept to look at when it has not.
pub(crate) struct TestDir(PathBuf);

impl TestDir {
    /// A new, empty one on the disk of the build.
    pub(crate) fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the build directory is writable");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Small segments that are quick to make, and a fixed block.
    pub(crate) fn config(&self) -> SegmentedWalConfig {
        let mut config = SegmentedWalConfig::new(self.path());
        config.alignment = Some(BLOCK_BYTES);
        config.segment_size = 1 << 20;
        config.preparation = Preparation::Allocate;
        config
    }

    /// The same with an encryption key.
    pub(crate) fn encrypted_config(&self) -> SegmentedWalConfig {
        self.config().with_keys(key_ring())
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// The key of [`TestDir::encrypted_config`], loaded anew each time.
pub(crate) fn key_ring() -> KeyRing {
    KeyRing::new(7, [0x42; 32]).expect("memory for a key")
}

pub(crate) fn put(payload: &[u8]) -> Record<'_> {
    Record::new(RecordKind::PUT, payload)
}

pub(crate) fn open(config: &SegmentedWalConfig) -> SegmentedWal {
    SegmentedWal::open(config.clone()).expect("the log opens")
}

/// Appends each payload and syncs after each: one batch per record.
pub(crate) fn commit_each<P: AsRef<[u8]>>(
    wal: &mut SegmentedWal,
    payloads: impl IntoIterator<Item = P>,
) {
    for payload in payloads {
        let lsn = wal.append(&put(payload.as_ref())).expect("append");
        assert_eq!(wal.sync().expect("sync"), lsn);
    }
}

pub(crate) fn replay(wal: &SegmentedWal) -> Vec<LogRecord> {
    wal.replay().expect("replay").collect::<Result<_, _>>().expect("every record is whole")
}

pub(crate) fn replay_from(wal: &SegmentedWal, lsn: u64) -> Vec<LogRecord> {
    let reader = wal.replay_from(Lsn::new(lsn)).expect("replay");
    reader.collect::<Result<_, _>>().expect("every record is whole")
}

pub(crate) fn lsns(records: &[LogRecord]) -> Vec<u64> {
    records.iter().map(|record| record.lsn().get()).collect()
}

pub(crate) fn payloads(records: &[LogRecord]) -> Vec<Vec<u8>> {
    records.iter().map(|record| record.payload().to_vec()).collect()
}

/// Waits until something is so that another thread brings about; a minute means that nobody will.
pub(crate) fn eventually(is_so: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < give_up, "it never came about");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Paths of the segments in a directory, oldest first.
pub(crate) fn segment_paths(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir)
        .expect("the directory is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("wal-") && name.ends_with(".seg")
        })
        .collect();
    paths.sort();
    paths
}

/// Changes the bytes of a file behind the log's back.
pub(crate) fn damage(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("the file is there");
    change(&mut bytes);
    fs::write(path, bytes).expect("the file is writable");
}
