//! The draining half: writes sealed batches in order, starts segments, and knows what is durable.

use std::{
    collections::VecDeque,
    io,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{SealedBatch, WalStats};
use crate::{
    device::{
        BlockBuffer, Completion, Device, Durability, LogDirectory, SegmentFile, Wait, WriteRequest,
        WriteSync,
    },
    durable::{BatchTicket, DurablePrefix},
    error::{Result, WalError},
    format::{Predecessor, SegmentHeader},
    lsn::Lsn,
    poison::Poison,
    segment::{Preparer, SegmentCatalog, Spare, segment_name},
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
    /// Whether something was written since the last flush and is not durable by itself.
    unflushed: bool,
    /// A segment whose first batch is written, to be noted in `wal.meta` once that is durable.
    started_segment: Option<u64>,
    stats: WalStats,
}

struct ActiveSegment {
    file: Arc<SegmentFile>,
    number: u64,
    /// Where the next batch goes.
    offset_bytes: u64,
}

struct InFlightBatch {
    token: u64,
    ticket: BatchTicket,
    /// The number of the segment it started.
    started_segment: Option<u64>,
}

impl BatchWriter {
    pub(crate) fn new(parts: WriterParts) -> Self {
        Self {
            prefix: DurablePrefix::new(parts.predecessor.end_lsn),
            last_checksum: parts.predecessor.checksum,
            predecessor: parts.predecessor,
            empty_segment: parts.empty_segment,
            unflushed: false,
            started_segment: None,
            parts,
            active: None,
            in_flight: VecDeque::new(),
            next_token: 0,
            returned: Vec::new(),
            stats: WalStats::default(),
        }
    }

    /// Every record up to here survives power loss.
    pub(crate) fn durable_lsn(&self) -> Lsn {
        self.prefix.durable_lsn()
    }

    pub(crate) fn stats(&self) -> WalStats {
        self.stats
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

    /// Starts writing a batch, first starting its segment if it begins one.
    ///
    /// # Errors
    ///
    /// [`WalError::Poisoned`], now and for ever after.
    pub(crate) fn submit(&mut self, mut batch: SealedBatch, clean_close: bool) -> Result<()> {
        self.check()?;
        let started = match batch.starts.take() {
            Some(spare) => Some(self.start_segment(spare, &mut batch)?),
            None => None,
        };
        // Stated in the batch: damage to anything up to here will be noticed.
        self.last_checksum = batch.encode_header(self.durable_lsn(), clean_close);
        let Some(active) = &mut self.active else { return Err(WalError::Closed) };
        let offset_bytes = active.offset_bytes;
        let range = batch.disk_range(offset_bytes == 0);
        active.offset_bytes += range.len() as u64;
        let file = Arc::clone(&active.file);
        self.count(&batch, range.len());

        let token = self.next_token;
        self.next_token += 1;
        let ticket = self.prefix.submit(batch.last_lsn());
        self.in_flight.push_back(InFlightBatch { token, ticket, started_segment: started });
        self.parts.device.submit_write(WriteRequest {
            token,
            file,
            buffer: batch.buffer,
            range,
            offset_bytes,
            sync: match self.parts.durability {
                Durability::Dsync => WriteSync::Durable,
                Durability::Fdatasync => WriteSync::Volatile,
            },
        });
        self.reap_ready()
    }

    fn count(&mut self, batch: &SealedBatch, disk_len: usize) {
        let stats = &mut self.stats;
        stats.batches += 1;
        stats.markers += u64::from(batch.records == 0);
        stats.records += u64::from(batch.records);
        stats.payload_bytes += batch.payload_bytes;
        stats.device_bytes += disk_len as u64;
        stats.padding_bytes += batch.padding_len() as u64;
        if batch.records > 0 {
            self.empty_segment = None;
        }
    }

    /// Gives a prepared file its name and its header, once every batch before it is durable. The
    /// header goes to the device with the segment's first batch.
    ///
    /// A segment that holds no record yet is replaced by one of the same name and number. Then the
    /// new header is durable before the name changes hands: whenever power fails, the name stands
    /// for a segment that can be read, as `wal.meta` may have promised.
    fn start_segment(&mut self, spare: Spare, batch: &mut SealedBatch) -> Result<u64> {
        self.sync()?;
        let Spare { file, fixed_bytes } = spare;
        let number = batch.context.identity.segment_number;
        let replaces = self.empty_segment == Some(number);
        if !replaces {
            self.predecessor = Predecessor {
                number: number - 1,
                end_lsn: batch.first_lsn.previous(),
                checksum: self.last_checksum,
            };
        }
        let header = self.segment_header(batch, fixed_bytes.unwrap_or(0));
        header.encode(batch.segment_header_block());
        let mut offset_bytes = 0;
        if replaces {
            let block = batch.segment_header_block();
            file.write_at(block, 0, WriteSync::Durable)
                .map_err(|error| self.fail("write", file.path(), error))?;
            offset_bytes = block.len() as u64;
        }

        let path = self.parts.directory.join(&segment_name(batch.first_lsn));
        let directory = &self.parts.directory;
        directory.rename(file.path(), &path).map_err(|error| self.fail("rename", &path, error))?;
        directory.sync().map_err(|error| self.fail("sync directory", directory.path(), error))?;
        self.parts.catalog.start(path.clone(), batch.first_lsn);
        self.active =
            Some(ActiveSegment { file: Arc::new(file.renamed(path)), number, offset_bytes });
        self.empty_segment = Some(number);
        self.stats.segments_started += 1;
        Ok(number)
    }

    fn segment_header(&self, batch: &SealedBatch, capacity_bytes: u64) -> SegmentHeader {
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
            self.reap(Wait::One)?;
        }
        Ok(())
    }

    /// Makes everything submitted durable and returns the durable LSN.
    pub(crate) fn sync(&mut self) -> Result<Lsn> {
        self.check()?;
        self.drain_to(0)?;
        if self.unflushed {
            self.flush()?;
        }
        Ok(self.durable_lsn())
    }

    /// One flush of everything that has completed.
    fn flush(&mut self) -> Result<()> {
        let Some(active) = &self.active else { return Ok(()) };
        let covered_lsn = self.prefix.written_lsn();
        let file = Arc::clone(&active.file);
        self.parts.device.submit_flush(file, FLUSH_TOKEN);
        self.stats.flushes += 1;
        while !self.reap(Wait::One)? {}
        self.unflushed = false;
        self.advance_durable(covered_lsn);
        Ok(())
    }

    /// Everything written up to `lsn` is durable. Notes in `wal.meta`, in the background, that the
    /// segment it started exists, so that its loss will be noticed. Not before: a crash until then
    /// removes the file rightly.
    fn advance_durable(&mut self, lsn: Lsn) {
        self.prefix.advance_durable(lsn);
        if let Some(number) = self.started_segment.take() {
            self.parts.catalog.newest_is_durable();
            let durable_lsn = self.durable_lsn();
            self.parts.preparer.save_meta(move |meta| {
                meta.newest_segment_number = meta.newest_segment_number.max(number);
                meta.durable_lsn = meta.durable_lsn.max(durable_lsn);
            });
        }
    }

    /// Takes in what has completed without waiting.
    pub(crate) fn reap_ready(&mut self) -> Result<()> {
        loop {
            let before = self.parts.device.in_flight();
            self.reap(Wait::Poll)?;
            if self.parts.device.in_flight() == before || self.parts.device.in_flight() == 0 {
                return Ok(());
            }
        }
    }

    /// Takes in one completion. `true` if it was a flush.
    fn reap(&mut self, wait: Wait) -> Result<bool> {
        match self.parts.device.reap(wait) {
            Ok(Some(completion)) => self.take_in(completion),
            Ok(None) => Ok(false),
            Err(error) => Err(self.fail("wait for", self.active_path(), error)),
        }
    }

    fn take_in(&mut self, completion: Completion) -> Result<bool> {
        let Completion { token, operation, file, buffer, result } = completion;
        self.returned.extend(buffer);
        if let Err(error) = result {
            return Err(self.fail(operation, file.path(), error));
        }
        // Something failed earlier: what completes now is not acknowledged any more.
        self.check()?;
        if token == FLUSH_TOKEN {
            return Ok(true);
        }
        let position = self.in_flight.iter().position(|batch| batch.token == token);
        if let Some(batch) = position.and_then(|position| self.in_flight.remove(position)) {
            self.prefix.complete(batch.ticket);
            self.started_segment = batch.started_segment.or(self.started_segment);
            match self.parts.durability {
                Durability::Dsync => self.advance_durable(self.prefix.written_lsn()),
                Durability::Fdatasync => self.unflushed = true,
            }
        }
        Ok(false)
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

    fn fail(&self, operation: &'static str, path: &Path, error: io::Error) -> WalError {
        self.parts.poison.fail(operation, path, error, self.durable_lsn())
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
