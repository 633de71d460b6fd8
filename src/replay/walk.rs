//! The one decoder: walks the batches of a segment in order and hands out their frames.

use std::collections::HashMap;

use super::source::SegmentSource;
use crate::{
    crypto::{BadTag, SegmentCipher},
    device::SegmentFile,
    error::{Result, WalError},
    format::{
        BATCH_HEADER_LEN, BatchBlock, BatchHeader, ChecksumSeed, FRAME_HEADER_LEN, FrameHeader,
        FrameProblem, MAX_BATCH_BYTES, MAX_BLOCK_BYTES, MIN_BLOCK_BYTES, SegmentIdentity, TAG_LEN,
        associated_data, frame_len, round_up, verify_frame,
    },
    lsn::Lsn,
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
    last_batch: LastBatch,
}

/// Frames of a verified and decrypted batch that are still to be handed out.
#[derive(Debug, Default)]
struct FrameCursor {
    offset_bytes: u64,
    remaining: u32,
    next_lsn: Lsn,
}

/// What is remembered of the batch before the current position.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LastBatch {
    /// Checksum of its header, 0 before the first.
    pub(super) checksum: u32,
    /// Whether it was written by a close in good order.
    pub(super) clean_close: bool,
}

/// A frame of a verified batch; the payload is in clear.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) header: FrameHeader,
    pub(super) payload: &'a [u8],
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

/// What lies behind a position that does not hold the next batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TailScan {
    /// Highest durable LSN that a later batch claims.
    pub(super) claimed_durable_lsn: Lsn,
    /// Intact batch headers of this segment.
    pub(super) batches: u64,
    /// Bytes up to the last block that is neither blank nor of an earlier life.
    pub(super) suspicious_bytes: u64,
}

impl SegmentWalk {
    /// Starts behind the header.
    pub(super) fn new(file: SegmentFile, context: SegmentContext) -> Result<Self> {
        Ok(Self {
            offset_bytes: context.block_bytes,
            expected_lsn: context.identity.first_lsn,
            source: SegmentSource::new(file, context.block_bytes)?,
            context,
            frames: FrameCursor::default(),
            last_batch: LastBatch::default(),
        })
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
        let header = match BatchHeader::read(self.context.seed, head) {
            BatchBlock::Valid(header) => header,
            block => return Ok(Err(Obstacle::Block(block))),
        };
        if header.first_lsn != self.expected_lsn {
            return Ok(Err(Obstacle::OutOfPlace(header)));
        }
        if let Err(problem) = self.verify_body(&header)? {
            return Ok(Err(Obstacle::Body(header, problem)));
        }
        self.frames = FrameCursor {
            offset_bytes: self.offset_bytes + BATCH_HEADER_LEN as u64,
            remaining: header.record_count,
            next_lsn: header.first_lsn,
        };
        self.offset_bytes += round_up(header.batch_len() as u64, self.context.block_bytes);
        #[cfg(feature = "simulated")]
        if crate::sabotage::is(crate::sabotage::Sabotage::PaddingNotSkipped) {
            self.offset_bytes = self.frames.offset_bytes + u64::from(header.body_bytes);
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
        let Some(cipher) = &self.context.cipher else { return Ok(()) };
        let path = self.source.file().path().to_owned();
        let batch = self.source.slice(self.offset_bytes, header.batch_len())?;
        let mut position = BATCH_HEADER_LEN;
        for _ in 0..header.record_count {
            let frame_header = FrameHeader::decode(&batch[position..]);
            let payload_len = frame_header.payload_bytes as usize;
            let frame = &mut batch[position..position + frame_len(payload_len, true)];
            if open_frame(cipher, &self.context.identity, frame).is_err() {
                return Err(WalError::Tampered {
                    path,
                    offset_bytes: self.offset_bytes + position as u64,
                    lsn: frame_header.lsn,
                });
            }
            position += frame_len(payload_len, true);
        }
        // The window holds clear text now, which would not verify a second time; the position
        // moves past it, so nothing reads it again.
        Ok(())
    }

    /// LSN of the next frame of the current batch, if there is one.
    pub(super) fn pending_lsn(&self) -> Option<Lsn> {
        (self.frames.remaining > 0).then_some(self.frames.next_lsn)
    }

    /// The next frame of the current batch.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame<'_>>> {
        if self.frames.remaining == 0 {
            return Ok(None);
        }
        let encrypted = self.context.is_encrypted();
        // The batch is in the window since `next_batch` verified it, so these are no reads.
        let at = self.frames.offset_bytes;
        let header = FrameHeader::decode(self.source.slice(at, FRAME_HEADER_LEN)?);
        let payload_len = header.payload_bytes as usize;
        self.frames.offset_bytes += frame_len(payload_len, encrypted) as u64;
        self.frames.remaining -= 1;
        self.frames.next_lsn = header.lsn.next();
        let payload = self.source.slice(at + FRAME_HEADER_LEN as u64, payload_len)?;
        Ok(Some(Frame { header, payload }))
    }

    /// Looks at every block from the current position to the end of the file.
    pub(super) fn scan_tail(&mut self) -> Result<TailScan> {
        self.source.invalidate();
        let mut scan = TailScan::default();
        let start = self.offset_bytes;
        let mut offset_bytes = start;
        // Blocks before this are the body of a batch of the file's earlier life. They explain
        // themselves, but a batch of this life among them counts all the same: nothing but a
        // misdirected write can have brought them together.
        let mut earlier_life_until = start;
        while offset_bytes < self.source.file_len() {
            let head = self.source.slice(offset_bytes, BATCH_HEADER_LEN)?;
            let block_end = offset_bytes + self.context.block_bytes;
            match BatchHeader::read(self.context.seed, head) {
                BatchBlock::Valid(batch) => {
                    scan.batches += 1;
                    scan.claimed_durable_lsn = scan.claimed_durable_lsn.max(batch.durable_lsn);
                    let end = offset_bytes + batch.batch_len() as u64;
                    scan.suspicious_bytes = scan.suspicious_bytes.max(end - start);
                }
                BatchBlock::Foreign(batch) if batch.first_lsn < self.expected_lsn => {
                    let len = round_up(batch.batch_len() as u64, self.context.block_bytes);
                    earlier_life_until = offset_bytes + len;
                }
                BatchBlock::Blank => {}
                BatchBlock::Foreign(_) | BatchBlock::NotABatch => {
                    if offset_bytes >= earlier_life_until {
                        scan.suspicious_bytes = scan.suspicious_bytes.max(block_end - start);
                    }
                }
            }
            offset_bytes = block_end;
        }
        #[cfg(feature = "simulated")]
        if crate::sabotage::is(crate::sabotage::Sabotage::IgnoreLaterClaims) {
            scan.claimed_durable_lsn = Lsn::NONE;
        }
        self.source.invalidate();
        Ok(scan)
    }
}

/// Decrypts the payload of a whole frame in place.
pub(super) fn open_frame(
    cipher: &SegmentCipher,
    identity: &SegmentIdentity,
    frame: &mut [u8],
) -> std::result::Result<(), BadTag> {
    let header = FrameHeader::decode(frame);
    let associated = associated_data(frame, identity);
    let (payload, rest) = frame[FRAME_HEADER_LEN..].split_at_mut(header.payload_bytes as usize);
    let mut tag = [0; TAG_LEN];
    tag.copy_from_slice(&rest[..TAG_LEN]);
    cipher.open(header.lsn, &associated, payload, tag)
}

/// What the batches of a segment with an unreadable header claim.
pub(super) fn claims_without_header(file: SegmentFile, first_lsn: Lsn) -> Result<Lsn> {
    let mut claimed = Lsn::NONE;
    batches_without_header(file, first_lsn, |_, _, batch| {
        claimed = claimed.max(batch.durable_lsn);
    })?;
    Ok(claimed)
}

/// Seeds that are counted in one file.
const SEEDS_MAX: usize = 4096;

/// The seed of a segment with an unreadable header, and the block that its batches are padded to:
/// those of most of its batches. `None` if it has none.
pub(crate) fn seed_without_header(
    file: SegmentFile,
    first_lsn: Lsn,
) -> Result<Option<(ChecksumSeed, u64)>> {
    let mut found: HashMap<u32, (u64, u64)> = HashMap::new();
    batches_without_header(file, first_lsn, |offset_bytes, seed, _| {
        // Of a segment there is one, and misplaced writes are few; a file can be made to have many.
        if found.len() == SEEDS_MAX && !found.contains_key(&seed) {
            return;
        }
        let (count, offsets) = found.entry(seed).or_default();
        *count += 1;
        *offsets |= offset_bytes;
    })?;
    let most = found.into_iter().max_by_key(|(_, (count, _))| *count);
    Ok(most.map(|(seed, (_, offsets))| {
        // The first batch is behind one block, and each other one behind several.
        let block_bytes = 1 << offsets.trailing_zeros().min(MAX_BLOCK_BYTES.trailing_zeros());
        (ChecksumSeed::from_stored(seed), block_bytes)
    }))
}

/// Hands out the batch headers of a segment whose own cannot be read, with their places and seeds.
/// Without the header its salt is unknown, but each batch names its seed; those of an earlier life of
/// the file are told apart by their lower LSNs.
fn batches_without_header(
    file: SegmentFile,
    first_lsn: Lsn,
    mut found: impl FnMut(u64, u32, &BatchHeader),
) -> Result<()> {
    let mut source = SegmentSource::new(file, MIN_BLOCK_BYTES)?;
    let mut offset_bytes = MIN_BLOCK_BYTES;
    while offset_bytes < source.file_len() {
        let head = source.slice(offset_bytes, BATCH_HEADER_LEN)?;
        let block = BatchHeader::read(ChecksumSeed::from_stored(0), head);
        if let BatchBlock::Valid(batch) | BatchBlock::Foreign(batch) = block
            && batch.first_lsn >= first_lsn
        {
            found(offset_bytes, BatchHeader::stored_seed(head), &batch);
        }
        offset_bytes += MIN_BLOCK_BYTES;
    }
    Ok(())
}
