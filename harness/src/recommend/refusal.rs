//! When the measurements support no choice, and what would settle it.
//!
//! Being noisy is no reason by itself: settings that cannot be told apart are a tie, and the simplest
//! of them is a good answer. A reason is a number that means nothing: too few blocks for any error to
//! be known, speeds that had not settled, equal runs that differ twofold. And a log that failed.

use crate::load::Slo;
use crate::stats::{MIN_BLOCKS, blocks_to_settle, log_ratio};
use crate::store::schema::{AxisEffect, Manifest, Refusal, Steadiness, TrialResult};
use crate::units::format_share;

use super::caveats::{BLOCKS_FOR_A_FULL_INTERVAL, counted_trials};
use super::choice::LOAD;
use super::measures::{Candidate, Merit, Yardstick};
use super::noise::Noise;
use super::objectives::Standing;
use super::observations::{Fate, Observations, rate};
use super::wording::counted;
use crate::profile::SettingKey;

/// Noise at which a run in which nothing differs says nothing: equal runs differ twofold.
const LOST_IN_NOISE_RATIO: f64 = 1.0;

/// The same where most trials ran beside other load, or the noise is not known.
const LOST_IF_DISTURBED_RATIO: f64 = 0.5;

/// Share of disturbed trials that is most of them.
const MOST: f64 = 0.75;

/// Noise that is worth measuring on for.
const NOISE_TO_AIM_AT_RATIO: f64 = 0.10;

/// What the decision rests on.
pub(crate) struct Evidence<'a> {
    pub manifest: &'a Manifest,
    pub observations: &'a Observations<'a>,
    pub noise: &'a Noise,
    pub axes: &'a [AxisEffect],
    pub candidates: &'a [Candidate],
    pub yardstick: &'a Yardstick,
}

/// Why nothing may be recommended from this run whatever is asked for; `None` where something may.
pub(crate) fn refuse(evidence: &Evidence<'_>) -> Option<Refusal> {
    failed(evidence)
        .or_else(|| unmeasured(evidence))
        .or_else(|| too_few_blocks(evidence))
        .or_else(|| transient(evidence))
        .or_else(|| lost_in_noise(evidence))
}

fn refusal(reasons: Vec<String>, settled_by: String) -> Refusal {
    Refusal { slo_missed: false, reasons, settled_by: vec![settled_by] }
}

fn failed(evidence: &Evidence<'_>) -> Option<Refusal> {
    let configurations = &evidence.manifest.plan.configurations;
    let reasons: Vec<String> = configurations
        .iter()
        .zip(&evidence.observations.fates)
        .filter_map(|(configuration, fate)| match fate {
            Fate::Failed(reason) => Some(format!("{} failed: {reason}", configuration.id)),
            _ => None,
        })
        .collect();
    (!reasons.is_empty()).then(|| {
        refusal(
            reasons,
            "Find out why, then measure again: a log that fails with some settings is not to be \
             relied on with others."
                .to_owned(),
        )
    })
}

fn unmeasured(evidence: &Evidence<'_>) -> Option<Refusal> {
    let fates = &evidence.observations.fates;
    let first_refusal = fates.iter().find_map(|fate| match fate {
        Fate::Refused(reason) => Some(reason),
        _ => None,
    });
    let all_refused = fates.iter().all(|fate| matches!(fate, Fate::Refused(_)));
    match first_refusal.filter(|_| all_refused) {
        _ if !evidence.candidates.is_empty() || fates.is_empty() => None,
        Some(reason) => Some(refusal(
            vec![format!(
                "None of {} could run here: {reason}",
                counted(fates.len(), "configuration")
            )],
            "Measure settings that this device can run.".to_owned(),
        )),
        None if evidence.observations.blocks.is_empty() => Some(too_few(evidence)),
        None => Some(refusal(
            vec!["No configuration that competes could run here.".to_owned()],
            "Name first, on each axis, a level that this device can run.".to_owned(),
        )),
    }
}

fn too_few_blocks(evidence: &Evidence<'_>) -> Option<Refusal> {
    (evidence.observations.blocks.len() < MIN_BLOCKS).then(|| too_few(evidence))
}

fn too_few(evidence: &Evidence<'_>) -> Refusal {
    let blocks = evidence.observations.blocks.len();
    let planned = evidence.manifest.plan.blocks;
    refusal(
        vec![format!(
            "Only {blocks} of {} complete: with fewer than {MIN_BLOCKS} nothing is known of the \
             error of any number, and what was fastest may be chance.",
            match planned {
                1 => "1 planned block is".to_owned(),
                planned => format!("{planned} planned blocks are"),
            }
        )],
        format!(
            "Measure {} more, or {} more for intervals that hold what they say.",
            counted(MIN_BLOCKS - blocks.min(MIN_BLOCKS), "block"),
            BLOCKS_FOR_A_FULL_INTERVAL - blocks.min(MIN_BLOCKS)
        ),
    )
}

/// Most of the trials that could tell had not settled.
fn transient(evidence: &Evidence<'_>) -> Option<Refusal> {
    let competing = evidence.candidates.iter().map(|candidate| candidate.config);
    let trials: Vec<&TrialResult> =
        competing.flat_map(|config| evidence.observations.trials(config)).collect();
    let judged = trials.iter().filter(|trial| trial.steadiness.is_some()).count();
    let unsettled: Vec<(&TrialResult, u32, &str)> = trials
        .into_iter()
        .filter_map(|trial| match &trial.steadiness {
            Some(Steadiness::Transient { rounds, reason }) => {
                Some((trial, *rounds, reason.as_str()))
            }
            _ => None,
        })
        .collect();
    let (trial, rounds, reason) = *unsettled.first()?;
    (unsettled.len() * 2 > judged).then(|| {
        refusal(
            vec![format!(
                "{} of {} had not settled: of {} in block {}, {reason}",
                unsettled.len(),
                counted(judged, "trial"),
                trial.config_id,
                trial.block
            )],
            format!(
                "Longer trials: more than {} each, or a longer warm-up, so that the device is past \
                 its caches and burst allowance.",
                counted(rounds as usize, "round")
            ),
        )
    })
}

/// Nothing differs from anything, in a run that would not have shown it if it did.
fn lost_in_noise(evidence: &Evidence<'_>) -> Option<Refusal> {
    if evidence.candidates.len() < 2 || is_anything_told_apart(evidence) {
        return None;
    }
    let (disturbed, trials) = counted_trials(evidence.observations);
    let mostly_disturbed = disturbed as f64 >= MOST * trials as f64 && disturbed > 0;
    let allowed = if mostly_disturbed { LOST_IF_DISTURBED_RATIO } else { LOST_IN_NOISE_RATIO };
    let floor = evidence.noise.rate;
    let is_lost = floor.map_or(mostly_disturbed, |floor| floor > allowed);
    if !is_lost {
        return None;
    }
    let mut reasons = vec![match floor {
        Some(floor) => format!(
            "No two configurations can be told apart, and equal runs differ by {} themselves.",
            format_share(floor)
        ),
        None => "No two configurations can be told apart, and how much equal runs differ is not \
                 known."
            .to_owned(),
    }];
    if mostly_disturbed {
        reasons.push(format!(
            "{disturbed} of {} ran while other load was on the machine.",
            counted(trials, "trial")
        ));
    }
    Some(refusal(reasons, more_blocks_or_quiet(evidence.observations)))
}

fn is_anything_told_apart(evidence: &Evidence<'_>) -> bool {
    let tunable = |effect: &&AxisEffect| {
        let key = SettingKey::from_name(&effect.axis);
        key.is_some_and(|key| key != SettingKey::Encryption && !LOAD.contains(&key))
    };
    let by_axis = evidence.axes.iter().filter(tunable).any(|effect| effect.matters);
    let apart = |one: &Candidate, other: &Candidate| {
        [Merit::Rate, Merit::P99]
            .iter()
            .any(|merit| evidence.yardstick.is_clearly_better(*merit, one, other))
    };
    let all = evidence.candidates;
    by_axis || all.iter().any(|one| all.iter().any(|other| apart(one, other)))
}

/// From the scatter of the sentinel's ends: how many blocks bring the noise down.
fn more_blocks_or_quiet(observations: &Observations<'_>) -> String {
    let pairs = observations.sentinels.iter().filter_map(|ends| ends.pair(rate));
    let logs: Vec<f64> = pairs.filter_map(log_ratio).collect();
    let aim = format_share(NOISE_TO_AIM_AT_RATIO);
    match blocks_to_settle(&logs, NOISE_TO_AIM_AT_RATIO.ln_1p()) {
        Some(blocks) => format!(
            "A quiet machine, longer trials, or {} of these, after which equal runs would differ by \
             about {aim}.",
            counted(blocks as usize, "block")
        ),
        None => format!("A quiet machine, or blocks enough that equal runs differ by under {aim}."),
    }
}

/// Why none of the candidates may be taken under the objectives.
pub(crate) fn none_meets(
    slo: &Slo,
    ids: &[&str],
    standings: &[Standing],
    blocks: usize,
) -> Refusal {
    let open: Vec<(&str, &String, Option<f64>)> = ids
        .iter()
        .zip(standings)
        .filter_map(|(id, standing)| match standing {
            Standing::Undecided { why, times_the_sample } => Some((*id, why, *times_the_sample)),
            _ => None,
        })
        .collect();
    let Some((id, why, _)) = open.first() else {
        return Refusal {
            slo_missed: true,
            reasons: vec![format!(
                "{} measured here miss{} {slo}.",
                counted(ids.len(), "configuration"),
                if ids.len() == 1 { "es" } else { "" }
            )],
            settled_by: vec![
                "A looser objective, a faster disk, or other settings than these.".to_owned(),
            ],
        };
    };
    let least = open.iter().filter_map(|(_, _, times)| *times).min_by(f64::total_cmp);
    Refusal {
        slo_missed: false,
        reasons: vec![format!(
            "No configuration is shown to meet {slo}; of {} the run cannot tell, such as {id}: {why}.",
            open.len()
        )],
        settled_by: vec![match least {
            Some(times) => format!(
                "About {}, or trials as much longer.",
                counted(times_as_many(blocks, times), "block")
            ),
            None => "A run that stores its latencies.".to_owned(),
        }],
    }
}

/// Why an objective cannot be judged.
pub(crate) fn not_supported(objective: &str) -> Refusal {
    refusal(
        vec![format!("No configuration's sample supports {objective}.")],
        "Longer trials or more blocks: p99 takes 459 commit groups and p99.9 takes 4,603."
            .to_owned(),
    )
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "positive, and a float-to-integer cast saturates"
)]
fn times_as_many(blocks: usize, times: f64) -> usize {
    ((blocks as f64 * times).ceil() as usize).max(blocks + 1)
}
