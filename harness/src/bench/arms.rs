//! The measurements that cases are put together from.

use super::case::{Arm, Comparison, LARGE_RECORD_BYTES, Log, Value, What};
use super::targets::Target;
use crate::measure::Pages;
use crate::profile::default_settings;
use crate::store::schema::Settings;
use crate::workload::Callers;

/// Records of most cases, bytes.
const SMALL_RECORD_BYTES: u64 = 128;

pub(super) fn compare(
    what: &'static str,
    of: impl Into<Value>,
    against: impl Into<Value>,
    target: Option<Target>,
) -> Comparison {
    Comparison { what, of: of.into(), against: against.into(), target }
}

pub(super) fn blocks() -> Arm {
    Arm { name: "bare block writes", what: What::BareBlocks, beside_busy: false }
}

pub(super) fn large(pages: Pages) -> Arm {
    let name = match pages {
        Pages::Ordinary => "bare 256 KiB writes, ordinary pages",
        Pages::Huge => "bare 256 KiB writes, huge pages",
    };
    Arm { name, what: What::BareLarge(pages), beside_busy: false }
}

pub(super) fn batches_of(log: usize) -> Arm {
    let what = What::BareBatchesOf(log);
    Arm { name: "bare writes of the log's mean batch", what, beside_busy: false }
}

pub(super) fn beside_busy(name: &'static str, arm: &Arm) -> Arm {
    Arm { name, beside_busy: true, ..arm.clone() }
}

pub(super) fn threads(name: &'static str, settings: Settings) -> Arm {
    log(name, settings, Callers::Threads)
}

pub(super) fn tasks(name: &'static str, settings: Settings) -> Arm {
    log(name, settings, Callers::Tasks)
}

pub(super) fn owner(name: &'static str, settings: Settings) -> Arm {
    log(name, settings, Callers::Owner)
}

fn log(name: &'static str, settings: Settings, callers: Callers) -> Arm {
    let what = What::Log(Log { settings, callers, truncated: false });
    Arm { name, what, beside_busy: false }
}

/// The library's defaults: what everybody gets who changes nothing.
pub(super) fn small_records(clients: u32) -> Settings {
    Settings { clients, record_size_bytes: SMALL_RECORD_BYTES, ..default_settings() }
}

pub(super) fn large_records(clients: u32) -> Settings {
    Settings { record_size_bytes: LARGE_RECORD_BYTES, ..small_records(clients) }
}

/// 256 of them are a megabyte, and a batch takes them all.
pub(super) fn large_records_of_tasks() -> Settings {
    Settings { buffer_size_bytes: 2 << 20, ..large_records(256) }
}

/// The same log, truncated under load, so that it uses its old segments again.
pub(super) fn truncated(name: &'static str, log: &Arm) -> Arm {
    changed(name, log, |log| log.truncated = true)
}

/// The same log with a key.
pub(super) fn sealed(name: &'static str, log: &Arm) -> Arm {
    changed(name, log, |log| log.settings.encryption = true)
}

fn changed(name: &'static str, arm: &Arm, change: impl FnOnce(&mut Log)) -> Arm {
    let mut arm = Arm { name, ..arm.clone() };
    if let What::Log(log) = &mut arm.what {
        change(log);
    }
    arm
}
