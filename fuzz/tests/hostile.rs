//! The bounded run of the fuzz targets: the corpus, then mutations of it, the same every time; and
//! the seeded bugs that it has to catch.
//!
//! `PLIMSOLL_FUZZ_CASES` sets how many inputs each target gets. What fails names its target and
//! number; `PLIMSOLL_FUZZ_CASE=forged:17` runs that one alone, and writes it to
//! `fuzz/artifacts/`, from where it goes to `fuzz/corpus/` under a name that says what it showed.
#![allow(clippy::print_stderr, reason = "what was tried is worth seeing")]

use std::{
    env, fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use plimsoll::simulated::{Sabotage, with_sabotage};
use plimsoll_fuzz::{TARGETS, Target, mutate::input, seeds};

/// An input that takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Inputs of each target in which a seeded bug has to show.
const CASES_FOR_A_BUG: usize = 20_000;

/// Memory is counted for the whole process, so one target runs at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn folder(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

/// The committed inputs of a target, in the order of their names.
fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder("corpus").join(target.name)).expect("it has a corpus");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).expect("readable")).collect()
}

/// Reads an input, and says whether that went well.
fn survives(target: &Target, bytes: &[u8]) -> Result<(), String> {
    panic::catch_unwind(AssertUnwindSafe(|| (target.read)(bytes))).map_err(|problem| {
        let text = problem.downcast_ref::<String>().cloned();
        text.or_else(|| problem.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

/// The first of these inputs that shows something, and what.
fn first_failure(target: &Target, cases: usize, progress: &AtomicUsize) -> Option<(usize, String)> {
    let corpus = corpus(target);
    (0..cases).find_map(|case| {
        progress.store(case, Ordering::Relaxed);
        Some((case, survives(target, &input(&corpus, case)).err()?))
    })
}

/// Ends the process if one input takes longer than anybody would wait.
fn watched<T>(target: &Target, work: impl FnOnce(&AtomicUsize) -> T) -> T {
    let (progress, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let (mut at, mut since) = (0, Instant::now());
            while !done.load(Ordering::Relaxed) {
                thread::park_timeout(Duration::from_secs(1));
                let now = progress.load(Ordering::Relaxed);
                if now != at {
                    (at, since) = (now, Instant::now());
                }
                if since.elapsed() > PATIENCE {
                    eprintln!("{} hangs in input {now}", target.name);
                    std::process::abort();
                }
            }
        });
        let result = work(&progress);
        done.store(true, Ordering::Relaxed);
        watch.thread().unpark();
        result
    })
}

#[test]
fn nothing_hostile_gets_through() {
    let _alone = alone();
    if let Ok(one) = env::var("PLIMSOLL_FUZZ_CASE") {
        return run_one(&one);
    }
    let wanted = env::var("PLIMSOLL_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok());
    for target in &TARGETS {
        let (begun, cases) = (Instant::now(), wanted.unwrap_or(target.cases));
        let failure = watched(target, |progress| first_failure(target, cases, progress));
        if let Some((case, problem)) = failure {
            let name = target.name;
            panic!("{name}: {problem}\nrun it again alone with PLIMSOLL_FUZZ_CASE={name}:{case}");
        }
        eprintln!("{}: {cases} inputs in {:.1} s", target.name, begun.elapsed().as_secs_f64());
    }
}

fn run_one(one: &str) {
    let (name, case) = one.split_once(':').expect("PLIMSOLL_FUZZ_CASE=target:number");
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let bytes = input(&corpus(target), case.parse().expect("a number"));
    fs::create_dir_all(folder("artifacts")).expect("the folder is writable");
    let path = folder("artifacts").join(format!("{name}-{case}"));
    fs::write(&path, &bytes).expect("the folder is writable");
    eprintln!("wrote {}", path.display());
    (target.read)(&bytes);
}

#[test]
fn every_seeded_bug_is_caught() {
    let _alone = alone();
    let logs = TARGETS.iter().filter(|target| ["forged", "batches"].contains(&target.name));
    let logs: Vec<_> = logs.collect();
    let said = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let caught = Sabotage::HOSTILE.map(|bug| {
        let shows = |target: &&Target| {
            let found = || first_failure(target, CASES_FOR_A_BUG, &AtomicUsize::new(0));
            with_sabotage(Some(bug), found).map(|(case, problem)| (target.name, case, problem))
        };
        (bug, logs.iter().find_map(shows))
    });
    panic::set_hook(said);
    for (bug, found) in caught {
        let (target, case, problem) = found.unwrap_or_else(|| panic!("{bug:?} survives"));
        eprintln!("{bug:?} is caught by {target}:{case}: {}", problem.lines().next().unwrap_or(""));
    }
}

/// The corpus can be made again by whoever doubts it.
#[test]
fn the_corpus_holds_the_seeds() {
    for target in TARGETS {
        for (name, content) in seeds(target.name) {
            let path = folder("corpus").join(target.name).join(&name);
            let stored = fs::read(&path).unwrap_or_default();
            assert!(
                stored == content,
                "{} is not what the program makes; run it (see src/bin/corpus.rs)",
                path.display()
            );
        }
    }
}
