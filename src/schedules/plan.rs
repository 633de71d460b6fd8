//! The settings of a story: which disk, which log, in which order threads run, and how many there
//! are.

use std::time::Duration;

use super::scheduler::Order;
use crate::{
    committer::CommitPolicy,
    config::{Preparation, SegmentedWalConfig},
    device::{
        Durability, Engine,
        simulated::{Chance, DiskOptions, Fault},
    },
};

/// The longest there may be, and for ever to the scheduler: the background thread is not to help
/// anybody out.
const NEVER: Duration = Duration::from_secs(3600);

/// The settings of one story.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) order: Order,
    pub(super) disk: DiskOptions,
    pub(super) config: SegmentedWalConfig,
    pub(super) policy: CommitPolicy,
    /// One seed for each actor.
    pub(super) actors: Vec<u64>,
    /// Things that each does.
    pub(super) steps: usize,
    /// Length of a record, at most.
    pub(super) record_bytes: usize,
    pub(super) ending: Ending,
    /// For what is done after the story.
    pub(super) seed: u64,
}

/// How a story ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The log is closed once everybody is done.
    Closed,
    /// It is closed while they are still at work.
    ClosedMeanwhile,
    /// The last handle is dropped, perhaps with commits still awaited.
    Dropped,
}

impl Plan {
    pub(super) fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let chance = &mut chance;
        let order = match chance.below(4) {
            0 => Order::Even,
            1 => Order::Sticky(chance.pick(&[3, 10, 30])),
            _ => Order::Priorities(chance.below(6)),
        };
        // Opening takes some ten writes and flushes, and about as many syncs of the directory.
        let number = 2 + chance.next() % 30;
        let fault = match chance.below(12) {
            0 => Some(Fault::Write(number)),
            1 => Some(Fault::Flush(number)),
            2 => Some(Fault::DirectorySync(number % 12)),
            _ => None,
        };
        let disk = DiskOptions {
            seed: chance.next(),
            volatile_cache: chance.happens(7, 8),
            fua: chance.happens(1, 2),
            flush_covers_device: chance.happens(1, 2),
            interruptions: chance.happens(1, 8),
            fault,
            ..DiskOptions::default()
        };
        let window = chance.pick(&[Duration::from_micros(100), Duration::from_millis(20)]);
        let actors = 2 + chance.below(3);
        Self {
            order,
            disk,
            config: config(chance),
            policy: match chance.below(4) {
                0 => CommitPolicy::Window(window),
                1 => CommitPolicy::Adaptive { p99: window },
                _ => CommitPolicy::Greedy,
            },
            actors: (0..actors).map(|_| chance.next()).collect(),
            steps: 1 + chance.below(5),
            // Some fill a buffer with a record or two, so that buffers run out.
            record_bytes: chance.pick(&[100, 100, 900, 3000]),
            ending: chance.pick(&[
                Ending::Closed,
                Ending::Closed,
                Ending::ClosedMeanwhile,
                Ending::Dropped,
            ]),
            seed: chance.next(),
        }
    }
}

fn config(chance: &mut Chance) -> SegmentedWalConfig {
    let mut config = SegmentedWalConfig {
        alignment: Some(512),
        buffer_size: chance.pick(&[4096, 4096, 8192]),
        segment_size: chance.pick(&[4096, 8192, 16384, 64 << 10]),
        pipeline_depth: chance.pick(&[1, 1, 2, 3]),
        engine: chance.pick(&[Engine::Blocking, Engine::Uring, Engine::Uring]),
        durability: chance.pick(&[Durability::Dsync, Durability::Fdatasync]),
        preparation: chance.pick(&[Preparation::Allocate, Preparation::Recycle]),
        prepared_segments: 1,
        ..SegmentedWalConfig::default()
    };
    config.idle_marker_after = chance.pick(&[NEVER, NEVER, Duration::from_millis(5)]);
    config
}
