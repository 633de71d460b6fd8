//! Where keys are in memory. A child process uses an encrypted log; its parent, which knows the
//! keys, looks through all of the child's memory for them, for the keys derived from them and for
//! every round key of those: while the log is in use each has to be in a page that is left out of
//! core dumps and locked, and nowhere else; after the last handle is dropped, nowhere at all.
#![allow(clippy::print_stderr, reason = "a skipped test says why")]
#![allow(clippy::print_stdout, reason = "the child's steps")]

mod common;
#[path = "key_memory/process.rs"]
mod process;
#[path = "key_memory/schedule.rs"]
mod schedule;

use std::{
    env, fs,
    io::{BufRead, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    thread,
};

use common::{TestDir, put, segment_paths};
use hkdf::Hkdf;
use plimsoll::{
    CommitPolicy, GroupCommitter, KeyRing, Lsn, SegmentedWal, SegmentedWalConfig,
    simulated::{Sabotage, with_sabotage},
};
use process::{Child, Finding, core_dump_of};
use schedule::round_keys;
use sha2::Sha256;

const DIR: &str = "PLIMSOLL_KEY_DIR";
const BUG: &str = "PLIMSOLL_KEY_BUG";
/// Records that the child seals: what sealing leaves behind is looked for, too.
const RECORDS: usize = 200;

/// Waits until the parent has looked.
fn pause(step: &str) {
    println!("step {step}");
    std::io::stdout().flush().expect("the parent reads");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).expect("the parent answers");
}

#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn child_uses_an_encrypted_log() {
    let Ok(dir) = env::var(DIR) else { return };
    let bug = env::var(BUG).ok();
    let bug = Sabotage::ENCRYPTION.into_iter().find(|b| Some(format!("{b:?}")) == bug);
    with_sabotage(bug, || use_a_log(dir.as_ref()));
    pause("dropped");
}

/// The keys come from files: nothing but the library ever has them.
fn use_a_log(dir: &Path) {
    let ring = |id: u64| KeyRing::from_file(id, dir.join(format!("key-{id}"))).expect("key file");
    let mut config = SegmentedWalConfig::new(dir.join("log")).with_keys(ring(1));
    config.segment_size = 64 << 10;
    let mut wal = SegmentedWal::open(config.clone()).expect("opens");
    let payload = [0xee; 300];
    for n in 0..RECORDS {
        // Every remainder by the cipher's block, with few blocks and with many.
        wal.append(&put(&payload[..n + n / 2])).expect("append");
        if n.is_multiple_of(7) {
            wal.sync().expect("sync");
        }
    }
    wal.rotate_keys(ring(2)).expect("rotate");
    let log = GroupCommitter::start(wal, CommitPolicy::FromConfig).expect("start");
    thread::scope(|scope| {
        for len in [300, 5000] {
            let (log, payload) = (log.clone(), vec![0xee; len]);
            scope.spawn(move || {
                for _ in 0..50 {
                    log.commit(&put(&payload)).expect("commit");
                }
            });
        }
    });
    let page = log.replay_from(Lsn::FIRST).expect("replay");
    assert_eq!(page.collect::<Result<Vec<_>, _>>().expect("whole").len(), RECORDS + 100);
    drop(config);
    pause("in-use");
    log.close().expect("close");
    drop(log);
}

/// A secret to look for, and what to call it.
struct Needle {
    name: String,
    bytes: [u8; 16],
}

struct Setup {
    dir: TestDir,
    masters: [[u8; 32]; 2],
}

impl Setup {
    fn new(name: &str) -> Self {
        let dir = TestDir::new(name);
        let masters = [(); 2].map(|()| {
            let mut key = [0; 32];
            getrandom::fill(&mut key).expect("random numbers");
            key
        });
        for (id, key) in (1..).zip(&masters) {
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            let mut file = options.open(dir.path().join(format!("key-{id}"))).expect("create");
            file.write_all(key).expect("write");
        }
        fs::create_dir(dir.path().join("log")).expect("create");
        Self { dir, masters }
    }

    fn child(&self, bug: Option<Sabotage>, dumps_core: bool) -> Child {
        let mut variables = vec![(DIR, self.dir.path().display().to_string())];
        variables.extend(bug.map(|bug| (BUG, format!("{bug:?}"))));
        Child::start("child_uses_an_encrypted_log", &variables, dumps_core.then(|| self.dir.path()))
    }

    /// Master keys, halved, and the round keys of every segment's key: the first two of them are
    /// that key.
    fn needles(&self) -> Vec<Needle> {
        let mut needles = Vec::new();
        let mut add = |name: String, bytes: &[u8]| {
            let bytes = bytes.try_into().expect("16 bytes");
            needles.push(Needle { name, bytes });
        };
        for (id, key) in (1..).zip(&self.masters) {
            key.chunks(16).for_each(|half| add(format!("half of master key {id}"), half));
        }
        for path in segment_paths(&self.dir.path().join("log")) {
            let header = fs::read(&path).expect("a segment");
            let id = usize::from(header[128]);
            // `docs/format.md`, "Encryption".
            let info = [b"plimsoll v1 segment key", &header[24..48]].concat();
            let hkdf = Hkdf::<Sha256>::new(Some(&header[96..128]), &self.masters[id - 1]);
            let mut key = [0; 32];
            hkdf.expand(&info, &mut key).expect("32 bytes");
            for (round, bytes) in round_keys(&key).iter().enumerate() {
                add(format!("round key {round} of segment {}", header[40]), bytes);
            }
        }
        needles
    }
}

fn find(child: &Child, needles: &[Needle]) -> Option<Vec<Finding>> {
    let names: Vec<_> = needles.iter().map(|needle| needle.name.as_str()).collect();
    let bytes: Vec<_> = needles.iter().map(|needle| needle.bytes).collect();
    child.find(&names, &bytes)
}

/// What is wrong with where the keys are; `None` if this system does not let one look.
fn problems(name: &str, bug: Option<Sabotage>) -> Option<Vec<String>> {
    let setup = Setup::new(name);
    let mut child = setup.child(bug, false);
    child.wait_for("in-use");
    let needles = setup.needles();
    let Some(in_use) = find(&child, &needles) else {
        eprintln!("skipped: the memory of a child process cannot be read here");
        return None;
    };
    let mut problems = Vec::new();
    let found = |name: &str| in_use.iter().any(|finding| finding.name.starts_with(name));
    if !["half of master key 1", "half of master key 2", "round key 1 "].iter().all(|n| found(n)) {
        problems.push(format!("keys in use are not found: {} needles", needles.len()));
    }
    let may_be_locked = child.may_lock_memory();
    if !may_be_locked {
        eprintln!("skipped in part: RLIMIT_MEMLOCK does not allow to lock pages here");
    }
    for finding in &in_use {
        let flags = if may_be_locked { &["dd", "dc", "lo"][..] } else { &["dd", "dc"] };
        if !flags.iter().all(|flag| finding.flags.contains(&(*flag).to_owned())) {
            problems.push(format!("in use: {finding}"));
        }
    }
    child.go_on();
    child.wait_for("dropped");
    let left = find(&child, &needles).expect("as before");
    problems.extend(left.iter().map(|finding| format!("after the drop: {finding}")));
    child.go_on();
    child.ends_well();
    Some(problems)
}

#[test]
fn keys_are_in_protected_pages_only_and_nowhere_once_dropped() {
    let Some(problems) = problems("key-memory", None) else { return };
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn every_seeded_bug_is_caught() {
    let bugs = [Sabotage::KeyInCoreDump, Sabotage::KeyOutlivesItsOwner, Sabotage::KeyOnStack];
    for bug in bugs {
        let Some(problems) = problems(&format!("key-memory-{bug:?}"), Some(bug)) else { return };
        assert!(!problems.is_empty(), "{bug:?} survives");
        eprintln!("{bug:?} is caught: {}", problems[0]);
    }
}

#[test]
fn a_core_dump_holds_no_key() {
    for bug in [None, Some(Sabotage::KeyInCoreDump)] {
        let setup = Setup::new(&format!("key-core-{}", bug.is_some()));
        let mut child = setup.child(bug, true);
        child.wait_for("in-use");
        let needles = setup.needles();
        // The notes of a core dump hold the registers of each thread, and so perhaps a round key of
        // what it did last. Memory is what a log can keep out of it.
        let Some(memory) = core_dump_of(child, setup.dir.path()) else {
            eprintln!("skipped: this system writes no core dumps where the process runs");
            return;
        };
        assert!(memory.windows(8).any(|w| w == [0xee; 8]), "the payload is in it");
        let holds = |needle: &&Needle| memory.windows(16).any(|window| window == needle.bytes);
        let found: Vec<_> = needles.iter().filter(holds).map(|needle| &needle.name).collect();
        assert_eq!(found.is_empty(), bug.is_none(), "{bug:?}: {found:?}");
    }
}
