//! The crash matrix on every core, in shares: which sizes, how many histories.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use plimsoll::SegmentedWalConfig;
use plimsoll::simulated::{CrashMatrix, Outcome, Sabotage, Violation};

use super::subject::Subject;
use crate::cli::CertifyArgs;
use crate::scratch::Interrupts;
use crate::store::certificate::Part;
use crate::store::schema::Environment;
use crate::ticker::Ticker;
use crate::units::format_bytes;

/// Images of each history with the settings' own sizes. Few, since a history costs less than they
/// do and each has other records.
const EXACT_IMAGES: usize = 25;
/// Default histories with them: each image costs about the size of a segment, and this much is read
/// in 10 to 20 s by two cores.
const EXACT_BYTES: u64 = 16 << 30;
const EXACT_SEEDS_MIN: u64 = 4;
const EXACT_SEEDS_MAX: u64 = 4000;

/// Images of each history with small sizes.
const SMALL_IMAGES: usize = 101;
/// Blocks of a small segment and of a small buffer.
const SMALL_SEGMENT_BLOCKS: u64 = 4;
const SMALL_BUFFER_BLOCKS: u64 = 2;
/// The block of a log whose alignment is left to the disk, as far as sizes depend on it.
const BLOCK_BYTES: u64 = 4096;
/// Smallest buffer of a log.
const BUFFER_BYTES_MIN: u64 = 4096;

/// Memory that a worker needs at most, in segments: a history has a few files, each with a written
/// and a durable image, at several points of its life.
const SEGMENTS_IN_MEMORY: u64 = 32;

/// Histories to explore.
#[derive(Clone, Debug)]
pub(super) struct Share {
    /// Whether with the sizes of the settings.
    pub(super) exact_sizes: bool,
    matrix: CrashMatrix,
    /// Histories that a worker takes at once.
    at_once: u64,
}

/// What a share came to.
#[derive(Debug)]
pub(super) enum Found {
    /// No promise was broken.
    Nothing(Part),
    /// One was, by this history or a later one.
    Violation(Violation),
    /// Ctrl-C ended it.
    Interrupted,
}

/// What explores.
#[derive(Clone, Copy)]
pub(super) struct Explorer<'a> {
    pub(super) subject: &'a Subject,
    pub(super) workers: usize,
    pub(super) interrupts: &'a Interrupts,
    pub(super) ticker: &'a Ticker,
}

/// How many threads may explore segments of this size; `None` if the memory is too small for one.
pub(super) fn workers(segment_bytes: u64, environment: &Environment) -> Option<usize> {
    let cores = usize::try_from(environment.cpus.max(1)).unwrap_or(1);
    if environment.memory_bytes == 0 {
        return Some(cores);
    }
    let memory = environment.cgroup_memory_limit_bytes.unwrap_or(u64::MAX);
    let memory = memory.min(environment.memory_bytes) / 4 * 3;
    let fit = memory / segment_bytes.max(1).saturating_mul(SEGMENTS_IN_MEMORY);
    (fit > 0).then(|| usize::try_from(fit).unwrap_or(usize::MAX).min(cores))
}

impl Share {
    /// Those of a certification: exactly the settings, and the same with small sizes.
    pub(super) fn of(subject: &Subject, args: &CertifyArgs) -> Vec<Self> {
        let exact = &subject.config;
        let by_size = EXACT_BYTES / exact.segment_size.max(1) / EXACT_IMAGES as u64;
        let seeds = args.seeds.unwrap_or(by_size.clamp(EXACT_SEEDS_MIN, EXACT_SEEDS_MAX));
        let share =
            |exact_sizes, config: SegmentedWalConfig, seeds, images_per_seed, at_once| Self {
                exact_sizes,
                at_once,
                matrix: CrashMatrix {
                    seeds: args.first_seed..args.first_seed.saturating_add(seeds),
                    images_per_seed,
                    sabotage: None,
                    settings: Some(config),
                },
            };
        let mut shares = vec![share(true, exact.clone(), seeds, EXACT_IMAGES, 1)];
        let small = small(exact);
        if (small.buffer_size, small.segment_size) != (exact.buffer_size, exact.segment_size) {
            shares.push(share(false, small, args.small_seeds, SMALL_IMAGES, 20));
        }
        shares
    }

    pub(super) fn announcement(&self) -> String {
        let [buffer, segment] = self.sizes();
        let seeds = self.matrix.seeds.end - self.matrix.seeds.start;
        format!(
            "{seeds} histories with {} segments of {} and buffers of {}, {} power cuts each",
            if self.exact_sizes { "exactly these settings," } else { "small sizes," },
            format_bytes(segment),
            format_bytes(buffer),
            self.matrix.images_per_seed
        )
    }

    /// Of buffer and segment, bytes.
    fn sizes(&self) -> [u64; 2] {
        let settings = self.matrix.settings.as_ref();
        settings.map_or([0; 2], |settings| [settings.buffer_size, settings.segment_size])
    }

    fn part(&self, outcome: &Outcome) -> Part {
        let [buffer_size_bytes, segment_size_bytes] = self.sizes();
        Part {
            exact_sizes: self.exact_sizes,
            buffer_size_bytes,
            segment_size_bytes,
            seeds: outcome.seeds,
            lives: outcome.lives,
            images: outcome.images,
            damaged: outcome.damaged,
            refused: outcome.refused,
            residue: outcome.residue,
            opened: outcome.opened,
            records: outcome.records,
        }
    }
}

/// The same settings with sizes so small that a life fills several segments.
fn small(exact: &SegmentedWalConfig) -> SegmentedWalConfig {
    let block = exact.alignment.unwrap_or(BLOCK_BYTES);
    let buffer = (SMALL_BUFFER_BLOCKS * block).max(BUFFER_BYTES_MIN);
    let mut small = exact.clone();
    small.buffer_size = exact.buffer_size.min(buffer);
    small.segment_size = exact.segment_size.min(SMALL_SEGMENT_BLOCKS * block);
    small
}

impl Explorer<'_> {
    /// Explores a share with this bug, and stops at the first violation. A worker finishes the
    /// histories that it has taken, so that which violation comes first depends on the share alone.
    pub(super) fn explore(&self, share: &Share, sabotage: Option<Sabotage>) -> Found {
        let seeds = share.matrix.seeds.clone();
        let next = AtomicU64::new(seeds.start);
        let stop = AtomicBool::new(false);
        let worker = || {
            let mut total = Outcome::default();
            while !stop.load(Ordering::Relaxed) && !self.interrupts.requested() {
                let first = next.fetch_add(share.at_once, Ordering::Relaxed);
                if first >= seeds.end {
                    break;
                }
                let taken = first..seeds.end.min(first.saturating_add(share.at_once));
                let part = CrashMatrix { seeds: taken, sabotage, ..share.matrix.clone() }.run();
                total.add(&part.inspect_err(|_| stop.store(true, Ordering::Relaxed))?);
                self.ticker.tick(|| {
                    let (done, all) = (first - seeds.start, seeds.end - seeds.start);
                    let bug =
                        sabotage.map_or(String::new(), |bug| format!(" with the bug {bug:?}"));
                    format!("{done} of {all} histories{bug}")
                });
            }
            Ok(total)
        };
        let results: Vec<Result<Outcome, Violation>> = thread::scope(|scope| {
            let running: Vec<_> = (0..self.workers).map(|_| scope.spawn(worker)).collect();
            running
                .into_iter()
                .map(|worker| {
                    worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect()
        });
        let mut total = Outcome::default();
        let mut violations = Vec::new();
        for result in results {
            match result {
                Ok(outcome) => total.add(&outcome),
                Err(violation) => violations.push(violation),
            }
        }
        match violations.into_iter().min_by_key(|violation| violation.seed) {
            Some(violation) => Found::Violation(violation),
            None if self.interrupts.requested() => Found::Interrupted,
            None => Found::Nothing(share.part(&total)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_sizes_are_no_larger_than_the_settings_and_change_nothing_else() {
        let mut exact = SegmentedWalConfig::new("x");
        exact.alignment = Some(16 << 10);
        let shrunk = small(&exact);
        assert_eq!((shrunk.buffer_size, shrunk.segment_size), (32 << 10, 64 << 10));
        let mut back = shrunk;
        (back.buffer_size, back.segment_size) = (exact.buffer_size, exact.segment_size);
        assert_eq!(format!("{back:?}"), format!("{exact:?}"));
        (exact.alignment, exact.segment_size) = (Some(512), 1000);
        let shrunk = small(&exact);
        assert_eq!((shrunk.buffer_size, shrunk.segment_size), (BUFFER_BYTES_MIN, 1000));
    }

    #[test]
    fn large_segments_leave_fewer_threads_or_none() {
        let machine = Environment { cpus: 4, memory_bytes: 16 << 30, ..Environment::default() };
        assert_eq!(workers(64 << 20, &machine), Some(4));
        assert_eq!(workers(128 << 20, &machine), Some(3));
        assert_eq!(workers(1 << 40, &machine), None);
        let limit = Some(2 << 30);
        let limited = Environment { cgroup_memory_limit_bytes: limit, ..machine.clone() };
        assert_eq!(workers(64 << 20, &limited), None);
        assert_eq!(workers(u64::MAX, &Environment::default()), Some(1), "unknown");
    }
}
