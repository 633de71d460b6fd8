//! Sweeps of other loads than one size from threads: through the program, on the disk that the build
//! is on. What such a disk carries is not known, so that verdicts on its speed are not asserted.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(missing_docs, reason = "tests are no interface")]

#[allow(dead_code, reason = "shared with tests that need more of it")]
mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{TINY, Workshop};

/// The tiny profile with a load, and with other axes than its own.
fn profile(load: &str, axes: &str) -> String {
    TINY.replace("engine = [\"blocking\", \"uring\"]", axes) + "engine = \"blocking\"\n" + load
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

fn trials(run: &Path) -> Vec<Value> {
    let journal = fs::read_to_string(run.join("journal.ndjson")).expect("journal");
    journal.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("{name} of {value}"))
}

#[test]
fn sizes_tenants_and_tasks_are_run_and_stored() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let load = "[load]\ncallers = \"tasks\"\nrecord_sizes = \"mix:100B=50,1100B=50\"\ntenants = 9\n\
                compressible = \"50%\"\n";
    let profile = profile(load, "clients = [8]").replace("blocks = 2", "blocks = 3");
    let planned = shop.sweep(&profile, &["--dry-run"]);
    let told = "records of mix:100B=50,1100B=50 from 8 clients, each a task of one thread, of 9 \
                tenants, 50.0 % compressible";
    assert!(planned.stdout.contains(told), "{}", planned.stdout);

    let ran = shop.sweep(&profile, &["--seed", "5", "--quiet"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let run = shop.only_run();
    let stored = &json(&run.join("manifest.json"))["plan"]["load"];
    assert_eq!(stored["callers"], "tasks");
    assert_eq!((&stored["tenants"], &stored["compressible_ratio"]), (&9.into(), &0.5.into()));
    assert_eq!(stored["record_sizes"], "mix:100B=50,1100B=50");
    let trials = trials(&run);
    assert_eq!(trials.len(), 9, "three blocks of one configuration and two sentinels");
    for trial in &trials {
        assert_eq!(trial["status"]["outcome"], "ok", "{trial}");
        assert!(number(trial, "verified_records") >= number(trial, "commits"), "{trial}");
        let payload = 600.0 * number(trial, "rate_per_second");
        assert_eq!(number(trial, "payload_bytes_per_second"), payload, "{trial}");
    }
    let settings = fs::read_to_string(run.join("recommended.toml")).expect("recommended.toml");
    assert!(settings.replace("\n# ", " ").contains(told), "{settings}");
}

#[test]
fn arrivals_are_offered_measured_from_when_they_were_due_and_read_back() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    // The second is many times what any disk with a log of one record a batch could carry here.
    let profile = profile("", "rate = [\"2000/s\", \"1500000/s\"]");
    let ran = shop.sweep(&profile.replace("30ms", "100ms"), &["--seed", "5", "--quiet"]);
    assert!([0, 4].contains(&ran.code), "{ran:?}");
    let run = shop.only_run();
    let manifest = json(&run.join("manifest.json"));
    assert_eq!(manifest["plan"]["axes"][0]["levels"], serde_json::json!(["2000/s", "1500000/s"]));
    for trial in trials(&run) {
        let open = &trial["open"];
        let rate = number(open, "offered_rate_per_second");
        let (due, verified) = (number(open, "due"), number(&trial, "verified_records"));
        // Six standard deviations of a Poisson process.
        let expected = rate * 0.1;
        assert!((due - expected).abs() < 6.0 * expected.sqrt(), "{due} of {expected}");
        assert!(verified >= due, "what was late is read back too: {trial}");
        assert_eq!(open["backlog"].as_array().map(Vec::len), Some(11));
        assert!(number(&trial["latency"], "mean_us") >= number(&open["service"], "mean_us"));
        let overloaded = trial["status"]["outcome"] == "overloaded";
        assert!(overloaded || trial["config_id"] == "c00", "it cannot carry {rate}/s: {trial}");
    }
    let folder = run.join("trials/c00/0");
    assert_eq!(support::names(&folder), ["intervals.csv", "latency.hlog", "result.json"]);
    let latencies = fs::read_to_string(folder.join("latency.hlog")).expect("latencies");
    for part in ["service", "lag", "own-lag", "group-wait", "submit-to-complete"] {
        assert!(latencies.contains(&format!("Tag={part},")), "{part}");
    }
    let summary = fs::read_to_string(run.join("summary.csv")).expect("summary.csv");
    let row = summary.lines().find(|line| line.starts_with("c01,")).expect("a row for c01");
    assert!(row.contains("rate not kept"), "{row}");
    let report = fs::read_to_string(run.join("report.html")).expect("report.html");
    assert!(report.contains("rate not kept"), "the report says so");
    let reported = shop.run(&["report", run.to_str().expect("UTF-8")]);
    assert_eq!(reported.code, ran.code, "{reported:?}");
}

#[test]
fn a_trace_is_replayed_and_named_in_the_plan() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let lines: String = (0..40).map(|n| format!("{},{},{}\n", n * 500, 100 + n, n % 3)).collect();
    fs::write(shop.path("trace.csv"), lines).expect("a trace");
    let load = "[load]\ntrace = \"trace.csv\"\n";
    let profile = profile(load, "commit_window = [\"0us\", \"100us\"]");
    let ran = shop.sweep(&profile, &["--quiet"]);
    assert!([0, 4].contains(&ran.code), "{ran:?}");
    let run = shop.only_run();
    let plan = &json(&run.join("manifest.json"))["plan"];
    let trace = &plan["load"]["trace"];
    assert_eq!((&trace["records"], number(trace, "rate_per_second")), (&40.into(), 2_000.0));
    for trial in trials(&run) {
        // 30 ms at 2,000 a second.
        assert!((59.0..=61.0).contains(&number(&trial["open"], "due")), "{trial}");
        assert!(number(&trial, "verified_records") >= 59.0, "{trial}");
    }
}

#[test]
fn rounds_are_stored_with_their_verdict() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let profile =
        TINY.replace("trial = \"30ms\"", "round = \"20ms\"").replace("blocks = 2", "blocks = 1");
    let planned = shop.sweep(&profile, &["--dry-run"]);
    assert!(planned.stdout.contains("rounds of 0.02 s until 5 in a row"), "{}", planned.stdout);
    let ran = shop.sweep(&profile, &["--quiet"]);
    assert!([0, 4].contains(&ran.code), "{ran:?}");
    for trial in trials(&shop.only_run()) {
        let rounds = trial["rounds"].as_array().expect("rounds").len();
        assert!((5..=25).contains(&rounds), "{trial}");
        assert_eq!(trial["steadiness"]["rounds"], rounds, "{trial}");
        assert!((number(&trial, "measured_seconds") - 0.1).abs() < 1e-9, "{trial}");
        assert!(number(&trial, "verified_records") > 0.0, "{trial}");
        let verdict = trial["steadiness"]["verdict"].as_str().expect("a verdict");
        assert!(verdict == "steady" || (verdict == "transient" && rounds == 25), "{trial}");
    }
}

#[test]
fn a_trace_that_is_missing_is_told_in_one_sentence() {
    let shop = Workshop::new();
    let ran = shop.sweep(&profile("[load]\ntrace = \"none.csv\"\n", ""), &[]);
    ran.assert_one_sentence(2, &["load.trace", "none.csv", "arrival_us,payload_bytes"]);
    assert_eq!(shop.names(""), ["profile.toml"]);
}
