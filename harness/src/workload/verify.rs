//! The proof after a trial: every acknowledged record is there, once, at its LSN, with exactly the
//! bytes that were submitted, and nothing is there that nobody submitted.
//!
//! It looks at one replayed record after the other and at no log, so that tests can hand it logs that
//! lie.

use std::{borrow::Cow, fmt};

use plimsoll::{LogRecord, RecordRef};

use super::payload::Payloads;

/// A record as replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadBack<'a> {
    pub(super) lsn: u64,
    /// Who wrote it, as the record's own fields say.
    pub(super) client: u32,
    pub(super) sequence: u64,
    pub(super) tenant: u64,
    pub(super) payload: Cow<'a, [u8]>,
}

impl From<LogRecord> for ReadBack<'_> {
    fn from(record: LogRecord) -> Self {
        Self {
            lsn: record.lsn().get(),
            client: record.vshard(),
            sequence: record.database(),
            tenant: record.tenant(),
            payload: record.into_payload().into(),
        }
    }
}

impl<'a> From<RecordRef<'a>> for ReadBack<'a> {
    fn from(record: RecordRef<'a>) -> Self {
        Self {
            lsn: record.lsn().get(),
            client: record.vshard(),
            sequence: record.database(),
            tenant: record.tenant(),
            payload: record.payload().into(),
        }
    }
}

/// What one client submitted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Submitted<'a> {
    /// LSN of each acknowledged record, by sequence number from `first_sequence`.
    pub(super) acknowledged_lsns: &'a [u64],
    /// Sequence number of the first of them; what was acknowledged before it was given up by a
    /// truncation.
    pub(super) first_sequence: u64,
    /// Records submitted, those acknowledged included: the others may be there or not.
    pub(super) count: u64,
    /// LSN that the log was truncated before, 0 if it was not: what was acknowledged below it may
    /// be gone.
    pub(super) truncated_before_lsn: u64,
}

/// How what was replayed differs from what was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// Acknowledged, and not there.
    Lost { client: usize, sequence: u64, lsn: u64 },
    /// There, with other bytes or as another tenant's.
    Altered { client: u32, sequence: u64, lsn: u64 },
    /// There, at another LSN than was acknowledged.
    Moved { client: u32, sequence: u64, lsn: u64, acknowledged_lsn: u64 },
    /// There, and never submitted, or there a second time.
    Invented { client: u32, sequence: u64, lsn: u64 },
    /// LSNs that do not ascend.
    OutOfOrder { lsn: u64, after_lsn: u64 },
    /// The log cannot be read.
    Unreadable { reason: String },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { client, sequence, lsn } => write!(
                f,
                "an acknowledged record is lost: record {sequence} of client {client}, LSN {lsn}"
            ),
            Self::Altered { client, sequence, lsn } => write!(
                f,
                "a record came back with other bytes than were submitted: record {sequence} of \
                 client {client}, LSN {lsn}"
            ),
            Self::Moved { client, sequence, lsn, acknowledged_lsn } => write!(
                f,
                "record {sequence} of client {client} was acknowledged as LSN {acknowledged_lsn} \
                 and came back as LSN {lsn}"
            ),
            Self::Invented { client, sequence, lsn } => write!(
                f,
                "LSN {lsn} holds a record that was not submitted, or came back before: record \
                 {sequence} of client {client}"
            ),
            Self::OutOfOrder { lsn, after_lsn } => {
                write!(f, "LSN {lsn} was replayed after LSN {after_lsn}")
            }
            Self::Unreadable { reason } => write!(f, "the log cannot be read back: {reason}"),
        }
    }
}

/// A comparison of a whole replay with what the clients submitted.
///
/// Each client commits one record at a time, so its records come back in their order.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    payloads: &'a Payloads,
    clients: &'a [Submitted<'a>],
    /// The payload that has to be there, made again.
    expected: Vec<u8>,
    next_sequences: Vec<u64>,
    last_lsn: u64,
    verified: u64,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(payloads: &'a Payloads, clients: &'a [Submitted<'a>]) -> Self {
        Self {
            payloads,
            clients,
            expected: Vec::new(),
            next_sequences: vec![0; clients.len()],
            last_lsn: 0,
            verified: 0,
        }
    }

    /// Looks at the next record. Nothing behind a mismatch is of interest.
    pub(super) fn take(&mut self, record: &ReadBack<'_>) -> Result<(), Mismatch> {
        let &ReadBack { lsn, client, sequence, tenant, ref payload } = record;
        if lsn <= self.last_lsn {
            return Err(Mismatch::OutOfOrder { lsn, after_lsn: self.last_lsn });
        }
        self.last_lsn = lsn;
        let number = client as usize;
        let submitted = self.clients.get(number).filter(|submitted| sequence < submitted.count);
        let Some(submitted) = submitted.filter(|_| sequence >= self.next_sequences[number]) else {
            return Err(Mismatch::Invented { client, sequence, lsn });
        };
        if let Some(lost) = first_lost(number, submitted, self.next_sequences[number], sequence) {
            return Err(lost);
        }
        self.next_sequences[number] = sequence + 1;
        self.payloads.fill(client, sequence, &mut self.expected);
        if **payload != *self.expected || tenant != self.payloads.tenant(client, sequence) {
            return Err(Mismatch::Altered { client, sequence, lsn });
        }
        match acknowledged_lsn(submitted, sequence) {
            Some(acknowledged_lsn) if acknowledged_lsn != lsn => {
                return Err(Mismatch::Moved { client, sequence, lsn, acknowledged_lsn });
            }
            Some(_) => self.verified += 1,
            None => {}
        }
        Ok(())
    }

    /// The log has ended: returns how many acknowledged records were found as they should be.
    pub(super) fn finish(self) -> Result<u64, Mismatch> {
        let lost = self.clients.iter().enumerate().find_map(|(number, client)| {
            first_lost(number, client, self.next_sequences[number], client.count)
        });
        lost.map_or(Ok(self.verified), Err)
    }
}

/// The first acknowledged record among the client's sequence numbers `from..until` that was not
/// given up by a truncation.
fn first_lost(number: usize, client: &Submitted<'_>, from: u64, until: u64) -> Option<Mismatch> {
    // One client's LSNs ascend.
    let given_up =
        client.acknowledged_lsns.partition_point(|lsn| *lsn < client.truncated_before_lsn);
    let from = from.max(client.first_sequence + given_up as u64);
    let lsn = acknowledged_lsn(client, from).filter(|_| from < until)?;
    Some(Mismatch::Lost { client: number, sequence: from, lsn })
}

fn acknowledged_lsn(client: &Submitted<'_>, sequence: u64) -> Option<u64> {
    let index = sequence.checked_sub(client.first_sequence)?;
    client.acknowledged_lsns.get(usize::try_from(index).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    /// Two clients: the first has LSNs 1, 3 and 4, the second 2 and 5; the second's record 2 was
    /// submitted and never acknowledged.
    const FIRST: [u64; 3] = [1, 3, 4];
    const SECOND: [u64; 2] = [2, 5];

    fn payloads() -> Payloads {
        static PAYLOADS: LazyLock<Payloads> =
            LazyLock::new(|| Payloads::new(7, 64).expect("length"));
        PAYLOADS.clone()
    }

    fn check(
        records: Vec<ReadBack<'_>>,
        payloads: &Payloads,
        clients: &[Submitted<'_>],
    ) -> Result<u64, Mismatch> {
        let mut comparison = Comparison::new(payloads, clients);
        records.into_iter().try_for_each(|record| comparison.take(&record))?;
        comparison.finish()
    }

    fn record(lsn: u64, client: u32, sequence: u64) -> ReadBack<'static> {
        let mut payload = Vec::new();
        payloads().fill(client, sequence, &mut payload);
        ReadBack { lsn, client, sequence, tenant: 0, payload: payload.into() }
    }

    fn good() -> Vec<ReadBack<'static>> {
        [(1, 0, 0), (2, 1, 0), (3, 0, 1), (4, 0, 2), (5, 1, 1)]
            .map(|(lsn, client, sequence)| record(lsn, client, sequence))
            .to_vec()
    }

    fn submitted(
        acknowledged_lsns: &[u64],
        first_sequence: u64,
        truncated_before_lsn: u64,
    ) -> Submitted<'_> {
        Submitted { acknowledged_lsns, first_sequence, count: 3, truncated_before_lsn }
    }

    fn verdict_after_truncation(
        records: Vec<ReadBack<'_>>,
        truncated_before_lsn: u64,
    ) -> Result<u64, Mismatch> {
        let clients = [
            submitted(&FIRST, 0, truncated_before_lsn),
            submitted(&SECOND, 0, truncated_before_lsn),
        ];
        check(records, &payloads(), &clients)
    }

    fn verdict(records: Vec<ReadBack<'_>>) -> Result<u64, Mismatch> {
        verdict_after_truncation(records, 0)
    }

    #[test]
    fn a_faithful_log_passes_with_and_without_what_was_never_acknowledged() {
        assert_eq!(verdict(good()), Ok(5));
        let mut longer = good();
        longer.push(record(6, 1, 2));
        assert_eq!(verdict(longer), Ok(5), "present, and not counted as acknowledged");
        assert_eq!(check(Vec::new(), &payloads(), &[]), Ok(0));
    }

    #[test]
    fn each_lost_record_is_found_and_named() {
        for index in 0..good().len() {
            let mut records = good();
            let gone = records.remove(index);
            let lost = Mismatch::Lost {
                client: gone.client as usize,
                sequence: gone.sequence,
                lsn: gone.lsn,
            };
            assert!(
                lost.to_string().contains(&format!("client {}, LSN {}", gone.client, gone.lsn))
            );
            assert_eq!(verdict(records), Err(lost));
        }
        assert!(matches!(verdict(Vec::new()), Err(Mismatch::Lost { client: 0, lsn: 1, .. })));
    }

    #[test]
    fn each_altered_byte_or_length_is_found() {
        for index in 0..good().len() {
            for byte in [0, 11, 12, 63] {
                let mut records = good();
                records[index].payload.to_mut()[byte] ^= 1;
                let ReadBack { lsn, client, sequence, .. } = records[index];
                assert_eq!(verdict(records), Err(Mismatch::Altered { client, sequence, lsn }));
            }
            let mut records = good();
            records[index].payload.to_mut().pop();
            assert!(matches!(verdict(records), Err(Mismatch::Altered { .. })));
            let mut records = good();
            records[index].tenant = 9;
            assert!(matches!(verdict(records), Err(Mismatch::Altered { .. })));
        }
    }

    #[test]
    fn records_that_nobody_submitted_are_found() {
        for (client, sequence) in [(2, 0), (u32::MAX, 0), (0, 3), (1, 3), (1, u64::MAX)] {
            let mut records = good();
            records.push(record(6, client, sequence));
            assert_eq!(verdict(records), Err(Mismatch::Invented { client, sequence, lsn: 6 }));
        }
        let mut twice = good();
        twice.push(record(6, 0, 2));
        assert_eq!(verdict(twice), Err(Mismatch::Invented { client: 0, sequence: 2, lsn: 6 }));
    }

    #[test]
    fn records_in_the_wrong_place_are_found() {
        let mut moved = good();
        moved[4].lsn = 6;
        let at_6 = Mismatch::Moved { client: 1, sequence: 1, lsn: 6, acknowledged_lsn: 5 };
        assert_eq!(verdict(moved), Err(at_6));
        let mut swapped = good();
        swapped.swap(3, 4);
        assert_eq!(verdict(swapped), Err(Mismatch::OutOfOrder { lsn: 4, after_lsn: 5 }));
    }

    #[test]
    fn what_a_truncation_gave_up_may_be_gone_and_nothing_else() {
        for before_lsn in 0..=6 {
            for kept_from_lsn in 1..=6 {
                let mut records = good();
                records.retain(|record| record.lsn >= kept_from_lsn);
                let kept = records.len() as u64;
                let found = verdict_after_truncation(records, before_lsn);
                if kept_from_lsn <= before_lsn.max(1) {
                    assert_eq!(found, Ok(kept), "{before_lsn} {kept_from_lsn}");
                } else {
                    let lost = matches!(found, Err(Mismatch::Lost { .. }));
                    assert!(lost, "{before_lsn} {kept_from_lsn}: {found:?}");
                }
            }
        }
        let mut altered = good();
        altered[0].payload.to_mut()[20] ^= 1;
        let found = verdict_after_truncation(altered, 5);
        assert!(matches!(found, Err(Mismatch::Altered { lsn: 1, .. })), "{found:?}");
    }

    #[test]
    fn what_a_client_forgot_may_be_there_and_the_rest_has_to_be() {
        // The first client forgot its record of LSN 1, which was truncated.
        let clients = [submitted(&FIRST[1..], 1, 2), submitted(&SECOND, 0, 2)];
        let check = |records: Vec<ReadBack<'_>>| check(records, &payloads(), &clients);
        assert_eq!(check(good()), Ok(4), "there, and no longer counted");
        assert_eq!(check(good().split_off(1)), Ok(4), "gone");
        let mut lost = good();
        lost.remove(2);
        assert_eq!(check(lost), Err(Mismatch::Lost { client: 0, sequence: 1, lsn: 3 }));
        let mut gone_and_lost = good().split_off(1);
        gone_and_lost.remove(1);
        assert_eq!(check(gone_and_lost), Err(Mismatch::Lost { client: 0, sequence: 1, lsn: 3 }));
        let mut altered = good();
        altered[0].payload.to_mut()[20] ^= 1;
        assert!(matches!(check(altered), Err(Mismatch::Altered { lsn: 1, .. })));
    }
}
