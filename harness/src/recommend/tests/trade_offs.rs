//! Runs whose front, knee and dead settings are known, asked for different things; and runs that
//! support no choice.

use super::*;
use crate::cli::Objective;
use crate::store::schema::{Settings, Steadiness};

/// What a configuration truly does.
#[derive(Clone, Copy)]
struct Truth {
    rate: f64,
    p99_us: f64,
    device_bytes: f64,
    cpu_us: f64,
}

const PLAIN: Truth = Truth { rate: 10_000.0, p99_us: 500.0, device_bytes: 4.0, cpu_us: 20.0 };

/// Six blocks of every combination, each number within `noise` of the truth: the blocks lie evenly
/// spaced about it, in another order for each configuration.
fn measured(
    axes: &[(&str, &[&str])],
    noise: f64,
    truth: impl Fn(&Settings) -> Truth,
) -> SyntheticRun {
    let mut run = SyntheticRun::build(axes, 6);
    for (index, trial) in run.trials.iter_mut().enumerate() {
        let known = run.manifest.plan.configurations.iter().find(|c| c.id == trial.config_id);
        let settings = &known.expect("planned").settings;
        let own = usize::from(trial.config_id.ends_with(['1', '3', '5', '7']));
        let step = (trial.block as usize + own * 3 + usize::from(trial.sentinel) * index) % 6;
        let factor = 1.0 + noise * (step as f64 - 2.5) / 2.5;
        let truth = truth(settings);
        trial.rate_per_second = truth.rate * factor;
        trial.latency.p99_us = Some(truth.p99_us * factor);
        trial.latency.p999_us = Some(truth.p99_us * 2.0 * factor);
        trial.device_bytes_per_payload_byte = truth.device_bytes;
        trial.commits = 1_000_000;
        trial.cpu_seconds = truth.cpu_us * factor;
        trial.disturbed = false;
    }
    run
}

/// c00 is balanced, c01 the fastest, c02 has the lowest latency for the least processor time, and
/// nothing speaks for c03.
fn four() -> SyntheticRun {
    let axes: [(&str, &[&str]); 2] =
        [("commit_window", &["0us", "100us"]), ("engine", &["blocking", "uring"])];
    measured(&axes, 0.005, |settings| {
        let (rate, p99_us, cpu_us) =
            match (settings.commit_window_us > 0, settings.engine == "uring") {
                (false, false) => (10_000.0, 500.0, 20.0),
                (false, true) => (12_000.0, 900.0, 20.0),
                (true, false) => (8_000.0, 400.0, 12.0),
                (true, true) => (7_000.0, 1_000.0, 25.0),
            };
        Truth { rate, p99_us, cpu_us, ..PLAIN }
    })
}

fn ask(run: &SyntheticRun, slo: Option<&str>, objective: Objective) -> Analysis {
    let slo = slo.map(|text| text.parse().expect("objectives"));
    let question = Question { slo, objective };
    analyse(&run.manifest, &run.trials, &BTreeMap::new(), &question)
}

fn chosen(run: &SyntheticRun, slo: Option<&str>, objective: Objective) -> String {
    let analysis = ask(run, slo, objective);
    assert!(analysis.refusal.is_none(), "{:?}", analysis.refusal);
    choice(&analysis).config_id.clone()
}

#[test]
fn the_front_holds_what_nothing_makes_superfluous() {
    let analysis = ask(&four(), None, Objective::Balanced);
    let on_front: Vec<bool> = analysis.front.iter().map(|point| point.on_front).collect();
    assert_eq!(on_front, [true, true, true, false]);
    let point = &analysis.front[2];
    assert_eq!((point.config_id.as_str(), point.meets_slo), ("c02", None));
    assert_eq!(point.memory_bytes, 3 * (256 << 10), "one in flight and two more");
    assert!((point.p99_us.expect("measured") / 400.0 - 1.0).abs() < 0.01, "{point:?}");
    assert!((point.cpu_us_per_commit / 12.0 - 1.0).abs() < 0.01, "{point:?}");
}

#[test]
fn each_objective_takes_what_is_best_in_it() {
    let run = four();
    for (objective, expected) in [
        (Objective::Balanced, "c00"),
        (Objective::Rate, "c01"),
        (Objective::P99, "c02"),
        (Objective::P999, "c02"),
        (Objective::Cpu, "c02"),
        // All alike in these: the fastest.
        (Objective::Bytes, "c01"),
        (Objective::Memory, "c01"),
    ] {
        assert_eq!(chosen(&run, None, objective), expected, "{objective:?}");
    }
    let why = choice(&ask(&run, None, Objective::Cpu)).reasons["commit_window"].clone();
    assert!(why.starts_with("part of the combination of least processor time"), "{why}");
}

#[test]
fn it_steps_back_from_a_steep_slope_and_says_so() {
    let analysis = ask(&four(), None, Objective::Balanced);
    let knee = analysis.knee.as_ref().expect("a knee");
    assert_eq!((knee.config_id.as_str(), knee.fastest_id.as_str()), ("c00", "c01"));
    assert!(knee.steep && knee.sentence.ends_with("so it steps back."), "{knee:?}");
    assert!((knee.rate_ratio - 0.833).abs() < 0.01 && (knee.p99_ratio - 0.556).abs() < 0.01);
    let text = recommended_toml(&four().manifest, &analysis, 1, None).expect("settings");
    assert!(text.contains("# Knee: c00 has 83"), "{text}");
    assert_eq!(ask(&four(), None, Objective::Rate).asked.expect("asked").objective, "rate");

    // Half the gain in latency is not worth it.
    let mut gentle = four();
    for trial in gentle.trials.iter_mut().filter(|trial| trial.config_id == "c01") {
        trial.latency.p99_us = trial.latency.p99_us.map(|p99| p99 * 700.0 / 900.0);
    }
    assert_eq!(chosen(&gentle, None, Objective::Balanced), "c01");
}

#[test]
fn objectives_for_latency_leave_out_what_misses_them_and_what_cannot_be_told() {
    let run = four();
    assert_eq!(chosen(&run, Some("p99=2ms"), Objective::Rate), "c01");
    assert_eq!(chosen(&run, Some("p99=600us"), Objective::Rate), "c00");
    assert_eq!(chosen(&run, Some("p99=600us,p99.9=900us"), Objective::Rate), "c02");
    let analysis = ask(&run, Some("p99=500us"), Objective::Rate);
    let meets: Vec<Option<bool>> = analysis.front.iter().map(|point| point.meets_slo).collect();
    assert_eq!(meets, [None, Some(false), Some(true), Some(false)]);
    assert_eq!(choice(&analysis).config_id, "c02");
    assert!(has_caveat(&analysis, "left out: c00"), "{:?}", choice(&analysis).caveats);
    let asked = analysis.asked.expect("not the question of every run");
    assert_eq!((asked.slo.as_deref(), asked.objective.as_str()), (Some("p99=500us"), "rate"));
}

#[test]
fn where_none_meets_the_objectives_it_says_whether_that_is_known() {
    let mut run = four();
    let missed = ask(&run, Some("p99=100us"), Objective::Rate).refusal.expect("a refusal");
    assert!(missed.slo_missed && missed.reasons[0].contains("4 configurations measured here miss"));
    let open = ask(&run, Some("p99=400us"), Objective::Rate).refusal.expect("a refusal");
    assert!(!open.slo_missed && open.reasons[0].contains("such as c02: p99 is 400"), "{open:?}");
    for trial in &mut run.trials {
        trial.commit_groups = 2_000;
    }
    let few = ask(&run, Some("p99.99=10ms"), Objective::Rate).refusal.expect("a refusal");
    assert!(few.reasons[0].contains("12,000 commit groups are too few for p99.99"), "{few:?}");
    // 46,050 of 12,000 groups in 6 blocks.
    assert_eq!(few.settled_by, ["About 24 blocks, or trials as much longer."]);
    for trial in &mut run.trials {
        trial.latency.p999_us = None;
    }
    let none = ask(&run, None, Objective::P999).refusal.expect("a refusal");
    assert_eq!(none.reasons, ["No configuration's sample supports p99.9."]);
}

#[test]
fn a_first_level_that_only_writes_more_or_takes_more_memory_is_not_the_simplest() {
    let axes: [(&str, &[&str]); 2] =
        [("alignment", &["16KiB", "4KiB"]), ("buffer_size", &["1MiB", "256KiB"])];
    let run = measured(&axes, 0.005, |settings| Truth {
        device_bytes: settings.alignment_bytes as f64 / 1_024.0,
        ..PLAIN
    });
    let analysis = ask(&run, None, Objective::Balanced);
    assert_eq!(choice(&analysis).ties.len(), 4, "as fast as each other");
    assert_eq!(choice(&analysis).config_id, "c03", "4KiB and 256KiB");
}

#[test]
fn what_matters_what_does_not_and_what_cannot_be_told_have_words_of_their_own() {
    let axes: [(&str, &[&str]); 2] =
        [("engine", &["blocking", "uring"]), ("segment_size", &["64MiB", "256MiB"])];
    let faster = |settings: &Settings| Truth {
        rate: if settings.engine == "uring" { 15_000.0 } else { 10_000.0 },
        ..PLAIN
    };
    let verdict = |analysis: &Analysis, name| axis(analysis, name).verdict.expect("a verdict");
    let quiet = ask(&measured(&axes, 0.01, faster), None, Objective::Balanced);
    assert_eq!(verdict(&quiet, "engine"), AxisVerdict::Matters);
    assert_eq!(verdict(&quiet, "segment_size"), AxisVerdict::DoesNotMatter);
    let said = &axis(&quiet, "segment_size").sentence;
    assert!(said.starts_with("segment_size does not matter here: 256MiB against 64MiB"), "{said}");
    assert!(said.contains("either way, less than"), "{said}");

    let loud = ask(&measured(&axes, 0.3, faster), None, Objective::Balanced);
    assert_eq!(verdict(&loud, "segment_size"), AxisVerdict::CannotTell);
    let said = &axis(&loud, "segment_size").sentence;
    assert!(said.contains("this run cannot tell whether it matters"), "{said}");
    let blocks = said.split_once("; about ").expect("what would settle it").1;
    let blocks: u32 = blocks.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!((100..5_000).contains(&blocks), "{said}");
}

#[test]
fn trials_that_had_not_settled_are_refused_and_a_few_of_them_told() {
    let mut run = four();
    let transient =
        Steadiness::Transient { rounds: 25, reason: "the rate fell by 31 %".to_owned() };
    for trial in &mut run.trials {
        let some = trial.block == 0 && trial.config_id == "c00";
        trial.steadiness =
            Some(if some { transient.clone() } else { Steadiness::Steady { rounds: 5 } });
    }
    let few = ask(&run, None, Objective::Balanced);
    assert!(has_caveat(&few, "1 of 6 trials of these settings had not settled"));
    for trial in run.trials.iter_mut().filter(|trial| trial.block < 4) {
        trial.steadiness = Some(transient.clone());
    }
    let most = ask(&run, None, Objective::Balanced);
    assert_eq!(most.recommendation, None);
    let refusal = most.refusal.expect("a refusal");
    let reason = &refusal.reasons[0];
    assert!(reason.starts_with("16 of 24 trials had not settled: of c00 in block 0"), "{reason}");
    assert!(refusal.settled_by[0].contains("more than 25 rounds"), "{refusal:?}");
}

/// Equal runs, the sentinel's closing one `factor` times as fast in every other block.
fn noisy(factor: f64, uring_rate: f64) -> SyntheticRun {
    let mut run = measured(&[("engine", &["blocking", "uring"])], 0.4, |settings| Truth {
        rate: if settings.engine == "uring" { uring_rate } else { 10_000.0 },
        ..PLAIN
    });
    for trial in run.trials.iter_mut().filter(|trial| trial.sentinel) {
        let fast = trial.position > 0 && trial.block % 2 == 0;
        trial.rate_per_second = 10_000.0 * if fast { factor } else { 1.0 / factor };
    }
    run
}

#[test]
fn noise_is_a_reason_to_refuse_only_where_it_hides_everything() {
    let tie = ask(&noisy(1.2, 10_500.0), None, Objective::Balanced);
    assert_eq!(choice(&tie).config_id, "c00", "a tie, and the simplest of it");
    let apart = ask(&noisy(3.0, 200_000.0), None, Objective::Balanced);
    assert_eq!(choice(&apart).config_id, "c01", "20 times as fast shows in any noise");

    let lost = ask(&noisy(3.0, 10_500.0), None, Objective::Balanced);
    let refusal = lost.refusal.as_ref().expect("a refusal");
    assert!(
        refusal.reasons[0].starts_with("No two configurations can be told apart"),
        "{refusal:?}"
    );
    let settled = &refusal.settled_by[0];
    assert!(settled.starts_with("A quiet machine, longer trials, or "), "{settled}");
    assert_eq!(recommended_toml(&noisy(3.0, 10_500.0).manifest, &lost, 1, None), None);
}

#[test]
fn disturbed_trials_are_a_reason_to_refuse_where_they_are_most_and_nothing_shows() {
    let mut run = noisy(1.5, 10_500.0);
    let floor = ask(&run, None, Objective::Balanced).noise_floor_ratio.expect("sentinels");
    assert!((0.5..1.0).contains(&floor), "loud, and not too loud by itself: {floor}");
    for trial in &mut run.trials {
        trial.disturbed = trial.block > 0;
    }
    let refusal = ask(&run, None, Objective::Balanced).refusal.expect("a refusal");
    assert!(refusal.reasons[1].starts_with("20 of 24 trials ran while other load"), "{refusal:?}");
    for trial in &mut run.trials {
        trial.disturbed = trial.block > 2;
    }
    assert_eq!(chosen(&run, None, Objective::Balanced), "c00", "half of them is a caveat");
}

#[test]
fn the_text_for_people_has_the_decision_its_reasons_and_the_evidence() {
    let run = four();
    let analysis = ask(&run, Some("p99=950us"), Objective::Balanced);
    let text = text(&run.manifest, &analysis);
    for part in [
        "with c00 (balanced, meeting p99=950us):",
        "  engine = blocking\n      ",
        "Measured: 10",
        "The front: 3 of 4 configurations",
        "c02",
        "Knee: c00 has 83",
        "What depends on what:\n  - ",
        "  - commit_window depends on engine: 100us against 0us changes commits by -41.",
        "more than 641 µs apart, a commit window finds nobody",
        "Before you rely on it:",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let refused = ask(&run, Some("p99=100us"), Objective::Balanced);
    let text = super::text(&run.manifest, &refused);
    assert!(text.contains("no recommendation.\n  4 configurations"), "{text}");
    assert!(text.contains("What would settle it:\n  A looser objective"), "{text}");
    assert!(text.contains("What each setting does:\n  - commit_window"), "{text}");
}
