//! Choosing an engine, and saying which one it became and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    BufferPool, Device, Geometry, LogDirectory, blocking::BlockingEngine, uring::UringEngine,
};

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
}

/// What an engine is opened with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EngineOptions {
    pub(crate) requested: Engine,
    /// Requests in flight at once.
    pub(crate) depth: u32,
    /// Only one thread will ever drive it.
    pub(crate) single_issuer: bool,
}

/// Opens the engine asked for, for files in `directory`, or the blocking one where io_uring is refused: many containers
/// forbid it, and a log has to work there all the same.
pub(crate) fn open_engine(
    options: EngineOptions,
    directory: &LogDirectory,
    geometry: &Geometry,
    pool: &BufferPool,
) -> (Box<dyn Device>, EngineReport) {
    let requested = options.requested;
    #[cfg(feature = "simulated")]
    if let Some(simulated) = directory.as_simulated() {
        return simulated.open_engine(requested);
    }
    #[cfg(not(feature = "simulated"))]
    let _ = directory;
    let (wants_uring, reason) = match requested {
        Engine::Blocking => (false, "asked for".to_owned()),
        Engine::Uring => (true, "asked for".to_owned()),
        Engine::Auto => choose(options.depth, geometry),
    };
    if wants_uring {
        match UringEngine::new(options.depth, options.single_issuer, pool) {
            Ok(engine) => {
                let report = EngineReport { requested, active: ActiveEngine::Uring, reason };
                return (Box::new(engine), report);
            }
            Err(error) => {
                let reason = format!(
                    "io_uring is refused here ({error}; seccomp profile or \
                     kernel.io_uring_disabled?), plain calls are used instead"
                );
                tracing::warn!(%error, "io_uring is refused; falling back to the blocking engine");
                return (
                    Box::new(BlockingEngine::default()),
                    EngineReport { requested, active: ActiveEngine::Blocking, reason },
                );
            }
        }
    }
    let report = EngineReport { requested, active: ActiveEngine::Blocking, reason };
    (Box::new(BlockingEngine::default()), report)
}

/// Decides from what the device reports. Asynchronous durable writes that need a separate cache
/// flush run in a kernel worker, which starves under other load; an inline call does not.
fn choose(depth: u32, geometry: &Geometry) -> (bool, String) {
    if depth == 1 {
        return (false, "one batch in flight needs no queue".to_owned());
    }
    match (geometry.volatile_cache, geometry.fua) {
        (Some(false), _) => {
            (true, format!("{depth} batches in flight, and the device needs no flush"))
        }
        (_, Some(true)) => (true, format!("{depth} batches in flight, and the device has FUA")),
        _ => (
            false,
            "the device has to be flushed after each write, which io_uring does in a kernel \
             worker that starves under load"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(volatile_cache: Option<bool>, fua: Option<bool>) -> Geometry {
        Geometry { volatile_cache, fua, ..Geometry::default() }
    }

    #[test]
    fn auto_follows_the_device() {
        assert!(!choose(1, &geometry(Some(false), Some(true))).0);
        assert!(choose(4, &geometry(Some(false), Some(false))).0);
        assert!(choose(4, &geometry(Some(true), Some(true))).0);
        assert!(!choose(4, &geometry(Some(true), Some(false))).0);
        assert!(!choose(4, &geometry(None, None)).0, "unknown is treated as the worse case");
    }
}
