//! Time as the scheduler says it is: it passes now and then when somebody looks, and while somebody
//! sleeps.

use std::{
    cell::Cell,
    sync::LazyLock,
    time::{Duration, Instant},
};

use super::once_in;

/// By how much it moves on its own.
const TICK: Duration = Duration::from_millis(1);

thread_local! {
    /// Since the first look of any run in this thread of the operating system, in which all threads
    /// of a run take turns.
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The time.
pub(crate) fn now() -> Instant {
    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    if once_in(8) {
        pass(TICK);
    }
    *ORIGIN + PASSED.get()
}

/// So much time passes.
pub(super) fn pass(time: Duration) {
    PASSED.set(PASSED.get() + time);
}
