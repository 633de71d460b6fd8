//! What class of device this looks like, from what the kernel says of it and from how it behaved.
//! A class is a guess with its reasons beside it; where they do not suffice, the answer is that
//! nobody can tell.

use serde::Serialize;

use super::facts::Facts;
use super::measured::Measured;
use crate::host::{LayerDevice, Transport};
use crate::units::{format_bytes_per_second, format_rate, format_us};

/// Shortest time that a request to a device behind a bus takes, microseconds: the quickest drive
/// there is writes a block in 5 µs by its data sheet (Optane P5800X), before the kernel's share.
const REQUEST_US_MIN: f64 = 6.0;

/// Up to here a durable write is not waiting for flash to be programmed, which takes a few hundred
/// microseconds: something that survives the power answered before that. M. Callaghan ("SSDs, power
/// loss protection and fsync latency", Small Datum, 2026-01-07) found some tens of microseconds for
/// drives with power-loss protection and about a millisecond for one without. The two limits stand
/// well inside that gap, and for what lies between them nothing is said.
const PROTECTED_US_MAX: f64 = 100.0;
const FLUSH_COST_US_MIN: f64 = 300.0;

/// From here on a durable write may have waited for a platter: a quarter of a turn at 15,000 a minute
/// is 1 ms, a whole one at 7,200 is 8.3 ms.
pub(super) const ROTATING_US_MIN: f64 = 1_000.0;

/// A rate at this share of a limit is the limit's doing.
const AT_THE_LIMIT: f64 = 0.8;

/// A token bucket lets writes through at once until it is empty and then makes them wait: few waits,
/// long against the median, that make up most of the time.
const STALLED_MEAN_TO_MEDIAN: f64 = 3.0;
const STALLED_P99_US_MIN: f64 = 5_000.0;

/// From this ratio of two rounds on, neither is believed.
pub(super) const DISTURBED_RATIO: f64 = 2.0;

/// Models of network disks that look like NVMe drives: Amazon EBS, Google Persistent Disk, Azure.
const NETWORK_MODELS: [&str; 3] =
    ["Amazon Elastic Block Store", "nvme_card-pd", "MSFT NVMe Accelerator"];

/// File systems of other machines.
pub(super) const NETWORK_FILESYSTEMS: [&str; 5] = ["nfs", "nfs4", "cifs", "smb3", "ceph"];

/// A class of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeviceClass {
    /// Main memory: gone with the power.
    Memory,
    /// Too fast to be true: flushes are answered and not done.
    IgnoresFlushes,
    /// A file that is used as a disk.
    LoopFile,
    /// Held to a rate by a limit.
    Throttled,
    /// Behind a network.
    Network,
    /// A virtual machine's; what is beneath only the host knows.
    Virtual,
    /// Persistent memory.
    PersistentMemory,
    /// Flash whose cache survives the power: a durable write costs hardly more than a plain one.
    ProtectedFlash,
    /// Flash whose cache has to be flushed, and flushing is what a durable write costs.
    FlashWithFlushCost,
    /// Platters.
    Rotating,
    /// None of these, or more than one.
    CannotTell,
}

impl DeviceClass {
    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Memory => "main memory, gone with the power",
            Self::IgnoresFlushes => "answers flushes without doing them",
            Self::LoopFile => "a file that is used as a disk",
            Self::Throttled => "held to a rate by a limit",
            Self::Network => "network disk",
            Self::Virtual => "virtual disk",
            Self::PersistentMemory => "persistent memory",
            Self::ProtectedFlash => "flash with power-loss protection",
            Self::FlashWithFlushCost => "flash without power-loss protection: each flush costs",
            Self::Rotating => "rotating disk",
            Self::CannotTell => "cannot tell",
        }
    }
}

/// A class and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Classified {
    /// The class.
    pub class: DeviceClass,
    /// Sentences, the one that decided first.
    pub reasons: Vec<String>,
}

/// Decides. Rules that rest on the kernel's word come before those that rest on the clock.
pub(super) fn classify(facts: &Facts) -> Classified {
    let decided = by_kind(facts).or_else(|| match &facts.measured {
        Some(measured) => by_clock(facts, measured),
        None => elsewhere(facts),
    });
    let (class, reason) = decided.unwrap_or_else(|| (DeviceClass::CannotTell, undecided(facts)));
    let mut reasons = vec![reason];
    reasons.extend(facts.measured.as_ref().map(in_numbers));
    Classified { class, reasons }
}

type Decision = (DeviceClass, String);

/// What the kernel's word alone decides.
fn by_kind(facts: &Facts) -> Option<Decision> {
    let filesystem = facts.environment.filesystem.as_deref().unwrap_or("");
    if ["tmpfs", "ramfs"].contains(&filesystem) {
        return Some((DeviceClass::Memory, format!("{filesystem} is a file system in memory")));
    }
    if NETWORK_FILESYSTEMS.contains(&filesystem) {
        return Some((DeviceClass::Network, format!("{filesystem} is another machine's")));
    }
    let disks = facts.disks();
    let all = |of: fn(Transport) -> bool| !disks.is_empty() && disks.iter().all(|disk| of(*disk));
    if all(|disk| disk == Transport::Memory) {
        return Some((DeviceClass::Memory, "the disk at the bottom is in main memory".to_owned()));
    }
    facts.place.layers.iter().find_map(|layer| match &layer.device {
        LayerDevice::Loop { backing_file, .. } => {
            Some((DeviceClass::LoopFile, format!("{} is the file {backing_file}", layer.name)))
        }
        _ => None,
    })
}

/// What the kernel's word and the clock decide together.
fn by_clock(facts: &Facts, measured: &Measured) -> Option<Decision> {
    let (low, high) = measured.f0_range();
    if high >= low * DISTURBED_RATIO {
        let (low, high) = (format_rate(low), format_rate(high));
        let reason = format!("the rounds contradict each other: {low} and {high} durable writes");
        return Some((DeviceClass::CannotTell, reason));
    }
    let disks = facts.disks();
    let persistent = |disk: &Transport| *disk == Transport::PersistentMemory;
    if !disks.is_empty() && disks.iter().all(persistent) {
        let reason = "the disk at the bottom is persistent memory".to_owned();
        return Some((DeviceClass::PersistentMemory, reason));
    }
    ignores_flushes(facts, measured)
        .or_else(|| throttled(facts, measured))
        .or_else(|| elsewhere(facts))
        .or_else(|| rotating(facts, measured))
        .or_else(|| flash(facts, measured))
}

/// Whether the disk answers faster than a disk can.
fn ignores_flushes(facts: &Facts, measured: &Measured) -> Option<Decision> {
    let queue = facts.place.queue.as_ref()?;
    let needs_flush = queue.volatile_cache() == Some(true) && queue.fua != Some(true);
    let (requests, least_us) = if needs_flush {
        ("a write and a flush", 2.0 * REQUEST_US_MIN)
    } else {
        ("a write", REQUEST_US_MIN)
    };
    let p50_us = measured.durable_write.p50_us;
    (p50_us < least_us).then(|| {
        let reason = format!(
            "a durable write takes {}, and {requests} at least {} on any disk behind a bus",
            format_us(p50_us),
            format_us(least_us)
        );
        (DeviceClass::IgnoresFlushes, reason)
    })
}

fn throttled(facts: &Facts, measured: &Measured) -> Option<Decision> {
    let limits = facts.place.write_limits;
    let at_limit = |rate: f64, limit: Option<u64>| {
        limit.is_some_and(|limit| rate >= limit as f64 * AT_THE_LIMIT)
    };
    let f0 = measured.durable_writes_per_second;
    let bandwidth = measured.bytes_per_second.max(measured.durable_bytes_per_second);
    if at_limit(f0, limits.writes_per_second) || at_limit(bandwidth, limits.bytes_per_second) {
        let reason = format!(
            "{} and {} are what this process's cgroup allows",
            format_rate(f0),
            format_bytes_per_second(bandwidth)
        );
        return Some((DeviceClass::Throttled, reason));
    }
    let latency = &measured.durable_write;
    let p99_us = latency.p99_us?;
    let waits = latency.mean_us >= latency.p50_us * STALLED_MEAN_TO_MEDIAN;
    let of_a_host = elsewhere(facts).is_some();
    (of_a_host && waits && p99_us >= STALLED_P99_US_MIN).then(|| {
        let reason = format!(
            "most durable writes take {} and a few {} and more, as where a disk's rate is limited \
             by its host",
            format_us(latency.p50_us),
            format_us(p99_us)
        );
        (DeviceClass::Throttled, reason)
    })
}

/// A disk that is another machine's, or this one's host's.
fn elsewhere(facts: &Facts) -> Option<Decision> {
    let model = facts.environment.device_model.as_deref().unwrap_or("");
    if let Some(known) = NETWORK_MODELS.iter().find(|known| model.starts_with(**known)) {
        return Some((DeviceClass::Network, format!("the model is {known}")));
    }
    let disks = facts.disks();
    let first = |of: fn(Transport) -> bool| disks.iter().copied().find(|disk| of(*disk));
    if let Some(disk) = first(is_network) {
        return Some((DeviceClass::Network, format!("it is attached by {}", disk.words())));
    }
    let disk = first(is_virtual)?;
    let reason = format!(
        "it is attached by {}: what is beneath, and whether it keeps what it has flushed, only the \
         host knows",
        disk.words()
    );
    Some((DeviceClass::Virtual, reason))
}

fn is_network(disk: Transport) -> bool {
    matches!(disk, Transport::NvmeFabrics | Transport::Iscsi | Transport::Network)
}

pub(super) fn is_virtual(disk: Transport) -> bool {
    matches!(disk, Transport::Virtio | Transport::Xen | Transport::HyperV)
}

fn rotating(facts: &Facts, measured: &Measured) -> Option<Decision> {
    let says_so = facts.place.queue.as_ref()?.rotational == Some(true);
    let p50_us = measured.durable_write.p50_us;
    says_so.then(|| {
        let took = format_us(p50_us);
        if p50_us >= ROTATING_US_MIN {
            let reason = format!("it says so, and a durable write takes {took}");
            (DeviceClass::Rotating, reason)
        } else {
            let reason = format!(
                "it calls itself rotating, but a durable write takes {took}, for which no platter \
                 turns: a controller's cache answers, or it is none"
            );
            (DeviceClass::CannotTell, reason)
        }
    })
}

fn flash(facts: &Facts, measured: &Measured) -> Option<Decision> {
    let queue = facts.place.queue.as_ref()?;
    if queue.rotational != Some(false) {
        return None;
    }
    let durable_us = measured.durable_write.p50_us;
    let plain_us = measured.plain_write.p50_us;
    let (durable, plain) = (format_us(durable_us), format_us(plain_us));
    if durable_us <= PROTECTED_US_MAX {
        let reason = format!(
            "a durable write takes {durable}, less than programming flash does ({} and more): its \
             cache survives the power, or it says so falsely",
            format_us(FLUSH_COST_US_MIN)
        );
        return Some((DeviceClass::ProtectedFlash, reason));
    }
    (durable_us >= FLUSH_COST_US_MIN && queue.volatile_cache() != Some(false)).then(|| {
        let reason = format!("a plain write takes {plain}, and {durable} until it is durable");
        (DeviceClass::FlashWithFlushCost, reason)
    })
}

fn undecided(facts: &Facts) -> String {
    let (Some(measured), Some(_)) = (&facts.measured, &facts.place.queue) else {
        let missing =
            if facts.measured.is_none() { "nothing was measured" } else { "no device is seen" };
        return format!("{missing}, and what else the kernel says does not decide it");
    };
    let p50_us = measured.durable_write.p50_us;
    let took = format_us(p50_us);
    if p50_us >= FLUSH_COST_US_MIN {
        return format!(
            "a durable write takes {took}, as if flash had to be programmed, but the disk says that \
             its cache needs no flush"
        );
    }
    format!(
        "a durable write takes {took}: too long for a protected cache ({}), too short for flushing \
         flash ({})",
        format_us(PROTECTED_US_MAX),
        format_us(FLUSH_COST_US_MIN)
    )
}

fn in_numbers(measured: &Measured) -> String {
    format!(
        "measured: {} to write a block, {} to flush it, {} for both at once",
        format_us(measured.plain_write.p50_us),
        format_us(measured.flush.p50_us),
        format_us(measured.durable_write.p50_us)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::synthetic::{measured, queue, server, with_disk};
    use crate::host::WriteLimits;

    fn spoilt(spoil: impl FnOnce(&mut Facts)) -> Facts {
        let mut facts = server();
        spoil(&mut facts);
        facts
    }

    #[test]
    fn classes_follow_from_the_kernels_word_and_the_clock() {
        let clocked = |transport, plain_us, durable_us| {
            with_disk(transport, |facts| {
                queue(facts).write_cache = Some("write back".into());
                queue(facts).fua = Some(true);
                facts.measured = Some(measured(plain_us, durable_us, durable_us));
            })
        };
        let rotating = |durable_us| {
            let mut facts = clocked(Transport::Sas, 30.0, durable_us);
            queue(&mut facts).rotational = Some(true);
            facts
        };
        let model = |name: &str| {
            let mut facts = clocked(Transport::NvmePcie, 400.0, 700.0);
            facts.environment.device_model = Some(name.into());
            facts
        };
        let unmeasured = |transport| with_disk(transport, |facts| facts.measured = None);
        let nfs = spoilt(|facts| facts.environment.filesystem = Some("nfs4".into()));
        let mut slow_through = clocked(Transport::Ata, 15.0, 900.0);
        queue(&mut slow_through).write_cache = Some("write through".into());
        let tmpfs = spoilt(|facts| facts.environment.filesystem = Some("tmpfs".into()));
        for (facts, expected) in [
            (clocked(Transport::NvmePcie, 15.0, 30.0), DeviceClass::ProtectedFlash),
            (clocked(Transport::NvmePcie, 15.0, 900.0), DeviceClass::FlashWithFlushCost),
            (clocked(Transport::Ata, 40.0, 2_000.0), DeviceClass::FlashWithFlushCost),
            (clocked(Transport::NvmePcie, 15.0, 200.0), DeviceClass::CannotTell),
            (clocked(Transport::NvmePcie, 2.0, 4.0), DeviceClass::IgnoresFlushes),
            (clocked(Transport::Virtio, 2.0, 4.0), DeviceClass::IgnoresFlushes),
            (clocked(Transport::Virtio, 20.0, 45.0), DeviceClass::Virtual),
            (clocked(Transport::NvmeFabrics, 90.0, 95.0), DeviceClass::Network),
            (model("Amazon Elastic Block Store"), DeviceClass::Network),
            (model("Amazon EC2 NVMe Instance Storage"), DeviceClass::FlashWithFlushCost),
            (clocked(Transport::PersistentMemory, 1.0, 2.0), DeviceClass::PersistentMemory),
            (clocked(Transport::Memory, 1.0, 2.0), DeviceClass::Memory),
            (rotating(8_400.0), DeviceClass::Rotating),
            (rotating(80.0), DeviceClass::CannotTell),
            (unmeasured(Transport::NvmePcie), DeviceClass::CannotTell),
            (unmeasured(Transport::Virtio), DeviceClass::Virtual),
            (tmpfs, DeviceClass::Memory),
            (nfs, DeviceClass::Network),
            (slow_through, DeviceClass::CannotTell),
        ] {
            let found = classify(&facts);
            assert_eq!(found.class, expected, "{found:?}");
            assert!(found.reasons.iter().all(|reason| reason.len() > 10), "{found:?}");
        }
        // A write and a flush are two requests: together they take longer than one.
        let mut flushed = clocked(Transport::Ata, 4.0, 9.0);
        assert_eq!(classify(&flushed).class, DeviceClass::ProtectedFlash);
        queue(&mut flushed).fua = Some(false);
        assert_eq!(classify(&flushed).class, DeviceClass::IgnoresFlushes);
    }

    #[test]
    fn a_rate_at_a_limit_is_the_limits() {
        let limited = |writes_per_second| {
            spoilt(|facts| {
                let limits = WriteLimits { writes_per_second, ..WriteLimits::default() };
                facts.place.write_limits = limits;
            })
        };
        // F0 is 47,600 a second.
        assert_eq!(classify(&limited(Some(50_000))).class, DeviceClass::Throttled);
        assert_eq!(classify(&limited(Some(200_000))).class, DeviceClass::ProtectedFlash);
        // A host's token bucket: quick until it is empty.
        let bucket = |transport| {
            with_disk(transport, |facts| {
                let measured = facts.measured.as_mut().expect("measured");
                measured.durable_write.mean_us = 200.0;
                measured.durable_write.p99_us = Some(9_000.0);
            })
        };
        assert_eq!(classify(&bucket(Transport::Virtio)).class, DeviceClass::Throttled);
        assert_eq!(classify(&bucket(Transport::NvmePcie)).class, DeviceClass::ProtectedFlash);
    }
}
