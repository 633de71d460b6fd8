//! One thread does it all: it owns the log, appends for its clients, writes, and answers them. No
//! second thread, no lock and no hand-over between a record and the disk.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use plimsoll::{Lsn, SegmentedWal, WalCounters, WalError};

use super::client::{Client, ClientLog, Span};
use super::gate::{Gate, Shift};
use super::observe::{Observer, Subject};
use super::{Loaded, Problem, Trial, refuse_another_engine};

/// What the owner shows to those beside it, after each batch.
#[derive(Debug, Default)]
struct Progress(Mutex<(WalCounters, Lsn)>);

impl Progress {
    fn show(&self, wal: &SegmentedWal) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = (wal.counters(), wal.durable_lsn());
    }

    fn shown(&self) -> (WalCounters, Lsn) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subject for Progress {
    fn counters(&self) -> WalCounters {
        self.shown().0
    }

    fn durable_lsn(&self) -> Lsn {
        self.shown().1
    }
}

/// Runs the clients through warm-up and measured time, and closes the log.
pub(super) fn apply(
    trial: &Trial<'_>,
    wal: SegmentedWal,
    clients: Vec<Client<'_>>,
) -> Result<Loaded, Problem> {
    if trial.truncation.is_some() {
        return Err(Problem::Refused("a log of one owner is not truncated under load".into()));
    }
    let engine = wal.engine().clone();
    refuse_another_engine(&engine)?;
    let (gate, progress) = (Gate::default(), Progress::default());
    let (observed, (clients, wal)) = thread::scope(|scope| {
        let owner = Owner { wal, clients, on_their_way: VecDeque::new(), progress: &progress };
        let handle = thread::Builder::new()
            .name("owner".into())
            .spawn_scoped(scope, || owner.run(&gate))
            .map_err(|error| Problem::Failed(format!("cannot start the owner: {error}")))?;
        let observed = Observer { trial, subject: &progress }.observe(&gate);
        let ended = handle.join().map_err(|_| Problem::Failed("the owner panicked".into()))?;
        Ok((observed, ended))
    })?;
    let loaded = Loaded::new(clients, None, observed, &engine)?;
    wal.close().map_err(|error| Problem::Failed(format!("closing the log: {error}")))?;
    Ok(loaded)
}

/// The owner and its clients, each of which has at most one record on its way.
struct Owner<'a> {
    wal: SegmentedWal,
    clients: Vec<Client<'a>>,
    on_their_way: VecDeque<OnItsWay>,
    progress: &'a Progress,
}

/// A record that has its LSN and is not durable yet.
struct OnItsWay {
    client: usize,
    lsn: Lsn,
    began: Instant,
}

impl Owner<'_> {
    fn run(mut self, gate: &Gate) -> (Vec<ClientLog>, SegmentedWal) {
        if let Some(shift) = gate.pass() {
            self.serve(&shift);
        }
        (self.clients.into_iter().map(|client| client.log).collect(), self.wal)
    }

    /// Appends for everybody who waits for nothing, and answers everybody whose record is durable,
    /// until the end of the shift.
    fn serve(&mut self, shift: &Shift<'_>) {
        let mut payload = Vec::new();
        let mut ready: Vec<usize> = (0..self.clients.len()).collect();
        self.on_their_way.reserve(self.clients.len());
        loop {
            for client in ready.drain(..) {
                if !self.append(client, shift, &mut payload) {
                    return;
                }
            }
            let Some(oldest) = self.on_their_way.front().map(|record| record.client) else {
                return;
            };
            match self.advance() {
                Ok(durable_lsn) => self.answer(durable_lsn, shift, &mut ready),
                Err(error) => {
                    self.clients[oldest].log.error = Some(error);
                    return;
                }
            }
            self.progress.show(&self.wal);
        }
    }

    /// Appends the client's next record, if its shift is not over. `false` if the log has failed.
    fn append(&mut self, client: usize, shift: &Shift<'_>, payload: &mut Vec<u8>) -> bool {
        let Some((record, began)) = self.clients[client].next_record(shift, payload) else {
            return true;
        };
        match self.wal.append(&record) {
            Ok(lsn) => self.on_their_way.push_back(OnItsWay { client, lsn, began }),
            Err(error) => self.clients[client].log.error = Some(error),
        }
        self.clients[client].log.error.is_none()
    }

    /// Moves what was appended towards the disk until something is durable, and returns the last
    /// durable LSN. Everything that is on its way goes along: one write for all.
    fn advance(&mut self) -> Result<Lsn, WalError> {
        self.wal.submit()?;
        match self.on_their_way.front() {
            Some(oldest) => self.wal.wait(oldest.lsn),
            None => self.wal.poll(),
        }
    }

    /// Acknowledges what is durable; whose record it was is ready for the next. All of them learn
    /// it in the same moment.
    fn answer(&mut self, durable_lsn: Lsn, shift: &Shift<'_>, ready: &mut Vec<usize>) {
        let now = Instant::now();
        while let Some(first) = self.on_their_way.front()
            && first.lsn <= durable_lsn
        {
            let OnItsWay { client, lsn, began } = *first;
            self.on_their_way.pop_front();
            let span = Span { began, ended: now };
            self.clients[client].log.acknowledge(&shift.schedule, lsn, span);
            ready.push(client);
        }
    }
}
