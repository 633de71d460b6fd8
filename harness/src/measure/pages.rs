//! Memory that bare loops write from, in ordinary or in huge pages: a direct write takes the
//! processor time of looking up each page, so the pages show in the bandwidth.

use std::io;

use memmap2::{Advice, MmapMut};

/// Size and alignment of a huge page, bytes, on the processors that Linux gives them by itself on.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Not zero: a device may treat zeros as something special.
const FILLING: u8 = 0x5a;

/// How the memory is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pages {
    /// The processor's usual pages, even where the kernel would choose others.
    Ordinary,
    /// Huge ones, where the kernel gives them.
    Huge,
}

/// Bytes to write, at the start of a page.
#[derive(Debug)]
pub(super) struct WriteBuffer {
    memory: MmapMut,
    start: usize,
    length: usize,
}

impl WriteBuffer {
    /// Maps `length` bytes, and touches them.
    pub(super) fn filled(length: usize, pages: Pages) -> io::Result<Self> {
        let whole_pages = length.next_multiple_of(HUGE_PAGE_BYTES);
        let mut memory = MmapMut::map_anon(whole_pages + HUGE_PAGE_BYTES)?;
        let advice = match pages {
            Pages::Ordinary => Advice::NoHugePage,
            Pages::Huge => Advice::HugePage,
        };
        // Refused by a kernel without huge pages: then all pages are ordinary ones.
        let _ = memory.advise(advice);
        let start = memory.as_ptr().align_offset(HUGE_PAGE_BYTES);
        memory[start..start + whole_pages].fill(FILLING);
        Ok(Self { memory, start, length })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_where_a_huge_page_may_and_hold_what_was_asked_for() {
        for pages in [Pages::Ordinary, Pages::Huge] {
            for length in [512, 256 << 10, HUGE_PAGE_BYTES + 4096] {
                let buffer = WriteBuffer::filled(length, pages).expect("memory");
                assert_eq!(buffer.bytes().len(), length);
                assert_eq!(buffer.bytes().as_ptr().align_offset(HUGE_PAGE_BYTES), 0);
                assert!(buffer.bytes().iter().all(|byte| *byte == FILLING));
            }
        }
    }
}
