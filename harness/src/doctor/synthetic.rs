//! Machines that tests make up: one that deserves no warning, to be spoilt one property at a time.

use super::facts::{Facts, LogAnswer};
use super::measured::Measured;
use crate::host::{
    DirectIo, IoUringState, Layer, LayerDevice, Nvme, Place, Power, Queue, Transport, WriteLimits,
};
use crate::store::schema::{Environment, LatencySummary};
use crate::workload::{Choices, EngineChoice};

/// A server with an NVMe drive that has power-loss protection, wide awake and quiet.
pub(super) fn server() -> Facts {
    Facts {
        environment: environment(),
        place: place(),
        io_uring: IoUringState::Usable {
            features: vec!["nodrop".into()],
            missing_operations: Vec::new(),
            single_issuer: true,
        },
        memory_lock_unlimited: false,
        direct_io: Some(DirectIo {
            memory_align_bytes: Some(4),
            offset_align_bytes: Some(512),
            atomic_write_unit_min_bytes: Some(0),
            atomic_write_unit_max_bytes: Some(0),
        }),
        log: LogAnswer::Opens { choices: choices() },
        measured: Some(measured(15.0, 3.0, 20.0)),
    }
}

fn environment() -> Environment {
    Environment {
        hostname: "db1".into(),
        kernel: "Linux 6.12.0".into(),
        cpu_model: Some("A processor".into()),
        cpus: 16,
        cpu_governor: Some("performance".into()),
        memory_bytes: 64 << 30,
        io_uring_disabled: Some("0".into()),
        memlock_limit_bytes: Some(8 << 20),
        target: "/data/wal".into(),
        filesystem: Some("xfs".into()),
        mount_point: Some("/data".into()),
        mount_options: Some("rw,noatime".into()),
        free_bytes: 500 << 30,
        device: Some("nvme0n1".into()),
        device_model: Some("Datacentre Drive".into()),
        ..Environment::default()
    }
}

fn place() -> Place {
    Place {
        directory: "/data/wal".into(),
        filesystem_bytes: 1000 << 30,
        layers: vec![
            layer("nvme0n1p1", 0, LayerDevice::Partition { alignment_offset_bytes: Some(0) }),
            layer("nvme0n1", 1, LayerDevice::Disk { transport: Transport::NvmePcie }),
        ],
        queue: Some(Queue {
            device: "nvme0n1".into(),
            logical_block_bytes: Some(4096),
            physical_block_bytes: Some(4096),
            scheduler: Some("none".into()),
            rotational: Some(false),
            writeback_throttle_us: Some(2000),
            write_cache: Some("write through".into()),
            fua: Some(false),
            ..Queue::default()
        }),
        nvme: Some(Nvme {
            controller: "nvme0".into(),
            power_saving_latency_us: Some(0),
            ..Nvme::default()
        }),
        power: Power { device_runtime: Some("on".into()), ..Power::default() },
        write_limits: WriteLimits::default(),
    }
}

pub(super) fn layer(name: &str, depth: u32, device: LayerDevice) -> Layer {
    Layer { name: name.into(), depth, device }
}

fn choices() -> Choices {
    let choice = |batches_in_flight, engine: &str| EngineChoice {
        batches_in_flight,
        engine: engine.into(),
        reason: "a reason".into(),
    };
    Choices {
        block_bytes: 4096,
        buffer_bytes: 256 << 10,
        segment_bytes: 64 << 20,
        segments: 3,
        engine: choice(1, "blocking"),
        engine_with_several: choice(4, "uring"),
    }
}

/// With these medians in microseconds, p99 twice as high, and rounds that agree.
pub(super) fn measured(plain_us: f64, flush_us: f64, durable_us: f64) -> Measured {
    let latency = |p50_us: f64| LatencySummary {
        mean_us: p50_us * 1.05,
        p50_us,
        p90_us: p50_us * 1.2,
        p99_us: Some(p50_us * 2.0),
        max_us: p50_us * 5.0,
        ..LatencySummary::default()
    };
    let f0 = 1e6 / (durable_us * 1.05);
    Measured {
        block_bytes: 4096,
        large_write_bytes: 256 << 10,
        seconds: 3.0,
        durable_writes_per_second: f0,
        durable_writes_per_second_by_round: vec![f0 * 0.98, f0, f0 * 1.02],
        durable_write: latency(durable_us),
        plain_write: latency(plain_us),
        flush: latency(flush_us),
        bytes_per_second: 2e9,
        large_write: latency(120.0),
        durable_bytes_per_second: 1.5e9,
        durable_large_write: latency(170.0),
        steal_ratio: 0.0,
        other_runnable: 0.0,
    }
}

/// The server with another disk at the bottom.
pub(super) fn with_disk(transport: Transport, spoil: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = server();
    facts.place.layers = vec![layer("disk", 0, LayerDevice::Disk { transport })];
    facts.place.nvme = None;
    spoil(&mut facts);
    facts
}

/// The queue, which a made-up machine always has.
pub(super) fn queue(facts: &mut Facts) -> &mut Queue {
    facts.place.queue.as_mut().expect("a queue")
}
