//! How long a batch waits for company, and for what it does not wait.

mod common;

use std::{
    thread,
    time::{Duration, Instant},
};

use common::{TestDir, eventually, lsns, open, put, replay};
use plimsoll::{CommitPolicy, Engine, GroupCommitter, Lsn, SegmentedWalConfig, WalError, WalStats};

/// No test waits for it.
const ENDLESS: CommitPolicy = CommitPolicy::Window(Duration::from_secs(3600));

fn start(config: &SegmentedWalConfig, policy: CommitPolicy) -> GroupCommitter {
    GroupCommitter::start(open(config), policy).expect("start")
}

/// A log whose batches are full after 20 to 40 of [`record`].
fn small_batches(dir: &TestDir) -> SegmentedWalConfig {
    let mut config = dir.config();
    (config.buffer_size, config.idle_marker_after) = (4096, Duration::from_secs(3600));
    config
}

fn record() -> plimsoll::Record<'static> {
    put(&[7; 100])
}

fn batch_sizes(stats: &WalStats) -> Vec<(u64, u64)> {
    stats.histograms.records_per_batch.buckets().collect()
}

#[test]
fn a_lone_commit_waits_for_company_and_a_full_batch_for_nobody() {
    let dir = TestDir::new("window-full");
    let log = start(&small_batches(&dir), ENDLESS);
    thread::scope(|scope| {
        let lone = scope.spawn(|| log.commit(&record()).expect("durable"));
        eventually(|| log.next_lsn() > Lsn::FIRST);
        // It has company until the batch is full, and goes without the record that did not fit.
        let mut last = Lsn::FIRST;
        for _ in 0..40 {
            last = log.submit(&record()).expect("submit").lsn();
        }
        assert_eq!(lone.join().expect("no panic"), Lsn::FIRST);
        eventually(|| log.durable_lsn() >= Lsn::new(20));
        let sizes = batch_sizes(&log.stats());
        let [(records, 1)] = sizes[..] else { panic!("one batch, full: {sizes:?}") };
        assert_eq!(log.durable_lsn(), Lsn::new(records));
        assert!(log.durable_lsn() < last, "the next one waits for company");
    });
    // Neither does a close wait for it.
    log.close().expect("close");
    assert_eq!(replay(&open(&small_batches(&dir))).len(), 41);
}

#[test]
fn a_log_that_is_let_go_of_waits_for_no_company() {
    let dir = TestDir::new("window-dropped");
    let log = start(&small_batches(&dir), ENDLESS);
    let commit = log.submit(&record()).expect("submit");
    // Time enough for the background thread to begin to wait.
    thread::sleep(Duration::from_millis(20));
    drop(log);
    let outcome = commit.wait();
    assert!(matches!(outcome, Err(WalError::Closed)), "{outcome:?}");
}

#[test]
fn a_deadline_ends_the_wait_for_company() {
    let dir = TestDir::new("window-deadline");
    let log = start(&small_batches(&dir), ENDLESS);
    let soon = Instant::now() + Duration::from_millis(20);
    let outcome = log.commit_by(&record(), soon);
    assert!(
        matches!(outcome, Ok(Lsn::FIRST) | Err(WalError::DeadlineExceeded { lsn: Lsn::FIRST })),
        "{outcome:?}"
    );
    log.close().expect("close");
}

#[test]
fn an_adaptive_window_loses_nothing() {
    for (engine, p99) in [
        (Engine::Blocking, Duration::from_millis(1)),
        (Engine::Uring, Duration::from_millis(20)),
        (Engine::Auto, Duration::ZERO),
    ] {
        let dir = TestDir::new("window-adaptive");
        let mut config = dir.config();
        config.engine = engine;
        let log = start(&config, CommitPolicy::Adaptive { p99 });
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let lsn = log.commit(&record()).expect("durable");
                        assert!(log.durable_lsn() >= lsn);
                    }
                });
            }
        });
        // One that arrives alone, after a crowd.
        assert_eq!(log.commit(&record()).expect("durable"), Lsn::new(801));
        log.close().expect("close");
        assert_eq!(lsns(&replay(&open(&config))), (1..=801).collect::<Vec<_>>());
    }
}
