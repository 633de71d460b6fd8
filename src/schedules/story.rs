//! A story: a log, actors that share it in threads of their own, an end, and the power cuts
//! afterwards.

use std::sync::{Arc, Mutex, PoisonError};

use shuttle::thread;

use super::{
    Explored,
    actor::Actor,
    ledger::Ledger,
    plan::{Ending, Plan},
};
use crate::{
    committer::GroupCommitter,
    device::simulated::{Chance, SimulatedDisk, Walk},
    error::WalError,
    wal::simulated::open,
};

/// Tells the story, and cuts power all over it afterwards.
pub(super) fn run(plan: &Plan, images: usize, outcome: &Mutex<Explored>) {
    let ledger = Arc::new(Ledger::new(&plan.disk));
    let has_failed = live(plan, &ledger);
    cut_power(plan, &ledger, images);
    let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
    outcome.answers = ledger.answers();
    outcome.images = images as u64;
    outcome.poisoned = u64::from(has_failed);
    outcome.abandoned = u64::from(plan.ending == Ending::Dropped && !has_failed);
}

/// Whether the log failed, as the disk made it.
fn live(plan: &Plan, ledger: &Arc<Ledger>) -> bool {
    let opened = open(ledger.disk(), plan.config.clone());
    let log = match opened.and_then(|wal| GroupCommitter::start(wal, plan.policy)) {
        Ok(log) => log,
        Err(error) => {
            assert!(plan.disk.fault.is_some(), "the log does not open: {error}");
            return true;
        }
    };
    let actors: Vec<_> = plan
        .actors
        .iter()
        .map(|seed| {
            let mut actor = Actor::new(plan, log.clone(), Arc::clone(ledger), *seed);
            let steps = plan.steps;
            thread::spawn(move || {
                (0..steps).for_each(|_| actor.step());
                actor.end()
            })
        })
        .collect();
    let mut log = Some(log);
    let mut has_failed = match plan.ending {
        Ending::ClosedMeanwhile => log.take().is_some_and(|log| close(plan, &log, ledger)),
        Ending::Dropped => log.take().is_none(),
        Ending::Closed => false,
    };
    for actor in actors {
        has_failed |= actor.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    has_failed | log.is_some_and(|log| close(plan, &log, ledger))
}

/// Closes the log; whether that failed, as the disk made it.
fn close(plan: &Plan, log: &GroupCommitter, ledger: &Ledger) -> bool {
    match log.close() {
        Ok(()) => {
            ledger.closed();
            let again = log.close();
            // Poisoned where the disk failed in the background meanwhile.
            let is_closed = matches!(again, Err(WalError::Closed));
            assert!(is_closed || plan.disk.fault.is_some(), "closed twice: {again:?}");
            false
        }
        Err(error) => {
            assert!(plan.disk.fault.is_some(), "closing fails: {error}");
            true
        }
    }
}

fn cut_power(plan: &Plan, ledger: &Ledger, images: usize) {
    let journal = ledger.disk().journal();
    let mut chance = Chance::new(plan.seed);
    let mut positions: Vec<_> =
        (0..images).map(|_| chance.below(journal.events.len() + 1)).collect();
    positions.sort_unstable();
    let mut walk = Walk::new(&journal);
    for position in positions {
        walk.go_to(position);
        let image = walk.cut_power(&mut chance, plan.disk.physical_block_bytes);
        ledger.check(&SimulatedDisk::image(image), walk.position(), None);
    }
}
