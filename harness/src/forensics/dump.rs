//! `plimsoll log dump`: what is in a log, in the order of its bytes. Memory is bounded by a batch,
//! whatever the log's size, and a reader that has gone (`| head`) ends it quietly.

mod hex;
mod json;
mod text;

use std::io::{self, Write};

use anyhow::anyhow;
use plimsoll::inspect::{
    BatchPiece, HeaderTrouble, LogFiles, Piece, SegmentFile, SegmentSurvey, SurveyedRecord,
};
use plimsoll::{KeyRing, Lsn, WalError};

use super::{keys, log};
use crate::cli::{DumpArgs, DumpFormat, PayloadShown};
use crate::failure::Failure;

/// What ends a dump early.
#[derive(Debug)]
enum Trouble {
    Failed(Failure),
    Output(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<WalError> for Trouble {
    fn from(error: WalError) -> Self {
        Self::Failed(log::unreadable(error))
    }
}

/// Dumps as the command line says.
///
/// # Errors
/// When the log cannot be read, or what was printed not be written; what came before was printed.
pub(crate) fn run(args: &DumpArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let ended = dump(args, out).and_then(|()| Ok(out.flush()?));
    match ended {
        Ok(()) => Ok(()),
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Trouble::Output(error)) => {
            Err(Failure::Broken(anyhow!("cannot write what was found: {error}")))
        }
        Err(Trouble::Failed(failure)) => {
            // Shown first, so that the reason stands below it.
            let _ = out.flush();
            Err(failure)
        }
    }
}

fn dump(args: &DumpArgs, out: &mut dyn Write) -> Result<(), Trouble> {
    let keys = keys::to_read(&args.keys).map_err(Trouble::Failed)?;
    let log = log::look_into(&args.dir).map_err(Trouble::Failed)?;
    let wanted = Wanted::of(args);
    let shown = |default| args.payload.unwrap_or(default);
    match args.printed() {
        DumpFormat::Hex => {
            wanted.check_hex(args).map_err(Trouble::Failed)?;
            hex::dump(&log, args, &wanted, out)
        }
        DumpFormat::Text => {
            let printer = text::Text::new(shown(PayloadShown::Start));
            Dump { log: &log, keys: keys.as_ref(), wanted, printer, out }.run(args)
        }
        DumpFormat::Json => {
            let printer = json::Json::new(shown(PayloadShown::All));
            Dump { log: &log, keys: keys.as_ref(), wanted, printer, out }.run(args)
        }
    }
}

/// Which records are wanted.
#[derive(Clone, Debug)]
struct Wanted {
    from: Lsn,
    to: Lsn,
    kinds: Vec<u32>,
    tenants: Vec<u64>,
    vshards: Vec<u32>,
    databases: Vec<u64>,
    /// Lines of records only.
    records_only: bool,
}

impl Wanted {
    fn of(args: &DumpArgs) -> Self {
        Self {
            from: Lsn::new(args.from.unwrap_or(0)),
            to: Lsn::new(args.to.unwrap_or(u64::MAX)),
            kinds: args.kind.clone(),
            tenants: args.tenant.clone(),
            vshards: args.vshard.clone(),
            databases: args.database.clone(),
            records_only: args.quiet,
        }
    }

    /// Whether anything is left out.
    fn is_everything(&self) -> bool {
        self.are_all_positions() && self.takes_any_record()
    }

    fn are_all_positions(&self) -> bool {
        self.from == Lsn::NONE && self.to == Lsn::new(u64::MAX)
    }

    fn takes_any_record(&self) -> bool {
        let ids = [&self.tenants, &self.databases];
        let numbers = [&self.kinds, &self.vshards];
        ids.iter().all(|ids| ids.is_empty()) && numbers.iter().all(|numbers| numbers.is_empty())
    }

    fn takes(&self, record: &SurveyedRecord<'_>) -> bool {
        fn within<T: PartialEq + Copy>(wanted: &[T], value: T) -> bool {
            wanted.is_empty() || wanted.contains(&value)
        }
        (self.from..=self.to).contains(&record.lsn)
            && within(&self.kinds, record.kind.get())
            && within(&self.tenants, record.tenant)
            && within(&self.vshards, record.vshard)
            && within(&self.databases, record.database)
    }

    /// Whether any record of these positions may be wanted.
    fn overlaps(&self, first: Lsn, last: Lsn) -> bool {
        self.are_all_positions() || first <= self.to && last >= self.from
    }

    /// Bytes belong to batches, which hold records of anybody.
    fn check_hex(&self, args: &DumpArgs) -> Result<(), Failure> {
        if self.takes_any_record() && !self.records_only && args.limit.is_none() {
            return Ok(());
        }
        Err(Failure::Usage(anyhow!(
            "--format hex prints whole batches; choose them with --segment, --from and --to, or print \
             records with --format text or json"
        )))
    }
}

/// How segments, pieces and records look.
trait Printer {
    /// Once, before anything else.
    fn begin(&mut self, log: &LogFiles, out: &mut dyn Write) -> io::Result<()>;

    fn segment(
        &mut self,
        log: &LogFiles,
        segment: &SegmentFile,
        out: &mut dyn Write,
    ) -> io::Result<()>;

    fn piece(
        &mut self,
        segment: &SegmentFile,
        piece: &Piece,
        out: &mut dyn Write,
    ) -> io::Result<()>;

    fn record(
        &mut self,
        segment: &SegmentFile,
        batch: &BatchPiece,
        record: &SurveyedRecord<'_>,
        out: &mut dyn Write,
    ) -> io::Result<()>;

    /// The writer has given it up while it was read.
    fn truncated(
        &mut self,
        segment: &SegmentFile,
        floor: Lsn,
        out: &mut dyn Write,
    ) -> io::Result<()>;
}

/// A dump of records.
struct Dump<'a, P> {
    log: &'a LogFiles,
    keys: Option<&'a KeyRing>,
    wanted: Wanted,
    printer: P,
    out: &'a mut dyn Write,
}

impl<P: Printer> Dump<'_, P> {
    fn run(&mut self, args: &DumpArgs) -> Result<(), Trouble> {
        let chosen = log::chosen(self.log, &args.segment).map_err(Trouble::Failed)?;
        let mut left = args.limit.unwrap_or(u64::MAX);
        if !self.wanted.records_only {
            self.printer.begin(self.log, self.out)?;
        }
        for segment in chosen {
            if left == 0 || segment.first_lsn > self.wanted.to {
                break;
            }
            if may_hold(self.log, segment, &self.wanted) {
                self.segment(segment, &mut left)?;
            }
        }
        Ok(())
    }

    fn segment(&mut self, segment: &SegmentFile, left: &mut u64) -> Result<(), Trouble> {
        if !self.wanted.records_only {
            self.printer.segment(self.log, segment, self.out)?;
        }
        let surveyed = self.log.survey(segment, self.keys);
        let ended = surveyed.map_err(Trouble::from).and_then(|survey| match survey {
            Ok(survey) => self.pieces(segment, survey, left),
            // Said with the segment.
            Err(HeaderTrouble::Unreadable(error)) => Err(error.into()),
            Err(_) => Ok(()),
        });
        match ended {
            Err(Trouble::Failed(failure)) => match truncated(&failure) {
                Some(floor) if !self.wanted.records_only => {
                    Ok(self.printer.truncated(segment, floor, self.out)?)
                }
                Some(_) => Ok(()),
                None => Err(Trouble::Failed(failure)),
            },
            ended => ended,
        }
    }

    fn pieces(
        &mut self,
        segment: &SegmentFile,
        mut survey: SegmentSurvey,
        left: &mut u64,
    ) -> Result<(), Trouble> {
        let everything = self.wanted.is_everything();
        while *left > 0 {
            let Some(piece) = survey.next_piece()? else { break };
            let mut shown = self.wanted.records_only;
            if everything && !shown {
                self.printer.piece(segment, &piece, self.out)?;
                shown = true;
            }
            let Piece::Batch(batch) = &piece else { continue };
            if !self.wanted.overlaps(batch.first_lsn, batch.last_lsn()) {
                continue;
            }
            while *left > 0 {
                let Some(record) = survey.next_record()? else { break };
                if !self.wanted.takes(&record) {
                    continue;
                }
                if !shown {
                    self.printer.piece(segment, &piece, self.out)?;
                    shown = true;
                }
                self.printer.record(segment, batch, &record, self.out)?;
                *left -= 1;
            }
        }
        Ok(())
    }
}

/// Whether a segment may hold a record that is wanted, by the name of the next one.
fn may_hold(log: &LogFiles, segment: &SegmentFile, wanted: &Wanted) -> bool {
    let next = log.segments().iter().find(|next| next.first_lsn > segment.first_lsn);
    next.is_none_or(|next| next.first_lsn > wanted.from)
}

/// The floor that has overtaken a reader.
fn truncated(failure: &Failure) -> Option<Lsn> {
    let Failure::Usage(error) = failure else { return None };
    match error.downcast_ref() {
        Some(WalError::Truncated { floor, .. }) => Some(*floor),
        _ => None,
    }
}
