//! `plimsoll log verify`: the verdict of an opening, by its row of the decision table.

use std::fs;

use crate::logs::{
    BLOCK, FIRST, closed_log, config, copy, edit, json, key_file, keys, killed_log, number,
    segments, workshop,
};
use crate::support::Workshop;
use serde_json::Value;

/// Verdict, row, exit code and a part of the reason.
pub(crate) fn verified(
    shop: &Workshop,
    name: &str,
    options: &[&str],
) -> (String, String, i32, Value) {
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
