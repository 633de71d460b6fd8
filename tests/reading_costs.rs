//! What reading leaves behind and what it takes: threads end with their reader, and payloads that are
//! passed over are not read from the disk. One test, in a process of its own, since both are asked
//! of the process.

mod common;

use std::fs;

use common::{TestDir, open, put};
use plimsoll::{Lsn, ParallelOptions, Preparation, RecordFilter, SegmentedWal};

const RECORDS: u64 = 1024;
const PAYLOAD_BYTES: usize = 64 << 10;

/// Threads of this process with names of readers.
fn reading_threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("procfs is mounted");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("plimsoll-re")).count()
}

/// Bytes that this process had read from a device (proc_pid_io(5)).
fn bytes_read() -> u64 {
    let io = fs::read_to_string("/proc/self/io").expect("procfs is mounted");
    let line = io.lines().find_map(|line| line.strip_prefix("read_bytes:")).expect("a counter");
    line.trim().parse().expect("a number")
}

/// What `read` has read from the device.
fn cost_of(read: impl FnOnce()) -> u64 {
    let before = bytes_read();
    read();
    bytes_read() - before
}

#[test]
fn threads_end_with_their_reader_and_payloads_passed_over_are_not_read() {
    let dir = TestDir::new("reading-costs");
    let mut config = dir.config();
    (config.segment_size, config.preparation) = (16 << 20, Preparation::None);
    let mut wal = open(&config);
    let payload = vec![7; PAYLOAD_BYTES];
    for number in 0..RECORDS {
        wal.append(&put(&payload).tenant(number % 16)).expect("append");
    }
    wal.sync().expect("sync");
    threads_end(&wal);
    payloads_are_passed_over(&wal);
}

fn threads_end(wal: &SegmentedWal) {
    assert_eq!(reading_threads(), 0);
    // Far enough into a segment to read ahead.
    let mut reader = wal.replay().expect("replay");
    reader.by_ref().take(60).for_each(|record| drop(record.expect("whole")));
    assert_eq!(reading_threads(), 1, "it reads ahead");
    drop(reader);
    assert_eq!(reading_threads(), 0);

    let few = ParallelOptions { threads: 3, memory_bytes: 24 << 20 };
    let mut parallel = wal.replay().expect("replay").in_parallel(few);
    parallel.next().expect("a record").expect("whole");
    assert_eq!(reading_threads(), 3);
    drop(parallel);
    assert_eq!(reading_threads(), 0);

    // A page that is short takes no thread at all.
    let page = wal.replay_from(Lsn::new(5)).expect("replay").into_page(3).expect("page");
    assert_eq!((page.records.len(), page.next), (3, Some(Lsn::new(8))));
    let parallel = wal.replay().expect("replay").in_parallel(few);
    assert_eq!(parallel.count() as u64, RECORDS);
    assert_eq!(reading_threads(), 0, "they end with the log, too");
}

fn payloads_are_passed_over(wal: &SegmentedWal) {
    let total = RECORDS * PAYLOAD_BYTES as u64;
    let everything = cost_of(|| {
        assert_eq!(wal.replay().expect("replay").count() as u64, RECORDS);
    });
    assert!(everything >= total, "{everything}");
    let heads = cost_of(|| {
        let mut reader = wal.replay().expect("replay");
        let mut count = 0;
        while let Some(head) = reader.next_head() {
            assert_eq!(head.expect("fits").payload_len(), PAYLOAD_BYTES);
            count += 1;
        }
        assert_eq!(count, RECORDS);
    });
    assert!(heads < total / 8, "{heads} of {total} bytes were read for headers alone");
    let one_tenant = cost_of(|| {
        let reader = wal.replay().expect("replay").matching(RecordFilter::all().tenants([3]));
        assert_eq!(reader.count() as u64, RECORDS / 16);
    });
    assert!(one_tenant < total / 4, "{one_tenant} of {total} bytes for a sixteenth");
}
