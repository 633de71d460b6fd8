//! Random lives of a log held against a model: appends, batches, syncs, crashes, closes,
//! truncations and key rotations under random settings. What is replayed is always a prefix of
//! what was appended, holds everything that was acknowledged, and never a part of a batch.
//!
//! A failure prints its seed and keeps it in `tests/recovery_properties.seeds`, from where it is
//! tried first the next time. `PROPTEST_CASES` sets how many lives are tried.

mod common;

use std::env;

use common::TestDir;
use plimsoll::{
    CommitPolicy, Durability, Engine, GroupCommitter, KeyRing, LogRecord, Lsn, Preparation, Record,
    RecordKind, SegmentedWal, SegmentedWalConfig, WalError,
};
use proptest::{
    collection::vec,
    prelude::*,
    sample::select,
    test_runner::{FileFailurePersistence, TestCaseError},
};

const CASES_DEFAULT: u32 = 20;

/// Settings of one life of a log.
#[derive(Clone, Debug)]
struct Settings {
    alignment: u64,
    buffer_size: u64,
    segment_size: u64,
    pipeline_depth: u32,
    engine: Engine,
    durability: Durability,
    preparation: Preparation,
    prepared_segments: u32,
    single_issuer: bool,
}

#[derive(Clone, Debug)]
struct Wanted {
    kind: u32,
    ids: (u64, u32, u64),
    len: usize,
}

#[derive(Clone, Debug)]
enum Step {
    Append(Wanted),
    Batch(Vec<Wanted>),
    Sync,
    Marker,
    /// Up to somewhere in the log, in 256ths of it.
    Truncate(u8),
    RotateKeys,
    /// Commits by threads that share the log, then a close.
    Share(Vec<Wanted>, Settings),
    /// The end of the process.
    Crash(Settings),
    Close(Settings),
}

fn settings() -> impl Strategy<Value = Settings> {
    let preparations =
        [Preparation::None, Preparation::Allocate, Preparation::Zero, Preparation::Recycle];
    (
        select(vec![512, 4096, 8192]),
        select(vec![4096, 10_000, 65_536]),
        prop_oneof![1..20_000u64, 20_000..200_000u64],
        (1..5u32, 1..3u32, any::<bool>()),
        select(vec![Engine::Blocking, Engine::Uring]),
        select(vec![Durability::Dsync, Durability::Fdatasync]),
        select(preparations.to_vec()),
    )
        .prop_map(
            |(alignment, buffer_size, segment_size, small, engine, durability, preparation)| {
                let (pipeline_depth, prepared_segments, single_issuer) = small;
                Settings {
                    alignment,
                    buffer_size,
                    segment_size,
                    pipeline_depth,
                    engine,
                    durability,
                    preparation,
                    prepared_segments,
                    single_issuer,
                }
            },
        )
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let len = prop_oneof![8 => 0..300usize, 3 => 3000..9000usize, 1 => 10_000..80_000usize];
    (any::<u32>(), any::<(u64, u32, u64)>(), len).prop_map(|(kind, ids, len)| Wanted {
        kind,
        ids,
        len,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => wanted().prop_map(Step::Append),
        4 => vec(wanted(), 1..6).prop_map(Step::Batch),
        5 => Just(Step::Sync),
        1 => Just(Step::Marker),
        2 => any::<u8>().prop_map(Step::Truncate),
        1 => Just(Step::RotateKeys),
        1 => (vec(wanted(), 1..6), settings()).prop_map(|(wanted, next)| Step::Share(wanted, next)),
        3 => settings().prop_map(Step::Crash),
        1 => settings().prop_map(Step::Close),
    ]
}

/// What should be in the log.
#[derive(Default)]
struct Model {
    /// From LSN 1 on, truncated ones included.
    records: Vec<Record<'static>>,
    /// First and last LSN of each batch that replays whole or not at all.
    batches: Vec<(Lsn, Lsn)>,
    durable_lsn: Lsn,
    floor: Lsn,
    keys: Option<KeyRing>,
    key_id: u64,
    /// So that no two payloads are alike.
    payloads: u64,
}

impl Model {
    fn last_lsn(&self) -> Lsn {
        Lsn::new(self.records.len() as u64)
    }

    fn make(&mut self, wanted: &Wanted) -> Record<'static> {
        self.payloads += 1;
        let pattern = self.payloads.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        let payload: Vec<u8> = pattern.into_iter().cycle().take(wanted.len).collect();
        let (tenant, vshard, database) = wanted.ids;
        Record::new(RecordKind::new(wanted.kind), payload)
            .tenant(tenant)
            .vshard(vshard)
            .database(database)
    }

    /// The log's records up to `last` have to be the model's.
    fn check(&self, found: &[LogRecord], last: Lsn) -> Result<(), TestCaseError> {
        let expected = (Lsn::FIRST.get()..).zip(&self.records);
        let expected = expected.filter(|(lsn, _)| (self.floor.get()..=last.get()).contains(lsn));
        let expected: Vec<_> = expected.collect();
        prop_assert_eq!(found.len(), expected.len(), "records from {} to {}", self.floor, last);
        for (found, (lsn, record)) in found.iter().zip(expected) {
            prop_assert_eq!(found.lsn(), Lsn::new(lsn));
            prop_assert_eq!(found.kind(), record.kind);
            prop_assert_eq!(found.tenant(), record.tenant);
            prop_assert_eq!(found.vshard(), record.vshard);
            prop_assert_eq!(found.database(), record.database);
            prop_assert!(found.payload() == &*record.payload, "payload of LSN {}", lsn);
        }
        Ok(())
    }

    /// Takes over what an opening found: everything promised, nothing invented, no batch in parts.
    fn recovered(&mut self, wal: &SegmentedWal) -> Result<(), TestCaseError> {
        let report = wal.recovery();
        let last = report.last_lsn;
        prop_assert!(last >= self.durable_lsn, "{last} is less than {} was", self.durable_lsn);
        prop_assert!(last <= self.last_lsn(), "{last} is more than was appended");
        let torn = |&&(first, end): &&(Lsn, Lsn)| first <= last && last < end;
        prop_assert_eq!(self.batches.iter().find(torn), None, "a batch ends at {}", last);
        prop_assert_eq!(report.floor, self.floor);
        self.records.truncate(usize::try_from(last.get()).expect("few"));
        self.batches.retain(|&(first, _)| first <= last);
        self.durable_lsn = last;
        prop_assert_eq!((wal.durable_lsn(), wal.next_lsn()), (last, last.next()));
        Ok(())
    }
}

/// A log and its model.
struct Life {
    dir: TestDir,
    model: Model,
    /// `None` between two openings.
    wal: Option<SegmentedWal>,
}

impl Life {
    fn begin(settings: &Settings, encrypted: bool) -> Result<Self, TestCaseError> {
        let dir = TestDir::new("life");
        let mut model = Model { floor: Lsn::FIRST, ..Model::default() };
        if encrypted {
            model.keys = Some(KeyRing::new(0, [0; 32]).expect("memory for a key"));
        }
        let mut life = Self { dir, model, wal: None };
        life.open(settings)?;
        Ok(life)
    }

    fn open(&mut self, settings: &Settings) -> Result<(), TestCaseError> {
        let mut config = SegmentedWalConfig::new(self.dir.path());
        (config.alignment, config.force_alignment) = (Some(settings.alignment), true);
        config.buffer_size = settings.buffer_size;
        config.segment_size = settings.segment_size;
        config.pipeline_depth = settings.pipeline_depth;
        (config.engine, config.durability) = (settings.engine, settings.durability);
        config.preparation = settings.preparation;
        config.prepared_segments = settings.prepared_segments;
        config.single_issuer = settings.single_issuer;
        config.keys = self.model.keys.clone();
        let opened = match SegmentedWal::open(config.clone()) {
            // A device with sectors of 4 KiB.
            Err(WalError::AlignmentRefused { .. }) => {
                config.alignment = Some(4096);
                SegmentedWal::open(config)
            }
            opened => opened,
        };
        let wal = opened.map_err(|error| TestCaseError::fail(format!("cannot open: {error}")))?;
        self.model.recovered(&wal)?;
        self.wal = Some(wal);
        self.check()
    }

    fn wal(&mut self) -> &mut SegmentedWal {
        self.wal.as_mut().expect("open between two steps")
    }

    /// The durable records, as the writer reads them, and all, as a reader of the directory does.
    fn check(&mut self) -> Result<(), TestCaseError> {
        let replayed: Result<Vec<_>, _> = self.wal().replay().expect("replay").collect();
        self.model.check(&replayed.expect("every record is whole"), self.model.durable_lsn)?;
        let keys = self.model.keys.as_ref();
        let page = SegmentedWal::replay_from_limit_dir(self.dir.path(), keys, Lsn::NONE, 100_000);
        let (found, more) = page.expect("every record is whole");
        let last = found.last().map_or(self.model.floor.previous(), LogRecord::lsn);
        prop_assert!(!more && last >= self.model.durable_lsn, "a reader sees up to {last}");
        self.model.check(&found, last)
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Append(wanted) => {
                let record = self.model.make(wanted);
                let lsn = self.wal().append(&record).expect("append");
                self.model.records.push(record);
                prop_assert_eq!(lsn, self.model.last_lsn());
            }
            Step::Batch(wanted) => {
                let records: Vec<_> = wanted.iter().map(|w| self.model.make(w)).collect();
                let range = self.wal().append_batch(&records).expect("append batch");
                prop_assert_eq!(range.first, self.model.last_lsn().next());
                self.model.records.extend(records);
                prop_assert_eq!(range.last, self.model.last_lsn());
                self.model.batches.push((range.first, range.last));
            }
            Step::Sync => self.sync()?,
            Step::Marker => {
                self.wal().write_idle_marker().expect("marker");
                self.sync()?;
            }
            Step::Truncate(share) => self.truncate(*share)?,
            Step::RotateKeys => self.rotate()?,
            Step::Share(wanted, next) => {
                self.share(wanted)?;
                self.open(next)?;
            }
            Step::Crash(next) => {
                self.wal = None;
                self.open(next)?;
            }
            Step::Close(next) => {
                let wal = self.wal.take().expect("open between two steps");
                wal.close().expect("close");
                self.model.durable_lsn = self.model.last_lsn();
                self.open(next)?;
                prop_assert!(self.wal().recovery().clean_close);
                prop_assert_eq!(&self.wal().recovery().discarded, &None);
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), TestCaseError> {
        let durable_lsn = self.wal().sync().expect("sync");
        prop_assert_eq!(durable_lsn, self.model.last_lsn());
        self.model.durable_lsn = durable_lsn;
        self.check()
    }

    fn truncate(&mut self, share: u8) -> Result<(), TestCaseError> {
        let checkpoint = Lsn::new(self.model.last_lsn().get() * u64::from(share) / 256);
        let before = self.wal().list_segments().expect("list").len() as u64;
        let outcome = self.wal().truncate_before(checkpoint).expect("truncate");
        let segments = self.wal().list_segments().expect("list");
        prop_assert_eq!(segments.len() as u64 + outcome.segments_deleted, before);
        if outcome.segments_deleted > 0 {
            prop_assert!(segments[0].first_lsn <= checkpoint, "no record after it may go");
            self.model.floor = segments[0].first_lsn;
        }
        // What is written and not durable yet is none of the reader's business here.
        self.sync()
    }

    fn rotate(&mut self) -> Result<(), TestCaseError> {
        self.model.key_id += 1;
        let key = [u8::try_from(self.model.key_id).expect("few steps"); 32];
        let ring = KeyRing::new(self.model.key_id, key).expect("memory for a key");
        self.wal().rotate_keys(ring.clone()).expect("rotate");
        self.model.keys = Some(match &self.model.keys {
            Some(older) => ring.with_older_ring(older),
            None => ring.with_plain_past(),
        });
        self.sync()
    }

    /// A thread for each record; their order is theirs.
    fn share(&mut self, wanted: &[Wanted]) -> Result<(), TestCaseError> {
        let records: Vec<_> = wanted.iter().map(|w| self.model.make(w)).collect();
        let wal = self.wal.take().expect("open between two steps");
        let committer = GroupCommitter::start(wal, CommitPolicy::Greedy).expect("start");
        let mut placed: Vec<(Lsn, Record<'static>)> = std::thread::scope(|scope| {
            let commit = |record: Record<'static>| {
                let committer = &committer;
                scope.spawn(move || (committer.commit(&record).expect("commit"), record))
            };
            let threads: Vec<_> = records.into_iter().map(commit).collect();
            threads.into_iter().map(|thread| thread.join().expect("committed")).collect()
        });
        placed.sort_by_key(|(lsn, _)| *lsn);
        for (lsn, record) in placed {
            self.model.records.push(record);
            prop_assert_eq!(lsn, self.model.last_lsn(), "LSNs are dense and not shared");
        }
        self.model.durable_lsn = self.model.last_lsn();
        prop_assert_eq!(committer.durable_lsn(), self.model.durable_lsn);
        if wanted.len().is_multiple_of(2) {
            committer.close().expect("close");
        }
        Ok(())
    }
}

fn tries() -> ProptestConfig {
    let cases = env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(CASES_DEFAULT),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/recovery_properties.seeds",
        ))),
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(tries())]

    #[test]
    fn a_log_is_what_its_model_says(
        first in settings(),
        encrypted in any::<bool>(),
        steps in vec(step(), 1..40),
        last in settings(),
    ) {
        let mut life = Life::begin(&first, encrypted)?;
        for step in &steps {
            life.step(step)?;
        }
        life.step(&Step::Crash(last.clone()))?;
        life.step(&Step::Close(last))?;
    }
}

/// Found by the above: a log that has just been opened holds a segment without records, and
/// leaving it for another starts one of the same first LSN, and so of the same name.
mod leaving_an_empty_segment {
    use super::common::{commit_each, key_ring, lsns, open, replay};
    use super::*;

    #[test]
    fn for_a_large_record_keeps_the_log_whole() {
        let dir = TestDir::new("empty-large");
        let mut config = dir.config();
        config.segment_size = 1;
        for first in [1, 3] {
            let mut wal = open(&config);
            commit_each(&mut wal, [vec![7; 50_000], vec![8; 5]]);
            wal.close().expect("close");
            let wal = open(&config);
            assert_eq!(lsns(&replay(&wal)), (1..first + 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn for_another_key_keeps_the_log_whole() {
        let dir = TestDir::new("empty-key");
        let mut config = dir.encrypted_config();
        for key_id in 8..10 {
            let mut wal = open(&config);
            let ring = KeyRing::new(key_id, [3; 32]).expect("memory for a key");
            wal.rotate_keys(ring.clone()).expect("rotate");
            let rings = ring.with_older_ring(config.keys.as_ref().unwrap_or(&key_ring()));
            config.keys = Some(rings);
            commit_each(&mut wal, ["a", "b"]);
            drop(wal);
        }
        assert_eq!(lsns(&replay(&open(&config))), [1, 2, 3, 4]);
    }

    #[test]
    fn never_lists_or_truncates_the_segment_being_written() {
        let dir = TestDir::new("empty-truncate");
        let mut config = dir.config();
        config.segment_size = 1;
        let mut wal = open(&config);
        commit_each(&mut wal, [vec![7; 50_000]]);
        assert_eq!(wal.list_segments().expect("list").len(), 1);
        assert_eq!(wal.truncate_before(Lsn::new(2)).expect("truncate").segments_deleted, 0);
        assert_eq!(lsns(&replay(&wal)), [1]);
        drop(wal);
        assert_eq!(lsns(&replay(&open(&config))), [1]);
    }
}
