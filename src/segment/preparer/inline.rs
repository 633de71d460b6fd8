//! The background thread's work without the thread, for simulated disks: everything on one follows
//! from its seed, and so does when this is done.

use std::{fmt, sync::mpsc::Receiver};

use super::{Job, Preparer, Worker};
use crate::sync::{Mutex, lock};

/// The worker, and what it is to do.
pub(super) struct Inline(Mutex<(Worker, Receiver<Job>)>);

impl Inline {
    pub(super) fn start(mut worker: Worker, jobs: Receiver<Job>) -> Self {
        worker.take_stock();
        Self(Mutex::new((worker, jobs)))
    }
}

impl fmt::Debug for Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inline(…)")
    }
}

impl Preparer {
    /// Does what was asked for in the caller's thread, now or later as the disk's seed says, and at
    /// the latest when somebody waits for it.
    pub(super) fn work_inline(&self, somebody_waits: bool) {
        let Some(inline) = &self.inline else { return };
        let Some(disk) = self.directory().as_simulated() else { return };
        let (worker, jobs) = &mut *lock(&inline.0);
        while somebody_waits || disk.background_runs() {
            let Ok(job) = jobs.try_recv() else { return };
            worker.work_through(job);
        }
    }
}
