//! The program `plimsoll`; everything it does is in the library beside it.

use std::process::ExitCode;

use plimsoll_harness::{CountingAllocator, INSTRUMENTED_SYSTEM};

/// Counts allocations, so that `bench` can say how many of them a commit costs.
#[global_allocator]
static ALLOCATOR: &CountingAllocator = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    plimsoll_harness::run()
}
