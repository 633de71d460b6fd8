//! `plimsoll log dump`: every byte is accounted for, and records are those of a replay.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::logs::{
    BLOCK, FIRST, closed_log, config, edit, fill, key_file, keys, killed_log, lines, number,
    replayed, segments, unhex, workshop,
};
use plimsoll::{Lsn, Preparation, SegmentedWal};
use serde_json::Value;

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
pub(crate) fn reassembled(text: &str) -> BTreeMap<String, Vec<u8>> {
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
