//! What the corpus begins with: something genuine for each target, and an input for each place that
//! mutations would take long to find. `cargo run -p plimsoll-fuzz --bin corpus` writes them; the
//! same ones every time.

use crate::{
    directory::Directory,
    forge::{EDIT_LEN, GENUINE},
    format::{META_LEN, SEGMENT_HEADER_LEN, batch_starts, block_bytes},
};

/// A name for the file, and its content.
type Seed = (String, Vec<u8>);

/// The seeds of the target of this name.
///
/// # Panics
///
/// If there is no such target.
#[must_use]
pub fn seeds(target: &str) -> Vec<Seed> {
    match target {
        "recovery" => recovery(),
        "forged" => forged(),
        "batches" => batches(),
        "headers" => headers(),
        "key_file" => key_file(),
        "wal_profile" => wal_profile(),
        "sweep_profile" => sweep_profile(),
        "results" => results(),
        _ => panic!("no target {target:?}"),
    }
}

fn named<const N: usize>(seeds: [(&str, Vec<u8>); N]) -> Vec<Seed> {
    seeds.into_iter().map(|(name, content)| (name.to_owned(), content)).collect()
}

/// Whole directories: the logs made here that are in clear, and the golden ones. (What is sealed
/// here has the time of day under its header's tag, and would differ each time.)
fn recovery() -> Vec<Seed> {
    macro_rules! golden {
        ($log:literal, [$($lsn:literal),+]) => {{
            let mut directory = Directory::default();
            $(directory.files.insert(
                concat!("wal-000000000000000000", $lsn, ".seg").to_owned(),
                include_bytes!(concat!(
                    "../../tests/golden/v1/", $log, "/wal-000000000000000000", $lsn, ".seg"
                )).to_vec(),
            );)+
            let meta = include_bytes!(concat!("../../tests/golden/v1/", $log, "/wal.meta"));
            directory.files.insert(crate::META.to_owned(), meta.to_vec());
            directory
        }};
    }
    let bytes = |sealed: u8, directory: &Directory| [vec![sealed], directory.to_bytes()].concat();
    let mut seeds = named([
        ("golden-plain", bytes(0, &golden!("plain", ["01", "03", "07", "09"]))),
        ("golden-encrypted", bytes(1, &golden!("encrypted", ["04", "07", "08", "09"]))),
        ("nothing", bytes(0, &Directory::default())),
    ]);
    let made = GENUINE.iter().enumerate().filter(|(_, genuine)| genuine.keys.is_none());
    seeds.extend(made.map(|(n, genuine)| (format!("made-{n}"), bytes(0, &genuine.directory))));
    seeds
}

/// One edit of a genuine log, see `forge::apply`.
fn edit(operation: u8, file: u8, place: u16, field: u8, way: u8, value: u64) -> [u8; EDIT_LEN] {
    let mut edit = [0; EDIT_LEN];
    edit[..2].copy_from_slice(&[operation, file]);
    edit[2..4].copy_from_slice(&place.to_le_bytes());
    edit[4..6].copy_from_slice(&[field, way]);
    edit[6..14].copy_from_slice(&value.to_le_bytes());
    edit
}

/// Each genuine log as it is, and with one field of one structure at its extreme.
fn forged() -> Vec<Seed> {
    let with = |log: usize, edits: &[[u8; EDIT_LEN]]| {
        [vec![u8::try_from(log).unwrap_or(0), 0], edits.concat()].concat()
    };
    let mut seeds = Vec::new();
    for (log, genuine) in GENUINE.iter().enumerate() {
        seeds.push((format!("log-{log}"), with(log, &[])));
        let newest = u8::try_from(genuine.directory.files.len().saturating_sub(2)).unwrap_or(0);
        for (name, operation, field) in [
            ("segment-number", 0, 7),
            ("first-lsn", 0, 8),
            ("capacity", 0, 12),
            ("body-bytes", 2, 4),
            ("record-count", 2, 5),
            ("durable-lsn", 2, 7),
            ("payload-bytes", 4, 1),
        ] {
            let largest = edit(operation, newest, 1, field, 3, 0);
            seeds.push((format!("log-{log}-largest-{name}"), with(log, &[largest])));
        }
        // As large as a batch may be, in a file of a few KiB.
        let huge = edit(2, newest, 1, 4, 0, (128 << 20) - 40);
        seeds.push((format!("log-{log}-huge-batch"), with(log, &[huge])));
        // Longer than its frames, by something that is none.
        let trailing = edit(2, newest, 1, 4, 1, 8);
        seeds.push((format!("log-{log}-trailing-bytes"), with(log, &[trailing])));
        // A batch goes missing, and one behind it says what was durable.
        let lost = [edit(2, newest, 1, 6, 1, 1), edit(2, newest, 2, 7, 0, 9)];
        seeds.push((format!("log-{log}-later-claim"), with(log, &lost)));
    }
    seeds
}

/// What lies behind the headers of the genuine logs.
fn batches() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (log, genuine) in GENUINE.iter().enumerate().filter(|(_, genuine)| genuine.keys.is_none()) {
        for (n, (_, segment)) in genuine.directory.segments().enumerate() {
            let mut body = segment[block_bytes(segment)..].to_vec();
            let starts: Vec<_> =
                batch_starts(segment).map(|at| at - block_bytes(segment)).collect();
            // Even seeds are made those of the segment.
            starts.into_iter().for_each(|start| body[start + 8] &= 0xfe);
            seeds.push((format!("log-{log}-segment-{n}"), body));
        }
    }
    seeds
}

/// Nothing changed, and each field of `wal.meta` and of three headers changed in one bit.
fn headers() -> Vec<Seed> {
    let whole = vec![0; META_LEN + 3 * SEGMENT_HEADER_LEN];
    let mut seeds = named([("genuine", whole.clone())]);
    for at in
        [15, 32, 39, 40, 47, 48, 64 + 15, 64 + 16, 64 + 40, 64 + 47, 64 + 48, 64 + 55, 64 + 80]
    {
        let mut changed = whole.clone();
        changed[at] = 0x80;
        seeds.push((format!("bit-{at}"), changed));
    }
    // Numbers behind which there is none, in the oldest segment and in the newest.
    for (name, start) in [("oldest", META_LEN), ("newest", META_LEN + 2 * SEGMENT_HEADER_LEN)] {
        for (what, number, before) in [("number", 40, 56), ("lsn", 48, 64)] {
            let mut last = whole.clone();
            last[start + number..][..8].copy_from_slice(&(u64::MAX ^ 1).to_le_bytes());
            last[start + before..][..8].copy_from_slice(&(u64::MAX ^ 1).to_le_bytes());
            seeds.push((format!("{name}-last-{what}"), last));
        }
    }
    seeds
}

fn key_file() -> Vec<Seed> {
    let file = |mode: u16, len: usize| [&mode.to_le_bytes()[..], &vec![0x5a; len]].concat();
    named([
        ("good", file(0o600, 32)),
        ("read-only", file(0o400, 32)),
        ("open-to-others", file(0o644, 32)),
        ("short", file(0o600, 31)),
        ("long", file(0o600, 33)),
        ("empty", file(0o600, 0)),
    ])
}

fn wal_profile() -> Vec<Seed> {
    let every_field = "[wal]\ndir = \"d\"\nalignment = \"16KiB\"\nforce_alignment = true\n\
        buffer_size = 65536\nsegment_size = \"32MiB\"\ncommit_window = \"100us\"\n\
        pipeline_depth = 4\nengine = \"uring\"\nsingle_issuer = true\ndurability = \"fdatasync\"\n\
        preparation = \"recycle\"\nprepared_segments = 2\nidle_marker_after = \"1s\"\n\
        verify_on_open = \"everything\"\n";
    named([
        ("every-field", every_field.into()),
        ("nothing", b"[wal]\n".to_vec()),
        ("automatic", b"[wal]\nalignment = \"auto\"\nengine = \"auto\"\n".to_vec()),
        ("keys", b"[wal]\nkey_files = [{ id = 1, path = \"/dev/null\" }]\n".to_vec()),
        ("deep", [b"[wal]\ndir = ".to_vec(), vec![b'['; 2_000]].concat()),
        ("others", b"[evidence]\nrun = 1\n[wal]\nbuffer_size = \"1.5MiB\"\n".to_vec()),
    ])
}

fn sweep_profile() -> Vec<Seed> {
    named([
        ("quick", include_bytes!("../../profiles/quick.toml").to_vec()),
        ("nightly", include_bytes!("../../profiles/nightly.toml").to_vec()),
        ("full", include_bytes!("../../profiles/full.toml").to_vec()),
        ("deep", [b"name = ".to_vec(), vec![b'['; 2_000]].concat()),
    ])
}

/// A sweep of two configurations in two blocks, made with `plimsoll sweep seeds/run.toml`.
fn results() -> Vec<Seed> {
    let part = |content: &[u8]| {
        let len = u32::try_from(content.len()).unwrap_or(u32::MAX);
        [&len.to_le_bytes()[..], content].concat()
    };
    let manifest = part(include_bytes!("../seeds/run/manifest.json"));
    let journal = part(include_bytes!("../seeds/run/journal.ndjson"));
    let latencies = part(include_bytes!("../seeds/run/latency.hlog"));
    named([
        ("run", [&manifest[..], &journal, &latencies].concat()),
        ("no-journal", manifest.clone()),
        ("no-latencies", [&manifest[..], &journal].concat()),
    ])
}
