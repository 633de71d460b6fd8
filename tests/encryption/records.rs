//! Records and headers: nothing of them can be altered, moved or exchanged.

use plimsoll::{Lsn, WalError};

use super::{
    forger::{
        BLOCK_BYTES, CAPACITY, CREATED, FIRST_LSN, FRAME_DATABASE, FRAME_KIND, FRAME_LSN,
        FRAME_PAYLOAD_BYTES, FRAME_TENANT, FRAME_VSHARD, Field, Frame, HEADER_TAG, KEY_CHECK,
        KEY_ID, LOG_ID, PREDECESSOR_END, PREDECESSOR_NUMBER, RESERVED, RETENTION_FLOOR, SALT,
        SEGMENT_NUMBER, VERSION,
    },
    small::{assert_tampered, refused, small, small_with},
    target::{Target, Verdict, contents},
};

#[test]
fn the_document_is_enough_to_take_a_log_apart_and_put_it_together_again() {
    let target = small();
    let disk = target.forged(target.segments());
    assert_eq!(contents(&disk), contents(&target.disk));
    assert!(matches!(target.verdict(&disk), Ok(Verdict::Whole)));
}

#[test]
fn a_ciphertext_belongs_to_its_lsn_batch_segment_and_log() {
    let target = small();
    let stranger = small_with(2).segments();
    let here = target.segments();
    let [first, other_batch] = [(1, 0), (2, 0)];
    // From where, to where, and which record that is.
    let moves = [
        (&here[0].batches[1].frames[1], (0, first), 1),
        (&here[0].batches[2].frames[0], (0, first), 1),
        (&here[0].batches[1].frames[0], (0, other_batch), 4),
        (&here[1].batches[0].frames[0], (0, first), 1),
        (&here[0].batches[1].frames[0], (1, (0, 0)), 5),
        // The same place in another log under the same key.
        (&stranger[0].batches[1].frames[0], (0, first), 1),
        (&stranger[1].batches[0].frames[0], (1, (0, 0)), 5),
    ];
    for (from, (segment, place), record) in moves {
        // The ciphertext alone, under the header that belongs there.
        let disk = target.with_change(segment, |segment| {
            let frame = segment.frame(place);
            (frame.sealed, frame.tag) = (from.sealed.clone(), from.tag);
        });
        assert_tampered(&target, &disk, record);
        // The whole record, with the LSN that is expected there.
        let disk = target.with_change(segment, |segment| {
            *segment.frame(place) = from.clone();
            FRAME_LSN.set(&mut segment.frame(place).header, record);
        });
        assert_tampered(&target, &disk, record);
    }
}

#[test]
fn two_records_of_equal_length_cannot_change_places() {
    let target = small();
    let disk = target.with_change(0, |segment| {
        let [one, two, _] = &mut segment.batches[1].frames[..] else { panic!("three records") };
        std::mem::swap(&mut one.sealed, &mut two.sealed);
        std::mem::swap(&mut one.tag, &mut two.tag);
    });
    assert_tampered(&target, &disk, 1);
    let mut segments = target.segments();
    let (four, five) = (segments[0].frame((2, 0)).clone(), segments[1].frame((0, 0)).clone());
    (segments[0].frame((2, 0)).sealed, segments[0].frame((2, 0)).tag) = (five.sealed, five.tag);
    (segments[1].frame((0, 0)).sealed, segments[1].frame((0, 0)).tag) = (four.sealed, four.tag);
    assert_tampered(&target, &target.forged(segments), 4);
}

#[test]
fn a_ciphertext_cannot_be_cut_or_made_longer() {
    let target = small();
    for (segment, place, record) in [(0, (1, 1), 2), (0, (2, 0), 4), (1, (1, 0), 6)] {
        for new_len in [0, 1, 16, 23, 25, 40] {
            let disk = target.with_change(segment, |segment| {
                let frame = segment.frame(place);
                frame.sealed.resize(new_len, 0);
                FRAME_PAYLOAD_BYTES.set(&mut frame.header, new_len as u64);
            });
            // A batch that ends a segment is named by the next one, whose header has a tag, too.
            assert_tampered(&target, &disk, record);
        }
    }
}

#[test]
fn the_header_of_a_record_cannot_be_changed() {
    let target = small();
    let fields = [
        (FRAME_KIND, 0x8002),
        (FRAME_KIND, 0),
        (FRAME_VSHARD, 9),
        (FRAME_TENANT, 9),
        (FRAME_DATABASE, 9),
    ];
    for (segment, place, record) in [(0, (1, 2), 3), (1, (0, 0), 5)] {
        for (field, value) in fields {
            let disk = target.with_change(segment, |segment| {
                field.set(&mut segment.frame(place).header, value);
            });
            assert_tampered(&target, &disk, record);
        }
        // The length, with what follows taken for ciphertext and tag. And a record in clear.
        let disk = target.with_change(segment, |segment| {
            let frame = segment.frame(place);
            let rest = [&frame.sealed[..], &frame.tag.expect("sealed")[..]].concat();
            frame.sealed = rest[..8].to_vec();
            frame.tag = Some(rest[8..24].try_into().expect("16 bytes"));
            FRAME_PAYLOAD_BYTES.set(&mut frame.header, 8);
        });
        assert_tampered(&target, &disk, record);
        let disk = target.with_change(segment, |segment| {
            let tag = Some([0; 16]);
            *segment.frame(place) = Frame { tag, ..Frame::invented(record, b"never written") };
        });
        assert_tampered(&target, &disk, record);
    }
    // An LSN that does not fit its place is no record at all, and the log knows of more.
    let disk = target.with_change(1, |segment| {
        FRAME_LSN.set(&mut segment.frame((1, 0)).header, 7);
    });
    let error = refused(&target, &disk);
    assert!(matches!(error, WalError::AcknowledgedDataLost { .. }), "{error:?}");
}

/// The error for a segment header with one field changed.
fn reheaded(target: &Target, segment: usize, field: Field, value: &[u8]) -> WalError {
    let disk = target.with_change(segment, |segment| field.put(&mut segment.header, value));
    let error = refused(target, &disk);
    let reading = target.read(&disk).expect("no forged record");
    assert!(reading.is_some(), "a reader accepts what opening refuses: {error}");
    error
}

#[test]
fn no_field_of_a_segment_header_can_be_changed() {
    let target = small();
    let segments = target.segments();
    let flipped = |field: Field, segment: usize| {
        let mut value = field.of(&segments[segment].header).to_vec();
        value[0] ^= 1;
        value
    };
    for segment in [0, 1] {
        let tampered =
            [SALT, KEY_CHECK, HEADER_TAG, RETENTION_FLOOR, CREATED, CAPACITY, PREDECESSOR_END];
        for field in tampered {
            let error = reheaded(&target, segment, field, &flipped(field, segment));
            match field {
                KEY_CHECK => assert!(matches!(error, WalError::WrongKey { .. }), "{error:?}"),
                PREDECESSOR_END => {
                    assert!(matches!(error, WalError::HeaderDamaged { .. }), "{error:?}");
                }
                CAPACITY => assert!(
                    matches!(error, WalError::Tampered { .. } | WalError::ChainBroken { .. }),
                    "{error:?}"
                ),
                _ => assert!(
                    matches!(error, WalError::Tampered { lsn: Lsn::NONE, .. }),
                    "{field:?}: {error:?}"
                ),
            }
        }
        for field in [LOG_ID, FIRST_LSN, SEGMENT_NUMBER, PREDECESSOR_NUMBER, VERSION, RESERVED] {
            let error = reheaded(&target, segment, field, &flipped(field, segment));
            assert!(
                matches!(
                    error,
                    WalError::ChainBroken { .. }
                        | WalError::HeaderDamaged { .. }
                        | WalError::UnsupportedVersion { .. }
                ),
                "{field:?}: {error:?}"
            );
        }
        let error = reheaded(&target, segment, KEY_ID, &99_u64.to_le_bytes());
        assert!(matches!(error, WalError::KeyMissing { key_id: 99, .. }), "{error:?}");
        // Another key of the ring, with the check value that the other segment has for it.
        let disk = target.with_change(segment, |changed| {
            let other = &segments[1 - segment].header;
            for field in [KEY_ID, KEY_CHECK] {
                field.put(&mut changed.header, field.of(other));
            }
        });
        assert_tampered(&target, &disk, 0);
        let error = reheaded(&target, segment, BLOCK_BYTES, &1024_u32.to_le_bytes());
        assert!(matches!(error, WalError::Tampered { lsn: Lsn::NONE, .. }), "{error:?}");
    }
}
