//! Whole trials on a real disk. Where the temporary directory has no direct I/O they say so and
//! pass.

use super::*;
use crate::profile::default_settings;

/// A directory for a log on the disk that the build is on, or `None` with a message.
pub(super) fn directory() -> Option<tempfile::TempDir> {
    let program = std::env::current_exe().expect("this test's own path");
    let folder = program.parent().expect("a folder of the build's own");
    let directory = tempfile::tempdir_in(folder).expect("temporary folder");
    match probe(&directory.path().join("probe")) {
        Ok(_) => Some(directory),
        Err(error) => {
            println!("skipped: {error:?}");
            None
        }
    }
}

pub(super) fn small() -> Settings {
    Settings { segment_size_bytes: 256 << 10, engine: "blocking".into(), ..default_settings() }
}

/// A shape that lives as long as the tests do.
fn fixed(bytes: u64) -> &'static RecordShape {
    Box::leak(Box::new(RecordShape::fixed(bytes)))
}

pub(super) fn load<'a>(settings: &'a Settings, directory: &'a Path) -> Load<'a> {
    let (warmup, measured) = (Duration::from_millis(10), Duration::from_millis(40));
    let callers = Callers::Threads;
    let shape = fixed(settings.record_size_bytes);
    Load { settings, shape, callers, directory, seed: 3, warmup, measured, under_watch: true }
}

#[test]
fn a_trial_measures_and_verifies_what_it_wrote() {
    let Some(root) = directory() else { return };
    for (index, encryption) in [false, true].into_iter().enumerate() {
        let settings = Settings { encryption, ..small() };
        let directory = root.path().join(index.to_string());
        let found = run(&load(&settings, &directory)).expect("a trial");
        assert!(found.commits > 0 && found.commit_groups > 0, "{found:?}");
        assert!(found.verified_records >= found.commits, "warm-up is verified too: {found:?}");
        assert!(found.device_bytes >= found.payload_bytes);
        let by_interval: u64 = found.interval_latency_ns.iter().map(Histogram::len).sum();
        assert_eq!(by_interval, found.latency_ns.len());
        assert!(found.engine_active.starts_with("blocking: "), "{}", found.engine_active);
        assert!(found.durable_checks > 0, "{found:?}");
    }
}

#[test]
fn records_too_short_for_their_numbers_and_empty_ones_are_verified_too() {
    let Some(root) = directory() else { return };
    for record_size_bytes in [0, 1, 20_000] {
        let settings = Settings { record_size_bytes, clients: 2, ..small() };
        let directory = root.path().join(record_size_bytes.to_string());
        let found = run(&load(&settings, &directory)).expect("a trial");
        assert!(found.verified_records > 0);
    }
}

#[test]
fn an_alignment_that_the_device_cannot_keep_is_refused_in_the_librarys_words() {
    let Some(root) = directory() else { return };
    let natural = probe(&root.path().join("geometry")).expect("a usable disk");
    if natural <= 512 {
        println!("skipped: this device takes every alignment");
        return;
    }
    let settings = Settings { alignment_bytes: 512, ..small() };
    match run(&load(&settings, &root.path().join("log"))) {
        Err(Problem::Refused(reason)) => assert!(reason.contains("alignment 512"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_directory_that_cannot_be_is_a_failure_with_its_path() {
    let Some(root) = directory() else { return };
    let file = root.path().join("file");
    std::fs::write(&file, "x").expect("a file");
    match run(&load(&small(), &file.join("log"))) {
        Err(Problem::Failed(reason)) => assert!(reason.contains("file/log"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn tasks_and_an_owners_clients_are_measured_and_verified_like_threads() {
    let Some(root) = directory() else { return };
    for callers in [Callers::Tasks, Callers::Owner] {
        let settings = Settings { clients: 50, ..small() };
        let directory = root.path().join(format!("{callers:?}"));
        let load = Load { callers, ..load(&settings, &directory) };
        let found = run(&load).expect("a trial");
        assert!(found.commits > 50 && found.verified_records >= found.commits, "{found:?}");
        assert!(found.commit_groups * 2 < found.commits, "they share batches: {found:?}");
        assert!(found.latency_ns.len() >= 50 && found.durable_checks > 0, "{found:?}");
    }
}

#[test]
fn a_trial_that_nobody_watches_is_looked_at_no_further() {
    let Some(root) = directory() else { return };
    let settings = small();
    let directory = root.path().join("log");
    let load = Load { under_watch: false, ..load(&settings, &directory) };
    let found = run(&load).expect("a trial");
    assert_eq!((found.durable_checks, found.page_cache_growth_bytes), (0, None));
}

#[test]
fn a_log_that_is_truncated_under_load_is_verified_as_far_as_it_is_there() {
    let Some(root) = directory() else { return };
    let settings = Settings { segment_size_bytes: 64 << 10, clients: 2, ..small() };
    let directory = root.path().join("log");
    let load = Load { measured: Duration::from_millis(200), ..load(&settings, &directory) };
    let (found, disruptions) = run_truncating(&load, Duration::from_millis(5)).expect("a trial");
    assert!(disruptions.rollovers > 0 && disruptions.truncations > 0, "{disruptions:?}");
    assert!(!disruptions.near_latency_ns.is_empty());
    assert!(disruptions.near_latency_ns.max() <= found.latency_ns.max());
    assert!(found.verified_records > 0, "{found:?}");
    assert!(found.verified_records < found.commits, "some were truncated: {found:?}");
}

#[test]
fn sizes_and_tenants_of_a_closed_loop_are_those_that_were_asked_for() {
    let Some(root) = directory() else { return };
    let sizes = "mix:100B=50,1100B=50".parse().expect("sizes");
    let shape = RecordShape { sizes, tenants: 7, compressible: 0.5, trace: None };
    let settings = Settings { encryption: true, ..small() };
    for callers in [Callers::Threads, Callers::Tasks] {
        let directory = root.path().join(format!("{callers:?}"));
        // Long enough for a few hundred records of a busy machine.
        let measured = Duration::from_millis(500);
        let load = Load { shape: &shape, callers, measured, ..load(&settings, &directory) };
        // Every record is compared with what its numbers say, its tenant included.
        let found = run(&load).expect("a trial");
        assert!(found.verified_records >= found.commits, "{callers:?}");
        let mean_bytes = found.payload_bytes as f64 / found.commits as f64;
        assert!((450.0..750.0).contains(&mean_bytes), "{mean_bytes} of 600, {}", found.commits);
    }
}

#[test]
fn a_log_that_cannot_be_read_is_no_log_that_ends() {
    use plimsoll::simulated::{DiskOptions, SimulatedDisk, examine, open};

    let disk = SimulatedDisk::new(DiskOptions::default());
    let mut config = SegmentedWalConfig::default();
    config.preparation = Preparation::None;
    let mut wal = open(&disk, config).expect("a new log");
    wal.append(&plimsoll::Record::new(RecordKind::PUT, vec![7; 3000])).expect("append");
    wal.sync().expect("sync");
    disk.end_process();
    drop(wal);
    let disk = disk.copy();
    let found = examine(&disk, None).expect("whole");
    let is_written = |name: &String| disk.read(name).is_some_and(|bytes| bytes.contains(&7));
    let name = disk.names().into_iter().find(is_written).expect("the segment");
    let mut bytes = disk.read(&name).expect("it is there");
    let last = bytes.iter().rposition(|byte| *byte == 7).expect("the payload");
    bytes[last] ^= 1;
    disk.write(&name, bytes);

    let payloads = Payloads::new(1, 64).expect("length");
    let compared = compare(&mut found.records(Lsn::NONE), &payloads, &[]);
    let Err(Mismatch::Unreadable { reason }) = compared else { panic!("{compared:?}") };
    assert!(reason.contains("acknowledged records are lost"), "{reason}");
}
