//! How large records are: all the same, or drawn from a distribution. A size follows from one
//! number between 0 and 1, so that whoever has the number has the size.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::{format_bytes, parse_bytes};

/// Largest payload that can be asked for, bytes.
const BYTES_MAX: u64 = 64 << 20;

/// The long tail of a log-normal distribution ends at so many times its p99.
const TAIL: u64 = 16;

/// Standard normal deviate of the 99th percentile.
const Z_P99: f64 = 2.326_347_874_040_841;

/// What a text may be, for people.
const ALLOWED: &str = "a size (256B), uniform:100B..4KiB, lognormal:300B,p99=4KiB, or \
                       mix:256B=90,4KiB=10; sizes up to 64MiB";

/// Payload bytes of records. Written and read as people write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum RecordSizes {
    /// `256B`: all the same.
    Fixed { bytes: u64 },
    /// `uniform:100B..4KiB`: each from the one to the other equally likely.
    Uniform { from_bytes: u64, to_bytes: u64 },
    /// `lognormal:300B,p99=4KiB`: by median and 99th percentile; the tail ends at 16 times p99.
    LogNormal { median_bytes: u64, p99_bytes: u64 },
    /// `mix:256B=90,4KiB=10`: sizes with their weights.
    Mix { parts: Vec<(u64, u32)> },
}

impl RecordSizes {
    /// The size at `share` of the distribution, 0 to 1.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a float-to-integer cast saturates, and every size is bounded"
    )]
    pub(crate) fn at(&self, share: f64) -> u64 {
        match self {
            Self::Fixed { bytes } => *bytes,
            Self::Uniform { from_bytes, to_bytes } => {
                let span = (to_bytes - from_bytes + 1) as f64;
                (from_bytes + (share * span) as u64).min(*to_bytes)
            }
            Self::LogNormal { median_bytes, p99_bytes } => {
                let median = *median_bytes as f64;
                let sigma = (*p99_bytes as f64 / median).ln() / Z_P99;
                let bytes = (median.ln() + sigma * normal_deviate(share)).exp();
                (bytes.round() as u64).clamp(1, self.max_bytes())
            }
            Self::Mix { parts } => {
                let target = share * f64::from(total_weight(parts));
                let mut sum = 0.0;
                let found = parts.iter().find(|(_, weight)| {
                    sum += f64::from(*weight);
                    target < sum
                });
                found.or(parts.last()).map_or(0, |(bytes, _)| *bytes)
            }
        }
    }

    /// The mean, bytes; of a log-normal distribution without regard to where its tail ends.
    pub(crate) fn mean_bytes(&self) -> f64 {
        match self {
            Self::Fixed { bytes } => *bytes as f64,
            Self::Uniform { from_bytes, to_bytes } => (from_bytes + to_bytes) as f64 / 2.0,
            Self::LogNormal { median_bytes, p99_bytes } => {
                let median = *median_bytes as f64;
                let sigma = (*p99_bytes as f64 / median).ln() / Z_P99;
                median * (sigma * sigma / 2.0).exp()
            }
            Self::Mix { parts } => {
                let weighted = |(bytes, weight): &(u64, u32)| *bytes as f64 * f64::from(*weight);
                parts.iter().map(weighted).sum::<f64>() / f64::from(total_weight(parts))
            }
        }
    }

    /// The largest, bytes.
    pub(crate) fn max_bytes(&self) -> u64 {
        match self {
            Self::Fixed { bytes } => *bytes,
            Self::Uniform { to_bytes, .. } => *to_bytes,
            Self::LogNormal { p99_bytes, .. } => (p99_bytes * TAIL).min(BYTES_MAX),
            Self::Mix { parts } => parts.iter().map(|(bytes, _)| *bytes).max().unwrap_or(0),
        }
    }
}

/// At least 1: a mix without weight is refused when it is read.
fn total_weight(parts: &[(u64, u32)]) -> u32 {
    parts.iter().fold(0_u32, |sum, (_, weight)| sum.saturating_add(*weight)).max(1)
}

impl fmt::Display for RecordSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed { bytes } => f.write_str(&format_bytes(*bytes)),
            Self::Uniform { from_bytes, to_bytes } => {
                write!(f, "uniform:{}..{}", format_bytes(*from_bytes), format_bytes(*to_bytes))
            }
            Self::LogNormal { median_bytes, p99_bytes } => {
                let (median, p99) = (format_bytes(*median_bytes), format_bytes(*p99_bytes));
                write!(f, "lognormal:{median},p99={p99}")
            }
            Self::Mix { parts } => {
                let shown: Vec<String> = parts
                    .iter()
                    .map(|(bytes, weight)| format!("{}={weight}", format_bytes(*bytes)))
                    .collect();
                write!(f, "mix:{}", shown.join(","))
            }
        }
    }
}

impl FromStr for RecordSizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text.trim()).ok_or_else(|| format!("{text:?} is no record size; allowed: {ALLOWED}"))
    }
}

impl TryFrom<String> for RecordSizes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<RecordSizes> for String {
    fn from(sizes: RecordSizes) -> Self {
        sizes.to_string()
    }
}

fn parse(text: &str) -> Option<RecordSizes> {
    let Some((kind, rest)) = text.split_once(':') else {
        return Some(RecordSizes::Fixed { bytes: size(text)? });
    };
    match kind {
        "uniform" => {
            let (from, to) = rest.split_once("..")?;
            let (from_bytes, to_bytes) = (size(from)?, size(to)?);
            (from_bytes <= to_bytes).then_some(RecordSizes::Uniform { from_bytes, to_bytes })
        }
        "lognormal" => {
            let (median, p99) = rest.split_once(",p99=")?;
            let (median_bytes, p99_bytes) = (size(median)?, size(p99)?);
            (0 < median_bytes && median_bytes < p99_bytes)
                .then_some(RecordSizes::LogNormal { median_bytes, p99_bytes })
        }
        "mix" => {
            let part = |part: &str| {
                let (bytes, weight) = part.split_once('=')?;
                let weight: u32 = weight.trim().parse().ok().filter(|weight| *weight > 0)?;
                Some((size(bytes)?, weight))
            };
            let parts: Vec<(u64, u32)> = rest.split(',').map(part).collect::<Option<_>>()?;
            Some(RecordSizes::Mix { parts })
        }
        _ => None,
    }
}

fn size(text: &str) -> Option<u64> {
    parse_bytes(text).ok().filter(|bytes| *bytes <= BYTES_MAX)
}

/// The standard normal deviate that a share of all lies below, to about 1e-9.
///
/// P. J. Acklam, "An algorithm for computing the inverse normal cumulative distribution function"
/// (2003): a rational function in the middle, and another for each tail.
fn normal_deviate(share: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    const TAIL_BELOW: f64 = 0.024_25;
    let polynomial = |factors: &[f64], x: f64| factors.iter().fold(0.0, |sum, c| sum * x + c);
    let lower_tail = |share: f64| {
        let q = (-2.0 * share.ln()).sqrt();
        polynomial(&C, q) / polynomial(&D, q)
    };
    let share = share.clamp(1e-12, 1.0 - 1e-12);
    if share < TAIL_BELOW {
        lower_tail(share)
    } else if share > 1.0 - TAIL_BELOW {
        -lower_tail(1.0 - share)
    } else {
        let q = share - 0.5;
        q * polynomial(&A, q * q) / polynomial(&B, q * q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: [&str; 4] =
        ["256B", "uniform:100B..4KiB", "lognormal:300B,p99=4KiB", "mix:256B=90,4KiB=10"];

    fn sizes(text: &str) -> RecordSizes {
        text.parse().expect(text)
    }

    #[test]
    fn what_is_written_is_read_and_written_the_same() {
        for text in WRITTEN {
            assert_eq!(sizes(text).to_string(), text);
            let json = serde_json::to_string(&sizes(text)).expect("JSON");
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<RecordSizes>(&json).expect("reads"), sizes(text));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        for text in [
            "",
            "x",
            "65MiB",
            "uniform:4KiB..1B",
            "uniform:1B",
            "lognormal:0B,p99=1B",
            "lognormal:4KiB,p99=4KiB",
            "mix:",
            "mix:1B=0",
            "mix:1B=-1",
            "zipf:3",
        ] {
            let error = text.parse::<RecordSizes>().expect_err(text);
            assert!(error.contains("lognormal:300B") && error.contains(text), "{error}");
        }
    }

    #[test]
    fn shares_of_the_distribution_are_the_sizes_they_should_be() {
        for (text, points) in [
            ("256B", [(0.0, 256), (0.5, 256), (0.999, 256)]),
            ("uniform:100B..199B", [(0.0, 100), (0.5, 150), (0.999_999, 199)]),
            ("lognormal:300B,p99=4KiB", [(0.01, 22), (0.5, 300), (0.99, 4_096)]),
            ("mix:256B=90,4KiB=10", [(0.0, 256), (0.899, 256), (0.901, 4_096)]),
        ] {
            for (share, bytes) in points {
                assert_eq!(sizes(text).at(share), bytes, "{text} at {share}");
            }
        }
    }

    #[test]
    fn the_mean_and_the_largest_are_those_of_what_is_drawn() {
        for text in WRITTEN {
            let sizes = sizes(text);
            let drawn = (0..100_000).map(|step| sizes.at((f64::from(step) + 0.5) / 100_000.0));
            let mean = drawn.clone().map(|bytes| bytes as f64).sum::<f64>() / 100_000.0;
            assert!((mean / sizes.mean_bytes() - 1.0).abs() < 0.01, "{text}: {mean}");
            assert!(drawn.max() <= Some(sizes.max_bytes()), "{text}");
        }
    }
}
