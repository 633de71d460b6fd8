//! Reading back, beside bare direct reads of the same files in the same chunks and beside checksums
//! alone: records of 1 KiB by every way to take them, and records of 64 KiB without their payloads.
//! Nothing is left in the page cache, so that every reading is a cold one.
//!
//! `cargo bench -p plimsoll --bench replay`. The lines `ratio` at the end come from rounds in which
//! the readings take turns, since a disk that drifts spoils what criterion measures one after the
//! other.

mod common;

use std::{
    hint::black_box,
    path::PathBuf,
    time::{Duration, Instant},
};

use common::{BenchDir, criterion, open_at_rest, read_bare};
use criterion::{Criterion, SamplingMode, Throughput, criterion_group};
use plimsoll::{ParallelOptions, Record, RecordFilter, RecordKind, SegmentedWal};

/// Payload of each log.
const TOTAL_BYTES: u64 = 256 << 20;
/// One record in so many is the tenant's that is looked for.
const TENANTS: u64 = 16;
/// Rounds of the comparison in turns.
const ROUNDS: usize = 5;

/// A log, and the reading of it.
struct Written {
    wal: SegmentedWal,
    paths: Vec<PathBuf>,
    /// What was written for it, headers and padding included.
    device_bytes: u64,
    records: u64,
    payload_bytes: u64,
    _dir: BenchDir,
}

impl Written {
    fn new(name: &str, payload_bytes: usize) -> Self {
        let dir = BenchDir::new(name);
        let mut config = dir.config();
        config.prepared_segments = 1;
        let mut wal = open_at_rest(config);
        let payload = vec![0x5a; payload_bytes];
        let records = TOTAL_BYTES / payload_bytes as u64;
        for number in 0..records {
            let record = Record::new(RecordKind::PUT, &payload[..]).tenant(number % TENANTS);
            wal.append(&record).expect("append");
        }
        wal.sync().expect("sync");
        let segments = wal.list_segments().expect("segments");
        Self {
            paths: segments.into_iter().map(|segment| segment.path).collect(),
            device_bytes: wal.stats().counters.device_bytes,
            records,
            payload_bytes: payload_bytes as u64,
            wal,
            _dir: dir,
        }
    }

    fn owned(&self) {
        let records = self.wal.replay().expect("replay");
        let lens = records.map(|record| record.expect("whole").payload().len() as u64);
        assert_eq!(lens.sum::<u64>(), TOTAL_BYTES);
    }

    fn borrowed(&self) {
        let mut reader = self.wal.replay().expect("replay");
        let mut bytes = 0;
        while let Some(record) = reader.next_ref() {
            bytes += record.expect("whole").payload().len() as u64;
        }
        assert_eq!(bytes, TOTAL_BYTES);
    }

    fn parallel(&self) {
        let reader = self.wal.replay().expect("replay");
        let records = reader.in_parallel(ParallelOptions::default());
        let lens = records.map(|record| record.expect("whole").payload().len() as u64);
        assert_eq!(lens.sum::<u64>(), TOTAL_BYTES);
    }

    fn heads(&self) {
        let mut reader = self.wal.replay().expect("replay");
        let mut records = 0;
        while let Some(head) = reader.next_head() {
            assert_eq!(head.expect("fits").payload_len() as u64, self.payload_bytes);
            records += 1;
        }
        assert_eq!(records, self.records);
    }

    fn one_tenant(&self) {
        let reader = self.wal.replay().expect("replay");
        let mut reader = reader.matching(RecordFilter::all().tenants([3]));
        let mut records = 0;
        while let Some(record) = reader.next_ref() {
            black_box(record.expect("whole").payload());
            records += 1;
        }
        assert_eq!(records, self.records / TENANTS);
    }

    fn bare(&self) {
        assert!(read_bare(&self.paths, self.device_bytes) >= self.device_bytes);
    }

    /// What the checksums of this log cost, of bytes in memory.
    fn checksums(&self, memory: &[u8]) {
        let frames = memory.chunks(usize::try_from(self.payload_bytes).expect("small") + 40);
        for frame in frames.cycle().take(usize::try_from(self.records).expect("few")) {
            black_box(crc32c::crc32c(frame));
        }
    }
}

/// A reading, and what it is called.
type Reading<'a> = (&'static str, Box<dyn Fn() + 'a>);

fn measure(c: &mut Criterion, name: &str, readings: &[Reading<'_>]) {
    let mut group = c.benchmark_group(name);
    // Ten readings of each at the speed of the reference machine.
    group.sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_millis(2_500));
    group.throughput(Throughput::Bytes(TOTAL_BYTES));
    for (name, reading) in readings {
        group.bench_function(*name, |b| b.iter(reading));
    }
    group.finish();
}

/// Median time of each reading, by turns.
fn in_turns(readings: &[Reading<'_>]) -> Vec<Duration> {
    let mut times = vec![Vec::new(); readings.len()];
    for _ in 0..ROUNDS {
        for ((_, reading), times) in readings.iter().zip(&mut times) {
            let began = Instant::now();
            reading();
            times.push(began.elapsed());
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[ROUNDS / 2]
    };
    times.into_iter().map(median).collect()
}

/// Says how much faster than `than` each reading is.
#[expect(clippy::print_stdout, reason = "a bench says what it measured")]
fn say_ratios(readings: &[Reading<'_>], than: usize) {
    let times = in_turns(readings);
    for ((name, _), time) in readings.iter().zip(&times) {
        let ratio = times[than].as_secs_f64() / time.as_secs_f64();
        println!("ratio {ratio:5.2} : {name} against {}, {time:.0?}", readings[than].0);
    }
}

fn small_records(c: &mut Criterion) {
    let log = Written::new("replay-1k", 1 << 10);
    let memory = vec![0x5a; 8 << 20];
    let readings: [Reading<'_>; 5] = [
        ("bare O_DIRECT reads of 1 MiB", Box::new(|| log.bare())),
        ("owned records", Box::new(|| log.owned())),
        ("borrowed records", Box::new(|| log.borrowed())),
        ("owned records, in parallel", Box::new(|| log.parallel())),
        ("checksums alone", Box::new(|| log.checksums(&memory))),
    ];
    measure(c, "read 256 MiB of 1 KiB records", &readings);
    say_ratios(&readings, 0);
}

fn large_records(c: &mut Criterion) {
    let log = Written::new("replay-64k", 64 << 10);
    let readings: [Reading<'_>; 4] = [
        ("borrowed records", Box::new(|| log.borrowed())),
        ("headers", Box::new(|| log.heads())),
        ("one tenant of sixteen", Box::new(|| log.one_tenant())),
        ("bare O_DIRECT reads of 1 MiB", Box::new(|| log.bare())),
    ];
    measure(c, "read 256 MiB of 64 KiB records", &readings);
    say_ratios(&readings, 0);
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = small_records, large_records
}

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
}
