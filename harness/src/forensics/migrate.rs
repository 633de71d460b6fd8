//! `plimsoll log migrate`: a log of `nodedb-wal` 0.2 into a new one of Plimsoll, each record at the
//! LSN it had, with a report of everything that is not in it.
//!
//! The old log is only read, twice: once to write the new one, and once more to hold what is stored
//! there against it.

mod nodedb;
mod old_log;
mod reading;
mod report;
mod scan;
mod window;

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plimsoll::{KeyRing, SegmentedWalConfig};

use super::keys::ring;
use super::rebuild::{Numbering, Place, Rebuild, settings_for};
use crate::cli::MigrateArgs;
use crate::failure::Failure;
use crate::ticker::Ticker;

use nodedb::OldKey;
use old_log::OldLog;
use reading::Reader;

pub(crate) use report::Migrated;

/// Migrates as the command line says.
///
/// # Errors
/// See [`Failure`]; each is one sentence that says what to do, and nothing was written then.
pub(crate) fn run(args: &MigrateArgs) -> Result<Migrated, Failure> {
    let keys: Result<Vec<_>> = args.key_file.iter().map(|path| read_key(path)).collect();
    let keys = keys.map_err(Failure::Usage)?;
    let log = OldLog::find(&args.old)?;
    let settings = settings(args, log.bytes)?;
    let place = Place::claim(&args.new, &args.old)?;
    let ticker = Ticker::new(args.quiet || args.json);
    let reader = Reader {
        log: &log,
        keys: &keys,
        may_write_sealed: settings.keys.is_some() || args.in_clear,
        ticker: &ticker,
    };
    let numbering = Numbering { first_lsn: log.files[0].first_lsn, renumber: args.renumber };
    let mut rebuild = Rebuild::new(place, settings, numbering)?;
    let read = reader.read(&mut rebuild)?;
    let source = args.old.display().to_string();
    let (rebuilt, place) = rebuild.end(&source)?;

    ticker.note("comparing");
    let mut again = Rebuild::without_log(numbering);
    let read_again = reader.read(&mut again)?;
    if (&read_again, &again.end(&source)?.0) != (&read, &rebuilt) {
        return Err(Failure::Broken(anyhow!(
            "{source} is not what it was a moment ago; stop whatever writes to it and try again, \
             nothing was kept"
        )));
    }
    ticker.finish();
    place.map_or(Ok(()), Place::finish)?;
    Ok(Migrated::new(args, &log, read, rebuilt))
}

/// What a migration of the log at `path` would come to, without a new log. The keys are tried on
/// sealed records.
///
/// # Errors
/// As [`run`].
pub(crate) fn rehearse(path: &Path, keys: &[[u8; 32]]) -> Result<String, Failure> {
    let log = OldLog::find(path)?;
    let keys: Vec<_> = keys.iter().filter_map(OldKey::new).collect();
    let ticker = Ticker::new(true);
    let reader = Reader { log: &log, keys: &keys, may_write_sealed: true, ticker: &ticker };
    let numbering = Numbering { first_lsn: log.files[0].first_lsn, renumber: false };
    let mut rebuild = Rebuild::without_log(numbering);
    let read = reader.read(&mut rebuild)?;
    let (rebuilt, _) = rebuild.end("the old log")?;
    serde_json::to_string(&(read, rebuilt)).map_err(|error| Failure::Broken(error.into()))
}

/// Settings of the new log.
fn settings(args: &MigrateArgs, old_bytes: u64) -> Result<SegmentedWalConfig, Failure> {
    let ring = ring(&args.new_key_file)?;
    let Some(path) = &args.settings else { return Ok(settings_for(old_bytes, ring)) };
    let settings =
        SegmentedWalConfig::from_profile(path).map_err(|error| Failure::Usage(error.into()))?;
    match (settings.keys.is_some(), ring) {
        (true, Some(_)) => Err(Failure::Usage(anyhow!(
            "{} has key_files, and there is --new-key-file as well; give the keys once",
            path.display()
        ))),
        (_, None) => Ok(settings),
        (false, Some(ring)) => Ok(settings.with_keys(ring)),
    }
}

/// A key of the old log, from a file that nobody else can read or replace.
fn read_key(path: &Path) -> Result<OldKey> {
    // The rules are the library's, and so are the words for whoever breaks one.
    KeyRing::from_file(0, path)?;
    let mut key = [0; 32];
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
        .and_then(|mut file| file.read_exact(&mut key))
        .with_context(|| format!("cannot read key file {}", path.display()))?;
    OldKey::new(&key).with_context(|| format!("{} is no key", path.display()))
}

#[cfg(test)]
mod tests;
