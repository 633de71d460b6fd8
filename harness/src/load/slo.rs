//! Service-level objectives: `p99=1ms,p99.9=5ms`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::units::{format_duration_us, parse_duration_us};

/// A percentile that can be promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Percentile {
    P50,
    P90,
    P99,
    P999,
    P9999,
}

impl Percentile {
    pub(crate) const ALL: [Self; 5] = [Self::P50, Self::P90, Self::P99, Self::P999, Self::P9999];

    /// As people write it: `p99.9`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::P9999 => "p99.99",
        }
    }

    /// Share of records that are not slower, 0 to 1.
    pub(crate) const fn quantile(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P90 => 0.9,
            Self::P99 => 0.99,
            Self::P999 => 0.999,
            Self::P9999 => 0.9999,
        }
    }
}

/// One promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SloLimit {
    /// Of which percentile.
    pub(crate) percentile: Percentile,
    /// It takes at most so long, microseconds.
    pub(crate) at_most_us: u64,
}

impl fmt::Display for SloLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.percentile.name(), format_duration_us(self.at_most_us))
    }
}

/// All promises; at least one, each percentile once, the lower percentiles first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Slo {
    limits: Vec<SloLimit>,
}

impl Slo {
    pub(crate) fn limits(&self) -> &[SloLimit] {
        &self.limits
    }

    /// The highest percentile that is promised: the one that needs the largest sample.
    pub(crate) fn strictest(&self) -> Percentile {
        self.limits.last().map_or(Percentile::P50, |limit| limit.percentile)
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.limits.iter().map(SloLimit::to_string).collect();
        f.write_str(&shown.join(","))
    }
}

impl FromStr for Slo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut limits = text.split(',').map(limit).collect::<Result<Vec<_>, _>>()?;
        limits.sort_unstable_by_key(|limit| limit.percentile);
        if limits.windows(2).any(|pair| pair[0].percentile == pair[1].percentile) {
            return Err(format!("{text:?} promises one percentile twice"));
        }
        if let Some(pair) = limits.windows(2).find(|pair| pair[0].at_most_us > pair[1].at_most_us) {
            return Err(format!(
                "{} promises more than {}: no percentile can be below a lower one",
                pair[1], pair[0]
            ));
        }
        Ok(Self { limits })
    }
}

fn limit(text: &str) -> Result<SloLimit, String> {
    let names = Percentile::ALL.map(Percentile::name).join(", ");
    let wrong = || format!("{text:?} is no objective; allowed: p99=1ms, with one of {names}");
    let (name, latency) = text.trim().split_once('=').ok_or_else(wrong)?;
    let named = |percentile: &Percentile| percentile.name() == name.trim();
    let percentile = Percentile::ALL.into_iter().find(named).ok_or_else(wrong)?;
    let at_most_us = parse_duration_us(latency).map_err(|error| format!("{text:?} is {error}"))?;
    if at_most_us == 0 { Err(wrong()) } else { Ok(SloLimit { percentile, at_most_us }) }
}

impl TryFrom<String> for Slo {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Slo> for String {
    fn from(slo: Slo) -> Self {
        slo.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_are_read_in_any_order_and_written_from_the_lowest() {
        let slo: Slo = "p99.9=5ms, p99=1ms,p50=200us".parse().expect("valid");
        assert_eq!(slo.to_string(), "p50=200us,p99=1ms,p99.9=5ms");
        assert_eq!(slo.strictest(), Percentile::P999);
        assert_eq!(slo.limits()[1], SloLimit { percentile: Percentile::P99, at_most_us: 1_000 });
        let json = serde_json::to_string(&slo).expect("JSON");
        assert_eq!(serde_json::from_str::<Slo>(&json).expect("reads"), slo);
    }

    #[test]
    fn what_cannot_be_promised_is_refused() {
        for (text, why) in [
            ("", "no objective"),
            ("p99", "no objective"),
            ("p95=1ms", "one of p50, p90"),
            ("p99=1", "not a duration"),
            ("p99=0", "no objective"),
            ("p99=1ms,p99=2ms", "twice"),
            ("p99=5ms,p99.9=1ms", "no percentile can be below"),
        ] {
            let error = text.parse::<Slo>().expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
