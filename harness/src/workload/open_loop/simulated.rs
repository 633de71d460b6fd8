//! A device with a fixed service time under a clock of its own, so that what the driver measures
//! can be held against what queueing theory says, to the nanosecond and on any machine.

use std::collections::VecDeque;
use std::convert::Infallible;

use plimsoll::Record;

use super::super::arrivals::Arrivals;
use super::super::payload::Payloads;
use super::Answers;
use super::accounts::{Accounts, Window};
use super::driver::{Target, drive};
use crate::load::RecordShape;

/// Serves one record after the other, each in the same time: with Poisson arrivals an M/D/1 queue.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedDevice {
    /// Of each record.
    pub(crate) service_ns: u64,
    /// Nothing is begun from the one moment until the other.
    pub(crate) stall_ns: Option<(u64, u64)>,
    /// Whether the caller is held until its record is durable, as by a log without handles.
    pub(crate) holds_its_caller: bool,
    /// What taking a record costs the caller.
    pub(crate) submit_ns: u64,
}

impl SimulatedDevice {
    pub(crate) fn serving_in(service_ns: u64) -> Self {
        Self { service_ns, stall_ns: None, holds_its_caller: false, submit_ns: 0 }
    }

    /// Offers it records at such a rate, after so much warm-up for so long.
    pub(crate) fn offered(
        &self,
        rate_per_second: f64,
        seed: u64,
        (warmup_ns, measured_ns): (u64, u64),
    ) -> Answers {
        let shape = RecordShape::fixed(16);
        let window = Window { from_ns: warmup_ns, until_ns: warmup_ns + measured_ns };
        let mut accounts = Accounts::new(window, 0).expect("histograms");
        let payloads = Payloads::new(seed, 16).expect("a length");
        let mut queue = Queue { device: self.clone(), ..Queue::default() };
        let arrivals = Arrivals::new(&shape, rate_per_second, seed);
        let ends = (window.until_ns, u64::MAX);
        drive(&mut queue, arrivals, &payloads, &mut accounts, ends).expect("all are served");
        accounts.close().0
    }
}

impl Default for SimulatedDevice {
    fn default() -> Self {
        Self::serving_in(0)
    }
}

/// The device at work.
#[derive(Debug, Default)]
struct Queue {
    device: SimulatedDevice,
    now_ns: u64,
    free_at_ns: u64,
    /// When each record in it will be durable.
    completions_ns: VecDeque<u64>,
    submitted: u64,
    durable: u64,
}

impl Queue {
    fn proceed_to(&mut self, moment_ns: u64) {
        self.now_ns = self.now_ns.max(moment_ns);
        while self.completions_ns.front().is_some_and(|at_ns| *at_ns <= self.now_ns) {
            self.completions_ns.pop_front();
            self.durable += 1;
        }
    }
}

impl Target for Queue {
    type Error = Infallible;

    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn submit(&mut self, _record: &Record<'_>) -> Result<u64, Infallible> {
        let mut begins_ns = self.now_ns.max(self.free_at_ns);
        if let Some((from_ns, until_ns)) = self.device.stall_ns
            && (from_ns..until_ns).contains(&begins_ns)
        {
            begins_ns = until_ns;
        }
        self.free_at_ns = begins_ns + self.device.service_ns;
        self.completions_ns.push_back(self.free_at_ns);
        self.submitted += 1;
        let held_until_ns = if self.device.holds_its_caller { self.free_at_ns } else { 0 };
        self.proceed_to(held_until_ns.max(self.now_ns + self.device.submit_ns));
        Ok(self.submitted)
    }

    fn durable_lsn(&self) -> u64 {
        self.durable
    }

    fn wait(&mut self, moment_ns: u64, _seen_lsn: u64, _on_its_way: bool) {
        let next_ns = self.completions_ns.front().map_or(moment_ns, |at_ns| moment_ns.min(*at_ns));
        self.proceed_to(next_ns);
    }
}

/// What M/D/1 promises: the sojourn time, nanoseconds, that a share of all records is not above.
///
/// A. K. Erlang, "The theory of probabilities and telephone conversations" (1909): the waiting time
/// is at most t with probability (1 - ρ) Σ (λ(jD - t))^j / j! · e^(λ(t - jD)), j from 0 to t/D.
/// Its terms cancel, so that in doubles it holds up to a load of about 0.8.
pub(crate) fn m_d_1_quantile_ns(rate_per_second: f64, service_ns: f64, quantile: f64) -> f64 {
    let rate = rate_per_second / 1e9;
    let load = rate * service_ns;
    let waits_at_most = |t: f64| {
        let (mut sum, mut j) = (0.0, 0_u32);
        while f64::from(j) * service_ns <= t {
            let x = rate * (t - f64::from(j) * service_ns);
            let factor = (1..=j).fold(1.0, |product, k| product * -x / f64::from(k));
            sum += factor * x.exp();
            j += 1;
        }
        (1.0 - load) * sum
    };
    let (mut low, mut high) = (0.0, 40.0 * service_ns);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if waits_at_most(middle) < quantile { low = middle } else { high = middle }
    }
    service_ns + high
}
