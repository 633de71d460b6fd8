//! Clients that share a log through a [`GroupCommitter`]: threads that block in their commits, or
//! tasks of one thread that await them.

use std::thread;

use futures::executor::block_on;
use futures::future::join_all;
use plimsoll::{CommitPolicy, GroupCommitter, Level, Lsn, SegmentedWal, WalCounters};

use super::checkpoint::Checkpoints;
use super::client::{Client, ClientLog};
use super::gate::{Gate, Shift};
use super::observe::{Observer, Subject};
use super::{Callers, Loaded, Problem, Trial, config, refuse_another_engine};

impl Subject for GroupCommitter {
    fn counters(&self) -> WalCounters {
        self.counters()
    }

    fn durable_lsn(&self) -> Lsn {
        self.durable_lsn()
    }
}

/// Runs the clients through warm-up and measured time, truncates the log meanwhile if asked, and
/// closes it.
pub(super) fn apply(
    trial: &Trial<'_>,
    wal: SegmentedWal,
    clients: Vec<Client<'_>>,
) -> Result<Loaded, Problem> {
    let committer = start(wal)?;
    let loaded = shift(trial, &committer, clients)?;
    close(&committer)?;
    Ok(loaded)
}

/// A log that is shared, with the engine that was asked for.
pub(super) fn start(wal: SegmentedWal) -> Result<GroupCommitter, Problem> {
    let committer = GroupCommitter::start(wal, CommitPolicy::FromConfig)
        .map_err(|error| config::classify(&error))?;
    refuse_another_engine(committer.engine())?;
    Ok(committer)
}

pub(super) fn close(committer: &GroupCommitter) -> Result<(), Problem> {
    committer.close().map_err(|error| Problem::Failed(format!("closing the log: {error}")))
}

/// Runs the clients through warm-up and measured time, and truncates the log meanwhile if asked.
pub(super) fn shift(
    trial: &Trial<'_>,
    committer: &GroupCommitter,
    clients: Vec<Client<'_>>,
) -> Result<Loaded, Problem> {
    let gate = Gate::default();
    let checkpoints = trial.truncation.map(|truncation| Checkpoints { committer, truncation });
    let (observed, clients, checkpoints) = thread::scope(|scope| {
        let mut handles = Vec::new();
        for (number, clients) in by_thread(trial.load.callers, clients).into_iter().enumerate() {
            let gate = &gate;
            let handle = thread::Builder::new()
                .name(format!("client-{number}"))
                .spawn_scoped(scope, move || run(trial.load.callers, clients, committer, gate))
                .map_err(|error| {
                    gate.cancel();
                    Problem::Failed(format!("cannot start client {number}: {error}"))
                })?;
            handles.push(handle);
        }
        let checkpoints =
            checkpoints.as_ref().map(|checkpoints| scope.spawn(|| checkpoints.run(&gate)));
        let observed = Observer { trial, subject: committer }.observe(&gate);
        let clients = handles
            .into_iter()
            .map(|handle| handle.join().map_err(|_| Problem::Failed("a client panicked".into())))
            .collect::<Result<Vec<Vec<ClientLog>>, Problem>>()?;
        let checkpoints = checkpoints
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(Problem::Failed("a checkpoint panicked".into())))
            })
            .transpose()?;
        Ok((observed, clients.into_iter().flatten().collect::<Vec<_>>(), checkpoints))
    })?;
    Loaded::new(clients, checkpoints, observed, committer.engine())
}

/// Divides the clients between threads, in their order.
fn by_thread(callers: Callers, clients: Vec<Client<'_>>) -> Vec<Vec<Client<'_>>> {
    if callers == Callers::Tasks {
        return vec![clients];
    }
    clients.into_iter().map(|client| vec![client]).collect()
}

/// What one thread does.
fn run(
    callers: Callers,
    clients: Vec<Client<'_>>,
    committer: &GroupCommitter,
    gate: &Gate,
) -> Vec<ClientLog> {
    let Some(shift) = gate.pass() else {
        return clients.into_iter().map(|client| client.log).collect();
    };
    if callers == Callers::Tasks {
        let tasks = clients.into_iter().map(|client| run_as_task(client, committer, shift));
        return block_on(join_all(tasks));
    }
    clients.into_iter().map(|client| run_blocking(client, committer, shift)).collect()
}

/// Commits until the end of the shift, blocking its thread.
fn run_blocking(mut client: Client<'_>, committer: &GroupCommitter, shift: Shift<'_>) -> ClientLog {
    let mut payload = Vec::new();
    while let Some((record, began)) = client.next_record(&shift, &mut payload) {
        let outcome = committer.commit(&record);
        if !client.log.take_in(&shift.schedule, began, outcome) {
            break;
        }
    }
    client.log
}

/// The same as a task, which awaits each commit.
async fn run_as_task(
    mut client: Client<'_>,
    committer: &GroupCommitter,
    shift: Shift<'_>,
) -> ClientLog {
    let mut payload = Vec::new();
    while let Some((record, began)) = client.next_record(&shift, &mut payload) {
        let outcome = match committer.submit(&record) {
            Ok(commit) => commit.await.map(Level::lsn),
            Err(error) => Err(error),
        };
        if !client.log.take_in(&shift.schedule, began, outcome) {
            break;
        }
    }
    client.log
}
