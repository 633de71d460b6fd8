//! Whether this process may use io_uring, and what the kernel's can do of what a log asks of it.

use std::io;

use io_uring::{IoUring, Probe, opcode};
use serde::Serialize;

/// Entries of the ring that is tried, which is what a log with a few batches in flight has.
const ENTRIES: u32 = 8;

/// What the log submits.
const NEEDED: [(&str, u8); 3] = [
    ("write", opcode::Write::CODE),
    ("write_fixed", opcode::WriteFixed::CODE),
    ("fsync", opcode::Fsync::CODE),
];

/// io_uring, as a log would find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", tag = "state", deny_unknown_fields)]
pub(crate) enum IoUringState {
    /// A ring can be had.
    Usable {
        /// Of what the kernel says it can (io_uring_setup(2)): what matters to a log.
        features: Vec<String>,
        /// Operations that a log needs and the kernel has not.
        missing_operations: Vec<String>,
        /// Whether a ring may belong to one thread (Linux 6.1), for a log with `single_issuer`.
        single_issuer: bool,
    },
    /// It cannot.
    Refused {
        /// The kernel's reason.
        reason: String,
    },
}

/// Sets up a ring and asks it.
pub(crate) fn io_uring_state() -> IoUringState {
    let ring = match IoUring::new(ENTRIES) {
        Ok(ring) => ring,
        Err(error) => return IoUringState::Refused { reason: error.to_string() },
    };
    let mut probe = Probe::new();
    // A kernel without probes (before 5.6) has none of the operations but the oldest.
    let known = ring.submitter().register_probe(&mut probe).is_ok();
    let is_missing = |code: u8| !known || !probe.is_supported(code);
    let of_one_thread: io::Result<IoUring> =
        IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(ENTRIES);
    let missing = NEEDED.iter().filter(|(_, code)| is_missing(*code));
    IoUringState::Usable {
        features: features(ring.params()),
        missing_operations: missing.map(|(name, _)| (*name).to_owned()).collect(),
        single_issuer: of_one_thread.is_ok(),
    }
}

fn features(parameters: &io_uring::Parameters) -> Vec<String> {
    let all = [
        ("nodrop", parameters.is_feature_nodrop()),
        ("submit_stable", parameters.is_feature_submit_stable()),
        ("native_workers", parameters.is_feature_native_workers()),
        ("ext_arg", parameters.is_feature_ext_arg()),
        ("resource_tagging", parameters.is_feature_resource_tagging()),
        ("min_timeout", parameters.is_feature_min_timeout()),
    ];
    all.iter().filter(|(_, has)| *has).map(|(name, _)| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What else could be asserted is the machine's: a sandbox may forbid io_uring.
    #[test]
    fn a_ring_is_had_or_refused_with_a_reason() {
        match io_uring_state() {
            IoUringState::Usable { features, missing_operations, .. } => {
                assert!(features.contains(&"nodrop".to_owned()), "since Linux 5.5: {features:?}");
                assert!(missing_operations.is_empty(), "{missing_operations:?}");
            }
            IoUringState::Refused { reason } => assert!(reason.contains("os error"), "{reason}"),
        }
    }
}
