//! Replaying records in LSN order across segments, up to what is durable (in the writer's process)
//! or up to the end of what was written (from the directory alone, beside a live writer).

mod parts;
mod segments;

use std::{collections::VecDeque, path::Path};

use segments::floor_of;
pub(super) use segments::{directory_entries, meta_of};

use super::{
    RecordFilter, RecordHead, RecordRef,
    source::ReadingStyle,
    verdict::{TailFindings, TailVerdict, judge},
    walk::SegmentWalk,
};
use crate::{
    crypto::KeyRing,
    device::LogDirectory,
    error::{Result, WalError},
    format::{FrameHeader, SegmentHeader, SegmentIdentity},
    lsn::Lsn,
    record::{KnownKinds, LogRecord},
    segment::CatalogEntry,
};

/// How far a reader goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadBound {
    /// Up to this LSN, all of which is there or lost.
    Durable(Lsn),
    /// To the end of the newest segment, which may be growing.
    Tail,
    /// As a follower in another process has learned, who asks again at the end: everything up to
    /// `claimed` is there or lost, and what is past `hand_out` is none of his business yet.
    Followed { claimed: Lsn, hand_out: Lsn },
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

/// Streams records in LSN order, up to a bound that is set when it is made. Memory is bounded by
/// three windows of 1 MiB and what is carried over between them, 7 MiB in all, or by the largest batch
/// met.
///
/// There are several ways to take the next record, all of them the same reading:
///
/// | | what | payloads |
/// |---|---|---|
/// | `next` ([`Iterator`]) | a [`LogRecord`] | copied |
/// | [`WalReader::next_ref`] | a [`RecordRef`] | borrowed |
/// | [`WalReader::next_head`] | a [`RecordHead`] | read if they are asked for |
///
/// [`WalReader::matching`] selects records, [`WalReader::into_page`] takes some of them, and
/// [`WalReader::in_parallel`] decodes several segments at once.
///
/// **What is verified.** A record whose payload is handed out always is. Without a filter `next` and
/// `next_ref` verify everything on the way. A filter by ids, and `next_head`, pass over payloads
/// where that pays (records of 16 KiB and more, and nothing that was not durable): what is passed
/// over is read no further than its header, which has to fit its place. Damage there goes unnoticed,
/// and a header that was damaged may be selected, or not, for what it was not.
///
/// After an error it ends; nothing after a damaged place is handed out.
///
/// ```no_run
/// # fn example(wal: &plimsoll::SegmentedWal) -> Result<(), plimsoll::WalError> {
/// use plimsoll::RecordFilter;
/// let mut reader = wal.replay()?.matching(RecordFilter::all().tenants([7]));
/// while let Some(record) = reader.next_ref() {
///     let record = record?;
///     println!("{}: {} bytes", record.lsn(), record.payload().len());
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct WalReader {
    pub(super) directory: LogDirectory,
    log_id: [u8; 16],
    pub(super) options: ReaderOptions,
    filter: RecordFilter,
    /// The filter asks for a later beginning than the reader was made for.
    skips_to_start: bool,
    style: ReadingStyle,
    /// Segments not opened yet, oldest first.
    pub(super) ahead: VecDeque<CatalogEntry>,
    /// What the next segment has to follow, if anything was read before.
    before: Option<SegmentEnd>,
    pub(super) current: Option<SegmentWalk>,
    /// The header of the current segment.
    header: Option<SegmentHeader>,
    pub(super) ended: bool,
}

/// What a segment leaves for the next one to follow.
#[derive(Clone, Debug)]
pub(super) struct SegmentEnd {
    identity: SegmentIdentity,
    /// Of its last batch.
    checksum: u32,
    pub(super) next_lsn: Lsn,
}

impl WalReader {
    /// A reader over the segments of an open log.
    pub(crate) fn over_segments(
        directory: LogDirectory,
        log_id: [u8; 16],
        entries: Vec<CatalogEntry>,
        options: ReaderOptions,
    ) -> Self {
        let mut reader = Self {
            directory,
            log_id,
            options,
            filter: RecordFilter::all(),
            skips_to_start: false,
            style: ReadingStyle::default(),
            ahead: VecDeque::from(entries),
            before: None,
            current: None,
            header: None,
            ended: false,
        };
        reader.find_start();
        reader
    }

    /// By name: the last segment that begins at or before the first LSN wanted.
    pub(super) fn find_start(&mut self) {
        while self.ahead.get(1).is_some_and(|next| next.first_lsn <= self.options.from) {
            self.ahead.pop_front();
        }
    }

    /// Hands out only what `filter` selects, from here on. To be called before the first record is
    /// taken: what was read by then is not read again.
    ///
    /// Payloads of others are not read where that pays, see [above](WalReader). A *required* kind
    /// that the program does not know remains an error, unless the filter is by kind and leaves it
    /// out: whose record it is does not make it less required.
    #[must_use]
    pub fn matching(mut self, filter: RecordFilter) -> Self {
        if filter.from() > self.options.from {
            self.options.from = filter.from();
            if self.current.is_none() {
                self.skips_to_start = true;
                self.find_start();
            }
        }
        self.filter = filter;
        self
    }

    /// The next record, borrowed from what was read; nothing of it is copied. [`None`] at the end.
    pub fn next_ref(&mut self) -> Option<Result<RecordRef<'_>>> {
        let header = match self.step(false)? {
            Ok(header) => header,
            Err(error) => return Some(Err(error)),
        };
        if let Err(error) = self.load(header.lsn) {
            return Some(Err(error));
        }
        Some(Ok(RecordRef::new(header, self.loaded())))
    }

    /// The next record without its payload, which can still be read. Payloads that nobody asks for
    /// are passed over where that pays, see [above](WalReader). [`None`] at the end.
    ///
    /// ```no_run
    /// # fn example(wal: &plimsoll::SegmentedWal) -> Result<(), plimsoll::WalError> {
    /// let mut reader = wal.replay()?;
    /// while let Some(head) = reader.next_head() {
    ///     let mut head = head?;
    ///     if head.payload_len() < 100 {
    ///         println!("{}: {:?}", head.lsn(), head.payload()?);
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn next_head(&mut self) -> Option<Result<RecordHead<'_>>> {
        match self.step(true)? {
            Ok(header) => Some(Ok(RecordHead::new(self, header))),
            Err(error) => Some(Err(error)),
        }
    }

    /// Moves to the next record that is wanted. `sparsely` if its payload may not be.
    fn step(&mut self, sparsely: bool) -> Option<Result<FrameHeader>> {
        if self.ended {
            return None;
        }
        match self.advance(sparsely) {
            Ok(Some(header)) => Some(Ok(header)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                let next = self.current.as_ref().map_or(self.options.from, SegmentWalk::next_lsn);
                Some(Err(self.end_with(error, next)))
            }
        }
    }

    /// Has the payload of the record that was stepped to, which has this LSN, in memory.
    pub(super) fn load(&mut self, lsn: Lsn) -> Result<()> {
        let loaded = self.current.as_mut().map_or(Ok(()), SegmentWalk::load);
        loaded.map_err(|error| self.end_with(error, lsn))
    }

    /// The payload that was loaded.
    pub(super) fn loaded(&self) -> &[u8] {
        self.current.as_ref().map_or(&[], SegmentWalk::payload)
    }

    /// Segment and offset of the record that was stepped to.
    pub(super) fn place(&self) -> (&Path, u64) {
        let walk = self.current.as_ref();
        walk.map_or((self.directory.path(), 0), |walk| {
            (walk.file().path(), walk.frame_offset_bytes())
        })
    }

    /// Ends with an error that was met where the record `next` is wanted.
    fn end_with(&mut self, error: WalError, next: Lsn) -> WalError {
        self.ended = true;
        self.explain(error, next)
    }

    /// It will be asked again at its end, close behind a writer.
    pub(super) fn follow(&mut self) {
        self.style = ReadingStyle { follows: true, reads_ahead: false, ..self.style };
    }

    /// Whether nothing from `lsn` on is wanted.
    fn ends_before(&self, lsn: Lsn) -> bool {
        self.options.bound.excludes(lsn) || self.filter.ends_before(lsn)
    }

    fn advance(&mut self, sparsely: bool) -> Result<Option<FrameHeader>> {
        loop {
            let Some(walk) = &mut self.current else {
                if self.ends_before(self.options.from) || !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            if let Some(lsn) = walk.pending_lsn() {
                // A follower takes a batch whole: it is the unit in which things are durable.
                if !self.style.follows && self.ends_before(lsn) {
                    return Ok(None);
                }
                if let Some(header) = self.take_frame()? {
                    return Ok(Some(header));
                }
                continue;
            }
            let expected_lsn = walk.expected_lsn();
            if self.ends_before(expected_lsn) {
                return Ok(None);
            }
            // Markers at a segment's end count: the next segment names the last one.
            if self.next_batch(sparsely)? {
                self.check_ends_before_next()?;
                continue;
            }
            // A segment that begins further back than that is no successor, which opening it shows.
            let next_follows = self.ahead.front().is_some_and(|n| n.first_lsn <= expected_lsn);
            let goes_on = if next_follows { self.open_next()? } else { self.look_further()? };
            if !goes_on {
                return Ok(None);
            }
        }
    }

    fn next_batch(&mut self, sparsely: bool) -> Result<bool> {
        let vouched = self.vouched();
        #[cfg(feature = "simulated")]
        let vouched = match crate::sabotage::is(crate::sabotage::Sabotage::SkipUnvouched) {
            true => Lsn::new(u64::MAX - 1),
            false => vouched,
        };
        let Some(walk) = &mut self.current else { return Ok(false) };
        let sparsely = sparsely
            || self.filter.looks_at_ids()
            || (self.skips_to_start && walk.expected_lsn() < self.options.from);
        let found = if sparsely { walk.next_batch_sparsely(vouched)? } else { walk.next_batch()? };
        if walk.expected_lsn() <= self.options.from {
            walk.pass_over_frames();
        }
        Ok(found)
    }

    /// Every record up to here is there or lost, whatever the batches say.
    fn vouched(&self) -> Lsn {
        // A later segment exists only once everything before it is durable.
        let sealed = self.ahead.front().map(|next| next.first_lsn.previous());
        match self.options.bound {
            ReadBound::Durable(lsn) => sealed.map_or(lsn, |sealed| sealed.min(lsn)),
            ReadBound::Followed { claimed, .. } => sealed.unwrap_or(claimed),
            ReadBound::Tail => sealed.unwrap_or(Lsn::NONE),
        }
    }

    /// Takes the next frame of the current batch, unless it is to be passed over.
    fn take_frame(&mut self) -> Result<Option<FrameHeader>> {
        let Some(walk) = &mut self.current else { return Ok(None) };
        let Some(header) = walk.next_frame()? else { return Ok(None) };
        if header.lsn < self.options.from {
            return Ok(None);
        }
        let is_known = self.options.known_kinds.contains(header.kind);
        if !is_known && header.kind.is_required() && self.filter.wants_kind(header.kind) {
            // Damage must not pass for a kind.
            walk.load()?;
            return Err(WalError::UnknownRequiredKind { lsn: header.lsn, kind: header.kind });
        }
        Ok(Some(header).filter(|header| is_known && self.filter.selects(header)))
    }

    /// What the current segment leaves for the next one, as far as it is read.
    pub(super) fn end_of_current(&self) -> Option<SegmentEnd> {
        self.current.as_ref().map(|walk| SegmentEnd {
            identity: walk.context().identity.clone(),
            checksum: walk.last_batch().checksum,
            next_lsn: walk.expected_lsn(),
        })
    }

    /// The current position holds no batch. Decides whether the log ends, goes on in another
    /// segment, or has lost something. `true` to go on.
    fn look_further(&mut self) -> Result<bool> {
        let vouched = self.vouched();
        let Some(walk) = &mut self.current else { return Ok(false) };
        let expected_lsn = walk.expected_lsn();
        let claimed = if self.options.bound == ReadBound::Tail && self.ahead.is_empty() {
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
        } else {
            vouched
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
    pub(super) fn explain(&self, error: WalError, next: Lsn) -> WalError {
        match floor_of(&self.directory) {
            Ok(floor) if next < floor => WalError::Truncated { requested: next, floor },
            _ => error,
        }
    }
}

impl Iterator for WalReader {
    type Item = Result<LogRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_ref()?.map(|record| record.to_record()))
    }
}

impl ReadBound {
    fn excludes(self, lsn: Lsn) -> bool {
        match self {
            Self::Durable(last) | Self::Followed { hand_out: last, .. } => lsn > last,
            Self::Tail => false,
        }
    }

    /// Whether a writer may change names while they are looked at.
    fn is_beside_a_writer(self) -> bool {
        !matches!(self, Self::Durable(_))
    }
}
