//! What `--dry-run` prints: the plan, how long it takes and what it writes.

use std::fmt::Write;

use crate::load::described;
use crate::profile::{
    ASSUMED_LOG_BYTES_PER_SECOND, Profile, SettingKey, assumed_overhead_seconds, longest,
    plan_cost, plan_written_bytes,
};
use crate::store::schema::{Environment, Plan, STEADY_ROUNDS, STEADY_ROUNDS_MAX};
use crate::units::{format_bytes_per_second, format_data, format_seconds};

const NAME_WIDTH: usize = 16;

/// The plan for people. Writing to a String cannot fail, so those results are passed over.
pub(super) fn text(profile: &Profile, plan: &Plan, environment: &Environment) -> String {
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
    totals(&mut text, profile, plan, environment);
    text
}

fn totals(text: &mut String, profile: &Profile, plan: &Plan, environment: &Environment) {
    let cost = plan_cost(plan, assumed_overhead_seconds(plan));
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:18}{value}");
    };
    line(
        "Trials",
        format!(
            "{} ({} configurations and 2 sentinel runs in each of {} blocks), {} each after \
             {} s of warm-up",
            cost.trials,
            plan.configurations.len(),
            plan.blocks,
            length(plan),
            plan.warmup_seconds
        ),
    );
    let budget = profile.time_budget.map_or_else(String::new, |budget| {
        format!(
            "; stops after a whole block rather than exceed {}",
            format_seconds(budget.as_secs_f64())
        )
    });
    let longest = plan.round_seconds.map_or_else(String::new, |_| {
        format!(
            ", up to {} if no trial is ever steady",
            format_seconds(plan_cost(&longest(plan), assumed_overhead_seconds(plan)).seconds)
        )
    });
    line("Time", format!("about {}{longest}{budget}", format_seconds(cost.seconds)));
    line(
        "Writes",
        format!(
            "about {} if the log takes {}, zeroed segments included",
            format_data(plan_written_bytes(plan, ASSUMED_LOG_BYTES_PER_SECOND)),
            format_bytes_per_second(ASSUMED_LOG_BYTES_PER_SECOND)
        ),
    );
    line(
        "Target",
        format!(
            "{} ({}, {} free), emptied of the sweep's own files after each trial",
            environment.target,
            environment.filesystem.as_deref().unwrap_or("unknown file system"),
            format_data(environment.free_bytes as f64)
        ),
    );
    line("Seed", plan.seed.to_string());
    text.push_str("\nNothing was written (--dry-run).\n");
}

/// How long a trial is measured.
fn length(plan: &Plan) -> String {
    match plan.round_seconds {
        None => format!("{} s", plan.trial_seconds),
        Some(seconds) => format!(
            "rounds of {seconds} s until {STEADY_ROUNDS} in a row are steady ({STEADY_ROUNDS_MAX} \
             at most)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_shown_once_with_the_costs() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles/quick.toml");
        let profile = Profile::load(folder.as_ref()).expect("a profile that ships");
        let plan = profile.plan(11);
        let shown = text(&profile, &plan, &Environment::default());
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
}
