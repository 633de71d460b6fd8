//! A frame: one record as it lies in a batch. Header, payload (and tag, in an encrypted segment),
//! zero padding to 8 bytes; the checksum covers all of it.

use super::{ChecksumSeed, SegmentIdentity, field::layout, round_up_len};
use crate::{
    lsn::Lsn,
    record::{MAX_PAYLOAD_BYTES, RecordHeader, RecordKind},
};

layout! {
    crc32c = 4,
    payload_bytes = 4,
    lsn = 8,
    kind = 4,
    vshard = 4,
    tenant = 8,
    database = 8,
}

/// Encoded length of the header.
pub(crate) const FRAME_HEADER_LEN: usize = at::database.end();
const _: () = assert!(FRAME_HEADER_LEN == 40);
/// Length of the authentication tag after the payload in an encrypted segment.
pub(crate) const TAG_LEN: usize = 16;
const FRAME_ALIGN: usize = 8;
/// Header without checksum, and the identity: log id, segment number, first LSN, key id.
const ASSOCIATED_DATA_LEN: usize = FRAME_HEADER_LEN - 4 + 16 + 8 + 8 + 8;

/// A decoded frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Length of the payload in clear, tag and padding not counted.
    pub(crate) payload_bytes: u32,
    pub(crate) lsn: Lsn,
    pub(crate) kind: RecordKind,
    pub(crate) vshard: u32,
    pub(crate) tenant: u64,
    pub(crate) database: u64,
}

/// Why bytes are not the next frame of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameProblem {
    /// The batch's body ends inside it.
    Short,
    /// Its length is over the limit.
    TooLong,
    /// Its checksum does not match.
    Checksum,
    /// It carries another LSN than its place demands.
    Lsn,
}

/// Length of a whole frame.
pub(crate) const fn frame_len(payload_len: usize, encrypted: bool) -> usize {
    let tag = if encrypted { TAG_LEN } else { 0 };
    round_up_len(FRAME_HEADER_LEN + payload_len + tag, FRAME_ALIGN)
}

impl FrameHeader {
    /// The header of a record with a payload of this length, which has been checked.
    pub(crate) fn of(record: RecordHeader, payload_len: usize, lsn: Lsn) -> Self {
        Self {
            payload_bytes: u32::try_from(payload_len).unwrap_or(u32::MAX),
            lsn,
            kind: record.kind,
            vshard: record.vshard,
            tenant: record.tenant,
            database: record.database,
        }
    }

    /// Encodes all fields but the checksum.
    pub(crate) fn encode(&self, frame: &mut [u8]) {
        at::payload_bytes.put(frame, &self.payload_bytes.to_le_bytes());
        at::lsn.put(frame, &self.lsn.get().to_le_bytes());
        at::kind.put(frame, &self.kind.get().to_le_bytes());
        at::vshard.put(frame, &self.vshard.to_le_bytes());
        at::tenant.put(frame, &self.tenant.to_le_bytes());
        at::database.put(frame, &self.database.to_le_bytes());
    }

    /// Decodes a header whose frame has been verified, or is about to be.
    pub(crate) fn decode(frame: &[u8]) -> Self {
        Self {
            payload_bytes: at::payload_bytes.get_u32(frame),
            lsn: Lsn::new(at::lsn.get_u64(frame)),
            kind: RecordKind::new(at::kind.get_u32(frame)),
            vshard: at::vshard.get_u32(frame),
            tenant: at::tenant.get_u64(frame),
            database: at::database.get_u64(frame),
        }
    }
}

/// Writes the checksum of a frame whose every other byte is in place. `frame` is exactly
/// [`frame_len`] bytes.
pub(crate) fn seal_frame(seed: ChecksumSeed, frame: &mut [u8]) {
    let checksum = seed.checksum(&frame[at::crc32c.end()..]);
    at::crc32c.put(frame, &checksum.to_le_bytes());
}

/// Checks the frame that `body` starts with and returns its header.
///
/// # Errors
///
/// Says what does not fit. Lengths are bounded before they are used.
pub(crate) fn verify_frame(
    seed: ChecksumSeed,
    expected_lsn: Lsn,
    encrypted: bool,
    body: &[u8],
) -> Result<FrameHeader, FrameProblem> {
    let bytes = body.get(..FRAME_HEADER_LEN).ok_or(FrameProblem::Short)?;
    let header = FrameHeader::decode(bytes);
    let payload_len = header.payload_bytes as usize;
    if payload_len > MAX_PAYLOAD_BYTES {
        return Err(FrameProblem::TooLong);
    }
    #[cfg(feature = "simulated")]
    if crate::sabotage::is(crate::sabotage::Sabotage::TrustFrameLength) {
        let _ = &body[..frame_len(payload_len, encrypted)];
    }
    let frame = body.get(..frame_len(payload_len, encrypted)).ok_or(FrameProblem::Short)?;
    if seed.checksum(&frame[at::crc32c.end()..]) != at::crc32c.get_u32(frame) {
        return Err(FrameProblem::Checksum);
    }
    if header.lsn != expected_lsn {
        return Err(FrameProblem::Lsn);
    }
    Ok(header)
}

/// What a sealed payload is bound to: the frame's header and the segment's identity.
pub(crate) fn associated_data(
    frame: &[u8],
    identity: &SegmentIdentity,
) -> [u8; ASSOCIATED_DATA_LEN] {
    let mut data = [0; ASSOCIATED_DATA_LEN];
    let parts: [&[u8]; 5] = [
        &frame[at::crc32c.end()..FRAME_HEADER_LEN],
        &identity.log_id,
        &identity.segment_number.to_le_bytes(),
        &identity.first_lsn.get().to_le_bytes(),
        &identity.key_id.unwrap_or(0).to_le_bytes(),
    ];
    let mut rest = &mut data[..];
    for part in parts {
        let (here, after) = rest.split_at_mut(part.len());
        here.copy_from_slice(part);
        rest = after;
    }
    debug_assert!(rest.is_empty());
    #[cfg(feature = "simulated")]
    if crate::sabotage::is(crate::sabotage::Sabotage::FrameHeaderNotAuthenticated) {
        data[..FRAME_HEADER_LEN - 4].fill(0);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: ChecksumSeed = ChecksumSeed::from_stored(77);

    fn frame_of(payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader {
            payload_bytes: u32::try_from(payload.len()).expect("short"),
            lsn: Lsn::new(12),
            kind: RecordKind::PUT,
            vshard: 3,
            tenant: 4,
            database: 5,
        };
        let mut frame = vec![0; frame_len(payload.len(), false)];
        header.encode(&mut frame);
        frame[FRAME_HEADER_LEN..][..payload.len()].copy_from_slice(payload);
        seal_frame(SEED, &mut frame);
        frame
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_noticed() {
        let mut frame = frame_of(b"thirteen byte");
        assert!(verify_frame(SEED, Lsn::new(12), false, &frame).is_ok());
        for bit in 0..frame.len() * 8 {
            frame[bit / 8] ^= 1 << (bit % 8);
            assert!(verify_frame(SEED, Lsn::new(12), false, &frame).is_err(), "bit {bit}");
            frame[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_frame_out_of_place_is_refused() {
        let frame = frame_of(b"");
        assert_eq!(verify_frame(SEED, Lsn::new(13), false, &frame), Err(FrameProblem::Lsn));
        let other = ChecksumSeed::from_stored(78);
        assert_eq!(verify_frame(other, Lsn::new(12), false, &frame), Err(FrameProblem::Checksum));
    }

    #[test]
    fn defect_11_a_hostile_length_is_bounded_before_it_is_used() {
        let mut frame = frame_of(b"x");
        for hostile in [u32::MAX, (64 << 20) + 1] {
            at::payload_bytes.put(&mut frame, &hostile.to_le_bytes());
            let result = verify_frame(SEED, Lsn::new(12), true, &frame);
            assert_eq!(result, Err(FrameProblem::TooLong));
        }
        at::payload_bytes.put(&mut frame, &1000u32.to_le_bytes());
        assert_eq!(verify_frame(SEED, Lsn::new(12), false, &frame), Err(FrameProblem::Short));
    }
}
