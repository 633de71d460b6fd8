//! One segment file, opened for direct I/O.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read},
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use nix::fcntl::{FallocateFlags, fallocate};

#[cfg(feature = "simulated")]
use super::simulated::SimulatedFile;
use super::{BlockBuffer, WriteSync};

/// Smallest unit in which a short direct write is continued.
const SECTOR_BYTES: usize = 512;
/// fallocate(2), linux/falloc.h.
const FALLOC_FL_WRITE_ZEROES: libc::c_int = 0x80;
/// Longest text file that is read.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Zeroing works in pieces of this size; larger ones gain nothing.
const ZERO_CHUNK_BYTES: usize = 512 << 10;
/// How often to look whether a file is at rest.
const REST_POLL: Duration = Duration::from_millis(1);

/// An open segment file. All reads and writes bypass the page cache.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    file: Medium,
    path: PathBuf,
    /// Tells files apart even when the kernel reuses a descriptor.
    id: u64,
}

/// What a file's bytes are on.
#[derive(Debug)]
enum Medium {
    Kernel(File),
    #[cfg(feature = "simulated")]
    Simulated(SimulatedFile),
}

/// What a ring still refers to keeps its lock until the kernel has put the ring away, which takes
/// longer than it takes to open the log again. Nothing is on its way any more.
impl Drop for Medium {
    fn drop(&mut self) {
        match self {
            Self::Kernel(file) => {
                // Not to be unlocked means not to have been locked.
                let _ = file.unlock();
            }
            #[cfg(feature = "simulated")]
            Self::Simulated(_) => {}
        }
    }
}

impl SegmentFile {
    /// Creates a new file, private to the user.
    pub(crate) fn create(path: PathBuf) -> io::Result<Self> {
        Self::open_with(path, OpenOptions::new().read(true).write(true).create_new(true))
    }

    /// Opens an existing file for reading and writing.
    pub(crate) fn open_for_write(path: PathBuf) -> io::Result<Self> {
        Self::open_with(path, OpenOptions::new().read(true).write(true))
    }

    /// Opens an existing file for reading.
    pub(crate) fn open_for_read(path: PathBuf) -> io::Result<Self> {
        Self::open_with(path, OpenOptions::new().read(true))
    }

    fn open_with(path: PathBuf, options: &mut OpenOptions) -> io::Result<Self> {
        let file = options
            .mode(0o600)
            .custom_flags(libc::O_DIRECT | libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&path)?;
        Ok(Self::on(Medium::Kernel(file), path))
    }

    /// A file on a simulated disk.
    #[cfg(feature = "simulated")]
    pub(super) fn simulated(file: SimulatedFile, path: PathBuf) -> Self {
        Self::on(Medium::Simulated(file), path)
    }

    fn on(file: Medium, path: PathBuf) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Self { file, path, id: NEXT_ID.fetch_add(1, Ordering::Relaxed) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its path leads to this very file.
    pub(super) fn is_at_its_path(&self) -> io::Result<bool> {
        match &self.file {
            Medium::Kernel(file) => {
                let (open, named) = (file.metadata()?, fs::symlink_metadata(&self.path)?);
                Ok((open.dev(), open.ino()) == (named.dev(), named.ino()))
            }
            #[cfg(feature = "simulated")]
            Medium::Simulated(_) => Ok(true),
        }
    }

    /// The same open file under the name it has been renamed to.
    pub(crate) fn renamed(self, path: PathBuf) -> Self {
        Self { path, ..self }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn raw_fd(&self) -> RawFd {
        match &self.file {
            Medium::Kernel(file) => file.as_raw_fd(),
            // No engine of the kernel's is opened for a simulated disk.
            #[cfg(feature = "simulated")]
            Medium::Simulated(_) => -1,
        }
    }

    #[cfg(feature = "simulated")]
    pub(super) fn as_simulated(&self) -> Option<&SimulatedFile> {
        match &self.file {
            Medium::Kernel(_) => None,
            Medium::Simulated(file) => Some(file),
        }
    }

    /// Whether the kernel has the file, and may be asked for several things of it at once. On a
    /// simulated disk the order of all that happens follows from its seed.
    pub(crate) fn is_on_kernel(&self) -> bool {
        match &self.file {
            Medium::Kernel(_) => true,
            #[cfg(feature = "simulated")]
            Medium::Simulated(_) => false,
        }
    }

    /// Memory to read at least `len` bytes of the file into.
    pub(crate) fn allocate_buffer(&self, len: usize) -> io::Result<BlockBuffer> {
        match &self.file {
            Medium::Kernel(_) => BlockBuffer::allocate(len),
            #[cfg(feature = "simulated")]
            Medium::Simulated(_) => Ok(BlockBuffer::on_heap(len)),
        }
    }

    /// Says that the file is written to, for as long as a write may be on its way, even after the
    /// process: io_uring finishes the writes of one that was killed, and each refers to the open
    /// file, whose lock (flock(2)) goes with the last reference.
    pub(crate) fn hold(&self) -> io::Result<()> {
        match &self.file {
            Medium::Kernel(file) => Ok(file.try_lock_shared()?),
            #[cfg(feature = "simulated")]
            Medium::Simulated(_) => Ok(()),
        }
    }

    /// Waits until nobody holds the file any more; `false` if somebody still does after `patience`.
    pub(crate) fn await_rest(&self, patience: Duration) -> io::Result<bool> {
        let give_up = Instant::now() + patience;
        loop {
            let locked = match &self.file {
                Medium::Kernel(file) => file.try_lock(),
                #[cfg(feature = "simulated")]
                Medium::Simulated(_) => Ok(()),
            };
            match locked {
                Ok(()) => return Ok(true),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if Instant::now() > give_up => return Ok(false),
                Err(TryLockError::WouldBlock) => thread::sleep(REST_POLL),
            }
        }
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> io::Result<u64> {
        match &self.file {
            Medium::Kernel(file) => Ok(file.metadata()?.len()),
            #[cfg(feature = "simulated")]
            Medium::Simulated(file) => file.len(),
        }
    }

    /// Fills `buffer` from `offset_bytes` and returns how much there was before the end of the
    /// file. Offset and length are multiples of the device's alignment.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_once(&mut buffer[filled..], offset_bytes + filled as u64) {
                Ok(0) => break,
                Ok(count) => {
                    filled += count;
                    // A count that is no whole sector is the end of the file; asking again there
                    // would be an unaligned read.
                    if !count.is_multiple_of(SECTOR_BYTES) {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn read_once(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<usize> {
        match &self.file {
            Medium::Kernel(file) => file.read_at(buffer, offset_bytes),
            #[cfg(feature = "simulated")]
            Medium::Simulated(file) => file.read_at(buffer, offset_bytes),
        }
    }

    /// Writes all of `bytes`, continuing short writes.
    pub(crate) fn write_at(
        &self,
        bytes: &[u8],
        offset_bytes: u64,
        sync: WriteSync,
    ) -> io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            match self.write_once(&bytes[written..], offset_bytes + written as u64, sync) {
                Ok(count) => written += whole_sectors(count)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_once(&self, bytes: &[u8], offset_bytes: u64, sync: WriteSync) -> io::Result<usize> {
        #[cfg(feature = "simulated")]
        if let Medium::Simulated(file) = &self.file {
            return file.write_at(bytes, offset_bytes, sync);
        }
        let iovec =
            libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let offset =
            libc::off_t::try_from(offset_bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: one iovec over `bytes`, which outlives the call; the kernel only reads it.
        let count =
            unsafe { libc::pwritev2(self.raw_fd(), &raw const iovec, 1, offset, rwf_flags(sync)) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    /// Makes everything written before durable (fdatasync(2)).
    pub(crate) fn flush(&self) -> io::Result<()> {
        loop {
            let flushed = match &self.file {
                Medium::Kernel(file) => file.sync_data(),
                #[cfg(feature = "simulated")]
                Medium::Simulated(file) => file.flush(),
            };
            match flushed {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Makes content and metadata durable (fsync(2)).
    pub(crate) fn sync_all(&self) -> io::Result<()> {
        match &self.file {
            Medium::Kernel(file) => file.sync_all(),
            #[cfg(feature = "simulated")]
            Medium::Simulated(file) => file.flush(),
        }
    }

    /// Reserves `len_bytes` of disk space and sets the length.
    pub(crate) fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        let len = libc::off_t::try_from(len_bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
        match &self.file {
            Medium::Kernel(file) => Ok(fallocate(file, FallocateFlags::empty(), 0, len)?),
            #[cfg(feature = "simulated")]
            Medium::Simulated(file) => file.allocate(len_bytes),
        }
    }

    /// Gives disk space from `len_bytes` on back to the file system.
    pub(crate) fn shrink(&self, len_bytes: u64) -> io::Result<()> {
        match &self.file {
            Medium::Kernel(file) => file.set_len(len_bytes),
            // Only done to files that are about to be removed, which then go in one piece.
            #[cfg(feature = "simulated")]
            Medium::Simulated(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Turns `start_bytes..end_bytes` of a file that was allocated and never written into written
    /// blocks of zeros, so that later writes change no metadata.
    ///
    /// Devices that can zero by a command do so without a byte crossing the bus, where kernel and
    /// file system pass it on (`FALLOC_FL_WRITE_ZEROES`, Linux 6.17). All others refuse it in a
    /// microsecond, and the zeros are written.
    pub(crate) fn zero_allocated(&self, start_bytes: u64, end_bytes: u64) -> io::Result<()> {
        // The flag is newer than the crate's list of them.
        let by_command = FallocateFlags::from_bits_retain(FALLOC_FL_WRITE_ZEROES);
        let zeroed = || -> Result<(), nix::Error> {
            let out_of_range = |_| nix::Error::EFBIG;
            let start = libc::off_t::try_from(start_bytes).map_err(out_of_range)?;
            let len = libc::off_t::try_from(end_bytes - start_bytes).map_err(out_of_range)?;
            match &self.file {
                Medium::Kernel(file) => fallocate(file, by_command, start, len),
                #[cfg(feature = "simulated")]
                Medium::Simulated(_) => Err(nix::Error::EOPNOTSUPP),
            }
        };
        // Whatever is wrong, writing finds out or puts it right.
        zeroed().or_else(|_| self.write_zeros(start_bytes, end_bytes))
    }

    /// Overwrites `start_bytes..end_bytes` with zeros.
    pub(crate) fn write_zeros(&self, start_bytes: u64, end_bytes: u64) -> io::Result<()> {
        let zeros = zeros()?;
        let mut offset_bytes = start_bytes;
        while offset_bytes < end_bytes {
            let len = (end_bytes - offset_bytes).min(ZERO_CHUNK_BYTES as u64);
            let chunk = &zeros[..usize::try_from(len).unwrap_or(ZERO_CHUNK_BYTES)];
            self.write_at(chunk, offset_bytes, WriteSync::Volatile)?;
            offset_bytes += len;
        }
        Ok(())
    }
}

/// Zeros to write from, one piece of memory for all. Nobody ever writes to it, so that it is the
/// kernel's page of zeros many times over.
fn zeros() -> io::Result<&'static BlockBuffer> {
    static ZEROS: OnceLock<BlockBuffer> = OnceLock::new();
    match ZEROS.get() {
        Some(zeros) => Ok(zeros),
        None => {
            let zeros = BlockBuffer::allocate(ZERO_CHUNK_BYTES)?;
            Ok(ZEROS.get_or_init(|| zeros))
        }
    }
}

/// Reads a text file, such as a profile. A longer one is an error: a wrong path, such as that of a
/// device, must not fill the memory.
pub(crate) fn read_text_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > TEXT_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 1 MiB"));
    }
    Ok(text)
}

/// The per-write flags of pwritev2(2) for this kind of write.
pub(super) fn rwf_flags(sync: WriteSync) -> libc::c_int {
    match sync {
        WriteSync::Volatile => 0,
        WriteSync::Durable => libc::RWF_DSYNC,
    }
}

/// How far a write of `count` bytes really got: a direct write can only be continued on a sector,
/// and one that got nowhere would be repeated for ever.
pub(super) fn whole_sectors(count: usize) -> io::Result<usize> {
    match count - count % SECTOR_BYTES {
        0 => Err(io::Error::new(
            io::ErrorKind::WriteZero,
            format!("the device accepted only {count} bytes"),
        )),
        sectors => Ok(sectors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_write_continues_on_a_sector_and_never_loops() {
        assert_eq!(whole_sectors(4096).expect("progress"), 4096);
        assert_eq!(whole_sectors(700).expect("progress"), 512);
        assert!(whole_sectors(0).is_err());
        assert!(whole_sectors(511).is_err());
    }
}
