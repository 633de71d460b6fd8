//! What `--dry-run` prints: what is asked, and how long and how much it takes at most.

use std::fmt::Write;

use super::search::{LONGER_TIMES_MAX, RESOLUTION_RATIO, STEPS_BACK};
use super::trial::trial_bytes;
use crate::store::capacity::{CapacityManifest, Question};
use crate::units::{format_data, format_rate, format_seconds};
use crate::workload::LogConfig;

/// Seconds around a trial for each second of its load, and apart from that: opening, reading back,
/// removing.
const OVERHEAD_PER_SECOND: f64 = 0.1;
const OVERHEAD_SECONDS: f64 = 0.3;

/// Assumed as long as nobody has measured it: an NVMe drive in its middle age.
const ASSUMED_DURABLE_WRITES_PER_SECOND: f64 = 20_000.0;

/// Most that a search can cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cost {
    probes: u32,
    seconds: f64,
    bytes: f64,
}

/// For people. Writing to a String cannot fail, so those results are passed over.
pub(super) fn text(manifest: &CapacityManifest, config: &LogConfig) -> String {
    let question = &manifest.question;
    let cost = cost(question, config);
    let mut text = String::from("The highest rate that a log carries here\n\n");
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:14}{value}");
    };
    line("Objectives", question.slo.to_string());
    line("Records", records(question));
    line("Arrivals", arrivals(question));
    let settings: Vec<String> =
        question.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
    line("Settings", settings.join(", "));
    line(
        "Search",
        format!(
            "from {} to at most {}, probes of {} s and {} confirmations of {} s",
            format_rate(question.first_rate_per_second),
            format_rate(question.max_rate_per_second),
            question.probe_seconds,
            question.confirmations,
            question.confirm_seconds
        ),
    );
    line(
        "Time",
        format!(
            "at most {} ({} probes), unless a rare percentile at a low rate needs probes up to {} \
             times as long",
            format_seconds(cost.seconds),
            cost.probes,
            LONGER_TIMES_MAX
        ),
    );
    line(
        "Writes",
        format!(
            "at most {}, if the log carries all of that; as much free space as its longest trial: {}",
            format_data(cost.bytes),
            format_data(longest_trial_bytes(question, config))
        ),
    );
    let environment = &manifest.environment_before;
    line(
        "Target",
        format!(
            "{} ({}, {} free)",
            environment.target,
            environment.filesystem.as_deref().unwrap_or("unknown file system"),
            format_data(environment.free_bytes as f64)
        ),
    );
    line("Seed", question.seed.to_string());
    text.push_str("\nNothing was written (--dry-run).\n");
    text
}

pub(super) fn records(question: &Question) -> String {
    let sizes = match &question.trace {
        Some(trace) => format!("as in {}", trace.path),
        None => question.record_sizes.to_string(),
    };
    let tenants = match question.tenants {
        1 => "one tenant".to_owned(),
        many => format!("{many} tenants"),
    };
    let compressible = question.compressible_ratio * 100.0;
    format!("{sizes}, {tenants}, {compressible:.0} % compressible")
}

fn arrivals(question: &Question) -> String {
    match &question.trace {
        Some(trace) => format!(
            "{} arrivals recorded at {}, faster or slower as a whole",
            trace.records,
            format_rate(trace.rate_per_second)
        ),
        None => "Poisson, latency from when a record is due".to_owned(),
    }
}

/// Doubles to the highest rate, looks at each miss twice, bisects, and steps back as far as it goes.
fn cost(question: &Question, config: &LogConfig) -> Cost {
    let mut cost = Cost::default();
    let mut add = |rate: f64, seconds: f64, times: u32| {
        let around = (seconds + question.warmup_seconds) * (1.0 + OVERHEAD_PER_SECOND);
        let written = if question.zeroes_ahead { 2.0 } else { 1.0 };
        let bytes = trial_bytes(config, question, rate, seconds, ASSUMED_DURABLE_WRITES_PER_SECOND);
        cost.probes += times;
        cost.seconds += f64::from(times) * (around + OVERHEAD_SECONDS);
        cost.bytes += f64::from(times) * bytes * written;
    };
    let mut rate = question.first_rate_per_second;
    while rate < question.max_rate_per_second {
        add(rate, question.probe_seconds, 1);
        rate *= 2.0;
    }
    let max = question.max_rate_per_second;
    add(max, question.probe_seconds, 2);
    let mut apart = 2.0_f64;
    while apart > RESOLUTION_RATIO {
        add(max, question.probe_seconds, 2);
        apart = apart.sqrt();
    }
    add(max, question.confirm_seconds, question.confirmations * (STEPS_BACK + 1));
    cost
}

fn longest_trial_bytes(question: &Question, config: &LogConfig) -> f64 {
    trial_bytes(
        config,
        question,
        question.max_rate_per_second,
        question.confirm_seconds,
        ASSUMED_DURABLE_WRITES_PER_SECOND,
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::manifest;
    use super::*;

    #[test]
    fn the_cost_is_an_upper_bound_that_grows_with_what_is_asked() {
        let (config, question) = (LogConfig::library_defaults(), manifest().question);
        let found = cost(&question, &config);
        // 10 doublings, 6 halvings of the interval, both ends looked at twice, and 18 confirmations.
        assert_eq!(found.probes, 10 + 2 + 12 + 18);
        assert!(found.seconds > 18.0 * 30.0 && found.seconds < 15.0 * 60.0, "{found:?}");
        let narrower = Question { max_rate_per_second: 10_000.0, ..question };
        assert!(cost(&narrower, &config).bytes < found.bytes / 5.0);
    }

    #[test]
    fn everything_that_is_asked_is_told() {
        let shown = text(&manifest(), &LogConfig::library_defaults());
        for part in ["p99=1ms,p99.9=5ms", "256B, one tenant", "segment_size 64MiB", "Poisson"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
}
