//! Everything that a bench measured, for the table that people read and the file that programs do.

use jiff::Timestamp;
use serde::Serialize;

use super::Round;
use super::case::{Arm, Case, Comparison, What};
use super::ratios::{Ratio, ratio};
use super::sample::Sample;
use super::targets::Target;
use crate::cli::BenchArgs;
use crate::host;
use crate::store::schema::{Environment, Settings};
use crate::workload::Callers;

/// Names the form of the JSON file.
const FORMAT: &str = "plimsoll-bench/1";

/// What was measured so far.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) command: String,
    pub(super) started_utc: String,
    pub(super) environment: Environment,
    pub(super) block_bytes: u64,
    /// When the kernel gives huge pages, if it does.
    pub(super) huge_pages: Option<String>,
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
            huge_pages: host::huge_pages(),
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

    /// How the log did, all in all.
    pub(super) fn targets(&self) -> Targets {
        let mut targets = Targets::default();
        for (case, comparison, ratio) in self.compared() {
            let Some(target) = comparison.target else { continue };
            let (case, what) = (case.name, comparison.what);
            let one = TargetDocument { case, what, target, ratio: ratio.median };
            match ratio.target_met {
                Some(true) => targets.met += 1,
                Some(false) => targets.missed.push(one),
                None => targets.unknown.push(one),
            }
        }
        targets
    }

    /// One arm of a case, over the rounds.
    pub(super) fn samples(&self, case: usize, arm: usize) -> impl Iterator<Item = &Sample> {
        self.rounds.iter().filter_map(move |round| round.get(case)?.get(arm))
    }

    /// Every arm of every case, over the rounds.
    pub(super) fn arms_with_samples(&self) -> impl Iterator<Item = (&Case, &Arm, Vec<&Sample>)> {
        self.cases.iter().enumerate().flat_map(move |(at, case)| {
            let arms = case.arms.iter().enumerate();
            arms.map(move |(index, arm)| (case, arm, self.samples(at, index).collect()))
        })
    }

    /// The largest segments of any log.
    pub(super) fn largest_segment_bytes(&self) -> u64 {
        let arms = self.cases.iter().flat_map(|case| &case.arms);
        let sizes = arms.filter_map(|arm| match &arm.what {
            What::Log(log) => Some(log.settings.segment_size_bytes),
            _ => None,
        });
        sizes.max().unwrap_or(0)
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
            huge_pages: self.huge_pages.as_deref(),
            targets: self.targets(),
            rounds: self.rounds.len(),
            seconds: self.seconds,
            cases: self.cases.iter().enumerate().map(case).collect(),
        }
    }

    fn arms(&self, case: usize) -> Vec<ArmDocument<'_>> {
        let arms = self.cases[case].arms.iter().enumerate();
        arms.map(|(index, arm)| ArmDocument::new(arm, self.samples(case, index))).collect()
    }
}

/// All targets of the cases that were measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Targets {
    pub(super) met: usize,
    pub(super) missed: Vec<TargetDocument>,
    /// Those without a ratio: too few samples, or a measurement that cannot be had here.
    pub(super) unknown: Vec<TargetDocument>,
}

/// One target, and the ratio that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct TargetDocument {
    pub(super) case: &'static str,
    pub(super) what: &'static str,
    pub(super) target: Target,
    pub(super) ratio: Option<f64>,
}

/// The JSON file. Units are in the names; ratios have none.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    format: &'static str,
    command: &'a str,
    started_utc: &'a str,
    environment: &'a Environment,
    block_bytes: u64,
    huge_pages: Option<&'a str>,
    targets: Targets,
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
    /// Of a log.
    callers: Option<Callers>,
    truncated: bool,
    settings: Option<&'a Settings>,
    /// By round.
    samples: Vec<&'a Sample>,
}

impl<'a> ArmDocument<'a> {
    fn new(arm: &'a Arm, samples: impl Iterator<Item = &'a Sample>) -> Self {
        let log = match &arm.what {
            What::Log(log) => Some(log),
            _ => None,
        };
        Self {
            name: arm.name,
            beside_busy_processes: arm.beside_busy,
            callers: log.map(|log| log.callers),
            truncated: log.is_some_and(|log| log.truncated),
            settings: log.map(|log| &log.settings),
            samples: samples.collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct ComparisonDocument {
    what: &'static str,
    target: Option<Target>,
    #[serde(flatten)]
    ratio: Ratio,
}
