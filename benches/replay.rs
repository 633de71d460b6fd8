//! Reading 256 MiB of 1 KiB records back, beside bare direct reads of the same files in the same
//! chunks. Neither leaves anything in the page cache.
//!
//! `cargo bench -p plimsoll --bench replay`

mod common;

use std::{path::PathBuf, time::Duration};

use common::{BenchDir, criterion, open_at_rest, put, read_bare};
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use plimsoll::SegmentedWal;

const PAYLOAD: [u8; 1 << 10] = [0x5a; 1 << 10];

const TOTAL_BYTES: u64 = 256 << 20;

fn written_log(dir: &BenchDir) -> SegmentedWal {
    let mut config = dir.config();
    config.prepared_segments = 1;
    let mut wal = open_at_rest(config);
    for _ in 0..TOTAL_BYTES / PAYLOAD.len() as u64 {
        wal.append(&put(&PAYLOAD)).expect("append");
    }
    wal.sync().expect("sync");
    wal
}

fn payload_bytes(wal: &SegmentedWal) -> u64 {
    let records = wal.replay().expect("replay");
    records.map(|record| record.expect("every record is whole").payload().len() as u64).sum()
}

fn replay(c: &mut Criterion) {
    let dir = BenchDir::new("replay");
    let wal = written_log(&dir);
    let segments = wal.list_segments().expect("segments");
    let paths: Vec<PathBuf> = segments.into_iter().map(|segment| segment.path).collect();
    let written_bytes = wal.stats().counters.device_bytes;

    let mut group = c.benchmark_group("read 256 MiB of 1 KiB records");
    // Ten readings of each at the speed of the reference machine.
    group.sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_millis(2_500));
    group.throughput(Throughput::Bytes(TOTAL_BYTES));
    group.bench_function("replay", |b| {
        b.iter(|| assert_eq!(payload_bytes(&wal), TOTAL_BYTES));
    });
    group.bench_function("bare O_DIRECT reads of 1 MiB", |b| {
        b.iter(|| assert!(read_bare(&paths, written_bytes) >= written_bytes));
    });
    group.finish();
    wal.close().expect("close");
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = replay
}
criterion_main!(benches);
