//! The distributions that are kept of a log's life, and what each may cost.

use super::histogram::{Bounds, Precision, WalHistogram};

/// Times on the commit path: told apart from 256 ns on, 10 s and more look alike.
const COMMIT_PATH_NS: Bounds =
    Bounds { finest: 256, highest: 10_000_000_000, precision: Precision::Fine };

/// Encoding one record: from copying 64 B to sealing 64 MiB.
const ENCODE_NS: Bounds =
    Bounds { finest: 16, highest: 1_000_000_000, precision: Precision::Coarse };

/// As many records as a batch can hold.
const RECORDS: Bounds = Bounds { finest: 1, highest: 1 << 20, precision: Precision::Coarse };

/// From a block to the largest batch with the header of its segment.
const BATCH_BYTES: Bounds = Bounds { finest: 256, highest: 1 << 27, precision: Precision::Coarse };

/// Less than a block, the largest of which is 64 KiB.
const PADDING_BYTES: Bounds = Bounds { finest: 8, highest: 1 << 16, precision: Precision::Coarse };

/// From a rename to zeroing 1 TiB on a slow disk.
const PREPARATION_NS: Bounds =
    Bounds { finest: 1 << 14, highest: 1 << 42, precision: Precision::Coarse };

/// Distributions since the log was opened. Batches without records, the markers, are in
/// `submit_to_complete_ns` only.
///
/// Times of the commit path are reported up to 1/128 (0.8 %) or 256 ns too high, whichever is
/// more; everything else up to 1/16 (6 %). Together they take under 80 KiB, in the log and in each
/// clone. Recording allocates nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WalHistograms {
    /// From the moment the first record of a batch got its place until the batch was handed to the
    /// device: what its slowest record waited for company and for the device, nanoseconds.
    pub group_wait_ns: WalHistogram,
    /// Encoding one record: copying or filling, sealing, checksum, nanoseconds. One record in 64
    /// is timed.
    pub encode_ns: WalHistogram,
    /// From handing a batch to the device until its write has completed, nanoseconds. With
    /// `Durability::Dsync` the batch is durable then; otherwise see `flush_ns`.
    pub submit_to_complete_ns: WalHistogram,
    /// One explicit flush, nanoseconds.
    pub flush_ns: WalHistogram,
    /// Records of a batch.
    pub records_per_batch: WalHistogram,
    /// What a batch takes on disk, with padding and the header of a segment it starts, bytes.
    pub bytes_per_batch: WalHistogram,
    /// Of those, padding, bytes.
    pub padding_bytes_per_batch: WalHistogram,
    /// Making one segment file ready, nanoseconds. In the background, unless a record is larger
    /// than a segment.
    pub segment_preparation_ns: WalHistogram,
}

impl WalHistograms {
    pub(super) fn new() -> Self {
        Self {
            group_wait_ns: WalHistogram::new(COMMIT_PATH_NS),
            encode_ns: WalHistogram::new(ENCODE_NS),
            submit_to_complete_ns: WalHistogram::new(COMMIT_PATH_NS),
            flush_ns: WalHistogram::new(COMMIT_PATH_NS),
            records_per_batch: WalHistogram::new(RECORDS),
            bytes_per_batch: WalHistogram::new(BATCH_BYTES),
            padding_bytes_per_batch: WalHistogram::new(PADDING_BYTES),
            segment_preparation_ns: WalHistogram::new(PREPARATION_NS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn together_they_take_what_is_documented() {
        let WalHistograms {
            group_wait_ns,
            encode_ns,
            submit_to_complete_ns,
            flush_ns,
            records_per_batch,
            bytes_per_batch,
            padding_bytes_per_batch,
            segment_preparation_ns,
        } = WalHistograms::new();
        let all = [
            group_wait_ns,
            encode_ns,
            submit_to_complete_ns,
            flush_ns,
            records_per_batch,
            bytes_per_batch,
            padding_bytes_per_batch,
            segment_preparation_ns,
        ];
        let memory_bytes: usize = all.iter().map(WalHistogram::memory_bytes).sum();
        assert!((60 << 10..80 << 10).contains(&memory_bytes), "{memory_bytes}");
    }
}
