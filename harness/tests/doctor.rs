//! `plimsoll doctor` from outside: on the disk that the build is on, on a loop device, and where no log
//! can be. Where the machine does not allow a test, it says so.
//!
//! On a machine that is busy the rounds of a measurement may contradict each other; that has an exit
//! code of its own, which is as good an answer here.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(missing_docs, reason = "tests are no interface")]
#![allow(dead_code, reason = "what is shared is for sweeps, too")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Ran, SmallDisk, Workshop};

/// What `--json` printed, after it was held against the schema.
fn document(ran: &Ran) -> Value {
    let document: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/doctor.schema.json");
    let schema = fs::read_to_string(path).expect("the schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("a JSON schema");
    let problems: Vec<String> = schema
        .iter_errors(&document)
        .map(|problem| format!("{}: {problem}", problem.instance_path()))
        .collect();
    assert!(problems.is_empty(), "{problems:#?}");
    document
}

fn kinds(document: &Value) -> Vec<&str> {
    let warnings = document["warnings"].as_array().expect("warnings");
    warnings.iter().filter_map(|told| told["warning"]["kind"].as_str()).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A place where a log can be is one, however much others disturb the measurement.
#[track_caller]
fn assert_usable(ran: &Ran, document: &Value) {
    let expected = if ran.code == 4 { "disturbed" } else { "usable" };
    assert!([0, 4].contains(&ran.code), "{ran:?}");
    assert_eq!(document["verdict"], expected);
}

#[test]
fn a_disk_is_examined_measured_and_left_as_it_was() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    fs::write(shop.path("precious"), "x").expect("somebody's file");
    let ran = shop.run(&["doctor", ".", "--json"]);
    assert_eq!(ran.stderr, "");
    let document = document(&ran);
    assert_usable(&ran, &document);
    let facts = &document["facts"];
    let measured = &facts["measured"];
    let f0 = measured["durable_writes_per_second"].as_f64().expect("F0");
    let window = document["advice"]["window_useless_from_per_second"].as_f64();
    assert!(f0 > 0.0 && window == Some(f0 / 2.0), "{document}");
    assert!(measured["flush"]["p50_us"].as_f64() > Some(0.0), "{measured}");
    assert!(measured["seconds"].as_f64() > Some(2.0), "three rounds: {measured}");
    assert_eq!(facts["log"]["answer"], "opens");
    assert!(["usable", "refused"].contains(&facts["io_uring"]["state"].as_str().expect("a state")));
    assert_eq!(shop.names(""), ["precious"], "nothing of ours, everything of theirs");
}

#[test]
fn a_directory_that_is_not_there_is_examined_by_its_parent_and_not_made() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let ran = shop.run(&["doctor", "not/yet", "--no-measure"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let first = ran.stdout.lines().next().expect("a line");
    assert!(first.contains("not/yet (not there yet; examined: "), "{first}");
    for part in ["Device ", "io_uring ", "Engine ", "Next: plimsoll sweep"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert!(!ran.stdout.contains("Measured"), "{}", ran.stdout);
    assert_eq!(shop.names(""), [""; 0]);

    let document = document(&shop.run(&["doctor", "not/yet", "--no-measure", "--json"]));
    assert!(document["facts"]["measured"].is_null());
    let quiet = shop.run(&["doctor", "not/yet", "--no-measure", "--quiet"]);
    assert_eq!(quiet.code, 0, "{quiet:?}");
    assert_eq!(quiet.stdout.lines().count(), 2 * kinds(&document).len(), "{quiet:?}");
}

#[test]
fn memory_is_refused_with_what_to_do_and_nothing_is_left() {
    let Some(memory) = support::tmpfs() else { return };
    let shop = Workshop::new();
    let ran = shop.run(&["doctor", text(memory.path()), "--json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let document = document(&ran);
    assert_eq!(document["verdict"], "refused");
    assert_eq!(document["class"]["class"], "memory");
    assert_eq!(kinds(&document)[0], "no_direct_io");
    let remedy = document["warnings"][0]["remedy"].as_str().expect("a remedy");
    assert!(remedy.contains("ext4"), "{remedy}");
    assert!(document["facts"]["measured"].is_null(), "nothing to measure where no log can be");
    assert_eq!(support::names(memory.path()), [""; 0]);
}

#[test]
fn a_loop_device_is_told_with_its_file_and_what_is_beneath() {
    let shop = Workshop::new();
    let Some(disk) = SmallDisk::mount(&shop.path(""), 128) else { return };
    let before = support::names(disk.path());
    let ran = shop.run(&["doctor", text(disk.path()), "--json"]);
    let examined = document(&ran);
    assert_usable(&ran, &examined);
    assert_eq!(examined["class"]["class"], "loop_file", "{}", examined["class"]);
    let layers = examined["facts"]["place"]["layers"].as_array().expect("layers");
    assert_eq!(layers[0]["device"]["kind"], "loop");
    let file = layers[0]["device"]["backing_file"].as_str().expect("a file");
    assert!(file.ends_with("disk.img"), "{file}");
    let through_cache = layers[0]["device"]["direct_io"] == false;
    assert_eq!(kinds(&examined).contains(&"loop_through_page_cache"), through_cache);
    // Of 128 MiB a log of the default size leaves nothing.
    assert!(kinds(&examined).contains(&"no_room_for_segments"), "{:?}", kinds(&examined));
    assert_eq!(support::names(disk.path()), before);

    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.path()).status();
    assert!(remounted.is_ok_and(|status| status.success()));
    let refused = shop.run(&["doctor", text(disk.path()), "--json"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert_eq!(kinds(&document(&refused))[0], "read_only");
}

#[test]
fn a_directory_that_may_not_be_written_to_is_refused() {
    let shop = Workshop::new();
    let closed = shop.path("closed");
    fs::create_dir(&closed).expect("a folder");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).expect("closed");
    let ran = if fs::write(closed.join("probe"), "x").is_err() {
        shop.run(&["doctor", "closed", "--json"])
    } else {
        // Root may write everywhere, and becomes somebody else for this.
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(shop.path(""), open).expect("the test's own folder");
        let Some(ran) = run_as_nobody(&["doctor", text(&closed), "--json"]) else {
            println!("skipped: root may write everywhere, and setpriv (util-linux) does not work");
            return;
        };
        ran
    };
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(kinds(&document(&ran))[0], "not_writable");
}

/// `None` where that is not possible.
fn run_as_nobody(words: &[&str]) -> Option<Ran> {
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let become_nobody = || {
        let mut command = Command::new("setpriv");
        command.args(nobody).current_dir("/");
        command
    };
    become_nobody().arg("true").status().ok().filter(ExitStatus::success)?;
    let program = env!("CARGO_BIN_EXE_plimsoll");
    let output = become_nobody().arg(program).args(words).output().ok()?;
    Some(Ran {
        code: output.status.code()?,
        stdout: String::from_utf8(output.stdout).ok()?,
        stderr: String::from_utf8(output.stderr).ok()?,
    })
}

#[test]
fn a_target_below_a_file_is_wrong_usage() {
    let shop = Workshop::new();
    fs::write(shop.path("file"), "x").expect("a file");
    let ran = shop.run(&["doctor", "file/sub/dir"]);
    ran.assert_one_sentence(2, &["file/sub/dir cannot be a directory", "is a file"]);
    assert_eq!(shop.names(""), ["file"]);
}

#[test]
fn an_interrupt_ends_it_and_leaves_nothing() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let examining = shop.start(&["doctor", "."]);
    let began = Instant::now();
    while !is_measuring(&shop) {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing is measured");
        thread::sleep(Duration::from_millis(2));
    }
    examining.interrupt();
    let ran = examining.finish();
    assert_eq!((ran.code, ran.stdout.as_str()), (130, ""), "{ran:?}");
    assert_eq!(shop.names(""), [""; 0]);
}

/// Whether the file that is written over is there.
fn is_measuring(shop: &Workshop) -> bool {
    let folders = support::names_if_any(&shop.path(""));
    let has_file = |folder: &String| {
        support::names_if_any(&shop.path(folder)).iter().any(|name| name == "ceiling")
    };
    folders.iter().any(has_file)
}
