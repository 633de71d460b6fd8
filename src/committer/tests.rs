//! Callers whose time runs out while somebody else writes: the test itself takes the writer.

#[cfg(feature = "simulated")]
use std::slice;
use std::time::{Duration, Instant};

use super::{CommitPolicy, GroupCommitter, lead::Lead, state::Patience};
use crate::{
    config::SegmentedWalConfig,
    error::WalError,
    lsn::Lsn,
    record::{Record, RecordKind},
    sync::lock,
    wal::SegmentedWal,
};
#[cfg(feature = "simulated")]
use crate::{
    device::simulated::{DiskOptions, Fault, SimulatedDisk},
    level::Reach,
    wal::simulated,
};

fn committer() -> (tempfile::TempDir, GroupCommitter) {
    let target = env!("CARGO_MANIFEST_DIR");
    let dir = tempfile::Builder::new().prefix(".committer").tempdir_in(target).expect("writable");
    let mut config = SegmentedWalConfig::new(dir.path());
    (config.buffer_size, config.segment_size) = (4096, 1 << 20);
    config.idle_marker_after = Duration::from_secs(3600);
    let wal = SegmentedWal::open(config).expect("opens");
    (dir, GroupCommitter::start(wal, CommitPolicy::Greedy).expect("starts"))
}

fn record() -> Record<'static> {
    Record::new(RecordKind::PUT, vec![7; 100])
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(5)
}

fn take_lead(log: &GroupCommitter) -> Lead<'_> {
    Lead::take(log.shared(), lock(&log.shared().state)).expect("nobody writes").0
}

fn write(log: &GroupCommitter, lead: Lead<'_>) {
    lead.write_what_gathered(lock(&log.shared().state), Patience::Forever).expect("written");
}

/// With a batch that failed in flight for ever, and the next one waiting.
#[test]
#[cfg(feature = "simulated")]
fn whoever_leads_a_failed_log_is_told_so() {
    let fault = Some(Fault::Write(10));
    let disk = SimulatedDisk::new(DiskOptions { fault, ..DiskOptions::default() });
    let mut config = SegmentedWalConfig::new("");
    (config.buffer_size, config.segment_size, config.pipeline_depth) = (4096, 1 << 20, 1);
    config.idle_marker_after = Duration::from_secs(3600);
    let wal = simulated::open(&disk, config).expect("opens");
    let log = GroupCommitter::start(wal, CommitPolicy::Greedy).expect("starts");
    let large = Record::new(RecordKind::PUT, vec![7; 5000]);
    let append = || log.shared().append(slice::from_ref(&large), Reach::Durable, Patience::None);
    append().expect("there is room");
    let mut outcome = Ok(());
    while outcome.is_ok() {
        append().expect("there is room for one more");
        outcome = Lead::take(log.shared(), lock(&log.shared().state))
            .map(|(lead, state)| lead.write_what_gathered(state, Patience::None))
            .expect("nobody writes");
    }
    assert!(lock(&log.shared().state).has_work(), "the second batch waits");
    let next = log.shared().advance(Patience::None);
    assert!(next.is_err_and(|error| error.is_poisoned()));
}

#[test]
fn a_commit_gives_up_at_its_deadline_and_is_durable_later() {
    let (_dir, log) = committer();
    let lead = take_lead(&log);
    let deadline = soon();
    let outcome = log.commit_by(&record(), deadline);
    assert!(matches!(outcome, Err(WalError::DeadlineExceeded { lsn: Lsn::FIRST })), "{outcome:?}");
    assert!(Instant::now() >= deadline, "it waited");
    let commit = log.submit(&record()).expect("there is room");
    let outcome = commit.wait_until(soon());
    assert!(matches!(outcome, Err(WalError::DeadlineExceeded { .. })), "{outcome:?}");
    write(&log, lead);
    assert!(commit.is_durable());
    assert!(commit.wait_until(Instant::now()).is_ok(), "no time is needed");
}

#[test]
fn a_submission_gives_up_its_wait_for_a_buffer_at_its_deadline() {
    let (_dir, log) = committer();
    let lead = take_lead(&log);
    while log.try_submit(&record()).is_ok() {}
    let full_lsn = log.next_lsn();
    let deadline = soon();
    let outcome = log.submit_by(&record(), deadline);
    assert!(matches!(outcome, Err(WalError::QueueFull)), "{outcome:?}");
    assert!(Instant::now() >= deadline, "it waited");
    let outcome = log.commit_by(&record(), soon());
    assert!(matches!(outcome, Err(WalError::QueueFull)), "{outcome:?}");
    assert_eq!(log.next_lsn(), full_lsn, "nothing was appended");
    write(&log, lead);
    assert_eq!(log.commit(&record()).expect("the log goes on"), full_lsn);
}
