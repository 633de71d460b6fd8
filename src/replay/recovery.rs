//! What opening finds: reads the headers of all segments and the records of the newest one, or of
//! every one, applies the verdict, and says what was kept and what was discarded. Changes nothing.

use std::path::PathBuf;

use super::{
    closing::StatedClose,
    verdict::{TailFindings, TailVerdict, judge},
    walk::{SegmentWalk, TailScan, claims_without_header},
};
use crate::{
    config::VerifyOnOpen,
    crypto::KeyRing,
    device::{LogDirectory, SegmentFile},
    error::{Result, WalError},
    format::{Meta, Predecessor},
    lsn::Lsn,
    segment::{
        ChainSegment, SegmentContext, UnreadableNewest, check_leases, discover_chain,
        list_segments, read_meta,
    },
};

/// What recovery found, for the embedder.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Last record of the log. While there is none: the LSN before its first, [`Lsn::NONE`] unless
    /// the log was begun elsewhere ([`SegmentedWal::create_at`](crate::SegmentedWal::create_at)).
    pub last_lsn: Lsn,
    /// Oldest LSN that can be replayed.
    pub floor: Lsn,
    /// Every record from here on was read and checked by the opening; the LSN after the last one if
    /// none was, because the log had been closed in good order. Those before were durable and are
    /// checked when they are read; see [`VerifyOnOpen`].
    pub verified_from: Lsn,
    /// Segments that are kept: those that were finished off or never used are not counted.
    pub segments: usize,
    /// Whether the last writer closed the log in good order.
    pub clean_close: bool,
    /// Bytes of batches that nobody was promised, cut short by a crash.
    pub discarded: Option<Discarded>,
    /// A segment file that was prepared or started and never held a record.
    pub removed_unused: Option<PathBuf>,
    /// Segments below the floor whose truncation had been interrupted.
    pub finished_truncations: usize,
}

/// Unacknowledged bytes that were passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Discarded {
    /// The segment.
    pub path: PathBuf,
    /// Where the first incomplete batch begins, bytes.
    pub offset_bytes: u64,
    /// How far unexplained bytes reach from there.
    pub len_bytes: u64,
    /// Intact batch headers among them.
    pub batches: u64,
}

/// What recovery found, for the writer that goes on from here.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The segments that hold records, oldest first.
    pub(crate) segments: Vec<ChainSegment>,
    /// The segment the next one follows.
    pub(crate) predecessor: Predecessor,
    /// The number of a newest segment without a record, whose place and name the next one takes.
    pub(crate) empty_segment: Option<u64>,
    /// Files that hold nothing: interrupted truncations, and a newest segment that was not used.
    pub(crate) remove: Vec<PathBuf>,
    pub(crate) report: RecoveryReport,
}

/// What a directory without `wal.meta` and without segments stands for.
const NO_LOG_YET: Meta = Meta {
    log_id: [0; 16],
    retention_floor: Lsn::FIRST,
    newest_segment_number: 0,
    durable_lsn: Lsn::NONE,
    encrypted: false,
    closing_marker_offset_bytes: None,
};

/// Decides about a directory as an opening does that reads so much, and changes nothing.
///
/// # Errors
///
/// The refusals of an opening.
pub(crate) fn examine(
    directory: &LogDirectory,
    keys: Option<&KeyRing>,
    verify: VerifyOnOpen,
) -> Result<(Meta, Recovered)> {
    let meta = match read_meta(directory)? {
        Some(meta) => meta,
        None if list_segments(directory)?.is_empty() => NO_LOG_YET,
        None => {
            return Err(WalError::MetaDamaged {
                path: directory.join("wal.meta"),
                problem: "it is missing, and there are segments beside it".to_owned(),
            });
        }
    };
    if meta.encrypted && keys.is_none() {
        return Err(WalError::KeyRequired { path: directory.path().to_owned(), key_id: 0 });
    }
    let recovered = recover(directory, &meta, keys, verify)?;
    check_leases(directory, &meta)?;
    Ok((meta, recovered))
}

/// Examines a directory with this `wal.meta`.
///
/// # Errors
///
/// Refuses, with a typed error, whenever something that was promised may be missing.
pub(crate) fn recover(
    directory: &LogDirectory,
    meta: &Meta,
    keys: Option<&KeyRing>,
    verify: VerifyOnOpen,
) -> Result<Recovered> {
    let chain = discover_chain(directory, meta)?;
    let mut segments = chain.segments;
    let mut remove = chain.below_floor;
    let mut report = RecoveryReport {
        last_lsn: Lsn::NONE,
        floor: meta.retention_floor,
        verified_from: meta.retention_floor,
        segments: segments.len(),
        clean_close: false,
        discarded: None,
        removed_unused: None,
        finished_truncations: remove.len(),
    };
    let mut claimed_durable_lsn = meta.claimed_durable_lsn();
    let mut stated_close = match verify {
        VerifyOnOpen::Newest => StatedClose::of(meta),
        VerifyOnOpen::Everything => None,
    };
    if let Some(newest) = chain.unreadable_newest {
        check_never_used(directory, &newest)?;
        // It got its name once everything before it was durable, whatever became of its header.
        claimed_durable_lsn = claimed_durable_lsn.max(newest.first_lsn.previous());
        // The log has been opened since.
        stated_close = None;
        report.removed_unused = Some(newest.path.clone());
        remove.push(newest.path);
    }
    let Some(last) = segments.last() else {
        // No segment was ever noted, or the chain would have been refused. So the floor is where the
        // log was begun, and what it speaks for, the records before it, was never in this log.
        let end_lsn = meta.retention_floor.previous();
        if claimed_durable_lsn > end_lsn {
            return Err(WalError::ChainBroken {
                path: directory.path().to_owned(),
                problem: format!(
                    "records up to LSN {claimed_durable_lsn} were durable, and there is no segment \
                     that holds any; restore them"
                ),
            });
        }
        report.last_lsn = end_lsn;
        let predecessor = Predecessor { number: 0, end_lsn, checksum: 0 };
        return Ok(Recovered { segments, predecessor, empty_segment: None, remove, report });
    };

    for pair in segments.windows(2) {
        let (segment, next) = (&pair[0], &pair[1]);
        match verify {
            // It was durable as a whole before its successor began, and that there is the key to
            // read it is all that an opening has to know.
            VerifyOnOpen::Newest => {
                SegmentContext::from_header(&segment.header, &segment.path, keys).map(drop)?;
            }
            VerifyOnOpen::Everything => examine_sealed(directory, segment, next, keys)?,
        }
    }
    let tail = examine_newest(directory, last, claimed_durable_lsn, stated_close, keys)?;
    check_floor_is_current(directory, &segments, meta)?;
    report.last_lsn = tail.end_lsn;
    report.clean_close = tail.clean_close;
    report.discarded = tail.discarded;
    let identity = &last.header.identity;
    report.verified_from = match verify {
        _ if tail.is_unread => tail.end_lsn.next(),
        VerifyOnOpen::Newest => identity.first_lsn.max(meta.retention_floor),
        VerifyOnOpen::Everything => meta.retention_floor,
    };
    let mut empty_segment = None;
    let predecessor = if tail.end_lsn < identity.first_lsn {
        // Started and never held a record: the next segment takes its place and its name.
        let predecessor = last.header.predecessor;
        report.removed_unused = Some(last.path.clone());
        empty_segment = Some(identity.segment_number);
        segments.pop();
        predecessor
    } else {
        Predecessor {
            number: identity.segment_number,
            end_lsn: tail.end_lsn,
            checksum: tail.checksum,
        }
    };
    report.segments = segments.len();
    Ok(Recovered { segments, predecessor, empty_segment, remove, report })
}

/// Each header states the floor that `wal.meta` promised durably when the segment was started.
fn check_floor_is_current(
    directory: &LogDirectory,
    segments: &[ChainSegment],
    meta: &Meta,
) -> Result<()> {
    let stated = segments.iter().map(|segment| segment.header.retention_floor).max();
    let Some(stated) = stated.filter(|&stated| stated > meta.retention_floor) else {
        return Ok(());
    };
    Err(WalError::MetaDamaged {
        path: directory.join("wal.meta"),
        problem: format!(
            "it promises records from LSN {}, yet a segment says that they were truncated up to \
             LSN {stated}; it is older than the segments beside it",
            meta.retention_floor
        ),
    })
}

/// A newest file without a readable header was never used, unless its batches say otherwise.
fn check_never_used(directory: &LogDirectory, newest: &UnreadableNewest) -> Result<()> {
    let file =
        directory.open_for_read(newest.path.clone()).map_err(WalError::io("open", &newest.path))?;
    if claims_without_header(file, newest.first_lsn)? >= newest.first_lsn {
        return Err(WalError::HeaderDamaged {
            path: newest.path.clone(),
            problem: format!("{}, yet durable records follow it", newest.problem.describe()),
        });
    }
    Ok(())
}

struct NewestTail {
    end_lsn: Lsn,
    checksum: u32,
    clean_close: bool,
    discarded: Option<Discarded>,
    /// The end was found without the records before it.
    is_unread: bool,
}

/// Opens a segment, with the key to read it.
fn open_segment(
    directory: &LogDirectory,
    segment: &ChainSegment,
    keys: Option<&KeyRing>,
) -> Result<(SegmentFile, SegmentContext)> {
    let context = SegmentContext::from_header(&segment.header, &segment.path, keys)?;
    let file = directory.open_for_read(segment.path.clone());
    Ok((file.map_err(WalError::io("open", &segment.path))?, context))
}

/// Reads every batch of a segment and stops where there is none.
fn walk_to_end(file: SegmentFile, context: SegmentContext) -> Result<SegmentWalk> {
    let mut walk = SegmentWalk::new(file, context)?;
    while walk.next_batch()? {}
    Ok(walk)
}

/// A successor was started once everything before it was durable, so a sealed segment has to hold
/// every record up to there, and end with the batch that the successor names.
fn examine_sealed(
    directory: &LogDirectory,
    segment: &ChainSegment,
    next: &ChainSegment,
    keys: Option<&KeyRing>,
) -> Result<()> {
    let (file, context) = open_segment(directory, segment, keys)?;
    let walk = walk_to_end(file, context)?;
    let claimed_durable_lsn = next.header.predecessor.end_lsn;
    if walk.expected_lsn() <= claimed_durable_lsn {
        return Err(WalError::AcknowledgedDataLost {
            path: segment.path.clone(),
            offset_bytes: walk.offset_bytes(),
            first_missing_lsn: walk.expected_lsn(),
            claimed_durable_lsn,
        });
    }
    if walk.expected_lsn() > next.header.identity.first_lsn
        || walk.last_batch().checksum != next.header.predecessor.checksum
    {
        return Err(WalError::ChainBroken {
            path: next.path.clone(),
            problem: "the last batch of the segment before is not the one it follows".to_owned(),
        });
    }
    Ok(())
}

fn examine_newest(
    directory: &LogDirectory,
    segment: &ChainSegment,
    claimed_elsewhere: Lsn,
    stated_close: Option<StatedClose>,
    keys: Option<&KeyRing>,
) -> Result<NewestTail> {
    let (file, context) = open_segment(directory, segment, keys)?;
    let marker = stated_close.map(|stated| stated.find(&file, &context)).transpose()?.flatten();
    if let Some(marker) = marker.filter(|marker| marker.durable_lsn >= claimed_elsewhere) {
        // Nothing to flush: the marker was durable before `wal.meta` spoke of it.
        return Ok(NewestTail {
            end_lsn: marker.durable_lsn,
            checksum: marker.checksum,
            clean_close: true,
            discarded: None,
            is_unread: true,
        });
    }
    let mut walk = walk_to_end(file, context)?;
    let scan = walk.scan_tail()?;
    let claimed_durable_lsn = scan.claimed_durable_lsn.max(claimed_elsewhere);
    let verdict = judge(TailFindings {
        expected_lsn: walk.expected_lsn(),
        claimed_durable_lsn,
        // Behind a close in good order there is nothing that was cut short: what looks like it is
        // the middle of a batch of the file's earlier life.
        something_follows: scan.suspicious_bytes > 0
            && (scan.batches > 0 || !walk.last_batch().clean_close),
    });
    if verdict == TailVerdict::AcknowledgedDataLost {
        return Err(WalError::AcknowledgedDataLost {
            path: segment.path.clone(),
            offset_bytes: walk.offset_bytes(),
            first_missing_lsn: walk.expected_lsn(),
            claimed_durable_lsn,
        });
    }
    // What was read may still be in the device's volatile cache (the writer was killed, the
    // machine was not). The next segment will call it durable, so it has to become so first.
    walk.file().flush().map_err(WalError::io("flush", &segment.path))?;
    Ok(NewestTail {
        end_lsn: walk.expected_lsn().previous(),
        checksum: walk.last_batch().checksum,
        clean_close: walk.last_batch().clean_close,
        discarded: (verdict == TailVerdict::TornTail).then(|| discarded(&walk, scan)),
        is_unread: false,
    })
}

fn discarded(walk: &SegmentWalk, scan: TailScan) -> Discarded {
    Discarded {
        path: walk.file().path().to_owned(),
        offset_bytes: walk.offset_bytes(),
        len_bytes: scan.suspicious_bytes,
        batches: scan.batches,
    }
}
