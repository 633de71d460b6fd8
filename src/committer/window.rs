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
