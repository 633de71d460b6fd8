//! What a run leaves on disk, as types: the manifest, one result per trial, and the analysis.
//!
//! Everything that reports, compares or recommends reads these and never a live run, so the same
//! stored bytes always give the same answer. Units are in the names.

mod analysis;
mod manifest;
mod parts;
mod plan;
mod trial;

pub(crate) use analysis::{
    Analysis, Asked, AxisEffect, AxisVerdict, ConfigurationSummary, Estimate, FrontPoint,
    Interaction, Interactions, Knee, LevelEffect, Recommendation, Refusal,
};
pub(crate) use manifest::{Ceiling, Environment, Manifest, RunStatus};
pub(crate) use parts::{ScreenedAxis, Screening, Session, SplitBlock};
pub(crate) use plan::{Axis, Configuration, Plan, PlanCallers, PlanLoad, PlanTrace, Settings};
pub(crate) use trial::{LatencySummary, OpenLoop, Round, Steadiness, TrialResult, TrialStatus};

/// Version of the files described here, `major.minor`. Readers refuse an unknown major version.
pub(crate) const SCHEMA_VERSION: &str = "1.1";

/// So many rounds in a row have to be alike for a steady state, …
pub(crate) const STEADY_ROUNDS: u32 = 5;

/// … and after so many without one a trial is transient.
pub(crate) const STEADY_ROUNDS_MAX: u32 = 25;
