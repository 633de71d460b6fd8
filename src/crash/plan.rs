//! The settings of a history: which disk, which configuration, which keys; and how one life follows
//! another.

use super::oracle::Oracle;
use crate::{
    config::{Preparation, SegmentedWalConfig, VerifyOnOpen},
    crypto::KeyRing,
    device::{
        Durability, Engine,
        simulated::{Chance, DiskOptions, Event, Fault, Journal, SimulatedDisk, Walk},
    },
    error::WalError,
    lsn::Lsn,
    record::{KnownKinds, MAX_PAYLOAD_BYTES},
    sabotage::{Sabotage, is},
    wal::{
        SegmentedWal,
        simulated::{create_at, open},
    },
};

/// Events that a violation shows.
const TRACED_EVENTS: usize = 30;

/// Sizes up to which a segment is filled by records of any kind. Larger ones need large records to
/// roll over within a life.
const SMALL_SEGMENT_BYTES: u64 = 128 << 10;

/// The settings of one history.
#[derive(Debug)]
pub(super) struct Plan {
    /// What every life has to use; drawn anew now and then if there is none.
    settings: Option<SegmentedWalConfig>,
    pub(super) config: SegmentedWalConfig,
    disk: DiskOptions,
    /// Every key used so far; `None` while the log is in clear.
    pub(super) keys: Option<KeyRing>,
    next_key: u64,
    /// How often the log is synced: this many times as often as most other things happen.
    pub(super) syncs: usize,
    /// Length of an ordinary record, at most.
    pub(super) record_bytes: usize,
    /// The life begins on a disk that has just got its power back.
    pub(super) settled: bool,
    /// Where the log begins.
    pub(super) first_lsn: Lsn,
}

impl Plan {
    /// A history with these settings, or with settings of its own.
    pub(super) fn draw(chance: &mut Chance, settings: Option<&SegmentedWalConfig>) -> Self {
        let physical_block_bytes = match settings {
            Some(settings) => draw_block_below(settings.alignment, chance),
            None => chance.pick(&[512, 512, 512, 4096]),
        };
        let disk = DiskOptions {
            physical_block_bytes,
            logical_block_bytes: chance.pick(&[512, physical_block_bytes.min(4096)]),
            volatile_cache: chance.happens(7, 8),
            fua: chance.happens(1, 2),
            flush_covers_device: chance.happens(1, 2),
            interruptions: chance.happens(1, 4),
            ..DiskOptions::default()
        };
        let mut plan = Self {
            settings: settings.cloned(),
            config: SegmentedWalConfig::default(),
            disk,
            keys: None,
            next_key: 1,
            syncs: 0,
            record_bytes: 0,
            settled: true,
            first_lsn: Lsn::new(chance.pick(&[1, 1, 1, 2, 700])),
        };
        let encrypted = match settings {
            Some(settings) => settings.keys.is_some(),
            None => chance.happens(1, 5) || is(Sabotage::ReuseNonce),
        };
        if encrypted {
            plan.rotate(chance);
        }
        plan.draw_config(chance);
        plan
    }

    /// Other settings for the next life, as far as they are not given.
    fn draw_config(&mut self, chance: &mut Chance) {
        match self.settings.clone() {
            Some(settings) => self.take(settings, chance),
            None => self.draw_settings(chance),
        }
    }

    /// Exactly these settings. Keys are drawn like those of any history.
    fn take(&mut self, settings: SegmentedWalConfig, chance: &mut Chance) {
        let (buffer_bytes, segment_bytes) = (settings.buffer_size, settings.segment_size);
        self.config = SegmentedWalConfig { keys: None, known_kinds: KnownKinds::All, ..settings };
        if self.config.engine == Engine::Auto {
            // Which of the two it will be, only a real device says.
            self.config.engine = chance.pick(&[Engine::Blocking, Engine::Uring]);
        }
        self.syncs = chance.pick(&[1, 4, 9, 14]);
        let large = usize::try_from(buffer_bytes.max(segment_bytes / 4)).unwrap_or(usize::MAX);
        let large = large.min(MAX_PAYLOAD_BYTES);
        self.record_bytes = match segment_bytes {
            ..=SMALL_SEGMENT_BYTES => chance.pick(&[200, 300, 400, 3000]),
            _ => chance.pick(&[300, 3000, large, large]),
        };
    }

    fn draw_settings(&mut self, chance: &mut Chance) {
        let physical = self.disk.physical_block_bytes as u64;
        let config = &mut self.config;
        config.alignment = Some(physical.max(chance.pick(&[512, 512, 1024, 4096])));
        config.buffer_size = chance.pick(&[4096, 4096, 8192, 16384]);
        config.segment_size = chance.pick(&[1, 4096, 8192, 8192, 16384, 16384, 24576]);
        if chance.happens(1, 16) {
            // Above the 64 KiB that a recycled file is blanked for.
            config.segment_size = 72 << 10;
        }
        config.pipeline_depth = chance.pick(&[1, 2, 3, 4]);
        config.engine = chance.pick(&[Engine::Blocking, Engine::Uring, Engine::Uring]);
        config.durability = chance.pick(&[Durability::Dsync, Durability::Fdatasync]);
        config.preparation = chance.pick(&[
            Preparation::None,
            Preparation::Allocate,
            Preparation::Zero,
            Preparation::Recycle,
        ]);
        config.prepared_segments = chance.pick(&[1, 1, 2]);
        config.verify_on_open = chance.pick(&[VerifyOnOpen::Newest, VerifyOnOpen::Everything]);
        self.syncs = chance.pick(&[1, 4, 9, 14]);
        // Records that fill a batch on their own bring several batches in flight.
        self.record_bytes = chance.pick(&[200, 300, 400, 3000]);
    }

    /// For a violation: the settings and the newest events.
    pub(super) fn trace(&self, events: &[Event]) -> Vec<String> {
        let mut lines = vec![format!("{:?}", self.config), format!("{:?}", self.disk)];
        let first = events.len().saturating_sub(TRACED_EVENTS);
        lines.extend(events[first..].iter().map(ToString::to_string));
        lines
    }

    /// A key that was not used before. The older ones stay for reading.
    pub(super) fn rotate(&mut self, chance: &mut Chance) {
        let mut key = [0; 32];
        chance.fill(&mut key);
        let Ok(ring) = KeyRing::new(self.next_key, key) else { return };
        self.next_key += 1;
        self.keys = Some(match &self.keys {
            Some(older) => ring.with_older_ring(older),
            None => ring,
        });
    }

    /// The configuration of a life, with its keys.
    pub(super) fn config(&self) -> SegmentedWalConfig {
        let mut config = self.config.clone();
        config.keys.clone_from(&self.keys);
        config
    }

    /// Opens the log as an embedder does that has it begin at `first_lsn`: after a crash in the
    /// middle of that there is a log, or still none.
    pub(super) fn open(
        &self,
        disk: &SimulatedDisk,
        config: SegmentedWalConfig,
    ) -> Result<SegmentedWal, WalError> {
        if self.first_lsn == Lsn::FIRST {
            return open(disk, config);
        }
        match create_at(disk, config.clone(), self.first_lsn) {
            Err(WalError::LogExists { .. }) => open(disk, config),
            created => created,
        }
    }

    /// Unit that a write cut short may leave with anything in it.
    pub(super) fn physical_block_bytes(&self) -> usize {
        let stated = self.disk.physical_block_bytes;
        if is(Sabotage::RewriteDurableBlock) { stated * 8 } else { stated }
    }

    pub(super) fn new_disk(&mut self, chance: &mut Chance) -> SimulatedDisk {
        SimulatedDisk::new(self.options(chance))
    }

    /// Options of the disk for one life: its own chance, and perhaps a failing operation.
    fn options(&mut self, chance: &mut Chance) -> DiskOptions {
        let number = chance.next() % 40;
        let segment_bytes = self.config.segment_size;
        self.disk.fault = match chance.below(18) {
            // Zeroing a large segment takes many writes; the others have their turn, too.
            0 => Some(Fault::Write(number * (1 + segment_bytes / (8 << 20)))),
            1 => Some(Fault::Flush(number)),
            2 => Some(Fault::DirectorySync(number % 8)),
            _ => None,
        };
        self.disk.capacity_bytes = usize::MAX;
        if chance.happens(1, 12) {
            let segments = usize::try_from(segment_bytes.saturating_mul(6)).unwrap_or(usize::MAX);
            self.disk.capacity_bytes = match &self.settings {
                Some(_) => chance.below(segments.max(256 << 10)),
                None => chance.below(256 << 10),
            };
        }
        self.disk.seed = chance.next();
        self.disk.clone()
    }

    /// The machine stayed on: the next process finds what is in the cache.
    pub(super) fn next_process(
        &mut self,
        disk: &SimulatedDisk,
        oracle: &mut Oracle,
        chance: &mut Chance,
    ) -> SimulatedDisk {
        self.settled = false;
        self.between_lives(chance);
        oracle.begin_life(oracle.now);
        let options = self.options(chance);
        let journal = disk.journal();
        let mut walk = Walk::new(&journal);
        walk.go_to(journal.events.len());
        let mut state = walk.state().clone();
        state.complete_all(options.volatile_cache);
        SimulatedDisk::with_state(options, state)
    }

    /// Power was cut at some point of the life.
    pub(super) fn power_cut(
        &mut self,
        journal: &Journal,
        oracle: &mut Oracle,
        chance: &mut Chance,
    ) -> SimulatedDisk {
        self.settled = true;
        self.between_lives(chance);
        let mut walk = Walk::new(journal);
        walk.go_to(chance.below(journal.events.len() + 1));
        let state = walk.cut_power(chance, self.physical_block_bytes());
        oracle.begin_life(oracle.promise_at(walk.position()));
        SimulatedDisk::with_state(self.options(chance), state)
    }

    fn between_lives(&mut self, chance: &mut Chance) {
        if chance.happens(1, 4) {
            self.draw_config(chance);
        }
        if self.keys.is_some() && chance.happens(1, 8) {
            self.rotate(chance);
        }
    }
}

/// The physical block of a disk that a log of this alignment may be on.
fn draw_block_below(alignment: Option<u64>, chance: &mut Chance) -> usize {
    let largest = alignment.map_or(4096, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    chance.pick(&[512, largest.min(4096), largest])
}
