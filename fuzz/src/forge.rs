//! Genuine logs, edited field by field, with every checksum made right again: the way to states
//! that bytes drawn at random never reach, since a checksum stands in front of each of them.

use std::{ops::Range, sync::LazyLock};

use plimsoll::{
    KeyRing, LogRecord, Lsn, Record, RecordKind, SegmentedWal,
    simulated::{DiskOptions, SimulatedDisk, examine, open},
};

use crate::{
    directory::{Directory, META, segment_name},
    format::{self, BATCH_FIELDS, FRAME_FIELDS, META_FIELDS, SEGMENT_FIELDS},
    reader::Reader,
    recovery::{config, keys, ring},
};

/// Bytes of one edit.
pub(crate) const EDIT_LEN: usize = 16;
/// Edits of one input.
const EDITS_MAX: usize = 32;
/// Longest file that an edit makes.
const FILE_LEN_MAX: usize = 256 << 10;
/// The salt of every segment here is drawn from this.
const SEED: u64 = 0x5eed;

/// A genuine log.
pub(crate) struct Genuine {
    pub(crate) directory: Directory,
    /// With which it can be read.
    pub(crate) keys: Option<KeyRing>,
    pub(crate) records: Vec<LogRecord>,
}

/// The logs that edits begin with, by number.
pub(crate) static GENUINE: LazyLock<[Genuine; 6]> = LazyLock::new(|| {
    let in_clear = |life: fn(&SimulatedDisk) -> SimulatedDisk| genuine(None, life);
    [
        in_clear(|disk| killed(disk, None)),
        in_clear(|disk| closed(disk, None)),
        in_clear(torn),
        in_clear(SimulatedDisk::clone),
        genuine(Some(keys()), |disk| killed(disk, Some(&ring(11)))),
        genuine(Some(keys()), |disk| closed(disk, Some(&ring(11)))),
    ]
});

fn genuine(keys: Option<KeyRing>, life: impl FnOnce(&SimulatedDisk) -> SimulatedDisk) -> Genuine {
    let mut options = DiskOptions::default();
    options.seed = SEED;
    let disk = SimulatedDisk::new(options);
    let wal = open(&disk, config(keys.as_ref().map(|_| ring(11)).as_ref())).expect("a new log");
    disk.end_process();
    drop(wal);
    let disk = life(&disk);
    let mut directory = Directory::of(&disk);
    directory.files.retain(|name, _| name.starts_with("wal"));
    if keys.is_none() {
        // The time of day is in each header; without it the same bytes are made every time.
        for (name, segment) in directory.files.iter_mut().filter(|(name, _)| *name != META) {
            assert!(segment.len() > 96, "{name} has a header");
            segment[88..96].fill(0);
        }
        format::mend(&mut directory);
    }
    let found = examine(&directory.on_disk(), keys.as_ref()).expect("a genuine log");
    let records = found.records(Lsn::NONE).collect::<Result<_, _>>().expect("whole");
    Genuine { directory, keys, records }
}

fn record(n: u32) -> Record<'static> {
    let payload: Vec<u8> = (0..n * 37 % 600).map(|at| (at * 7 + n).to_le_bytes()[0]).collect();
    let kinds = [RecordKind::PUT, RecordKind::DELETE, RecordKind::NOOP, RecordKind::new(0x7fff)];
    let kind = kinds[n as usize % kinds.len()];
    Record::new(kind, payload).tenant(u64::from(n)).vshard(n % 5).database(1)
}

/// Batches of one record and of several, a few segments, a marker.
fn write(wal: &mut SegmentedWal, numbers: Range<u32>) {
    for n in numbers {
        match n % 4 {
            0 => drop(wal.append_batch(&[record(n), record(n + 100)]).expect("append")),
            _ => drop(wal.append(&record(n)).expect("append")),
        }
        wal.sync().expect("sync");
    }
    wal.write_idle_marker().expect("marker");
}

/// The end of the process, and nothing else.
fn killed(disk: &SimulatedDisk, keys: Option<&KeyRing>) -> SimulatedDisk {
    let mut wal = open(disk, config(keys)).expect("opens");
    write(&mut wal, 1..14);
    disk.end_process();
    drop(wal);
    disk.clone()
}

/// Truncated, under another key if there is one, reopened, and closed in good order.
fn closed(disk: &SimulatedDisk, older: Option<&KeyRing>) -> SimulatedDisk {
    killed(disk, older);
    let newer = older.map(|_| keys());
    let mut wal = open(disk, config(newer.as_ref())).expect("opens");
    write(&mut wal, 20..30);
    wal.truncate_before(Lsn::new(9)).expect("truncate");
    wal.close().expect("close");
    disk.clone()
}

/// Power lost while batches were on their way.
fn torn(disk: &SimulatedDisk) -> SimulatedDisk {
    let mut config = config(None);
    (config.pipeline_depth, config.engine) = (4, plimsoll::Engine::Uring);
    let mut wal = open(disk, config).expect("opens");
    write(&mut wal, 1..6);
    for n in 6..10 {
        wal.append_batch(&[record(n), record(n + 50)]).expect("append");
        wal.submit().expect("submit");
    }
    let after = disk.cut_power(SEED);
    drop(wal);
    after
}

/// The log that an input stands for: a genuine one, edited, with its checksums mended.
pub(crate) fn forged(bytes: &[u8]) -> (Directory, &'static Genuine) {
    let mut reader = Reader::new(bytes);
    let genuine = &GENUINE[usize::from(reader.u8()) % GENUINE.len()];
    let keep_checksums = reader.u8() & 1 == 1;
    let mut directory = genuine.directory.clone();
    for _ in 0..EDITS_MAX {
        if reader.is_empty() {
            break;
        }
        let mut edit = Reader::new(reader.take(EDIT_LEN));
        apply(&mut directory, &mut edit);
    }
    if !keep_checksums {
        format::mend(&mut directory);
    }
    (directory, genuine)
}

/// One edit: what to do (1 byte), to which file (1), where in it (2), which field (1), in which way
/// (1), and a value (8).
fn apply(directory: &mut Directory, edit: &mut Reader<'_>) {
    let (operation, file, place) = (edit.u8(), usize::from(edit.u8()), usize::from(edit.u16()));
    let (field, way, value) = (usize::from(edit.u8()), edit.u8(), edit.u64());
    let Some(name) = directory.files.keys().nth(file % directory.files.len().max(1)) else {
        return;
    };
    let name = name.clone();
    let Some(content) = directory.files.get_mut(&name) else { return };
    match operation % 12 {
        0..=5 => {
            let fields = fields_of(&name, content, operation % 12, place);
            if let Some(range) = fields.get(field % fields.len().max(1)).cloned() {
                set(content, range, way, value);
            }
        }
        6 if !content.is_empty() => {
            let at = place % content.len();
            content[at] = value.to_le_bytes()[0];
        }
        7 => content.truncate(place % (content.len() + 1)),
        8 => content.resize((content.len() + place).min(FILE_LEN_MAX), 0),
        9 => copy_block(content, place, field),
        10 => {
            let content = directory.files.remove(&name).unwrap_or_default();
            directory.files.insert(segment_name(value), content);
        }
        11 => {
            let content = content.clone();
            if way & 1 == 1 {
                directory.files.remove(&name);
            } else {
                directory.files.insert(segment_name(value), content);
            }
        }
        _ => {}
    }
}

/// The fields of the structure that an edit is about: of the file's header, of its batch or its
/// frame of this number.
fn fields_of(name: &str, content: &[u8], structure: u8, number: usize) -> Vec<Range<usize>> {
    let (fields, start) = match structure {
        _ if name == META => (META_FIELDS, Some(0)),
        0 | 1 => (SEGMENT_FIELDS, Some(0)),
        2 | 3 => {
            let starts: Vec<_> = format::batch_starts(content).collect();
            (BATCH_FIELDS, starts.get(number % starts.len().max(1)).copied())
        }
        _ => {
            let batches = format::batch_starts(content);
            let starts: Vec<_> =
                batches.flat_map(|batch| format::frame_starts(content, batch)).collect();
            (FRAME_FIELDS, starts.get(number % starts.len().max(1)).copied())
        }
    };
    let Some(start) = start else { return Vec::new() };
    let placed = fields.iter().map(|field| start + field.start..start + field.end);
    placed.filter(|field| field.end <= content.len()).collect()
}

/// Sets a field to a value, to one near what it is, or to one of the extremes.
fn set(content: &mut [u8], range: Range<usize>, way: u8, value: u64) {
    let len = range.len().min(8);
    let field = &mut content[range.start..range.start + len];
    let mut before = [0; 8];
    before[..len].copy_from_slice(field);
    let before = u64::from_le_bytes(before);
    let after = match way % 6 {
        0 => value,
        1 => before.wrapping_add(value),
        2 => before.wrapping_sub(value),
        3 => u64::MAX.wrapping_sub(value % 4),
        4 => value % 4,
        _ => before ^ 1_u64.wrapping_shl(u32::try_from(value % 64).unwrap_or(0)),
    };
    field.copy_from_slice(&after.to_le_bytes()[..len]);
}

/// Copies a block over another of the same file.
fn copy_block(content: &mut [u8], from: usize, to: usize) {
    let block = format::block_bytes(content);
    let blocks = content.len() / block;
    if blocks > 0 {
        let from = from % blocks * block;
        content.copy_within(from..from + block, to % blocks * block);
    }
}
