//! Many small reads all over a file: at once through io_uring, where the kernel allows it, and one
//! after the other elsewhere. On the reference machine one of 4 KiB takes 50 µs, and one of 64 that
//! are on their way together 10 µs.

use std::{fmt, io, mem};

use io_uring::{IoUring, opcode, types};

use super::{BlockBuffer, SegmentFile};

/// Reads that are on their way at once.
pub(crate) const SCATTERED_READS_MAX: usize = 64;

/// A ring for small reads, set up when the first of them are asked for.
#[derive(Default)]
pub(crate) struct ScatteredReads {
    ring: Ring,
}

#[derive(Default)]
enum Ring {
    #[default]
    NotAsked,
    /// `ENOSYS`, or `EPERM` under a container's seccomp profile.
    Refused,
    Ready(Box<IoUring>),
}

/// One read: a range of the file, and where in the buffer it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// Where in the file, a multiple of the device's alignment.
    pub(crate) offset_bytes: u64,
    /// Where in the buffer, equally aligned.
    pub(crate) start: usize,
    /// How much, equally aligned.
    pub(crate) len: usize,
}

impl ScatteredReads {
    /// Reads each piece, at most [`SCATTERED_READS_MAX`] of them, and returns the buffer and how much
    /// of each there was before the end of the file. No two pieces share a byte of the buffer.
    ///
    /// `None` when the ring has failed and the kernel may still write to the buffer, which is given
    /// up for good. It happens once: the next call does without a ring.
    pub(crate) fn read(
        &mut self,
        file: &SegmentFile,
        mut buffer: BlockBuffer,
        pieces: &[Piece],
    ) -> Option<(BlockBuffer, Vec<io::Result<usize>>)> {
        let mut done = vec![None; pieces.len()];
        if pieces.len() > 1
            && file.is_on_kernel()
            && self.read_at_once(file, &mut buffer, pieces, &mut done).is_err()
        {
            mem::forget(buffer);
            return None;
        }
        // What the ring has not done, or has met an error with: the plain call says what it is.
        let rest = |(piece, done): (&Piece, Option<usize>)| match done {
            Some(count) => Ok(count),
            None => {
                let range = piece.start..piece.start + piece.len;
                file.read_at(&mut buffer[range], piece.offset_bytes)
            }
        };
        let counts = pieces.iter().zip(done).map(rest).collect();
        Some((buffer, counts))
    }

    fn read_at_once(
        &mut self,
        file: &SegmentFile,
        buffer: &mut BlockBuffer,
        pieces: &[Piece],
        done: &mut [Option<usize>],
    ) -> io::Result<()> {
        if matches!(self.ring, Ring::NotAsked) {
            let entries = u32::try_from(SCATTERED_READS_MAX).unwrap_or(u32::MAX);
            self.ring = match IoUring::new(entries) {
                Ok(ring) => Ring::Ready(Box::new(ring)),
                Err(error) => {
                    tracing::debug!(%error, "no io_uring: small reads are made one by one");
                    Ring::Refused
                }
            };
        }
        let Ring::Ready(ring) = &mut self.ring else { return Ok(()) };
        let mut on_their_way = 0;
        for (index, piece) in pieces.iter().take(SCATTERED_READS_MAX).enumerate() {
            // Checked here, since the kernel checks nothing of it.
            let target = &mut buffer[piece.start..piece.start + piece.len];
            let len = u32::try_from(target.len()).unwrap_or(0);
            let read = opcode::Read::new(types::Fd(file.raw_fd()), target.as_mut_ptr(), len)
                .offset(piece.offset_bytes)
                .build()
                .user_data(index as u64);
            // SAFETY: buffer and file are borrowed until every read that was pushed has completed;
            // if that cannot be waited for, the caller never frees the buffer nor looks at it.
            if unsafe { ring.submission().push(&read) }.is_ok() {
                on_their_way += 1;
            }
        }
        while on_their_way > 0 {
            match ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.raw_os_error(),
                        Some(libc::EINTR | libc::EBUSY | libc::EAGAIN)
                    ) => {}
                Err(error) => {
                    tracing::warn!(%error, "the ring for small reads has failed");
                    self.ring = Ring::Refused;
                    return Err(error);
                }
            }
            for entry in ring.completion() {
                on_their_way -= 1;
                let index = usize::try_from(entry.user_data()).unwrap_or(usize::MAX);
                if let Some(done) = done.get_mut(index) {
                    *done = usize::try_from(entry.result()).ok();
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ScatteredReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.ring {
            Ring::NotAsked => "not asked for",
            Ring::Refused => "refused",
            Ring::Ready(_) => "ready",
        };
        f.debug_tuple("ScatteredReads").field(&state).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::WriteSync;

    #[test]
    fn pieces_come_from_where_they_were_asked_for_and_end_with_the_file() {
        const BLOCK: usize = 4096;
        const COUNT: usize = 200;
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("writable");
        let file = match SegmentFile::create(dir.path().join("file")) {
            Ok(file) => file,
            // A file system without direct I/O.
            Err(_) => return,
        };
        let mut blocks = BlockBuffer::allocate(COUNT * BLOCK).expect("memory");
        for (number, block) in (0u8..).zip(blocks[..COUNT * BLOCK].chunks_mut(BLOCK)) {
            block.fill(number);
        }
        file.write_at(&blocks[..COUNT * BLOCK], 0, WriteSync::Volatile).expect("written");
        let mut reads = ScatteredReads::default();
        let buffer = BlockBuffer::allocate(SCATTERED_READS_MAX * 2 * BLOCK).expect("memory");
        let piece = |index: usize| Piece {
            offset_bytes: (index * 3 * BLOCK) as u64,
            start: index * 2 * BLOCK,
            len: 2 * BLOCK,
        };
        let pieces: Vec<_> = (0..SCATTERED_READS_MAX).map(piece).collect();
        let (buffer, counts) = reads.read(&file, buffer, &pieces).expect("the ring works");
        for (piece, count) in pieces.iter().zip(counts) {
            assert_eq!(count.expect("read"), 2 * BLOCK);
            let number = piece.offset_bytes / BLOCK as u64;
            assert_eq!(u64::from(buffer[piece.start]), number);
            assert_eq!(u64::from(buffer[piece.start + BLOCK]), number + 1);
        }
        let at_end = [197, 199, 200].map(|block: u64| Piece {
            offset_bytes: block * BLOCK as u64,
            start: usize::try_from(block - 197).expect("small") * 2 * BLOCK,
            len: 2 * BLOCK,
        });
        let (_, counts) = reads.read(&file, buffer, &at_end).expect("the ring works");
        let counts: Vec<_> = counts.into_iter().map(|count| count.expect("read")).collect();
        assert_eq!(counts, [2 * BLOCK, BLOCK, 0]);
    }
}
