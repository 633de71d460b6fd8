//! From bytes back to records: one decoder, used by recovery at open and by every replay. Never
//! writes; memory is bounded by the window and the largest batch, not by the log.

mod ahead;
mod blocks;
mod closing;
mod directory_tailer;
mod filter;
mod live;
mod parallel;
mod pieces;
mod reader;
mod recovery;
mod shape;
mod source;
mod survey;
mod team;
mod verdict;
mod views;
mod walk;

pub use directory_tailer::DirectoryTailer;
pub use filter::RecordFilter;
pub(crate) use live::LiveReader;
pub use parallel::{ParallelOptions, ParallelReader};
pub use pieces::{
    BatchPiece, Damage, FrameDamage, Piece, Standing, SurveyedPayload, SurveyedRecord,
};
pub use reader::WalReader;
pub(crate) use reader::{ReadBound, ReaderOptions};
pub use recovery::{Discarded, RecoveryReport};
pub(crate) use recovery::{Recovered, examine, recover};
pub use survey::SegmentSurvey;
pub(crate) use survey::{Successor, Surroundings};
pub use views::{Page, RecordHead, RecordRef};
pub(crate) use walk::seed_without_header;
