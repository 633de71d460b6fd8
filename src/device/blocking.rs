//! The inline engine: each submission is a plain system call in the caller's thread. On devices
//! where a durable write is a short round trip this beats every hand-over.

use std::{collections::VecDeque, io, os::fd::BorrowedFd, sync::Arc};

use super::{
    Completion, Device, SegmentFile, Wait, WriteRequest, completion_event::CompletionEvent,
};

/// Does every request as it is submitted.
#[derive(Debug, Default)]
pub(super) struct BlockingEngine {
    done: VecDeque<Completion>,
    event: CompletionEvent,
}

impl BlockingEngine {
    fn complete(&mut self, completion: Completion) {
        self.done.push_back(completion);
        self.event.signal();
    }
}

impl Device for BlockingEngine {
    fn submit_write(&mut self, request: WriteRequest) {
        let WriteRequest { token, file, buffer, range, offset_bytes, sync } = request;
        let result = file.write_at(&buffer[range], offset_bytes, sync);
        self.complete(Completion { token, operation: "write", file, buffer: Some(buffer), result });
    }

    fn submit_flush(&mut self, file: Arc<SegmentFile>, token: u64) {
        let result = file.flush();
        self.complete(Completion { token, operation: "flush", file, buffer: None, result });
    }

    fn reap(&mut self, _wait: Wait) -> io::Result<Option<Completion>> {
        let completion = self.done.pop_front();
        if self.done.is_empty() {
            self.event.clear();
        }
        Ok(completion)
    }

    fn in_flight(&self) -> usize {
        self.done.len()
    }

    fn completion_fd(&mut self) -> io::Result<BorrowedFd<'_>> {
        let fd = self.event.fd(|_| Ok(()))?;
        Ok(fd)
    }
}
