//! Who runs next, drawn from a seed. An even choice finds what needs many switches; a long run of
//! one thread, what needs few; and priorities that change a few times (probabilistic concurrency
//! testing: Burckhardt and others, *A randomized scheduler with probabilistic guarantees of finding
//! bugs*, ASPLOS 2010), what needs one thread to be held up in one place for long.

use std::sync::{Arc, Mutex, PoisonError};

use shuttle::{
    current::TaskId,
    scheduler::{Schedule, Scheduler, Task},
};

use super::Explored;
use crate::device::simulated::Chance;

/// Choices within which priorities change: about as many as a story has.
const CHOICES_OF_A_STORY: usize = 600;

/// How the next thread is chosen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Each of them as likely as the others.
    Even,
    /// The one that runs goes on, but for once in so many times.
    Sticky(usize),
    /// The one of the highest priority, which one thread loses at each of so many moments, and
    /// whenever it gives way.
    Priorities(usize),
}

/// The scheduler of one story.
#[derive(Debug)]
pub(super) struct Seeded {
    order: Order,
    chance: Chance,
    /// Apart from the choices, so that a draw more or less does not change them.
    draws: Chance,
    begun: bool,
    /// By thread; the lowest number runs.
    priorities: Vec<u64>,
    lowest: u64,
    changes: Vec<usize>,
    choices: usize,
    outcome: Arc<Mutex<Explored>>,
}

impl Seeded {
    pub(super) fn new(seed: u64, order: &Order, outcome: Arc<Mutex<Explored>>) -> Self {
        let mut chance = Chance::new(!seed);
        let changes = match *order {
            Order::Priorities(count) => {
                (0..count).map(|_| chance.below(CHOICES_OF_A_STORY)).collect()
            }
            Order::Even | Order::Sticky(_) => Vec::new(),
        };
        Self {
            order: *order,
            draws: Chance::new(chance.next()),
            chance,
            begun: false,
            priorities: Vec::new(),
            lowest: u64::MAX / 2,
            changes,
            choices: 0,
            outcome,
        }
    }

    fn by_priority(&mut self, runnable: &[&Task], current: Option<TaskId>, yields: bool) -> TaskId {
        let newest = runnable.iter().map(|task| usize::from(task.id())).max().unwrap_or(0);
        while self.priorities.len() <= newest {
            let priority = self.chance.next() / 2;
            self.priorities.push(priority);
        }
        if (yields || self.changes.contains(&self.choices))
            && let Some(current) = current
        {
            self.lowest += 1;
            self.priorities[usize::from(current)] = self.lowest;
        }
        let first = runnable.iter().min_by_key(|task| self.priorities[usize::from(task.id())]);
        first.map_or(TaskId::from(0), |task| task.id())
    }
}

impl Scheduler for Seeded {
    fn new_execution(&mut self) -> Option<Schedule> {
        if self.begun {
            let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
            outcome.choices = self.choices as u64;
            return None;
        }
        self.begun = true;
        Some(Schedule::new(0))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        if let [only] = runnable {
            return Some(only.id());
        }
        self.choices += 1;
        let goes_on = |id: &TaskId| runnable.iter().any(|task| task.id() == *id);
        let any = runnable[self.chance.below(runnable.len())].id();
        Some(match self.order {
            Order::Even => any,
            Order::Sticky(times) => match current.filter(goes_on) {
                Some(current) if !is_yielding && !self.chance.happens(1, times) => current,
                _ => any,
            },
            Order::Priorities(_) => self.by_priority(runnable, current, is_yielding),
        })
    }

    fn next_u64(&mut self) -> u64 {
        self.draws.next()
    }
}
