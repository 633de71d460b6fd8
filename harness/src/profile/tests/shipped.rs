//! The profiles that ship are valid and say the truth about themselves.

use std::collections::BTreeSet;

use super::*;
use crate::units::format_data;

#[test]
fn shipped_profiles_state_the_cost_that_their_plan_has() {
    for name in ["quick", "nightly", "gate", "full"] {
        let profile = shipped(name);
        let plan = profile.plan(1);
        let cost = plan_cost(&plan, assumed_overhead_seconds(&plan));
        let time = format_seconds(cost.seconds);
        let data = plan_written_bytes(&plan, ASSUMED_LOG_BYTES_PER_SECOND);
        let data = format_data(data);
        let stated = format!(
            "{} trials, {time}; writes {data} at 100 MB/s of log, zeroed segments included",
            cost.trials
        );
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
