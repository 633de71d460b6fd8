//! Cutting power all over a life, and holding what is left against the oracle.

use super::{
    Outcome,
    damage::{Damage, batches_between, claimed},
    oracle::{Oracle, Promise},
    plan::Plan,
};
use crate::{
    config::{SegmentedWalConfig, VerifyOnOpen},
    crypto::KeyRing,
    device::simulated::{Chance, DiskOptions, Journal, SimulatedDisk, State, Walk},
    error::WalError,
    lsn::Lsn,
    record::{Record, RecordKind},
    wal::simulated::{Examined, examine_as, read},
};

/// One image in so many is damaged,
const DAMAGED_EVERY: usize = 6;
/// and one in so many is opened and written to.
const OPENED_EVERY: usize = 64;
/// One in so many is compared record by record from the floor on,
const REPLAYED_EVERY: usize = 4;
/// the others from so many records before the last acknowledged one.
const NEAR_RECORDS: u64 = 4;

/// Looks at `count` images of a life.
pub(super) fn explore(
    plan: &Plan,
    oracle: &Oracle,
    journal: &Journal,
    count: usize,
    chance: &mut Chance,
    outcome: &mut Outcome,
) -> Result<(), (usize, String)> {
    let mut positions: Vec<_> =
        (0..count).map(|_| chance.below(journal.events.len() + 1)).collect();
    positions.sort_unstable();
    let mut walk = Walk::new(journal);
    for position in positions {
        walk.go_to(position.max(walk.position()));
        // With nothing on its way there is only one image: rather look behind the next event.
        if !walk.state().has_pending()
            && walk.position() < journal.events.len()
            && chance.happens(3, 4)
        {
            walk.go_to(walk.position() + 1);
        }
        let promise = oracle.promise_at(walk.position());
        // Whatever the log is opened with: both have to hold of every image.
        let verify = chance.pick(&[VerifyOnOpen::Newest, VerifyOnOpen::Everything]);
        let image = Image { plan, oracle, promise, verify };
        let state = walk.cut_power(chance, plan.physical_block_bytes());
        outcome.images += 1;
        outcome.records += promise.acknowledged;
        let checked = if chance.happens(1, DAMAGED_EVERY) {
            image.check_damaged(state, journal, walk.position(), chance, outcome)
        } else if chance.happens(1, OPENED_EVERY) {
            outcome.opened += 1;
            image.check_opened(state, chance)
        } else if chance.happens(1, REPLAYED_EVERY) {
            image.check(&SimulatedDisk::image(state)).map(drop)
        } else {
            // Recovery or the reading after it checks all of it; the records that this crash was
            // near to are compared as well.
            let near = Lsn::new(promise.acknowledged.saturating_sub(NEAR_RECORDS));
            image.check_from(&SimulatedDisk::image(state), near).map(drop)
        };
        checked.map_err(|problem| (walk.position(), problem))?;
    }
    Ok(())
}

struct Image<'a> {
    plan: &'a Plan,
    oracle: &'a Oracle,
    promise: Promise,
    verify: VerifyOnOpen,
}

impl Image<'_> {
    fn keys(&self) -> Option<&KeyRing> {
        self.plan.keys.as_ref()
    }

    /// An image of a mere power cut is never refused and holds what was promised.
    fn check(&self, disk: &SimulatedDisk) -> Result<u64, String> {
        self.check_from(disk, Lsn::NONE)
    }

    fn examine(&self, disk: &SimulatedDisk) -> Result<Examined, WalError> {
        examine_as(disk, self.keys(), self.verify)
    }

    /// The same, but records before this one are checked by recovery only, if it reads them.
    fn check_from(&self, disk: &SimulatedDisk, from: Lsn) -> Result<u64, String> {
        let found = self
            .examine(disk)
            .map_err(|error| format!("recovery refuses what nobody damaged: {error}"))?;
        self.oracle.check_report(&found.report, self.promise)?;
        let last = self.oracle.last_lsn(&found.report);
        if self.oracle.is_not_begun(&found.report, self.promise) {
            return Ok(last);
        }
        let from = match self.verify {
            VerifyOnOpen::Newest => found.report.floor,
            VerifyOnOpen::Everything => from.max(found.report.floor),
        };
        self.oracle.check_records(found.records(from), from.get(), last)?;
        Ok(last)
    }

    /// Opened, the log goes on where it ended, and a second crash changes nothing of it.
    fn check_opened(&self, state: State, chance: &mut Chance) -> Result<(), String> {
        let options = DiskOptions { seed: chance.next(), ..DiskOptions::default() };
        let disk = SimulatedDisk::with_state(options, state);
        let last = self.check(&disk)?;
        self.check_reader(&disk, last)?;
        let config = SegmentedWalConfig { alignment: None, ..self.plan.config() };
        let opening = |error| format!("opening an image: {error}");
        let mut wal = self.plan.open(&disk, config.clone()).map_err(opening)?;
        if wal.recovery().last_lsn.get() != last {
            return Err(format!("recovery found {last}, opening {}", wal.recovery().last_lsn));
        }
        let record = Record::new(RecordKind::PUT, &b"after the crash"[..]);
        let appended = wal.append(&record).and_then(|lsn| wal.sync().map(|_| lsn));
        let appended = appended.map_err(|error| format!("appending to an image: {error}"))?;
        if appended.get() != last + 1 {
            return Err(format!("record {appended} follows record {last}"));
        }
        disk.end_process();
        drop(wal);
        let journal = disk.journal();
        let mut walk = Walk::new(&journal);
        walk.go_to(journal.events.len());
        let again = SimulatedDisk::image(walk.cut_power(chance, 512));
        let wal = self.plan.open(&again, config).map_err(opening)?;
        if wal.recovery().last_lsn != appended {
            let found = wal.recovery().last_lsn;
            return Err(format!("record {appended} was synced, and the log ends at {found}"));
        }
        Ok(())
    }

    /// A reader without the lock sees what recovery sees.
    fn check_reader(&self, disk: &SimulatedDisk, last: u64) -> Result<(), String> {
        match read(disk, self.keys(), Lsn::NONE) {
            Ok(reader) => {
                let records: Vec<_> = reader.collect();
                let floor = records.first().and_then(|record| record.as_ref().ok());
                let floor = floor.map_or(last + 1, |record| record.lsn().get());
                self.oracle.check_records(records.into_iter(), floor, last)
            }
            Err(WalError::MetaDamaged { .. }) if self.oracle.is_empty_at(last) => Ok(()),
            Err(error) => Err(format!("reading an image: {error}")),
        }
    }

    /// A damaged image is refused, or holds what was promised, or ends early where nothing in it
    /// tells of more.
    fn check_damaged(
        &self,
        mut state: State,
        journal: &Journal,
        position: usize,
        chance: &mut Chance,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        let whole = state.clone();
        self.oracle.check_claim(claimed(&whole), self.promise)?;
        let Some(damage) = Damage::inflict(&mut state, journal, position, chance) else {
            return self.check(&SimulatedDisk::image(state)).map(drop);
        };
        outcome.damaged += 1;
        let claimed = claimed(&state);
        let because = |problem: String| format!("{problem} ({damage:?})");
        let disk = SimulatedDisk::image(state);
        let found = match self.examine(&disk) {
            Ok(found) => found,
            Err(error) if damage.is_harmless() => {
                return Err(because(format!("harmless damage is refused: {error}")));
            }
            Err(_) => {
                outcome.refused += 1;
                return Ok(());
            }
        };
        let (floor, last) = (found.report.floor.get(), found.report.last_lsn.get());
        self.oracle.check_end(&found.report, self.promise).map_err(because)?;
        if self.oracle.is_not_begun(&found.report, self.promise) {
            return Ok(());
        }
        if last < self.promise.acknowledged {
            if claimed > last || damage.is_harmless() {
                return Err(because(format!(
                    "records up to {} were acknowledged, the log itself tells of {claimed}, and \
                     it ends at {last} without a word",
                    self.promise.acknowledged
                )));
            }
            outcome.residue += 1;
            let lost = batches_between(&whole, last, self.promise.acknowledged);
            outcome.residue_batches_at_most = outcome.residue_batches_at_most.max(lost);
            outcome.residue_of_several += u64::from(lost > 1);
        }
        let reading = found.records(Lsn::NONE);
        if self.verify == VerifyOnOpen::Everything {
            return self.oracle.check_records(reading, floor, last).map_err(because);
        }
        // What the opening has not read is refused where the damage is, or it is whole.
        let mut refusal = None;
        let read = reading.map_while(|record| record.map_err(|error| refusal = Some(error)).ok());
        let read: Vec<_> = read.map(Ok).collect();
        let end = if refusal.is_some() { floor + read.len() as u64 - 1 } else { last };
        outcome.refused_by_reading += u64::from(refusal.is_some());
        if damage.is_harmless()
            && let Some(error) = refusal
        {
            return Err(because(format!("harmless damage is refused by reading: {error}")));
        }
        self.oracle.check_records(read.into_iter(), floor, end).map_err(because)
    }
}
