//! What the outside world knows of a log: which records were promised, and which there can be at
//! all. A log that was cut off in any way is held against it.

use std::collections::BTreeMap;

use plimsoll::LogRecord;

/// Which record it is. Its payload says so, many times over, so that none can be invented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    /// Of the process that appended it.
    pub(crate) life: u64,
    /// Who in that process.
    pub(crate) client: u64,
    /// Which of this client's appends.
    pub(crate) n: u64,
    /// Its place in an atomic batch, from 0.
    pub(crate) part: u64,
    /// Records in that batch.
    pub(crate) parts: u64,
}

impl Identity {
    /// Short, and now and then larger than a buffer.
    pub(crate) fn payload(self) -> Vec<u8> {
        let Self { life, client, n, part, parts } = self;
        let times = if n % 97 == 96 { 3000 } else { 1 + n % 40 };
        let text = format!("{life} {client} {n} {part} {parts} ");
        text.repeat(usize::try_from(times).expect("small")).into_bytes()
    }

    fn of(record: &LogRecord) -> Option<Self> {
        let text = std::str::from_utf8(record.payload()).ok()?;
        let mut words = text.split(' ').map_while(|word| word.parse().ok());
        let mut next = || words.next();
        let found =
            Self { life: next()?, client: next()?, n: next()?, part: next()?, parts: next()? };
        (found.payload() == record.payload()).then_some(found)
    }
}

/// Remembers what was promised.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    promised: BTreeMap<u64, Identity>,
    /// Nothing from here on was given up.
    asked_floor: u64,
    /// Promises heard, those given up since included.
    pub(crate) total: u64,
}

impl Witness {
    pub(crate) fn acknowledged(&mut self, lsn: u64, identity: Identity) {
        let before = self.promised.insert(lsn, identity);
        assert!(before.is_none_or(|before| before == identity), "LSN {lsn} promised twice");
        self.total += 1;
    }

    pub(crate) fn asked_to_truncate_before(&mut self, lsn: u64) {
        self.asked_floor = self.asked_floor.max(lsn);
    }

    /// The last record promised, 0 if none is.
    pub(crate) fn last_promised(&self) -> u64 {
        self.promised.last_key_value().map_or(0, |(lsn, _)| *lsn)
    }

    /// Holds a log, from its floor on, against what was promised: everything promised is there,
    /// whole and in order, and nothing is that nobody appended.
    pub(crate) fn examine(&self, floor: u64, records: &[LogRecord]) -> Result<(), String> {
        if floor > self.asked_floor.max(1) {
            return Err(format!("it starts at {floor}, and {} was asked for", self.asked_floor));
        }
        let found = genuine(floor, records)?;
        if let Some((lsn, last)) = found.last()
            && last.part + 1 < last.parts
        {
            return Err(format!("it ends at {lsn} inside an atomic batch: {last:?}"));
        }
        let found: BTreeMap<_, _> = found.into_iter().collect();
        match self.promised.range(floor..).find(|(lsn, promised)| found.get(lsn) != Some(promised))
        {
            Some((lsn, promised)) => {
                Err(format!("{lsn} was promised as {promised:?}, is {:?}", found.get(lsn)))
            }
            None => Ok(()),
        }
    }

    /// What an opening has kept is promised from then on.
    pub(crate) fn kept(&mut self, floor: u64, records: &[LogRecord]) {
        self.promised = (floor..).zip(records.iter().filter_map(Identity::of)).collect();
    }
}

/// The records of a log, or of a stretch of it from `first` on, if they are what a prefix of the
/// appends looks like from there: dense, whole, each client's without a gap, life after life.
pub(crate) fn genuine(first: u64, records: &[LogRecord]) -> Result<Vec<(u64, Identity)>, String> {
    let mut found: Vec<(u64, Identity)> = Vec::with_capacity(records.len());
    let mut newest = BTreeMap::new();
    for (lsn, record) in (first..).zip(records) {
        if record.lsn().get() != lsn {
            return Err(format!("{} where {lsn} belongs", record.lsn()));
        }
        let identity =
            Identity::of(record).ok_or_else(|| format!("{lsn} has a foreign payload"))?;
        if found.last().is_some_and(|(_, before)| before.life > identity.life) {
            return Err(format!(
                "{lsn} is of an earlier life than the one before it: {identity:?}"
            ));
        }
        let place = (identity.n, identity.part);
        let before = newest.insert((identity.life, identity.client), identity);
        let follows = before.is_none_or(|before: Identity| {
            let ended = before.part + 1 == before.parts;
            place == if ended { (before.n + 1, 0) } else { (before.n, before.part + 1) }
        });
        if !follows {
            return Err(format!("{lsn} is {identity:?}, and before it came {before:?}"));
        }
        found.push((lsn, identity));
    }
    Ok(found)
}
