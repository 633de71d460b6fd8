//! Building one batch in a block buffer.
//!
//! The buffer's first block is kept free for a segment header, so that a batch that starts a
//! segment goes to the device in one write together with it.

use std::{ops::Range, sync::Arc};

use crate::{
    device::BlockBuffer,
    format::{
        BATCH_HEADER_LEN, BatchHeader, FRAME_HEADER_LEN, FrameHeader, MAX_BATCH_RECORDS, TAG_LEN,
        associated_data, frame_len, round_up_len, seal_frame,
    },
    lsn::Lsn,
    record::RecordHeader,
    segment::{SegmentContext, Spare},
};

/// A batch that still takes records.
#[derive(Debug)]
pub(super) struct OpenBatch {
    buffer: BlockBuffer,
    context: Arc<SegmentContext>,
    /// Set when the batch is the first of its segment.
    starts: Option<Spare>,
    /// Where the header goes: one block into the buffer.
    header_at: usize,
    /// Where the next frame goes.
    cursor: usize,
    /// Where the batch has to end.
    limit: usize,
    first_lsn: Lsn,
    records: u32,
    payload_bytes: u64,
}

/// A batch that is complete but for its header, which states what is durable when it is written.
#[derive(Debug)]
pub(crate) struct SealedBatch {
    pub(super) buffer: BlockBuffer,
    pub(super) context: Arc<SegmentContext>,
    pub(super) starts: Option<Spare>,
    header_at: usize,
    end: usize,
    pub(super) first_lsn: Lsn,
    pub(super) records: u32,
    pub(super) payload_bytes: u64,
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
        Self {
            header_at,
            cursor: header_at + BATCH_HEADER_LEN,
            limit: header_at + limit_bytes,
            buffer,
            context,
            starts,
            first_lsn,
            records: 0,
            payload_bytes: 0,
        }
    }

    /// Whether `records` more with frames of `frames_len` bytes still fit.
    pub(super) fn has_room(&self, frames_len: usize, records: usize) -> bool {
        self.cursor + frames_len <= self.limit
            && self.records as usize + records <= MAX_BATCH_RECORDS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Encodes a record, which fits and whose length has been checked. `fill` writes its payload
    /// where it is to lie; should it panic, nothing has been appended. After it nothing can fail,
    /// so that an LSN, once used as a nonce, is never used again.
    pub(super) fn push(
        &mut self,
        record: RecordHeader,
        payload_len: usize,
        lsn: Lsn,
        fill: impl FnOnce(&mut [u8]),
    ) {
        let encrypted = self.context.is_encrypted();
        let len = frame_len(payload_len, encrypted);
        let frame = &mut self.buffer[self.cursor..self.cursor + len];
        let header = FrameHeader {
            payload_bytes: u32::try_from(payload_len).unwrap_or(u32::MAX),
            lsn,
            kind: record.kind,
            vshard: record.vshard,
            tenant: record.tenant,
            database: record.database,
        };
        header.encode(frame);
        let mut end = FRAME_HEADER_LEN + payload_len;
        fill(&mut frame[FRAME_HEADER_LEN..end]);
        if let Some(cipher) = &self.context.cipher {
            let associated = associated_data(frame, &self.context.identity);
            let tag = cipher.seal(lsn, &associated, &mut frame[FRAME_HEADER_LEN..end]);
            frame[end..end + TAG_LEN].copy_from_slice(&tag);
            end += TAG_LEN;
        }
        frame[end..].fill(0);
        seal_frame(self.context.seed, frame);
        self.cursor += len;
        self.records += 1;
        self.payload_bytes += payload_len as u64;
    }

    /// Pads the batch to its block.
    pub(super) fn seal(mut self) -> SealedBatch {
        let padded = padded_batch_len(
            self.cursor - self.header_at - BATCH_HEADER_LEN,
            self.context.block_bytes,
        );
        self.buffer[self.cursor..self.header_at + padded].fill(0);
        SealedBatch {
            buffer: self.buffer,
            context: self.context,
            starts: self.starts,
            header_at: self.header_at,
            end: self.cursor,
            first_lsn: self.first_lsn,
            records: self.records,
            payload_bytes: self.payload_bytes,
        }
    }
}

impl SealedBatch {
    /// LSN of the last record; for a marker, of the last record before it.
    pub(crate) fn last_lsn(&self) -> Lsn {
        Lsn::new(self.first_lsn.get() + u64::from(self.records)).previous()
    }

    /// Length on disk, padding included, segment header not.
    pub(super) fn disk_len(&self) -> usize {
        padded_batch_len(self.end - self.header_at - BATCH_HEADER_LEN, self.context.block_bytes)
    }

    /// Bytes of padding on disk.
    pub(super) fn padding_len(&self) -> usize {
        self.disk_len() - (self.end - self.header_at)
    }

    /// Writes the batch's header and returns its checksum.
    pub(super) fn encode_header(&mut self, durable_lsn: Lsn, clean_close: bool) -> u32 {
        let header = BatchHeader {
            body_bytes: u32::try_from(self.end - self.header_at - BATCH_HEADER_LEN)
                .unwrap_or(u32::MAX),
            record_count: self.records,
            first_lsn: self.first_lsn,
            durable_lsn,
            clean_close,
            checksum: 0,
        };
        header.encode(self.context.seed, &mut self.buffer[self.header_at..])
    }

    /// The block before the batch, for the header of the segment it starts.
    pub(super) fn segment_header_block(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.header_at]
    }

    /// The part of the buffer to write: the batch, and the segment header if it starts one.
    pub(super) fn disk_range(&self, with_segment_header: bool) -> Range<usize> {
        let start = if with_segment_header { 0 } else { self.header_at };
        start..self.header_at + self.disk_len()
    }
}
