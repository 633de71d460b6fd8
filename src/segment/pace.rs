//! How fast a spare segment is zeroed: as fast as the log fills the segment before it, and no
//! faster. Zeroing at full speed is done sooner, and meanwhile every commit queues behind it; so
//! each appended byte pays for a little more than one zeroed byte, as in a garbage collector that
//! runs in step with the allocations.
//!
//! Decisions only: what was appended comes in, a piece of work or a pause comes out.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

/// Smallest piece. A commit that meets one waits for it, and most of what it waits is the same for
/// every size. On the reference machine, zeroing at 170 to 190 MB/s, the p99 of single durable
/// writes was 289 µs with pieces of 128 KiB and 371 µs with 256 KiB (without any zeroing 170 µs;
/// beside zeroing at full speed their median was 420 µs). With 256 tasks the p99 was 0.5 ms with
/// 32, 64 and 128 KiB, 0.7 ms with 256 and 512 KiB, and 0.9 ms with 1 MiB and with zeroing at full
/// speed (without any zeroing 0.4 ms).
const PIECE_BYTES: u64 = 128 << 10;
/// Largest piece, when much is owed: the device's full bandwidth.
const LARGEST_PIECE_BYTES: u64 = 512 << 10;

/// A spare is begun when the log has filled this part of a segment since the last one was taken:
/// not beside the rename and the directory sync of a rollover.
const BEGIN_AFTER_PART: u64 = 64;
/// Bytes zeroed for bytes filled. A spare is ready when the segment in use is filled to four
/// fifths; the rest is for the final sync, and for a log that gets faster.
const LEAD: (u64, u64) = (5, 4);

/// Between looks at a log that is being filled; doubled while nothing is owed.
const SHORTEST_PAUSE: Duration = Duration::from_micros(500);
const LONGEST_PAUSE: Duration = Duration::from_millis(8);
/// A log that nobody has appended to for so long is quiet.
const QUIET_AFTER: Duration = Duration::from_millis(20);
/// Between pieces in a quiet log: a piece takes less than a tenth of it, and 64 MiB a second.
const QUIET_PAUSE: Duration = Duration::from_millis(2);

/// What the log needs, told to the background thread.
#[derive(Debug, Default)]
pub(super) struct Demand {
    appended_bytes: AtomicU64,
    waiting: AtomicU32,
}

impl Demand {
    /// A batch has been appended.
    pub(super) fn add(&self, bytes: u64) {
        self.appended_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes appended so far.
    pub(super) fn appended_bytes(&self) -> u64 {
        self.appended_bytes.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for a spare right now.
    pub(super) fn is_urgent(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Everything is urgent while `wait` runs.
    pub(super) fn urgently<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let outcome = wait();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        outcome
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Prepare this many more bytes.
    Work(u64),
    /// Look again after this.
    Pause(Duration),
}

/// Paces the making of one spare after another.
#[derive(Debug)]
pub(super) struct Pace {
    /// Size of a segment.
    total_bytes: u64,
    /// As last seen.
    filled_bytes: u64,
    /// How long that has not changed, in pauses.
    quiet: Duration,
    pause: Duration,
    /// Whether the last step was a pause.
    rested: bool,
}

impl Pace {
    pub(super) fn new(total_bytes: u64) -> Self {
        Self {
            total_bytes,
            filled_bytes: 0,
            quiet: Duration::ZERO,
            pause: SHORTEST_PAUSE,
            rested: false,
        }
    }

    /// The next step for a spare of which `done_bytes` are zeroed, while the log has been filled by
    /// `filled_bytes` since it was asked for. Never past the segment's end.
    pub(super) fn next_step(&mut self, done_bytes: u64, filled_bytes: u64, urgent: bool) -> Step {
        if filled_bytes != self.filled_bytes {
            self.filled_bytes = filled_bytes;
            self.quiet = Duration::ZERO;
        }
        let left_bytes = self.total_bytes - done_bytes;
        let work = |bytes: u64| {
            let pieces = bytes.div_ceil(PIECE_BYTES).max(1);
            Step::Work((pieces * PIECE_BYTES).min(LARGEST_PIECE_BYTES).min(left_bytes))
        };
        if urgent {
            return work(LARGEST_PIECE_BYTES);
        }
        let due_bytes = self.owed_bytes().saturating_sub(done_bytes);
        if due_bytes > 0 {
            self.pause = SHORTEST_PAUSE;
            return work(due_bytes);
        }
        if self.quiet >= QUIET_AFTER {
            self.rested = !self.rested;
            return if self.rested { Step::Pause(QUIET_PAUSE) } else { work(PIECE_BYTES) };
        }
        let pause = self.pause;
        self.quiet += pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        Step::Pause(pause)
    }

    /// What has to be zeroed by now.
    fn owed_bytes(&self) -> u64 {
        if self.filled_bytes == 0 || self.filled_bytes < self.total_bytes / BEGIN_AFTER_PART {
            return 0;
        }
        let (zeroed, filled) = LEAD;
        (self.filled_bytes.saturating_mul(zeroed) / filled).min(self.total_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT_BYTES: u64 = 64 << 20;

    /// Takes steps until a pause, and returns what is done then.
    fn work_until_pause(pace: &mut Pace, mut done_bytes: u64, filled_bytes: u64) -> u64 {
        while done_bytes < SEGMENT_BYTES
            && let Step::Work(bytes) = pace.next_step(done_bytes, filled_bytes, false)
        {
            done_bytes += bytes;
        }
        done_bytes
    }

    #[test]
    fn a_spare_keeps_ahead_of_the_segment_that_is_being_filled() {
        for batch_bytes in [4 << 10, 100 << 10, 3 << 20] {
            let mut pace = Pace::new(SEGMENT_BYTES);
            let (mut done_bytes, mut filled_bytes) = (0, 0);
            while done_bytes < SEGMENT_BYTES {
                filled_bytes += batch_bytes;
                let before = done_bytes;
                done_bytes = work_until_pause(&mut pace, done_bytes, filled_bytes);
                let begun = filled_bytes >= SEGMENT_BYTES / BEGIN_AFTER_PART;
                assert_eq!(done_bytes > 0, begun, "at {filled_bytes}");
                assert!(!begun || done_bytes >= filled_bytes.min(SEGMENT_BYTES));
                // No more than what is owed for this batch and what was held back at the start.
                let most = 2 * batch_bytes + SEGMENT_BYTES / BEGIN_AFTER_PART + 2 * PIECE_BYTES;
                assert!(done_bytes - before <= most, "{before} to {done_bytes}");
            }
            assert!(filled_bytes <= SEGMENT_BYTES / 5 * 4 + batch_bytes, "late: {filled_bytes}");
        }
    }

    #[test]
    fn nothing_is_owed_right_after_a_rollover() {
        let mut pace = Pace::new(SEGMENT_BYTES);
        assert_eq!(pace.next_step(0, 64 << 10, false), Step::Pause(SHORTEST_PAUSE));
    }

    #[test]
    fn whoever_waits_gets_full_speed_to_the_end_of_the_segment() {
        let total_bytes = SEGMENT_BYTES + (64 << 10);
        let mut pace = Pace::new(total_bytes);
        let mut done_bytes = 0;
        while done_bytes < total_bytes {
            let expected = LARGEST_PIECE_BYTES.min(total_bytes - done_bytes);
            assert_eq!(pace.next_step(done_bytes, 0, true), Step::Work(expected));
            done_bytes += expected;
        }
    }

    #[test]
    fn a_log_far_ahead_gets_large_pieces() {
        let mut pace = Pace::new(SEGMENT_BYTES);
        assert_eq!(pace.next_step(0, 32 << 20, false), Step::Work(LARGEST_PIECE_BYTES));
        let almost = SEGMENT_BYTES - 4096;
        assert_eq!(pace.next_step(almost, SEGMENT_BYTES, false), Step::Work(4096));
    }

    #[test]
    fn a_quiet_log_gets_its_spare_gently() {
        let mut pace = Pace::new(SEGMENT_BYTES);
        let (mut done_bytes, mut elapsed) = (0, Duration::ZERO);
        while done_bytes < SEGMENT_BYTES {
            match pace.next_step(done_bytes, 0, false) {
                Step::Work(bytes) => {
                    assert!(elapsed >= QUIET_AFTER);
                    assert_eq!(bytes, PIECE_BYTES, "one small piece, and then a pause");
                    done_bytes += bytes;
                }
                Step::Pause(pause) => elapsed += pause,
            }
        }
        let pieces = u32::try_from(SEGMENT_BYTES / PIECE_BYTES).expect("few");
        assert!(elapsed >= QUIET_PAUSE * pieces && elapsed <= QUIET_PAUSE * (pieces + 20));
    }

    #[test]
    fn a_slow_log_is_not_a_quiet_one_and_is_looked_at_less_and_less() {
        let mut pace = Pace::new(SEGMENT_BYTES);
        let mut pauses = Vec::new();
        for batch in 1..=100 {
            match pace.next_step(0, batch * 4096, false) {
                Step::Pause(pause) => pauses.push(pause),
                Step::Work(bytes) => panic!("{bytes} bytes are not owed yet"),
            }
        }
        assert_eq!((pauses[0], pauses[99]), (SHORTEST_PAUSE, LONGEST_PAUSE));
    }

    #[test]
    fn demand_is_urgent_while_somebody_waits() {
        let demand = Demand::default();
        demand.add(5);
        demand.add(7);
        assert_eq!(demand.appended_bytes(), 12);
        assert!(demand.urgently(|| demand.is_urgent()));
        assert!(!demand.is_urgent());
    }
}
