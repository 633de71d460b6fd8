//! What the kernel says about direct I/O on one file: alignment, and writes that are never torn
//! (statx(2), `STATX_DIOALIGN` and `STATX_WRITE_ATOMIC`).

use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use serde::Serialize;

/// Direct I/O on a file; `None` where the kernel or the file system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectIo {
    /// Alignment of memory, bytes; 0 says that the file has no direct I/O.
    pub memory_align_bytes: Option<u64>,
    /// Alignment of offsets and lengths, bytes; 0 as above.
    pub offset_align_bytes: Option<u64>,
    /// Smallest write to the file that is never torn, bytes; 0 says there is none.
    pub atomic_write_unit_min_bytes: Option<u64>,
    /// Largest one.
    pub atomic_write_unit_max_bytes: Option<u64>,
}

/// Asks about a file that exists. Knows nothing where the kernel refuses to answer.
pub(crate) fn direct_io(file: &Path) -> DirectIo {
    let atomic = StatxFlags::from_bits_retain(libc::STATX_WRITE_ATOMIC);
    let asked = StatxFlags::BASIC_STATS | StatxFlags::DIOALIGN | atomic;
    let Ok(answer) = statx(CWD, file, AtFlags::SYMLINK_NOFOLLOW, asked) else {
        return DirectIo::default();
    };
    let answered = StatxFlags::from_bits_retain(answer.stx_mask);
    let of = |flag: StatxFlags, bytes: u32| answered.contains(flag).then_some(u64::from(bytes));
    DirectIo {
        memory_align_bytes: of(StatxFlags::DIOALIGN, answer.stx_dio_mem_align),
        offset_align_bytes: of(StatxFlags::DIOALIGN, answer.stx_dio_offset_align),
        atomic_write_unit_min_bytes: of(atomic, answer.stx_atomic_write_unit_min),
        atomic_write_unit_max_bytes: of(atomic, answer.stx_atomic_write_unit_max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignments_are_powers_of_two_or_unknown_and_a_missing_file_says_nothing() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("temporary folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "x").expect("a file");
        let found = direct_io(&file);
        for bytes in [found.memory_align_bytes, found.offset_align_bytes] {
            assert!(bytes.is_none_or(|bytes| bytes == 0 || bytes.is_power_of_two()), "{found:?}");
        }
        assert_eq!(direct_io(&folder.path().join("missing")), DirectIo::default());
    }
}
