//! One sentence for each setting that says why it has the value it has.

use std::collections::BTreeMap;

use crate::profile::SettingKey;
use crate::stats::{has_interval, invert};
use crate::store::schema::{AxisEffect, Estimate, Plan};
use crate::units::format_change_estimate;

use super::choice::{Choice, LOAD, varies};
use super::grid::Grid;
use super::measures::Merit;

/// A sentence for every setting, by name.
pub(crate) fn reasons(
    plan: &Plan,
    choice: &Choice,
    effects: &[AxisEffect],
) -> BTreeMap<String, String> {
    let settings = &plan.configurations[choice.config].settings;
    SettingKey::ALL
        .into_iter()
        .filter(|key| key.is_in_use(settings))
        .map(|key| (key.name().to_owned(), reason(plan, choice, effects, key)))
        .collect()
}

fn reason(plan: &Plan, choice: &Choice, effects: &[AxisEffect], key: SettingKey) -> String {
    let settings = &plan.configurations[choice.config].settings;
    let index = effects.iter().position(|effect| effect.axis == key.name());
    let (Some(index), true) = (index, varies(plan, key)) else {
        return match (key, settings.encryption) {
            (SettingKey::Encryption, true) => "on, and not varied in this run".to_owned(),
            (SettingKey::Encryption, false) => "off, and not varied in this run".to_owned(),
            _ => "not varied in this run".to_owned(),
        };
    };
    let effect = &effects[index];
    if key == SettingKey::Encryption {
        return encryption_reason(effect, settings.encryption);
    }
    if LOAD.contains(&key) {
        let value = key.text(settings);
        return format!(
            "describes the load and is no choice: the other settings are for {value}; {}",
            effect.sentence
        );
    }
    let level = Grid::of(plan).map_or(0, |grid| grid.level(choice.config, index));
    format!("{}{}", standing(effect, level, choice), finding(effect))
}

/// The axis's sentence without its name, which stands beside the reason wherever that is shown.
fn finding(effect: &AxisEffect) -> String {
    let told = effect.sentence.strip_prefix(effect.axis.as_str()).unwrap_or(&effect.sentence);
    match told.split_once(": ") {
        Some((_, clauses)) if effect.matters => format!(": {clauses}"),
        Some(("", clauses)) => format!(": {clauses}"),
        _ => format!("; it{told}"),
    }
}

/// What the whole combination was chosen for.
fn purpose(choice: &Choice) -> &'static str {
    match (choice.merit, choice.stepped_back) {
        (Merit::Rate, false) => "part of the fastest combination",
        (Merit::Rate, true) => "part of the combination at the knee",
        (Merit::P99, _) => "part of the combination of lowest p99",
        (Merit::P999, _) => "part of the combination of lowest p99.9",
        (Merit::Bytes, _) => "part of the combination that writes least",
        (Merit::Cpu, _) => "part of the combination of least processor time",
        (Merit::Memory, _) => "part of the combination of least memory",
    }
}

/// Where the chosen level stands among those of its axis.
fn standing(effect: &AxisEffect, level: usize, choice: &Choice) -> &'static str {
    let rate = |level: usize| Some(effect.levels.get(level)?.rate_ratio?.value);
    let fastest = (0..effect.levels.len()).filter_map(rate).max_by(f64::total_cmp);
    if !effect.matters && level == 0 {
        "the simplest level"
    } else if effect.matters && rate(level).is_some() && rate(level) == fastest {
        "the fastest level on average"
    } else if choice.merit == Merit::Rate && !choice.stepped_back && choice.ties.len() > 1 {
        "not told from the fastest, and lower in p99 or simpler"
    } else {
        purpose(choice)
    }
}

/// States the cost of switching encryption on, whichever way round the axis lists its levels.
fn encryption_reason(effect: &AxisEffect, is_on: bool) -> String {
    let left = format!("yours to require, so left {} here", if is_on { "on" } else { "off" });
    let level = |name: &str| effect.levels.iter().find(|level| level.level == name);
    let on_first = effect.baseline == "true";
    let measured = if on_first { level("false") } else { level("true") };
    let turned = |ratio: Option<Estimate>| {
        let ratio = ratio.filter(|ratio| ratio.value > 0.0)?;
        Some(if on_first { invert(ratio) } else { ratio })
    };
    let Some(rate) = turned(measured.and_then(|level| level.rate_ratio)) else {
        return format!("{left}; its cost could not be measured");
    };
    let p99 = turned(measured.and_then(|level| level.p99_ratio))
        .map(|ratio| format!(" and p99 by {}", format_change_estimate(&ratio)))
        .unwrap_or_default();
    let certainty = if has_interval(&rate) { "" } else { " (too few blocks for an interval)" };
    format!(
        "{left}; switching it on changes commits by {}{p99}{certainty}",
        format_change_estimate(&rate)
    )
}
