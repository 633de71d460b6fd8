//! The device's own speed, without a log: what it can do at most with one durable write after
//! another. Throughput of a log is judged against it, and F0, the rate of single durable writes,
//! says when waiting for company can pay at all.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;

use super::pages::{Pages, WriteBuffer};
use super::us;
use crate::store::schema::Ceiling;

/// One write of the bandwidth measurement.
pub(crate) const LARGE_WRITE_BYTES: u64 = 256 << 10;

/// Size of the file that is overwritten; also bounds the largest block.
const FILE_BYTES: u64 = 16 << 20;

/// Smallest block of the small writes.
const BLOCK_BYTES_MIN: u64 = 4 << 10;

/// Writes of the bandwidth measurement that are always made, however slow the device.
const WRITES_MIN: u64 = 8;

/// How to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CeilingOptions {
    /// The device's physical block, if known; small writes are of this size or 4 KiB, if larger.
    pub(crate) physical_block_bytes: Option<u64>,
    /// Time for the small writes, and again for the large ones.
    pub(crate) duration: Duration,
}

/// Overwrites a file in `directory`, prepared with zeros and synced first, with durable direct
/// writes: single blocks, then large sequential ones. The file stays for the caller to remove.
///
/// # Errors
/// When the file cannot be made or written; the error names it.
pub(crate) fn measure_ceiling(directory: &Path, options: &CeilingOptions) -> Result<Ceiling> {
    let file = CeilingFile::prepare(directory)?;
    let block_bytes = block_bytes(options.physical_block_bytes);
    let small = file.overwrite(block_bytes, Pages::Ordinary, options.duration)?;
    let large = file.overwrite(LARGE_WRITE_BYTES, Pages::Ordinary, options.duration)?;
    Ok(Ceiling {
        durable_writes_per_second: small.writes_per_second,
        durable_write_p50_us: us(small.latency_ns.value_at_quantile(0.5)),
        durable_write_p99_us: us(small.latency_ns.value_at_quantile(0.99)),
        durable_bytes_per_second: large.bytes_per_second(),
        block_bytes,
    })
}

/// The device's physical block, but at least 4 KiB and no more than fits the file in whole numbers.
pub(crate) fn block_bytes(physical_block_bytes: Option<u64>) -> u64 {
    physical_block_bytes
        .filter(|bytes| bytes.is_power_of_two())
        .unwrap_or(BLOCK_BYTES_MIN)
        .clamp(BLOCK_BYTES_MIN, FILE_BYTES)
}

/// A file of zeros to overwrite: it was written before, so overwriting it changes no metadata.
#[derive(Clone, Debug)]
pub(crate) struct CeilingFile {
    path: PathBuf,
}

/// What overwriting came to.
#[derive(Clone, Debug)]
pub(crate) struct Writes {
    /// Bytes of each write.
    pub(crate) write_bytes: u64,
    /// Durable writes a second, one at a time.
    pub(crate) writes_per_second: f64,
    /// Of each write, nanoseconds.
    pub(crate) latency_ns: Histogram<u64>,
}

/// What writing and flushing in turns came to.
#[derive(Clone, Debug)]
pub(crate) struct Flushes {
    /// Of each write, nanoseconds.
    pub(crate) write_ns: Histogram<u64>,
    /// Of each flush, nanoseconds.
    pub(crate) flush_ns: Histogram<u64>,
}

impl Writes {
    /// Durable bytes a second.
    pub(crate) fn bytes_per_second(&self) -> f64 {
        self.writes_per_second * self.write_bytes as f64
    }
}

impl CeilingFile {
    /// Writes the zeros and syncs them. The file stays for the caller to remove.
    ///
    /// # Errors
    /// When that is not possible; the error names the file.
    pub(crate) fn prepare(directory: &Path) -> Result<Self> {
        let file = Self { path: directory.join("ceiling") };
        write_zeros(&file.path).with_context(|| file.complaint())?;
        Ok(file)
    }

    /// Makes durable direct writes of `write_bytes` (whole blocks, at most the file's 16 MiB) from
    /// memory in such pages for `duration`, one position after the other, round the file.
    ///
    /// # Errors
    /// When the file cannot be written so; the error names it.
    pub(crate) fn overwrite(
        &self,
        write_bytes: u64,
        pages: Pages,
        duration: Duration,
    ) -> Result<Writes> {
        let write = || -> io::Result<Writes> {
            let buffer = buffer(write_bytes, pages)?;
            write_for(&self.open(libc::O_DSYNC)?, buffer.bytes(), duration)
        };
        write().with_context(|| self.complaint())
    }

    /// The same with writes that are not durable by themselves. One flush follows, which is not
    /// measured: what comes next does not pay for these.
    ///
    /// # Errors
    /// As [`overwrite`](Self::overwrite).
    pub(crate) fn overwrite_plainly(&self, write_bytes: u64, duration: Duration) -> Result<Writes> {
        let write = || -> io::Result<Writes> {
            let (file, buffer) = (self.open(0)?, buffer(write_bytes, Pages::Ordinary)?);
            let writes = write_for(&file, buffer.bytes(), duration)?;
            file.sync_data()?;
            Ok(writes)
        };
        write().with_context(|| self.complaint())
    }

    /// Direct writes as above, each followed by a flush (fdatasync(2)); the two are timed apart.
    ///
    /// # Errors
    /// As [`overwrite`](Self::overwrite).
    pub(crate) fn write_and_flush(&self, write_bytes: u64, duration: Duration) -> Result<Flushes> {
        let write = || -> io::Result<Flushes> {
            let (file, buffer) = (self.open(0)?, buffer(write_bytes, Pages::Ordinary)?);
            flush_for(&file, buffer.bytes(), duration)
        };
        write().with_context(|| self.complaint())
    }

    fn open(&self, flags: i32) -> io::Result<File> {
        let flags = flags | libc::O_DIRECT | libc::O_NOFOLLOW;
        OpenOptions::new().write(true).custom_flags(flags).open(&self.path)
    }

    fn complaint(&self) -> String {
        format!("cannot measure the device's own speed with {}", self.path.display())
    }
}

fn write_zeros(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let zeros = vec![0; 1 << 20];
    for offset in (0..FILE_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, offset)?;
    }
    file.sync_all()
}

fn buffer(write_bytes: u64, pages: Pages) -> io::Result<WriteBuffer> {
    WriteBuffer::filled(usize::try_from(write_bytes).map_err(io::Error::other)?, pages)
}

fn histogram() -> io::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(io::Error::other)
}

fn record(latency_ns: &mut Histogram<u64>, latency: Duration) {
    latency_ns.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
}

fn write_for(file: &File, buffer: &[u8], duration: Duration) -> io::Result<Writes> {
    let mut latency_ns = histogram()?;
    let write_bytes = buffer.len() as u64;
    let began = Instant::now();
    let mut offset = 0;
    let mut last = began;
    while last.duration_since(began) < duration || latency_ns.len() < WRITES_MIN {
        file.write_all_at(buffer, offset)?;
        offset = next_offset(offset, write_bytes);
        let now = Instant::now();
        record(&mut latency_ns, now.duration_since(last));
        last = now;
    }
    let seconds = last.duration_since(began).as_secs_f64().max(f64::MIN_POSITIVE);
    Ok(Writes { write_bytes, writes_per_second: latency_ns.len() as f64 / seconds, latency_ns })
}

fn flush_for(file: &File, buffer: &[u8], duration: Duration) -> io::Result<Flushes> {
    let (mut write_ns, mut flush_ns) = (histogram()?, histogram()?);
    let began = Instant::now();
    let (mut offset, mut last) = (0, began);
    while last.duration_since(began) < duration || flush_ns.len() < WRITES_MIN {
        file.write_all_at(buffer, offset)?;
        offset = next_offset(offset, buffer.len() as u64);
        let written = Instant::now();
        file.sync_data()?;
        let flushed = Instant::now();
        record(&mut write_ns, written.duration_since(last));
        record(&mut flush_ns, flushed.duration_since(written));
        last = flushed;
    }
    Ok(Flushes { write_ns, flush_ns })
}

/// Where the next write goes: behind the last one, or to the start where it would make the file
/// grow.
fn next_offset(offset: u64, write_bytes: u64) -> u64 {
    let next = offset + write_bytes;
    if next + write_bytes <= FILE_BYTES { next } else { 0 }
}

#[cfg(test)]
#[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_the_devices_and_at_least_4_kib() {
        for (physical, block) in
            [(None, 4096), (Some(512), 4096), (Some(4096), 4096), (Some(16384), 16384)]
        {
            assert_eq!(block_bytes(physical), block, "{physical:?}");
        }
        // Nonsense from a driver neither breaks the alignment nor exhausts the memory.
        assert_eq!(block_bytes(Some(5_000)), 4096);
        assert_eq!(block_bytes(Some(1 << 40)), FILE_BYTES);
    }

    #[test]
    fn a_ceiling_is_measured_on_a_real_disk_and_its_numbers_agree() {
        let program = std::env::current_exe().expect("this test's own path");
        let folder = program.parent().expect("a folder of the build's own");
        let directory = tempfile::tempdir_in(folder).expect("temporary folder");
        let options = CeilingOptions {
            physical_block_bytes: Some(4096),
            duration: Duration::from_millis(20),
        };
        let ceiling = match measure_ceiling(directory.path(), &options) {
            Ok(ceiling) => ceiling,
            Err(error) => {
                let cause = error.root_cause().downcast_ref::<io::Error>();
                assert_eq!(
                    cause.map(io::Error::kind),
                    Some(io::ErrorKind::InvalidInput),
                    "{error:#}"
                );
                println!("skipped, no direct I/O here: {error:#}");
                return;
            }
        };
        let file = CeilingFile { path: directory.path().join("ceiling") };
        let moment = Duration::from_millis(5);
        let plain = file.overwrite_plainly(LARGE_WRITE_BYTES, moment).expect("measured");
        assert!(plain.bytes_per_second() > 0.0 && plain.latency_ns.len() >= WRITES_MIN);
        let pairs = file.write_and_flush(4096, moment).expect("measured");
        assert_eq!(pairs.write_ns.len(), pairs.flush_ns.len(), "a flush for each write");
        assert!(pairs.flush_ns.len() >= WRITES_MIN);
        assert!(ceiling.durable_writes_per_second > 0.0 && ceiling.durable_bytes_per_second > 0.0);
        assert!(ceiling.durable_write_p50_us <= ceiling.durable_write_p99_us);
        assert_eq!(ceiling.block_bytes, 4096);
    }

    #[test]
    fn writes_go_round_the_file_and_never_past_its_end() {
        for write_bytes in [4 << 10, 12 << 10, 256 << 10, 5 << 20, FILE_BYTES] {
            let mut offset = 0;
            let mut rounds = 0;
            while rounds < 2 {
                offset = next_offset(offset, write_bytes);
                assert!(offset + write_bytes <= FILE_BYTES, "{write_bytes} at {offset}");
                rounds += u32::from(offset == 0);
            }
        }
    }

    #[test]
    fn errors_name_the_file() {
        let directory = tempfile::tempdir().expect("temporary folder");
        let options =
            CeilingOptions { physical_block_bytes: None, duration: Duration::from_millis(1) };
        let missing = directory.path().join("missing");
        let error = measure_ceiling(&missing, &options).expect_err("no such directory");
        assert!(format!("{error:#}").contains("missing/ceiling: No such file"), "{error:#}");
    }
}
