//! What a reader must know before relying on the recommendation.

use std::collections::BTreeMap;

use crate::profile::SettingKey;
use crate::stats::{MIN_BLOCKS, geometric_mean};
use crate::store::parts::part_caveats;
use crate::store::schema::{
    Analysis, Environment, Manifest, RunStatus, Settings, Steadiness, TrialResult,
};
use crate::units::{format_change, format_change_estimate, format_share};

use super::choice::{Choice, LOAD, varies};
use super::noise::Noise;
use super::observations::{Fate, Observations, rate};
use super::wording::counted;

/// Noise above which small effects are out of reach.
const LOUD_NOISE_RATIO: f64 = 0.05;

/// Blocks from which on a median's 95 % interval can hold what it says: from n values none covers
/// it more often than `1 - 2^(1-n)`.
pub(crate) const BLOCKS_FOR_A_FULL_INTERVAL: usize = 6;

/// Every caveat that applies, the gravest first. `undecided` are configurations of which the run
/// cannot tell whether they meet the objectives.
pub(crate) fn caveats(
    manifest: &Manifest,
    observations: &Observations<'_>,
    noise: &Noise,
    choice: &Choice,
    analysis: &Analysis,
    undecided: &[String],
) -> Vec<String> {
    let mut found = broken_configurations(manifest, observations);
    found.extend(part_caveats(manifest));
    found.extend(block_caveats(manifest, observations));
    found.extend(unsettled(observations, choice));
    if !undecided.is_empty() {
        found.push(format!(
            "Whether {} meet{} the objectives this run cannot tell; left out: {}.",
            counted(undecided.len(), "more configuration"),
            if undecided.len() == 1 { "s" } else { "" },
            undecided.join(", ")
        ));
    }
    found.extend(noise_caveats(observations, noise));
    found.extend(load_caveats(manifest, choice));
    found.extend(edge_caveats(manifest, choice, analysis));
    if !manifest.snia_steady_state {
        found.push(format!(
            "Rounds are short ({} s) and not SNIA steady state: a drive that slows down after \
             minutes of writing would not have shown it.",
            manifest.plan.trial_seconds
        ));
    }
    found
}

fn broken_configurations(manifest: &Manifest, observations: &Observations<'_>) -> Vec<String> {
    let mut refusals: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut found, mut not_kept) = (Vec::new(), Vec::new());
    for (configuration, fate) in manifest.plan.configurations.iter().zip(&observations.fates) {
        match fate {
            Fate::RateNotKept(reason) => not_kept.push((&configuration.id, reason)),
            Fate::Refused(reason) => *refusals.entry(reason).or_default() += 1,
            Fate::Measured | Fate::Unmeasured | Fate::Failed(_) => {}
        }
    }
    if manifest.status == RunStatus::Failed {
        found.push("The run is marked as failed: look into why before relying on it.".to_owned());
    }
    if let Some((id, reason)) = not_kept.first() {
        found.push(format!(
            "{} excluded, since the rate was not kept in every trial; {id}, for one: {reason}",
            counted(not_kept.len(), "configuration")
        ));
    }
    found.extend(refusals.into_iter().map(|(reason, count)| {
        format!("{} could not run here: {reason}", counted(count, "configuration"))
    }));
    found
}

fn block_caveats(manifest: &Manifest, observations: &Observations<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let blocks = observations.blocks.len();
    let planned = manifest.plan.blocks;
    if (blocks as u64) < u64::from(planned) {
        found.push(format!("Only {blocks} of {planned} planned blocks are complete."));
    }
    if blocks < BLOCKS_FOR_A_FULL_INTERVAL {
        found.push(format!(
            "The 95 % intervals rest on {blocks} blocks and are narrower than they claim; \
             {BLOCKS_FOR_A_FULL_INTERVAL} or more carry them."
        ));
    }
    let (disturbed, trials) = counted_trials(observations);
    if disturbed > 0 {
        found.push(format!(
            "{disturbed} of {} ran while other load was on the machine.",
            counted(trials, "trial")
        ));
    }
    found
}

/// How many trials were disturbed, and how many there are, sentinels included.
pub(crate) fn counted_trials(observations: &Observations<'_>) -> (usize, usize) {
    let configurations = 0..observations.plan.configurations.len();
    let ordinary = configurations.flat_map(|config| observations.trials(config));
    let sentinels = observations.sentinels.iter().flat_map(|ends| [ends.opening, ends.closing]);
    ordinary.chain(sentinels).fold((0, 0), |(disturbed, trials), trial| {
        (disturbed + usize::from(trial.disturbed), trials + 1)
    })
}

/// Trials of the chosen configuration whose speed had not settled.
fn unsettled(observations: &Observations<'_>, choice: &Choice) -> Option<String> {
    let is_transient =
        |trial: &&TrialResult| matches!(trial.steadiness, Some(Steadiness::Transient { .. }));
    let trials: Vec<&TrialResult> = observations.trials(choice.config).collect();
    let transient = trials.iter().copied().filter(is_transient).count();
    (transient > 0).then(|| {
        format!(
            "{transient} of {} of these settings had not settled when measured.",
            counted(trials.len(), "trial")
        )
    })
}

fn noise_caveats(observations: &Observations<'_>, noise: &Noise) -> Vec<String> {
    let mut found = Vec::new();
    match noise.rate {
        Some(floor) if floor > LOUD_NOISE_RATIO => found.push(format!(
            "The machine's own noise is {}: smaller effects cannot be seen in this run.",
            format_share(floor)
        )),
        None if observations.blocks.len() >= MIN_BLOCKS => found.push(
            "The noise floor is unknown: fewer than 3 blocks have both sentinel runs.".to_owned(),
        ),
        _ => {}
    }
    if let Some(drift) = noise.drift.filter(|drift| drift.low > 1.0 || drift.high < 1.0) {
        found.push(format!(
            "The machine drifts within a block: the sentinel's rate changed by {} from its start \
             to its end.",
            format_change_estimate(&drift)
        ));
    }
    found.extend(drift_over_the_run(observations, noise));
    found
}

/// The sentinel in the later half of the blocks against the earlier half.
fn drift_over_the_run(observations: &Observations<'_>, noise: &Noise) -> Option<String> {
    let speeds: Vec<f64> = observations
        .sentinels
        .iter()
        .filter_map(|ends| geometric_mean(&[rate(ends.opening)?, rate(ends.closing)?]))
        .collect();
    if speeds.len() < 4 {
        return None;
    }
    let half = speeds.len() / 2;
    let early = geometric_mean(&speeds[..half])?;
    let late = geometric_mean(&speeds[speeds.len() - half..])?;
    let ratio = late / early;
    let threshold = noise.rate_threshold().max(LOUD_NOISE_RATIO);
    (ratio.max(1.0 / ratio) - 1.0 > threshold).then(|| {
        format!(
            "The machine drifted over the run: the sentinel's rate changed by {} from the first \
             half of the blocks to the second.",
            format_change(ratio)
        )
    })
}

fn load_caveats(manifest: &Manifest, choice: &Choice) -> Vec<String> {
    let settings = &manifest.plan.configurations[choice.config].settings;
    LOAD.into_iter()
        .filter(|key| varies(&manifest.plan, *key))
        .map(|key| {
            format!(
                "{} varied: these settings are for {}, the first level; another load may want \
                 others.",
                key.name(),
                key.text(settings)
            )
        })
        .collect()
}

/// An axis that matters, with the chosen level at its end: the best may lie beyond.
fn edge_caveats(manifest: &Manifest, choice: &Choice, analysis: &Analysis) -> Vec<String> {
    let plan = &manifest.plan;
    let chosen = &plan.configurations[choice.config].settings;
    let mattering = analysis.axes.iter().filter(|effect| effect.matters);
    mattering
        .filter_map(|effect| {
            let key = SettingKey::from_name(&effect.axis)?;
            let own = tunable_number(key, chosen)?;
            let all = plan.configurations.iter();
            let levels: Vec<u64> = all
                .filter_map(|configuration| tunable_number(key, &configuration.settings))
                .collect();
            let (lowest, highest) = (levels.iter().min()?, levels.iter().max()?);
            let value = key.text(chosen);
            if lowest == highest {
                None
            } else if own == *highest {
                Some(format!(
                    "{value} is the largest {} of this run and {} matters: try more than {value}.",
                    effect.axis, effect.axis
                ))
            } else if own == *lowest && own > smallest_possible(key, &manifest.environment_before) {
                Some(format!(
                    "{value} is the smallest {} of this run and {} matters: try less than {value}.",
                    effect.axis, effect.axis
                ))
            } else {
                None
            }
        })
        .collect()
}

/// The value of a setting of the log that is a number and can be moved further.
fn tunable_number(key: SettingKey, settings: &Settings) -> Option<u64> {
    match key {
        SettingKey::Alignment => Some(settings.alignment_bytes),
        SettingKey::BufferSize => Some(settings.buffer_size_bytes),
        SettingKey::CommitWindow => Some(settings.commit_window_us),
        SettingKey::SegmentSize => Some(settings.segment_size_bytes),
        SettingKey::PipelineDepth => Some(u64::from(settings.pipeline_depth)),
        SettingKey::Encryption
        | SettingKey::Engine
        | SettingKey::Durability
        | SettingKey::Preparation
        | SettingKey::RecordSize
        | SettingKey::Clients
        | SettingKey::Rate => None,
    }
}

/// The least the setting can be; nobody should be told to try less.
fn smallest_possible(key: SettingKey, environment: &Environment) -> u64 {
    match key {
        // Below the physical block a write can tear its neighbours, and the library refuses.
        SettingKey::Alignment => {
            environment.physical_block_bytes.or(environment.logical_block_bytes).unwrap_or(512)
        }
        SettingKey::BufferSize => 4096,
        SettingKey::PipelineDepth => 1,
        _ => 0,
    }
}
