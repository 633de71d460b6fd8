//! The new log: written once, read back once, and known by a fingerprint over everything that is in
//! it, so that what was read somewhere and what is stored here can be compared without either.

use anyhow::{Context, anyhow};
use plimsoll::{
    Durability, KeyRing, Lsn, Preparation, Record, RecordHeader, RecordKind, SegmentedWal,
    SegmentedWalConfig, WalError,
};
use sha2::{Digest, Sha256};

use super::Place;
use crate::failure::Failure;

/// Sizes of segments that are chosen for a log by its length.
const SEGMENT_BYTES_MIN: u64 = 1 << 20;
const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Settings for writing a log once, as fast as the disk takes it: nobody waits for a record, and the
/// directory is removed if it does not get to the end.
pub(crate) fn settings_for(source_bytes: u64, keys: Option<KeyRing>) -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig::default();
    let size = source_bytes.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
    config.segment_size = size.next_multiple_of(SEGMENT_BYTES_MIN);
    config.buffer_size = 1 << 20;
    config.durability = Durability::Fdatasync;
    config.preparation = Preparation::Allocate;
    config.keys = keys;
    config
}

/// SHA-256 over every record in order: its LSN, kind, ids, length and payload.
#[derive(Clone, Debug, Default)]
pub(super) struct Fingerprint(Sha256);

impl Fingerprint {
    pub(super) fn add(&mut self, lsn: u64, header: RecordHeader, payload: &[u8]) {
        self.0.update(lsn.to_le_bytes());
        self.0.update(header.kind.get().to_le_bytes());
        self.0.update(header.tenant.to_le_bytes());
        self.0.update(header.vshard.to_le_bytes());
        self.0.update(header.database.to_le_bytes());
        self.0.update((payload.len() as u64).to_le_bytes());
        self.0.update(payload);
    }

    pub(super) fn hex(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A log that is being written.
#[derive(Debug)]
pub(super) struct NewLog {
    place: Place,
    config: SegmentedWalConfig,
    /// From its first record on.
    wal: Option<SegmentedWal>,
}

impl NewLog {
    /// Checks the settings; nothing is written before the first record.
    pub(super) fn new(place: Place, config: SegmentedWalConfig) -> Result<Self, Failure> {
        let config = config.in_dir(place.unfinished());
        config.validate().map_err(|error| Failure::Usage(error.into()))?;
        Ok(Self { place, config, wal: None })
    }

    pub(super) fn append(
        &mut self,
        lsn: u64,
        header: RecordHeader,
        payload: &[u8],
    ) -> Result<(), Failure> {
        let wal = match &mut self.wal {
            Some(wal) => wal,
            none => {
                let created = SegmentedWal::create_at(self.config.clone(), Lsn::new(lsn));
                none.insert(created.map_err(writing)?)
            }
        };
        let record = Record::new(header.kind, payload)
            .tenant(header.tenant)
            .vshard(header.vshard)
            .database(header.database);
        let given = wal.append(&record).map_err(writing)?;
        if given.get() == lsn {
            return Ok(());
        }
        Err(Failure::Broken(anyhow!("the new log gave LSN {given} to record {lsn}; report this")))
    }

    /// Makes everything durable, opens the log as its user will, and reads all of it.
    pub(super) fn end(mut self, last_lsn: u64, fingerprint: &str) -> Result<Place, Failure> {
        let Some(wal) = self.wal.take() else { return Ok(self.place) };
        wal.close().map_err(writing)?;
        let wal = SegmentedWal::open(self.config.clone()).map_err(reading)?;
        let mut found = Fingerprint::default();
        for record in wal.replay().map_err(reading)? {
            let record = record.map_err(reading)?;
            let header = RecordHeader {
                kind: record.kind(),
                tenant: record.tenant(),
                vshard: record.vshard(),
                database: record.database(),
            };
            found.add(record.lsn().get(), header, record.payload());
        }
        if found.hex() != fingerprint || wal.recovery().last_lsn.get() != last_lsn {
            return Err(Failure::Broken(anyhow!(
                "what was written does not read back as it was; check the disk and the memory, \
                 nothing was kept"
            )));
        }
        wal.close().map_err(writing)?;
        Ok(self.place)
    }
}

/// What stands for a record that is missing.
pub(super) fn noop() -> RecordHeader {
    RecordHeader::new(RecordKind::NOOP)
}

fn writing(error: WalError) -> Failure {
    let refused = matches!(
        error,
        WalError::NoSpace { .. }
            | WalError::DirectIoUnsupported { .. }
            | WalError::AlignmentRefused { .. }
    );
    let error = anyhow::Error::from(error).context("writing the new log");
    if refused { Failure::Refused(error) } else { Failure::Broken(error) }
}

fn reading(error: WalError) -> Failure {
    let read = Err::<(), _>(error).context("reading the new log back; nothing was kept");
    Failure::Broken(read.expect_err("an error"))
}
