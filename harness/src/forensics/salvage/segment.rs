//! Goes through the segments of a damaged log and offers what is whole to the new one.

use std::mem;

use anyhow::anyhow;
use plimsoll::inspect::{
    BatchPiece, LogFiles, Piece, SegmentFile, SegmentSurvey, Standing, SurveyedPayload,
};
use plimsoll::{KeyRing, RecordHeader, WalError};

use super::has_key;
use super::plan::Plan;
use super::report::{Problem, Read, SegmentRead};
use crate::failure::Failure;
use crate::forensics::log::{name_of, unreadable};
use crate::forensics::rebuild::{Found, Offered, Rebuild};
use crate::ticker::Ticker;

/// A salvage under way.
pub(super) struct Salvage<'a> {
    log: &'a LogFiles,
    plan: &'a Plan<'a>,
    keys: Option<&'a KeyRing>,
    rebuild: &'a mut Rebuild,
    ticker: &'a Ticker,
    read: Read,
    /// Records up to here were there once.
    reach: u64,
    /// The number of the last segment whose header could be read, and whether it was sealed.
    last_number: Option<u64>,
    sealed_before: bool,
    current: SegmentRead,
}

/// The records of one batch, until all of them are known to be whole.
type Batch = Vec<(u64, RecordHeader, Vec<u8>)>;

impl<'a> Salvage<'a> {
    pub(super) fn new(
        log: &'a LogFiles,
        plan: &'a Plan<'a>,
        keys: Option<&'a KeyRing>,
        rebuild: &'a mut Rebuild,
        ticker: &'a Ticker,
    ) -> Self {
        Self {
            log,
            plan,
            keys,
            rebuild,
            ticker,
            read: Read::default(),
            reach: 0,
            last_number: None,
            sealed_before: false,
            current: SegmentRead::default(),
        }
    }

    /// Copies what is whole in this segment.
    pub(super) fn segment(&mut self, number: usize) -> Result<(), Failure> {
        let segment = self.plan.segments[number];
        let name = name_of(&segment.path);
        self.current = SegmentRead {
            file: name,
            first_lsn: segment.first_lsn.get(),
            ..SegmentRead::default()
        };
        self.look_for_missing(number, segment);
        let mut promised = self.plan.promised_by_others(number);
        if number + 1 == self.plan.segments.len() {
            promised = promised.max(self.claims(segment)?);
        }
        if let Some(survey) = self.survey(segment)? {
            self.pieces(survey, segment.first_lsn.get(), promised)?;
        }
        self.reach = self.reach.max(promised);
        let read = mem::take(&mut self.current);
        self.read.segments.push(read);
        Ok(())
    }

    /// Fills up what was promised behind the last record that was found.
    pub(super) fn end(mut self) -> Result<Read, Failure> {
        let newest = self.plan.meta.map_or(0, |meta| meta.newest_segment_number);
        if self.last_number.unwrap_or(0) < newest {
            let why = format!("segment {newest} was in use, and is missing or has lost its header");
            self.rebuild.met(&*why);
            self.read.doubts.push(why);
        }
        self.rebuild.reach(self.reach)?;
        Ok(self.read)
    }

    fn look_for_missing(&mut self, number: usize, segment: &SegmentFile) {
        if number == 0 && segment.first_lsn.get() > self.plan.first_lsn {
            self.rebuild.met("the segment that held them is missing");
        }
        let Ok(header) = segment.header() else {
            self.last_number = self.last_number.map(|before| before + 1);
            return;
        };
        if Some(header.log_id) != self.plan.log_id {
            return;
        }
        let expected = self.last_number.map(|before| before + 1);
        if expected.is_some_and(|expected| header.segment_number > expected) {
            self.rebuild.met(format!("a segment before {} is missing", self.current.file));
        }
        self.last_number = Some(header.segment_number);
    }

    /// What the batches of the segment say was durable, whether or not a replay gets to them.
    fn claims(&mut self, segment: &SegmentFile) -> Result<u64, Failure> {
        let survey = match self.log.survey(segment, None) {
            Ok(Ok(survey)) => Some(survey),
            Ok(Err(_)) => self.log.survey_without_header(segment, self.plan.sealed).unwrap_or(None),
            Err(error) => return self.overtaken(&error).map_or(Ok(0), Err),
        };
        let Some(mut survey) = survey else { return Ok(0) };
        let mut claimed = 0;
        loop {
            match survey.next_piece() {
                Ok(Some(Piece::Batch(batch))) if is_of_the_log(&batch) => {
                    claimed = claimed.max(batch.durable_lsn.get());
                }
                Ok(Some(_)) => {}
                // What cannot be read is told when it is copied.
                Ok(None) | Err(_) => return Ok(claimed),
            }
        }
    }

    /// `None` if nothing of the segment can be copied, for a reason that is told.
    fn survey(&mut self, segment: &SegmentFile) -> Result<Option<SegmentSurvey>, Failure> {
        let header = match segment.header() {
            Ok(header) => header,
            Err(trouble) => return self.survey_without_header(segment, &trouble.to_string()),
        };
        if Some(header.log_id) != self.plan.log_id {
            return Ok(self.leave_out("it is a segment of another log"));
        }
        match header.key_id {
            None if self.sealed_before => {
                return Ok(
                    self.leave_out("it is in clear behind a sealed one, which no log writes")
                );
            }
            None if self.plan.sealed && !self.plan.plain_past => {
                return Err(Failure::Refused(anyhow!(
                    "{} is in clear, and the log is sealed; if it was in clear once, say --plain-past, \
                     else remove the file from a copy of the directory and salvage that",
                    self.current.file
                )));
            }
            Some(id) if !has_key(self.keys, id) => {
                self.sealed_before = true;
                return Ok(
                    self.leave_out(format!("it is sealed with key {id}, which is not there"))
                );
            }
            key => self.sealed_before |= key.is_some(),
        }
        let keys = self.keys.filter(|_| header.key_id.is_some());
        match self.log.survey(segment, keys) {
            Ok(Ok(survey)) => Ok(Some(survey)),
            Ok(Err(trouble)) => self.survey_without_header(segment, &trouble.to_string()),
            Err(WalError::Tampered { .. }) => {
                Ok(self
                    .leave_out("its header was tampered with, so that nothing in it is believed"))
            }
            Err(error @ WalError::WrongKey { .. }) if !self.plan.leave_out_sealed => {
                Err(unreadable(error))
            }
            Err(error) => match self.overtaken(&error) {
                Some(failure) => Err(failure),
                None => Ok(self.leave_out(error.to_string())),
            },
        }
    }

    fn survey_without_header(
        &mut self,
        segment: &SegmentFile,
        trouble: &str,
    ) -> Result<Option<SegmentSurvey>, Failure> {
        // Nobody can seal a batch without the key, and anybody can write one in clear.
        let sealed = self.plan.sealed && (!self.plan.plain_past || self.sealed_before);
        match self.log.survey_without_header(segment, sealed) {
            Ok(Some(survey)) => {
                self.current.header = Some(trouble.to_owned());
                self.rebuild.met(format!("the header of {}: {trouble}", self.current.file));
                Ok(Some(survey))
            }
            Ok(None) => {
                self.current.header = Some(format!("{trouble}, and no batch is behind it"));
                self.rebuild.met(format!("{} is empty: {trouble}", self.current.file));
                Ok(None)
            }
            Err(error) => match self.overtaken(&error) {
                Some(failure) => Err(failure),
                None => Ok(self.leave_out(error.to_string())),
            },
        }
    }

    fn leave_out(&mut self, why: impl Into<String>) -> Option<SegmentSurvey> {
        let why = why.into();
        self.rebuild.met(format!("{} was left out: {why}", self.current.file));
        self.read.doubts.push(format!("{} was left out: {why}", self.current.file));
        self.current.left_out = Some(why);
        None
    }

    /// A live log's writer may give up what is being read.
    fn overtaken(&self, error: &WalError) -> Option<Failure> {
        matches!(error, WalError::Truncated { .. }).then(|| {
            Failure::Refused(anyhow!(
                "the log was truncated while {} was read ({error}); try again",
                self.current.file
            ))
        })
    }

    fn pieces(
        &mut self,
        mut survey: SegmentSurvey,
        first_lsn: u64,
        promised: u64,
    ) -> Result<(), Failure> {
        let mut next_lsn = first_lsn;
        loop {
            let piece = match survey.next_piece() {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(()),
                Err(error) => {
                    if let Some(failure) = self.overtaken(&error) {
                        return Err(failure);
                    }
                    self.problem(0, 0, error.to_string());
                    self.read.doubts.push(format!("{}: {error}", self.current.file));
                    return Ok(());
                }
            };
            match piece {
                Piece::Batch(batch) => {
                    next_lsn = self.batch(&mut survey, &batch, next_lsn, promised)?;
                }
                Piece::Damage { beyond_end: true, .. } => {}
                Piece::Damage { offset_bytes, len_bytes, problem, .. } => {
                    let torn = promised < next_lsn;
                    let told = if torn { " (nothing behind it was promised)" } else { "" };
                    self.problem(offset_bytes, len_bytes, format!("{problem}{told}"));
                }
                _ => {}
            }
            let (records, file) = (self.rebuild.records(), &self.current.file);
            self.ticker.tick(|| format!("{records} records, {file}"));
        }
    }

    /// Copies a whole batch if it is of the log, and says which LSN follows what was copied.
    fn batch(
        &mut self,
        survey: &mut SegmentSurvey,
        batch: &BatchPiece,
        next_lsn: u64,
        promised: u64,
    ) -> Result<u64, Failure> {
        if batch.record_count == 0 {
            return Ok(next_lsn);
        }
        if !is_of_the_log(batch) {
            self.current.beyond_end += batch.record_count;
            return Ok(next_lsn);
        }
        // What was promised, and behind it what follows without a gap.
        if batch.first_lsn.get() > next_lsn.max(promised.saturating_add(1)) {
            self.current.never_promised += batch.record_count;
            return Ok(next_lsn);
        }
        let behind = batch.last_lsn().get() + 1;
        match self.records(survey, batch)? {
            Ok(records) => {
                for (lsn, header, payload) in records {
                    self.offer(Found { lsn, header, payload: &payload })?;
                }
            }
            Err(why) => {
                self.reach = self.reach.max(behind - 1);
                let problem = format!("LSN {} to {}: {why}", batch.first_lsn, behind - 1);
                self.problem(batch.offset_bytes, batch.len_bytes, problem);
            }
        }
        Ok(next_lsn.max(behind))
    }

    /// All records of a batch, or why not all of them can be had: then it counts as none, as in a
    /// replay.
    fn records(
        &mut self,
        survey: &mut SegmentSurvey,
        batch: &BatchPiece,
    ) -> Result<Result<Batch, String>, Failure> {
        let mut records = Batch::new();
        for _ in 0..batch.record_count {
            let record = match survey.next_record() {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(Err("the batch is shorter than it says".to_owned())),
                Err(error) => return Ok(Err(error.to_string())),
            };
            let payload = match record.payload {
                SurveyedPayload::Clear(payload) => payload.to_vec(),
                SurveyedPayload::Sealed(_) => {
                    return Ok(Err(
                        "sealed, and the header that their key needs is lost".to_owned()
                    ));
                }
                SurveyedPayload::Tampered(_) => {
                    let lsn = record.lsn;
                    return Ok(Err(format!("record {lsn} was tampered with, or is misplaced")));
                }
            };
            let header = RecordHeader {
                kind: record.kind,
                tenant: record.tenant,
                vshard: record.vshard,
                database: record.database,
            };
            records.push((record.lsn.get(), header, payload));
        }
        Ok(Ok(records))
    }

    fn offer(&mut self, found: Found<'_>) -> Result<(), Failure> {
        // The log had given it up; only whole segments go.
        if found.lsn < self.plan.first_lsn {
            return Ok(());
        }
        match self.rebuild.offer(found)? {
            Offered::Taken => {
                self.current.records += 1;
                if self.current.first_kept_lsn == 0 {
                    self.current.first_kept_lsn = found.lsn;
                }
                self.current.last_kept_lsn = found.lsn;
            }
            Offered::Copy | Offered::TooEarly => {}
            Offered::Differs | Offered::NotCompared | Offered::TooLate | Offered::Impossible => {
                let why = format!("record {} came before, and is another one", found.lsn);
                self.problem(0, 0, &*why);
                self.read.doubts.push(format!("{}: {why}", self.current.file));
            }
        }
        Ok(())
    }

    fn problem(&mut self, offset_bytes: u64, len_bytes: u64, what: impl Into<String>) {
        let what = what.into();
        let file = &self.current.file;
        self.rebuild.met(format!("{file} at byte {offset_bytes}: {what}"));
        self.current.problems.push(Problem { offset_bytes, len_bytes, what });
    }
}

fn is_of_the_log(batch: &BatchPiece) -> bool {
    matches!(batch.standing, Standing::InLog | Standing::Unreached)
}
