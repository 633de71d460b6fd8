//! Records whose payload is written where it is to lie, in a log that threads share.

mod common;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Barrier,
    thread,
    time::Duration,
};

use common::{TestDir, lsns, open, payloads, put, replay};
use plimsoll::{
    CommitPolicy, GroupCommitter, Level, LogRecord, Lsn, MAX_PAYLOAD_BYTES, RecordHeader,
    RecordKind, SegmentedWalConfig, WalError,
};

/// Small buffers, which are soon used again, and nothing that happens by itself.
fn configs(dir: &TestDir) -> [SegmentedWalConfig; 2] {
    [dir.config(), dir.encrypted_config()].map(|mut config| {
        (config.buffer_size, config.idle_marker_after) = (4096, Duration::from_secs(3600));
        config.dir.push(if config.keys.is_some() { "sealed" } else { "plain" });
        config
    })
}

fn start(config: &SegmentedWalConfig) -> GroupCommitter {
    GroupCommitter::start(open(config), CommitPolicy::Greedy).expect("start")
}

const HEADER: RecordHeader =
    RecordHeader { kind: RecordKind::PUT, tenant: 4, vshard: 5, database: 6 };

#[test]
fn a_payload_is_written_where_it_finds_zeros() {
    let dir = TestDir::new("in-place-zeros");
    for config in configs(&dir) {
        let log = start(&config);
        for n in 1..=30_u8 {
            let fill = |place: &mut [u8]| {
                // Also where an earlier batch was, and one that was sealed.
                assert!(place.iter().all(|&byte| byte == 0), "record {n}");
                place[10..].fill(n);
            };
            let lsn = if n % 2 == 0 {
                log.commit_with(HEADER, 3000, fill).expect("durable")
            } else {
                let commit = log.submit_with(HEADER, 3000, fill).expect("submit");
                commit.wait().expect("durable").lsn()
            };
            assert_eq!(lsn, Lsn::new(n.into()));
        }
        log.close().expect("close");
        let records = replay(&open(&config));
        assert_eq!(records.len(), 30);
        for (n, record) in (1..).zip(records) {
            assert_eq!((record.kind(), record.tenant()), (HEADER.kind, HEADER.tenant));
            assert_eq!((record.vshard(), record.database()), (HEADER.vshard, HEADER.database));
            assert_eq!(record.payload()[..10], [0; 10]);
            assert_eq!(record.payload()[10..], [n; 2990]);
        }
    }
}

#[test]
fn a_panic_leaves_a_noop_and_the_log_goes_on_for_everybody() {
    let dir = TestDir::new("in-place-panic");
    for config in configs(&dir) {
        let log = start(&config);
        log.commit(&put(b"before")).expect("durable");
        let half_way = |place: &mut [u8]| {
            place[..50].fill(0xaa);
            panic!("half-way");
        };
        let committed = catch_unwind(AssertUnwindSafe(|| log.commit_with(HEADER, 100, half_way)));
        assert!(committed.is_err());
        let submitted = catch_unwind(AssertUnwindSafe(|| log.submit_with(HEADER, 100, half_way)));
        assert!(submitted.is_err());
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| log.commit(&put(b"after")).expect("durable"));
            }
        });
        log.close().expect("close");
        let records = replay(&open(&config));
        assert_eq!(lsns(&records), [1, 2, 3, 4, 5, 6]);
        let kinds: Vec<_> = records[..4].iter().map(LogRecord::kind).collect();
        let noop = RecordKind::NOOP;
        assert_eq!(kinds, [RecordKind::PUT, noop, noop, RecordKind::PUT]);
        assert_eq!(payloads(&records[1..3]), [[0; 100], [0; 100]], "nothing of it is left");
    }
}

#[test]
fn threads_encode_at_the_same_time_into_one_batch() {
    let dir = TestDir::new("in-place-together");
    for config in configs(&dir) {
        let log = start(&config);
        let before = log.counters();
        // Each waits in the middle of its record for the others: no lock is held there.
        let together = Barrier::new(3);
        thread::scope(|scope| {
            for fill in 1..=3_u8 {
                let (log, together) = (&log, &together);
                scope.spawn(move || {
                    let write = |place: &mut [u8]| {
                        place[..50].fill(fill);
                        together.wait();
                        place[50..].fill(fill);
                    };
                    log.commit_with(HEADER, 100, write).expect("durable");
                });
            }
        });
        let after = log.counters();
        assert_eq!((after.records - before.records, after.batches - before.batches), (3, 1));
        log.close().expect("close");
        let mut found = payloads(&replay(&open(&config)));
        found.sort();
        assert_eq!(found, [[1; 100], [2; 100], [3; 100]]);
    }
}

#[test]
fn a_payload_over_the_limit_is_refused_before_anything_is_written() {
    let dir = TestDir::new("in-place-limit");
    let log = start(&dir.config());
    let outcome = log.commit_with(HEADER, MAX_PAYLOAD_BYTES + 1, |_| unreachable!("no place"));
    assert!(matches!(outcome, Err(WalError::RecordTooLarge { .. })), "{outcome:?}");
    assert_eq!(log.next_lsn(), Lsn::FIRST);
}
