//! `compare` and `history` from the command line, on the committed sample run and changed copies of
//! it: what they say, which files they write, and every exit code.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(missing_docs, reason = "tests are no interface")]

#[allow(dead_code, reason = "shared with tests that need more of it")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::Workshop;

/// The golden run: four configurations in nine blocks.
fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/golden/1.0")
}

/// A copy of the golden run in `folder`, its manifest changed, and all its speeds multiplied.
fn copy(folder: &Path, speed: f64, change: impl Fn(&mut Value)) {
    fs::create_dir_all(folder).expect("a folder");
    let text = fs::read_to_string(golden().join("manifest.json")).expect("a manifest");
    let mut manifest: Value = serde_json::from_str(&text).expect("JSON");
    change(&mut manifest);
    fs::write(folder.join("manifest.json"), manifest.to_string()).expect("written");
    let journal = fs::read_to_string(golden().join("journal.ndjson")).expect("a journal");
    let trial = |line: &str| {
        let mut trial: Value = serde_json::from_str(line).expect("JSON");
        let mut scale = |pointer: &str, by: f64| {
            let value = trial.pointer_mut(pointer).expect("a number");
            if let Some(number) = value.as_f64() {
                *value = json!(number * by);
            }
        };
        scale("/rate_per_second", speed);
        scale("/latency/p50_us", 1.0 / speed);
        scale("/latency/p99_us", 1.0 / speed);
        scale("/latency/p999_us", 1.0 / speed);
        format!("{trial}\n")
    };
    let journal: String = journal.lines().map(trial).collect();
    fs::write(folder.join("journal.ndjson"), journal).expect("written");
}

type Alteration = fn(&mut Value);

fn build(commit: &str) -> impl Fn(&mut Value) {
    let version = format!("0.1.0 ({commit}) release");
    move |manifest| manifest["environment_before"]["plimsoll_version"] = json!(version)
}

#[test]
fn equal_runs_pass_and_a_halved_rate_is_suspected_then_confirmed() {
    let shop = Workshop::new();
    copy(&shop.path("base"), 1.0, build("aaa"));
    copy(&shop.path("same"), 1.0, build("bbb"));
    copy(&shop.path("slow"), 0.5, build("ccc"));
    copy(&shop.path("again"), 0.52, build("ccc"));

    let pass = shop.run(&["compare", "base", "same"]);
    assert_eq!((pass.code, pass.stderr.as_str()), (0, ""), "{pass:?}");
    assert!(pass.stdout.starts_with("No regression: rate of all configurations 0.0 %"), "{pass:?}");
    assert!(pass.stdout.contains("plimsoll_version: 0.1.0 (aaa) release -> 0.1.0 (bbb) release"));

    let silent = shop.run(&["compare", "base", "same", "--quiet"]);
    assert_eq!((silent.code, silent.stdout.as_str()), (0, ""), "{silent:?}");
    let told = shop.run(&["compare", "base", "same", "--json"]);
    assert_eq!(told.stdout, shop.run(&["compare", "base", "same", "--format", "json"]).stdout);
    assert!(serde_json::from_str::<Value>(&told.stdout).is_ok(), "{told:?}");

    let suspected = shop.run(&["compare", "base", "slow"]);
    assert_eq!(suspected.code, 4, "{suspected:?}");
    assert!(suspected.stdout.starts_with("Suspected regression: rate of all configurations -50"));
    assert!(suspected.stdout.contains("--confirm"), "{suspected:?}");

    let confirmed = shop.run(&["compare", "base", "slow", "--confirm", "again"]);
    assert_eq!(confirmed.code, 1, "{confirmed:?}");
    assert!(confirmed.stdout.starts_with("Regression: rate of all configurations -50.0 %"));

    let unconfirmed = shop.run(&["compare", "base", "slow", "--confirm", "same"]);
    unconfirmed.assert_one_sentence(2, &["same is to repeat slow"]);
    copy(&shop.path("fine"), 1.0, build("ccc"));
    let unconfirmed = shop.run(&["compare", "base", "slow", "--confirm", "fine"]);
    assert_eq!(unconfirmed.code, 4, "{unconfirmed:?}");
    assert!(unconfirmed.stdout.starts_with("Not confirmed: "), "{unconfirmed:?}");
}

#[test]
fn a_lost_record_ends_with_1_whatever_the_speed() {
    let shop = Workshop::new();
    copy(&shop.path("base"), 1.0, |_| ());
    copy(&shop.path("lossy"), 2.0, |_| ());
    let journal = shop.path("lossy/journal.ndjson");
    let text = fs::read_to_string(&journal).expect("a journal");
    let failed = r#"{"outcome":"failed","reason":"record 7 is missing"}"#;
    fs::write(&journal, text.replacen(r#"{"outcome":"ok"}"#, failed, 2)).expect("written");
    let ran = shop.run(&["compare", "base", "lossy"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.starts_with("Broken: ") && ran.stdout.contains("record 7 is missing"));
}

#[test]
fn another_machine_profile_or_schema_is_refused_unless_forced() {
    let shop = Workshop::new();
    copy(&shop.path("base"), 1.0, |_| ());
    let changes: [(&str, Alteration); 4] = [
        ("hostname", |m| m["environment_before"]["hostname"] = json!("other")),
        ("device_serial_hash", |m| m["environment_before"]["device_serial_hash"] = json!("0123")),
        ("plan", |m| m["plan"]["configurations"][1]["settings"]["clients"] = json!(64)),
        ("schema_version", |m| m["schema_version"] = json!("1.9")),
    ];
    for (what, change) in changes {
        copy(&shop.path(what), 1.0, change);
        let refused = shop.run(&["compare", "base", what]);
        refused.assert_one_sentence(3, &["are not alike", what, "--force"]);
        let forced = shop.run(&["compare", "base", what, "--force"]);
        assert_eq!(forced.code, 0, "{what}: {forced:?}");
        assert!(forced.stdout.contains(&format!("{what}: ")), "it is told: {forced:?}");
    }
    let unlike = shop.run(&["compare", "base", "plan", "--force"]);
    assert!(unlike.stdout.contains("All 3 configurations"), "{unlike:?}");

    // One that cannot be read cannot be forced.
    copy(&shop.path("newer"), 1.0, |m| m["schema_version"] = json!("2.0"));
    for words in [&["compare", "base", "newer"][..], &["compare", "base", "newer", "--force"]] {
        shop.run(words).assert_one_sentence(3, &["newer/manifest.json", "\"2.0\""]);
    }
    shop.run(&["history", "."]).assert_one_sentence(3, &["\"2.0\""]);
}

#[test]
fn what_is_no_run_is_a_matter_of_usage() {
    let shop = Workshop::new();
    copy(&shop.path("base"), 1.0, |_| ());
    fs::create_dir(shop.path("empty")).expect("a folder");
    shop.run(&["compare", "base", "nowhere"]).assert_one_sentence(2, &["nowhere"]);
    shop.run(&["compare", "empty", "base"]).assert_one_sentence(2, &["neither a run nor"]);
    shop.run(&["history", "empty"]).assert_one_sentence(2, &["holds no runs"]);
    let unwritable = shop.run(&["compare", "base", "base", "--write", "json=no/such/file"]);
    unwritable.assert_one_sentence(2, &["cannot write no/such/file"]);
    fs::write(shop.path("base/journal.ndjson"), "{}\n").expect("written");
    shop.run(&["compare", "base", "base"]).assert_one_sentence(2, &["journal.ndjson, line 1"]);
}

#[test]
fn every_format_is_written_twice_the_same() {
    let shop = Workshop::new();
    copy(&shop.path("base"), 1.0, build("aaa"));
    copy(&shop.path("slow"), 0.9, build("bbb"));
    let formats =
        ["text", "markdown", "json", "junit", "github-bigger", "github-smaller", "bencher"];
    let written = |run: &str| -> Vec<Vec<u8>> {
        let files = formats.map(|format| format!("{format}={run}-{format}"));
        let mut words = vec!["compare", "base", "slow"];
        words.extend(files.iter().flat_map(|file| ["--write", file.as_str()]));
        assert_eq!(shop.run(&words).code, 4);
        formats
            .map(|format| fs::read(shop.path(&format!("{run}-{format}"))).expect("file"))
            .to_vec()
    };
    let first = written("a");
    assert!(first == written("b"), "the same runs gave another answer");
    for (format, content) in
        formats.iter().zip(&first).filter(|(f, _)| !matches!(**f, "text" | "markdown" | "junit"))
    {
        let parsed: Value = serde_json::from_slice(content).expect(format);
        assert!(parsed.is_object() || parsed.is_array(), "{format}");
    }
    let printed = shop.run(&["compare", "base", "slow", "--format", "junit"]);
    assert_eq!(printed.stdout.as_bytes(), first[3]);
}

#[test]
fn a_history_finds_the_night_and_leaves_other_machines_out() {
    let shop = Workshop::new();
    for night in 0..30 {
        // A little of everybody's noise, and from the twentieth night on a tenth slower.
        let wobble = 1.0 + f64::from(night * 7 % 11) * 0.002;
        let speed = if night < 20 { wobble } else { 0.9 * wobble };
        copy(&shop.path(&format!("nights/{night:02}")), speed, |manifest| {
            manifest["started_utc"] = json!(format!("2026-06-{:02}T02:00:00Z", night + 1));
            build(&format!("commit{night}"))(manifest);
        });
    }
    copy(&shop.path("nights/other"), 1.0, |manifest| {
        manifest["started_utc"] = json!("2026-01-01T02:00:00Z");
        manifest["environment_before"]["hostname"] = json!("other");
    });
    let words = ["history", "nights", "--write", "otava=history.csv", "--write"];
    let ran = shop.run(&[&words[..], &["otava-config=otava.yaml"]].concat());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.starts_with("Regression: rate of all configurations -9.9 %"), "{ran:?}");
    assert!(!ran.stdout.contains("engine=uring"), "each of them did what all did: {ran:?}");
    assert!(ran.stdout.contains("Look between 19 and 20"), "{ran:?}");
    assert!(ran.stdout.contains("1 of another profile or machine left out"), "{ran:?}");
    let csv = fs::read_to_string(shop.path("history.csv")).expect("a CSV");
    assert_eq!(csv.lines().count(), 31);
    let yaml = fs::read_to_string(shop.path("otava.yaml")).expect("a definition");
    let parsed = yaml_rust2::YamlLoader::load_from_str(&yaml).expect("YAML");
    let metrics = parsed[0]["tests"]["aa"]["metrics"].as_hash().expect("metrics");
    let header = csv.lines().next().expect("a header");
    let columns = [" rate-", " latency-", " device-"].map(|name| header.matches(name).count());
    assert_eq!(metrics.len(), columns.iter().sum::<usize>());

    // Three weeks later nobody is woken by it, and it is still told.
    let old = shop.run(&["history", "nights", "--recent", "5"]);
    assert_eq!(old.code, 0, "{old:?}");
    assert!(old.stdout.contains("worse, long ago"), "{old:?}");
}

#[test]
fn a_short_history_is_inconclusive() {
    let shop = Workshop::new();
    copy(&shop.path("nights/1"), 1.0, |_| ());
    let ran = shop.run(&["history", "nights"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stdout.starts_with("Inconclusive: 1 runs"), "{ran:?}");
}
