//! Which seeds a test explores, and how they are shared out between the cores.
//!
//! `PLIMSOLL_SEED=17` chooses one; `PLIMSOLL_FIRST_SEED` and `PLIMSOLL_SEEDS` a range.

use std::{
    env,
    ops::Range,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

/// The number in an environment variable, if it is set.
fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Whether one seed is run alone, to look at it.
pub(crate) fn one_alone() -> bool {
    number("PLIMSOLL_SEED").is_some()
}

/// The seeds that are asked for, else the first `count`.
pub(crate) fn asked_for(count: u64) -> Range<u64> {
    if let Some(seed) = number("PLIMSOLL_SEED") {
        return seed..seed + 1;
    }
    let first = number("PLIMSOLL_FIRST_SEED").unwrap_or(0);
    first..first + number("PLIMSOLL_SEEDS").unwrap_or(count)
}

/// Runs `explore` over the seeds on every core, `at_once` of them at a time, and stops at the
/// first error.
pub(crate) fn on_every_core<T: Send, E: Send>(
    seeds: Range<u64>,
    at_once: u64,
    explore: impl Fn(Range<u64>) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicBool::new(false);
    let worker = || {
        let mut parts = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let first = next.fetch_add(at_once, Ordering::Relaxed);
            if first >= seeds.end {
                break;
            }
            let part = explore(first..seeds.end.min(first + at_once));
            parts.push(part.inspect_err(|_| failed.store(true, Ordering::Relaxed))?);
        }
        Ok(parts)
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        let mut parts = Vec::new();
        for result in running {
            parts.append(&mut result.join().expect("a worker does not panic")?);
        }
        Ok(parts)
    })
}
