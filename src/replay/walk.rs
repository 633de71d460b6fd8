//! The one decoder: walks the batches of a segment in order and hands out their frames.

mod lookahead;

pub(crate) use lookahead::seed_without_header;
pub(super) use lookahead::{Glimpse, TailScan, claims_without_header};

use super::{
    shape::BatchShape,
    source::{ReadingStyle, SegmentSource},
};
use crate::{
    device::SegmentFile,
    error::{Result, WalError},
    format::{
        BATCH_HEADER_LEN, BatchBlock, BatchHeader, FRAME_HEADER_LEN, FrameHeader, FrameProblem,
        MAX_BATCH_BYTES, TAG_LEN, associated_data, frame_len, round_up, verify_frame,
    },
    lsn::Lsn,
    record::MAX_PAYLOAD_BYTES,
    segment::SegmentContext,
};

/// Walks one segment.
#[derive(Debug)]
pub(super) struct SegmentWalk {
    source: SegmentSource,
    context: SegmentContext,
    /// Where the next batch should begin.
    offset_bytes: u64,
    /// LSN the next batch should begin with.
    expected_lsn: Lsn,
    /// The batch being handed out.
    frames: FrameCursor,
    /// The frame handed out last.
    current: Option<CurrentFrame>,
    last_batch: LastBatch,
    /// What the last batch that was walked sparsely looked like: the next one may look the same.
    shape: Option<BatchShape>,
}

/// Frames of a batch that are still to be handed out.
#[derive(Debug, Default)]
struct FrameCursor {
    /// Where the batch begins.
    batch_offset_bytes: u64,
    /// Where the next frame begins.
    offset_bytes: u64,
    /// Where the last one ends.
    end_bytes: u64,
    remaining: u32,
    first_lsn: Lsn,
    next_lsn: Lsn,
    /// In a batch that is walked sparsely, the LSN up to which somebody vouches for everything.
    /// Otherwise each frame has been verified and decrypted.
    vouched: Option<Lsn>,
}

/// A frame that was handed out.
#[derive(Debug)]
struct CurrentFrame {
    header: FrameHeader,
    offset_bytes: u64,
    /// Verified and decrypted, in memory.
    is_loaded: bool,
}

/// What is remembered of the batch before the current position.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LastBatch {
    /// Checksum of its header, 0 before the first.
    pub(super) checksum: u32,
    /// Whether it was written by a close in good order.
    pub(super) clean_close: bool,
}

/// Why a position does not hold the next batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// No header of a batch of this segment.
    Block(BatchBlock),
    /// One that begins with another LSN.
    OutOfPlace(BatchHeader),
    /// One whose frames are not what it says.
    Body(BatchHeader, BodyProblem),
}

/// What is wrong with the frames of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyProblem {
    /// The file ends before the batch does.
    Cut,
    /// This one of its frames, counted from 0, at this distance from the batch's start.
    Frame { index: u32, at_bytes: usize, problem: FrameProblem },
    /// There is more than the frames.
    Trailing,
}

impl SegmentWalk {
    /// Starts behind the header.
    pub(super) fn new(file: SegmentFile, context: SegmentContext) -> Result<Self> {
        Self::with_style(file, context, ReadingStyle::default())
    }

    pub(super) fn with_style(
        file: SegmentFile,
        context: SegmentContext,
        style: ReadingStyle,
    ) -> Result<Self> {
        Ok(Self {
            offset_bytes: context.block_bytes,
            expected_lsn: context.identity.first_lsn,
            source: SegmentSource::new(file, context.block_bytes, style)?,
            context,
            frames: FrameCursor::default(),
            current: None,
            last_batch: LastBatch::default(),
            shape: None,
        })
    }

    /// Reads on as the walk over the segment before did.
    pub(super) fn go_on_from(&mut self, before: Self) {
        self.shape = before.shape;
        self.source.go_on_from(before.source);
    }

    pub(super) fn context(&self) -> &SegmentContext {
        &self.context
    }

    pub(super) fn file(&self) -> &SegmentFile {
        self.source.file()
    }

    /// Where the next batch should begin.
    pub(super) fn offset_bytes(&self) -> u64 {
        self.offset_bytes
    }

    /// The LSN it should begin with.
    pub(super) fn expected_lsn(&self) -> Lsn {
        self.expected_lsn
    }

    /// Looks at the device again before the next batch: a writer may have been there since.
    pub(super) fn refresh(&mut self) {
        self.source.invalidate();
    }

    /// Goes on somewhere else, behind what is damaged, with the LSN that is found there.
    pub(super) fn go_on_at(&mut self, offset_bytes: u64, lsn: Lsn) {
        self.offset_bytes = offset_bytes;
        self.expected_lsn = lsn;
        self.frames = FrameCursor::default();
    }

    /// What a block begins with, and its bytes, or as many as there are in the file.
    pub(super) fn peek(&mut self, offset_bytes: u64) -> Result<(BatchBlock, &[u8])> {
        let len = usize::try_from(self.context.block_bytes).unwrap_or(usize::MAX);
        let block = self.source.slice(offset_bytes, len)?;
        Ok((BatchHeader::read(self.context.seed, block), block))
    }

    /// Any bytes of the file, as many of `len` as there are.
    pub(super) fn bytes(&mut self, offset_bytes: u64, len: usize) -> Result<&[u8]> {
        Ok(self.source.slice(offset_bytes, len)?)
    }

    pub(super) fn file_len(&self) -> u64 {
        self.source.file_len()
    }

    pub(super) fn last_batch(&self) -> LastBatch {
        self.last_batch
    }

    /// Moves to the next batch, checks all of it and decrypts it. `false` when the position does
    /// not hold the next batch, whatever the reason; [`Self::scan_tail`] then looks further.
    ///
    /// # Errors
    ///
    /// [`WalError::Read`], and [`WalError::Tampered`] when checksums are good but a tag is not.
    pub(super) fn next_batch(&mut self) -> Result<bool> {
        Ok(self.step()?.is_ok())
    }

    /// [`Self::next_batch`] with the batch's header, or with what is there instead.
    pub(super) fn step(&mut self) -> Result<std::result::Result<BatchHeader, Obstacle>> {
        let head = self.source.slice(self.offset_bytes, BATCH_HEADER_LEN)?;
        match BatchHeader::read(self.context.seed, head) {
            BatchBlock::Valid(header) => self.enter(header, None),
            block => Ok(Err(Obstacle::Block(block))),
        }
    }

    /// As [`Self::next_batch`] for whoever will not want every payload. A batch with large records,
    /// none of them above `vouched`, is not read here: its frames are looked at one by one as they
    /// are asked for, and each payload is read, verified and decrypted if it is wanted.
    ///
    /// Everything up to `vouched` is known to have been durable. So no batch that a crash has torn is
    /// taken for a whole one, and whatever does not fit is a loss.
    pub(super) fn next_batch_sparsely(&mut self, vouched: Lsn) -> Result<bool> {
        let head = match &self.shape {
            Some(shape) => {
                let guesses = shape.batches_from(self.offset_bytes);
                self.source.peek(self.offset_bytes, BATCH_HEADER_LEN, guesses)?
            }
            None => self.source.slice(self.offset_bytes, BATCH_HEADER_LEN)?,
        };
        let BatchBlock::Valid(header) = BatchHeader::read(self.context.seed, head) else {
            return Ok(false);
        };
        let end_bytes = self.offset_bytes + header.batch_len() as u64;
        let is_safe = header.end_lsn() <= vouched.next() && end_bytes <= self.source.file_len();
        let shape = BatchShape::of(&header, self.context.block_bytes)
            .filter(|shape| is_safe && shape.is_worth_skipping(self.source.align_bytes()));
        // A marker says nothing of the batches around it.
        if header.record_count > 0 {
            self.shape = shape;
        }
        Ok(self.enter(header, shape.is_some().then_some(vouched))?.is_ok())
    }

    /// Goes on with the batch that has this header, if it is the next one.
    fn enter(
        &mut self,
        header: BatchHeader,
        vouched: Option<Lsn>,
    ) -> Result<std::result::Result<BatchHeader, Obstacle>> {
        if header.first_lsn != self.expected_lsn {
            return Ok(Err(Obstacle::OutOfPlace(header)));
        }
        if vouched.is_none()
            && let Err(problem) = self.verify_body(&header)?
        {
            return Ok(Err(Obstacle::Body(header, problem)));
        }
        self.frames = FrameCursor {
            batch_offset_bytes: self.offset_bytes,
            offset_bytes: self.offset_bytes + BATCH_HEADER_LEN as u64,
            end_bytes: self.offset_bytes + header.batch_len() as u64,
            remaining: header.record_count,
            first_lsn: header.first_lsn,
            next_lsn: header.first_lsn,
            vouched,
        };
        self.current = None;
        self.offset_bytes += round_up(header.batch_len() as u64, self.context.block_bytes);
        #[cfg(feature = "simulated")]
        if crate::sabotage::is(crate::sabotage::Sabotage::PaddingNotSkipped) {
            self.offset_bytes = self.frames.end_bytes;
        }
        self.expected_lsn = header.end_lsn();
        self.last_batch = LastBatch { checksum: header.checksum, clean_close: header.clean_close };
        Ok(Ok(header))
    }

    /// Checks every frame of a batch, then decrypts them in place.
    fn verify_body(
        &mut self,
        header: &BatchHeader,
    ) -> Result<std::result::Result<(), BodyProblem>> {
        debug_assert!(header.batch_len() <= MAX_BATCH_BYTES);
        if header.record_count == 0 {
            return Ok(Ok(()));
        }
        let encrypted = self.context.is_encrypted();
        let batch = self.source.slice(self.offset_bytes, header.batch_len())?;
        if batch.len() < header.batch_len() {
            return Ok(Err(BodyProblem::Cut));
        }
        let mut position = BATCH_HEADER_LEN;
        let mut lsn = header.first_lsn;
        for index in 0..header.record_count {
            let body = &batch[position..];
            let frame = match verify_frame(self.context.seed, lsn, encrypted, body) {
                Ok(frame) => frame,
                Err(problem) => {
                    return Ok(Err(BodyProblem::Frame { index, at_bytes: position, problem }));
                }
            };
            position += frame_len(frame.payload_bytes as usize, encrypted);
            lsn = lsn.next();
        }
        #[cfg(feature = "simulated")]
        if crate::sabotage::is(crate::sabotage::Sabotage::AcceptTrailingBytes) {
            position = batch.len();
        }
        if position != batch.len() {
            return Ok(Err(BodyProblem::Trailing));
        }
        if encrypted {
            self.decrypt(header)?;
        }
        Ok(Ok(()))
    }

    fn decrypt(&mut self, header: &BatchHeader) -> Result<()> {
        let batch = self.source.slice(self.offset_bytes, header.batch_len())?;
        let mut position = BATCH_HEADER_LEN;
        for _ in 0..header.record_count {
            let payload_len = FrameHeader::decode(&batch[position..]).payload_bytes as usize;
            let frame = &mut batch[position..position + frame_len(payload_len, true)];
            if let Err(lsn) = open_frame(&self.context, frame) {
                let offset_bytes = self.offset_bytes + position as u64;
                let path = self.source.file().path().to_owned();
                return Err(WalError::Tampered { path, offset_bytes, lsn });
            }
            position += frame_len(payload_len, true);
        }
        // The window holds clear text now, which would not verify a second time; the position
        // moves past it, so nothing reads it again.
        Ok(())
    }

    /// Hands out nothing more of the current batch.
    pub(super) fn pass_over_frames(&mut self) {
        self.frames.remaining = 0;
    }

    /// LSN of the next frame of the current batch, if there is one.
    pub(super) fn pending_lsn(&self) -> Option<Lsn> {
        (self.frames.remaining > 0).then_some(self.frames.next_lsn)
    }

    /// LSN of the record behind those that were handed out.
    pub(super) fn next_lsn(&self) -> Lsn {
        self.pending_lsn().unwrap_or(self.expected_lsn)
    }

    /// The header of the next frame of the current batch. In a batch that is walked sparsely it fits
    /// its place and is not verified before [`Self::load`].
    pub(super) fn next_frame(&mut self) -> Result<Option<FrameHeader>> {
        if self.frames.remaining == 0 {
            return Ok(None);
        }
        let offset_bytes = self.frames.offset_bytes;
        let header = match self.frames.vouched {
            // The batch is in the window since `next_batch` verified it, so this is no read.
            None => FrameHeader::decode(self.source.slice(offset_bytes, FRAME_HEADER_LEN)?),
            Some(vouched) => self.peek_frame(vouched)?,
        };
        let is_loaded = self.frames.vouched.is_none();
        self.current = Some(CurrentFrame { header, offset_bytes, is_loaded });
        self.frames.offset_bytes += self.len_of(&header) as u64;
        self.frames.remaining -= 1;
        self.frames.next_lsn = header.lsn.next();
        Ok(Some(header))
    }

    /// Where the frame that was handed out last begins.
    pub(super) fn frame_offset_bytes(&self) -> u64 {
        self.current.as_ref().map_or(self.offset_bytes, |frame| frame.offset_bytes)
    }

    /// Looks at the header of a frame whose batch was not verified.
    fn peek_frame(&mut self, vouched: Lsn) -> Result<FrameHeader> {
        let FrameCursor { offset_bytes, end_bytes, remaining, next_lsn, .. } = self.frames;
        for is_second_look in [false, true] {
            if is_second_look {
                self.source.invalidate();
            }
            let rest = self.shape.iter();
            let guesses = rest
                .flat_map(|shape| shape.frames_from(offset_bytes, remaining, self.offset_bytes));
            let head = self.source.peek(offset_bytes, FRAME_HEADER_LEN, guesses)?;
            if head.len() < FRAME_HEADER_LEN {
                continue;
            }
            let header = FrameHeader::decode(head);
            let end = offset_bytes + self.len_of(&header) as u64;
            if header.lsn == next_lsn
                && header.payload_bytes as usize <= MAX_PAYLOAD_BYTES
                && end <= end_bytes
                && (end == end_bytes) == (remaining == 1)
            {
                return Ok(header);
            }
        }
        Err(self.lost(vouched))
    }

    /// Has the payload of the frame that was handed out last in memory, verified and decrypted.
    pub(super) fn load(&mut self) -> Result<()> {
        let Some(CurrentFrame { header, offset_bytes, is_loaded: false }) = self.current else {
            return Ok(());
        };
        let encrypted = self.context.is_encrypted();
        let len = self.len_of(&header);
        let verify = |frame: &[u8]| {
            verify_frame(self.context.seed, header.lsn, encrypted, frame) == Ok(header)
        };
        if !verify(self.source.fetch(offset_bytes, len)?) {
            // What was read may be older than what is vouched for.
            self.source.invalidate();
            if !verify(self.source.fetch(offset_bytes, len)?) {
                return Err(self.lost(self.frames.vouched.unwrap_or_default()));
            }
        }
        let frame = self.source.fetch(offset_bytes, len)?;
        if let Err(lsn) = open_frame(&self.context, frame) {
            let path = self.source.file().path().to_owned();
            return Err(WalError::Tampered { path, offset_bytes, lsn });
        }
        self.current = Some(CurrentFrame { header, offset_bytes, is_loaded: true });
        Ok(())
    }

    /// The payload of the frame that was handed out last, once it is loaded.
    pub(super) fn payload(&self) -> &[u8] {
        let Some(CurrentFrame { header, offset_bytes, is_loaded: true }) = &self.current else {
            return &[];
        };
        let start = offset_bytes + FRAME_HEADER_LEN as u64;
        self.source.held(start, header.payload_bytes as usize)
    }

    fn len_of(&self, header: &FrameHeader) -> usize {
        frame_len(header.payload_bytes as usize, self.context.is_encrypted())
    }

    /// Something in the current batch does not fit, and it was durable.
    fn lost(&self, vouched: Lsn) -> WalError {
        WalError::AcknowledgedDataLost {
            path: self.source.file().path().to_owned(),
            offset_bytes: self.frames.batch_offset_bytes,
            first_missing_lsn: self.frames.first_lsn,
            claimed_durable_lsn: vouched,
        }
    }
}

/// Decrypts a verified frame in place, if its segment is encrypted.
///
/// # Errors
///
/// The LSN of a frame whose tag is wrong.
pub(super) fn open_frame(context: &SegmentContext, frame: &mut [u8]) -> Result<(), Lsn> {
    let Some(cipher) = &context.cipher else { return Ok(()) };
    let FrameHeader { lsn, payload_bytes, .. } = FrameHeader::decode(frame);
    let associated = associated_data(frame, &context.identity);
    let (payload, rest) = frame[FRAME_HEADER_LEN..].split_at_mut(payload_bytes as usize);
    let mut tag = [0; TAG_LEN];
    tag.copy_from_slice(&rest[..TAG_LEN]);
    cipher.open(lsn, &associated, payload, tag).map_err(|_| lsn)
}
