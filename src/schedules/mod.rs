//! Schedules: threads and tasks that share one log on a simulated disk, run one at a time in an
//! order that follows from a seed, and what they are told held against what is on the disk.
//!
//! One seed is one story: settings of disk, log and scheduler, then two to four actors, each of
//! which does a few things with the log that is shared ([`story`]), then an end. At each answer the
//! disk is looked at as it would be if power failed that instant and took all it could ([`ledger`]),
//! and afterwards power is cut at points all over the story. Whoever sleeps for ever is found by the
//! scheduler. Everything follows from the seed, so that a seed that fails is a test.

mod actor;
mod ledger;
mod plan;
mod scheduler;
mod story;

use std::{
    any::Any,
    fmt,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use plan::Plan;
use scheduler::Seeded;

use crate::sabotage::{self, Sabotage};

/// A thread's stack: opening a log and reading it back are deep.
const STACK_BYTES: usize = 512 << 10;
/// More steps than any story has: somebody is waiting for something that never happens, awake.
const MAX_STEPS: usize = 200_000;

/// What is to be explored.
#[derive(Clone, Debug)]
pub struct Schedules {
    /// One story for each.
    pub seeds: Range<u64>,
    /// Power cuts in each of them, beside the one at each answer.
    pub images_per_seed: usize,
    /// A bug that is to be caught.
    pub sabotage: Option<Sabotage>,
}

/// What was explored, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explored {
    /// Stories, each with a schedule of its own.
    pub stories: u64,
    /// Choices between threads that could have run.
    pub choices: u64,
    /// Answers that were held against the disk when they were given.
    pub answers: u64,
    /// Images after power cuts that were recovered and read.
    pub images: u64,
    /// Stories in which the disk failed and the log was poisoned.
    pub poisoned: u64,
    /// Stories that ended with everybody's handle dropped and commits still awaited.
    pub abandoned: u64,
}

/// A promise that was broken, or somebody who was never told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Misstep {
    /// The story that leads to it.
    pub seed: u64,
    /// What happened.
    pub problem: String,
    /// The settings.
    pub plan: String,
}

impl fmt::Display for Misstep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}\n  {}", self.seed, self.problem, self.plan)
    }
}

impl std::error::Error for Misstep {}

impl Explored {
    /// Adds the numbers of another part.
    pub fn add(&mut self, other: &Self) {
        self.stories += other.stories;
        self.choices += other.choices;
        self.answers += other.answers;
        self.images += other.images;
        self.poisoned += other.poisoned;
        self.abandoned += other.abandoned;
    }
}

impl Schedules {
    /// Explores every seed, and stops at the first misstep.
    ///
    /// # Errors
    ///
    /// The misstep.
    pub fn run(&self) -> Result<Explored, Misstep> {
        // All threads of a story take turns in this one, so that the bug is switched on for each.
        sabotage::with(self.sabotage, || {
            let mut explored = Explored::default();
            for seed in self.seeds.clone() {
                explored.add(&tell(seed, self.images_per_seed)?);
            }
            Ok(explored)
        })
    }
}

/// Runs one story.
fn tell(seed: u64, images: usize) -> Result<Explored, Misstep> {
    let plan = Plan::draw(seed);
    let outcome = Arc::new(Mutex::new(Explored { stories: 1, ..Explored::default() }));
    let scheduler = Seeded::new(seed, &plan.order, Arc::clone(&outcome));
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
    config.silence_warnings = true;
    // The seed says it all.
    config.failure_persistence = FailurePersistence::None;
    let (told, of_story) = (plan.clone(), Arc::clone(&outcome));
    let run = || Runner::new(scheduler, config).run(move || story::run(&told, images, &of_story));
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(_) => Ok(*outcome.lock().unwrap_or_else(PoisonError::into_inner)),
        Err(panic) => {
            Err(Misstep { seed, problem: message(panic.as_ref()), plan: format!("{plan:?}") })
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}
