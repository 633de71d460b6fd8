//! Logs to look into, and what programs print of them.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::support::{self, Ran, Workshop};
use plimsoll::{
    Engine, KeyRing, LogRecord, Lsn, Preparation, Record, RecordKind, SegmentedWal,
    SegmentedWalConfig,
};
use serde_json::Value;

pub(crate) const BLOCK: usize = 4096;
pub(crate) const FIRST: &str = "wal-00000000000000000001.seg";

pub(crate) fn config(dir: &Path) -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig::new(dir);
    config.alignment = Some(BLOCK as u64);
    config.segment_size = 64 << 10;
    config.preparation = Preparation::Zero;
    config.engine = Engine::Blocking;
    config
}

pub(crate) fn keys() -> KeyRing {
    KeyRing::new(7, [0x42; 32]).expect("memory for a key")
}

/// The key of [`keys`] as a file.
pub(crate) fn key_file(shop: &Workshop) -> String {
    let path = shop.path("key");
    if !path.exists() {
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        std::io::Write::write_all(&mut file.expect("created"), &[0x42; 32]).expect("written");
    }
    format!("7={}", path.display())
}

/// The record with this LSN in every log here.
pub(crate) fn record(lsn: u64) -> Record<'static> {
    let kind = if lsn.is_multiple_of(5) { RecordKind::DELETE } else { RecordKind::PUT };
    let len = usize::try_from(lsn % 7).expect("small") * 100;
    let payload: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).expect("a byte")).collect();
    let vshard = u32::try_from(lsn % 2).expect("small");
    Record::new(kind, payload).tenant(lsn % 3).vshard(vshard).database(9)
}

/// Appends records up to this LSN, three to a batch.
pub(crate) fn fill(wal: &mut SegmentedWal, last: u64) {
    while wal.next_lsn().get() <= last {
        for _ in 0..3 {
            let record = record(wal.next_lsn().get());
            wal.append(&record).expect("append");
        }
        wal.sync().expect("sync");
    }
}

pub(crate) fn closed_log(config: SegmentedWalConfig, last: u64) {
    let mut wal = SegmentedWal::open(config).expect("a new log");
    fill(&mut wal, last);
    wal.close().expect("close");
}

/// The segments and the `wal.meta` of a log, as a killed writer leaves them. Files that it prepares in
/// the background come and go.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new directory");
    for name in segments(from).into_iter().chain(["wal.meta".to_owned()]) {
        fs::copy(from.join(&name), to.join(&name)).expect("copied");
    }
}

/// A log of records that were committed one by one, whose writer was killed: header, marker, and a
/// block for each record.
pub(crate) fn killed_log(
    shop: &Workshop,
    name: &str,
    payload_lens: &[usize],
    keys: Option<KeyRing>,
) -> PathBuf {
    let (at_work, killed) = (shop.path(&format!("{name}-at-work")), shop.path(name));
    let mut settings = config(&at_work);
    settings.keys = keys;
    let mut wal = SegmentedWal::open(settings).expect("a new log");
    for len in payload_lens {
        wal.append(&Record::new(RecordKind::PUT, vec![7; *len])).expect("append");
        wal.sync().expect("sync");
    }
    copy(&at_work, &killed);
    drop(wal);
    fs::remove_dir_all(at_work).expect("removed");
    killed
}

pub(crate) fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = fs::read(path).expect("readable");
    change(&mut content);
    fs::write(path, content).expect("writable");
}

pub(crate) fn segments(dir: &Path) -> Vec<String> {
    let mut names = support::names(dir);
    names.retain(|name| name.starts_with("wal-") && name.ends_with(".seg"));
    names.sort();
    names
}

pub(crate) fn replayed(dir: &Path, keys: Option<&KeyRing>) -> Vec<LogRecord> {
    let reader = SegmentedWal::replay_from_dir(dir, keys, Lsn::NONE).expect("a log");
    reader.collect::<Result<_, _>>().expect("readable")
}

pub(crate) fn lines(ran: &Ran) -> Vec<Value> {
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

pub(crate) fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

pub(crate) fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("{field} of {value}"))
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(pair, 16).expect("digits")
    };
    digits.chunks(2).map(byte).collect()
}

/// Skips a test where the disk of the build has no direct I/O.
pub(crate) fn workshop() -> Option<Workshop> {
    let shop = Workshop::new();
    (!shop.lacks_direct_io()).then_some(shop)
}
