//! The thread that makes durable what nobody waits for, and then states in the quiet log that
//! everything is. Without that, damage to the very last batch would look like a write that was cut
//! short.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use super::{lead::Lead, state::Shared};
use crate::{
    error::{Result, WalError},
    lsn::Lsn,
    sync::{
        lock,
        thread::{self, JoinHandle},
    },
};

/// Starts the thread. It ends when the log is closed or has failed.
pub(super) fn spawn(shared: Arc<Shared>, idle_after: Duration) -> Result<JoinHandle<()>> {
    // Read here: by the time the thread runs, somebody may have committed.
    let marked_lsn = shared.durable_lsn();
    let path = shared.log.directory.path().to_owned();
    thread::Builder::new()
        .name("plimsoll-idle".into())
        .spawn(move || {
            // An error has poisoned the log, and every committer is told by that.
            if let Err(error) = mark_when_idle(&shared, idle_after, marked_lsn) {
                tracing::debug!(%error, "no more idle markers");
            }
        })
        .map_err(WalError::io("start a thread for", path))
}

/// `marked_lsn` is the last LSN that the log itself states to be durable.
fn mark_when_idle(shared: &Shared, idle_after: Duration, mut marked_lsn: Lsn) -> Result<()> {
    let mut state = lock(&shared.state);
    while !state.is_closed() {
        shared.check()?;
        let durable_lsn = shared.durable_lsn();
        if durable_lsn == marked_lsn && state.next_lsn == durable_lsn.next() {
            state.idle_sleeps = true;
            let woken = shared.idle_wake.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let waited = shared.idle_wake.wait_timeout(state, idle_after);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if state.is_closed() || shared.durable_lsn() != durable_lsn {
            continue;
        }
        if state.next_lsn != durable_lsn.next() {
            // Whoever appended this asked for less than durability, and it has waited long enough.
            shared.settle(state)?;
        } else if let Some((lead, state)) = Lead::take(shared, state) {
            lead.write_marker(state)?;
            marked_lsn = durable_lsn;
        }
        state = lock(&shared.state);
    }
    Ok(())
}
