//! The draining half: writes sealed batches in order, starts segments, and knows what is durable.

use std::{
    collections::VecDeque,
    io,
    num::NonZeroU64,
    os::fd::BorrowedFd,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    SealedBatch,
    batch::{EncodedBatch, Outline},
};
use crate::{
    device::{
        BlockBuffer, Completion, Device, Durability, LogDirectory, SegmentFile, Wait, WriteRequest,
        WriteSync,
    },
    durable::{BatchTicket, DurablePrefix, FlushCover},
    error::{Result, WalError},
    format::{Predecessor, SegmentHeader},
    level::Reach,
    lsn::Lsn,
    poison::Poison,
    segment::{Preparer, SegmentCatalog, Spare, segment_name},
    telemetry::{BatchOutcome, SubmittedBatch, SubmittedFlush, Telemetry},
};

/// Token of a flush; writes carry the number of their batch.
const FLUSH_TOKEN: u64 = u64::MAX;

/// What a writer is made of.
pub(crate) struct WriterParts {
    pub(crate) device: Box<dyn Device>,
    pub(crate) directory: LogDirectory,
    pub(crate) catalog: Arc<SegmentCatalog>,
    pub(crate) preparer: Arc<Preparer>,
    pub(crate) poison: Poison,
    pub(crate) telemetry: Telemetry,
    pub(crate) durability: Durability,
    /// What the first segment follows.
    pub(crate) predecessor: Predecessor,
    /// The number of a newest segment without a record, whose place the first segment takes.
    pub(crate) empty_segment: Option<u64>,
}

/// Writes batches and follows them until they are durable. Driven by one thread at a time.
pub(crate) struct BatchWriter {
    parts: WriterParts,
    active: Option<ActiveSegment>,
    prefix: DurablePrefix,
    /// Batches on their way to the device, oldest first.
    in_flight: VecDeque<InFlightBatch>,
    next_token: u64,
    /// Buffers that came back and have not been collected.
    returned: Vec<BlockBuffer>,
    /// What the active segment follows.
    predecessor: Predecessor,
    /// The newest segment's number while it holds no record: the next one takes its place.
    empty_segment: Option<u64>,
    /// Checksum of the newest batch, for the next segment's header.
    last_checksum: u32,
    /// The flush on its way, and what it covers.
    flushing: Option<(FlushCover, SubmittedFlush)>,
    /// Everything up to this batch is to be made durable, by a flush if need be.
    durable_wanted: Option<BatchTicket>,
    /// The oldest batch since the last flush for which somebody waits until it is flushed.
    awaited_from: Option<BatchTicket>,
    last_submitted: Option<BatchTicket>,
    /// A segment and its first batch: noted in `wal.meta` once that is durable.
    started_segment: Option<(u64, BatchTicket)>,
    /// Records handed to the device since the log was opened.
    submitted_records: u64,
}

struct ActiveSegment {
    file: Arc<SegmentFile>,
    number: u64,
    /// Where the next batch goes.
    offset_bytes: u64,
    /// Where the newest one begins.
    newest_batch_bytes: u64,
}

struct InFlightBatch {
    token: u64,
    ticket: BatchTicket,
    submitted: SubmittedBatch,
    outcome: BatchOutcome,
}

impl BatchWriter {
    pub(crate) fn new(parts: WriterParts) -> Self {
        Self {
            prefix: DurablePrefix::new(parts.predecessor.end_lsn),
            last_checksum: parts.predecessor.checksum,
            predecessor: parts.predecessor,
            empty_segment: parts.empty_segment,
            flushing: None,
            durable_wanted: None,
            awaited_from: None,
            last_submitted: None,
            started_segment: None,
            parts,
            active: None,
            in_flight: VecDeque::new(),
            next_token: 0,
            returned: Vec::new(),
            submitted_records: 0,
        }
    }

    /// Every record up to here has been handed to the device.
    pub(crate) fn submitted_lsn(&self) -> Lsn {
        self.prefix.submitted_lsn()
    }

    /// Every record up to here has reached the device.
    pub(crate) fn written_lsn(&self) -> Lsn {
        self.prefix.written_lsn()
    }

    /// Every record up to here survives power loss.
    pub(crate) fn durable_lsn(&self) -> Lsn {
        self.prefix.durable_lsn()
    }

    /// Records handed to the device since the log was opened.
    pub(crate) fn submitted_records(&self) -> u64 {
        self.submitted_records
    }

    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.parts.telemetry
    }

    pub(crate) fn poison(&self) -> &Poison {
        &self.parts.poison
    }

    /// Batches written but not completed.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    pub(crate) fn usable_from_here(&self) -> bool {
        self.parts.device.usable_from_here()
    }

    /// Replaces the engine; nothing may be in flight.
    pub(crate) fn set_device(&mut self, device: Box<dyn Device>) {
        debug_assert!(self.in_flight.is_empty());
        self.parts.device = device;
    }

    /// Takes out the buffers that the device has given back.
    pub(crate) fn drain_returned(&mut self) -> impl Iterator<Item = BlockBuffer> + '_ {
        self.returned.drain(..)
    }

    /// Fails if the log has failed before.
    pub(crate) fn check(&self) -> Result<()> {
        self.parts.poison.check(self.durable_lsn())
    }

    /// Hands a batch to the device, first starting its segment if it begins one. A batch that
    /// somebody wants durable is followed by a flush where its write alone does not make it so; the
    /// flush, and an asynchronous write, start with the next [`Self::poll`] or wait.
    ///
    /// # Errors
    ///
    /// [`WalError::Poisoned`], now and for ever after.
    pub(crate) fn submit(&mut self, batch: SealedBatch, clean_close: bool) -> Result<()> {
        self.check()?;
        let mut batch = batch.into_encoded();
        let starts = batch.outline.starts.take();
        let started = starts.map(|spare| self.start_segment(spare, &mut batch)).transpose()?;
        // Stated in the batch: damage to anything up to here will be noticed.
        #[cfg_attr(not(feature = "simulated"), expect(unused_mut, reason = "for a seeded bug"))]
        let mut stated_lsn = self.durable_lsn();
        #[cfg(feature = "simulated")]
        if crate::sabotage::is(crate::sabotage::Sabotage::StateNothingDurable) {
            stated_lsn = Lsn::NONE;
        }
        self.last_checksum = batch.encode_header(stated_lsn, clean_close);
        let sync = self.sync_of(&batch.outline);
        let Some(active) = &mut self.active else { return Err(WalError::Closed) };
        let offset_bytes = active.offset_bytes;
        let range = batch.disk_range(offset_bytes == 0);
        active.offset_bytes += range.len() as u64;
        active.newest_batch_bytes = active.offset_bytes - batch.outline.disk_len() as u64;
        let file = Arc::clone(&active.file);
        if batch.outline.records > 0 {
            self.empty_segment = None;
        }
        self.submitted_records += u64::from(batch.outline.records);
        self.parts.preparer.note_appended(range.len() as u64);

        let token = self.next_token;
        self.next_token += 1;
        let ticket = self.prefix.submit(batch.outline.last_lsn(), sync == WriteSync::Durable);
        self.last_submitted = Some(ticket);
        if batch.outline.reach == Reach::Durable {
            self.want_durable();
        }
        self.started_segment = started.map(|number| (number, ticket)).or(self.started_segment);
        self.in_flight.push_back(InFlightBatch {
            token,
            ticket,
            submitted: batch.outline.as_submitted(range.len(), self.parts.telemetry.now_ns()),
            outcome: match (sync, batch.outline.reach) {
                (WriteSync::Durable, _) => BatchOutcome::Durable,
                (WriteSync::Volatile, Reach::Durable) => BatchOutcome::AwaitsFlush,
                (WriteSync::Volatile, _) => BatchOutcome::AcknowledgedWritten,
            },
        });
        let buffer = batch.buffer;
        self.parts.device.submit_write(WriteRequest {
            token,
            file,
            buffer,
            range,
            offset_bytes,
            sync,
        });
        Ok(())
    }

    /// Whether a batch is written durably. Not behind a volatile one: the flush that the earlier one
    /// needs serves both.
    fn sync_of(&self, outline: &Outline) -> WriteSync {
        let flushes = self.parts.durability == Durability::Fdatasync || self.prefix.has_volatile();
        if flushes || outline.reach < Reach::Durable {
            WriteSync::Volatile
        } else {
            WriteSync::Durable
        }
    }

    /// Gives a prepared file its name and its header, once every batch before it is durable. The
    /// header goes to the device with the segment's first batch.
    ///
    /// A segment that holds no record yet is replaced by one of the same name and number. Then the
    /// new header is durable before the name changes hands: whenever power fails, the name stands
    /// for a segment that can be read, as `wal.meta` may have promised.
    fn start_segment(&mut self, spare: Spare, batch: &mut EncodedBatch) -> Result<u64> {
        self.sync()?;
        let Spare { file, fixed_bytes } = spare;
        let number = batch.outline.context.identity.segment_number;
        let replaces = self.empty_segment == Some(number);
        if !replaces {
            self.predecessor = Predecessor {
                number: number - 1,
                end_lsn: batch.outline.first_lsn.previous(),
                checksum: self.last_checksum,
            };
        }
        let header = self.segment_header(&batch.outline, fixed_bytes.unwrap_or(0));
        header.encode(batch.segment_header_block());
        let mut offset_bytes = 0;
        if replaces {
            let block = batch.segment_header_block();
            file.write_at(block, 0, WriteSync::Durable)
                .map_err(|error| self.fail("write", file.path(), error))?;
            offset_bytes = block.len() as u64;
        }

        file.hold().map_err(|error| self.fail("lock", file.path(), error))?;
        let path = self.parts.directory.join(&segment_name(batch.outline.first_lsn));
        let directory = &self.parts.directory;
        directory.rename(file.path(), &path).map_err(|error| self.fail("rename", &path, error))?;
        directory.sync().map_err(|error| self.fail("sync directory", directory.path(), error))?;
        self.parts.catalog.start(path.clone(), batch.outline.first_lsn);
        self.active = Some(ActiveSegment {
            file: Arc::new(file.renamed(path)),
            number,
            offset_bytes,
            newest_batch_bytes: offset_bytes,
        });
        self.empty_segment = Some(number);
        self.parts.telemetry.segment_started();
        Ok(number)
    }

    fn segment_header(&self, batch: &Outline, capacity_bytes: u64) -> SegmentHeader {
        let mut header = SegmentHeader {
            identity: batch.context.identity.clone(),
            block_bytes: batch.context.block_bytes,
            predecessor: self.predecessor,
            retention_floor: self.parts.catalog.floor(),
            capacity_bytes,
            created_unix_ns: unix_ns(),
            key: None,
        };
        batch.context.authenticate(&mut header);
        header
    }

    /// Waits until at most `limit` batches are in flight.
    pub(crate) fn drain_to(&mut self, limit: usize) -> Result<()> {
        while self.in_flight.len() > limit {
            // What has failed stays in flight for ever.
            self.check()?;
            self.wait_one()?;
        }
        Ok(())
    }

    /// Has everything submitted made durable, by a flush if need be, with the next poll or wait.
    pub(crate) fn want_durable(&mut self) {
        self.durable_wanted = self.last_submitted;
        let awaited = self.awaited_from.filter(|&batch| !self.prefix.is_durable(batch));
        self.awaited_from = awaited.or(self.last_submitted);
    }

    /// Makes everything submitted durable and returns the durable LSN.
    pub(crate) fn sync(&mut self) -> Result<Lsn> {
        self.check()?;
        self.want_durable();
        self.drain_to(0)?;
        self.poll()?;
        while self.flushing.is_some() {
            self.wait_one()?;
        }
        Ok(self.durable_lsn())
    }

    /// Starts what was submitted, takes in what has completed, without waiting, and starts the flush
    /// that it may need.
    pub(crate) fn poll(&mut self) -> Result<()> {
        self.start_flush_if_wanted();
        while self.reap(Wait::Poll)? {}
        Ok(())
    }

    /// Waits for one completion, unless nothing is on its way, and takes in what came with it:
    /// whoever watches the completion descriptor is not told of those again.
    pub(crate) fn wait_one(&mut self) -> Result<()> {
        self.reap(Wait::One)?;
        self.poll()
    }

    /// See [`Device::completion_fd`].
    pub(crate) fn completion_fd(&mut self) -> io::Result<BorrowedFd<'_>> {
        self.parts.device.completion_fd()
    }

    /// Whether a write or a flush is on its way.
    pub(crate) fn is_busy(&self) -> bool {
        self.parts.device.in_flight() > 0
    }

    /// Takes in one completion; `false` if there was none.
    fn reap(&mut self, wait: Wait) -> Result<bool> {
        match self.parts.device.reap(wait) {
            Ok(Some(completion)) => {
                self.take_in(completion)?;
                self.start_flush_if_wanted();
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) => Err(self.fail("wait for", self.active_path(), error)),
        }
    }

    fn take_in(&mut self, completion: Completion) -> Result<()> {
        let Completion { token, operation, file, buffer, result } = completion;
        self.returned.extend(buffer);
        if let Err(error) = result {
            return Err(self.fail(operation, file.path(), error));
        }
        // Something failed earlier: what completes now is not acknowledged any more.
        self.check()?;
        if token == FLUSH_TOKEN {
            if let Some((cover, flush)) = self.flushing.take() {
                let telemetry = &self.parts.telemetry;
                telemetry.flush_completed(&flush, telemetry.now_ns());
                self.prefix.end_flush(cover);
            }
        } else if let Some(position) = self.in_flight.iter().position(|b| b.token == token)
            && let Some(batch) = self.in_flight.remove(position)
        {
            let telemetry = &self.parts.telemetry;
            telemetry.batch_completed(&batch.submitted, batch.outcome, telemetry.now_ns());
            self.prefix.complete(batch.ticket);
        }
        self.note_started_segment();
        Ok(())
    }

    /// Starts a flush if something that is to be durable is written and needs one. One at a time,
    /// and not while most of what it could cover is still on its way: several batches share it.
    /// Earlier ones that nobody waits for are no reason to flush before those that somebody does.
    fn start_flush_if_wanted(&mut self) {
        let wanted = self.durable_wanted.is_some_and(|batch| !self.prefix.is_durable(batch));
        let awaited = self.awaited_from.map_or(0, |first| self.prefix.written_from(first));
        let worth_it = self.in_flight.is_empty() || awaited >= self.in_flight.len();
        if !wanted || !worth_it || self.flushing.is_some() {
            return;
        }
        let Some(active) = &self.active else { return };
        let telemetry = &self.parts.telemetry;
        let flush = telemetry.flush_submitted(telemetry.now_ns());
        let cover = self.prefix.begin_flush();
        self.awaited_from = self.prefix.first_after(cover);
        self.flushing = Some((cover, flush));
        self.parts.device.submit_flush(Arc::clone(&active.file), FLUSH_TOKEN);
    }

    /// Notes in `wal.meta`, in the background, that the segment that was started exists, once its
    /// first batch is durable, so that its loss will be noticed. Not before: a crash until then
    /// removes the file rightly.
    fn note_started_segment(&mut self) {
        let Some((number, first_batch)) = self.started_segment else { return };
        if !self.prefix.is_durable(first_batch) {
            return;
        }
        let durable_lsn = self.durable_lsn();
        self.started_segment = None;
        self.parts.catalog.newest_is_durable();
        self.parts.preparer.save_meta(move |meta| meta.note_started_segment(number, durable_lsn));
    }

    fn active_path(&self) -> &Path {
        match &self.active {
            Some(active) => active.file.path(),
            None => self.parts.directory.path(),
        }
    }

    /// Number of the segment being written.
    pub(crate) fn active_number(&self) -> u64 {
        self.active.as_ref().map_or(0, |active| active.number)
    }

    /// Where in that segment the newest batch begins; `None` before the first.
    pub(crate) fn newest_batch_offset_bytes(&self) -> Option<NonZeroU64> {
        self.active.as_ref().and_then(|active| NonZeroU64::new(active.newest_batch_bytes))
    }

    fn fail(&self, operation: &'static str, path: &Path, error: io::Error) -> WalError {
        self.parts.poison.fail(operation, path, error, self.durable_lsn())
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
