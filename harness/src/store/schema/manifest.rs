//! What identifies a run: the machine, the disk and its ceiling, the plan, and how it went.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Plan, Screening, Session};

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
