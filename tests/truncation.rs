//! Truncation beside everything else: readers that are overtaken, and commits that roll over.

mod common;

use std::{fs, path::Path, thread};

use common::{TestDir, lsns, open, put, replay_from};
use plimsoll::{CommitPolicy, GroupCommitter, Lsn, Preparation, WalError};

const MIB: u64 = 1 << 20;

/// Truncated segments that are still to be deleted.
fn retired(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).expect("the log's directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names.filter(|name| name.to_string_lossy().starts_with("retired-")).count()
}

/// A segment goes piece by piece, under a reader that has it open.
#[test]
fn a_reader_that_a_truncation_overtakes_is_told_so() {
    let dir = TestDir::new("overtaken");
    let mut config = dir.config();
    (config.segment_size, config.preparation) = (4 * MIB, Preparation::Zero);
    let mut wal = open(&config);
    let payload = vec![7; 60_000];
    while wal.list_segments().expect("list").len() < 3 {
        wal.append(&put(&payload)).expect("append");
        wal.sync().expect("sync");
    }
    let mut reader = wal.replay_from(Lsn::NONE).expect("replay");
    assert_eq!(reader.next().expect("a record").expect("whole").lsn(), Lsn::FIRST);

    let active = wal.active_segment_first_lsn();
    assert_eq!(wal.truncate_before(active).expect("truncate").segments_deleted, 2);
    while retired(dir.path()) > 0 {
        thread::yield_now();
    }
    let mut next = Lsn::new(2);
    let error = loop {
        match reader.next().expect("the log goes on") {
            Ok(record) => assert_eq!(record.lsn(), next),
            Err(error) => break error,
        }
        next = next.next();
    };
    let WalError::Truncated { requested, floor } = error else { panic!("{error:?}") };
    assert_eq!((requested, floor), (next, active));
    assert!(next < active, "it cannot have read what is gone");
}

#[test]
fn commits_roll_over_beside_truncations_and_nothing_kept_is_lost() {
    let dir = TestDir::new("beside");
    let mut config = dir.config();
    config.segment_size = 64 << 10;
    let committer = GroupCommitter::start(open(&config), CommitPolicy::Greedy).expect("starts");
    let commits = 600;
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let payload = [3; 1000];
            (0..commits).for_each(|_| {
                committer.commit(&put(&payload)).expect("commit");
            });
        });
        let mut deleted = 0;
        while !writer.is_finished() {
            let before = committer.durable_lsn();
            deleted += committer.truncate_before(before).expect("truncate").segments_deleted;
        }
        assert!(deleted > 0, "600 records of 1000 bytes are several segments");
    });
    let kept = committer.list_segments().expect("list")[0].first_lsn;
    committer.close().expect("close");
    let wal = open(&config);
    assert_eq!(wal.recovery().floor, kept);
    assert_eq!(lsns(&replay_from(&wal, kept.get())), (kept.get()..=commits).collect::<Vec<_>>());
}
