//! A writer that is killed at any moment has lost nothing that it acknowledged. A child process
//! commits and says so over a pipe; the parent kills it, opens the log and compares.
#![allow(clippy::print_stdout, reason = "the child's acknowledgements, the parent's seed")]

mod common;

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use common::{TestDir, key_ring, lsns, open, put, replay};
use plimsoll::{CommitPolicy, Durability, Engine, GroupCommitter, Preparation, SegmentedWalConfig};

const CYCLES: u64 = 24;
const DIR: &str = "PLIMSOLL_KILL_DIR";
const CYCLE: &str = "PLIMSOLL_KILL_CYCLE";
/// Repeats a run that failed.
const SEED: &str = "PLIMSOLL_KILL_SEED";

/// What is tried in turn, all on the same log.
fn config(dir: &Path, cycle: u64) -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig::new(dir).with_keys(key_ring());
    config.segment_size = 64 << 10;
    config.buffer_size = 16 << 10;
    config.engine = [Engine::Blocking, Engine::Uring][usize::from(cycle % 2 == 1)];
    config.durability = [Durability::Dsync, Durability::Fdatasync][usize::from(cycle % 4 > 1)];
    config.preparation = [Preparation::Zero, Preparation::Recycle][usize::from(cycle % 8 > 3)];
    config.pipeline_depth = if cycle.is_multiple_of(3) { 4 } else { 1 };
    config
}

/// Splitmix64, as published by Vigna: enough to choose moments.
fn random(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
#[ignore = "run by the test below, in a process of its own"]
fn child_commits_until_it_is_killed() {
    let (Ok(dir), Ok(cycle)) = (env::var(DIR), env::var(CYCLE)) else { return };
    let cycle: u64 = cycle.parse().expect("a number");
    let log = GroupCommitter::start(open(&config(dir.as_ref(), cycle)), CommitPolicy::FromConfig)
        .expect("start");
    thread::scope(|scope| {
        for client in 0..4u64 {
            let log = log.clone();
            scope.spawn(move || {
                for n in 0.. {
                    let payload = format!("{cycle} {client} {n} ").repeat(1 + n % 40);
                    let lsn = log.commit(&put(payload.as_bytes())).expect("commit");
                    // One write for a line, so that lines of two threads do not mix.
                    let line = format!("ack {lsn} {cycle} {client} {n}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent reads");
                    if lsn.get().is_multiple_of(64) {
                        log.truncate_before(lsn).expect("truncate");
                    }
                }
            });
        }
    });
}

/// Runs a child, kills it, and returns what it acknowledged: payloads by LSN.
fn acknowledged_before_the_kill(dir: &Path, cycle: u64, seed: u64) -> BTreeMap<u64, String> {
    let mut child = Command::new(env::current_exe().expect("this program"))
        .args(["--exact", "child_commits_until_it_is_killed", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .env(CYCLE, cycle.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut acknowledged = BTreeMap::new();
    let mut take = |line: &str| {
        let Some(words) = line.strip_prefix("ack ") else { return };
        let words: Vec<u64> = words.split(' ').map(|w| w.parse().expect("number")).collect();
        let [lsn, cycle, client, n] = words[..] else { panic!("{line}") };
        let repeat = usize::try_from(1 + n % 40).expect("small");
        acknowledged.insert(lsn, format!("{cycle} {client} {n} ").repeat(repeat));
    };
    // Some are killed while the log is being opened, most in the middle of their work.
    if !random(seed).is_multiple_of(4) {
        while let Some(line) = lines.next().map(|line| line.expect("UTF-8")) {
            take(&line);
            if line.starts_with("ack ") {
                break;
            }
        }
    }
    thread::sleep(Duration::from_micros(random(seed + 1) % 15_000));
    child.kill().expect("SIGKILL");
    child.wait().expect("it ends");
    for line in lines {
        let line = line.expect("UTF-8");
        // The kill may have cut the last line short.
        if line.split(' ').count() == 5 {
            take(&line);
        }
    }
    acknowledged
}

#[test]
fn a_killed_writer_has_lost_nothing_that_it_acknowledged() {
    let seed = env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("{SEED}={seed}");
    let dir = TestDir::new("kill");
    let mut total = 0;
    for cycle in 0..CYCLES {
        let acknowledged = acknowledged_before_the_kill(dir.path(), cycle, seed + 2 * cycle);
        let wal = open(&config(dir.path(), cycle + 1));
        let floor = wal.recovery().floor.get();
        let records = replay(&wal);
        let dense: Vec<_> = (floor..).take(records.len()).collect();
        assert_eq!(lsns(&records), dense, "cycle {cycle}");
        for (lsn, payload) in acknowledged.range(floor..) {
            let index = usize::try_from(lsn - floor).expect("small");
            let record = records.get(index).unwrap_or_else(|| panic!("LSN {lsn}, cycle {cycle}"));
            assert_eq!(record.payload(), payload.as_bytes(), "LSN {lsn}, cycle {cycle}");
        }
        total += acknowledged.len();
        drop(wal);
    }
    assert!(total > 100, "only {total} acknowledgements in {CYCLES} lives");
}
