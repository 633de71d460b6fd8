//! The adaptive commit window: as long as it saves flushes and the aim, a p99 of commit latency,
//! is kept. Decides from completed batches alone, so the same batches give the same windows.

use std::time::Duration;

use super::CommitPace;

/// Batches that one decision rests on: enough for 1 % of them to be more than one.
const EPOCH_BATCHES: u32 = 128;

/// So many of an epoch's batches may be over the aim: the whole number below 1 %. One more, and
/// the p99 was over it.
const OVER_ALLOWED: u32 = EPOCH_BATCHES / 100;

/// Batches that gathered under the window before the last change, and are not held against the
/// new one.
const SETTLING_BATCHES: u32 = 2;

/// The window grows by this part of its limit.
const GROWTH_PART: u32 = 16;

/// Chooses the commit window, counted from a batch's first record, that saves flushes and keeps
/// the p99 of commit latency at its aim.
///
/// Additive growth and multiplicative retreat: the window grows while the p99 is below three
/// quarters of the aim, stays while it is below the aim, and halves as soon as it is not. It never
/// exceeds half of the aim, so that the device keeps the other half. It is 0 whenever it cannot
/// help: records arrive so fast that company comes by itself ([`CommitPace::window_can_help`]), or
/// so slowly that not even the longest window would bring another one.
///
/// The latency of a batch is that of its slowest record, and percentiles are of batches: records
/// that shared a flush are one observation.
#[derive(Clone, Debug)]
pub(crate) struct WindowController {
    aim_ns: u64,
    window_ns: u64,
    epoch: Epoch,
}

/// What was seen since the last decision.
#[derive(Clone, Copy, Debug, Default)]
struct Epoch {
    settled: u32,
    batches: u32,
    /// Of those, slower than the aim.
    over: u32,
    /// Of those, slower than three quarters of it.
    near: u32,
}

impl WindowController {
    /// Aims at this p99 of commit latency. The first window is 0.
    pub(crate) fn new(aim_p99: Duration) -> Self {
        let aim_ns = u64::try_from(aim_p99.as_nanos()).unwrap_or(u64::MAX);
        Self { aim_ns, window_ns: 0, epoch: Epoch::default() }
    }

    /// How long the next batch is to wait for company, from its first record on.
    pub(crate) fn window(&self) -> Duration {
        Duration::from_nanos(self.window_ns)
    }

    /// A batch with records has completed: `latency_ns` is its group wait and the time from submit
    /// to durable together. Returns the window for the next one.
    pub(crate) fn batch_completed(&mut self, latency_ns: u64, pace: &CommitPace) -> Duration {
        if !self.can_help(pace) {
            self.decide(0);
        } else if self.epoch.settled < SETTLING_BATCHES {
            self.epoch.settled += 1;
        } else {
            self.observe(latency_ns);
        }
        self.window()
    }

    /// The longest window: half of the aim.
    fn limit_ns(&self) -> u64 {
        self.aim_ns / 2
    }

    fn can_help(&self, pace: &CommitPace) -> bool {
        let company = pace.arrivals_per_second * self.limit_ns() as f64 / 1e9;
        pace.window_can_help() && company >= 1.0
    }

    fn observe(&mut self, latency_ns: u64) {
        let near_ns = self.aim_ns - self.aim_ns / 4;
        self.epoch.batches += 1;
        self.epoch.over += u32::from(latency_ns > self.aim_ns);
        self.epoch.near += u32::from(latency_ns > near_ns);
        if self.epoch.over > OVER_ALLOWED {
            self.decide(self.window_ns / 2);
        } else if self.epoch.batches == EPOCH_BATCHES {
            let grows = self.epoch.near <= OVER_ALLOWED;
            let step_ns = if grows { self.limit_ns() / u64::from(GROWTH_PART) } else { 0 };
            self.decide((self.window_ns + step_ns).min(self.limit_ns()));
        }
    }

    fn decide(&mut self, window_ns: u64) {
        self.window_ns = window_ns;
        self.epoch = Epoch::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::pace::PaceEstimator;

    const SERVICE_NS: u64 = 40_000;

    /// One device that serves one batch at a time, and records that arrive at random.
    struct Simulation {
        random: u64,
        mean_gap_ns: f64,
        next_arrival_ns: u64,
        device_free_ns: u64,
        pace: PaceEstimator,
    }

    /// What a run of batches came to.
    #[derive(Default)]
    struct Run {
        batches: u64,
        records: u64,
        latencies_ns: Vec<u64>,
        last_window: Duration,
    }

    impl Run {
        fn p99_ns(mut self) -> u64 {
            self.latencies_ns.sort_unstable();
            self.latencies_ns[self.latencies_ns.len() * 99 / 100]
        }

        fn records_per_batch(&self) -> f64 {
            self.records as f64 / self.batches as f64
        }
    }

    impl Simulation {
        fn new(arrivals_per_second: f64) -> Self {
            let mut simulation = Self {
                random: 0x5eed,
                mean_gap_ns: 1e9 / arrivals_per_second,
                next_arrival_ns: 0,
                device_free_ns: 0,
                pace: PaceEstimator::default(),
            };
            simulation.arrive();
            simulation
        }

        /// Exponential gaps (a Poisson process) from SplitMix64.
        fn arrive(&mut self) -> u64 {
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut bits = self.random;
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bits ^= bits >> 31;
            let uniform = ((bits >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
            let arrived_ns = self.next_arrival_ns;
            #[expect(clippy::cast_possible_truncation, reason = "a gap is short")]
            let gap_ns = (-uniform.ln() * self.mean_gap_ns) as u64;
            self.next_arrival_ns += gap_ns;
            arrived_ns
        }

        /// Writes `batches` batches: each once its window is over and the device is free. The
        /// service takes `SERVICE_NS`, but each `slow`th, if any, a hundred times that.
        fn run(
            &mut self,
            batches: u64,
            slow: Option<u64>,
            mut controller: Option<&mut WindowController>,
        ) -> Run {
            let mut run = Run::default();
            for number in 1..=batches {
                let window = controller.as_ref().map_or(Duration::ZERO, |c| c.window());
                let first_ns = self.arrive();
                let window_ns = u64::try_from(window.as_nanos()).expect("short");
                let submit_ns = (first_ns + window_ns).max(self.device_free_ns);
                let mut arrivals_ns = vec![first_ns];
                while self.next_arrival_ns <= submit_ns {
                    arrivals_ns.push(self.arrive());
                }
                let is_slow = slow.is_some_and(|slow| number % slow == 0);
                let service_ns = if is_slow { 100 * SERVICE_NS } else { SERVICE_NS };
                let complete_ns = submit_ns + service_ns;
                self.device_free_ns = complete_ns;
                self.pace.batch(complete_ns, u32::try_from(arrivals_ns.len()).expect("few"));
                self.pace.durable_write(service_ns);
                let pace = self.pace.at(complete_ns);
                if let Some(controller) = &mut controller {
                    run.last_window = controller.batch_completed(complete_ns - first_ns, &pace);
                }
                run.batches += 1;
                run.records += arrivals_ns.len() as u64;
                run.latencies_ns.extend(arrivals_ns.iter().map(|arrival| complete_ns - arrival));
            }
            run
        }
    }

    /// Both policies under one load: what they came to once the window has settled.
    fn compare(arrivals_per_second: f64, aim: Duration, slow: Option<u64>) -> (Run, Run) {
        let mut simulation = Simulation::new(arrivals_per_second);
        simulation.run(20_000, slow, None);
        let greedy = simulation.run(20_000, slow, None);
        let mut controller = WindowController::new(aim);
        let mut simulation = Simulation::new(arrivals_per_second);
        simulation.run(20_000, slow, Some(&mut controller));
        (greedy, simulation.run(20_000, slow, Some(&mut controller)))
    }

    #[test]
    fn slow_arrivals_share_flushes_within_the_aim() {
        for arrivals_per_second in [2_500.0, 5_000.0, 10_000.0] {
            let aim = Duration::from_millis(1);
            let (greedy, adaptive) = compare(arrivals_per_second, aim, None);
            assert!(
                adaptive.records_per_batch() > 1.5 * greedy.records_per_batch(),
                "{arrivals_per_second}: {} and {} records a flush",
                greedy.records_per_batch(),
                adaptive.records_per_batch()
            );
            assert_eq!(adaptive.last_window, aim / 2, "{arrivals_per_second}");
            let p99_ns = adaptive.p99_ns();
            assert!(p99_ns < 1_000_000, "{arrivals_per_second}: p99 {p99_ns} ns");
        }
    }

    #[test]
    fn an_aim_that_leaves_little_room_gets_a_short_window() {
        // Every 60th batch takes 4 ms: the p99 is over the aim whatever the window is.
        let (_, adaptive) = compare(5_000.0, Duration::from_millis(1), Some(60));
        assert!(adaptive.last_window <= Duration::from_micros(100), "{:?}", adaptive.last_window);
        // An aim that leaves 10 µs beside the device.
        let (greedy, adaptive) = compare(10_000.0, Duration::from_micros(100), None);
        assert!(adaptive.last_window <= Duration::from_micros(50), "{:?}", adaptive.last_window);
        assert!(greedy.p99_ns() < 100_000);
        let p99_ns = adaptive.p99_ns();
        assert!(p99_ns <= 100_000, "p99 {p99_ns} ns");
    }

    #[test]
    fn fast_arrivals_get_no_window() {
        // Half of F0 is 12,500 a second.
        for arrivals_per_second in [20_000.0, 200_000.0] {
            let (greedy, adaptive) = compare(arrivals_per_second, Duration::from_millis(1), None);
            assert_eq!(adaptive.last_window, Duration::ZERO, "{arrivals_per_second}");
            assert_eq!(adaptive.p99_ns(), greedy.p99_ns(), "{arrivals_per_second}");
        }
    }

    #[test]
    fn lonely_records_are_not_kept_waiting() {
        // One in 10 ms, and at most 0.5 ms to wait.
        let (_, adaptive) = compare(100.0, Duration::from_millis(1), None);
        assert_eq!(adaptive.last_window, Duration::ZERO);
        assert!(adaptive.p99_ns() <= 2 * SERVICE_NS);
    }

    #[test]
    fn a_load_that_becomes_fast_loses_its_window() {
        let mut controller = WindowController::new(Duration::from_millis(1));
        let mut simulation = Simulation::new(5_000.0);
        assert!(simulation.run(20_000, None, Some(&mut controller)).last_window > Duration::ZERO);
        simulation.mean_gap_ns = 1e9 / 100_000.0;
        let run = simulation.run(10_000, None, Some(&mut controller));
        assert_eq!(run.last_window, Duration::ZERO);
    }

    #[test]
    fn a_p99_over_the_aim_halves_the_window_at_once() {
        let mut controller = WindowController::new(Duration::from_millis(1));
        let pace = CommitPace { durable_write_ns: SERVICE_NS, arrivals_per_second: 5_000.0 };
        while controller.window() < Duration::from_micros(500) {
            controller.batch_completed(100_000, &pace);
        }
        let windows: Vec<_> = (0..2 * (SETTLING_BATCHES + OVER_ALLOWED + 1))
            .map(|_| controller.batch_completed(2_000_000, &pace).as_micros())
            .collect();
        assert_eq!(windows, [500, 500, 500, 250, 250, 250, 250, 125]);
    }
}
