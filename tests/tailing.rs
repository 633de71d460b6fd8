//! Following a log in its own process: threads, tasks and deadlines beside committers, over
//! rollovers, truncation, failure and the end.
#![allow(clippy::field_reassign_with_default, reason = "the options are open to new fields")]
#![allow(clippy::print_stderr, reason = "a test that skips says why")]

mod common;

use std::{
    fs,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use common::{TestDir, eventually, lsns, open, put};
use futures::{executor::block_on, future::join};
use plimsoll::{
    Buffered, CommitPolicy, Durability, Engine, GroupCommitter, LogRecord, Lsn, Preparation,
    SegmentedWalConfig, Tailer, WalError,
    simulated::{self, DiskOptions, Fault, SimulatedDisk},
};

const MIB: u64 = 1 << 20;

fn small_segments(dir: &TestDir) -> SegmentedWalConfig {
    let mut config = dir.config();
    config.segment_size = 64 << 10;
    config
}

fn start(config: &SegmentedWalConfig) -> GroupCommitter {
    GroupCommitter::start(open(config), CommitPolicy::Greedy).expect("starts")
}

fn payload(n: u64) -> Vec<u8> {
    n.to_string().repeat(1 + usize::try_from(n % 300).expect("small")).into_bytes()
}

/// Each record once, in order, from `first` on.
fn assert_dense(first: u64, records: &[LogRecord]) {
    let expected: Vec<_> = (first..first + records.len() as u64).collect();
    assert_eq!(lsns(records), expected);
}

fn timed(mut tailer: Tailer) -> Vec<LogRecord> {
    let mut records = Vec::new();
    loop {
        match tailer.next_timeout(Duration::from_micros(300)) {
            Ok(Some(record)) => records.push(record),
            Ok(None) => {}
            Err(WalError::Closed) => return records,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn awaited(mut tailer: Tailer) -> Vec<LogRecord> {
    let mut records = Vec::new();
    while let Some(record) = tailer.next_async().await {
        records.push(record.expect("whole"));
    }
    assert!(tailer.next_async().await.is_none(), "and stays at the end");
    records
}

/// Found by a schedule: what is awaited begins a segment, and the one before it, in which the tailer
/// would have looked, has been given up.
#[test]
fn what_is_awaited_may_begin_a_segment_behind_a_truncated_one() {
    let dir = TestDir::new("tail-begins");
    let committer = start(&small_segments(&dir));
    committer.commit(&put(b"the last one there is")).expect("commit");
    let mut tailer = committer.tail(committer.next_lsn()).expect("tails");
    let lsn = committer.commit(&put(&[7; 60 << 10])).expect("too long for what is left");
    let outcome = committer.truncate_before(lsn).expect("truncate");
    assert_eq!(outcome.segments_deleted, 1, "the record begins a segment");
    let record = tailer.try_next().expect("not truncated").expect("durable");
    assert_eq!((record.lsn(), record.payload().len()), (lsn, 60 << 10));
}

#[test]
fn tailers_beside_committers_see_every_record_once() {
    for encrypted in [false, true] {
        let dir = TestDir::new(&format!("tail-beside-{encrypted}"));
        let clear = small_segments(&dir);
        let config = if encrypted { clear.with_keys(common::key_ring()) } else { clear };
        let committer = start(&config);
        let first = committer.next_lsn().get();
        thread::scope(|scope| {
            let tail = || committer.tail(Lsn::new(first)).expect("tails");
            let (a, b, c, d) = (tail(), tail(), tail(), tail());
            let blocking = scope.spawn(move || a.collect::<Result<Vec<_>, _>>().expect("whole"));
            let timed = scope.spawn(move || timed(b));
            let tasks = scope.spawn(move || block_on(join(awaited(c), awaited(d))));
            let writers: Vec<_> = (0..4)
                .map(|client: u64| {
                    let committer = &committer;
                    let write = move |n| committer.commit(&put(&payload(client * 1000 + n)));
                    scope.spawn(move || {
                        (0..300)
                            .map(|n| (write(n).expect("commit"), client * 1000 + n))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            let mut committed: Vec<_> =
                writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect();
            committed.sort_unstable();
            committer.close().expect("close");
            let (c, d) = tasks.join().expect("no panic");
            for records in
                [blocking.join().expect("no panic"), timed.join().expect("no panic"), c, d]
            {
                assert_eq!(records.len(), 1200);
                assert_dense(first, &records);
                for (record, (lsn, n)) in records.iter().zip(&committed) {
                    assert_eq!((record.lsn(), record.payload()), (*lsn, &*payload(*n)));
                }
            }
        });
    }
}

/// A wake-up that is lost would leave both sides waiting for each other.
#[test]
fn each_record_wakes_whoever_waits_for_it() {
    let dir = TestDir::new("tail-wakes");
    let committer = start(&small_segments(&dir));
    let answer = |mut next: Box<dyn FnMut() -> Lsn + Send>| {
        let (seen, sees) = mpsc::channel();
        thread::spawn(move || while seen.send(next()).is_ok() {});
        sees
    };
    let mut thread_tailer = committer.tail(Lsn::FIRST).expect("tails");
    let mut task_tailer = committer.tail(Lsn::FIRST).expect("tails");
    let blocking = answer(Box::new(move || {
        thread_tailer.next().map_or(Lsn::NONE, |record| record.expect("whole").lsn())
    }));
    let task = answer(Box::new(move || {
        block_on(task_tailer.next_async()).map_or(Lsn::NONE, |record| record.expect("whole").lsn())
    }));
    for _ in 0..1000 {
        let lsn = committer.commit(&put(b"ping")).expect("commit");
        for sees in [&blocking, &task] {
            assert_eq!(sees.recv_timeout(Duration::from_secs(60)), Ok(lsn), "nobody woke it");
        }
    }
    committer.close().expect("close");
    assert_eq!(blocking.recv_timeout(Duration::from_secs(60)), Ok(Lsn::NONE), "the end wakes, too");
    assert_eq!(task.recv_timeout(Duration::from_secs(60)), Ok(Lsn::NONE));
}

#[test]
fn only_what_is_durable_is_handed_out_and_deadlines_are_kept() {
    let dir = TestDir::new("tail-durable");
    let mut config = dir.config();
    config.idle_marker_after = Duration::from_secs(600);
    let committer = start(&config);
    let mut tailer = committer.tail(Lsn::NONE).expect("tails");
    committer.commit_as::<Buffered>(&put(b"later")).expect("buffered");
    assert!(tailer.try_next().expect("no error").is_none());
    let began = Instant::now();
    assert!(tailer.next_timeout(Duration::from_millis(30)).expect("no error").is_none());
    assert!(tailer.next_by(Instant::now() + Duration::from_millis(5)).expect("no error").is_none());
    assert!(began.elapsed() >= Duration::from_millis(35));
    // A future that was given up takes nothing with it.
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    assert!(std::pin::pin!(tailer.next_async()).poll(&mut context).is_pending());
    committer.commit(&put(b"now")).expect("commit");
    let all: Vec<_> =
        [tailer.try_next(), tailer.try_next()].into_iter().flatten().flatten().collect();
    assert_eq!(common::payloads(&all), ["later", "now"].map(Vec::from));
    assert_eq!(tailer.next_lsn(), Lsn::new(3));

    let beyond = committer.tail(Lsn::new(4)).expect_err("nothing has LSN 3 yet");
    assert!(matches!(beyond, WalError::NotAppended { next_lsn, .. } if next_lsn == Lsn::new(3)));
    let mut end = committer.tail(Lsn::new(3)).expect("the next one is fine");
    committer.close().expect("close");
    assert!(matches!(end.try_next(), Err(WalError::Closed)));
    assert!(matches!(end.next_timeout(Duration::ZERO), Err(WalError::Closed)));
    assert!(end.next().is_none() && tailer.next().is_none());
    assert!(matches!(committer.tail(Lsn::FIRST), Err(WalError::Closed)));
}

#[test]
fn a_tailer_ends_when_the_last_handle_is_dropped() {
    let dir = TestDir::new("tail-abandoned");
    let committer = start(&dir.config());
    committer.commit(&put(b"a")).expect("commit");
    let tailer = committer.tail(Lsn::FIRST).expect("tails");
    let reads = thread::spawn(move || tailer.collect::<Result<Vec<_>, _>>().expect("whole"));
    thread::sleep(Duration::from_millis(20));
    drop(committer);
    assert_eq!(lsns(&reads.join().expect("no panic")), [1]);
    eventually(|| plimsoll::SegmentedWal::open(dir.config()).is_ok());
}

#[test]
fn a_tailer_that_a_truncation_overtakes_is_told_so() {
    let dir = TestDir::new("tail-overtaken");
    let committer = start(&small_segments(&dir));
    let mut tailer = committer.tail(Lsn::FIRST).expect("tails");
    let mut last = Lsn::NONE;
    while committer.list_segments().expect("list").len() < 4 {
        last = committer.commit(&put(&[3; 1000])).expect("commit");
    }
    assert_eq!(tailer.try_next().expect("whole").expect("a record").lsn(), Lsn::FIRST);
    committer.truncate_before(last).expect("truncate");
    let floor = committer.list_segments().expect("list")[0].first_lsn;
    let error = loop {
        match tailer.try_next() {
            Ok(record) => assert!(record.expect("it is told").lsn() < floor),
            Err(error) => break error,
        }
    };
    let WalError::Truncated { requested, floor: told } = error else { panic!("{error}") };
    assert_eq!((requested, told), (tailer.next_lsn(), floor));
    assert!(matches!(tailer.try_next(), Err(WalError::Truncated { .. })), "the same again");
    assert!(tailer.next().is_none());
    let early = committer.tail(Lsn::FIRST).expect_err("it is below the floor");
    assert!(matches!(early, WalError::Truncated { .. }), "{early}");
    assert_eq!(committer.tail(Lsn::NONE).expect("tails").next_lsn(), floor);
}

#[test]
fn a_log_that_fails_tells_its_tailers_behind_the_last_durable_record() {
    let mut config = SegmentedWalConfig::default();
    config.segment_size = 16 << 10;
    config.buffer_size = 4 << 10;
    config.engine = Engine::Blocking;
    config.durability = Durability::Fdatasync;
    config.preparation = Preparation::None;
    for number in 10..20 {
        let mut options = DiskOptions::default();
        options.fault = Some(Fault::Flush(number));
        let wal = simulated::open(&SimulatedDisk::new(options), config.clone()).expect("opens");
        let committer = GroupCommitter::start(wal, CommitPolicy::Greedy).expect("starts");
        let tailer = committer.tail(Lsn::FIRST).expect("tails");
        let reads = thread::spawn(move || {
            let mut lsns = Vec::new();
            for record in tailer {
                match record {
                    Ok(record) => lsns.push(record.lsn()),
                    Err(error) => return (lsns, error),
                }
            }
            panic!("it ended after {lsns:?}");
        });
        let committed: Vec<_> =
            (0..50).map_while(|n| committer.commit(&put(&payload(n))).ok()).collect();
        let (seen, error) = reads.join().expect("no panic");
        assert!(error.is_poisoned(), "{error}");
        assert_eq!(seen, committed, "flush {number}");
        assert!(committed.len() < 50);
    }
}

/// Bytes that this thread has had from the disk (proc(5), `/proc/pid/io`).
fn thread_read_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("read_bytes: ")?.trim().parse().ok())
}

#[test]
fn a_tailer_close_behind_reads_little_and_one_far_behind_reads_once() {
    let dir = TestDir::new("tail-reads");
    let mut config = dir.config();
    config.segment_size = 16 * MIB;
    config.preparation = Preparation::Zero;
    let committer = start(&config);
    let Some(before) = thread_read_bytes() else {
        return eprintln!("skipped: this kernel does not count the bytes of a thread");
    };
    let mut close = committer.tail(Lsn::FIRST).expect("tails");
    for _ in 0..200 {
        let lsn = committer.commit(&put(&[1; 3000])).expect("commit");
        assert_eq!(close.next().expect("a record").expect("whole").lsn(), lsn);
    }
    let a_record = (thread_read_bytes().expect("as before") - before) / 200;
    assert!((4096..=20 << 10).contains(&a_record), "{a_record} bytes were read for each of 4 KiB");

    let mut far = committer.tail(Lsn::FIRST).expect("tails");
    let written: u64 = (0..100)
        .map(|_| committer.commit(&put(&vec![2; 60_000])).map(|_| 64 << 10).expect("commit"))
        .sum();
    let before = thread_read_bytes().expect("as before");
    while far.try_next().expect("whole").is_some() {}
    let read = thread_read_bytes().expect("as before") - before;
    assert!(read < (written + 200 * 4096) * 3 / 2, "{read} bytes were read of {written}");
}
