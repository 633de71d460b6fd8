//! A thread that does it all: it takes requests, appends, submits, and answers when the durable LSN
//! has passed, in one event loop. Each core would run one of these with a log of its own.
//!
//! ```sh
//! cargo run --release --example owner -- DIR
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::{collections::VecDeque, os::fd::AsFd};

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plimsoll::{Lsn, Record, RecordKind, SegmentedWal, SegmentedWalConfig};

const REQUESTS: u32 = 10_000;
/// Requests that have not been answered: what a server's clients have open at once.
const OPEN_REQUESTS: usize = 64;

fn main() -> anyhow::Result<()> {
    let dir = std::env::args_os().nth(1).context("usage: cargo run --example owner -- DIR")?;
    let mut config = SegmentedWalConfig::new(dir);
    (config.pipeline_depth, config.single_issuer) = (4, true);
    let mut wal = SegmentedWal::open(config)?;
    println!("engine: {} ({})", wal.engine().active, wal.engine().reason);
    let completions = wal.completion_fd()?.try_clone_to_owned()?;

    // Oldest first: what is durable is a prefix.
    let mut open: VecDeque<(Lsn, u32)> = VecDeque::new();
    let (mut taken, mut answered) = (0, 0);
    while answered < REQUESTS {
        while open.len() < OPEN_REQUESTS && taken < REQUESTS {
            let payload = taken.to_le_bytes();
            open.push_back((wal.append(&Record::new(RecordKind::PUT, &payload[..]))?, taken));
            taken += 1;
        }
        wal.submit()?;
        let mut durable_lsn = wal.poll()?;
        if open.front().is_some_and(|&(lsn, _)| lsn > durable_lsn) {
            // A server's sockets would be in this list as well.
            let mut watched = [PollFd::new(completions.as_fd(), PollFlags::POLLIN)];
            poll(&mut watched, PollTimeout::NONE)?;
            durable_lsn = wal.poll()?;
        }
        while open.pop_front_if(|&mut (lsn, _)| lsn <= durable_lsn).is_some() {
            answered += 1;
        }
    }
    let batches = wal.counters().batches;
    println!(
        "{answered} requests answered in {batches} batches, durable up to {}",
        wal.durable_lsn()
    );
    wal.close()?;
    Ok(())
}
