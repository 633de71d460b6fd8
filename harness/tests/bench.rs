//! `plimsoll bench` from outside: one tiny round on the disk that the build is on, and what a user
//! can get wrong. Where that disk does not allow a test, it says so.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(missing_docs, reason = "tests are no interface")]
#![allow(dead_code, reason = "the sweep's tests use all of the support")]

mod support;

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Ran, Workshop};

const TINY: [&str; 6] = ["bench", "--against-ceiling", "--rounds", "1", "--seconds", "0.05"];

fn bench(shop: &Workshop, options: &[&str]) -> Ran {
    let words: Vec<&str> = TINY.iter().chain(options).copied().collect();
    shop.run(&words)
}

#[test]
fn a_tiny_round_prints_ratios_and_leaves_nothing_in_the_target() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    fs::create_dir(shop.path("target")).expect("a target that exists");
    fs::write(shop.path("target/precious"), "x").expect("somebody's file");
    let ran = bench(&shop, &["--only", "one", "--target", "target", "--json", "found.json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(shop.names("target"), ["precious"], "nothing of ours, everything of theirs");
    for part in [
        "- F0: ",
        "- bandwidth: ",
        "- engine, chosen by auto: ",
        "each with its own bytes at its own LSN",
        "- durable LSN never ahead of the device: looked up on the device ",
        "| one ",
        "≥ 0.970",
        "≤ 1.10",
        "context switches a commit",
        "Targets met: ",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert!(ran.stderr.starts_with("round 1 of 1: "), "{}", ran.stderr);

    let text = fs::read_to_string(shop.path("found.json")).expect("the file");
    let found: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (found["format"].as_str(), found["rounds"].as_u64()),
        (Some("plimsoll-bench/1"), Some(1))
    );
    let one = &found["cases"][1];
    assert_eq!(one["name"], "one");
    let rates = [0, 1].map(|arm| one["arms"][arm]["samples"][0]["rate_per_second"].as_f64());
    let [Some(bare), Some(log)] = rates else { panic!("{one}") };
    let ratio = one["comparisons"][0]["median"].as_f64().expect("a ratio");
    assert!(bare > 0.0 && (ratio - log / bare).abs() < 1e-9, "{one}");
    let sample = &one["arms"][1]["samples"][0];
    assert!(sample["verified_records"].as_u64() > Some(0), "{one}");
    assert!(sample["durable_checks"].as_u64() > Some(0), "{one}");
    let targets = &found["targets"];
    let listed = ["missed", "unknown"].map(|kind| targets[kind].as_array().map_or(0, Vec::len));
    let met = targets["met"].as_u64().expect("a count");
    assert_eq!(met + (listed[0] + listed[1]) as u64, 4, "{targets}");
}

#[test]
fn a_commit_in_the_steady_state_allocates_nothing_and_nothing_of_the_log_is_cached() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let words = "bench --against-ceiling --rounds 3 --seconds 0.2 --only steady --json found.json";
    let ran = shop.run(&words.split(' ').collect::<Vec<_>>());
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = fs::read_to_string(shop.path("found.json")).expect("the file");
    let found: Value = serde_json::from_str(&text).expect("JSON");
    let arms = found["cases"][1]["arms"].as_array().expect("arms");
    assert_eq!(arms.len(), 4, "{found}");
    for arm in &arms[..3] {
        let samples = arm["samples"].as_array().expect("samples");
        assert!(samples.iter().all(|sample| sample["commits"].as_u64() > Some(0)), "{arm}");
        // On a busy machine the thread that prepares segments may come late, and into a measured
        // time; what a commit allocates would be in all of them.
        assert!(samples.iter().any(|sample| sample["allocations"].as_u64() == Some(0)), "{arm}");
    }
    for sample in arms[3]["samples"].as_array().expect("samples") {
        match sample["page_cache_growth_bytes"].as_u64() {
            Some(bytes) => assert_eq!(bytes, 0, "{sample}"),
            None => println!("skipped: without fincore (util-linux) nobody sees the page cache"),
        }
    }
}

#[test]
fn every_kind_of_caller_and_engine_is_measured_with_and_without_a_key() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let ran = bench(&shop, &["--only", "owner1,owner256,engines,encrypted-4k"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for part in [
        "| owner1 ",
        "| owner256 ",
        "| engines ",
        "auto : the better, 4 in flight, beside load",
        "threads : AES or 0.70 disk, the lower",
        "tasks : one core's AES",
        "from huge pages",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
}

#[test]
fn truncated_logs_and_busy_processes_are_measured_and_leave_nothing_either() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let ran = bench(&shop, &["--only", "rollover,busy", "--target", "made"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for part in ["| busy ", "beside load : without", "| rollover ", "- truncated logs: "] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert_eq!(shop.names(""), [""; 0], "the target was made and is gone");
}

#[test]
fn a_disk_too_small_for_the_fastest_log_is_refused_and_nothing_is_left() {
    let shop = Workshop::new();
    let Some(disk) = support::SmallDisk::mount(&shop.path(""), 64) else { return };
    let before = support::names(disk.path());
    let target = disk.path().join("target");
    let ran = bench(&shop, &["--target", target.to_str().expect("UTF-8")]);
    ran.assert_one_sentence(3, &["a log as fast as this disk needs", "free some"]);
    assert_eq!(support::names(disk.path()), before);
}

/// Orphans would keep every core of the machine busy for good.
#[test]
fn a_busy_process_ends_with_the_program_that_started_it() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    let mut child = command.arg("__spin").stdin(Stdio::piped()).spawn().expect("starts");
    assert!(child.try_wait().expect("a child").is_none(), "it runs while somebody holds the pipe");
    drop(child.stdin.take());
    assert!(child.wait().expect("ends").success());
}

#[test]
fn a_wrong_command_line_or_target_is_told_and_nothing_is_left() {
    let shop = Workshop::new();
    fs::write(shop.path("file"), "x").expect("a file");
    bench(&shop, &["--target", "file/x"])
        .assert_one_sentence(2, &["file/x cannot be measured in", "--target"]);
    bench(&shop, &["--json", "nowhere/found.json"])
        .assert_one_sentence(2, &["cannot write nowhere/found.json"]);
    assert_eq!(bench(&shop, &["--only", "two"]).code, 2);
    assert_eq!(shop.names(""), ["file"]);

    let Some(memory) = support::tmpfs() else { return };
    let target = memory.path().join("target");
    let ran = bench(&shop, &["--target", target.to_str().expect("UTF-8")]);
    ran.assert_one_sentence(3, &["target (tmpfs)", "O_DIRECT", "--target"]);
    assert_eq!(support::names(memory.path()), [""; 0]);
}
