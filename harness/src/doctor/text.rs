//! An examination for people: a line for each fact, the measurements in a table, then the class,
//! the warnings and what to do next.

use std::fmt::Write;
use std::path::Path;

use super::facts::{Facts, LogAnswer};
use super::measured::Measured;
use super::verdict::{Examination, Told, Verdict};
use super::warnings::{KEY_BYTES, registered_bytes};
use crate::host::{IoUringState, Layer, LayerDevice, Place};
use crate::store::schema::{Environment, LatencySummary};
use crate::units::{
    format_bytes, format_bytes_per_second, format_data, format_rate, format_seconds, format_us,
};

/// Column in which the values begin.
const VALUE_COLUMN: usize = 16;

/// What the kernel does not say.
const UNKNOWN: &str = "unknown";

/// Everything. Writing to a String cannot fail, so those results are passed over.
pub(super) fn all(examination: &Examination, target: &Path) -> String {
    let facts = &examination.facts;
    let mut text = String::new();
    let mut section = |lines: Vec<(&str, String)>| {
        for (name, value) in lines {
            let _ = writeln!(text, "{name:VALUE_COLUMN$}{value}");
        }
        text.push('\n');
    };
    section(place(facts));
    section(machine(facts));
    section(device(facts));
    if let Some(measured) = &facts.measured {
        section(measurements(measured));
    }
    section(conclusion(examination));
    let told = warnings(examination);
    text.push_str(if told.is_empty() { "No warnings.\n" } else { &told });
    if examination.verdict != Verdict::Refused {
        let target = target.display();
        let _ = write!(
            text,
            "\nNext: plimsoll sweep profiles/quick.toml --target {target}\n      \
             plimsoll capacity --slo p99=5ms --target {target}\n"
        );
    }
    text
}

/// The warnings alone, two lines each.
pub(super) fn warnings(examination: &Examination) -> String {
    let mut text = String::new();
    for Told { severity, sentence, remedy, .. } in &examination.warnings {
        let _ = writeln!(text, "{severity:8}  {sentence}\n          To do: {remedy}");
    }
    text
}

fn place(facts: &Facts) -> Vec<(&'static str, String)> {
    let Facts { environment, place, .. } = facts;
    let target = if place.directory == environment.target {
        environment.target.clone()
    } else {
        format!("{} (not there yet; examined: {})", environment.target, place.directory)
    };
    let filesystem = environment.filesystem.as_deref().unwrap_or(UNKNOWN);
    let mount_point = environment.mount_point.as_deref().unwrap_or(UNKNOWN);
    vec![
        ("Target", target),
        ("File system", format!("{filesystem} on {mount_point}")),
        ("Mount options", or_unknown(environment.mount_options.clone())),
        ("Free", free(environment, place)),
        ("Direct I/O", direct_io(facts)),
    ]
}

fn free(environment: &Environment, place: &Place) -> String {
    if place.filesystem_bytes == 0 {
        return UNKNOWN.to_owned();
    }
    let [free, all] =
        [environment.free_bytes, place.filesystem_bytes].map(|bytes| format_data(bytes as f64));
    format!("{free} of {all}")
}

fn direct_io(facts: &Facts) -> String {
    let Some(found) = facts.direct_io else { return UNKNOWN.to_owned() };
    let align = |bytes: Option<u64>| bytes.map_or_else(|| UNKNOWN.to_owned(), format_bytes);
    let untorn = match (found.atomic_write_unit_min_bytes, found.atomic_write_unit_max_bytes) {
        (Some(0) | None, _) | (_, None) => "no untorn writes".to_owned(),
        (Some(min), Some(max)) => {
            format!("untorn writes {} to {}", format_bytes(min), format_bytes(max))
        }
    };
    match found.offset_align_bytes {
        Some(0) => "none".to_owned(),
        offset => {
            let memory = align(found.memory_align_bytes);
            format!("offsets by {}, memory by {memory}; {untorn}", align(offset))
        }
    }
}

fn machine(facts: &Facts) -> Vec<(&'static str, String)> {
    let environment = &facts.environment;
    let processor = environment.cpu_model.as_deref().unwrap_or("processor of unknown model");
    let flags: String =
        environment.cpu_crypto_flags.iter().map(|flag| format!(", {flag}")).collect();
    vec![
        ("Host", format!("{}, {}", environment.hostname, environment.kernel)),
        ("Processor", format!("{} of {processor}{flags}", environment.cpus)),
        ("Power", power(facts)),
        ("cgroup limits", limits(facts)),
        ("Locked memory", locked_memory(facts)),
        ("io_uring", io_uring(&facts.io_uring)),
    ]
}

fn power(facts: &Facts) -> String {
    let power = &facts.place.power;
    let governor = facts.environment.cpu_governor.as_deref().unwrap_or("none");
    let mut parts = vec![format!("governor {governor}")];
    let mut more = |name: &str, value: Option<String>| {
        parts.extend(value.map(|value| format!("{name} {value}")));
    };
    more("preference", power.cpu_energy_preference.clone());
    more("idle driver", power.cpu_idle_driver.clone());
    more("idle exit up to", power.cpu_idle_exit_us_max.map(|us| format_us(us as f64)));
    let nvme = facts.place.nvme.as_ref().and_then(|nvme| nvme.power_saving_latency_us);
    more("NVMe wake-up up to", nvme.map(|us| format_us(us as f64)));
    more("disk runtime power", power.device_runtime.clone());
    more("SATA link", power.sata_link_policy.clone());
    parts.join(", ")
}

fn limits(facts: &Facts) -> String {
    let environment = &facts.environment;
    let writes = facts.place.write_limits;
    let none = || "no limit".to_owned();
    let processors = environment.cgroup_cpu_limit.map_or_else(none, |limit| limit.to_string());
    let memory = environment.cgroup_memory_limit_bytes.map_or_else(none, format_bytes);
    let bytes = writes.bytes_per_second.map(|limit| format_bytes_per_second(limit as f64));
    let rate = writes.writes_per_second.map(|limit| format_rate(limit as f64));
    let writing: Vec<String> = bytes.into_iter().chain(rate).collect();
    let writing = if writing.is_empty() { none() } else { writing.join(" and ") };
    format!("processors {processors}, memory {memory}, writing {writing}")
}

fn locked_memory(facts: &Facts) -> String {
    let limit = facts.environment.memlock_limit_bytes;
    let mut text = limit.map_or_else(|| "no limit".to_owned(), format_bytes);
    if facts.memory_lock_unlimited {
        text.push_str(", which does not bind this process (CAP_IPC_LOCK)");
    }
    let _ = write!(text, "; a log locks up to {} of keys", format_bytes(KEY_BYTES));
    if let LogAnswer::Opens { choices } = &facts.log {
        let buffers = format_bytes(registered_bytes(choices));
        let in_flight = choices.engine_with_several.batches_in_flight;
        let _ = write!(text, ", and io_uring's buffers, {buffers} with {in_flight} in flight");
    }
    text
}

fn io_uring(state: &IoUringState) -> String {
    match state {
        IoUringState::Refused { reason } => format!("refused: {reason}"),
        IoUringState::Usable { features, missing_operations, single_issuer } => {
            let missing = match missing_operations.as_slice() {
                [] => "all operations".to_owned(),
                missing => format!("lacks {}", missing.join(", ")),
            };
            let issuer = if *single_issuer { "; rings of one thread" } else { "" };
            format!("{missing}; {}{issuer}", features.join(", "))
        }
    }
}

fn device(facts: &Facts) -> Vec<(&'static str, String)> {
    let environment = &facts.environment;
    let mut lines = vec![("Device", stack(&facts.place.layers))];
    lines.push(("Model", model(environment)));
    lines.push(("NVMe", nvme(&facts.place)));
    let Some(queue) = &facts.place.queue else { return lines };
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| UNKNOWN.to_owned(), format_bytes);
    let optimal = queue.optimal_io_bytes.map_or_else(|| "none".to_owned(), format_bytes);
    lines.push((
        "Blocks",
        format!(
            "logical {}, physical {}, preferred {optimal}",
            bytes(queue.logical_block_bytes),
            bytes(queue.physical_block_bytes)
        ),
    ));
    let flag = |flag: Option<bool>| match flag {
        Some(true) => "yes",
        Some(false) => "no",
        None => UNKNOWN,
    };
    let cache = or_unknown(queue.write_cache.clone());
    lines.push(("Write cache", format!("{cache}, FUA {}", flag(queue.fua))));
    let untorn = match queue.atomic_write_unit_max_bytes {
        Some(0) => "none promised".to_owned(),
        unit => bytes(unit),
    };
    lines.push(("Untorn writes", untorn));
    let number = |number: Option<u64>| number.map_or_else(|| UNKNOWN.to_owned(), |n| n.to_string());
    let throttle = match queue.writeback_throttle_us {
        Some(0) => "off".to_owned(),
        Some(us) => format_us(us as f64),
        None => "none".to_owned(),
    };
    lines.push((
        "Queue",
        format!(
            "{}, {} requests of up to {}, nomerges {}, write-back throttle {throttle}, polling {}",
            queue.scheduler.as_deref().unwrap_or("no scheduler"),
            number(queue.requests_max),
            bytes(queue.request_bytes_max),
            number(queue.nomerges),
            flag(queue.polling)
        ),
    ));
    let zones = queue.zone_model.as_deref().unwrap_or(UNKNOWN);
    let (rotating, discard) = (flag(queue.rotational), flag(queue.discard));
    lines.push(("Kind", format!("rotating {rotating}, discard {discard}, zones {zones}")));
    lines
}

/// `loop0 (file /x, direct) on vda (virtio)`; parts of the same layer are joined by a plus sign.
fn stack(layers: &[Layer]) -> String {
    let mut text = String::new();
    let mut depth_before = 0;
    for (index, Layer { name, depth, device }) in layers.iter().enumerate() {
        if index > 0 {
            text.push_str(if *depth > depth_before { " on " } else { " + " });
        }
        depth_before = *depth;
        let _ = match device {
            LayerDevice::Partition { .. } => write!(text, "{name} (partition)"),
            LayerDevice::Loop { backing_file, direct_io } => {
                let how = if *direct_io { "direct" } else { "through the page cache" };
                write!(text, "{name} (file {backing_file}, {how})")
            }
            LayerDevice::Mapped { mapped_name, made_by } => {
                let made_by = made_by.as_deref().unwrap_or("device mapper");
                write!(text, "{name} ({made_by} {})", mapped_name.as_deref().unwrap_or("unnamed"))
            }
            LayerDevice::Raid { level } => {
                write!(text, "{name} ({})", level.as_deref().unwrap_or("RAID"))
            }
            LayerDevice::Disk { transport } => write!(text, "{name} ({})", transport.words()),
        };
    }
    if text.is_empty() { "none that the kernel names".to_owned() } else { text }
}

fn model(environment: &Environment) -> String {
    let firmware = environment.device_firmware.as_ref();
    let serial = environment.device_serial_hash.as_ref();
    let parts = [
        environment.device_model.clone(),
        firmware.map(|firmware| format!("firmware {firmware}")),
        serial.map(|hash| format!("serial (hashed) {hash}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { UNKNOWN.to_owned() } else { parts.join(", ") }
}

fn nvme(place: &Place) -> String {
    let Some(nvme) = &place.nvme else { return "none".to_owned() };
    let text = |value: &Option<String>| or_unknown(value.clone());
    let number = |value: Option<u64>| value.map_or_else(|| UNKNOWN.to_owned(), |n| n.to_string());
    format!(
        "{}, namespace {}, {} queues of {} over {}, {}",
        nvme.controller,
        number(nvme.namespace),
        number(nvme.queues),
        number(nvme.queue_entries),
        text(&nvme.transport),
        text(&nvme.state)
    )
}

fn measurements(measured: &Measured) -> Vec<(&'static str, String)> {
    let line = |rate: &str, latency: &LatencySummary| {
        let p99 = latency.p99_us.map_or_else(|| "too few".to_owned(), format_us);
        let [p50, max] = [latency.p50_us, latency.max_us].map(format_us);
        format!("{rate:>10}   p50 {p50:>8}   p99 {p99:>8}   max {max:>8}")
    };
    let f0 = format_rate(measured.durable_writes_per_second);
    let plain = format_bytes_per_second(measured.bytes_per_second);
    let durable = format_bytes_per_second(measured.durable_bytes_per_second);
    let block = format_bytes(measured.block_bytes);
    let large = format_bytes(measured.large_write_bytes);
    vec![
        (
            "Measured",
            format!(
                "{}: blocks of {block}, then {large} in sequence",
                format_seconds(measured.seconds)
            ),
        ),
        ("  durable (F0)", line(&f0, &measured.durable_write)),
        ("  plain", line("", &measured.plain_write)),
        ("  flush alone", line("", &measured.flush)),
        ("  sequential", line(&plain, &measured.large_write)),
        ("  and durable", line(&durable, &measured.durable_large_write)),
    ]
}

fn conclusion(examination: &Examination) -> Vec<(&'static str, String)> {
    let class = &examination.class;
    let mut lines = vec![("Class", class.class.words().to_owned())];
    lines.extend(class.reasons.iter().map(|reason| ("", reason.clone())));
    if let LogAnswer::Opens { choices } = &examination.facts.log {
        let block = format_bytes(choices.block_bytes);
        lines.push(("Log", format!("opens here, with blocks of {block}")));
        for choice in [&choices.engine, &choices.engine_with_several] {
            let (in_flight, engine, reason) =
                (choice.batches_in_flight, &choice.engine, &choice.reason);
            lines.push(("Engine", format!("{engine} with {in_flight} in flight: {reason}")));
        }
    } else {
        lines.push(("Log", "does not open here".to_owned()));
    }
    let window = examination.advice.window_useless_from_per_second;
    lines.extend(window.map(|rate| {
        let (rate, apart) = (format_rate(rate), format_us(1e6 / rate));
        let sentence = format!(
            "no help from {rate} of arrivals on (2/F0, {apart} apart): company comes by itself"
        );
        ("Commit window", sentence)
    }));
    lines
}

fn or_unknown(value: Option<String>) -> String {
    value.unwrap_or_else(|| UNKNOWN.to_owned())
}
