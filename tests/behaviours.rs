//! What anybody expects of a segmented log, one test for each.
#![allow(clippy::cast_possible_truncation, reason = "offsets in small files")]
#![allow(clippy::print_stderr, reason = "a skipped test says why")]

mod common;

use common::{
    BLOCK_BYTES, TestDir, commit_each, damage, key_ring, lsns, open, payloads, put, replay,
    replay_from, segment_paths,
};
use plimsoll::{
    Durability, Engine, KeyRing, KnownKinds, Lsn, LsnRange, Preparation, Record, RecordHeader,
    RecordKind, SegmentedWal, WalError,
};

#[test]
fn create_and_append_gives_lsn_1_then_2_and_next_3() {
    let dir = TestDir::new("create");
    let mut wal = open(&dir.config());
    assert_eq!(wal.next_lsn(), Lsn::FIRST);
    assert_eq!(wal.append(&put(b"one")).expect("append"), Lsn::new(1));
    assert_eq!(wal.append(&put(b"two")).expect("append"), Lsn::new(2));
    assert_eq!(wal.next_lsn(), Lsn::new(3));
    assert_eq!(wal.durable_lsn(), Lsn::NONE, "nothing was promised yet");
    assert_eq!(wal.sync().expect("sync"), Lsn::new(2));
    assert_eq!(wal.wal_dir(), dir.path());
    assert_eq!(wal.active_segment_first_lsn(), Lsn::FIRST);
}

#[test]
fn replay_after_close_returns_everything_with_its_identity() {
    let dir = TestDir::new("replay");
    let mut wal = open(&dir.config());
    let record = Record::new(RecordKind::DELETE, b"key").tenant(11).vshard(22).database(33);
    wal.append(&record).expect("append");
    wal.append(&put(b"")).expect("an empty payload is a payload");
    wal.append(&Record::new(RecordKind::new(7), vec![9; 100_000])).expect("append");
    wal.close().expect("close");

    let wal = open(&dir.config());
    assert!(wal.recovery().clean_close);
    let records = replay(&wal);
    assert_eq!(lsns(&records), [1, 2, 3]);
    let first = &records[0];
    assert_eq!((first.kind(), first.payload()), (RecordKind::DELETE, &b"key"[..]));
    assert_eq!((first.tenant(), first.vshard(), first.database()), (11, 22, 33));
    assert_eq!(records[1].payload(), b"");
    assert_eq!((records[2].kind(), records[2].payload()), (RecordKind::new(7), &[9; 100_000][..]));
}

#[test]
fn rollover_with_a_100_byte_target_keeps_all_20_records_in_order() {
    for preparation in
        [Preparation::None, Preparation::Allocate, Preparation::Zero, Preparation::Recycle]
    {
        for engine in [Engine::Blocking, Engine::Uring] {
            let dir = TestDir::new("rollover");
            let mut config = dir.config();
            (config.segment_size, config.preparation, config.engine) = (100, preparation, engine);
            let mut wal = open(&config);
            commit_each(&mut wal, (1..=20u8).map(|n| vec![n; 50]));
            assert!(wal.list_segments().expect("list").len() > 3, "it rolled over");
            wal.close().expect("close");
            let records = replay(&open(&config));
            assert_eq!(lsns(&records), (1..=20).collect::<Vec<_>>());
            assert!(records.iter().zip(1..).all(|(r, n)| r.payload() == [n; 50]));
        }
    }
}

#[test]
fn truncation_deletes_only_sealed_segments_and_the_rest_stays_replayable() {
    let dir = TestDir::new("truncate");
    let mut config = dir.config();
    config.segment_size = 100;
    let mut wal = open(&config);
    commit_each(&mut wal, (1..=10u8).map(|n| [n]));
    let before = wal.list_segments().expect("list");
    let checkpoint = before[before.len() - 2].first_lsn;

    let outcome = wal.truncate_before(checkpoint).expect("truncate");
    let after = wal.list_segments().expect("list");
    assert_eq!(outcome.segments_deleted as usize, before.len() - after.len());
    assert!(outcome.bytes_reclaimed > 0);
    assert_eq!(after[0].first_lsn, checkpoint);
    let kept: Vec<_> = (checkpoint.get()..=10).collect();
    assert_eq!(lsns(&replay(&wal)), kept);
    assert!(matches!(
        wal.replay_from(Lsn::FIRST),
        Err(WalError::Truncated { requested: Lsn::FIRST, floor }) if floor == checkpoint
    ));

    wal.truncate_before(Lsn::new(1_000_000)).expect("truncate");
    let last = wal.list_segments().expect("list");
    assert_eq!(last.len(), 1, "never the active segment");
    assert!(last[0].active);
    commit_each(&mut wal, [[11u8]]);
    wal.close().expect("close");
    let wal = open(&config);
    assert_eq!(lsns(&replay(&wal)).last(), Some(&11));
    assert_eq!(wal.recovery().floor, last[0].first_lsn);
}

#[test]
fn replay_from_a_checkpoint_starts_there() {
    let dir = TestDir::new("checkpoint");
    let mut config = dir.config();
    config.segment_size = 100;
    let mut wal = open(&config);
    commit_each(&mut wal, (1..=20u8).map(|n| [n]));
    for from in 1..=20 {
        assert_eq!(lsns(&replay_from(&wal, from)), (from..=20).collect::<Vec<_>>());
    }
    assert!(replay_from(&wal, 21).is_empty());
}

#[test]
fn total_size_is_the_sum_of_the_files() {
    let dir = TestDir::new("size");
    let mut config = dir.config();
    (config.segment_size, config.preparation) = (3 * BLOCK_BYTES, Preparation::None);
    let mut wal = open(&config);
    commit_each(&mut wal, (1..=5u8).map(|n| [n]));
    let on_disk: u64 = segment_paths(dir.path())
        .iter()
        .map(|path| std::fs::metadata(path).expect("there").len())
        .sum();
    assert!(on_disk > 0);
    assert_eq!(wal.total_size_bytes().expect("size"), on_disk);
    let listed = wal.list_segments().expect("list");
    assert_eq!(listed.iter().map(|segment| segment.file_size).sum::<u64>(), on_disk);
    let paths: Vec<_> = listed.iter().map(|segment| segment.path.clone()).collect();
    assert_eq!(paths, segment_paths(dir.path()));
}

#[test]
fn reopening_continues_the_lsn() {
    let dir = TestDir::new("reopen");
    let config = dir.config();
    for life in 0..5u64 {
        let mut wal = open(&config);
        assert_eq!(wal.next_lsn(), Lsn::new(2 * life + 1));
        commit_each(&mut wal, [b"a", b"b"]);
        // Every other life ends like a crash.
        if life % 2 == 0 {
            wal.close().expect("close");
        }
    }
    assert_eq!(lsns(&replay(&open(&config))), (1..=10).collect::<Vec<_>>());
}

#[test]
fn encryption_survives_rollover_and_restart_with_a_key_loaded_anew() {
    let dir = TestDir::new("encryption");
    let mut config = dir.encrypted_config();
    config.segment_size = 100;
    let secret = b"attack at dawn, attack at dawn";
    let mut wal = open(&config);
    commit_each(&mut wal, (0..10).map(|_| secret));
    wal.close().expect("close");
    for path in segment_paths(dir.path()) {
        let bytes = std::fs::read(path).expect("read");
        assert!(!bytes.windows(6).any(|window| window == b"attack"), "stored in clear");
    }

    // A new key comes in; the old one is still needed to read.
    let both = KeyRing::new(8, [0x43; 32]).expect("key").with_older_ring(&key_ring());
    config.keys = Some(both.clone());
    let mut wal = open(&config);
    commit_each(&mut wal, [secret]);
    assert_eq!(replay(&wal).len(), 11);
    wal.rotate_keys(KeyRing::new(9, [0x44; 32]).expect("key")).expect("rotate");
    commit_each(&mut wal, [secret, secret]);
    assert_eq!(replay(&wal).len(), 13, "older keys are kept for reading");
    wal.close().expect("close");

    let all = KeyRing::new(9, [0x44; 32]).expect("key").with_older_ring(&both);
    config.keys = Some(all);
    let records = replay(&open(&config));
    assert_eq!(lsns(&records), (1..=13).collect::<Vec<_>>());
    assert!(records.iter().all(|record| record.payload() == secret));

    config.keys = None;
    assert!(matches!(SegmentedWal::open(config.clone()), Err(WalError::KeyRequired { .. })));
    config.keys = Some(KeyRing::new(9, [0x44; 32]).expect("key"));
    assert!(matches!(
        SegmentedWal::open(config.clone()),
        Err(WalError::KeyMissing { key_id: 7, .. })
    ));
    config.keys = Some(KeyRing::new(7, [0x99; 32]).expect("key"));
    assert!(matches!(SegmentedWal::open(config), Err(WalError::WrongKey { key_id: 7, .. })));
}

/// A flipped bit under a checksum is damage. With the checksum made good again it is tampering,
/// which only the key can tell.
#[test]
fn a_flipped_bit_in_the_identity_of_an_encrypted_segment_is_rejected() {
    const CHECKSUM_AT: usize = 8;
    const IDENTITY: [(&str, usize); 5] =
        [("log id", 24), ("segment number", 40), ("first LSN", 48), ("salt", 96), ("key id", 128)];
    for (field, at) in IDENTITY {
        for forge_checksum in [false, true] {
            let dir = TestDir::new("identity");
            let mut wal = open(&dir.encrypted_config());
            commit_each(&mut wal, [b"a", b"b"]);
            wal.close().expect("close");
            damage(&segment_paths(dir.path())[0], |bytes| {
                bytes[at] ^= 1;
                if forge_checksum {
                    let checksum = crc32c::crc32c(&bytes[CHECKSUM_AT + 4..256]);
                    bytes[CHECKSUM_AT..][..4].copy_from_slice(&checksum.to_le_bytes());
                }
            });
            let error = SegmentedWal::open(dir.encrypted_config()).expect_err("it was altered");
            let expected = match (forge_checksum, field) {
                (false, _) => matches!(error, WalError::HeaderDamaged { .. }),
                (true, "salt") => matches!(error, WalError::Tampered { .. }),
                (true, "key id") => matches!(error, WalError::KeyMissing { .. }),
                (true, _) => {
                    matches!(error, WalError::ChainBroken { .. } | WalError::HeaderDamaged { .. })
                }
            };
            assert!(expected, "{field}, checksum forged: {forge_checksum}: {error}");
        }
    }
}

#[test]
fn pages_of_replay_within_and_across_segments_and_beyond_the_end() {
    let dir = TestDir::new("pages");
    let mut config = dir.config();
    config.segment_size = 4 * BLOCK_BYTES;
    let mut wal = open(&config);
    commit_each(&mut wal, (1..=10u8).map(|n| [n]));
    assert!(wal.list_segments().expect("list").len() > 2);

    let page = |from, limit| {
        let live = wal.replay_from_limit(Lsn::new(from), limit).expect("page");
        let beside = SegmentedWal::replay_from_limit_dir(dir.path(), None, Lsn::new(from), limit)
            .expect("page without a lock");
        assert_eq!(live, beside, "with and without the lock");
        (lsns(&live.0), live.1)
    };
    assert_eq!(page(1, 2), (vec![1, 2], true), "within a segment");
    assert_eq!(page(2, 7), ((2..=8).collect(), true), "across segments");
    assert_eq!(page(9, 2), (vec![9, 10], false), "to the very end");
    assert_eq!(page(9, 100), (vec![9, 10], false));
    assert_eq!(page(11, 5), (vec![], false), "from the end");
    assert_eq!(page(500, 5), (vec![], false), "from beyond the end");
    assert_eq!(page(1, 0), (vec![], true), "a page of none");
}

#[test]
fn pages_beside_a_live_writer_are_a_prefix_that_only_grows() {
    let dir = TestDir::new("beside");
    let mut config = dir.config();
    (config.segment_size, config.prepared_segments) = (8 * BLOCK_BYTES, 4);
    let mut wal = open(&config);
    commit_each(&mut wal, [b"first"]);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (mut last, mut reads) = (1, 0);
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let (page, _) =
                            SegmentedWal::replay_from_limit_dir(dir.path(), None, Lsn::FIRST, 9999)
                                .expect("nothing is lost beside a writer");
                        let end = page.last().expect("at least the first").lsn().get();
                        assert_eq!(lsns(&page), (1..=end).collect::<Vec<_>>());
                        assert!(end >= last, "{end} after {last}");
                        (last, reads) = (end, reads + 1);
                    }
                    reads
                })
            })
            .collect();
        for n in 0..600u32 {
            commit_each(&mut wal, [n.to_le_bytes().repeat(1 + n as usize % 1500)]);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().expect("no panic") > 3);
        }
    });
}

#[test]
fn a_batch_is_replayed_whole_or_not_at_all() {
    let dir = TestDir::new("batch");
    let mut wal = open(&dir.config());
    let records: Vec<_> = (0..5u8).map(|n| Record::new(RecordKind::PUT, vec![n; 3000])).collect();
    commit_each(&mut wal, [b"before"]);
    let range = wal.append_batch(&records).expect("batch");
    assert_eq!(range, LsnRange { first: Lsn::new(2), last: Lsn::new(6) });
    wal.sync().expect("sync");
    let path = wal.list_segments().expect("list")[0].path.clone();
    drop(wal);
    assert_eq!(replay(&open(&dir.config())).len(), 6);

    // The batch is the newest, nothing vouches for it: damage in its last block takes all of it.
    let dir = TestDir::new("batch-torn");
    let mut wal = open(&dir.config());
    commit_each(&mut wal, [b"before"]);
    wal.append_batch(&records).expect("batch");
    wal.sync().expect("sync");
    drop(wal);
    let torn = segment_paths(dir.path())[0].clone();
    assert_eq!(torn.file_name(), path.file_name());
    // Blocks: header, marker, "before", then four of the batch.
    damage(&torn, |bytes| bytes[6 * BLOCK_BYTES as usize..][..4096].fill(0));
    let wal = open(&dir.config());
    assert_eq!(lsns(&replay(&wal)), [1]);
    let discarded = wal.recovery().discarded.clone().expect("it says so");
    assert_eq!((discarded.offset_bytes, discarded.batches), (3 * BLOCK_BYTES, 1));
}

#[test]
fn a_payload_written_in_place_is_replayed_and_a_panic_leaves_a_noop() {
    for config in [TestDir::config, TestDir::encrypted_config] {
        let dir = TestDir::new("in-place");
        let mut wal = open(&config(&dir));
        let header = RecordHeader { tenant: 4, ..RecordHeader::new(RecordKind::PUT) };
        let lsn = wal.append_with(header, 5000, |payload| payload[1] = 9).expect("append");
        assert_eq!(lsn, Lsn::FIRST);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wal.append_with(header, 100, |payload| {
                payload.fill(1);
                panic!("half-way");
            })
        }));
        assert!(panicked.is_err());
        commit_each(&mut wal, [b"after"]);
        let records = replay(&wal);
        let mut expected = vec![0; 5000];
        expected[1] = 9;
        assert_eq!(payloads(&records), [expected, vec![0; 100], b"after".to_vec()]);
        assert_eq!(records[0].tenant(), 4);
        let kinds: Vec<_> = records.iter().map(plimsoll::LogRecord::kind).collect();
        assert_eq!(kinds, [RecordKind::PUT, RecordKind::NOOP, RecordKind::PUT]);
    }
}

/// What a misdirected write can do: a whole batch of another segment where one of ours was. Its
/// length must not hide what lies behind it.
#[test]
fn a_misdirected_batch_hides_no_acknowledged_record() {
    for payload_len in [100, 200_000] {
        let dir = TestDir::new("misdirected");
        let mut wal = open(&dir.config());
        commit_each(&mut wal, [vec![1; payload_len]]);
        wal.close().expect("close");
        let mut wal = open(&dir.config());
        commit_each(&mut wal, (0..10).map(|_| [2; 100]));
        drop(wal);
        let paths = segment_paths(dir.path());
        let other = std::fs::read(&paths[0]).expect("read");
        let batch_at = 2 * BLOCK_BYTES as usize;
        damage(&paths[1], |bytes| {
            bytes[2 * batch_at..][..4096].copy_from_slice(&other[batch_at..][..4096]);
        });
        assert!(matches!(
            SegmentedWal::open(dir.config()),
            Err(WalError::AcknowledgedDataLost { .. })
        ));
    }
}

#[test]
fn a_record_larger_than_buffer_and_segment_is_kept_whole() {
    let dir = TestDir::new("large");
    let mut config = dir.config();
    (config.buffer_size, config.segment_size) = (4096, 16 << 10);
    let mut wal = open(&config);
    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    commit_each(&mut wal, [&b"small"[..], &large, b"small again"]);
    assert!(matches!(
        wal.append(&Record::new(RecordKind::PUT, vec![0; plimsoll::MAX_PAYLOAD_BYTES + 1])),
        Err(WalError::RecordTooLarge { .. })
    ));
    assert_eq!(wal.next_lsn(), Lsn::new(4), "a refused record takes no LSN");
    wal.close().expect("close");
    let records = replay(&open(&config));
    assert_eq!(payloads(&records), [b"small".to_vec(), large, b"small again".to_vec()]);
}

#[test]
fn the_largest_record_allowed_fits() {
    let dir = TestDir::new("largest");
    let mut config = dir.config();
    config.preparation = Preparation::None;
    let mut wal = open(&config);
    let payload = vec![0x5a; plimsoll::MAX_PAYLOAD_BYTES];
    wal.append(&put(&payload)).expect("64 MiB");
    wal.close().expect("close");
    assert!(replay(&open(&config))[0].payload() == payload);
}

#[test]
fn both_engines_and_both_ways_to_make_a_batch_durable_write_the_same_log() {
    for engine in [Engine::Blocking, Engine::Uring] {
        for durability in [Durability::Dsync, Durability::Fdatasync] {
            for (depth, single_issuer) in [(1, false), (4, false), (4, true)] {
                let dir = TestDir::new("engines");
                let mut config = dir.encrypted_config();
                (config.engine, config.durability) = (engine, durability);
                (config.pipeline_depth, config.single_issuer) = (depth, single_issuer);
                (config.buffer_size, config.segment_size) = (8 << 10, 64 << 10);
                let mut wal = open(&config);
                for n in 0..200u32 {
                    wal.append(&put(&n.to_le_bytes().repeat(100))).expect("append");
                }
                assert_eq!(wal.sync().expect("sync"), Lsn::new(200));
                let stats = wal.stats().counters;
                assert_eq!((stats.records, stats.payload_bytes), (200, 200 * 400));
                assert_eq!(stats.flushes > 0, durability == Durability::Fdatasync);
                drop(wal);
                let records = replay(&open(&config));
                let whole = records.iter().zip(0u32..);
                assert!(whole.into_iter().all(|(r, n)| r.payload() == n.to_le_bytes().repeat(100)));
                assert_eq!(records.len(), 200);
            }
        }
    }
}

#[test]
fn a_log_for_one_thread_is_refused_in_another() {
    let dir = TestDir::new("thread");
    let mut config = dir.config();
    (config.engine, config.single_issuer) = (Engine::Uring, true);
    let mut wal = open(&config);
    if wal.engine().active == plimsoll::ActiveEngine::Blocking {
        eprintln!("skipped: {}", wal.engine().reason);
        return;
    }
    let elsewhere = std::thread::spawn(move || wal.append(&put(b"x"))).join().expect("no panic");
    assert!(matches!(elsewhere, Err(WalError::WrongThread)));
}

#[test]
fn unknown_kinds_are_passed_over_when_optional_and_refused_when_required() {
    let dir = TestDir::new("kinds");
    let mut config = dir.config();
    config.known_kinds = KnownKinds::Only(vec![RecordKind::PUT]);
    let mut wal = open(&config);
    wal.append(&put(b"known")).expect("append");
    wal.append(&Record::new(RecordKind::new(0x0042), b"optional")).expect("append");
    wal.append(&put(b"known")).expect("append");
    wal.append(&Record::new(RecordKind::new(0x8042), b"required")).expect("append");
    wal.sync().expect("sync");
    let mut reader = wal.replay().expect("replay");
    let next = |reader: &mut plimsoll::WalReader| reader.next().map(|r| r.map(|r| r.lsn().get()));
    assert!(matches!(next(&mut reader), Some(Ok(1))));
    assert!(matches!(next(&mut reader), Some(Ok(3))));
    assert!(matches!(next(&mut reader), Some(Err(WalError::UnknownRequiredKind { .. }))));
    assert!(next(&mut reader).is_none(), "nothing after an error");
}

#[test]
fn truncated_segments_are_recycled_and_their_old_records_never_come_back() {
    let dir = TestDir::new("recycle");
    let mut config = dir.config();
    (config.segment_size, config.preparation) = (128 << 10, Preparation::Recycle);
    let mut wal = open(&config);
    let mut next = 1u64;
    for _ in 0..60 {
        for _ in 0..20 {
            let lsn = wal.append(&put(&next.to_le_bytes().repeat(64))).expect("append");
            assert_eq!(lsn, Lsn::new(next));
            next += 1;
        }
        wal.sync().expect("sync");
        let segments = wal.list_segments().expect("list");
        wal.truncate_before(segments[segments.len() - 1].first_lsn).expect("truncate");
        if next.is_multiple_of(7) {
            wal.close().expect("close");
            wal = open(&config);
        }
    }
    let floor = wal.list_segments().expect("list")[0].first_lsn.get();
    let records = replay(&wal);
    assert_eq!(lsns(&records), (floor..next).collect::<Vec<_>>());
    assert!(records.iter().all(|r| r.payload() == r.lsn().get().to_le_bytes().repeat(64)));
}
