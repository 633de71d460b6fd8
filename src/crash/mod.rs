//! The crash matrix: generated lives of a log on a simulated disk, power cut at any point of them,
//! and every outcome held against what had been acknowledged.
//!
//! One seed is one history: a plan of settings, then several lives of the log, each of which ends
//! with a close, a killed process or a power cut. The journal of each life is walked through again
//! and power is cut at points all over it; each resulting image is recovered and read. Some images
//! are damaged first, and some are opened, written to and opened again. Everything follows from the
//! seed, so that a seed that fails is a test.

mod damage;
mod explore;
mod life;
mod nonces;
mod oracle;
mod plan;

use std::{fmt, ops::Range};

use crate::{
    config::SegmentedWalConfig,
    device::simulated::Chance,
    sabotage::{self, Sabotage},
};

use explore::explore;
use life::{Ending, Life};
use nonces::Nonces;
use oracle::Oracle;
use plan::Plan;

/// What is to be explored.
#[derive(Clone, Debug)]
pub struct CrashMatrix {
    /// One history for each.
    pub seeds: Range<u64>,
    /// Crash images of each history.
    pub images_per_seed: usize,
    /// A bug that is to be caught.
    pub sabotage: Option<Sabotage>,
    /// Settings of every history, sizes included; `None` draws others for each, which explores
    /// more of the code in less time. The disks are drawn either way, and so is the engine where
    /// it is [`Engine::Auto`](crate::Engine::Auto). With keys the log is sealed, under keys of the
    /// matrix's own. What only a group commit knows, `commit_window`, plays no part, nor does
    /// `dir`.
    pub settings: Option<SegmentedWalConfig>,
}

/// What was explored, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Histories.
    pub seeds: u64,
    /// Lives of a log in them.
    pub lives: u64,
    /// Images that were recovered and read.
    pub images: u64,
    /// Of these, images that were damaged beyond what a power cut does.
    pub damaged: u64,
    /// Of the damaged, images that were refused.
    pub refused: u64,
    /// Of the damaged, images that were opened and refused where the damage is, by reading.
    pub refused_by_reading: u64,
    /// Of the damaged, images that came back shorter because nothing in them tells of the records
    /// that the damage took: the residue of `docs/durability.md`.
    pub residue: u64,
    /// Of these, images that lost more than one acknowledged batch.
    pub residue_of_several: u64,
    /// The most acknowledged batches that one of them lost.
    pub residue_batches_at_most: u64,
    /// Images that were also opened, written to, closed or killed, and recovered again.
    pub opened: u64,
    /// Acknowledged records that were expected, over all images.
    pub records: u64,
}

/// A promise that was broken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Violation {
    /// The history that leads to it.
    pub seed: u64,
    /// Which life, from 0, and after how many events on the disk.
    pub life: usize,
    /// See `life`.
    pub position: usize,
    /// What was promised and what was found.
    pub problem: String,
    /// The settings, and the last events on the disk before the image.
    pub trace: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, life, position, problem, trace } = self;
        write!(f, "seed {seed}, life {life}, after {position} events: {problem}")?;
        trace.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for Violation {}

impl CrashMatrix {
    /// Explores every seed, and stops at the first violation.
    ///
    /// # Errors
    ///
    /// The violation.
    pub fn run(&self) -> Result<Outcome, Violation> {
        sabotage::with(self.sabotage, || {
            let mut outcome = Outcome::default();
            for seed in self.seeds.clone() {
                run_history(self, seed, &mut outcome)?;
            }
            Ok(outcome)
        })
    }
}

impl Outcome {
    /// Adds the numbers of another part of the matrix.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.lives += other.lives;
        self.images += other.images;
        self.damaged += other.damaged;
        self.refused += other.refused;
        self.refused_by_reading += other.refused_by_reading;
        self.residue += other.residue;
        self.residue_of_several += other.residue_of_several;
        self.residue_batches_at_most =
            self.residue_batches_at_most.max(other.residue_batches_at_most);
        self.opened += other.opened;
        self.records += other.records;
    }
}

fn run_history(matrix: &CrashMatrix, seed: u64, outcome: &mut Outcome) -> Result<(), Violation> {
    let images = matrix.images_per_seed;
    let mut chance = Chance::new(seed);
    let mut plan = Plan::draw(&mut chance, matrix.settings.as_ref());
    let mut oracle = Oracle::new(plan.first_lsn);
    let mut nonces = Nonces::default();
    let mut disk = plan.new_disk(&mut chance);
    let lives = 2 + chance.below(3);
    outcome.seeds += 1;
    for life in 0..lives {
        outcome.lives += 1;
        let mut current = Life::new(&mut plan, &mut oracle, &disk, &mut chance);
        let lived = current.run();
        let journal = disk.journal();
        let at = |position: usize, problem| {
            let trace = plan.trace(&journal.events[..position]);
            Violation { seed, life, position, problem, trace }
        };
        let ending = lived.map_err(|problem| at(journal.events.len(), problem))?;
        nonces.check(&journal).map_err(|problem| at(journal.events.len(), problem))?;
        let count = images / lives + usize::from(life < images % lives);
        explore(&plan, &oracle, &journal, count, &mut chance, outcome)
            .map_err(|(position, problem)| at(position, problem))?;
        disk = match ending {
            Ending::Closed | Ending::Killed => plan.next_process(&disk, &mut oracle, &mut chance),
            Ending::PowerCut => plan.power_cut(&journal, &mut oracle, &mut chance),
        };
    }
    Ok(())
}
