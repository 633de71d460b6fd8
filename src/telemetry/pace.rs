//! How fast records arrive and how fast the device makes them durable: an estimate that follows
//! the present, from numbers alone.

/// How long the arrival rate remembers: records of this age count 1/e of new ones. Long against a
/// batch, so that a steady load looks steady; short against a person who changes the load.
const ARRIVAL_MEMORY_NS: f64 = 200e6;

/// Share of the newest durable write in their smoothed time.
const DURABLE_WRITE_SHARE: f64 = 1.0 / 32.0;

/// The present pace of a log: what the device gives, and what is asked of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CommitPace {
    /// Time from handing one batch to the device until it is durable, nanoseconds: the write, and
    /// the flush after it where writes are not durable by themselves. Smoothed over the last 32
    /// or so, of whatever size they had. 0 before the first one. With several batches in flight
    /// it includes the time they wait for each other.
    pub durable_write_ns: u64,
    /// Records completed a second, smoothed over the last 0.2 s or so, up to the moment of the
    /// snapshot: in an idle log it falls. 0 before the second batch.
    pub arrivals_per_second: f64,
}

impl CommitPace {
    /// F0: durable writes a second, one after the other. 0 before the first one.
    #[must_use]
    pub fn f0_per_second(&self) -> f64 {
        if self.durable_write_ns == 0 { 0.0 } else { 1e9 / self.durable_write_ns as f64 }
    }

    /// Whether a commit window can save flushes at this pace: records arrive more slowly than one
    /// in 2/F0.
    ///
    /// When they arrive faster, nearly each finds the device busy, and shares the next batch with
    /// whoever else arrives until it is free: company comes by itself, and waiting on top of that
    /// adds to the latency of every commit and saves little. When they arrive more slowly, most
    /// find the device free and would pay for a flush alone; only waiting on purpose can bring two
    /// of them together. Whether that is worth the wait is the embedder's choice. `false` while
    /// nothing is known of the device or of arrivals.
    #[must_use]
    pub fn window_can_help(&self) -> bool {
        self.arrivals_per_second > 0.0 && self.arrivals_per_second < self.f0_per_second() / 2.0
    }
}

/// Follows the pace from completed batches. Allocates nothing.
///
/// The arrival rate is a ratio of two sums that both fade with age: of records, and of the time
/// that was watched. The second makes it right from the start instead of after a warm-up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PaceEstimator {
    /// When the sums were brought up to date; `None` before the first batch.
    updated_ns: Option<u64>,
    faded_records: f64,
    faded_time_ns: f64,
    /// 0 before the first one.
    durable_write_ns: f64,
}

impl PaceEstimator {
    /// A batch of `records` has completed. The first one only starts the clock: how long its
    /// records took to gather is not known.
    pub(crate) fn batch(&mut self, now_ns: u64, records: u32) {
        let is_first = self.updated_ns.is_none();
        self.fade(now_ns);
        if !is_first {
            self.faded_records += f64::from(records);
        }
    }

    /// A batch has become durable, this long after it was handed to the device.
    pub(crate) fn durable_write(&mut self, took_ns: u64) {
        // A clock too coarse to see the write must not make the device look infinitely fast.
        let took_ns = took_ns.max(1) as f64;
        if self.durable_write_ns == 0.0 {
            self.durable_write_ns = took_ns;
        }
        self.durable_write_ns += (took_ns - self.durable_write_ns) * DURABLE_WRITE_SHARE;
    }

    /// The pace at a moment, which is not before the last batch.
    pub(crate) fn at(mut self, now_ns: u64) -> CommitPace {
        self.fade(now_ns);
        let arrivals_per_second = if self.faded_time_ns > 0.0 {
            self.faded_records * 1e9 / self.faded_time_ns
        } else {
            0.0
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of u64"
        )]
        let durable_write_ns = self.durable_write_ns.round() as u64;
        CommitPace { durable_write_ns, arrivals_per_second }
    }

    fn fade(&mut self, now_ns: u64) {
        let since_ns = self.updated_ns.map_or(0, |before| now_ns.saturating_sub(before));
        self.updated_ns = Some(self.updated_ns.unwrap_or(0).max(now_ns));
        let kept = (-(since_ns as f64) / ARRIVAL_MEMORY_NS).exp();
        self.faded_records *= kept;
        self.faded_time_ns = self.faded_time_ns * kept + ARRIVAL_MEMORY_NS * (1.0 - kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    /// `count` batches of `records`, one each `every_ns`, from `start_ns` on. Returns the last time.
    fn steady(
        pace: &mut PaceEstimator,
        start_ns: u64,
        count: u64,
        every_ns: u64,
        records: u32,
    ) -> u64 {
        (1..=count).for_each(|n| pace.batch(start_ns + n * every_ns, records));
        start_ns + count * every_ns
    }

    fn assert_near(value: f64, expected: f64, tolerance: f64) {
        assert!((value / expected - 1.0).abs() <= tolerance, "{value}, not {expected}");
    }

    #[test]
    fn nothing_is_claimed_before_anything_is_known() {
        let mut pace = PaceEstimator::default();
        assert_eq!(pace.at(5), CommitPace::default());
        assert!(!pace.at(5).window_can_help());
        pace.batch(7, 100);
        assert_eq!(pace.at(7).arrivals_per_second, 0.0, "one batch makes no rate");
        pace.durable_write(40_000);
        assert!(!pace.at(7).window_can_help(), "no arrivals known");
    }

    #[test]
    fn a_steady_load_is_known_from_the_start_and_stays() {
        for (every_ns, records) in [(50_000, 1), (50_000, 64), (1_000_000, 3), (20_000_000, 1)] {
            let mut pace = PaceEstimator::default();
            let rate = f64::from(records) * 1e9 / every_ns as f64;
            let now = steady(&mut pace, 0, 3, every_ns, records);
            assert_near(pace.at(now).arrivals_per_second, rate, 0.2);
            let now = steady(&mut pace, now, 2 * SECOND_NS / every_ns, every_ns, records);
            assert_near(pace.at(now).arrivals_per_second, rate, 0.06);
        }
    }

    #[test]
    fn bursts_are_averaged_over_the_memory() {
        // 10 ms of 64 records each 50 µs, then 10 ms of silence.
        let mut pace = PaceEstimator::default();
        let mut now = 0;
        for _ in 0..50 {
            now = steady(&mut pace, now, 200, 50_000, 64) + 10_000_000;
        }
        assert_near(pace.at(now).arrivals_per_second, 640_000.0, 0.06);
    }

    #[test]
    fn silence_makes_the_rate_fall() {
        let mut pace = PaceEstimator::default();
        let now = steady(&mut pace, 0, 10_000, 100_000, 10);
        let rate = |later_ns| pace.at(now + later_ns).arrivals_per_second;
        assert_near(rate(0), 100_000.0, 0.01);
        assert_near(rate(200_000_000), 100_000.0 / std::f64::consts::E, 0.02);
        assert!(rate(5 * SECOND_NS) < 1.0, "{}", rate(5 * SECOND_NS));
        assert_eq!(rate(5 * SECOND_NS), rate(5 * SECOND_NS), "looking changes nothing");
    }

    #[test]
    fn a_change_of_load_is_followed_within_a_second() {
        let mut pace = PaceEstimator::default();
        let now = steady(&mut pace, 0, 20_000, 50_000, 100);
        let now = steady(&mut pace, now, 1_000, 1_000_000, 1);
        assert_near(pace.at(now).arrivals_per_second, 1_000.0 + 2_000_000.0 * (-5_f64).exp(), 0.1);
    }

    #[test]
    fn f0_follows_the_device_and_forgives_one_slow_write() {
        let mut pace = PaceEstimator::default();
        pace.durable_write(40_000);
        assert_near(pace.at(0).f0_per_second(), 25_000.0, 1e-9);
        pace.durable_write(400_000);
        assert_near(pace.at(0).durable_write_ns as f64, 40_000.0, 0.3);
        (0..500).for_each(|_| pace.durable_write(100_000));
        assert_near(pace.at(0).durable_write_ns as f64, 100_000.0, 0.001);
    }

    #[test]
    fn a_window_can_help_below_half_of_f0_only() {
        let pace =
            |arrivals_per_second| CommitPace { durable_write_ns: 50_000, arrivals_per_second };
        assert!(pace(9_999.0).window_can_help());
        assert!(!pace(10_000.0).window_can_help());
        assert!(!pace(0.0).window_can_help());
    }

    #[test]
    fn a_clock_that_steps_back_is_taken_for_one_that_stands() {
        let mut pace = PaceEstimator::default();
        let now = steady(&mut pace, SECOND_NS, 1_000, 1_000_000, 1);
        let before = pace.at(now);
        assert_eq!(pace.at(now - 500_000_000), before);
        pace.batch(now - 500_000_000, 0);
        assert_eq!(pace.at(now), before, "the time is not watched twice");
    }
}
