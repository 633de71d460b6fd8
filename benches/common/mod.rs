//! What the benches share: a directory on the disk of the build, logs in it, and the bare disk to
//! hold them against.
#![allow(dead_code, reason = "each bench uses its part")]

use std::{
    fs::{self, File, OpenOptions},
    num::NonZeroUsize,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use criterion::Criterion;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};
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

/// Memory whose address suits direct I/O, for as long as the bench runs.
pub(crate) struct AlignedBuffer(&'static mut [u8]);

impl AlignedBuffer {
    pub(crate) fn new(len: usize) -> Self {
        let memory = vec![0x5a; len + BLOCK_BYTES].leak();
        let start = memory.as_ptr().align_offset(BLOCK_BYTES);
        Self(&mut memory[start..][..len])
    }

    /// Of huge pages, if the kernel has any, as the library's windows are.
    #[allow(unsafe_code, reason = "mmap(2) and madvise(2) have no other way in")]
    pub(crate) fn of_huge_pages(len: usize) -> Self {
        let mapped_len = len.next_multiple_of(HUGE_PAGE_BYTES) + HUGE_PAGE_BYTES;
        let size = NonZeroUsize::new(mapped_len).expect("not empty");
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new private mapping, never unmapped, that nobody else knows of.
        let mapped = unsafe { mmap_anonymous(None, size, protection, MapFlags::MAP_PRIVATE) };
        let mapped = mapped.expect("memory");
        // SAFETY: advice, about that mapping.
        unsafe { madvise(mapped, mapped_len, MmapAdvise::MADV_HUGEPAGE) }.expect("taken");
        // SAFETY: all of it is mapped, and zero.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(mapped.cast::<u8>().as_ptr(), mapped_len) };
        let start = bytes.as_ptr().align_offset(HUGE_PAGE_BYTES);
        let bytes = &mut bytes[start..][..len];
        bytes.fill(0x5a);
        Self(bytes)
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.0
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
