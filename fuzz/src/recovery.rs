//! What has to hold of a directory, whatever is in it. The bytes go the way they go in life: onto
//! a disk, and the log on it is examined, read and opened.

use std::collections::HashMap;

use plimsoll::{
    KeyRing, LogRecord, Lsn, Preparation, RecoveryReport, SegmentedWalConfig, VerifyOnOpen,
    WalError,
    simulated::{SimulatedDisk, examine, examine_as, open, read},
};

use crate::{
    directory::{Directory, META, segment_name},
    format::{self, FRAME_HEADER_LEN, claimed_durable_lsn, frame_len, u64_at},
    inspection,
    memory::bounded,
};

/// The keys that the logs here are sealed with.
pub(crate) fn keys() -> KeyRing {
    ring(12).with_older_ring(&ring(11))
}

/// One of them, as in `tests/golden.rs`.
pub(crate) fn ring(id: u8) -> KeyRing {
    KeyRing::new(u64::from(id), [id; 32]).expect("memory for a key")
}

/// What came of a directory.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is a log, with these records.
    Log(Vec<LogRecord>),
    /// It was refused.
    Refused(WalError),
}

/// Recovers, reads and opens the log, if it is one.
///
/// # Panics
///
/// If anything does not hold: see the messages.
pub(crate) fn check(directory: &Directory, keys: Option<&KeyRing>) -> Verdict {
    check_newest(directory, keys);
    let disk = directory.on_disk();
    let found: Result<_, WalError> = bounded(directory.len_bytes(), || {
        let examined = examine(&disk, keys)?;
        let records: Result<Vec<_>, _> = examined.records(Lsn::NONE).collect();
        Ok((examined.report.clone(), records.expect("what recovery has promised can be read")))
    });
    let outcome = found.as_ref().map(|(report, records)| (report, records.as_slice()));
    bounded(directory.len_bytes(), || inspection::check(directory, &disk, keys, outcome));
    match found {
        Ok((report, records)) => {
            check_records(directory, &report, &records);
            // To an opening an empty directory is a log that begins, to a reader it is none.
            if directory.files.contains_key(META) {
                check_reader(&disk, keys, &records);
            }
            check_opening(directory, &disk, keys, &report, &records);
            Verdict::Log(records)
        }
        Err(error) => {
            let opening = open(&disk, config(keys)).map(drop).expect_err("recovery has refused it");
            assert_eq!(opening.to_string(), error.to_string(), "opening refuses it otherwise");
            assert_eq!(Directory::of(&disk), *directory, "a refusal changes nothing");
            Verdict::Refused(error)
        }
    }
}

/// An opening that reads the newest segment only promises no other end than one that reads all of
/// it, unless a closing marker was forged; and what is read after it is dense up to that end, or ends
/// with an error. It changes no byte of what it keeps.
fn check_newest(directory: &Directory, keys: Option<&KeyRing>) {
    let disk = directory.on_disk();
    let found: Result<_, WalError> = bounded(directory.len_bytes(), || {
        let examined = examine_as(&disk, keys, VerifyOnOpen::Newest)?;
        Ok((examined.report.clone(), examined.records(Lsn::NONE).collect::<Vec<_>>()))
    });
    let mut config = config(keys);
    config.verify_on_open = VerifyOnOpen::Newest;
    let whole = examine(&disk, keys);
    match (found, open(&disk, config)) {
        (Ok((report, read)), Ok(wal)) => {
            assert_eq!(*wal.recovery(), report, "opening has found something else");
            let refused = read.last().is_some_and(Result::is_err);
            let whole_records: Vec<_> =
                read.iter().map_while(|record| record.as_ref().ok()).collect();
            let first = report.floor.get().max(1);
            let lsns = whole_records.iter().map(|record| record.lsn().get());
            assert!(lsns.eq((first..).take(whole_records.len())), "LSNs are dense");
            let end = first + whole_records.len() as u64;
            assert!(
                refused || end == report.last_lsn.get().max(first - 1) + 1,
                "shorter in silence"
            );
            let stated = directory.files.get(META).and_then(|meta| u64_at(meta, 48)).unwrap_or(0);
            assert!(
                report.last_lsn.get() >= stated,
                "ends before {stated}, which is called durable"
            );
            let was_read = report.verified_from <= report.last_lsn;
            if let (Ok(whole), true) = (whole, was_read) {
                assert_eq!(report.last_lsn, whole.report.last_lsn, "reading more finds more");
                assert!(!refused, "what is whole can be read");
            }
        }
        (Ok(_), Err(WalError::LsnExhausted)) => {}
        (Err(error), Err(opening)) => {
            assert_eq!(opening.to_string(), error.to_string(), "opening refuses it otherwise");
            assert!(whole.is_err(), "reading more refuses less: {error}");
        }
        (found, opening) => panic!("examining says {found:?}, and opening {opening:?}"),
    }
    let after = Directory::of(&disk);
    let kept = directory.segments().filter(|(name, _)| after.files.contains_key(*name));
    for (name, content) in kept {
        let now = &after.files[name];
        // A segment without a record gives its place to the next one.
        assert!(now == content || now.get(96..128) != content.get(96..128), "{name} was changed");
    }
}

/// Small, and quick to prepare.
pub(crate) fn config(keys: Option<&KeyRing>) -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig::default();
    (config.buffer_size, config.segment_size, config.pipeline_depth) = (4096, 4096, 1);
    config.preparation = Preparation::None;
    config.verify_on_open = VerifyOnOpen::Everything;
    config.keys = keys.cloned();
    config
}

/// The verdict and what is replayed agree, and nothing is invented.
fn check_records(directory: &Directory, report: &RecoveryReport, records: &[LogRecord]) {
    let expected = (report.floor.get().max(1)..).take(records.len());
    let lsns = records.iter().map(|record| record.lsn().get());
    assert!(lsns.eq(expected), "LSNs are dense from the floor on");
    let last = records.last().map_or(report.floor.previous(), LogRecord::lsn);
    assert_eq!(last, report.last_lsn.max(report.floor.previous()), "the report is of another end");
    let claimed = claimed_durable_lsn(directory);
    assert!(report.last_lsn.get() >= claimed, "ends before {claimed}, which is called durable");
    let in_clear = Frames::of(directory);
    if directory.segments().any(|(_, segment)| format::is_sealed(segment)) {
        return;
    }
    for record in records {
        assert!(in_clear.hold(record), "LSN {} is in no segment", record.lsn());
    }
}

/// Everything in a directory that may be the frame of a record in clear: those of batches that hold
/// their frames and nothing else.
struct Frames<'a> {
    by_lsn: HashMap<u64, Vec<&'a [u8]>>,
}

impl<'a> Frames<'a> {
    fn of(directory: &'a Directory) -> Self {
        let mut by_lsn: HashMap<u64, Vec<&[u8]>> = HashMap::new();
        for (_, segment) in directory.segments() {
            for start in format::batch_starts(segment).filter(|at| format::is_filled(segment, *at))
            {
                for frame in format::frame_starts(segment, start) {
                    let lsn = u64_at(segment, frame + 8).unwrap_or(0);
                    by_lsn.entry(lsn).or_default().push(&segment[frame..]);
                }
            }
        }
        Self { by_lsn }
    }

    /// Whether the record, encoded again, is there, bit by bit.
    fn hold(&self, record: &LogRecord) -> bool {
        let payload_len = u32::try_from(record.payload().len()).expect("bounded");
        let mut encoded = vec![0; 4];
        encoded.extend(payload_len.to_le_bytes());
        encoded.extend(record.lsn().get().to_le_bytes());
        encoded.extend(record.kind().get().to_le_bytes());
        encoded.extend(record.vshard().to_le_bytes());
        encoded.extend(record.tenant().to_le_bytes());
        encoded.extend(record.database().to_le_bytes());
        assert_eq!(encoded.len(), FRAME_HEADER_LEN);
        encoded.extend(record.payload());
        let len = frame_len(record.payload().len(), false);
        let found = self.by_lsn.get(&record.lsn().get()).into_iter().flatten();
        let mut found = found.filter(|frame| frame.len() >= len);
        found.any(|frame| frame[4..encoded.len()] == encoded[4..])
    }
}

/// Who reads the directory without a lock gets the same.
fn check_reader(disk: &SimulatedDisk, keys: Option<&KeyRing>, records: &[LogRecord]) {
    let reader = read(disk, keys, Lsn::NONE).expect("a log can be read");
    let read: Result<Vec<_>, _> = reader.collect();
    assert!(read.expect("a log can be read") == records, "a reader gets other records");
}

/// Opening agrees, changes no byte of what it keeps, and a log that was opened goes on.
fn check_opening(
    directory: &Directory,
    disk: &SimulatedDisk,
    keys: Option<&KeyRing>,
    report: &RecoveryReport,
    records: &[LogRecord],
) {
    let wal = match open(disk, config(keys)) {
        Ok(wal) => wal,
        // The last one there is: nothing can follow it.
        Err(WalError::LsnExhausted) => return,
        Err(error) => panic!("recovery has found it whole: {error}"),
    };
    assert_eq!(wal.recovery(), report, "opening has found something else");
    let next_lsn = wal.next_lsn();
    assert_eq!(next_lsn, report.last_lsn.next());
    wal.close().expect("close");
    let after = Directory::of(disk);
    let mut kept = 0;
    for (name, content) in directory.segments() {
        let gives_way = *name == segment_name(next_lsn.get());
        match after.files.get(name) {
            Some(now) if !gives_way => {
                assert!(now == content, "opening has changed {name}");
                kept += 1;
            }
            _ => {}
        }
    }
    assert!(kept >= report.segments, "a segment that was kept is gone");
    let again = examine(disk, keys).expect("a log that was closed");
    assert!(again.report.clean_close && again.report.last_lsn == report.last_lsn);
    let reread: Result<Vec<_>, _> = again.records(Lsn::NONE).collect();
    assert!(reread.expect("readable") == records, "opening and closing has changed the records");
}
