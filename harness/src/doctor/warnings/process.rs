//! What this process may not do that a log would like to: io_uring, locked memory, processor time,
//! and writing as fast as the disk.

use serde::Serialize;

use super::Words;
use crate::doctor::facts::{Facts, LogAnswer};
use crate::host::IoUringState;
use crate::units::{format_bytes, format_bytes_per_second, format_rate};
use crate::workload::Choices;

/// Buffers beside those in flight: one is filled, and one is free.
const BUFFERS_BESIDE: u64 = 2;

/// A limit on this process. All of them cost speed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub(crate) enum ProcessWarning {
    /// By the administrator.
    IoUringDisabled {
        /// `kernel.io_uring_disabled`.
        setting: String,
    },
    /// By a seccomp profile, or a kernel without it.
    IoUringRefused {
        /// The kernel's reason.
        reason: String,
    },
    /// An old kernel.
    IoUringLacksOperations {
        /// Which.
        missing: Vec<String>,
    },
    /// Too little memory may be locked.
    BuffersNotRegistered {
        /// What may be locked.
        limit_bytes: u64,
        /// What the buffers take.
        needed_bytes: u64,
    },
    /// Less than one processor.
    ProcessorLimit {
        /// How much.
        processors: f64,
    },
    /// A limit on writing.
    WriteLimit {
        /// Bytes a second.
        bytes_per_second: Option<u64>,
        /// Writes a second.
        writes_per_second: Option<u64>,
    },
}

impl ProcessWarning {
    pub(super) fn words(&self) -> Words {
        match self {
            Self::IoUringDisabled { setting } => Words::new(
                format!(
                    "io_uring is disabled (kernel.io_uring_disabled = {setting}), so that one batch is \
                     written at a time"
                ),
                "sysctl kernel.io_uring_disabled=0, or 1 and the user in kernel.io_uring_group",
            ),
            Self::IoUringRefused { reason } => Words::new(
                format!("io_uring is refused ({reason}), so that one batch is written at a time"),
                "allow io_uring_setup, io_uring_enter and io_uring_register in the container's \
                 seccomp profile",
            ),
            Self::IoUringLacksOperations { missing } => Words::new(
                format!("this kernel's io_uring lacks {}", missing.join(", ")),
                "use Linux 5.6 or newer, or engine = \"blocking\"",
            ),
            Self::BuffersNotRegistered { limit_bytes, needed_bytes } => Words::new(
                format!(
                    "{} may be locked in memory, and io_uring's buffers take {}: they stay \
                     unregistered, and each write is a little dearer",
                    format_bytes(*limit_bytes),
                    format_bytes(*needed_bytes)
                ),
                "raise the limit: LimitMEMLOCK= in systemd, ulimit -l in a shell",
            ),
            Self::ProcessorLimit { processors } => Words::new(
                format!(
                    "this process's cgroup allows {processors} of a processor: when that is used up, \
                     commits wait for the next period"
                ),
                "allow a whole one: CPUQuota= in systemd, --cpus in Docker, limits.cpu in Kubernetes",
            ),
            Self::WriteLimit { bytes_per_second, writes_per_second } => {
                let bytes = bytes_per_second.map(|limit| format_bytes_per_second(limit as f64));
                let writes =
                    writes_per_second.map(|limit| format!("{} writes", format_rate(limit as f64)));
                let limits: Vec<String> = bytes.into_iter().chain(writes).collect();
                Words::new(
                    format!("this process's cgroup allows {} to this disk", limits.join(" and ")),
                    "raise io.max: IOWriteBandwidthMax= and IOWriteIOPSMax= in systemd",
                )
            }
        }
    }
}

pub(super) fn of(facts: &Facts) -> Vec<ProcessWarning> {
    let mut found: Vec<ProcessWarning> = uring(facts).into_iter().collect();
    let processors = facts.environment.cgroup_cpu_limit.filter(|processors| *processors < 1.0);
    found.extend(processors.map(|processors| ProcessWarning::ProcessorLimit { processors }));
    let limits = facts.place.write_limits;
    if limits.bytes_per_second.is_some() || limits.writes_per_second.is_some() {
        found.push(ProcessWarning::WriteLimit {
            bytes_per_second: limits.bytes_per_second,
            writes_per_second: limits.writes_per_second,
        });
    }
    found
}

fn uring(facts: &Facts) -> Option<ProcessWarning> {
    let setting = facts.environment.io_uring_disabled.clone();
    match &facts.io_uring {
        IoUringState::Refused { reason } => Some(match setting.filter(|setting| setting != "0") {
            Some(setting) => ProcessWarning::IoUringDisabled { setting },
            None => ProcessWarning::IoUringRefused { reason: reason.clone() },
        }),
        IoUringState::Usable { missing_operations: missing, .. } if !missing.is_empty() => {
            Some(ProcessWarning::IoUringLacksOperations { missing: missing.clone() })
        }
        IoUringState::Usable { .. } => unregistered(facts),
    }
}

/// What io_uring's buffers take with several batches in flight, bytes.
pub(in crate::doctor) fn registered_bytes(choices: &Choices) -> u64 {
    let in_flight = u64::from(choices.engine_with_several.batches_in_flight);
    choices.buffer_bytes * (in_flight + BUFFERS_BESIDE)
}

/// The kernel counts registered buffers as locked memory (io_uring_register(2)).
fn unregistered(facts: &Facts) -> Option<ProcessWarning> {
    let LogAnswer::Opens { choices } = &facts.log else { return None };
    let needed_bytes = registered_bytes(choices);
    let limit_bytes = facts.environment.memlock_limit_bytes?;
    (!facts.memory_lock_unlimited && limit_bytes < needed_bytes)
        .then_some(ProcessWarning::BuffersNotRegistered { limit_bytes, needed_bytes })
}
