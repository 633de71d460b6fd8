//! Memory for the buffers of simulated disks, from the heap and used again: a small log is opened
//! ten thousands of times a second there, and zeroing pages took a tenth of all time.

use std::{cell::RefCell, ptr::NonNull};

pub(super) const PAGE_BYTES: usize = 4096;

/// How many buffers a thread keeps, and how large they may be.
const SPARE_BUFFERS: usize = 8;
const SPARE_PAGES: usize = 64;

#[derive(Clone)]
#[repr(align(4096))]
struct Page(#[expect(dead_code, reason = "reached through the buffer's address")] [u8; PAGE_BYTES]);

thread_local! {
    static SPARE: RefCell<Vec<Vec<Page>>> = const { RefCell::new(Vec::new()) };
}

/// Whole pages with anything in them.
pub(super) struct HeapPages {
    pages: Vec<Page>,
}

impl HeapPages {
    /// At least `count` pages, and at least one.
    pub(super) fn take(count: usize) -> Self {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten();
        let mut pages = spare.unwrap_or_default();
        if pages.len() < count.max(1) {
            pages.resize(count.max(1), Page([0; PAGE_BYTES]));
        }
        Self { pages }
    }

    /// Where they are, for as long as `self` lives, wherever that is moved to.
    pub(super) fn start(&mut self) -> NonNull<u8> {
        NonNull::from(&mut *self.pages).cast()
    }
}

impl Drop for HeapPages {
    fn drop(&mut self) {
        let pages = std::mem::take(&mut self.pages);
        // At the end of a thread there is nobody to keep them for.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_BUFFERS && pages.len() <= SPARE_PAGES {
                spare.push(pages);
            }
        });
    }
}
