//! What one trial measured, and how it ended.

use serde::{Deserialize, Serialize};

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
