//! Everything that is in a segment, in the order of its bytes: whole batches, blank space, an earlier
//! life of the file, and damage. A view over the one decoder that goes on behind what ends a replay,
//! for whoever looks into a log instead of using it.

use super::{
    pieces::{BatchPiece, Damage, Piece, Standing, SurveyedPayload, SurveyedRecord},
    walk::{Obstacle, SegmentWalk, open_frame},
};
use crate::{
    device::{LogDirectory, SegmentFile},
    error::{Result, WalError},
    format::{BatchBlock, BatchHeader, FRAME_HEADER_LEN, FrameHeader, frame_len, round_up},
    lsn::Lsn,
    segment::{SegmentContext, read_meta},
};

/// Where the log goes on behind a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Successor {
    pub(crate) first_lsn: Lsn,
    /// Of the last batch before it, as its header says; `None` if that cannot be read.
    pub(crate) names_checksum: Option<u32>,
}

/// What a survey knows of the segment's surroundings.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) directory: LogDirectory,
    /// Oldest LSN that the log promised to keep when it was looked at, if that could be read.
    pub(crate) floor: Option<Lsn>,
    pub(crate) successor: Option<Successor>,
    /// Whether a writer may be appending to the segment.
    pub(crate) growing: bool,
}

/// Goes through one segment, piece by piece, from behind its header to the end of the file. Memory is
/// bounded by a window of 1 MiB or the largest batch met.
#[derive(Debug)]
pub struct SegmentSurvey {
    /// Without keys: what it hands out is as it is on disk.
    walk: SegmentWalk,
    /// With the key, if there is one, for the records handed out.
    opening: Option<SegmentContext>,
    around: Surroundings,
    /// Behind the highest record met.
    next_lsn: Lsn,
    /// A replay would not have got here.
    stopped: bool,
    /// The batch that the successor follows has been met.
    ended: bool,
    done: bool,
    /// A record in clear.
    clear: Vec<u8>,
}

impl SegmentSurvey {
    /// `raw` leaves sealed what is sealed; `opening` has the key.
    pub(crate) fn new(
        file: SegmentFile,
        raw: SegmentContext,
        opening: Option<SegmentContext>,
        around: Surroundings,
    ) -> Result<Self> {
        debug_assert!(raw.cipher.is_none());
        let walk = SegmentWalk::new(file, raw)?;
        Ok(Self {
            next_lsn: walk.expected_lsn(),
            walk,
            opening,
            around,
            stopped: false,
            ended: false,
            done: false,
            clear: Vec::new(),
        })
    }

    /// Length of the file as last seen, bytes.
    #[must_use]
    pub fn file_len_bytes(&self) -> u64 {
        self.walk.file_len()
    }

    /// Any bytes of the file as they are on disk, as many of `len` as there are before its end. Memory
    /// is taken for all of them, so ask for little at a time.
    ///
    /// # Errors
    ///
    /// [`WalError::Read`].
    pub fn bytes(&mut self, offset_bytes: u64, len: usize) -> Result<&[u8]> {
        self.walk.bytes(offset_bytes, len)
    }

    /// The next piece. Pieces follow each other without a gap. `None` at the end of the file.
    ///
    /// # Errors
    ///
    /// [`WalError::Read`], after which nothing follows; [`WalError::Truncated`] if the log's writer has
    /// given the segment up meanwhile.
    pub fn next_piece(&mut self) -> Result<Option<Piece>> {
        let piece = self.advance();
        let doubtful = matches!(piece, Err(_) | Ok(Some(Piece::Damage { .. })));
        let truncated = if doubtful { self.truncated_since() } else { None };
        let piece = truncated.map_or(piece, Err);
        self.done |= piece.is_err();
        piece
    }

    /// The next record of the batch that [`Self::next_piece`] returned last.
    ///
    /// # Errors
    ///
    /// [`WalError::Read`].
    pub fn next_record(&mut self) -> Result<Option<SurveyedRecord<'_>>> {
        let Some(header) = self.walk.next_frame()? else { return Ok(None) };
        let sealed = self.walk.context().is_encrypted();
        let len = frame_len(header.payload_bytes as usize, sealed);
        let offset_bytes = self.walk.frame_offset_bytes();
        let payload = self.payload(offset_bytes, &header, len)?;
        Ok(Some(SurveyedRecord {
            lsn: header.lsn,
            kind: header.kind,
            tenant: header.tenant,
            vshard: header.vshard,
            database: header.database,
            offset_bytes,
            frame_bytes: len as u64,
            payload,
        }))
    }

    fn payload(
        &mut self,
        offset_bytes: u64,
        header: &FrameHeader,
        len: usize,
    ) -> Result<SurveyedPayload<'_>> {
        let payload = FRAME_HEADER_LEN..FRAME_HEADER_LEN + header.payload_bytes as usize;
        if !self.walk.context().is_encrypted() {
            return Ok(SurveyedPayload::Clear(&self.walk.bytes(offset_bytes, len)?[payload]));
        }
        let Some(opening) = &self.opening else {
            return Ok(SurveyedPayload::Sealed(&self.walk.bytes(offset_bytes, len)?[payload]));
        };
        self.clear.clear();
        self.clear.extend_from_slice(self.walk.bytes(offset_bytes, len)?);
        if open_frame(opening, &mut self.clear).is_ok() {
            return Ok(SurveyedPayload::Clear(&self.clear[payload]));
        }
        Ok(SurveyedPayload::Tampered(&self.walk.bytes(offset_bytes, len)?[payload]))
    }

    fn advance(&mut self) -> Result<Option<Piece>> {
        loop {
            let at = self.walk.offset_bytes();
            if self.done || at >= self.walk.file_len() {
                return Ok(None);
            }
            let obstacle = match self.walk.step()? {
                Ok(header) => return Ok(Some(Piece::Batch(self.batch(at, &header)))),
                Err(obstacle) => obstacle,
            };
            if self.around.growing && !self.stopped {
                if let Some(piece) = self.where_a_writer_is(at)? {
                    return Ok(Some(piece));
                }
                continue;
            }
            self.stopped = true;
            match obstacle {
                // Whole or not, it is looked at as what it says it is.
                Obstacle::OutOfPlace(header) => self.walk.go_on_at(at, header.first_lsn),
                obstacle => return self.other_piece(at, obstacle).map(Some),
            }
        }
    }

    fn batch(&mut self, at: u64, header: &BatchHeader) -> BatchPiece {
        let standing = self.standing(header);
        self.next_lsn = self.next_lsn.max(header.end_lsn());
        BatchPiece {
            offset_bytes: at,
            len_bytes: self.until(self.walk.offset_bytes()) - at,
            body_bytes: u64::from(header.body_bytes),
            record_count: u64::from(header.record_count),
            first_lsn: header.first_lsn,
            durable_lsn: header.durable_lsn,
            clean_close: header.clean_close,
            checksum: header.checksum,
            standing,
        }
    }

    /// `docs/format.md`: a segment that has a successor ends exactly where the successor begins.
    fn standing(&mut self, header: &BatchHeader) -> Standing {
        if let Some(successor) = self.around.successor {
            let holds_its_records =
                header.record_count > 0 && header.first_lsn == successor.first_lsn;
            if self.ended || header.first_lsn > successor.first_lsn || holds_its_records {
                return Standing::BeyondEnd;
            }
            self.ended = header.end_lsn() == successor.first_lsn
                && successor.names_checksum == Some(header.checksum);
        }
        if header.first_lsn < self.next_lsn {
            Standing::Repeated
        } else if self.stopped {
            Standing::Unreached
        } else {
            Standing::InLog
        }
    }

    /// Behind the end of a segment that a writer appends to nothing is decided yet. `None` if there is
    /// a batch by now, or if something is missing that is called durable.
    fn where_a_writer_is(&mut self, at: u64) -> Result<Option<Piece>> {
        let expected_lsn = self.walk.expected_lsn();
        if self.walk.scan_tail()?.claimed_durable_lsn < expected_lsn {
            self.done = true;
            let len_bytes = self.walk.file_len().saturating_sub(at);
            return Ok(Some(Piece::AheadOfWriter { offset_bytes: at, len_bytes }));
        }
        // Completed between the two looks, or lost.
        match self.walk.step()? {
            Ok(header) => Ok(Some(Piece::Batch(self.batch(at, &header)))),
            Err(_) => {
                self.stopped = true;
                Ok(None)
            }
        }
    }

    /// What lies at a position that holds no whole batch of this segment, as far as it goes.
    fn other_piece(&mut self, at: u64, obstacle: Obstacle) -> Result<Piece> {
        let piece = match obstacle {
            Obstacle::Body(header, problem) => {
                let declared = at + self.rounded(header.batch_len());
                let end = self.run(at, Some(declared), |block, _, _| {
                    !matches!(block, BatchBlock::Valid(_))
                })?;
                self.damage(at, end, Damage::of_body(at, &header, problem))
            }
            Obstacle::Block(BatchBlock::Foreign(header)) if header.first_lsn < self.next_lsn => {
                let declared = at + self.rounded(header.batch_len());
                let end = self.run(at, Some(declared), |block, _, _| {
                    !matches!(block, BatchBlock::Valid(_) | BatchBlock::Foreign(_))
                })?;
                Piece::EarlierLife {
                    offset_bytes: at,
                    len_bytes: end - at,
                    first_lsn: header.first_lsn,
                    record_count: u64::from(header.record_count),
                }
            }
            Obstacle::Block(_) | Obstacle::OutOfPlace(_) => {
                let (block, bytes) = self.walk.peek(at)?;
                if is_zero(bytes) {
                    let end = self.run(at, None, |_, bytes, _| is_zero(bytes))?;
                    Piece::Blank { offset_bytes: at, len_bytes: end - at }
                } else {
                    let problem = Damage::of_block(block, bytes);
                    let end = self.run(at, None, |block, bytes, next_lsn| match block {
                        BatchBlock::Valid(_) => false,
                        BatchBlock::Foreign(header) => header.first_lsn >= next_lsn,
                        BatchBlock::Blank | BatchBlock::NotABatch => !is_zero(bytes),
                    })?;
                    self.damage(at, end, problem)
                }
            }
        };
        let next = at + round_up(piece.len_bytes(), self.walk.context().block_bytes);
        self.walk.go_on_at(next, self.next_lsn);
        Ok(piece)
    }

    fn damage(&self, at: u64, end: u64, problem: Damage) -> Piece {
        let all_there = |successor: Successor| self.next_lsn >= successor.first_lsn;
        let beyond_end = self.ended || self.around.successor.is_some_and(all_there);
        Piece::Damage { offset_bytes: at, len_bytes: end - at, problem, beyond_end }
    }

    /// The end of the blocks from `at` on that go on as the first of them, which is not asked.
    fn run(
        &mut self,
        at: u64,
        at_most: Option<u64>,
        goes_on: impl Fn(BatchBlock, &[u8], Lsn) -> bool,
    ) -> Result<u64> {
        let block_bytes = self.walk.context().block_bytes;
        let mut end = at + block_bytes;
        while end < self.until(at_most.unwrap_or(u64::MAX)) {
            let next_lsn = self.next_lsn;
            let (block, bytes) = self.walk.peek(end)?;
            if !goes_on(block, bytes, next_lsn) {
                break;
            }
            end += block_bytes;
        }
        Ok(self.until(end))
    }

    /// `offset_bytes`, or the end of the file if that is before it.
    fn until(&self, offset_bytes: u64) -> u64 {
        offset_bytes.min(self.walk.file_len())
    }

    fn rounded(&self, len: usize) -> u64 {
        round_up(len as u64, self.walk.context().block_bytes)
    }

    /// A segment that was truncated and recycled meanwhile looks damaged.
    fn truncated_since(&self) -> Option<WalError> {
        let before = self.around.floor?;
        let now = read_meta(&self.around.directory).ok()??.retention_floor;
        let requested = self.next_lsn;
        (now > before && requested < now).then_some(WalError::Truncated { requested, floor: now })
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}
