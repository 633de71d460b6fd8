//! Chance that can be repeated: every choice of a test comes from one seed, which it prints and
//! takes back.

use std::{env, time::Duration};

/// Splitmix64, as published by Vigna.
pub(crate) struct Random(u64);

impl Random {
    /// Begins with the seed in this environment variable, or with another one each time.
    #[expect(clippy::print_stdout, reason = "the seed that repeats a run")]
    pub(crate) fn from_env(variable: &str) -> Self {
        let given = env::var(variable).ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
        println!("{variable}={seed}");
        Self(seed)
    }

    /// Any number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    /// Any time below `bound_us` microseconds.
    pub(crate) fn microseconds(&mut self, bound_us: u64) -> Duration {
        Duration::from_micros(self.below(bound_us))
    }
}
