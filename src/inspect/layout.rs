//! The fixed layouts of `docs/format.md`, for whoever shows bytes beside their names.

use crate::format::{NamedField, fields};

/// A field of a fixed layout. Numbers are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// As in `docs/format.md`.
    pub name: &'static str,
    /// From the start of the structure, bytes.
    pub offset_bytes: usize,
    /// Its length, bytes.
    pub len_bytes: usize,
}

/// The fields of a segment's header, with which the file begins.
pub fn segment_header() -> impl Iterator<Item = Field> {
    public(fields::SEGMENT_HEADER)
}

/// The fields of a batch header.
pub fn batch_header() -> impl Iterator<Item = Field> {
    public(fields::BATCH_HEADER)
}

/// The fields of a frame header; payload, tag and padding follow it.
pub fn frame_header() -> impl Iterator<Item = Field> {
    public(fields::FRAME_HEADER)
}

/// The fields of `wal.meta`.
pub fn wal_meta() -> impl Iterator<Item = Field> {
    public(fields::META)
}

/// The fields of the file of a lease.
pub fn lease() -> impl Iterator<Item = Field> {
    public(fields::LEASE)
}

/// Length of the tag behind the payload in a sealed segment, bytes.
pub const TAG_BYTES: usize = crate::format::TAG_LEN;

fn public(fields: &'static [NamedField]) -> impl Iterator<Item = Field> {
    fields.iter().map(|field| Field {
        name: field.name,
        offset_bytes: field.offset(),
        len_bytes: field.len(),
    })
}
