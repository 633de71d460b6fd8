//! The bookkeeping with a kernel that is made up here: it keeps the pointers it was given, reads
//! through them whenever it likes until it has said that it is done, and does so in any order, in
//! parts, or not at all. Under Miri every one of these reads is checked.

use std::collections::BTreeMap;

use super::*;
use crate::device::{
    BlockBuffer, BufferPool, LogDirectory, WriteSync,
    simulated::{Chance, DiskOptions, SimulatedDirectory, SimulatedDisk},
};

const SECTOR: usize = 512;

fn file() -> Arc<SegmentFile> {
    let disk = SimulatedDisk::new(DiskOptions::default());
    let place = SimulatedDirectory::open_or_create(&disk);
    let directory = LogDirectory::simulated(place, "simulated".into());
    Arc::new(directory.create_file(directory.join("wal-1.seg")).expect("a new file"))
}

fn write_of(
    file: &Arc<SegmentFile>,
    buffer: BlockBuffer,
    len: usize,
    offset_bytes: u64,
    token: u64,
) -> InFlight {
    let request = WriteRequest {
        token,
        file: Arc::clone(file),
        buffer,
        range: 0..len,
        offset_bytes,
        sync: WriteSync::Durable,
    };
    InFlight::Write { request, written: 0 }
}

fn write_in_flight(len: usize) -> InFlight {
    write_of(&file(), BlockBuffer::allocate(len).expect("memory"), len, 0, 3)
}

/// What it was told to write, and what it has written.
#[derive(Default)]
struct Kernel {
    entries: Vec<(usize, Operation)>,
    /// Sectors by their offset.
    written: BTreeMap<u64, Vec<u8>>,
}

/// Bytes as sectors, the first of them at `offset_bytes`.
fn sectors(offset_bytes: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, Vec<u8>)> + '_ {
    (offset_bytes..).step_by(SECTOR).zip(bytes.chunks(SECTOR).map(<[u8]>::to_vec))
}

impl Kernel {
    fn submit(&mut self, requests: &Requests, slot: usize) {
        self.entries.push((slot, requests.get(slot).expect("in flight").operation()));
    }

    /// Writes the first `len` bytes of an entry.
    fn write(&mut self, part: &Part, len: usize) {
        assert!(len <= part.len as usize);
        // SAFETY: as the kernel relies on it: the entry has not been completed, so the bytes are
        // there and nobody writes to them. Miri checks that this is so.
        let bytes = unsafe { std::slice::from_raw_parts(part.start, len) };
        self.written.extend(sectors(part.offset_bytes, bytes));
    }

    /// Ends one entry, in one of the ways there are, and tells the bookkeeping.
    fn end_one(&mut self, requests: &mut Requests, chance: &mut Chance) {
        let (slot, operation) = self.entries.swap_remove(chance.below(self.entries.len()));
        let result = match (operation, chance.below(4)) {
            (_, 0) => -libc::EINTR,
            (Operation::Write(part), 1) if part.len as usize > SECTOR => {
                let len = SECTOR * (1 + chance.below(part.len as usize / SECTOR - 1));
                self.write(&part, len);
                i32::try_from(len).expect("short")
            }
            (Operation::Write(part), _) => {
                self.write(&part, part.len as usize);
                i32::try_from(part.len).expect("short")
            }
            (Operation::Flush, _) => 0,
        };
        if requests.complete(slot, result) {
            self.submit(requests, slot);
        }
    }
}

#[test]
fn the_kernel_reads_what_was_submitted_until_it_is_done() {
    const BUFFERS: u16 = 3;
    let rounds = if cfg!(miri) { 30 } else { 2000 };
    let file = file();
    let mut chance = Chance::new(7);
    let mut pool = BufferPool::new(BUFFERS, 4 * SECTOR).expect("memory");
    let (mut requests, mut kernel) = (Requests::default(), Kernel::default());
    let (mut token, mut expected) = (0, BTreeMap::new());
    for _ in 0..rounds {
        if let Some(mut buffer) = pool.take() {
            token += 1;
            let len = SECTOR * (1 + chance.below(4));
            chance.fill(&mut buffer[..len]);
            let offset = token * 4096;
            expected.extend(sectors(offset, &buffer[..len]));
            let slot = requests.add(write_of(&file, buffer, len, offset, token));
            kernel.submit(&requests, slot);
        }
        if chance.happens(1, 5) {
            let slot = requests.add(InFlight::Flush { file: Arc::clone(&file), token: 0 });
            kernel.submit(&requests, slot);
        }
        for _ in 0..chance.below(3).min(kernel.entries.len()) {
            if !kernel.entries.is_empty() {
                kernel.end_one(&mut requests, &mut chance);
            }
        }
        while let Some(completion) = requests.next_done() {
            assert!(completion.result.is_ok());
            let Some(mut buffer) = completion.buffer else { continue };
            // It is ours again: the kernel must not notice what is written to it now.
            buffer.fill(0xee);
            pool.put_back(buffer);
        }
    }
    while !kernel.entries.is_empty() {
        kernel.end_one(&mut requests, &mut chance);
    }
    assert!(token > rounds / 8);
    assert!(kernel.written == expected, "each byte was written as it was submitted");
    assert_eq!(requests.with_kernel(), 0);
}

#[test]
fn memory_that_the_kernel_may_still_read_outlives_its_ring() {
    let mut kernel = Kernel::default();
    let mut requests = Requests::default();
    let mut buffer = BlockBuffer::allocate(SECTOR).expect("memory");
    buffer.fill(9);
    let slot = requests.add(write_of(&file(), buffer, SECTOR, 0, 1));
    kernel.submit(&requests, slot);
    requests.leak();
    drop(requests);
    let Some((_, Operation::Write(part))) = kernel.entries.pop() else { panic!("one write") };
    kernel.write(&part, SECTOR);
    assert_eq!(kernel.written, BTreeMap::from([(0, vec![9; SECTOR])]));
}

/// The same without giving the memory up for good: Miri has to refuse it (`scripts/miri`).
#[cfg(miri)]
#[test]
#[ignore = "a control that has to fail"]
fn control_memory_is_unmapped_while_the_kernel_reads() {
    let (mut kernel, mut requests) = (Kernel::default(), Requests::default());
    let buffer = BlockBuffer::allocate(SECTOR).expect("memory");
    let slot = requests.add(write_of(&file(), buffer, SECTOR, 0, 1));
    kernel.submit(&requests, slot);
    drop(requests);
    let Some((_, Operation::Write(part))) = kernel.entries.pop() else { panic!("one write") };
    kernel.write(&part, SECTOR);
}

/// The same with memory of the heap, which AddressSanitizer has to see (`scripts/sanitizers`):
/// unmapped memory cannot be read with or without it.
#[test]
#[ignore = "a control that has to fail there"]
fn control_memory_is_freed_while_the_kernel_reads() {
    let memory = vec![9; SECTOR];
    let (start, len) = (memory.as_ptr(), 512);
    let part = Part { start, len, offset_bytes: 0, flags: 0, pool_index: None };
    drop(memory);
    Kernel::default().write(&part, SECTOR);
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

#[test]
fn a_completion_of_nothing_is_passed_over() {
    let mut requests = Requests::default();
    assert!(!requests.complete(17, 0));
    let slot = requests.add(InFlight::Flush { file: file(), token: 1 });
    assert!(!requests.complete(slot, 0) && !requests.complete(slot, 0));
    assert_eq!((requests.count(), requests.with_kernel()), (1, 0));
}
