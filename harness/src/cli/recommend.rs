//! What `plimsoll recommend` may be told.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::load::Slo;

pub(super) const RECOMMEND_LONG: &str = "\
Says which settings to run, and why, from a stored run alone: it measures nothing. Of the \
configurations that meet the objectives (--slo) it takes the Pareto front over rate, tail latency, \
bytes written per payload byte, processor time and memory; those that the run cannot tell apart tie, \
and of those that tie it takes the simplest. Where a little less rate buys much latency it steps back.

Without --slo, --objective and --out it asks what `sweep` and `report` ask, and makes everything that \
follows from the run again, recommended.toml among it. With one of them the run is left as it is: the \
settings are printed, and written to --out if that is given.

It refuses where the measurements support no choice, and says what would settle it; \
docs/recommendations.md has the rules.";

pub(super) const RECOMMEND_EXAMPLES: &str = "\
Examples:
  plimsoll recommend results/20260301T020000Z-db1-nightly-3f9a
  plimsoll recommend results/RUN --slo p99=1ms,p99.9=5ms --out fast-enough.toml
  plimsoll recommend results/RUN --objective bytes --json

Exit codes:
  0    settings are recommended
  1    a log failed or lost acknowledged data, or every configuration misses the objectives
  2    usage: the folder is none of a run, or a file cannot be written
  4    inconclusive: the measurements support no choice; it says what would settle it";

/// Arguments of `plimsoll recommend`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RecommendArgs {
    /// Folder of the run, as `sweep` made it
    #[arg(value_name = "RUN")]
    pub run: PathBuf,

    /// Objectives the settings have to meet, such as p99=1ms,p99.9=5ms; of p50, p90, p99, p99.9,
    /// p99.99
    #[arg(long, value_name = "SLO")]
    pub slo: Option<Slo>,

    /// What to optimise among the settings that meet them
    #[arg(long, value_name = "OBJECTIVE", default_value = "balanced")]
    pub objective: Objective,

    /// Write the settings to this file and leave the run as it is
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Print the whole analysis as JSON instead of for people
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,

    /// Print nothing but errors and where the settings are
    #[arg(long, short)]
    pub quiet: bool,
}

/// What to optimise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Objective {
    /// The highest rate, unless a little less of it buys much latency
    #[default]
    Balanced,
    /// The highest rate
    Rate,
    /// The lowest p99 latency
    P99,
    /// The lowest p99.9 latency
    #[value(name = "p99.9")]
    P999,
    /// The fewest bytes written per payload byte
    Bytes,
    /// The least processor time a commit
    Cpu,
    /// The least memory for buffers
    Memory,
}

impl Objective {
    /// As on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Balanced => "balanced",
            Self::Rate => "rate",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::Bytes => "bytes",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verb;
    use super::super::tests::parse;
    use super::*;

    fn recommend(words: &[&str]) -> RecommendArgs {
        match parse(words).expect("valid").verb {
            Verb::Recommend(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn recommend_has_the_documented_defaults_and_takes_every_option() {
        let plain = recommend(&["recommend", "r"]);
        assert_eq!((plain.objective, plain.slo, plain.out), (Objective::Balanced, None, None));
        assert!(!plain.json && !plain.quiet);
        let words = "recommend r --slo p99=1ms,p99.9=5ms --objective p99.9 --out f.toml --json";
        let words: Vec<&str> = words.split_whitespace().collect();
        let full = recommend(&words);
        assert_eq!(full.slo.expect("given").to_string(), "p99=1ms,p99.9=5ms");
        assert_eq!((full.objective, full.json), (Objective::P999, true));
        for bad in [["--slo", "p95=1ms"], ["--objective", "speed"]] {
            let words: Vec<&str> = ["recommend", "r"].into_iter().chain(bad).collect();
            assert!(parse(&words).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_objective_has_the_name_that_the_command_line_has_for_it() {
        for objective in Objective::value_variants() {
            let name = objective.to_possible_value().expect("a name");
            assert_eq!(name.get_name(), objective.name());
        }
    }
}
