//! What a new log came to hold, for the reports of whoever made it.

use std::fmt::Write as _;

use serde::Serialize;

use crate::units::format_count;

/// Most entries of a list in a report.
const LISTED_MAX: usize = 10_000;

/// Whether everything is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Copied {
    /// Every record is in the new log.
    Whole,
    /// Records are missing: `NOOP`s, or gaps that were closed, stand for them.
    Missing,
    /// Something may be missing, and nothing tells.
    Undecided,
}

/// The entries of a list that may be long, and how many were left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Bounded<T> {
    pub(crate) listed: Vec<T>,
    /// Entries beyond those.
    pub(crate) left_out: u64,
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self { listed: Vec::new(), left_out: 0 }
    }
}

impl<T> Bounded<T> {
    pub(crate) fn push(&mut self, entry: T) {
        if self.listed.len() < LISTED_MAX {
            self.listed.push(entry);
        } else {
            self.left_out += 1;
        }
    }

    /// All of them, listed or not.
    pub(crate) fn total(&self) -> u64 {
        self.listed.len() as u64 + self.left_out
    }
}

/// Records that are missing, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Hole {
    pub(crate) first_lsn: u64,
    pub(crate) last_lsn: u64,
    pub(crate) why: String,
}

impl Hole {
    pub(crate) fn records(&self) -> u64 {
        self.last_lsn - self.first_lsn + 1
    }
}

/// Records that got new LSNs, one after the other: from `new_first_lsn` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Renumbered {
    pub(crate) first_lsn: u64,
    pub(crate) last_lsn: u64,
    pub(crate) new_first_lsn: u64,
}

/// What is in the new log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Rebuilt {
    /// Its first LSN and its last.
    pub(crate) first_lsn: u64,
    pub(crate) last_lsn: u64,
    /// Records that were found.
    pub(crate) records: u64,
    /// Bytes of their payloads.
    pub(crate) payload_bytes: u64,
    /// `NOOP`s in the place of missing ones.
    pub(crate) noops: u64,
    /// Records that are missing in between.
    pub(crate) missing: u64,
    pub(crate) holes: Bounded<Hole>,
    /// Empty if every record kept its LSN.
    pub(crate) renumbered: Vec<Renumbered>,
    /// SHA-256 over all of it.
    pub(crate) fingerprint: String,
    #[serde(skip)]
    pub(super) first_found_lsn: u64,
}

/// The holes and what became of the LSNs, a line each, at most `shown` of both.
pub(crate) fn describe_holes(log: &Rebuilt, shown: usize) -> String {
    let mut text = String::new();
    for Hole { first_lsn, last_lsn, why } in log.holes.listed.iter().take(shown) {
        let lsns = match last_lsn == first_lsn {
            true => format!("LSN {first_lsn}"),
            false => format!("LSN {first_lsn} to {last_lsn}"),
        };
        let _ = writeln!(text, "missing: {lsns}: {why}");
    }
    let more = log.holes.total().saturating_sub(shown as u64);
    if more > 0 {
        let _ = writeln!(text, "and {} more holes, see --json", format_count(more));
    }
    for range in log.renumbered.iter().take(shown) {
        let Renumbered { first_lsn, last_lsn, new_first_lsn } = range;
        let new_last = new_first_lsn + (last_lsn - first_lsn);
        let _ =
            writeln!(text, "LSN {first_lsn} to {last_lsn} became {new_first_lsn} to {new_last}");
    }
    if log.renumbered.len() > shown {
        let more = (log.renumbered.len() - shown) as u64;
        let _ = writeln!(text, "and {} more ranges, see --json", format_count(more));
    }
    text
}

/// Ends a report's line.
pub(crate) fn line(text: &mut String, line: impl AsRef<str>) {
    let _ = writeln!(text, "{}", line.as_ref());
}

/// Says that a list is longer than what was shown of it.
pub(crate) fn more(text: &mut String, count: u64) {
    if count > 0 {
        line(text, format!("and {} more, see --json", format_count(count)));
    }
}
