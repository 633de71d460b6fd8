//! One batch in a block buffer, from the first record that gets a place in it until its header is
//! written.
//!
//! The buffer's first block is kept free for a segment header, so that a batch that starts a
//! segment goes to the device in one write together with it.

use std::{ops::Range, sync::Arc, time::Duration};

use super::Reservation;
use crate::{
    device::{BlockBuffer, SharedBuffer},
    format::{BATCH_HEADER_LEN, BatchHeader, MAX_BATCH_RECORDS, round_up_len},
    level::Reach,
    lsn::{Lsn, LsnRange},
    segment::{SegmentContext, Spare},
    sync::thread,
    telemetry::{SubmittedBatch, Telemetry},
};

/// Who writes a batch gives way this often for the records that are still being encoded, which
/// takes about a microsecond each, and then looks again after each [`ENCODING_PAUSE`].
const YIELDS_FOR_ENCODING: u32 = 200;
const ENCODING_PAUSE: Duration = Duration::from_micros(50);

/// A batch that still takes records.
#[derive(Debug)]
pub(super) struct OpenBatch {
    buffer: SharedBuffer,
    outline: Outline,
    /// Where the batch has to end.
    limit: usize,
}

/// A batch that takes no more records. Some of them may still be being encoded.
#[derive(Debug)]
pub(crate) struct SealedBatch {
    buffer: SharedBuffer,
    outline: Outline,
}

/// A batch that is complete but for its header, which states what is durable when it is written.
#[derive(Debug)]
pub(super) struct EncodedBatch {
    pub(super) buffer: BlockBuffer,
    pub(super) outline: Outline,
}

/// What is known of a batch without looking into its buffer.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) context: Arc<SegmentContext>,
    /// Set when the batch is the first of its segment.
    pub(super) starts: Option<Spare>,
    /// Where the batch header goes: one block into the buffer.
    header_at: usize,
    /// Where the frames end; while the batch is open, where the next one goes.
    end: usize,
    pub(super) first_lsn: Lsn,
    pub(super) records: u32,
    pub(super) payload_bytes: u64,
    /// How far it has to get before somebody is answered.
    pub(super) reach: Reach,
    /// When its first record got its place, on the log's clock.
    pub(super) first_reserved_ns: Option<u64>,
}

/// Length of a batch of these frames on disk.
pub(super) fn padded_batch_len(body_len: usize, block_bytes: u64) -> usize {
    round_up_len(BATCH_HEADER_LEN + body_len, block_len(block_bytes))
}

/// A block's size in memory; it is at most 64 KiB.
pub(super) fn block_len(block_bytes: u64) -> usize {
    usize::try_from(block_bytes).unwrap_or(usize::MAX)
}

impl OpenBatch {
    /// Starts a batch that may take `limit_bytes` on disk, padding included.
    pub(super) fn new(
        buffer: BlockBuffer,
        context: Arc<SegmentContext>,
        starts: Option<Spare>,
        first_lsn: Lsn,
        limit_bytes: usize,
    ) -> Self {
        let header_at = block_len(context.block_bytes);
        debug_assert!(header_at + limit_bytes <= buffer.len());
        let outline = Outline {
            header_at,
            end: header_at + BATCH_HEADER_LEN,
            context,
            starts,
            first_lsn,
            records: 0,
            payload_bytes: 0,
            reach: Reach::Buffered,
            first_reserved_ns: None,
        };
        Self { buffer: buffer.share(), outline, limit: header_at + limit_bytes }
    }

    /// Whether `records` more with frames of `frames_len` bytes still fit.
    pub(super) fn has_room(&self, frames_len: usize, records: usize) -> bool {
        self.outline.end + frames_len <= self.limit
            && self.outline.records as usize + records <= MAX_BATCH_RECORDS
    }

    pub(super) fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Gives a place to `records` with frames of `frames_len` bytes together, which fit and whose
    /// lengths have been checked. From here on nothing can fail, so that an LSN, once used as a
    /// nonce, is never used again.
    pub(super) fn reserve(
        &mut self,
        frames_len: usize,
        records: u32,
        payload_bytes: u64,
        reach: Reach,
        telemetry: &Telemetry,
    ) -> Reservation {
        let outline = &mut self.outline;
        outline.first_reserved_ns = outline.first_reserved_ns.or_else(|| Some(telemetry.now_ns()));
        let part = self.buffer.part(outline.end..outline.end + frames_len);
        let first = outline.end_lsn();
        outline.end += frames_len;
        outline.records += records;
        outline.payload_bytes += payload_bytes;
        outline.reach = outline.reach.max(reach);
        let lsns = LsnRange { first, last: outline.last_lsn() };
        Reservation::new(part, Arc::clone(&outline.context), lsns, telemetry)
    }

    /// Has the batch get at least so far.
    pub(super) fn raise(&mut self, reach: Reach) {
        self.outline.reach = self.outline.reach.max(reach);
    }

    /// Takes no more records.
    pub(super) fn seal(self) -> SealedBatch {
        SealedBatch { buffer: self.buffer, outline: self.outline }
    }
}

impl SealedBatch {
    /// Has the batch get at least so far.
    pub(super) fn raise(&mut self, reach: Reach) {
        self.outline.reach = self.outline.reach.max(reach);
    }

    /// Waits until the last of its records has been encoded, and pads the batch to its block.
    pub(super) fn into_encoded(self) -> EncodedBatch {
        let Self { buffer, outline } = self;
        let mut whole = buffer.into_whole();
        let mut looks = 0;
        let mut buffer = loop {
            match whole {
                Ok(buffer) => break buffer,
                Err(shared) if looks < YIELDS_FOR_ENCODING => {
                    thread::yield_now();
                    whole = shared.into_whole();
                }
                Err(shared) => {
                    thread::sleep(ENCODING_PAUSE);
                    whole = shared.into_whole();
                }
            }
            looks += 1;
        };
        buffer[outline.end..outline.header_at + outline.disk_len()].fill(0);
        EncodedBatch { buffer, outline }
    }
}

impl Outline {
    /// The LSN after its last record.
    fn end_lsn(&self) -> Lsn {
        Lsn::new(self.first_lsn.get() + u64::from(self.records))
    }

    /// LSN of the last record; for a marker, of the last record before it.
    pub(super) fn last_lsn(&self) -> Lsn {
        self.end_lsn().previous()
    }

    /// Length on disk, padding included, segment header not.
    pub(super) fn disk_len(&self) -> usize {
        padded_batch_len(self.end - self.header_at - BATCH_HEADER_LEN, self.context.block_bytes)
    }

    /// What is counted of it when its write has completed.
    pub(super) fn as_submitted(&self, write_len: usize, submitted_ns: u64) -> SubmittedBatch {
        let padding_len = self.disk_len() - (self.end - self.header_at);
        SubmittedBatch {
            records: self.records,
            payload_bytes: self.payload_bytes,
            device_bytes: write_len as u64,
            padding_bytes: padding_len as u64,
            first_reserved_ns: self.first_reserved_ns,
            submitted_ns,
        }
    }
}

impl EncodedBatch {
    /// Writes the batch's header and returns its checksum.
    pub(super) fn encode_header(&mut self, durable_lsn: Lsn, clean_close: bool) -> u32 {
        let Outline { header_at, end, records, first_lsn, .. } = self.outline;
        let header = BatchHeader {
            body_bytes: u32::try_from(end - header_at - BATCH_HEADER_LEN).unwrap_or(u32::MAX),
            record_count: records,
            first_lsn,
            durable_lsn,
            clean_close,
            checksum: 0,
        };
        header.encode(self.outline.context.seed, &mut self.buffer[header_at..])
    }

    /// The block before the batch, for the header of the segment it starts.
    pub(super) fn segment_header_block(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.outline.header_at]
    }

    /// The part of the buffer to write: the batch, and the segment header if it starts one.
    pub(super) fn disk_range(&self, with_segment_header: bool) -> Range<usize> {
        let start = if with_segment_header { 0 } else { self.outline.header_at };
        start..self.outline.header_at + self.outline.disk_len()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Instant};

    use super::*;
    use crate::{
        device::LogDirectory,
        format::frame_len,
        record::{Record, RecordHeader, RecordKind},
    };

    const BLOCK_BYTES: u64 = 4096;

    /// Where no log is: only the salt's random bytes come from there.
    fn anywhere() -> LogDirectory {
        LogDirectory::nowhere()
    }

    /// An empty batch with room for `blocks`, in a buffer that was used before.
    fn open_batch(blocks: usize) -> OpenBatch {
        let context =
            SegmentContext::create(&anywhere(), [1; 16], 1, Lsn::FIRST, BLOCK_BYTES, None);
        let context = Arc::new(context.expect("random numbers"));
        let limit_bytes = blocks * block_len(BLOCK_BYTES);
        let mut buffer =
            BlockBuffer::allocate(limit_bytes + block_len(BLOCK_BYTES)).expect("memory");
        buffer.fill(0xee);
        OpenBatch::new(buffer, context, None, Lsn::new(5), limit_bytes)
    }

    fn reserve(batch: &mut OpenBatch, payload_len: usize, reach: Reach) -> Reservation {
        let frames_len = frame_len(payload_len, false);
        batch.reserve(frames_len, 1, payload_len as u64, reach, &Telemetry::new())
    }

    #[test]
    fn a_batch_is_not_complete_before_the_last_reservation_is_dropped() {
        let mut batch = open_batch(1);
        let first = reserve(&mut batch, 100, Reach::Durable);
        let second = reserve(&mut batch, 200, Reach::Durable);
        assert_eq!((first.lsns().last, second.lsns().first), (Lsn::new(5), Lsn::new(6)));
        let sealed = batch.seal();
        let (finished, outcome) = mpsc::channel();
        let writer = thread::spawn(move || {
            let encoded = sealed.into_encoded();
            finished.send(Instant::now()).expect("the test waits");
            encoded
        });
        // In another order than they were given out.
        second.fill(&[Record::new(RecordKind::PUT, vec![2; 200])]);
        let waited = outcome.recv_timeout(20 * ENCODING_PAUSE);
        assert!(waited.is_err(), "the first one is still being encoded");
        let encoding = Instant::now();
        first.fill(&[Record::new(RecordKind::PUT, vec![1; 100])]);
        assert!(outcome.recv().expect("it is complete now") > encoding);

        let encoded = writer.join().expect("no panic");
        let frames = &encoded.buffer[encoded.disk_range(false)][BATCH_HEADER_LEN..];
        let (a, rest) = frames.split_at(frame_len(100, false));
        let (b, padding) = rest.split_at(frame_len(200, false));
        assert!(a.windows(100).any(|window| window == [1; 100]));
        assert!(b.windows(200).any(|window| window == [2; 200]));
        assert!(padding.iter().all(|&byte| byte == 0), "nothing of the buffer's earlier use");
    }

    #[test]
    fn a_batch_gets_as_far_as_its_most_demanding_record() {
        let mut batch = open_batch(1);
        assert_eq!(batch.outline().reach, Reach::Buffered);
        for (asked, expected) in [
            (Reach::Buffered, Reach::Buffered),
            (Reach::Durable, Reach::Durable),
            (Reach::Written, Reach::Durable),
        ] {
            drop(reserve(&mut batch, 10, asked));
            assert_eq!(batch.outline().reach, expected);
        }
        let mut batch = open_batch(1);
        batch.raise(Reach::Written);
        let mut sealed = batch.seal();
        sealed.raise(Reach::Buffered);
        assert_eq!(sealed.outline.reach, Reach::Written, "never less far");
    }

    #[test]
    fn a_batch_is_full_at_its_limit() {
        let mut batch = open_batch(2);
        let left = 2 * block_len(BLOCK_BYTES) - BATCH_HEADER_LEN;
        assert!(batch.has_room(left, 1) && !batch.has_room(left + 1, 1));
        drop(reserve(&mut batch, 10, Reach::Durable));
        assert!(!batch.has_room(left, 1));
        assert!(batch.has_room(0, MAX_BATCH_RECORDS - 1) && !batch.has_room(0, MAX_BATCH_RECORDS));
        assert_eq!(batch.outline().disk_len(), block_len(BLOCK_BYTES));
        let lsns = reserve(&mut batch, 4096, Reach::Durable).fill_with(
            RecordHeader::new(RecordKind::PUT),
            4096,
            |_| {},
        );
        assert_eq!((lsns, batch.outline().last_lsn()), (Lsn::new(6), Lsn::new(6)));
        assert_eq!(batch.outline().disk_len(), 2 * block_len(BLOCK_BYTES));
        assert!(batch.outline().first_reserved_ns.is_some());
    }
}
