//! Walking through the life of a disk again, to cut power anywhere in it.

use super::{
    Chance,
    state::{Event, State},
};

/// Everything that happened to a disk.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    pub(crate) start: State,
    pub(crate) events: Vec<Event>,
}

/// A position in a journal, and the disk as it was there.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    journal: &'a Journal,
    position: usize,
    state: State,
}

impl<'a> Walk<'a> {
    /// Starts where the journal starts.
    pub(crate) fn new(journal: &'a Journal) -> Self {
        Self { journal, position: 0, state: journal.start.clone() }
    }

    /// Events behind the walker.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Goes on to a later position.
    pub(crate) fn go_to(&mut self, position: usize) {
        for event in &self.journal.events[self.position..position] {
            self.state.apply(event);
        }
        self.position = self.position.max(position);
    }

    /// What is left when power is cut here.
    pub(crate) fn cut_power(&self, chance: &mut Chance, physical_block_bytes: usize) -> State {
        self.state.after_power_cut(chance, physical_block_bytes)
    }
}
