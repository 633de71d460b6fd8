//! Segment files: their names, their headers and chain, preparing them ahead of need, and retiring
//! them. Knows positions and identities, never the records inside.

mod archive;
mod catalog;
mod chain;
mod context;
mod disposal;
mod held;
mod lease;
mod lease_store;
mod meta_store;
mod name;
mod pace;
mod preparer;
mod worker;
mod workshop;

pub use archive::{ArchiveError, Archiver, SealedSegment};
pub(crate) use catalog::{CatalogEntry, SegmentCatalog};
pub use catalog::{SegmentInfo, TruncateOutcome};
pub(crate) use chain::{
    ChainSegment, UnreadableNewest, await_last_writes, check_stays_sealed, discover_chain,
    header_error, list_segments, read_block, read_header,
};
pub(crate) use context::SegmentContext;
pub(crate) use held::check_leases;
#[cfg(feature = "simulated")]
pub(crate) use lease::leases_of;
pub use lease::{HeldBack, Lease, LeaseInfo, leases_in};
pub(crate) use lease_store::LeaseStore;
pub(crate) use meta_store::{MetaStore, read_meta};
pub(crate) use name::{NamedRole, role_of, segment_name};
pub(crate) use preparer::Preparer;
pub(crate) use workshop::{PreparerOptions, Spare};
