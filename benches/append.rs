//! One owner. Appending into memory, by every way in, plain and encrypted; and one record made
//! durable, beside one bare durable write.
//!
//! `cargo bench -p plimsoll --bench append`, and again with `--features accelerated-aes`.

mod common;

use std::time::{Duration, Instant};

use common::{BareWrites, BenchDir, CIPHER, criterion, key_ring, open_at_rest, put};
use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use plimsoll::{Record, RecordHeader, RecordKind, SegmentedWal};

const PAYLOADS_BYTES: [usize; 4] = [64, 128, 1 << 10, 4 << 10];

/// Records of one `append_batch`.
const BATCH_RECORDS: usize = 16;

/// A batch in memory. Records are appended until it is three quarters full, then written outside
/// the measured time.
const BUFFER_BYTES: u64 = 1 << 20;

/// What a frame adds to a payload, at most: enough to know how many fit.
const FRAME_BYTES: usize = 72;

/// Appends until `calls` have been made and returns the time they took; the writing of full
/// buffers is left out.
fn time_in_memory(
    wal: &mut SegmentedWal,
    calls: u64,
    call_bytes: usize,
    mut append: impl FnMut(&mut SegmentedWal),
) -> Duration {
    let calls_in_buffer = (BUFFER_BYTES * 3 / 4) / call_bytes as u64;
    let mut left = calls;
    let mut took = Duration::ZERO;
    while left > 0 {
        let now = left.min(calls_in_buffer);
        let began = Instant::now();
        (0..now).for_each(|_| append(wal));
        took += began.elapsed();
        let durable_lsn = wal.sync().expect("sync");
        wal.truncate_before(durable_lsn).expect("truncate");
        left -= now;
    }
    took
}

fn append_into_memory(c: &mut Criterion) {
    for encrypted in [false, true] {
        let dir = BenchDir::new("append");
        let mut config = dir.config();
        config.buffer_size = BUFFER_BYTES;
        if encrypted {
            config = config.with_keys(key_ring());
        }
        let mut wal = open_at_rest(config);
        let name = if encrypted { format!("append, {CIPHER}") } else { "append, plain".to_owned() };
        let mut group = c.benchmark_group(name);
        group.sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_millis(200));
        group.warm_up_time(Duration::from_millis(50));
        for payload_bytes in PAYLOADS_BYTES {
            let payload = vec![0x5a; payload_bytes];
            let frame_bytes = payload_bytes + FRAME_BYTES;
            let throughput = |records: usize| Throughput::ElementsAndBytes {
                elements: records as u64,
                bytes: (records * payload_bytes) as u64,
            };

            group.throughput(throughput(1));
            group.bench_function(BenchmarkId::new("append", payload_bytes), |b| {
                let record = put(&payload);
                b.iter_custom(|calls| {
                    time_in_memory(&mut wal, calls, frame_bytes, |wal| {
                        wal.append(&record).expect("append");
                    })
                });
            });
            group.bench_function(BenchmarkId::new("append_with", payload_bytes), |b| {
                let header = RecordHeader::new(RecordKind::PUT);
                b.iter_custom(|calls| {
                    time_in_memory(&mut wal, calls, frame_bytes, |wal| {
                        let fill = |place: &mut [u8]| place.copy_from_slice(&payload);
                        wal.append_with(header, payload_bytes, fill).expect("append");
                    })
                });
            });
            group.throughput(throughput(BATCH_RECORDS));
            group.bench_function(BenchmarkId::new("append_batch of 16", payload_bytes), |b| {
                let records: Vec<Record<'_>> = vec![put(&payload); BATCH_RECORDS];
                b.iter_custom(|calls| {
                    time_in_memory(&mut wal, calls, BATCH_RECORDS * frame_bytes, |wal| {
                        wal.append_batch(&records).expect("append");
                    })
                });
            });
        }
        group.finish();
        wal.close().expect("close");
    }
}

/// The time of the first over the time of the second is what the log costs beyond the disk. A disk
/// that drifts between the two spoils it: `plimsoll bench --against-ceiling` interleaves them.
fn one_durable_record(c: &mut Criterion) {
    const FILE_BYTES: u64 = 256 << 20;
    let mut group = c.benchmark_group("one durable record of 128 B");
    group.sample_size(20).throughput(Throughput::Elements(1));
    {
        let dir = BenchDir::new("commit-one");
        let mut config = dir.config();
        (config.segment_size, config.prepared_segments) = (FILE_BYTES, 1);
        let mut wal = open_at_rest(config);
        let record = put(&[0x5a; 128]);
        group.bench_function("append and sync", |b| {
            b.iter(|| {
                wal.append(&record).expect("append");
                wal.sync().expect("sync")
            });
        });
        wal.close().expect("close");
    }
    let dir = BenchDir::new("commit-bare");
    let mut bare = BareWrites::new(dir.path(), FILE_BYTES);
    group.bench_function("bare O_DIRECT|O_DSYNC write of 4 KiB", |b| b.iter(|| bare.write()));
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = one_durable_record, append_into_memory
}
criterion_main!(benches);
