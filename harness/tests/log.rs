//! `plimsoll log` from outside, on logs that the library has written: plain and sealed, recycled, torn,
//! damaged, and beside a writer at work. Whatever is asked, no file changes.
#![allow(missing_docs, reason = "tests are no interface")]
#![allow(dead_code, reason = "the sweep's tests use all of the support")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

#[path = "log/dump.rs"]
mod dump;
#[path = "log/logs.rs"]
mod logs;
mod support;
#[path = "log/verify.rs"]
mod verify;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dump::reassembled;
use logs::{
    BLOCK, FIRST, closed_log, config, copy, edit, fill, json, key_file, keys, killed_log, number,
    record, replayed, segments, workshop,
};
use plimsoll::{Lsn, Preparation, SegmentedWal};
use serde_json::Value;
use verify::verified;

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
