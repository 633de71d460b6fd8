//! A capacity run made up for the tests of everything that reads one: it doubles from 1,000 a second,
//! breaks between 8,000 and 16,000, and is confirmed at 10,000.

use super::*;
use crate::store::schema::SCHEMA_VERSION;

/// Complete, under `p99=1ms,p99.9=5ms`.
pub(crate) fn manifest() -> CapacityManifest {
    let settings = [("engine", "auto"), ("segment_size", "64MiB")];
    CapacityManifest {
        schema_version: SCHEMA_VERSION.to_owned(),
        kind: KIND.to_owned(),
        run_id: "20260301T020000Z-db1-capacity-3f9a".into(),
        argv: ["plimsoll", "capacity", "--slo", "p99=1ms,p99.9=5ms"].map(str::to_owned).to_vec(),
        started_utc: "2026-03-01T02:00:00.000Z".into(),
        finished_utc: Some("2026-03-01T02:04:00.000Z".into()),
        status: RunStatus::Complete,
        question: Question {
            slo: "p99=1ms,p99.9=5ms".parse().expect("objectives"),
            record_sizes: "256B".parse().expect("a size"),
            tenants: 1,
            compressible_ratio: 0.0,
            trace: None,
            mean_record_bytes: 256.0,
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            settings_file: None,
            zeroes_ahead: true,
            first_rate_per_second: 1_000.0,
            max_rate_per_second: 1e6,
            warmup_seconds: 1.0,
            probe_seconds: 5.0,
            confirm_seconds: 30.0,
            confirmations: 3,
            tbw_bytes: Some(600_000_000_000_000),
            seed: 1,
        },
        ceiling: Some(Ceiling {
            durable_writes_per_second: 12_000.0,
            durable_write_p50_us: 80.0,
            durable_write_p99_us: 140.0,
            durable_bytes_per_second: 1.8e9,
            block_bytes: 4_096,
        }),
        generator_ns_per_record: Some(150.0),
        environment_before: Environment { hostname: "db1".into(), ..Environment::default() },
        environment_after: None,
    }
}

/// A trial at this rate; latency grows with it, and breaks the objectives above 10,000 a second.
pub(crate) fn trial(number: u32, phase: Phase, rate: f64) -> CapacityTrial {
    let seconds = if phase == Phase::Confirm { 30.0 } else { 5.0 };
    // Whole numbers are read back from JSON as they were written.
    let p99_us = (100.0 + rate / 12.0).round();
    let latency = LatencySummary {
        mean_us: p99_us / 2.0,
        p50_us: (p99_us / 3.0).round(),
        p90_us: (p99_us / 1.5).round(),
        p99_us: Some(p99_us),
        p999_us: Some(p99_us * 3.0),
        p9999_us: None,
        max_us: p99_us * 10.0,
    };
    let verdict = match rate {
        rate if rate > 15_000.0 => Verdict::Overloaded { reason: "only 80.0 % of it".into() },
        rate if p99_us > 1_000.0 => Verdict::Missed { reason: format!("p99 at {rate:.0}") },
        _ => Verdict::Met,
    };
    #[allow(clippy::cast_possible_truncation, reason = "positive and small")]
    let due = (rate * seconds) as u64;
    CapacityTrial {
        schema_version: SCHEMA_VERSION.to_owned(),
        number,
        phase,
        offered_rate_per_second: rate,
        verdict,
        started_utc: "2026-03-01T02:00:00.000Z".into(),
        measured_seconds: seconds,
        due,
        answered: due,
        commit_groups: due / 2,
        service: latency.clone(),
        lag: latency.clone(),
        own_lag: latency.clone(),
        group_wait: latency.clone(),
        submit_to_complete: latency.clone(),
        latency,
        backlog: vec![3; 11],
        payload_bytes: due * 256,
        log_bytes: due * 2_560,
        disk_bytes: Some(due * 5_120),
        steal_ratio: 0.0,
        other_runnable: 0.0,
        disturbed: false,
        engine_active: "blocking: chosen".into(),
        verified_records: due + 10,
    }
}

/// All of them.
pub(crate) fn trials() -> Vec<CapacityTrial> {
    let rates = [
        (Phase::Bracket, 1_000.0),
        (Phase::Bracket, 8_000.0),
        (Phase::Bracket, 16_000.0),
        (Phase::Bisect, 11_000.0),
        (Phase::Bisect, 10_000.0),
        (Phase::Confirm, 10_000.0),
        (Phase::Confirm, 10_000.0),
        (Phase::Confirm, 10_000.0),
    ];
    (0..).zip(rates).map(|(number, (phase, rate))| trial(number, phase, rate)).collect()
}
