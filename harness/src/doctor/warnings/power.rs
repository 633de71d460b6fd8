//! What goes to sleep between two commits, and how long waking up takes.

use serde::Serialize;

use super::{Severity, Words};
use crate::doctor::facts::Facts;
use crate::units::format_us;

/// From here on waking up shows beside a durable write of a fast disk.
const IDLE_EXIT_US_MIN: u64 = 100;

/// Link policies that let a SATA link sleep
/// (Documentation/ABI/testing/sysfs-class-scsi_host); `max_performance` does not.
const SLEEPING_LINKS: [&str; 3] = ["min_power", "min_power_with_partial", "med_power_with_dipm"];

/// Something that saves power.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub(crate) enum PowerWarning {
    /// A processor that is kept slow.
    ProcessorKeptSlow {
        /// The governor, or the preference, that does it.
        setting: String,
    },
    /// A processor that sleeps deeply.
    DeepIdle {
        /// Time to wake up, microseconds.
        exit_us: u64,
    },
    /// A disk that may sleep, or the link to it.
    DiskMaySleep {
        /// What lets it.
        setting: String,
    },
    /// An NVMe controller that may sleep by itself.
    NvmeMaySleep {
        /// The controller.
        controller: String,
        /// Longest time that it may take to wake up, microseconds.
        latency_us: u64,
    },
}

impl PowerWarning {
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::ProcessorKeptSlow { .. } => Severity::Slow,
            Self::DeepIdle { .. } | Self::DiskMaySleep { .. } | Self::NvmeMaySleep { .. } => {
                Severity::Note
            }
        }
    }

    pub(super) fn words(&self) -> Words {
        match self {
            Self::ProcessorKeptSlow { setting } => Words::new(
                format!("the processor is kept slow to save power ({setting})"),
                "cpupower frequency-set -g performance; where there is one, \
                 energy_performance_preference = performance",
            ),
            Self::DeepIdle { exit_us } => Words::new(
                format!(
                    "the processor may sleep so deeply that waking up takes {}, which a commit pays \
                     that waits for the disk",
                    format_us(*exit_us as f64)
                ),
                "cpupower idle-set -D 10, where latency matters more than power",
            ),
            Self::DiskMaySleep { setting } => Words::new(
                format!("the disk may sleep ({setting}): the first commit after a pause wakes it"),
                "power/control = on, link_power_management_policy = max_performance",
            ),
            Self::NvmeMaySleep { controller, latency_us } => Words::new(
                format!(
                    "{controller} may sleep by itself, and the first commit after a pause wait up to \
                     {} for it",
                    format_us(*latency_us as f64)
                ),
                format!("echo 0 > /sys/class/nvme/{controller}/power/pm_qos_latency_tolerance_us"),
            ),
        }
    }
}

pub(super) fn of(facts: &Facts) -> Vec<PowerWarning> {
    let power = &facts.place.power;
    let mut found: Vec<PowerWarning> = kept_slow(facts)
        .map(|setting| PowerWarning::ProcessorKeptSlow { setting })
        .into_iter()
        .collect();
    let exit_us = power.cpu_idle_exit_us_max.filter(|exit_us| *exit_us >= IDLE_EXIT_US_MIN);
    found.extend(exit_us.map(|exit_us| PowerWarning::DeepIdle { exit_us }));
    let runtime = power.device_runtime.as_deref().filter(|control| *control == "auto");
    let link = power.sata_link_policy.as_deref().filter(|link| SLEEPING_LINKS.contains(link));
    let settings = runtime
        .map(|control| format!("power/control = {control}"))
        .into_iter()
        .chain(link.map(|policy| format!("link_power_management_policy = {policy}")));
    found.extend(settings.map(|setting| PowerWarning::DiskMaySleep { setting }));
    let nvme = facts.place.nvme.as_ref();
    found.extend(nvme.and_then(|nvme| {
        let latency_us = nvme.power_saving_latency_us.filter(|latency_us| *latency_us > 0)?;
        Some(PowerWarning::NvmeMaySleep { controller: nvme.controller.clone(), latency_us })
    }));
    found
}

/// With the drivers of Intel and AMD the governor `powersave` is the one that follows the load, and
/// the preference decides (Documentation/admin-guide/pm/intel_pstate.rst, amd-pstate.rst).
fn kept_slow(facts: &Facts) -> Option<String> {
    let power = &facts.place.power;
    let driver = power.cpu_frequency_driver.as_deref().unwrap_or("");
    let follows_load = driver.starts_with("intel_pstate") || driver.starts_with("amd-pstate");
    let governor = facts.environment.cpu_governor.as_deref();
    if governor == Some("powersave") && !follows_load {
        return Some("governor powersave".to_owned());
    }
    let preference = power.cpu_energy_preference.as_deref();
    let saving = preference.filter(|preference| ["power", "balance_power"].contains(preference))?;
    Some(format!("energy preference {saving}"))
}
