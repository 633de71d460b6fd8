//! A small log whose layout the tests rely on, and what they expect to become of it.

use plimsoll::{
    Preparation, Record, RecordKind, SegmentedWalConfig, WalError,
    simulated::{DiskOptions, SimulatedDisk, open},
};

use super::{
    forger::Segment,
    target::{Target, Verdict, ring},
};

/// A log whose layout the tests below rely on: records 1 to 3 in a batch and 4 alone in the first
/// segment, under key 1; 5 and 6, of the same length as 4, in the second, under key 2.
pub(crate) fn small() -> Target {
    small_with(1)
}

pub(crate) fn small_with(seed: u64) -> Target {
    let mut options = DiskOptions::default();
    options.seed = seed;
    let disk = SimulatedDisk::new(options);
    let mut config = SegmentedWalConfig::default().with_keys(ring(1));
    (config.segment_size, config.preparation) = (8 << 10, Preparation::Zero);
    let mut wal = open(&disk, config).expect("a new log");
    let record = |byte: u8| {
        Record::new(RecordKind::PUT, vec![byte; 24]).tenant(u64::from(byte)).vshard(1).database(2)
    };
    wal.append_batch(&[1, 2, 3].map(record)).expect("append");
    wal.sync().expect("sync");
    wal.append(&record(4)).expect("append");
    wal.rotate_keys(ring(2)).expect("rotate");
    for byte in [5, 6] {
        wal.append(&record(byte)).expect("append");
        wal.sync().expect("sync");
    }
    wal.close().expect("close");
    let target = Target::of(disk.copy(), ring(2));
    let layout: Vec<_> = target.segments().iter().map(Segment::places).collect();
    assert_eq!(layout, [vec![(1, 0), (1, 1), (1, 2), (2, 0)], vec![(0, 0), (1, 0)]]);
    target
}

pub(crate) fn refused(target: &Target, disk: &SimulatedDisk) -> WalError {
    match target.verdict(disk).expect("no promise is broken") {
        Verdict::Refused(error) => error,
        verdict => panic!("{verdict:?}"),
    }
}

/// Refused as tampering with this record, by recovery, opening and reading alike.
pub(crate) fn assert_tampered(target: &Target, disk: &SimulatedDisk, record: u64) {
    let error = refused(target, disk);
    assert!(matches!(error, WalError::Tampered { lsn, .. } if lsn.get() == record), "{error:?}");
    let reading = target.read(disk).expect("no forged record").expect("refused");
    assert_eq!(reading.to_string(), error.to_string());
}
