//! The old format's decoder over the samples: every byte flipped, every length, foreign keys, and
//! lengths that nobody should believe.

use std::fs;
use std::path::{Path, PathBuf};

use super::nodedb::{BLOCK_BYTES, HEADER_LEN, Header, NoRecord, OldKey};
use super::old_log::OldLog;
use super::reading::{Read, Reader};
use super::scan::{Met, Scan, What};
use super::window::Window;
use crate::failure::Failure;
use crate::forensics::rebuild::{Numbering, Rebuild, Rebuilt};
use crate::ticker::Ticker;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nodedb-wal-0.2.1").join(name)
}

/// Record `lsn` by the formula of the samples' README: kind, ids and payload.
fn expected(lsn: u64) -> (u32, u64, u32, u64, Vec<u8>) {
    let i = lsn - 1;
    let kind = [0x8001, 0x8002, 30, 0x8064][usize::try_from(i % 4).expect("small")];
    let payload =
        (0..1 + (37 * i) % 900).map(|j| u8::try_from((31 * i + j) % 256).expect("a byte"));
    (kind, i % 3, u32::try_from(i % 5).expect("small"), i % 2, payload.collect())
}

/// LSNs of the whole records in a file, each of which is as it was written.
fn genuine(path: &Path) -> Vec<u64> {
    let mut scan = Scan::new(Window::open(path).expect("a file"));
    let mut lsns = Vec::new();
    while let Some(met) = scan.next().expect("readable") {
        if let Met::Record { offset, header } = met {
            let record = scan.record(offset, &header).expect("in memory");
            let Header { lsn, kind, tenant, vshard, database, .. } = header;
            let is = (kind, tenant, vshard, database, record[HEADER_LEN..].to_vec());
            assert_eq!(is, expected(lsn), "LSN {lsn} at {offset}");
            lsns.push(lsn);
        }
    }
    lsns
}

/// What a migration would make of it, without writing it.
fn migrated(path: &Path, keys: &[OldKey]) -> Result<(Read, Rebuilt), Failure> {
    let log = OldLog::find(path)?;
    let ticker = Ticker::new(true);
    let reader = Reader { log: &log, keys, may_write_sealed: true, ticker: &ticker };
    let mut rebuild =
        Rebuild::without_log(Numbering { first_lsn: log.files[0].first_lsn, renumber: false });
    let read = reader.read(&mut rebuild)?;
    Ok((read, rebuild.end("a test")?.0))
}

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, content: &[u8]) -> PathBuf {
        let path = self.0.path().join("file");
        fs::write(&path, content).expect("written");
        path
    }
}

/// Where each record of a file without gaps begins, and the end.
fn starts(content: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    while let Ok(header) = Header::decode(&content[starts[starts.len() - 1]..]) {
        starts.push(starts[starts.len() - 1] + header.record_len());
    }
    starts
}

#[test]
fn a_flipped_byte_loses_the_record_it_is_in_and_no_other() {
    let (scratch, content) = (Scratch::new(), fs::read(golden("single.wal")).expect("a sample"));
    let starts = starts(&content);
    assert_eq!((starts.len(), starts[50]), (51, content.len()));
    for at in 0..content.len() {
        let hit = starts.partition_point(|&start| start <= at) as u64;
        let mut damaged = content.clone();
        damaged[at] ^= [0x01, 0x40, 0xff][at % 3];
        let path = scratch.file(&damaged);
        let others: Vec<u64> = (1..=50).filter(|&lsn| lsn != hit).collect();
        assert_eq!(genuine(&path), others, "byte {at}");
        if at % 7 != 0 {
            continue;
        }
        let (read, log) = migrated(&path, &[]).expect("readable");
        assert_eq!(read.unreadable.total(), 1, "byte {at}: {read:?}");
        let bytes = &read.unreadable.listed[0];
        let start = starts[usize::try_from(hit - 1).expect("small")];
        assert_eq!(bytes.offset_bytes, start as u64, "byte {at}");
        match hit {
            1 => assert!(read.doubt_before && log.first_lsn == 2, "byte {at}"),
            50 => assert!(read.doubt_behind && log.last_lsn == 49, "byte {at}"),
            _ => {
                let hole = &log.holes.listed[0];
                assert_eq!((hole.first_lsn, hole.last_lsn, log.noops), (hit, hit, 1));
                assert!(hole.why.contains(&format!("at byte {start}")), "{}", hole.why);
                assert!(!read.doubt_behind);
            }
        }
    }
}

#[test]
fn a_file_that_was_cut_holds_every_record_before_the_cut() {
    let (scratch, content) = (Scratch::new(), fs::read(golden("single.wal")).expect("a sample"));
    let starts = starts(&content);
    for len in 0..content.len() {
        let path = scratch.file(&content[..len]);
        let whole = starts.partition_point(|&start| start <= len) as u64 - 1;
        assert_eq!(genuine(&path), (1..=whole).collect::<Vec<_>>(), "{len} bytes");
        match migrated(&path, &[]) {
            Ok((read, log)) => {
                let cut = starts.binary_search(&len).is_err();
                assert_eq!((log.last_lsn, read.doubt_behind), (whole, cut), "{len} bytes");
            }
            Err(refused) => assert!(whole == 0, "{len} bytes: {refused}"),
        }
    }
}

#[test]
fn what_earlier_batches_left_in_the_padding_is_explained_to_the_last_byte() {
    let (read, log) = migrated(&golden("direct.wal"), &[]).expect("readable");
    assert_eq!(read.unreadable.total() + read.left_out.total(), 0, "{read:?}");
    assert!(read.residue_bytes > 0 && read.copies > 0 && !read.doubt_behind, "{read:?}");
    assert_eq!((log.records, log.first_lsn, log.last_lsn, log.missing), (50, 1, 50, 0));
    // One byte of it is another: nothing explains it any more, and it says so.
    let mut content = fs::read(golden("direct.wal")).expect("a sample");
    content[25_600] ^= 1;
    let scratch = Scratch::new();
    let (read, log) = migrated(&scratch.file(&content), &[]).expect("readable");
    assert_eq!((read.unreadable.total(), log.records, log.missing), (1, 50, 0));
    // The original of a record that lies in a later padding as well is damaged.
    let mut content = fs::read(golden("direct.wal")).expect("a sample");
    content[9_300] ^= 1;
    let (read, log) = migrated(&scratch.file(&content), &[]).expect("readable");
    assert_eq!((log.records, log.missing), (50, 0), "LSN 20 is had from there: {read:?}");
}

#[test]
fn a_damaged_block_of_a_direct_log_costs_the_records_in_it() {
    let content = fs::read(golden("direct.wal")).expect("a sample");
    let (scratch, block) = (Scratch::new(), usize::try_from(BLOCK_BYTES).expect("small"));
    for number in 0..content.len() / block {
        for fill in [0, 0xa5] {
            let mut damaged = content.clone();
            damaged[number * block..][..block].fill(fill);
            let path = scratch.file(&damaged);
            let mut lsns = genuine(&path);
            lsns.sort_unstable();
            lsns.dedup();
            let (read, log) = migrated(&path, &[]).expect("readable");
            assert_eq!(log.records, lsns.len() as u64, "block {number}");
            let all = log.records == 50;
            let told = log.missing > 0 || read.doubt_behind || read.doubt_before || lsns[0] > 1;
            // Zeros at the end are what the end of any such log looks like.
            let silent = fill == 0 && !lsns.contains(&50);
            assert!(all || told || silent, "block {number}: {lsns:?} {read:?}");
        }
    }
}

#[test]
fn sealed_records_open_with_their_key_and_no_other() {
    let key = |byte: u8| OldKey::new(&std::array::from_fn(|i| byte ^ u8::try_from(i).expect("32")));
    let (right, wrong) = (key(0).expect("a key"), key(1).expect("a key"));
    let refused = migrated(&golden("encrypted"), &[]).expect_err("no key");
    assert!(refused.to_string().contains("--key-file"), "{refused}");
    let refused = migrated(&golden("encrypted"), &[wrong]).expect_err("wrong key");
    assert!(refused.to_string().contains("none of the 50 sealed"), "{refused}");
    let keys = [key(9).expect("a key"), right];
    let (read, log) = migrated(&golden("encrypted"), &keys).expect("opens");
    assert_eq!((read.opened, log.records, log.missing), (50, 50, 0));
    let (_, clear) = migrated(&golden("segments"), &[]).expect("readable");
    assert_eq!(log.fingerprint, clear.fingerprint, "the same records");
}

#[test]
fn a_flipped_byte_of_a_preamble_costs_what_the_epoch_seals_and_no_more() {
    let keys =
        [OldKey::new(&std::array::from_fn(|i| u8::try_from(i).expect("32"))).expect("a key")];
    let folder = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(golden("encrypted")).expect("a sample") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("copied");
    }
    let first = folder.path().join("wal-00000000000000000001.seg");
    let content = fs::read(&first).expect("a sample");
    for at in 0..16 {
        let mut damaged = content.clone();
        damaged[at] ^= 0x10;
        fs::write(&first, damaged).expect("written");
        let (read, log) = migrated(folder.path(), &keys).expect("readable");
        let (opened, missing) = if (8..12).contains(&at) { (30, 20) } else { (50, 0) };
        assert_eq!((read.opened, log.missing), (opened, missing), "byte {at}");
        assert_eq!(log.records + log.missing, 50, "byte {at}");
    }
}

#[test]
fn lengths_are_bounded_before_they_are_used() {
    let mut record = fs::read(golden("single.wal")).expect("a sample")[..55].to_vec();
    for (len, problem) in [
        (u32::MAX, NoRecord::Length(u32::MAX)),
        ((64 << 20) + 1, NoRecord::Length((64 << 20) + 1)),
        (64 << 20, NoRecord::CutOff),
    ] {
        record[30..34].copy_from_slice(&len.to_le_bytes());
        let verified = Header::decode(&record).and_then(|header| header.verify(&record));
        assert_eq!(verified, Err(problem));
    }
    record[4] = 2;
    assert_eq!(Header::decode(&record), Err(NoRecord::Version(2)));
    assert_eq!(Header::decode(&record[..20]), Err(NoRecord::CutOff));
    assert_eq!(Header::decode(b"WAL"), Err(NoRecord::Magic));
}

/// A file that is nothing but the beginnings of long records is given up, not gone through for ever.
#[test]
fn a_file_made_to_take_for_ever_is_refused() {
    let mut head = fs::read(golden("single.wal")).expect("a sample")[..HEADER_LEN].to_vec();
    head[30..34].copy_from_slice(&(2_u32 << 20).to_le_bytes());
    let path = Scratch::new();
    let path = path.file(&head.repeat((3 << 20) / HEADER_LEN));
    let mut scan = Scan::new(Window::open(&path).expect("a file"));
    let refused = scan.next().expect_err("refused");
    assert!(refused.to_string().contains("merely damaged"), "{refused}");
}

#[test]
fn zeros_in_the_middle_of_records_are_no_padding() {
    let content = fs::read(golden("single.wal")).expect("a sample");
    let starts = starts(&content);
    let mut damaged = content.clone();
    damaged[starts[3]..starts[5]].fill(0);
    let scratch = Scratch::new();
    let path = scratch.file(&damaged);
    let mut scan = Scan::new(Window::open(&path).expect("a file"));
    let mut passed = Vec::new();
    while let Some(met) = scan.next().expect("readable") {
        if let Met::Passed { offset, len, what } = met {
            passed.push((offset, len, what));
        }
    }
    assert_eq!(passed, [(starts[3] as u64, (starts[5] - starts[3]) as u64, What::Zeros)]);
}
