//! The life of a writer in a process of its own, as a test of the program that runs it: it opens
//! the log, commits in one of the ways that users have, and says on its standard output what was
//! promised to it. How it ends is up to whoever started it.

use std::{
    collections::VecDeque,
    env,
    io::Write,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    thread,
};

use plimsoll::{
    CommitPolicy, Durability, Engine, GroupCommitter, Level, Lsn, Preparation, Record, RecordKind,
    SegmentedWal, SegmentedWalConfig, VerifyOnOpen, WalError,
};

use super::{key_ring, random::Random, seccomp, witness::Identity};

pub(crate) const DIR: &str = "PLIMSOLL_LIFE_DIR";
pub(crate) const LIFE: &str = "PLIMSOLL_LIFE";
pub(crate) const SETTINGS: &str = "PLIMSOLL_LIFE_SETTINGS";
/// Appends of each client before it closes the log; endless if not given.
pub(crate) const APPENDS: &str = "PLIMSOLL_LIFE_APPENDS";
/// What succeeds without being done: a system call, by its number, or [`DIRECTORY_SYNC`].
pub(crate) const NO_OP: &str = "PLIMSOLL_LIFE_NO_OP";
pub(crate) const DIRECTORY_SYNC: &str = "sync of a directory";
/// A bug on purpose: whoever submits says that a record is promised before it is.
pub(crate) const EARLY: &str = "PLIMSOLL_LIFE_EARLY";

/// Truncation follows the newest record at this distance, every so many appends of one client.
const KEPT_RECORDS: u64 = 60;
const TRUNCATE_EVERY: u64 = 16;
/// Commits that a client of its own task, or an owner that polls, has on their way.
const ON_THEIR_WAY: usize = 8;

/// Who calls the log, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Four threads that commit.
    Threads,
    /// Two that submit, and await as tasks do.
    Tasks,
    /// The one owner, who syncs.
    OwnerSyncs,
    /// The one owner, who submits and polls.
    OwnerPolls,
}

/// A way to run a log. Each has a number, by which it is handed to another process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) number: u64,
    pub(crate) way: Way,
    pub(crate) engine: Engine,
    pub(crate) durability: Durability,
    pub(crate) preparation: Preparation,
    pub(crate) pipeline_depth: u32,
}

impl Settings {
    /// All of them, in the order of their numbers.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let ways = [Way::Threads, Way::Tasks, Way::OwnerSyncs, Way::OwnerPolls];
        let preparations =
            [Preparation::Zero, Preparation::Recycle, Preparation::None, Preparation::Allocate];
        let mut all = Vec::new();
        for way in ways {
            for engine in [Engine::Blocking, Engine::Uring] {
                for durability in [Durability::Dsync, Durability::Fdatasync] {
                    for preparation in preparations {
                        for pipeline_depth in [1, 4] {
                            let number = all.len() as u64;
                            all.push(Self {
                                number,
                                way,
                                engine,
                                durability,
                                preparation,
                                pipeline_depth,
                            });
                        }
                    }
                }
            }
        }
        all.into_iter()
    }

    pub(crate) fn numbered(number: u64) -> Self {
        let count = Self::all().count() as u64;
        Self::all().nth(usize::try_from(number % count).expect("small")).expect("below the count")
    }

    /// Any of them.
    pub(crate) fn drawn(random: &mut Random) -> Self {
        Self::numbered(random.below(u64::MAX))
    }

    /// A log of small segments, so that names change all the time. Every second directory, by its
    /// name, is encrypted.
    pub(crate) fn config(&self, dir: &Path) -> SegmentedWalConfig {
        let mut config = SegmentedWalConfig::new(dir);
        config.segment_size = 64 << 10;
        config.buffer_size = 16 << 10;
        config.engine = self.engine;
        config.durability = self.durability;
        config.preparation = self.preparation;
        config.pipeline_depth = self.pipeline_depth;
        // Half of them, so that every life is opened either way by somebody.
        if self.number.is_multiple_of(2) {
            config.verify_on_open = VerifyOnOpen::Everything;
        }
        if is_encrypted(dir) { config.with_keys(key_ring()) } else { config }
    }
}

/// Whether the logs in this directory are.
pub(crate) fn is_encrypted(dir: &Path) -> bool {
    dir.to_string_lossy().ends_with("sealed")
}

/// What a process was started for.
struct Orders {
    life: u64,
    dir: PathBuf,
    settings: Settings,
    appends: u64,
    early: bool,
}

/// Lives, if this process was started for that.
pub(crate) fn live() {
    let (Ok(dir), Some(life)) = (env::var(DIR), number(LIFE)) else { return };
    let orders = Orders {
        life,
        dir: dir.into(),
        settings: Settings::numbered(number(SETTINGS).expect("settings")),
        appends: number(APPENDS).unwrap_or(u64::MAX),
        early: env::var_os(EARLY).is_some(),
    };
    let Ok(no_op) = env::var(NO_OP) else { return orders.carry_out() };
    let carried_out = seccomp::in_thread(|fail| {
        match no_op.parse() {
            Ok(call) => fail(call, 0),
            Err(_) => never_sync_directories(),
        }
        orders.carry_out();
    });
    if carried_out.is_none() {
        say("no filters");
    }
}

/// The log opens its directory first, and before that, one at a time, the parents of directories
/// that it had to create: all of them as the next descriptor that is free. No file gets it later.
fn never_sync_directories() {
    let next = std::fs::File::open("/dev/null").expect("readable").as_raw_fd();
    seccomp::fail_on_descriptor(libc::SYS_fsync, next, 0);
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// One write for a line, so that lines of two threads do not mix.
fn say(line: &str) {
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

/// The name of an error's variant.
fn variant(error: &WalError) -> String {
    let text = format!("{error:?}");
    text.split([' ', '{']).next().unwrap_or_default().to_owned()
}

impl Orders {
    fn carry_out(&self) {
        let wal = match SegmentedWal::open(self.settings.config(&self.dir)) {
            Ok(wal) => wal,
            Err(error) => return say(&format!("refused {} {error}", variant(&error))),
        };
        say("open");
        let outcome = match self.settings.way {
            Way::Threads | Way::Tasks => self.share(wal),
            Way::OwnerSyncs | Way::OwnerPolls => self.own(wal),
        };
        match outcome {
            Ok(()) => say("closed"),
            Err(error) => say(&format!("failed {} {error}", variant(&error))),
        }
    }

    fn share(&self, wal: SegmentedWal) -> Result<(), WalError> {
        let log = GroupCommitter::start(wal, CommitPolicy::FromConfig)?;
        let clients = if self.settings.way == Way::Threads { 4 } else { 2 };
        let outcomes: Vec<_> = thread::scope(|scope| {
            let client = |client| {
                let client = Client { orders: self, client };
                let log = log.clone();
                scope.spawn(move || match self.settings.way {
                    Way::Threads => client.commits(&log),
                    _ => client.submits(&log),
                })
            };
            let clients: Vec<_> = (0..clients).map(client).collect();
            clients.into_iter().map(|client| client.join().expect("no panic")).collect()
        });
        let failed = outcomes.into_iter().find_map(Result::err);
        let Some(error) = failed else {
            say("closing");
            return log.close();
        };
        if error.is_poisoned() {
            let late = log.commit(&Record::new(RecordKind::PUT, b"late"));
            assert!(late.is_err_and(|error| error.is_poisoned()), "poisoned for good");
            assert!(log.close().is_err_and(|error| error.is_poisoned()), "and not closed well");
        }
        Err(error)
    }

    fn own(&self, mut wal: SegmentedWal) -> Result<(), WalError> {
        let client = Client { orders: self, client: 0 };
        let Err(error) = client.owns(&mut wal) else {
            say("closing");
            return wal.close();
        };
        if error.is_poisoned() {
            assert!(wal.sync().is_err_and(|error| error.is_poisoned()), "poisoned for good");
            assert!(wal.close().is_err_and(|error| error.is_poisoned()), "and not closed well");
        }
        Err(error)
    }
}

/// One that appends, numbered in its life.
struct Client<'a> {
    orders: &'a Orders,
    client: u64,
}

impl Client<'_> {
    /// The records of an append: one, or now and then three that belong together.
    fn identities(&self, n: u64) -> Vec<Identity> {
        let parts = if n % 16 == 7 { 3 } else { 1 };
        let Self { orders, client } = *self;
        (0..parts).map(|part| Identity { life: orders.life, client, n, part, parts }).collect()
    }

    fn payloads(&self, n: u64) -> Vec<Vec<u8>> {
        self.identities(n).into_iter().map(Identity::payload).collect()
    }

    /// The records of append `n`, the last of which has this LSN, are promised.
    fn acknowledge(&self, n: u64, last: Lsn) {
        let identities = self.identities(n);
        let first = last.get() + 1 - identities.len() as u64;
        for (lsn, Identity { life, client, n, part, parts }) in (first..).zip(identities) {
            say(&format!("ack {lsn} {life} {client} {n} {part} {parts} ."));
        }
    }

    /// Where to truncate now, if at all. Announced, since it may be the last that is heard.
    fn truncation(&self, n: u64, lsn: Lsn) -> Option<Lsn> {
        let before = lsn.get().checked_sub(KEPT_RECORDS)?;
        (self.client == 0 && (n + 1).is_multiple_of(TRUNCATE_EVERY)).then(|| {
            say(&format!("truncate {before} ."));
            Lsn::new(before)
        })
    }

    fn commits(&self, log: &GroupCommitter) -> Result<(), WalError> {
        for n in 0..self.orders.appends {
            let payloads = self.payloads(n);
            let records = as_records(&payloads);
            let last = match &records[..] {
                [record] => log.commit(record)?,
                records => log.commit_batch(records)?.last,
            };
            self.acknowledge(n, last);
            if let Some(before) = self.truncation(n, last) {
                log.truncate_before(before)?;
            }
        }
        Ok(())
    }

    fn submits(&self, log: &GroupCommitter) -> Result<(), WalError> {
        let mut on_their_way = VecDeque::new();
        for n in 0..self.orders.appends {
            let payloads = self.payloads(n);
            let records = as_records(&payloads);
            let commit = match &records[..] {
                [record] => log.submit(record)?,
                records => log.submit_batch(records)?,
            };
            if self.orders.early {
                self.acknowledge(n, commit.lsn());
            }
            on_their_way.push_back((n, commit));
            if on_their_way.len() == ON_THEIR_WAY
                && let Some((n, commit)) = on_their_way.pop_front()
            {
                let last = futures::executor::block_on(commit)?.lsn();
                self.acknowledge(n, last);
                if let Some(before) = self.truncation(n, last) {
                    log.truncate_before(before)?;
                }
            }
        }
        for (n, commit) in on_their_way {
            self.acknowledge(n, futures::executor::block_on(commit)?.lsn());
        }
        Ok(())
    }

    fn owns(&self, wal: &mut SegmentedWal) -> Result<(), WalError> {
        let syncs = self.orders.settings.way == Way::OwnerSyncs;
        let mut on_their_way = VecDeque::new();
        for n in 0..self.orders.appends {
            let payloads = self.payloads(n);
            let records = as_records(&payloads);
            on_their_way.push_back((n, wal.append_batch(&records)?.last));
            let durable = match (syncs, on_their_way.len() < ON_THEIR_WAY) {
                (true, true) if n % 4 > 0 => wal.durable_lsn(),
                (true, _) => wal.sync()?,
                (false, true) => {
                    wal.submit()?;
                    wal.poll()?
                }
                (false, false) => wal.wait(on_their_way[0].1)?,
            };
            while let Some((n, last)) = on_their_way.pop_front_if(|(_, last)| *last <= durable) {
                self.acknowledge(n, last);
                if let Some(before) = self.truncation(n, last) {
                    wal.truncate_before(before)?;
                }
            }
        }
        wal.sync()?;
        on_their_way.into_iter().for_each(|(n, last)| self.acknowledge(n, last));
        Ok(())
    }
}

fn as_records(payloads: &[Vec<u8>]) -> Vec<Record<'_>> {
    payloads.iter().map(|payload| Record::new(RecordKind::PUT, payload)).collect()
}
