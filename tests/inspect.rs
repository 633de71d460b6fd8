//! Looking into a log without opening it: every byte is accounted for, damage is named and gone
//! behind, keys are needed only for what is sealed, and a writer is neither disturbed nor suspected.

mod common;

use std::{
    fs::File,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use common::{TestDir, key_ring, open as open_on_disk, put};
use plimsoll::{
    KeyRing, Lsn, Preparation, SegmentedWal, SegmentedWalConfig, WalError,
    inspect::{
        Damage, FileRole, Finding, FrameDamage, LogFiles, Piece, SegmentFile, Standing,
        SurveyedPayload,
    },
    simulated::{DiskOptions, SimulatedDisk, look_into, open},
};

const BLOCK_BYTES: usize = 512;

fn config(keys: Option<KeyRing>) -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig::default();
    config.segment_size = 4 << 10;
    config.preparation = Preparation::Zero;
    config.keys = keys;
    config
}

fn commit(wal: &mut SegmentedWal, payload_len: usize) {
    let lsn = wal.append(&put(&vec![0xa5; payload_len]).tenant(3)).expect("append");
    assert_eq!(wal.sync().expect("sync"), lsn);
}

/// A log of records of one block each, whose process was killed. Segments hold six of them.
fn killed(records: usize, keys: Option<KeyRing>) -> SimulatedDisk {
    let disk = SimulatedDisk::new(DiskOptions::default());
    let mut wal = open(&disk, config(keys)).expect("a new log");
    (0..records).for_each(|_| commit(&mut wal, 100));
    disk.end_process();
    drop(wal);
    disk.copy()
}

fn edit(disk: &SimulatedDisk, segment: &SegmentFile, change: impl FnOnce(&mut [u8])) {
    let name = segment.path.file_name().and_then(|name| name.to_str()).expect("a name");
    let mut content = disk.read(name).expect("the file is there");
    change(&mut content);
    disk.write(name, content);
}

/// Every piece of a segment, with the LSNs of its records.
fn pieces(log: &LogFiles, segment: &SegmentFile, keys: Option<&KeyRing>) -> Vec<(Piece, Vec<u64>)> {
    let mut survey = log.survey(segment, keys).expect("readable").expect("it has a header");
    let mut pieces = Vec::new();
    while let Some(piece) = survey.next_piece().expect("readable") {
        let mut lsns = Vec::new();
        while let Some(record) = survey.next_record().expect("readable") {
            lsns.push(record.lsn.get());
        }
        pieces.push((piece, lsns));
    }
    pieces
}

fn standings(pieces: &[(Piece, Vec<u64>)]) -> Vec<(Standing, Vec<u64>)> {
    let batch = |(piece, lsns): &(Piece, Vec<u64>)| match piece {
        Piece::Batch(batch) => Some((batch.standing, lsns.clone())),
        _ => None,
    };
    pieces.iter().filter_map(batch).filter(|(_, lsns)| !lsns.is_empty()).collect()
}

#[test]
fn a_directory_is_listed_with_what_its_files_say() {
    let disk = killed(9, None);
    disk.write("notes.txt", b"mine");
    disk.write("wal-1.seg", Vec::new());
    let log = look_into(&disk).expect("listed");
    let firsts: Vec<_> = log.segments().iter().map(|segment| segment.first_lsn.get()).collect();
    assert_eq!(firsts, [1, 7]);
    let (oldest, newest) = (&log.segments()[0], &log.segments()[1]);
    let header = newest.header().expect("readable");
    assert_eq!((header.segment_number, header.predecessor_number), (2, 1));
    assert_eq!((header.first_lsn, header.predecessor_end_lsn), (Lsn::new(7), Lsn::new(6)));
    assert_eq!((header.block_bytes, header.key_id, oldest.len_bytes), (512, None, 4096));
    let meta = log.meta().expect("readable").expect("there");
    assert_eq!((meta.log_id, meta.retention_floor), (header.log_id, Lsn::FIRST));
    let role = |name: &str| log.others().iter().find(|f| f.path.ends_with(name)).map(|f| f.role);
    assert_eq!(role("wal.meta"), Some(FileRole::Meta));
    assert_eq!(role("notes.txt"), Some(FileRole::Other));
    assert_eq!(role("wal-1.seg"), Some(FileRole::Misnamed));
    assert!(!log.writer_at_work());
}

#[test]
fn a_whole_segment_is_batches_and_blank_space() {
    let disk = killed(3, None);
    let log = look_into(&disk).expect("listed");
    let pieces = pieces(&log, &log.segments()[0], None);
    let lsns: Vec<_> = standings(&pieces);
    assert_eq!(lsns, [1, 2, 3].map(|lsn| (Standing::InLog, vec![lsn])));
    let [(marker, _), .., (end, _)] = &*pieces else { panic!("{pieces:?}") };
    assert!(matches!(marker, Piece::Batch(batch) if batch.record_count == 0));
    assert_eq!(*end, Piece::Blank { offset_bytes: 5 * 512, len_bytes: 3 * 512 });
}

/// The frame of the second record is damaged: the one behind it is still found, and known to be out
/// of a replay's reach.
#[test]
fn damage_is_named_and_gone_behind() {
    let disk = killed(3, None);
    let segment = look_into(&disk).expect("listed").segments()[0].clone();
    edit(&disk, &segment, |content| content[3 * BLOCK_BYTES + 90] ^= 1);
    let log = look_into(&disk).expect("listed");
    let pieces = pieces(&log, &segment, None);
    assert_eq!(standings(&pieces), [(Standing::InLog, vec![1]), (Standing::Unreached, vec![3])]);
    let Some((Piece::Damage { offset_bytes: 1536, len_bytes: 512, problem, beyond_end: false }, _)) =
        pieces.iter().find(|(piece, _)| matches!(piece, Piece::Damage { .. }))
    else {
        panic!("{pieces:?}");
    };
    assert!(
        matches!(problem, Damage::Frame { index: 0, offset_bytes: 1576, problem, .. }
            if *problem == FrameDamage::Checksum),
        "{problem:?}"
    );
    let found = log.examine(None).finding;
    assert!(matches!(found, Finding::Refused(WalError::AcknowledgedDataLost { .. })), "{found:?}");
}

#[test]
fn each_check_of_a_header_has_its_name() {
    let problem_of = |change: &dyn Fn(&mut [u8])| {
        let disk = killed(3, None);
        let segment = look_into(&disk).expect("listed").segments()[0].clone();
        edit(&disk, &segment, |content| change(&mut content[3 * BLOCK_BYTES..4 * BLOCK_BYTES]));
        let log = look_into(&disk).expect("listed");
        pieces(&log, &segment, None).into_iter().find_map(|(piece, _)| match piece {
            Piece::Damage { problem, .. } => Some(problem),
            _ => None,
        })
    };
    let mended = |batch: &mut [u8]| {
        let seed = u32::from_le_bytes(batch[8..12].try_into().expect("four"));
        let checksum = crc32c::crc32c_append(seed, &batch[12..40]);
        batch[4..8].copy_from_slice(&checksum.to_le_bytes());
    };
    assert_eq!(problem_of(&|batch| batch[0] ^= 1), Some(Damage::NoBatch));
    assert_eq!(problem_of(&|batch| batch[20] ^= 1), Some(Damage::HeaderChecksum));
    let impossible = problem_of(&|batch| {
        batch[12] = 2;
        mended(batch);
    });
    assert_eq!(impossible, Some(Damage::HeaderImpossible));
    let misplaced = problem_of(&|batch| {
        batch[8] ^= 1;
        batch[24] = 99;
        mended(batch);
    });
    assert_eq!(misplaced, Some(Damage::OtherSegment { first_lsn: Lsn::new(99) }));
    let longer = problem_of(&|batch| {
        batch[16] += 8;
        mended(batch);
    });
    assert_eq!(longer, Some(Damage::TrailingBytes { first_lsn: Lsn::new(2) }));
}

/// Batches that a crash cut off, with LSNs that were given out again in the next segment.
#[test]
fn what_lies_behind_the_successors_beginning_is_not_of_the_log() {
    let disk = killed(4, None);
    // The third record is lost before anybody was told of it, and so is the claim of the fourth.
    let segment = look_into(&disk).expect("listed").segments()[0].clone();
    edit(&disk, &segment, |content| {
        content[4 * BLOCK_BYTES] ^= 1;
        let batch = &mut content[5 * BLOCK_BYTES..6 * BLOCK_BYTES];
        batch[32] = 2;
        let seed = u32::from_le_bytes(batch[8..12].try_into().expect("four"));
        let checksum = crc32c::crc32c_append(seed, &batch[12..40]);
        batch[4..8].copy_from_slice(&checksum.to_le_bytes());
    });
    let torn = look_into(&disk).expect("listed");
    let found = torn.examine(None).finding;
    assert!(matches!(&found, Finding::Whole(report) if report.discarded.is_some()), "{found:?}");
    assert_eq!(
        standings(&pieces(&torn, &segment, None))[2..],
        [(Standing::Unreached, vec![4])],
        "nobody knows better yet"
    );
    let mut wal = open(&disk, config(None)).expect("a torn tail");
    (0..3).for_each(|_| commit(&mut wal, 100));
    drop(wal);
    let log = look_into(&disk).expect("listed");
    let pieces = pieces(&log, &log.segments()[0], None);
    let [first, second, cut_off] = &*standings(&pieces) else { panic!("{pieces:?}") };
    assert_eq!([first, second], [&(Standing::InLog, vec![1]), &(Standing::InLog, vec![2])]);
    assert_eq!(*cut_off, (Standing::BeyondEnd, vec![4]));
    let damage = pieces.iter().find(|(piece, _)| matches!(piece, Piece::Damage { .. }));
    assert!(matches!(damage, Some((Piece::Damage { beyond_end: true, .. }, _))), "{damage:?}");
    assert!(matches!(log.examine(None).finding, Finding::Whole(_)));
}

#[test]
fn sealed_records_are_walked_without_a_key_and_opened_with_one() {
    let disk = killed(3, Some(key_ring()));
    let log = look_into(&disk).expect("listed");
    let segment = &log.segments()[0];
    let payloads = |keys: Option<&KeyRing>| {
        let mut survey = log.survey(segment, keys).expect("readable").expect("it has a header");
        let mut found = Vec::new();
        while survey.next_piece().expect("readable").is_some() {
            while let Some(record) = survey.next_record().expect("readable") {
                assert_eq!((record.tenant, record.frame_bytes), (3, 160));
                found.push(match record.payload {
                    SurveyedPayload::Clear(bytes) => (true, bytes.to_vec()),
                    SurveyedPayload::Sealed(bytes) => (false, bytes.to_vec()),
                    other => panic!("{other:?}"),
                });
            }
        }
        found
    };
    let clear = vec![0xa5; 100];
    assert_eq!(payloads(Some(&key_ring())), vec![(true, clear.clone()); 3]);
    for (opened, ciphertext) in payloads(None) {
        assert!(!opened && ciphertext.len() == 100 && ciphertext != clear);
    }
    let without = log.examine(None);
    assert!(without.tags_unchecked && matches!(without.finding, Finding::Whole(_)));
    let with = log.examine(Some(&key_ring()));
    assert!(!with.tags_unchecked && matches!(with.finding, Finding::Whole(_)));
    let wrong = KeyRing::new(7, [1; 32]).expect("memory");
    assert!(matches!(log.survey(segment, Some(&wrong)), Err(WalError::WrongKey { .. })));
    let refused = log.examine(Some(&wrong)).finding;
    assert!(matches!(refused, Finding::Refused(WalError::WrongKey { .. })), "{refused:?}");
}

/// A good checksum and a bad tag: the checksums alone do not show it, and the key does.
#[test]
fn a_record_that_was_tampered_with_is_told_with_the_key_only() {
    let disk = killed(3, Some(key_ring()));
    let segment = look_into(&disk).expect("listed").segments()[0].clone();
    edit(&disk, &segment, |content| {
        let batch = &mut content[3 * BLOCK_BYTES..4 * BLOCK_BYTES];
        let seed = u32::from_le_bytes(batch[8..12].try_into().expect("four bytes"));
        let frame = &mut batch[40..200];
        frame[50] ^= 1;
        let checksum = crc32c::crc32c_append(seed, &frame[4..]);
        frame[..4].copy_from_slice(&checksum.to_le_bytes());
    });
    let log = look_into(&disk).expect("listed");
    let keys = key_ring();
    let mut survey = log.survey(&segment, Some(&keys)).expect("readable").expect("a header");
    let mut tampered = Vec::new();
    while survey.next_piece().expect("readable").is_some() {
        while let Some(record) = survey.next_record().expect("readable") {
            if let SurveyedPayload::Tampered(_) = record.payload {
                tampered.push(record.lsn.get());
            }
        }
    }
    assert_eq!(tampered, [2]);
    let found = log.examine(Some(&keys)).finding;
    assert!(matches!(found, Finding::Refused(WalError::Tampered { .. })), "{found:?}");
    let without = log.examine(None);
    assert!(without.tags_unchecked && matches!(without.finding, Finding::Whole(_)));
}

#[test]
fn a_read_that_fails_is_said_and_decides_nothing() {
    let disk = SimulatedDisk::new(DiskOptions::default());
    let mut config = config(None);
    config.segment_size = 16 << 10;
    let mut wal = open(&disk, config).expect("a new log");
    (0..3).for_each(|_| commit(&mut wal, 100));
    wal.close().expect("close");
    disk.make_unreadable("wal-00000000000000000001.seg", 8 << 10);
    let log = look_into(&disk).expect("listed");
    let mut survey = log.survey(&log.segments()[0], None).expect("opens").expect("a header");
    let failed = loop {
        match survey.next_piece() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the unreadable sector was passed over"),
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, WalError::Read { .. }), "{failed:?}");
    assert!(matches!(survey.next_piece(), Ok(None)), "nothing follows");
    let found = log.examine(None).finding;
    assert!(matches!(found, Finding::Refused(WalError::Read { .. })), "{found:?}");
}

#[test]
fn an_empty_directory_is_no_log() {
    let disk = SimulatedDisk::new(DiskOptions::default());
    let log = look_into(&disk).expect("listed");
    assert!(log.segments().is_empty() && log.others().is_empty());
    assert!(matches!(log.examine(None).finding, Finding::NoLog));
}

/// A writer appends, rolls over and truncates; whoever looks meets no damage and gets no refusal.
#[test]
fn beside_a_live_writer_nothing_is_damaged() {
    let dir = TestDir::new("inspect-beside");
    let mut config = dir.config();
    config.segment_size = 64 << 10;
    config.preparation = Preparation::Recycle;
    let mut wal = open_on_disk(&config);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let lsn = wal.append(&put(&[7; 3000])).expect("append");
                wal.sync().expect("sync");
                if lsn.get().is_multiple_of(64) {
                    wal.truncate_before(Lsn::new(lsn.get() - 40)).expect("truncate");
                }
            }
            wal
        });
        let until = Instant::now() + Duration::from_secs(3);
        let (mut batches, mut ahead, mut truncated) = (0, 0, 0);
        while Instant::now() < until {
            let log = LogFiles::open(dir.path()).expect("listed");
            assert!(log.writer_at_work());
            for segment in log.segments() {
                let mut survey = match log.survey(segment, None) {
                    Ok(Ok(survey)) => survey,
                    // Given its name a moment ago.
                    Ok(Err(trouble)) => {
                        assert_eq!(trouble.to_string(), "it is blank");
                        continue;
                    }
                    Err(error) => {
                        assert!(matches!(error, WalError::Truncated { .. }), "{error:?}");
                        truncated += 1;
                        continue;
                    }
                };
                loop {
                    match survey.next_piece() {
                        Ok(Some(Piece::Batch(batch))) => {
                            assert_eq!(batch.standing, Standing::InLog);
                            batches += 1;
                        }
                        Ok(Some(Piece::AheadOfWriter { .. })) => ahead += 1,
                        Ok(Some(Piece::Blank { .. } | Piece::EarlierLife { .. })) => {}
                        Ok(Some(piece)) => {
                            // The middle of a batch of the earlier life, whose beginning is blank.
                            let beyond = matches!(piece, Piece::Damage { beyond_end: true, .. });
                            assert!(beyond, "{piece:?} in {}", segment.path.display());
                        }
                        Ok(None) => break,
                        Err(WalError::Truncated { .. }) => {
                            truncated += 1;
                            break;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            let found = log.examine(None).finding;
            assert!(
                matches!(found, Finding::BesideWriter { records, .. } if records > 0)
                    || matches!(found, Finding::BesideWriter { last_lsn: Lsn::NONE, .. }),
                "{found:?}"
            );
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("the writer").close().expect("close");
        assert!(batches > 0 && ahead > 0, "{batches} {ahead} {truncated}");
    });
    let found = LogFiles::open(dir.path()).expect("listed").examine(None).finding;
    assert!(matches!(&found, Finding::Whole(report) if report.clean_close), "{found:?}");
}

/// Whoever looks for a writer holds the lock shared for a moment, here for a long one: an opening waits
/// for that, and not for a writer.
#[test]
fn looking_for_a_writer_never_keeps_one_out() {
    let dir = TestDir::new("inspect-probes");
    let mut config = dir.config();
    config.preparation = Preparation::None;
    open_on_disk(&config).close().expect("close");
    let probe = File::open(dir.path().join("wal.lock")).expect("there");
    probe.lock_shared().expect("nobody has it");
    assert!(!LogFiles::open(dir.path()).expect("listed").writer_at_work(), "that is no writer");
    let wal = thread::scope(|scope| {
        let opened = scope.spawn(|| SegmentedWal::open(config.clone()));
        thread::sleep(Duration::from_millis(100));
        probe.unlock().expect("held");
        opened.join().expect("no panic").expect("an opening waits for it")
    });
    assert!(LogFiles::open(dir.path()).expect("listed").writer_at_work());
    let began = Instant::now();
    let second = SegmentedWal::open(config.clone()).map(drop);
    assert!(matches!(second, Err(WalError::Locked { .. })), "{second:?}");
    assert!(began.elapsed() < Duration::from_millis(500), "a writer is told at once");
    wal.close().expect("close");
}
