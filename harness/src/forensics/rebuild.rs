//! Makes a new log of records that were found elsewhere, each at the LSN it had, because others refer
//! to it. A log is dense, so records that are missing in between become `NOOP`s, and each such hole
//! is told; or, if that is asked for, the records get new LSNs.
//!
//! Records may come late, twice and out of order: a few MiB of later ones are held back where one is
//! missing. The first whole one of an LSN is taken.

mod new_log;
mod outcome;
mod place;

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use anyhow::anyhow;
use plimsoll::{RecordHeader, SegmentedWalConfig};

use crate::failure::Failure;
use new_log::{Fingerprint, NewLog, noop};

pub(crate) use new_log::settings_for;
pub(crate) use outcome::{Bounded, Copied, Hole, Rebuilt, Renumbered, describe_holes, line, more};
pub(crate) use place::Place;

/// Bytes of records that are held back for one that may come late.
const HELD_BYTES_MAX: usize = 8 << 20;
/// What a record that is held back takes beside its payload.
const HELD_OVERHEAD_BYTES: usize = 96;
/// Most `NOOP`s in one new log: about half a GiB of it.
pub(crate) const NOOPS_MAX: u64 = 10_000_000;
/// So many records back a second one of the same LSN is compared with the first.
const REMEMBERED_RECORDS: usize = 1 << 20;
/// Most changes of distance between old and new LSNs that a report holds.
const RENUMBERED_RANGES_MAX: usize = 1_000_000;
/// The highest LSN that a new log can have.
const LSN_MAX: u64 = u64::MAX - 2;

/// A whole record, and where it belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) lsn: u64,
    pub(crate) header: RecordHeader,
    pub(crate) payload: &'a [u8],
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    /// It is in the new log, or will be.
    Taken,
    /// One like it in every byte has its LSN.
    Copy,
    /// Another one has its LSN.
    Differs,
    /// One that came long ago has its LSN; whether it was the same is not known any more.
    NotCompared,
    /// A `NOOP` has its LSN: too many later records had come before it.
    TooLate,
    /// The new log begins behind it.
    TooEarly,
    /// No record can have this LSN.
    Impossible,
}

/// Where the LSNs begin, and whether they stay.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Numbering {
    /// What the first record is known to have had; if nothing is known, that of the first one found,
    /// 1 if it may still come.
    pub(crate) first_lsn: Option<u64>,
    /// The records get new LSNs without gaps.
    pub(crate) renumber: bool,
}

/// A new log under way.
#[derive(Debug)]
pub(crate) struct Rebuild {
    /// `None` to find out only what would be in it.
    log: Option<NewLog>,
    numbering: Numbering,
    /// The LSN, as found, that comes next.
    next: u64,
    /// The LSN that it gets.
    next_new: u64,
    begun: bool,
    held: BTreeMap<u64, Held>,
    held_bytes: usize,
    /// Why records may be missing before the next one that is found.
    reasons: Vec<String>,
    /// LSN and checksum of what was written last, in order.
    written: VecDeque<(u64, u32)>,
    fingerprint: Fingerprint,
    outcome: Rebuilt,
}

#[derive(Debug)]
struct Held {
    header: RecordHeader,
    payload: Vec<u8>,
    /// Why those before it may be missing.
    reasons: Vec<String>,
}

impl Rebuild {
    /// A log with these settings in `place`; their directory is not used.
    ///
    /// # Errors
    /// For settings out of their range.
    pub(crate) fn new(
        place: Place,
        config: SegmentedWalConfig,
        numbering: Numbering,
    ) -> Result<Self, Failure> {
        Ok(Self { log: Some(NewLog::new(place, config)?), ..Self::without_log(numbering) })
    }

    /// Everything but a log: says what would be in one.
    pub(crate) fn without_log(numbering: Numbering) -> Self {
        let next = numbering.first_lsn.unwrap_or(1);
        Self {
            log: None,
            numbering,
            next,
            next_new: next,
            begun: false,
            held: BTreeMap::new(),
            held_bytes: 0,
            reasons: Vec::new(),
            written: VecDeque::new(),
            fingerprint: Fingerprint::default(),
            outcome: Rebuilt::default(),
        }
    }

    /// Something was found that is no record: if records are missing before the next one, this is
    /// why.
    pub(crate) fn met(&mut self, reason: impl Into<String>) {
        let reason = reason.into();
        // A few words are enough, however much is damaged.
        if self.reasons.len() < 4 && !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    /// A whole record was found.
    ///
    /// # Errors
    /// When it cannot be written, or too much is missing before it.
    pub(crate) fn offer(&mut self, found: Found<'_>) -> Result<Offered, Failure> {
        let Found { lsn, header, payload } = found;
        if lsn == 0 || lsn > LSN_MAX {
            return Ok(Offered::Impossible);
        }
        if lsn < self.next {
            return Ok(self.compare(found));
        }
        if lsn == self.next {
            self.reasons.clear();
            self.write(lsn, header, payload)?;
            self.write_held()?;
            return Ok(Offered::Taken);
        }
        if let Some(first) = self.held.get(&lsn) {
            let same = first.header == header && first.payload == payload;
            return Ok(if same { Offered::Copy } else { Offered::Differs });
        }
        let reasons = mem::take(&mut self.reasons);
        self.held_bytes += payload.len() + HELD_OVERHEAD_BYTES;
        self.held.insert(lsn, Held { header, payload: payload.to_vec(), reasons });
        while self.held_bytes > HELD_BYTES_MAX {
            self.give_up_what_is_missing()?;
        }
        Ok(Offered::Taken)
    }

    /// Writes what is held back, makes the log durable, and reads all of it once more. `source` is
    /// where the records came from.
    ///
    /// # Errors
    /// When that fails, or there was no record at all.
    pub(crate) fn end(mut self, source: &str) -> Result<(Rebuilt, Option<Place>), Failure> {
        while !self.held.is_empty() {
            self.give_up_what_is_missing()?;
        }
        if !self.begun {
            return Err(Failure::Refused(anyhow!(
                "no whole record was found in {source}; nothing was written"
            )));
        }
        self.outcome.last_lsn = self.next_new - 1;
        self.outcome.fingerprint = self.fingerprint.hex();
        let log = self.log.map(|log| log.end(self.outcome.last_lsn, &self.outcome.fingerprint));
        Ok((self.outcome, log.transpose()?))
    }

    /// Records up to here were there once, whether they were found or not: the new log's next record
    /// gets an LSN that none of them had.
    ///
    /// # Errors
    /// When it cannot be written, or too much is missing.
    pub(crate) fn reach(&mut self, lsn: u64) -> Result<(), Failure> {
        while !self.held.is_empty() {
            self.give_up_what_is_missing()?;
        }
        if !self.begun || lsn < self.next || lsn > LSN_MAX {
            return Ok(());
        }
        let why = self.why();
        self.fill(Hole { first_lsn: self.next, last_lsn: lsn, why })?;
        self.next = lsn + 1;
        Ok(())
    }

    fn why(&mut self) -> String {
        joined(&mem::take(&mut self.reasons))
    }

    /// Whether records may still come that are before every one found so far.
    pub(crate) fn may_begin_later(&self) -> bool {
        !self.begun && self.numbering.first_lsn.is_none()
    }

    /// Records so far, for whoever watches.
    pub(crate) fn records(&self) -> u64 {
        self.outcome.records
    }

    fn compare(&self, found: Found<'_>) -> Offered {
        if !self.begun || found.lsn < self.outcome.first_found_lsn {
            return Offered::TooEarly;
        }
        match self.written.binary_search_by_key(&found.lsn, |(lsn, _)| *lsn) {
            Ok(at) if self.written[at].1 == checksum(found.header, found.payload) => Offered::Copy,
            Ok(_) => Offered::Differs,
            Err(0) if self.written.len() == REMEMBERED_RECORDS => Offered::NotCompared,
            Err(_) => Offered::TooLate,
        }
    }

    /// The next record will not come: goes on with the first one that is held back.
    fn give_up_what_is_missing(&mut self) -> Result<(), Failure> {
        let Some((&lsn, held)) = self.held.first_key_value() else { return Ok(()) };
        let begins_here = self.may_begin_later();
        if lsn > self.next && !begins_here {
            let why = joined(&held.reasons);
            self.fill(Hole { first_lsn: self.next, last_lsn: lsn - 1, why })?;
        } else if begins_here {
            self.next_new = lsn;
        }
        self.next = lsn;
        self.write_held()
    }

    fn fill(&mut self, hole: Hole) -> Result<(), Failure> {
        if !self.numbering.renumber {
            if self.outcome.noops.saturating_add(hole.records()) > NOOPS_MAX {
                return Err(Failure::Refused(anyhow!(
                    "records {} to {} are missing ({}), and with them more than {NOOPS_MAX} would have \
                     to be filled up with NOOPs so that the others keep their LSNs; --renumber gives \
                     new LSNs without gaps, and the report says which became which",
                    hole.first_lsn,
                    hole.last_lsn,
                    hole.why
                )));
            }
            for lsn in hole.first_lsn..=hole.last_lsn {
                self.write_as(lsn, noop(), &[])?;
            }
            self.outcome.noops += hole.records();
        }
        self.outcome.missing += hole.records();
        self.outcome.holes.push(hole);
        Ok(())
    }

    fn write_held(&mut self) -> Result<(), Failure> {
        while let Some(held) = self.held.remove(&self.next) {
            self.held_bytes -= held.payload.len() + HELD_OVERHEAD_BYTES;
            self.write(self.next, held.header, &held.payload)?;
        }
        Ok(())
    }

    /// Writes the record that comes next.
    fn write(&mut self, lsn: u64, header: RecordHeader, payload: &[u8]) -> Result<(), Failure> {
        if self.written.len() == REMEMBERED_RECORDS {
            self.written.pop_front();
        }
        self.written.push_back((lsn, checksum(header, payload)));
        if self.numbering.renumber {
            self.note_new_lsn(lsn)?;
        }
        self.outcome.records += 1;
        self.outcome.payload_bytes += payload.len() as u64;
        self.write_as(self.next_new, header, payload)?;
        self.next = lsn + 1;
        Ok(())
    }

    fn write_as(&mut self, lsn: u64, header: RecordHeader, payload: &[u8]) -> Result<(), Failure> {
        if !self.begun {
            self.begun = true;
            self.outcome.first_lsn = lsn;
            self.outcome.first_found_lsn = self.next;
        }
        self.fingerprint.add(lsn, header, payload);
        self.next_new = lsn + 1;
        self.log.as_mut().map_or(Ok(()), |log| log.append(lsn, header, payload))
    }

    fn note_new_lsn(&mut self, lsn: u64) -> Result<(), Failure> {
        let ranges = &mut self.outcome.renumbered;
        let full = ranges.len() == RENUMBERED_RANGES_MAX;
        match ranges.last_mut() {
            Some(range) if range.last_lsn + 1 == lsn => range.last_lsn = lsn,
            _ if full => {
                return Err(Failure::Refused(anyhow!(
                    "more than {RENUMBERED_RANGES_MAX} gaps were closed up to LSN {lsn}, and the \
                     report cannot hold them; keep the LSNs instead"
                )));
            }
            _ => ranges.push(Renumbered {
                first_lsn: lsn,
                last_lsn: lsn,
                new_first_lsn: self.next_new,
            }),
        }
        Ok(())
    }
}

fn joined(reasons: &[String]) -> String {
    match reasons {
        [] => "nothing was found in their place".to_owned(),
        reasons => reasons.join("; "),
    }
}

fn checksum(header: RecordHeader, payload: &[u8]) -> u32 {
    let mut crc = crc32c::crc32c(&header.kind.get().to_le_bytes());
    crc = crc32c::crc32c_append(crc, &header.tenant.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &header.vshard.to_le_bytes());
    crc = crc32c::crc32c_append(crc, &header.database.to_le_bytes());
    crc32c::crc32c_append(crc, payload)
}

#[cfg(test)]
mod tests;
