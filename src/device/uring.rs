//! The io_uring engine: writes and flushes are queued to the kernel and reaped as they complete.
//!
//! Files and pool buffers are registered where the kernel allows, so that it need not look them up
//! and pin them for each request. A short write is continued before its completion is reported.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsRawFd, BorrowedFd},
    sync::Arc,
    thread::{self, ThreadId},
};

use io_uring::{IoUring, opcode, squeue, types};

use super::{
    BufferPool, Completion, Device, SegmentFile, Wait, WriteRequest,
    completion_event::CompletionEvent,
    file::{rwf_flags, whole_sectors},
};

/// Files registered at once: the segment being written, the one before it, and spares.
const REGISTERED_FILES: u32 = 8;

/// An io_uring with its requests in flight.
pub(super) struct UringEngine {
    ring: IoUring,
    /// Requests in flight by slot; a slot's index is the request's user data.
    slots: Vec<Option<InFlight>>,
    free_slots: Vec<usize>,
    /// Entries for which the submission queue had no room.
    backlog: VecDeque<squeue::Entry>,
    done: VecDeque<Completion>,
    files: RegisteredFiles,
    buffers_registered: bool,
    event: CompletionEvent,
    /// Set when the ring belongs to one thread.
    owner: Option<ThreadId>,
}

enum InFlight {
    Write { request: WriteRequest, written: usize },
    Flush { file: Arc<SegmentFile>, token: u64 },
}

impl InFlight {
    fn file(&self) -> &SegmentFile {
        match self {
            Self::Write { request, .. } => &request.file,
            Self::Flush { file, .. } => file,
        }
    }
}

impl UringEngine {
    /// Sets up a ring for `depth` requests at once.
    ///
    /// With `single_issuer` the ring belongs to the calling thread, and completions are run only
    /// when it asks for them (`IORING_SETUP_SINGLE_ISSUER` and `_DEFER_TASKRUN`,
    /// io_uring_setup(2), Linux 6.1); an older kernel gets a plain ring.
    ///
    /// # Errors
    ///
    /// The kernel's refusal: `ENOSYS`, or `EPERM` under a container's seccomp profile or
    /// `kernel.io_uring_disabled`.
    pub(super) fn new(depth: u32, single_issuer: bool, pool: &BufferPool) -> io::Result<Self> {
        let entries = (depth + 1).next_power_of_two().max(8);
        let mut owner = single_issuer.then(|| thread::current().id());
        let ring = match build_ring(entries, single_issuer) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                owner = None;
                IoUring::new(entries)?
            }
            result => result?,
        };
        let mut engine = Self {
            files: RegisteredFiles::new(&ring),
            ring,
            slots: Vec::new(),
            free_slots: Vec::new(),
            backlog: VecDeque::new(),
            done: VecDeque::new(),
            buffers_registered: false,
            event: CompletionEvent::default(),
            owner,
        };
        engine.register_buffers(pool);
        Ok(engine)
    }

    fn register_buffers(&mut self, pool: &BufferPool) {
        let mut buffers: Vec<_> = pool.buffers().iter().collect();
        buffers.sort_by_key(|buffer| buffer.pool_index());
        let iovecs: Vec<_> = buffers
            .iter()
            .map(|buffer| libc::iovec {
                iov_base: buffer.as_ptr().cast_mut().cast(),
                iov_len: buffer.len(),
            })
            .collect();
        // SAFETY: each buffer stays mapped for as long as the ring may use it: a request owns its
        // buffer, buffers hold their region, and `drop` waits for what is in flight.
        match unsafe { self.ring.submitter().register_buffers(&iovecs) } {
            Ok(()) => self.buffers_registered = !iovecs.is_empty(),
            Err(error) => tracing::debug!(%error, "buffers stay unregistered (RLIMIT_MEMLOCK?)"),
        }
    }

    fn take_slot(&mut self, request: InFlight) -> usize {
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(request);
        slot
    }

    /// Queues the kernel's entry for the request in `slot`.
    fn enqueue(&mut self, slot: usize) {
        let Some(request) = &self.slots[slot] else { return };
        let fixed = self.files.slot_of(&self.ring, request.file(), &self.slots);
        let entry = match request {
            InFlight::Flush { file, .. } => flush_entry(file, fixed),
            InFlight::Write { request, written } => {
                write_entry(request, *written, fixed, self.buffers_registered)
            }
        };
        self.backlog.push_back(entry.user_data(slot as u64));
    }

    /// Moves the backlog into the submission queue as far as there is room.
    fn fill_submission_queue(&mut self) {
        let mut queue = self.ring.submission();
        while let Some(entry) = self.backlog.front() {
            // SAFETY: the entry's buffer and file belong to the request in `slots`, which is only
            // dropped once the kernel has completed it.
            if unsafe { queue.push(entry) }.is_err() {
                break;
            }
            self.backlog.pop_front();
        }
    }

    fn next_completion(&mut self) -> Option<(u64, i32)> {
        let entry = self.ring.completion().next()?;
        Some((entry.user_data(), entry.result()))
    }

    fn collect_completions(&mut self) {
        while let Some((slot, result)) = self.next_completion() {
            let Ok(slot) = usize::try_from(slot) else { continue };
            let Some(request) = self.slots.get_mut(slot).and_then(Option::take) else { continue };
            match finish(request, result) {
                Finished::Again(request) => {
                    self.slots[slot] = Some(request);
                    self.enqueue(slot);
                }
                Finished::Done(completion) => {
                    self.free_slots.push(slot);
                    self.done.push_back(completion);
                }
            }
        }
    }

    /// Whether entries wait to be started, or completions to be run in this thread
    /// (`IORING_SQ_TASKRUN`, io_uring_setup(2)).
    fn needs_kernel(&mut self) -> bool {
        !self.backlog.is_empty() || self.ring.submission().taskrun()
    }

    fn kernel_requests(&self) -> usize {
        self.slots.len() - self.free_slots.len()
    }

    /// Enters the kernel: starts what is queued and, if `want` is 1, waits for a completion.
    fn enter(&mut self, want: usize) -> io::Result<()> {
        self.fill_submission_queue();
        match self.ring.submit_and_wait(want) {
            Ok(_) => Ok(()),
            // Interrupted, or the completion queue is full: collect what is there and come back.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EINTR | libc::EBUSY | libc::EAGAIN)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

fn build_ring(entries: u32, single_issuer: bool) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    if single_issuer {
        builder.setup_single_issuer().setup_defer_taskrun();
    } else {
        builder.setup_coop_taskrun();
    }
    // Without the flag a poll that waits for nothing would never see deferred completions.
    builder.setup_taskrun_flag().build(entries)
}

fn flush_entry(file: &SegmentFile, fixed_file: Option<u32>) -> squeue::Entry {
    let flags = types::FsyncFlags::DATASYNC;
    match fixed_file {
        Some(slot) => opcode::Fsync::new(types::Fixed(slot)).flags(flags).build(),
        None => opcode::Fsync::new(types::Fd(file.raw_fd())).flags(flags).build(),
    }
}

fn write_entry(
    request: &WriteRequest,
    written: usize,
    fixed_file: Option<u32>,
    buffers_registered: bool,
) -> squeue::Entry {
    let rest = &request.buffer[request.range.clone()][written..];
    // A batch is at most 128 MiB, far below the limit of one write.
    let len = u32::try_from(rest.len()).unwrap_or(!0xfff);
    let offset = request.offset_bytes + written as u64;
    let flags = rwf_flags(request.sync);
    let pool_index = request.buffer.pool_index().filter(|_| buffers_registered);
    macro_rules! build {
        ($fd:expr) => {
            match pool_index {
                Some(index) => opcode::WriteFixed::new($fd, rest.as_ptr(), len, index)
                    .offset(offset)
                    .rw_flags(flags)
                    .build(),
                None => opcode::Write::new($fd, rest.as_ptr(), len)
                    .offset(offset)
                    .rw_flags(flags)
                    .build(),
            }
        };
    }
    match fixed_file {
        Some(slot) => build!(types::Fixed(slot)),
        None => build!(types::Fd(request.file.raw_fd())),
    }
}

enum Finished {
    /// Interrupted or short: submit again.
    Again(InFlight),
    Done(Completion),
}

/// Decides what a completion means for its request. A short write is not a whole one.
fn finish(request: InFlight, result: i32) -> Finished {
    if result == -libc::EINTR || result == -libc::EAGAIN {
        return Finished::Again(request);
    }
    let outcome = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
    match request {
        InFlight::Flush { file, token } => Finished::Done(Completion {
            token,
            operation: "flush",
            file,
            buffer: None,
            result: outcome.map(drop),
        }),
        InFlight::Write { request, written } => {
            let rest = request.range.len() - written;
            let result = match outcome {
                Ok(count) if count >= rest => Ok(()),
                Ok(count) => match whole_sectors(count) {
                    Ok(sectors) => {
                        return Finished::Again(InFlight::Write {
                            request,
                            written: written + sectors,
                        });
                    }
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            };
            Finished::Done(Completion {
                token: request.token,
                operation: "write",
                file: request.file,
                buffer: Some(request.buffer),
                result,
            })
        }
    }
}

impl Device for UringEngine {
    fn submit_write(&mut self, request: WriteRequest) {
        let slot = self.take_slot(InFlight::Write { request, written: 0 });
        self.enqueue(slot);
    }

    fn submit_flush(&mut self, file: Arc<SegmentFile>, token: u64) {
        let slot = self.take_slot(InFlight::Flush { file, token });
        self.enqueue(slot);
    }

    fn reap(&mut self, wait: Wait) -> io::Result<Option<Completion>> {
        loop {
            if let Some(completion) = self.done.pop_front() {
                return Ok(Some(completion));
            }
            // Cleared before looking: what completes afterwards signals again.
            self.event.clear();
            self.collect_completions();
            if self.done.is_empty() {
                if self.kernel_requests() == 0 || (wait == Wait::Poll && !self.needs_kernel()) {
                    return Ok(None);
                }
                self.enter(usize::from(wait == Wait::One))?;
                self.collect_completions();
                // A continued short write is in the backlog now and has to be started even by a
                // poll.
                if wait == Wait::Poll && self.done.is_empty() && self.backlog.is_empty() {
                    return Ok(None);
                }
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.kernel_requests() + self.done.len()
    }

    fn completion_fd(&mut self) -> io::Result<BorrowedFd<'_>> {
        let ring = &self.ring;
        self.event.fd(|fd| ring.submitter().register_eventfd(fd.as_raw_fd()))
    }

    fn usable_from_here(&self) -> bool {
        self.owner.is_none_or(|owner| owner == thread::current().id())
    }
}

impl Drop for UringEngine {
    fn drop(&mut self) {
        while self.kernel_requests() > 0 {
            if !self.usable_from_here() || self.reap(Wait::One).is_err() {
                // The kernel may still read the buffers: leak them rather than free them.
                std::mem::take(&mut self.slots).into_iter().for_each(std::mem::forget);
                return;
            }
        }
    }
}

/// The table of registered files. Slots are reused round robin; segments are few.
struct RegisteredFiles {
    /// File id by slot; empty when the kernel refused the table.
    ids: Vec<Option<u64>>,
    next: usize,
}

impl RegisteredFiles {
    fn new(ring: &IoUring) -> Self {
        let ids = match ring.submitter().register_files_sparse(REGISTERED_FILES) {
            Ok(()) => vec![None; REGISTERED_FILES as usize],
            Err(error) => {
                tracing::debug!(%error, "files stay unregistered (Linux before 5.19?)");
                Vec::new()
            }
        };
        Self { ids, next: 0 }
    }

    /// The slot of `file`, registering it first if need be.
    fn slot_of(
        &mut self,
        ring: &IoUring,
        file: &SegmentFile,
        requests: &[Option<InFlight>],
    ) -> Option<u32> {
        if let Some(slot) = self.ids.iter().position(|id| *id == Some(file.id())) {
            return u32::try_from(slot).ok();
        }
        let slot = self.next;
        // The kernel looks a slot up when an entry is submitted, not when it is queued, so a slot
        // that a queued entry names must keep its file. The new file does without one meanwhile.
        let old = *self.ids.get(slot)?;
        if old.is_some() && requests.iter().flatten().any(|r| Some(r.file().id()) == old) {
            return None;
        }
        let slot_number = u32::try_from(slot).ok()?;
        ring.submitter().register_files_update(slot_number, &[file.raw_fd()]).ok()?;
        self.ids[slot] = Some(file.id());
        self.next = (slot + 1) % self.ids.len();
        Some(slot_number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{BlockBuffer, WriteSync};

    fn write_in_flight(len: usize) -> InFlight {
        let any_file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into();
        let file = Arc::new(SegmentFile::open_for_read(any_file).expect("open"));
        InFlight::Write {
            request: WriteRequest {
                token: 3,
                file,
                buffer: BlockBuffer::allocate(len).expect("memory"),
                range: 0..len,
                offset_bytes: 0,
                sync: WriteSync::Durable,
            },
            written: 0,
        }
    }

    #[test]
    fn defect_10_a_short_write_is_continued_and_never_taken_for_whole() {
        let Finished::Again(rest) = finish(write_in_flight(8192), 4096) else {
            panic!("a short write was accepted as whole");
        };
        assert!(matches!(rest, InFlight::Write { written: 4096, .. }));
        let Finished::Done(completion) = finish(rest, 4096) else { panic!("it is whole now") };
        assert!(completion.result.is_ok());
        let Finished::Done(completion) = finish(write_in_flight(8192), 0) else {
            panic!("a write that gets nowhere ends");
        };
        assert!(completion.result.is_err());
    }

    #[test]
    fn a_completion_error_reaches_the_caller() {
        let Finished::Done(completion) = finish(write_in_flight(4096), -libc::EIO) else {
            panic!("an error is final");
        };
        assert_eq!(completion.token, 3);
        let error = completion.result.expect_err("EIO");
        assert_eq!(error.raw_os_error(), Some(libc::EIO));
    }
}
