//! The handle of the background thread that keeps segments ready ahead of need and clears away
//! truncated ones, so that neither costs a commit anything.

#[cfg(feature = "simulated")]
mod inline;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvError, Sender, TryRecvError, channel, sync_channel},
    },
};

use super::{
    MetaStore,
    pace::Demand,
    worker::{Job, Worker},
    workshop::{PreparerOptions, Spare, Workshop},
};
use crate::{
    device::LogDirectory,
    error::{Result, WalError},
    format::Meta,
    poison::Poison,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
        lock,
        thread::{self, JoinHandle},
    },
    telemetry::Telemetry,
};

/// Handle of the background thread. Dropping it finishes what was begun and ends the thread.
#[derive(Debug)]
pub(crate) struct Preparer {
    jobs: Mutex<Option<Sender<Job>>>,
    ready: Mutex<Receiver<Result<Spare>>>,
    demand: Arc<Demand>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// On a simulated disk, the worker and its jobs instead of the thread.
    #[cfg(feature = "simulated")]
    inline: Option<inline::Inline>,
    workshop: Workshop,
    telemetry: Telemetry,
    built_here: AtomicU64,
}

impl Preparer {
    /// Starts the thread, which first clears away what an interrupted life left behind, and then
    /// prepares spares at the pace of the log.
    pub(crate) fn start(
        directory: LogDirectory,
        options: PreparerOptions,
        meta: Arc<MetaStore>,
        poison: Poison,
        telemetry: Telemetry,
    ) -> Result<Self> {
        let (jobs, job_queue) = channel();
        let (ready_sender, ready) = sync_channel(options.ahead as usize);
        let workshop = Workshop { directory, options, poison: poison.clone() };
        let demand = Arc::new(Demand::default());
        let worker = Worker::new(
            workshop.clone(),
            Arc::clone(&demand),
            ready_sender,
            meta,
            poison,
            telemetry.clone(),
        );
        let mut preparer = Self {
            jobs: Mutex::new(Some(jobs)),
            ready: Mutex::new(ready),
            demand,
            thread: Mutex::new(None),
            #[cfg(feature = "simulated")]
            inline: None,
            workshop,
            telemetry,
            built_here: AtomicU64::new(0),
        };
        preparer.start_worker(worker, job_queue)?;
        for _ in 0..options.ahead {
            preparer.ask_for_one();
        }
        Ok(preparer)
    }

    fn start_worker(&mut self, worker: Worker, jobs: Receiver<Job>) -> Result<()> {
        #[cfg(feature = "simulated")]
        if self.directory().as_simulated().is_some() {
            self.inline = Some(inline::Inline::start(worker, jobs));
            return Ok(());
        }
        let thread = thread::Builder::new()
            .name("plimsoll-segments".into())
            .spawn(move || worker.run(&jobs))
            .map_err(WalError::io("start the background thread for", self.directory().path()))?;
        *lock(&self.thread) = Some(thread);
        Ok(())
    }

    /// Where the segments are.
    pub(crate) fn directory(&self) -> &LogDirectory {
        &self.workshop.directory
    }

    /// Takes a file with room for at least `needed_bytes`, waiting if none is ready yet.
    ///
    /// # Errors
    ///
    /// [`WalError::NoSpace`] on a full disk; the next call tries again.
    pub(crate) fn take(&self, needed_bytes: u64) -> Result<Spare> {
        let segment_bytes = self.workshop.options.segment_bytes;
        if needed_bytes > segment_bytes {
            return self.build_here(needed_bytes);
        }
        #[cfg(feature = "simulated")]
        self.work_inline(true);
        let prepared = self.next_ready().map_err(|_| WalError::Closed)?;
        self.ask_for_one();
        // What failed earlier may work now: somebody has freed space since.
        prepared.or_else(|_| self.build_here(segment_bytes))
    }

    fn next_ready(&self) -> Result<Result<Spare>, RecvError> {
        let ready = lock(&self.ready);
        match ready.try_recv() {
            Ok(prepared) => Ok(prepared),
            Err(TryRecvError::Disconnected) => Err(RecvError),
            Err(TryRecvError::Empty) => self.demand.urgently(|| {
                self.send(Job::Hurry);
                ready.recv()
            }),
        }
    }

    fn ask_for_one(&self) {
        self.send(Job::Prepare { appended_bytes: self.demand.appended_bytes() });
    }

    /// Makes a file in the caller's thread, under a name that the background thread never uses.
    fn build_here(&self, bytes: u64) -> Result<Spare> {
        let numbers = || u64::MAX - self.built_here.fetch_add(1, Ordering::Relaxed);
        let began_ns = self.telemetry.now_ns();
        let spare = self.workshop.build(numbers, bytes)?;
        self.telemetry.segment_prepared(self.telemetry.now_ns() - began_ns);
        Ok(spare)
    }

    /// So many bytes have been appended to the log. The next spare is prepared at that pace.
    pub(crate) fn note_appended(&self, bytes: u64) {
        self.demand.add(bytes);
    }

    /// Recycles or deletes truncated segments in the background.
    pub(crate) fn retire(&self, paths: Vec<PathBuf>) {
        for path in paths {
            self.send(Job::Retire(path));
        }
    }

    /// Changes `wal.meta` in the background.
    pub(crate) fn save_meta(&self, change: impl FnOnce(&mut Meta) + Send + 'static) {
        self.send(Job::SaveMeta(Box::new(change)));
    }

    /// Ends the thread as [`Self::stop`] does, and leaves a spare to the next life: an opening that
    /// finds none has to zero a segment before it returns.
    pub(crate) fn stop_with_spare(&self) {
        self.send(Job::LeaveSpare);
        self.stop();
    }

    /// Finishes what was begun and ends the thread. Afterwards it does nothing in the directory.
    pub(crate) fn stop(&self) {
        #[cfg(feature = "simulated")]
        if self.inline.is_some() {
            self.work_inline(true);
            drop(lock(&self.jobs).take());
            return;
        }
        drop(lock(&self.jobs).take());
        // Make room, so that a thread waiting to hand a spare over comes to an end.
        while lock(&self.ready).recv().is_ok() {}
        if let Some(thread) = lock(&self.thread).take() {
            // A panic there has been reported by the panic hook; here it changes nothing.
            let _ = thread.join();
        }
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &*lock(&self.jobs) {
            // The thread ends only when this sender is dropped.
            let _ = jobs.send(job);
        }
        #[cfg(feature = "simulated")]
        self.work_inline(false);
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{
        super::name::{SpareState, spare_name, unfinished_name},
        *,
    };
    use crate::{config::Preparation, device::BlockBuffer};

    fn new_directory() -> tempfile::TempDir {
        let target = env!("CARGO_MANIFEST_DIR");
        tempfile::Builder::new().prefix(".spare").tempdir_in(target).expect("writable")
    }

    fn start_in(dir: &tempfile::TempDir, options: PreparerOptions) -> Preparer {
        let directory = LogDirectory::open(dir.path()).expect("opens");
        let meta = Arc::new(
            MetaStore::create(directory.clone(), crate::lsn::Lsn::FIRST).expect("created"),
        );
        Preparer::start(directory, options, meta, Poison::default(), Telemetry::new())
            .expect("starts")
    }

    fn in_new_directory(options: PreparerOptions) -> (tempfile::TempDir, Preparer) {
        let dir = new_directory();
        let preparer = start_in(&dir, options);
        (dir, preparer)
    }

    const ZEROED: PreparerOptions =
        PreparerOptions { preparation: Preparation::Zero, segment_bytes: 1 << 20, ahead: 1 };

    #[test]
    fn whoever_waits_for_a_spare_gets_one_though_nothing_is_appended() {
        let (_dir, preparer) = in_new_directory(ZEROED);
        for _ in 0..5 {
            let spare = preparer.take(4096).expect("a spare");
            assert_eq!(spare.fixed_bytes, Some(ZEROED.segment_bytes));
            assert_eq!(spare.file.len().expect("a file"), ZEROED.segment_bytes);
        }
    }

    #[test]
    fn a_spare_is_made_while_the_log_is_filled_without_anybody_waiting() {
        let (dir, preparer) = in_new_directory(ZEROED);
        let first = preparer.take(4096).expect("a spare").file.path().to_owned();
        // Nobody takes it, so its name appears only if the thread works by itself.
        let is_second = |name: &String| name.starts_with("spare-") && !first.ends_with(name);
        let directory = LogDirectory::open(dir.path()).expect("opens");
        while !directory.names().expect("listed").iter().any(is_second) {
            preparer.note_appended(4096);
            thread::yield_now();
        }
    }

    #[test]
    fn a_stop_leaves_nothing_half_made() {
        for appended_bytes in [0, 100 << 10, 1 << 20] {
            let (dir, preparer) = in_new_directory(ZEROED);
            let _first = preparer.take(4096).expect("a spare");
            preparer.note_appended(appended_bytes);
            preparer.stop();
            let names = LogDirectory::open(dir.path()).and_then(|dir| dir.names()).expect("listed");
            assert!(!names.iter().any(|name| name.starts_with("unfinished-")), "{names:?}");
        }
    }

    /// An opening after it takes what lies there.
    #[test]
    fn a_stop_that_is_to_leave_a_spare_leaves_one() {
        for ahead in [1, 2] {
            let (dir, preparer) = in_new_directory(PreparerOptions { ahead, ..ZEROED });
            for _ in 0..3 {
                fs::remove_file(preparer.take(4096).expect("a spare").file.path()).expect("ours");
            }
            preparer.stop_with_spare();
            let names = LogDirectory::open(dir.path()).and_then(|dir| dir.names()).expect("listed");
            let spares = names.iter().filter(|name| name.starts_with("spare-")).count();
            assert!((1..=ahead as usize).contains(&spares), "{names:?}");
        }
    }

    /// What an earlier life left is deleted a little at a time, and its names are in use meanwhile.
    #[test]
    fn a_left_over_file_takes_no_name_from_a_new_one_nor_the_new_one_with_it() {
        let dir = new_directory();
        for number in [0, 1, u64::MAX, u64::MAX - 1] {
            let path = dir.path().join(unfinished_name(number));
            fs::write(path, vec![0xee; 4 << 20]).expect("writable");
        }
        let preparer = start_in(&dir, ZEROED);
        let ordinary = preparer.take(4096).expect("a spare");
        let large = preparer.take(2 << 20).expect("a file of its own");
        preparer.stop();
        for spare in [ordinary, large] {
            assert!(spare.file.path().exists(), "{:?}", spare.file.path());
            assert_eq!(spare.file.len().expect("a file"), spare.fixed_bytes.expect("fixed"));
        }
    }

    /// A life that ended while it replaced an empty segment leaves a spare with a valid header.
    #[test]
    fn a_spare_of_an_earlier_life_comes_without_its_header() {
        let dir = new_directory();
        let stale = dir.path().join(spare_name(SpareState::Written, 3));
        fs::write(&stale, vec![0xee; 128 << 10]).expect("writable");
        let options = PreparerOptions {
            preparation: Preparation::Recycle,
            segment_bytes: 128 << 10,
            ahead: 1,
        };
        let preparer = start_in(&dir, options);
        let spare = preparer.take(4096).expect("a spare");
        assert_eq!(spare.file.path(), stale, "what is there is used");
        let mut block = BlockBuffer::allocate(64 << 10).expect("memory");
        assert_eq!(spare.file.read_at(&mut block, 0).expect("read"), block.len());
        assert!(block.iter().all(|&byte| byte == 0));
    }
}
