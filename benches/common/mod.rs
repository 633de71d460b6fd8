//! What the benches share: a directory on the disk of the build, logs in it, and the bare disk to
//! hold them against.
#![allow(dead_code, reason = "each bench uses its part")]

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use criterion::Criterion;
use plimsoll::{KeyRing, Preparation, Record, RecordKind, SegmentedWal, SegmentedWalConfig};

/// Block of the logs and of the bare writes: what ordinary disks write whole.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// Of x86-64.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// What the library reads at once when it replays.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;

/// Which implementation seals records in this build.
pub(crate) const CIPHER: &str = if cfg!(feature = "accelerated-aes") { "ring" } else { "aes-gcm" };

/// Few samples of a bounded time, no plots: all benches together take some minutes.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

/// A directory on the disk of the build, removed at the end.
pub(crate) struct BenchDir(PathBuf);

impl BenchDir {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("bench-{name}-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).expect("the build directory is writable");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Blocks as everywhere here, and segments that are used again, so that the disk does not fill.
    pub(crate) fn config(&self) -> SegmentedWalConfig {
        let mut config = SegmentedWalConfig::new(self.path());
        config.alignment = Some(BLOCK_BYTES as u64);
        config.preparation = Preparation::Recycle;
        config.prepared_segments = 2;
        config
    }
}

impl Drop for BenchDir {
    fn drop(&mut self) {
        // Best effort: it is in the build directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn key_ring() -> KeyRing {
    KeyRing::new(7, [0x42; 32]).expect("memory for a key")
}

pub(crate) fn put(payload: &[u8]) -> Record<'_> {
    Record::new(RecordKind::PUT, payload)
}

/// Opens a log and waits until its background thread has made the first segments, so that it does
/// not compete with what is measured.
pub(crate) fn open_at_rest(config: SegmentedWalConfig) -> SegmentedWal {
    let segments = u64::from(config.prepared_segments) + 1;
    let wal = SegmentedWal::open(config).expect("the log opens");
    while wal.stats().counters.segments_prepared < segments {
        thread::sleep(Duration::from_millis(1));
    }
    wal
}

/// Memory whose address suits direct I/O.
pub(crate) struct AlignedBuffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuffer {
    pub(crate) fn new(len: usize) -> Self {
        let mut buffer = Self::aligned_to(len, BLOCK_BYTES);
        buffer.bytes().fill(0x5a);
        buffer
    }

    /// Of huge pages, as the library's windows are.
    #[allow(unsafe_code, reason = "madvise(2) has no other way in")]
    pub(crate) fn of_huge_pages(len: usize) -> Self {
        let mut buffer = Self::aligned_to(len.next_multiple_of(HUGE_PAGE_BYTES), HUGE_PAGE_BYTES);
        let bytes = buffer.bytes();
        // SAFETY: whole pages of a vector's memory; the advice changes no byte of them.
        let advised =
            unsafe { libc::madvise(bytes.as_mut_ptr().cast(), bytes.len(), libc::MADV_HUGEPAGE) };
        assert_eq!(advised, 0, "the kernel takes the advice");
        // Pages are chosen when they are first touched.
        bytes.fill(0x5a);
        Self { len, ..buffer }
    }

    fn aligned_to(len: usize, align_bytes: usize) -> Self {
        // Zeros from the kernel, so that no page has been touched yet.
        let memory = vec![0; len + align_bytes];
        let start = memory.as_ptr().align_offset(align_bytes);
        Self { memory, start, len }
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }
}

/// One durable direct write after the other, round a file that was written before: the most that
/// a log can come to with one block each.
pub(crate) struct BareWrites {
    file: File,
    file_bytes: u64,
    block: AlignedBuffer,
    offset: u64,
}

impl BareWrites {
    pub(crate) fn new(directory: &Path, file_bytes: u64) -> Self {
        let path = directory.join("bare");
        let file = File::create(&path).expect("the directory is writable");
        let zeros = vec![0; CHUNK_BYTES];
        for offset in (0..file_bytes).step_by(zeros.len()) {
            file.write_all_at(&zeros, offset).expect("there is space");
        }
        file.sync_all().expect("the file can be synced");
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_DIRECT | libc::O_DSYNC)
            .open(path)
            .expect("the disk of the build takes direct writes");
        Self { file, file_bytes, block: AlignedBuffer::new(BLOCK_BYTES), offset: 0 }
    }

    pub(crate) fn write(&mut self) {
        self.file.write_all_at(self.block.bytes(), self.offset).expect("the write is durable");
        self.offset = (self.offset + BLOCK_BYTES as u64) % self.file_bytes;
    }
}

/// Reads the first `total_bytes` of these files together, directly, in the library's chunks, into
/// `chunk`.
pub(crate) fn read_bare(paths: &[PathBuf], total_bytes: u64, chunk: &mut AlignedBuffer) -> u64 {
    let mut read_bytes = 0;
    for path in paths {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECT)
            .open(path)
            .expect("the disk of the build takes direct reads");
        let mut offset = 0;
        while read_bytes < total_bytes {
            let read = file.read_at(chunk.bytes(), offset).expect("the file can be read") as u64;
            if read == 0 {
                break;
            }
            offset += read;
            read_bytes += read;
        }
    }
    read_bytes
}
