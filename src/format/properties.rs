//! Properties of every structure on disk, over values and over bytes drawn at random: what is
//! encoded decodes to the same, and what decodes from hostile bytes encodes to those bytes again.
//! 16,000 cases; a failure prints the smallest input that shows it.

use std::num::NonZeroU64;

use proptest::{array, collection::vec, option, prelude::*};

use super::{
    BATCH_HEADER_LEN, BatchBlock, BatchHeader, ChecksumSeed, FRAME_HEADER_LEN, FrameHeader,
    KeyReference, META_LEN, Meta, Predecessor, SegmentHeader, SegmentIdentity, batch_header,
    frame_len, meta, seal_frame, segment_header, segment_header::SEGMENT_HEADER_LEN, verify_frame,
};
use crate::{lsn::Lsn, record::RecordKind};

/// Of each property.
const CASES: u32 = if cfg!(miri) { 5 } else { 2000 };

fn tries() -> ProptestConfig {
    // The smallest failing input is printed; a regression becomes a test of its own.
    ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() }
}

/// Numbers that are often near a bound.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..4_u64, (0..4_u64).prop_map(|n| u64::MAX - n), 500..5000_u64]
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), 0..4_u32, (0..4_u32).prop_map(|n| u32::MAX - n), 0..200_u32]
}

prop_compose! {
    fn segment_header()(
        numbers in (number(), number(), number(), number(), number()),
        (log_id, salt, checksum) in (any::<[u8; 16]>(), array::uniform32(any::<u8>()), any::<u32>()),
        block_bits in 9..17_u32,
        key in option::of((any::<u64>(), any::<[u8; 16]>(), any::<[u8; 16]>())),
    ) -> SegmentHeader {
        let (first_lsn, segment_number, floor, capacity_bytes, created_unix_ns) = numbers;
        let first_lsn = Lsn::new(first_lsn.clamp(1, u64::MAX - 1));
        let segment_number = segment_number.clamp(1, first_lsn.get());
        SegmentHeader {
            identity: SegmentIdentity {
                log_id,
                segment_number,
                first_lsn,
                salt,
                key_id: key.map(|(id, ..)| id),
            },
            block_bytes: 1 << block_bits,
            predecessor: Predecessor {
                number: segment_number - 1,
                end_lsn: first_lsn.previous(),
                checksum,
            },
            retention_floor: Lsn::new(floor),
            capacity_bytes,
            created_unix_ns,
            key: key.map(|(_, key_check, header_tag)| KeyReference { key_check, header_tag }),
        }
    }
}

prop_compose! {
    fn any_batch_header()(
        (body_bytes, record_count) in (small(), small()),
        (first_lsn, durable_lsn) in (number(), number()),
        clean_close in any::<bool>(),
    ) -> BatchHeader {
        let (first_lsn, durable_lsn) = (Lsn::new(first_lsn), Lsn::new(durable_lsn));
        BatchHeader { body_bytes, record_count, first_lsn, durable_lsn, clean_close, checksum: 0 }
    }
}

prop_compose! {
    fn frame()(
        (lsn, tenant, database) in (number(), number(), number()),
        (kind, vshard) in (any::<u32>(), any::<u32>()),
        payload in vec(any::<u8>(), 0..200),
    ) -> (FrameHeader, Vec<u8>) {
        let header = FrameHeader {
            payload_bytes: u32::try_from(payload.len()).expect("short"),
            lsn: Lsn::new(lsn),
            kind: RecordKind::new(kind),
            vshard,
            tenant,
            database,
        };
        (header, payload)
    }
}

proptest! {
    #![proptest_config(tries())]

    #[test]
    fn segment_headers_decode_to_what_was_encoded(header in segment_header()) {
        let mut block = vec![0xff; 512];
        header.encode(&mut block);
        prop_assert_eq!(SegmentHeader::decode(&block), Ok(header));
    }

    /// A genuine header with a few bytes drawn anew, and a right checksum: whatever passes encodes
    /// to the same bytes, but for those that version 1 gives no meaning.
    #[test]
    fn hostile_segment_headers_encode_to_the_bytes_they_were(
        header in segment_header(),
        changes in vec((12..168_usize, any::<u8>()), 1..6),
    ) {
        let mut block = [0; SEGMENT_HEADER_LEN];
        header.encode(&mut block);
        changes.into_iter().for_each(|(at, byte)| block[at] = byte);
        let crc = crc32c::crc32c(&block[segment_header::at::crc32c.end()..]);
        segment_header::at::crc32c.put(&mut block, &crc.to_le_bytes());
        if let Ok(decoded) = SegmentHeader::decode(&block) {
            let mut again = [0; SEGMENT_HEADER_LEN];
            decoded.encode(&mut again);
            let meaningful = segment_header::at::salt.end();
            prop_assert_eq!(&again[12..meaningful], &block[12..meaningful]);
            prop_assert!(decoded.identity.segment_number <= decoded.identity.first_lsn.get());
            prop_assert!(decoded.identity.first_lsn.next() > decoded.identity.first_lsn);
        }
    }

    #[test]
    fn metas_decode_to_what_was_encoded_and_hostile_ones_encode_to_what_they_were(
        (log_id, encrypted) in (any::<[u8; 16]>(), any::<bool>()),
        (floor, newest, durable, closing) in (number(), number(), number(), number()),
        changes in vec((12..META_LEN, any::<u8>()), 0..4),
    ) {
        let known = Meta {
            log_id,
            retention_floor: Lsn::new(floor),
            newest_segment_number: newest,
            durable_lsn: Lsn::new(durable),
            encrypted,
            closing_marker_offset_bytes: NonZeroU64::new(closing),
        };
        let mut bytes = known.encode();
        prop_assert_eq!(Meta::decode(&bytes), Ok(known));
        changes.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        let crc = crc32c::crc32c(&bytes[meta::at::crc32c.end()..]);
        meta::at::crc32c.put(&mut bytes, &crc.to_le_bytes());
        if let Ok(decoded) = Meta::decode(&bytes) {
            let from = meta::at::flags.end();
            prop_assert_eq!(&decoded.encode()[from..], &bytes[from..]);
        }
    }

    #[test]
    fn metas_of_another_length_are_refused(bytes in vec(any::<u8>(), 0..200)) {
        prop_assume!(bytes.len() != META_LEN);
        prop_assert!(Meta::decode(&bytes).is_err());
    }

    /// The bounds of `docs/format.md`, and nothing but them, decide about a header with a right
    /// checksum.
    #[test]
    fn batch_headers_are_batches_within_their_bounds(
        header in any_batch_header(),
        seed in any::<u32>(),
        flags in prop_oneof![Just(None), any::<u32>().prop_map(Some)],
    ) {
        let seed = ChecksumSeed::from_stored(seed);
        let mut bytes = [0; BATCH_HEADER_LEN];
        let mut checksum = header.encode(seed, &mut bytes);
        if let Some(flags) = flags {
            batch_header::at::flags.put(&mut bytes, &flags.to_le_bytes());
            checksum = seed.checksum(&bytes[batch_header::at::seed.end()..]);
            batch_header::at::crc32c.put(&mut bytes, &checksum.to_le_bytes());
        }
        let flags = batch_header::at::flags.get_u32(&bytes);
        let count = u64::from(header.record_count);
        let within = flags <= 1
            && u64::from(header.body_bytes) + 40 <= 134_217_728
            && count <= 1_048_576
            && header.first_lsn.get() >= 1
            && header.first_lsn.get().checked_add(count).is_some()
            && header.durable_lsn < header.first_lsn
            && (header.record_count == 0) == (header.body_bytes == 0);
        let header = BatchHeader { checksum, clean_close: flags == 1, ..header };
        let expected = if within { BatchBlock::Valid(header) } else { BatchBlock::NotABatch };
        prop_assert_eq!(BatchHeader::read(seed, &bytes), expected);
    }

    /// Without the checksum made right, bytes drawn at random are never a batch.
    #[test]
    fn bytes_are_no_batch(bytes in vec(any::<u8>(), 0..80), magic in any::<bool>()) {
        let mut bytes = bytes;
        if magic && bytes.len() >= 4 {
            bytes[..4].copy_from_slice(b"PLB1");
        }
        let read = BatchHeader::read(ChecksumSeed::from_stored(7), &bytes);
        prop_assert!(matches!(read, BatchBlock::NotABatch | BatchBlock::Blank), "{read:?}");
    }

    #[test]
    fn frames_decode_to_what_was_encoded((header, payload) in frame(), seed in any::<u32>()) {
        let seed = ChecksumSeed::from_stored(seed);
        let mut bytes = vec![0; frame_len(payload.len(), false)];
        header.encode(&mut bytes);
        bytes[FRAME_HEADER_LEN..][..payload.len()].copy_from_slice(&payload);
        seal_frame(seed, &mut bytes);
        prop_assert_eq!(verify_frame(seed, header.lsn, false, &bytes), Ok(header));
        prop_assert!(verify_frame(seed, header.lsn, false, &bytes[..bytes.len() - 1]).is_err());
    }

    /// A length is believed only as far as the body reaches.
    #[test]
    fn hostile_frame_lengths_stay_within_the_body(
        (header, payload) in frame(),
        payload_bytes in small(),
        sealed in any::<bool>(),
    ) {
        let seed = ChecksumSeed::from_stored(3);
        let mut bytes = vec![0; frame_len(payload.len(), sealed)];
        FrameHeader { payload_bytes, ..header }.encode(&mut bytes);
        if let Some(frame) = bytes.get_mut(..frame_len(payload_bytes as usize, sealed)) {
            seal_frame(seed, frame);
            let expected = Ok(FrameHeader { payload_bytes, ..header });
            prop_assert_eq!(verify_frame(seed, header.lsn, sealed, &bytes), expected);
        } else {
            prop_assert!(verify_frame(seed, header.lsn, sealed, &bytes).is_err());
        }
    }
}
