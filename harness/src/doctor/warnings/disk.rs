//! What the disk and its queue do to a log's speed.

use serde::Serialize;

use super::{Severity, Words};
use crate::doctor::class::{self, ROTATING_US_MIN};
use crate::doctor::facts::{Facts, LogAnswer};
use crate::host::{LayerDevice, Transport};
use crate::units::format_us;

/// A property of the disk, or of its queue.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub(crate) enum DiskWarning {
    /// Each durable write is a write and a flush.
    VolatileCacheWithoutFua,
    /// A loop device that writes through the page cache.
    LoopThroughPageCache {
        /// Its name.
        device: String,
        /// Its file.
        backing_file: String,
    },
    /// A scheduler before a disk that needs none.
    SchedulerInTheWay {
        /// The disk.
        device: String,
        /// The scheduler.
        scheduler: String,
    },
    /// A disk that calls itself rotating and is faster than that.
    CalledRotating {
        /// The disk.
        device: String,
        /// Median of a durable write, microseconds.
        durable_write_us: f64,
    },
    /// Buffered writes of others may fill the queue.
    WritebackUnthrottled {
        /// The disk.
        device: String,
    },
    /// The kernel does not say which device this is on.
    NoDeviceSeen,
}

impl DiskWarning {
    pub(super) fn severity(&self) -> Severity {
        match self {
            Self::VolatileCacheWithoutFua
            | Self::LoopThroughPageCache { .. }
            | Self::SchedulerInTheWay { .. } => Severity::Slow,
            Self::CalledRotating { .. }
            | Self::WritebackUnthrottled { .. }
            | Self::NoDeviceSeen => Severity::Note,
        }
    }

    pub(super) fn words(&self) -> Words {
        match self {
            Self::VolatileCacheWithoutFua => Words::new(
                "the disk's write cache is volatile and it has no FUA: each durable write is a write \
                 and a flush of everything",
                "let commits share flushes (several threads, or a commit window); a disk with \
                 power-loss protection needs none",
            ),
            Self::LoopThroughPageCache { device, backing_file } => Words::new(
                format!(
                    "{device} writes to {backing_file} through the page cache: a flush writes all of \
                     it that is dirty, and memory holds everything twice"
                ),
                format!("losetup --direct-io=on /dev/{device}"),
            ),
            Self::SchedulerInTheWay { device, scheduler } => Words::new(
                format!(
                    "{device} sorts requests with {scheduler}, which a disk without heads gains \
                     nothing from"
                ),
                format!("echo none > /sys/block/{device}/queue/scheduler"),
            ),
            Self::CalledRotating { device, durable_write_us } => Words::new(
                format!(
                    "{device} calls itself rotating and makes a block durable in {}: the kernel \
                     spares heads that are not there",
                    format_us(*durable_write_us)
                ),
                format!("echo 0 > /sys/block/{device}/queue/rotational"),
            ),
            Self::WritebackUnthrottled { device } => Words::new(
                format!(
                    "nothing holds back buffered writes to {device}: a large write-back of others can \
                     fill the queue before the log's own writes, which are never held back"
                ),
                format!("where others use it: echo -1 > /sys/block/{device}/queue/wbt_lat_usec"),
            ),
            Self::NoDeviceSeen => Words::new(
                "the kernel does not say which device this is on: cache, limits and queue are unknown",
                "rely on what was measured, and on what is known of the storage otherwise",
            ),
        }
    }
}

pub(super) fn of(facts: &Facts) -> Vec<DiskWarning> {
    let mut found = Vec::new();
    found.extend(facts.place.layers.iter().filter_map(|layer| match &layer.device {
        LayerDevice::Loop { backing_file, direct_io: false } => {
            Some(DiskWarning::LoopThroughPageCache {
                device: layer.name.clone(),
                backing_file: backing_file.clone(),
            })
        }
        _ => None,
    }));
    let Some(queue) = &facts.place.queue else {
        // Where no log can be there is nothing to be known of its disk.
        let opens = matches!(facts.log, LogAnswer::Opens { .. });
        found.extend(opens.then_some(DiskWarning::NoDeviceSeen));
        return found;
    };
    if queue.volatile_cache() == Some(true) && queue.fua != Some(true) {
        found.push(DiskWarning::VolatileCacheWithoutFua);
    }
    let device = || queue.device.clone();
    let p50_us = facts.measured.as_ref().map(|measured| measured.durable_write.p50_us);
    let is_quick = p50_us.is_some_and(|p50_us| p50_us < ROTATING_US_MIN);
    let is_nvme = |disk: &Transport| matches!(disk, Transport::NvmePcie | Transport::NvmeFabrics);
    let disks = facts.disks();
    let needs_none =
        disks.iter().all(|disk| is_nvme(disk) || (class::is_virtual(*disk) && is_quick));
    let scheduler = queue.scheduler.as_deref().filter(|scheduler| *scheduler != "none");
    if let Some(scheduler) = scheduler.filter(|_| needs_none && !disks.is_empty()) {
        let scheduler = scheduler.to_owned();
        found.push(DiskWarning::SchedulerInTheWay { device: device(), scheduler });
    }
    if let Some(durable_write_us) = p50_us.filter(|_| is_quick && queue.rotational == Some(true)) {
        found.push(DiskWarning::CalledRotating { device: device(), durable_write_us });
    }
    if queue.writeback_throttle_us == Some(0) {
        found.push(DiskWarning::WritebackUnthrottled { device: device() });
    }
    found
}
