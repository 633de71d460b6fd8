//! What a log has written, in sums.

/// What a log has written since it was opened.
///
/// All of them count completed batches, so that the numbers of one snapshot belong together; what
/// is on its way to the device, or failed on it, is in none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalCounters {
    /// Records in completed batches.
    pub records: u64,
    /// Completed batches: each is one device write.
    pub batches: u64,
    /// Of those, markers: batches without records, which state what is durable.
    pub markers: u64,
    /// Of the batches, those known to survive power loss: their own write was durable, or a flush
    /// came after it.
    pub durable_batches: u64,
    /// Of the batches, those that were acknowledged as written, without waiting for a flush.
    pub written_batches: u64,
    /// Payload bytes of the records.
    pub payload_bytes: u64,
    /// Bytes written to segments: headers, padding and segment headers included.
    pub device_bytes: u64,
    /// Of those, padding.
    pub padding_bytes: u64,
    /// Explicit flushes; none when each write is durable by itself.
    pub flushes: u64,
    /// Segments started.
    pub segments_started: u64,
    /// Segment files made ready, whether from nothing or from a truncated segment.
    pub segments_prepared: u64,
}
