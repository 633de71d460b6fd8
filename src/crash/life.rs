//! One life of a log: opened, used as the seed says, and ended.

use super::{
    oracle::{Expected, Oracle},
    plan::Plan,
};
use crate::{
    device::simulated::{Chance, SimulatedDisk},
    error::WalError,
    lsn::Lsn,
    record::{Record, RecordKind},
    wal::SegmentedWal,
};

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Closed,
    Killed,
    PowerCut,
}

/// A life in progress.
pub(super) struct Life<'a> {
    plan: &'a mut Plan,
    oracle: &'a mut Oracle,
    disk: &'a SimulatedDisk,
    chance: &'a mut Chance,
}

/// Whether a step leaves the log in use.
enum Step {
    Goes,
    /// The log is poisoned, and nothing is acknowledged any more.
    Poisoned,
}

impl<'a> Life<'a> {
    pub(super) fn new(
        plan: &'a mut Plan,
        oracle: &'a mut Oracle,
        disk: &'a SimulatedDisk,
        chance: &'a mut Chance,
    ) -> Self {
        Self { plan, oracle, disk, chance }
    }

    /// Lives it. The error is a broken promise.
    pub(super) fn run(&mut self) -> Result<Ending, String> {
        let mut wal = match self.plan.open(self.disk, self.plan.config()) {
            Ok(wal) => wal,
            Err(error) if is_fault(&error) => return Ok(self.cut_short()),
            Err(error) => return Err(format!("opening is refused: {error}")),
        };
        self.oracle.opened(wal.recovery(), self.disk.position(), self.plan.settled)?;
        self.check_replay(&wal)?;
        for _ in 0..4 + self.chance.below(36) {
            if matches!(self.step(&mut wal)?, Step::Poisoned) {
                self.check_poisoned(&mut wal)?;
                break;
            }
        }
        self.end(wal)
    }

    fn step(&mut self, wal: &mut SegmentedWal) -> Result<Step, String> {
        let done = match self.chance.below(29 + self.plan.syncs) {
            0..14 => self.append(wal, 1),
            14..18 => {
                let records = 2 + self.chance.below(4);
                self.append(wal, records)
            }
            18 => wal.write_idle_marker(),
            19 | 20 => self.truncate(wal),
            22 | 23 => wal.submit().map(drop),
            24 => wal.submit_written().map(drop),
            25 | 26 => wal.poll().map(drop),
            27 => {
                let lsn = Lsn::new(self.chance.next() % wal.next_lsn().get());
                match wal.wait(lsn) {
                    Ok(durable) if durable < lsn => {
                        return Err(format!("waited for {lsn}, and {durable} is durable"));
                    }
                    waited => waited.map(drop),
                }
            }
            28.. => wal.sync().map(drop),
            21 if self.plan.keys.is_some() => self.rotate(wal),
            _ => return self.check_replay(wal).map(|()| Step::Goes),
        };
        self.acknowledge(wal);
        match done {
            Ok(()) => Ok(Step::Goes),
            Err(error) if error.is_poisoned() => Ok(Step::Poisoned),
            // Nothing was promised yet, as when a segment cannot be prepared.
            Err(error) if is_fault(&error) => Ok(Step::Goes),
            Err(error) => Err(format!("unexpected: {error}")),
        }
    }

    fn append(&mut self, wal: &mut SegmentedWal, count: usize) -> Result<(), WalError> {
        let first_of_batch = self.oracle.records.len() as u64 + 1;
        let records: Vec<_> = (0..count).map(|_| self.record()).collect();
        let acknowledged_before = self.oracle.now.acknowledged;
        let expected = records.iter().cloned().map(|record| Expected {
            record,
            first_of_batch,
            acknowledged_before,
        });
        self.oracle.records.extend(expected);
        // From here on the records may be found, though nobody was promised them.
        self.oracle.now.appended += count as u64;
        self.oracle.mark(self.disk.position());
        let done = match &*records {
            [record] => wal.append(record).map(Lsn::get),
            records => wal.append_batch(records).map(|range| range.first.get()),
        };
        match done {
            Ok(first) => debug_assert_eq!(first, first_of_batch),
            Err(WalError::NoSpace { .. } | WalError::Io { .. }) => {
                self.oracle.records.truncate(self.oracle.records.len() - count);
                self.oracle.now.appended -= count as u64;
            }
            Err(_) => {}
        }
        done.map(drop)
    }

    /// A record like no other.
    fn record(&mut self) -> Record<'static> {
        let len = match self.chance.below(80) {
            0 => 4096 + self.chance.below(32 << 10),
            1..4 => self.chance.below(8192),
            4..20 => self.chance.below(2048),
            _ => self.chance.below(self.plan.record_bytes),
        };
        let mut payload = vec![0; len];
        self.chance.fill(&mut payload);
        let number = u32::try_from(self.chance.below(1 << 16)).unwrap_or(0);
        Record::new(RecordKind::PUT, payload).tenant(u64::from(number)).vshard(number)
    }

    fn truncate(&mut self, wal: &mut SegmentedWal) -> Result<(), WalError> {
        let durable = wal.durable_lsn().get();
        let before = 1 + self.chance.next() % (durable + 1);
        self.oracle.now.floor_at_most = self.oracle.now.floor_at_most.max(before);
        self.oracle.mark(self.disk.position());
        wal.truncate_before(Lsn::new(before))?;
        let floor = wal.list_segments()?.first().map_or(1, |segment| segment.first_lsn.get());
        let promise = &mut self.oracle.now;
        promise.floor_at_least = promise.floor_at_least.max(floor);
        promise.floor_at_most = promise.floor_at_least;
        Ok(())
    }

    fn rotate(&mut self, wal: &mut SegmentedWal) -> Result<(), WalError> {
        self.plan.rotate(self.chance);
        match self.plan.keys.clone() {
            Some(keys) => wal.rotate_keys(keys),
            None => Ok(()),
        }
    }

    fn acknowledge(&mut self, wal: &SegmentedWal) {
        self.oracle.now.acknowledged = wal.durable_lsn().get();
        self.oracle.mark(self.disk.position());
    }

    /// What the open log replays is what was acknowledged.
    fn check_replay(&mut self, wal: &SegmentedWal) -> Result<(), String> {
        let (floor, last) = (self.oracle.now.floor_at_least, wal.durable_lsn().get());
        let reader = wal.replay().map_err(|error| format!("replaying: {error}"))?;
        self.oracle.check_records(reader, floor, last)
    }

    /// A poisoned log says so for ever, and promises nothing new.
    fn check_poisoned(&mut self, wal: &mut SegmentedWal) -> Result<(), String> {
        let durable = wal.durable_lsn();
        let again = [wal.sync(), wal.submit(), wal.poll(), wal.wait(wal.next_lsn().previous())];
        if again.iter().any(Result::is_ok) || wal.durable_lsn() != durable {
            return Err(format!("after a failure, sync, submit, poll and wait said {again:?}"));
        }
        Ok(())
    }

    fn end(&mut self, wal: SegmentedWal) -> Result<Ending, String> {
        let ending = match self.chance.below(8) {
            0 | 1 => Ending::Closed,
            2 => Ending::Killed,
            _ => Ending::PowerCut,
        };
        if ending == Ending::Closed || self.chance.happens(1, 4) {
            let appended = self.oracle.now.appended;
            let acknowledged = wal.durable_lsn().get();
            match wal.close() {
                Ok(()) => self.oracle.now.acknowledged = appended,
                Err(error) if is_fault(&error) => {
                    self.oracle.now.acknowledged = acknowledged;
                }
                Err(error) => return Err(format!("closing: {error}")),
            }
            self.oracle.mark(self.disk.position());
        } else {
            // Its handles are dead before it is dropped, so that it does nothing more.
            self.disk.end_process();
            drop(wal);
        }
        Ok(ending)
    }

    /// The log could not be opened, since the disk failed.
    fn cut_short(&mut self) -> Ending {
        self.disk.end_process();
        if self.chance.happens(1, 2) { Ending::Killed } else { Ending::PowerCut }
    }
}

/// Whether an error is the answer to a fault of the disk.
fn is_fault(error: &WalError) -> bool {
    matches!(error, WalError::Poisoned { .. } | WalError::Io { .. } | WalError::NoSpace { .. })
}
