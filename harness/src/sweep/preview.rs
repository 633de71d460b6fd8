//! What `--dry-run` prints: the plan, how long it takes and what it writes.

use std::fmt::Write;

use super::resume::Missing;
use super::run::ceiling_seconds;
use super::screening::{Allowance, Approach};
use crate::cli::SweepArgs;
use crate::load::described;
use crate::profile::{
    ASSUMED_LOG_BYTES_PER_SECOND, Profile, SettingKey, assumed_overhead_seconds, longest,
    plan_cost, plan_written_bytes,
};
use crate::store::schema::{Environment, Manifest, Plan, STEADY_ROUNDS, STEADY_ROUNDS_MAX};
use crate::units::{format_bytes_per_second, format_data, format_seconds};

const NAME_WIDTH: usize = 16;

/// The plan for people. Writing to a String cannot fail, so those results are passed over.
pub(super) fn text(
    profile: &Profile,
    args: &SweepArgs,
    approach: &Approach,
    environment: &Environment,
) -> String {
    let plan = approach.first_plan();
    let mut text = format!("{}: {}\n\nVaried:\n", profile.name, profile.description);
    for axis in &plan.axes {
        let _ = writeln!(text, "  {:NAME_WIDTH$}{}", axis.name, axis.levels.join(", "));
    }
    if plan.axes.is_empty() {
        text.push_str("  nothing: one configuration shows how much the machine varies by itself\n");
    }
    text.push_str("Held:\n");
    let settings = &plan.configurations[0].settings;
    let is_held = |key: &SettingKey| {
        key.is_in_use(settings) && plan.axes.iter().all(|axis| axis.name != key.name())
    };
    for key in SettingKey::ALL.into_iter().filter(is_held) {
        let _ = writeln!(text, "  {:NAME_WIDTH$}{}", key.name(), key.text(&profile.base));
    }
    if plan.load.is_some() {
        let _ = writeln!(text, "  {:NAME_WIDTH$}{}", "load", described(plan, settings));
    }
    text.push('\n');
    match approach {
        Approach::Full(plan) => full(&mut text, profile, args, plan),
        Approach::Screening { plan, design, left } => screened(&mut text, args, plan, design, left),
    }
    line(
        &mut text,
        "Target",
        &format!(
            "{} ({}, {} free), emptied of the sweep's own files after each trial",
            environment.target,
            environment.filesystem.as_deref().unwrap_or("unknown file system"),
            format_data(environment.free_bytes as f64)
        ),
    );
    line(&mut text, "Seed", &plan.seed.to_string());
    text.push_str("\nNothing was written (--dry-run).\n");
    text
}

/// What is left of a stored run.
pub(super) fn rest(manifest: &Manifest, missing: Missing) -> String {
    let trials = |count: usize, plan: &Plan| {
        let per_trial = plan.warmup_seconds + plan.trial_seconds + assumed_overhead_seconds(plan);
        format!("{count} trials, about {}", format_seconds(count as f64 * per_trial))
    };
    let mut text = format!("{}: {}\n\n", manifest.run_id, manifest.profile_description);
    match (missing.screening, &manifest.screening) {
        (Some(count), Some(screening)) => {
            line(&mut text, "Screening left", &trials(count, &screening.plan));
            line(&mut text, "Then", "the settings that it shows to matter, in full");
        }
        _ => line(&mut text, "Left", &trials(missing.trials, &manifest.plan)),
    }
    if let Some(seconds) = manifest.time_seconds {
        line(&mut text, "Time given", &format_seconds(seconds));
    }
    line(&mut text, "Target", &manifest.environment_before.target);
    text.push_str("\nNothing was written (--dry-run).\n");
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:18}{value}");
}

fn full(text: &mut String, profile: &Profile, args: &SweepArgs, plan: &Plan) {
    let cost = plan_cost(plan, assumed_overhead_seconds(plan));
    line(
        text,
        "Trials",
        &format!(
            "{} ({} configurations and 2 sentinel runs in each of {} blocks), {} after \
             {} s of warm-up",
            cost.trials,
            plan.configurations.len(),
            plan.blocks,
            length(plan),
            plan.warmup_seconds
        ),
    );
    let budget = args.time.or(profile.time_budget).map_or_else(String::new, |budget| {
        format!(
            "; stops after a whole block rather than exceed {}",
            format_seconds(budget.as_secs_f64())
        )
    });
    // Trials in rounds may take longer than they have to.
    let longest = plan.round_seconds.map(|_| longest(plan));
    let most_time = longest.as_ref().map_or_else(String::new, |longest| {
        let seconds = plan_cost(longest, assumed_overhead_seconds(plan)).seconds;
        format!(", up to {} if no trial is ever steady", format_seconds(seconds))
    });
    let before = before_trials(args, plan);
    line(
        text,
        "Time",
        &format!("about {}{most_time}{before}{budget}", format_seconds(cost.seconds)),
    );
    let most_data =
        longest.map(|longest| plan_written_bytes(&longest, ASSUMED_LOG_BYTES_PER_SECOND));
    writes(text, plan_written_bytes(plan, ASSUMED_LOG_BYTES_PER_SECOND), most_data);
}

/// What goes before the trials.
fn before_trials(args: &SweepArgs, plan: &Plan) -> String {
    if args.no_ceiling {
        return String::new();
    }
    let trial = std::time::Duration::from_secs_f64(plan.trial_seconds);
    format!(", after {} for the device's own speed", format_seconds(ceiling_seconds(trial)))
}

/// A screening, and what is known of the rest: how many configurations fit into it.
fn screened(text: &mut String, args: &SweepArgs, plan: &Plan, design: &str, left: &Allowance) {
    let cost = plan_cost(plan, assumed_overhead_seconds(plan));
    line(text, "Design", design);
    line(
        text,
        "Screening",
        &format!(
            "{} trials ({} of {} combinations and 2 sentinel runs in each of {} blocks), {} s each \
             after {} s of warm-up; about {}{}",
            cost.trials,
            plan.configurations.len(),
            plan.axes.iter().map(|axis| axis.levels.len()).product::<usize>(),
            plan.blocks,
            plan.trial_seconds,
            plan.warmup_seconds,
            format_seconds(cost.seconds),
            before_trials(args, plan)
        ),
    );
    line(
        text,
        "Then",
        &format!(
            "every combination of the settings that matter, the others held: up to {} \
             configurations in {} to {} blocks",
            left.configurations_max(),
            left.blocks_min,
            left.blocks_max
        ),
    );
    let time = args.time.unwrap_or_default().as_secs_f64();
    line(text, "Time", &format!("at most about {}", format_seconds(time)));
    // The rest is as long as its share of the time, at the pace of the screening.
    let bytes_per_second = plan_written_bytes(plan, ASSUMED_LOG_BYTES_PER_SECOND) / cost.seconds;
    writes(text, bytes_per_second * (cost.seconds + left.seconds), None);
}

fn writes(text: &mut String, bytes: f64, most_bytes: Option<f64>) {
    let most = most_bytes.map_or_else(String::new, |most| format!(" to {}", format_data(most)));
    line(
        text,
        "Writes",
        &format!(
            "about {}{most} if the log takes {}, zeroed segments included",
            format_data(bytes),
            format_bytes_per_second(ASSUMED_LOG_BYTES_PER_SECOND)
        ),
    );
}

/// How long a trial is measured.
fn length(plan: &Plan) -> String {
    match plan.round_seconds {
        None => format!("{} s each", plan.trial_seconds),
        Some(seconds) => format!(
            "in rounds of {seconds} s until {STEADY_ROUNDS} in a row are steady, \
             {STEADY_ROUNDS_MAX} at most,"
        ),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Verb};

    fn shown(words: &str) -> (Profile, Plan, String) {
        let words = format!("plimsoll sweep {words} --seed 11 --dry-run");
        let Verb::Sweep(args) = Cli::parse_from(words.split(' ')).verb else { panic!("no sweep") };
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles/");
        let path = args.profile.as_ref().expect("a profile");
        let profile = Profile::load(&std::path::Path::new(folder).join(path)).expect("it ships");
        let approach = Approach::choose(&profile, 11, args.time, 1.0).expect("enough time");
        let text = text(&profile, &args, &approach, &Environment::default());
        (profile, approach.first_plan().clone(), text)
    }

    #[test]
    fn every_setting_is_shown_once_with_the_costs() {
        let (profile, plan, shown) = shown("quick.toml");
        for key in SettingKey::ALL.into_iter().filter(|key| *key != SettingKey::Rate) {
            let start = format!("  {:NAME_WIDTH$}", key.name());
            assert_eq!(shown.matches(&start).count(), 1, "{}: {shown}", key.name());
        }
        let written = format_data(plan_written_bytes(&plan, ASSUMED_LOG_BYTES_PER_SECOND));
        for part in ["64KiB, 1MiB", "330 (64 configurations", &written, "Seed              11"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        // The sentence in the profile is the same arithmetic.
        assert!(profile.cost.contains(&written), "{}", profile.cost);
    }

    #[test]
    fn a_screening_is_shown_with_its_design_and_what_may_follow() {
        let (_, plan, shown) = shown("full.toml --time 60m");
        for part in ["resolution IV: 32 runs for 11 columns", "32 of 2048 combinations", "60 min"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert_eq!((plan.configurations.len(), plan.blocks), (32, 3));
    }

    #[test]
    fn a_time_that_is_long_enough_changes_only_when_to_stop() {
        let (_, plan, shown) = shown("quick.toml --time 120s");
        assert!(shown.contains("rather than exceed 2 min") && plan.blocks == 5, "{shown}");
    }
}
