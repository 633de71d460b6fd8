//! The bound on memory: what reading hostile bytes may take, whatever they say of their own size.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What any input may cost: windows, buffers, a parser's tables.
const FIXED_BYTES: usize = 4 << 20;
/// And for each of its bytes: copies on the simulated disk, records and their comparison.
const PER_INPUT_BYTE: usize = 24;

/// Runs `read` over an input of this length.
///
/// # Panics
///
/// If it took more memory than the input warrants.
pub(crate) fn bounded<T>(input_bytes: usize, read: impl FnOnce() -> T) -> T {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = read();
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    let bound = FIXED_BYTES + input_bytes * PER_INPUT_BYTE;
    assert!(taken <= bound, "{input_bytes} bytes made it take {taken} bytes, over {bound}");
    result
}
