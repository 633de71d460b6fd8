//! Runs made up from a seed, for the tests of everything that reads stored runs: plausible ones,
//! whose true rates are known, and ones cut short. Only ever compiled for tests.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::schema::{
    Axis, Ceiling, Configuration, Environment, LatencySummary, Manifest, Plan, RunStatus,
    SCHEMA_VERSION, Settings, TrialResult, TrialStatus,
};

const CLIENTS: u32 = 8;
const RECORD_SIZE_BYTES: u64 = 256;

/// A stored run's parts.
pub(crate) struct SyntheticRun {
    pub(crate) manifest: Manifest,
    pub(crate) trials: Vec<TrialResult>,
    pub(crate) latency_ns_by_config: BTreeMap<String, Histogram<u64>>,
}

impl SyntheticRun {
    /// 64 configurations over six axes, five blocks.
    pub(crate) fn full() -> Self {
        Self::build(&full_axes(&["4KiB", "16KiB"]), 5)
    }

    /// The same with a third of the configurations refused by the device.
    pub(crate) fn with_refusals() -> Self {
        Self::build(&full_axes(&["4KiB", "512B", "16KiB"]), 5)
    }

    /// Four configurations, three blocks.
    pub(crate) fn small() -> Self {
        Self::build(&[("engine", &["uring", "blocking"]), ("encryption", &["false", "true"])], 3)
    }

    /// One block: values without intervals, no noise floor.
    pub(crate) fn single_block() -> Self {
        Self::build(&[("commit_window", &["0us", "100us"])], 1)
    }

    /// A plan without configurations, and nothing measured.
    pub(crate) fn empty() -> Self {
        let mut run = Self::build(&[], 0);
        run.manifest.plan.configurations.clear();
        run.manifest.ceiling = None;
        run.manifest.status = RunStatus::Running;
        run.manifest.finished_utc = None;
        run.manifest.environment_before = Environment::default();
        run
    }

    /// Every configuration refused.
    pub(crate) fn all_refused() -> Self {
        let mut run =
            Self::build(&[("alignment", &["512B"]), ("engine", &["uring", "blocking"])], 2);
        run.manifest.ceiling = None;
        run
    }

    /// Every combination of the axes, in as many blocks.
    pub(crate) fn build(axes: &[(&str, &[&str])], blocks: u32) -> Self {
        let plan = plan(axes, blocks);
        let mut noise = Noise(7);
        let trials = trials(&plan, &mut noise);
        let latency_ns_by_config = histograms(&plan, blocks, &mut noise);
        Self { manifest: manifest(plan), trials, latency_ns_by_config }
    }
}

/// SplitMix64: small, seeded, and the same on every machine.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller.
    fn normal(&mut self) -> f64 {
        let (a, b) = (1.0 - self.uniform(), self.uniform());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }
}

fn full_axes<'a>(alignments: &'a [&'a str]) -> Vec<(&'a str, &'a [&'a str])> {
    vec![
        ("alignment", alignments),
        ("buffer_size", &["256KiB", "1MiB"]),
        ("commit_window", &["0us", "100us"]),
        ("segment_size", &["64MiB", "256MiB"]),
        ("encryption", &["false", "true"]),
        ("engine", &["uring", "blocking"]),
    ]
}

fn plan(axes: &[(&str, &[&str])], blocks: u32) -> Plan {
    let combinations = axes.iter().map(|(_, levels)| levels.len()).product();
    let configurations: Vec<Configuration> = (0..combinations)
        .map(|index| {
            let mut settings = baseline_settings();
            let mut remainder: usize = index;
            for (name, levels) in axes.iter().rev() {
                set(&mut settings, name, levels[remainder % levels.len()]);
                remainder /= levels.len();
            }
            Configuration { id: format!("c{index:02}"), settings }
        })
        .collect();
    Plan {
        axes: axes
            .iter()
            .map(|(name, levels)| Axis {
                name: (*name).to_owned(),
                levels: levels.iter().map(|level| (*level).to_owned()).collect(),
            })
            .collect(),
        sentinel: "c00".to_owned(),
        configurations,
        blocks,
        trial_seconds: 5.0,
        warmup_seconds: 1.0,
        seed: 42,
        load: None,
        round_seconds: None,
    }
}

pub(crate) fn baseline_settings() -> Settings {
    Settings {
        alignment_bytes: 4096,
        buffer_size_bytes: 256 << 10,
        commit_window_us: 0,
        segment_size_bytes: 64 << 20,
        encryption: false,
        engine: "uring".to_owned(),
        durability: "dsync".to_owned(),
        pipeline_depth: 1,
        preparation: "allocate".to_owned(),
        record_size_bytes: RECORD_SIZE_BYTES,
        clients: CLIENTS,
        rate_per_second: None,
    }
}

pub(crate) fn set(settings: &mut Settings, name: &str, level: &str) {
    let bytes = || -> u64 {
        let digits: String = level.chars().take_while(char::is_ascii_digit).collect();
        let unit = if level.ends_with("MiB") {
            1 << 20
        } else if level.ends_with("KiB") {
            1 << 10
        } else {
            1
        };
        digits.parse::<u64>().unwrap() * unit
    };
    match name {
        "alignment" => settings.alignment_bytes = bytes(),
        "buffer_size" => settings.buffer_size_bytes = bytes(),
        "commit_window" => {
            settings.commit_window_us = level.trim_end_matches("us").parse().unwrap();
        }
        "segment_size" => settings.segment_size_bytes = bytes(),
        "encryption" => settings.encryption = level == "true",
        "engine" => level.clone_into(&mut settings.engine),
        other => panic!("no such axis: {other}"),
    }
}

/// A rate that follows from the settings alone, with one interaction: a window costs less where
/// the engine is slow anyway.
pub(crate) fn true_rate(settings: &Settings) -> f64 {
    let mut rate = 12_400.0;
    let blocking = settings.engine == "blocking";
    rate *= if settings.alignment_bytes > 4096 { 0.94 } else { 1.0 };
    rate *= if settings.buffer_size_bytes > 256 << 10 { 1.012 } else { 1.0 };
    rate *= match (settings.commit_window_us > 0, blocking) {
        (true, false) => 0.78,
        (true, true) => 0.9,
        _ => 1.0,
    };
    rate *= if settings.encryption { 0.955 } else { 1.0 };
    rate * if blocking { 0.66 } else { 1.0 }
}

pub(crate) fn refusal(settings: &Settings) -> Option<String> {
    (settings.alignment_bytes < 4096).then(|| {
        format!(
            "alignment {} is below the device's physical block size 4096; use 4096 or more",
            settings.alignment_bytes
        )
    })
}

fn trials(plan: &Plan, noise: &mut Noise) -> Vec<TrialResult> {
    let mut trials = Vec::new();
    for block in 0..plan.blocks {
        // The order within a block: a fixed stride visits every configuration once.
        let count = plan.configurations.len();
        let order = (0..count).map(|index| (index * 37 + block as usize * 11) % count);
        let sentinel = [(0, true)];
        let visits = sentinel.into_iter().chain(order.map(|index| (index, false))).chain(sentinel);
        let drift = noise.normal() * 0.008;
        for (position, (index, is_sentinel)) in visits.enumerate() {
            let rate = true_rate(&plan.configurations[index].settings)
                * (1.0 + drift + noise.normal() * 0.007);
            let rate = rounded(rate);
            let disturbed = noise.uniform() < 0.02;
            trials.push(TrialResult {
                config_id: plan.configurations[index].id.clone(),
                block,
                position: u32::try_from(position).expect("few trials"),
                sentinel: is_sentinel,
                disturbed,
                ..trial(plan, index, rate)
            });
        }
    }
    trials
}

fn trial(plan: &Plan, index: usize, rate: f64) -> TrialResult {
    let settings = &plan.configurations[index].settings;
    let commits = whole(rate * plan.trial_seconds);
    TrialResult {
        schema_version: SCHEMA_VERSION.to_owned(),
        config_id: String::new(),
        block: 0,
        position: 0,
        sentinel: false,
        status: refusal(settings).map_or(TrialStatus::Ok, |reason| TrialStatus::Refused { reason }),
        started_utc: "2025-11-22T21:12:00Z".to_owned(),
        measured_seconds: plan.trial_seconds,
        commits,
        commit_groups: commits / 4,
        rate_per_second: rate,
        payload_bytes_per_second: rounded(rate * RECORD_SIZE_BYTES as f64),
        device_bytes_per_payload_byte: settings.alignment_bytes as f64 / 1024.0,
        latency: latency(settings, rate),
        cpu_seconds: rounded(rate * plan.trial_seconds * 21e-6),
        context_switches: commits,
        steal_ratio: 0.0,
        other_runnable: 0.0,
        disturbed: false,
        engine_active: settings.engine.clone(),
        verified_records: commits + commits / 5,
        steadiness: None,
        rounds: Vec::new(),
        open: None,
    }
}

/// Each client has one commit under way, so rate times latency is the number of clients. The tail
/// of a wide batch is longer.
fn latency(settings: &Settings, rate: f64) -> LatencySummary {
    let p50_us = f64::from(CLIENTS) / rate * 1e6;
    let tail = if settings.commit_window_us > 0 { 2.2 } else { 2.6 };
    LatencySummary {
        mean_us: rounded(p50_us * 1.05),
        p50_us: rounded(p50_us),
        p90_us: rounded(p50_us * 1.3),
        p99_us: Some(rounded(p50_us * tail)),
        p999_us: Some(rounded(p50_us * tail * 2.0)),
        p9999_us: None,
        max_us: rounded(p50_us * tail * 4.0),
    }
}

fn histograms(plan: &Plan, blocks: u32, noise: &mut Noise) -> BTreeMap<String, Histogram<u64>> {
    let mut histograms = BTreeMap::new();
    for configuration in &plan.configurations {
        if refusal(&configuration.settings).is_some() {
            continue;
        }
        let rate = true_rate(&configuration.settings);
        let typical_ns = f64::from(CLIENTS) / rate * 1e9;
        let mut histogram = Histogram::new(3).unwrap();
        for _ in 0..blocks * 6_000 {
            let stall =
                if noise.uniform() < 0.012 { 2.5 + 6.0 * noise.uniform().powi(4) } else { 1.0 };
            let latency_ns = typical_ns * stall * (noise.normal() * 0.16).exp();
            histogram.record(whole(latency_ns)).unwrap();
        }
        histograms.insert(configuration.id.clone(), histogram);
    }
    histograms
}

fn manifest(plan: Plan) -> Manifest {
    let environment = Environment {
        hostname: "atlas".to_owned(),
        kernel: "Linux 6.12.9".to_owned(),
        cpu_model: Some("AMD EPYC 9354P 32-Core Processor".to_owned()),
        cpus: 8,
        cpu_governor: Some("performance".to_owned()),
        cpu_crypto_flags: ["aes", "vaes", "pclmulqdq", "sse4_2", "avx2"]
            .map(str::to_owned)
            .to_vec(),
        memory_bytes: 33_445_113_856,
        io_uring_disabled: Some("0".to_owned()),
        memlock_limit_bytes: Some(8 << 20),
        target: "/var/lib/plimsoll".to_owned(),
        filesystem: Some("xfs".to_owned()),
        mount_point: Some("/var/lib".to_owned()),
        mount_options: Some("rw,noatime,attr2,inode64,logbufs=8".to_owned()),
        free_bytes: 812_000_000_000,
        device: Some("nvme0n1".to_owned()),
        device_model: Some("SAMSUNG MZQL2960HCJR-00A07".to_owned()),
        device_firmware: Some("GDC5902Q".to_owned()),
        device_serial_hash: Some("9f86d081884c7d65".to_owned()),
        logical_block_bytes: Some(512),
        physical_block_bytes: Some(4096),
        write_cache: Some("write through".to_owned()),
        fua: Some(true),
        scheduler: Some("none".to_owned()),
        queue_limits: [("nr_requests", "1023"), ("max_sectors_kb", "128"), ("rotational", "0")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        load_average_1m: 0.21,
        plimsoll_version: "0.1.0 (3f2c1ab, release, accelerated-aes)".to_owned(),
        ..Environment::default()
    };
    Manifest {
        schema_version: SCHEMA_VERSION.to_owned(),
        run_id: "20251122T211200Z-atlas-quick-7f3a".to_owned(),
        profile_name: "quick".to_owned(),
        profile_description: "Every axis at two levels, short trials: a first look in half an hour"
            .to_owned(),
        profile_toml: "name = \"quick\"\nblocks = 5\n\n[axes]\nalignment = [\"4KiB\", \"16KiB\"]\n"
            .to_owned(),
        snia_steady_state: false,
        argv: ["plimsoll", "sweep", "quick", "--target", "/var/lib/plimsoll"]
            .map(str::to_owned)
            .to_vec(),
        started_utc: "2025-11-22T21:12:00Z".to_owned(),
        finished_utc: Some("2025-11-22T21:47:12Z".to_owned()),
        status: RunStatus::Complete,
        plan,
        plan_sha256: "5df6e0e2761359d30a8275058e299fcc0381534545f55cf43e41983f5d4c9456".to_owned(),
        ceiling: Some(Ceiling {
            durable_writes_per_second: 3_120.0,
            durable_write_p50_us: 312.0,
            durable_write_p99_us: 540.0,
            durable_bytes_per_second: 412e6,
            block_bytes: 4096,
        }),
        environment_before: environment,
        environment_after: None,
        without_ceiling: false,
        time_seconds: None,
        screening: None,
        sessions: Vec::new(),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "positive, and the cast saturates")]
fn whole(value: f64) -> u64 {
    value as u64
}

/// To three decimals: numbers of few digits read back from JSON exactly.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
