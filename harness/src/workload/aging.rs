//! A log that has been in use for a while before it is measured: its next segments are old ones that
//! a truncation gave back, and not new ones that have to be zeroed beside the commits.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use plimsoll::{Lsn, Record, RecordKind, SegmentedWal, WalError};

/// Segments that are filled: those that truncated trials keep, and more than a log has ready.
const SEGMENTS: u32 = 4;

/// One record of the filling. Smaller than any buffer that is swept.
const RECORD_BYTES: usize = 2 << 10;
/// For the deletion of what is too much; longer than it takes on any disk that can be measured.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Synced together.
const RECORDS_PER_SYNC: u32 = 512;

/// Fills segments with records that mean nothing ([`RecordKind::NOOP`]) and gives them up. Returns
/// right after a rollover, before the next segment is begun.
///
/// # Errors
/// When the log fails.
pub(super) fn age(wal: &mut SegmentedWal) -> Result<(), WalError> {
    let filling = Record::new(RecordKind::NOOP, vec![0x5a; RECORD_BYTES]);
    let mut first_lsn = wal.active_segment_first_lsn();
    let mut segments = 0;
    while segments < SEGMENTS {
        for _ in 0..RECORDS_PER_SYNC {
            wal.append(&filling)?;
            if wal.active_segment_first_lsn() != first_lsn {
                break;
            }
        }
        wal.sync()?;
        segments += u32::from(wal.active_segment_first_lsn() != first_lsn);
        first_lsn = wal.active_segment_first_lsn();
    }
    wal.truncate_before(Lsn::new(u64::MAX))?;
    wait_for_the_surplus(wal.wal_dir());
    Ok(())
}

/// What is given up and not needed again is deleted a little at a time, beside the commits. A log
/// that is truncated as it grows has no such surplus: here it goes before anything is measured.
fn wait_for_the_surplus(directory: &Path) {
    let began = Instant::now();
    let is_given_up = |name: &OsStr| name.to_string_lossy().starts_with("retired-");
    while began.elapsed() < LONGEST_WAIT
        && fs::read_dir(directory)
            .is_ok_and(|names| names.flatten().any(|entry| is_given_up(&entry.file_name())))
    {
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
#[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
mod tests {
    use std::fs::{File, Metadata};
    use std::io;
    use std::os::unix::fs::MetadataExt;

    use plimsoll::{Preparation, SegmentedWalConfig};

    use super::*;

    #[test]
    fn an_aged_log_goes_on_in_the_files_it_had() {
        let program = std::env::current_exe().expect("this test's own path");
        let folder = program.parent().expect("a folder of the build's own");
        let directory = tempfile::tempdir_in(folder).expect("temporary folder");
        let mut config = SegmentedWalConfig::new(directory.path());
        (config.segment_size, config.preparation) = (1 << 20, Preparation::Recycle);
        let mut wal = match SegmentedWal::open(config) {
            Ok(wal) => wal,
            Err(error @ WalError::DirectIoUnsupported { .. }) => {
                println!("skipped: {error}");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        age(&mut wal).expect("aged");
        assert_eq!(wal.list_segments().expect("listed").len(), 1);
        // Held open, so that no new file gets the number of a deleted one. A name that changes
        // meanwhile is looked at again.
        let hold = || -> io::Result<Vec<File>> {
            fs::read_dir(directory.path())?.map(|entry| File::open(entry?.path())).collect()
        };
        let held = std::iter::repeat_with(hold).find_map(Result::ok).expect("in the end");
        let known: Vec<u64> = held.iter().map(|file| inode(file.metadata())).collect();
        let filling = Record::new(RecordKind::NOOP, vec![0; RECORD_BYTES]);
        while wal.list_segments().expect("listed").len() < 3 {
            wal.append(&filling).expect("append");
            wal.sync().expect("sync");
        }
        for segment in wal.list_segments().expect("listed") {
            let number = inode(fs::metadata(&segment.path));
            assert!(known.contains(&number), "{} is a new file", segment.path.display());
        }
    }

    fn inode(metadata: io::Result<Metadata>) -> u64 {
        metadata.expect("a file").ino()
    }
}
