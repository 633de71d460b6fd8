//! What the harness itself costs: the driver, the schedule, the payloads and the accounts, offered
//! to a log that does nothing. Stated with every capacity, and measured where that is measured.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Instant;

use plimsoll::Record;

use super::super::Problem;
use super::super::arrivals::Arrivals;
use super::super::payload::Payloads;
use super::accounts::{Accounts, Window};
use super::driver::{Target, drive};
use crate::load::RecordShape;

/// Rounds, of which the median counts: one may be interrupted.
const ROUNDS: usize = 5;

/// All of them are due at once, so that nothing is ever waited for: one in each picosecond.
const RECORDS: u64 = 200_000;
const RATE_PER_SECOND: f64 = 1e12;

/// A log that has everything durable at once.
struct NullDevice {
    epoch: Instant,
    lsn: u64,
}

impl Target for NullDevice {
    type Error = Infallible;

    fn now_ns(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn submit(&mut self, record: &Record<'_>) -> Result<u64, Infallible> {
        black_box(record);
        self.lsn += 1;
        Ok(self.lsn)
    }

    fn durable_lsn(&self) -> u64 {
        self.lsn
    }

    fn wait(&mut self, _moment_ns: u64, _seen_lsn: u64, _on_its_way: bool) {}
}

/// Nanoseconds of the harness's own for each record of such a shape, all of it in the thread that
/// hands them over: making its payload included.
///
/// # Errors
/// When records of that size cannot be had.
pub(crate) fn overhead_ns_per_record(shape: &RecordShape, seed: u64) -> Result<f64, Problem> {
    let payloads = Payloads::shaped(seed, shape)?;
    let mut rounds =
        (0..ROUNDS).map(|_| round(&payloads, seed)).collect::<Result<Vec<f64>, _>>()?;
    rounds.sort_unstable_by(f64::total_cmp);
    Ok(rounds[ROUNDS / 2])
}

fn round(payloads: &Payloads, seed: u64) -> Result<f64, Problem> {
    #[allow(clippy::cast_possible_truncation, reason = "200,000 records fit into any memory")]
    let room = RECORDS as usize * 2;
    let until_ns = RECORDS / 1_000;
    let mut accounts = Accounts::new(Window { from_ns: 0, until_ns }, room)?;
    // A Poisson schedule, whatever the shape: a trace knows moments by the microsecond only.
    let arrivals = Arrivals::new(&RecordShape::fixed(0), RATE_PER_SECOND, seed);
    let mut target = NullDevice { epoch: Instant::now(), lsn: 0 };
    let Ok(()) = drive(&mut target, arrivals, payloads, &mut accounts, (until_ns, u64::MAX)) else {
        return Err(Problem::Failed("a log that does nothing has failed".into()));
    };
    let elapsed_ns = target.now_ns() as f64;
    let (answers, lsns) = accounts.close();
    black_box(&answers);
    Ok(elapsed_ns / lsns.len().max(1) as f64)
}

#[cfg(test)]
#[allow(clippy::print_stdout, reason = "a measurement says what it found")]
mod tests {
    use super::*;

    #[test]
    fn every_record_goes_the_whole_way_through_the_driver() {
        let payloads = Payloads::new(1, 256).expect("a length");
        assert!(round(&payloads, 1).expect("a round") > 1.0, "less than a clock's own reading");
    }

    /// `cargo test --release -p plimsoll-harness cost_of_a_record -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement, meaningful only in a release build on a quiet machine"]
    fn cost_of_a_record() {
        for bytes in [0, 16, 256, 1_024, 4_096] {
            let shape = RecordShape::fixed(bytes);
            let cost_ns = overhead_ns_per_record(&shape, 1).expect("a measurement");
            println!("{bytes:>5} B: {cost_ns:.0} ns of the harness's own for each record");
        }
    }
}
