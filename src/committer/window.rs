//! How long a batch waits for company: as the policy says, or as the adaptive controller finds.

use std::time::Duration;

use super::CommitPolicy;
use crate::telemetry::{Telemetry, WindowController};

/// The commit window in force.
#[derive(Debug)]
pub(super) enum CommitWindow {
    Fixed(Duration),
    Adaptive(WindowController),
}

impl CommitWindow {
    /// The window of a policy, in a log whose configuration says `configured`.
    pub(super) fn of(policy: CommitPolicy, configured: Duration) -> Self {
        match policy {
            CommitPolicy::FromConfig => Self::Fixed(configured),
            CommitPolicy::Greedy => Self::Fixed(Duration::ZERO),
            CommitPolicy::Window(window) => Self::Fixed(window),
            CommitPolicy::Adaptive { p99 } => Self::Adaptive(WindowController::new(p99)),
        }
    }

    /// How long the next batch waits, from its first record on.
    pub(super) fn get(&self) -> Duration {
        match self {
            Self::Fixed(window) => *window,
            Self::Adaptive(controller) => controller.window(),
        }
    }

    /// A batch whose first record got its place at `since_ns` has been answered.
    pub(super) fn batch_completed(&mut self, since_ns: u64, telemetry: &Telemetry) {
        if let Self::Adaptive(controller) = self {
            let latency_ns = telemetry.now_ns().saturating_sub(since_ns);
            controller.batch_completed(latency_ns, &telemetry.pace());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::telemetry::{BatchOutcome, SubmittedBatch};

    const CONFIGURED: Duration = Duration::from_micros(70);

    #[test]
    fn the_policy_says_how_long_a_batch_waits_at_first() {
        let window = Duration::from_micros(300);
        let p99 = Duration::from_millis(1);
        for (policy, expected) in [
            (CommitPolicy::FromConfig, CONFIGURED),
            (CommitPolicy::Greedy, Duration::ZERO),
            (CommitPolicy::Window(window), window),
            (CommitPolicy::Adaptive { p99 }, Duration::ZERO),
        ] {
            assert_eq!(CommitWindow::of(policy, CONFIGURED).get(), expected, "{policy:?}");
        }
    }

    /// Notes batches of one record, which the device writes fast and which arrive slowly.
    fn let_batches_pass(telemetry: &Telemetry, window: &mut CommitWindow, count: u32) {
        for _ in 0..count {
            thread::sleep(Duration::from_micros(500));
            let since_ns = telemetry.now_ns();
            let batch = SubmittedBatch {
                records: 1,
                payload_bytes: 100,
                device_bytes: 4096,
                padding_bytes: 3000,
                first_reserved_ns: Some(since_ns),
                submitted_ns: since_ns,
            };
            telemetry.batch_completed(&batch, BatchOutcome::Durable, since_ns + 1_000);
            window.batch_completed(since_ns, telemetry);
        }
    }

    #[test]
    fn only_an_adaptive_window_follows_the_batches() {
        let telemetry = Telemetry::new();
        let aim = CommitPolicy::Adaptive { p99: Duration::from_secs(10) };
        let mut adaptive = CommitWindow::of(aim, CONFIGURED);
        let_batches_pass(&telemetry, &mut adaptive, 140);
        assert!(adaptive.get() > Duration::ZERO, "company is worth waiting for");
        assert!(adaptive.get() < Duration::from_secs(5), "at most half of the aim");
        let mut fixed = CommitWindow::of(CommitPolicy::FromConfig, CONFIGURED);
        let_batches_pass(&telemetry, &mut fixed, 140);
        assert_eq!(fixed.get(), CONFIGURED);
    }
}
