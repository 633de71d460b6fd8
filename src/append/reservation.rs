//! The place of records in an open batch. It is given out under the log's lock, and filled outside
//! it: many threads copy, seal and checksum at once, each in a part of the buffer of its own.

use std::sync::Arc;

use crate::{
    device::BufferPart,
    format::{FRAME_HEADER_LEN, FrameHeader, TAG_LEN, associated_data, frame_len, seal_frame},
    lsn::{Lsn, LsnRange},
    record::{Record, RecordHeader, RecordKind},
    segment::SegmentContext,
    telemetry::{Telemetry, times_encoding_of},
};

/// A place for records whose LSNs are given out. Dropping it publishes them: the batch is written
/// once every reservation in it has been dropped.
#[derive(Debug)]
#[must_use = "a reservation that is not filled is a hole in the log"]
pub(crate) struct Reservation {
    part: BufferPart,
    context: Arc<SegmentContext>,
    lsns: LsnRange,
    /// Where to say how long encoding took, if that is to be measured.
    timed: Option<Telemetry>,
}

impl Reservation {
    pub(super) fn new(
        part: BufferPart,
        context: Arc<SegmentContext>,
        lsns: LsnRange,
        telemetry: &Telemetry,
    ) -> Self {
        let timed = times_encoding_of(lsns.first).then(|| telemetry.clone());
        Self { part, context, lsns, timed }
    }

    /// The LSNs of its records.
    pub(crate) fn lsns(&self) -> LsnRange {
        self.lsns
    }

    /// Encodes the records it was made for, and publishes them.
    pub(crate) fn fill(mut self, records: &[Record<'_>]) -> LsnRange {
        debug_assert_eq!(self.lsns.count(), records.len() as u64);
        let began_ns = self.timed.as_ref().map(Telemetry::now_ns);
        let mut lsn = self.lsns.first;
        let mut rest = &mut self.part[..];
        for record in records {
            let payload_len = record.payload.len();
            let len = frame_len(payload_len, self.context.is_encrypted());
            let (frame, after) = rest.split_at_mut(len);
            FrameHeader::of(record.header(), payload_len, lsn).encode(frame);
            payload_of(frame, payload_len).copy_from_slice(&record.payload);
            seal(frame, payload_len, lsn, &self.context);
            (lsn, rest) = (lsn.next(), after);
        }
        debug_assert!(rest.is_empty(), "the whole place is filled");
        if let Some((telemetry, began_ns)) = self.timed.as_ref().zip(began_ns)
            && records.len() == 1
        {
            telemetry.encoded(telemetry.now_ns().saturating_sub(began_ns));
        }
        self.lsns
    }

    /// Encodes the one record it was made for, whose payload `fill` writes where it is to lie, and
    /// publishes it. `fill` finds zeros.
    ///
    /// The LSN is given out already: should `fill` panic, a record of kind [`RecordKind::NOOP`],
    /// all zeros, takes the record's place.
    pub(crate) fn fill_with(
        mut self,
        record: RecordHeader,
        payload_len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Lsn {
        debug_assert_eq!(self.lsns.count(), 1);
        let lsn = self.lsns.first;
        let mut frame = UnsealedFrame {
            frame: &mut self.part,
            context: &self.context,
            header: FrameHeader::of(record, payload_len, lsn),
            payload_len,
            is_filled: false,
        };
        let payload = payload_of(frame.frame, payload_len);
        payload.fill(0);
        fill(payload);
        frame.is_filled = true;
        lsn
    }
}

/// Sealed when dropped, whether its payload was written or the writing panicked: the batch cannot
/// do without it.
struct UnsealedFrame<'a> {
    frame: &'a mut [u8],
    context: &'a SegmentContext,
    header: FrameHeader,
    payload_len: usize,
    is_filled: bool,
}

impl Drop for UnsealedFrame<'_> {
    fn drop(&mut self) {
        if !self.is_filled {
            payload_of(self.frame, self.payload_len).fill(0);
            self.header.kind = RecordKind::NOOP;
        }
        self.header.encode(self.frame);
        seal(self.frame, self.payload_len, self.header.lsn, self.context);
    }
}

fn payload_of(frame: &mut [u8], payload_len: usize) -> &mut [u8] {
    &mut frame[FRAME_HEADER_LEN..FRAME_HEADER_LEN + payload_len]
}

/// Encrypts the payload if the segment is encrypted, pads the frame and writes its checksum. Each
/// LSN comes here once, so that it is a nonce once.
fn seal(frame: &mut [u8], payload_len: usize, lsn: Lsn, context: &SegmentContext) {
    let mut end = FRAME_HEADER_LEN + payload_len;
    if let Some(cipher) = &context.cipher {
        let associated = associated_data(frame, &context.identity);
        let tag = cipher.seal(lsn, &associated, payload_of(frame, payload_len));
        frame[end..end + TAG_LEN].copy_from_slice(&tag);
        end += TAG_LEN;
    }
    frame[end..].fill(0);
    seal_frame(context.seed, frame);
}
