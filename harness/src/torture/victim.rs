//! The hidden verb that `torture` kills: commits as fast as it may, and says on standard output
//! what it was told, a line each.
//!
//! ```text
//! open LSN                     the log is open and ends there
//! ack LSN CLIENT SEQUENCE      this record is durable
//! truncate LSN                 everything below is about to be given up
//! full TEXT                    the disk is full
//! error TEXT                   the log failed otherwise
//! ```

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, Read, Write};
use std::process;
use std::thread;

use plimsoll::{CommitPolicy, GroupCommitter, Lsn, SegmentedWal, SegmentedWalConfig, WalError};

use super::records::{Identity, Payloads, record};
use crate::cli::VictimArgs;

/// Records that an owner has on its way at most.
pub(super) const OWNER_OUTSTANDING: u64 = 64;

/// An owner submits so many at once, at most.
const BURST_MAX: u64 = 9;

/// Records of a client between two truncations.
const TRUNCATE_EVERY: u64 = 64;

/// Commits until it is killed, or until standard input ends: whoever started it is gone then.
/// Returns only if the log fails.
pub(crate) fn victim(args: &VictimArgs) {
    thread::spawn(|| {
        let mut byte = [0];
        while io::stdin().read(&mut byte).is_ok_and(|length| length > 0) {}
        process::exit(0);
    });
    match live(args) {
        Ok(()) => {}
        Err(error @ WalError::NoSpace { .. }) => say(&format!("full {error}")),
        Err(error) => say(&format!("error {error}")),
    }
}

fn live(args: &VictimArgs) -> Result<(), WalError> {
    let config = SegmentedWalConfig::from_profile(&args.settings)?.in_dir(&args.log);
    let wal = SegmentedWal::open(config)?;
    say(&format!("open {}", wal.recovery().last_lsn));
    if args.clients == 0 { own(args, wal) } else { share(args, wal) }
}

/// Threads that each wait for their commit.
fn share(args: &VictimArgs, wal: SegmentedWal) -> Result<(), WalError> {
    let log = GroupCommitter::start(wal, CommitPolicy::FromConfig)?;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..args.clients)
            .map(|client| {
                let log = log.clone();
                scope.spawn(move || commit(args, client, &log))
            })
            .collect();
        for client in clients {
            client.join().unwrap_or(Ok(()))?;
        }
        Ok(())
    })
}

fn commit(args: &VictimArgs, client: u32, log: &GroupCommitter) -> Result<(), WalError> {
    let mut payload = Vec::new();
    for sequence in 0.. {
        let identity = Identity { cycle: args.cycle, client, sequence };
        payloads(args).fill(identity, &mut payload);
        let lsn = log.commit(&record(identity, &payload))?;
        acknowledge(lsn, client, sequence);
        if args.truncate && client == 0 && sequence % TRUNCATE_EVERY == TRUNCATE_EVERY - 1 {
            say(&format!("truncate {lsn}"));
            log.truncate_before(lsn)?;
        }
    }
    Ok(())
}

/// The log's only owner, which goes on while batches are on their way.
fn own(args: &VictimArgs, mut wal: SegmentedWal) -> Result<(), WalError> {
    let mut payload = Vec::new();
    let mut on_their_way = VecDeque::new();
    let mut sequence = 0;
    loop {
        for _ in 0..=sequence % BURST_MAX {
            let identity = Identity { cycle: args.cycle, client: 0, sequence };
            payloads(args).fill(identity, &mut payload);
            on_their_way.push_back((wal.append(&record(identity, &payload))?, sequence));
            sequence += 1;
        }
        wal.submit()?;
        let full = on_their_way.len() as u64 + BURST_MAX > OWNER_OUTSTANDING;
        let durable = match on_their_way.front() {
            Some((oldest, _)) if full => wal.wait(*oldest)?,
            _ => wal.poll()?,
        };
        while let Some((lsn, sequence)) = on_their_way.pop_front_if(|(lsn, _)| *lsn <= durable) {
            acknowledge(lsn, 0, sequence);
            if args.truncate && sequence % TRUNCATE_EVERY == TRUNCATE_EVERY - 1 {
                say(&format!("truncate {lsn}"));
                wal.truncate_before(lsn)?;
            }
        }
    }
}

fn payloads(args: &VictimArgs) -> Payloads {
    Payloads::new(args.seed)
}

fn acknowledge(lsn: Lsn, client: u32, sequence: u64) {
    say(&format!("ack {lsn} {client} {sequence}"));
}

/// One write for a line, so that lines of two threads do not mix. Nobody reading is the end.
fn say(line: &(impl Display + ?Sized)) {
    let line = format!("{line}\n");
    if io::stdout().lock().write_all(line.as_bytes()).is_err() {
        process::exit(0);
    }
}
