//! What a log says about itself agrees with what was done to it.

mod common;

use common::{TestDir, commit_each, open, put};
use plimsoll::{CommitPolicy, Durability, GroupCommitter, SegmentedWal, WalStats};

const COMMITS: u64 = 20;

/// A log in which each of [`COMMITS`] records made a batch of its own.
fn log_of_single_commits(dir: &TestDir, durability: Durability) -> SegmentedWal {
    let mut config = dir.config();
    config.durability = durability;
    let mut wal = open(&config);
    commit_each(&mut wal, (0..COMMITS).map(|_| [7; 100]));
    wal
}

fn check(stats: &WalStats, durability: Durability) {
    let counters = &stats.counters;
    assert_eq!(counters.records, COMMITS);
    assert_eq!(counters.batches - counters.markers, COMMITS);
    assert_eq!(counters.durable_batches, counters.batches, "all was synced");
    assert_eq!(counters.written_batches, 0);
    assert_eq!(counters.segments_started, 1);
    assert!(counters.segments_prepared >= 1);

    let histograms = &stats.histograms;
    assert_eq!(histograms.submit_to_complete_ns.count(), counters.batches);
    assert_eq!(histograms.flush_ns.count(), counters.flushes);
    assert_eq!(counters.flushes > 0, durability == Durability::Fdatasync);
    assert_eq!(histograms.records_per_batch.buckets().collect::<Vec<_>>(), [(1, COMMITS)]);
    assert_eq!(histograms.bytes_per_batch.count(), COMMITS);
    assert!(histograms.bytes_per_batch.value_at_quantile(0.0) >= common::BLOCK_BYTES);
    assert_eq!(histograms.segment_preparation_ns.count(), counters.segments_prepared);

    // The smoothed time lies between the fastest and the slowest that was seen.
    let slowest_ns =
        histograms.submit_to_complete_ns.summary().max + histograms.flush_ns.summary().max;
    assert!((1..=slowest_ns).contains(&stats.pace.durable_write_ns), "{stats:?}");
    assert!(stats.pace.arrivals_per_second > 0.0);
}

#[test]
fn a_log_with_one_owner_counts_each_batch_once() {
    for durability in [Durability::Dsync, Durability::Fdatasync] {
        let dir = TestDir::new("stats");
        let wal = log_of_single_commits(&dir, durability);
        check(&wal.stats(), durability);
        assert_eq!(wal.stats().engine, *wal.engine());
    }
}

#[test]
fn a_committer_goes_on_counting_where_its_log_was() {
    for durability in [Durability::Dsync, Durability::Fdatasync] {
        let dir = TestDir::new("stats-committer");
        let wal = log_of_single_commits(&dir, durability);
        let committer = GroupCommitter::start(wal, CommitPolicy::Greedy).expect("start");
        let before = committer.stats();
        check(&before, durability);
        committer.commit_batch(&[put(b"both"), put(b"or none")]).expect("commit");
        let after = committer.stats();
        assert_eq!(after.counters.records, COMMITS + 2);
        let since = |histogram: fn(&WalStats) -> &plimsoll::WalHistogram| {
            histogram(&after).since(histogram(&before)).buckets().collect::<Vec<_>>()
        };
        assert_eq!(since(|stats| &stats.histograms.records_per_batch), [(2, 1)]);
        assert_eq!(since(|stats| &stats.histograms.submit_to_complete_ns).len(), 1);
    }
}
