//! The log shared by threads and tasks: everybody learns the fate of what is theirs.
#![allow(clippy::cast_possible_truncation, reason = "small numbers")]
#![allow(clippy::print_stderr, reason = "a skipped test says why")]

mod common;

use std::time::Duration;

use common::{BLOCK_BYTES, TestDir, damage, lsns, open, put, replay, seccomp, segment_paths};
use futures::{
    executor::{LocalPool, block_on},
    future::join_all,
    task::LocalSpawnExt,
};
use plimsoll::{
    CommitPolicy, Durability, Engine, GroupCommitter, Level, Lsn, SegmentedWal, SegmentedWalConfig,
    WalError,
};

fn start(config: &SegmentedWalConfig) -> GroupCommitter {
    GroupCommitter::start(open(config), CommitPolicy::FromConfig).expect("start")
}

#[test]
fn threads_share_a_committer_and_everybody_gets_an_lsn_of_their_own() {
    for (policy, engine) in [
        (CommitPolicy::Greedy, Engine::Blocking),
        (CommitPolicy::FromConfig, Engine::Uring),
        (CommitPolicy::Window(Duration::from_micros(300)), Engine::Auto),
    ] {
        let dir = TestDir::new("committer");
        let mut config = dir.config();
        (config.engine, config.segment_size) = (engine, 64 << 10);
        let committer = GroupCommitter::start(open(&config), policy).expect("start");
        let acknowledged: Vec<(Lsn, Vec<u8>)> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..8u8)
                .map(|client| {
                    let committer = committer.clone();
                    scope.spawn(move || {
                        let payload = |n: u8| vec![client, n];
                        (0..100u8)
                            .map(|n| {
                                (committer.commit(&put(&payload(n))).expect("commit"), payload(n))
                            })
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect()
        });
        let range = committer.commit_batch(&[put(b"x"), put(b"y")]).expect("batch");
        assert_eq!(range.count(), 2);
        assert_eq!(committer.durable_lsn(), Lsn::new(802));
        committer.close().expect("close");
        assert!(matches!(committer.commit(&put(b"late")), Err(WalError::Closed)));

        let records = replay(&open(&config));
        assert_eq!(lsns(&records), (1..=802).collect::<Vec<_>>());
        for (lsn, payload) in acknowledged {
            assert_eq!(records[lsn.get() as usize - 1].payload(), payload);
        }
    }
}

#[test]
fn a_quiet_committer_states_that_everything_is_durable() {
    let dir = TestDir::new("idle");
    let mut config = dir.config();
    config.idle_marker_after = Duration::from_millis(1);
    let committer = GroupCommitter::start(open(&config), CommitPolicy::FromConfig).expect("start");
    let markers = committer.stats().counters.markers;
    committer.commit(&put(b"last")).expect("commit");
    while committer.stats().counters.markers == markers {
        std::thread::yield_now();
    }
    drop(committer);
    // Damage to the last record is noticed now, although the log was not closed.
    damage(&segment_paths(dir.path())[0], |bytes| bytes[2 * BLOCK_BYTES as usize + 50] ^= 1);
    assert!(matches!(
        SegmentedWal::open(config),
        Err(WalError::AcknowledgedDataLost { first_missing_lsn: Lsn::FIRST, .. })
    ));
}

#[test]
fn ten_thousand_tasks_of_one_thread_each_learn_their_own_lsn() {
    for (engine, durability) in
        [(Engine::Blocking, Durability::Dsync), (Engine::Uring, Durability::Fdatasync)]
    {
        let dir = TestDir::new("tasks");
        let mut config = dir.config();
        (config.engine, config.durability, config.buffer_size) = (engine, durability, 16 << 10);
        let committer = start(&config);
        let mut pool = LocalPool::new();
        let handles: Vec<_> = (0..10_000u32)
            .map(|n| {
                let committer = committer.clone();
                let task = async move {
                    let payload = n.to_le_bytes();
                    let commit = committer.submit(&put(&payload)).expect("submit");
                    let given = commit.lsn();
                    assert_eq!(commit.await.expect("durable").lsn(), given);
                    assert!(committer.durable_lsn() >= given);
                    (given, n)
                };
                pool.spawner().spawn_local_with_handle(task).expect("spawn")
            })
            .collect();
        let mut all = pool.run_until(join_all(handles));
        committer.close().expect("close");
        all.sort_unstable();
        let records = replay(&open(&config));
        assert_eq!(lsns(&records), (1..=10_000).collect::<Vec<_>>());
        for ((lsn, n), record) in all.into_iter().zip(&records) {
            assert_eq!((record.lsn(), record.payload()), (lsn, &n.to_le_bytes()[..]));
        }
    }
}

#[test]
fn a_dropped_handle_loses_nothing() {
    let dir = TestDir::new("dropped");
    let committer = start(&dir.config());
    for n in 0..100u8 {
        drop(committer.submit(&put(&[n])).expect("submit"));
    }
    let last = committer.submit_batch(&[put(b"x"), put(b"y")]).expect("submit");
    assert_eq!(last.range().count(), 2);
    assert_eq!(last.wait().expect("durable").lsn(), Lsn::new(102));
    drop(committer);
    assert_eq!(replay(&open(&dir.config())).len(), 102);

    // Nobody waits at all: the background thread writes nevertheless.
    let committer = start(&dir.config());
    drop(committer.submit(&put(b"alone")).expect("submit"));
    while committer.durable_lsn() < Lsn::new(103) {
        std::thread::yield_now();
    }
}

#[test]
fn tasks_and_threads_share_a_log() {
    let dir = TestDir::new("mixed");
    let committer = start(&dir.config());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..50 {
                    committer.commit(&put(b"t")).expect("commit");
                }
            });
        }
        for _ in 0..50 {
            block_on(committer.submit(&put(b"a")).expect("submit")).expect("durable");
        }
    });
    committer.close().expect("close");
    assert_eq!(replay(&open(&dir.config())).len(), 200);
}

#[test]
fn a_handle_that_outlives_the_log_is_told_so() {
    let dir = TestDir::new("outlived");
    let mut config = dir.config();
    config.commit_window = Duration::from_secs(1);
    let committer = start(&config);
    // The driver waits for company when the log is let go of; whatever comes first decides.
    let commit = committer.submit(&put(b"?")).expect("submit");
    drop(committer);
    let outcome = block_on(commit);
    assert!(matches!(outcome, Ok(_) | Err(WalError::Closed)), "{outcome:?}");

    let committer = start(&dir.config());
    let commit = committer.submit(&put(b"!")).expect("submit");
    committer.close().expect("close");
    assert!(commit.is_durable());
    assert!(commit.wait().is_ok());
    assert!(matches!(committer.submit(&put(b"late")), Err(WalError::Closed)));
    assert!(matches!(committer.truncate_before(Lsn::FIRST), Err(WalError::Closed)));
}

#[test]
fn every_task_learns_of_a_failed_write() {
    let dir = TestDir::new("failed");
    let mut config = dir.config();
    config.engine = Engine::Blocking;
    let committer = start(&config);
    let outcomes = seccomp::in_thread(|fail| {
        // The driver starts with the first submission and inherits the filter.
        fail(libc::SYS_pwritev2, libc::EIO);
        let commits: Vec<_> = (0..10u8).filter_map(|n| committer.submit(&put(&[n])).ok()).collect();
        assert!(!commits.is_empty());
        block_on(join_all(commits))
    });
    let Some(outcomes) = outcomes else {
        eprintln!("skipped: the kernel allows no seccomp filters here");
        return;
    };
    for outcome in outcomes {
        assert!(
            matches!(outcome, Err(WalError::Poisoned { operation: "write", .. })),
            "{outcome:?}"
        );
    }
    drop(committer);
    assert!(replay(&open(&config)).is_empty());
}

#[test]
fn after_a_rotation_nothing_is_stored_under_the_old_key_or_none() {
    let dir = TestDir::new("rotation");
    let mut config = dir.config();
    config.commit_window = Duration::from_millis(300);
    let committer = start(&config);
    let plain = committer.submit(&put(b"in the clear")).expect("submit");
    committer.rotate_keys(common::key_ring()).expect("rotate");
    let sealed = committer.submit(&put(b"confidential")).expect("submit");
    block_on(async { plain.await.and(sealed.await) }).expect("durable");
    committer.close().expect("close");
    let on_disk: Vec<u8> = segment_paths(dir.path())
        .iter()
        .flat_map(|path| std::fs::read(path).expect("read"))
        .collect();
    assert!(on_disk.windows(12).any(|window| window == b"in the clear"));
    assert!(!on_disk.windows(12).any(|window| window == b"confidential"));
    config.keys = Some(common::key_ring().with_plain_past());
    assert_eq!(replay(&open(&config)).len(), 2);
}
