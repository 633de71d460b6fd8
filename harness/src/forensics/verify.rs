//! `plimsoll log verify`: the verdict of an opening, without one: which row of the decision table of
//! `docs/durability.md`, why, and what would be discarded; and each segment on its own.

use std::fmt::Write;

use anyhow::anyhow;
use plimsoll::inspect::{
    Examined, Finding, LogFiles, Piece, SegmentFile, Standing, SurveyedPayload,
};
use plimsoll::{KeyRing, WalError};
use serde::Serialize;

use super::{keys, log};
use crate::cli::VerifyArgs;
use crate::failure::Failure;
use crate::forensics::log::name_of;
use crate::forensics::words::counted;
use crate::units::format_bytes;

/// What the document is, and in which form.
const FORMAT: &str = "plimsoll-log-verify/1";

/// What became of it, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// An opening goes on.
    Whole,
    /// An opening is refused.
    Refused,
    /// It was not given the keys.
    WrongKeys,
    /// It cannot be told.
    Undecided,
}

/// A verdict with its reasons.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verified {
    format: &'static str,
    path: String,
    pub(crate) verdict: Verdict,
    /// Which row of the table.
    row: &'static str,
    /// A sentence.
    reason: String,
    floor_lsn: Option<u64>,
    last_lsn: Option<u64>,
    clean_close: Option<bool>,
    /// What an opening would pass over.
    discarded: Option<Discarded>,
    /// A newest segment that an opening would remove or replace.
    unused: Option<String>,
    /// Segments below the floor that an opening would remove.
    unfinished_truncations: u64,
    /// Whether checksums are all that was verified of sealed records.
    tags_unchecked: bool,
    writer_at_work: bool,
    segments: Vec<CheckedSegment>,
}

#[derive(Clone, Debug, Serialize)]
struct Discarded {
    segment: String,
    offset_bytes: u64,
    len_bytes: u64,
    batches: u64,
}

/// A segment on its own.
#[derive(Clone, Debug, Default, Serialize)]
struct CheckedSegment {
    segment: String,
    first_lsn: u64,
    last_lsn: Option<u64>,
    batches: u64,
    records: u64,
    /// Whole batches that no replay gets to.
    batches_outside: u64,
    tampered_records: u64,
    /// Damaged bytes where records of the log may have been.
    damaged_bytes: u64,
    problems: Vec<String>,
    below_floor: bool,
}

/// Most problems of one segment that are listed; the bytes of all are counted.
const PROBLEMS_MAX: usize = 20;

/// Verifies as the command line says.
///
/// # Errors
/// When there is no log, or a key file must not be trusted.
pub(crate) fn run(args: &VerifyArgs) -> Result<Verified, Failure> {
    let keys = keys::to_read(&args.keys)?;
    let log = log::look_into(&args.dir)?;
    let examined = log.examine(keys.as_ref());
    let mut verified = Verified::of(&log, &examined)?;
    for segment in log.segments() {
        verified.segments.push(check(&log, segment, keys.as_ref()));
    }
    Ok(verified)
}

impl Verified {
    fn of(log: &LogFiles, examined: &Examined) -> Result<Self, Failure> {
        let mut verified = Self {
            format: FORMAT,
            path: log.path().display().to_string(),
            verdict: Verdict::Whole,
            row: "clean_end",
            reason: String::new(),
            floor_lsn: log.meta().ok().flatten().map(|meta| meta.retention_floor.get()),
            last_lsn: None,
            clean_close: None,
            discarded: None,
            unused: None,
            unfinished_truncations: 0,
            tags_unchecked: examined.tags_unchecked,
            writer_at_work: matches!(examined.finding, Finding::BesideWriter { .. }),
            segments: Vec::new(),
        };
        match &examined.finding {
            Finding::Whole(report) => verified.whole(report),
            Finding::BesideWriter { last_lsn, records, .. } => {
                verified.row = "beside_writer";
                verified.last_lsn = Some(last_lsn.get());
                verified.reason = format!(
                    "a writer is at work; {} up to LSN {last_lsn} were read, and nothing is missing \
                     before the place that it had got to",
                    counted(*records, "record")
                );
            }
            Finding::Refused(error) => verified.refused(error),
            finding => {
                return Err(Failure::Usage(anyhow!(
                    "{} holds no log any more ({finding:?}); name a log's directory",
                    log.path().display()
                )));
            }
        }
        if verified.verdict == Verdict::Whole && verified.tags_unchecked {
            verified.verdict = Verdict::Undecided;
            verified.reason.push_str(
                "; every checksum is good, and the authentication tags of sealed records were not \
                 checked, for which the key is needed (--key-file)",
            );
        }
        Ok(verified)
    }

    fn whole(&mut self, report: &plimsoll::RecoveryReport) {
        self.last_lsn = Some(report.last_lsn.get());
        self.clean_close = Some(report.clean_close);
        self.unused = report.removed_unused.as_deref().map(name_of);
        self.unfinished_truncations = report.finished_truncations as u64;
        let end = if report.last_lsn < report.floor {
            format!("no record is in it, and the next one gets LSN {}", report.last_lsn.next())
        } else {
            format!("records {} to {} are there", report.floor, report.last_lsn)
        };
        let Some(discarded) = &report.discarded else {
            self.reason = match (&self.unused, report.clean_close) {
                (_, true) => format!("{end}, and the log was closed in good order"),
                (Some(unused), false) => format!(
                    "{end}, and the newest file, {unused}, never held a record: the next one takes its \
                     place"
                ),
                (None, false) => format!(
                    "{end}, and behind them is nothing but blank space or an earlier life of the file"
                ),
            };
            if self.unused.is_some() && !report.clean_close {
                self.row = "never_used";
            }
            return;
        };
        self.row = "torn_tail";
        self.reason = format!(
            "{end}; behind them, from byte {} of {} on, lie {} that a crash cut short and nobody was \
             promised, {} among them",
            discarded.offset_bytes,
            name_of(&discarded.path),
            format_bytes(discarded.len_bytes),
            counted(discarded.batches, "intact batch header")
        );
        self.discarded = Some(Discarded {
            segment: name_of(&discarded.path),
            offset_bytes: discarded.offset_bytes,
            len_bytes: discarded.len_bytes,
            batches: discarded.batches,
        });
    }

    fn refused(&mut self, error: &WalError) {
        (self.verdict, self.row) = row_of(error);
        self.reason = error.to_string();
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let heading = match (self.verdict, self.row) {
            (Verdict::Whole, "torn_tail") => "WHOLE, with a torn tail",
            (Verdict::Whole, "beside_writer") => "WHOLE, as far as the writer has got",
            (Verdict::Whole, _) => "WHOLE",
            (Verdict::Refused, "acknowledged_data_lost") => "ACKNOWLEDGED RECORDS ARE LOST",
            (Verdict::Refused, "tampered") => "TAMPERED WITH",
            (Verdict::Refused, _) => "DAMAGED",
            (Verdict::WrongKeys, _) => "NOT THE KEYS OF THIS LOG",
            (Verdict::Undecided, _) => "UNDECIDED",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{heading}: {}.", self.reason);
        let _ = writeln!(text, "Row of the decision table (docs/durability.md): {}", self.row);
        if self.unfinished_truncations > 0 {
            let count = counted(self.unfinished_truncations, "segment");
            let _ = writeln!(text, "An opening removes {count} below the floor.");
        }
        text.push('\n');
        for segment in &self.segments {
            segment.add_to(&mut text);
        }
        text
    }
}

/// The row of the table that refuses, and what that comes to.
fn row_of(error: &WalError) -> (Verdict, &'static str) {
    match error {
        WalError::AcknowledgedDataLost { .. } => (Verdict::Refused, "acknowledged_data_lost"),
        WalError::ChainBroken { .. } => (Verdict::Refused, "chain_broken"),
        WalError::HeaderDamaged { .. } => (Verdict::Refused, "header_damaged"),
        WalError::MetaDamaged { .. } => (Verdict::Refused, "meta_damaged"),
        WalError::Tampered { .. } => (Verdict::Refused, "tampered"),
        WalError::NotEncrypted { .. } => (Verdict::WrongKeys, "not_encrypted"),
        WalError::WrongKey { .. } => (Verdict::WrongKeys, "wrong_key"),
        WalError::KeyMissing { .. } => (Verdict::WrongKeys, "key_missing"),
        WalError::KeyRequired { .. } => (Verdict::WrongKeys, "key_required"),
        WalError::UnsupportedVersion { .. } => (Verdict::Undecided, "unsupported_version"),
        WalError::Read { .. } | WalError::Io { .. } => (Verdict::Undecided, "read_error"),
        _ => (Verdict::Refused, "refused"),
    }
}

/// Goes through one segment, and on behind damage.
fn check(log: &LogFiles, segment: &SegmentFile, keys: Option<&KeyRing>) -> CheckedSegment {
    let mut checked = CheckedSegment {
        segment: name_of(&segment.path),
        first_lsn: segment.first_lsn.get(),
        below_floor: log.is_below_floor(segment),
        ..CheckedSegment::default()
    };
    // Without a key that fits everything but the tags is looked at all the same.
    let survey = log.survey(segment, keys).or_else(|error| {
        checked.problems.push(error.to_string());
        log.survey(segment, None)
    });
    let walked = survey.and_then(|survey| match survey {
        Ok(mut survey) => {
            while let Some(piece) = survey.next_piece()? {
                checked.add(&piece);
                while let Some(record) = survey.next_record()? {
                    if matches!(record.payload, SurveyedPayload::Tampered(_)) {
                        let lsn = record.lsn;
                        checked.tampered_records += 1;
                        checked
                            .problem(|| format!("record {lsn}: the authentication tag is wrong"));
                    }
                }
            }
            Ok(())
        }
        Err(trouble) => {
            checked.problem(|| format!("no header: {trouble}"));
            Ok(())
        }
    });
    if let Err(error) = walked {
        checked.problem(|| error.to_string());
    }
    checked
}

impl CheckedSegment {
    fn add(&mut self, piece: &Piece) {
        match piece {
            Piece::Batch(batch) if batch.standing == Standing::InLog => {
                self.batches += 1;
                self.records += batch.record_count;
                if batch.record_count > 0 {
                    self.last_lsn = Some(batch.last_lsn().get());
                }
            }
            Piece::Batch(_) => self.batches_outside += 1,
            Piece::Damage { offset_bytes, len_bytes, problem, beyond_end: false } => {
                self.damaged_bytes += len_bytes;
                let len = format_bytes(*len_bytes);
                self.problem(|| format!("byte {offset_bytes}, {len}: {problem}"));
            }
            _ => {}
        }
    }

    fn problem(&mut self, sentence: impl FnOnce() -> String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(sentence());
        }
    }

    fn add_to(&self, text: &mut String) {
        let lsns = match self.last_lsn {
            Some(last) => format!("LSN {} to {last}", self.first_lsn),
            None => format!("no record, LSN {} next", self.first_lsn),
        };
        let outside = match self.batches_outside {
            0 => String::new(),
            count => format!(", {} that no replay gets to", counted(count, "batch")),
        };
        let below = if self.below_floor { ", below the floor" } else { "" };
        let _ = writeln!(
            text,
            "{}  {lsns}, {}, {}{outside}{below}",
            self.segment,
            counted(self.batches, "batch"),
            counted(self.records, "record")
        );
        for problem in &self.problems {
            let _ = writeln!(text, "  {problem}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn every_refusal_has_a_row() {
        let path = PathBuf::from("x");
        let refusals = [
            WalError::ChainBroken { path: path.clone(), problem: String::new() },
            WalError::HeaderDamaged { path: path.clone(), problem: String::new() },
            WalError::WrongKey { path: path.clone(), key_id: 1 },
            WalError::UnsupportedVersion { path, found: 2, supported: 1 },
        ];
        let rows = refusals.each_ref().map(row_of);
        assert_eq!(
            rows,
            [
                (Verdict::Refused, "chain_broken"),
                (Verdict::Refused, "header_damaged"),
                (Verdict::WrongKeys, "wrong_key"),
                (Verdict::Undecided, "unsupported_version"),
            ]
        );
    }
}
