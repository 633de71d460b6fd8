//! Opening a log, cold: closed in good order, after a crash in a full segment, and reading all of
//! it; beside bare direct reads of one segment and of all. Each opening finds the directory as the
//! life before left it.
//!
//! `cargo bench -p plimsoll --bench open`, for a log of 512 MiB; `PLIMSOLL_OPEN_BYTES=10737418240`
//! for one of 10 GiB, where what reads all of it is left out. Metadata is cold, too, where the
//! bench may drop the kernel's caches (as root).

mod common;

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use common::{AlignedBuffer, BenchDir, CHUNK_BYTES, criterion, open_at_rest, put, read_bare};
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use plimsoll::{SegmentedWal, SegmentedWalConfig, VerifyOnOpen};

static PAYLOAD: [u8; 32 << 10] = [0x5a; 32 << 10];

const USUAL_BYTES: u64 = 512 << 20;
/// Where each bench is only run once, to see that it runs.
const TRIED_BYTES: u64 = 80 << 20;
/// Above this nobody waits for ten readings of all of it.
const READ_WHOLE_BYTES_MAX: u64 = 1 << 30;

/// How the life before ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Closed,
    Crashed,
}

/// A log that can be opened again and again as it was left.
struct Left {
    config: SegmentedWalConfig,
    /// Names of the segments, and the other files that an opening changes.
    segments: BTreeSet<PathBuf>,
    meta: Vec<u8>,
}

impl Left {
    fn written(dir: &BenchDir, total_bytes: u64, ending: Ending) -> Self {
        let config = dir.config();
        let mut wal = open_at_rest(config.clone());
        for _ in 0..total_bytes / PAYLOAD.len() as u64 {
            wal.append(&put(&PAYLOAD)).expect("append");
        }
        wal.sync().expect("sync");
        match ending {
            Ending::Closed => wal.close().expect("close"),
            Ending::Crashed => drop(wal),
        }
        Self {
            segments: segments_in(dir.path()),
            meta: fs::read(dir.path().join("wal.meta")).expect("a log"),
            config,
        }
    }

    /// Opens it once and puts everything back. The spare that the opening has used is one again.
    fn time(&self, verify: VerifyOnOpen) -> Duration {
        forget_caches();
        let mut config = self.config.clone();
        config.verify_on_open = verify;
        let began = Instant::now();
        let wal = SegmentedWal::open(config).expect("opens");
        let took = began.elapsed();
        drop(wal);
        let dir = &self.config.dir;
        for (number, new) in segments_in(dir).difference(&self.segments).enumerate() {
            let spare = dir.join(format!("spare-written-{:08}.seg", 90_000_000 + number));
            fs::rename(new, spare).expect("ours");
        }
        fs::write(dir.join("wal.meta"), &self.meta).expect("ours");
        took
    }

    fn segment_paths(&self) -> Vec<PathBuf> {
        self.segments.iter().cloned().collect()
    }
}

fn segments_in(dir: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("read").path());
    let is_segment = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("wal-0"))
    };
    entries.filter(is_segment).collect()
}

/// Whether this is a measurement, and not one run of each bench as a test.
fn measures() -> bool {
    env::args().any(|arg| arg == "--bench")
}

/// Drops what the kernel remembers of names, inodes and blocks, where that is allowed. Data of
/// segments is never there.
fn forget_caches() {
    if measures() {
        let _ = fs::write("/proc/sys/vm/drop_caches", "3");
    }
}

fn open(c: &mut Criterion) {
    let usual_bytes = if measures() { USUAL_BYTES } else { TRIED_BYTES };
    let total_bytes = env::var("PLIMSOLL_OPEN_BYTES").map_or(usual_bytes, |bytes| {
        bytes.parse().expect("PLIMSOLL_OPEN_BYTES is a number of bytes")
    });
    let mut chunk = AlignedBuffer::of_huge_pages(CHUNK_BYTES);
    let mut group = c.benchmark_group(format!("open a log of {} MiB", total_bytes >> 20));
    group.sampling_mode(SamplingMode::Flat).warm_up_time(Duration::from_millis(1));
    for (name, ending) in [("closed", Ending::Closed), ("after a crash", Ending::Crashed)] {
        let dir = BenchDir::new("open");
        let left = Left::written(&dir, total_bytes, ending);
        group.bench_function(name, |b| {
            b.iter_custom(|n| (0..n).map(|_| left.time(VerifyOnOpen::Newest)).sum());
        });
        let newest = left.segment_paths().pop().expect("a log");
        let segment_bytes = left.config.segment_size;
        if ending == Ending::Crashed {
            group.bench_function("bare O_DIRECT reads of one segment", |b| {
                b.iter(|| read_bare(std::slice::from_ref(&newest), segment_bytes, &mut chunk));
            });
        } else if total_bytes <= READ_WHOLE_BYTES_MAX {
            group.bench_function("closed, reading everything", |b| {
                b.iter_custom(|n| (0..n).map(|_| left.time(VerifyOnOpen::Everything)).sum());
            });
            let paths = left.segment_paths();
            group.bench_function("bare O_DIRECT reads of all segments", |b| {
                b.iter(|| read_bare(&paths, u64::MAX, &mut chunk));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = open
}
criterion_main!(benches);
