//! The vocabulary of a survey: what the bytes of a segment can be.

use std::fmt;

use super::walk::BodyProblem;
use crate::{
    format::{BATCH_HEADER_LEN, BatchBlock, BatchHeader, BatchHeaderFault, FrameProblem},
    lsn::Lsn,
    record::RecordKind,
};

/// A part of a segment behind its header.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Piece {
    /// A whole batch of this segment: header, frames and padding.
    Batch(BatchPiece),
    /// A batch that the file held before it was recycled, or what is left of it. No damage.
    EarlierLife {
        /// Where, bytes from the start of the file.
        offset_bytes: u64,
        /// How far it reaches, bytes.
        len_bytes: u64,
        /// As its header says.
        first_lsn: Lsn,
        /// As its header says.
        record_count: u64,
    },
    /// Zeros.
    Blank {
        /// Where, bytes from the start of the file.
        offset_bytes: u64,
        /// How many, bytes.
        len_bytes: u64,
    },
    /// Bytes that are none of these.
    Damage {
        /// Where, bytes from the start of the file.
        offset_bytes: u64,
        /// How far it reaches, bytes.
        len_bytes: u64,
        /// What is wrong there.
        problem: Damage,
        /// Whether the log has gone on in the next segment before this, so that nothing of it is here.
        /// In the newest segment only the verdict tells a torn tail from a loss.
        beyond_end: bool,
    },
    /// The rest of a segment that a writer is appending to. Nothing there is decided yet.
    AheadOfWriter {
        /// Where, bytes from the start of the file.
        offset_bytes: u64,
        /// To the end of the file, bytes.
        len_bytes: u64,
    },
}

impl Piece {
    /// Where it begins, bytes from the start of the file.
    #[must_use]
    pub fn offset_bytes(&self) -> u64 {
        match self {
            Self::Batch(batch) => batch.offset_bytes,
            Self::EarlierLife { offset_bytes, .. }
            | Self::Blank { offset_bytes, .. }
            | Self::Damage { offset_bytes, .. }
            | Self::AheadOfWriter { offset_bytes, .. } => *offset_bytes,
        }
    }

    /// Its length, bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        match self {
            Self::Batch(batch) => batch.len_bytes,
            Self::EarlierLife { len_bytes, .. }
            | Self::Blank { len_bytes, .. }
            | Self::Damage { len_bytes, .. }
            | Self::AheadOfWriter { len_bytes, .. } => *len_bytes,
        }
    }
}

/// A batch whose checksums are all good.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchPiece {
    /// Where it begins, bytes from the start of the file.
    pub offset_bytes: u64,
    /// Length with padding, bytes.
    pub len_bytes: u64,
    /// Length of its frames, bytes.
    pub body_bytes: u64,
    /// Records in it; 0 in a marker.
    pub record_count: u64,
    /// LSN of its first record; in a marker that of the next record.
    pub first_lsn: Lsn,
    /// What was durable when it was submitted.
    pub durable_lsn: Lsn,
    /// Whether the log was closed in good order after it.
    pub clean_close: bool,
    /// Checksum of its header, by which the next segment names it.
    pub checksum: u32,
    /// Whether it is part of the log.
    pub standing: Standing,
}

impl BatchPiece {
    /// Zeros up to the next block, bytes.
    #[must_use]
    pub fn padding_bytes(&self) -> u64 {
        self.len_bytes - BATCH_HEADER_LEN as u64 - self.body_bytes
    }

    /// LSN of its last record; in a marker that of the record before it.
    #[must_use]
    pub fn last_lsn(&self) -> Lsn {
        Lsn::new(self.first_lsn.get() + self.record_count).previous()
    }
}

/// Whether a whole batch is part of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// A replay gets to it.
    InLog,
    /// A replay ends before it, at a gap or at damage. Behind a loss its records were part of the log;
    /// in a torn tail nobody was promised them.
    Unreached,
    /// The next segment begins before it: a crash had cut it off, and its LSNs were given out again.
    BeyondEnd,
    /// Its LSNs have been met before: a misplaced write.
    Repeated,
}

/// What is wrong with bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// No batch begins there: the magic is not there, nor are zeros.
    NoBatch,
    /// A batch header whose checksum does not match.
    HeaderChecksum,
    /// A batch header with a good checksum whose fields cannot be a batch's.
    HeaderImpossible,
    /// An intact batch header of another segment, with an LSN that an earlier life cannot have.
    OtherSegment {
        /// As it says.
        first_lsn: Lsn,
    },
    /// The file ends inside it.
    CutOff,
    /// A frame of a batch with a good header does not hold.
    Frame {
        /// The batch's first record.
        first_lsn: Lsn,
        /// Records of the batch.
        record_count: u64,
        /// Which of its frames, from 0.
        index: u64,
        /// Where the frame begins, bytes from the start of the file.
        offset_bytes: u64,
        /// What is wrong with it.
        problem: FrameDamage,
    },
    /// A batch with a good header, and more behind its frames than its length allows for.
    TrailingBytes {
        /// The batch's first record.
        first_lsn: Lsn,
    },
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameDamage {
    /// Its checksum does not match.
    Checksum,
    /// It is longer than the limit or than what is left of the batch.
    Length,
    /// It carries another LSN than its place demands.
    Lsn,
}

impl Damage {
    pub(super) fn of_block(block: BatchBlock, bytes: &[u8]) -> Self {
        match block {
            BatchBlock::Foreign(header) => Self::OtherSegment { first_lsn: header.first_lsn },
            BatchBlock::Blank | BatchBlock::Valid(_) => Self::NoBatch,
            BatchBlock::NotABatch => match BatchHeader::fault(bytes) {
                BatchHeaderFault::Short => Self::CutOff,
                BatchHeaderFault::Magic => Self::NoBatch,
                BatchHeaderFault::Checksum => Self::HeaderChecksum,
                BatchHeaderFault::Impossible => Self::HeaderImpossible,
            },
        }
    }

    pub(super) fn of_body(at: u64, header: &BatchHeader, problem: BodyProblem) -> Self {
        let first_lsn = header.first_lsn;
        match problem {
            BodyProblem::Cut => Self::CutOff,
            BodyProblem::Trailing => Self::TrailingBytes { first_lsn },
            BodyProblem::Frame { index, at_bytes, problem } => Self::Frame {
                first_lsn,
                record_count: u64::from(header.record_count),
                index: u64::from(index),
                offset_bytes: at + at_bytes as u64,
                problem: match problem {
                    FrameProblem::Checksum => FrameDamage::Checksum,
                    FrameProblem::Short | FrameProblem::TooLong => FrameDamage::Length,
                    FrameProblem::Lsn => FrameDamage::Lsn,
                },
            },
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBatch => f.write_str("no batch begins here, and it is not blank"),
            Self::HeaderChecksum => f.write_str("the checksum of the batch header does not match"),
            Self::HeaderImpossible => {
                f.write_str("the batch header has a good checksum and impossible fields")
            }
            Self::OtherSegment { first_lsn } => write!(
                f,
                "a batch of another segment, of LSN {first_lsn}, which an earlier life of the file \
                 cannot hold"
            ),
            Self::CutOff => f.write_str("the file ends inside it"),
            Self::Frame { index, record_count, offset_bytes, problem, .. } => {
                let problem = match problem {
                    FrameDamage::Checksum => "its checksum does not match",
                    FrameDamage::Length => "its length is impossible",
                    FrameDamage::Lsn => "it carries another LSN than its place demands",
                };
                let number = index + 1;
                write!(f, "frame {number} of {record_count}, at byte {offset_bytes}: {problem}")
            }
            Self::TrailingBytes { .. } => {
                f.write_str("the batch is longer than its frames are together")
            }
        }
    }
}

/// A record as it lies in a segment.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SurveyedRecord<'a> {
    /// Its position.
    pub lsn: Lsn,
    /// What it means.
    pub kind: RecordKind,
    /// Whose it is.
    pub tenant: u64,
    /// Which virtual shard it belongs to.
    pub vshard: u32,
    /// Which database it belongs to.
    pub database: u64,
    /// Where its frame begins, bytes from the start of the file.
    pub offset_bytes: u64,
    /// Length of its frame with header, tag and padding, bytes.
    pub frame_bytes: u64,
    /// What it holds.
    pub payload: SurveyedPayload<'a>,
}

/// The payload of a record, as far as it can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SurveyedPayload<'a> {
    /// In clear, or opened with the key.
    Clear(&'a [u8]),
    /// Sealed, and there is no key: the ciphertext.
    Sealed(&'a [u8]),
    /// The checksum is good and the tag is not: somebody altered it, or it is in the wrong place. The
    /// ciphertext.
    Tampered(&'a [u8]),
}

impl<'a> SurveyedPayload<'a> {
    /// The bytes, whatever they are; a ciphertext has the length of the payload.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Clear(bytes) | Self::Sealed(bytes) | Self::Tampered(bytes) => bytes,
        }
    }
}
