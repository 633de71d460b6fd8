//! What `docs/format.md` says of the bytes, written down a second time, so that what the library
//! makes of hostile ones is held against something else than itself.

use std::ops::Range;

use crate::directory::{Directory, META};

pub(crate) const SEGMENT_HEADER_LEN: usize = 256;
pub(crate) const BATCH_HEADER_LEN: usize = 40;
pub(crate) const FRAME_HEADER_LEN: usize = 40;
pub(crate) const META_LEN: usize = 64;
pub(crate) const TAG_LEN: usize = 16;

/// Where the fields of each structure are, for edits that hit one.
pub(crate) const SEGMENT_FIELDS: &[Range<usize>] = &[
    0..8,
    8..12,
    12..14,
    14..16,
    16..20,
    20..24,
    24..40,
    40..48,
    48..56,
    56..64,
    64..72,
    72..80,
    80..88,
    88..96,
    96..128,
    128..136,
    136..152,
    152..168,
    168..256,
];
/// See [`SEGMENT_FIELDS`].
pub(crate) const BATCH_FIELDS: &[Range<usize>] =
    &[0..4, 4..8, 8..12, 12..16, 16..20, 20..24, 24..32, 32..40];
/// See [`SEGMENT_FIELDS`].
pub(crate) const FRAME_FIELDS: &[Range<usize>] =
    &[0..4, 4..8, 8..16, 16..20, 20..24, 24..32, 32..40];
/// See [`SEGMENT_FIELDS`].
pub(crate) const META_FIELDS: &[Range<usize>] =
    &[0..8, 8..12, 12..14, 14..16, 16..32, 32..40, 40..48, 48..56, 56..64];

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Blocks that a segment's batches begin at; the smallest there are if its header says nonsense.
pub(crate) fn block_bytes(segment: &[u8]) -> usize {
    let stated = u32_at(segment, 16).and_then(|stated| usize::try_from(stated).ok());
    let possible = |block: &usize| block.is_power_of_two() && (512..=65_536).contains(block);
    stated.filter(possible).unwrap_or(512)
}

/// Whether records carry a tag.
pub(crate) fn is_sealed(segment: &[u8]) -> bool {
    segment.get(14..16) == Some(&[1, 0])
}

/// Start value of a segment's checksums.
pub(crate) fn seed(segment: &[u8]) -> Option<u32> {
    let header = segment.get(..SEGMENT_HEADER_LEN)?;
    let crc = crc32c::crc32c(&header[96..128]);
    let crc = crc32c::crc32c_append(crc, &header[24..40]);
    Some(crc32c::crc32c_append(crc, &header[40..48]))
}

pub(crate) fn frame_len(payload_len: usize, sealed: bool) -> usize {
    (FRAME_HEADER_LEN + payload_len + if sealed { TAG_LEN } else { 0 }).next_multiple_of(8)
}

/// Where the batches of a segment seem to begin.
pub(crate) fn batch_starts(segment: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let block = block_bytes(segment);
    let starts =
        (1..).map(move |n| n * block).take_while(|at| at + BATCH_HEADER_LEN <= segment.len());
    starts.filter(|at| segment[*at..].starts_with(b"PLB1"))
}

/// Where the frames of the batch at `start` seem to begin, as far as it reaches.
pub(crate) fn frame_starts(segment: &[u8], start: usize) -> Vec<usize> {
    let body = u32_at(segment, start + 16).unwrap_or(0) as usize;
    let end = (start + BATCH_HEADER_LEN).saturating_add(body).min(segment.len());
    let (mut at, mut starts) = (start + BATCH_HEADER_LEN, Vec::new());
    while at + FRAME_HEADER_LEN <= end {
        starts.push(at);
        let payload = u32_at(segment, at + 4).unwrap_or(0) as usize;
        at += frame_len(payload, is_sealed(segment));
    }
    starts
}

/// Whether the frames of the batch at `start` are exactly its body.
pub(crate) fn is_filled(segment: &[u8], start: usize) -> bool {
    let len = |frame: usize| {
        frame_len(u32_at(segment, frame + 4).unwrap_or(0) as usize, is_sealed(segment))
    };
    let filled: usize = frame_starts(segment, start).into_iter().map(len).sum();
    u32_at(segment, start + 16) == u32::try_from(filled).ok()
}

/// Makes every checksum right, so that what was edited is not refused for its checksum. Tags stay
/// as they are: without the key nobody can make them right.
pub(crate) fn mend(directory: &mut Directory) {
    for (name, content) in &mut directory.files {
        if name == META && content.len() == META_LEN {
            let crc = crc32c::crc32c(&content[12..]);
            put_u32(content, 8, crc);
        } else if name != META {
            mend_segment(content);
        }
    }
}

fn mend_segment(segment: &mut [u8]) {
    let Some(header) = segment.get(12..SEGMENT_HEADER_LEN) else { return };
    let crc = crc32c::crc32c(header);
    put_u32(segment, 8, crc);
    let sealed = is_sealed(segment);
    for start in batch_starts(segment).collect::<Vec<_>>() {
        let Some(seed) = u32_at(segment, start + 8) else { continue };
        for frame in frame_starts(segment, start) {
            let len = frame_len(u32_at(segment, frame + 4).unwrap_or(0) as usize, sealed);
            if let Some(covered) = segment.get(frame + 4..frame + len) {
                let crc = crc32c::crc32c_append(seed, covered);
                put_u32(segment, frame, crc);
            }
        }
        let crc = crc32c::crc32c_append(seed, &segment[start + 12..start + BATCH_HEADER_LEN]);
        put_u32(segment, start + 4, crc);
    }
}

/// What the newest segment and `wal.meta` call durable, as far as they are intact.
pub(crate) fn claimed_durable_lsn(directory: &Directory) -> u64 {
    let meta = directory.files.get(META).and_then(|meta| u64_at(meta, 48)).unwrap_or(0);
    let Some((_, newest)) = directory.segments().next_back() else { return meta };
    let intact = |header: &[u8]| u32_at(header, 8) == Some(crc32c::crc32c(&header[12..]));
    let Some(header) = newest.get(..SEGMENT_HEADER_LEN).filter(|header| intact(header)) else {
        return meta;
    };
    let Some(seed) = seed(header) else { return meta };
    let claims = batch_starts(newest).filter(|at| is_intact_batch(newest, *at, seed));
    claims.filter_map(|at| u64_at(newest, at + 32)).max().unwrap_or(0).max(meta)
}

/// The five conditions of `docs/format.md`, and the segment's seed.
fn is_intact_batch(segment: &[u8], start: usize, seed: u32) -> bool {
    let fields = || {
        let at = |offset| u32_at(segment, start + offset);
        let (flags, body, count) = (at(12)?, u64::from(at(16)?), u64::from(at(20)?));
        let (first, durable) = (u64_at(segment, start + 24)?, u64_at(segment, start + 32)?);
        let crc = crc32c::crc32c_append(seed, &segment[start + 12..start + BATCH_HEADER_LEN]);
        Some(
            at(8)? == seed
                && at(4)? == crc
                && flags <= 1
                && body + BATCH_HEADER_LEN as u64 <= 128 << 20
                && count <= 1 << 20
                && first >= 1
                && first.checked_add(count).is_some()
                && durable < first
                && (count == 0) == (body == 0),
        )
    };
    fields().unwrap_or(false)
}
