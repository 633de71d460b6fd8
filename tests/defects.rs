//! Real defects of other logs, from their issue trackers: each was somebody's lost data. One test
//! for each, under its number in the project's list of faults.
#![allow(clippy::cast_possible_truncation, reason = "offsets in small files")]
#![allow(clippy::print_stderr, reason = "a skipped test says why")]

mod common;

use std::{fs, path::Path, sync::Barrier, time::Duration};

use common::{
    BLOCK_BYTES, TestDir, commit_each, damage, key_ring, lsns, open, payloads, put, replay,
    replay_from, segment_paths,
};
use plimsoll::{
    CommitPolicy, Durability, Engine, GroupCommitter, KeyRing, LogRecord, Lsn, Record, RecordKind,
    SegmentedWal, SegmentedWalConfig, VerifyOnOpen, WalError,
};

const BLOCK: usize = BLOCK_BYTES as usize;
/// Offset of the first batch after header and opening marker.
const FIRST_BATCH_AT: usize = 2 * BLOCK;

/// A log whose batches reach the disk without being promised: written, never flushed, so that no
/// batch claims that an earlier one is durable.
fn unpromised(dir: &TestDir, payloads: &[Vec<u8>]) -> SegmentedWalConfig {
    let mut config = dir.config();
    (config.durability, config.buffer_size) = (Durability::Fdatasync, 4096);
    let mut wal = open(&config);
    for payload in payloads {
        wal.append(&put(payload)).expect("append");
    }
    assert_eq!(wal.durable_lsn(), Lsn::NONE);
    config
}

#[test]
fn defect_01_followers_get_their_own_lsn() {
    let dir = TestDir::new("defect-01");
    let committer =
        GroupCommitter::start(open(&dir.config()), CommitPolicy::Window(Duration::from_millis(2)))
            .expect("start");
    let start = Barrier::new(8);
    let mut all: Vec<(u64, u8)> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8u8)
            .map(|client| {
                let (committer, start) = (committer.clone(), &start);
                scope.spawn(move || {
                    start.wait();
                    (committer.commit(&put(&[client])).expect("commit").get(), client)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("no panic")).collect()
    });
    let stats = committer.stats().counters;
    assert!(stats.batches - stats.markers < 8, "some shared a batch: {stats:?}");
    all.sort_unstable();
    assert_eq!(all.iter().map(|(lsn, _)| *lsn).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    committer.close().expect("close");
    let records = replay(&open(&dir.config()));
    assert!(all.iter().zip(&records).all(|((_, client), record)| record.payload() == [*client]));
}

#[test]
fn defect_02_padding_between_batches_does_not_end_the_replay() {
    let dir = TestDir::new("defect-02");
    let mut wal = open(&dir.config());
    commit_each(&mut wal, (1..=5u8).map(|n| [n]));
    drop(wal);
    let mut wal = open(&dir.config());
    assert_eq!(lsns(&replay(&wal)), [1, 2, 3, 4, 5]);
    commit_each(&mut wal, [[6u8]]);
    assert_eq!(lsns(&replay(&wal)), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn defect_03_a_new_and_empty_segment_does_not_restart_the_lsn() {
    let dir = TestDir::new("defect-03");
    let mut wal = open(&dir.config());
    commit_each(&mut wal, (1..=5u8).map(|n| [n]));
    wal.close().expect("close");
    // Each opening leaves an empty segment behind; the last truncation leaves nothing else.
    for _ in 0..3 {
        assert_eq!(open(&dir.config()).next_lsn(), Lsn::new(6));
    }
    let mut wal = open(&dir.config());
    assert_eq!(wal.truncate_before(Lsn::new(6)).expect("truncate").segments_deleted, 1);
    drop(wal);
    let mut wal = open(&dir.config());
    assert_eq!((wal.next_lsn(), wal.durable_lsn()), (Lsn::new(6), Lsn::new(5)));
    commit_each(&mut wal, [[6u8]]);
    drop(wal);
    assert_eq!(lsns(&replay(&open(&dir.config()))), [6]);
}

#[test]
fn defect_04_a_sync_after_an_oversized_append_flushes() {
    for durability in [Durability::Dsync, Durability::Fdatasync] {
        let dir = TestDir::new("defect-04");
        let mut config = dir.config();
        (config.buffer_size, config.durability) = (4096, durability);
        let mut wal = open(&config);
        let flushes = wal.stats().counters.flushes;
        let lsn = wal.append(&put(&[7; 100_000])).expect("append");
        assert_eq!(wal.sync().expect("sync"), lsn);
        assert_eq!(wal.durable_lsn(), lsn);
        let flushed = wal.stats().counters.flushes - flushes;
        assert_eq!(flushed, u64::from(durability == Durability::Fdatasync));
        drop(wal);
        assert_eq!(payloads(&replay(&open(&config))), [vec![7; 100_000]]);
    }
}

#[test]
fn defect_05_an_encrypted_log_never_falls_back_to_plaintext_nor_forgets_a_key() {
    let dir = TestDir::new("defect-05");
    let mut config = dir.encrypted_config();
    config.segment_size = 100;
    for life in 0..3 {
        let mut wal = open(&config);
        commit_each(&mut wal, (0..3).map(|_| b"confidential"));
        if life == 1 {
            wal.rotate_keys(KeyRing::new(8, [8; 32]).expect("key")).expect("rotate");
            commit_each(&mut wal, (0..3).map(|_| b"confidential"));
            config.keys = Some(KeyRing::new(8, [8; 32]).expect("key").with_older_ring(&key_ring()));
        }
        let mut unlocked = config.clone();
        unlocked.keys = None;
        drop(wal);
        assert!(matches!(SegmentedWal::open(unlocked), Err(WalError::KeyRequired { .. })));
    }
    for path in segment_paths(dir.path()) {
        let bytes = fs::read(path).expect("read");
        assert!(!bytes.windows(12).any(|window| window == b"confidential"));
    }
    assert_eq!(replay(&open(&config)).len(), 12);

    // Not even when every sealed segment is gone, or a plain log is locked later.
    let mut wal = open(&config);
    wal.truncate_before(wal.next_lsn()).expect("truncate");
    drop(wal);
    let mut unlocked = config;
    unlocked.keys = None;
    assert!(matches!(SegmentedWal::open(unlocked), Err(WalError::KeyRequired { .. })));
}

#[test]
fn defect_06_a_torn_record_is_passed_over_and_no_byte_is_repaired() {
    let dir = TestDir::new("defect-06");
    let mut wal = open(&dir.config());
    commit_each(&mut wal, [vec![1; 100], vec![2; 6000]]);
    drop(wal);
    let path = segment_paths(dir.path())[0].clone();
    damage(&path, |bytes| bytes[FIRST_BATCH_AT + 2 * BLOCK] ^= 1);
    let before = fs::read(&path).expect("read");

    let mut wal = open(&dir.config());
    assert_eq!(wal.recovery().last_lsn, Lsn::new(1));
    commit_each(&mut wal, [vec![3; 200], vec![4; 300]]);
    wal.close().expect("close");
    assert_eq!(fs::read(&path).expect("read"), before, "recovery changes no byte");
    let lengths: Vec<_> = replay(&open(&dir.config())).iter().map(|r| r.payload().len()).collect();
    assert_eq!(lengths, [100, 200, 300]);
}

fn sealed_segments(dir: &TestDir) -> (SegmentedWalConfig, Vec<std::path::PathBuf>) {
    let mut config = dir.config();
    config.segment_size = 100;
    let mut wal = open(&config);
    commit_each(&mut wal, (1..=8u8).map(|n| [n]));
    wal.close().expect("close");
    let paths = segment_paths(dir.path());
    assert!(paths.len() >= 4);
    (config, paths)
}

#[test]
fn defect_07_a_missing_segment_is_refused() {
    for index in 0..4 {
        let dir = TestDir::new("defect-07-missing");
        let (config, paths) = sealed_segments(&dir);
        let index = if index == 3 { paths.len() - 1 } else { index };
        fs::remove_file(&paths[index]).expect("remove");
        let error = SegmentedWal::open(config).expect_err("a hole");
        assert!(
            matches!(error, WalError::ChainBroken { .. } | WalError::AcknowledgedDataLost { .. }),
            "segment {index}: {error}"
        );
        if index + 1 < paths.len() {
            let beside = SegmentedWal::replay_from_limit_dir(dir.path(), None, Lsn::FIRST, 100);
            assert!(beside.is_err(), "segment {index}, without the lock: {beside:?}");
        }
    }
}

#[test]
fn defect_07_a_damaged_sealed_segment_is_refused() {
    let damaged = |at: usize| {
        let dir = TestDir::new("defect-07-damaged");
        let (config, paths) = sealed_segments(&dir);
        damage(&paths[1], |bytes| bytes[at] ^= 0x10);
        let mut everything = config.clone();
        everything.verify_on_open = VerifyOnOpen::Everything;
        let error = SegmentedWal::open(everything).expect_err("damaged");
        let beside = SegmentedWal::replay_from_limit_dir(dir.path(), None, Lsn::FIRST, 100);
        // Where only the newest segment is read at first, nobody gets past the damage either.
        if let Ok(wal) = SegmentedWal::open(config) {
            let replayed = wal.replay().expect("a log").collect::<Result<Vec<_>, _>>();
            assert_eq!(replayed.expect_err("damaged").to_string(), error.to_string());
        }
        (error, beside.expect_err("damaged"))
    };
    let (opening, beside) = damaged(0);
    assert!(matches!(opening, WalError::HeaderDamaged { .. }), "{opening}");
    assert!(matches!(beside, WalError::HeaderDamaged { .. }), "{beside}");
    // A segment that was rolled over to starts with its first batch.
    for at in [BLOCK, BLOCK + 45] {
        let (opening, beside) = damaged(at);
        assert!(matches!(opening, WalError::AcknowledgedDataLost { .. }), "{opening}");
        assert!(matches!(beside, WalError::AcknowledgedDataLost { .. }), "{beside}");
    }
}

#[test]
fn defect_07_swapped_copied_and_shortened_segments_are_refused() {
    type Tamper = fn(&[std::path::PathBuf]);
    let tampers: [(&str, Tamper); 4] = [
        ("swapped", |paths| {
            let (a, b) = (fs::read(&paths[1]).expect("a"), fs::read(&paths[2]).expect("b"));
            fs::write(&paths[1], b).expect("write");
            fs::write(&paths[2], a).expect("write");
        }),
        ("copied over", |paths| {
            fs::copy(&paths[1], &paths[2]).expect("copy");
        }),
        ("shortened", |paths| {
            let len = fs::metadata(&paths[1]).expect("there").len();
            let file = fs::OpenOptions::new().write(true).open(&paths[1]).expect("open");
            file.set_len(len - BLOCK_BYTES).expect("shorten");
        }),
        ("misnamed", |paths| {
            fs::copy(&paths[1], paths[1].with_file_name("wal-7.seg")).expect("copy");
        }),
    ];
    for (what, tamper) in tampers {
        let dir = TestDir::new("defect-07-tampered");
        let (config, paths) = sealed_segments(&dir);
        tamper(&paths);
        let error = SegmentedWal::open(config).expect_err(what);
        assert!(matches!(error, WalError::ChainBroken { .. }), "{what}: {error}");
    }
}

#[test]
fn defect_08_unacknowledged_records_of_an_earlier_life_stay_gone() {
    let dir = TestDir::new("defect-08");
    let old: Vec<_> = (1..=5u8).map(|n| vec![n; 3000]).collect();
    let config = unpromised(&dir, &old);
    // The second of five batches never arrived; those behind it did.
    damage(&segment_paths(dir.path())[0], |bytes| {
        bytes[FIRST_BATCH_AT + BLOCK..FIRST_BATCH_AT + 2 * BLOCK].fill(0);
    });
    let mut wal = open(&config);
    assert_eq!(payloads(&replay(&wal)), [vec![1; 3000]]);
    assert!(wal.recovery().discarded.is_some());
    commit_each(&mut wal, [b"new 2"]);
    drop(wal);
    for _ in 0..2 {
        let records = replay(&open(&config));
        assert_eq!(payloads(&records), [vec![1; 3000], b"new 2".to_vec()]);
    }
    let mut wal = open(&config);
    commit_each(&mut wal, [b"new 3", b"new 4", b"new 5"]);
    assert_eq!(lsns(&replay(&wal)), [1, 2, 3, 4, 5]);
    assert_eq!(replay_from(&wal, 3)[0].payload(), b"new 3");
}

#[test]
fn defect_09_every_reader_reads_an_encrypted_log() {
    let dir = TestDir::new("defect-09");
    let mut config = dir.encrypted_config();
    config.segment_size = 100;
    let mut wal = open(&config);
    commit_each(&mut wal, (1..=6u8).map(|n| [n; 20]));
    let expected = replay(&wal);
    assert_eq!(expected.len(), 6);
    let keys = key_ring();
    let collect = |reader: plimsoll::WalReader| -> Vec<LogRecord> {
        reader.collect::<Result<_, _>>().expect("whole")
    };
    assert_eq!(replay_from(&wal, 1), expected);
    assert_eq!(wal.replay_from_limit(Lsn::FIRST, 100).expect("page").0, expected);
    let dir = dir.path();
    let beside = SegmentedWal::replay_from_dir(dir, Some(&keys), Lsn::FIRST).expect("reader");
    assert_eq!(collect(beside), expected);
    let page = SegmentedWal::replay_from_limit_dir(dir, Some(&keys), Lsn::FIRST, 100);
    assert_eq!(page.expect("page").0, expected);
    let keyless = SegmentedWal::replay_from_limit_dir(dir, None, Lsn::FIRST, 100);
    assert!(matches!(keyless, Err(WalError::KeyRequired { .. })), "not an empty log");
    drop(wal);
    let committer = GroupCommitter::start(open(&config), CommitPolicy::FromConfig).expect("start");
    assert_eq!(collect(committer.replay_from(Lsn::FIRST).expect("reader")), expected);
}

#[test]
fn defect_11_a_length_from_disk_is_bounded_before_it_is_used() {
    const BODY_BYTES_AT: usize = 16;
    for hostile in [u32::MAX, 128 << 20, 64 << 20, 1] {
        let dir = TestDir::new("defect-11");
        let mut wal = open(&dir.config());
        commit_each(&mut wal, [b"first", b"other"]);
        drop(wal);
        // A second batch with a good checksum and a length that is none.
        damage(&segment_paths(dir.path())[0], |bytes| {
            let batch = &mut bytes[FIRST_BATCH_AT + BLOCK..][..40];
            batch[BODY_BYTES_AT..][..4].copy_from_slice(&hostile.to_le_bytes());
            let seed = u32::from_le_bytes(batch[8..12].try_into().expect("four bytes"));
            let checksum = crc32c::crc32c_append(seed, &batch[12..40]);
            batch[4..8].copy_from_slice(&checksum.to_le_bytes());
        });
        let wal = open(&dir.config());
        assert_eq!(lsns(&replay(&wal)), [1], "length {hostile}");
    }
}

#[test]
fn defect_13_a_first_block_that_did_not_persist_leaves_the_log_openable() {
    for lost_block in 0..4 {
        let dir = TestDir::new("defect-13");
        let old: Vec<_> = (1..=4u8).map(|n| vec![n; 15_000]).collect();
        let config = unpromised(&dir, &old);
        // Each batch has four blocks; one of the second batch is missing, the third is whole,
        // the fourth never left memory.
        let at = FIRST_BATCH_AT + 4 * BLOCK + lost_block * BLOCK;
        damage(&segment_paths(dir.path())[0], |bytes| bytes[at..at + BLOCK].fill(0));
        let wal = open(&config);
        assert_eq!(payloads(&replay(&wal)), [vec![1; 15_000]], "block {lost_block}");
        let discarded = wal.recovery().discarded.clone().expect("it says what it passed over");
        assert_eq!(discarded.offset_bytes as usize, FIRST_BATCH_AT + 4 * BLOCK);
        assert!(discarded.batches >= 1);
    }
}

#[test]
fn defect_14_a_second_writer_is_refused() {
    let dir = TestDir::new("defect-14");
    let wal = open(&dir.config());
    let error = SegmentedWal::open(dir.config()).expect_err("the first one holds the lock");
    assert!(matches!(&error, WalError::Locked { path, .. } if path == dir.path()), "{error}");
    let committer = GroupCommitter::start(wal, CommitPolicy::FromConfig).expect("start");
    assert!(matches!(SegmentedWal::open(dir.config()), Err(WalError::Locked { .. })));
    committer.close().expect("close");
    assert!(SegmentedWal::open(dir.config()).is_ok(), "released at the close");
}

#[test]
fn defect_15_no_two_lives_share_a_salt_or_a_ciphertext() {
    const SALT_AT: usize = 96;
    let mut salts = Vec::new();
    let mut ciphertexts = Vec::new();
    let dir = TestDir::new("defect-15");
    for _ in 0..20 {
        // The same record at the same LSN, its batch lost each time before the next life.
        let mut wal = open(&dir.encrypted_config());
        commit_each(&mut wal, [b"the same sixteen"]);
        drop(wal);
        let path = segment_paths(dir.path())[0].clone();
        damage(&path, |bytes| {
            salts.push(bytes[SALT_AT..SALT_AT + 32].to_vec());
            let frame = FIRST_BATCH_AT + 40;
            ciphertexts.push(bytes[frame + 40..frame + 56].to_vec());
            bytes[FIRST_BATCH_AT] ^= 1;
        });
    }
    for list in [&mut salts, &mut ciphertexts] {
        list.sort();
        list.dedup();
        assert_eq!(list.len(), 20);
    }
}

/// Bytes that this thread has sent to the disk (proc(5), `/proc/pid/io`).
fn thread_write_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.trim().parse().ok())
}

#[test]
fn defect_16_a_small_commit_writes_one_block() {
    let dir = TestDir::new("defect-16");
    let mut config = dir.config();
    config.engine = Engine::Blocking;
    config.preparation = plimsoll::Preparation::Zero;
    let mut wal = open(&config);
    let (stats, bytes) = (wal.stats().counters, thread_write_bytes());
    commit_each(&mut wal, (0..10).map(|_| [0; 128]));
    assert_eq!(wal.stats().counters.batches - stats.batches, 10);
    assert_eq!(wal.stats().counters.device_bytes - stats.device_bytes, 10 * BLOCK_BYTES);
    match (bytes, thread_write_bytes()) {
        (Some(before), Some(after)) => assert_eq!(after - before, 10 * BLOCK_BYTES),
        _ => eprintln!("skipped in part: this kernel does not count the bytes of a thread"),
    }
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TestDir::new("key-file");
    let path = dir.path().join("key");
    let write = |mode: u32, len: usize| {
        let _ = fs::remove_file(&path);
        fs::write(&path, vec![7; len]).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
    };
    let refusal = |path: &Path| KeyRing::from_file(1, path).expect_err("refused").to_string();
    write(0o644, 32);
    assert!(refusal(&path).contains("chmod 600"), "{}", refusal(&path));
    write(0o600, 31);
    assert!(refusal(&path).contains("31 bytes instead of exactly 32"));
    write(0o600, 32);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).expect("symlink");
    assert!(refusal(&link).contains("symbolic link"));
    assert!(refusal(dir.path()).contains("not a regular file"));
    assert!(refusal(&dir.path().join("none")).contains("No such file"));

    let mut config = dir.config();
    config.dir = dir.path().join("log");
    config.keys = Some(KeyRing::from_file(1, &path).expect("a proper key file"));
    let mut wal = open(&config);
    wal.append(&Record::new(RecordKind::PUT, b"sealed")).expect("append");
    wal.close().expect("close");
}
