//! `plimsoll log migrate` from outside: the samples of the old format, read back from the new log,
//! and what a user can get wrong.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(missing_docs, reason = "tests are no interface")]
#![allow(dead_code, reason = "the sweep's tests use all of the support")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use plimsoll::{KeyRing, LogRecord, Lsn, RecordKind, SegmentedWal, SegmentedWalConfig};
use serde_json::Value;
use support::{Ran, Workshop};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nodedb-wal-0.2.1").join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Everything in a log, as an opening and as a reader see it.
fn records(dir: &Path, keys: Option<&KeyRing>) -> Vec<LogRecord> {
    let reader = SegmentedWal::replay_from_dir(dir, keys, Lsn::NONE).expect("a log");
    reader.map(|record| record.expect("whole")).collect()
}

/// Held against the formula in the samples' README.
fn assert_genuine(record: &LogRecord) {
    let i = record.lsn().get() - 1;
    let kind = [0x8001, 0x8002, 30, 0x8064][usize::try_from(i % 4).expect("small")];
    let payload =
        (0..1 + (37 * i) % 900).map(|j| u8::try_from((31 * i + j) % 256).expect("a byte"));
    assert_eq!(record.kind(), RecordKind::new(kind), "LSN {}", record.lsn());
    assert_eq!((record.tenant(), record.database()), (i % 3, i % 2));
    assert_eq!(u64::from(record.vshard()), i % 5);
    assert_eq!(record.payload(), payload.collect::<Vec<_>>(), "LSN {}", record.lsn());
}

fn assert_all_fifty(dir: &Path, keys: Option<&KeyRing>) {
    let records = records(dir, keys);
    assert_eq!(records.len(), 50);
    for (lsn, record) in (1..).zip(&records) {
        assert_eq!(record.lsn().get(), lsn);
        assert_genuine(record);
    }
}

fn key_file(shop: &Workshop, name: &str, key: [u8; 32]) {
    fs::write(shop.path(name), key).expect("written");
    fs::set_permissions(shop.path(name), fs::Permissions::from_mode(0o600)).expect("changed");
}

fn old_key() -> [u8; 32] {
    std::array::from_fn(|i| u8::try_from(i).expect("32"))
}

/// Content and times of every file.
fn state(path: &Path) -> BTreeMap<PathBuf, (Vec<u8>, i64, i64)> {
    let paths = match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| entry.expect("an entry").path()).collect(),
        Err(_) => vec![path.to_owned()],
    };
    let of = |path: PathBuf| {
        let metadata = fs::metadata(&path).expect("there");
        let content = fs::read(&path).expect("readable");
        (path, (content, metadata.mtime(), metadata.mtime_nsec()))
    };
    paths.into_iter().map(of).collect()
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

#[test]
fn every_record_of_every_sample_is_in_the_new_log() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    key_file(&shop, "old.key", old_key());
    key_file(&shop, "new.key", [9; 32]);
    let ring = KeyRing::new(4, [9; 32]).expect("memory");
    for (sample, options, keys) in [
        ("single.wal", "", None),
        ("direct.wal", "", None),
        ("segments", "--new-key-file 4=new.key", Some(&ring)),
        ("encrypted", "--key-file old.key --new-key-file 4=new.key", Some(&ring)),
    ] {
        let before = state(&golden(sample));
        let old = golden(sample);
        let mut words = vec!["log", "migrate", text(&old), sample];
        words.extend(options.split_whitespace());
        let ran = shop.run(&words);
        assert_eq!((ran.code, ran.stderr.contains("comparing")), (0, true), "{sample}: {ran:?}");
        let said = "holds 50 records, LSN 1 to 50: every record of";
        assert!(ran.stdout.lines().last().is_some_and(|line| line.contains(said)), "{ran:?}");
        assert_all_fifty(&shop.path(sample), keys);
        assert_eq!(state(&golden(sample)), before, "OLD is only read");
        if keys.is_some() {
            let clear = SegmentedWal::replay_from_dir(shop.path(sample), None, Lsn::NONE);
            assert!(clear.map_or(true, |mut log| log.next().is_some_and(|next| next.is_err())));
        }
        // A log like any other: it is opened, goes on behind the last record, and is read again.
        let mut config = SegmentedWalConfig::new(shop.path(sample));
        config.keys = keys.cloned();
        let mut wal = SegmentedWal::open(config).expect("opens");
        assert_eq!(
            wal.append(&plimsoll::Record::new(RecordKind::PUT, &b"51"[..])).expect("51").get(),
            51
        );
        wal.close().expect("closes");
    }
    assert!(shop.names("").iter().all(|name| !name.ends_with(".partial")));
}

#[test]
fn what_is_missing_is_told_and_the_others_keep_their_lsns() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    fs::create_dir(shop.path("old")).expect("a folder");
    for entry in fs::read_dir(golden("segments")).expect("the sample") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, shop.path("old").join(path.file_name().expect("a name"))).expect("copied");
    }
    let segment = |lsn: u64| shop.path("old").join(format!("wal-{lsn:020}.seg"));
    let mut first = fs::read(segment(1)).expect("there");
    first[200] ^= 1;
    fs::write(segment(1), first).expect("written");
    fs::remove_file(segment(21)).expect("removed");
    fs::write(shop.path("old/notes.txt"), "x").expect("written");

    let ran = shop.run(&["log", "migrate", "old", "new", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""), "{ran:?}");
    let report = json(&ran);
    assert_eq!(report["format"], "plimsoll-migrate/1");
    assert_eq!(
        (&report["verdict"], &report["ignored"][0]),
        (&"missing".into(), &"notes.txt".into())
    );
    let holes = report["log"]["holes"]["listed"].as_array().expect("holes");
    let range = |hole: &Value| (hole["first_lsn"].as_u64(), hole["last_lsn"].as_u64());
    assert_eq!(
        holes.iter().map(range).collect::<Vec<_>>(),
        [(Some(3), Some(3)), (Some(21), Some(38))]
    );
    assert!(holes[0]["why"].as_str().is_some_and(|why| why.contains("at byte 147")), "{report}");
    let read = records(&shop.path("new"), None);
    assert_eq!(read.len(), 50);
    for record in &read {
        if record.lsn().get() == 3 || (21..39).contains(&record.lsn().get()) {
            assert_eq!((record.kind(), record.payload()), (RecordKind::NOOP, &b""[..]));
        } else {
            assert_genuine(record);
        }
    }

    let ran = shop.run(&["log", "migrate", "old", "dense", "--renumber"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for part in ["LSN 1 to 2 became 1 to 2", "LSN 39 to 50 became 20 to 31", "19 records of old"] {
        assert!(ran.stdout.contains(part), "{part}: {ran:?}");
    }
    let kinds: Vec<_> = records(&shop.path("dense"), None).iter().map(LogRecord::kind).collect();
    assert!(kinds.len() == 31 && !kinds.contains(&RecordKind::NOOP));
}

#[test]
fn an_end_that_is_not_whole_is_doubt_and_no_more() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let content = fs::read(golden("single.wal")).expect("a sample");
    fs::write(shop.path("old"), &content[..content.len() - 3]).expect("written");
    let ran = shop.run(&["log", "migrate", "old", "new"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stdout.contains("the end of the file cuts off"), "{ran:?}");
    assert!(ran.stdout.contains("LSN 1 to 49") && ran.stdout.contains("cannot be told"), "{ran:?}");
    assert_eq!(shop.run(&["log", "migrate", "old", "quiet", "-q"]).stdout, "");
}

#[test]
fn whatever_is_refused_leaves_nothing_behind() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    key_file(&shop, "old.key", old_key());
    key_file(&shop, "wrong.key", [1; 32]);
    fs::write(shop.path("open.key"), old_key()).expect("written");
    fs::set_permissions(shop.path("open.key"), fs::Permissions::from_mode(0o644)).expect("changed");
    fs::create_dir(shop.path("full")).expect("a folder");
    fs::write(shop.path("full/file"), "x").expect("written");
    fs::write(shop.path("garbage"), [0xa5; 9000]).expect("written");
    fs::write(shop.path("empty"), "").expect("written");
    let before = shop.names("");
    let (single, sealed) = (golden("single.wal"), golden("encrypted"));
    let (single, sealed) = (text(&single), text(&sealed));
    for (words, code, parts) in [
        (vec![sealed, "new"], 3, vec!["--key-file"]),
        (vec![sealed, "new", "--key-file", "old.key"], 3, vec!["--new-key-file", "--in-clear"]),
        (vec![sealed, "new", "--key-file", "wrong.key", "--in-clear"], 3, vec!["none of the 50"]),
        (vec![sealed, "new", "--key-file", "open.key"], 2, vec!["open.key", "chmod 600"]),
        (vec![single, "full"], 2, vec!["not empty"]),
        (vec![single, "a/b"], 2, vec!["create it first"]),
        (vec!["missing", "new"], 2, vec!["missing"]),
        (vec!["garbage", "new"], 3, vec!["no whole record was found in garbage"]),
        (vec!["empty", "new"], 3, vec!["no whole record"]),
        (vec!["full", "new"], 2, vec!["holds no segment"]),
    ] {
        let ran = shop.run(&[vec!["log", "migrate"], words, vec!["-q"]].concat());
        ran.assert_one_sentence(code, &parts);
    }
    assert_eq!(shop.names(""), before);
    fs::create_dir(shop.path("new.partial")).expect("what a killed one left");
    let ran = shop.run(&["log", "migrate", single, "new", "-q"]);
    ran.assert_one_sentence(3, &["new.partial", "remove it"]);
    assert!(shop.path("new.partial").exists(), "it may be under way");
}

#[test]
fn the_settings_of_the_new_log_can_be_given() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    key_file(&shop, "new.key", [9; 32]);
    let key = text(&shop.path("new.key")).to_owned();
    let settings =
        format!("[wal]\nsegment_size = \"16KiB\"\nkey_files = [{{ id = 3, path = \"{key}\" }}]\n");
    fs::write(shop.path("s.toml"), settings).expect("written");
    let single = golden("single.wal");
    let words = ["log", "migrate", text(&single), "new", "--settings", "s.toml", "-q"];
    assert_eq!(shop.run(&words).code, 0);
    assert_all_fifty(&shop.path("new"), Some(&KeyRing::new(3, [9; 32]).expect("memory")));
    let segments = shop.names("new").iter().filter(|name| name.ends_with(".seg")).count();
    assert!(segments > 2, "{:?}", shop.names("new"));
    let twice = [&words[..3], &["other"], &words[4..], &["--new-key-file", "new.key"]].concat();
    shop.run(&twice).assert_one_sentence(2, &["key_files", "give the keys once"]);
}
