//! The bytes on disk, version 1: segment headers, batch headers, frames, `wal.meta` and leases.
//!
//! Pure functions over byte slices, no I/O and no keys. Everything is little-endian; every offset
//! is derived from the field before it. `docs/format.md` holds the same tables for people, and a
//! test below holds the two against each other.

mod batch_header;
mod checksum;
mod field;
mod frame;
mod lease;
mod meta;
#[cfg(test)]
mod properties;
mod segment_header;

pub(crate) use batch_header::{
    BATCH_HEADER_LEN, BatchBlock, BatchHeader, BatchHeaderFault, MAX_BATCH_BYTES, MAX_BATCH_RECORDS,
};
pub(crate) use checksum::ChecksumSeed;
pub(crate) use field::NamedField;
pub(crate) use frame::{
    FRAME_HEADER_LEN, FrameHeader, FrameProblem, TAG_LEN, associated_data, frame_len, seal_frame,
    verify_frame,
};
pub(crate) use lease::{LEASE_LEN, LeaseProblem, LeaseRecord, is_lease_name};
pub(crate) use meta::{META_LEN, Meta, MetaProblem};
#[cfg(feature = "simulated")]
pub(crate) use segment_header::SEGMENT_HEADER_LEN;
pub(crate) use segment_header::{
    HeaderProblem, KeyReference, Predecessor, SegmentHeader, SegmentIdentity,
};

/// The fields of the fixed layouts, in order.
pub(crate) mod fields {
    use super::NamedField;

    pub(crate) const SEGMENT_HEADER: &[NamedField] = super::segment_header::at::FIELDS;
    pub(crate) const BATCH_HEADER: &[NamedField] = super::batch_header::at::FIELDS;
    pub(crate) const FRAME_HEADER: &[NamedField] = super::frame::at::FIELDS;
    pub(crate) const META: &[NamedField] = super::meta::at::FIELDS;
    pub(crate) const LEASE: &[NamedField] = super::lease::at::FIELDS;
}

/// The one version written, and the only one read so far.
pub(crate) const FORMAT_VERSION: u16 = 1;

/// Smallest and largest block a batch may be padded to.
pub(crate) const MIN_BLOCK_BYTES: u64 = 512;
/// See [`MIN_BLOCK_BYTES`].
pub(crate) const MAX_BLOCK_BYTES: u64 = 64 << 10;

/// Rounds up to a multiple of `unit`, a power of two. Saturates at the largest multiple.
pub(crate) const fn round_up(value: u64, unit: u64) -> u64 {
    debug_assert!(unit.is_power_of_two());
    match value.checked_add(unit - 1) {
        Some(sum) => sum & !(unit - 1),
        None => !(unit - 1),
    }
}

/// [`round_up`] for lengths in memory.
pub(crate) const fn round_up_len(value: usize, unit: usize) -> usize {
    debug_assert!(unit.is_power_of_two());
    (value + unit - 1) & !(unit - 1)
}

#[cfg(test)]
mod tests {
    use super::NamedField;

    /// Every `| offset | size | field | … |` row below a heading, as written in the document.
    fn documented(heading: &str) -> Vec<(usize, usize, String)> {
        let text = include_str!("../../docs/format.md");
        let section = text
            .split_once(&format!("\n## {heading}\n"))
            .unwrap_or_else(|| panic!("docs/format.md has no section {heading:?}"))
            .1;
        let section = section.split("\n## ").next().expect("split yields one part");
        section
            .lines()
            .filter_map(|line| {
                let mut cells = line.trim_matches('|').split('|').map(str::trim);
                let offset = cells.next()?.parse().ok()?;
                let size = cells.next()?.parse().ok()?;
                Some((offset, size, cells.next()?.trim_matches('`').to_owned()))
            })
            .collect()
    }

    fn implemented(fields: &[NamedField]) -> Vec<(usize, usize, String)> {
        fields.iter().map(|f| (f.offset(), f.len(), f.name.to_owned())).collect()
    }

    #[test]
    fn the_document_and_the_constants_agree() {
        for (heading, fields) in [
            ("Segment header", super::fields::SEGMENT_HEADER),
            ("Batch header", super::fields::BATCH_HEADER),
            ("Frame header", super::fields::FRAME_HEADER),
            ("wal.meta", super::fields::META),
            ("Leases", super::fields::LEASE),
        ] {
            assert_eq!(documented(heading), implemented(fields), "section {heading}");
        }
    }
}
