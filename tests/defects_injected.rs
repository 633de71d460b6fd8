//! Defects of other logs that show when the kernel says no: each under its number in the project's
//! list of faults, with a system call that fails in one thread.
#![allow(clippy::print_stderr, reason = "a skipped test says why")]

mod common;

use std::sync::Barrier;

use common::{BLOCK_BYTES, TestDir, commit_each, open, payloads, put, replay, seccomp};
use plimsoll::{ActiveEngine, CommitPolicy, Engine, GroupCommitter, Lsn, SegmentedWal, WalError};

fn skip_without_filters() {
    eprintln!("skipped: the kernel allows no seccomp filters here");
}

#[test]
fn defect_01_an_error_of_the_leader_reaches_every_follower() {
    let dir = TestDir::new("defect-01-error");
    let mut config = dir.config();
    config.engine = Engine::Blocking;
    let committer = GroupCommitter::start(open(&config), CommitPolicy::Greedy).expect("start");
    committer.commit(&put(b"safe")).expect("commit");
    let start = Barrier::new(4);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    seccomp::in_thread(|fail| {
                        fail(libc::SYS_pwritev2, libc::EIO);
                        start.wait();
                        committer.commit(&put(b"lost"))
                    })
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("no panic")).collect()
    });
    for outcome in outcomes {
        let Some(outcome) = outcome else { return skip_without_filters() };
        assert!(
            matches!(
                &outcome,
                Err(WalError::Poisoned { operation: "write", durable_lsn, source, .. })
                    if *durable_lsn == Lsn::new(1) && source.raw_os_error() == Some(libc::EIO)
            ),
            "{outcome:?}"
        );
    }
    // For good, and for everybody, also where writes would work again.
    assert!(matches!(committer.commit(&put(b"late")), Err(WalError::Poisoned { .. })));
    drop(committer);
    assert_eq!(payloads(&replay(&open(&config))), [b"safe"]);
}

/// The io_uring side is tested where completions are judged, in `src/device/uring.rs`: short
/// results cannot be had from a disk on demand. Here the blocking side gets real ones.
#[test]
fn defect_10_a_write_that_gets_nowhere_is_an_error() {
    let dir = TestDir::new("defect-10");
    let mut config = dir.config();
    config.engine = Engine::Blocking;
    let mut wal = open(&config);
    let outcome = seccomp::in_thread(|fail| {
        // Errno 0 makes the call return 0: nothing written, no error.
        fail(libc::SYS_pwritev2, 0);
        wal.append(&put(b"x")).expect("append");
        wal.sync()
    });
    match outcome {
        None => skip_without_filters(),
        Some(outcome) => assert!(matches!(outcome, Err(WalError::Poisoned { .. })), "{outcome:?}"),
    }
}

#[test]
fn defect_12_a_failed_directory_sync_at_rollover_poisons_the_log() {
    let dir = TestDir::new("defect-12");
    let mut config = dir.config();
    (config.engine, config.segment_size) = (Engine::Blocking, 4 * BLOCK_BYTES);
    let mut wal = open(&config);
    let outcome = seccomp::in_thread(|fail| {
        commit_each(&mut wal, [b"safe"]);
        // Only this thread: the background thread prepares on.
        fail(libc::SYS_fsync, libc::EIO);
        (0..4).find_map(|_| {
            let appended = wal.append(&put(b"more")).and_then(|_| wal.sync());
            appended.err()
        })
    });
    let Some(error) = outcome else { return skip_without_filters() };
    let Some(WalError::Poisoned { operation, durable_lsn, .. }) = error else {
        panic!("the rollover went on: {error:?}");
    };
    assert_eq!(operation, "sync directory");
    assert!(matches!(wal.append(&put(b"late")), Err(WalError::Poisoned { .. })));
    drop(wal);
    let kept = replay(&open(&config));
    assert!(kept.len() as u64 >= durable_lsn.get());
}

/// That a replay does not collect the log in memory is measured in `tests/large_log.rs`.
#[test]
fn defect_17_a_read_error_is_never_the_end_of_the_log() {
    let dir = TestDir::new("defect-17");
    let mut wal = open(&dir.config());
    commit_each(&mut wal, (0..5).map(|_| [1; 100]));
    let outcome = seccomp::in_thread(|fail| {
        fail(libc::SYS_pread64, libc::EIO);
        let live = wal.replay().expect("replay").next();
        drop(wal);
        (live, SegmentedWal::open(dir.config()).err())
    });
    let Some((live, opening)) = outcome else { return skip_without_filters() };
    assert!(matches!(live, Some(Err(WalError::Read { .. }))), "{live:?}");
    assert!(matches!(opening, Some(WalError::Read { .. })), "{opening:?}");
    assert_eq!(replay(&open(&dir.config())).len(), 5, "nothing was decided");
}

#[test]
fn defect_20_where_io_uring_is_forbidden_the_log_works_and_says_so() {
    let dir = TestDir::new("defect-20");
    let mut config = dir.config();
    (config.engine, config.pipeline_depth) = (Engine::Uring, 4);
    let outcome = seccomp::in_thread(|fail| {
        fail(libc::SYS_io_uring_setup, libc::EPERM);
        let mut wal = open(&config);
        commit_each(&mut wal, [b"a", b"b"]);
        let report = wal.engine().clone();
        wal.close().expect("close");
        report
    });
    let Some(report) = outcome else { return skip_without_filters() };
    assert_eq!((report.requested, report.active), (Engine::Uring, ActiveEngine::Blocking));
    assert!(report.reason.contains("io_uring is refused"), "{}", report.reason);
    assert_eq!(replay(&open(&config)).len(), 2);
}
