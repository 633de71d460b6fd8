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

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::{
        crypto::KeyRing,
        device::{BlockBuffer, LogDirectory, SharedBuffer},
    };

    const PAYLOAD_LEN: usize = 101;

    /// Where no log is: only the salt's random bytes come from there.
    fn anywhere() -> LogDirectory {
        LogDirectory::nowhere()
    }

    /// A place for records of [`PAYLOAD_LEN`] bytes, full of what was there before, and the buffer
    /// around it.
    fn place(records: usize, encrypted: bool) -> (SharedBuffer, Reservation) {
        let keys = encrypted.then(|| KeyRing::new(7, [0x42; 32]).expect("memory for a key"));
        let context =
            SegmentContext::create(&anywhere(), [1; 16], 1, Lsn::FIRST, 4096, keys.as_ref());
        let mut buffer = BlockBuffer::allocate(4096).expect("memory");
        buffer.fill(0xee);
        let mut buffer = buffer.share();
        let part = buffer.part(100..100 + records * frame_len(PAYLOAD_LEN, encrypted));
        let lsns = LsnRange { first: Lsn::new(9), last: Lsn::new(8 + records as u64) };
        let context = Arc::new(context.expect("random numbers"));
        (buffer, Reservation::new(part, context, lsns, &Telemetry::new()))
    }

    fn whole(buffer: SharedBuffer) -> BlockBuffer {
        let Ok(buffer) = buffer.into_whole() else { panic!("the place is still with somebody") };
        buffer
    }

    #[test]
    fn a_filled_place_is_published_and_nothing_beside_it_is_touched() {
        for encrypted in [false, true] {
            let (buffer, reserved) = place(2, encrypted);
            let Err(buffer) = buffer.into_whole() else { panic!("it is out") };
            let records = [5, 6].map(|byte| Record::new(RecordKind::PUT, vec![byte; PAYLOAD_LEN]));
            assert_eq!(reserved.fill(&records).count(), 2);
            let buffer = whole(buffer);
            let end = 100 + 2 * frame_len(PAYLOAD_LEN, encrypted);
            assert!(buffer[..100].iter().chain(&buffer[end..]).all(|&byte| byte == 0xee));
            let is_there = |payload: &[u8]| buffer.windows(PAYLOAD_LEN).any(|w| w == payload);
            for record in &records {
                assert_eq!(is_there(&record.payload), !encrypted, "sealed if encrypted");
            }
        }
    }

    #[test]
    fn a_payload_written_in_place_is_the_same_as_one_that_is_copied() {
        let record = Record::new(RecordKind::DELETE, vec![0; PAYLOAD_LEN]).tenant(3);
        let (buffer, reserved) = place(1, false);
        let context = Arc::clone(&reserved.context);
        reserved.fill(std::slice::from_ref(&record));
        let copied = whole(buffer);
        let (buffer, mut reserved) = place(1, false);
        reserved.context = context;
        // Relies on the zeros that it finds.
        let lsn = reserved.fill_with(record.header(), PAYLOAD_LEN, |_| {});
        assert_eq!(lsn, Lsn::new(9));
        assert!(whole(buffer)[..] == copied[..]);
    }

    #[test]
    fn a_panic_publishes_a_noop_of_zeros() {
        let noop = Record::new(RecordKind::NOOP, vec![0; PAYLOAD_LEN]).tenant(3);
        let (buffer, reserved) = place(1, false);
        let context = Arc::clone(&reserved.context);
        reserved.fill(std::slice::from_ref(&noop));
        let expected = whole(buffer);
        let (buffer, mut reserved) = place(1, false);
        reserved.context = context;
        let header = RecordHeader { kind: RecordKind::PUT, ..noop.header() };
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            reserved.fill_with(header, PAYLOAD_LEN, |payload| {
                payload.fill(1);
                panic!("half-way");
            })
        }));
        assert!(panicked.is_err());
        assert!(whole(buffer)[..] == expected[..]);
    }
}
