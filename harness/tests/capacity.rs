//! `plimsoll capacity` from outside: whole runs, and everything that a user can get wrong, on the disk
//! that the build is on. Where that disk does not allow a test, it says so.
//!
//! What a run finds is the machine's: one that is busy makes a generator late, and the run says so.
//! Which answer is right is for the tests under a simulated clock.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(missing_docs, reason = "tests are no interface")]
#![allow(dead_code, reason = "what is shared is for sweeps, too")]

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{Ran, Workshop};

/// Short, and with objectives that any disk keeps and that need a handful of batches.
const EASY: [&str; 14] = [
    "capacity",
    "--slo",
    "p50=10s",
    "--first-rate",
    "100",
    "--max-rate",
    "200",
    "--warmup-seconds",
    "0",
    "--probe-seconds",
    "0.3",
    "--confirm-seconds",
    "0.3",
    "--target=target",
];

fn capacity(shop: &Workshop, options: &[&str]) -> Ran {
    let words: Vec<&str> = EASY.iter().copied().chain(options.iter().copied()).collect();
    shop.run(&words)
}

/// The exit code is what the finding says, and none of a mistake.
fn assert_code_follows(ran: &Ran, analysis: &Value) {
    let codes: &[i32] = match analysis["finding"].as_str() {
        Some("carried") => &[0],
        Some("impossible") => &[1],
        Some("inconclusive") => &[4],
        _ => &[],
    };
    assert!(codes.contains(&ran.code), "{ran:?} {analysis}");
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_run_is_whole_verified_and_says_what_it_found() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let ran = capacity(&shop, &["--tbw", "600TB", "--seed", "5", "--tenants", "3"]);
    let run = shop.only_run();
    let names =
        ["analysis.json", "journal.ndjson", "manifest.json", "plots", "report.html", "trials"];
    assert_eq!(support::names(&run), names);
    let analysis = json(&run.join("analysis.json"));
    assert_code_follows(&ran, &analysis);
    assert!(!shop.path("target").exists(), "what was created is removed again");
    let report = ran.stdout.lines().last().expect("the report");
    assert!(run.join("report.html").ends_with(report), "{report}");
    assert!(
        ran.stdout.contains(
            analysis["answer"].as_str().expect("a text").split(' ').next().expect("a word")
        )
    );
    assert!(ran.stderr.starts_with("bracket"), "{}", ran.stderr);

    let journal = fs::read_to_string(run.join("journal.ndjson")).expect("journal");
    let trials: Vec<Value> =
        journal.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for trial in &trials {
        assert_ne!(trial["verdict"]["outcome"], "failed", "{trial}");
        assert!(trial["verified_records"].as_u64() >= trial["answered"].as_u64(), "{trial}");
        assert!(trial["answered"].as_u64() > Some(0), "{trial}");
    }
    let files = support::names(&run.join("trials/000-bracket"));
    assert_eq!(files, ["intervals.csv", "latency.hlog", "result.json"]);
    let hlog = fs::read_to_string(run.join("trials/000-bracket/latency.hlog")).expect("hlog");
    for part in ["service", "lag", "own-lag", "group-wait", "submit-to-complete"] {
        assert!(hlog.contains(&format!("Tag={part},")), "{part}: {hlog}");
    }
    let manifest = json(&run.join("manifest.json"));
    assert_eq!((&manifest["status"], &manifest["kind"]), (&"complete".into(), &"capacity".into()));
    assert_eq!(manifest["question"]["tbw_bytes"], 600_000_000_000_000_u64);
    check_that_a_report_makes_the_same_again(&shop, &run, ran.code);
}

fn check_that_a_report_makes_the_same_again(shop: &Workshop, run: &Path, code: i32) {
    let made = ["analysis.json", "report.html", "plots/load-latency.svg"];
    let contents = || made.map(|name| fs::read(run.join(name)).expect("made"));
    let before = contents();
    for name in made {
        fs::remove_file(run.join(name)).expect("removed");
    }
    let reported = shop.run(&["report", run.to_str().expect("UTF-8")]);
    assert_eq!(reported.code, code, "{reported:?}");
    assert!(contents() == before, "the same stored run gave another answer");
    let html = String::from_utf8(before[1].clone()).expect("UTF-8");
    for outside in ["src=\"http", "href=\"http", "url(http", "@import", "<link", "<script"] {
        assert!(!html.contains(outside), "the report needs the network: {outside}");
    }
}

#[test]
fn an_objective_that_no_disk_keeps_is_never_carried() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let words = "capacity --slo p50=1us --first-rate 10 --max-rate 10 --warmup-seconds 0 \
                 --probe-seconds 0.3 --target target --json";
    let words: Vec<&str> = words.split_whitespace().collect();
    let ran = shop.run(&words);
    let told: Value = serde_json::from_str(&ran.stdout).expect("nothing but JSON");
    assert_code_follows(&ran, &told);
    assert_ne!(told["finding"], "carried");
    assert_eq!(told, json(&shop.only_run().join("analysis.json")));
}

#[test]
fn a_trace_and_a_settings_file_are_measured_as_they_are() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    fs::write(
        shop.path("trace.csv"),
        "arrival_us,payload_bytes,tenant\n0,10,1\n5,3000,2\n9000,7\n",
    )
    .expect("a trace");
    fs::write(shop.path("tuned.toml"), "[wal]\nsegment_size = \"1MiB\"\nengine = \"blocking\"\n")
        .expect("a file");
    let ran = capacity(&shop, &["--trace", "trace.csv", "--config", "tuned.toml", "--quiet"]);
    assert_eq!((ran.stdout.lines().count(), ran.stderr.as_str()), (1, ""), "{ran:?}");
    assert_code_follows(&ran, &json(&shop.only_run().join("analysis.json")));
    let manifest = json(&shop.only_run().join("manifest.json"));
    assert_eq!(manifest["question"]["settings"]["segment_size"], "1MiB");
    assert_eq!(manifest["question"]["trace"]["records"], 3);
}

#[test]
fn a_dry_run_writes_nothing_and_mistakes_are_one_sentence() {
    let shop = Workshop::new();
    let planned = capacity(&shop, &["--dry-run", "--seed", "9"]);
    assert_eq!(planned.code, 0, "{planned:?}");
    for part in ["p50=10s", "at most", "Seed          9", "Nothing was written"] {
        assert!(planned.stdout.contains(part), "{part}: {}", planned.stdout);
    }
    assert_eq!(shop.names("."), [""; 0]);
    fs::write(shop.path("trace.csv"), "2,1\n1,1\n").expect("a file");
    let unsorted = capacity(&shop, &["--trace", "trace.csv"]);
    unsorted.assert_one_sentence(2, &["trace.csv", "line 2", "sort the trace"]);
    fs::write(shop.path("tuned.toml"), "[wal]\nsegment = 1\n").expect("a file");
    let unknown = capacity(&shop, &["--config", "tuned.toml"]);
    unknown.assert_one_sentence(2, &["tuned.toml", "segment"]);
}
