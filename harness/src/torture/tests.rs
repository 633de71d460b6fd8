//! Controls: victims that lie and logs that were damaged, through the same steps as honest ones.
#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::records::{Identity, record};
use super::*;

/// A folder on the disk of the build, unless no log can be had there.
fn folder() -> Option<TempDir> {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("temporary folder");
    match workload::probe(&folder.path().join("probe")) {
        Ok(_) => Some(folder),
        Err(why) => {
            println!("skipped: {why:?}");
            None
        }
    }
}

/// One cycle with a script as the victim.
fn one_cycle(folder: &Path, says: &str) -> (Result<(), Trouble>, Summary) {
    let program = folder.join("victim");
    fs::write(&program, format!("#!/bin/sh\n{says}\nexec sleep 600\n")).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("executable");
    // In the first cycle of this seed the kill waits for an acknowledgement.
    let seed = (0..).find(|&seed| {
        let mut chance = Chance::new(seed, 0);
        chance.below(CYCLES_PER_LOG);
        Log::create(folder, seed, &mut chance)
            .and_then(|log| log.setup(None, &mut chance).map(|_| log))
            .and_then(Log::remove)
            .expect("a log");
        chance.moment().at_work
    });
    let mut summary = Summary::new(seed.expect("most do"), None);
    let mut cycles = 1;
    let mut run = Run { scratch: folder, settings: None, program, summary: &mut summary };
    let ended = run.cycles(&Ticker::new(true), || {
        cycles -= 1;
        cycles >= 0
    });
    (ended, summary)
}

fn breach(says: &str) -> Option<Breach> {
    let folder = folder()?;
    match one_cycle(folder.path(), says) {
        (Err(Trouble::Breach(breach)), summary) => {
            assert_eq!(summary.acknowledged_records, 0, "nothing is counted in its favour");
            Some(breach)
        }
        other => panic!("{says} is believed: {other:?}"),
    }
}

#[test]
fn a_victim_that_acknowledges_what_it_never_wrote_is_found_out() {
    let lost = Breach::Lost { lsn: 1, last_lsn: 0 };
    let Some(found) = breach("printf 'open 0\\nack 1 0 0\\n'") else { return };
    assert_eq!(found, lost);
    let twice = breach("printf 'open 0\\nack 1 0 0\\nack 1 1 0\\n'");
    assert_eq!(twice, Some(Breach::AcknowledgedTwice { lsn: 1 }));
    let elsewhere = breach("printf 'open 7\\nack 8 0 0\\n'");
    assert_eq!(elsewhere, Some(Breach::OtherEnd { found: 7, expected: 0 }));
    let failed = breach("printf 'open 0\\nerror flush: EIO\\n'; exit 1");
    assert_eq!(failed, Some(Breach::Refused { reason: "a writer: flush: EIO".to_owned() }));
}

#[test]
fn a_full_disk_is_no_loss() {
    let Some(folder) = folder() else { return };
    let (ended, _) = one_cycle(folder.path(), "echo full of it; exit 1");
    assert!(matches!(&ended, Err(Trouble::Full(reason)) if reason == "of it"), "{ended:?}");
}

/// A log of twenty records, one batch each, and what its writer would have told.
fn written(folder: &Path) -> (Setup, Testimony, Payloads) {
    let mut chance = Chance::new(1, 0);
    let log = Log::create(folder, 0, &mut chance).expect("a log");
    let setup = log.setup(None, &mut chance).expect("settings");
    let payloads = Payloads::new(5);
    let mut told =
        Testimony { opened_at: Some(0), clients: 1, outstanding: 1, ..Testimony::default() };
    let mut wal = SegmentedWal::open(setup.config.clone()).expect("opens");
    let mut payload = Vec::new();
    for sequence in 0..20 {
        let identity = Identity { cycle: 0, client: 0, sequence };
        payloads.fill(identity, &mut payload);
        let lsn = wal.append(&record(identity, &payload)).expect("appends");
        wal.sync().expect("syncs");
        told.acknowledged.insert(lsn.get(), (0, sequence));
    }
    wal.close().expect("closes");
    (setup, told, payloads)
}

#[test]
fn a_log_damaged_behind_the_victims_back_is_found_out() {
    let Some(folder) = folder() else { return };
    let (setup, told, payloads) = written(folder.path());
    let judge = |told: &Testimony| {
        recover(&setup, &mut Ledger::default(), told, &payloads, false)
            .map(|recovery| recovery.verdict.acknowledged)
    };
    assert!(matches!(judge(&told), Ok(20)), "as it was written");

    let mut segments: Vec<PathBuf> = fs::read_dir(&setup.config.dir)
        .expect("the log")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.to_string_lossy().ends_with("001.seg"))
        .collect();
    let segment = segments.pop().expect("the first segment");
    let whole = fs::read(&segment).expect("readable");
    let batches: Vec<usize> = whole
        .windows(4)
        .enumerate()
        .filter_map(|(at, bytes)| (bytes == b"PLB1").then_some(at))
        .collect();
    assert!(batches.len() > 1, "{batches:?}");
    // One damages a batch in the middle of the log, the other its beginning.
    for at in [batches[1] + 80, batches[0] + 5] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&segment, &damaged).expect("writable");
        let found = judge(&told);
        assert!(matches!(found, Err(Trouble::Breach(_))), "byte {at}: {found:?}");
    }
    fs::write(&segment, &whole).expect("writable");
    assert!(matches!(judge(&told), Ok(20)), "whole again");
}
