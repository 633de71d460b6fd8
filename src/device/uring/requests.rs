//! What the kernel works on: each request owns its buffer and its file until the kernel has said
//! that it is done with them. No system call is made here, so that Miri can run the bookkeeping,
//! with a test in the kernel's place that reads through the pointers it was given.

use std::{collections::VecDeque, io, sync::Arc};

use crate::device::{
    Completion, SegmentFile, WriteRequest,
    file::{rwf_flags, whole_sectors},
};

/// A request that the kernel has, or is about to get.
pub(super) enum InFlight {
    Write { request: WriteRequest, written: usize },
    Flush { file: Arc<SegmentFile>, token: u64 },
}

/// What the kernel is asked to do for a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    Write(Part),
    Flush,
}

/// The part of a buffer that is still to be written. It is there, and nobody writes to it, until
/// [`Requests::complete`] is told what became of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) start: *const u8,
    pub(super) len: u32,
    pub(super) offset_bytes: u64,
    /// As pwritev2(2) takes them.
    pub(super) flags: libc::c_int,
    /// By which the buffer may have been registered.
    pub(super) pool_index: Option<u16>,
}

impl InFlight {
    pub(super) fn file(&self) -> &SegmentFile {
        match self {
            Self::Write { request, .. } => &request.file,
            Self::Flush { file, .. } => file,
        }
    }

    pub(super) fn operation(&self) -> Operation {
        let Self::Write { request, written } = self else { return Operation::Flush };
        let rest = &request.buffer[request.range.clone()][*written..];
        Operation::Write(Part {
            start: rest.as_ptr(),
            // A batch is at most 128 MiB, far below the limit of one write.
            len: u32::try_from(rest.len()).unwrap_or(!0xfff),
            offset_bytes: request.offset_bytes + *written as u64,
            flags: rwf_flags(request.sync),
            pool_index: request.buffer.pool_index(),
        })
    }
}

/// The requests with the kernel, by slot, and those that are done.
#[derive(Default)]
pub(super) struct Requests {
    slots: Vec<Option<InFlight>>,
    free_slots: Vec<usize>,
    done: VecDeque<Completion>,
}

impl Requests {
    /// Takes a request and says in which slot it is.
    pub(super) fn add(&mut self, request: InFlight) -> usize {
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(request);
        slot
    }

    pub(super) fn get(&self, slot: usize) -> Option<&InFlight> {
        self.slots.get(slot)?.as_ref()
    }

    /// Those with the kernel.
    pub(super) fn iter(&self) -> impl Iterator<Item = &InFlight> {
        self.slots.iter().flatten()
    }

    /// The kernel is done with a slot. Whether the rest of it has to be submitted again: the
    /// request was interrupted, or came out short.
    pub(super) fn complete(&mut self, slot: usize, result: i32) -> bool {
        let request = self.slots.get_mut(slot).and_then(Option::take);
        match request.map(|request| finish(request, result)) {
            None => false,
            Some(Finished::Again(request)) => {
                self.slots[slot] = Some(request);
                true
            }
            Some(Finished::Done(completion)) => {
                self.free_slots.push(slot);
                self.done.push_back(completion);
                false
            }
        }
    }

    pub(super) fn next_done(&mut self) -> Option<Completion> {
        self.done.pop_front()
    }

    pub(super) fn any_done(&self) -> bool {
        !self.done.is_empty()
    }

    /// How many the kernel has.
    pub(super) fn with_kernel(&self) -> usize {
        self.slots.len() - self.free_slots.len()
    }

    /// How many there are, done ones included.
    pub(super) fn count(&self) -> usize {
        self.with_kernel() + self.done.len()
    }

    /// Gives up what the kernel has for good, memory included, since it may read that at any time.
    pub(super) fn leak(&mut self) {
        std::mem::take(&mut self.slots).into_iter().for_each(std::mem::forget);
        self.free_slots.clear();
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

#[cfg(test)]
mod tests;
