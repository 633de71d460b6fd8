//! Opening a log: lock, geometry, recovery, and a fresh segment to go on in. No existing byte of a
//! segment is changed, whatever is found.

use std::{io, num::TryFromIntError, sync::Arc};

use super::{Log, SegmentedWal};
use crate::{
    append::{Appender, BatchWriter, WriterParts},
    config::SegmentedWalConfig,
    device::{BufferPool, EngineOptions, LogDirectory, open_engine},
    error::{Result, WalError},
    format::round_up,
    lsn::Lsn,
    poison::Poison,
    replay::{Recovered, recover},
    segment::{
        CatalogEntry, LeaseStore, MetaStore, Preparer, PreparerOptions, SegmentCatalog,
        SegmentContext, await_last_writes, list_segments, read_meta,
    },
    sync::Mutex,
    telemetry::Telemetry,
};

/// Fewest blocks of a segment: its header, the marker it starts with, and a batch.
const MIN_SEGMENT_BLOCKS: u64 = 3;

/// What is expected of a directory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// A log, or none: then one begins with LSN 1.
    LogOrNew,
    /// None: one begins with this LSN.
    NewAt(Lsn),
}

impl Wanted {
    /// A new log that begins with `first_lsn`.
    ///
    /// # Errors
    ///
    /// [`WalError::InvalidConfig`] for a number that no record may have.
    pub(super) fn new_at(first_lsn: Lsn) -> Result<Self> {
        // Behind its first record a log has to be able to go on.
        if first_lsn == Lsn::NONE || first_lsn.next().is_exhausted() {
            return Err(WalError::InvalidConfig {
                origin: String::new(),
                field: "first_lsn",
                value: first_lsn.to_string(),
                allowed: format!("1 to {}", u64::MAX - 2),
            });
        }
        Ok(Self::NewAt(first_lsn))
    }
}

pub(super) fn open(config: SegmentedWalConfig, wanted: Wanted) -> Result<SegmentedWal> {
    config.validate()?;
    let directory = LogDirectory::open_or_create(&config.dir)?;
    open_in(directory, config, wanted)
}

/// Opens the log in a directory with settings that are valid.
pub(super) fn open_in(
    directory: LogDirectory,
    config: SegmentedWalConfig,
    wanted: Wanted,
) -> Result<SegmentedWal> {
    let lock = directory.lock()?;
    let geometry = directory.geometry().inspect_err(|error| {
        // No log can be here: leave no lock behind. It harms nothing if it stays.
        if matches!(error, WalError::DirectIoUnsupported { .. }) {
            let _ = directory.remove(&directory.lock_path());
        }
    })?;
    let block_bytes = config.block_bytes(&geometry)?;

    let meta = Arc::new(open_meta(&directory, wanted)?);
    if meta.get().encrypted && config.keys.is_none() {
        return Err(WalError::KeyRequired { path: config.dir, key_id: 0 });
    }
    await_last_writes(&directory)?;
    let recovered = recover(&directory, &meta.get(), config.keys.as_ref(), config.verify_on_open)?;
    if recovered.predecessor.end_lsn.next().is_exhausted() {
        return Err(WalError::LsnExhausted);
    }
    let poison = Poison::default();
    let leases = LeaseStore::open(directory.clone(), Arc::clone(&meta), poison.clone())?;
    clear_away(&directory, &recovered)?;

    let telemetry = Telemetry::new();
    let segment_bytes =
        round_up(config.segment_size, block_bytes).max(MIN_SEGMENT_BLOCKS * block_bytes);
    let preparer = Arc::new(Preparer::start(
        directory.clone(),
        PreparerOptions {
            preparation: config.preparation,
            segment_bytes,
            ahead: config.prepared_segments,
        },
        Arc::clone(&meta),
        poison.clone(),
        telemetry.clone(),
    )?);
    let sealed = recovered.segments.iter().map(|segment| CatalogEntry {
        path: segment.path.clone(),
        first_lsn: segment.header.identity.first_lsn,
    });
    let leases = Arc::new(leases);
    let catalog = Arc::new(SegmentCatalog::new(
        directory.clone(),
        sealed,
        Arc::clone(&meta),
        Arc::clone(&leases),
        poison.clone(),
    ));

    let mut pool = buffer_pool(&config, block_bytes)?;
    let options = EngineOptions {
        requested: config.engine,
        durability: config.durability,
        depth: config.pipeline_depth,
        single_issuer: config.single_issuer,
        directory: &directory,
        block_bytes,
    };
    let (device, engine) = open_engine(options, &geometry, &mut pool);
    tracing::info!(active = %engine.active, reason = %engine.reason, "log engine");

    let predecessor = recovered.predecessor;
    let context = SegmentContext::create(
        &directory,
        meta.get().log_id,
        predecessor.number + 1,
        predecessor.end_lsn.next(),
        block_bytes,
        config.keys.as_ref(),
    )?;
    let file = preparer.take(segment_bytes)?;
    let keys = config.keys.clone();
    let appender = Appender::new(
        pool,
        context,
        file,
        keys.clone(),
        Arc::clone(&preparer),
        telemetry.clone(),
        segment_bytes,
    );
    let writer = BatchWriter::new(WriterParts {
        device,
        directory: directory.clone(),
        catalog: Arc::clone(&catalog),
        preparer: Arc::clone(&preparer),
        poison,
        telemetry,
        durability: config.durability,
        predecessor,
        empty_segment: recovered.empty_segment,
    });
    let log = Log {
        config,
        directory,
        geometry,
        recovery: recovered.report,
        catalog,
        preparer,
        meta,
        leases,
        engine,
        keys: Mutex::new(keys),
        lock: Mutex::new(Some(lock)),
    };
    let mut wal = SegmentedWal::from_parts(Arc::new(log), appender, writer);
    start_first_segment(&mut wal)?;
    Ok(wal)
}

/// Writes the header of the new segment with a marker and notes it in `wal.meta` before anything
/// is acknowledged, so that a deleted segment is never taken for one that was not there.
fn start_first_segment(wal: &mut SegmentedWal) -> Result<()> {
    let encrypted = wal.log.config.keys.is_some();
    if encrypted {
        let meta = &wal.log.meta;
        meta.update(|meta| meta.encrypted = true).map_err(WalError::io("write", meta.path()))?;
    }
    wal.write_marker(false)?;
    let (number, durable_lsn) = (wal.writer.active_number(), wal.durable_lsn());
    let meta = &wal.log.meta;
    meta.update(|meta| {
        meta.note_started_segment(number, durable_lsn);
        // The segment may have the number of an empty one that it has replaced.
        meta.forget_close();
    })
    .map_err(WalError::io("write", meta.path()))
}

/// `wal.meta`, written first in a new directory. Segments without it are no new log.
fn open_meta(directory: &LogDirectory, wanted: Wanted) -> Result<MetaStore> {
    let meta = read_meta(directory)?;
    let none_here = || Ok::<_, WalError>(list_segments(directory)?.is_empty());
    match (wanted, meta) {
        (Wanted::LogOrNew, Some(meta)) => return Ok(MetaStore::existing(directory.clone(), meta)),
        (Wanted::LogOrNew, None) if none_here()? => {
            return MetaStore::create(directory.clone(), Lsn::FIRST);
        }
        (Wanted::LogOrNew, None) => {}
        (Wanted::NewAt(first_lsn), None) if none_here()? => {
            return MetaStore::create(directory.clone(), first_lsn);
        }
        (Wanted::NewAt(_), _) => {
            return Err(WalError::LogExists { path: directory.path().to_owned() });
        }
    }
    Err(WalError::MetaDamaged {
        path: directory.join("wal.meta"),
        problem: "it is missing, and there are segments beside it".to_owned(),
    })
}

/// Makes the names durable that were found, since after a killed process they may be in the kernel's
/// memory only and what follows relies on them. Then removes files that recovery found to hold
/// nothing: interrupted truncations, and a newest segment that was never used.
fn clear_away(directory: &LogDirectory, recovered: &Recovered) -> Result<()> {
    let sync = || directory.sync();
    sync().map_err(WalError::io("sync directory", directory.path()))?;
    if recovered.remove.is_empty() {
        return Ok(());
    }
    for path in &recovered.remove {
        directory.remove(path).map_err(WalError::io("remove", path))?;
    }
    sync().map_err(WalError::io("sync directory", directory.path()))
}

fn buffer_pool(config: &SegmentedWalConfig, block_bytes: u64) -> Result<BufferPool> {
    let memory = |error| WalError::io("map buffers for the log in", &config.dir)(error);
    // A batch on its way for each in flight, one that is full, and one that fills meanwhile. Each
    // buffer has a block to spare for the header of the segment that its batch may start.
    let buffer_bytes = round_up(config.buffer_size, block_bytes) + block_bytes;
    let sizes = || -> Result<(u16, usize), TryFromIntError> {
        Ok((u16::try_from(config.pipeline_depth + 2)?, usize::try_from(buffer_bytes)?))
    };
    let (count, buffer_len) = sizes().map_err(|_| memory(io::ErrorKind::OutOfMemory.into()))?;
    BufferPool::new(count, buffer_len).map_err(memory)
}
