//! What a migration came to, in words and as JSON.

use serde::Serialize;

use super::old_log::OldLog;
use super::reading::Read;
use crate::cli::MigrateArgs;
use crate::forensics::rebuild::{Copied, Rebuilt, describe_holes, line, more};
use crate::units::{format_bytes, format_count};

/// Names the layout of the JSON.
const FORMAT: &str = "plimsoll-migrate/1";
/// Most entries of each list that are told in words.
const SHOWN_MAX: usize = 10;

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Migrated {
    format: &'static str,
    old: String,
    new: String,
    pub(crate) verdict: Copied,
    log: Rebuilt,
    read: Read,
    /// Names beside the old segments that are none.
    ignored: Vec<String>,
}

impl Migrated {
    pub(super) fn new(args: &MigrateArgs, old: &OldLog, read: Read, log: Rebuilt) -> Self {
        let first_is_known = old.files[0].first_lsn.is_some() || log.first_lsn == 1;
        let verdict = if log.missing > 0 {
            Copied::Missing
        } else if read.contradiction || read.doubt_behind || (read.doubt_before && !first_is_known)
        {
            Copied::Undecided
        } else {
            Copied::Whole
        };
        Self {
            format: FORMAT,
            old: args.old.display().to_string(),
            new: args.new.display().to_string(),
            verdict,
            log,
            read,
            ignored: old.ignored.clone(),
        }
    }

    /// For people; the last sentence says how it went.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let Self { log, read, .. } = self;
        for file in &read.files.listed {
            let lsns = match file.records {
                0 => String::new(),
                _ => format!(", LSN {} to {}", file.first_lsn, file.last_lsn),
            };
            let records = format_count(file.records);
            line(&mut text, format!("{}: {records} whole records{lsns}", file.file));
        }
        if read.residue_bytes > 0 || read.copies > 0 {
            let bytes = format_bytes(read.residue_bytes);
            let copies = format_count(read.copies);
            line(
                &mut text,
                format!("passed over: {bytes} that earlier batches left behind, {copies} copies"),
            );
        }
        let shown =
            |listed: usize, left_out: u64| listed.saturating_sub(SHOWN_MAX) as u64 + left_out;
        for bytes in read.unreadable.listed.iter().take(SHOWN_MAX) {
            line(
                &mut text,
                format!(
                    "unreadable: {} at byte {}, {} bytes: {}",
                    bytes.file, bytes.offset_bytes, bytes.len_bytes, bytes.problem
                ),
            );
        }
        more(&mut text, shown(read.unreadable.listed.len(), read.unreadable.left_out));
        for record in read.left_out.listed.iter().take(SHOWN_MAX) {
            line(
                &mut text,
                format!(
                    "left out: LSN {} in {} at byte {}: {}",
                    record.lsn, record.file, record.offset_bytes, record.problem
                ),
            );
        }
        more(&mut text, shown(read.left_out.listed.len(), read.left_out.left_out));
        text.push_str(&describe_holes(log, SHOWN_MAX));
        if !self.ignored.is_empty() {
            line(&mut text, format!("not a segment, and not read: {}", self.ignored.join(", ")));
        }
        line(&mut text, self.sentence());
        text
    }

    fn sentence(&self) -> String {
        let Rebuilt { records, first_lsn, last_lsn, missing, .. } = &self.log;
        let (records, missing) = (format_count(*records), format_count(*missing));
        let holds = format!("{} holds {records} records, LSN {first_lsn} to {last_lsn}", self.new);
        match self.verdict {
            Copied::Whole => {
                format!("{holds}: every record of {}, read back and compared.", self.old)
            }
            Copied::Missing => format!(
                "{holds}, read back and compared; {missing} records of {} are missing.",
                self.old
            ),
            Copied::Undecided => format!(
                "{holds}, read back and compared; whether one of {} is missing cannot be told.",
                self.old
            ),
        }
    }
}
