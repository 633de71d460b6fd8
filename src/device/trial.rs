//! A trial of both engines on the disk that the log is on, a few milliseconds long: which of them
//! makes more small writes durable, one inline or several in flight.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    BufferPool, Device, LogDirectory, SegmentFile, Wait, WriteRequest, WriteSync,
    blocking::BlockingEngine,
};

/// Where the trial writes. A name that the next opening clears away, should this one be cut short.
const SCRATCH_NAME: &str = "unfinished-engine-trial.tmp";
/// Blocks of the scratch file, which are overwritten in turns.
const SCRATCH_BLOCKS: u64 = 64;
/// Time of one run. Each engine has two, with the other's between them.
const RUN: Duration = Duration::from_millis(1);
/// Writes that a run always makes, however slow the device.
const WRITES_MIN: u32 = 4;

/// What a trial of both engines found: durable writes of one block a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineTrial {
    /// Plain calls, one after the other.
    pub blocking_per_second: u64,
    /// io_uring, with as many in flight as the log would have.
    pub uring_per_second: u64,
}

/// Durable writes and the time they took.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    writes: u32,
    took: Duration,
}

/// Measures both engines in a scratch file in `directory`, which is gone afterwards.
///
/// # Errors
///
/// When the file cannot be made or written; nothing is known then, and nothing of the log has been
/// touched.
pub(super) fn compare(
    directory: &LogDirectory,
    block_bytes: u64,
    depth: usize,
    uring: &mut dyn Device,
    pool: &mut BufferPool,
) -> io::Result<EngineTrial> {
    let path = directory.join(SCRATCH_NAME);
    let compared = Arena::create(path.clone(), block_bytes).and_then(|mut arena| {
        let mut blocking = BlockingEngine::default();
        let (mut inline, mut queued) = (Tally::default(), Tally::default());
        arena.run(&mut blocking, 1, pool, &mut inline)?;
        arena.run(uring, depth, pool, &mut queued)?;
        arena.run(uring, depth, pool, &mut queued)?;
        arena.run(&mut blocking, 1, pool, &mut inline)?;
        Ok(EngineTrial {
            blocking_per_second: inline.per_second(),
            uring_per_second: queued.per_second(),
        })
    });
    // What stays is cleared away at the next opening.
    let _ = directory.remove(&path);
    compared
}

/// The scratch file, and where the next write to it goes.
struct Arena {
    file: Arc<SegmentFile>,
    block_bytes: u64,
    next_block: u64,
}

impl Arena {
    /// A file of zeros: overwriting it changes no metadata, as in a prepared segment.
    fn create(path: PathBuf, block_bytes: u64) -> io::Result<Self> {
        let file = SegmentFile::create(path)?;
        let len_bytes = SCRATCH_BLOCKS * block_bytes;
        file.allocate(len_bytes)?;
        file.write_zeros(0, len_bytes)?;
        file.sync_all()?;
        Ok(Self { file: Arc::new(file), block_bytes, next_block: 0 })
    }

    /// Keeps `depth` durable writes in flight for the time of a run.
    fn run(
        &mut self,
        engine: &mut dyn Device,
        depth: usize,
        pool: &mut BufferPool,
        tally: &mut Tally,
    ) -> io::Result<()> {
        let began = Instant::now();
        let mut completed = 0;
        // Nothing is left on its way, whatever happens: the engine may go on to serve the log.
        let mut outcome = Ok(());
        loop {
            let goes_on = began.elapsed() < RUN || completed < WRITES_MIN;
            while goes_on && outcome.is_ok() && engine.in_flight() < depth {
                outcome = self.submit(engine, pool);
            }
            let Some(completion) = engine.reap(Wait::One)? else { break };
            if let Some(buffer) = completion.buffer {
                pool.put_back(buffer);
            }
            outcome = outcome.and(completion.result);
            completed += 1;
        }
        tally.writes += completed;
        tally.took += began.elapsed();
        outcome
    }

    fn submit(&mut self, engine: &mut dyn Device, pool: &mut BufferPool) -> io::Result<()> {
        let buffer = pool.take().ok_or(io::ErrorKind::OutOfMemory)?;
        let len = usize::try_from(self.block_bytes).map_err(io::Error::other)?.min(buffer.len());
        engine.submit_write(WriteRequest {
            token: self.next_block,
            file: Arc::clone(&self.file),
            buffer,
            range: 0..len,
            offset_bytes: self.next_block % SCRATCH_BLOCKS * self.block_bytes,
            sync: WriteSync::Durable,
        });
        self.next_block += 1;
        Ok(())
    }
}

impl Tally {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float-to-integer cast saturates, and the rate is positive"
    )]
    fn per_second(self) -> u64 {
        (f64::from(self.writes) / self.took.as_secs_f64().max(f64::MIN_POSITIVE)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::uring::UringEngine;

    #[test]
    fn both_engines_are_measured_and_nothing_is_left() {
        let dir = tempfile::Builder::new()
            .prefix(".trial")
            .tempdir_in(env!("CARGO_MANIFEST_DIR"))
            .expect("writable");
        let directory = LogDirectory::open(dir.path()).expect("opens");
        let mut pool = BufferPool::new(5, 4096).expect("memory");
        // Where io_uring is refused any queue serves to try the trial itself.
        let mut uring: Box<dyn Device> = match UringEngine::new(4, false, &pool) {
            Ok(engine) => Box::new(engine),
            Err(_) => Box::new(BlockingEngine::default()),
        };
        let trial = compare(&directory, 4096, 4, uring.as_mut(), &mut pool).expect("measured");
        assert!(trial.blocking_per_second > 0 && trial.uring_per_second > 0, "{trial:?}");
        assert_eq!(std::iter::from_fn(|| pool.take()).count(), 5, "every buffer is back");
        assert_eq!(uring.in_flight(), 0);
        assert!(directory.names().expect("listed").is_empty());
    }
}
