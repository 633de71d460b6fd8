//! Copies every sealed segment of a log to an archive before the log may retire it, each with its
//! checksum beside it.
//!
//! `cargo run --example archive -- DIR ARCHIVE` writes 20 MiB into DIR and truncates it as it goes.
#![allow(clippy::print_stdout, reason = "an example talks")]

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use plimsoll::{ArchiveError, Record, RecordKind, SealedSegment, SegmentedWal, SegmentedWalConfig};

/// A copy that is durable, and whose bytes are those that the log has read. After a crash it may be
/// asked for once more.
fn copy(segment: &SealedSegment, archive: &Path) -> Result<(), ArchiveError> {
    let name = segment.path.file_name().ok_or("a segment has a name")?;
    let target = archive.join(name);
    let bytes = fs::read(&segment.path)?;
    if crc32c::crc32c(&bytes) != segment.crc32c {
        return Err(format!("{} reads differently now", segment.path.display()).into());
    }
    fs::write(&target, &bytes)?;
    fs::write(target.with_extension("crc32c"), format!("{:08x}\n", segment.crc32c))?;
    File::open(&target)?.sync_all()?;
    File::open(archive)?.sync_all()?;
    println!("archived LSN {} to {}", segment.first_lsn, segment.last_lsn);
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let mut paths = env::args().skip(1).map(PathBuf::from);
    let (Some(dir), Some(archive)) = (paths.next(), paths.next()) else {
        anyhow::bail!("usage: archive DIR ARCHIVE");
    };
    fs::create_dir_all(&archive)?;
    let mut config = SegmentedWalConfig::new(&dir);
    config.segment_size = 4 << 20;
    let mut wal = SegmentedWal::open(config)?;
    // At most 1 GiB may wait for the archive; beyond that the log goes on without it.
    let archiver = wal.archive("archive", 1 << 30, move |segment| copy(segment, &archive))?;

    for _ in 0..20 {
        wal.append(&Record::new(RecordKind::PUT, &[7; 1 << 20]))?;
        let checkpoint = wal.sync()?;
        if let Some(held) = wal.truncate_before(checkpoint)?.held_back {
            println!("{} bytes wait for {}", held.bytes, held.lease);
        }
    }
    archiver.stop()?;
    Ok(wal.close()?)
}
