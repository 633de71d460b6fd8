//! What is to be measured: the settings, what varies, the load, and for how long.

use serde::{Deserialize, Serialize};

/// One point of the sweep: every setting a trial runs with. Field names are those of
/// `plimsoll::SegmentedWalConfig`, with the unit added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Block size every batch is padded to.
    pub alignment_bytes: u64,
    /// Largest batch assembled in memory before it is submitted.
    pub buffer_size_bytes: u64,
    /// How long a batch waits for company before it is submitted; 0 never waits.
    pub commit_window_us: u64,
    /// Target size of one segment file.
    pub segment_size_bytes: u64,
    /// Whether records are sealed with AES-256-GCM.
    pub encryption: bool,
    /// `auto`, `uring` or `blocking`.
    pub engine: String,
    /// `dsync` (the write itself is durable) or `fdatasync` (write, then flush).
    pub durability: String,
    /// Batches in flight at once.
    pub pipeline_depth: u32,
    /// `none`, `allocate`, `zero` or `recycle`.
    pub preparation: String,
    /// Payload bytes of each record; on average where the plan's load has sizes of its own.
    pub record_size_bytes: u64,
    /// Closed-loop clients; without meaning where there is a rate.
    pub clients: u32,
    /// Records that arrive a second, whatever the log does; `None` in a closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<f64>,
}

/// A named point of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Configuration {
    /// Short name used for folders and tables: `c00`, `c01`, …
    pub id: String,
    /// The settings.
    pub settings: Settings,
}

/// One axis of the sweep and its levels in profile order, written as the profile writes them
/// (`"64KiB"`, `"100us"`, `"true"`). The first level is the axis's baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Axis {
    /// Setting name as in a profile: `alignment`, `buffer_size`, …
    pub name: String,
    /// Levels, formatted for people.
    pub levels: Vec<String>,
}

/// What all trials of a plan have in common of their load, where it is not one size from threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanLoad {
    /// What the clients of a closed loop are.
    pub callers: PlanCallers,
    /// Payload bytes of records as a distribution, `mix:256B=90,4KiB=10`; `None` where each
    /// configuration has one size, or a trace has its own.
    pub record_sizes: Option<String>,
    /// Tenants that records are divided between; a trace has its own.
    pub tenants: u32,
    /// Share of each payload that a compressor can take away, 0 to 1.
    pub compressible_ratio: f64,
    /// Recorded traffic that is replayed, faster or slower as a whole to keep the rate.
    pub trace: Option<PlanTrace>,
}

/// What the clients of a closed loop are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum PlanCallers {
    /// Each a thread, which blocks in its commit.
    #[default]
    Threads,
    /// Tasks of one thread, which await their commits.
    Tasks,
}

/// Recorded traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanTrace {
    /// Its file.
    pub path: String,
    /// SHA-256 of its arrivals, sizes and tenants, as hexadecimal digits.
    pub sha256: String,
    /// How many arrivals it has.
    pub records: u64,
    /// Its own rate.
    pub rate_per_second: f64,
}

/// The whole plan, fixed before the first trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// The axes that vary.
    pub axes: Vec<Axis>,
    /// Every combination of the axes, in factorial order (the last axis varies fastest).
    pub configurations: Vec<Configuration>,
    /// Complete blocks to run; each runs every configuration once in a seeded random order.
    pub blocks: u32,
    /// Id of the configuration run at both ends of each block to watch for drift.
    pub sentinel: String,
    /// Measured time of one trial, seconds; with rounds, that of the last five.
    pub trial_seconds: f64,
    /// Discarded time before it, seconds.
    pub warmup_seconds: f64,
    /// Seed of the order, the payloads and the bootstrap.
    pub seed: u64,
    /// What the load is besides the settings; `None` for records of one size, of one tenant, that
    /// do not compress, from threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<PlanLoad>,
    /// Length of a round, seconds, where a trial goes on in rounds until five in a row are steady,
    /// 25 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_seconds: Option<f64>,
}
