//! Durable LSN never ahead of the device: what a log under load calls durable is read back from its
//! directory at once, past the writer and past the page cache.

use std::path::Path;
use std::time::{Duration, Instant};

use plimsoll::{KeyRing, LogRecord, Lsn, RecordKind, SegmentedWal, WalError};

use super::Problem;
use super::payload::Payloads;
use super::verify::ReadBack;

/// Promises looked into at most, and for how long: each reads its segment from the start.
const CHECKS: u32 = 3;
const CHECKS_TIME: Duration = Duration::from_millis(100);

/// Takes the log at its word a few times and returns how often it was found to keep it.
///
/// # Errors
/// [`Problem::Failed`] when a record that was called durable is not there as it was submitted.
pub(super) fn check_durable_lsn(
    directory: &Path,
    keys: Option<&KeyRing>,
    payloads: &Payloads,
    durable_lsn: impl Fn() -> Lsn,
) -> Result<u64, Problem> {
    let began = Instant::now();
    let mut kept = 0;
    for _ in 0..CHECKS {
        let lsn = durable_lsn();
        if lsn == Lsn::NONE {
            break;
        }
        // The next record is all that is asked for: a page would also look for one behind it.
        let found = SegmentedWal::replay_from_dir(directory, keys, lsn)
            .and_then(|mut reader| reader.next().transpose());
        kept += u64::from(is_aging(lsn, &found) || is_kept(lsn, found, payloads)?);
        if began.elapsed() > CHECKS_TIME {
            break;
        }
    }
    Ok(kept)
}

/// Whether nobody has committed yet, and what the log was aged with is there: it holds no payload of
/// theirs.
fn is_aging(lsn: Lsn, found: &Result<Option<LogRecord>, WalError>) -> bool {
    let last = found.as_ref().ok().and_then(Option::as_ref);
    last.is_some_and(|record| record.lsn() == lsn && record.kind() == RecordKind::NOOP)
}

/// Whether what was found keeps the promise; `false` if a truncation was faster than the look.
fn is_kept<'a>(
    lsn: Lsn,
    found: Result<Option<impl Into<ReadBack<'a>>>, WalError>,
    payloads: &Payloads,
) -> Result<bool, Problem> {
    let broken = |what: &str| {
        Err(Problem::Failed(format!(
            "the log called LSN {lsn} durable when the device did not have it: {what}"
        )))
    };
    match found.map(|record| record.map(Into::into)) {
        Ok(Some(record)) if record.lsn == lsn.get() => {
            let mut expected = Vec::new();
            payloads.fill(record.client, record.sequence, &mut expected);
            if record.payload == expected { Ok(true) } else { broken("it has other bytes there") }
        }
        Ok(Some(record)) => broken(&format!("LSN {} stands in its place", record.lsn)),
        Ok(None) => broken("the log ends before it"),
        Err(WalError::Truncated { .. }) => Ok(false),
        Err(error) => broken(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    fn payloads() -> Payloads {
        static PAYLOADS: LazyLock<Payloads> =
            LazyLock::new(|| Payloads::new(5, 40).expect("length"));
        PAYLOADS.clone()
    }

    fn record(lsn: u64) -> ReadBack<'static> {
        let mut payload = Vec::new();
        payloads().fill(3, 8, &mut payload);
        ReadBack { lsn, client: 3, sequence: 8, tenant: 0, payload: payload.into() }
    }

    fn verdict(found: Result<Option<ReadBack<'_>>, WalError>) -> Result<bool, Problem> {
        is_kept(Lsn::new(7), found, &payloads())
    }

    #[test]
    fn a_promise_is_kept_by_the_very_record_and_by_nothing_else() {
        assert_eq!(verdict(Ok(Some(record(7)))), Ok(true));
        let mut altered = record(7);
        altered.payload.to_mut()[30] ^= 1;
        let closed = Err(WalError::Closed);
        for found in [Ok(None), Ok(Some(record(8))), Ok(Some(altered)), closed] {
            let shown = format!("{found:?}");
            let Err(Problem::Failed(reason)) = verdict(found) else { panic!("kept: {shown}") };
            assert!(reason.contains("LSN 7 durable"), "{reason}");
        }
    }

    /// A disk that stalls may let nobody commit between the aging of a log and the first look.
    #[test]
    fn what_a_log_was_aged_with_is_there_and_is_nobodys() {
        use plimsoll::simulated::{DiskOptions, SimulatedDisk, open};

        let disk = SimulatedDisk::new(DiskOptions::default());
        let mut wal = open(&disk, plimsoll::SegmentedWalConfig::default()).expect("a new log");
        for kind in [RecordKind::NOOP, RecordKind::PUT] {
            wal.append(&plimsoll::Record::new(kind, vec![0x5a; 8])).expect("append");
        }
        wal.sync().expect("sync");
        let records: Vec<_> =
            wal.replay().expect("replay").map(|record| record.map(Some)).collect();
        let is_aging: Vec<_> = records
            .iter()
            .zip([1, 2])
            .map(|(record, lsn)| super::is_aging(Lsn::new(lsn), record))
            .collect();
        assert_eq!(is_aging, [true, false]);
        assert!(!super::is_aging(Lsn::new(2), &records[0]), "another record");
    }

    #[test]
    fn what_was_truncated_meanwhile_is_neither_kept_nor_broken() {
        let truncated = WalError::Truncated { requested: Lsn::new(7), floor: Lsn::new(9) };
        assert_eq!(verdict(Err(truncated)), Ok(false));
    }
}
