//! What `plimsoll capacity` may be told.

use std::{ops::RangeInclusive, path::PathBuf};

use clap::Args;

use crate::load::{RecordSizes, Slo, TENANTS_MAX};
use crate::units::parse_bytes;

pub(super) const CAPACITY_LONG: &str = "\
Finds the highest rate of arrivals that a log carries in the target directory under the objectives. \
Records arrive on a Poisson schedule, or as in a recorded trace, whatever the log does, and latency \
counts from when each was due: a stall is charged to everyone who would have waited.

The rate is doubled until the objectives break, bisected to 2 %, and confirmed in three longer trials. \
A rate is carried if every objective is met, at least 97 % became durable in time and the backlog did \
not grow. The run's folder holds the load-latency curve, a report, and the advice at 70 %.

Record sizes:
  256B                      all the same
  uniform:100B..4KiB        each as likely as the other
  lognormal:300B,p99=4KiB   by median and 99th percentile
  mix:256B=90,4KiB=10       sizes and their weights

A trace has a line for each record: arrival_us,payload_bytes or arrival_us,payload_bytes,tenant. It is \
replayed faster or slower as a whole.

Exit code 1: the objectives are missed even at the lowest rate. 4: a rate looked carried in short \
trials and did not hold in longer ones.";

pub(super) const CAPACITY_EXAMPLES: &str = "\
Examples:
  plimsoll capacity --slo p99=1ms,p99.9=5ms
  plimsoll capacity --slo p99=2ms --config results/RUN/recommended.toml --tbw 600TB
  plimsoll capacity --slo p99.9=10ms --record-size lognormal:300B,p99=4KiB --tenants 50
  plimsoll capacity --slo p99=1ms --trace arrivals.csv --dry-run";

/// Arguments of `plimsoll capacity`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CapacityArgs {
    /// Objectives that have to hold, such as p99=1ms,p99.9=5ms; of p50, p90, p99, p99.9, p99.99
    #[arg(long, value_name = "SLO")]
    pub slo: Slo,

    /// Settings of the log: a file with a [wal] table, such as a sweep's recommended.toml; the
    /// library's defaults when absent
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Payload bytes of records: a size or a distribution, see below
    #[arg(long, value_name = "SIZES", default_value = "256B", conflicts_with = "trace")]
    pub record_size: RecordSizes,

    /// Tenants that records are divided between
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "trace",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(TENANTS_MAX)))]
    pub tenants: u32,

    /// Percent of each payload that a compressor can take away
    #[arg(long, value_name = "PERCENT", default_value_t = 0,
          value_parser = clap::value_parser!(u8).range(0..=100))]
    pub compressible: u8,

    /// Replay these recorded arrivals instead of a Poisson schedule
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// Directory to measure in, on the disk to measure; created when missing and removed again
    #[arg(long, value_name = "DIR", default_value = "plimsoll-data")]
    pub target: PathBuf,

    /// Directory under which the run's folder is made
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,

    /// Rate at which the search begins, records a second
    #[arg(long, value_name = "RATE", default_value_t = 1000.0, value_parser = rate)]
    pub first_rate: f64,

    /// Never offer more than this, records a second
    #[arg(long, value_name = "RATE", default_value_t = 1_000_000.0, value_parser = rate)]
    pub max_rate: f64,

    /// Seconds before each trial that do not count, 0 to 600
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = warmup_seconds)]
    pub warmup_seconds: f64,

    /// Seconds of each probe, 0.1 to 600; longer where the objectives need a larger sample
    #[arg(long, value_name = "S", default_value_t = 5.0, value_parser = trial_seconds)]
    pub probe_seconds: f64,

    /// Seconds of each of the three confirmations, 0.1 to 600
    #[arg(long, value_name = "S", default_value_t = 30.0, value_parser = trial_seconds)]
    pub confirm_seconds: f64,

    /// The drive's rated endurance, such as 600TB, to say how long it lasts
    #[arg(long, value_name = "BYTES", value_parser = endurance)]
    pub tbw: Option<u64>,

    /// Seed of schedules and payloads; chosen and recorded when absent
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Print what would be done, how long it takes and what it writes at most, and stop
    #[arg(long)]
    pub dry_run: bool,

    /// Print nothing but errors and where the report is
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,

    /// Print the answer as JSON instead of for people
    #[arg(long)]
    pub json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    number_within(text, 10.0..=100e6).ok_or_else(|| "allowed: 10 to 100000000".to_owned())
}

fn warmup_seconds(text: &str) -> Result<f64, String> {
    number_within(text, 0.0..=600.0).ok_or_else(|| "allowed: 0 to 600 seconds".to_owned())
}

fn trial_seconds(text: &str) -> Result<f64, String> {
    number_within(text, 0.1..=600.0).ok_or_else(|| "allowed: 0.1 to 600 seconds".to_owned())
}

fn number_within(text: &str, allowed: RangeInclusive<f64>) -> Option<f64> {
    text.parse().ok().filter(|number| allowed.contains(number))
}

fn endurance(text: &str) -> Result<u64, String> {
    let bytes = parse_bytes(text).map_err(|error| error.to_string())?;
    if bytes > 0 { Ok(bytes) } else { Err("allowed: more than 0 bytes".to_owned()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Verb, tests::parse};

    #[test]
    fn capacity_has_the_documented_defaults_and_takes_every_option() {
        let Verb::Capacity(asked) = parse(&["capacity", "--slo", "p99=1ms"]).unwrap().verb else {
            panic!("not a capacity");
        };
        assert_eq!((asked.probe_seconds, asked.confirm_seconds), (5.0, 30.0));
        assert_eq!((asked.first_rate, asked.max_rate), (1_000.0, 1e6));
        assert_eq!((asked.record_size.to_string(), asked.tenants), ("256B".to_owned(), 1));
        let words = "capacity --slo p99=1ms --record-size uniform:1B..2KiB --tenants 9 \
                     --compressible 50 --config c --target /d --out o --first-rate 50 --max-rate 5e4 \
                     --warmup-seconds 0 --probe-seconds 0.5 --confirm-seconds 2 --tbw 600TB \
                     --seed 3 --dry-run --json";
        let words: Vec<&str> = words.split_whitespace().collect();
        let Verb::Capacity(asked) = parse(&words).unwrap().verb else {
            panic!("not a capacity");
        };
        assert_eq!((asked.tbw, asked.max_rate), (Some(600_000_000_000_000), 50_000.0));
        assert_eq!((asked.tenants, asked.compressible, asked.seed), (9, 50, Some(3)));
        assert!(asked.dry_run && asked.json && !asked.quiet);
    }
}
