//! Opening, examining and reading a log on a simulated disk: the same code as on a real one, with
//! another directory below it.

use std::path::Path;

use super::{
    SegmentedWal,
    open::{Wanted, open_in},
};
use crate::{
    config::{SegmentedWalConfig, VerifyOnOpen},
    crypto::KeyRing,
    device::{
        LogDirectory,
        simulated::{SimulatedDirectory, SimulatedDisk},
    },
    error::Result,
    lsn::Lsn,
    record::KnownKinds,
    replay::{self, ReadBound, ReaderOptions, RecoveryReport, WalReader},
    segment::{CatalogEntry, LeaseInfo, leases_of},
};

/// The path that errors name; a simulated disk has one directory.
const PATH: &str = "simulated";

/// What a read-only recovery finds.
#[derive(Debug)]
pub struct Examined {
    /// What an opening would report.
    pub report: RecoveryReport,
    directory: LogDirectory,
    log_id: [u8; 16],
    segments: Vec<CatalogEntry>,
    keys: Option<KeyRing>,
}

impl Examined {
    /// Streams the records that an opening would promise, from `from` or the floor on.
    #[must_use]
    pub fn records(&self, from: Lsn) -> WalReader {
        let options = ReaderOptions {
            keys: self.keys.clone(),
            known_kinds: KnownKinds::All,
            bound: ReadBound::Durable(self.report.last_lsn),
            from: from.max(self.report.floor),
        };
        let directory = self.directory.clone();
        WalReader::over_segments(directory, self.log_id, self.segments.clone(), options)
    }
}

/// Opens the log on `disk`, as [`SegmentedWal::open`] does in `config.dir`, which is not used.
///
/// # Errors
///
/// As [`SegmentedWal::open`].
pub fn open(disk: &SimulatedDisk, config: SegmentedWalConfig) -> Result<SegmentedWal> {
    open_as(disk, config, Wanted::LogOrNew)
}

/// Begins a new log on `disk`, as [`SegmentedWal::create_at`] does in `config.dir`.
///
/// # Errors
///
/// As [`SegmentedWal::create_at`].
pub fn create_at(
    disk: &SimulatedDisk,
    config: SegmentedWalConfig,
    first_lsn: Lsn,
) -> Result<SegmentedWal> {
    open_as(disk, config, Wanted::new_at(first_lsn)?)
}

fn open_as(
    disk: &SimulatedDisk,
    config: SegmentedWalConfig,
    wanted: Wanted,
) -> Result<SegmentedWal> {
    let config = config.in_dir(PATH);
    config.validate()?;
    let directory = SimulatedDirectory::open_or_create(disk);
    open_in(LogDirectory::simulated(directory, PATH.into()), config, wanted)
}

/// Decides about the log on `disk` as an opening does that reads everything, and changes nothing.
///
/// # Errors
///
/// The refusals of [`SegmentedWal::open`].
pub fn examine(disk: &SimulatedDisk, keys: Option<&KeyRing>) -> Result<Examined> {
    examine_as(disk, keys, VerifyOnOpen::Everything)
}

/// Decides about the log on `disk` as an opening does that reads so much, and changes nothing.
///
/// # Errors
///
/// The refusals of [`SegmentedWal::open`].
pub fn examine_as(
    disk: &SimulatedDisk,
    keys: Option<&KeyRing>,
    verify: VerifyOnOpen,
) -> Result<Examined> {
    let directory = directory(disk);
    let (meta, recovered) = replay::examine(&directory, keys, verify)?;
    let segments = recovered.segments.into_iter().map(|segment| CatalogEntry {
        path: segment.path,
        first_lsn: segment.header.identity.first_lsn,
    });
    let (segments, report) = (segments.collect(), recovered.report);
    Ok(Examined { report, directory, log_id: meta.log_id, segments, keys: keys.cloned() })
}

/// Streams the log on `disk` as [`SegmentedWal::replay_from_dir`] does.
///
/// # Errors
///
/// As [`SegmentedWal::replay_from_dir`].
pub fn read(disk: &SimulatedDisk, keys: Option<&KeyRing>, from: Lsn) -> Result<WalReader> {
    let (keys, known_kinds) = (keys.cloned(), KnownKinds::All);
    let options = ReaderOptions { keys, known_kinds, bound: ReadBound::Tail, from };
    WalReader::over_directory(directory(disk), options)
}

/// The leases of the log on `disk`, as [`leases_in`](crate::leases_in) lists them.
///
/// # Errors
///
/// As there.
pub fn leases(disk: &SimulatedDisk) -> Result<Vec<LeaseInfo>> {
    leases_of(&directory(disk))
}

fn directory(disk: &SimulatedDisk) -> LogDirectory {
    LogDirectory::simulated(SimulatedDirectory::open(disk), Path::new(PATH).to_owned())
}
