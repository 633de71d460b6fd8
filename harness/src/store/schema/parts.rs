//! The parts that a run may have been measured in: sessions, where it was resumed, and a screening,
//! where the time given was too short for every combination of the levels.

use serde::{Deserialize, Serialize};

use super::{LevelEffect, Plan};

/// One stretch of a run: from its start, or a resumption, to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Session {
    /// Start, RFC 3339 UTC.
    pub started_utc: String,
    /// End; `None` while it lasts, and when it was killed.
    pub finished_utc: Option<String>,
    /// The command.
    pub argv: Vec<String>,
    /// Process that measured. What it left in the target, if it was killed, bears this number.
    pub process_id: u32,
    /// Trials that were stored before it, those of the screening included.
    pub trials_before: u64,
    /// The block in whose middle it took up, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_block: Option<SplitBlock>,
    /// What was not as when the run began. Of another machine, device or build: because `--force`
    /// said so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
}

/// A block of which some trials were run before a pause and the others after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SplitBlock {
    /// Whether it is a block of the screening.
    pub screening: bool,
    /// Block number from 0.
    pub block: u32,
    /// From the end of the last trial before the pause to the resumption, seconds.
    pub pause_seconds: f64,
}

/// What was done first to find out which axes are worth the time: a fraction of all combinations.
/// Its trials lie under `screening/` in the run's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Screening {
    /// Which fraction, in a sentence for people.
    pub design: String,
    /// Its plan: all axes, and of their combinations those that were run.
    pub plan: Plan,
    /// SHA-256 of the plan's JSON.
    pub plan_sha256: String,
    /// What it found, in the profile's order. Empty until it is through.
    pub axes: Vec<ScreenedAxis>,
}

/// What the screening found of one axis, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct ScreenedAxis {
    /// Axis name.
    pub axis: String,
    /// The levels that were compared, the first one with ratio exactly 1.
    pub levels: Vec<LevelEffect>,
    /// The level that it was held at afterwards; `None` where the plan varies it.
    pub held_at: Option<String>,
    /// One plain sentence for people.
    pub sentence: String,
}
