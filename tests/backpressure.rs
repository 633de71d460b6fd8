//! A device that is slower than its callers slows them, and never grows the log's memory.
//!
//! The log is held up by a record that is still being written in place: its batch waits for it, and
//! everything after that for the batch.

mod common;

use std::{
    sync::mpsc,
    thread::{self, Scope},
    time::{Duration, Instant},
};

use common::{TestDir, eventually, lsns, open, put, replay};
use futures::executor::block_on;
use plimsoll::{
    Commit, CommitPolicy, Engine, GroupCommitter, Level, Lsn, RecordHeader, RecordKind,
    SegmentedWalConfig, WalError,
};

const BUFFER_BYTES: u64 = 4096;
const PAYLOAD_LEN: usize = 100;
const PAYLOAD_BYTES: u64 = PAYLOAD_LEN as u64;
/// Of a record with that payload at least so many fit into a buffer.
const RECORDS_PER_BUFFER: u64 = 20;

fn config(dir: &TestDir, engine: Engine, pipeline_depth: u32) -> SegmentedWalConfig {
    let mut config = dir.config();
    (config.engine, config.pipeline_depth) = (engine, pipeline_depth);
    config.buffer_size = BUFFER_BYTES;
    config.idle_marker_after = Duration::from_secs(3600);
    config
}

fn start(config: &SegmentedWalConfig) -> GroupCommitter {
    GroupCommitter::start(open(config), CommitPolicy::Greedy).expect("start")
}

fn payload(number: u64) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(PAYLOAD_LEN, 7);
    payload
}

fn in_an_hour() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// Appends record number 0, which holds the log up until the sender says so or is gone.
fn hold_up<'scope>(
    scope: &'scope Scope<'scope, '_>,
    log: &'scope GroupCommitter,
) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel();
    let (entered, has_entered) = mpsc::channel();
    scope.spawn(move || {
        let header = RecordHeader::new(RecordKind::PUT);
        let outcome = log.commit_with(header, PAYLOAD_LEN, |place| {
            entered.send(()).expect("the test waits");
            let _ = released.recv();
            place.copy_from_slice(&payload(0));
        });
        assert_eq!(outcome.expect("durable"), Lsn::FIRST);
    });
    has_entered.recv().expect("the record got its place");
    release
}

/// Submits records, numbered from 1 on, until there is no room for more.
fn submit_until_full(log: &GroupCommitter) -> Vec<Commit> {
    let mut commits = Vec::new();
    loop {
        match log.try_submit(&put(&payload(commits.len() as u64 + 1))) {
            Ok(commit) => commits.push(commit),
            Err(WalError::QueueFull) => return commits,
            Err(other) => panic!("{other}"),
        }
    }
}

/// Everything went on in order.
fn expect_numbered(config: &SegmentedWalConfig, count: u64) {
    let records = replay(&open(config));
    assert_eq!(lsns(&records), (1..=count).collect::<Vec<_>>());
    for (number, record) in (0..).zip(&records) {
        assert_eq!(record.payload(), payload(number));
    }
}

#[test]
fn what_does_not_fit_is_refused_and_the_rest_goes_on_in_order() {
    for (engine, depth) in [(Engine::Blocking, 1), (Engine::Uring, 1), (Engine::Uring, 4)] {
        let dir = TestDir::new("full");
        let config = config(&dir, engine, depth);
        let log = start(&config);
        let commits = thread::scope(|scope| {
            let release = hold_up(scope, &log);
            let commits = submit_until_full(&log);

            // Memory is what the configuration says: so many buffers, and all of them are in use.
            let buffers = u64::from(depth) + 2;
            let accepted = commits.len() as u64;
            assert!(accepted * PAYLOAD_BYTES <= buffers * BUFFER_BYTES, "{accepted} records");
            assert!(accepted >= (buffers - 1) * RECORDS_PER_BUFFER, "{accepted} records");

            let next_lsn = log.next_lsn();
            let past = Instant::now();
            let refused = [
                log.try_submit(&put(b"refused")).map(drop),
                log.submit_by(&put(b"refused"), past).map(drop),
                log.commit_by(&put(b"refused"), past).map(drop),
            ];
            for outcome in refused {
                assert!(matches!(outcome, Err(WalError::QueueFull)), "{outcome:?}");
            }
            assert_eq!(log.next_lsn(), next_lsn, "nothing was appended");
            let outcome = commits[0].wait_until(past);
            assert!(
                matches!(outcome, Err(WalError::DeadlineExceeded { lsn }) if lsn == Lsn::new(2)),
                "{outcome:?}"
            );
            assert_eq!(log.written_lsn(), Lsn::NONE, "nobody overtakes the record");
            release.send(()).expect("it waits");
            commits
        });
        let count = commits.len() as u64 + 1;
        for (lsn, commit) in (2..).zip(commits) {
            assert_eq!(commit.wait_until(in_an_hour()).expect("durable").lsn(), Lsn::new(lsn));
            assert_eq!(block_on(commit).expect("once more").lsn(), Lsn::new(lsn));
        }
        log.close().expect("close");
        expect_numbered(&config, count);
    }
}

#[test]
fn who_has_the_time_waits_for_a_buffer() {
    let dir = TestDir::new("patient");
    let config = config(&dir, Engine::Auto, 1);
    let log = start(&config);
    let count = thread::scope(|scope| {
        let release = hold_up(scope, &log);
        let count = submit_until_full(&log).len() as u64 + 1;
        let waiting = scope.spawn({
            let log = &log;
            move || {
                let record = payload(count);
                log.submit_by(&put(&record), in_an_hour()).expect("a buffer came back").lsn()
            }
        });
        // Time enough to be refused.
        thread::sleep(Duration::from_millis(20));
        release.send(()).expect("it waits");
        assert_eq!(waiting.join().expect("no panic"), Lsn::new(count + 1));
        count + 1
    });
    let lsn = log.commit_by(&put(&payload(count)), in_an_hour()).expect("durable");
    assert_eq!((lsn, log.durable_lsn()), (Lsn::new(count + 1), Lsn::new(count + 1)));
    log.close().expect("close");
    expect_numbered(&config, count + 1);
}

#[test]
fn a_record_whose_deadline_is_over_becomes_durable_without_its_committer() {
    let dir = TestDir::new("overdue");
    let log = start(&config(&dir, Engine::Auto, 1));
    let outcome = log.commit_by(&put(b"late"), Instant::now());
    assert!(matches!(outcome, Err(WalError::DeadlineExceeded { lsn: Lsn::FIRST })), "{outcome:?}");
    eventually(|| log.durable_lsn() == Lsn::FIRST);
}

#[test]
fn ten_thousand_dropped_handles_lose_nothing_and_cost_no_memory() {
    for engine in [Engine::Blocking, Engine::Uring] {
        let dir = TestDir::new("dropped-handles");
        let config = config(&dir, engine, 2);
        let log = start(&config);
        for number in 0..10_000 {
            drop(log.submit(&put(&payload(number))).expect("submit"));
            // What is on its way fits into the buffers. Where batches overtake each other, a buffer
            // may be free again before what was in it is durable, for the sake of an older one.
            let in_flight = log.next_lsn().get() - 1 - log.durable_lsn().get();
            let fits = in_flight * PAYLOAD_BYTES <= 4 * BUFFER_BYTES;
            assert!(fits || engine == Engine::Uring, "{in_flight} in flight");
        }
        eventually(|| log.durable_lsn() == Lsn::new(10_000));
        drop(log);
        expect_numbered(&config, 10_000);
    }
}
