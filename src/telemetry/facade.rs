//! The same events for the recorder of the [`metrics`] facade, whichever the program has
//! installed. Handles are taken once, when a log is opened, so a recorder installed later sees
//! nothing of it. Logs of one process add up.

use std::time::Duration;

use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

use super::{BatchOutcome, SubmittedBatch};

/// Handles of everything that is recorded.
pub(super) struct Facade {
    records: Counter,
    batches: Counter,
    markers: Counter,
    durable_batches: Counter,
    written_batches: Counter,
    payload_bytes: Counter,
    device_bytes: Counter,
    padding_bytes: Counter,
    flushes: Counter,
    segments_started: Counter,
    segments_prepared: Counter,
    group_wait: Histogram,
    encode: Histogram,
    submit_to_complete: Histogram,
    flush: Histogram,
    records_per_batch: Histogram,
    bytes_per_batch: Histogram,
    padding_per_batch: Histogram,
    segment_preparation: Histogram,
}

fn total(name: &'static str, unit: Unit, meaning: &'static str) -> Counter {
    describe_counter!(name, unit, meaning);
    counter!(name)
}

fn distribution(name: &'static str, unit: Unit, meaning: &'static str) -> Histogram {
    describe_histogram!(name, unit, meaning);
    histogram!(name)
}

impl Facade {
    pub(super) fn new() -> Self {
        use Unit::{Bytes, Count, Seconds};
        Self {
            records: total("plimsoll_records_total", Count, "Records in completed batches"),
            batches: total("plimsoll_batches_total", Count, "Completed batches, markers included"),
            markers: total("plimsoll_markers_total", Count, "Batches without records"),
            durable_batches: total(
                "plimsoll_durable_batches_total",
                Count,
                "Batches known to survive power loss",
            ),
            written_batches: total(
                "plimsoll_written_batches_total",
                Count,
                "Batches acknowledged without waiting for a flush",
            ),
            payload_bytes: total("plimsoll_payload_bytes_total", Bytes, "Payload of the records"),
            device_bytes: total(
                "plimsoll_device_bytes_total",
                Bytes,
                "Written to segments, headers and padding included",
            ),
            padding_bytes: total("plimsoll_padding_bytes_total", Bytes, "Padding of batches"),
            flushes: total("plimsoll_flushes_total", Count, "Explicit flushes"),
            segments_started: total("plimsoll_segments_started_total", Count, "Segments started"),
            segments_prepared: total(
                "plimsoll_segments_prepared_total",
                Count,
                "Segment files made ready",
            ),
            group_wait: distribution(
                "plimsoll_group_wait_seconds",
                Seconds,
                "From the first record of a batch to handing it to the device",
            ),
            encode: distribution(
                "plimsoll_encode_seconds",
                Seconds,
                "Encoding one record, one in 64 of them",
            ),
            submit_to_complete: distribution(
                "plimsoll_submit_to_complete_seconds",
                Seconds,
                "From handing a batch to the device to its completion",
            ),
            flush: distribution("plimsoll_flush_seconds", Seconds, "One explicit flush"),
            records_per_batch: distribution(
                "plimsoll_batch_records",
                Count,
                "Records of a batch, markers left out",
            ),
            bytes_per_batch: distribution(
                "plimsoll_batch_bytes",
                Bytes,
                "Size of a batch on disk, markers left out",
            ),
            padding_per_batch: distribution(
                "plimsoll_batch_padding_bytes",
                Bytes,
                "Padding of a batch, markers left out",
            ),
            segment_preparation: distribution(
                "plimsoll_segment_preparation_seconds",
                Seconds,
                "Making one segment file ready",
            ),
        }
    }

    pub(super) fn batch_completed(
        &self,
        batch: &SubmittedBatch,
        outcome: BatchOutcome,
        took_ns: u64,
    ) {
        self.records.increment(batch.records.into());
        self.batches.increment(1);
        self.payload_bytes.increment(batch.payload_bytes);
        self.device_bytes.increment(batch.device_bytes);
        self.padding_bytes.increment(batch.padding_bytes);
        match outcome {
            BatchOutcome::Durable => self.durable_batches.increment(1),
            BatchOutcome::AwaitsFlush => {}
            BatchOutcome::AcknowledgedWritten => self.written_batches.increment(1),
        }
        self.submit_to_complete.record(seconds(took_ns));
        if batch.is_marker() {
            self.markers.increment(1);
            return;
        }
        if let Some(waited_ns) = batch.group_wait_ns() {
            self.group_wait.record(seconds(waited_ns));
        }
        self.records_per_batch.record(batch.records);
        self.bytes_per_batch.record(batch.device_bytes as f64);
        self.padding_per_batch.record(batch.padding_bytes as f64);
    }

    pub(super) fn flush_completed(&self, covered_batches: u64, took_ns: u64) {
        self.flushes.increment(1);
        self.durable_batches.increment(covered_batches);
        self.flush.record(seconds(took_ns));
    }

    pub(super) fn encoded(&self, took_ns: u64) {
        self.encode.record(seconds(took_ns));
    }

    pub(super) fn segment_started(&self) {
        self.segments_started.increment(1);
    }

    pub(super) fn segment_prepared(&self, took_ns: u64) {
        self.segments_prepared.increment(1);
        self.segment_preparation.record(seconds(took_ns));
    }
}

fn seconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::*;
    use crate::telemetry::Telemetry;

    /// Everything a recorder was told: unit and value by name, of a histogram its values.
    fn recorded(events: impl FnOnce(&Telemetry)) -> BTreeMap<String, (Option<Unit>, Vec<f64>)> {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        metrics::with_local_recorder(&recorder, || events(&Telemetry::new()));
        let values = |value| match value {
            DebugValue::Counter(count) => vec![count as f64],
            DebugValue::Gauge(value) => vec![value.into_inner()],
            DebugValue::Histogram(values) => values.into_iter().map(Into::into).collect(),
        };
        let snapshot = snapshotter.snapshot().into_vec().into_iter();
        snapshot
            .map(|(key, unit, description, value)| {
                let name = key.key().name().to_owned();
                assert!(description.is_some(), "{name} is described");
                (name, (unit, values(value)))
            })
            .collect()
    }

    #[test]
    fn a_recorder_is_told_what_the_log_counts_in_units_of_its_own() {
        let batch = SubmittedBatch {
            records: 3,
            payload_bytes: 300,
            device_bytes: 4096,
            padding_bytes: 1000,
            first_reserved_ns: Some(5_000),
            submitted_ns: 10_000,
        };
        let marker = SubmittedBatch { records: 0, payload_bytes: 0, ..batch };
        let recorded = recorded(|telemetry| {
            telemetry.batch_completed(&batch, BatchOutcome::Durable, 50_000);
            telemetry.batch_completed(&marker, BatchOutcome::AwaitsFlush, 60_000);
            telemetry.batch_completed(&batch, BatchOutcome::AcknowledgedWritten, 20_000);
            let flush = telemetry.flush_submitted(70_000);
            telemetry.flush_completed(&flush, 90_000);
            telemetry.encoded(300);
            telemetry.segment_started();
            telemetry.segment_prepared(32_000_000);
        });
        let (count, bytes, seconds) = (Unit::Count, Unit::Bytes, Unit::Seconds);
        let expected: &[(&str, Unit, &[f64])] = &[
            ("batch_bytes", bytes, &[4096.0, 4096.0]),
            ("batch_padding_bytes", bytes, &[1000.0, 1000.0]),
            ("batch_records", count, &[3.0, 3.0]),
            ("batches_total", count, &[3.0]),
            ("device_bytes_total", bytes, &[3.0 * 4096.0]),
            ("durable_batches_total", count, &[3.0]),
            ("encode_seconds", seconds, &[300e-9]),
            ("flush_seconds", seconds, &[20e-6]),
            ("flushes_total", count, &[1.0]),
            ("group_wait_seconds", seconds, &[5e-6, 5e-6]),
            ("markers_total", count, &[1.0]),
            ("padding_bytes_total", bytes, &[3000.0]),
            ("payload_bytes_total", bytes, &[600.0]),
            ("records_total", count, &[6.0]),
            ("segment_preparation_seconds", seconds, &[0.032]),
            ("segments_prepared_total", count, &[1.0]),
            ("segments_started_total", count, &[1.0]),
            ("submit_to_complete_seconds", seconds, &[40e-6, 50e-6, 10e-6]),
            ("written_batches_total", count, &[1.0]),
        ];
        let expected: BTreeMap<_, _> = expected
            .iter()
            .map(|&(name, unit, values)| {
                (format!("plimsoll_{name}"), (Some(unit), values.to_vec()))
            })
            .collect();
        assert_eq!(recorded, expected);
    }
}
