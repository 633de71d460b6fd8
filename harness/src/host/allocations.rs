//! How often this process has asked for memory. The program makes the counting allocator the one that
//! everything here uses: the system's own, with a few atomic additions for each call.

use std::alloc::System;

use stats_alloc::StatsAlloc;

pub use stats_alloc::INSTRUMENTED_SYSTEM;

/// The system's allocator, counting.
pub type CountingAllocator = StatsAlloc<System>;

/// Allocations and reallocations of all threads since the process began.
pub(crate) fn allocations_so_far() -> u64 {
    let counted = INSTRUMENTED_SYSTEM.stats();
    (counted.allocations + counted.reallocations) as u64
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    /// Other tests may allocate at the same time, so there is only a lower bound. It is 0 for ever
    /// if the counting allocator is not the one in use.
    #[test]
    fn new_memory_and_more_memory_are_counted() {
        let before = allocations_so_far();
        let mut kept: Vec<Box<u64>> = (0..100).map(|number| black_box(Box::new(number))).collect();
        assert!(allocations_so_far() - before >= 100);
        let before = allocations_so_far();
        kept.reserve(black_box(10_000));
        assert!(allocations_so_far() > before);
        assert_eq!(*kept[99], 99);
    }
}
