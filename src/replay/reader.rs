//! Replaying records in LSN order across segments, up to what is durable (in the writer's process)
//! or up to the end of what was written (from the directory alone, beside a live writer).

use std::{collections::VecDeque, io::ErrorKind, path::PathBuf};

use super::{
    verdict::{TailFindings, TailVerdict, judge},
    walk::{Frame, SegmentWalk, claims_without_header},
};
use crate::{
    crypto::KeyRing,
    device::{LogDirectory, SegmentFile},
    error::{Result, WalError},
    format::{Meta, SegmentHeader},
    lsn::Lsn,
    record::{KnownKinds, LogRecord},
    segment::{
        CatalogEntry, SegmentContext, check_stays_sealed, header_error, list_segments, read_header,
        read_meta,
    },
};

/// How far a reader goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadBound {
    /// Up to this LSN, all of which is there or lost.
    Durable(Lsn),
    /// To the end of the newest segment, which may be growing.
    Tail,
}

/// What a reader needs to know.
#[derive(Clone, Debug)]
pub(crate) struct ReaderOptions {
    pub(crate) keys: Option<KeyRing>,
    pub(crate) known_kinds: KnownKinds,
    pub(crate) bound: ReadBound,
    /// First LSN to hand out.
    pub(crate) from: Lsn,
}

/// Streams records in LSN order. Memory is bounded by a window of 1 MiB or the largest batch met.
///
/// After an error it ends; nothing after a damaged place is handed out.
#[derive(Debug)]
pub struct WalReader {
    directory: LogDirectory,
    log_id: [u8; 16],
    options: ReaderOptions,
    /// Segments not opened yet, oldest first.
    ahead: VecDeque<CatalogEntry>,
    current: Option<SegmentWalk>,
    ended: bool,
}

impl WalReader {
    /// A reader over the segments of an open log.
    pub(crate) fn over_segments(
        directory: LogDirectory,
        log_id: [u8; 16],
        entries: Vec<CatalogEntry>,
        options: ReaderOptions,
    ) -> Self {
        let mut ahead = VecDeque::from(entries);
        // Found by name: the last segment that begins at or before the first LSN wanted.
        while ahead.get(1).is_some_and(|next| next.first_lsn <= options.from) {
            ahead.pop_front();
        }
        Self { directory, log_id, options, ahead, current: None, ended: false }
    }

    /// A reader over a directory, without a lock. A writer may be at work in it.
    ///
    /// # Errors
    ///
    /// [`WalError::Truncated`] below the floor, [`WalError::MetaDamaged`] where there is no log.
    pub(crate) fn over_directory(
        directory: LogDirectory,
        mut options: ReaderOptions,
    ) -> Result<Self> {
        let wanted = options.from;
        loop {
            let Meta { retention_floor: floor, log_id, .. } = meta_of(&directory)?;
            options.from = if wanted == Lsn::NONE { floor } else { wanted };
            if options.from < floor {
                return Err(WalError::Truncated { requested: wanted, floor });
            }
            let entries = directory_entries(&directory)?;
            if let Some(first) = entries.first().filter(|first| first.first_lsn > options.from) {
                // Truncated between the two looks: what is wanted may be gone, which the floor says.
                if floor_of(&directory)? != floor {
                    continue;
                }
                return Err(WalError::ChainBroken {
                    path: first.path.clone(),
                    problem: format!(
                        "the log promises records from LSN {floor}, but this is the first segment; \
                         an earlier one is missing, restore it"
                    ),
                });
            }
            if options.keys.is_some() {
                check_start_is_sealed(&directory, &entries, options.from)?;
            }
            return Ok(Self::over_segments(directory, log_id, entries, options));
        }
    }

    fn advance(&mut self) -> Result<Option<LogRecord>> {
        loop {
            let Some(walk) = &mut self.current else {
                if self.options.bound.excludes(self.options.from) || !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            if let Some(lsn) = walk.pending_lsn() {
                if self.options.bound.excludes(lsn) {
                    return Ok(None);
                }
                if let Some(record) = take_record(walk, &self.options)? {
                    return Ok(Some(record));
                }
                continue;
            }
            if self.options.bound.excludes(walk.expected_lsn()) {
                return Ok(None);
            }
            // Markers at a segment's end count: the next segment names the last one.
            if walk.next_batch()? {
                check_ends_before(walk, self.ahead.front())?;
                continue;
            }
            let expected_lsn = walk.expected_lsn();
            let next_follows = self.ahead.front().is_some_and(|n| n.first_lsn == expected_lsn);
            let goes_on = if next_follows { self.open_next()? } else { self.look_further()? };
            if !goes_on {
                return Ok(None);
            }
        }
    }

    /// Opens the next segment and checks that it follows the current one. `false` at the end.
    fn open_next(&mut self) -> Result<bool> {
        while let Some(entry) = self.ahead.pop_front() {
            let opened = self.open_segment(&entry);
            if !opened.as_ref().is_err_and(|error| self.is_race(error)) {
                return opened;
            }
            self.list_again(&entry)?;
        }
        Ok(false)
    }

    /// Whether a file was gone that was listed a moment ago: its writer has truncated it, or, in an
    /// opening, removed or replaced it because it held no record.
    fn is_race(&self, error: &WalError) -> bool {
        self.options.bound == ReadBound::Tail
            && matches!(error, WalError::Io { source, .. } if source.kind() == ErrorKind::NotFound)
    }

    /// Takes the place of what was listed before by what is there now, from a segment on that has
    /// vanished.
    fn list_again(&mut self, vanished: &CatalogEntry) -> Result<()> {
        let next = self.current.as_ref().map_or(self.options.from, SegmentWalk::expected_lsn);
        let floor = floor_of(&self.directory)?;
        if next < floor {
            return Err(WalError::Truncated { requested: next, floor });
        }
        let entries = directory_entries(&self.directory)?.into_iter();
        self.ahead = entries.filter(|entry| entry.first_lsn >= vanished.first_lsn).collect();
        Ok(())
    }

    fn open_segment(&mut self, entry: &CatalogEntry) -> Result<bool> {
        let file = self.open(entry)?;
        let mut header = read_header(&file)?;
        if let Err(problem) = header {
            if self.is_unused_newest(entry)? {
                return Ok(false);
            }
            // A writer may have started it between the two looks.
            header = read_header(&file)?.or(Err(problem));
        }
        let header = header.map_err(|problem| header_error(&entry.path, problem))?;
        self.check_follows(entry, &header)?;
        let context =
            SegmentContext::from_header(&header, &entry.path, self.options.keys.as_ref())?;
        self.current = Some(SegmentWalk::new(file, context)?);
        Ok(true)
    }

    fn open(&self, entry: &CatalogEntry) -> Result<SegmentFile> {
        let opened = self.directory.open_for_read(entry.path.clone());
        opened.map_err(WalError::io("open", &entry.path))
    }

    /// Whether a file without a readable header is the one a writer is about to start.
    fn is_unused_newest(&self, entry: &CatalogEntry) -> Result<bool> {
        if self.options.bound != ReadBound::Tail || !self.ahead.is_empty() {
            return Ok(false);
        }
        let file = self.open(entry)?;
        Ok(claims_without_header(file, entry.first_lsn)? < entry.first_lsn)
    }

    fn check_follows(&self, entry: &CatalogEntry, header: &SegmentHeader) -> Result<()> {
        let broken =
            |problem: String| Err(WalError::ChainBroken { path: entry.path.clone(), problem });
        let identity = &header.identity;
        if identity.first_lsn != entry.first_lsn {
            return broken(format!(
                "it is named after LSN {} but starts at LSN {}",
                entry.first_lsn, identity.first_lsn
            ));
        }
        if identity.log_id != self.log_id {
            return broken("it belongs to another log".into());
        }
        let Some(before) = &self.current else { return Ok(()) };
        let previous = &before.context().identity;
        check_stays_sealed(previous, identity, &entry.path)?;
        if identity.segment_number != previous.segment_number + 1 {
            return broken(format!(
                "it is segment {} and the one before it is segment {}",
                identity.segment_number, previous.segment_number
            ));
        }
        if header.predecessor.checksum != before.last_batch().checksum {
            return broken("the last batch of the segment before is not the one it follows".into());
        }
        Ok(())
    }

    /// The current position holds no batch. Decides whether the log ends, goes on in another
    /// segment, or has lost something. `true` to go on.
    fn look_further(&mut self) -> Result<bool> {
        let Some(walk) = &mut self.current else { return Ok(false) };
        let expected_lsn = walk.expected_lsn();
        let claimed = match (self.options.bound, self.ahead.front()) {
            // A later segment exists only once everything before it is durable.
            (_, Some(next)) => next.first_lsn.previous(),
            (ReadBound::Durable(lsn), None) => lsn,
            (ReadBound::Tail, None) => {
                let entries = directory_entries(&self.directory)?;
                let later: VecDeque<_> =
                    entries.into_iter().filter(|entry| entry.first_lsn >= expected_lsn).collect();
                // A segment that begins where we stand is where we are, if it holds nothing yet.
                if later.iter().any(|entry| entry.path != *walk.file().path()) {
                    // Everything before a segment is there once the segment is: look again.
                    walk.refresh();
                    self.ahead = later;
                    self.ahead.retain(|entry| entry.path != *walk.file().path());
                    return Ok(true);
                }
                walk.scan_tail()?.claimed_durable_lsn
            }
        };
        let findings =
            TailFindings { expected_lsn, claimed_durable_lsn: claimed, something_follows: false };
        if judge(findings) != TailVerdict::AcknowledgedDataLost {
            return Ok(false);
        }
        // Beside a live writer the batch may have been completed between the two looks.
        walk.refresh();
        if walk.next_batch()? {
            return Ok(true);
        }
        Err(WalError::AcknowledgedDataLost {
            path: walk.file().path().to_owned(),
            offset_bytes: walk.offset_bytes(),
            first_missing_lsn: expected_lsn,
            claimed_durable_lsn: claimed,
        })
    }

    /// A segment that was truncated and recycled under the reader looks damaged. Then the floor
    /// has moved past it, and that is the better answer.
    fn explain(&self, error: WalError) -> WalError {
        let next = self.current.as_ref().map_or(self.options.from, SegmentWalk::expected_lsn);
        match floor_of(&self.directory) {
            Ok(floor) if next < floor => WalError::Truncated { requested: next, floor },
            _ => error,
        }
    }
}

impl Iterator for WalReader {
    type Item = Result<LogRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.advance() {
            Ok(Some(record)) => Some(Ok(record)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                Some(Err(self.explain(error)))
            }
        }
    }
}

impl ReadBound {
    fn excludes(self, lsn: Lsn) -> bool {
        matches!(self, Self::Durable(last) if lsn > last)
    }
}

/// What lies behind the successor's beginning is no part of the log, and no batch of this segment can
/// be whole there.
fn check_ends_before(walk: &SegmentWalk, next: Option<&CatalogEntry>) -> Result<()> {
    match next {
        Some(next) if walk.expected_lsn() > next.first_lsn => Err(WalError::ChainBroken {
            path: next.path.clone(),
            problem: "the segment before holds records behind its beginning".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Takes the next frame of the current batch, unless it is to be passed over.
fn take_record(walk: &mut SegmentWalk, options: &ReaderOptions) -> Result<Option<LogRecord>> {
    let Some(Frame { header, payload }) = walk.next_frame()? else { return Ok(None) };
    if header.lsn < options.from {
        return Ok(None);
    }
    if !options.known_kinds.contains(header.kind) {
        if header.kind.is_required() {
            return Err(WalError::UnknownRequiredKind { lsn: header.lsn, kind: header.kind });
        }
        return Ok(None);
    }
    Ok(Some(LogRecord {
        lsn: header.lsn,
        kind: header.kind,
        tenant: header.tenant,
        vshard: header.vshard,
        database: header.database,
        payload: payload.to_vec(),
    }))
}

/// A reader that starts in clear has not seen the segments before; none of them may be encrypted. One
/// that cannot be opened is being truncated.
fn check_start_is_sealed(
    directory: &LogDirectory,
    entries: &[CatalogEntry],
    from: Lsn,
) -> Result<()> {
    let identity_of = |entry: &CatalogEntry| match directory.open_for_read(entry.path.clone()) {
        Ok(file) => Ok(read_header(&file)?.ok().map(|header| header.identity)),
        Err(_) => Ok(None),
    };
    let upto = entries.partition_point(|entry| entry.first_lsn <= from);
    let Some((start, earlier)) = entries[..upto].split_last() else { return Ok(()) };
    let Some(start_identity) = identity_of(start)?.filter(|identity| identity.key_id.is_none())
    else {
        return Ok(());
    };
    for entry in earlier {
        if let Some(before) = identity_of(entry)? {
            check_stays_sealed(&before, &start_identity, &start.path)?;
        }
    }
    Ok(())
}

fn floor_of(directory: &LogDirectory) -> Result<Lsn> {
    Ok(meta_of(directory)?.retention_floor)
}

fn meta_of(directory: &LogDirectory) -> Result<Meta> {
    read_meta(directory)?.ok_or_else(|| WalError::MetaDamaged {
        path: directory.join("wal.meta"),
        problem: "it is missing, so this is no log".into(),
    })
}

fn directory_entries(directory: &LogDirectory) -> Result<Vec<CatalogEntry>> {
    let entry = |(first_lsn, path): (Lsn, PathBuf)| CatalogEntry { path, first_lsn };
    Ok(list_segments(directory)?.into_iter().map(entry).collect())
}
