//! Opens a log with the settings of a profile, such as a sweep recommends for this machine, and
//! lets 8 threads commit to it at once for three seconds.
//!
//! ```sh
//! cargo run --release --example tuned -- PROFILE.toml DIR
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{anyhow, bail};
use plimsoll::{
    CommitPolicy, GroupCommitter, Record, RecordKind, SegmentedWal, SegmentedWalConfig, WalError,
};

const THREADS: u64 = 8;
const RUN: Duration = Duration::from_secs(3);

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(profile), Some(dir)) = (arguments.next(), arguments.next()) else {
        bail!("usage: cargo run --release --example tuned -- PROFILE.toml DIR");
    };
    let config = SegmentedWalConfig::from_profile(profile)?.in_dir(dir);
    let committer = GroupCommitter::start(SegmentedWal::open(config)?, CommitPolicy::FromConfig)?;
    println!("engine: {} ({})", committer.engine().active, committer.engine().reason);

    let start = Instant::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|tenant| {
            let committer = committer.clone();
            thread::spawn(move || commit_until(&committer, tenant, start + RUN))
        })
        .collect();
    let mut commits = 0_u32;
    for thread in threads {
        commits += thread.join().map_err(|_| anyhow!("a committing thread panicked"))??;
    }
    let rate_per_second = f64::from(commits) / start.elapsed().as_secs_f64();
    let batches = committer.stats().counters.batches;
    println!("{commits} durable commits in {batches} batches, {rate_per_second:.0} a second");
    committer.close()?;
    Ok(())
}

/// Commits one record after the other; each is durable before the next begins.
fn commit_until(committer: &GroupCommitter, tenant: u64, end: Instant) -> Result<u32, WalError> {
    let record = Record::new(RecordKind::PUT, vec![b'x'; 128]).tenant(tenant);
    let mut commits = 0;
    while Instant::now() < end {
        committer.commit(&record)?;
        commits += 1;
    }
    Ok(commits)
}
