//! `plimsoll torture`: kills a process that commits, at random moments, and after each kill opens
//! its log and holds it against everything that was ever acknowledged of it.
//!
//! The victim is this program under a hidden verb; it says over a pipe what it was told. Who is
//! right, the pipe or the log, is for `ledger` to judge, which knows neither.

mod follower;
mod ledger;
mod life;
mod records;
mod setup;
mod summary;
mod victim;

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use plimsoll::{Lsn, SegmentedWal, SegmentedWalConfig, WalError};

use crate::cli::{TortureArgs, VICTIM_VERB};
use crate::failure::Failure;
use crate::scratch::{Interrupts, Scratch};
use crate::ticker::Ticker;
use crate::workload;

use follower::Follower;
use ledger::{Breach, Ledger, Testimony};
use life::{GaveUp, live};
use records::{Payloads, Recovered};
use setup::{Chance, Log, Setup};
use summary::{Recovery, Summary};
use victim::OWNER_OUTSTANDING;

pub(crate) use victim::victim;

/// Cycles on one log, on average.
const CYCLES_PER_LOG: u64 = 16;
/// A log is given up when it holds so much, since each cycle reads all of it.
const LOG_BYTES_MAX: u64 = 512 << 20;
const LOG_RECORDS_MAX: usize = 200_000;

/// What a torture came to.
#[derive(Clone, Debug)]
pub(crate) struct Tortured {
    /// For people.
    pub(crate) text: String,
    /// Whether anything was acknowledged, without which nothing was shown.
    pub(crate) conclusive: bool,
    /// Whether Ctrl-C ended it.
    pub(crate) interrupted: bool,
}

/// What ends a cycle other than well.
#[derive(Debug)]
enum Trouble {
    Breach(Breach),
    Full(String),
    Broken(anyhow::Error),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Broken(error)
    }
}

/// Tortures as the command line says.
///
/// # Errors
/// See [`Failure`]; each is one sentence that says what to do.
pub(crate) fn run(args: &TortureArgs) -> Result<Tortured, Failure> {
    let json = args.json.as_deref().map(create).transpose().map_err(Failure::Usage)?;
    let settings = args.settings.as_deref().map(absolute).transpose().map_err(Failure::Usage)?;
    let interrupts = Interrupts::install().map_err(Failure::Broken)?;
    let existed = args.dir.exists();
    // Short enough to be typed again.
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let mut summary = Summary::new(seed, args.settings.as_ref().map(|p| p.display().to_string()));
    let outcome = torture(args, settings.as_deref(), &interrupts, &mut summary);
    if !existed {
        // Fails, rightly, if a log was kept or somebody has put something there.
        let _ = fs::remove_dir(&args.dir);
    }
    if let Err(Failure::LogFailed(error)) = &outcome {
        summary.lost = Some(format!("{error:#}"));
    }
    if let Some(mut file) = json {
        serde_json::to_writer_pretty(&mut file, &summary)
            .map_err(io::Error::from)
            .and_then(|()| file.write_all(b"\n"))
            .with_context(|| format!("cannot write the summary of seed {seed}"))
            .map_err(Failure::Broken)?;
    }
    outcome?;
    Ok(Tortured {
        text: summary.text(),
        conclusive: summary.acknowledged_records > 0,
        interrupted: interrupts.requested(),
    })
}

/// Before anything is done: an answer after an hour must not be lost to a wrong path.
fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

/// Checks the settings now, and names them so that any process finds them.
fn absolute(settings: &Path) -> Result<PathBuf> {
    SegmentedWalConfig::from_profile(settings)?;
    settings.canonicalize().with_context(|| format!("cannot find {}", settings.display()))
}

fn torture(
    args: &TortureArgs,
    settings: Option<&Path>,
    interrupts: &Interrupts,
    summary: &mut Summary,
) -> Result<(), Failure> {
    let unusable = || format!("{} cannot be used; name a writable directory", args.dir.display());
    fs::create_dir_all(&args.dir).with_context(unusable).map_err(Failure::Usage)?;
    let dir = args.dir.canonicalize().with_context(unusable).map_err(Failure::Usage)?;
    let scratch =
        Scratch::create(&dir, interrupts).with_context(unusable).map_err(Failure::Usage)?;
    workload::probe(&scratch.path().join("probe"))
        .map_err(|why| Failure::Refused(anyhow!(why.sentence(&args.dir, ""))))?;
    let ticker = Ticker::new(args.quiet);
    ticker.note(&format!("seed {}", summary.seed));
    let began = Instant::now();
    let mut run = Run {
        scratch: scratch.path(),
        settings,
        program: env::current_exe()
            .context("cannot find this program to start it again")
            .map_err(Failure::Broken)?,
        summary,
    };
    let until = began + Duration::from_secs(args.seconds);
    let ended = run.cycles(&ticker, || Instant::now() < until && !interrupts.requested());
    summary.seconds = began.elapsed().as_secs_f64();
    ticker.finish();
    match ended {
        Ok(()) => scratch.remove().map_err(Failure::Broken),
        Err(Trouble::Broken(error)) => Err(Failure::Broken(error)),
        Err(Trouble::Full(reason)) => Err(Failure::Refused(anyhow!(
            "{}: {reason}; free some space or name another directory",
            args.dir.display()
        ))),
        Err(Trouble::Breach(breach)) => Err(Failure::LogFailed(anyhow!(
            "{breach} (cycle {}, seed {}); what is left of the log, with its settings, was kept in \
             {}",
            summary.cycles,
            summary.seed,
            scratch.keep().display()
        ))),
    }
}

/// A torture under way.
struct Run<'a> {
    scratch: &'a Path,
    /// Of every cycle; drawn by chance if there are none.
    settings: Option<&'a Path>,
    /// Speaks as [`victim()`] does when it is run under its hidden verb.
    program: PathBuf,
    summary: &'a mut Summary,
}

impl Run<'_> {
    fn cycles(
        &mut self,
        ticker: &Ticker,
        mut goes_on: impl FnMut() -> bool,
    ) -> Result<(), Trouble> {
        let mut current: Option<(Log, Ledger)> = None;
        while goes_on() {
            let mut chance = Chance::new(self.summary.seed, self.summary.cycles);
            let enough = chance.below(CYCLES_PER_LOG) == 0;
            let (log, mut ledger) = match current.take() {
                Some((log, ledger)) if !enough && !is_large(&log, &ledger) => (log, ledger),
                old => {
                    if let Some((log, _)) = old {
                        log.remove()?;
                    }
                    let log = Log::create(self.scratch, self.summary.logs, &mut chance)?;
                    self.summary.logs += 1;
                    (log, Ledger::default())
                }
            };
            let setup = log.setup(self.settings, &mut chance)?;
            self.cycle(&log, &setup, &mut ledger, &mut chance)?;
            ticker.tick(|| self.summary.line());
            current = Some((log, ledger));
        }
        match current {
            Some((log, _)) => Ok(log.remove()?),
            None => Ok(()),
        }
    }

    /// One victim, and what it left.
    fn cycle(
        &mut self,
        log: &Log,
        setup: &Setup,
        ledger: &mut Ledger,
        chance: &mut Chance,
    ) -> Result<(), Trouble> {
        let told = Testimony {
            cycle: self.summary.cycles,
            clients: setup.clients.max(1),
            outstanding: if setup.clients == 0 { OWNER_OUTSTANDING } else { 1 },
            ..Testimony::default()
        };
        let payloads = Payloads::new(self.summary.seed);
        let (dir, keys) = (setup.config.dir.clone(), setup.config.keys.clone());
        let follower = Follower::start(dir, keys, payloads, ledger.next_lsn());
        let lived = live(self.command(log, setup), chance.moment(), told)?;
        let followed = follower.stop();
        let close = chance.below(4) == 0;
        let recovery = recover(setup, ledger, &lived.testimony, &payloads, close)?;
        let followed = followed.map_err(|reason| Breach::Followed { reason });
        let followed = followed.and_then(|seen| ledger.check_followed(&seen));
        self.summary.followed_records += followed.map_err(Trouble::Breach)?;
        // Its log was as it should be, and yet it gave up.
        match lived.end {
            Some(GaveUp::Full(reason)) => return Err(Trouble::Full(reason)),
            Some(GaveUp::Failed(reason)) => return Err(refused(format!("a writer: {reason}"))),
            None => {}
        }
        self.summary.killed_while_opening += u64::from(lived.testimony.opened_at.is_none());
        self.summary.add(&recovery);
        Ok(())
    }

    fn command(&self, log: &Log, setup: &Setup) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(VICTIM_VERB).arg("--log").arg(&log.folder);
        command.arg("--settings").arg(&setup.settings);
        for (name, value) in [
            ("--seed", self.summary.seed),
            ("--cycle", self.summary.cycles),
            ("--clients", u64::from(setup.clients)),
        ] {
            command.arg(name).arg(value.to_string());
        }
        if setup.truncate {
            command.arg("--truncate");
        }
        command
    }
}

fn is_large(log: &Log, ledger: &Ledger) -> bool {
    let files = fs::read_dir(&log.folder).into_iter().flatten().flatten();
    let bytes: u64 = files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
    bytes > LOG_BYTES_MAX || ledger.len() > LOG_RECORDS_MAX
}

/// Opens the log as after a restart, and compares all of it.
fn recover(
    setup: &Setup,
    ledger: &mut Ledger,
    told: &Testimony,
    payloads: &Payloads,
    close: bool,
) -> Result<Recovery, Trouble> {
    let began = Instant::now();
    let wal = SegmentedWal::open(setup.config.clone()).map_err(trouble)?;
    let took = began.elapsed();
    let report = wal.recovery().clone();
    let records = wal.replay_from(Lsn::NONE).map_err(trouble)?;
    let records = records.map(|record| match record {
        Ok(record) => Ok(Recovered::from(record)),
        Err(error) => Err(error.to_string()),
    });
    let verdict =
        ledger.judge(told, report.floor.get(), records, payloads).map_err(Trouble::Breach)?;
    if close {
        wal.close().map_err(trouble)?;
    }
    Ok(Recovery {
        verdict,
        took,
        torn_tail: report.discarded.is_some(),
        unused_segment: report.removed_unused.is_some(),
        finished_truncation: report.finished_truncations > 0,
    })
}

fn trouble(error: WalError) -> Trouble {
    match error {
        WalError::NoSpace { .. } => Trouble::Full(error.to_string()),
        error => refused(error.to_string()),
    }
}

fn refused(reason: String) -> Trouble {
    Trouble::Breach(Breach::Refused { reason })
}

#[cfg(test)]
mod tests;
