//! What is asked of a log, as people write it and as runs keep it: how large records are, which
//! latencies are promised, and recorded traffic. Descriptions only; `workload` makes the load.

mod planned;
mod sizes;
mod slo;
mod trace;

use std::sync::Arc;

pub(crate) use planned::described;
pub(crate) use sizes::RecordSizes;
pub(crate) use slo::{Percentile, Slo, SloLimit};
pub(crate) use trace::Trace;

/// Most tenants that records are divided between.
pub(crate) const TENANTS_MAX: u32 = 1_000_000;

/// What the records are like.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RecordShape {
    /// Payload bytes; a trace has its own.
    pub(crate) sizes: RecordSizes,
    /// Tenants that the records are divided between, evenly and at random; a trace has its own.
    pub(crate) tenants: u32,
    /// Share of each payload that a compressor can take away, 0 to 1.
    pub(crate) compressible: f64,
    /// Recorded traffic to be replayed, instead of the sizes and tenants above.
    pub(crate) trace: Option<Arc<Trace>>,
}

impl RecordShape {
    /// Records of one size that do not compress, of one tenant.
    pub(crate) fn fixed(bytes: u64) -> Self {
        Self { sizes: RecordSizes::Fixed { bytes }, tenants: 1, compressible: 0.0, trace: None }
    }

    /// Payload bytes of a record on average.
    pub(crate) fn mean_bytes(&self) -> f64 {
        self.trace.as_ref().map_or_else(|| self.sizes.mean_bytes(), |trace| trace.mean_bytes())
    }

    /// Of the largest record there can be.
    pub(crate) fn max_bytes(&self) -> u64 {
        self.trace.as_ref().map_or_else(|| self.sizes.max_bytes(), |trace| trace.max_bytes())
    }
}
