//! What the levels of an answer promise, and what becomes of records whose committer asked for less
//! than durability.
#![allow(clippy::print_stderr, reason = "a skipped test says why")]

mod common;

use std::{sync::Barrier, thread, time::Duration};

use common::{TestDir, eventually, lsns, open, payloads, put, replay, seccomp};
use futures::{executor::block_on, future::join_all};
use plimsoll::{
    Buffered, CommitPolicy, Durability, Durable, Engine, GroupCommitter, Level, Lsn,
    SegmentedWalConfig, WalCounters, WalError, Written,
};

const ENGINES_AND_DURABILITIES: [(Engine, Durability); 4] = [
    (Engine::Blocking, Durability::Dsync),
    (Engine::Blocking, Durability::Fdatasync),
    (Engine::Uring, Durability::Dsync),
    (Engine::Uring, Durability::Fdatasync),
];

/// A log in which nothing happens that nobody asked for.
fn unhurried(dir: &TestDir, engine: Engine, durability: Durability) -> SegmentedWalConfig {
    let mut config = dir.config();
    (config.engine, config.durability) = (engine, durability);
    config.idle_marker_after = Duration::from_secs(3600);
    config
}

fn start(config: &SegmentedWalConfig) -> GroupCommitter {
    GroupCommitter::start(open(config), CommitPolicy::Greedy).expect("start")
}

/// Batches, those acknowledged as written, those that became durable, and flushes since `before`.
fn since(before: &WalCounters, log: &GroupCommitter) -> [u64; 4] {
    let after = log.counters();
    [
        after.batches - before.batches,
        after.written_batches - before.written_batches,
        after.durable_batches - before.durable_batches,
        after.flushes - before.flushes,
    ]
}

#[test]
fn written_is_answered_without_a_flush_or_a_durable_write() {
    for (engine, durability) in ENGINES_AND_DURABILITIES {
        let dir = TestDir::new("levels-written");
        let log = start(&unhurried(&dir, engine, durability));
        let before = log.counters();
        let answer: Written = log.commit_as(&put(b"in the caller's thread")).expect("written");
        assert_eq!(answer.lsn(), Lsn::FIRST);
        let handle = log.submit_as::<Written>(&put(b"in the background")).expect("submit");
        let answer: Written = handle.wait().expect("written");
        assert_eq!(since(&before, &log), [2, 2, 0, 0], "{engine:?}, {durability:?}");
        assert_eq!((log.written_lsn(), log.durable_lsn()), (answer.lsn(), Lsn::NONE));
    }
}

#[test]
fn buffered_is_answered_before_anything_is_written() {
    let dir = TestDir::new("levels-buffered");
    let log = start(&unhurried(&dir, Engine::Auto, Durability::Dsync));
    let before = log.counters();
    let answer: Buffered = log.commit_as(&put(b"soon")).expect("buffered");
    let handle = log.submit_as::<Buffered>(&put(b"soon, too")).expect("submit");
    assert_eq!((answer.lsn(), handle.lsn()), (Lsn::FIRST, Lsn::new(2)));
    assert!(!handle.is_durable());
    let answer: Buffered = block_on(handle).expect("buffered");
    assert_eq!(answer.lsn(), Lsn::new(2));
    assert_eq!(since(&before, &log), [0; 4]);
    assert_eq!(log.written_lsn(), Lsn::NONE);
}

#[test]
fn a_durable_commit_takes_all_before_it_along_with_one_flush() {
    for (engine, durability) in ENGINES_AND_DURABILITIES {
        let dir = TestDir::new("levels-durable");
        let log = start(&unhurried(&dir, engine, durability));
        let handle = log.submit_as::<Written>(&put(b"w")).expect("submit");
        handle.wait_until(std::time::Instant::now() + Duration::from_secs(3600)).expect("written");
        for _ in 0..2 {
            log.commit_as::<Written>(&put(b"w")).expect("written");
        }
        log.commit_as::<Buffered>(&put(b"b")).expect("buffered");
        assert!(!handle.is_durable());
        let before = log.counters();
        let paid: Durable = log.commit_as(&put(b"d")).expect("durable");
        // The buffered record and the last one share a batch; the flush covers three more.
        assert_eq!(since(&before, &log), [1, 0, 4, 1], "{engine:?}, {durability:?}");
        assert_eq!((paid.lsn(), log.durable_lsn()), (Lsn::new(5), Lsn::new(5)));
        assert!(handle.is_durable());

        let before = log.counters();
        log.commit(&put(b"d")).expect("durable");
        let flushes = u64::from(durability == Durability::Fdatasync);
        assert_eq!(since(&before, &log), [1, 0, 1, flushes], "{engine:?}, {durability:?}");
    }
}

#[test]
fn what_is_less_than_durable_becomes_so_in_a_quiet_moment() {
    for (engine, durability) in ENGINES_AND_DURABILITIES {
        let dir = TestDir::new("levels-quiet");
        let mut config = unhurried(&dir, engine, durability);
        config.idle_marker_after = Duration::from_millis(5);
        let log = start(&config);
        let answer: Buffered = log.commit_as(&put(b"b")).expect("buffered");
        eventually(|| log.durable_lsn() == answer.lsn());
        let answer: Written = log.commit_as(&put(b"w")).expect("written");
        eventually(|| log.durable_lsn() == answer.lsn());
    }
}

#[test]
fn a_stream_that_nobody_waits_for_is_written_whenever_a_buffer_is_full() {
    let dir = TestDir::new("levels-stream");
    let mut config = unhurried(&dir, Engine::Auto, Durability::Dsync);
    config.buffer_size = 4096;
    let log = start(&config);
    let append = |_, _| log.commit_as::<Buffered>(&put(&[7; 100])).expect("buffered").lsn();
    // More than one buffer, less than two.
    let last = (0..35).fold(Lsn::NONE, append);
    eventually(|| log.written_lsn() > Lsn::NONE);
    assert!(log.written_lsn() < last, "the rest waits for more");
    assert_eq!((log.durable_lsn(), log.counters().flushes), (Lsn::NONE, 0));
    // Many times all buffers.
    let last = (0..2_000).fold(Lsn::NONE, append);
    log.close().expect("close");
    assert_eq!(log.durable_lsn(), last);
    assert_eq!(lsns(&replay(&open(&config))), (1..=last.get()).collect::<Vec<_>>());
}

#[test]
fn a_dropped_log_loses_at_most_what_was_not_durable() {
    for (engine, durability) in ENGINES_AND_DURABILITIES {
        let dir = TestDir::new("levels-dropped");
        let config = unhurried(&dir, engine, durability);
        let log = start(&config);
        log.commit_as::<Durable>(&put(b"durable")).expect("durable");
        log.commit_as::<Written>(&put(b"written")).expect("written");
        log.commit_as::<Buffered>(&put(b"buffered")).expect("buffered");
        drop(log);
        // What has reached the device survives the end of a process, what is in memory does not.
        assert_eq!(payloads(&replay(&open(&config))), [&b"durable"[..], b"written"]);
    }
}

#[test]
fn a_close_makes_everything_durable() {
    for (engine, durability) in ENGINES_AND_DURABILITIES {
        let dir = TestDir::new("levels-closed");
        let config = unhurried(&dir, engine, durability);
        let log = start(&config);
        log.commit_as::<Written>(&put(b"written")).expect("written");
        drop(log.submit_as::<Buffered>(&put(b"submitted")).expect("submit"));
        log.commit_as::<Buffered>(&put(b"buffered")).expect("buffered");
        log.close().expect("close");
        assert_eq!(log.durable_lsn(), Lsn::new(3));
        let counters = log.counters();
        assert_eq!(counters.durable_batches, counters.batches, "{engine:?}, {durability:?}");
        let wal = open(&config);
        assert_eq!(payloads(&replay(&wal)), [&b"written"[..], b"submitted", b"buffered"]);
    }
}

#[test]
fn a_failed_flush_is_told_to_everybody_who_waits_for_durability() {
    for durability in [Durability::Dsync, Durability::Fdatasync] {
        let dir = TestDir::new("levels-flush");
        let config = unhurried(&dir, Engine::Blocking, durability);
        let log = start(&config);
        let written: Written = log.commit_as(&put(b"written")).expect("written");
        let begin = Barrier::new(3);
        let outcomes: Vec<_> = thread::scope(|scope| {
            let clients: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        seccomp::in_thread(|fail| {
                            fail(libc::SYS_fdatasync, libc::EIO);
                            begin.wait();
                            log.commit_as::<Durable>(&put(b"lost"))
                        })
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().expect("no panic")).collect()
        });
        for outcome in outcomes {
            let Some(outcome) = outcome else { return skip_without_filters() };
            expect_failed_flush(&outcome);
        }
        // Nothing is acknowledged any more, of no level, also where a flush would succeed.
        expect_failed_flush(&log.commit_as::<Buffered>(&put(b"late")));
        expect_failed_flush(&log.commit_as::<Written>(&put(b"late")));
        expect_failed_flush(&log.commit(&put(b"late")));
        expect_failed_flush(&log.close());
        assert_eq!(log.durable_lsn(), Lsn::NONE, "{durability:?}");
        drop(log);
        assert!(replay(&open(&config)).len() as u64 >= written.lsn().get(), "it was on the device");
    }
}

#[test]
fn a_failed_flush_is_told_to_every_task() {
    let dir = TestDir::new("levels-tasks");
    let log = start(&unhurried(&dir, Engine::Blocking, Durability::Dsync));
    let outcomes = seccomp::in_thread(|fail| {
        log.commit_as::<Written>(&put(b"written")).expect("written");
        // The driver starts with the first submission and inherits the filter.
        fail(libc::SYS_fdatasync, libc::EIO);
        let commits: Vec<_> = (0..10).filter_map(|_| log.submit(&put(b"lost")).ok()).collect();
        assert!(!commits.is_empty());
        block_on(join_all(commits))
    });
    let Some(outcomes) = outcomes else { return skip_without_filters() };
    outcomes.iter().for_each(expect_failed_flush);
    assert_eq!(log.durable_lsn(), Lsn::NONE);
}

fn expect_failed_flush<T: std::fmt::Debug>(outcome: &Result<T, WalError>) {
    assert!(
        matches!(
            outcome,
            Err(WalError::Poisoned { operation: "flush", durable_lsn: Lsn::NONE, .. })
        ),
        "{outcome:?}"
    );
}

fn skip_without_filters() {
    eprintln!("skipped: the kernel allows no seccomp filters here");
}

#[test]
fn threads_that_ask_for_different_levels_share_a_log() {
    for (engine, durability) in ENGINES_AND_DURABILITIES {
        let dir = TestDir::new("levels-mixed");
        let mut config = unhurried(&dir, engine, durability);
        (config.pipeline_depth, config.buffer_size, config.segment_size) = (4, 4096, 64 << 10);
        let log = start(&config);
        thread::scope(|scope| {
            for client in 0..4 {
                let log = &log;
                scope.spawn(move || {
                    for n in 0..100 {
                        commit_at_level(log, client + n);
                    }
                });
            }
        });
        log.close().expect("close");
        let expected: Vec<u64> = (1..=400).collect();
        assert_eq!(lsns(&replay(&open(&config))), expected, "{engine:?}, {durability:?}");
    }
}

/// An answer is never ahead of what the log says of itself.
fn commit_at_level(log: &GroupCommitter, which: u32) {
    let record = put(&[1; 200]);
    match which % 3 {
        0 => {
            let answer: Durable = log.commit_as(&record).expect("durable");
            assert!(log.durable_lsn() >= answer.lsn());
        }
        1 => {
            let answer: Written = log.commit_as(&record).expect("written");
            assert!(log.written_lsn() >= answer.lsn());
        }
        _ => {
            log.commit_as::<Buffered>(&record).expect("buffered");
        }
    }
}
