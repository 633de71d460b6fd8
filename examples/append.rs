//! Appends a few records one by one and two that belong together, and says what is durable when.
//!
//! ```sh
//! cargo run --example append -- DIR
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use anyhow::Context;
use plimsoll::{Record, RecordKind, SegmentedWal, SegmentedWalConfig};

fn main() -> anyhow::Result<()> {
    let dir = std::env::args_os().nth(1).context("usage: cargo run --example append -- DIR")?;
    let mut wal = SegmentedWal::open(SegmentedWalConfig::new(dir))?;
    println!("{} is open, its last record is {}", wal.wal_dir().display(), wal.recovery().last_lsn);

    // Appending gives out positions. Nothing is promised yet.
    for name in ["keel", "mast", "rudder"] {
        let record = Record::new(RecordKind::PUT, name.as_bytes()).tenant(1).vshard(0).database(0);
        let lsn = wal.append(&record)?;
        println!("record {lsn} is appended, durable is everything up to {}", wal.durable_lsn());
    }

    // A transfer: both records are there after a crash, or neither is.
    let range = wal.append_batch(&[
        Record::new(RecordKind::DELETE, b"cargo: dock".as_slice()).tenant(1),
        Record::new(RecordKind::PUT, b"cargo: ship".as_slice()).tenant(1),
    ])?;
    println!("records {} to {} are appended as one", range.first, range.last);

    // After this, power may fail.
    let durable_lsn = wal.sync()?;
    println!("durable is everything up to {durable_lsn}");

    // Not needed for safety: the next opening learns from it that nothing else was promised.
    wal.close()?;
    Ok(())
}
