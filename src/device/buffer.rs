//! Memory for direct I/O: aligned, huge-page-backed where the kernel allows (a fifth more
//! bandwidth at a third of the processor time on the reference machine), and owned by exactly one
//! party at a time, so that the kernel never reads what somebody writes.

use std::{
    fmt, io,
    num::NonZeroUsize,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    sync::Arc,
};

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::format::round_up_len;

const PAGE_BYTES: usize = 4096;
const HUGE_PAGE_BYTES: usize = 2 << 20;

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
    /// Maps zeroed memory, starting on a huge page when it spans at least one.
    fn map(len: usize) -> io::Result<Self> {
        let huge = len >= HUGE_PAGE_BYTES;
        let len = round_up_len(len, if huge { HUGE_PAGE_BYTES } else { PAGE_BYTES });
        let mapped_len = if huge { len + HUGE_PAGE_BYTES } else { len };
        let size = NonZeroUsize::new(mapped_len).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a new private anonymous mapping aliases nothing.
        let mapped = unsafe {
            mmap_anonymous(
                None,
                size,
                ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
                MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE,
            )
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

/// A page-aligned buffer with one owner.
pub(crate) struct BlockBuffer {
    start: NonNull<u8>,
    len: usize,
    /// Position in its pool, by which an engine may have registered it.
    pool_index: Option<u16>,
    _memory: Memory,
}

/// What keeps a buffer's bytes alive.
#[expect(dead_code, reason = "held for what dropping it does")]
enum Memory {
    Mapped(Arc<Region>),
    /// For simulated disks, which open a small log a hundred thousand times a second.
    #[cfg(feature = "simulated")]
    Heap(Box<[Page]>),
}

#[cfg(feature = "simulated")]
#[derive(Clone)]
#[repr(align(4096))]
struct Page(#[expect(dead_code, reason = "reached through the buffer's address")] [u8; PAGE_BYTES]);

// SAFETY: the bytes belong to this buffer alone: pools cut regions into disjoint buffers, there is
// no `Clone`, and a device that hands the address to the kernel owns the buffer meanwhile.
unsafe impl Send for BlockBuffer {}
// SAFETY: shared access is read-only, as for a slice.
unsafe impl Sync for BlockBuffer {}

impl BlockBuffer {
    /// A buffer of its own, of at least `len` bytes (whole pages), zeroed.
    pub(crate) fn allocate(len: usize) -> io::Result<Self> {
        let region = Region::map(len.max(1))?;
        Ok(Self {
            start: region.start,
            len: region.len,
            pool_index: None,
            _memory: Memory::Mapped(Arc::new(region)),
        })
    }

    /// As [`Self::allocate`], from the heap.
    #[cfg(feature = "simulated")]
    pub(super) fn on_heap(len: usize) -> Self {
        let pages = len.max(1).div_ceil(PAGE_BYTES);
        let mut memory = vec![Page([0; PAGE_BYTES]); pages].into_boxed_slice();
        // A slice with at least one page is not at address 0.
        let start = NonNull::from(&mut *memory).cast();
        Self { start, len: pages * PAGE_BYTES, pool_index: None, _memory: Memory::Heap(memory) }
    }

    pub(super) fn pool_index(&self) -> Option<u16> {
        self.pool_index
    }

    /// Whether it came from a pool and should go back there.
    pub(crate) fn is_pooled(&self) -> bool {
        self.pool_index.is_some()
    }
}

impl Deref for BlockBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start..start + len` is mapped, initialised (the kernel zeroes it), and belongs
        // to this buffer; the shared borrow keeps writers out.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for BlockBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the exclusive borrow keeps everybody else out.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for BlockBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockBuffer").field("len", &self.len).finish_non_exhaustive()
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
            .map(|index| BlockBuffer {
                // SAFETY: the region holds `count` times `buffer_len` bytes.
                start: unsafe { region.start.add(buffer_len * usize::from(index)) },
                len: buffer_len,
                pool_index: Some(index),
                _memory: Memory::Mapped(Arc::clone(&region)),
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
        for buffer_len in [100, 4096, 1 << 20, 3 << 20] {
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
