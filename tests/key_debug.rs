//! A key shows nowhere: in no `Debug` output, plain or pretty, of anything that holds one, in no
//! error, and in no event for `tracing`. Looked for in hexadecimal, as a list of numbers, and as text.

mod common;

use std::{
    fmt::{Debug, Write},
    fs,
    sync::{Arc, Mutex},
};

use common::{TestDir, put, segment_paths};
use hkdf::Hkdf;
use plimsoll::{
    CommitPolicy, GroupCommitter, KeyRing, Lsn, SegmentedWal, SegmentedWalConfig, WalError,
    simulated::{DiskOptions, SimulatedDisk, examine, open},
};
use sha2::Sha256;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Readable as text, so that it would show as such, too.
const KEY: [u8; 32] = *b"q7Jx0ZpVfK3~mR9tYw2sLd8GhU5bNc4e";
const OLDER_KEY: [u8; 32] = *b"T6yH1ujM@8ikO,lP0;Qaz2WsX3edC4rf";
/// As few bytes of a key as are too many.
const TELLING_BYTES: usize = 4;

/// Every way in which a part of these keys could be written, without blanks and commas.
fn encodings(keys: &[[u8; 32]]) -> Vec<String> {
    let mut encodings = Vec::new();
    for key in keys {
        for part in key.windows(TELLING_BYTES) {
            let all = |write: fn(&u8) -> String| part.iter().map(write).collect::<String>();
            encodings.push(all(|byte| format!("{byte:02x}")));
            encodings.push(all(|byte| format!("0x{byte:x}")));
            encodings.push(part.iter().map(u8::to_string).collect::<Vec<_>>().join(";"));
            encodings.push(String::from_utf8_lossy(part).to_lowercase());
        }
    }
    encodings
}

fn assert_hidden(text: &str, encodings: &[String]) {
    let text: String = text.to_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
    let forms = [text.replace(',', ""), text.replace(',', ";"), text.clone()];
    for encoding in encodings {
        assert!(!forms.iter().any(|form| form.contains(encoding)), "{encoding} shows in {text}");
    }
}

/// Both forms, and the one with numbers in hexadecimal.
fn shown(value: &dyn Debug) -> String {
    format!("{value:?}\n{value:#?}\n{value:x?}\n{value:02X?}")
}

/// Keeps everything that is told to `tracing`.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<String>>);

impl Visit for Recorder {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = self.0.lock().expect("no panic");
        writeln!(text, "{field}={}", shown(value)).expect("a string");
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        attributes.record(&mut self.clone());
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn what_would_show_a_key_is_noticed() {
    let encodings = encodings(&[KEY]);
    let leaks = [
        shown(&KEY),
        shown(&KEY.to_vec()),
        shown(&String::from_utf8_lossy(&KEY)),
        KEY.iter().map(|byte| format!("{byte:02x}")).collect(),
        format!("{:?}", &KEY[8..12]),
    ];
    for leak in leaks {
        assert!(std::panic::catch_unwind(|| assert_hidden(&leak, &encodings)).is_err(), "{leak}");
    }
    assert_hidden("a text without any key, and the numbers 1, 2, 3", &encodings);
}

fn errors_of(config: &SegmentedWalConfig) -> Vec<WalError> {
    let open_with = |keys: Option<KeyRing>| {
        let mut config = config.clone();
        config.keys = keys;
        SegmentedWal::open(config).map(drop).expect_err("refused")
    };
    let missing = KeyRing::new(9, KEY).expect("memory");
    let wrong = KeyRing::new(1, KEY).expect("memory");
    vec![open_with(None), open_with(Some(missing)), open_with(Some(wrong))]
}

#[test]
fn no_key_shows_in_debug_output_errors_or_events() {
    let recorder = Recorder::default();
    let events = recorder.clone();
    // For all threads: the log has some of its own.
    tracing::subscriber::set_global_default(recorder).expect("the only one in this process");
    let dir = TestDir::new("key-debug");
    let older = KeyRing::new(1, OLDER_KEY).expect("memory");
    let ring = KeyRing::new(2, KEY).expect("memory").with_older_ring(&older);
    let mut config = dir.config().with_keys(older.clone());
    config.segment_size = 1;
    let mut wal = SegmentedWal::open(config.clone()).expect("opens");
    let mut text = shown(&[&older, &ring]) + &shown(&config);
    for n in 0..3 {
        wal.append(&put(&[n; 10])).expect("append");
        wal.sync().expect("sync");
        text += &shown(&wal);
    }
    wal.rotate_keys(ring.clone()).expect("rotate");
    let taken = wal.rotate_keys(KeyRing::new(1, KEY).expect("memory")).expect_err("taken");
    wal.append(&put(b"under the new key")).expect("append");
    wal.sync().expect("sync");
    let mut reader = wal.replay().expect("replay");
    text += &shown(&reader.next());
    text += &(shown(&reader) + &shown(&wal.stats()) + &shown(wal.recovery()));
    text += &(shown(&wal.list_segments()) + &shown(wal.engine()) + &shown(wal.geometry()));
    let log = GroupCommitter::start(wal, CommitPolicy::FromConfig).expect("start");
    let commit = log.submit(&put(b"shared")).expect("submit");
    text += &(shown(&log) + &shown(&commit) + &shown(&log.stats()));
    commit.wait().expect("durable");
    log.close().expect("close");
    config.keys = Some(ring.clone());
    for error in errors_of(&config).into_iter().chain([taken]) {
        text += &(shown(&error) + &error.to_string());
    }
    let wal = SegmentedWal::open(config).expect("opens");
    text += &(shown(&wal) + &shown(wal.recovery()));
    drop(wal);

    let disk = SimulatedDisk::new(DiskOptions::default());
    let mut simulated = open(&disk, SegmentedWalConfig::default().with_keys(ring)).expect("opens");
    simulated.append(&put(b"x")).expect("append");
    simulated.sync().expect("sync");
    let found = examine(&disk, Some(&KeyRing::new(2, KEY).expect("memory"))).expect("whole");
    text += &(shown(&disk) + &shown(&simulated) + &shown(&found));
    text += &shown(&found.records(Lsn::NONE));

    let mut keys = vec![KEY, OLDER_KEY];
    for path in segment_paths(dir.path()) {
        // `docs/format.md`, "Encryption".
        let header = fs::read(&path).expect("a segment");
        let master = if header[128] == 1 { OLDER_KEY } else { KEY };
        let info = [b"plimsoll v1 segment key", &header[24..48]].concat();
        let mut key = [0; 32];
        let hkdf = Hkdf::<Sha256>::new(Some(&header[96..128]), &master);
        hkdf.expand(&info, &mut key).expect("32 bytes");
        keys.push(key);
    }
    assert!(keys.len() > 4);
    let encodings = encodings(&keys);
    assert!(text.contains("key_ids"), "the rings are in it");
    assert_hidden(&text, &encodings);
    let events = events.0.lock().expect("no panic");
    assert!(events.contains("message="), "something was told");
    assert_hidden(&events, &encodings);
}
