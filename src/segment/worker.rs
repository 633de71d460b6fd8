//! The background thread: makes spares at the pace of the log, deletes or recycles truncated
//! segments, and keeps `wal.meta` up to date. It works in small steps, so that nothing that is
//! asked of it waits for something large.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::Instant,
};

use super::{
    MetaStore,
    disposal::Disposal,
    name::{SpareState, is_leftover, parse_spare_name},
    pace::{Demand, Pace, Step},
    workshop::{Progress, Spare, Unfinished, Workshop},
};
use crate::{
    config::Preparation,
    error::{Result, WalError},
    format::Meta,
    poison::Poison,
    telemetry::Telemetry,
};

/// What the thread can be asked to do.
pub(super) enum Job {
    /// Make one more spare.
    Prepare {
        /// Bytes appended to the log by now.
        appended_bytes: u64,
    },
    /// Somebody waits for a spare: look at the demand now.
    Hurry,
    /// Recycle or delete a truncated segment.
    Retire(PathBuf),
    /// The log is being closed: have a spare lie ready for the next life.
    LeaveSpare,
    /// Bring `wal.meta` up to date.
    SaveMeta(Box<dyn FnOnce(&mut Meta) + Send>),
}

/// The thread's side.
pub(super) struct Worker {
    workshop: Workshop,
    demand: Arc<Demand>,
    /// Spares from an earlier life or from truncation, not handed over yet.
    shelf: Vec<PathBuf>,
    /// Spares that are still to be made.
    orders: u32,
    /// Bytes appended when the next of them was asked for, or its turn came.
    counted_from_bytes: u64,
    /// The spare that is being made.
    unfinished: Option<Unfinished>,
    pace: Pace,
    /// When to look at the orders again.
    due: Option<Instant>,
    disposal: Disposal,
    ready: SyncSender<Result<Spare>>,
    next_number: u64,
    meta: Arc<MetaStore>,
    poison: Poison,
    telemetry: Telemetry,
    /// Whether one has to lie ready at the end.
    leaves_spare: bool,
    /// Time spent on the spare that is being made, pauses left out.
    worked_ns: u64,
}

impl Worker {
    pub(super) fn new(
        workshop: Workshop,
        demand: Arc<Demand>,
        ready: SyncSender<Result<Spare>>,
        meta: Arc<MetaStore>,
        poison: Poison,
        telemetry: Telemetry,
    ) -> Self {
        Self {
            demand,
            shelf: Vec::new(),
            orders: 0,
            counted_from_bytes: 0,
            unfinished: None,
            pace: Pace::new(workshop.options.segment_bytes),
            due: None,
            disposal: Disposal::new(workshop.directory.clone()),
            ready,
            next_number: 0,
            meta,
            poison,
            telemetry,
            leaves_spare: false,
            worked_ns: 0,
            workshop,
        }
    }

    /// Works until the other side hangs up, and then finishes what it has begun.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        self.take_stock();
        loop {
            match self.next_job(jobs) {
                Ok(job) => self.accept(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
            let now = Instant::now();
            if self.due.is_some_and(|due| due <= now) {
                self.look_at_orders();
            }
            if self.disposal.due().is_some_and(|due| due <= now) {
                self.disposal.step();
            }
        }
    }

    /// Does all that a job brings with it at once, without the clock: on a simulated disk.
    #[cfg(feature = "simulated")]
    pub(super) fn work_through(&mut self, job: Job) {
        self.accept(job);
        while self.orders > 0 {
            self.prepare(u64::MAX);
        }
        while self.disposal.due().is_some() {
            self.disposal.step();
        }
    }

    /// Waits for a job until something else is due.
    fn next_job(&self, jobs: &Receiver<Job>) -> Result<Job, RecvTimeoutError> {
        match self.due.into_iter().chain(self.disposal.due()).min() {
            None => Ok(jobs.recv()?),
            Some(due) => jobs.recv_timeout(due.saturating_duration_since(Instant::now())),
        }
    }

    fn accept(&mut self, job: Job) {
        match job {
            Job::Prepare { appended_bytes } => {
                if self.orders == 0 {
                    self.counted_from_bytes = appended_bytes;
                }
                self.orders += 1;
                self.due.get_or_insert_with(Instant::now);
            }
            Job::Hurry => self.due = Some(Instant::now()),
            Job::Retire(path) => self.retire(path),
            Job::LeaveSpare => self.leaves_spare = true,
            Job::SaveMeta(change) => {
                if let Err(error) = self.meta.update(change) {
                    self.poison.set("write", &self.meta.path(), error);
                }
            }
        }
    }

    /// Does the next piece of work on a spare, if the log needs it by now.
    fn look_at_orders(&mut self) {
        if self.orders == 0 {
            self.due = None;
            return;
        }
        let filled_bytes = self.demand.appended_bytes().saturating_sub(self.counted_from_bytes);
        let done_bytes = self.unfinished.as_ref().map_or(0, |unfinished| unfinished.done_bytes);
        match self.pace.next_step(done_bytes, filled_bytes, self.demand.is_urgent()) {
            Step::Work(bytes) => {
                self.prepare(bytes);
                self.due = (self.orders > 0).then(Instant::now);
            }
            Step::Pause(pause) => self.due = Some(Instant::now() + pause),
        }
    }

    /// Does a piece of work, and hands the spare over with the last one.
    fn prepare(&mut self, bytes: u64) {
        let began_ns = self.telemetry.now_ns();
        let advanced = self.advance(bytes);
        self.worked_ns += self.telemetry.now_ns().saturating_sub(began_ns);
        let Some(outcome) = advanced.transpose() else { return };
        if outcome.is_ok() {
            self.telemetry.segment_prepared(self.worked_ns);
        }
        self.worked_ns = 0;
        self.orders = self.orders.saturating_sub(1);
        self.counted_from_bytes = self.demand.appended_bytes();
        self.pace = Pace::new(self.workshop.options.segment_bytes);
        // There is room for every spare that was asked for. Nobody there: the log is closing, and
        // the next life finds it.
        let _ = self.ready.send(outcome);
    }

    fn advance(&mut self, bytes: u64) -> Result<Option<Spare>> {
        let segment_bytes = self.workshop.options.segment_bytes;
        let unfinished = match self.unfinished.take() {
            Some(unfinished) => unfinished,
            None => {
                if let Some(path) = self.shelf.pop() {
                    return self.workshop.reuse(&path).map(Some);
                }
                let next_number = &mut self.next_number;
                self.workshop.begin(|| take_number(next_number), segment_bytes)?
            }
        };
        match self.workshop.advance(unfinished, bytes)? {
            Progress::Unfinished(unfinished) => {
                self.unfinished = Some(unfinished);
                Ok(None)
            }
            Progress::Finished(file) => {
                let number = self.take_number();
                let file = self.workshop.put_away(file, number)?;
                Ok(Some(self.workshop.spare(file, segment_bytes)))
            }
        }
    }

    /// Adopts usable spares of an earlier life and deletes everything that is left over.
    pub(super) fn take_stock(&mut self) {
        let Ok(names) = self.workshop.directory.names() else { return };
        for name in names {
            let path = self.workshop.directory.join(&name);
            if let Some((state, number)) = parse_spare_name(&name) {
                self.next_number = self.next_number.max(number + 1);
                if state == self.workshop.wanted_state() && self.has_segment_size(&path) {
                    self.shelf.push(path);
                    continue;
                }
            } else if !is_leftover(&name) {
                continue;
            }
            self.disposal.add(path);
        }
    }

    fn has_segment_size(&self, path: &Path) -> bool {
        let expected = match self.workshop.wanted_state() {
            SpareState::Empty => 0,
            SpareState::Allocated | SpareState::Written => self.workshop.options.segment_bytes,
        };
        self.workshop.directory.file_len(path).is_ok_and(|len| len == expected)
    }

    fn retire(&mut self, path: PathBuf) {
        let recycles = self.workshop.options.preparation == Preparation::Recycle;
        let room = self.shelf.len() <= self.workshop.options.ahead as usize;
        if !(recycles && room && self.has_segment_size(&path)) {
            return self.disposal.add(path);
        }
        let number = self.take_number();
        let file = self
            .workshop
            .directory
            .open_for_write(path.clone())
            .map_err(WalError::io("recycle", &path))
            .and_then(|file| self.workshop.put_away(file, number));
        match file {
            Ok(file) => self.shelf.push(file.path().to_owned()),
            Err(error) => {
                // Nothing depends on it: the file is tried again at the next open.
                tracing::warn!(path = %path.display(), %error, "cannot recycle");
            }
        }
    }

    /// The log is being closed: completes the spare that has been begun, for the next life, or makes
    /// one if none lies ready and it was asked for, and deletes what is to be deleted.
    fn finish(mut self) {
        let none_is_ready = self.shelf.is_empty() && self.orders >= self.workshop.options.ahead;
        if self.unfinished.is_some() || (self.leaves_spare && none_is_ready) {
            self.prepare(u64::MAX);
        }
        self.disposal.finish();
    }

    fn take_number(&mut self) -> u64 {
        take_number(&mut self.next_number)
    }
}

fn take_number(next: &mut u64) -> u64 {
    let number = *next;
    *next += 1;
    number
}
