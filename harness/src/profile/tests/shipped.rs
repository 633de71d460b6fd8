//! The profiles that ship are valid and say the truth about themselves.

use std::collections::BTreeSet;

use super::*;
use crate::units::format_data;

#[test]
fn shipped_profiles_state_the_cost_that_their_plan_has() {
    for name in ["quick", "nightly", "gate", "full", "steady"] {
        let profile = shipped(name);
        let plan = profile.plan(1);
        let cost = plan_cost(&plan, assumed_overhead_seconds(&plan));
        let time = format_seconds(cost.seconds);
        let data = plan_written_bytes(&plan, ASSUMED_LOG_BYTES_PER_SECOND);
        let data = format_data(data);
        let stated = if plan.round_seconds.is_some() {
            let longest = longest(&plan);
            let most_time = plan_cost(&longest, assumed_overhead_seconds(&plan)).seconds;
            let most_data = plan_written_bytes(&longest, ASSUMED_LOG_BYTES_PER_SECOND);
            format!(
                "{} trials, {time} if each is steady at once and {} if none ever is; writes {data} \
                 to {} at 100 MB/s of log",
                cost.trials,
                format_seconds(most_time),
                format_data(most_data)
            )
        } else {
            format!(
                "{} trials, {time}; writes {data} at 100 MB/s of log, zeroed segments included",
                cost.trials
            )
        };
        assert_eq!(profile.cost, stated, "{name}.toml");
        let budget = profile.time_budget.expect("a time budget").as_secs_f64();
        assert!(cost.seconds < budget, "{name}.toml does not fit its own budget");
        assert_eq!(profile.name, name);
    }
}

#[test]
fn shipped_profiles_have_the_size_their_comments_say() {
    for (name, configurations, axes, blocks, min_blocks) in [
        ("quick", 64, 6, 5, 3),
        ("nightly", 16, 4, 9, 6),
        ("gate", 4, 2, 1, 1),
        ("full", 2_048, 11, 6, 3),
        ("steady", 4, 2, 6, 3),
    ] {
        let profile = shipped(name);
        let plan = profile.plan(1);
        assert_eq!((plan.configurations.len(), plan.axes.len()), (configurations, axes), "{name}");
        assert_eq!((profile.blocks, profile.min_blocks), (blocks, min_blocks), "{name}");
        assert!(profile.description.starts_with(&format!("{configurations} combinations")));
        let distinct: BTreeSet<String> =
            plan.configurations.iter().map(|c| format!("{:?}", c.settings)).collect();
        assert_eq!(distinct.len(), configurations, "{name} has two equal configurations");
    }
}

#[test]
fn the_profile_that_claims_a_steady_state_has_one_and_the_others_do_not_claim_it() {
    for name in ["quick", "nightly", "gate", "full"] {
        let profile = shipped(name);
        assert_eq!((profile.snia_steady_state, profile.round), (false, None), "{name}");
    }
    let steady = shipped("steady");
    assert!(steady.snia_steady_state);
    assert_eq!(steady.round, Some(Duration::from_secs(60)));
    // All that its own settings leave of each trial's log is recycled.
    assert_eq!(steady.base.preparation, "recycle");
}
