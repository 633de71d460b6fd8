//! `plimsoll recommend` from outside: of a stored run, of one that supports no choice, and of a run
//! measured here; and the script that sweeps twice.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(missing_docs, reason = "tests are no interface")]
#![allow(dead_code, reason = "the sweep's tests use all of the support")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use plimsoll::SegmentedWalConfig;
use serde_json::Value;
use support::{Workshop, three_blocks};

/// The golden run, as version 1.0 wrote it: four configurations in nine blocks. Copied into `shop`.
fn golden(shop: &Workshop) -> PathBuf {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/golden/1.0");
    let run = shop.path("run");
    fs::create_dir(&run).expect("a folder");
    for name in support::names(&golden) {
        fs::copy(golden.join(&name), run.join(&name)).expect("copied");
    }
    run
}

/// Every file of a folder with what is in it.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for name in support::names(folder) {
        let path = folder.join(name);
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            let content = fs::read(&path).expect("read");
            found.push((path, content));
        }
    }
    found
}

#[test]
fn the_question_of_every_run_is_answered_as_report_answers_it() {
    let shop = Workshop::new();
    let run = golden(&shop);
    let ran = shop.run(&["recommend", "run"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for part in ["with c0", "Measured: ", "The front: ", "Before you rely on it:"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert_eq!(ran.stdout.lines().last(), Some("run/recommended.toml"));
    SegmentedWalConfig::from_profile(run.join("recommended.toml")).expect("settings that load");
    let recommended = contents(&run);
    let reported = shop.run(&["report", "run"]);
    assert_eq!(reported.code, 0, "{reported:?}");
    assert!(contents(&run) == recommended, "report makes something else");
    let quiet = shop.run(&["recommend", "run", "--quiet"]);
    assert_eq!((quiet.code, quiet.stdout.as_str()), (0, "run/recommended.toml\n"), "{quiet:?}");
}

#[test]
fn another_question_leaves_the_run_as_it_is() {
    let shop = Workshop::new();
    let run = golden(&shop);
    let before = contents(&run);
    let words = ["recommend", "run", "--objective", "p99", "--slo", "p99=60s"];
    let printed = shop.run(&words);
    assert_eq!(printed.code, 0, "{printed:?}");
    assert!(printed.stdout.contains("(p99, meeting p99=1min):"), "{}", printed.stdout);
    let words: Vec<&str> = words.iter().copied().chain(["--out", "own.toml", "--json"]).collect();
    let written = shop.run(&words);
    assert_eq!(written.code, 0, "{written:?}");
    let told: Value = serde_json::from_str(&written.stdout).expect("JSON");
    assert_eq!(told["asked"]["objective"], "p99", "{told}");
    assert!(told["front"].as_array().expect("a front").iter().any(|p| p["meets_slo"] == true));
    let own = fs::read_to_string(shop.path("own.toml")).expect("written");
    assert!(own.contains("# Asked for: p99 settings that meet p99=1min."), "{own}");
    SegmentedWalConfig::from_profile(shop.path("own.toml")).expect("settings that load");
    assert!(contents(&run) == before, "the run was changed");
}

/// The sample run, as it is committed: 64 configurations on a loud machine still have an answer.
#[test]
fn the_sample_run_is_answered_and_left_as_it_is() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results");
    let is_sample = |name: &String| name.contains("-quick-");
    let samples: Vec<String> = support::names(&results).into_iter().filter(is_sample).collect();
    assert_eq!(samples.len(), 1, "{samples:?}");
    let run = results.join(&samples[0]);
    let before = contents(&run);
    let shop = Workshop::new();
    let words = ["--slo", "p99=2ms", "--out", "own.toml"];
    let words: Vec<&str> =
        ["recommend", run.to_str().expect("UTF-8")].into_iter().chain(words).collect();
    let ran = shop.run(&words);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("configurations cannot be told from the best"), "{}", ran.stdout);
    assert!(ran.stdout.contains("this run cannot tell whether it matters"), "{}", ran.stdout);
    SegmentedWalConfig::from_profile(shop.path("own.toml")).expect("settings that load");
    assert!(contents(&run) == before, "the run was changed");
}

#[test]
fn what_is_missed_what_is_unknown_and_what_is_wrong_have_exit_codes_of_their_own() {
    let shop = Workshop::new();
    let run = golden(&shop);
    let missed = shop.run(&["recommend", "run", "--slo", "p50=1us", "--out", "own.toml"]);
    assert_eq!(missed.code, 1, "{missed:?}");
    assert!(missed.stdout.contains("miss p50=1us") && !shop.path("own.toml").exists());

    let journal = fs::read_to_string(run.join("journal.ndjson")).expect("journal");
    let two_blocks: String = journal
        .lines()
        .filter(|line| {
            let trial: Value = serde_json::from_str(line).expect("JSON");
            trial["block"].as_u64() < Some(2)
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    fs::write(run.join("journal.ndjson"), two_blocks).expect("written");
    let few = shop.run(&["recommend", "run"]);
    assert_eq!(few.code, 4, "{few:?}");
    assert!(few.stdout.contains("Only 2 of 9 planned blocks are complete"), "{}", few.stdout);
    assert!(few.stdout.contains("What would settle it:\n  Measure 1 block more"), "{}", few.stdout);
    assert!(!run.join("recommended.toml").exists());

    shop.run(&["recommend", "nowhere"]).assert_one_sentence(2, &["nowhere is not the folder"]);
    let wrong = shop.run(&["recommend", "run", "--slo", "p99"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
}

/// The script from end to end on this disk, with tiny sweeps: what it says and its exit code agree.
#[test]
fn the_script_sweeps_twice_and_says_whether_the_difference_is_inside_the_intervals() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let text = |name: &str| shop.path(name).to_str().expect("UTF-8").to_owned();
    let profile = three_blocks().replace("[\"blocking\", \"uring\"]", "[\"uring\", \"blocking\"]");
    fs::write(shop.path("profile.toml"), profile).expect("a profile");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/repeatability");
    let output = Command::new(script)
        .env("PLIMSOLL_BIN", env!("CARGO_BIN_EXE_plimsoll"))
        .env("PLIMSOLL_OUT", text("out"))
        .env("PLIMSOLL_TARGET", text("target"))
        .env("PLIMSOLL_PROFILE", text("profile.toml"))
        .env("PLIMSOLL_BLOCKS", "3")
        .output()
        .expect("runs");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    match output.status.code() {
        Some(0) => assert!(said.contains("no difference") || !said.contains("OUTSIDE"), "{said}"),
        Some(1) => assert!(said.contains("OUTSIDE"), "{said}{stderr}"),
        Some(4) => {
            assert!(stderr.contains("exit code 4") || said.contains("no interval"), "{said}");
        }
        code => panic!("{code:?}: {said}{stderr}"),
    }
    let refused = stderr.contains("exit code 4");
    assert!(refused || said.starts_with("The first sweep recommends c0"), "{said}{stderr}");
}
