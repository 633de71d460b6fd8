//! The open loop itself: hands over each record when it is due, or as soon after as the log lets
//! it, and takes note of what has become durable meanwhile.
//!
//! One thread does both. While it waits for the next arrival it looks at the durable LSN, so that an
//! answer is seen within a fraction of a microsecond, and neither a wake-up nor a second thread
//! competes with the log for a processor. What it drives is behind a trait: the real log under the
//! real clock, or a simulated device under a clock of its own.

use std::fmt;

use plimsoll::{Record, RecordKind};

use super::super::arrivals::Arrivals;
use super::super::payload::Payloads;
use super::accounts::{Accounts, Submission};

/// All records are one client's.
pub(super) const CLIENT: u32 = 0;

/// What takes records, says what is durable, and has the time.
pub(super) trait Target {
    /// Why it failed.
    type Error: fmt::Display;

    /// Nanoseconds since the load began.
    fn now_ns(&self) -> u64;

    /// Takes a record and returns its LSN, at once if it can. LSNs ascend.
    fn submit(&mut self, record: &Record<'_>) -> Result<u64, Self::Error>;

    /// Everything up to this LSN is durable.
    fn durable_lsn(&self) -> u64;

    /// Waits until `moment_ns`, or until the durable LSN is above `seen_lsn`, whichever is first. If
    /// nothing is `on_its_way` only the former can happen.
    fn wait(&mut self, moment_ns: u64, seen_lsn: u64, on_its_way: bool);
}

/// Why a load ended early.
#[derive(Debug)]
pub(super) enum Stopped<E> {
    /// The log refused a record.
    Failed(E),
    /// So many records were not durable for a long time after the last one was handed over.
    Unanswered(u64),
}

/// Hands over every record that is due before `until_ns`, and waits for all the answers, no longer
/// than `patience_ns` after that.
pub(super) fn drive<T: Target>(
    target: &mut T,
    arrivals: Arrivals,
    payloads: &Payloads,
    accounts: &mut Accounts,
    (until_ns, patience_ns): (u64, u64),
) -> Result<(), Stopped<T::Error>> {
    let mut payload = Vec::new();
    for (sequence, intended_ns) in (0..).zip(arrivals.take_while(|due_ns| *due_ns < until_ns)) {
        payloads.fill(CLIENT, sequence, &mut payload);
        let record = Record::new(RecordKind::PUT, payload.as_slice())
            .tenant(payloads.tenant(CLIENT, sequence))
            .vshard(CLIENT)
            .database(sequence);
        let began_ns = wait_until(target, intended_ns, accounts);
        let lsn = target.submit(&record).map_err(Stopped::Failed)?;
        // Before the clock, here and below: nothing is ever called durable before it was.
        let durable_lsn = target.durable_lsn();
        let returned_ns = target.now_ns();
        accounts.submitted(Submission { lsn, intended_ns, began_ns, returned_ns });
        accounts.acknowledge(durable_lsn, returned_ns);
    }
    settle(target, accounts, until_ns.saturating_add(patience_ns))
}

/// Takes in answers until a record is due; returns when that was.
fn wait_until<T: Target>(target: &mut T, due_ns: u64, accounts: &mut Accounts) -> u64 {
    loop {
        let durable_lsn = target.durable_lsn();
        let now_ns = target.now_ns();
        accounts.acknowledge(durable_lsn, now_ns);
        if now_ns >= due_ns {
            return now_ns;
        }
        target.wait(due_ns, durable_lsn, accounts.on_their_way() > 0);
    }
}

fn settle<T: Target>(
    target: &mut T,
    accounts: &mut Accounts,
    deadline_ns: u64,
) -> Result<(), Stopped<T::Error>> {
    while accounts.on_their_way() > 0 {
        let durable_lsn = target.durable_lsn();
        let now_ns = target.now_ns();
        accounts.acknowledge(durable_lsn, now_ns);
        if accounts.on_their_way() > 0 {
            if now_ns >= deadline_ns {
                return Err(Stopped::Unanswered(accounts.on_their_way()));
            }
            target.wait(deadline_ns, durable_lsn, true);
        }
    }
    Ok(())
}
