//! The filling half: LSNs, buffers, and where in which segment a record goes. No I/O but taking
//! over a prepared file.

use std::{collections::VecDeque, io, sync::Arc};

use super::batch::{OpenBatch, SealedBatch, block_len, padded_batch_len};
use crate::{
    crypto::{KeyRing, MAX_RECORDS_PER_KEY},
    device::{BlockBuffer, BufferPool},
    error::{Result, WalError},
    format::{BATCH_HEADER_LEN, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, frame_len, round_up_len},
    lsn::{Lsn, LsnRange},
    record::{MAX_PAYLOAD_BYTES, Record, RecordHeader},
    segment::{Preparer, SegmentContext, Spare},
};

/// Whether records can be appended right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Yes.
    Ready,
    /// Every buffer is on its way to the device; one has to come back first.
    NoBuffer,
}

/// Encodes records into batches and queues full ones.
#[derive(Debug)]
pub(crate) struct Appender {
    pool: BufferPool,
    open: Option<OpenBatch>,
    sealed: VecDeque<SealedBatch>,
    next_lsn: Lsn,
    place: Place,
    keys: Option<KeyRing>,
    preparer: Arc<Preparer>,
}

/// Where the next batch goes.
#[derive(Debug)]
struct Place {
    context: Arc<SegmentContext>,
    /// Free for batches in the current segment; `None` when the file grows.
    remaining_bytes: u64,
    /// The file, until the segment's first batch takes it along.
    unstarted: Option<Spare>,
    target_bytes: u64,
}

impl Appender {
    /// An appender whose first batch starts the segment of `context` in `file`.
    pub(crate) fn new(
        pool: BufferPool,
        context: SegmentContext,
        file: Spare,
        keys: Option<KeyRing>,
        preparer: Arc<Preparer>,
        target_bytes: u64,
    ) -> Self {
        let block_bytes = context.block_bytes;
        Self {
            pool,
            open: None,
            sealed: VecDeque::new(),
            next_lsn: context.identity.first_lsn,
            place: Place {
                remaining_bytes: file.fixed_bytes.unwrap_or(target_bytes) - block_bytes,
                context: Arc::new(context),
                unstarted: Some(file),
                target_bytes,
            },
            keys,
            preparer,
        }
    }

    /// The LSN the next record will get.
    pub(crate) fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// Buffer for the engine to register.
    pub(crate) fn pool(&self) -> &BufferPool {
        &self.pool
    }

    /// Seals every later segment with the current key of `keys`. The current segment is left now:
    /// no record that comes after this is in it.
    pub(crate) fn rotate_keys(&mut self, keys: KeyRing) {
        self.seal();
        self.keys = Some(keys);
        self.place.remaining_bytes = 0;
    }

    /// Makes room for records with payloads of these lengths in one batch, sealing the open batch
    /// and moving on to a new segment as needed.
    ///
    /// # Errors
    ///
    /// A record or batch over the limits, [`WalError::LsnExhausted`], or
    /// [`WalError::NoSpace`]. No LSN has been given out then, and nothing has changed but that the
    /// open batch may be sealed.
    pub(crate) fn make_room(
        &mut self,
        payload_lens: impl ExactSizeIterator<Item = usize>,
    ) -> Result<Room> {
        let records = payload_lens.len();
        let frames_len = self.frames_len(payload_lens)?;
        if let Some(open) = &self.open {
            if open.has_room(frames_len, records) {
                return Ok(Room::Ready);
            }
            self.seal();
        }
        self.open_batch(frames_len)
    }

    fn frames_len(&self, payload_lens: impl ExactSizeIterator<Item = usize>) -> Result<usize> {
        let encrypted = self.keys.is_some();
        let records = payload_lens.len();
        let mut frames_len = 0_usize;
        for len_bytes in payload_lens {
            if len_bytes > MAX_PAYLOAD_BYTES {
                return Err(WalError::RecordTooLarge { len_bytes, max_bytes: MAX_PAYLOAD_BYTES });
            }
            frames_len = frames_len.saturating_add(frame_len(len_bytes, encrypted));
        }
        if frames_len > MAX_BATCH_BYTES - BATCH_HEADER_LEN || records > MAX_BATCH_RECORDS {
            return Err(WalError::BatchTooLarge {
                records,
                len_bytes: frames_len,
                max_records: MAX_BATCH_RECORDS,
                max_bytes: MAX_BATCH_BYTES - BATCH_HEADER_LEN,
            });
        }
        let last = self.next_lsn.checked_add(records as u64);
        if last.is_none_or(Lsn::is_exhausted) {
            return Err(WalError::LsnExhausted);
        }
        Ok(frames_len)
    }

    /// Opens a batch with room for at least `frames_len` bytes of frames.
    fn open_batch(&mut self, frames_len: usize) -> Result<Room> {
        let block_bytes = self.place.context.block_bytes;
        let needed = padded_batch_len(frames_len, block_bytes);
        self.find_place(needed as u64)?;
        let Some(buffer) = self.take_buffer(block_len(block_bytes) + needed)? else {
            return Ok(Room::NoBuffer);
        };
        let in_buffer = buffer.len() - block_len(block_bytes);
        let in_segment = usize::try_from(self.place.remaining_bytes).unwrap_or(usize::MAX);
        let limit = in_buffer.min(in_segment).min(max_batch_disk_len(block_bytes));
        let limit = limit - limit % block_len(block_bytes);
        self.open = Some(OpenBatch::new(
            buffer,
            Arc::clone(&self.place.context),
            self.place.unstarted.take(),
            self.next_lsn,
            limit,
        ));
        Ok(Room::Ready)
    }

    /// Moves on to a new segment unless the current one has room for `needed_bytes`.
    fn find_place(&mut self, needed_bytes: u64) -> Result<()> {
        let current = &self.place.context;
        let records = self.next_lsn.get() - current.identity.first_lsn.get();
        let key_spent = records + MAX_BATCH_RECORDS as u64 > MAX_RECORDS_PER_KEY;
        if needed_bytes <= self.place.remaining_bytes && !key_spent {
            return Ok(());
        }
        let block_bytes = current.block_bytes;
        // A segment without a record is left only for its size or its key, and the next one takes
        // its number and its name.
        let segment_number = current.identity.segment_number + u64::from(records > 0);
        let context = SegmentContext::create(
            self.preparer.directory(),
            current.identity.log_id,
            segment_number,
            self.next_lsn,
            block_bytes,
            self.keys.as_ref(),
        )?;
        let file = self.preparer.take(block_bytes + needed_bytes)?;
        if let Some(unused) = self.place.unstarted.take() {
            self.preparer.retire(vec![unused.file.path().to_owned()]);
        }
        let capacity = file.fixed_bytes.unwrap_or(self.place.target_bytes);
        self.place.remaining_bytes = capacity.max(block_bytes + needed_bytes) - block_bytes;
        self.place.context = Arc::new(context);
        self.place.unstarted = Some(file);
        Ok(())
    }

    /// A pooled buffer, or one of its own for a batch larger than those.
    fn take_buffer(&mut self, needed_len: usize) -> Result<Option<BlockBuffer>> {
        if needed_len <= self.pool.buffer_len() {
            return Ok(self.pool.take());
        }
        BlockBuffer::allocate(needed_len).map(Some).map_err(|error: io::Error| {
            WalError::io("map memory for a batch of", self.place.context_name())(error)
        })
    }

    /// Encodes a record for which room was made and returns its LSN. `fill` writes the payload.
    pub(crate) fn push_with(
        &mut self,
        record: RecordHeader,
        payload_len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Lsn {
        let lsn = self.next_lsn;
        debug_assert!(self.open.is_some(), "make_room comes first");
        if let Some(open) = &mut self.open {
            open.push(record, payload_len, lsn, fill);
            self.next_lsn = lsn.next();
        }
        lsn
    }

    /// Encodes records for which room was made together, so that they share a batch.
    pub(crate) fn push_all(&mut self, records: &[Record<'_>]) -> LsnRange {
        let first = self.next_lsn;
        for record in records {
            let copy = |place: &mut [u8]| place.copy_from_slice(&record.payload);
            self.push_with(record.header(), record.payload.len(), copy);
        }
        LsnRange { first, last: self.next_lsn.previous() }
    }

    /// Opens a batch without records: a marker, which states what is durable.
    pub(crate) fn open_marker(&mut self) -> Result<Room> {
        if self.open.is_some() {
            return Ok(Room::Ready);
        }
        self.open_batch(0)
    }

    /// Closes the open batch and queues it for writing. An open batch without records is a marker.
    pub(crate) fn seal(&mut self) {
        if let Some(open) = self.open.take() {
            let sealed = open.seal();
            let disk_len = sealed.disk_len() as u64;
            self.place.remaining_bytes = self.place.remaining_bytes.saturating_sub(disk_len);
            self.sealed.push_back(sealed);
        }
    }

    /// Whether the open batch holds records.
    pub(crate) fn has_open_records(&self) -> bool {
        self.open.as_ref().is_some_and(|open| !open.is_empty())
    }

    /// The oldest batch that waits to be written.
    pub(crate) fn pop_sealed(&mut self) -> Option<SealedBatch> {
        self.sealed.pop_front()
    }

    /// Whether a batch waits to be written.
    pub(crate) fn has_sealed(&self) -> bool {
        !self.sealed.is_empty()
    }

    /// Takes a buffer back that has been written.
    pub(crate) fn put_back(&mut self, buffer: BlockBuffer) {
        self.pool.put_back(buffer);
    }
}

impl Place {
    fn context_name(&self) -> String {
        crate::segment::segment_name(self.context.identity.first_lsn)
    }
}

/// Longest batch on disk that a reader accepts, in whole blocks.
fn max_batch_disk_len(block_bytes: u64) -> usize {
    round_up_len(MAX_BATCH_BYTES + 1, block_len(block_bytes)) - block_len(block_bytes)
}
