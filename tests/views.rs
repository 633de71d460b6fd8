//! Every way to read a log says the same: records owned, borrowed, headers first, filtered, in pages
//! and decoded in parallel, over logs of any shape, damaged in any way. Where payloads are passed
//! over, what is handed out with its payload is still what was appended, or nothing.

mod common;

use std::fs::OpenOptions;

use common::{TestDir, key_ring, lsns, open, put};
use plimsoll::{
    KeyRing, KnownKinds, LogRecord, Lsn, Page, ParallelOptions, Preparation, Record, RecordFilter,
    RecordHeader, RecordKind, SegmentedWal, SegmentedWalConfig, WalError, WalReader,
    simulated::{self, DiskOptions, Sabotage, SimulatedDisk, examine, with_sabotage},
};
use proptest::{collection::vec, prelude::*};

/// Records and, if there was one, the error behind them.
type Story = (Vec<LogRecord>, Option<String>);

fn story(reader: impl Iterator<Item = Result<LogRecord, WalError>>) -> Story {
    let mut records = Vec::new();
    for record in reader {
        match record {
            Ok(record) => records.push(record),
            Err(error) => return (records, Some(error.to_string())),
        }
    }
    (records, None)
}

fn borrowed(mut reader: WalReader) -> Story {
    let mut records = Vec::new();
    while let Some(record) = reader.next_ref() {
        match record {
            Ok(record) => records.push(record.to_record()),
            Err(error) => return (records, Some(error.to_string())),
        }
    }
    assert!(reader.next_ref().is_none(), "an end is an end");
    (records, None)
}

/// Headers first, then every payload.
fn each_payload(mut reader: WalReader) -> Story {
    let mut records = Vec::new();
    while let Some(head) = reader.next_head() {
        match head.and_then(|head| Ok(head.read()?.to_record())) {
            Ok(record) => records.push(record),
            Err(error) => return (records, Some(error.to_string())),
        }
    }
    (records, None)
}

/// What the headers alone say: LSN, ids, length.
fn heads(mut reader: WalReader) -> Vec<(Lsn, RecordHeader, usize)> {
    let mut found = Vec::new();
    while let Some(Ok(head)) = reader.next_head() {
        found.push((head.lsn(), head.header(), head.payload_len()));
    }
    found
}

fn head_of(record: &LogRecord) -> (Lsn, RecordHeader, usize) {
    let (tenant, vshard, database) = (record.tenant(), record.vshard(), record.database());
    let header = RecordHeader { kind: record.kind(), tenant, vshard, database };
    (record.lsn(), header, record.payload().len())
}

/// All pages of a reading, each asked for where the last one said.
fn pages(limit: usize, mut from: Lsn, reader: impl Fn(Lsn) -> WalReader) -> Story {
    let mut all = Vec::new();
    loop {
        match reader(from).into_page(limit) {
            Ok(Page { records, next, .. }) => {
                assert!(records.len() <= limit);
                all.extend(records);
                let Some(next) = next else { return (all, None) };
                from = next;
            }
            Err(error) => {
                // What is left of a page that met it.
                let rest = story(reader(from));
                assert_eq!(rest.1, Some(error.to_string()));
                all.extend(rest.0);
                return (all, rest.1);
            }
        }
    }
}

const KINDS: [RecordKind; 3] = [RecordKind::PUT, RecordKind::DELETE, RecordKind::NOOP];

/// The n-th record of a log, with a payload of this length.
fn record_of(n: usize, len: usize) -> Record<'static> {
    let payload: Vec<u8> = (0..len).map(|at| (at * 31 + n).to_le_bytes()[0]).collect();
    let (vshard, database) = (u32::try_from(n % 2).expect("small"), n as u64 % 5);
    Record::new(KINDS[n % 3], payload).tenant(n as u64 % 4).vshard(vshard).database(database)
}

fn is_as_appended(record: &LogRecord, lens: &[usize]) -> bool {
    let n = usize::try_from(record.lsn().get()).expect("small");
    let expected = record_of(n, lens[n - 1]);
    record.payload() == &expected.payload[..] && head_of(record).1 == expected.header()
}

/// A log with small segments on a simulated disk, the process of which was killed.
fn log_of(batches: &[Vec<usize>], keys: Option<&KeyRing>) -> SimulatedDisk {
    let disk = SimulatedDisk::new(DiskOptions::default());
    let mut config = SegmentedWalConfig::default();
    (config.buffer_size, config.segment_size) = (4096, 100_000);
    config.preparation = Preparation::None;
    config.keys = keys.cloned();
    let mut wal = simulated::open(&disk, config).expect("a new log");
    let mut n = 0;
    for batch in batches {
        let records: Vec<_> = batch
            .iter()
            .map(|len| {
                n += 1;
                record_of(n, *len)
            })
            .collect();
        wal.append_batch(&records).expect("append");
        wal.sync().expect("sync");
    }
    disk.end_process();
    drop(wal);
    disk.copy()
}

/// Names of the segments that hold something, oldest first.
fn segments(disk: &SimulatedDisk) -> Vec<String> {
    let mut names = disk.names();
    names
        .retain(|name| name.starts_with("wal-0") && disk.read(name).is_some_and(|c| !c.is_empty()));
    names.sort();
    names
}

fn flip(disk: &SimulatedDisk, file: usize, bit: usize) {
    let names = segments(disk);
    let name = &names[file % names.len()];
    let mut content = disk.read(name).expect("it is there");
    let bit = bit % (content.len() * 8);
    content[bit / 8] ^= 1 << (bit % 8);
    disk.write(name, content);
}

/// Few are large, and those of one batch are often of one length.
fn batch() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        3 => vec(0..700_usize, 1..4),
        2 => (15_000..40_000_usize, 1..4_usize).prop_map(|(len, count)| vec![len; count]),
        2 => vec(prop_oneof![0..700_usize, 17_000..40_000_usize], 1..4),
    ]
}

const FEW_THREADS: ParallelOptions = ParallelOptions { threads: 3, memory_bytes: 32 << 20 };

/// Holds every view against the records as they are taken away. `reader` reads from an LSN on.
fn views_agree(lens: &[usize], reader: impl Fn(Lsn) -> WalReader, page: usize) -> Story {
    let all = || reader(Lsn::NONE);
    let owned = story(all());
    assert!(owned.0.iter().all(|record| is_as_appended(record, lens)));
    assert_eq!(borrowed(all()), owned);
    assert_eq!(story(all().in_parallel(FEW_THREADS)), owned);
    assert_eq!(pages(page, Lsn::NONE, &reader), owned);
    let is_whole = owned.1.is_none();

    // Where a batch is looked at record by record, the first ones may come before the error.
    let read = each_payload(all());
    assert!(read.0.starts_with(&owned.0) && read.1 == owned.1, "{:?} {:?}", read.1, owned.1);
    assert!(read.0.iter().all(|record| is_as_appended(record, lens)));
    assert!(!is_whole || read == owned);

    let seen = heads(all());
    let expected: Vec<_> = owned.0.iter().map(head_of).collect();
    assert!(seen.starts_with(&expected) && (!is_whole || seen == expected));

    for filter in [
        RecordFilter::all().tenants([1, 3]),
        RecordFilter::all().kinds([RecordKind::DELETE]).vshards([1]),
        RecordFilter::all().databases([2]).lsns(Lsn::new(3)..Lsn::new(9)),
        RecordFilter::all().lsns(Lsn::new(4)..=Lsn::new(8)),
    ] {
        let selected = borrowed(all().matching(filter.clone()));
        let expected: Vec<_> =
            owned.0.iter().filter(|record| selects(&filter, record)).cloned().collect();
        assert!(selected.0.starts_with(&expected), "{filter:?}");
        assert!(selected.0.iter().all(|record| is_as_appended(record, lens)));
        assert!(!is_whole || selected == (expected, None), "{filter:?}");
        if is_whole {
            let parallel = story(all().matching(filter).in_parallel(FEW_THREADS));
            assert_eq!(parallel, selected);
        }
    }
    owned
}

/// What a filter of the test means, said once more.
fn selects(filter: &RecordFilter, record: &LogRecord) -> bool {
    let (lsn, kind) = (record.lsn().get(), record.kind());
    let text = format!("{filter:?}");
    let is_first = text.contains("tenants: Some");
    let is_second = text.contains("kinds: Some");
    let is_third = text.contains("databases: Some");
    if is_first {
        [1, 3].contains(&record.tenant())
    } else if is_second {
        kind == RecordKind::DELETE && record.vshard() == 1
    } else if is_third {
        record.database() == 2 && (3..9).contains(&lsn)
    } else {
        (4..=8).contains(&lsn)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_view_tells_the_same_story(
        batches in vec(batch(), 1..9),
        is_encrypted in any::<bool>(),
        flips in vec((any::<usize>(), any::<usize>()), 0..3),
        page in 1..5_usize,
    ) {
        let keys = is_encrypted.then(key_ring);
        let lens: Vec<usize> = batches.iter().flatten().copied().collect();
        let disk = log_of(&batches, keys.as_ref());
        let found = examine(&disk, keys.as_ref()).expect("it is whole");
        prop_assert_eq!(found.report.last_lsn.get(), lens.len() as u64);
        flips.iter().for_each(|(file, bit)| flip(&disk, *file, *bit));

        // As in the process of a log that is damaged behind its back: all of this is durable.
        let (records, error) = views_agree(&lens, |from| found.records(from), page);
        prop_assert!(records.len() == lens.len() || error.is_some(), "a loss is never an end");
        // And from the directory, where the newest segment may end anywhere.
        let beside = |from| simulated::read(&disk, keys.as_ref(), from).expect("its meta is whole");
        let (records, error) = views_agree(&lens, beside, page);
        prop_assert!(records.len() == lens.len() || !flips.is_empty(), "{error:?}");
    }
}

/// A log whose last batch, with a large record, was torn by a crash before it was acknowledged.
fn torn_log() -> SimulatedDisk {
    let disk = log_of(&[vec![20_000], vec![20_000], vec![20_000]], None);
    let name = segments(&disk).pop().expect("a segment");
    let mut content = disk.read(&name).expect("it is there");
    let end = content.iter().rposition(|byte| *byte != 0).expect("not blank");
    content[end - 5000..=end].fill(0);
    disk.write(&name, content);
    disk
}

fn heads_of_torn_log() -> usize {
    let disk = torn_log();
    let reader = simulated::read(&disk, None, Lsn::NONE).expect("a log");
    heads(reader).len()
}

#[test]
fn a_torn_batch_is_never_looked_at_record_by_record() {
    assert_eq!(heads_of_torn_log(), 2, "the third was never whole");
}

#[test]
fn control_passing_over_what_nobody_vouches_for_shows_a_torn_batch() {
    let shown = with_sabotage(Some(Sabotage::SkipUnvouched), heads_of_torn_log);
    assert_eq!(shown, 3, "the seeded bug has to show");
}

/// A log on the disk of the build with records of these lengths.
fn wal_of(dir: &TestDir, segment_bytes: u64, lens: &[usize]) -> SegmentedWal {
    let mut config = dir.config();
    config.segment_size = segment_bytes;
    let mut wal = open(&config);
    for (index, len) in lens.iter().enumerate() {
        wal.append(&record_of(index + 1, *len)).expect("append");
    }
    wal.sync().expect("sync");
    wal
}

#[test]
fn views_agree_over_windows_and_segments_of_a_real_disk() {
    let dir = TestDir::new("views");
    // Windows of 1 MiB end within batches, and the last record has one of its own.
    let mut lens: Vec<usize> = (0..9000_usize).map(|n| n * 37 % 2000).collect();
    lens.extend((0..200_usize).map(|n| 30_000 + n % 3 * 40_000));
    lens.push(3 << 20);
    let wal = wal_of(&dir, 8 << 20, &lens);
    assert!(wal.list_segments().expect("list").len() > 2);
    let (records, error) = views_agree(&lens, |from| wal.replay_from(from).expect("replay"), 999);
    assert_eq!((records.len(), error), (lens.len(), None));
    let beside = |from| SegmentedWal::replay_from_dir(dir.path(), None, from).expect("replay");
    assert_eq!(views_agree(&lens, beside, 999).0, records);
}

#[test]
fn a_head_says_where_its_record_is() {
    let dir = TestDir::new("place");
    let wal = wal_of(&dir, 1 << 20, &[100, 50_000, 50_000]);
    let mut reader = wal.replay().expect("replay");
    let mut found = Vec::new();
    while let Some(head) = reader.next_head() {
        let head = head.expect("fits");
        assert_eq!(head.segment_path(), wal.list_segments().expect("list")[0].path);
        found.push((head.offset_bytes(), head.payload_len()));
    }
    // A header block, the marker of the opening, then one batch: its header and frames.
    let first = 2 * common::BLOCK_BYTES + 40;
    assert_eq!(found, [(first, 100), (first + 144, 50_000), (first + 144 + 50_040, 50_000)]);
}

#[test]
fn payloads_can_be_asked_for_twice_and_only_some_of_them() {
    let dir = TestDir::new("some");
    let mut config = dir.encrypted_config();
    config.segment_size = 4 << 20;
    let mut wal = open(&config);
    for n in 1..=40 {
        wal.append(&record_of(n, 40_000)).expect("append");
    }
    wal.sync().expect("sync");
    let mut reader = wal.replay().expect("replay");
    let mut n = 0;
    while let Some(head) = reader.next_head() {
        n += 1;
        let mut head = head.expect("fits");
        if n % 3 == 0 {
            let expected = record_of(n, 40_000).payload;
            assert_eq!(head.payload().expect("whole"), &expected[..]);
            assert_eq!(head.read().expect("whole").payload(), &expected[..], "in clear already");
        }
    }
    assert_eq!(n, 40);
}

#[test]
fn a_required_kind_is_missed_unless_the_filter_is_by_kind() {
    let dir = TestDir::new("kinds");
    let (known, optional, required) =
        (RecordKind::PUT, RecordKind::new(0x77), RecordKind::new(0x8077));
    let mut config = dir.config();
    config.known_kinds = KnownKinds::Only(vec![known]);
    let mut wal = open(&config);
    for (kind, tenant) in [(known, 1), (optional, 1), (required, 2), (known, 1)] {
        wal.append(&Record::new(kind, b"x").tenant(tenant)).expect("append");
    }
    wal.sync().expect("sync");
    let read = |filter| story(wal.replay().expect("replay").matching(filter));
    let unknown =
        Some(WalError::UnknownRequiredKind { lsn: Lsn::new(3), kind: required }.to_string());
    for filter in [
        RecordFilter::all(),
        RecordFilter::all().tenants([1]),
        RecordFilter::all().kinds([known, required]),
    ] {
        let (records, error) = read(filter);
        assert_eq!((lsns(&records), error), (vec![1], unknown.clone()));
    }
    let (records, error) = read(RecordFilter::all().kinds([known, optional]));
    assert_eq!((lsns(&records), error), (vec![1, 4], None));
    let (records, error) = read(RecordFilter::all().tenants([1]).lsns(..Lsn::new(3)));
    assert_eq!((lsns(&records), error), (vec![1], None), "reading ends before it");
}

#[test]
fn a_page_may_end_in_an_atomic_batch_and_before_damage() {
    let disk = log_of(&[vec![10, 10, 10], vec![10, 10]], None);
    let found = examine(&disk, None).expect("it is whole");
    let page = |from: u64, limit| found.records(Lsn::new(from)).into_page(limit);
    let ends = |page: &Page| (lsns(&page.records), page.next.map(Lsn::get));
    assert_eq!(ends(&page(1, 2).expect("page")), (vec![1, 2], Some(3)));
    assert_eq!(ends(&page(3, 2).expect("page")), (vec![3, 4], Some(5)));
    assert_eq!(ends(&page(5, 2).expect("page")), (vec![5], None));
    assert_eq!(ends(&page(4, 2).expect("page")), (vec![4, 5], None));
    assert_eq!(ends(&page(2, 0).expect("page")), (vec![], Some(2)));
    let filtered = found.records(Lsn::NONE).matching(RecordFilter::all().tenants([1]));
    assert_eq!(ends(&filtered.into_page(1).expect("page")), (vec![1], Some(5)));

    // The last byte of the second batch.
    let name = segments(&disk).pop().expect("a segment");
    let mut content = disk.read(&name).expect("it is there");
    let last = content.iter().rposition(|byte| *byte != 0).expect("not blank");
    content[last] ^= 1;
    disk.write(&name, content);
    assert_eq!(ends(&page(1, 3).expect("a full page")), (vec![1, 2, 3], Some(4)));
    assert!(matches!(page(4, 3), Err(WalError::AcknowledgedDataLost { .. })));
    assert!(matches!(page(2, 3), Err(WalError::AcknowledgedDataLost { .. })));
}

/// The file becomes shorter under readers that have looked at its length.
#[test]
fn a_read_error_comes_where_it_is_and_only_to_who_gets_there() {
    let dir = TestDir::new("cut");
    let count = 7 << 10;
    let wal = wal_of(&dir, 16 << 20, &vec![1000; count]);
    let path = wal.list_segments().expect("list").remove(0).path;
    let cut_bytes = 5_u64 << 20;
    let last_whole = Lsn::new(3500);
    let begin = || {
        let mut reader = wal.replay().expect("replay");
        // Two windows, so that the third is being read ahead.
        reader.by_ref().take(1500).for_each(|record| drop(record.expect("whole")));
        reader
    };
    let mut readers: Vec<_> = (0..3).map(|_| begin()).collect();
    OpenOptions::new().write(true).open(&path).and_then(|f| f.set_len(cut_bytes)).expect("cut");

    let mut bounded = readers.remove(0).matching(RecordFilter::all().lsns(..=last_whole));
    let records = bounded.by_ref().map(|record| record.expect("whole").lsn());
    assert_eq!(records.last(), Some(last_whole), "nobody asked for what is missing");
    // While a window is on order.
    drop(readers.remove(0));
    let mut next = Lsn::new(1501);
    let mut is_met = false;
    for record in readers.remove(0) {
        match record {
            Ok(record) => next = record.lsn().next(),
            Err(WalError::Read { path: at, offset_bytes, .. }) => {
                assert_eq!(at, path);
                assert!(offset_bytes <= cut_bytes && offset_bytes + (2 << 20) > cut_bytes);
                assert!(next > last_whole, "{next}");
                is_met = true;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(is_met, "it ended at {next} as if there were no more");
}

/// As in `tests/truncation.rs`, for who passes over payloads and for who reads in parallel.
#[test]
fn views_that_a_truncation_overtakes_are_told_so() {
    for view in ["heads", "tenants", "parallel"] {
        let dir = TestDir::new("overtaken-views");
        let mut config = dir.config();
        (config.segment_size, config.preparation) = (4 << 20, Preparation::Zero);
        let mut wal = open(&config);
        let payload = vec![7; 60_000];
        while wal.list_segments().expect("list").len() < 4 {
            wal.append(&put(&payload)).expect("append");
            wal.sync().expect("sync");
        }
        let reader = wal.replay().expect("replay");
        let mut next: Box<dyn FnMut() -> Option<Result<Lsn, WalError>>> = match view {
            "heads" => {
                let mut reader = reader;
                Box::new(move || Some(reader.next_head()?.map(|head| head.lsn())))
            }
            "tenants" => {
                let mut reader = reader.matching(RecordFilter::all().tenants([0]));
                Box::new(move || Some(reader.next_ref()?.map(|record| record.lsn())))
            }
            _ => {
                let least = ParallelOptions { threads: 2, memory_bytes: 16 << 20 };
                let mut reader = reader.in_parallel(least);
                Box::new(move || Some(reader.next()?.map(|record| record.lsn())))
            }
        };
        assert_eq!(next().expect("a record").expect("whole"), Lsn::FIRST);
        let active = wal.active_segment_first_lsn();
        assert_eq!(wal.truncate_before(active).expect("truncate").segments_deleted, 3);
        wal.sync().expect("sync");
        common::eventually(|| {
            let names = std::fs::read_dir(dir.path()).expect("list");
            let mut names = names.map(|entry| entry.expect("entry").file_name());
            !names.any(|name| name.to_string_lossy().starts_with("retired-"))
        });
        let mut expected = Lsn::new(2);
        let error = loop {
            match next().expect("the log goes on") {
                Ok(lsn) => assert_eq!(lsn, expected, "{view}"),
                Err(error) => break error,
            }
            expected = expected.next();
        };
        let WalError::Truncated { requested, floor } = error else { panic!("{view}: {error:?}") };
        assert_eq!((requested, floor), (expected, active), "{view}");
    }
}
