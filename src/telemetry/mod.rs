//! What a log tells about itself: counters, distributions, its present pace, and the commit window
//! that follows from that. Numbers only: whoever does the work says what happened and when.

mod counters;
#[cfg(feature = "metrics")]
mod facade;
mod histogram;
mod histograms;
mod pace;
mod window;

use std::{fmt, sync::Arc, time::Instant};

pub use counters::WalCounters;
pub use histogram::{HistogramSummary, WalHistogram};
pub use histograms::WalHistograms;
pub use pace::CommitPace;
use pace::PaceEstimator;
pub(crate) use window::WindowController;

use crate::{
    lsn::Lsn,
    sync::{Mutex, lock, now},
};

/// Where everything that happens in a log is noted. Clones note in the same place, so that the
/// threads that write, prepare segments and answer questions each have one.
///
/// A batch costs one short lock, when it completes; an event takes some 10 to 100 ns. Times are
/// nanoseconds on the log's own clock, [`Telemetry::now_ns`].
#[derive(Clone)]
pub(crate) struct Telemetry {
    shared: Arc<Shared>,
}

struct Shared {
    origin: Instant,
    noted: Mutex<Noted>,
    #[cfg(feature = "metrics")]
    facade: facade::Facade,
}

#[derive(Debug)]
struct Noted {
    counters: WalCounters,
    histograms: WalHistograms,
    pace: PaceEstimator,
    /// Completed batches that no flush has begun for.
    unflushed_batches: u64,
    /// From submit to complete of the newest of them.
    unflushed_write_ns: u64,
}

/// A batch on its way to the device: kept by the writer until it completes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SubmittedBatch {
    pub(crate) records: u32,
    pub(crate) payload_bytes: u64,
    /// On disk, with padding and the segment header if it goes along.
    pub(crate) device_bytes: u64,
    pub(crate) padding_bytes: u64,
    /// When its first record got its place; `None` for a marker.
    pub(crate) first_reserved_ns: Option<u64>,
    /// When it was handed to the device.
    pub(crate) submitted_ns: u64,
}

/// What the completion of a batch's write means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchOutcome {
    /// The write was durable by itself.
    Durable,
    /// Nobody is told before a flush.
    AwaitsFlush,
    /// Those who asked for no more than that are told now.
    AcknowledgedWritten,
}

/// A flush on its way to the device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SubmittedFlush {
    submitted_ns: u64,
    /// Batches it makes durable: those whose writes had completed.
    covered_batches: u64,
    newest_write_ns: u64,
}

/// Everything noted, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) counters: WalCounters,
    pub(crate) histograms: WalHistograms,
    pub(crate) pace: CommitPace,
}

/// Whether the encoding of this record is to be timed: one in 64, and spread so that no pattern of
/// the embedder's falls in with it. (Multiplying by 2^64 over the golden ratio spreads consecutive
/// numbers evenly: Knuth, The Art of Computer Programming 3, 6.4.)
pub(crate) fn times_encoding_of(lsn: Lsn) -> bool {
    lsn.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - 6) == 0
}

impl SubmittedBatch {
    fn is_marker(&self) -> bool {
        self.records == 0
    }

    fn group_wait_ns(&self) -> Option<u64> {
        self.first_reserved_ns.map(|reserved_ns| self.submitted_ns.saturating_sub(reserved_ns))
    }
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        let noted = Noted {
            counters: WalCounters::default(),
            histograms: WalHistograms::new(),
            pace: PaceEstimator::default(),
            unflushed_batches: 0,
            unflushed_write_ns: 0,
        };
        Self {
            shared: Arc::new(Shared {
                origin: now(),
                noted: Mutex::new(noted),
                #[cfg(feature = "metrics")]
                facade: facade::Facade::new(),
            }),
        }
    }

    /// The time on the log's clock.
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(now().duration_since(self.shared.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The write of a batch has completed.
    pub(crate) fn batch_completed(
        &self,
        batch: &SubmittedBatch,
        outcome: BatchOutcome,
        now_ns: u64,
    ) {
        let took_ns = now_ns.saturating_sub(batch.submitted_ns);
        lock(&self.shared.noted).batch_completed(batch, outcome, now_ns, took_ns);
        #[cfg(feature = "metrics")]
        self.shared.facade.batch_completed(batch, outcome, took_ns);
    }

    /// A flush begins now; it covers the batches whose completion has been noted.
    pub(crate) fn flush_submitted(&self, now_ns: u64) -> SubmittedFlush {
        let mut noted = lock(&self.shared.noted);
        SubmittedFlush {
            submitted_ns: now_ns,
            covered_batches: std::mem::take(&mut noted.unflushed_batches),
            newest_write_ns: noted.unflushed_write_ns,
        }
    }

    /// A flush has completed.
    pub(crate) fn flush_completed(&self, flush: &SubmittedFlush, now_ns: u64) {
        let took_ns = now_ns.saturating_sub(flush.submitted_ns);
        lock(&self.shared.noted).flush_completed(flush, took_ns);
        #[cfg(feature = "metrics")]
        self.shared.facade.flush_completed(flush.covered_batches, took_ns);
    }

    /// A record for which [`times_encoding_of`] said so has been encoded. Any thread may say it;
    /// a sample is dropped rather than waited with.
    pub(crate) fn encoded(&self, took_ns: u64) {
        if let Ok(mut noted) = self.shared.noted.try_lock() {
            noted.histograms.encode_ns.record(took_ns);
        }
        #[cfg(feature = "metrics")]
        self.shared.facade.encoded(took_ns);
    }

    /// A segment was started.
    pub(crate) fn segment_started(&self) {
        lock(&self.shared.noted).counters.segments_started += 1;
        #[cfg(feature = "metrics")]
        self.shared.facade.segment_started();
    }

    /// A segment file was made ready.
    pub(crate) fn segment_prepared(&self, took_ns: u64) {
        let mut noted = lock(&self.shared.noted);
        noted.counters.segments_prepared += 1;
        noted.histograms.segment_preparation_ns.record(took_ns);
        drop(noted);
        #[cfg(feature = "metrics")]
        self.shared.facade.segment_prepared(took_ns);
    }

    /// The counters alone, which are cheap to copy.
    pub(crate) fn counters(&self) -> WalCounters {
        lock(&self.shared.noted).counters
    }

    /// The present pace alone.
    pub(crate) fn pace(&self) -> CommitPace {
        let now_ns = self.now_ns();
        lock(&self.shared.noted).pace.at(now_ns)
    }

    /// A copy of everything, under 80 KiB. Batches wait a few microseconds meanwhile.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let now_ns = self.now_ns();
        let noted = lock(&self.shared.noted);
        Snapshot {
            counters: noted.counters,
            histograms: noted.histograms.clone(),
            pace: noted.pace.at(now_ns),
        }
    }
}

impl Noted {
    fn batch_completed(
        &mut self,
        batch: &SubmittedBatch,
        outcome: BatchOutcome,
        now_ns: u64,
        took_ns: u64,
    ) {
        let counters = &mut self.counters;
        counters.records += u64::from(batch.records);
        counters.batches += 1;
        counters.markers += u64::from(batch.is_marker());
        counters.payload_bytes += batch.payload_bytes;
        counters.device_bytes += batch.device_bytes;
        counters.padding_bytes += batch.padding_bytes;
        if outcome == BatchOutcome::Durable {
            counters.durable_batches += 1;
            self.pace.durable_write(took_ns);
        } else {
            self.unflushed_batches += 1;
            self.unflushed_write_ns = took_ns;
        }
        counters.written_batches += u64::from(outcome == BatchOutcome::AcknowledgedWritten);
        self.pace.batch(now_ns, batch.records);

        let histograms = &mut self.histograms;
        histograms.submit_to_complete_ns.record(took_ns);
        if batch.is_marker() {
            return;
        }
        if let Some(waited_ns) = batch.group_wait_ns() {
            histograms.group_wait_ns.record(waited_ns);
        }
        histograms.records_per_batch.record(batch.records.into());
        histograms.bytes_per_batch.record(batch.device_bytes);
        histograms.padding_bytes_per_batch.record(batch.padding_bytes);
    }

    fn flush_completed(&mut self, flush: &SubmittedFlush, took_ns: u64) {
        self.counters.flushes += 1;
        self.counters.durable_batches += flush.covered_batches;
        self.histograms.flush_ns.record(took_ns);
        if flush.covered_batches > 0 {
            self.pace.durable_write(flush.newest_write_ns.saturating_add(took_ns));
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(records: u32, submitted_ns: u64) -> SubmittedBatch {
        SubmittedBatch {
            records,
            payload_bytes: u64::from(records) * 100,
            device_bytes: 4096,
            padding_bytes: 1000,
            first_reserved_ns: (records > 0).then(|| submitted_ns - 5_000),
            submitted_ns,
        }
    }

    #[test]
    fn a_durable_batch_is_in_every_sum_and_distribution() {
        let telemetry = Telemetry::new();
        telemetry.batch_completed(&batch(3, 10_000), BatchOutcome::Durable, 50_000);
        let Snapshot { counters, histograms, pace } = telemetry.snapshot();
        let expected = WalCounters {
            records: 3,
            batches: 1,
            durable_batches: 1,
            payload_bytes: 300,
            device_bytes: 4096,
            padding_bytes: 1000,
            ..WalCounters::default()
        };
        assert_eq!(counters, expected);
        let maximum = |histogram: &WalHistogram| {
            assert_eq!(histogram.count(), 1);
            histogram.summary().max
        };
        assert!((5_000..5_256).contains(&maximum(&histograms.group_wait_ns)));
        assert!((40_000..40_320).contains(&maximum(&histograms.submit_to_complete_ns)));
        assert_eq!(maximum(&histograms.records_per_batch), 3);
        assert!((4_096..4_352).contains(&maximum(&histograms.bytes_per_batch)));
        assert!((1_000..1_064).contains(&maximum(&histograms.padding_bytes_per_batch)));
        assert_eq!(pace.durable_write_ns, 40_000);
    }

    #[test]
    fn a_marker_is_a_batch_and_a_write_and_nothing_else() {
        let telemetry = Telemetry::new();
        telemetry.batch_completed(&batch(0, 10_000), BatchOutcome::Durable, 50_000);
        let Snapshot { counters, histograms, .. } = telemetry.snapshot();
        assert_eq!((counters.batches, counters.markers, counters.records), (1, 1, 0));
        assert_eq!(histograms.submit_to_complete_ns.count(), 1);
        for histogram in [
            &histograms.group_wait_ns,
            &histograms.records_per_batch,
            &histograms.bytes_per_batch,
            &histograms.padding_bytes_per_batch,
        ] {
            assert_eq!(histogram.count(), 0);
        }
    }

    #[test]
    fn a_flush_makes_durable_what_had_completed_when_it_began() {
        let telemetry = Telemetry::new();
        telemetry.batch_completed(&batch(1, 10_000), BatchOutcome::AwaitsFlush, 30_000);
        telemetry.batch_completed(&batch(1, 40_000), BatchOutcome::AcknowledgedWritten, 65_000);
        assert_eq!(telemetry.counters().durable_batches, 0);
        assert_eq!(telemetry.pace().durable_write_ns, 0, "a write alone is not durable");
        let flush = telemetry.flush_submitted(70_000);
        telemetry.batch_completed(&batch(1, 70_000), BatchOutcome::AwaitsFlush, 80_000);
        telemetry.flush_completed(&flush, 90_000);
        let counters = telemetry.counters();
        assert_eq!((counters.batches, counters.durable_batches, counters.flushes), (3, 2, 1));
        assert_eq!(counters.written_batches, 1);
        assert_eq!(telemetry.pace().durable_write_ns, 45_000, "the last write and the flush");
        let flush = telemetry.flush_submitted(90_000);
        telemetry.flush_completed(&flush, 95_000);
        assert_eq!(telemetry.counters().durable_batches, 3);
        assert_eq!(telemetry.snapshot().histograms.flush_ns.count(), 2);
    }

    #[test]
    fn one_record_in_64_is_timed_whatever_the_step() {
        for step in [1, 2, 10, 63, 64, 65, 1000, 1024] {
            let timed = (0..64_000).filter(|n| times_encoding_of(Lsn::new(1 + n * step))).count();
            assert!((900..1100).contains(&timed), "step {step}: {timed}");
        }
    }

    #[test]
    fn segments_and_samples_are_noted_through_any_clone() {
        let telemetry = Telemetry::new();
        let clone = telemetry.clone();
        clone.segment_prepared(32_000_000);
        clone.segment_started();
        clone.encoded(300);
        let Snapshot { counters, histograms, .. } = telemetry.snapshot();
        assert_eq!((counters.segments_prepared, counters.segments_started), (1, 1));
        assert_eq!(histograms.segment_preparation_ns.count(), 1);
        assert_eq!(histograms.encode_ns.count(), 1);
    }

    #[test]
    fn the_clock_of_a_log_begins_with_it() {
        let telemetry = Telemetry::new();
        let first = telemetry.now_ns();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(telemetry.clone().now_ns() - first >= 2_000_000);
    }

    /// `cargo test --release telemetry -- --ignored --nocapture` prints what noting costs.
    #[test]
    #[ignore = "a measurement: it prints a time and judges the counts only"]
    #[allow(clippy::print_stdout, reason = "its result")]
    fn cost_of_a_batch() {
        const BATCHES: u32 = 1_000_000;
        let telemetry = Telemetry::new();
        let began = Instant::now();
        for _ in 0..BATCHES {
            // As a writer does: it reads the clock when a batch starts, is submitted, completes.
            let first_reserved_ns = telemetry.now_ns();
            let submitted_ns = telemetry.now_ns();
            let submitted = SubmittedBatch {
                first_reserved_ns: Some(first_reserved_ns),
                ..batch(8, submitted_ns + 5_000)
            };
            telemetry.batch_completed(&submitted, BatchOutcome::Durable, telemetry.now_ns());
        }
        let batch_ns = began.elapsed().as_nanos() / u128::from(BATCHES);
        let began = Instant::now();
        let snapshots = (0..1000).map(|_| telemetry.snapshot().counters.batches);
        assert_eq!(snapshots.sum::<u64>(), 1000 * u64::from(BATCHES));
        let snapshot_ns = began.elapsed().as_nanos() / 1000;
        println!("{batch_ns} ns a batch, clock included; {snapshot_ns} ns a snapshot");
    }
}
