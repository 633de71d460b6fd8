//! From bytes back to records: one decoder, used by recovery at open and by every replay. Never
//! writes; memory is bounded by the window and the largest batch, not by the log.

mod closing;
mod pieces;
mod reader;
mod recovery;
mod source;
mod survey;
mod verdict;
mod walk;

pub use pieces::{
    BatchPiece, Damage, FrameDamage, Piece, Standing, SurveyedPayload, SurveyedRecord,
};
pub use reader::WalReader;
pub(crate) use reader::{ReadBound, ReaderOptions};
pub use recovery::{Discarded, RecoveryReport};
pub(crate) use recovery::{Recovered, examine, recover};
pub use survey::SegmentSurvey;
pub(crate) use survey::{Successor, Surroundings};
pub(crate) use walk::seed_without_header;
