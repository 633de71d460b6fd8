//! From bytes back to records: one decoder, used by recovery at open and by every replay. Never
//! writes; memory is bounded by the window and the largest batch, not by the log.

mod directory_tailer;
mod live;
mod reader;
mod recovery;
mod source;
mod verdict;
mod walk;

pub use directory_tailer::DirectoryTailer;
pub(crate) use live::LiveReader;
pub use reader::WalReader;
pub(crate) use reader::{ReadBound, ReaderOptions};
pub use recovery::{Discarded, RecoveryReport};
pub(crate) use recovery::{Recovered, recover};
