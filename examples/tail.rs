//! Follows a log: beside the threads that commit to it, and from its directory alone, as another
//! process would.
//!
//! `cargo run --example tail -- DIR` writes a few records into DIR and follows them.
#![allow(clippy::print_stdout, reason = "an example talks")]

use std::{env, thread, time::Duration};

use plimsoll::{
    CommitPolicy, DirectoryTailer, GroupCommitter, LogRecord, Record, RecordKind, SegmentedWal,
    SegmentedWalConfig, WalError,
};

fn show(who: &str, record: &LogRecord) {
    println!("{who}: {} {}", record.lsn(), String::from_utf8_lossy(record.payload()));
}

fn main() -> anyhow::Result<()> {
    let dir = env::args().nth(1).ok_or_else(|| anyhow::anyhow!("usage: tail DIR"))?;
    let wal = SegmentedWal::open(SegmentedWalConfig::new(&dir))?;
    let log = GroupCommitter::start(wal, CommitPolicy::FromConfig)?;
    let from = log.next_lsn();

    // In this process: woken by each batch that becomes durable, until the log is closed.
    let tailer = log.tail(from)?;
    let inside = thread::spawn(move || {
        for record in tailer {
            show("inside", &record?);
        }
        Ok::<_, WalError>(())
    });
    // In another process: it looks every few milliseconds, and has no end of its own.
    let mut tailer = DirectoryTailer::open(&dir, None, from)?;
    let outside = thread::spawn(move || {
        while let Some(record) = tailer.next_timeout(Duration::from_secs(1))? {
            show("outside", &record);
        }
        Ok::<_, WalError>(())
    });

    for n in 1..=5 {
        log.commit(&Record::new(RecordKind::PUT, format!("record {n}").as_bytes()))?;
        thread::sleep(Duration::from_millis(50));
    }
    log.close()?;
    inside.join().expect("no panic")?;
    outside.join().expect("no panic")?;
    Ok(())
}
