//! What a run leaves on disk, as types: the manifest, one result per trial, and the analysis.
//!
//! Everything that reports, compares or recommends reads these and never a live run, so the same
//! stored bytes always give the same answer. Units are in the names.

mod parts;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use parts::{ScreenedAxis, Screening, Session, SplitBlock};

/// Version of the files described here, `major.minor`. Readers refuse an unknown major version.
pub(crate) const SCHEMA_VERSION: &str = "1.1";

/// So many rounds in a row have to be alike for a steady state, …
pub(crate) const STEADY_ROUNDS: u32 = 5;

/// … and after so many without one a trial is transient.
pub(crate) const STEADY_ROUNDS_MAX: u32 = 25;

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

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub(crate) enum TrialStatus {
    /// Measured, and every acknowledged record was read back.
    Ok,
    /// The settings cannot be used on this device; nothing was measured.
    Refused {
        /// The library's own sentence.
        reason: String,
    },
    /// An acknowledged record was missing or wrong, or the log failed. Speed is then irrelevant.
    Failed {
        /// What went wrong.
        reason: String,
    },
    /// The log did not keep up with the rate that was offered, or made its caller wait: the numbers
    /// are those of a queue and count in no average.
    Overloaded {
        /// In which way.
        reason: String,
    },
    /// The generator itself was late: nothing is known of the log at this rate, and the numbers
    /// count in no average.
    Invalid {
        /// By how much.
        reason: String,
    },
}

/// Whether a trial's speed had settled while it was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub(crate) enum Steadiness {
    /// The last five rounds were alike, in rate and p99.
    Steady {
        /// Rounds until they were.
        rounds: u32,
    },
    /// They were not.
    Transient {
        /// Rounds that were measured.
        rounds: u32,
        /// What moved, and by how much.
        reason: String,
    },
}

/// One round of a trial that goes on until it is steady.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Round {
    /// Durable commits a second.
    pub rate_per_second: f64,
    /// p99 latency, microseconds, where the round's commit groups support it.
    pub p99_us: Option<f64>,
}

/// What an open loop measured besides: the parts of the latency, and what was not durable in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenLoop {
    /// What was asked of the generator, records a second.
    pub offered_rate_per_second: f64,
    /// Records due in the measured time; those that became durable in it are the `commits`.
    pub due: u64,
    /// From when a record was handed over until it was durable.
    pub service: LatencySummary,
    /// From when it was due until it was handed over.
    pub lag: LatencySummary,
    /// The part of the lag that is the generator's own.
    pub own_lag: LatencySummary,
    /// How long batches were filled.
    pub group_wait: LatencySummary,
    /// From a batch's submission to its completion.
    pub submit_to_complete: LatencySummary,
    /// Records due and not durable at the start of the measured time and at the end of each tenth.
    pub backlog: Vec<u64>,
}

/// Latency percentiles in microseconds. A percentile is `None` when the sample is too small to
/// support it (counted in commit groups: 459 for p99, 4,603 for p99.9, 46,050 for p99.99).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct LatencySummary {
    /// Arithmetic mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 90th percentile.
    pub p90_us: f64,
    /// 99th percentile.
    pub p99_us: Option<f64>,
    /// 99.9th percentile.
    pub p999_us: Option<f64>,
    /// 99.99th percentile.
    pub p9999_us: Option<f64>,
    /// Slowest commit.
    pub max_us: f64,
}

/// What one trial measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct TrialResult {
    /// Schema version, [`SCHEMA_VERSION`] when written.
    pub schema_version: String,
    /// Which configuration.
    pub config_id: String,
    /// Block number from 0.
    pub block: u32,
    /// Position within the block from 0, sentinels included.
    pub position: u32,
    /// Whether this was a sentinel run at the block's start or end; kept out of the effects.
    pub sentinel: bool,
    /// How it ended.
    pub status: TrialStatus,
    /// Wall-clock start, RFC 3339 UTC.
    pub started_utc: String,
    /// Measured seconds, warm-up excluded.
    pub measured_seconds: f64,
    /// Durable commits in that time.
    pub commits: u64,
    /// Batches (device commits) in that time.
    pub commit_groups: u64,
    /// Durable commits a second.
    pub rate_per_second: f64,
    /// Payload bytes made durable a second.
    pub payload_bytes_per_second: f64,
    /// Bytes written to the device for each payload byte (headers, padding, encryption included).
    pub device_bytes_per_payload_byte: f64,
    /// Commit latency: call to durable acknowledgement; in an open loop, from when the record was
    /// due.
    pub latency: LatencySummary,
    /// Processor seconds (user and system) of the whole process in the measured time.
    pub cpu_seconds: f64,
    /// Voluntary and involuntary context switches in the measured time.
    pub context_switches: u64,
    /// Share of processor time stolen by the host, 0 to 1, if the kernel says.
    pub steal_ratio: f64,
    /// Runnable tasks besides our own when the trial ended; over 0 means other load.
    pub other_runnable: f64,
    /// Whether other load on the machine probably disturbed this trial.
    pub disturbed: bool,
    /// Engine that was really used, with the library's reason.
    pub engine_active: String,
    /// Records read back and compared after the trial, warm-up included; with rounds, those that
    /// the log still held.
    pub verified_records: u64,
    /// Whether the speed had settled; `None` where the trial is too short to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steadiness: Option<Steadiness>,
    /// Every round, of a trial that has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<Round>,
    /// What an open loop measured besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenLoop>,
}

/// The device's own speed, measured by the same run with bare writes, no log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Ceiling {
    /// Durable 4 KiB (or one block, if larger) overwrites a second, one at a time: F0.
    pub durable_writes_per_second: f64,
    /// Their median latency, microseconds.
    pub durable_write_p50_us: f64,
    /// Their p99 latency, microseconds.
    pub durable_write_p99_us: f64,
    /// Durable sequential bandwidth with 256 KiB writes, bytes a second.
    pub durable_bytes_per_second: f64,
    /// Block size of the small writes.
    pub block_bytes: u64,
}

/// The machine, as far as it matters for the numbers. Unknown values are `None`, never invented.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Environment {
    /// Host name.
    pub hostname: String,
    /// `uname -sr`.
    pub kernel: String,
    /// Processor model.
    pub cpu_model: Option<String>,
    /// Processors this process may run on.
    pub cpus: u32,
    /// Frequency governor of CPU 0.
    pub cpu_governor: Option<String>,
    /// Of `aes`, `vaes`, `pclmulqdq`, `vpclmulqdq`, `sse4_2`, `avx2`, `avx512f`: those the CPU has.
    pub cpu_crypto_flags: Vec<String>,
    /// Total memory, bytes.
    pub memory_bytes: u64,
    /// cgroup CPU limit in processors, and memory limit in bytes.
    pub cgroup_cpu_limit: Option<f64>,
    /// See above.
    pub cgroup_memory_limit_bytes: Option<u64>,
    /// `/proc/sys/kernel/io_uring_disabled`.
    pub io_uring_disabled: Option<String>,
    /// `RLIMIT_MEMLOCK` soft limit, bytes; `None` when unlimited.
    pub memlock_limit_bytes: Option<u64>,
    /// Directory the log was measured in.
    pub target: String,
    /// File system type.
    pub filesystem: Option<String>,
    /// Mount point and options.
    pub mount_point: Option<String>,
    /// See above.
    pub mount_options: Option<String>,
    /// Free bytes there.
    pub free_bytes: u64,
    /// Block device name below the file system, e.g. `nvme0n1`.
    pub device: Option<String>,
    /// Device model and firmware.
    pub device_model: Option<String>,
    /// See above.
    pub device_firmware: Option<String>,
    /// First 16 hex digits of the SHA-256 of the serial number.
    pub device_serial_hash: Option<String>,
    /// Logical block size, bytes.
    pub logical_block_bytes: Option<u64>,
    /// Physical block size, bytes.
    pub physical_block_bytes: Option<u64>,
    /// `write back` or `write through`.
    pub write_cache: Option<String>,
    /// Whether the device honours FUA.
    pub fua: Option<bool>,
    /// Largest untorn write, bytes.
    pub atomic_write_max_bytes: Option<u64>,
    /// I/O scheduler in force.
    pub scheduler: Option<String>,
    /// Queue depth (`nr_requests`), largest request (`max_sectors_kb`), rotational flag.
    pub queue_limits: BTreeMap<String, String>,
    /// 1-minute load average.
    pub load_average_1m: f64,
    /// Version and git commit of plimsoll, build profile, features.
    pub plimsoll_version: String,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum RunStatus {
    /// Still going, or killed.
    Running,
    /// Every planned block was run.
    Complete,
    /// Stopped at the profile's time budget after whole blocks.
    TimeBudget,
    /// Stopped by Ctrl-C after a whole trial.
    Interrupted,
    /// At least one trial lost or corrupted an acknowledged record.
    Failed,
}

/// Everything that identifies a run: `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// Schema version, [`SCHEMA_VERSION`] when written.
    pub schema_version: String,
    /// Folder name: `<utc>-<host>-<profile>-<id>`.
    pub run_id: String,
    /// Profile name and one-line description.
    pub profile_name: String,
    /// See above.
    pub profile_description: String,
    /// The profile's text, as read.
    pub profile_toml: String,
    /// Whether the profile's rounds follow the SNIA steady-state rule.
    pub snia_steady_state: bool,
    /// The command.
    pub argv: Vec<String>,
    /// Start and end, RFC 3339 UTC.
    pub started_utc: String,
    /// See above; `None` while running.
    pub finished_utc: Option<String>,
    /// How it ended.
    pub status: RunStatus,
    /// The plan and the SHA-256 of its JSON.
    pub plan: Plan,
    /// See above.
    pub plan_sha256: String,
    /// The device's own speed; `None` until it was measured.
    pub ceiling: Option<Ceiling>,
    /// The machine before and after.
    pub environment_before: Environment,
    /// See above.
    pub environment_after: Option<Environment>,
    /// Whether the device's own speed was not wanted (`--no-ceiling`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub without_ceiling: bool,
    /// The time that the run was given (`--time`), seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_seconds: Option<f64>,
    /// What came before the plan, where the time given was too short for every combination. Until
    /// it is through, the plan is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screening: Option<Screening>,
    /// The stretches that the run was measured in, in order: one, and one more for each time that
    /// it was resumed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<Session>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_false(flag: &bool) -> bool {
    !flag
}

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
    /// Whether no other one is clearly better in one of these and clearly worse in none.
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
