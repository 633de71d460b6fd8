//! Each system call of a writer fails once: `strace -e inject=` answers its n-th call with an
//! error. Whatever comes of it, nothing acknowledged is lost, and the log says what it promises to
//! say. The blocking engine only: strace does not see io_uring.
#![allow(clippy::print_stdout, reason = "what was injected, and what came of it")]

mod common;

use std::{collections::BTreeMap, path::Path};

use common::{
    TestDir,
    child::{Heard, Start},
    life::{self, Settings, Way},
    loop_mount::{run, skip},
    witness::Witness,
};
use plimsoll::{Durability, Engine, Preparation, SegmentedWal};

/// Appends of each client in a life: several segments, and truncations.
const APPENDS: u64 = 40;
/// Lives of a log before the one in which a call fails, each of which leaves a segment.
const LIVES_BEFORE: u64 = 12;
/// At most so many calls of a kind fail, one in each life; those further on are like them.
const MOST_CALLS: u64 = 16;

#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn a_life() {
    life::live();
}

/// The system calls that a log is made of, and what may befall them.
const INJECTIONS: [(&str, &[&str]); 9] = [
    ("pwritev2", &["EIO", "ENOSPC", "EINTR"]),
    ("fdatasync", &["EIO", "ENOSPC", "EINTR"]),
    ("fsync", &["EIO", "ENOSPC"]),
    ("rename", &["EIO", "ENOSPC"]),
    ("unlink", &["EIO"]),
    ("fallocate", &["EIO", "ENOSPC"]),
    ("ftruncate", &["EIO"]),
    ("flock", &["ENOLCK"]),
    ("pread64", &["EIO", "EINTR"]),
];

/// What a life may come to where a call fails. Nothing had been promised where it is neither
/// poisoned nor goes on.
const OUTCOMES: [&str; 8] = [
    "closed",
    "failed Poisoned",
    "failed Io",
    "failed NoSpace",
    "refused Poisoned",
    "refused Io",
    "refused NoSpace",
    "refused Read",
];

/// strace(1), if it can trace here.
fn strace() -> Result<(), String> {
    run(&["strace", "-f", "-o", "/dev/null", "true"]).map(drop)
}

/// strace, and how it answers the n-th call of each thread.
fn under(call: &str, answer: &str, n: u64) -> Vec<String> {
    let inject = format!("inject={call}:{answer}:when={n}");
    ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"]
        .into_iter()
        .map(ToOwned::to_owned)
        .chain([format!("--trace={call}"), "-e".to_owned(), inject])
        .collect()
}

fn settings(way: Way, durability: Durability, preparation: Preparation) -> Settings {
    let fits = |settings: &Settings| {
        settings.engine == Engine::Blocking
            && (settings.way, settings.durability) == (way, durability)
            && settings.preparation == preparation
    };
    Settings::all().find(fits).expect("there is one")
}

/// The first call of a kind that can be the log's: the loader of the program reads libraries.
fn first_call(call: &str) -> u64 {
    if call == "pread64" { 8 } else { 1 }
}

/// One life in which a call fails, and the next one, in which all is well. What came of it.
fn lived(dir: &Path, settings: Settings, under: &[String]) -> Result<String, String> {
    let mut witness = Witness::default();
    // There is a log already, so that opening has something to read: at least as many segments as the
    // loader has read pieces of libraries.
    for life in 0..LIVES_BEFORE {
        let before = Start { appends: Some(4), ..Start::new(dir, life, settings) };
        let ended = before.spawn().hear_out(&mut witness);
        assert_eq!(ended, Some(Heard::Closed), "without an injection");
    }
    let start = Start { appends: Some(APPENDS), under, ..Start::new(dir, LIVES_BEFORE, settings) };
    let mut child = start.spawn();
    let last = child.hear_out(&mut witness);
    if !child.ended_well() {
        return Err(format!("it panicked after {last:?}"));
    }
    let outcome = match last {
        Some(Heard::Closed) => "closed".to_owned(),
        Some(Heard::Failed(variant, _)) => format!("failed {variant}"),
        Some(Heard::Refused(variant, _)) => format!("refused {variant}"),
        last => return Err(format!("it ended with {last:?}")),
    };
    let wal = SegmentedWal::open(settings.config(dir)).map_err(|refused| refused.to_string())?;
    let replayed = wal.replay().map_err(|refused| refused.to_string())?;
    let records = replayed.collect::<Result<Vec<_>, _>>().map_err(|lost| lost.to_string())?;
    witness.examine(wal.recovery().floor.get(), &records)?;
    Ok(outcome)
}

/// Lives with these settings in which one call after the other fails.
fn every_call_fails(name: &str, settings: Settings) {
    if let Err(why) = strace() {
        return skip(&why);
    }
    let mut outcomes = BTreeMap::<_, BTreeMap<_, u64>>::new();
    for (call, error) in
        INJECTIONS.iter().flat_map(|(call, errors)| errors.iter().map(move |e| (*call, *e)))
    {
        let mut n = first_call(call);
        while n <= MOST_CALLS {
            let dir = TestDir::new(&format!("injected-{name}"));
            let injected = under(call, &format!("error={error}"), n);
            let came_of_it = lived(dir.path(), settings, &injected)
                .unwrap_or_else(|problem| panic!("{n} {call} {error}: {problem}, {settings:?}"));
            assert!(OUTCOMES.contains(&&*came_of_it), "{n} {call} {error}: {came_of_it}");
            *outcomes.entry((call, error)).or_default().entry(came_of_it).or_default() += 1;
            n += 1 + n / 3;
        }
    }
    for ((call, error), came_of_it) in &outcomes {
        println!("{name}, {call} {error}: {came_of_it:?}");
        let closed = came_of_it.get("closed").copied().unwrap_or_default();
        let all: u64 = came_of_it.values().sum();
        // Tried again, as it should be; and what cannot be deleted is deleted later.
        let is_mended = *error == "EINTR" || ["unlink", "ftruncate"].contains(call);
        if is_mended {
            assert_eq!(closed, all, "{name}, {call} {error}");
        } else if ["pwritev2", "fsync", "rename", "flock", "pread64"].contains(call) {
            assert!(closed < all, "{name}, {call} {error} was never injected");
        }
    }
}

#[test]
fn whichever_call_of_threads_fails_nothing_acknowledged_is_lost() {
    every_call_fails("threads", settings(Way::Threads, Durability::Dsync, Preparation::Recycle));
}

#[test]
fn nor_does_an_owner_that_flushes_lose_anything() {
    every_call_fails("owner", settings(Way::OwnerPolls, Durability::Fdatasync, Preparation::None));
}

/// The control: a write that is said to be done and is not.
#[test]
fn a_device_that_lies_is_caught() {
    if let Err(why) = strace() {
        return skip(&why);
    }
    let settings = settings(Way::OwnerSyncs, Durability::Dsync, Preparation::Recycle);
    let problem = (4..40).find_map(|n| {
        let dir = TestDir::new("lying");
        lived(dir.path(), settings, &under("pwritev2", "retval=4096", n)).err()
    });
    println!("caught: {}", problem.expect("nobody noticed"));
}
