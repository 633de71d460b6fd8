//! The program from outside: tiny sweeps on the disk that the build is on, and everything that a
//! user can get wrong. Where that disk, or the user's rights, do not allow a test, it says so.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(missing_docs, reason = "tests are no interface")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use plimsoll::{Record, RecordKind, SegmentedWal, SegmentedWalConfig};
use serde_json::Value;
use support::{Ran, TINY, Workshop, three_blocks};

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_tiny_sweep_leaves_a_whole_run_and_an_empty_target() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    fs::create_dir(shop.path("target")).expect("a target that exists");
    fs::write(shop.path("target/precious"), "x").expect("somebody's file");
    let ran = shop.sweep(&three_blocks(), &["--seed", "5"]);
    // On a disk that nothing can be told of, nothing is recommended.
    let recommends = ran.code == 0;
    assert!(
        recommends || (ran.code == 4 && ran.stdout.contains("What would settle it")),
        "{ran:?}"
    );
    assert_eq!(shop.names("target"), ["precious"], "nothing of ours, everything of theirs");

    let run = shop.only_run();
    let names = [
        "analysis.json",
        "journal.ndjson",
        "manifest.json",
        "plots",
        "recommended.toml",
        "report.html",
        "summary.csv",
        "trials",
    ];
    let expected: Vec<&str> =
        names.into_iter().filter(|name| recommends || *name != "recommended.toml").collect();
    assert_eq!(support::names(&run), expected);
    assert_eq!(ran.stdout.lines().last(), Some(run.join("report.html").to_str().expect("UTF-8")));
    assert!(ran.stderr.contains("block 3 of 3: 4 trials in "), "{}", ran.stderr);

    let manifest = json(&run.join("manifest.json"));
    assert_eq!(manifest["status"], "complete");
    assert_eq!(manifest["plan"]["seed"], 5);
    assert!(manifest["ceiling"]["durable_writes_per_second"].as_f64() > Some(0.0));
    assert!(manifest["environment_after"]["kernel"].is_string());
    check_trials(&run);
    check_report(&run);
    if recommends {
        check_recommendation(&shop, &run);
    }
}

/// Three blocks of two configurations between two sentinels, all measured and verified.
fn check_trials(run: &Path) {
    let journal = fs::read_to_string(run.join("journal.ndjson")).expect("journal");
    let trials: Vec<Value> =
        journal.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(trials.len(), 12);
    for trial in &trials {
        assert_eq!(trial["status"]["outcome"], "ok", "{trial}");
        assert!(trial["verified_records"].as_u64() >= trial["commits"].as_u64(), "{trial}");
        assert!(trial["commits"].as_u64() > Some(0), "{trial}");
    }
    for folder in ["c00/0", "c01/1", "c00-sentinel-0/0", "c00-sentinel-3/1"] {
        let folder = run.join("trials").join(folder);
        assert_eq!(support::names(&folder), ["intervals.csv", "latency.hlog", "result.json"]);
    }
    let intervals =
        fs::read_to_string(run.join("trials/c01/0/intervals.csv")).expect("intervals.csv");
    assert_eq!(intervals.lines().count(), 11, "{intervals}");
}

fn check_report(run: &Path) {
    let html = fs::read_to_string(run.join("report.html")).expect("report");
    assert!(html.contains("c01"), "it speaks of the run");
    for outside in ["src=\"http", "href=\"http", "url(http", "@import", "<link", "<script"] {
        assert!(!html.contains(outside), "the report needs the network: {outside}");
    }
}

fn check_recommendation(shop: &Workshop, run: &Path) {
    let config = SegmentedWalConfig::from_profile(run.join("recommended.toml")).expect("loads");
    let mut wal = SegmentedWal::open(config.in_dir(shop.path("log"))).expect("opens");
    let lsn = wal.append(&Record::new(RecordKind::PUT, b"tuned")).expect("appends");
    assert_eq!(wal.sync().expect("syncs"), lsn);
    wal.close().expect("closes");
}

#[test]
fn report_makes_the_same_again_and_refuses_what_is_no_run() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let swept = shop.sweep(&three_blocks(), &["--quiet"]);
    let run = shop.only_run();
    assert!([0, 4].contains(&swept.code), "{swept:?}");
    assert_eq!(swept.stdout.lines().count(), 1, "{swept:?}");
    assert_eq!(swept.stderr, "");
    let made = ["analysis.json", "recommended.toml", "report.html", "summary.csv"];
    let contents = || made.map(|name| fs::read(run.join(name)).ok());
    let before = contents();
    assert_eq!(before[1].is_some(), swept.code == 0, "settings are recommended or they are not");
    for name in made.iter().filter(|name| run.join(name).exists()) {
        fs::remove_file(run.join(name)).expect("removed");
    }
    let reported = shop.run(&["report", run.to_str().expect("UTF-8")]);
    assert_eq!(reported.code, swept.code, "{reported:?}");
    let told = shop.run(&["report", run.to_str().expect("UTF-8"), "--json"]);
    let answer: Value = serde_json::from_str(&told.stdout).expect("nothing but JSON");
    assert_eq!(answer["analysis"], json(&run.join("analysis.json")));
    assert!(contents() == before, "the same stored run gave another answer");

    let refused = shop.run(&["report", "nowhere"]);
    refused.assert_one_sentence(2, &["nowhere is not the folder of a run"]);
}

#[test]
fn a_dry_run_says_what_it_would_do_and_writes_nothing() {
    let shop = Workshop::new();
    let ran = shop.sweep(TINY, &["--dry-run", "--seed", "9"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    for part in ["8 (2 configurations", "engine", "blocking, uring", "about", "Seed", "9"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert_eq!(shop.names(""), ["profile.toml"]);
}

#[test]
fn a_wrong_profile_is_told_with_its_place_and_what_is_allowed() {
    let shop = Workshop::new();
    for (good, bad, parts) in [
        ("engine =", "engin =", ["profile.toml:12:1: axes.engin", "did you mean `engine`"]),
        ("\"uring\"", "\"aio\"", ["profile.toml:12:23: axes.engine", "auto, uring, blocking"]),
        ("\"30ms\"", "\"30\"", ["profile.toml:6:9: run.trial", "allowed: "]),
        ("blocks = 2", "blocks = 2000", ["profile.toml:8:10: run.blocks", "1 to 50"]),
        ("[run]", "[run", ["profile.toml:5:", "not TOML"]),
    ] {
        let ran = shop.sweep(&TINY.replacen(good, bad, 1), &[]);
        ran.assert_one_sentence(2, &parts);
        assert_eq!(shop.names(""), ["profile.toml"], "nothing is left behind");
    }
    let missing = shop.run(&["sweep", "missing.toml"]);
    missing.assert_one_sentence(2, &["missing.toml: profile: cannot be read"]);
}

#[test]
fn a_target_or_results_folder_that_cannot_be_is_told_and_nothing_is_left() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    fs::write(shop.path("file"), "x").expect("a file");
    let target = shop.sweep_in(&shop.path("file/sub/dir"), &shop.path("results"), TINY, &[]);
    target.assert_one_sentence(2, &["file/sub/dir cannot be measured in", "--target"]);
    let out = shop.sweep_in(&shop.path("new/target"), &shop.path("file/results"), TINY, &[]);
    out.assert_one_sentence(2, &["cannot write", "file/results"]);
    assert_eq!(shop.names(""), ["file", "profile.toml"]);
    assert_eq!(fs::read_to_string(shop.path("file")).expect("untouched"), "x");
}

#[test]
fn a_target_in_memory_is_refused_and_nothing_is_left() {
    let Some(memory) = support::tmpfs() else { return };
    let shop = Workshop::new();
    let ran = shop.sweep_in(&memory.path().join("a/b"), &shop.path("results"), TINY, &[]);
    ran.assert_one_sentence(3, &["a/b (tmpfs)", "O_DIRECT", "--target"]);
    assert_eq!(support::names(memory.path()), [""; 0]);
    assert_eq!(shop.names(""), ["profile.toml"]);
}

#[test]
fn a_disk_too_small_for_the_plan_is_refused_and_nothing_is_left() {
    let shop = Workshop::new();
    let Some(disk) = support::SmallDisk::mount(&shop.path(""), 16) else { return };
    let before = support::names(disk.path());
    let ran = shop.sweep_in(&disk.path().join("target"), &shop.path("results"), TINY, &[]);
    ran.assert_one_sentence(3, &["the largest trial needs", "free some"]);
    assert_eq!(support::names(disk.path()), before);
    assert!(!shop.path("results").exists());
}

/// The disk fills up behind the checks' back: the trials fail, the run is kept, nothing panics.
#[test]
fn a_disk_that_fills_up_under_way_fails_the_trials_and_keeps_the_run() {
    let shop = Workshop::new();
    // Room for a trial at the speed of memory, which is what a loop device may have.
    let Some(disk) = support::SmallDisk::mount(&shop.path(""), 512) else { return };
    let many = TINY.replace("blocks = 2", "blocks = 50").replace("engine = ", "clients = [4, 8]#");
    let mut sweep = shop.spawn_in(&disk.path().join("target"), &shop.path("results"), &many);
    shop.wait_for_trials(1);
    disk.fill_while(|| sweep.wait_for_stderr("FAILED: "));
    let ran = sweep.finish();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("FAILED: ") && !ran.stderr.contains("panicked"), "{ran:?}");
    assert!(ran.stderr.contains("no space") || ran.stderr.contains("No space"), "{ran:?}");
    assert_eq!(json(&shop.only_run().join("manifest.json"))["status"], "failed");
    assert_eq!(support::names(&disk.path().join("target")), [""; 0]);
}

#[test]
fn the_first_interrupt_finishes_the_trial_and_reports() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let sweep = shop.spawn(&TINY.replace("blocks = 2", "blocks = 50"));
    shop.wait_for_trials(1);
    sweep.interrupt();
    let ran: Ran = sweep.finish();
    assert_eq!(ran.code, 130, "{ran:?}");
    let run: PathBuf = shop.only_run();
    assert_eq!(json(&run.join("manifest.json"))["status"], "interrupted");
    assert!(run.join("report.html").exists());
    assert_eq!(shop.names("target"), [""; 0]);
}

#[test]
fn the_second_interrupt_stops_at_once_and_cleans_up() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let long = TINY.replace("\"30ms\"", "\"10s\"");
    let mut sweep = shop.spawn(&long);
    shop.wait_for_a_log_under_load();
    sweep.interrupt();
    sweep.wait_for_stderr("press Ctrl-C again");
    sweep.interrupt();
    let ran = sweep.finish();
    assert_eq!(ran.code, 130, "{ran:?}");
    let journal = fs::read(shop.only_run().join("journal.ndjson")).expect("journal");
    assert!(journal.is_empty(), "the trial was not waited for");
    assert_eq!(shop.names("target"), [""; 0]);
}
