//! What a capacity run leaves on disk, as types: what was asked, one result a trial, and the answer.
//! Its files lie and are written as those of a sweep; the manifest's `kind` tells the two apart.

mod folder;
#[cfg(test)]
pub(crate) mod synthetic;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::schema::{Ceiling, Environment, Estimate, LatencySummary, RunStatus};
use crate::load::{RecordSizes, Slo};

pub(crate) use folder::{CapacityFolder, RunKind, run_kind};

/// What the manifest of a capacity run says it is.
const KIND: &str = "capacity";

/// What was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    /// The objectives, such as `p99=1ms,p99.9=5ms`.
    pub slo: Slo,
    /// Payload bytes of records, such as `256B` or `mix:256B=90,4KiB=10`.
    pub record_sizes: RecordSizes,
    /// Tenants they are divided between.
    pub tenants: u32,
    /// Share of each payload that a compressor can take away, 0 to 1.
    pub compressible_ratio: f64,
    /// The recorded traffic that was replayed, if any; it has its own sizes and tenants.
    pub trace: Option<ReplayedTrace>,
    /// Payload bytes of a record on average.
    pub mean_record_bytes: f64,
    /// The log's settings, by name.
    pub settings: BTreeMap<String, String>,
    /// The file they came from, as read; `None` for the library's defaults.
    pub settings_file: Option<String>,
    /// Whether segments are zeroed ahead of use, so that fresh ones are written twice.
    pub zeroes_ahead: bool,
    /// The search begins here, records a second.
    pub first_rate_per_second: f64,
    /// And never offers more than this.
    pub max_rate_per_second: f64,
    /// Discarded time before each trial, seconds.
    pub warmup_seconds: f64,
    /// Measured time of a probe, seconds; longer where the objectives need a larger sample.
    pub probe_seconds: f64,
    /// Measured time of a confirmation, seconds.
    pub confirm_seconds: f64,
    /// Confirmations at the answer.
    pub confirmations: u32,
    /// The drive's rated endurance, bytes, if it was named.
    pub tbw_bytes: Option<u64>,
    /// Seed of schedules and payloads.
    pub seed: u64,
}

/// Recorded traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayedTrace {
    /// Its file, as it was named.
    pub path: String,
    /// How many arrivals it has.
    pub records: u64,
    /// Its own rate; it is replayed faster or slower as a whole.
    pub rate_per_second: f64,
}

/// Everything that identifies a run: `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CapacityManifest {
    /// Schema version, [`SCHEMA_VERSION`](super::schema::SCHEMA_VERSION) when written.
    pub schema_version: String,
    /// Always `capacity`.
    pub kind: String,
    /// Folder name: `<utc>-<host>-capacity-<id>`.
    pub run_id: String,
    /// The command.
    pub argv: Vec<String>,
    /// Start and end, RFC 3339 UTC.
    pub started_utc: String,
    /// See above; `None` while running.
    pub finished_utc: Option<String>,
    /// How it ended.
    pub status: RunStatus,
    /// What was asked.
    pub question: Question,
    /// The device's own speed; `None` until it was measured.
    pub ceiling: Option<Ceiling>,
    /// The harness's own cost of a record, nanoseconds, offered to a log that does nothing; `None`
    /// until it was measured.
    pub generator_ns_per_record: Option<f64>,
    /// The machine before and after.
    pub environment_before: Environment,
    /// See above.
    pub environment_after: Option<Environment>,
}

/// Why a trial was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Doubling or halving until the objectives break or hold.
    Bracket,
    /// Closing in on where they do.
    Bisect,
    /// Again, and longer, at the answer.
    Confirm,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bracket => "bracket",
            Self::Bisect => "bisect",
            Self::Confirm => "confirm",
        }
    }
}

/// What a trial says of its rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub(crate) enum Verdict {
    /// Carried: every objective met, at least 97 % achieved, no growing backlog.
    Met,
    /// An objective was missed.
    Missed {
        /// By how much.
        reason: String,
    },
    /// The log did not keep up with the rate, or made its caller wait.
    Overloaded {
        /// In which way.
        reason: String,
    },
    /// The generator itself was late: nothing is known of the log at this rate.
    Invalid {
        /// By how much.
        reason: String,
    },
    /// Too few commit groups to know.
    Unsupported {
        /// Groups that would do.
        groups_needed: u64,
    },
    /// An acknowledged record was missing or wrong, or the log failed.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

impl Verdict {
    /// Why it is no better, if there is more to say than the word.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Self::Met | Self::Unsupported { .. } => None,
            Self::Missed { reason }
            | Self::Overloaded { reason }
            | Self::Invalid { reason }
            | Self::Failed { reason } => Some(reason),
        }
    }
}

/// What one trial measured: a line of `journal.ndjson`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CapacityTrial {
    /// Schema version, [`SCHEMA_VERSION`](super::schema::SCHEMA_VERSION) when written.
    pub schema_version: String,
    /// From 0, in the order they ran.
    pub number: u32,
    pub phase: Phase,
    /// What was asked of the generator, records a second.
    pub offered_rate_per_second: f64,
    pub verdict: Verdict,
    /// Wall-clock start, RFC 3339 UTC.
    pub started_utc: String,
    /// Measured seconds, warm-up excluded.
    pub measured_seconds: f64,
    /// Records due in that time.
    pub due: u64,
    /// Records that became durable in it.
    pub answered: u64,
    /// Batches in that time.
    pub commit_groups: u64,
    /// From when a record was due until it was durable.
    pub latency: LatencySummary,
    /// From when it was handed over until it was durable.
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
    /// Payload bytes in the batches of that time.
    pub payload_bytes: u64,
    /// Bytes of log handed to the device in that time.
    pub log_bytes: u64,
    /// Bytes the kernel wrote to the device in that time, zeroed segments and everybody else's
    /// included; `None` if it does not say.
    pub disk_bytes: Option<u64>,
    /// Share of processor time stolen by the host, 0 to 1, if the kernel says.
    pub steal_ratio: f64,
    /// Runnable tasks besides our own when the trial ended; over 0 means other load.
    pub other_runnable: f64,
    /// Whether other load on the machine probably disturbed this trial.
    pub disturbed: bool,
    /// Engine that was really used, with the library's reason.
    pub engine_active: String,
    /// Records read back and compared after the trial, warm-up included.
    pub verified_records: u64,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Finding {
    /// A rate was confirmed.
    Carried,
    /// The objectives are missed even at the lowest rate.
    Impossible,
    /// A rate looked carried and was not confirmed.
    Inconclusive,
    /// The run ended before there was an answer.
    Unfinished,
    /// An acknowledged record was lost or altered, or the log failed.
    Failed,
}

/// `analysis.json`: the answer, made of the manifest and the trials alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CapacityAnalysis {
    /// Schema version, [`SCHEMA_VERSION`](super::schema::SCHEMA_VERSION) when written.
    pub schema_version: String,
    pub finding: Finding,
    /// One sentence.
    pub answer: String,
    /// Records a second: the value was confirmed each time, and the limit lies between the ends.
    pub carried_rate_per_second: Option<Estimate>,
    /// 70 % of it.
    pub advised_rate_per_second: Option<f64>,
    /// Latency at the carried rate: medians over the confirmations.
    pub latency: Option<LatencySummary>,
    /// What stands in the way of more.
    pub limited_by: String,
    /// Bytes of log for each payload byte at the carried rate.
    pub log_bytes_per_payload_byte: Option<f64>,
    /// Bytes the kernel wrote to the device for each payload byte, everybody's included.
    pub disk_bytes_per_payload_byte: Option<f64>,
    /// Bytes of log to the device a second at the advised rate, each written once.
    pub advised_log_bytes_per_second: Option<f64>,
    /// Years until the rated endurance is written at the advised rate without a pause.
    pub life_years_advised: Option<f64>,
    /// The same at the carried rate.
    pub life_years_carried: Option<f64>,
    /// What the life was computed from, or why it was not.
    pub life_basis: String,
    /// What a reader must know before relying on it.
    pub caveats: Vec<String>,
    /// Records read back and compared, all trials together.
    pub verified_records: u64,
}
