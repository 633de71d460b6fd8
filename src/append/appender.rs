//! The filling half: LSNs, buffers, and where in which segment a record goes. No I/O but taking
//! over a prepared file, and no encoding: that is done by whoever holds a reservation.

use std::{collections::VecDeque, io, sync::Arc};

use super::{
    Reservation,
    batch::{OpenBatch, SealedBatch, block_len, padded_batch_len},
};
use crate::{
    crypto::{KeyRing, MAX_RECORDS_PER_KEY},
    device::{BlockBuffer, BufferPool},
    error::{Result, WalError},
    format::{BATCH_HEADER_LEN, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, frame_len, round_up_len},
    level::Reach,
    lsn::Lsn,
    record::MAX_PAYLOAD_BYTES,
    segment::{Preparer, SegmentContext, Spare},
    telemetry::Telemetry,
};

/// Whether there is a batch to append to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Yes.
    Ready,
    /// Every buffer is on its way to the device; one has to come back first.
    NoBuffer,
}

/// What records take together.
struct Size {
    frames_len: usize,
    records: u32,
    payload_bytes: u64,
}

/// Gives out places in batches and queues full ones.
#[derive(Debug)]
pub(crate) struct Appender {
    pool: BufferPool,
    open: Option<OpenBatch>,
    sealed: VecDeque<SealedBatch>,
    next_lsn: Lsn,
    place: Place,
    keys: Option<KeyRing>,
    preparer: Arc<Preparer>,
    telemetry: Telemetry,
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
        telemetry: Telemetry,
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
            telemetry,
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

    /// Gives records with payloads of these lengths their LSNs and a place in one batch, sealing
    /// the open batch and moving on to a new segment as needed. `None` when every buffer is on its
    /// way to the device; one has to come back first.
    ///
    /// # Errors
    ///
    /// A record or batch over the limits, [`WalError::LsnExhausted`], or
    /// [`WalError::NoSpace`]. No LSN has been given out then, and nothing has changed but that the
    /// open batch may be sealed.
    pub(crate) fn reserve(
        &mut self,
        payload_lens: impl ExactSizeIterator<Item = usize>,
        reach: Reach,
    ) -> Result<Option<Reservation>> {
        let size = self.size_of(payload_lens)?;
        let records = size.records as usize;
        let has_room = |open: &mut OpenBatch| open.has_room(size.frames_len, records);
        if !self.open.as_mut().is_some_and(has_room) {
            self.seal();
            if self.open_batch(size.frames_len)? == Room::NoBuffer {
                return Ok(None);
            }
        }
        Ok(self.open.as_mut().map(|open| {
            let Size { frames_len, records, payload_bytes } = size;
            let reserved = open.reserve(frames_len, records, payload_bytes, reach, &self.telemetry);
            self.next_lsn = reserved.lsns().last.next();
            reserved
        }))
    }

    fn size_of(&self, payload_lens: impl ExactSizeIterator<Item = usize>) -> Result<Size> {
        let encrypted = self.keys.is_some();
        let records = payload_lens.len();
        let (mut frames_len, mut payload_bytes) = (0_usize, 0);
        for len_bytes in payload_lens {
            if len_bytes > MAX_PAYLOAD_BYTES {
                return Err(WalError::RecordTooLarge { len_bytes, max_bytes: MAX_PAYLOAD_BYTES });
            }
            frames_len = frames_len.saturating_add(frame_len(len_bytes, encrypted));
            payload_bytes += len_bytes as u64;
        }
        let too_large = || WalError::BatchTooLarge {
            records,
            len_bytes: frames_len,
            max_records: MAX_BATCH_RECORDS,
            max_bytes: MAX_BATCH_BYTES - BATCH_HEADER_LEN,
        };
        if frames_len > MAX_BATCH_BYTES - BATCH_HEADER_LEN || records > MAX_BATCH_RECORDS {
            return Err(too_large());
        }
        let records = u32::try_from(records).map_err(|_| too_large())?;
        let last = self.next_lsn.checked_add(u64::from(records));
        if last.is_none_or(Lsn::is_exhausted) {
            return Err(WalError::LsnExhausted);
        }
        Ok(Size { frames_len, records, payload_bytes })
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
            let disk_len = open.outline().disk_len() as u64;
            self.place.remaining_bytes = self.place.remaining_bytes.saturating_sub(disk_len);
            self.sealed.push_back(open.seal());
        }
    }

    /// How far a record in the open batch has to get at most, if it holds any.
    pub(crate) fn open_reach(&self) -> Option<Reach> {
        let outline = self.open.as_ref()?.outline();
        (outline.records > 0).then_some(outline.reach)
    }

    /// When the first record of the open batch got its place, on the log's clock.
    pub(crate) fn open_since_ns(&self) -> Option<u64> {
        self.open.as_ref()?.outline().first_reserved_ns
    }

    /// Has the batches that wait to be written get at least so far.
    pub(crate) fn raise_sealed(&mut self, reach: Reach) {
        self.sealed.iter_mut().for_each(|batch| batch.raise(reach));
    }

    /// Has everything that was appended and not written get at least so far.
    pub(crate) fn raise(&mut self, reach: Reach) {
        self.raise_sealed(reach);
        if let Some(open) = &mut self.open {
            open.raise(reach);
        }
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

#[cfg(all(test, feature = "simulated"))]
mod tests {
    use super::*;
    use crate::{
        config::Preparation,
        device::{
            LogDirectory,
            simulated::{DiskOptions, SimulatedDirectory, SimulatedDisk},
        },
        poison::Poison,
        segment::{MetaStore, PreparerOptions},
    };

    const BLOCK_BYTES: u64 = 512;

    /// An appender at the start of an encrypted segment that grows without bound.
    fn appender() -> Appender {
        let disk = SimulatedDisk::new(DiskOptions::default());
        let directory =
            LogDirectory::simulated(SimulatedDirectory::open_or_create(&disk), "simulated".into());
        let keys = KeyRing::new(1, [1; 32]).expect("memory");
        let meta = Arc::new(MetaStore::create(directory.clone(), Lsn::FIRST).expect("create"));
        let options =
            PreparerOptions { preparation: Preparation::None, segment_bytes: 1 << 40, ahead: 1 };
        let telemetry = Telemetry::new();
        let preparer =
            Preparer::start(directory.clone(), options, meta, Poison::default(), telemetry.clone());
        let preparer = Arc::new(preparer.expect("starts"));
        let context =
            SegmentContext::create(&directory, [1; 16], 1, Lsn::FIRST, BLOCK_BYTES, Some(&keys));
        let file = preparer.take(1 << 40).expect("a file");
        let pool = BufferPool::new(2, 4096).expect("memory");
        let context = context.expect("random numbers");
        Appender::new(pool, context, file, Some(keys), preparer, telemetry, 1 << 40)
    }

    /// The salt under which a record at this LSN is sealed, the first of a batch.
    fn salt_at(lsn: u64) -> [u8; 32] {
        let mut appender = appender();
        let start = appender.place.context.identity.salt;
        // As if every LSN before it had been given out: writing 2^32 records takes a day.
        appender.next_lsn = Lsn::new(lsn);
        let reserved = appender.reserve([10].into_iter(), Reach::Durable).expect("fits");
        assert_eq!(reserved.expect("a buffer is free").lsns().first, Lsn::new(lsn));
        let salt = appender.place.context.identity.salt;
        assert_eq!(appender.place.context.identity.first_lsn.get() == lsn, salt != start);
        if salt == start { [0; 32] } else { salt }
    }

    #[test]
    fn no_key_seals_more_records_than_its_limit() {
        // A batch may hold `MAX_BATCH_RECORDS`: the last one that is begun has room for all of them.
        let last_start = Lsn::FIRST.get() + MAX_RECORDS_PER_KEY - MAX_BATCH_RECORDS as u64;
        assert_eq!(salt_at(2), [0; 32]);
        assert_eq!(salt_at(last_start), [0; 32], "still under the first key");
        assert_ne!(salt_at(last_start + 1), [0; 32], "a segment and a key of its own");
    }
}
