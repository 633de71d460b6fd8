//! What a log chooses by itself in a directory when nobody has measured anything yet: its block, and
//! the engine that `auto` comes to.

use std::path::Path;

use plimsoll::{Preparation, SegmentedWal, SegmentedWalConfig};
use serde::Serialize;

use super::Unusable;

/// Batches in flight in the second look: with a single one `auto` has nothing to decide.
const SEVERAL_IN_FLIGHT: u32 = 4;

/// What a log chooses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Choices {
    /// Block that every batch is padded to, bytes.
    pub block_bytes: u64,
    /// Largest batch, bytes.
    pub buffer_bytes: u64,
    /// Size of a segment, bytes.
    pub segment_bytes: u64,
    /// Segments that exist at once at least.
    pub segments: u32,
    /// Engine with the default number of batches in flight.
    pub engine: EngineChoice,
    /// Engine with several.
    pub engine_with_several: EngineChoice,
}

/// An engine, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct EngineChoice {
    /// Batches in flight at once (`pipeline_depth`).
    pub batches_in_flight: u32,
    /// `uring` or `blocking`.
    pub engine: String,
    /// One sentence, the log's own.
    pub reason: String,
}

/// Opens logs with the library's defaults below `directory`, which the caller removes, and says what
/// they chose.
///
/// # Errors
/// Why none can be had there.
pub(crate) fn choices(directory: &Path) -> Result<Choices, Unusable> {
    let defaults = SegmentedWalConfig::default();
    let (block_bytes, engine) = open(&directory.join("one"), defaults.pipeline_depth)?;
    let (_, engine_with_several) = open(&directory.join("several"), SEVERAL_IN_FLIGHT)?;
    Ok(Choices {
        block_bytes,
        buffer_bytes: defaults.buffer_size,
        segment_bytes: defaults.segment_size,
        // The one that is written, those kept ready, and the last one before them.
        segments: defaults.prepared_segments + 2,
        engine,
        engine_with_several,
    })
}

/// Segments as small as they can be: neither choice depends on them, and the disk is spared.
fn open(directory: &Path, batches_in_flight: u32) -> Result<(u64, EngineChoice), Unusable> {
    let mut config = SegmentedWalConfig::new(directory);
    config.preparation = Preparation::None;
    config.segment_size = 1;
    config.pipeline_depth = batches_in_flight;
    let wal = SegmentedWal::open(config).map_err(|error| Unusable::from(&error))?;
    let found = wal.engine();
    let (engine, reason) = (found.active.to_string(), found.reason.clone());
    Ok((wal.geometry().natural_block_bytes(), EngineChoice { batches_in_flight, engine, reason }))
}

#[cfg(test)]
#[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
mod tests {
    use super::*;

    #[test]
    fn a_log_says_what_it_chose_and_why() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("temporary folder");
        let found = match choices(folder.path()) {
            Ok(found) => found,
            Err(Unusable::NoDirectIo { filesystem }) => {
                println!("skipped, no direct I/O on {filesystem}");
                return;
            }
            Err(other) => panic!("{other:?}"),
        };
        assert!(found.block_bytes.is_power_of_two(), "{found:?}");
        assert_eq!(found.engine.batches_in_flight, 1);
        assert_eq!(found.engine_with_several.batches_in_flight, SEVERAL_IN_FLIGHT);
        for choice in [&found.engine, &found.engine_with_several] {
            assert!(["uring", "blocking"].contains(&choice.engine.as_str()), "{choice:?}");
            assert!(!choice.reason.is_empty());
        }
        let file = folder.path().join("file");
        std::fs::write(&file, "x").expect("a file");
        assert!(matches!(choices(&file.join("below")), Err(Unusable::Other(_))));
    }
}
