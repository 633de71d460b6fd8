//! What goes wrong with keys, each as an error of its own that says what to do: from opening, from a
//! reader, and from a rotation. And files that must not be taken for a key.
#![allow(clippy::print_stderr, reason = "a skipped test says why")]

#[path = "encryption/forger.rs"]
mod forger;

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use forger::Segment;
use nix::{
    sys::stat::Mode,
    unistd::{Uid, chown, mkfifo},
};
use plimsoll::{
    CommitPolicy, GroupCommitter, KeyRing, Lsn, Record, RecordKind, SegmentedWal,
    SegmentedWalConfig, VerifyOnOpen, WalError,
    simulated::{DiskOptions, SimulatedDisk, open, read},
};

const FIRST: &str = "wal-00000000000000000001.seg";
const SECOND: &str = "wal-00000000000000000003.seg";

fn ring(id: u64, byte: u8) -> KeyRing {
    KeyRing::new(id, [byte; 32]).expect("memory")
}

fn config(keys: Option<KeyRing>) -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig::default();
    config.segment_size = 8 << 10;
    config.keys = keys;
    config
}

fn append(wal: &mut SegmentedWal) -> Lsn {
    wal.append(&Record::new(RecordKind::PUT, &b"a record"[..])).expect("append");
    wal.sync().expect("sync")
}

/// Records 1 and 2 under key 7, record 3 under key 8.
fn log_under_two_keys() -> SimulatedDisk {
    let disk = SimulatedDisk::new(DiskOptions::default());
    let mut wal = open(&disk, config(Some(ring(7, 0x77)))).expect("a new log");
    append(&mut wal);
    append(&mut wal);
    wal.rotate_keys(ring(8, 0x88)).expect("rotate");
    append(&mut wal);
    wal.close().expect("close");
    disk.copy()
}

/// The errors of opening and of a reader, which are the same but for what they had to look at.
fn errors(disk: &SimulatedDisk, keys: Option<&KeyRing>) -> [WalError; 2] {
    let opening = open(disk, config(keys.cloned())).map(drop).expect_err("refused");
    let reader = read(disk, keys, Lsn::NONE).expect("a log");
    let reading = reader.filter_map(Result::err).next().expect("refused");
    [opening, reading]
}

#[test]
fn no_key_a_missing_key_a_wrong_key_and_tampering_are_four_errors() {
    let disk = log_under_two_keys();
    let [opening, reading] = errors(&disk, None);
    assert!(matches!(opening, WalError::KeyRequired { .. }), "{opening:?}");
    assert!(matches!(reading, WalError::KeyRequired { key_id: 7, .. }), "{reading:?}");
    assert!(reading.to_string().contains("open it with the key ring"), "{reading}");

    for error in errors(&disk, Some(&ring(8, 0x88))) {
        assert!(
            matches!(&error, WalError::KeyMissing { path, key_id: 7 } if path.ends_with(FIRST)),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(text.contains(FIRST) && text.contains("key 7") && text.contains("add"), "{text}");
    }
    for error in errors(&disk, Some(&ring(7, 0x77))) {
        assert!(
            matches!(&error, WalError::KeyMissing { path, key_id: 8 } if path.ends_with(SECOND)),
            "{error:?}"
        );
    }
    let wrong = ring(8, 0x89).with_older_key(7, [0x77; 32]).expect("memory");
    for error in errors(&disk, Some(&wrong)) {
        assert!(
            matches!(&error, WalError::WrongKey { path, key_id: 8 } if path.ends_with(SECOND)),
            "{error:?}"
        );
        assert!(error.to_string().contains("open with the right key"), "{error}");
    }
    let mut segment = Segment::parse(&disk.read(SECOND).expect("there"));
    segment.batches[0].frames[0].sealed[0] ^= 1;
    disk.write(SECOND, segment.encode());
    let right = ring(8, 0x88).with_older_key(7, [0x77; 32]).expect("memory");
    let mut everything = config(Some(right.clone()));
    everything.verify_on_open = VerifyOnOpen::Everything;
    let opening = open(&disk.copy(), everything).map(drop).expect_err("refused");
    let wal = open(&disk.copy(), config(Some(right.clone()))).expect("closed in good order");
    let replaying = wal.replay().expect("a log").filter_map(Result::err).next().expect("refused");
    let reader = read(&disk, Some(&right), Lsn::NONE).expect("a log");
    let reading = reader.filter_map(Result::err).next().expect("refused");
    for error in [opening, replaying, reading] {
        assert!(
            matches!(&error, WalError::Tampered { path, lsn, .. }
                if path.ends_with(SECOND) && lsn.get() == 3),
            "{error:?}"
        );
        assert!(error.to_string().contains("restore the file"), "{error}");
    }
}

#[test]
fn a_rotation_keeps_every_key_and_refuses_another_one_under_an_id_in_use() {
    let disk = SimulatedDisk::new(DiskOptions::default());
    let mut wal = open(&disk, config(Some(ring(7, 0x77)))).expect("a new log");
    append(&mut wal);
    let taken = wal.rotate_keys(ring(7, 0x78)).expect_err("the id is in use");
    assert!(matches!(taken, WalError::KeyIdTaken { key_id: 7, .. }), "{taken:?}");
    assert!(taken.to_string().contains("an id of its own"), "{taken}");
    // As an older key of the new ring, too: nothing could be read any more.
    let shadows = ring(8, 0x88).with_older_key(7, [0x78; 32]).expect("memory");
    let taken = wal.rotate_keys(shadows).expect_err("the id is in use");
    assert!(matches!(taken, WalError::KeyIdTaken { key_id: 7, .. }), "{taken:?}");
    // Nothing has changed: the same key goes on, and may be given again.
    append(&mut wal);
    wal.rotate_keys(ring(7, 0x77)).expect("the same key");
    append(&mut wal);
    wal.rotate_keys(ring(8, 0x88)).expect("a new one");
    append(&mut wal);
    let replayed = wal.replay().expect("replay");
    assert_eq!(replayed.collect::<Result<Vec<_>, _>>().expect("whole").len(), 4);

    let log = GroupCommitter::start(wal, CommitPolicy::FromConfig).expect("start");
    let taken = log.rotate_keys(ring(7, 0x79)).expect_err("the id is in use");
    assert!(matches!(taken, WalError::KeyIdTaken { key_id: 7, .. }), "{taken:?}");
    log.close().expect("close");
    let both = ring(8, 0x88).with_older_ring(&ring(7, 0x77));
    assert_eq!(open(&disk, config(Some(both))).expect("opens").next_lsn(), Lsn::new(5));
}

struct KeyFiles(PathBuf);

impl KeyFiles {
    fn new() -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let dir = dir.join(format!("key-errors-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).expect("writable");
        Self(dir)
    }

    fn file(&self, name: &str, mode: u32, len: usize) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, vec![7; len]).expect("write");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("chmod");
        path
    }
}

impl Drop for KeyFiles {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Why a file is refused.
fn problem(path: &Path) -> String {
    match KeyRing::from_file(1, path) {
        Err(WalError::KeyFile { path: named, problem }) => {
            assert_eq!(named, path);
            problem
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_that_are_no_key_are_refused_each_for_its_reason() {
    let files = KeyFiles::new();
    let good = files.file("good", 0o600, 32);
    assert!(KeyRing::from_file(1, &good).is_ok());
    assert!(KeyRing::from_file(1, files.file("read-only", 0o400, 32)).is_ok());

    for mode in [0o640, 0o604, 0o660, 0o601, 0o610] {
        let problem = problem(&files.file(&format!("mode-{mode:o}"), mode, 32));
        assert!(problem.contains(&format!("{mode:03o}")) && problem.contains("chmod 600"));
    }
    for len in [0, 31, 33, 64, 1 << 20] {
        let problem = problem(&files.file(&format!("len-{len}"), 0o600, len));
        assert!(problem.contains(&format!("{len} bytes instead of exactly 32")), "{problem}");
    }
    let link = files.0.join("link");
    symlink(&good, &link).expect("symlink");
    assert!(problem(&link).contains("symbolic link"));
    let dangling = files.0.join("dangling");
    symlink(files.0.join("nothing"), &dangling).expect("symlink");
    assert!(problem(&dangling).contains("symbolic link"));
    assert!(problem(&files.0.join("missing")).contains("No such file"));
    // None of these may hang or be read.
    let fifo = files.0.join("fifo");
    mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR).expect("mkfifo");
    for path in [fifo.as_path(), &files.0, Path::new("/dev/zero"), Path::new("/dev/null")] {
        assert!(problem(path).contains("not a regular file"), "{}", path.display());
    }
    let socket = files.0.join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bind");
    assert!(!problem(&socket).is_empty());

    let other = files.file("other", 0o600, 32);
    if chown(&other, Some(Uid::from_raw(12_345)), None).is_ok() {
        let problem = problem(&other);
        assert!(problem.contains("12345") && problem.contains("chown"), "{problem}");
    } else {
        eprintln!("skipped in part: only root can give a file to another user");
    }
    // A file that others may not read, where the directory lets nobody in either.
    if !nix::unistd::geteuid().is_root() {
        let closed = files.file("closed", 0o000, 32);
        assert!(File::open(&closed).is_err() && problem(&closed).contains("ermission"));
    }
}
