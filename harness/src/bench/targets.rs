//! The targets that ratios are held to. Those that were set as absolute numbers on one machine are
//! multiples here, so that they say something of other disks too.

use serde::Serialize;

/// What a ratio is held to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    AtLeast {
        ratio: f64,
        /// The target as it was set on the reference machine, if that was no ratio.
        origin: Option<&'static str>,
    },
    AtMost {
        ratio: f64,
        origin: Option<&'static str>,
    },
}

impl Target {
    pub(super) fn is_met(self, found: f64) -> bool {
        match self {
            Self::AtLeast { ratio, .. } => found >= ratio,
            Self::AtMost { ratio, .. } => found <= ratio,
        }
    }
}

/// Single durable writes a second (F0) of the machine that the targets were set on.
pub(super) const REFERENCE_F0_PER_SECOND: f64 = 24_300.0;

/// Payload of 4 KiB records, as a share of what the device takes in 256 KiB writes.
pub(super) const SHARE_OF_THE_DISK_BY_THREADS: f64 = 0.70;
pub(super) const SHARE_OF_THE_DISK_BY_TASKS: f64 = 0.90;

pub(super) const fn at_least(ratio: f64) -> Option<Target> {
    Some(Target::AtLeast { ratio, origin: None })
}

pub(super) const fn at_most(ratio: f64) -> Option<Target> {
    Some(Target::AtMost { ratio, origin: None })
}

/// A rate of the reference machine, as a multiple of its F0.
const fn at_least_per_second(rate: f64, origin: &'static str) -> Option<Target> {
    Some(Target::AtLeast { ratio: rate / REFERENCE_F0_PER_SECOND, origin: Some(origin) })
}

/// The targets of a rate and a p99.
pub(super) type Targets = (Option<Target>, Option<Target>);

pub(super) const OF_ONE_CLIENT: Targets = (at_least(0.97), at_most(1.1));
pub(super) const OF_8_THREADS: Targets =
    (at_least_per_second(100_000.0, "100 k/s at an F0 of 24.3 k/s"), at_most(3.0));
pub(super) const OF_64_THREADS: Targets = (
    at_least_per_second(500_000.0, "500 k/s at an F0 of 24.3 k/s"),
    Some(Target::AtMost { ratio: 12.0, origin: Some("500 µs at 41 µs a write") }),
);
pub(super) const OF_256_TASKS: Targets = (
    at_least_per_second(2_000_000.0, "2,000 k/s at an F0 of 24.3 k/s"),
    Some(Target::AtMost { ratio: 4.9, origin: Some("200 µs at 41 µs a write") }),
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_met_at_their_own_value_and_on_the_right_side() {
        let least = Target::AtLeast { ratio: 0.97, origin: None };
        let most = Target::AtMost { ratio: 1.1, origin: None };
        assert!(least.is_met(0.97) && least.is_met(2.0) && !least.is_met(0.969));
        assert!(most.is_met(1.1) && most.is_met(0.5) && !most.is_met(1.101));
        assert!(!least.is_met(f64::NAN) && !most.is_met(f64::NAN));
    }

    #[test]
    fn absolute_targets_are_multiples_of_the_reference_machines_f0() {
        let (Some(Target::AtLeast { ratio, origin }), _) = OF_64_THREADS else {
            panic!("no target");
        };
        assert!((ratio - 20.6).abs() < 0.05, "{ratio}");
        assert!(origin.is_some());
    }
}
