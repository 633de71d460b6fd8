//! `plimsoll torture` from outside: a few seconds on the disk that the build is on, a log that is
//! damaged while it runs, and what a user can get wrong.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(missing_docs, reason = "tests are no interface")]
#![allow(dead_code, reason = "the sweep's tests use all of the support")]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use support::{Workshop, names, names_if_any};

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("the file");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn killed_processes_lose_nothing_and_the_directory_is_left_as_it_was() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    fs::create_dir(shop.path("disk")).expect("a directory that exists");
    fs::write(shop.path("disk/wal.meta"), "x").expect("somebody's file");
    let ran =
        shop.run(&["torture", "disk", "--seconds", "3", "--seed", "5", "--json", "found.json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(shop.names("disk"), ["wal.meta"], "nothing of ours, everything of theirs");
    assert!(ran.stderr.starts_with("seed 5\n"), "{}", ran.stderr);
    for part in ["processes killed", "seed 5", "none lost", "is no power cut", "plimsoll certify"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let found = json(&shop.path("found.json"));
    assert_eq!((&found["format"], &found["seed"]), (&"plimsoll-torture/1".into(), &5.into()));
    assert!(found["cycles"].as_u64() > Some(1), "{found}");
    assert!(found["acknowledged_records"].as_u64() > Some(10), "{found}");
    assert!(found["followed_records"].as_u64() > Some(10), "{found}");
    assert!(found["lost"].is_null(), "{found}");
}

#[test]
fn given_settings_are_used_in_every_cycle_and_the_directory_is_made_and_removed() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let settings = "[wal]\nsegment_size = \"128KiB\"\npipeline_depth = 2\n[run]\nother = 1\n";
    fs::write(shop.path("mine.toml"), settings).expect("settings");
    let ran = shop.run(&["torture", "a", "--seconds", "2", "--settings", "mine.toml", "--quiet"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_eq!(shop.names(""), ["mine.toml"]);
}

/// The control: whoever damages the log behind its back is noticed, and what is left is kept.
#[test]
fn a_log_that_is_damaged_meanwhile_is_told_and_kept() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let words = ["torture", "disk", "--seconds", "60", "--seed", "7", "--json", "found.json"];
    let torture = shop.start(&words);
    let ended = AtomicBool::new(false);
    let ran = thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                damage_logs(&shop.path("disk"));
                thread::sleep(Duration::from_millis(5));
            }
        });
        let ran = torture.finish();
        ended.store(true, Ordering::Relaxed);
        ran
    });
    assert_eq!(ran.code, 1, "{ran:?}");
    let sentence = ran.stderr.lines().last().expect("a sentence");
    for part in ["plimsoll: ", "(cycle ", "seed 7)", "was kept in "] {
        assert!(sentence.contains(part), "{part}: {sentence}");
    }
    let kept = Path::new(sentence.rsplit_once("kept in ").expect("a path").1);
    let log = names(kept).into_iter().find(|name| name.starts_with("log-") && !name.contains('.'));
    let log = kept.join(log.expect("a log"));
    assert!(names(&log).iter().any(|name| name.ends_with(".seg")), "{:?}", names(&log));
    let found = json(&shop.path("found.json"));
    assert!(sentence.ends_with(found["lost"].as_str().expect("a sentence")), "{found}");
}

fn damage_logs(target: &Path) {
    for scratch in names_if_any(target) {
        let scratch = target.join(scratch);
        for log in names_if_any(&scratch) {
            damage(&scratch.join(log));
        }
    }
}

/// Overwrites a block of the oldest of several segments.
fn damage(log: &Path) {
    let segments = names_if_any(log).into_iter();
    let segments: Vec<_> =
        segments.filter(|name| name.starts_with("wal-") && name.ends_with(".seg")).collect();
    if let [oldest, _, ..] = &segments[..]
        && let Ok(file) = fs::OpenOptions::new().write(true).open(log.join(oldest))
    {
        // It may be gone meanwhile.
        let _ = std::os::unix::fs::FileExt::write_all_at(&file, &[0x5a; 512], 4096);
    }
}

#[test]
fn an_interrupt_ends_it_with_the_summary() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let mut torture = shop.start(&["torture", "disk", "--seconds", "600"]);
    torture.wait_for_stderr("seed ");
    thread::sleep(Duration::from_millis(500));
    torture.interrupt();
    let ran = torture.finish();
    assert_eq!(ran.code, 130, "{ran:?}");
    assert!(ran.stdout.contains("processes killed"), "{ran:?}");
    assert_eq!(shop.names(""), [""; 0], "the directory was made and is gone");
}

/// A victim that outlived its program would fill the disk.
#[test]
fn a_victim_ends_with_the_program_that_started_it() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    fs::write(shop.path("s.toml"), "[wal]\nsegment_size = \"64KiB\"\n").expect("settings");
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.current_dir(shop.path("")).stdin(Stdio::piped()).stdout(Stdio::null());
    let words = "__commit --log log --settings s.toml --seed 1 --cycle 0 --clients 2 --truncate";
    let mut child = command.args(words.split(' ')).spawn().expect("starts");
    while !shop.path("log/wal.meta").exists() {
        assert!(child.try_wait().expect("a child").is_none(), "it runs while the pipe is held");
        thread::sleep(Duration::from_millis(1));
    }
    drop(child.stdin.take());
    assert!(child.wait().expect("ends").success());
}

#[test]
fn a_wrong_command_line_or_directory_is_told_and_nothing_is_left() {
    let shop = Workshop::new();
    fs::write(shop.path("file"), "x").expect("a file");
    fs::write(shop.path("bad.toml"), "[wal]\nbuffer_size = 3\n").expect("a file");
    shop.run(&["torture", "file/x"]).assert_one_sentence(2, &["file/x cannot be used"]);
    shop.run(&["torture", "d", "--settings", "bad.toml"])
        .assert_one_sentence(2, &["bad.toml:2:15", "4KiB to 64MiB"]);
    shop.run(&["torture", "d", "--settings", "none.toml"]).assert_one_sentence(2, &["none.toml"]);
    shop.run(&["torture", "d", "--json", "nowhere/f"])
        .assert_one_sentence(2, &["cannot write nowhere/f"]);
    assert_eq!(shop.names(""), ["bad.toml", "file"]);

    let Some(memory) = support::tmpfs() else { return };
    let target = memory.path().join("target");
    let ran = shop.run(&["torture", target.to_str().expect("UTF-8")]);
    ran.assert_one_sentence(3, &["target (tmpfs)", "O_DIRECT", "ext4"]);
    assert_eq!(names(memory.path()), [""; 0]);
}

#[test]
fn a_disk_that_is_too_small_is_no_loss() {
    let shop = Workshop::new();
    let Some(disk) = support::SmallDisk::mount(&shop.path(""), 16) else { return };
    let before = names(disk.path());
    fs::write(shop.path("large.toml"), "[wal]\nsegment_size = \"1GiB\"\n").expect("settings");
    let target = disk.path().to_str().expect("UTF-8");
    let ran = shop.run(&["torture", target, "--settings", "large.toml", "--quiet"]);
    ran.assert_one_sentence(3, &["space", "name another directory"]);
    assert_eq!(names(disk.path()), before);
}
