//! The open loop: records arrive on a schedule, whatever the log does, and latency counts from when
//! each was due. The same driver offers them to the real log and, in tests, to a simulated device
//! with a clock of its own.

mod accounts;
mod driver;
mod log;
mod overhead;
mod pace;
#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;

#[cfg(test)]
use hdrhistogram::Histogram;

pub(crate) use accounts::Answers;
pub(crate) use log::{OpenLoad, OpenMeasurement, run_open};
pub(crate) use overhead::overhead_ns_per_record;
pub(crate) use pace::{Fault, Pace};
