//! Counters of what a log has written since it was opened.

/// What a log has written since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalStats {
    /// Records in batches handed to the device.
    pub records: u64,
    /// Batches handed to the device: each is one device write.
    pub batches: u64,
    /// Of those, markers without records.
    pub markers: u64,
    /// Payload bytes of the records.
    pub payload_bytes: u64,
    /// Bytes handed to the device: headers, padding and segment headers included.
    pub device_bytes: u64,
    /// Of those, padding.
    pub padding_bytes: u64,
    /// Explicit flushes; none when each write is durable by itself.
    pub flushes: u64,
    /// Segments started.
    pub segments_started: u64,
}
