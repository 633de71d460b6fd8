//! Looking into a directory without opening it (`plimsoll::inspect`), whatever is in it: every byte
//! of every segment is accounted for once, and what is said to be in the log is what is replayed.

use std::path::Path;

use plimsoll::{
    KeyRing, LogRecord, RecoveryReport, WalError,
    inspect::{Finding, LogFiles, Piece, SegmentFile, Standing, SurveyedPayload, SurveyedRecord},
    simulated::{SimulatedDisk, look_into},
};

use crate::directory::Directory;

/// What recovery has found, which is to be found here as well.
pub(crate) type Outcome<'a> = Result<(&'a RecoveryReport, &'a [LogRecord]), &'a WalError>;

/// Looks at everything there is.
///
/// # Panics
///
/// If anything does not hold: see the messages.
pub(crate) fn check(
    directory: &Directory,
    disk: &SimulatedDisk,
    keys: Option<&KeyRing>,
    outcome: Outcome<'_>,
) {
    let log = look_into(disk).expect("a directory can be listed");
    // A simulated disk takes names that no directory can hold.
    let possible = |name: &&String| Path::new(name).file_name() == Some(name.as_ref());
    let files = directory.files.keys().filter(possible).count();
    assert_eq!(log.segments().len() + log.others().len(), files);
    check_finding(&log, keys, outcome);
    let wanted = outcome.ok().filter(|(report, _)| report.segments > 0);
    let mut replayed = wanted.map(|(report, records)| (report, records.iter()));
    for segment in log.segments() {
        // Without a key, or with the wrong one, everything but the payloads is there all the same.
        let keys = keys.filter(|keys| matches!(log.survey(segment, Some(keys)), Ok(Ok(_))));
        let below_floor = log.is_below_floor(segment);
        walk(&log, segment, keys, |record| {
            if let Some((report, expected)) = replayed.as_mut().filter(|_| !below_floor)
                && record.lsn >= report.floor
            {
                let expected = expected.next().expect("it is replayed");
                assert!(is_same(record, expected), "{record:?} is replayed as {expected:?}");
            }
        });
    }
    if let Some((_, mut rest)) = replayed {
        assert_eq!(rest.next(), None, "a record that is replayed was not seen");
    }
}

fn check_finding(log: &LogFiles, keys: Option<&KeyRing>, outcome: Outcome<'_>) {
    let examined = log.examine(keys);
    match (examined.finding, outcome) {
        (Finding::NoLog, Ok((report, []))) => assert_eq!(report.segments, 0),
        (Finding::Whole(found), Ok((report, _))) => assert_eq!(found, *report),
        // Nothing is refused for the lack of a key, and nothing is opened.
        (_, Err(WalError::KeyRequired { .. })) if keys.is_none() => {}
        (Finding::Refused(found), Err(error)) => assert_eq!(found.to_string(), error.to_string()),
        (finding, outcome) => panic!("{finding:?}, and recovery says {outcome:?}"),
    }
}

/// Goes through a segment and hands out the records that are in the log.
fn walk(
    log: &LogFiles,
    segment: &SegmentFile,
    keys: Option<&KeyRing>,
    mut in_log: impl FnMut(&SurveyedRecord<'_>),
) {
    let Ok(Ok(mut survey)) = log.survey(segment, keys) else { return };
    let mut at = segment.header().expect("it was read for the survey").block_bytes;
    while let Some(piece) = survey.next_piece().expect("nothing fails but the bytes") {
        assert_eq!(piece.offset_bytes(), at, "pieces follow each other");
        assert!(piece.len_bytes() > 0, "each piece is something");
        at += piece.len_bytes();
        let Piece::Batch(batch) = piece else { continue };
        let mut lsn = batch.first_lsn;
        let (mut frame_at, mut frames_bytes) = (batch.offset_bytes + 40, 0);
        while let Some(record) = survey.next_record().expect("it was read with its batch") {
            assert_eq!((record.lsn, record.offset_bytes), (lsn, frame_at));
            lsn = lsn.next();
            frame_at += record.frame_bytes;
            frames_bytes += record.frame_bytes;
            if batch.standing == Standing::InLog {
                in_log(&record);
            }
        }
        assert_eq!(frames_bytes, batch.body_bytes, "frames fill their batch");
        assert_eq!(lsn.get() - batch.first_lsn.get(), batch.record_count);
    }
    assert!(at >= survey.file_len_bytes(), "pieces reach the end of the file");
}

fn is_same(record: &SurveyedRecord<'_>, replayed: &LogRecord) -> bool {
    record.lsn == replayed.lsn()
        && (record.kind, record.tenant) == (replayed.kind(), replayed.tenant())
        && (record.vshard, record.database) == (replayed.vshard(), replayed.database())
        && record.payload == SurveyedPayload::Clear(replayed.payload())
}
