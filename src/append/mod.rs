//! From records to durable batches, in three steps that can run in different threads: the
//! [`Appender`] gives out LSNs and places in block buffers, a [`Reservation`] is such a place and
//! encodes records into it, and the [`BatchWriter`] writes sealed batches in order and knows what
//! is durable.

mod appender;
mod batch;
mod reservation;
mod stats;
mod writer;

pub(crate) use appender::{Appender, Room};
pub(crate) use batch::SealedBatch;
pub(crate) use reservation::Reservation;
pub use stats::WalStats;
pub(crate) use writer::{BatchWriter, WriterParts};
