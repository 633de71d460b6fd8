//! The inline engine: each submission is a plain system call in the caller's thread. On devices
//! where a durable write is a short round trip this beats every hand-over.

use std::{collections::VecDeque, io, sync::Arc};

use super::{Completion, Device, SegmentFile, Wait, WriteRequest};

/// Does every request as it is submitted.
#[derive(Debug, Default)]
pub(super) struct BlockingEngine {
    done: VecDeque<Completion>,
}

impl Device for BlockingEngine {
    fn submit_write(&mut self, request: WriteRequest) {
        let WriteRequest { token, file, buffer, range, offset_bytes, sync } = request;
        let result = file.write_at(&buffer[range], offset_bytes, sync);
        self.done.push_back(Completion {
            token,
            operation: "write",
            file,
            buffer: Some(buffer),
            result,
        });
    }

    fn submit_flush(&mut self, file: Arc<SegmentFile>, token: u64) {
        let result = file.flush();
        self.done.push_back(Completion { token, operation: "flush", file, buffer: None, result });
    }

    fn reap(&mut self, _wait: Wait) -> io::Result<Option<Completion>> {
        Ok(self.done.pop_front())
    }

    fn in_flight(&self) -> usize {
        self.done.len()
    }
}
