//! Archiving: every sealed segment is offered, in order, with its checksum, and none is retired before
//! it was taken.

mod common;

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
};

use common::{TestDir, eventually, open, put};
use plimsoll::{
    CommitPolicy, GroupCommitter, Lsn, Preparation, SealedSegment, SegmentedWal,
    SegmentedWalConfig, WalError,
};

const PLENTY: u64 = 1 << 40;
const SEGMENT_BYTES: u64 = 64 << 10;

fn config(dir: &TestDir) -> SegmentedWalConfig {
    let mut config = dir.config();
    config.segment_size = SEGMENT_BYTES;
    config
}

/// Commits until so many more segments are sealed.
fn seal(wal: &mut SegmentedWal, segments: usize) {
    for _ in 0..segments {
        let active = wal.active_segment_first_lsn();
        while wal.active_segment_first_lsn() == active {
            wal.append(&put(&[5; 1000])).expect("append");
            wal.sync().expect("sync");
        }
    }
}

/// What an archiver was offered and took.
type Archive = Arc<Mutex<Vec<SealedSegment>>>;

/// An archiver that checks each checksum, and takes everything.
fn takes(
    archive: &Archive,
) -> impl FnMut(&SealedSegment) -> Result<(), plimsoll::ArchiveError> + use<> {
    let archive = Arc::clone(archive);
    move |segment| {
        let bytes = fs::read(&segment.path)?;
        assert_eq!(bytes.len() as u64, segment.len_bytes);
        assert_eq!(crc32c::crc32c(&bytes), segment.crc32c, "a tool of any kind comes to the same");
        archive.lock().expect("no panic").push(segment.clone());
        Ok(())
    }
}

/// Whether the segments are those of a log from `first` on, without a gap.
fn assert_chain(first: Lsn, archive: &Archive) {
    let archive = archive.lock().expect("no panic");
    let mut next = (first, archive[0].segment_number);
    for segment in &*archive {
        assert_eq!((segment.first_lsn, segment.segment_number), next);
        assert!(segment.last_lsn >= segment.first_lsn);
        next = (segment.last_lsn.next(), segment.segment_number + 1);
    }
}

fn len(archive: &Archive) -> usize {
    archive.lock().expect("no panic").len()
}

#[test]
fn each_sealed_segment_is_offered_once_and_over_restarts() {
    let dir = TestDir::new("archive-all");
    let archive = Archive::default();
    let mut config = config(&dir);
    for (life, preparation) in
        [Preparation::Zero, Preparation::Recycle, Preparation::None].into_iter().enumerate()
    {
        config.preparation = preparation;
        let mut wal = open(&config);
        seal(&mut wal, 3);
        let archiver = wal.archive("all", PLENTY, takes(&archive)).expect("starts");
        seal(&mut wal, 2);
        // All but the one in use.
        let sealed = wal.list_segments().expect("list").len() - 1;
        eventually(|| archiver.position().expect("it goes on") == wal.active_segment_first_lsn());
        assert!(len(&archive) >= sealed);
        let last = archive.lock().expect("no panic").last().expect("some").last_lsn;
        assert_eq!(last.next(), wal.active_segment_first_lsn());
        archiver.stop().expect("it has not ended by itself");
        wal.truncate_before(last).expect("truncate");
        assert!(wal.list_segments().expect("list").len() <= 2);
        assert_chain(Lsn::FIRST, &archive);
        // Killed, or closed.
        if life == 0 { drop(wal) } else { wal.close().expect("close") }
    }
    assert_chain(Lsn::FIRST, &archive);
}

#[test]
fn nothing_is_retired_before_it_was_taken() {
    let dir = TestDir::new("archive-holds");
    let mut wal = open(&config(&dir));
    let (allow, allowed) = mpsc::channel();
    let archive = Archive::default();
    let mut take = takes(&archive);
    let archiver = wal
        .archive("slow", PLENTY, move |segment| {
            allowed.recv()?;
            take(segment)
        })
        .expect("starts");
    seal(&mut wal, 4);
    let active = wal.active_segment_first_lsn();
    for taken in 0..4 {
        let outcome = wal.truncate_before(active).expect("truncate");
        assert_eq!(wal.list_segments().expect("list").len(), 5 - taken);
        let held_back = outcome.held_back.expect("the rest waits for its archiver");
        assert_eq!(
            (held_back.lease.as_str(), held_back.bytes),
            ("slow", (4 - taken as u64) * SEGMENT_BYTES)
        );
        allow.send(()).expect("it waits");
        eventually(|| {
            len(&archive) == taken + 1 && archiver.position().expect("goes on") > held_back.position
        });
    }
    let outcome = wal.truncate_before(active).expect("truncate");
    assert_eq!((outcome.segments_deleted, outcome.held_back), (1, None));
    assert_chain(Lsn::FIRST, &archive);
}

#[test]
fn what_fails_is_offered_again_and_the_log_goes_on() {
    let dir = TestDir::new("archive-fails");
    let committer =
        GroupCommitter::start(open(&config(&dir)), CommitPolicy::Greedy).expect("starts");
    let archive = Archive::default();
    let mut take = takes(&archive);
    let (tries, broken) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(true)));
    let (counts, is_broken) = (Arc::clone(&tries), Arc::clone(&broken));
    // Errors that were looked at: none is tried away before it was seen.
    let seen = Arc::new(AtomicU64::new(0));
    let was_seen = Arc::clone(&seen);
    let archiver = committer
        .archive("a", PLENTY, move |segment| {
            let n = counts.fetch_add(1, Ordering::SeqCst);
            eventually(|| was_seen.load(Ordering::SeqCst) >= n.min(2));
            match n {
                0 => Err("the archive is away".into()),
                1 => panic!("on purpose"),
                _ if is_broken.load(Ordering::SeqCst) => Err("still away".into()),
                _ => take(segment),
            }
        })
        .expect("starts");
    let last_error = || committer.stats().leases[0].last_error.clone().unwrap_or_default();
    for problem in ["the archive is away", "it panicked: on purpose"] {
        while last_error() != problem {
            committer.commit(&put(&[2; 1000])).expect("the log goes on");
        }
        seen.fetch_add(1, Ordering::SeqCst);
    }
    eventually(|| tries.load(Ordering::SeqCst) >= 3);
    let again = committer.archive("a", PLENTY, |_| Ok(())).expect_err("there is one");
    assert!(matches!(again, WalError::LeaseInUse { .. }), "{again}");
    broken.store(false, Ordering::SeqCst);
    eventually(|| len(&archive) >= 2);
    eventually(|| last_error().is_empty());
    assert_chain(Lsn::FIRST, &archive);
    // It does not outlive the log, nor keep it.
    committer.close().expect("close");
    archiver.stop().expect("it has not ended by itself");
    drop(committer);
    drop(open(&config(&dir)));
}

#[test]
fn an_archive_that_stays_away_does_not_fill_the_disk() {
    let dir = TestDir::new("archive-away");
    let mut wal = open(&config(&dir));
    let archiver =
        wal.archive("away", 2 * SEGMENT_BYTES, |_| Err("nobody there".into())).expect("starts");
    let mut dropped = Vec::new();
    for _ in 0..6 {
        seal(&mut wal, 1);
        let active = wal.active_segment_first_lsn();
        dropped.extend(wal.truncate_before(active).expect("truncate").leases_dropped);
    }
    assert_eq!(dropped, ["away"]);
    assert!(wal.list_segments().expect("list").len() <= 2);
    assert!(matches!(archiver.position(), Err(WalError::LeaseDropped { .. })));
    let ended =
        |text: &str| wal.stats().leases[0].last_error.as_deref().is_some_and(|e| e.contains(text));
    eventually(|| ended("was dropped"));
    let error = archiver.stop().expect_err("it has ended by itself");
    assert!(matches!(error, WalError::LeaseDropped { .. }), "{error}");
}
