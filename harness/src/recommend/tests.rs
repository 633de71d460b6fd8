//! Analyses of runs whose true rates are known, and of runs cut short, refused and failed.

mod trade_offs;
mod truth;

use std::collections::BTreeMap;

use super::*;
use crate::profile::SettingKey;
use crate::store::schema::{AxisEffect, AxisVerdict, RunStatus, TrialStatus};
use crate::store::synthetic::SyntheticRun;

fn analysed(run: &SyntheticRun) -> Analysis {
    analyse(&run.manifest, &run.trials, &BTreeMap::new(), &Question::default())
}

fn axis<'a>(analysis: &'a Analysis, name: &str) -> &'a AxisEffect {
    analysis.axes.iter().find(|effect| effect.axis == name).expect(name)
}

fn choice(analysis: &Analysis) -> &Recommendation {
    analysis.recommendation.as_ref().expect("a recommendation")
}

fn has_caveat(analysis: &Analysis, part: &str) -> bool {
    choice(analysis).caveats.iter().any(|caveat| caveat.contains(part))
}

/// Three axes, of which only the engine has an effect beyond noise worth naming.
fn run(blocks: u32) -> SyntheticRun {
    let axes: [(&str, &[&str]); 3] = [
        ("engine", &["blocking", "uring"]),
        ("segment_size", &["64MiB", "256MiB"]),
        ("encryption", &["false", "true"]),
    ];
    SyntheticRun::build(&axes, blocks)
}

fn toml_of(run: &SyntheticRun, analysis: &Analysis) -> String {
    recommended_toml(&run.manifest, analysis, 123_456, None).expect("a recommendation")
}

#[test]
fn known_effects_are_recovered_and_others_called_what_they_are() {
    let analysis = analysed(&run(6));
    let engine = axis(&analysis, "engine");
    let ratio = engine.levels[1].rate_ratio.expect("measured");
    assert!(engine.matters && (ratio.value * 0.66 - 1.0).abs() < 0.02, "{ratio:?}");
    assert!(ratio.low > 1.4 && ratio.high < 1.6, "{ratio:?}");
    assert!(engine.sentence.contains("raises commits to 1.5"), "{}", engine.sentence);
    let p99 = engine.levels[1].p99_ratio.expect("measured");
    assert!((p99.value / 0.66 - 1.0).abs() < 0.02, "{p99:?}");

    let segment = axis(&analysis, "segment_size");
    let ratio = segment.levels[1].rate_ratio.expect("measured");
    assert!(!segment.matters && ratio.low <= 1.0 && ratio.high >= 1.0, "{segment:?}");
    assert_eq!(segment.levels[0].rate_ratio.expect("baseline").value, 1.0);
}

#[test]
fn of_configurations_that_tie_the_simplest_is_chosen() {
    let run = run(6);
    let analysis = analysed(&run);
    let chosen = choice(&analysis);
    // uring, 64MiB, not encrypted: the larger segment ties and is a change for nothing.
    assert_eq!(chosen.config_id, "c04");
    let mut ties = chosen.ties.clone();
    ties.sort();
    assert_eq!(ties, ["c04", "c06"]);
    for key in SettingKey::ALL.into_iter().filter(|key| *key != SettingKey::Rate) {
        assert!(chosen.reasons.get(key.name()).is_some_and(|why| !why.is_empty()), "{key:?}");
    }
    assert!(chosen.reasons["engine"].starts_with("the fastest level"), "{chosen:?}");
    assert!(chosen.reasons["segment_size"].starts_with("the simplest level"), "{chosen:?}");
}

#[test]
fn a_lead_inside_the_machines_noise_is_a_tie_however_sure_it_is() {
    let mut run = SyntheticRun::build(&[("segment_size", &["64MiB", "256MiB"])], 6);
    let fast = |trial: &TrialResult| trial.config_id == "c01";
    for trial in &mut run.trials {
        let wobble = 1.0 + f64::from(trial.block) * 1e-5;
        let end =
            if trial.sentinel && trial.position > 0 && trial.block % 2 == 0 { 1.1 } else { 1.0 };
        trial.rate_per_second = 10_000.0 * wobble * end * if fast(trial) { 1.02 } else { 1.0 };
    }
    let noisy = analysed(&run);
    assert!(noisy.noise_floor_ratio.expect("sentinels") > 0.02, "{:?}", noisy.noise_floor_ratio);
    assert_eq!(choice(&noisy).config_id, "c00");
    for trial in run.trials.iter_mut().filter(|trial| trial.sentinel) {
        trial.rate_per_second = 10_000.0;
    }
    assert_eq!(choice(&analysed(&run)).config_id, "c01", "on a quiet machine 2 % is a lead");
}

#[test]
fn encryption_stays_at_its_first_level_and_its_cost_is_told() {
    let off_first = analysed(&run(6));
    let why = &choice(&off_first).reasons["encryption"];
    assert!(why.starts_with("yours to require, so left off") && why.contains("-4."), "{why}");
    let axes: [(&str, &[&str]); 2] =
        [("encryption", &["true", "false"]), ("engine", &["blocking", "uring"])];
    let run = SyntheticRun::build(&axes, 6);
    let on_first = analysed(&run);
    assert_eq!(choice(&on_first).config_id, "c01", "encrypted, though without is faster");
    let why = &choice(&on_first).reasons["encryption"];
    assert!(why.starts_with("yours to require, so left on") && why.contains("-4."), "{why}");
    let toml = toml_of(&run, &on_first);
    assert!(toml.contains("names yours") || toml.contains("name yours"), "{toml}");
}

#[test]
fn the_same_trials_give_the_same_analysis_in_any_order() {
    let mut run = run(4);
    let first = analysed(&run);
    run.trials.reverse();
    assert_eq!(analysed(&run), first);
}

#[test]
fn fewer_than_three_blocks_are_refused_and_it_says_how_many_more() {
    let mut run = run(2);
    run.manifest.plan.blocks = 5;
    run.manifest.status = RunStatus::Interrupted;
    let analysis = analysed(&run);
    assert_eq!((analysis.blocks, analysis.noise_floor_ratio), (2, None));
    assert!(analysis.axes.iter().all(|effect| effect.verdict == Some(AxisVerdict::CannotTell)));
    assert!(analysis.recommendation.is_none() && analysis.interactions.is_none());
    let refusal = analysis.refusal.expect("a refusal");
    assert!(refusal.reasons[0].starts_with("Only 2 of 5 planned blocks are"), "{refusal:?}");
    assert_eq!(
        refusal.settled_by,
        ["Measure 1 block more, or 4 more for intervals that hold what they say."]
    );
    let three = analysed(&self::run(3));
    assert!(three.recommendation.is_some() && three.refusal.is_none(), "{:?}", three.refusal);
}

#[test]
fn a_block_cut_short_by_ctrl_c_does_not_count() {
    let mut run = run(4);
    let whole = analysed(&run);
    run.trials.retain(|trial| trial.block < 3 || trial.position < 4);
    let cut = analysed(&run);
    assert_eq!((whole.blocks, cut.blocks), (4, 3));
    assert!(has_caveat(&cut, "Only 3 of 4"));
    run.trials.retain(|trial| trial.block == 0 && trial.position < 3);
    let nothing = analysed(&run);
    assert_eq!((nothing.blocks, nothing.recommendation), (0, None));
    assert!(nothing.refusal.expect("a refusal").reasons[0].starts_with("Only 0 of 4"));
    assert_eq!(recommended_toml(&run.manifest, &analysed(&run), 0, None), None);
}

#[test]
fn refused_configurations_are_left_out_and_counted() {
    let run = SyntheticRun::with_refusals();
    let analysis = analysed(&run);
    let refused = analysis.configurations.iter().filter(|summary| summary.refused.is_some());
    assert_eq!(refused.count(), 32);
    assert_eq!(analysis.blocks, 5);
    assert!(has_caveat(&analysis, "32 configurations could not run here: alignment 512"));
    let alignment = axis(&analysis, "alignment");
    assert_eq!(alignment.levels[1].rate_ratio, None);
    assert!(alignment.levels[2].rate_ratio.is_some());

    let none = analysed(&SyntheticRun::all_refused());
    assert_eq!((none.recommendation, none.blocks), (None, 0));
    let refusal = none.refusal.expect("a refusal");
    assert!(refusal.reasons[0].starts_with("None of 2 configurations could run"), "{refusal:?}");
}

#[test]
fn where_a_record_was_lost_nothing_is_recommended() {
    let mut run = run(6);
    let of_it = |trial: &&mut TrialResult| trial.config_id == "c00";
    let lost = run.trials.iter_mut().find(of_it).expect("a trial of it");
    lost.status = TrialStatus::Failed { reason: "record 7 is missing".to_owned() };
    run.manifest.status = RunStatus::Failed;
    let analysis = analysed(&run);
    assert_eq!(analysis.recommendation, None);
    let refusal = analysis.refusal.expect("a refusal");
    assert_eq!(refusal.reasons, ["c00 failed: record 7 is missing"]);
    assert!(!refusal.slo_missed && refusal.settled_by[0].starts_with("Find out why"));
    assert_eq!(analysis.blocks, 6, "the others' blocks are whole");
}

#[test]
fn a_plan_without_configurations_analyses_to_nothing() {
    let analysis = analysed(&SyntheticRun::empty());
    assert!(analysis.configurations.is_empty() && analysis.recommendation.is_none());
    assert_eq!((analysis.refusal, analysis.front), (None, vec![]));
}

#[test]
fn p999_comes_from_all_blocks_together_once_they_support_it() {
    let mut run = run(3);
    let of_c00 = |trial: &TrialResult| trial.config_id == "c00" && !trial.sentinel;
    for trial in run.trials.iter_mut().filter(|trial| of_c00(trial)) {
        trial.commit_groups = 1_534;
    }
    let p999 = |run: &SyntheticRun| {
        let latency_ns = &run.latency_ns_by_config;
        let analysis = analyse(&run.manifest, &run.trials, latency_ns, &Question::default());
        analysis.configurations[0].p999_us
    };
    // 3 times 1,534 is 4,602, one fewer than p99.9 needs; sentinels do not count.
    assert_eq!(p999(&run), None);
    run.trials.iter_mut().find(|trial| of_c00(trial)).expect("c00").commit_groups += 1;
    let expected = run.latency_ns_by_config["c00"].value_at_quantile(0.999) as f64 / 1e3;
    assert_eq!(p999(&run), Some(expected));

    assert_eq!(analysed(&SyntheticRun::all_refused()).configurations[0].p999_us, None);
}

#[test]
fn the_file_is_toml_with_exactly_the_keys_the_library_reads_each_with_its_reason() {
    let mut run = run(6);
    // Nothing that comes from the machine may end a comment or start a table.
    run.manifest.environment_before.device_model = Some("x\n[wal]\nengine = \"evil\"".to_owned());
    let text = toml_of(&run, &analysed(&run));
    let table: toml::Table = text.parse().expect("TOML");
    assert_eq!(table.keys().collect::<Vec<_>>(), ["wal"]);
    let wal = table["wal"].as_table().expect("a table");
    let mut keys: Vec<&str> = wal.keys().map(String::as_str).collect();
    keys.sort_unstable();
    let mut expected = [
        "alignment",
        "buffer_size",
        "segment_size",
        "commit_window",
        "pipeline_depth",
        "engine",
        "durability",
        "preparation",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(wal["alignment"].as_str(), Some("4KiB"));
    assert_eq!(wal["commit_window"].as_str(), Some("0us"));
    assert_eq!(wal["engine"].as_str(), Some("uring"));
    assert_eq!(wal["pipeline_depth"].as_integer(), Some(1));
    let lines: Vec<&str> = text.lines().collect();
    for (above, line) in
        lines.iter().zip(&lines[1..]).filter(|(_, l)| !l.starts_with('#') && l.contains(" = "))
    {
        assert!(above.starts_with("# "), "{above} / {line}");
    }
    assert!(lines.iter().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn the_file_carries_its_evidence() {
    let run = run(6);
    let analysis = analysed(&run);
    let text = toml_of(&run, &analysis);
    for part in [
        run.manifest.run_id.as_str(),
        "Measured: 12.",
        "Noise floor: ",
        "Fastest of the others: c06 ",
        "Device ceiling: 3.12 k/s",
        "Verified: 123456 acknowledged records",
        "# key_files = [{ id = 1, path = \"/path/to/key\" }]",
        "not SNIA steady state",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    // The line that switches encryption on is TOML once it is no comment any more.
    let switched_on = text.replace("# key_files", "key_files");
    let table: toml::Table = switched_on.parse().expect("TOML");
    assert!(table["wal"]["key_files"].is_array());
}
