//! A log of 1 GiB, written, recovered and replayed: the page cache does not grow, and memory is
//! bounded by a window and not by the log. One test for both, since the log takes its time.
#![allow(unsafe_code, reason = "mincore(2) is the only way to ask what is in the page cache")]

mod common;

use std::{
    env, fs,
    fs::File,
    io::{ErrorKind, Write},
    num::NonZeroUsize,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::Command,
};

use common::{TestDir, put};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use plimsoll::{Lsn, ParallelOptions, SegmentedWal, SegmentedWalConfig, WalError};

const MIB: usize = 1 << 20;
const RECORDS: u64 = 1024;
const PAGE_BYTES: usize = 4096;
/// What a log of 1 GiB may leave in the page cache: `wal.meta` and nothing else to speak of.
const CACHE_LIMIT_BYTES: usize = MIB;
/// What a process may take to recover and replay it, its own code and libraries included.
const MEMORY_LIMIT_BYTES: usize = 32 * MIB;

/// Tells the child which log to read, and whether it keeps what it reads.
const CHILD_DIR: &str = "PLIMSOLL_TEST_LARGE_LOG_DIR";
const CHILD_KEEPS: &str = "PLIMSOLL_TEST_LARGE_LOG_KEEP";

#[test]
fn defect_17_a_large_log_leaves_page_cache_and_memory_small() {
    let dir = TestDir::new("large-log");
    let mut wal = match SegmentedWal::open(config(dir.path())) {
        Err(error @ WalError::DirectIoUnsupported { .. }) => return skip(&error.to_string()),
        opened => opened.expect("opens"),
    };
    let mut payload: Vec<u8> = (0..251).cycle().take(MIB).collect();
    for lsn in 1..=RECORDS {
        payload[..8].copy_from_slice(&lsn.to_le_bytes());
        assert_eq!(wal.append(&put(&payload)).expect("append"), Lsn::new(lsn));
        if lsn % 64 == 0 {
            wal.sync().expect("sync");
        }
    }
    wal.close().expect("close");
    let files = files_in(dir.path());
    let size: u64 = files.iter().map(|file| fs::metadata(file).expect("is there").len()).sum();
    assert!(size > RECORDS * MIB as u64, "{size} bytes");
    assert_cache_is_small(&files, "after appending");

    let peak = peak_of_child(dir.path(), false);
    say(&format!("peak memory of recovery and replay: {} KiB", peak / 1024));
    assert!(peak < MEMORY_LIMIT_BYTES, "recovery and replay took {peak} bytes of memory");
    assert_cache_is_small(&files_in(dir.path()), "after recovery and replay");

    let keeping = peak_of_child(dir.path(), true);
    assert!(keeping > 2 * MEMORY_LIMIT_BYTES, "the measure misses memory: {keeping} bytes");
}

fn config(dir: &Path) -> SegmentedWalConfig {
    SegmentedWalConfig::new(dir)
}

#[expect(clippy::print_stderr, reason = "what was measured, and why a test was skipped")]
fn say(what: &str) {
    eprintln!("{what}");
}

fn skip(why: &str) {
    say(&format!("skipped: {why}"));
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("the directory is there");
    entries.map(|entry| entry.expect("readable").path()).collect()
}

fn assert_cache_is_small(files: &[PathBuf], when: &str) {
    let cached: usize = files.iter().map(|file| cached_bytes(file)).sum();
    say(&format!("page cache of the log's files {when}: {} KiB", cached / 1024));
    assert!(cached < CACHE_LIMIT_BYTES, "{when} {cached} bytes are in the page cache");
}

/// How much of a file is in the page cache.
fn cached_bytes(path: &Path) -> usize {
    let file = match File::open(path) {
        // A spare or a retired segment that has got another name meanwhile.
        Err(error) if error.kind() == ErrorKind::NotFound => return 0,
        opened => opened.expect("can be opened"),
    };
    let len = file.metadata().expect("has a length").len();
    let len = usize::try_from(len).expect("fits into memory");
    let Some(mapped_len) = NonZeroUsize::new(len) else { return 0 };
    let mut resident = vec![0u8; len.div_ceil(PAGE_BYTES)];
    // SAFETY: a new read-only mapping at an address of the kernel's choice; nothing reads it, so
    // it does not matter what others do to the file.
    let mapped = unsafe {
        mmap(None, mapped_len, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, file.as_fd(), 0)
    };
    let mapped = mapped.expect("the file can be mapped");
    // SAFETY: the range is the mapping just made, and the vector has a byte for each of its pages.
    let result = unsafe { libc::mincore(mapped.as_ptr(), len, resident.as_mut_ptr()) };
    let error = std::io::Error::last_os_error();
    // SAFETY: the mapping just made, of which no reference was ever taken.
    unsafe { munmap(mapped, len) }.expect("can be unmapped");
    assert_eq!(result, 0, "mincore: {error}");
    resident.iter().filter(|&&page| page & 1 != 0).count() * PAGE_BYTES
}

#[test]
fn the_measure_sees_a_file_that_is_in_the_page_cache() {
    let dir = TestDir::new("cached-file");
    let path = dir.path().join("file");
    let mut file = File::create(&path).expect("the build directory is writable");
    file.write_all(&vec![1; 4 * MIB]).expect("written");
    file.sync_all().expect("synced");
    assert_eq!(fs::read(&path).expect("read through the page cache").len(), 4 * MIB);
    assert!(cached_bytes(&path) > CACHE_LIMIT_BYTES, "{} bytes", cached_bytes(&path));
}

/// Recovers and replays the log in a process of its own, or keeps its first records, and returns
/// the most memory that took.
fn peak_of_child(dir: &Path, keeps: bool) -> usize {
    let mut child = Command::new(env::current_exe().expect("this test has a path"));
    child.args(["--exact", "child_replays_a_large_log", "--ignored", "--nocapture"]);
    child.env(CHILD_DIR, dir);
    if keeps {
        child.env(CHILD_KEEPS, "1");
    }
    let output = child.output().expect("the child starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the child failed: {stderr}");
    let peak = stderr.lines().find_map(|line| line.strip_prefix("peak bytes: "));
    peak.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no peak in: {stderr}"))
}

#[test]
#[ignore = "run by another test, in a process of its own"]
fn child_replays_a_large_log() {
    let Some(dir) = env::var_os(CHILD_DIR).map(PathBuf::from) else {
        return skip("only another test runs this, and tells it what to read");
    };
    if env::var_os(CHILD_KEEPS).is_some() {
        let reader = SegmentedWal::replay_from_dir(&dir, None, Lsn::FIRST).expect("replay");
        let kept: Vec<_> = reader.take(4 * MEMORY_LIMIT_BYTES / MIB).collect();
        assert!(kept.iter().all(Result::is_ok), "every record is whole");
    } else {
        // Recovery reads everything as well.
        let wal = SegmentedWal::open(config(&dir)).expect("opens");
        let mut expected_lsn = Lsn::FIRST;
        for record in wal.replay().expect("replay") {
            let record = record.expect("every record is whole");
            assert_eq!(record.lsn(), expected_lsn);
            assert_eq!(record.payload()[..8], expected_lsn.get().to_le_bytes());
            expected_lsn = expected_lsn.next();
        }
        assert_eq!(expected_lsn, Lsn::new(RECORDS + 1));
        let half = ParallelOptions { threads: 2, memory_bytes: MEMORY_LIMIT_BYTES / 2 };
        let parallel = wal.replay().expect("replay").in_parallel(half);
        assert_eq!(parallel.filter(Result::is_ok).count() as u64, RECORDS);
        let mut heads = wal.replay().expect("replay");
        let mut count = 0;
        while let Some(head) = heads.next_head() {
            assert_eq!(head.expect("fits").payload_len(), MIB);
            count += 1;
        }
        assert_eq!(count, RECORDS);
    }
    say(&format!("peak bytes: {}", peak_bytes()));
}

/// The most resident memory this process ever had (proc_pid_status(5)).
fn peak_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("procfs is mounted");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("has VmHWM");
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse().expect("a number of kB");
    kib * 1024
}
