//! What the harness reads: the profile of a sweep, and the folder of a stored run.

use plimsoll_harness::hostile;

use crate::{INPUT_BYTES_MAX, memory::bounded, reader::Reader, settings::folder};

/// The text of a sweep's profile.
pub(crate) fn sweep_profile(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(INPUT_BYTES_MAX)];
    bounded(bytes.len(), || hostile::read_profile(bytes));
}

/// The one file of a log in the old format.
pub(crate) fn old_log(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(INPUT_BYTES_MAX)];
    let file = folder().join("old.wal");
    bounded(bytes.len(), || hostile::read_old_log(&file, bytes));
}

/// Three parts: the manifest, the journal, and the latencies of a trial.
pub(crate) fn results(bytes: &[u8]) {
    let mut reader = Reader::new(&bytes[..bytes.len().min(INPUT_BYTES_MAX)]);
    let (manifest, journal) = (reader.part(), reader.part());
    let latencies = reader.part();
    bounded(bytes.len(), || hostile::read_latencies(latencies));
    hostile::read_run(&folder().join("run"), manifest, journal, latencies);
}
