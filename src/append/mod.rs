//! From records to durable batches, in two halves that can run in different threads: the
//! [`Appender`] gives out LSNs and encodes records into block buffers, the [`BatchWriter`] writes
//! sealed batches in order and knows what is durable.

mod appender;
mod batch;
mod stats;
mod writer;

pub(crate) use appender::{Appender, Room};
pub(crate) use batch::SealedBatch;
pub use stats::WalStats;
pub(crate) use writer::{BatchWriter, WriterParts};
