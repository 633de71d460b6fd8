//! A log to attack, and what became of it: refused, whole, or shorter at its end; anything else is a
//! broken promise.
#![allow(dead_code, reason = "each test binary uses its part")]

use plimsoll::{
    KeyRing, LogRecord, Lsn, Preparation, Record, RecordKind, SegmentedWalConfig, VerifyOnOpen,
    WalError,
    simulated::{DiskOptions, SimulatedDisk, examine, open, read},
};

use super::forger::{META_DURABLE, META_NEWEST, PREDECESSOR_CHECKSUM, SEGMENT_NUMBER, Segment};

pub(crate) const META: &str = "wal.meta";

/// Splitmix64, as published by Vigna.
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).expect("below a usize")
    }
}

/// A log that was closed in good order.
pub(crate) struct Target {
    pub(crate) disk: SimulatedDisk,
    pub(crate) keys: KeyRing,
    pub(crate) records: Vec<LogRecord>,
}

/// What an attack achieved.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// By recovery and opening alike, without a byte being changed.
    Refused(WalError),
    /// Not a record is different.
    Whole,
    /// This many records at the end are missing, and no other is different.
    CutEnd(usize),
}

/// The keys that all targets share: an attacker may have another log under the same ones.
pub(crate) fn ring(keys: u8) -> KeyRing {
    let ring = KeyRing::new(u64::from(keys), [0x40 + keys; 32]).expect("memory");
    (1..keys)
        .fold(ring, |ring, id| ring.with_older_key(u64::from(id), [0x40 + id; 32]).expect("memory"))
}

impl Target {
    /// A log of a few segments under two keys, different for each seed.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let mut options = DiskOptions::default();
        options.seed = chance.next();
        let disk = SimulatedDisk::new(options);
        let mut config = SegmentedWalConfig::default().with_keys(ring(1));
        config.segment_size = [1, 4096, 8192][chance.below(3)];
        config.preparation = [Preparation::Zero, Preparation::None][chance.below(2)];
        (config.alignment, config.buffer_size) = (Some(512), 8 << 10);
        let mut wal = open(&disk, config).expect("a new log");
        let rotate_at = 1 + chance.below(5);
        for step in 0..3 + chance.below(6) {
            if step == rotate_at {
                wal.rotate_keys(ring(2)).expect("rotate");
            }
            let records: Vec<_> = (0..1 + chance.below(4)).map(|_| record(&mut chance)).collect();
            wal.append_batch(&records).expect("append");
            wal.sync().expect("sync");
            if chance.below(3) == 0 {
                wal.write_idle_marker().expect("marker");
            }
        }
        wal.close().expect("close");
        Self::of(disk.copy(), ring(2))
    }

    pub(crate) fn of(disk: SimulatedDisk, keys: KeyRing) -> Self {
        let found = examine(&disk, Some(&keys)).expect("nobody has touched it");
        let records = found.records(Lsn::NONE).collect::<Result<_, _>>().expect("whole");
        Self { disk, keys, records }
    }

    /// Names of the segments, oldest first.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = self.disk.names();
        names.retain(|name| name.starts_with("wal-") && name.ends_with(".seg"));
        names.sort();
        names
    }

    pub(crate) fn segments(&self) -> Vec<Segment> {
        let file = |name: &String| self.disk.read(name).expect("there");
        self.names().iter().map(|name| Segment::parse(&file(name))).collect()
    }

    /// The disk with these segments in place of the true ones, each naming the last batch of the one
    /// before it.
    pub(crate) fn forged(&self, mut segments: Vec<Segment>) -> SimulatedDisk {
        let disk = self.disk.copy();
        for at in 1..segments.len() {
            let checksum = segments[at - 1].last_checksum();
            PREDECESSOR_CHECKSUM.set(&mut segments[at].header, checksum);
        }
        for (name, segment) in self.names().iter().zip(&segments) {
            disk.write(name, segment.encode());
        }
        disk
    }

    /// As [`Self::forged`] with one of them changed.
    pub(crate) fn with_change(
        &self,
        at: usize,
        change: impl FnOnce(&mut Segment),
    ) -> SimulatedDisk {
        let mut segments = self.segments();
        change(&mut segments[at]);
        self.forged(segments)
    }

    /// Small, since a disk in memory is as quick as its files are short.
    fn config(&self) -> SegmentedWalConfig {
        let mut config = SegmentedWalConfig::default().with_keys(self.keys.clone());
        (config.segment_size, config.buffer_size) = (1, 4096);
        config
    }

    /// What recovery, opening and a reader make of a forged disk. The error is a broken promise.
    pub(crate) fn verdict(&self, disk: &SimulatedDisk) -> Result<Verdict, String> {
        let read = self.read(disk)?;
        let error = match examine(disk, Some(&self.keys)) {
            Err(error) => error,
            Ok(found) => {
                let records = found.records(found.report.floor).collect::<Result<Vec<_>, _>>();
                let records = records.map_err(|error| format!("recovered, then {error}"))?;
                let opened =
                    open(&disk.copy(), self.config()).map_err(|e| format!("recovered, {e}"))?;
                if opened.recovery().last_lsn != found.report.last_lsn {
                    return Err("opening finds another end than recovery".into());
                }
                return match self.compare(&records)? {
                    0 => Ok(Verdict::Whole),
                    missing => Ok(Verdict::CutEnd(missing)),
                };
            }
        };
        self.check_newest_first(disk)?;
        let before = contents(disk);
        let mut everything = self.config();
        everything.verify_on_open = VerifyOnOpen::Everything;
        match open(disk, everything) {
            Ok(_) => return Err(format!("opened, though recovery says {error}")),
            Err(opening) if opening.to_string() != error.to_string() => {
                return Err(format!("opening says {opening}, recovery {error}"));
            }
            Err(_) => {}
        }
        if contents(disk) != before {
            return Err(format!("a byte was changed by the refusal {error}"));
        }
        // A reader goes without `wal.meta`'s claims, but it never takes tampering for an end.
        match (&error, read) {
            (WalError::Tampered { .. } | WalError::NotEncrypted { .. }, None) => {
                Err(format!("a reader has not seen that {error}"))
            }
            _ => Ok(Verdict::Refused(error)),
        }
    }

    /// What recovery refuses when it reads everything: an opening that reads less refuses it as well, or
    /// the reading after it does, or that reading has all the records there ever were.
    fn check_newest_first(&self, disk: &SimulatedDisk) -> Result<(), String> {
        let Ok(wal) = open(&disk.copy(), self.config()) else { return Ok(()) };
        let reader = wal.replay().map_err(|error| error.to_string())?;
        match reader.collect::<Result<Vec<_>, _>>() {
            Ok(records) => match self.compare(&records)? {
                0 => Ok(()),
                missing => Err(format!("opened, and read as whole without the last {missing}")),
            },
            Err(_) => Ok(()),
        }
    }

    /// Reads the directory without opening the log. Every record is true; how it ended is returned.
    pub(crate) fn read(&self, disk: &SimulatedDisk) -> Result<Option<WalError>, String> {
        let mut records = Vec::new();
        let mut ended = None;
        match read(disk, Some(&self.keys), Lsn::NONE) {
            Err(error) => ended = Some(error),
            Ok(reader) => {
                for record in reader {
                    match record {
                        Ok(record) => records.push(record),
                        Err(error) => ended = Some(error),
                    }
                }
            }
        }
        self.compare(&records).map_err(|problem| format!("a reader: {problem}"))?;
        Ok(ended)
    }

    /// How many records are missing at the end.
    fn compare(&self, found: &[LogRecord]) -> Result<usize, String> {
        for (record, truth) in found.iter().zip(&self.records) {
            if record != truth {
                return Err(format!("record {} was forged as {record:?}", truth.lsn()));
            }
        }
        let (found, all) = (found.len(), self.records.len());
        all.checked_sub(found).ok_or_else(|| format!("{found} records of {all}: some are invented"))
    }
}

fn record(chance: &mut Chance) -> Record<'static> {
    let len = [0, 16, 16, 16, 100, 900][chance.below(6)];
    let payload: Vec<u8> = (0..len).map(|_| chance.next().to_le_bytes()[0]).collect();
    let number = u32::try_from(chance.below(1 << 20)).expect("small");
    Record::new(RecordKind::PUT, payload).tenant(chance.next()).vshard(number)
}

pub(crate) fn contents(disk: &SimulatedDisk) -> Vec<(String, Option<Vec<u8>>)> {
    let mut names = disk.names();
    names.sort();
    names.into_iter().map(|name| (name.clone(), disk.read(&name))).collect()
}

/// Changes `wal.meta` and repairs its checksum.
pub(crate) fn forge_meta(disk: &SimulatedDisk, change: impl FnOnce(&mut [u8])) {
    let mut meta = disk.read(META).expect("there");
    change(&mut meta);
    super::forger::repair_meta(&mut meta);
    disk.write(META, meta);
}

/// Has `wal.meta` claim no more than these segments hold.
pub(crate) fn forge_claims(disk: &SimulatedDisk, segments: &[Segment]) {
    let newest = segments.last().expect("one is left");
    let end_lsn = newest.batches.last().map_or(1, super::forger::Batch::end_lsn);
    forge_meta(disk, |meta| {
        META_NEWEST.set(meta, SEGMENT_NUMBER.get(&newest.header));
        META_DURABLE.set(meta, end_lsn - 1);
    });
}
