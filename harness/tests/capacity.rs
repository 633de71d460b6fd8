//! `plimsoll capacity` from outside: an answer, no answer, and everything that a user can get wrong,
//! on the disk that the build is on. Where that disk does not allow a test, it says so.
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

/// Whether the machine was too busy to make the load at all, which `capacity` has to say.
fn was_too_busy(ran: &Ran) -> bool {
    let busy = ran.code == 4 && ran.stdout.contains("the generator was late by itself");
    if busy {
        println!("skipped: the machine is too busy: {}", ran.stdout);
    }
    busy
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn an_easy_objective_is_carried_and_the_run_is_whole() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let ran = capacity(&shop, &["--tbw", "600TB", "--seed", "5", "--tenants", "3"]);
    if was_too_busy(&ran) {
        return;
    }
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!shop.path("target").exists(), "what was created is removed again");
    let run = shop.only_run();
    let names =
        ["analysis.json", "journal.ndjson", "manifest.json", "plots", "report.html", "trials"];
    assert_eq!(support::names(&run), names);
    assert!(ran.stdout.contains("Advised         140 /s, 70 % of it"), "{}", ran.stdout);
    assert_eq!(ran.stdout.lines().last(), Some(run.join("report.html").to_str().expect("UTF-8")));
    assert!(ran.stderr.contains("confirm"), "{}", ran.stderr);

    let journal = fs::read_to_string(run.join("journal.ndjson")).expect("journal");
    let trials: Vec<Value> =
        journal.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let phases: Vec<&str> = trials.iter().filter_map(|trial| trial["phase"].as_str()).collect();
    assert_eq!(phases, ["bracket", "bracket", "confirm", "confirm", "confirm"]);
    for trial in &trials {
        assert_eq!(trial["verdict"]["outcome"], "met", "{trial}");
        assert!(trial["verified_records"].as_u64() >= trial["answered"].as_u64(), "{trial}");
    }
    let files = support::names(&run.join("trials/002-confirm"));
    assert_eq!(files, ["intervals.csv", "latency.hlog", "result.json"]);
    let hlog = fs::read_to_string(run.join("trials/002-confirm/latency.hlog")).expect("hlog");
    for part in ["service", "lag", "own-lag", "group-wait", "submit-to-complete"] {
        assert!(hlog.contains(&format!("Tag={part},")), "{part}: {hlog}");
    }

    let analysis = json(&run.join("analysis.json"));
    assert_eq!(analysis["finding"], "carried");
    assert!(analysis["life_years_advised"].as_f64() > Some(0.0), "{analysis}");
    assert_eq!(json(&run.join("manifest.json"))["question"]["tbw_bytes"], 600_000_000_000_000_u64);
    check_that_a_report_makes_the_same_again(&shop, &run);
}

fn check_that_a_report_makes_the_same_again(shop: &Workshop, run: &Path) {
    let made = ["analysis.json", "report.html", "plots/load-latency.svg"];
    let contents = || made.map(|name| fs::read(run.join(name)).expect("made"));
    let before = contents();
    for name in made {
        fs::remove_file(run.join(name)).expect("removed");
    }
    let reported = shop.run(&["report", run.to_str().expect("UTF-8")]);
    assert_eq!(reported.code, 0, "{reported:?}");
    assert!(contents() == before, "the same stored run gave another answer");
    let html = String::from_utf8(before[1].clone()).expect("UTF-8");
    for outside in ["src=\"http", "href=\"http", "url(http", "@import", "<link", "<script"] {
        assert!(!html.contains(outside), "the report needs the network: {outside}");
    }
}

#[test]
fn an_objective_that_no_disk_keeps_is_impossible_even_at_the_lowest_rate() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let words = "capacity --slo p50=1us --first-rate 10 --max-rate 10 --warmup-seconds 0 \
                 --probe-seconds 0.3 --target target --json";
    let words: Vec<&str> = words.split_whitespace().collect();
    let ran = shop.run(&words);
    let told: Value = serde_json::from_str(&ran.stdout).expect("nothing but JSON");
    if ran.code == 4 {
        // On a machine too busy to make the load nothing is impossible, either.
        assert_eq!(told["finding"], "inconclusive", "{told}");
        assert!(told["answer"].as_str().is_some_and(|text| text.contains("quieter machine")));
        return;
    }
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(told["finding"], "impossible");
    assert!(told["answer"].as_str().is_some_and(|text| text.starts_with("Even 10.0 /s miss")));
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
    assert_eq!(ran.stdout.lines().count(), 1, "{ran:?}");
    assert_eq!(ran.stderr, "");
    let run = shop.only_run();
    if ran.code != 0 {
        // Even a machine that is too busy to answer measures the right thing.
        let reported = shop.run(&["report", run.to_str().expect("UTF-8")]);
        assert!(was_too_busy(&reported), "{ran:?}, {reported:?}");
    }
    let manifest = json(&run.join("manifest.json"));
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
