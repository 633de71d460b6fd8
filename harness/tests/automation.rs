//! What runs by night, checked by day: the script on a real disk, the unit files, the workflow.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(missing_docs, reason = "tests are no interface")]

#[allow(dead_code, reason = "shared with tests that need more of it")]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{TINY, Workshop};
use yaml_rust2::{Yaml, YamlLoader};

const PROGRAM: &str = env!("CARGO_BIN_EXE_plimsoll");

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

fn script() -> PathBuf {
    repository().join("scripts/nightly")
}

/// `scripts/nightly` with this build as both, in `shop`.
fn night(shop: &Workshop, rounds: &str, new: &str) -> Output {
    let profile = TINY.replace("blocks = 2", "blocks = 1");
    fs::write(shop.path("profile.toml"), profile).expect("a profile");
    Command::new(script())
        .env("PLIMSOLL_OUT", shop.path("out"))
        .env("PLIMSOLL_TARGET", shop.path("target"))
        .env("PLIMSOLL_PROFILE", shop.path("profile.toml"))
        .env("PLIMSOLL_ROUNDS", rounds)
        .env("PLIMSOLL_BASE_BIN", PROGRAM)
        .env("PLIMSOLL_NEW_BIN", new)
        .output()
        .expect("the script runs")
}

/// A build against itself on whatever disk this is: no regression can be confirmed but by chance,
/// and every report is there.
#[test]
fn a_night_of_the_same_build_leaves_reports_and_no_regression() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let night = night(&shop, "4", PROGRAM);
    let said = String::from_utf8_lossy(&night.stdout);
    let code = night.status.code().expect("no signal");
    assert!(code == 0 || code == 4, "{code}: {night:?}");
    assert!(said.contains("4 blocks") && said.contains("Measured in turns"), "{said}");
    let reports = shop.names("out/reports");
    for ending in [
        "Z.md",
        "Z.json",
        "Z.xml",
        "Z.bmf.json",
        "Z.bigger.json",
        "Z.smaller.json",
        "Z.history.md",
        "Z.history.xml",
        "history.csv",
        "history.html",
        "otava.yaml",
    ] {
        assert!(reports.iter().any(|name| name.ends_with(ending)), "{ending}: {reports:?}");
    }
    let blocks = |side: &str| {
        let nights = shop.names(&format!("out/{side}"));
        let runs = shop.names(&format!("out/{side}/{}", nights[0]));
        let kept = shop.names(&format!("out/{side}/{}/{}", nights[0], runs[0]));
        assert!(kept.contains(&"journal.ndjson".to_owned()) && !kept.contains(&"plots".to_owned()));
        (nights.len(), runs.len())
    };
    assert_eq!((blocks("base"), blocks("new")), ((1, 4), (1, 4)));
}

/// The control: a new build that cannot run at all ends the night with its error, not with a pass.
#[test]
fn a_build_that_cannot_run_is_no_pass() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    let broken = shop.path("broken");
    fs::write(&broken, "#!/bin/sh\nexit 3\n").expect("a script");
    fs::set_permissions(&broken, fs::Permissions::from_mode(0o755)).expect("executable");
    let night = night(&shop, "3", broken.to_str().expect("UTF-8"));
    assert_eq!(night.status.code(), Some(3), "{night:?}");
    assert!(!shop.path("out/reports").exists());
}

#[test]
fn the_units_are_what_systemd_takes() {
    let have = Command::new("systemd-analyze").arg("--version").output().is_ok();
    if !have {
        println!("skipped: there is no systemd-analyze");
        return;
    }
    // Where the units say the clone is, there is none here: let them name this one.
    let shop = Workshop::new();
    let here = repository();
    let mut units = Vec::new();
    for name in ["plimsoll-nightly.service", "plimsoll-nightly.timer"] {
        let text = fs::read_to_string(here.join("scripts/systemd").join(name)).expect("a unit");
        let text = text.replace("/srv/plimsoll", here.to_str().expect("UTF-8"));
        fs::write(shop.path(name), text).expect("written");
        units.push(shop.path(name));
    }
    let verify = |units: &[PathBuf]| {
        let verified = Command::new("systemd-analyze").arg("verify").args(units).output();
        verified.expect("systemd-analyze runs")
    };
    let found = verify(&units);
    let said = String::from_utf8_lossy(&found.stderr).into_owned();
    if !found.status.success() && !said.contains("plimsoll-nightly") {
        println!("skipped: systemd-analyze cannot verify here: {said}");
        return;
    }
    assert!(found.status.success() && !said.contains("plimsoll-nightly"), "{said}");
    // The control: an unknown setting is told.
    let text = fs::read_to_string(&units[1]).expect("the timer");
    fs::write(&units[1], text.replace("OnCalendar=", "OnCalender=")).expect("written");
    let found = verify(&units);
    assert!(String::from_utf8_lossy(&found.stderr).contains("OnCalender"), "{found:?}");
}

#[test]
fn the_workflow_is_yaml_and_runs_what_there_is() {
    let path = repository().join(".github/workflows/nightly.yml");
    let text = fs::read_to_string(path).expect("the workflow");
    let documents = YamlLoader::load_from_str(&text).expect("YAML");
    let job = &documents[0]["jobs"]["compare"];
    assert!(documents[0]["on"]["schedule"][0]["cron"].as_str().is_some());
    let steps = job["steps"].as_vec().expect("steps");
    let commands: Vec<&str> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
    assert!(commands.iter().any(|command| command.contains("scripts/nightly")), "{commands:?}");
    for command in commands {
        let checked = Command::new("bash").args(["-n", "-c", command]).output().expect("bash");
        assert!(checked.status.success(), "{command}: {checked:?}");
        for word in command.split_whitespace().filter(|word| word.starts_with("scripts/")) {
            let mode = fs::metadata(repository().join(word)).expect(word).permissions().mode();
            assert!(mode & 0o111 != 0, "{word} is not executable");
        }
    }
    // The settings it gives the script are settings that the script has.
    let script = fs::read_to_string(script()).expect("the script");
    let Yaml::Hash(variables) = &job["env"] else { panic!("no env") };
    for name in variables.keys().filter_map(|name| name.as_str()) {
        assert!(name == "BASE" || script.contains(&format!("{{{name}:-")), "{name}");
    }
}
