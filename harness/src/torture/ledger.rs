//! The judge: everything that a log has to hold, cycle after cycle, against what it holds.
//!
//! Knows no log and no process, so that tests can hand it acknowledgements that are lies and logs
//! that have lost something.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::records::{Identity, Payloads, Recovered};

/// What a life of the victim told before it was killed.
#[derive(Clone, Debug, Default)]
pub(super) struct Testimony {
    pub(super) cycle: u64,
    /// Last record that it found on opening; `None` if it was killed before.
    pub(super) opened_at: Option<u64>,
    /// Acknowledged records by LSN: client and sequence.
    pub(super) acknowledged: BTreeMap<u64, (u32, u64)>,
    /// It acknowledged two records under this one LSN.
    pub(super) acknowledged_twice: Option<u64>,
    /// Highest LSN that it was about to truncate before, 0 if none.
    pub(super) truncating_before: u64,
    /// How many clients it had.
    pub(super) clients: u32,
    /// Records that a client had on its way at most.
    pub(super) outstanding: u64,
}

/// What has to be in the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// By LSN: everything that was in it when it was opened last.
    kept: BTreeMap<u64, Identity>,
    floor: u64,
    last_lsn: u64,
}

/// What a life added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Records acknowledged in this life that were found, byte by byte.
    pub(super) acknowledged: u64,
    /// Records of this life that were found though nobody had been told of them.
    pub(super) unacknowledged: u64,
    /// Records of earlier lives that were compared again.
    pub(super) earlier: u64,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Breach {
    /// Acknowledged, or found by an earlier opening, and not there.
    Lost { lsn: u64, last_lsn: u64 },
    /// There, with another content.
    Altered { lsn: u64, identity: Identity },
    /// Another record than was acknowledged under this LSN, or than was there before.
    Exchanged { lsn: u64, found: Identity, expected: Identity },
    /// There, and nobody wrote it, or not here.
    Invented { lsn: u64, found: Identity },
    /// An LSN is missing between two that are there.
    Gap { lsn: u64, found_lsn: u64 },
    /// Two records were acknowledged under one LSN.
    AcknowledgedTwice { lsn: u64 },
    /// More was truncated than was asked for.
    Floor { floor: u64, allowed: u64 },
    /// The victim opened the log and found another end than the opening before.
    OtherEnd { found: u64, expected: u64 },
    /// The log cannot be opened or read.
    Refused { reason: String },
    /// Who followed it from outside was given something else than was written, or an error.
    Followed { reason: String },
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { lsn, last_lsn } => {
                write!(f, "record {lsn} is lost: the log ends at {last_lsn}")
            }
            Self::Altered { lsn, identity } => {
                write!(f, "record {lsn} has other bytes than were written ({identity:?})")
            }
            Self::Exchanged { lsn, found, expected } => {
                write!(f, "record {lsn} is {found:?} and has to be {expected:?}")
            }
            Self::Invented { lsn, found } => {
                write!(f, "record {lsn} was never written there: {found:?}")
            }
            Self::Gap { lsn, found_lsn } => {
                write!(f, "record {lsn} is missing: {found_lsn} stands in its place")
            }
            Self::AcknowledgedTwice { lsn } => {
                write!(f, "two records were acknowledged as {lsn}")
            }
            Self::Floor { floor, allowed } => write!(
                f,
                "the log begins at {floor}, and was never truncated before more than {allowed}"
            ),
            Self::OtherEnd { found, expected } => write!(
                f,
                "opened again, the log ended at {found}, and at {expected} the time before"
            ),
            Self::Refused { reason } => write!(f, "the log is refused: {reason}"),
            Self::Followed { reason } => write!(f, "following the log from outside: {reason}"),
        }
    }
}

impl Ledger {
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// The LSN of the next record, as far as openings have told.
    pub(super) fn next_lsn(&self) -> u64 {
        self.last_lsn + 1
    }

    /// Holds what was handed out as durable while the log was written against what it holds now;
    /// returns how much that is.
    ///
    /// # Errors
    /// A record that is not there, or another one.
    pub(super) fn check_followed(&self, seen: &[(u64, Identity)]) -> Result<u64, Breach> {
        let last_lsn = self.last_lsn;
        for &(lsn, found) in seen.iter().filter(|(lsn, _)| *lsn >= self.floor) {
            match self.kept.get(&lsn) {
                Some(expected) if *expected == found => {}
                Some(&expected) => return Err(Breach::Exchanged { lsn, found, expected }),
                None => return Err(Breach::Lost { lsn, last_lsn }),
            }
        }
        Ok(seen.len() as u64)
    }

    /// Holds what a log holds after a life against all that it has to hold, and remembers it: from
    /// now on all of that has to stay.
    ///
    /// # Errors
    /// The first broken promise. The ledger is of no use afterwards.
    pub(super) fn judge(
        &mut self,
        life: &Testimony,
        floor: u64,
        records: impl Iterator<Item = Result<Recovered, String>>,
        payloads: &Payloads,
    ) -> Result<Verdict, Breach> {
        self.check_life(life, floor)?;
        let mut verdict = Verdict::default();
        let mut sequences = HashMap::new();
        let mut expected = Vec::new();
        let (mut next_lsn, first_new) = (floor, self.last_lsn + 1);
        let mut kept = BTreeMap::new();
        for record in records {
            let record = record.map_err(|reason| Breach::Refused { reason })?;
            let Recovered { lsn, identity, payload } = record;
            if lsn != next_lsn {
                return Err(Breach::Gap { lsn: next_lsn, found_lsn: lsn });
            }
            next_lsn += 1;
            if lsn < first_new {
                self.check_earlier(lsn, identity)?;
                verdict.earlier += 1;
            } else if check_new(lsn, identity, life, &mut sequences, floor < first_new)? {
                verdict.acknowledged += 1;
            } else {
                verdict.unacknowledged += 1;
            }
            payloads.fill(identity, &mut expected);
            if payload != expected {
                return Err(Breach::Altered { lsn, identity });
            }
            kept.insert(lsn, identity);
        }
        let last_lsn = next_lsn - 1;
        let newest = life.acknowledged.keys().next_back().copied().unwrap_or(0).max(self.last_lsn);
        if newest > last_lsn {
            return Err(Breach::Lost { lsn: next_lsn, last_lsn });
        }
        *self = Self { kept, floor, last_lsn };
        Ok(verdict)
    }

    fn check_life(&self, life: &Testimony, floor: u64) -> Result<(), Breach> {
        if let Some(lsn) = life.acknowledged_twice {
            return Err(Breach::AcknowledgedTwice { lsn });
        }
        if let Some((&lsn, _)) = life.acknowledged.range(..=self.last_lsn).next() {
            return Err(Breach::AcknowledgedTwice { lsn });
        }
        if let Some(found) = life.opened_at.filter(|found| *found != self.last_lsn) {
            return Err(Breach::OtherEnd { found, expected: self.last_lsn });
        }
        let allowed = self.floor.max(life.truncating_before).max(1);
        if floor > allowed || floor < self.floor.max(1) {
            return Err(Breach::Floor { floor, allowed });
        }
        Ok(())
    }

    fn check_earlier(&self, lsn: u64, found: Identity) -> Result<(), Breach> {
        match self.kept.get(&lsn) {
            Some(expected) if *expected == found => Ok(()),
            Some(&expected) => Err(Breach::Exchanged { lsn, found, expected }),
            None => Err(Breach::Invented { lsn, found }),
        }
    }
}

/// Checks a record of the latest life; whether it was acknowledged. `whole` when none of that
/// life's records were truncated, so that each client's begin with its first.
fn check_new(
    lsn: u64,
    found: Identity,
    life: &Testimony,
    sequences: &mut HashMap<u32, u64>,
    whole: bool,
) -> Result<bool, Breach> {
    let acknowledged = life.acknowledged.get(&lsn);
    if let Some(&(client, sequence)) = acknowledged {
        let expected = Identity { cycle: life.cycle, client, sequence };
        if found != expected {
            return Err(Breach::Exchanged { lsn, found, expected });
        }
    }
    let next = sequences.get(&found.client).copied().or(whole.then_some(0));
    let in_order = next.is_none_or(|next| next == found.sequence);
    if found.cycle != life.cycle || found.client >= life.clients || !in_order {
        return Err(Breach::Invented { lsn, found });
    }
    // A client goes on only when it has been told of what is before.
    if acknowledged.is_none() {
        let told = life.acknowledged.values().filter(|(client, _)| *client == found.client);
        let told = told.map(|(_, sequence)| sequence + 1).max().unwrap_or(0);
        if found.sequence >= told + life.outstanding {
            return Err(Breach::Invented { lsn, found });
        }
    }
    sequences.insert(found.client, found.sequence + 1);
    Ok(acknowledged.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOADS: Payloads = Payloads::up_to(3, 900);

    fn record(lsn: u64, cycle: u64, client: u32, sequence: u64) -> Recovered {
        let identity = Identity { cycle, client, sequence };
        let mut payload = Vec::new();
        PAYLOADS.fill(identity, &mut payload);
        Recovered { lsn, identity, payload }
    }

    /// A life that acknowledged records 1 to 4 of two clients, and had a fifth on its way.
    fn life() -> (Testimony, Vec<Recovered>) {
        let records = [(1, 0, 0), (2, 1, 0), (3, 0, 1), (4, 1, 1), (5, 0, 2)];
        let testimony = Testimony {
            cycle: 0,
            opened_at: Some(0),
            acknowledged: records[..4].iter().map(|&(lsn, c, s)| (lsn, (c, s))).collect(),
            clients: 2,
            outstanding: 1,
            ..Testimony::default()
        };
        (testimony, records.map(|(lsn, client, sequence)| record(lsn, 0, client, sequence)).into())
    }

    fn judge(life: &Testimony, records: Vec<Recovered>) -> Result<Verdict, Breach> {
        Ledger::default().judge(life, 1, records.into_iter().map(Ok), &PAYLOADS)
    }

    #[test]
    fn an_honest_life_passes_with_and_without_what_was_on_its_way() {
        let (life, records) = life();
        let verdict = Verdict { acknowledged: 4, unacknowledged: 1, earlier: 0 };
        assert_eq!(judge(&life, records.clone()), Ok(verdict));
        let verdict = Verdict { unacknowledged: 0, ..verdict };
        assert_eq!(judge(&life, records[..4].to_vec()), Ok(verdict));
        assert_eq!(judge(&Testimony::default(), vec![]), Ok(Verdict::default()));
    }

    #[test]
    fn what_was_followed_has_to_be_there() {
        let (life, records) = life();
        let mut ledger = Ledger::default();
        assert_eq!(ledger.next_lsn(), 1);
        let seen: Vec<_> = records.iter().map(|record| (record.lsn, record.identity)).collect();
        let kept = records[..4].to_vec();
        ledger.judge(&life, 1, kept.into_iter().map(Ok), &PAYLOADS).expect("honest");
        assert_eq!((ledger.next_lsn(), ledger.check_followed(&seen[..4])), (5, Ok(4)));
        let lost = Breach::Lost { lsn: 5, last_lsn: 4 };
        assert_eq!(ledger.check_followed(&seen), Err(lost));
        let other = [(2, seen[2].1)];
        let exchanged = Breach::Exchanged { lsn: 2, found: other[0].1, expected: seen[1].1 };
        assert_eq!(ledger.check_followed(&other), Err(exchanged));
    }

    #[test]
    fn an_acknowledgement_before_the_record_was_durable_is_a_loss() {
        let (life, records) = life();
        for len in 0..4 {
            let lost = Breach::Lost { lsn: len as u64 + 1, last_lsn: len as u64 };
            assert_eq!(judge(&life, records[..len].to_vec()), Err(lost));
        }
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_written_is_found() {
        let (mut lie, records) = life();
        lie.acknowledged.insert(6, (1, 2));
        let lost = Breach::Lost { lsn: 6, last_lsn: 5 };
        assert_eq!(judge(&lie, records.clone()), Err(lost));
        let (mut lie, _) = life();
        lie.acknowledged.insert(5, (1, 2));
        let exchanged = judge(&lie, records.clone());
        assert!(matches!(exchanged, Err(Breach::Exchanged { lsn: 5, .. })), "{exchanged:?}");
        let (mut lie, _) = life();
        lie.acknowledged_twice = Some(4);
        assert_eq!(judge(&lie, records), Err(Breach::AcknowledgedTwice { lsn: 4 }));
    }

    #[test]
    fn every_altered_byte_and_length_is_found() {
        let (life, records) = life();
        for index in 0..records.len() {
            for at in 0..records[index].payload.len() {
                let mut altered = records.clone();
                altered[index].payload[at] ^= 0x10;
                let found = judge(&life, altered);
                assert!(matches!(found, Err(Breach::Altered { .. })), "{found:?}");
            }
            let mut longer = records.clone();
            longer[index].payload.push(0);
            assert!(matches!(judge(&life, longer), Err(Breach::Altered { .. })));
        }
    }

    #[test]
    fn what_nobody_wrote_is_found() {
        let (life, records) = life();
        for (cycle, client, sequence) in [(0, 0, 3), (0, 0, 2), (0, 1, 3), (1, 1, 2), (0, 2, 0)] {
            let mut more = records.clone();
            more.push(record(6, cycle, client, sequence));
            let found = judge(&life, more);
            assert!(
                matches!(found, Err(Breach::Invented { lsn: 6, .. })),
                "{cycle} {client} {sequence}: {found:?}"
            );
        }
        let mut gap = records.clone();
        gap.remove(2);
        assert_eq!(judge(&life, gap), Err(Breach::Gap { lsn: 3, found_lsn: 4 }));
        let unreadable = records.into_iter().map(Ok).chain([Err("EIO".to_owned())]);
        let found = Ledger::default().judge(&life, 1, unreadable, &PAYLOADS);
        assert_eq!(found, Err(Breach::Refused { reason: "EIO".to_owned() }));
    }

    #[test]
    fn what_an_opening_has_found_stays_even_if_nobody_was_told_of_it() {
        let (first, records) = life();
        let mut ledger = Ledger::default();
        ledger.judge(&first, 1, records.iter().cloned().map(Ok), &PAYLOADS).expect("honest");
        let second = Testimony { cycle: 1, opened_at: Some(5), outstanding: 1, ..first.clone() };
        let judge = |life: &Testimony, floor, records: Vec<Recovered>| {
            ledger.clone().judge(life, floor, records.into_iter().map(Ok), &PAYLOADS)
        };
        let none = Testimony { acknowledged: BTreeMap::new(), ..second };
        let verdict = Verdict { earlier: 5, ..Verdict::default() };
        assert_eq!(judge(&none, 1, records.clone()), Ok(verdict));
        let lost = Breach::Lost { lsn: 5, last_lsn: 4 };
        assert_eq!(judge(&none, 1, records[..4].to_vec()), Err(lost));
        let elsewhere = Testimony { opened_at: Some(4), ..none.clone() };
        let other_end = Breach::OtherEnd { found: 4, expected: 5 };
        assert_eq!(judge(&elsewhere, 1, records.clone()), Err(other_end));
        let again = Testimony { acknowledged: [(5, (0, 0))].into(), ..none.clone() };
        let twice = Breach::AcknowledgedTwice { lsn: 5 };
        assert_eq!(judge(&again, 1, records.clone()), Err(twice));

        let truncated = Testimony { truncating_before: 3, ..none.clone() };
        assert!(judge(&truncated, 3, records[2..].to_vec()).is_ok());
        let floor = Breach::Floor { floor: 4, allowed: 3 };
        assert_eq!(judge(&truncated, 4, records[3..].to_vec()), Err(floor));
        let floor = Breach::Floor { floor: 2, allowed: 1 };
        assert_eq!(judge(&none, 2, records[1..].to_vec()), Err(floor));
    }

    #[test]
    fn a_life_that_truncates_its_own_records_may_begin_anywhere_and_goes_on_in_order() {
        let (mut life, records) = life();
        life.truncating_before = 3;
        let judge = |records: &[Recovered]| {
            Ledger::default().judge(&life, 3, records.iter().cloned().map(Ok), &PAYLOADS)
        };
        assert!(judge(&records[2..]).is_ok());
        let skips = [records[2].clone(), records[3].clone(), record(5, 0, 0, 3)];
        assert!(matches!(judge(&skips), Err(Breach::Invented { lsn: 5, .. })));
    }
}
