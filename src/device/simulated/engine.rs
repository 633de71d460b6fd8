//! The asynchronous engine of a simulated disk: several requests in flight, completed in any order
//! that the seed says, in pieces at times.

use std::{collections::VecDeque, io, os::fd::BorrowedFd, sync::Arc};

use super::{SimulatedFile, state::FileNumber};
use crate::{
    device::{Completion, Device, SegmentFile, Wait, WriteRequest},
    sabotage::{Sabotage, is},
    sync::others_may_run,
};

/// Requests in flight.
#[derive(Default)]
pub(super) struct SimulatedEngine {
    in_flight: Vec<InFlight>,
    done: VecDeque<Completion>,
}

enum InFlight {
    /// The part up to `until` is with the device, its end as the write of this number.
    Write {
        request: WriteRequest,
        until: usize,
        number: u64,
    },
    Flush {
        file: Arc<SegmentFile>,
        token: u64,
        covered: Vec<(FileNumber, Vec<u64>)>,
    },
    /// A write that was reported complete before it was.
    Forgotten {
        request: WriteRequest,
        number: u64,
    },
}

fn simulated(file: &SegmentFile) -> io::Result<&SimulatedFile> {
    file.as_simulated().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

impl SimulatedEngine {
    /// Hands the rest of a write to the device, or some of it.
    fn start(&mut self, request: WriteRequest, written: usize) {
        match start_on_device(&request, written) {
            Ok((number, until)) => {
                self.in_flight.push(InFlight::Write { request, until, number });
            }
            Err(error) => self.done.push_back(completion_of(request, Err(error))),
        }
    }

    /// Completes one request that is in flight, any of them.
    fn complete_one(&mut self) {
        others_may_run();
        let Some(index) = self.choose() else { return };
        match self.in_flight.swap_remove(index) {
            InFlight::Write { request, until, number } => {
                let whole = until == request.range.len() || is(Sabotage::AcceptShortWrite);
                let completed =
                    simulated(&request.file).and_then(SimulatedFile::enter).map(|mut disk| {
                        let file = simulated(&request.file).map_or(0, SimulatedFile::number);
                        disk.complete_write(file, number, request.sync);
                    });
                if whole || completed.is_err() {
                    self.done.push_back(completion_of(request, completed));
                } else {
                    self.start(request, until);
                }
            }
            InFlight::Flush { file, token, covered } => {
                let result = simulated(&file)
                    .and_then(SimulatedFile::enter)
                    .and_then(|mut disk| disk.finish_flush(covered));
                let retry = result.is_err() && is(Sabotage::RetryFailedFlush);
                let result = if retry { file.flush() } else { result };
                let operation = "flush";
                self.done.push_back(Completion { token, operation, file, buffer: None, result });
            }
            InFlight::Forgotten { request, number } => {
                if let Ok(file) = simulated(&request.file)
                    && let Ok(mut disk) = file.enter()
                {
                    disk.complete_write(file.number(), number, request.sync);
                }
            }
        }
    }

    fn choose(&self) -> Option<usize> {
        let file = match self.in_flight.first()? {
            InFlight::Write { request, .. } | InFlight::Forgotten { request, .. } => &request.file,
            InFlight::Flush { file, .. } => file,
        };
        let disk = simulated(file).and_then(SimulatedFile::enter);
        Some(disk.map_or(0, |mut disk| disk.chance.below(self.in_flight.len())))
    }

    /// Whether the device gets something done while nobody waits for it.
    fn device_runs(&self) -> bool {
        let running = self.in_flight.first().and_then(|request| match request {
            InFlight::Write { request, .. } | InFlight::Forgotten { request, .. } => {
                request.file.as_simulated()
            }
            InFlight::Flush { file, .. } => file.as_simulated(),
        });
        running.and_then(|file| file.enter().ok()).is_some_and(|mut disk| disk.chance.happens(1, 3))
    }

    fn unforgotten(&self) -> usize {
        let forgotten = |request: &&InFlight| !matches!(request, InFlight::Forgotten { .. });
        self.in_flight.iter().filter(forgotten).count()
    }
}

/// Starts what is left of a write; returns its number and how far it goes.
fn start_on_device(request: &WriteRequest, written: usize) -> io::Result<(u64, usize)> {
    others_may_run();
    let file = simulated(&request.file)?;
    let mut disk = file.enter()?;
    let rest = &request.buffer[request.range.clone()][written..];
    let taken = disk.taken(rest.len());
    let offset_bytes = request.offset_bytes + written as u64;
    let number = disk.start_write(file.number(), offset_bytes, &rest[..taken])?;
    Ok((number, written + taken))
}

fn completion_of(request: WriteRequest, result: io::Result<()>) -> Completion {
    let WriteRequest { token, file, buffer, .. } = request;
    Completion { token, operation: "write", file, buffer: Some(buffer), result }
}

impl Device for SimulatedEngine {
    fn submit_write(&mut self, request: WriteRequest) {
        if is(Sabotage::AcknowledgeEarly) {
            return self.forget(request);
        }
        self.start(request, 0);
    }

    fn submit_flush(&mut self, file: Arc<SegmentFile>, token: u64) {
        let covered = simulated(&file)
            .and_then(|simulated| Ok(simulated.enter()?.covered_by_flush(simulated.number())));
        match covered {
            Ok(covered) => self.in_flight.push(InFlight::Flush { file, token, covered }),
            Err(error) => {
                let (operation, result) = ("flush", Err(error));
                self.done.push_back(Completion { token, operation, file, buffer: None, result });
            }
        }
    }

    fn reap(&mut self, wait: Wait) -> io::Result<Option<Completion>> {
        while self.device_runs() {
            self.complete_one();
        }
        while wait == Wait::One && self.done.is_empty() && self.unforgotten() > 0 {
            self.complete_one();
        }
        Ok(self.done.pop_front())
    }

    fn in_flight(&self) -> usize {
        self.unforgotten() + self.done.len()
    }

    fn completion_fd(&mut self) -> io::Result<BorrowedFd<'_>> {
        // Nothing completes on its own: whoever waits has to ask.
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl SimulatedEngine {
    /// Reports a write complete that has only just been started.
    fn forget(&mut self, request: WriteRequest) {
        match start_on_device(&request, 0) {
            Ok((number, _)) => {
                let (token, file) = (request.token, Arc::clone(&request.file));
                let ghost = super::super::BlockBuffer::on_heap(0);
                let WriteRequest { buffer, range, offset_bytes, sync, .. } = request;
                self.done.push_back(Completion {
                    token,
                    operation: "write",
                    file: Arc::clone(&file),
                    buffer: Some(buffer),
                    result: Ok(()),
                });
                let request =
                    WriteRequest { token, file, buffer: ghost, range, offset_bytes, sync };
                self.in_flight.push(InFlight::Forgotten { request, number });
            }
            Err(error) => self.done.push_back(completion_of(request, Err(error))),
        }
    }
}
