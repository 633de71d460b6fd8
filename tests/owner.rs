//! A log that its one owner drives: submit, poll and wait, in a thread of its own or in an event
//! loop.

mod common;

use std::{
    os::fd::{AsFd, OwnedFd},
    thread,
    time::Duration,
};

use common::{TestDir, lsns, open, put, replay};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plimsoll::{Durability, Engine, Lsn, SegmentedWal, SegmentedWalConfig, WalError};

/// Each way to drive a log: engine, whether for one thread only, durability, depth.
fn for_each_way(name: &str, test: impl Fn(&SegmentedWalConfig)) {
    for (engine, single_issuer) in
        [(Engine::Blocking, false), (Engine::Uring, false), (Engine::Uring, true)]
    {
        for durability in [Durability::Dsync, Durability::Fdatasync] {
            for pipeline_depth in [1, 4] {
                let dir = TestDir::new(name);
                let mut config = dir.config();
                (config.engine, config.single_issuer) = (engine, single_issuer);
                (config.durability, config.pipeline_depth) = (durability, pipeline_depth);
                // Records of several batches and segments.
                (config.buffer_size, config.segment_size) = (16 << 10, 256 << 10);
                test(&config);
            }
        }
    }
}

fn append(wal: &mut SegmentedWal) -> Lsn {
    wal.append(&put(&[7; 500])).expect("append")
}

/// The descriptor to watch, beside the log that goes on being used.
fn completion_fd(wal: &mut SegmentedWal) -> OwnedFd {
    wal.completion_fd().expect("a descriptor").try_clone_to_owned().expect("another one")
}

fn is_readable(fd: &OwnedFd, timeout: Duration) -> bool {
    let timeout = PollTimeout::try_from(timeout).expect("short");
    poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], timeout).expect("poll") == 1
}

/// Much longer than a disk takes: nothing is coming any more.
const NEVER: Duration = Duration::from_secs(60);

fn poll_until_durable(wal: &mut SegmentedWal, lsn: Lsn) {
    while wal.poll().expect("poll") < lsn {
        thread::yield_now();
    }
}

/// What the log says of itself is true of the disk.
fn check_positions(wal: &SegmentedWal) {
    let (durable_lsn, written_lsn) = (wal.durable_lsn(), wal.written_lsn());
    assert!(durable_lsn <= written_lsn && written_lsn < wal.next_lsn());
    if durable_lsn > Lsn::NONE {
        let (records, _) = wal.replay_from_limit(durable_lsn, 1).expect("it is there");
        assert_eq!(lsns(&records), [durable_lsn.get()]);
    }
}

#[test]
fn the_durable_lsn_follows_what_is_on_the_disk() {
    for_each_way("owner-positions", |config| {
        let mut wal = open(config);
        for n in 1..=600 {
            append(&mut wal);
            if n % 4 == 0 {
                assert_eq!(wal.submit().expect("submit"), Lsn::new(n));
            }
            if n % 3 == 0 {
                let durable_lsn = wal.poll().expect("poll");
                assert_eq!(durable_lsn, wal.durable_lsn());
            }
            if n % 20 == 0 {
                check_positions(&wal);
            }
        }
        poll_until_durable(&mut wal, Lsn::new(600));
        check_positions(&wal);
        drop(wal);
        assert_eq!(lsns(&replay(&open(config))), (1..=600).collect::<Vec<_>>());
    });
}

#[test]
fn waiting_is_for_a_record_that_exists() {
    for_each_way("owner-wait", |config| {
        let mut wal = open(config);
        let outcome = wal.wait(Lsn::FIRST);
        assert!(
            matches!(outcome, Err(WalError::NotAppended { lsn: Lsn::FIRST, next_lsn: Lsn::FIRST })),
            "{outcome:?}"
        );
        assert_eq!(wal.wait(Lsn::NONE).expect("nothing to wait for"), Lsn::NONE);
        // One that was submitted, one that was not, and one that is long durable.
        let submitted = append(&mut wal);
        wal.submit().expect("submit");
        let appended = append(&mut wal);
        assert!(wal.wait(submitted).expect("durable") >= submitted);
        assert_eq!(wal.wait(appended).expect("durable"), appended);
        assert_eq!(wal.wait(submitted).expect("durable"), appended);
        let outcome = wal.wait(appended.next());
        assert!(matches!(outcome, Err(WalError::NotAppended { .. })), "{outcome:?}");
        wal.close().expect("close");
        assert_eq!(lsns(&replay(&open(config))), [1, 2]);
    });
}

#[test]
fn what_was_submitted_as_written_is_not_flushed_until_somebody_asks() {
    for_each_way("owner-written", |config| {
        let mut wal = open(config);
        let before = wal.counters();
        for _ in 0..3 {
            let lsn = append(&mut wal);
            assert_eq!(wal.submit_written().expect("submit"), lsn);
            while wal.written_lsn() < lsn {
                assert_eq!(wal.poll().expect("poll"), Lsn::NONE);
            }
        }
        wal.poll().expect("poll");
        let after = wal.counters();
        assert_eq!(after.written_batches - before.written_batches, 3);
        assert_eq!(
            (after.flushes, after.durable_batches),
            (before.flushes, before.durable_batches)
        );
        assert_eq!(wal.durable_lsn(), Lsn::NONE);
        // Nothing new, but now it is to survive power loss.
        assert_eq!(wal.submit().expect("submit"), Lsn::new(3));
        poll_until_durable(&mut wal, Lsn::new(3));
        assert_eq!(wal.counters().flushes - before.flushes, 1);
        assert_eq!(wal.counters().batches, after.batches);
        // A record that is to be durable takes those before it along.
        append(&mut wal);
        wal.submit_written().expect("submit");
        append(&mut wal);
        wal.submit().expect("submit");
        assert_eq!(wal.wait(Lsn::new(5)).expect("durable"), Lsn::new(5));
    });
}

#[test]
fn the_descriptor_is_readable_until_everything_has_been_taken_in() {
    for_each_way("owner-descriptor", |config| {
        let mut wal = open(config);
        let fd = completion_fd(&mut wal);
        wal.poll().expect("poll");
        assert!(!is_readable(&fd, Duration::ZERO), "nothing was submitted");
        for _ in 0..3 {
            let lsn = append(&mut wal);
            wal.submit().expect("submit");
            while wal.durable_lsn() < lsn {
                assert!(is_readable(&fd, NEVER), "{config:?}");
                wal.poll().expect("poll");
            }
            // The kernel may have told of the last one just after it was taken in.
            let is_clear = (0..3).any(|_| {
                wal.poll().expect("poll");
                !is_readable(&fd, Duration::from_millis(1))
            });
            assert!(is_clear, "{config:?}");
        }
    });
}

#[test]
fn a_descriptor_that_is_asked_for_late_misses_nothing() {
    for_each_way("owner-late", |config| {
        let mut wal = open(config);
        let lsn = append(&mut wal);
        wal.submit().expect("submit");
        // It is written by now, though nobody has taken it in.
        thread::sleep(Duration::from_millis(10));
        let fd = completion_fd(&mut wal);
        while wal.durable_lsn() < lsn {
            assert!(is_readable(&fd, NEVER), "{config:?}");
            wal.poll().expect("poll");
        }
    });
}

#[test]
fn an_event_loop_makes_a_thousand_records_durable_and_never_waits() {
    for_each_way("owner-loop", |config| {
        let mut wal = open(config);
        let fd = completion_fd(&mut wal);
        let mut appended = 0;
        while wal.durable_lsn() < Lsn::new(1_000) {
            // Some arrive in each turn of the loop.
            for _ in 0..7.min(1_000 - appended) {
                append(&mut wal);
                appended += 1;
            }
            wal.submit().expect("submit");
            if wal.durable_lsn() < Lsn::new(appended) {
                assert!(is_readable(&fd, NEVER), "{config:?}");
                wal.poll().expect("poll");
            }
        }
        drop(wal);
        assert_eq!(replay(&open(config)).len(), 1_000);
    });
}
