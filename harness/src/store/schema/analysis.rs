//! What follows from a run's trials.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Configuration, Manifest};

/// A value with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// One configuration over all its blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigurationSummary {
    /// Which.
    pub config_id: String,
    /// Trials that ended well.
    pub trials_ok: u32,
    /// Trials marked as disturbed by other load.
    pub trials_disturbed: u32,
    /// If it could not run: why.
    pub refused: Option<String>,
    /// Commits a second: median over blocks, bootstrap interval.
    pub rate_per_second: Option<Estimate>,
    /// p50 latency, microseconds.
    pub p50_us: Option<Estimate>,
    /// p99 latency, microseconds.
    pub p99_us: Option<Estimate>,
    /// p99.9 of all blocks' histograms merged, if the sample supports it.
    pub p999_us: Option<f64>,
    /// Median bytes to the device per payload byte.
    pub device_bytes_per_payload_byte: Option<f64>,
    /// Median processor microseconds a commit.
    pub cpu_us_per_commit: Option<f64>,
}

/// What changing one axis from its baseline level to another did, everything else equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct LevelEffect {
    /// The level.
    pub level: String,
    /// Ratio of commits a second against the baseline level (1 = no change): geometric mean over
    /// matched configurations, interval bootstrapped over blocks.
    pub rate_ratio: Option<Estimate>,
    /// The same for p99 latency (above 1 = slower).
    pub p99_ratio: Option<Estimate>,
}

/// The effect of one axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct AxisEffect {
    /// Axis name.
    pub axis: String,
    /// Its baseline level.
    pub baseline: String,
    /// Every level, the baseline first with ratio exactly 1.
    pub levels: Vec<LevelEffect>,
    /// Whether any level's interval excludes 1 by more than the noise floor.
    pub matters: bool,
    /// What the run shows of it; absent from runs of version 1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<AxisVerdict>,
    /// One plain sentence for people.
    pub sentence: String,
}

/// What a run shows of an axis: that no effect was seen says nothing of whether there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum AxisVerdict {
    /// A level differs from the baseline by more than the noise floor.
    Matters,
    /// Every level's interval lies inside the smallest change worth a setting.
    DoesNotMatter,
    /// Neither is shown.
    CannotTell,
}

/// Two axes of which the one does something else depending on the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Interaction {
    /// The axis that is changed, and to which level.
    pub axis: String,
    /// See above.
    pub level: String,
    /// The axis it depends on, and its level that is held against its baseline.
    pub other_axis: String,
    /// See above.
    pub other_level: String,
    /// `rate` or `p99`.
    pub metric: String,
    /// What `level` does where the other axis is at its baseline, as a ratio.
    pub ratio_at_baseline: f64,
    /// What it does where the other axis is at `other_level`.
    pub ratio_at_other_level: f64,
    /// The second ratio by the first (1 = they do not interact), interval bootstrapped over blocks.
    pub interaction_ratio: Estimate,
    /// Chance of such a one where there is none, adjusted for all that were looked at (Holm).
    pub adjusted_p: f64,
    /// One plain sentence for people.
    pub sentence: String,
}

/// Which interactions were looked for, and those that noise does not explain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Interactions {
    /// How many were looked at: pairs of levels of pairs of axes, for each metric.
    pub tested: u32,
    /// The strongest first.
    pub found: Vec<Interaction>,
}

/// One configuration as a point between what can be traded for each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct FrontPoint {
    /// Which.
    pub config_id: String,
    /// Durable commits a second.
    pub rate_per_second: f64,
    /// 99th percentile latency, where the sample supports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<f64>,
    /// 99.9th percentile latency, where the sample supports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p999_us: Option<f64>,
    /// Bytes to the device per payload byte.
    pub device_bytes_per_payload_byte: f64,
    /// Processor microseconds a commit.
    pub cpu_us_per_commit: f64,
    /// Memory for buffers: two more than are in flight.
    pub memory_bytes: u64,
    /// Whether no other one is clearly better in one of these and seems worse in none.
    pub on_front: bool,
    /// Whether it meets the objectives; absent where none were asked for or the run cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meets_slo: Option<bool>,
}

/// Where the front bends: from here on a little more rate costs much latency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Knee {
    /// The configuration at the bend.
    pub config_id: String,
    /// The fastest one.
    pub fastest_id: String,
    /// Rate at the bend by that of the fastest.
    pub rate_ratio: f64,
    /// p99 at the bend by that of the fastest.
    pub p99_ratio: f64,
    /// Whether the slope behind it is steep enough to step back from.
    pub steep: bool,
    /// One plain sentence for people.
    pub sentence: String,
}

/// Why nothing is recommended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    /// Whether objectives were asked for that every configuration is known to miss.
    pub slo_missed: bool,
    /// What is wrong with the measurements, a sentence each.
    pub reasons: Vec<String>,
    /// What would settle it, a sentence each.
    pub settled_by: Vec<String>,
}

/// What was asked, where it is not what a run is concluded for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Objectives for latency, `p99=1ms,p99.9=5ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<String>,
    /// What to optimise, as on the command line.
    pub objective: String,
}

/// The settings to run, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Recommendation {
    /// Which configuration.
    pub config_id: String,
    /// Configurations whose rate cannot be told from the best one's, best first, the chosen one
    /// included.
    pub ties: Vec<String>,
    /// Setting name to one sentence that says why this value.
    pub reasons: BTreeMap<String, String>,
    /// What a reader must know before relying on it (short trials, disturbed, drift, …).
    pub caveats: Vec<String>,
}

/// `analysis.json`: everything derived from the trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Analysis {
    /// Schema version, [`SCHEMA_VERSION`] when written.
    pub schema_version: String,
    /// Whole blocks that entered the analysis.
    pub blocks: u32,
    /// The machine's own noise: half-width of the 95 % interval of the sentinel's log-ratio between
    /// the two ends of a block, as a ratio minus 1 (0.03 = 3 %).
    pub noise_floor_ratio: Option<f64>,
    /// In plan order.
    pub configurations: Vec<ConfigurationSummary>,
    /// In plan order.
    pub axes: Vec<AxisEffect>,
    /// The choice; absent where the measurements do not support one.
    pub recommendation: Option<Recommendation>,
    /// Why there is none, where something was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// Every configuration with estimates that competes, in plan order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub front: Vec<FrontPoint>,
    /// Where the front bends, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knee: Option<Knee>,
    /// Interactions; absent where the plan is no full grid of two axes or more, or too few blocks
    /// were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interactions: Option<Interactions>,
    /// Arrivals a second below which a commit window finds nobody to wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_helps_from_per_second: Option<f64>,
    /// The question, where it was another than `sweep` and `report` ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
}

impl Analysis {
    /// The configuration that is recommended.
    pub(crate) fn recommended<'a>(&self, manifest: &'a Manifest) -> Option<&'a Configuration> {
        let chosen = self.recommendation.as_ref()?;
        manifest.plan.configurations.iter().find(|known| known.id == chosen.config_id)
    }
}
