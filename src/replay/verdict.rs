//! The decision of `docs/durability.md`: is a position without a batch the end of the log, or is
//! something lost? Every row is a test below.

use crate::lsn::Lsn;

/// What was found where the batches of the newest segment stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct TailFindings {
    /// LSN that the next batch would have begun with.
    pub(super) expected_lsn: Lsn,
    /// Highest durable LSN that anything in the log claims: later batches, later headers, or
    /// `wal.meta`.
    pub(super) claimed_durable_lsn: Lsn,
    /// Whether anything follows that is neither blank nor of an earlier life.
    pub(super) something_follows: bool,
}

/// What it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TailVerdict {
    /// The log ends here; nothing else was ever written.
    CleanEnd,
    /// Batches that nobody was promised were cut short by a crash. They are passed over.
    TornTail,
    /// Records that were promised cannot be read. The log must not be opened.
    AcknowledgedDataLost,
}

/// Decides.
pub(super) fn judge(findings: TailFindings) -> TailVerdict {
    #[cfg(feature = "simulated")]
    if crate::sabotage::is(crate::sabotage::Sabotage::NothingIsEverLost) {
        return TailVerdict::TornTail;
    }
    if findings.claimed_durable_lsn >= findings.expected_lsn {
        TailVerdict::AcknowledgedDataLost
    } else if findings.something_follows {
        TailVerdict::TornTail
    } else {
        TailVerdict::CleanEnd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(expected: u64, claimed: u64, something_follows: bool) -> TailVerdict {
        judge(TailFindings {
            expected_lsn: Lsn::new(expected),
            claimed_durable_lsn: Lsn::new(claimed),
            something_follows,
        })
    }

    #[test]
    fn every_row_of_the_table() {
        use TailVerdict::{AcknowledgedDataLost, CleanEnd, TornTail};
        assert_eq!(verdict(10, 0, false), CleanEnd);
        assert_eq!(verdict(10, 9, false), CleanEnd);
        assert_eq!(verdict(10, 0, true), TornTail);
        assert_eq!(verdict(10, 9, true), TornTail, "all that was durable is there");
        assert_eq!(verdict(10, 10, true), AcknowledgedDataLost);
        assert_eq!(verdict(10, 99, true), AcknowledgedDataLost);
        assert_eq!(verdict(10, 10, false), AcknowledgedDataLost, "wal.meta knows of more");
        assert_eq!(verdict(1, 0, false), CleanEnd, "an empty log");
    }
}
