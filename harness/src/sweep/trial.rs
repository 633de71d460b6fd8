//! One trial from an empty directory to what is stored of it: offers the plan's load to a log with
//! the configuration's settings, and looks at what else the machine was doing.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use sha2::{Digest, Sha256};

use super::outcome::{About, FinishedTrial};
use super::preflight::Target;
use crate::host::other_runnable;
use crate::load::{RecordShape, Trace};
use crate::scratch::Interrupts;
use crate::scratch::Scratch;
use crate::store::schema::{Configuration, Plan, PlanCallers};
use crate::workload::{
    self, Callers, Fault, Load, LogConfig, Measurement, OpenLoad, OpenMeasurement, Problem,
    SteadyMeasurement,
};

/// Where the generator of an open loop was late by itself nothing is known of the log: the trial is
/// made again, so often in all.
const ATTEMPTS_MAX: u32 = 3;

/// Where in the run a trial stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) block: u32,
    /// Within the block, sentinels included.
    pub(super) position: u32,
    pub(super) sentinel: bool,
}

/// What every trial of a plan is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trials<'a> {
    pub(super) plan: &'a Plan,
    /// The plan's trace, if it has one.
    pub(super) trace: Option<&'a Arc<Trace>>,
    pub(super) target: &'a Target,
    pub(super) interrupts: &'a Interrupts,
}

/// What a load came to, by its kind.
enum Found {
    Closed(Measurement),
    InRounds(SteadyMeasurement),
    Open(f64, Box<OpenMeasurement>),
}

impl Trials<'_> {
    /// Runs a trial in a fresh directory, which is gone afterwards. A log that refuses or fails is a
    /// result too, and so is a disk that has no room for the directory any more.
    ///
    /// # Errors
    /// When the directory cannot be removed, or the latencies cannot be encoded.
    pub(super) fn run(&self, configuration: &Configuration, place: Place) -> Result<FinishedTrial> {
        let measured = Duration::from_secs_f64(self.plan.trial_seconds);
        let mut about = About::now(configuration, place, measured);
        let mut attempts = 1;
        loop {
            let scratch = match Scratch::create(self.target.path(), self.interrupts) {
                Ok(scratch) => scratch,
                Err(error) => {
                    let problem = Problem::Failed(format!("{error:#}"));
                    return Ok(FinishedTrial::without_numbers(&about, problem));
                }
            };
            let outcome = self.offer(configuration, place, &scratch);
            about.other_runnable = other_runnable();
            scratch.remove()?;
            let again = attempts < ATTEMPTS_MAX && !self.interrupts.requested();
            match outcome {
                Ok(Found::Open(_, found)) if again && is_invalid(&found) => attempts += 1,
                Ok(Found::Closed(found)) => return FinishedTrial::closed(&about, &found),
                Ok(Found::InRounds(found)) => return FinishedTrial::in_rounds(&about, found),
                Ok(Found::Open(rate, found)) => return FinishedTrial::open(&about, rate, &found),
                Err(problem) => return Ok(FinishedTrial::without_numbers(&about, problem)),
            }
        }
    }

    fn offer(
        &self,
        configuration: &Configuration,
        place: Place,
        scratch: &Scratch,
    ) -> Result<Found, Problem> {
        let (plan, settings) = (self.plan, &configuration.settings);
        let shape = &RecordShape::planned(plan, settings, self.trace).map_err(Problem::Refused)?;
        let (directory, seed) = (scratch.path(), trial_seed(plan.seed, place));
        let warmup = Duration::from_secs_f64(plan.warmup_seconds);
        let measured = Duration::from_secs_f64(plan.trial_seconds);
        if let Some(rate_per_second) = settings.rate_per_second {
            let config = &LogConfig::of(settings)?;
            let load =
                OpenLoad { config, shape, rate_per_second, directory, seed, warmup, measured };
            let found = workload::run_open(&load)?;
            return Ok(Found::Open(rate_per_second, Box::new(found)));
        }
        let callers = match plan.load.as_ref().map(|load| load.callers).unwrap_or_default() {
            PlanCallers::Threads => Callers::Threads,
            PlanCallers::Tasks => Callers::Tasks,
        };
        let load = Load {
            settings,
            shape,
            callers,
            directory,
            seed,
            warmup,
            measured,
            under_watch: false,
        };
        match plan.round_seconds {
            None => workload::run(&load).map(Found::Closed),
            Some(seconds) => {
                let load = Load { measured: Duration::from_secs_f64(seconds), ..load };
                workload::run_rounds(&load).map(Found::InRounds)
            }
        }
    }
}

fn is_invalid(found: &OpenMeasurement) -> bool {
    matches!(found.answers.pace().fault(), Some(Fault::Invalid(_)))
}

/// Payloads of their own for each trial, from the run's one seed.
fn trial_seed(seed: u64, place: Place) -> u64 {
    let digest = Sha256::new()
        .chain_update(b"plimsoll payloads v1")
        .chain_update(seed.to_le_bytes())
        .chain_update(place.block.to_le_bytes())
        .chain_update(place.position.to_le_bytes())
        .finalize();
    digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { block: 2, position: 5, sentinel: true };

    #[test]
    fn every_trial_has_payloads_of_its_own_that_the_seed_repeats() {
        let places = [(0, 0), (0, 1), (1, 0), (256, 0), (0, 256)];
        let mut seeds: Vec<u64> = places
            .iter()
            .flat_map(|(block, position)| {
                let place = Place { block: *block, position: *position, sentinel: false };
                [1, 2].map(|seed| trial_seed(seed, place))
            })
            .collect();
        assert_eq!(trial_seed(1, PLACE), trial_seed(1, Place { sentinel: false, ..PLACE }));
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 10);
    }
}
