//! The thread that writes for those who do not wait in a thread of their own: tasks, and handles
//! that were dropped. It starts with the first submission; callers that block write for themselves
//! and never need it.

use std::sync::{Arc, PoisonError};

use super::state::{Patience, Shared};
use crate::{
    error::{Result, WalError},
    sync::{
        lock,
        thread::{self, JoinHandle},
    },
};

/// Starts the thread. It ends when the log is closed or has failed.
pub(super) fn spawn(shared: Arc<Shared>) -> Result<JoinHandle<()>> {
    let path = shared.log.directory.path().to_owned();
    thread::Builder::new()
        .name("plimsoll-commit".into())
        .spawn(move || {
            // An error has poisoned the log, and every task is told by that.
            if let Err(error) = drive(&shared) {
                tracing::debug!(%error, "no more commits are driven");
            }
        })
        .map_err(WalError::io("start a thread for", path))
}

fn drive(shared: &Shared) -> Result<()> {
    let mut state = lock(&shared.state);
    while !state.is_closed() {
        if state.has_work() {
            drop(state);
            shared.advance(Patience::Forever)?;
            state = lock(&shared.state);
        } else {
            state.driver_sleeps = true;
            state = shared.driver_wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
    Ok(())
}
