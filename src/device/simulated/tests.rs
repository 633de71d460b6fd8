//! What the simulated disk promises to the log above it, and what it does not.

use std::{io, path::Path};

use super::{DiskOptions, Fault, SimulatedDirectory, SimulatedDisk, SimulatedFile};
use crate::device::WriteSync::{Durable, Volatile};

const CUTS: u64 = 200;

struct Fixture {
    disk: SimulatedDisk,
    directory: SimulatedDirectory,
    file: SimulatedFile,
}

/// A disk with a file `a` of two sectors of zeros, all of it durable.
fn fixture(options: DiskOptions) -> Fixture {
    let disk = SimulatedDisk::new(options);
    let directory = SimulatedDirectory::open_or_create(&disk);
    let file = directory.create_file(Path::new("a")).expect("created");
    file.write_at(&[0; 1024], 0, Volatile).expect("written");
    file.flush().expect("flushed");
    directory.sync().expect("synced");
    Fixture { disk, directory, file }
}

/// What the first two sectors of `a` may hold after a power cut: old, new, or torn.
fn sectors_after_cuts(disk: &SimulatedDisk) -> Vec<(u8, u8)> {
    let mut found: Vec<_> = (0..CUTS)
        .map(|seed| disk.cut_power(seed).read("a").expect("its name is durable"))
        .map(|content| (content[0], content[512]))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn an_unflushed_write_survives_in_any_part_and_a_flushed_one_whole() {
    let Fixture { disk, file, .. } = fixture(DiskOptions::default());
    file.write_at(&[7; 1024], 0, Volatile).expect("written");
    let found = sectors_after_cuts(&disk);
    for expected in [(0, 0), (0, 7), (7, 0), (7, 7)] {
        assert!(found.contains(&expected), "{expected:?} is possible: {found:?}");
    }
    assert!(found.len() > 4, "and a sector may hold anything: {found:?}");
    file.flush().expect("flushed");
    assert_eq!(sectors_after_cuts(&disk), [(7, 7)]);
}

#[test]
fn a_durable_write_covers_itself_with_fua_and_the_file_without() {
    for (fua, others_are_durable) in [(true, false), (false, true)] {
        let Fixture { disk, file, .. } = fixture(DiskOptions { fua, ..DiskOptions::default() });
        file.write_at(&[7; 512], 0, Volatile).expect("written");
        file.write_at(&[8; 512], 512, Durable).expect("written");
        let found = sectors_after_cuts(&disk);
        assert!(found.iter().all(|(_, durable)| *durable == 8), "{found:?}");
        assert_eq!(found == [(7, 8)], others_are_durable, "{found:?}");
    }
}

#[test]
fn without_a_volatile_cache_a_completed_write_is_durable() {
    let options = DiskOptions { volatile_cache: false, ..DiskOptions::default() };
    let Fixture { disk, file, .. } = fixture(options);
    file.write_at(&[7; 1024], 0, Volatile).expect("written");
    assert_eq!(sectors_after_cuts(&disk), [(7, 7)]);
}

#[test]
fn names_are_durable_once_the_directory_is_synced() {
    let Fixture { disk, directory, .. } = fixture(DiskOptions::default());
    directory.rename(Path::new("a"), Path::new("b")).expect("renamed");
    directory.create_file(Path::new("c")).expect("created");
    let names_after_cuts = || {
        let mut found: Vec<_> = (0..CUTS)
            .map(|seed| {
                let mut names = disk.cut_power(seed).names();
                names.sort();
                names.join(" ")
            })
            .collect();
        found.sort();
        found.dedup();
        found
    };
    assert_eq!(names_after_cuts(), ["a", "a c", "b", "b c"]);
    directory.sync().expect("synced");
    assert_eq!(names_after_cuts(), ["b c"]);
}

#[test]
fn a_flush_after_one_that_failed_succeeds_without_the_data() {
    let lost = (0..CUTS).any(|seed| {
        let fault = Some(Fault::Flush(2));
        let Fixture { disk, file, .. } = fixture(DiskOptions { seed, fault, ..Default::default() });
        file.write_at(&[7; 1024], 0, Volatile).expect("written");
        assert!(file.flush().is_err());
        file.flush().expect("the second one succeeds");
        sectors_after_cuts(&disk) == [(0, 0)]
    });
    assert!(lost);
}

#[test]
fn direct_writes_are_whole_blocks_and_need_space() {
    let options = DiskOptions { capacity_bytes: 2048, ..DiskOptions::default() };
    let Fixture { file, .. } = fixture(options);
    let errno = |result: io::Result<usize>| result.expect_err("refused").raw_os_error();
    assert_eq!(errno(file.write_at(&[1; 512], 100, Volatile)), Some(libc::EINVAL));
    assert_eq!(errno(file.write_at(&[1; 100], 512, Volatile)), Some(libc::EINVAL));
    assert_eq!(errno(file.write_at(&[1; 2048], 512, Volatile)), Some(libc::ENOSPC));
    assert!(file.allocate(4096).is_err());
}

#[test]
fn writes_come_out_short_and_calls_are_interrupted_where_the_disk_does_that() {
    let options = DiskOptions { interruptions: true, ..DiskOptions::default() };
    let disk = SimulatedDisk::new(options);
    let directory = SimulatedDirectory::open_or_create(&disk);
    let file = directory.create_file(Path::new("a")).expect("created");
    let outcomes: Vec<_> = (0..CUTS).map(|_| file.write_at(&[1; 4096], 0, Volatile)).collect();
    assert!(outcomes.iter().any(|outcome| matches!(outcome, Ok(512..4096))));
    let interrupted = |error: &io::Error| error.kind() == io::ErrorKind::Interrupted;
    assert!(outcomes.iter().any(|outcome| outcome.as_ref().is_err_and(interrupted)));
}

#[test]
fn a_process_that_has_ended_can_do_nothing_more() {
    let Fixture { disk, directory, file } = fixture(DiskOptions::default());
    let lock = directory.lock().expect("free");
    assert!(directory.lock().is_none());
    disk.end_process();
    assert!(file.write_at(&[7; 512], 0, Durable).is_err());
    assert!(directory.remove(Path::new("a")).is_err());
    let next = SimulatedDirectory::open(&disk);
    let held = next.lock().expect("the dead process holds nothing");
    drop(lock);
    assert!(next.lock().is_none(), "nor can it give away what is not its own");
    drop(held);
}
