//! `plimsoll log diff`: whether two logs hold the same records, and where they differ first. Both are
//! streamed side by side; memory is bounded by a batch of each.

use std::fmt::Write;

use anyhow::anyhow;
use plimsoll::inspect::{
    HeaderTrouble, LogFiles, Piece, SegmentSurvey, Standing, SurveyedPayload, SurveyedRecord,
};
use plimsoll::{KeyRing, Lsn, RecordKind};
use serde::Serialize;

use super::{keys, log};
use crate::cli::DiffArgs;
use crate::failure::Failure;
use crate::forensics::words::{counted, kind_name};

/// What the document is, and in which form.
const FORMAT: &str = "plimsoll-log-diff/1";

/// How two logs differ.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Compared {
    format: &'static str,
    a: Side,
    b: Side,
    /// Records that are in both and alike.
    same: u64,
    /// Records of one LSN that are not alike.
    different: u64,
    first_difference: Option<Difference>,
}

#[derive(Clone, Debug, Serialize)]
struct Side {
    path: String,
    retention_floor_lsn: Option<u64>,
    first_lsn: Option<u64>,
    last_lsn: Option<u64>,
    records: u64,
    /// Records whose LSN the other one lacks.
    only_here: u64,
    /// The first of them.
    first_only_here_lsn: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
struct Difference {
    lsn: u64,
    /// `presence`, or what of the record differs.
    field: &'static str,
    a: String,
    b: String,
}

impl Compared {
    /// Whether both hold the same records.
    pub(crate) fn is_same(&self) -> bool {
        self.first_difference.is_none()
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = match &self.first_difference {
            None => writeln!(text, "SAME: {}, alike in both.", counted(self.same, "record")),
            Some(difference) => writeln!(
                text,
                "DIFFERENT, first at LSN {}: {} is {} in A and {} in B.\n{} alike, {} of one LSN \
                 that differ",
                difference.lsn,
                difference.field,
                difference.a,
                difference.b,
                counted(self.same, "record"),
                self.different
            ),
        };
        for (name, side) in [("A", &self.a), ("B", &self.b)] {
            let lsns = match (side.first_lsn, side.last_lsn) {
                (Some(first), Some(last)) => format!("LSN {first} to {last}"),
                _ => "empty".to_owned(),
            };
            let only = match side.first_only_here_lsn {
                Some(first) => format!(", {} only here, from LSN {first}", side.only_here),
                None => String::new(),
            };
            let records = counted(side.records, "record");
            let _ = writeln!(text, "{name}  {}: {lsns}, {records}{only}", side.path);
        }
        text
    }
}

/// Compares as the command line says.
///
/// # Errors
/// When a log cannot be read, or not without a key.
pub(crate) fn run(args: &DiffArgs) -> Result<Compared, Failure> {
    let keys = keys::to_read(&args.keys)?;
    let (log_a, log_b) = (log::look_into(&args.a)?, log::look_into(&args.b)?);
    let (mut a, mut b) = (Records::of(&log_a, keys.as_ref()), Records::of(&log_b, keys.as_ref()));
    let mut compared = Compared {
        format: FORMAT,
        a: Side::of(&log_a),
        b: Side::of(&log_b),
        same: 0,
        different: 0,
        first_difference: None,
    };
    a.advance(&mut compared.a)?;
    b.advance(&mut compared.b)?;
    loop {
        let (lsn_a, lsn_b) = (a.lsn(), b.lsn());
        match (lsn_a, lsn_b) {
            (None, None) => return Ok(compared),
            (Some(here), other) if other.is_none_or(|other| here < other) => {
                compared.a.only(here);
                compared.note(here, "the record", "there", "missing");
                a.advance(&mut compared.a)?;
            }
            (Some(here), Some(other)) if here == other => {
                compared.compare(here, &a.current, &b.current);
                a.advance(&mut compared.a)?;
                b.advance(&mut compared.b)?;
            }
            (_, Some(other)) => {
                compared.b.only(other);
                compared.note(other, "the record", "missing", "there");
                b.advance(&mut compared.b)?;
            }
            (Some(_), None) => unreachable!("it is before whatever the other one has"),
        }
    }
}

impl Compared {
    fn compare(&mut self, lsn: Lsn, a: &Current, b: &Current) {
        let numbers = [
            ("vshard", u64::from(a.vshard), u64::from(b.vshard)),
            ("tenant", a.tenant, b.tenant),
            ("database", a.database, b.database),
            ("the payload's length", a.payload.len() as u64, b.payload.len() as u64),
        ];
        let differs = |(_, a, b): &&(&str, u64, u64)| a != b;
        if a.kind != b.kind {
            let name = |kind| kind_name(RecordKind::new(kind));
            self.note(lsn, "kind", &name(a.kind), &name(b.kind));
        } else if let Some((field, a, b)) = numbers.iter().find(differs) {
            self.note(lsn, field, &a.to_string(), &b.to_string());
        } else if let Some(at) = a.payload.iter().zip(&b.payload).position(|(a, b)| a != b) {
            let byte = |payload: &[u8]| format!("{:#04x} at byte {at}", payload[at]);
            self.note(lsn, "the payload", &byte(&a.payload), &byte(&b.payload));
        } else {
            self.same += 1;
            return;
        }
        self.different += 1;
    }

    fn note(&mut self, lsn: Lsn, field: &'static str, a: &str, b: &str) {
        self.first_difference.get_or_insert_with(|| Difference {
            lsn: lsn.get(),
            field,
            a: a.to_owned(),
            b: b.to_owned(),
        });
    }
}

impl Side {
    fn of(log: &LogFiles) -> Self {
        Self {
            path: log.path().display().to_string(),
            retention_floor_lsn: log.meta().ok().flatten().map(|meta| meta.retention_floor.get()),
            first_lsn: None,
            last_lsn: None,
            records: 0,
            only_here: 0,
            first_only_here_lsn: None,
        }
    }

    fn only(&mut self, lsn: Lsn) {
        self.only_here += 1;
        self.first_only_here_lsn.get_or_insert(lsn.get());
    }

    fn saw(&mut self, lsn: Lsn) {
        self.records += 1;
        self.first_lsn.get_or_insert(lsn.get());
        self.last_lsn = Some(lsn.get());
    }
}

/// The records of a log that a replay gets to, one at a time.
struct Records<'a> {
    log: &'a LogFiles,
    keys: Option<&'a KeyRing>,
    floor: Lsn,
    /// Of the segment to open next.
    next_segment: usize,
    survey: Option<SegmentSurvey>,
    /// Whether the batch at hand counts.
    in_log: bool,
    current: Current,
}

/// A record of its own. The payload's memory is used again.
#[derive(Debug, Default)]
struct Current {
    lsn: Option<Lsn>,
    kind: u32,
    vshard: u32,
    tenant: u64,
    database: u64,
    payload: Vec<u8>,
}

impl<'a> Records<'a> {
    fn of(log: &'a LogFiles, keys: Option<&'a KeyRing>) -> Self {
        let floor = log.meta().ok().flatten().map_or(Lsn::NONE, |meta| meta.retention_floor);
        Self {
            log,
            keys,
            floor,
            next_segment: 0,
            survey: None,
            in_log: false,
            current: Current::default(),
        }
    }

    fn lsn(&self) -> Option<Lsn> {
        self.current.lsn
    }

    /// Takes the next record.
    fn advance(&mut self, side: &mut Side) -> Result<(), Failure> {
        loop {
            let Some(survey) = &mut self.survey else {
                if !self.open_next()? {
                    self.current.lsn = None;
                    return Ok(());
                }
                continue;
            };
            if self.in_log
                && let Some(record) = survey.next_record().map_err(log::unreadable)?
            {
                if record.lsn < self.floor {
                    continue;
                }
                self.current.take(self.log, &record)?;
                side.saw(record.lsn);
                return Ok(());
            }
            match survey.next_piece().map_err(log::unreadable)? {
                Some(Piece::Batch(batch)) => self.in_log = batch.standing == Standing::InLog,
                Some(_) => self.in_log = false,
                None => self.survey = None,
            }
        }
    }

    fn open_next(&mut self) -> Result<bool, Failure> {
        while let Some(segment) = self.log.segments().get(self.next_segment) {
            self.next_segment += 1;
            if self.log.is_below_floor(segment) {
                continue;
            }
            match self.log.survey(segment, self.keys).map_err(log::unreadable)? {
                Ok(survey) => {
                    (self.survey, self.in_log) = (Some(survey), false);
                    return Ok(true);
                }
                Err(HeaderTrouble::Blank) => {}
                Err(trouble) => {
                    return Err(Failure::Usage(anyhow!(
                        "{} has no header ({trouble}), so that its records cannot be compared; \
                         `plimsoll log verify` says more",
                        segment.path.display()
                    )));
                }
            }
        }
        Ok(false)
    }
}

impl Current {
    fn take(&mut self, log: &LogFiles, record: &SurveyedRecord<'_>) -> Result<(), Failure> {
        let SurveyedPayload::Clear(payload) = record.payload else {
            let tampered = matches!(record.payload, SurveyedPayload::Tampered(_));
            let why = if tampered {
                "was tampered with: its checksum is good and its authentication tag is not"
            } else {
                "is sealed, and its key is needed to compare it (--key-file)"
            };
            let place = log.path().display();
            return Err(Failure::Refused(anyhow!("record {} of {place} {why}", record.lsn)));
        };
        (self.lsn, self.kind) = (Some(record.lsn), record.kind.get());
        (self.vshard, self.tenant, self.database) = (record.vshard, record.tenant, record.database);
        self.payload.clear();
        self.payload.extend_from_slice(payload);
        Ok(())
    }
}
