//! Memory for direct I/O: aligned, huge-page-backed where the kernel allows (a fifth more
//! bandwidth at a third of the processor time on the reference machine), and owned by exactly one
//! party at a time, so that the kernel never reads what somebody writes.

use std::{
    fmt, io,
    num::NonZeroUsize,
    ops::{Deref, DerefMut, Range},
    ptr::NonNull,
    sync::Arc,
};

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::format::round_up_len;

const PAGE_BYTES: usize = 4096;
const HUGE_PAGE_BYTES: usize = 2 << 20;
/// From here on a mapping is rounded up to huge pages. Two buffers of 256 KiB in one of them gave
/// 1.22 GB/s of 4 KiB records where ordinary pages gave 0.93 (256 tasks, medians of two rounds).
///
/// Miri knows mappings as a whole only, and cannot cut one down to whole huge pages.
const HUGE_FROM_BYTES: usize = if cfg!(miri) { usize::MAX } else { 512 << 10 };
/// Miri takes these flags only without the second.
const MAP_FLAGS: MapFlags = if cfg!(miri) {
    MapFlags::MAP_PRIVATE
} else {
    MapFlags::MAP_PRIVATE.union(MapFlags::MAP_NORESERVE)
};

/// An anonymous mapping, unmapped when its last buffer is gone.
struct Region {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a region is plain memory that is not tied to a thread. It is only reached through the
// disjoint `BlockBuffer`s cut from it, each of which has one owner.
unsafe impl Send for Region {}
// SAFETY: as above; a shared `Region` gives no access to its bytes.
unsafe impl Sync for Region {}

impl Region {
    /// Maps zeroed memory, of huge pages when it is worth one.
    fn map(len: usize) -> io::Result<Self> {
        let huge = len >= HUGE_FROM_BYTES;
        let len = round_up_len(len, if huge { HUGE_PAGE_BYTES } else { PAGE_BYTES });
        let mapped_len = if huge { len + HUGE_PAGE_BYTES } else { len };
        let size = NonZeroUsize::new(mapped_len).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a new private anonymous mapping aliases nothing.
        let mapped = unsafe {
            mmap_anonymous(None, size, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MAP_FLAGS)
        }?;
        if !huge {
            return Ok(Self { start: mapped.cast(), len });
        }
        let head = mapped.align_offset_to(HUGE_PAGE_BYTES);
        let tail = mapped_len - head - len;
        if head > 0 {
            // SAFETY: the first `head` bytes of the mapping made above, whole pages, never used.
            unsafe { munmap(mapped, head) }?;
        }
        // SAFETY: `head` is at most `mapped_len - len`, so this stays inside the mapping.
        let start = unsafe { mapped.cast::<u8>().add(head) };
        if tail > 0 {
            // SAFETY: `start + len` is inside the mapping, with `tail` bytes after it.
            let end = unsafe { start.add(len) };
            // SAFETY: the last `tail` bytes of the mapping made above, whole pages, never used.
            unsafe { munmap(end.cast(), tail) }?;
        }
        // SAFETY: exactly the range that is still mapped. Advice only: a kernel without huge
        // pages refuses it and ordinary pages serve as well.
        let _ = unsafe { madvise(start.cast(), len, MmapAdvise::MADV_HUGEPAGE) };
        Ok(Self { start, len })
    }
}

trait AlignOffset {
    fn align_offset_to(self, align: usize) -> usize;
}

impl AlignOffset for NonNull<std::ffi::c_void> {
    /// Bytes from here to the next multiple of `align`.
    fn align_offset_to(self, align: usize) -> usize {
        self.addr().get().wrapping_neg() & (align - 1)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the range is mapped and, as every `BlockBuffer` holds the region alive, unused.
        let _ = unsafe { munmap(self.start.cast(), self.len) };
    }
}

/// The bytes of one buffer, and who else holds parts of them: the count of the `Arc` around it.
struct Memory {
    start: NonNull<u8>,
    len: usize,
    /// Position in its pool, by which an engine may have registered it.
    pool_index: Option<u16>,
    _backing: Backing,
}

/// What keeps a buffer's bytes alive.
#[expect(dead_code, reason = "held for what dropping it does")]
enum Backing {
    Mapped(Arc<Region>),
    #[cfg(feature = "simulated")]
    Heap(super::heap::HeapPages),
}

// SAFETY: plain memory that is not tied to a thread. Its bytes are reached through the three types
// below only, each of which says who may touch what.
unsafe impl Send for Memory {}
// SAFETY: as above; a shared `Memory` gives no access to its bytes.
unsafe impl Sync for Memory {}

/// A page-aligned buffer with one owner.
pub(crate) struct BlockBuffer {
    /// Held by nobody else.
    memory: Arc<Memory>,
}

impl BlockBuffer {
    /// A buffer of its own, of at least `len` bytes (whole pages), zeroed.
    pub(crate) fn allocate(len: usize) -> io::Result<Self> {
        let region = Region::map(len.max(1))?;
        let memory = Memory {
            start: region.start,
            len: region.len,
            pool_index: None,
            _backing: Backing::Mapped(Arc::new(region)),
        };
        Ok(Self { memory: Arc::new(memory) })
    }

    /// As [`Self::allocate`], from the heap and with anything in it.
    #[cfg(feature = "simulated")]
    pub(super) fn on_heap(len: usize) -> Self {
        let len = round_up_len(len.max(1), PAGE_BYTES);
        let mut pages = super::heap::HeapPages::take(len / PAGE_BYTES);
        let start = pages.start();
        let memory = Memory { start, len, pool_index: None, _backing: Backing::Heap(pages) };
        Self { memory: Arc::new(memory) }
    }

    pub(super) fn pool_index(&self) -> Option<u16> {
        self.memory.pool_index
    }

    /// Whether it came from a pool and should go back there.
    pub(crate) fn is_pooled(&self) -> bool {
        self.memory.pool_index.is_some()
    }

    /// Lets several threads fill it at once, each a part of its own.
    pub(crate) fn share(self) -> SharedBuffer {
        SharedBuffer { memory: self.memory, handed_out: 0 }
    }
}

impl Deref for BlockBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start..start + len` is mapped, initialised (the kernel zeroes it), and belongs
        // to this buffer; the shared borrow keeps writers out.
        unsafe { std::slice::from_raw_parts(self.memory.start.as_ptr(), self.memory.len) }
    }
}

impl DerefMut for BlockBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the exclusive borrow keeps everybody else out.
        unsafe { std::slice::from_raw_parts_mut(self.memory.start.as_ptr(), self.memory.len) }
    }
}

impl fmt::Debug for BlockBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockBuffer").field("len", &self.memory.len).finish_non_exhaustive()
    }
}

/// A buffer that is being filled by several threads: parts of it are given out, each once, and it
/// is whole again when the last of them has been dropped. Nobody reads it until then.
pub(crate) struct SharedBuffer {
    memory: Arc<Memory>,
    /// Everything before this has been given out.
    handed_out: usize,
}

/// A part of a [`SharedBuffer`], owned by who fills it. Dropping it publishes what was written.
pub(crate) struct BufferPart {
    memory: Arc<Memory>,
    range: Range<usize>,
}

impl SharedBuffer {
    /// Gives out a part, behind all that were given out before.
    ///
    /// # Panics
    ///
    /// If it is not behind them, or not in the buffer: two owners of a byte would be unsound.
    pub(crate) fn part(&mut self, range: Range<usize>) -> BufferPart {
        let is_free = self.handed_out <= range.start && range.start <= range.end;
        assert!(is_free && range.end <= self.memory.len, "parts are disjoint and in the buffer");
        self.handed_out = range.end;
        BufferPart { memory: Arc::clone(&self.memory), range }
    }

    /// The buffer with everything that was written to its parts, once all of them are back.
    ///
    /// # Errors
    ///
    /// Itself, while a part is still with somebody.
    pub(crate) fn into_whole(mut self) -> Result<BlockBuffer, Self> {
        #[cfg(shuttle)]
        crate::sync::others_may_run();
        #[cfg(shuttle)]
        if crate::sabotage::is(crate::sabotage::Sabotage::WriteUnfilled) {
            return Ok(BlockBuffer { memory: self.memory });
        }
        // Acquires what the last owner of each part released when it dropped it. Nobody but this
        // exclusive owner could have made another part since.
        if Arc::get_mut(&mut self.memory).is_some() {
            Ok(BlockBuffer { memory: self.memory })
        } else {
            Err(self)
        }
    }
}

impl Deref for BufferPart {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range was checked to be inside the memory when it was given out.
        let start = unsafe { self.memory.start.add(self.range.start) };
        // SAFETY: mapped and initialised; `SharedBuffer` gives each byte to one part and reads
        // none itself, so the borrow of this part is the only one.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), self.range.len()) }
    }
}

impl DerefMut for BufferPart {
    fn deref_mut(&mut self) -> &mut [u8] {
        // Between getting the part and filling it.
        #[cfg(shuttle)]
        crate::sync::others_may_run();
        // SAFETY: the range was checked to be inside the memory when it was given out.
        let start = unsafe { self.memory.start.add(self.range.start) };
        // SAFETY: as above, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), self.range.len()) }
    }
}

/// Between filling the part and publishing it.
#[cfg(shuttle)]
impl Drop for BufferPart {
    fn drop(&mut self) {
        crate::sync::others_may_run();
    }
}

impl fmt::Debug for SharedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBuffer").field("handed_out", &self.handed_out).finish_non_exhaustive()
    }
}

impl fmt::Debug for BufferPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPart").field("range", &self.range).finish_non_exhaustive()
    }
}

/// A fixed number of equal buffers cut from one mapping: the bound on the memory of a log.
#[derive(Debug)]
pub(crate) struct BufferPool {
    free: Vec<BlockBuffer>,
    buffer_len: usize,
}

impl BufferPool {
    /// Maps `count` buffers of `buffer_len` bytes each (rounded up to whole pages).
    pub(crate) fn new(count: u16, buffer_len: usize) -> io::Result<Self> {
        let buffer_len = round_up_len(buffer_len, PAGE_BYTES);
        let region = Arc::new(Region::map(buffer_len * usize::from(count))?);
        let free = (0..count)
            .rev()
            .map(|index| {
                let memory = Memory {
                    // SAFETY: the region holds `count` times `buffer_len` bytes.
                    start: unsafe { region.start.add(buffer_len * usize::from(index)) },
                    len: buffer_len,
                    pool_index: Some(index),
                    _backing: Backing::Mapped(Arc::clone(&region)),
                };
                BlockBuffer { memory: Arc::new(memory) }
            })
            .collect();
        Ok(Self { free, buffer_len })
    }

    /// Length of every buffer.
    pub(crate) fn buffer_len(&self) -> usize {
        self.buffer_len
    }

    /// Takes a buffer out, if one is free. Its content is whatever was last written to it.
    pub(crate) fn take(&mut self) -> Option<BlockBuffer> {
        self.free.pop()
    }

    /// Puts a buffer back. One that came from elsewhere is freed.
    pub(crate) fn put_back(&mut self, buffer: BlockBuffer) {
        if buffer.is_pooled() {
            self.free.push(buffer);
        }
    }

    /// The free buffers, which before first use are all of them.
    pub(super) fn buffers(&self) -> &[BlockBuffer] {
        &self.free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooled_buffers_are_aligned_and_disjoint() {
        // Miri looks at each byte for itself.
        let sizes = if cfg!(miri) { &[100, 4096][..] } else { &[100, 4096, 1 << 20, 3 << 20] };
        for &buffer_len in sizes {
            let mut pool = BufferPool::new(3, buffer_len).expect("memory");
            let mut buffers: Vec<_> = std::iter::from_fn(|| pool.take()).collect();
            assert_eq!(buffers.len(), 3);
            for (fill, buffer) in (1u8..).zip(&mut buffers) {
                assert!(buffer.as_ptr().addr().is_multiple_of(PAGE_BYTES));
                assert!(buffer.len() >= buffer_len);
                buffer.fill(fill);
            }
            for (fill, buffer) in (1u8..).zip(&buffers) {
                assert!(buffer.iter().all(|&byte| byte == fill), "another buffer wrote here");
            }
            buffers.into_iter().for_each(|buffer| pool.put_back(buffer));
            assert!(pool.take().is_some());
        }
    }

    #[test]
    fn threads_fill_parts_and_the_buffer_is_whole_when_all_are_back() {
        const PART_LEN: usize = 1000;
        let mut shared = BlockBuffer::allocate(4 * PART_LEN).expect("memory").share();
        let parts: Vec<_> = (0..4).map(|n| shared.part(n * PART_LEN..(n + 1) * PART_LEN)).collect();
        let Err(shared) = shared.into_whole() else { panic!("four parts are out") };
        std::thread::scope(|scope| {
            for (fill, mut part) in (1u8..).zip(parts) {
                scope.spawn(move || part.fill(fill));
            }
        });
        let Ok(whole) = shared.into_whole() else { panic!("all parts are back") };
        for (fill, part) in (1u8..5).zip(whole.chunks(PART_LEN)) {
            assert!(part.iter().all(|&byte| byte == fill));
        }
    }

    /// Two owners of the same bytes: ThreadSanitizer has to see it (`scripts/sanitizers`).
    #[test]
    #[ignore = "a control that has to fail there"]
    fn control_two_threads_fill_one_part() {
        let mut shared = BlockBuffer::allocate(4096).expect("memory").share();
        let part = shared.part(0..4096);
        let again = BufferPart { memory: Arc::clone(&part.memory), range: 0..4096 };
        // Both at once, and for long enough: of a thread that has ended the sanitizer forgets much.
        let both = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for (fill, mut part) in [(1, part), (2, again)] {
                let both = &both;
                scope.spawn(move || {
                    both.wait();
                    (0..10_000).for_each(|_| part.fill(std::hint::black_box(fill)));
                });
            }
        });
    }

    #[test]
    #[should_panic(expected = "disjoint")]
    fn no_byte_is_given_out_twice() {
        let mut shared = BlockBuffer::allocate(4096).expect("memory").share();
        let _first = shared.part(0..100);
        let _second = shared.part(99..200);
    }

    #[test]
    #[should_panic(expected = "in the buffer")]
    fn no_part_reaches_past_the_end() {
        let mut shared = BlockBuffer::allocate(4096).expect("memory").share();
        let _part = shared.part(4000..4097);
    }

    #[test]
    fn a_buffer_outlives_its_pool() {
        let mut pool = BufferPool::new(1, 4 << 20).expect("memory");
        let mut buffer = pool.take().expect("one is free");
        drop(pool);
        buffer.fill(9);
        assert_eq!(buffer[buffer.len() - 1], 9);
    }

    #[test]
    fn a_foreign_buffer_does_not_enter_a_pool() {
        let mut pool = BufferPool::new(1, 4096).expect("memory");
        let _taken = pool.take();
        pool.put_back(BlockBuffer::allocate(1 << 20).expect("memory"));
        assert!(pool.take().is_none());
    }
}
