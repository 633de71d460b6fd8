//! Whole segments and `wal.meta`: what is refused, and what `docs/durability.md` says cannot be
//! noticed, which is shown to go exactly that far.

use plimsoll::{
    Lsn, Preparation, Record, RecordKind, SegmentedWalConfig, WalError,
    simulated::{DiskOptions, SimulatedDisk, examine, open, read},
};

use super::{
    forger::{
        Batch, CAPACITY, CIPHER, FIRST_LSN, Frame, HEADER_TAG, KEY_CHECK, KEY_ID, LOG_ID,
        META_FLAGS, META_FLOOR, META_LOG_ID, PREDECESSOR_END, PREDECESSOR_NUMBER, SALT,
        SEGMENT_NUMBER, Segment,
    },
    small::{assert_tampered, refused, small, small_with},
    target::{META, Target, Verdict, forge_claims, forge_meta, ring},
};

/// Makes a segment one in clear that holds these records and nothing else.
fn in_clear(segment: &mut Segment, payloads: &[&[u8]]) {
    CIPHER.set(&mut segment.header, 0);
    for field in [KEY_ID, KEY_CHECK, HEADER_TAG] {
        field.put(&mut segment.header, &vec![0; field.1]);
    }
    let first_lsn = FIRST_LSN.get(&segment.header);
    let frames = (first_lsn..).zip(payloads).map(|(lsn, payload)| Frame::invented(lsn, payload));
    let frames = frames.collect();
    segment.batches = vec![Batch { flags: 0, first_lsn, durable_lsn: first_lsn - 1, frames }];
    segment.rest.clear();
}

#[test]
fn a_log_that_is_encrypted_never_goes_on_in_clear() {
    let mut target = small();
    // Even if the ring accepts a past in clear.
    target.keys = target.keys.clone().with_plain_past();
    let is_refused = |disk: &SimulatedDisk, newest: u64| {
        assert_tampered(&target, disk, 0);
        // A reader that begins behind the encrypted ones has to look at them all the same.
        let error = read(disk, Some(&target.keys), Lsn::new(newest)).map(drop);
        assert!(matches!(error, Err(WalError::Tampered { .. })), "{error:?}");
    };

    // The newest segment replaced.
    let mut segments = target.segments();
    in_clear(&mut segments[1], &[b"forged", b"forged"]);
    let disk = target.forged(segments.clone());
    forge_claims(&disk, &segments);
    is_refused(&disk, 5);

    // One appended, and another one behind it.
    let disk = target.disk.copy();
    for (number, first_lsn) in [(3, 7_u64), (4, 8)] {
        let mut forged = target.segments().pop().expect("two");
        SEGMENT_NUMBER.set(&mut forged.header, number);
        PREDECESSOR_NUMBER.set(&mut forged.header, number - 1);
        FIRST_LSN.set(&mut forged.header, first_lsn);
        PREDECESSOR_END.set(&mut forged.header, first_lsn - 1);
        let before = target.segments().pop().expect("two");
        super::forger::PREDECESSOR_CHECKSUM.set(&mut forged.header, before.last_checksum());
        in_clear(&mut forged, &[b"forged"]);
        disk.write(&format!("wal-{first_lsn:020}.seg"), forged.encode());
        if number == 3 {
            is_refused(&disk, 7);
        }
    }
    let error = read(&disk, Some(&target.keys), Lsn::new(8)).map(drop);
    assert!(matches!(error, Err(WalError::Tampered { .. })), "{error:?}");

    // The oldest replaced.
    target.keys = ring(2);
    let disk = target.with_change(0, |segment| in_clear(segment, &[b"1", b"2", b"3", b"4"]));
    let error = refused(&target, &disk);
    assert!(matches!(error, WalError::NotEncrypted { .. }), "{error:?}");

    // The cipher alone changed: the frames are taken for records in clear, and none fits.
    for segment in [0, 1] {
        let disk = target.with_change(segment, |segment| CIPHER.set(&mut segment.header, 0));
        let error = refused(&target, &disk);
        let refusal = matches!(error, WalError::HeaderDamaged { .. });
        assert!(refusal, "{error:?}");
        let disk = target.with_change(segment, |segment| CIPHER.set(&mut segment.header, 2));
        assert!(matches!(refused(&target, &disk), WalError::HeaderDamaged { .. }));
    }
}

#[test]
fn a_past_in_clear_is_accepted_only_if_the_ring_says_so() {
    let disk = SimulatedDisk::new(DiskOptions::default());
    let mut config = SegmentedWalConfig::default();
    config.segment_size = 8 << 10;
    let append = |wal: &mut plimsoll::SegmentedWal| {
        wal.append(&Record::new(RecordKind::PUT, &b"a record"[..])).expect("append");
        wal.sync().expect("sync");
    };
    let mut wal = open(&disk, config.clone()).expect("a new log");
    (0..3).for_each(|_| append(&mut wal));
    wal.rotate_keys(ring(1)).expect("encrypted from here on");
    append(&mut wal);
    assert_eq!(
        wal.replay().expect("replay").collect::<Result<Vec<_>, _>>().expect("whole").len(),
        4
    );
    wal.close().expect("close");
    let accepting = ring(1).with_plain_past();
    let found = examine(&disk, Some(&accepting)).expect("whole");
    assert_eq!(found.records(Lsn::NONE).count(), 4);
    let strict = examine(&disk, Some(&ring(1))).map(drop).expect_err("refused");
    assert!(
        matches!(&strict, WalError::NotEncrypted { path } if path.ends_with("wal-00000000000000000001.seg"))
    );
    assert!(strict.to_string().contains("with_plain_past"), "{strict}");
    let reading = read(&disk, Some(&ring(1)), Lsn::NONE).expect("a log").next();
    assert!(matches!(reading, Some(Err(WalError::NotEncrypted { .. }))), "{reading:?}");
    // The encrypted part alone is read without it.
    let reading = read(&disk, Some(&ring(1)), Lsn::new(4)).expect("a log");
    assert_eq!(reading.collect::<Result<Vec<_>, _>>().expect("whole").len(), 1);
    let wal = open(&disk, config.with_keys(accepting)).expect("opens");
    assert_eq!(wal.next_lsn(), Lsn::new(5));
}

#[test]
fn headers_cannot_change_places() {
    let target = small();
    let mut segments = target.segments();
    let [one, two] = &mut segments[..] else { panic!("two") };
    std::mem::swap(&mut one.header, &mut two.header);
    let error = refused(&target, &target.forged(segments.clone()));
    assert!(matches!(error, WalError::ChainBroken { .. }), "{error:?}");
    // With the names that go with them the batches do not fit: checksums are right, LSNs are not.
    let [one, two] = &mut segments[..] else { panic!("two") };
    std::mem::swap(&mut one.batches, &mut two.batches);
    let [one, two] = &mut segments[..] else { panic!("two") };
    for field in [FIRST_LSN, PREDECESSOR_END, SEGMENT_NUMBER, PREDECESSOR_NUMBER] {
        let value = field.get(&one.header);
        field.set(&mut one.header, field.get(&two.header));
        field.set(&mut two.header, value);
    }
    assert_tampered(&target, &target.forged(segments), 0);
}

#[test]
fn a_segment_of_another_log_under_the_same_key_is_refused() {
    let (target, stranger) = (small(), small_with(2));
    for (at, name) in target.names().iter().enumerate() {
        let theirs = stranger.disk.read(name).expect("the same names");
        let disk = target.disk.copy();
        disk.write(name, theirs.clone());
        let error = refused(&target, &disk);
        assert!(
            matches!(&error, WalError::ChainBroken { problem, .. } if problem.contains("another log")),
            "{error:?}"
        );
        let reading = target.read(&disk).expect("no foreign record").expect("refused");
        assert!(matches!(reading, WalError::ChainBroken { .. }), "{reading:?}");
        // With this log's id in it.
        let mut segment = Segment::parse(&theirs);
        LOG_ID.put(&mut segment.header, LOG_ID.of(&target.segments()[at].header));
        let disk = target.disk.copy();
        disk.write(name, segment.encode());
        let error = refused(&target, &disk);
        assert!(
            matches!(error, WalError::Tampered { .. } | WalError::ChainBroken { .. }),
            "{error:?}"
        );
        // With that log's salt in the header of this one.
        let salt = SALT.of(&segment.header).to_vec();
        let disk = target.with_change(at, |segment| SALT.put(&mut segment.header, &salt));
        assert_tampered(&target, &disk, 0);
    }
}

#[test]
fn an_earlier_life_of_a_segment_does_not_come_back() {
    // Two lives of one log that parted after record 2: the first lost what it had appended since.
    let disk = SimulatedDisk::new(DiskOptions::default());
    let mut config = SegmentedWalConfig::default().with_keys(ring(1));
    (config.segment_size, config.preparation) = (8 << 10, Preparation::Zero);
    let put = |payload: &'static [u8]| Record::new(RecordKind::PUT, payload);
    let mut wal = open(&disk, config.clone()).expect("a new log");
    wal.append_batch(&[put(b"one"), put(b"two")]).expect("append");
    wal.close().expect("close");
    let fork = disk.cut_power(7);
    let life = |disk: &SimulatedDisk, payload: &'static [u8]| {
        let mut wal = open(disk, config.clone()).expect("opens");
        wal.append(&put(payload)).expect("append");
        wal.close().expect("close");
        Target::of(disk.copy(), ring(1))
    };
    let (target, other) = (life(&disk, b"three"), life(&fork, b"3hree"));
    let [_, newest] = &target.names()[..] else { panic!("two segments") };
    // The whole file is genuine: it is the newest segment of an older state, and may come back with
    // the directory it belongs to (see below), but no record of it fits into the other life.
    let theirs = Segment::parse(&other.disk.read(newest).expect("the same name"));
    let disk = target.with_change(1, |segment| {
        let from = theirs.batches.iter().find(|batch| !batch.frames.is_empty()).expect("one");
        let place = segment.places()[0];
        *segment.frame(place) = from.frames[0].clone();
    });
    assert_tampered(&target, &disk, 3);
}

#[test]
fn truncated_segments_do_not_come_back() {
    let mut config = SegmentedWalConfig::default().with_keys(ring(1));
    (config.segment_size, config.preparation) = (1, Preparation::Zero);
    let disk = SimulatedDisk::new(DiskOptions::default());
    let mut wal = open(&disk, config).expect("a new log");
    let append = |wal: &mut plimsoll::SegmentedWal, bytes: &[u8]| {
        wal.append(&Record::new(RecordKind::PUT, bytes.to_vec())).expect("append");
        wal.sync().expect("sync");
    };
    (0..6).for_each(|n| append(&mut wal, &[n]));
    let old = disk.copy();
    wal.truncate_before(Lsn::new(5)).expect("truncate");
    append(&mut wal, b"in a segment that knows of it");
    wal.close().expect("close");
    let target = Target::of(disk.copy(), ring(1));
    assert!(!target.names().contains(&"wal-00000000000000000001.seg".into()));
    let disk = target.disk.copy();
    for name in old.names().iter().filter(|name| !target.disk.names().contains(name)) {
        disk.write(name, old.read(name).expect("there"));
    }
    forge_meta(&disk, |meta| META_FLOOR.set(meta, 1));
    let error = examine(&disk, Some(&target.keys)).map(drop).expect_err("refused");
    assert!(matches!(error, WalError::MetaDamaged { .. }), "{error:?}");
    let opening = open(&disk, SegmentedWalConfig::default().with_keys(ring(1))).map(drop);
    assert!(matches!(opening, Err(WalError::MetaDamaged { .. })), "{opening:?}");
}

#[test]
fn unnoticed_the_end_of_the_log_can_be_cut_off_at_any_record_and_no_more() {
    let target = small();
    let segments = target.segments();
    for cut in 0..target.records.len() {
        // The first `cut` records stay, in the middle of an atomic batch if need be, and nothing
        // claims more: batch headers and `wal.meta` are not authenticated.
        let mut left = segments.clone();
        for segment in &mut left {
            segment
                .batches
                .retain(|batch| batch.first_lsn <= cut as u64 && !batch.frames.is_empty());
            for batch in &mut segment.batches {
                batch.frames.retain(|frame| frame.lsn() <= cut as u64);
            }
        }
        left.retain(|segment| FIRST_LSN.get(&segment.header) <= cut.max(1) as u64);
        let disk = target.forged(left.clone());
        target.names()[left.len()..].iter().for_each(|name| disk.remove(name));
        // As long as the claims stand, it is noticed.
        assert!(matches!(
            refused(&target, &disk),
            WalError::AcknowledgedDataLost { .. } | WalError::ChainBroken { .. }
        ));
        forge_claims(&disk, &left);
        let verdict = target.verdict(&disk).expect("what is left is true");
        assert!(matches!(verdict, Verdict::CutEnd(n) if n == target.records.len() - cut));
    }
    // Of a segment with a successor nothing can be cut.
    let disk = target.with_change(0, |segment| drop(segment.batches.pop()));
    forge_meta(&disk, |meta| super::forger::META_DURABLE.set(meta, 0));
    let error = refused(&target, &disk);
    assert!(
        matches!(error, WalError::AcknowledgedDataLost { .. } | WalError::Tampered { .. }),
        "{error:?}"
    );
}

#[test]
fn unnoticed_the_beginning_of_the_log_can_be_cut_off_as_a_truncation_would() {
    let target = small();
    let disk = target.disk.copy();
    forge_meta(&disk, |meta| META_FLOOR.set(meta, 5));
    let found = examine(&disk, Some(&target.keys)).expect("a truncation looks like this");
    let left = found.records(Lsn::NONE).collect::<Result<Vec<_>, _>>().expect("true");
    assert_eq!(left, target.records[4..]);
    // Only whole segments: the one that holds the floor stays, and says where it starts.
    forge_meta(&disk, |meta| META_FLOOR.set(meta, 6));
    let found = examine(&disk, Some(&target.keys)).expect("as above");
    assert_eq!(found.report.segments, 1);
    let left = found.records(Lsn::NONE).collect::<Result<Vec<_>, _>>().expect("true");
    assert_eq!(left, target.records[5..]);
}

#[test]
fn unnoticed_a_log_can_be_replaced_whole_by_a_genuine_one_and_by_no_other() {
    // By an older state of itself, or another log under the same keys.
    let (target, stranger) = (small(), small_with(2));
    let found = examine(&stranger.disk, Some(&target.keys)).expect("genuine");
    assert_eq!(found.report.last_lsn, Lsn::new(6));
    // Not by one in clear, all of whose files agree.
    let mut segments = target.segments();
    segments.truncate(1);
    in_clear(&mut segments[0], &[b"forged"]);
    let disk = target.forged(segments.clone());
    disk.remove(&target.names()[1]);
    forge_claims(&disk, &segments);
    forge_meta(&disk, |meta| META_FLAGS.set(meta, 0));
    let error = refused(&target, &disk);
    assert!(matches!(error, WalError::NotEncrypted { .. }), "{error:?}");
    // A ring that accepts a past in clear accepts a forged one.
    let accepting = target.keys.clone().with_plain_past();
    let found = examine(&disk, Some(&accepting)).expect("a plain log");
    assert_eq!(found.report.last_lsn, Lsn::FIRST);
}

#[test]
fn claims_of_wal_meta_that_do_not_fit_are_refused() {
    let target = small();
    let meta = target.disk.read(META).expect("there");
    let forged = |field: super::forger::Field, value: u64| {
        let disk = target.disk.copy();
        forge_meta(&disk, |meta| field.set(meta, value));
        refused(&target, &disk)
    };
    use super::forger::{META_DURABLE, META_NEWEST};
    assert!(matches!(forged(META_DURABLE, 7), WalError::AcknowledgedDataLost { .. }));
    assert!(matches!(forged(META_NEWEST, 3), WalError::ChainBroken { .. }));
    assert!(matches!(forged(META_FLOOR, 0), WalError::ChainBroken { .. }));
    let other_log = !u64::from_le_bytes(META_LOG_ID.of(&meta)[..8].try_into().expect("eight"));
    let disk = target.disk.copy();
    forge_meta(&disk, |meta| META_LOG_ID.put(meta, &[&other_log.to_le_bytes()[..]; 2].concat()));
    assert!(matches!(refused(&target, &disk), WalError::ChainBroken { .. }));
    assert!(target.read(&disk).expect("nothing foreign").is_some());
    assert!(CAPACITY.get(&target.segments()[0].header) > 0);
}
