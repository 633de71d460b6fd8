//! The io_uring engine: writes and flushes are queued to the kernel and reaped as they complete.
//!
//! Files and pool buffers are registered where the kernel allows, so that it need not look them up
//! and pin them for each request. A short write is continued before its completion is reported.
//! What the kernel still works on, and so may still read, is kept in `requests`.

mod requests;

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    sync::Arc,
    thread::{self, ThreadId},
};

use io_uring::{IoUring, opcode, squeue, types};

use super::{
    BufferPool, Completion, Device, SegmentFile, Wait, WriteRequest,
    completion_event::CompletionEvent,
};
use requests::{InFlight, Operation, Part, Requests};

/// Files registered at once: the segment being written, the one before it, and spares.
const REGISTERED_FILES: u32 = 8;

/// An io_uring with its requests in flight.
pub(super) struct UringEngine {
    ring: IoUring,
    /// By slot, which is the request's user data.
    requests: Requests,
    /// Entries for which the submission queue had no room.
    backlog: VecDeque<squeue::Entry>,
    files: RegisteredFiles,
    buffers_registered: bool,
    event: CompletionEvent,
    /// Set when the ring belongs to one thread.
    owner: Option<ThreadId>,
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
            requests: Requests::default(),
            backlog: VecDeque::new(),
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

    /// Queues the kernel's entry for the request in `slot`.
    fn enqueue(&mut self, slot: usize) {
        let Some(request) = self.requests.get(slot) else { return };
        let fixed = self.files.slot_of(&self.ring, request.file(), &self.requests);
        let fd = request.file().raw_fd();
        let entry = match request.operation() {
            Operation::Flush => flush_entry(fd, fixed),
            Operation::Write(part) => write_entry(part, fd, fixed, self.buffers_registered),
        };
        self.backlog.push_back(entry.user_data(slot as u64));
    }

    /// Moves the backlog into the submission queue as far as there is room.
    fn fill_submission_queue(&mut self) {
        let mut queue = self.ring.submission();
        while let Some(entry) = self.backlog.front() {
            // SAFETY: the entry's buffer and file belong to the request in `requests`, which only
            // gives them up once the kernel has completed it.
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
            if self.requests.complete(slot, result) {
                self.enqueue(slot);
            }
        }
    }

    /// Whether entries wait to be started, or completions to be run in this thread
    /// (`IORING_SQ_TASKRUN`, io_uring_setup(2)).
    fn needs_kernel(&mut self) -> bool {
        !self.backlog.is_empty() || self.ring.submission().taskrun()
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

fn flush_entry(fd: RawFd, fixed_file: Option<u32>) -> squeue::Entry {
    let flags = types::FsyncFlags::DATASYNC;
    match fixed_file {
        Some(slot) => opcode::Fsync::new(types::Fixed(slot)).flags(flags).build(),
        None => opcode::Fsync::new(types::Fd(fd)).flags(flags).build(),
    }
}

fn write_entry(
    part: Part,
    fd: RawFd,
    fixed_file: Option<u32>,
    buffers_registered: bool,
) -> squeue::Entry {
    let Part { start, len, offset_bytes, flags, pool_index } = part;
    let pool_index = pool_index.filter(|_| buffers_registered);
    macro_rules! build {
        ($fd:expr) => {
            match pool_index {
                Some(index) => opcode::WriteFixed::new($fd, start, len, index)
                    .offset(offset_bytes)
                    .rw_flags(flags)
                    .build(),
                None => {
                    opcode::Write::new($fd, start, len).offset(offset_bytes).rw_flags(flags).build()
                }
            }
        };
    }
    match fixed_file {
        Some(slot) => build!(types::Fixed(slot)),
        None => build!(types::Fd(fd)),
    }
}

impl Device for UringEngine {
    fn submit_write(&mut self, request: WriteRequest) {
        let slot = self.requests.add(InFlight::Write { request, written: 0 });
        self.enqueue(slot);
    }

    fn submit_flush(&mut self, file: Arc<SegmentFile>, token: u64) {
        let slot = self.requests.add(InFlight::Flush { file, token });
        self.enqueue(slot);
    }

    fn reap(&mut self, wait: Wait) -> io::Result<Option<Completion>> {
        loop {
            if let Some(completion) = self.requests.next_done() {
                return Ok(Some(completion));
            }
            // Cleared before looking: what completes afterwards signals again.
            self.event.clear();
            self.collect_completions();
            if !self.requests.any_done() {
                if self.requests.with_kernel() == 0 || (wait == Wait::Poll && !self.needs_kernel())
                {
                    return Ok(None);
                }
                self.enter(usize::from(wait == Wait::One))?;
                self.collect_completions();
                // A continued short write is in the backlog now and has to be started even by a
                // poll.
                if wait == Wait::Poll && !self.requests.any_done() && self.backlog.is_empty() {
                    return Ok(None);
                }
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.requests.count()
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
        while self.requests.with_kernel() > 0 {
            if !self.usable_from_here() || self.reap(Wait::One).is_err() {
                // The kernel may still read the buffers: leak them rather than free them.
                self.requests.leak();
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
    fn slot_of(&mut self, ring: &IoUring, file: &SegmentFile, requests: &Requests) -> Option<u32> {
        if let Some(slot) = self.ids.iter().position(|id| *id == Some(file.id())) {
            return u32::try_from(slot).ok();
        }
        let slot = self.next;
        // The kernel looks a slot up when an entry is submitted, not when it is queued, so a slot
        // that a queued entry names must keep its file. The new file does without one meanwhile.
        let old = *self.ids.get(slot)?;
        if old.is_some() && requests.iter().any(|r| Some(r.file().id()) == old) {
            return None;
        }
        let slot_number = u32::try_from(slot).ok()?;
        ring.submitter().register_files_update(slot_number, &[file.raw_fd()]).ok()?;
        self.ids[slot] = Some(file.id());
        self.next = (slot + 1) % self.ids.len();
        Some(slot_number)
    }
}
