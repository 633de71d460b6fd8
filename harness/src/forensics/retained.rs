//! `plimsoll log why-retained`: what keeps each segment from being given up, and what would let it go.

use std::fmt::Write;

use anyhow::anyhow;
use plimsoll::inspect::{LogFiles, SegmentFile};
use plimsoll::{LeaseInfo, Lsn, leases_in};
use serde::Serialize;

use super::log;
use crate::cli::WhyRetainedArgs;
use crate::failure::Failure;
use crate::forensics::log::name_of;
use crate::units::format_bytes;

/// What the document is, and in which form.
const FORMAT: &str = "plimsoll-log-why-retained/1";

/// What holds the segments of a log.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Retained {
    format: &'static str,
    path: String,
    retention_floor_lsn: Option<u64>,
    writer_at_work: bool,
    segments: Vec<RetainedSegment>,
}

#[derive(Clone, Debug, Serialize)]
struct RetainedSegment {
    segment: String,
    first_lsn: u64,
    last_lsn: Option<u64>,
    len_bytes: u64,
    reason: Reason,
    /// What holds it, in a sentence.
    because: String,
    /// What to do if it is to go.
    to_let_it_go: String,
    leases: Vec<HoldingLease>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    /// The newest segment, which is or was being written.
    Newest,
    /// Consumers need it.
    Lease,
    /// Nobody has given up its records.
    Floor,
    /// It has been given up, and the file is still there.
    BelowFloor,
    /// Without `wal.meta` nothing can be told.
    Unknown,
}

#[derive(Clone, Debug, Serialize)]
struct HoldingLease {
    name: String,
    position_lsn: u64,
    budget_bytes: u64,
    held_bytes: u64,
}

/// Answers as the command line says.
///
/// # Errors
/// When the log, or what leases there are, cannot be read.
pub(crate) fn run(args: &WhyRetainedArgs) -> Result<Retained, Failure> {
    let log = log::look_into(&args.dir)?;
    let floor = log.meta().ok().flatten().map(|meta| meta.retention_floor);
    let leases = match floor {
        Some(_) => leases_in(&args.dir).map_err(|error| Failure::Usage(anyhow!(error)))?,
        None => Vec::new(),
    };
    let segments = log::chosen(&log, &args.segment)?;
    Ok(Retained {
        format: FORMAT,
        path: log.path().display().to_string(),
        retention_floor_lsn: floor.map(Lsn::get),
        writer_at_work: log.writer_at_work(),
        segments: segments.iter().map(|segment| explain(&log, segment, floor, &leases)).collect(),
    })
}

fn explain(
    log: &LogFiles,
    segment: &SegmentFile,
    floor: Option<Lsn>,
    leases: &[LeaseInfo],
) -> RetainedSegment {
    let next = log.segments().iter().find(|next| next.first_lsn > segment.first_lsn);
    let next_lsn = next.map(|next| next.first_lsn);
    let needs = |lease: &&LeaseInfo| {
        !lease.dropped && next_lsn.is_some_and(|next_lsn| lease.position < next_lsn)
    };
    let holding: Vec<&LeaseInfo> = leases.iter().filter(needs).collect();
    let (reason, because, to_let_it_go) = match (floor, next_lsn) {
        (None, _) => (
            Reason::Unknown,
            "wal.meta cannot be read, so that nothing is known of the floor".to_owned(),
            "restore wal.meta from a copy; `plimsoll log verify` says more".to_owned(),
        ),
        (_, None) => newest(log.writer_at_work()),
        (Some(floor), Some(next)) if next <= floor => below_floor(log, floor),
        (Some(_), Some(next)) if !holding.is_empty() => held_by(&holding, next),
        (Some(floor), Some(next)) => (
            Reason::Floor,
            format!(
                "the log promises to keep records from LSN {floor} on: nobody has called \
                 truncate_before with LSN {next} or later"
            ),
            format!(
                "once the records before LSN {next} are safe elsewhere, truncate_before({next})"
            ),
        ),
    };
    RetainedSegment {
        segment: name_of(&segment.path),
        first_lsn: segment.first_lsn.get(),
        last_lsn: next_lsn.map(|next| next.previous().get()),
        len_bytes: segment.len_bytes,
        reason,
        because,
        to_let_it_go,
        leases: holding.into_iter().map(HoldingLease::of).collect(),
    }
}

fn newest(writer_at_work: bool) -> (Reason, String, String) {
    let because = if writer_at_work {
        "it is the newest: the writer appends to it"
    } else {
        "it is the newest: the next opening goes on behind its last record"
    };
    let then = "nothing; it can go once a later segment has been started";
    (Reason::Newest, because.to_owned(), then.to_owned())
}

fn below_floor(log: &LogFiles, floor: Lsn) -> (Reason, String, String) {
    let because = format!("it is below the floor, LSN {floor}: the log has given it up already");
    let then = if log.writer_at_work() {
        "nothing; its truncation is under way, or the next opening finishes it"
    } else {
        "nothing; the next opening removes it"
    };
    (Reason::BelowFloor, because, then.to_owned())
}

fn held_by(leases: &[&LeaseInfo], next: Lsn) -> (Reason, String, String) {
    let named = |lease: &&LeaseInfo| {
        format!(
            "{} at LSN {} (it may hold {}, and holds {})",
            lease.name,
            lease.position,
            format_bytes(lease.budget_bytes),
            format_bytes(lease.held_bytes)
        )
    };
    let names: Vec<String> = leases.iter().map(named).collect();
    let verb = if names.len() == 1 { "a lease needs it" } else { "leases need it" };
    (
        Reason::Lease,
        format!("{verb}: {}", names.join(", ")),
        format!("let them move on to LSN {next} or give them up, then truncate_before({next})"),
    )
}

impl HoldingLease {
    fn of(lease: &LeaseInfo) -> Self {
        Self {
            name: lease.name.clone(),
            position_lsn: lease.position.get(),
            budget_bytes: lease.budget_bytes,
            held_bytes: lease.held_bytes,
        }
    }
}

impl Retained {
    /// For people; without what to do if it is to be short.
    pub(crate) fn text(&self, short: bool) -> String {
        let mut text = String::new();
        for segment in &self.segments {
            let lsns = match segment.last_lsn {
                Some(last) => format!("LSN {} to {last}", segment.first_lsn),
                None => format!("LSN {} on", segment.first_lsn),
            };
            let len = format_bytes(segment.len_bytes);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}  {lsns}, {len}: {}", segment.segment, segment.because);
            if !short {
                let _ = writeln!(text, "  to let it go: {}", segment.to_let_it_go);
            }
        }
        text
    }
}
