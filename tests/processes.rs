//! Several processes at one log: two that want to write, and a reader beside a writer that rolls
//! over, truncates and is killed.
#![allow(clippy::print_stdout, reason = "what the reader met")]

mod common;

use std::{
    collections::BTreeMap,
    fs::File,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use common::{
    TestDir,
    child::{Heard, Living, Start},
    commit_each, key_ring,
    life::{self, Settings, is_encrypted},
    open, payloads,
    random::Random,
    replay, segment_paths,
    witness::{Identity, Witness, genuine},
};
use plimsoll::{DirectoryTailer, Engine, LogRecord, Lsn, SegmentedWal, WalError};

/// Repeats a run that failed.
const SEED: &str = "PLIMSOLL_PROCESSES_SEED";
/// Writers beside which the reader reads, one after another.
const LIVES: u64 = 60;
/// Pages that it takes; more and fewer than a segment holds.
const PAGES: [usize; 3] = [7, 100, 100_000];

#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn a_life() {
    life::live();
}

fn until_acknowledged(child: &mut Living, witness: &mut Witness) {
    let before = witness.total;
    while witness.total == before {
        witness.hears(&child.hear().expect("it lives"));
    }
}

#[test]
fn a_second_writer_is_refused_until_the_first_is_gone() {
    let mut random = Random::from_env(SEED);
    let dir = TestDir::new("two-writers");
    let mut witness = Witness::default();
    for life in 0..10 {
        let settings = Settings::drawn(&mut random);
        let mut first = Start::new(dir.path(), life, settings).spawn();
        until_acknowledged(&mut first, &mut witness);

        // From this process, and from another one.
        let refused = SegmentedWal::open(settings.config(dir.path())).expect_err("it is in use");
        assert!(
            matches!(&refused, WalError::Locked { path, .. } if path == dir.path()),
            "{refused}"
        );
        let mut second = Start::new(dir.path(), 99, settings).spawn();
        let heard = second.hear();
        assert!(matches!(&heard, Some(Heard::Refused(why, _)) if why == "Locked"), "{heard:?}");
        assert!(second.ended_well());
        // The first has not noticed.
        until_acknowledged(&mut first, &mut witness);

        first.kill();
        first.hear_out(&mut witness);
        // Its lock goes with it.
        first.ended_well();
        let wal = open(&settings.config(dir.path()));
        let records = replay(&wal);
        witness.examine(wal.recovery().floor.get(), &records).expect("nothing is lost");
        witness.kept(wal.recovery().floor.get(), &records);
    }
}

/// io_uring finishes the writes of a process that was killed, after its end and without its locks.
/// Each of them keeps the segment's file open, and with it the writer's lock on that file.
#[test]
fn an_opening_waits_for_what_a_killed_writer_has_on_its_way() {
    let dir = TestDir::new("on-their-way");
    for engine in [Engine::Blocking, Engine::Uring] {
        let mut config = dir.config();
        config.engine = engine;
        let mut wal = open(&config);
        commit_each(&mut wal, ["a", "b"]);
        let newest = segment_paths(dir.path()).pop().expect("there is one");
        let as_a_write_has_it = File::open(&newest).expect("readable");
        assert!(as_a_write_has_it.try_lock().is_err(), "the log holds what it writes to");
        drop(wal);
        as_a_write_has_it.try_lock().expect("and lets go of it at once when nothing is on its way");

        as_a_write_has_it.lock_shared().expect("locked");
        let has_arrived = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(50));
                has_arrived.store(true, Ordering::Release);
                drop(as_a_write_has_it);
            });
            drop(open(&config));
            assert!(has_arrived.load(Ordering::Acquire), "it read the end of the log too early");
        });
    }
}

/// A device that hangs, say, with a killed writer's write in it.
#[test]
fn an_opening_gives_up_on_writes_that_never_arrive() {
    let dir = TestDir::new("never-arrive");
    commit_each(&mut open(&dir.config()), ["a", "b"]);
    let newest = segment_paths(dir.path()).pop().expect("there is one");
    let hanging = File::open(&newest).expect("readable");
    hanging.lock_shared().expect("locked");
    let refused = SegmentedWal::open(dir.config()).expect_err("a write is still on its way");
    assert!(
        matches!(&refused, WalError::Locked { path, lock } if path == dir.path() && *lock == newest),
        "{refused}"
    );
    // Nothing was changed, and once it has arrived nothing is missing.
    drop(hanging);
    assert_eq!(payloads(&replay(&open(&dir.config()))), ["a", "b"].map(Vec::from));
}

/// What is known of the writers while the reader reads.
#[derive(Default)]
struct Beside {
    witness: Mutex<Witness>,
    ended: AtomicBool,
}

/// Writers live and are killed, one after another.
fn write(dir: &Path, beside: &Beside, random: &mut Random) {
    for life in 0..LIVES {
        let settings = Settings::drawn(random);
        let mut child = Start::new(dir, life, settings).spawn();
        let acknowledgements = 1 + random.below(120);
        let before = beside.witness.lock().expect("no panic").total;
        while let Some(heard) = child.hear() {
            let mut witness = beside.witness.lock().expect("no panic");
            witness.hears(&heard);
            if witness.total - before >= acknowledgements {
                break;
            }
        }
        thread::sleep(random.microseconds(500));
        child.kill();
        while let Some(heard) = child.hear() {
            assert!(!matches!(heard, Heard::Refused(..) | Heard::Failed(..)), "{heard:?}");
            beside.witness.lock().expect("no panic").hears(&heard);
        }
    }
}

/// What a reader saw, by LSN. What it has seen is in the log for good: nobody cuts the power.
#[derive(Default)]
struct Seen {
    records: BTreeMap<u64, Identity>,
    pages: u64,
    truncated: u64,
    nothing_yet: u64,
}

impl Seen {
    /// Takes note of a page that begins at `first`.
    fn take(&mut self, first: u64, page: &[LogRecord]) {
        for (lsn, identity) in genuine(first, page).expect("a stretch of what was appended") {
            let before = self.records.insert(lsn, identity);
            assert!(
                before.is_none_or(|before| before == identity),
                "{lsn}: {before:?}, {identity:?}"
            );
        }
        self.pages += 1;
    }
}

/// Reads the log to its end in pages, beginning anywhere.
fn read_to_the_end(dir: &Path, beside: &Beside, seen: &mut Seen, random: &mut Random) {
    let keys = is_encrypted(dir).then(key_ring);
    let promised = beside.witness.lock().expect("no panic").last_promised();
    let page_len = PAGES[usize::try_from(random.below(3)).expect("small")];
    let mut from = Lsn::new(promised.saturating_sub(random.below(200)));
    loop {
        match SegmentedWal::replay_from_limit_dir(dir, keys.as_ref(), from, page_len) {
            Ok((page, more)) => {
                if let Some(first) = page.first() {
                    assert!(
                        from == Lsn::NONE || from == first.lsn(),
                        "it begins at {}",
                        first.lsn()
                    );
                    seen.take(first.lsn().get(), &page);
                    from = first.lsn();
                    from = Lsn::new(from.get() + page.len() as u64);
                }
                if !more {
                    break;
                }
            }
            Err(WalError::Truncated { requested, floor }) => {
                assert!(requested >= from && requested < floor, "{requested} {floor}");
                seen.truncated += 1;
                from = floor;
            }
            // Before the first life has made a log of the directory.
            Err(WalError::MetaDamaged { .. } | WalError::Io { .. }) if promised == 0 => {
                seen.nothing_yet += 1;
                return thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("from {from} on, {promised} promised: {error:?}"),
        }
    }
    assert!(
        promised == 0 || from.get() > promised,
        "it ends before {from}, and {promised} was promised before"
    );
}

/// A reader in this process beside writers in others.
fn reads_beside_writers(kind: &str) {
    let mut random = Random::from_env(SEED);
    let dir = TestDir::new(&format!("beside-{kind}"));
    let log_dir = dir.path().join(kind);
    let beside = Beside::default();
    let mut seen = Seen::default();
    beside_writers(&log_dir, &beside, || {
        read_to_the_end(&log_dir, &beside, &mut seen, &mut random);
    });
    let Seen { pages, truncated, nothing_yet, .. } =
        seen.hold_against(&log_dir, beside, &mut random);
    println!("{kind}: {pages} pages, {truncated} overtaken, {nothing_yet} too early");
    assert!(pages > LIVES && truncated > 0, "nothing was beside it");
}

/// Does something again and again, as long as writers live in other processes.
fn beside_writers(log_dir: &Path, beside: &Beside, mut reads: impl FnMut()) {
    let mut for_writers = Random::from_env(SEED);
    thread::scope(|scope| {
        let writers = scope.spawn(|| {
            // Also when it panics: the reader has to come to an end.
            struct End<'a>(&'a AtomicBool);
            impl Drop for End<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Release);
                }
            }
            let _end = End(&beside.ended);
            write(log_dir, beside, &mut for_writers);
        });
        while !beside.ended.load(Ordering::Acquire) {
            reads();
        }
        writers.join().expect("the writers' side");
    });
}

impl Seen {
    /// Whoever read beside the writers saw what is in the log, and that is what was promised.
    fn hold_against(self, log_dir: &Path, beside: Beside, random: &mut Random) -> Self {
        let wal = open(&Settings::drawn(random).config(log_dir));
        let (floor, records) = (wal.recovery().floor.get(), replay(&wal));
        let witness = beside.witness.into_inner().expect("no panic");
        witness.examine(floor, &records).expect("nothing is lost");
        let kept: BTreeMap<_, _> = genuine(floor, &records).expect("genuine").into_iter().collect();
        for (lsn, identity) in self.records.range(floor..) {
            assert_eq!(
                kept.get(lsn),
                Some(identity),
                "the reader saw {lsn}, which nobody appended"
            );
        }
        self
    }
}

#[test]
fn a_reader_beside_writers_sees_what_they_appended_and_nothing_else() {
    reads_beside_writers("clear");
}

#[test]
fn so_does_one_with_a_key() {
    reads_beside_writers("sealed");
}

/// Tailers that live as long as the writers all together, and begin anew only where they are told
/// that they were overtaken.
struct Followers<'a> {
    log_dir: &'a Path,
    written: bool,
    tailer: Option<DirectoryTailer>,
    from: Lsn,
    seen: Seen,
    page: Vec<LogRecord>,
}

impl Followers<'_> {
    /// Takes what comes within a moment; as long as the writers live there is always more.
    fn follow(&mut self, beside: &Beside) {
        let keys = is_encrypted(self.log_dir).then(key_ring);
        let promised = beside.witness.lock().expect("no panic").last_promised();
        let Some(tailer) = &mut self.tailer else {
            let open = match self.written {
                true => DirectoryTailer::open_written,
                false => DirectoryTailer::open,
            };
            match open(self.log_dir, keys.as_ref(), self.from) {
                Ok(tailer) => self.tailer = Some(tailer),
                Err(WalError::Truncated { floor, .. }) => self.from = floor,
                Err(WalError::MetaDamaged { .. } | WalError::Io { .. }) if promised == 0 => {
                    self.seen.nothing_yet += 1;
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("from {}: {error:?}", self.from),
            }
            return;
        };
        match tailer.next_timeout(Duration::from_millis(5)) {
            Ok(Some(record)) => {
                assert!(self.from == Lsn::NONE || record.lsn() == self.from);
                self.from = record.lsn().next();
                self.page.push(record);
                // Now and then it is late.
                if self.from.get().is_multiple_of(1000) {
                    thread::sleep(Duration::from_millis(1500));
                }
            }
            Ok(None) => {}
            Err(WalError::Truncated { requested, floor }) => {
                assert!(requested >= self.from && requested < floor, "{requested} {floor}");
                self.end_page();
                self.seen.truncated += 1;
                (self.tailer, self.from) = (None, floor);
            }
            Err(error) => panic!("from {}, {promised} promised: {error:?}", self.from),
        }
    }

    fn end_page(&mut self) {
        if let Some(first) = self.page.first().map(LogRecord::lsn) {
            self.seen.take(first.get(), &std::mem::take(&mut self.page));
        }
    }
}

/// Followers in this process beside writers in others. Nobody cuts the power, so that what was
/// written is kept.
fn follows_beside_writers(kind: &str, written: bool) {
    let mut random = Random::from_env(SEED);
    let dir = TestDir::new(&format!("followed-{written}-{kind}"));
    let log_dir = dir.path().join(kind);
    let beside = Beside::default();
    let (tailer, from, seen, page) = (None, Lsn::NONE, Seen::default(), Vec::new());
    let mut followers = Followers { log_dir: &log_dir, written, tailer, from, seen, page };
    beside_writers(&log_dir, &beside, || followers.follow(&beside));

    // What the last of them left behind is promised once the log has been opened again.
    let promised = open(&Settings::drawn(&mut random).config(&log_dir)).durable_lsn();
    while followers.from <= promised {
        followers.follow(&beside);
    }
    followers.end_page();
    let Seen { records, pages, truncated, .. } =
        followers.seen.hold_against(&log_dir, beside, &mut random);
    println!("{kind}: {} records in {pages} stretches, {truncated} times overtaken", records.len());
    assert!(records.len() > 1000 && truncated > 0, "nothing was beside it");
}

#[test]
fn a_tailer_beside_writers_sees_what_is_durable_and_nothing_else() {
    follows_beside_writers("clear", false);
}

#[test]
fn so_does_one_with_a_key_and_of_what_is_written() {
    follows_beside_writers("sealed", true);
}
