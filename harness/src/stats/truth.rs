//! The noise of the machine that this was developed on, for the tests that show that a verdict can
//! be trusted. Only ever compiled for tests.
//!
//! Where the numbers come from: two cores of a virtual machine, a virtio disk, ext4. Equal runs of
//! `plimsoll sweep`: four configurations (engine and encryption), 4 clients, 256 B, nine blocks of
//! trials of 0.6 s, nothing else running. The logarithms of the rates of neighbouring trials, 0.7 s
//! apart, differ by 8 to 10 % (divided by the root of 2), and of trials 12 to 20 s apart by 11 to
//! 14 %; within trials of 10 s, where the quick noise averages out, neighbours still differ by 9 to
//! 12 % and every second one by 13 to 18 %. So there is quick noise of its own in every trial, and
//! a drift that forgets itself within a quarter of a minute, in which a nightly run's ordinary
//! trials would drown a regression of 5 %. That is why builds are measured in turns, and in short
//! ones. (With its burst allowance spent the same disk falls from 9,700 durable writes a second to
//! 280, and equal blocks lie apart by half: no method finds 5 % there, and none is claimed to.)
//! A night's result, 150 blocks spread over half an hour, would still move with that drift by about
//! 3 %: that one number is calculated, since no whole night was measured.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Standard deviation of the logarithm of a short trial's rate, beside the drift.
pub(crate) const TRIAL_SIGMA: f64 = 0.085;

/// Standard deviation of the drift.
pub(crate) const DRIFT_SIGMA: f64 = 0.13;

/// Seconds in which the drift's correlation falls to 1/e.
pub(crate) const DRIFT_SECONDS: f64 = 18.0;

/// Standard deviation of the logarithm of a night's result. Calculated, not measured.
pub(crate) const NIGHT_SIGMA: f64 = 0.03;

/// A machine that drifts.
pub(crate) struct Machine {
    pub(crate) rng: Xoshiro256PlusPlus,
    drift: f64,
}

impl Machine {
    /// A machine at some point of its drift.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let drift = DRIFT_SIGMA * normal(&mut rng);
        Self { rng, drift }
    }

    /// Its drift after so many more seconds: an Ornstein–Uhlenbeck process, sampled exactly.
    pub(crate) fn after(&mut self, seconds: f64) -> f64 {
        let kept = (-seconds / DRIFT_SECONDS).exp();
        let fresh = DRIFT_SIGMA * (1.0 - kept * kept).sqrt();
        self.drift = kept * self.drift + fresh * normal(&mut self.rng);
        self.drift
    }

    /// The quick noise of one number of one trial.
    pub(crate) fn quick(&mut self, sigma: f64) -> f64 {
        sigma * normal(&mut self.rng)
    }
}

/// A standard normal number, by Box and Muller.
pub(crate) fn normal(rng: &mut Xoshiro256PlusPlus) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}
