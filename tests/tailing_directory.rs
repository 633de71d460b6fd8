//! Following a log from its directory alone, beside a writer that rolls over, truncates, ends in any
//! way and comes back.
#![allow(clippy::print_stderr, reason = "a test that skips says why")]

mod common;

use std::{fs, thread, time::Duration};

use common::{TestDir, commit_each, damage, eventually, key_ring, lsns, open, put, segment_paths};
use plimsoll::{
    CommitPolicy, DirectoryTailer, GroupCommitter, LogRecord, Lsn, Preparation, Record,
    SegmentedWal, SegmentedWalConfig, WalError,
};

const SOON: Duration = Duration::from_secs(60);
const NOT_YET: Duration = Duration::from_millis(30);

fn small_segments(dir: &TestDir) -> SegmentedWalConfig {
    let mut config = dir.config();
    config.segment_size = 64 << 10;
    config
}

fn tail(dir: &TestDir, from: u64) -> DirectoryTailer {
    DirectoryTailer::open(dir.path(), None, Lsn::new(from)).expect("a log is there")
}

fn tail_written(dir: &TestDir, from: u64) -> DirectoryTailer {
    DirectoryTailer::open_written(dir.path(), None, Lsn::new(from)).expect("a log is there")
}

/// The next so many records.
fn take(tailer: &mut DirectoryTailer, count: usize) -> Vec<LogRecord> {
    let mut next = || tailer.next_timeout(SOON).expect("no error").expect("it comes");
    (0..count).map(|_| next()).collect()
}

fn nothing_yet(tailer: &mut DirectoryTailer) {
    assert!(tailer.next_timeout(NOT_YET).expect("no error").is_none());
}

fn write(wal: &mut SegmentedWal, payload: &[u8]) -> Lsn {
    let lsn = wal.append(&put(payload)).expect("append");
    wal.submit_written().expect("submit");
    while wal.written_lsn() < lsn {
        wal.poll().expect("poll");
    }
    lsn
}

#[test]
fn what_is_durable_shows_with_what_comes_after_it() {
    let dir = TestDir::new("outside-durable");
    let mut wal = open(&small_segments(&dir));
    let (mut tailer, mut early) = (tail(&dir, 1), tail_written(&dir, 1));
    nothing_yet(&mut tailer);
    commit_each(&mut wal, ["a"]);
    assert_eq!(lsns(&take(&mut early, 1)), [1], "it is there");
    nothing_yet(&mut tailer);
    commit_each(&mut wal, ["b"]);
    assert_eq!(lsns(&take(&mut tailer, 1)), [1], "the batch after it says so");
    nothing_yet(&mut tailer);
    wal.write_idle_marker().expect("marker");
    assert_eq!(lsns(&take(&mut tailer, 1)), [2], "so does a marker");
    assert_eq!(lsns(&take(&mut early, 1)), [2]);

    // Written and not durable: only the one that wants it is given it.
    write(&mut wal, b"c");
    assert_eq!(take(&mut early, 1)[0].payload(), b"c");
    wal.append(&put(b"in memory")).expect("append");
    nothing_yet(&mut tailer);
    nothing_yet(&mut early);
    wal.close().expect("close");
    assert_eq!(lsns(&take(&mut tailer, 2)), [3, 4], "and the end of the log says it of all");
    assert_eq!(lsns(&take(&mut early, 1)), [4]);
    nothing_yet(&mut tailer);
}

#[test]
fn a_shared_log_at_rest_is_followed_to_its_end() {
    let dir = TestDir::new("outside-idle");
    let committer =
        GroupCommitter::start(open(&dir.config()), CommitPolicy::Greedy).expect("starts");
    let mut tailer = tail(&dir, 1);
    for n in 1..=5 {
        committer.commit(&put(b"x")).expect("commit");
        assert_eq!(lsns(&take(&mut tailer, 1)), [n]);
    }
}

#[test]
fn a_tailer_goes_on_over_rollovers_crashes_and_openings() {
    for encrypted in [false, true] {
        let dir = TestDir::new(&format!("outside-lives-{encrypted}"));
        let config = if encrypted {
            small_segments(&dir).with_keys(key_ring())
        } else {
            small_segments(&dir)
        };
        let keys = encrypted.then(key_ring);
        let mut wal = open(&config);
        let tails = |from: u64, written: bool| {
            let follow =
                if written { DirectoryTailer::open_written } else { DirectoryTailer::open };
            follow(dir.path(), keys.as_ref(), Lsn::new(from)).expect("a log is there")
        };
        let (mut durable, mut written) = (tails(1, false), tails(1, true));
        let mut last = Lsn::NONE;
        for life in 0..6 {
            // Some lives are so short that they leave no record, and the next takes their place.
            for n in 0..[0, 150, 0, 0, 1, 70][life] {
                last = wal.append(&put(&[7; 1500][..500 + n])).expect("append");
                wal.sync().expect("sync");
                assert_eq!(take(&mut written, 1)[0].lsn(), last);
            }
            nothing_yet(&mut written);
            // As after a kill, or in good order.
            if life % 2 == 0 {
                drop(wal);
            } else {
                wal.close().expect("close");
            }
            wal = open(&config);
        }
        let count = usize::try_from(last.get()).expect("small");
        assert_eq!(lsns(&take(&mut durable, count)), (1..=last.get()).collect::<Vec<_>>());
        nothing_yet(&mut durable);
        assert!(segment_paths(dir.path()).len() > 4);
        // From anywhere, also from what comes next.
        for from in (1..=last.get() + 1).step_by(7) {
            let mut tailer = tails(from, from % 2 == 0);
            let rest = count + 1 - usize::try_from(from).expect("small");
            assert_eq!(lsns(&take(&mut tailer, rest)), (from..=last.get()).collect::<Vec<_>>());
            assert!(tailer.try_next().expect("no error").is_none());
        }
        let beyond = tails(last.get() + 2, false).try_next().expect_err("nobody can have seen it");
        assert!(matches!(beyond, WalError::NotAppended { .. }), "{beyond}");
    }
}

#[test]
fn an_empty_directory_is_no_log_and_a_tailer_may_come_before_the_first_record() {
    let dir = TestDir::new("outside-first");
    let none = DirectoryTailer::open(dir.path(), None, Lsn::FIRST).expect_err("no log");
    assert!(matches!(none, WalError::MetaDamaged { .. }), "{none}");
    drop(open(&dir.config()));
    let mut tailers = [tail(&dir, 0), tail(&dir, 1), tail_written(&dir, 1)];
    tailers.iter_mut().for_each(nothing_yet);
    let mut wal = open(&dir.config());
    tailers.iter_mut().for_each(nothing_yet);
    commit_each(&mut wal, ["a", "b"]);
    wal.close().expect("close");
    tailers.iter_mut().for_each(|tailer| assert_eq!(lsns(&take(tailer, 2)), [1, 2]));
}

#[test]
fn a_tailer_below_the_floor_is_told_so() {
    let dir = TestDir::new("outside-overtaken");
    for preparation in [Preparation::Zero, Preparation::Recycle, Preparation::None] {
        let mut config = small_segments(&dir);
        config.preparation = preparation;
        let mut wal = open(&config);
        let from = wal.next_lsn().get();
        let mut slow = [tail(&dir, from), tail_written(&dir, from)];
        let mut close_behind = tail_written(&dir, from);
        let mut last = Lsn::NONE;
        for round in 0..400 {
            last = wal.append(&put(&[9; 1000])).expect("append");
            wal.sync().expect("sync");
            assert_eq!(take(&mut close_behind, 1)[0].lsn(), last);
            if round == 20 {
                slow.iter_mut().for_each(|tailer| assert_eq!(take(tailer, 1)[0].lsn().get(), from));
            }
            if round % 40 == 39 {
                wal.truncate_before(last).expect("truncate");
            }
        }
        let floor = wal.list_segments().expect("list")[0].first_lsn;
        for tailer in &mut slow {
            let error = loop {
                match tailer.try_next() {
                    Ok(record) => assert!(record.expect("it is told").lsn() < floor),
                    Err(error) => break error,
                }
            };
            let WalError::Truncated { requested, floor: told } = error else { panic!("{error}") };
            assert!(told == floor && requested >= tailer.next_lsn() && requested < floor);
            assert!(tailer.next().is_none());
        }
        drop(wal);
        nothing_yet(&mut close_behind);
        assert_eq!(close_behind.next_lsn(), last.next());
        drop(open(&config));
    }
}

/// What a power cut does to records that were written and not flushed, behind the log's back.
fn lose_batch_of(dir: &TestDir, payload: &[u8]) {
    let newest = segment_paths(dir.path()).pop().expect("there is one");
    damage(&newest, |bytes| {
        let at = bytes.windows(payload.len()).position(|w| w == payload).expect("it is there");
        bytes[at - at % 4096..][..4096].fill(0);
    });
}

#[test]
fn what_was_handed_out_and_not_kept_is_an_error_and_no_silence() {
    let dir = TestDir::new("outside-not-kept");
    let config = small_segments(&dir);
    let mut wal = open(&config);
    commit_each(&mut wal, ["kept"]);
    wal.write_idle_marker().expect("marker");
    let (mut durable, mut written) = (tail(&dir, 1), tail_written(&dir, 1));
    write(&mut wal, b"lost in a power cut");
    assert_eq!(lsns(&take(&mut written, 2)), [1, 2]);
    assert_eq!(lsns(&take(&mut durable, 1)), [1]);
    drop(wal);
    lose_batch_of(&dir, b"lost in a power cut");

    let mut wal = open(&config);
    commit_each(&mut wal, ["in its place"]);
    wal.write_idle_marker().expect("marker");
    let error = written.next_timeout(SOON).expect_err("it was taken back");
    let WalError::NotKept { first_lsn, .. } = error else { panic!("{error}") };
    assert_eq!(first_lsn, Lsn::new(2));
    assert_eq!(take(&mut durable, 1)[0].payload(), b"in its place");

    // The same for all records of a segment, whose name goes to another one then.
    drop(wal);
    let mut wal = open(&config);
    let mut written = tail_written(&dir, 3);
    write(&mut wal, b"lost with all of it");
    assert_eq!(lsns(&take(&mut written, 1)), [3]);
    drop(wal);
    lose_batch_of(&dir, b"lost with all of it");
    let late = tail_written(&dir, 4).try_next().expect_err("nothing has LSN 3");
    assert!(
        matches!(late, WalError::NotAppended { next_lsn, .. } if next_lsn.get() == 3),
        "{late}"
    );
    let mut wal = open(&config);
    let error = written.next_timeout(SOON).expect_err("it was taken back");
    assert!(
        matches!(error, WalError::NotKept { first_lsn, .. } if first_lsn.get() == 3),
        "{error}"
    );
    commit_each(&mut wal, ["again"]);
    wal.close().expect("close");
    assert_eq!(take(&mut durable, 1)[0].payload(), b"again");
}

#[test]
fn damage_is_an_error_and_no_wait() {
    let dir = TestDir::new("outside-damage");
    let mut wal = open(&small_segments(&dir));
    let (mut durable, mut written) = (tail(&dir, 1), tail_written(&dir, 1));
    commit_each(&mut wal, ["whole", "damaged", "after it"]);
    lose_batch_of(&dir, b"damaged");
    commit_each(&mut wal, ["and another"]);
    for tailer in [&mut durable, &mut written] {
        assert_eq!(lsns(&take(tailer, 1)), [1]);
        let error = tailer.next_timeout(SOON).expect_err("LSN 2 was durable");
        let lost = matches!(&error, WalError::AcknowledgedDataLost { first_missing_lsn, .. }
            if first_missing_lsn.get() == 2);
        assert!(lost, "{error}");
        assert!(matches!(tailer.try_next(), Err(WalError::AcknowledgedDataLost { .. })));
    }
}

#[test]
fn a_tailer_far_behind_in_a_segment_reads_it_once() {
    let dir = TestDir::new("outside-far");
    let mut config = dir.config();
    config.segment_size = 16 << 20;
    config.preparation = Preparation::Zero;
    let mut wal = open(&config);
    let record = put(&[4; 3000]);
    for _ in 0..1500 {
        wal.append(&record).expect("append");
        wal.sync().expect("sync");
    }
    wal.write_idle_marker().expect("marker");
    let read_bytes = || {
        let text = fs::read_to_string("/proc/thread-self/io").ok()?;
        text.lines().find_map(|line| line.strip_prefix("read_bytes: ")?.trim().parse::<u64>().ok())
    };
    let Some(before) = read_bytes() else {
        return eprintln!("skipped: this kernel does not count the bytes of a thread");
    };
    let mut tailer = tail(&dir, 1);
    assert_eq!(take(&mut tailer, 1500).len(), 1500);
    let read = read_bytes().expect("as before") - before;
    assert!(read < 1500 * 4096 * 4 / 3, "{read} bytes were read of {}", 1500 * 4096);
}

/// A thread that waits is not in the way of the others.
#[test]
fn a_waiting_tailer_is_given_what_comes_and_can_be_moved() {
    let dir = TestDir::new("outside-waits");
    let committer =
        GroupCommitter::start(open(&dir.config()), CommitPolicy::Greedy).expect("starts");
    let tailer = tail(&dir, 1);
    let reads = thread::spawn(move || tailer.take(3).collect::<Result<Vec<_>, _>>());
    for payload in ["a", "b", "c"] {
        committer
            .commit(&Record::new(plimsoll::RecordKind::PUT, payload.as_bytes()))
            .expect("commit");
    }
    eventually(|| reads.is_finished());
    let records = reads.join().expect("no panic").expect("whole");
    assert_eq!(common::payloads(&records), ["a", "b", "c"].map(Vec::from));
}
