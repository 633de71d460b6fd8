//! In the steady state a commit allocates nothing, whichever way it is made.
#![allow(unsafe_code, reason = "an allocator that counts is an unsafe trait")]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use common::{TestDir, open, put};
use plimsoll::{
    Buffered, Commit, CommitPolicy, Durable, Engine, GroupCommitter, RecordHeader, RecordKind,
    Written,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts what the thread allocates, and leaves the rest to the system.
struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What `work` allocates in this thread.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_measure_sees_an_allocation() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn a_log_with_one_owner_allocates_nothing_for_a_commit() {
    for (engine, encrypted) in
        [(Engine::Blocking, false), (Engine::Blocking, true), (Engine::Uring, false)]
    {
        let dir = TestDir::new("allocations");
        let mut config = if encrypted { dir.encrypted_config() } else { dir.config() };
        (config.engine, config.segment_size) = (engine, 16 << 20);
        let mut wal = open(&config);
        let mut commit = || {
            wal.append(&put(b"copied")).expect("append");
            wal.append_batch(&[put(b"both"), put(b"or none")]).expect("append");
            let header = RecordHeader::new(RecordKind::PUT);
            wal.append_with(header, 100, |payload| payload.fill(7)).expect("append");
            wal.sync().expect("sync");
            wal.append(&put(b"on its way")).expect("append");
            let lsn = wal.submit().expect("submit");
            wal.poll().expect("poll");
            wal.wait(lsn).expect("durable");
            wal.append(&put(b"written")).expect("append");
            wal.submit_written().expect("submit");
        };
        (0..8).for_each(|_| commit());
        let counted = allocations(|| (0..100).for_each(|_| commit()));
        assert_eq!(counted, 0, "{engine:?}, encrypted: {encrypted}");
    }
}

type Way = fn(&GroupCommitter);

#[test]
fn a_caller_of_a_committer_allocates_nothing_whichever_way_it_commits() {
    let ways: [(&str, Way); 6] = [
        ("commit", |log| assert!(log.commit(&put(b"alone")).is_ok())),
        ("commit_batch", |log| {
            assert!(log.commit_batch(&[put(b"both"), put(b"or none")]).is_ok());
        }),
        ("commit_with", |log| {
            let header = RecordHeader::new(RecordKind::PUT);
            assert!(log.commit_with(header, 100, |payload| payload.fill(7)).is_ok());
        }),
        ("commit_as, each level", |log| {
            assert!(log.commit_as::<Buffered>(&put(b"b")).is_ok());
            assert!(log.commit_as::<Written>(&put(b"w")).is_ok());
            assert!(log.commit_as::<Durable>(&put(b"d")).is_ok());
        }),
        ("submit and wait", |log| {
            assert!(log.submit(&put(b"s")).and_then(Commit::wait).is_ok());
        }),
        ("submit_as, each level", |log| {
            drop(log.submit_as::<Buffered>(&put(b"b")).expect("submit"));
            drop(log.submit_as::<Written>(&put(b"w")).expect("submit"));
            assert!(log.submit_as::<Durable>(&put(b"d")).and_then(Commit::wait).is_ok());
        }),
    ];
    let dir = TestDir::new("allocations-committer");
    let mut config = dir.config();
    config.segment_size = 16 << 20;
    let log = GroupCommitter::start(open(&config), CommitPolicy::Greedy).expect("start");
    for (name, commit) in ways {
        (0..8).for_each(|_| commit(&log));
        assert_eq!(allocations(|| (0..100).for_each(|_| commit(&log))), 0, "{name}");
    }
}
