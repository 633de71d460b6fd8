//! Everything that a bench measured, for the table that people read and the file that programs do.

use jiff::Timestamp;
use serde::Serialize;

use super::Round;
use super::cases::{Case, Comparison, Target, What};
use super::ratios::{Ratio, ratio};
use super::sample::Sample;
use crate::cli::BenchArgs;
use crate::store::schema::{Environment, Settings};

/// Names the form of the JSON file.
const FORMAT: &str = "plimsoll-bench/1";

/// What was measured so far.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) command: String,
    pub(super) started_utc: String,
    pub(super) environment: Environment,
    pub(super) block_bytes: u64,
    pub(super) seconds: f64,
    /// The first is the device by itself.
    pub(super) cases: Vec<Case>,
    pub(super) rounds: Vec<Round>,
}

impl Report {
    pub(super) fn new(
        args: &BenchArgs,
        environment: Environment,
        block_bytes: u64,
        cases: Vec<Case>,
    ) -> Self {
        let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
        let now = Timestamp::now();
        Self {
            command: std::iter::once("plimsoll".to_owned())
                .chain(words)
                .collect::<Vec<_>>()
                .join(" "),
            started_utc: Timestamp::from_second(now.as_second()).unwrap_or(now).to_string(),
            environment,
            block_bytes,
            seconds: args.seconds,
            cases,
            rounds: Vec::new(),
        }
    }

    /// The rounds of one case, by arm.
    fn rounds_of(&self, case: usize) -> Vec<&[Sample]> {
        self.rounds.iter().map(|round| round[case].as_slice()).collect()
    }

    /// Every case with its comparisons.
    pub(super) fn compared(&self) -> impl Iterator<Item = (&Case, &Comparison, Ratio)> {
        self.cases.iter().enumerate().flat_map(|(index, case)| {
            let rounds = self.rounds_of(index);
            case.comparisons
                .iter()
                .map(move |comparison| (case, comparison, ratio(comparison, &rounds)))
        })
    }

    /// One arm of a case, over the rounds.
    pub(super) fn samples(&self, case: usize, arm: usize) -> impl Iterator<Item = &Sample> {
        self.rounds.iter().filter_map(move |round| round.get(case)?.get(arm))
    }

    /// Every sample there is.
    pub(super) fn all_samples(&self) -> impl Iterator<Item = &Sample> {
        self.rounds.iter().flatten().flatten()
    }

    /// What the JSON file holds.
    pub(super) fn document(&self) -> Document<'_> {
        let case = |(index, case): (usize, &'_ Case)| CaseDocument {
            name: case.name,
            arms: self.arms(index),
            comparisons: self
                .compared()
                .filter(|(of, ..)| of.name == case.name)
                .map(|(_, comparison, ratio)| ComparisonDocument {
                    what: comparison.what,
                    target: comparison.target,
                    ratio,
                })
                .collect(),
        };
        Document {
            format: FORMAT,
            command: &self.command,
            started_utc: &self.started_utc,
            environment: &self.environment,
            block_bytes: self.block_bytes,
            rounds: self.rounds.len(),
            seconds: self.seconds,
            cases: self.cases.iter().enumerate().map(case).collect(),
        }
    }

    fn arms(&self, case: usize) -> Vec<ArmDocument<'_>> {
        let arm = |(index, arm): (usize, &'_ super::cases::Arm)| ArmDocument {
            name: arm.name,
            beside_busy_processes: arm.beside_busy,
            settings: match &arm.what {
                What::Log(settings) | What::LogOfTasks(settings) | What::TruncatedLog(settings) => {
                    Some(settings.clone())
                }
                What::BareBlocks | What::BareLarge | What::BareBatchesOf(_) => None,
            },
            samples: self.samples(case, index).collect(),
        };
        self.cases[case].arms.iter().enumerate().map(arm).collect()
    }
}

/// The JSON file. Units are in the names; ratios have none.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    format: &'static str,
    command: &'a str,
    started_utc: &'a str,
    environment: &'a Environment,
    block_bytes: u64,
    rounds: usize,
    seconds: f64,
    cases: Vec<CaseDocument<'a>>,
}

#[derive(Debug, Serialize)]
struct CaseDocument<'a> {
    name: &'static str,
    arms: Vec<ArmDocument<'a>>,
    comparisons: Vec<ComparisonDocument>,
}

#[derive(Debug, Serialize)]
struct ArmDocument<'a> {
    name: &'static str,
    beside_busy_processes: bool,
    settings: Option<Settings>,
    /// By round.
    samples: Vec<&'a Sample>,
}

#[derive(Debug, Serialize)]
struct ComparisonDocument {
    what: &'static str,
    target: Option<Target>,
    #[serde(flatten)]
    ratio: Ratio,
}
