//! `plimsoll certify` from outside: a run's recommendation and a file of settings, shortly, and
//! what a user can get wrong.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]
#![allow(missing_docs, reason = "tests are no interface")]
#![allow(dead_code, reason = "the sweep's tests use all of the support")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use plimsoll::{SegmentedWalConfig, simulated::Sabotage};
use serde_json::Value;
use support::{Ran, Workshop, three_blocks};

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("the file");
    serde_json::from_str(&text).expect("JSON")
}

fn certify(shop: &Workshop, what: &str, seeds: &str, small_seeds: &str) -> Ran {
    shop.run(&["certify", what, "--seeds", seeds, "--small-seeds", small_seeds])
}

#[test]
fn a_recommendation_is_certified_and_its_report_shows_it() {
    let shop = Workshop::new();
    if shop.lacks_direct_io() {
        return;
    }
    // Without a choice: one configuration is recommended however noisy the disk is.
    let profile = three_blocks().replace("\"blocking\", \"uring\"", "\"blocking\"");
    let swept = shop.sweep(&profile, &[]);
    let run = shop.only_run();
    let folder = run.to_str().expect("UTF-8");
    let next = format!("Next: plimsoll certify {folder}");
    assert!(
        swept.stdout.contains(&next) && swept.stdout.contains("Not certified yet"),
        "{swept:?}"
    );
    let read = |name: &str| fs::read_to_string(run.join(name)).expect(name);
    assert!(read("report.html").contains("Not certified yet"));

    let ran = certify(&shop, folder, "4", "600");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.starts_with("CERTIFIED: "), "{ran:?}");
    assert!(ran.stdout.ends_with(&format!("{folder}/certificate.json\n")), "{ran:?}");
    assert!(ran.stdout.starts_with(&read("certificate.txt")));
    let found = json(&run.join("certificate.json"));
    assert_eq!(found["settings"]["segment_size"], "\"1MiB\"", "{found}");
    assert_eq!(found["settings"]["encryption"], "false", "{found}");
    let [exact, small] = [0, 1].map(|part| &found["parts"][part]);
    assert_eq!(
        (&exact["exact_sizes"], &exact["segment_size_bytes"]),
        (&true.into(), &(1 << 20).into())
    );
    assert_eq!((&exact["seeds"], &exact["images"]), (&4.into(), &100.into()), "{found}");
    assert_eq!(
        (&small["exact_sizes"], &small["images"]),
        (&false.into(), &60_600.into()),
        "{found}"
    );
    let bugs = Sabotage::ALL.len();
    assert_eq!(found["controls"].as_array().map(Vec::len), Some(bugs), "{found}");
    for name in ["report.html", "recommended.toml"] {
        assert!(read(name).contains("Certified: 100 simulated power cuts"), "{}", read(name));
    }
    SegmentedWalConfig::from_profile(run.join("recommended.toml")).expect("still loads");

    let reported = shop.run(&["report", folder]);
    assert!(reported.stdout.contains("Certified: ") && !reported.stdout.contains("Next: "));

    // Of other settings it says nothing.
    let changed = read("certificate.json").replace("\\\"1MiB\\\"", "\\\"2MiB\\\"");
    fs::write(run.join("certificate.json"), changed).expect("writable");
    let reported = shop.run(&["report", folder]);
    assert!(reported.stdout.contains("speaks of other settings"), "{reported:?}");

    // What was changed by hand is neither certified as the run's nor overwritten.
    let edited = read("recommended.toml").replace("pipeline_depth = 1", "pipeline_depth = 2");
    fs::write(run.join("recommended.toml"), &edited).expect("writable");
    for path in [folder.to_owned(), format!("{folder}/recommended.toml")] {
        let refused = certify(&shop, &path, "1", "1");
        refused.assert_one_sentence(2, &["is not what its run recommends", "plimsoll report"]);
    }
    assert_eq!(read("recommended.toml"), edited);
}

#[test]
fn a_settings_file_with_a_key_and_batches_in_flight_shows_every_seeded_bug() {
    let shop = Workshop::new();
    fs::write(shop.path("key"), [7; 32]).expect("a key");
    fs::set_permissions(shop.path("key"), fs::Permissions::from_mode(0o600)).expect("ours");
    let settings = format!(
        "[wal]\nalignment = \"4KiB\"\nengine = \"uring\"\npipeline_depth = 4\n\
         segment_size = \"16KiB\"\nbuffer_size = \"8KiB\"\n\
         key_files = [{{ id = 1, path = \"{}\" }}]\n",
        shop.path("key").display()
    );
    fs::write(shop.path("db1.toml"), settings).expect("settings");
    let words = ["certify", "db1.toml", "--seeds", "4000", "--small-seeds", "1", "--json"];
    let ran = shop.run(&words);
    assert_eq!(ran.code, 0, "{ran:?}");
    let found = json(&shop.path("db1.certificate.json"));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&ran.stdout).expect("JSON"), found);
    assert_eq!(found["settings"]["encryption"], "true", "{found}");
    assert_eq!(found["parts"].as_array().map(Vec::len), Some(1), "small as it is: {found}");
    let controls = found["controls"].as_array().expect("controls");
    for control in controls {
        assert_eq!(control["outcome"]["outcome"], "caught", "{control}");
    }
    assert_eq!(shop.names(""), ["db1.certificate.json", "db1.certificate.txt", "db1.toml", "key"]);
}

#[test]
fn a_matrix_that_notices_too_little_certifies_nothing() {
    let shop = Workshop::new();
    fs::write(shop.path("s.toml"), "[wal]\nsegment_size = \"64KiB\"\n").expect("settings");
    let ran = certify(&shop, "s.toml", "1", "1");
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stdout.starts_with("INCONCLUSIVE: "), "{ran:?}");
    assert!(ran.stdout.contains("NOT NOTICED"), "{ran:?}");
    assert!(ran.stdout.contains("cannot show: there are no nonces without a key"), "{ran:?}");
}

#[test]
fn what_cannot_be_certified_is_told_and_nothing_is_written() {
    let shop = Workshop::new();
    fs::write(shop.path("bad.toml"), "[wal]\nbuffer_size = 3\n").expect("a file");
    fs::write(shop.path("other.toml"), "[log]\n").expect("a file");
    fs::write(shop.path("large.toml"), "[wal]\nsegment_size = \"1TiB\"\n").expect("a file");
    fs::create_dir(shop.path("folder")).expect("a folder");
    for (what, code, parts) in [
        ("nowhere", 2, ["nowhere", "read profile"]),
        ("bad.toml", 2, ["bad.toml:2:15", "4KiB to 64MiB"]),
        ("other.toml", 2, ["other.toml", "wal"]),
        ("folder", 2, ["folder is not the folder of a run", "sweep"]),
        ("large.toml", 3, ["segment_size = 1TiB", "memory"]),
    ] {
        shop.run(&["certify", what]).assert_one_sentence(code, &parts);
    }
    assert_eq!(shop.names(""), ["bad.toml", "folder", "large.toml", "other.toml"]);
}

#[test]
fn an_interrupt_certifies_nothing() {
    let shop = Workshop::new();
    fs::write(shop.path("s.toml"), "[wal]\nsegment_size = \"64KiB\"\n").expect("settings");
    let mut running = shop.start(&["certify", "s.toml", "--seeds", "1000000"]);
    running.wait_for_stderr("histories");
    running.interrupt();
    let ran = running.finish();
    assert_eq!(ran.code, 130, "{ran:?}");
    assert!(ran.stderr.contains("before there was anything to show"), "{ran:?}");
    assert_eq!(shop.names(""), ["s.toml"]);
}
