//! What a salvage came to, in words and as JSON.

use plimsoll::inspect::LogFiles;
use serde::Serialize;

use crate::cli::SalvageArgs;
use crate::forensics::rebuild::{Bounded, Copied, Rebuilt, describe_holes, line, more};
use crate::units::format_count;

/// Names the layout of the JSON.
const FORMAT: &str = "plimsoll-salvage/1";
/// Most entries of each list that are told in words.
const SHOWN_MAX: usize = 10;

/// Something in a segment that could not be copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    pub(super) offset_bytes: u64,
    pub(super) len_bytes: u64,
    pub(super) what: String,
}

/// What became of one segment.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct SegmentRead {
    pub(super) file: String,
    /// By its name.
    pub(super) first_lsn: u64,
    /// What is wrong with its header.
    pub(super) header: Option<String>,
    /// Why nothing of it was copied.
    pub(super) left_out: Option<String>,
    /// Records that were copied, and the first and last of them, 0 for none.
    pub(super) records: u64,
    pub(super) first_kept_lsn: u64,
    pub(super) last_kept_lsn: u64,
    /// Whole records behind a torn tail.
    pub(super) never_promised: u64,
    /// Whole records behind the place where the next segment begins, or misplaced ones.
    pub(super) beyond_end: u64,
    pub(super) problems: Bounded<Problem>,
}

/// What was met.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Read {
    pub(super) segments: Vec<SegmentRead>,
    /// What may be missing, and nothing tells.
    pub(super) doubts: Vec<String>,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Salvaged {
    format: &'static str,
    dir: String,
    new: String,
    pub(crate) verdict: Copied,
    log: Rebuilt,
    #[serde(flatten)]
    read: Read,
    /// A writer was at work; everything up to where it had got to was copied.
    beside_writer: bool,
}

impl Salvaged {
    pub(super) fn new(
        args: &SalvageArgs,
        log: &LogFiles,
        mut doubts: Vec<String>,
        mut read: Read,
        rebuilt: Rebuilt,
    ) -> Self {
        doubts.append(&mut read.doubts);
        read.doubts = doubts;
        let verdict = if rebuilt.missing > 0 {
            Copied::Missing
        } else if read.doubts.is_empty() {
            Copied::Whole
        } else {
            Copied::Undecided
        };
        Self {
            format: FORMAT,
            dir: args.dir.display().to_string(),
            new: args.new.display().to_string(),
            verdict,
            log: rebuilt,
            read,
            beside_writer: log.writer_at_work(),
        }
    }

    /// For people; the last sentence says how it went.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for segment in &self.read.segments {
            describe(segment, &mut text);
        }
        text.push_str(&describe_holes(&self.log, SHOWN_MAX));
        for doubt in self.read.doubts.iter().take(SHOWN_MAX) {
            line(&mut text, format!("not known: {doubt}"));
        }
        more(&mut text, self.read.doubts.len().saturating_sub(SHOWN_MAX) as u64);
        if self.beside_writer {
            line(&mut text, "a writer was at work; what it has written since is not there");
        }
        line(&mut text, self.sentence());
        text
    }

    fn sentence(&self) -> String {
        let Rebuilt { records, first_lsn, last_lsn, missing, .. } = &self.log;
        let (records, missing) = (format_count(*records), format_count(*missing));
        let holds = format!(
            "{} holds {records} records, LSN {first_lsn} to {last_lsn}, read back",
            self.new
        );
        match self.verdict {
            Copied::Whole => format!("{holds}: everything that {} promised.", self.dir),
            Copied::Missing => format!("{holds}; {missing} records of {} are lost.", self.dir),
            Copied::Undecided => {
                format!("{holds}; whether one of {} is missing cannot be told.", self.dir)
            }
        }
    }
}

fn describe(segment: &SegmentRead, text: &mut String) {
    let records = format_count(segment.records);
    let lsns = match segment.records {
        0 => String::new(),
        _ => format!(", LSN {} to {}", segment.first_kept_lsn, segment.last_kept_lsn),
    };
    let mut told = format!("{}: {records} records copied{lsns}", segment.file);
    for (count, what) in [
        (segment.never_promised, "behind a torn tail, promised to nobody"),
        (segment.beyond_end, "not of the log: misplaced, or behind the next segment's beginning"),
    ] {
        if count > 0 {
            told.push_str(&format!("; {} {what}", format_count(count)));
        }
    }
    line(text, told);
    if let Some(trouble) = &segment.header {
        line(text, format!("  its header: {trouble}"));
    }
    if let Some(why) = &segment.left_out {
        line(text, format!("  left out: {why}"));
    }
    for problem in segment.problems.listed.iter().take(SHOWN_MAX) {
        let Problem { offset_bytes, len_bytes, what } = problem;
        line(text, format!("  at byte {offset_bytes}, {len_bytes} bytes: {what}"));
    }
    more(text, segment.problems.total().saturating_sub(SHOWN_MAX as u64));
}
