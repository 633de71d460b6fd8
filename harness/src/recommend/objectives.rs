//! Whether a configuration meets objectives for its latency, as far as its sample can tell.

use crate::load::{Slo, SloLimit};
use crate::stats::{Bootstrap, samples_to_support, supports};
use crate::units::{format_count, format_duration_us, format_us_estimate};

use super::measures::{Tails, commit_groups};
use super::observations::Observations;

/// What is known of a configuration and the objectives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Standing {
    /// The interval of every percentile ends at or below its limit.
    Meets,
    /// The interval of one begins above its limit.
    Misses,
    /// Neither.
    Undecided {
        /// What is not known, a part of a sentence.
        why: String,
        /// How many times as much would have to be measured, where that can be said.
        times_the_sample: Option<f64>,
    },
}

impl Standing {
    /// For what is stored.
    pub(crate) fn meets(&self) -> Option<bool> {
        match self {
            Self::Meets => Some(true),
            Self::Misses => Some(false),
            Self::Undecided { .. } => None,
        }
    }
}

/// Holds one configuration against all objectives.
pub(crate) fn standing(
    observations: &Observations<'_>,
    config: usize,
    tails: &Tails<'_>,
    slo: &Slo,
    bootstrap: &Bootstrap,
) -> Standing {
    let mut undecided = None;
    for limit in slo.limits() {
        match of_limit(observations, config, tails, *limit, bootstrap) {
            Standing::Meets => {}
            Standing::Misses => return Standing::Misses,
            open @ Standing::Undecided { .. } => undecided = undecided.or(Some(open)),
        }
    }
    undecided.unwrap_or(Standing::Meets)
}

fn of_limit(
    observations: &Observations<'_>,
    config: usize,
    tails: &Tails<'_>,
    limit: SloLimit,
    bootstrap: &Bootstrap,
) -> Standing {
    let name = limit.percentile.name();
    let Some(found) = tails.promised(observations, config, limit.percentile, bootstrap) else {
        let groups = commit_groups(observations, config);
        let quantile = limit.percentile.quantile();
        let needed = samples_to_support(quantile).filter(|_| !supports(quantile, groups));
        return Standing::Undecided {
            why: match needed {
                Some(needed) => format!(
                    "{} commit groups are too few for {name}, which takes {}",
                    format_count(groups),
                    format_count(needed)
                ),
                None => format!("no latencies are stored that {name} could be taken from"),
            },
            times_the_sample: needed.map(|needed| needed as f64 / groups.max(1) as f64),
        };
    };
    let at_most_us = limit.at_most_us as f64;
    if !found.known {
        Standing::Undecided { why: format!("{name} has no interval"), times_the_sample: None }
    } else if found.estimate.high <= at_most_us {
        Standing::Meets
    } else if found.estimate.low > at_most_us {
        Standing::Misses
    } else {
        // The interval shrinks with the root of the sample; it has to fit beside the limit.
        let width = (found.estimate.high - found.estimate.low) / 2.0;
        let room = (found.estimate.value - at_most_us).abs();
        Standing::Undecided {
            why: format!(
                "{name} is {}, around {}",
                format_us_estimate(&found.estimate),
                format_duration_us(limit.at_most_us)
            ),
            times_the_sample: (room > 0.0).then(|| (width / room).powi(2).max(1.0)),
        }
    }
}
