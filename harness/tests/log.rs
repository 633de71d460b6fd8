//! `plimsoll log` from outside, on logs that the library has written: plain and sealed, recycled, torn,
//! damaged, and beside a writer at work. Whatever is asked, no file changes.
#![allow(missing_docs, reason = "tests are no interface")]
#![allow(dead_code, reason = "the sweep's tests use all of the support")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use plimsoll::{
    Engine, KeyRing, LogRecord, Lsn, Preparation, Record, RecordKind, SegmentedWal,
    SegmentedWalConfig,
};
use serde_json::Value;
use support::{Ran, Workshop};

const BLOCK: usize = 4096;
const FIRST: &str = "wal-00000000000000000001.seg";

fn config(dir: &Path) -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig::new(dir);
    config.alignment = Some(BLOCK as u64);
    config.segment_size = 64 << 10;
    config.preparation = Preparation::Zero;
    config.engine = Engine::Blocking;
    config
}

fn keys() -> KeyRing {
    KeyRing::new(7, [0x42; 32]).expect("memory for a key")
}

/// The key of [`keys`] as a file.
fn key_file(shop: &Workshop) -> String {
    let path = shop.path("key");
    if !path.exists() {
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        std::io::Write::write_all(&mut file.expect("created"), &[0x42; 32]).expect("written");
    }
    format!("7={}", path.display())
}

/// The record with this LSN in every log here.
fn record(lsn: u64) -> Record<'static> {
    let kind = if lsn.is_multiple_of(5) { RecordKind::DELETE } else { RecordKind::PUT };
    let len = usize::try_from(lsn % 7).expect("small") * 100;
    let payload: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).expect("a byte")).collect();
    let vshard = u32::try_from(lsn % 2).expect("small");
    Record::new(kind, payload).tenant(lsn % 3).vshard(vshard).database(9)
}

/// Appends records up to this LSN, three to a batch.
fn fill(wal: &mut SegmentedWal, last: u64) {
    while wal.next_lsn().get() <= last {
        for _ in 0..3 {
            let record = record(wal.next_lsn().get());
            wal.append(&record).expect("append");
        }
        wal.sync().expect("sync");
    }
}

fn closed_log(config: SegmentedWalConfig, last: u64) {
    let mut wal = SegmentedWal::open(config).expect("a new log");
    fill(&mut wal, last);
    wal.close().expect("close");
}

/// The segments and the `wal.meta` of a log, as a killed writer leaves them. Files that it prepares in
/// the background come and go.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new directory");
    for name in segments(from).into_iter().chain(["wal.meta".to_owned()]) {
        fs::copy(from.join(&name), to.join(&name)).expect("copied");
    }
}

/// A log of records that were committed one by one, whose writer was killed: header, marker, and a
/// block for each record.
fn killed_log(
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

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = fs::read(path).expect("readable");
    change(&mut content);
    fs::write(path, content).expect("writable");
}

fn segments(dir: &Path) -> Vec<String> {
    let mut names = support::names(dir);
    names.retain(|name| name.starts_with("wal-") && name.ends_with(".seg"));
    names.sort();
    names
}

fn replayed(dir: &Path, keys: Option<&KeyRing>) -> Vec<LogRecord> {
    let reader = SegmentedWal::replay_from_dir(dir, keys, Lsn::NONE).expect("a log");
    reader.collect::<Result<_, _>>().expect("readable")
}

fn lines(ran: &Ran) -> Vec<Value> {
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    ran.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("{field} of {value}"))
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(pair, 16).expect("digits")
    };
    digits.chunks(2).map(byte).collect()
}

/// Skips a test where the disk of the build has no direct I/O.
fn workshop() -> Option<Workshop> {
    let shop = Workshop::new();
    (!shop.lacks_direct_io()).then_some(shop)
}

#[test]
fn lines_of_json_are_what_is_replayed_and_account_for_every_byte() {
    let Some(shop) = workshop() else { return };
    for sealed in [false, true] {
        let name = if sealed { "sealed" } else { "plain" };
        let dir = shop.path(name);
        let mut settings = config(&dir);
        settings.keys = sealed.then(keys);
        closed_log(settings, 60);
        let key = key_file(&shop);
        let words = ["log", "dump", name, "--format", "json", "--key-file", key.as_str()];
        let dumped = lines(&shop.run(&words[..if sealed { 7 } else { 5 }]));
        assert_eq!(dumped[0]["format"], "plimsoll-log-dump/1");
        let records = dumped.iter().filter(|line| line["type"] == "record");
        let expected = replayed(&dir, sealed.then(keys).as_ref());
        assert_eq!(records.clone().count(), expected.len());
        for (line, record) in records.zip(&expected) {
            assert_eq!(number(line, "lsn"), record.lsn().get());
            assert_eq!(number(line, "kind"), u64::from(record.kind().get()));
            assert_eq!(number(line, "tenant"), record.tenant());
            assert_eq!(number(line, "vshard"), u64::from(record.vshard()));
            assert_eq!(number(line, "database"), record.database());
            let payload = line["payload_hex"].as_str().expect("a payload");
            assert_eq!(unhex(payload), record.payload());
            assert_eq!(
                (&line["standing"], &line["payload_state"]),
                (&"in_log".into(), &"clear".into())
            );
        }
        check_pieces(&dir, &dumped);
        if sealed {
            let without = lines(&shop.run(&words[..5]));
            let record = without.iter().find(|line| line["type"] == "record").expect("records");
            assert_eq!(record["payload_state"], "sealed");
            assert!(record.get("payload_hex").is_none() && number(record, "payload_bytes") == 100);
            let wrong = fs::write(shop.path("other-key"), [1; 32]);
            wrong.expect("written");
            let private = fs::Permissions::from_mode(0o600);
            fs::set_permissions(shop.path("other-key"), private).expect("closed to others");
            let ran = shop.run(&["log", "dump", name, "-q", "--key-file", "7=other-key"]);
            ran.assert_one_sentence(3, &["is not the key"]);
        }
    }
}

/// In each segment the pieces follow each other from the header's block to the end of the file.
fn check_pieces(dir: &Path, dumped: &[Value]) {
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for line in dumped {
        match line["type"].as_str().expect("a type") {
            "segment" => {
                let name = line["segment"].as_str().expect("a name").to_owned();
                ends.insert(name, number(&line["header"], "block_bytes"));
            }
            "batch" | "blank" | "earlier_life" | "damage" | "ahead_of_writer" => {
                let end = ends.get_mut(line["segment"].as_str().expect("a name")).expect("listed");
                assert_eq!(number(line, "offset_bytes"), *end, "{line}");
                *end += number(line, "len_bytes");
            }
            _ => {}
        }
    }
    assert_eq!(ends.keys().cloned().collect::<Vec<_>>(), segments(dir));
    for (name, end) in ends {
        assert_eq!(end, fs::metadata(dir.join(&name)).expect("there").len(), "{name}");
    }
}

/// The files that a hex dump shows, put together again from its lines.
fn reassembled(text: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("# ") {
            if let Some((name, _)) = heading
                .split_once(',')
                .filter(|(name, _)| name.starts_with("wal") || name.starts_with("lease-"))
            {
                current = name.to_owned();
                files.insert(current.clone(), Vec::new());
            }
            continue;
        }
        let content = files.get_mut(&current).expect("a heading before the first line");
        let at = usize::from_str_radix(&line[..8], 16).expect("an offset");
        assert_eq!(at, content.len(), "lines follow each other: {line}");
        let bytes = line.get(10..57).unwrap_or(&line[10..]).trim_end();
        match bytes.strip_prefix("00 x ") {
            Some(count) => content.resize(at + count.parse::<usize>().expect("a count"), 0),
            None => content.extend(unhex(bytes)),
        }
    }
    files
}

#[test]
fn a_hex_dump_is_the_very_bytes_with_every_field_named() {
    let Some(shop) = workshop() else { return };
    let mut settings = config(&shop.path("plain"));
    settings.preparation = Preparation::Recycle;
    let mut wal = SegmentedWal::open(settings).expect("a new log");
    fill(&mut wal, 120);
    // What follows is written to recycled files.
    wal.truncate_before(Lsn::new(100)).expect("truncate");
    thread::sleep(Duration::from_millis(300));
    fill(&mut wal, 360);
    wal.close().expect("close");
    let mut sealed = config(&shop.path("sealed"));
    sealed.keys = Some(keys());
    closed_log(sealed, 20);
    let damaged = killed_log(&shop, "damaged", &[100, 100, 9000], None);
    edit(&damaged.join(FIRST), |content| content[2 * BLOCK + 60] ^= 1);
    let headless = killed_log(&shop, "headless", &[100], None);
    edit(&headless.join(FIRST), |content| content[30] ^= 1);
    for name in ["plain", "sealed", "damaged", "headless"] {
        let ran = shop.run(&["log", "dump", name, "--format", "hex"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{name}");
        let files = reassembled(&ran.stdout);
        let dir = shop.path(name);
        assert!(files.contains_key("wal.meta"), "{name}");
        assert_eq!(files.len(), segments(&dir).len() + 1, "{name}");
        for (file, content) in files {
            assert!(content == fs::read(dir.join(&file)).expect("there"), "{name}: {file}");
        }
        for field in ["magic = \"PLIMSOLL\"", "predecessor_end_lsn = ", "retention_floor_lsn = "] {
            assert!(ran.stdout.contains(field), "{name}: {field}");
        }
    }
    let ran = shop.run(&["log", "dump", "sealed", "--format", "hex", "--segment", "1"]);
    for part in
        ["record_count = 3", "kind = 0x8001 PUT", "payload, sealed", "  tag\n", "tenant = 2"]
    {
        assert!(ran.stdout.contains(part), "{part}");
    }
    assert!(!reassembled(&ran.stdout).contains_key("wal.meta"));
    let ran = shop.run(&["log", "dump", "sealed", "--format", "hex", "--tenant", "1"]);
    ran.assert_one_sentence(2, &["whole batches", "--segment"]);
}

#[test]
fn records_are_filtered_and_segments_are_chosen() {
    let Some(shop) = workshop() else { return };
    closed_log(config(&shop.path("a")), 60);
    let lsns = |options: &str| -> Vec<u64> {
        let words = format!("log dump a --format json -q {options}");
        let words: Vec<&str> = words.split_whitespace().collect();
        lines(&shop.run(&words)).iter().map(|line| number(line, "lsn")).collect()
    };
    let all = 1..=60;
    assert!(lsns("").into_iter().eq(all.clone()));
    assert!(lsns("--from 7 --to 11").into_iter().eq(7..=11));
    assert!(lsns("--from 50 --limit 3").into_iter().eq(50..=52));
    assert!(lsns("--kind delete").into_iter().eq(all.clone().filter(|lsn| lsn % 5 == 0)));
    assert!(
        lsns("--tenant 1,2 --vshard 0")
            .into_iter()
            .eq(all.clone().filter(|lsn| lsn % 3 != 0 && lsn % 2 == 0))
    );
    assert_eq!(lsns("--database 8"), Vec::<u64>::new());
    let names = segments(&shop.path("a"));
    assert!(names.len() > 1, "{names:?}");
    let second: u64 = names[1][4..24].parse().expect("an LSN");
    let by_lsn = lsns(&format!("--segment {second}"));
    assert_eq!(
        (by_lsn.first(), by_lsn.clone()),
        (Some(&second), lsns(&format!("--segment {}", names[1])))
    );
    let ran = shop.run(&["log", "dump", "a", "--tenant", "1", "--kind", "delete"]);
    let shown = |part: &str| ran.stdout.lines().filter(|line| line.contains(part)).count();
    assert_eq!((ran.code, shown("DELETE"), shown("  record ")), (0, 4, 4), "{ran:?}");
    assert!(shown("  batch  ") == 4 && shown("blank") == 0, "only batches with such a record");
    shop.run(&["log", "dump", "a", "--segment", "0"]).assert_one_sentence(2, &["LSN 0"]);
    shop.run(&["log", "dump", "nowhere"]).assert_one_sentence(2, &["nowhere", "No such file"]);
    fs::create_dir(shop.path("empty")).expect("a directory");
    shop.run(&["log", "dump", "empty"]).assert_one_sentence(2, &["holds no log"]);
}

/// Verdict, row, exit code and a part of the reason.
fn verified(shop: &Workshop, name: &str, options: &[&str]) -> (String, String, i32, Value) {
    let words: Vec<&str> =
        ["log", "verify", name, "--json"].into_iter().chain(options.iter().copied()).collect();
    let ran = shop.run(&words);
    assert_eq!(ran.stderr, "", "{name}");
    let document = json(&ran);
    assert_eq!(document["format"], "plimsoll-log-verify/1");
    let text = |field: &str| document[field].as_str().expect("text").to_owned();
    (text("verdict"), text("row"), ran.code, document)
}

#[test]
fn verify_names_the_row_of_the_table() {
    let Some(shop) = workshop() else { return };
    let expect = |name: &str, options: &[&str], verdict: &str, row: &str, code: i32| {
        let (found, found_row, found_code, document) = verified(&shop, name, options);
        assert_eq!((&*found, &*found_row, found_code), (verdict, row, code), "{name}: {document}");
        document
    };
    closed_log(config(&shop.path("closed")), 120);
    let document = expect("closed", &[], "whole", "clean_end", 0);
    assert_eq!((number(&document, "last_lsn"), &document["clean_close"]), (120, &true.into()));

    let torn = killed_log(&shop, "torn", &[100, 9000], None);
    edit(&torn.join(FIRST), |content| content[3 * BLOCK..4 * BLOCK].fill(0));
    let document = expect("torn", &[], "whole", "torn_tail", 0);
    assert_eq!(number(&document["discarded"], "offset_bytes"), 3 * BLOCK as u64);
    assert_eq!(number(&document["discarded"], "len_bytes"), 3 * BLOCK as u64);

    let lost = killed_log(&shop, "lost", &[100, 100, 100], None);
    edit(&lost.join(FIRST), |content| content[3 * BLOCK + 60] ^= 1);
    let document = expect("lost", &[], "refused", "acknowledged_data_lost", 1);
    assert_eq!(number(&document["segments"][0], "damaged_bytes"), BLOCK as u64);
    assert_eq!(number(&document["segments"][0], "batches_outside"), 1, "the third record");
    let problem = document["segments"][0]["problems"][0].as_str().expect("a problem");
    assert!(problem.contains("frame 1 of 1") && problem.contains("checksum"), "{problem}");

    copy(&shop.path("closed"), &shop.path("gap"));
    let names = segments(&shop.path("gap"));
    assert!(names.len() >= 3, "{names:?}");
    fs::remove_file(shop.path("gap").join(&names[1])).expect("removed");
    expect("gap", &[], "refused", "chain_broken", 1);

    copy(&shop.path("closed"), &shop.path("header"));
    edit(&shop.path("header").join(&names[0]), |content| content[50] ^= 1);
    expect("header", &[], "refused", "header_damaged", 1);

    copy(&shop.path("closed"), &shop.path("meta"));
    edit(&shop.path("meta/wal.meta"), |content| content[40] ^= 1);
    expect("meta", &[], "refused", "meta_damaged", 1);

    let unused = killed_log(&shop, "unused", &[100], None);
    fs::write(unused.join("wal-00000000000000000002.seg"), vec![0; 64 << 10]).expect("written");
    let document = expect("unused", &[], "whole", "never_used", 0);
    assert_eq!(document["unused"], "wal-00000000000000000002.seg");

    killed_log(&shop, "sealed", &[100, 100], Some(keys()));
    let document = expect("sealed", &[], "undecided", "clean_end", 4);
    assert!(document["reason"].as_str().expect("text").contains("tags"), "{document}");
    let key = key_file(&shop);
    expect("sealed", &["--key-file", &key], "whole", "clean_end", 0);
    let settings = format!("[wal]\nkey_files = [{{ id = 7, path = {:?} }}]\n", shop.path("key"));
    fs::write(shop.path("s.toml"), settings).expect("written");
    expect("sealed", &["--settings", "s.toml"], "whole", "clean_end", 0);
    let other_id = key.replace("7=", "8=");
    expect("sealed", &["--key-file", &other_id], "wrong_keys", "key_missing", 3);
    expect("closed", &["--key-file", &key], "wrong_keys", "not_encrypted", 3);
    expect("closed", &["--key-file", &key, "--plain-past"], "whole", "clean_end", 0);

    let text = shop.run(&["log", "verify", "lost"]);
    assert!(text.stdout.starts_with("ACKNOWLEDGED RECORDS ARE LOST: "), "{}", text.stdout);
    assert!(text.stdout.contains("acknowledged_data_lost"), "{}", text.stdout);
    let quiet = shop.run(&["log", "verify", "torn", "--quiet"]);
    assert_eq!((quiet.code, quiet.stdout, quiet.stderr), (0, String::new(), String::new()));
    shop.run(&["log", "verify", "closed", "--key-file", "s.toml"])
        .assert_one_sentence(2, &["s.toml"]);
}

#[test]
fn the_sums_of_stat_are_the_files() {
    let Some(shop) = workshop() else { return };
    closed_log(config(&shop.path("a")), 60);
    let stat = json(&shop.run(&["log", "stat", "a", "--json", "--top", "2"]));
    let sum = |bytes: &Value| -> u64 {
        bytes.as_object().expect("sums").values().map(|n| n.as_u64().expect("a sum")).sum()
    };
    let dir = shop.path("a");
    let len = |name: &String| fs::metadata(dir.join(name)).expect("there").len();
    let lens: Vec<u64> = segments(&dir).iter().map(len).collect();
    assert_eq!(number(&stat["files"], "segments"), lens.iter().sum::<u64>());
    assert_eq!(sum(&stat["bytes"]), lens.iter().sum::<u64>());
    let listed = stat["segments"].as_array().expect("segments");
    assert_eq!(listed.len(), lens.len());
    for (segment, len) in listed.iter().zip(&lens) {
        assert_eq!((sum(&segment["bytes"]), number(segment, "len_bytes")), (*len, *len));
    }
    let records = replayed(&dir, None);
    let payloads: usize = records.iter().map(|record| record.payload().len()).sum();
    assert_eq!(number(&stat["bytes"], "payloads"), payloads as u64);
    assert_eq!((number(&stat, "records"), number(&stat, "batches")), (60, 20));
    let mean = stat["records_per_batch"]["mean"].as_f64().expect("a mean");
    assert!((mean - 3.0).abs() < 1e-9 && number(&stat["records_per_batch"], "p99") == 3);
    let batch_bytes = &stat["batch_bytes"];
    assert_eq!(batch_bytes["mean"].as_f64(), Some(4096.0), "{batch_bytes}");
    let longest = records.iter().map(|record| record.payload().len()).max();
    assert_eq!(number(&stat["payload_bytes"], "max"), longest.expect("records") as u64);
    let of_tenant = |tenant: u64| -> (u64, u64) {
        let theirs = records.iter().filter(|record| record.tenant() == tenant);
        let bytes: usize = theirs.clone().map(|record| record.payload().len()).sum();
        (theirs.count() as u64, bytes as u64)
    };
    let tenants = stat["tenants"]["top"].as_array().expect("tenants");
    assert_eq!((number(&stat["tenants"], "count"), tenants.len()), (3, 2));
    for tenant in tenants {
        let expected = of_tenant(number(tenant, "id"));
        assert_eq!((number(tenant, "records"), number(tenant, "payload_bytes")), expected);
    }
    let others = number(&stat["tenants"], "others_records");
    assert_eq!(others + tenants.iter().map(|t| number(t, "records")).sum::<u64>(), 60);
    assert!(listed[0]["records_per_second"].as_f64() > Some(0.0), "{}", listed[0]);
    let text = shop.run(&["log", "stat", "a"]);
    for part in ["60 records in 20 batches", "payloads", "records per batch", "Tenants, 3:", "PUT"]
    {
        assert!(text.stdout.contains(part), "{part}: {}", text.stdout);
    }
    assert_eq!(shop.run(&["log", "stat", "a", "-q"]).stdout.lines().count(), 1);
}

#[test]
fn diff_compares_records_and_not_files() {
    let Some(shop) = workshop() else { return };
    closed_log(config(&shop.path("a")), 60);
    let mut other = config(&shop.path("b"));
    (other.alignment, other.segment_size) = (Some(8192), 1 << 20);
    other.keys = Some(keys());
    closed_log(other, 60);
    let key = key_file(&shop);
    let words = ["log", "diff", "a", "b", "--plain-past", "--key-file", key.as_str(), "--json"];
    let same = shop.run(&words);
    let document = json(&same);
    assert_eq!((same.code, number(&document, "same")), (0, 60), "{document}");
    assert!(document["first_difference"].is_null());
    shop.run(&["log", "diff", "a", "b"]).assert_one_sentence(3, &["is sealed", "--key-file"]);

    let mut wal = SegmentedWal::open(config(&shop.path("c"))).expect("a new log");
    fill(&mut wal, 30);
    let mut changed = record(31);
    let byte = &mut changed.payload.to_mut()[5];
    *byte ^= 1;
    wal.append(&changed).expect("append");
    fill(&mut wal, 70);
    drop(wal);
    let different = shop.run(&["log", "diff", "a", "c", "--json"]);
    let document = json(&different);
    assert_eq!(different.code, 1, "{document}");
    let first = &document["first_difference"];
    assert_eq!((number(first, "lsn"), &first["field"]), (31, &"the payload".into()));
    assert_eq!((number(&document, "same"), number(&document, "different")), (59, 1));
    assert_eq!(number(&document["b"], "first_only_here_lsn"), 61);
    assert_eq!(number(&document["a"], "only_here"), 0);
    let text = shop.run(&["log", "diff", "a", "c"]);
    assert!(text.stdout.starts_with("DIFFERENT, first at LSN 31: the payload is "), "{text:?}");
    let mut ids = SegmentedWal::open(config(&shop.path("d"))).expect("a new log");
    ids.append(&record(1).tenant(99)).expect("append");
    ids.close().expect("close");
    let first = json(&shop.run(&["log", "diff", "d", "a", "--json"]))["first_difference"].clone();
    assert_eq!(
        (&first["field"], &first["a"], &first["b"]),
        (&"tenant".into(), &"99".into(), &"1".into())
    );
}

#[test]
fn what_holds_a_segment_is_said() {
    let Some(shop) = workshop() else { return };
    let dir = shop.path("a");
    let mut wal = SegmentedWal::open(config(&dir)).expect("a new log");
    fill(&mut wal, 120);
    let reasons = |options: &[&str]| -> Vec<String> {
        let words: Vec<&str> = ["log", "why-retained", "a", "--json"]
            .into_iter()
            .chain(options.iter().copied())
            .collect();
        let document = json(&shop.run(&words));
        let segments = document["segments"].as_array().expect("segments").clone();
        segments.iter().map(|s| s["reason"].as_str().expect("a reason").to_owned()).collect()
    };
    let names = segments(&dir);
    let mut expected = vec!["floor"; names.len()];
    *expected.last_mut().expect("a segment") = "newest";
    assert_eq!(reasons(&[]), expected);
    assert_eq!(reasons(&["--segment", &names[0]]), ["floor"]);
    let text = shop.run(&["log", "why-retained", "a"]).stdout;
    assert!(
        text.contains("truncate_before") && text.contains("the writer appends to it"),
        "{text}"
    );

    let lease = wal.lease("replica-2", Lsn::new(2), 10 << 20).expect("a lease");
    let document = json(&shop.run(&["log", "why-retained", "a", "--json"]));
    let oldest = &document["segments"][0];
    assert_eq!(
        (&oldest["reason"], &oldest["leases"][0]["name"]),
        (&"lease".into(), &"replica-2".into())
    );
    assert_eq!(number(&oldest["leases"][0], "budget_bytes"), 10 << 20);
    let hex = shop.run(&["log", "dump", "a", "--format", "hex"]).stdout;
    let held = support::names(&dir).into_iter().find(|name| name.starts_with("lease-"));
    let held = held.expect("the lease's file");
    assert!(reassembled(&hex)[&held] == fs::read(dir.join(&held)).expect("readable"));
    lease.release().expect("released");

    let before = shop.path("before");
    copy(&dir, &before);
    let second: u64 = names[1][4..24].parse().expect("an LSN");
    wal.truncate_before(Lsn::new(second)).expect("truncate");
    drop(wal);
    // A truncation that a crash has interrupted: the floor has moved, the file is there.
    fs::copy(before.join(&names[0]), dir.join(&names[0])).expect("copied");
    assert_eq!(reasons(&["--segment", &names[0]]), ["below_floor"]);
    let text = shop.run(&["log", "why-retained", "a", "--segment", &names[0]]).stdout;
    assert!(text.contains("the next opening removes it"), "{text}");
    assert_eq!(reasons(&["--segment", &names[1]]), ["floor"]);
}

/// Every verb, plain and with keys, leaves every file as it was.
#[test]
fn nothing_is_changed() {
    let Some(shop) = workshop() else { return };
    closed_log(config(&shop.path("a")), 60);
    let torn = killed_log(&shop, "torn", &[100, 9000], None);
    edit(&torn.join(FIRST), |content| content[3 * BLOCK..4 * BLOCK].fill(0));
    fs::write(torn.join("wal-00000000000000000002.seg"), vec![0; 64 << 10]).expect("written");
    let state = |name: &str| -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
        let dir = shop.path(name);
        let mut names = support::names(&dir);
        names.sort();
        let of = |file: String| {
            let path = dir.join(&file);
            let modified = fs::metadata(&path).and_then(|m| m.modified()).expect("a time");
            (file, (fs::read(path).expect("readable"), modified))
        };
        let mut files: BTreeMap<_, _> = names.into_iter().map(of).collect();
        let changed = fs::metadata(&dir).and_then(|m| m.modified()).expect("a time");
        files.insert(".".to_owned(), (Vec::new(), changed));
        files
    };
    for name in ["a", "torn"] {
        let before = state(name);
        for words in [
            format!("log dump {name}"),
            format!("log dump {name} --json"),
            format!("log dump {name} --format hex"),
            format!("log verify {name}"),
            format!("log stat {name}"),
            format!("log diff {name} {name}"),
            format!("log why-retained {name}"),
        ] {
            let words: Vec<&str> = words.split(' ').collect();
            assert!(shop.run(&words).code <= 1, "{words:?}");
        }
        assert!(state(name) == before, "{name}");
    }
}

/// A writer appends, rolls over and truncates; nobody who looks reports damage.
#[test]
fn beside_a_writer_at_work_nothing_looks_damaged() {
    let Some(shop) = workshop() else { return };
    let mut settings = config(&shop.path("a"));
    settings.preparation = Preparation::Recycle;
    let mut wal = SegmentedWal::open(settings).expect("a new log");
    fill(&mut wal, 3);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let next = wal.next_lsn().get();
                fill(&mut wal, next);
                if next > 200 && next.is_multiple_of(8) {
                    wal.truncate_before(Lsn::new(next - 150)).expect("truncate");
                }
            }
        });
        let until = Instant::now() + Duration::from_secs(4);
        let mut looks = 0;
        while Instant::now() < until {
            let (verdict, row, code, document) = verified(&shop, "a", &[]);
            assert_eq!((&*verdict, &*row, code), ("whole", "beside_writer", 0), "{document}");
            for segment in document["segments"].as_array().expect("segments") {
                assert_eq!(number(segment, "damaged_bytes"), 0, "{segment}");
                let problems = segment["problems"].as_array().expect("problems");
                let fine = |problem: &Value| {
                    let text = problem.as_str().expect("text");
                    text.contains("was truncated") || text.contains("it is blank")
                };
                assert!(problems.iter().all(fine), "{segment}");
            }
            let dumped = shop.run(&["log", "dump", "a"]);
            assert_eq!((dumped.code, dumped.stderr.as_str()), (0, ""));
            let damaged = |line: &&str| line.contains("DAMAGE") && !line.contains("behind the end");
            assert_eq!(dumped.stdout.lines().find(damaged), None);
            assert_eq!(shop.run(&["log", "stat", "a", "-q"]).code, 0);
            assert_eq!(shop.run(&["log", "why-retained", "a", "-q"]).code, 0);
            looks += 1;
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("the writer");
        assert!(looks > 2, "{looks}");
    });
    drop(wal);
    assert_eq!(verified(&shop, "a", &[]).2, 0);
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let Some(shop) = workshop() else { return };
    let mut settings = config(&shop.path("a"));
    settings.segment_size = 4 << 20;
    closed_log(settings, 6000);
    for format in ["text", "json", "hex"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["log", "dump", "a", "--format", format])
            .current_dir(shop.path(""))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut start = [0; 64];
        child.stdout.take().expect("piped").read_exact(&mut start).expect("it prints");
        let ended = child.wait_with_output().expect("ends");
        assert!(ended.status.success() && ended.stderr.is_empty(), "{format}: {ended:?}");
    }
}
