//! The run folder as a sweep writes it and a report reads it.

use std::time::Duration;

use tempfile::TempDir;

use super::synthetic::SyntheticRun;
use super::*;

fn created(run: &mut SyntheticRun) -> (TempDir, RunFolder) {
    let out = tempfile::tempdir().expect("temporary folder");
    let folder = RunFolder::create(&out.path().join("results"), &mut run.manifest).expect("create");
    (out, folder)
}

fn chain(error: &anyhow::Error) -> String {
    format!("{error:#}")
}

#[test]
fn a_run_reads_back_as_it_was_written() {
    let mut run = SyntheticRun::small();
    let (_out, folder) = created(&mut run);
    for trial in &run.trials {
        folder.record_trial(trial, TrialFiles::default()).expect("record");
    }
    run.manifest.finished_utc = Some("2026-11-23T09:00:00Z".to_owned());
    folder.write_manifest(&run.manifest).expect("update");
    let (opened, manifest) = RunFolder::open(folder.path()).expect("open");
    assert_eq!((opened, manifest), (folder.clone(), run.manifest));
    assert_eq!(folder.trials().expect("trials"), run.trials);
}

#[test]
fn the_folders_name_tells_when_where_and_what() {
    let mut run = SyntheticRun::small();
    run.manifest.started_utc = "2026-11-23T09:00:00.25+01:00".to_owned();
    run.manifest.environment_before.hostname = "../db 1".to_owned();
    run.manifest.profile_name = String::new();
    let (_out, folder) = created(&mut run);
    let name = folder.path().file_name().expect("name").to_str().expect("ASCII");
    let id = name.strip_prefix("20261123T080000Z--db-1-unknown-").expect(name);
    assert!(id.len() == 4 && id.chars().all(|c| c.is_ascii_hexdigit()), "{name}");
    assert_eq!(run.manifest.run_id, name);
}

#[test]
fn runs_started_in_the_same_second_do_not_share_a_folder() {
    let out = tempfile::tempdir().expect("temporary folder");
    let mut run = SyntheticRun::small();
    let mut paths = Vec::new();
    for _ in 0..40 {
        paths.push(RunFolder::create(out.path(), &mut run.manifest).expect("create").path);
    }
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 40);
    // With every name taken, it is said and nothing is overwritten.
    let taken = create_unique(out.path(), |_| "taken".to_owned());
    assert!(taken.is_ok());
    let error = create_unique(out.path(), |_| "taken".to_owned()).expect_err("taken");
    assert!(chain(&error).contains("too many runs"), "{error:#}");
}

#[test]
fn an_unknown_major_version_is_refused_by_name() {
    let mut run = SyntheticRun::small();
    let (_out, folder) = created(&mut run);
    let path = folder.path().join(MANIFEST);
    let text = fs::read_to_string(&path).expect("read");
    fs::write(&path, text.replace(&format!("{SCHEMA_VERSION:?}"), "\"2.0\"")).expect("write");
    let error = chain(&RunFolder::open(folder.path()).expect_err("another major version"));
    assert!(error.contains("manifest.json") && error.contains("\"2.0\""), "{error}");
}

#[test]
fn a_folder_without_a_manifest_is_no_run() {
    let folder = tempfile::tempdir().expect("temporary folder");
    for path in [folder.path(), &folder.path().join("missing")] {
        let error = chain(&RunFolder::open(path).expect_err("no manifest"));
        assert!(error.contains(&path.display().to_string()) && error.contains("manifest.json"));
    }
}

#[test]
fn an_output_folder_that_cannot_be_made_is_named() {
    let out = tempfile::tempdir().expect("temporary folder");
    let file = out.path().join("file");
    fs::write(&file, b"").expect("write");
    let mut manifest = SyntheticRun::small().manifest;
    let error = chain(&RunFolder::create(&file.join("results"), &mut manifest).expect_err("file"));
    assert!(error.contains("file/results; check that the folder is writable"), "{error}");
}

#[test]
fn a_sentinel_and_the_trial_it_repeats_keep_their_own_files() {
    let mut run = SyntheticRun::small();
    let (_out, folder) = created(&mut run);
    let of_block_0 = run.trials.iter().filter(|t| t.config_id == "c00" && t.block == 0);
    let mut contents = Vec::new();
    for trial in of_block_0 {
        let csv = format!("position {}\n", trial.position);
        let files = TrialFiles { intervals_csv: Some(&csv), ..TrialFiles::default() };
        folder.record_trial(trial, files).expect("record");
        contents.push((folder.trial_folder(trial).expect("folder"), csv));
    }
    assert_eq!(contents.len(), 3);
    for (path, csv) in contents {
        assert_eq!(fs::read_to_string(path.join("intervals.csv")).expect("read"), csv);
        assert!(path.join("result.json").is_file() && !path.join(LATENCY).exists());
    }
}

#[test]
fn latencies_are_merged_over_blocks_without_sentinels_and_failures() {
    let mut run = SyntheticRun::small();
    let (_out, folder) = created(&mut run);
    let failed = |trial: &TrialResult| trial.config_id == "c01" && trial.block == 1;
    for trial in &mut run.trials {
        if failed(trial) {
            trial.status = TrialStatus::Failed { reason: "lost".to_owned() };
        }
        let mut histogram = empty_histogram_ns().expect("histogram");
        histogram.record(1_000 * (u64::from(trial.block) + 1)).expect("record");
        let hlog = to_hlog(&histogram, &[], Duration::from_secs(1)).expect("encode");
        // One configuration stores no latencies at all.
        let stored = (trial.config_id != "c03").then_some(hlog.as_slice());
        let files = TrialFiles { latency_hlog: stored, ..TrialFiles::default() };
        folder.record_trial(trial, files).expect("record");
    }
    let merged = folder.latency_ns_by_config(&run.trials).expect("merge");
    let lengths: Vec<(&str, u64)> = merged.iter().map(|(id, h)| (id.as_str(), h.len())).collect();
    assert_eq!(lengths, [("c00", 3), ("c01", 2), ("c02", 3)]);
    assert!(merged["c01"].equivalent(merged["c01"].max(), 3_000));
    assert!(merged["c01"].equivalent(merged["c01"].min(), 1_000));

    let path = folder.path().join("trials/c02/1/latency.hlog");
    fs::write(&path, b"broken").expect("write");
    let error = chain(&folder.latency_ns_by_config(&run.trials).expect_err("broken"));
    assert!(error.contains("trials/c02/1/latency.hlog"), "{error}");
}

#[test]
fn names_cannot_lead_out_of_the_folder() {
    let mut run = SyntheticRun::small();
    let (_out, folder) = created(&mut run);
    let mut trial = run.trials[0].clone();
    for id in ["..", "a/b", "", ".hidden", "/etc"] {
        id.clone_into(&mut trial.config_id);
        let error = chain(&folder.record_trial(&trial, TrialFiles::default()).expect_err(id));
        assert!(error.contains("cannot name a folder"), "{error}");
    }
    for name in ["", "../x", "/x", "a/../../x"] {
        assert!(folder.write_artifact(name, b"").is_err(), "{name}");
        assert!(folder.remove_artifact(name).is_err(), "{name}");
    }
    let written = folder.write_artifact("plots/a.svg", b"<svg/>").expect("write");
    assert_eq!(fs::read(&written).expect("read"), b"<svg/>");
    for _ in 0..2 {
        folder.remove_artifact("plots/a.svg").expect("removed, or not there");
    }
    assert!(!written.exists());
    assert_eq!(folder.trials().expect("trials"), []);
}

#[test]
fn a_trial_whose_files_cannot_be_written_does_not_count() {
    let mut run = SyntheticRun::small();
    let (_out, folder) = created(&mut run);
    fs::write(folder.path().join(TRIALS), b"in the way").expect("write");
    let error =
        chain(&folder.record_trial(&run.trials[0], TrialFiles::default()).expect_err("in the way"));
    assert!(error.contains("trials/"), "{error}");
    assert_eq!(folder.trials().expect("trials"), []);
}
