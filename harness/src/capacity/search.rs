//! The search for the highest rate that is carried: doubling until the objectives break, bisecting
//! to 2 %, and confirming. Knows neither logs nor clocks: what it offers rates to is a trait.

use crate::store::capacity::{Phase, Verdict};

/// How close the search gets: the rate that holds and the one that does not are this far apart.
pub(super) const RESOLUTION_RATIO: f64 = 1.02;

/// Rates below this are not offered.
pub(super) const LOWEST_RATE_PER_SECOND: f64 = 10.0;

/// A single miss may be a stall of somebody else's: so many in a row are believed.
const MISSES_BELIEVED: u32 = 2;

/// Where the generator is late at one rate it may keep up with a lower one; where it is late at so many
/// in a row, the machine is too busy to measure on.
const UNKNOWNS_BELIEVED: u32 = 2;

/// A probe is made longer for the sake of its sample, but not longer than so many times.
pub(super) const LONGER_TIMES_MAX: f64 = 12.0;

/// Room in a sample that is computed ahead.
const SAMPLE_MARGIN: f64 = 1.2;

/// A rate that is not confirmed is stepped back from, by 2 % at first and then twice as far each
/// time, so many times.
pub(super) const STEPS_BACK: u32 = 5;
const FIRST_STEP_BACK: f64 = 0.02;

/// Who offers a rate and says what came of it.
pub(super) trait Offers {
    /// What ends the search: an interruption, or a log that failed.
    type Error;

    /// Offers `rate_per_second` for so long.
    fn offer(
        &mut self,
        phase: Phase,
        rate_per_second: f64,
        seconds: f64,
    ) -> Result<Offered, Self::Error>;
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Offered {
    pub(super) verdict: Verdict,
    pub(super) commit_groups: u64,
}

/// Where to search and how long to look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SearchPlan {
    pub(super) first_rate_per_second: f64,
    pub(super) max_rate_per_second: f64,
    pub(super) probe_seconds: f64,
    pub(super) confirm_seconds: f64,
    pub(super) confirmations: u32,
    /// Commit groups that the strictest objective needs.
    pub(super) groups_needed: u64,
}

/// Whether a rate is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Carried,
    Broken,
    /// The sample cannot be made large enough, or the generator is too slow.
    Unknown,
}

/// Searches. What was found is in what was offered.
pub(super) fn search<O: Offers>(plan: &SearchPlan, offers: &mut O) -> Result<(), O::Error> {
    let mut search = Search { plan, offers, learned: None };
    let Some((mut carried, broken)) = search.bracket()? else { return Ok(()) };
    if let Some(mut broken) = broken {
        while broken / carried > RESOLUTION_RATIO {
            let middle = (carried * broken).sqrt();
            match search.probe(Phase::Bisect, middle)? {
                Standing::Carried => carried = middle,
                Standing::Broken | Standing::Unknown => broken = middle,
            }
        }
    }
    search.confirm(carried)
}

struct Search<'a, O> {
    plan: &'a SearchPlan,
    offers: &'a mut O,
    /// At this rate a probe had to be this long, seconds, for its sample.
    learned: Option<(f64, f64)>,
}

impl<O: Offers> Search<'_, O> {
    /// A rate that is carried, and one not far above that is not, if there is one below the highest
    /// allowed. `None` if nothing is carried.
    fn bracket(&mut self) -> Result<Option<(f64, Option<f64>)>, O::Error> {
        let mut rate = self.plan.first_rate_per_second;
        let (mut broken, mut unknowns) = (None, 0);
        loop {
            match self.probe(Phase::Bracket, rate)? {
                Standing::Carried => break,
                Standing::Broken => unknowns = 0,
                Standing::Unknown => unknowns += 1,
            }
            if rate <= LOWEST_RATE_PER_SECOND || unknowns == UNKNOWNS_BELIEVED {
                return Ok(None);
            }
            broken = Some(rate);
            rate = (rate / 2.0).max(LOWEST_RATE_PER_SECOND);
        }
        while broken.is_none() && rate < self.plan.max_rate_per_second {
            let next = (rate * 2.0).min(self.plan.max_rate_per_second);
            match self.probe(Phase::Bracket, next)? {
                Standing::Carried => rate = next,
                Standing::Broken | Standing::Unknown => broken = Some(next),
            }
        }
        Ok(Some((rate, broken)))
    }

    /// Offers a rate until it is known whether it is carried.
    fn probe(&mut self, phase: Phase, rate: f64) -> Result<Standing, O::Error> {
        let longest = self.plan.probe_seconds * LONGER_TIMES_MAX;
        let mut seconds = self.seconds_for(rate).min(longest);
        let mut misses = 0;
        loop {
            let offered = self.offers.offer(phase, rate, seconds)?;
            match offered.verdict {
                Verdict::Met => return Ok(Standing::Carried),
                Verdict::Overloaded { .. } | Verdict::Failed { .. } => return Ok(Standing::Broken),
                Verdict::Missed { .. } | Verdict::Invalid { .. } => {
                    misses += 1;
                    if misses == MISSES_BELIEVED {
                        let late = matches!(offered.verdict, Verdict::Invalid { .. });
                        return Ok(if late { Standing::Unknown } else { Standing::Broken });
                    }
                }
                Verdict::Unsupported { groups_needed } => {
                    if seconds >= longest {
                        return Ok(Standing::Unknown);
                    }
                    let times = groups_needed as f64 / offered.commit_groups.max(1) as f64;
                    seconds = (seconds * times * SAMPLE_MARGIN).min(longest);
                    self.learned = Some((rate, seconds));
                }
            }
        }
    }

    /// A batch holds at least one record, so that a low rate needs a long look.
    fn seconds_for(&self, rate: f64) -> f64 {
        let at_least = self.plan.groups_needed as f64 / rate * SAMPLE_MARGIN;
        let learned = self.learned.filter(|(known, _)| (rate / known - 1.0).abs() < 0.5);
        self.plan.probe_seconds.max(at_least).max(learned.map_or(0.0, |(_, seconds)| seconds))
    }

    /// Looks again, and longer, and steps back from a rate that does not hold each time.
    fn confirm(&mut self, carried: f64) -> Result<(), O::Error> {
        let (mut rate, mut step) = (carried, FIRST_STEP_BACK);
        for _ in 0..=STEPS_BACK {
            if self.holds_each_time(rate)? {
                return Ok(());
            }
            rate *= 1.0 - step;
            step *= 2.0;
        }
        Ok(())
    }

    fn holds_each_time(&mut self, rate: f64) -> Result<bool, O::Error> {
        let seconds = self.plan.confirm_seconds.max(self.seconds_for(rate));
        for _ in 0..self.plan.confirmations {
            let offered = self.offers.offer(Phase::Confirm, rate, seconds)?;
            if offered.verdict != Verdict::Met {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Carries everything up to a limit, and takes note of what it was offered.
    struct Limited {
        limit: f64,
        /// Offers that are missed whatever the rate.
        stalls: Vec<usize>,
        offered: Vec<(Phase, f64, f64)>,
    }

    impl Offers for Limited {
        type Error = Infallible;

        fn offer(&mut self, phase: Phase, rate: f64, seconds: f64) -> Result<Offered, Infallible> {
            let stalled = self.stalls.contains(&self.offered.len());
            self.offered.push((phase, rate, seconds));
            let missed = || Verdict::Missed { reason: String::new() };
            let verdict = if rate > self.limit || stalled { missed() } else { Verdict::Met };
            Ok(Offered { verdict, commit_groups: 10_000 })
        }
    }

    const PLAN: SearchPlan = SearchPlan {
        first_rate_per_second: 1_000.0,
        max_rate_per_second: 1e6,
        probe_seconds: 5.0,
        confirm_seconds: 30.0,
        confirmations: 3,
        groups_needed: 459,
    };

    fn searched(limit: f64, stalls: &[usize]) -> Vec<(Phase, f64, f64)> {
        let mut limited = Limited { limit, stalls: stalls.to_vec(), offered: Vec::new() };
        search(&PLAN, &mut limited).expect("cannot fail");
        limited.offered
    }

    fn rates(offered: &[(Phase, f64, f64)], phase: Phase) -> Vec<f64> {
        offered.iter().filter(|(at, ..)| *at == phase).map(|(_, rate, _)| *rate).collect()
    }

    #[test]
    fn the_answer_is_within_2_percent_below_the_limit_wherever_it_is() {
        for limit in [12.0, 999.0, 1_000.0, 1_001.0, 37_000.0, 640_000.0] {
            let offered = searched(limit, &[]);
            let confirmed = rates(&offered, Phase::Confirm);
            assert_eq!(confirmed.len(), 3, "{limit}");
            assert!(confirmed.iter().all(|rate| *rate == confirmed[0]), "{limit}");
            let off = limit / confirmed[0];
            assert!((1.0..=RESOLUTION_RATIO).contains(&off), "{limit}: {off}");
        }
    }

    #[test]
    fn it_doubles_then_bisects_then_looks_longer() {
        let offered = searched(5_000.0, &[]);
        let bracket = rates(&offered, Phase::Bracket);
        assert_eq!(
            bracket,
            [1_000.0, 2_000.0, 4_000.0, 8_000.0, 8_000.0],
            "a miss is looked at twice"
        );
        let probes_are_short = |(phase, _, seconds): &(Phase, f64, f64)| match phase {
            Phase::Confirm => *seconds == 30.0,
            _ => *seconds == 5.0,
        };
        assert!(offered.iter().all(probes_are_short));
        let low = searched(30.0, &[]);
        // 459 groups at 31.25 records a second take longer than 5 s.
        let (_, rate, seconds) = low[low.len() - 1];
        assert!(rate * seconds >= 459.0, "{rate} {seconds}");
    }

    #[test]
    fn one_stall_of_somebody_elses_decides_nothing() {
        let calm = searched(5_000.0, &[]);
        let stalled = searched(5_000.0, &[1]);
        assert_eq!(stalled.len(), calm.len() + 1);
        assert_eq!(rates(&stalled, Phase::Confirm), rates(&calm, Phase::Confirm));
    }

    #[test]
    fn a_rate_that_is_not_confirmed_is_stepped_back_from() {
        let calm = searched(5_000.0, &[]);
        let second_confirmation = calm.len() - 2;
        let confirmed = rates(&searched(5_000.0, &[second_confirmation]), Phase::Confirm);
        assert_eq!(confirmed.len(), 5);
        assert!((confirmed[2] / confirmed[0] - 0.98).abs() < 1e-9);
        assert_eq!(confirmed[2..], [confirmed[2]; 3]);
    }

    #[test]
    fn a_machine_on_which_the_generator_is_always_late_is_not_searched_to_the_bottom() {
        struct Late(Vec<f64>);
        impl Offers for Late {
            type Error = Infallible;

            fn offer(&mut self, _: Phase, rate: f64, _: f64) -> Result<Offered, Infallible> {
                self.0.push(rate);
                let verdict = Verdict::Invalid { reason: String::new() };
                Ok(Offered { verdict, commit_groups: 10_000 })
            }
        }
        let mut late = Late(Vec::new());
        search(&PLAN, &mut late).expect("cannot fail");
        assert_eq!(late.0, [1_000.0, 1_000.0, 500.0, 500.0]);
    }

    #[test]
    fn what_carries_nothing_or_everything_ends_the_search() {
        let nothing = searched(1.0, &[]);
        assert!(rates(&nothing, Phase::Confirm).is_empty());
        assert!(nothing.iter().all(|(_, rate, _)| *rate >= LOWEST_RATE_PER_SECOND));
        let everything = searched(1e9, &[]);
        assert_eq!(rates(&everything, Phase::Confirm), [1e6; 3]);
        assert!(rates(&everything, Phase::Bisect).is_empty());
    }
}
