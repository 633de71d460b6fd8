//! What a log says about itself when it is asked.

use crate::{
    device::EngineReport,
    segment::LeaseInfo,
    telemetry::{CommitPace, Snapshot, WalCounters, WalHistograms},
};

/// What a log has done since it was opened, how fast it is at present, and what it writes with.
/// All numbers are of one moment. Asking costs some microseconds and under 80 KiB, and where there
/// are leases a look at the size of each segment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WalStats {
    /// Sums: of records, batches, bytes.
    pub counters: WalCounters,
    /// Distributions: of times and of sizes.
    pub histograms: WalHistograms,
    /// The device's present speed, the present load, and whether a commit window can help.
    pub pace: CommitPace,
    /// The engine the log writes with, and why.
    pub engine: EngineReport,
    /// Who holds the log, and what was dropped; looked at now.
    pub leases: Vec<LeaseInfo>,
}

impl WalStats {
    pub(crate) fn new(snapshot: Snapshot, engine: EngineReport, leases: Vec<LeaseInfo>) -> Self {
        let Snapshot { counters, histograms, pace } = snapshot;
        Self { counters, histograms, pace, engine, leases }
    }
}
