//! Opens the log in a directory, prints what recovery found, and replays every record.
//!
//! ```sh
//! cargo run --example recover -- DIR
//! ```
//!
//! To see what a crash leaves, end the example `tuned` with SIGKILL and run this afterwards.

use std::io::{self, Write};

use anyhow::Context;
use plimsoll::{SegmentedWal, SegmentedWalConfig};

fn main() -> anyhow::Result<()> {
    let dir = std::env::args_os().nth(1).context("usage: cargo run --example recover -- DIR")?;

    // Opening refuses, and says where and why, if a promised record may be missing.
    let wal = SegmentedWal::open(SegmentedWalConfig::new(dir))?;

    let mut out = io::stdout().lock();
    let report = wal.recovery();
    writeln!(out, "segments:   {}", report.segments)?;
    writeln!(out, "records:    {} to {}", report.floor, report.last_lsn)?;
    writeln!(out, "last life:  {}", if report.clean_close { "closed" } else { "not closed" })?;
    if let Some(torn) = &report.discarded {
        writeln!(
            out,
            "discarded:  {} bytes nobody was promised, at byte {} of {} ({} batch headers intact)",
            torn.len_bytes,
            torn.offset_bytes,
            torn.path.display(),
            torn.batches
        )?;
    }
    if let Some(path) = &report.removed_unused {
        writeln!(out, "not used:   {}", path.display())?;
    }
    if report.finished_truncations > 0 {
        writeln!(out, "truncated:  {} segments, to the end", report.finished_truncations)?;
    }

    // Streams, and copies nothing: memory is bounded by the largest batch, not by the log.
    let mut reader = wal.replay()?;
    while let Some(record) = reader.next_ref() {
        let record = record?;
        let (lsn, kind, tenant) = (record.lsn(), record.kind().get(), record.tenant());
        let shown = String::from_utf8_lossy(&record.payload()[..record.payload().len().min(40)]);
        writeln!(out, "{lsn:>8}  kind {kind:#06x}  tenant {tenant}  {shown}")?;
    }
    wal.close()?;
    Ok(())
}
