//! Choosing an engine, and saying which one it became and why.

use std::{fmt, io};

use serde::{Deserialize, Serialize};

use super::{
    BufferPool, Device, EngineTrial, Geometry, LogDirectory, blocking::BlockingEngine, trial,
    uring::UringEngine,
};

/// How much faster io_uring has to be in the trial to be chosen, percent: a trial of milliseconds is
/// coarse, and an inline call stands other load better.
const URING_LEAD_PERCENT: u64 = 10;

/// Which engine to write with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Whatever suits the device and what the kernel allows.
    #[default]
    Auto,
    /// io_uring: asynchronous, several batches in flight.
    Uring,
    /// Plain system calls in the committing thread.
    Blocking,
}

/// How a batch is made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// The write itself is durable (`RWF_DSYNC`): one call, and one FUA write where the device can.
    #[default]
    Dsync,
    /// Plain writes, then one fdatasync(2) for all of them.
    Fdatasync,
}

/// The engine a log really writes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActiveEngine {
    /// io_uring.
    Uring,
    /// Plain system calls.
    Blocking,
}

impl fmt::Display for ActiveEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "uring",
            Self::Blocking => "blocking",
        })
    }
}

/// What was asked for, what is used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineReport {
    /// The configuration's wish.
    pub requested: Engine,
    /// What the log writes with.
    pub active: ActiveEngine,
    /// One sentence.
    pub reason: String,
    /// What a trial of both engines found on this disk, where one was made: with [`Engine::Auto`],
    /// where the device leaves the choice open.
    pub trial: Option<EngineTrial>,
}

/// What an engine is opened with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EngineOptions<'a> {
    pub(crate) requested: Engine,
    /// How batches are made durable.
    pub(crate) durability: Durability,
    /// Requests in flight at once.
    pub(crate) depth: u32,
    /// Only one thread will ever drive it.
    pub(crate) single_issuer: bool,
    /// Where the log is, for a trial on its disk.
    pub(crate) directory: &'a LogDirectory,
    /// The log's block.
    pub(crate) block_bytes: u64,
}

/// Opens the engine asked for, or the blocking one where io_uring is refused: many containers
/// forbid it, and a log has to work there all the same.
pub(crate) fn open_engine(
    options: EngineOptions<'_>,
    geometry: &Geometry,
    pool: &mut BufferPool,
) -> (Box<dyn Device>, EngineReport) {
    #[cfg(feature = "simulated")]
    if let Some(simulated) = options.directory.as_simulated() {
        return simulated.open_engine(options.requested);
    }
    let wish = match options.requested {
        Engine::Blocking => Wish::Blocking("asked for".to_owned()),
        Engine::Uring => Wish::Uring("asked for".to_owned()),
        Engine::Auto => Wish::of(options.depth, options.durability, geometry),
    };
    let requested = options.requested;
    let blocking = |reason, trial| -> (Box<dyn Device>, EngineReport) {
        let report = EngineReport { requested, active: ActiveEngine::Blocking, reason, trial };
        (Box::new(BlockingEngine::default()), report)
    };
    if let Wish::Blocking(reason) = wish {
        return blocking(reason, None);
    }
    let mut uring = match UringEngine::new(options.depth, options.single_issuer, pool) {
        Ok(engine) => engine,
        Err(error) => {
            tracing::warn!(%error, "io_uring is refused; falling back to the blocking engine");
            let reason = format!(
                "io_uring is refused here ({error}; seccomp profile or \
                 kernel.io_uring_disabled?), plain calls are used instead"
            );
            return blocking(reason, None);
        }
    };
    let (reason, trial) = match wish {
        Wish::Blocking(reason) | Wish::Uring(reason) => (reason, None),
        Wish::Faster(reason) => match try_both(&options, &mut uring, pool) {
            Ok(trial) if trial.uring_wins() => {
                (format!("{reason}, and {}", trial.sentence(options.depth)), Some(trial))
            }
            Ok(trial) => {
                let reason = format!("{reason}, but {}", trial.sentence(options.depth));
                return blocking(reason, Some(trial));
            }
            Err(error) => {
                return blocking(format!("{reason}, but a trial was not possible: {error}"), None);
            }
        },
    };
    let report = EngineReport { requested, active: ActiveEngine::Uring, reason, trial };
    (Box::new(uring), report)
}

/// Opens an io_uring that any thread may drive, where one for a single thread was opened before.
///
/// # Errors
///
/// The kernel's refusal, as of a process that has used up its memory for rings.
pub(crate) fn open_shared_uring(depth: u32, pool: &BufferPool) -> io::Result<Box<dyn Device>> {
    Ok(Box::new(UringEngine::new(depth, false, pool)?))
}

fn try_both(
    options: &EngineOptions<'_>,
    uring: &mut UringEngine,
    pool: &mut BufferPool,
) -> io::Result<EngineTrial> {
    trial::compare(options.directory, options.block_bytes, options.depth as usize, uring, pool)
}

/// What is to be opened if the kernel allows it, and why.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Blocking(String),
    Uring(String),
    /// Whichever is faster in a trial.
    Faster(String),
}

impl Wish {
    /// Decides from what the device reports. A durable write that needs a separate cache flush is
    /// finished by a kernel worker, and so is every fsync in a queue: beside other load such a
    /// worker starves (with one busy process per core 23,000 durable writes a second became 265 on
    /// the reference machine), and a trial in a quiet moment would not show it.
    fn of(depth: u32, durability: Durability, geometry: &Geometry) -> Self {
        if depth == 1 {
            return Self::Blocking("one batch in flight needs no queue".to_owned());
        }
        if durability == Durability::Fdatasync {
            return Self::Blocking(
                "fdatasync in a queue runs in a kernel worker that starves under load".to_owned(),
            );
        }
        match (geometry.volatile_cache, geometry.fua) {
            (Some(false), _) => {
                Self::Faster(format!("{depth} batches in flight, and the device needs no flush"))
            }
            (_, Some(true)) => {
                Self::Faster(format!("{depth} batches in flight, and the device has FUA"))
            }
            _ => Self::Blocking(
                "the device has to be flushed after each write, which io_uring does in a kernel \
                 worker that starves under load"
                    .to_owned(),
            ),
        }
    }
}

impl EngineTrial {
    fn uring_wins(self) -> bool {
        self.uring_per_second > self.blocking_per_second / 100 * (100 + URING_LEAD_PERCENT)
    }

    fn sentence(self, depth: u32) -> String {
        let Self { blocking_per_second, uring_per_second } = self;
        format!(
            "in a trial io_uring made {uring_per_second} durable writes a second, {depth} in flight, \
             and plain calls {blocking_per_second}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(depth: u32, volatile_cache: Option<bool>, fua: Option<bool>) -> Wish {
        let geometry = Geometry { volatile_cache, fua, ..Geometry::default() };
        Wish::of(depth, Durability::Dsync, &geometry)
    }

    #[test]
    fn auto_follows_the_device_and_tries_where_that_leaves_a_choice() {
        assert!(matches!(wish(1, Some(false), Some(true)), Wish::Blocking(_)));
        assert!(matches!(wish(4, Some(false), Some(false)), Wish::Faster(_)));
        assert!(matches!(wish(4, Some(true), Some(true)), Wish::Faster(_)));
        assert!(matches!(wish(4, Some(true), Some(false)), Wish::Blocking(_)));
        let unknown = wish(4, None, None);
        assert!(matches!(unknown, Wish::Blocking(_)), "the worse case: {unknown:?}");
        let geometry = Geometry { volatile_cache: Some(false), ..Geometry::default() };
        let flushed = Wish::of(4, Durability::Fdatasync, &geometry);
        assert!(matches!(flushed, Wish::Blocking(_)), "{flushed:?}");
    }

    #[test]
    fn io_uring_has_to_win_clearly() {
        let trial = |blocking_per_second, uring_per_second| EngineTrial {
            blocking_per_second,
            uring_per_second,
        };
        assert!(!trial(10_000, 10_900).uring_wins());
        assert!(trial(10_000, 11_200).uring_wins());
        assert!(trial(10_000, 11_200).sentence(4).contains("11200 durable writes a second, 4 in"));
    }
}
