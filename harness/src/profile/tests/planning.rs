//! Expanding a profile into a plan, the order of its blocks, and its cost.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::profile::plan::PlannedTrial;
use crate::store::schema::Plan;

#[test]
fn the_plan_is_the_full_factorial_with_the_last_axis_fastest() {
    let plan = parse(VALID).unwrap().plan(7);
    assert_eq!(plan.seed, 7);
    assert_eq!(plan.blocks, 5);
    assert!((plan.trial_seconds - 0.12).abs() < 1e-12);
    assert!((plan.warmup_seconds - 0.03).abs() < 1e-12);
    let names: Vec<&str> = plan.axes.iter().map(|axis| axis.name.as_str()).collect();
    assert_eq!(names, ["engine", "buffer_size"], "the profile's order, not the alphabet's");
    assert_eq!(plan.axes[1].levels, ["64KiB", "1MiB", "4MiB"]);
    let points: Vec<(&str, &str, u64)> = plan
        .configurations
        .iter()
        .map(|c| (c.id.as_str(), c.settings.engine.as_str(), c.settings.buffer_size_bytes >> 10))
        .collect();
    assert_eq!(
        points,
        [
            ("c00", "blocking", 64),
            ("c01", "blocking", 1024),
            ("c02", "blocking", 4096),
            ("c03", "uring", 64),
            ("c04", "uring", 1024),
            ("c05", "uring", 4096),
        ]
    );
    assert_eq!(plan.sentinel, "c00");
}

#[test]
fn axes_override_the_base_and_the_base_holds_elsewhere() {
    let profile = parse(&format!("{VALID}[base]\nengine = \"auto\"\nclients = 9\n")).unwrap();
    for configuration in &profile.plan(0).configurations {
        assert_ne!(configuration.settings.engine, "auto");
        assert_eq!(configuration.settings.clients, 9);
    }
}

#[test]
fn without_axes_the_plan_is_the_base_alone() {
    let only = VALID.split("[axes]").next().unwrap();
    let plan = parse(only).unwrap().plan(0);
    assert_eq!(plan.axes, []);
    assert_eq!(plan.configurations.len(), 1);
    assert_eq!(block_order(&plan, 0).len(), 3);
}

#[test]
fn a_block_runs_everything_once_between_two_sentinels() {
    let plan = shipped("quick").plan(42);
    for block in 0..plan.blocks {
        let order = block_order(&plan, block);
        let (first, rest) = order.split_first().unwrap();
        let (last, middle) = rest.split_last().unwrap();
        let sentinel = PlannedTrial { config_index: 0, sentinel: true };
        assert_eq!((*first, *last), (sentinel, sentinel));
        assert!(middle.iter().all(|trial| !trial.sentinel));
        let indices: BTreeSet<usize> = middle.iter().map(|trial| trial.config_index).collect();
        assert_eq!(middle.len(), plan.configurations.len());
        assert_eq!(indices, (0..plan.configurations.len()).collect());
    }
}

#[test]
fn orders_repeat_for_a_seed_and_differ_between_seeds_and_blocks() {
    let profile = shipped("quick");
    let orders: Vec<_> = [(1, 0), (1, 1), (2, 0), (2, 1), (0, 1)]
        .into_iter()
        .map(|(seed, block)| block_order(&profile.plan(seed), block))
        .collect();
    for (i, order) in orders.iter().enumerate() {
        assert!(!orders[..i].contains(order), "two orders are the same");
    }
    assert_eq!(block_order(&profile.plan(1), 0), orders[0]);
}

/// If this fails after an update of `rand`, runs stored before it can no longer be resumed in
/// their own order: keep the old shuffle rather than change the numbers below.
#[test]
fn the_order_never_changes_between_versions() {
    let plan = parse(VALID).unwrap().plan(42);
    let order = |block| -> Vec<usize> {
        block_order(&plan, block).iter().map(|trial| trial.config_index).collect()
    };
    assert_eq!(order(0), [0, 4, 3, 5, 1, 0, 2, 0]);
    assert_eq!(order(5), [0, 3, 0, 4, 2, 5, 1, 0]);
}

#[test]
fn every_order_is_equally_likely() {
    let mut plan = parse(VALID).unwrap().plan(0);
    let mut times_seen = BTreeMap::<Vec<usize>, u32>::new();
    for seed in 0..720 * 20 {
        plan.seed = seed;
        let order = block_order(&plan, 1).iter().map(|trial| trial.config_index).collect();
        *times_seen.entry(order).or_default() += 1;
    }
    // Pearson's chi-squared over the 720 orders of 6: mean 719, standard deviation 38.
    assert_eq!(times_seen.len(), 720);
    let squared = |times: &u32| (f64::from(*times) - 20.0).powi(2) / 20.0;
    let chi_squared: f64 = times_seen.values().map(squared).sum();
    assert!((529.0..=909.0).contains(&chi_squared), "{chi_squared}");
}

#[test]
fn a_plan_with_a_strange_sentinel_or_nothing_to_run_has_no_sentinel() {
    let mut plan = parse(VALID).unwrap().plan(0);
    plan.sentinel = "elsewhere".to_string();
    assert!(block_order(&plan, 0).iter().all(|trial| !trial.sentinel));
    assert_eq!(block_order(&plan, 0).len(), 6);
    plan.configurations.clear();
    assert_eq!(block_order(&plan, 0), []);
    assert_eq!(plan_cost(&plan, 1.0).trials, 0);
}

#[test]
fn cost_counts_sentinels_warm_up_and_overhead() {
    let cost = plan_cost(&parse(VALID).unwrap().plan(0), 0.05);
    assert_eq!((cost.trials_per_block, cost.trials), (8, 40));
    assert!((cost.load_seconds - 40.0 * 0.15).abs() < 1e-9);
    assert!((cost.seconds - 40.0 * 0.2).abs() < 1e-9);
    assert!((cost.seconds_per_block - 8.0 * 0.2).abs() < 1e-9);
}

#[test]
fn zeroed_segments_are_written_twice_and_reserved_ones_once() {
    let with_preparation = |preparation: &str| -> Plan {
        let base = format!("[base]\npreparation = \"{preparation}\"\nsegment_size = \"1MB\"\n");
        parse(&format!("{VALID}{base}")).unwrap().plan(0)
    };
    // 40 trials of 0.15 s at 10 MB/s are 1.5 MB of log each: two segments used and one ahead.
    for preparation in ["none", "allocate"] {
        let bytes = plan_written_bytes(&with_preparation(preparation), 10e6);
        assert!((bytes - 40.0 * 1.5e6).abs() < 1.0, "{bytes}");
    }
    for preparation in ["zero", "recycle"] {
        let bytes = plan_written_bytes(&with_preparation(preparation), 10e6);
        assert!((bytes - 40.0 * 4.5e6).abs() < 1.0, "{bytes}");
    }
}

#[test]
fn what_arrives_is_written_whether_the_log_is_fast_or_slow() {
    let plan = parse(&format!("{VALID}[load]\nrate = \"1000/s\"\n")).unwrap().plan(0);
    let settings = &plan.configurations[0].settings;
    let bytes = |speed| trial_log_bytes(&plan, settings, speed);
    // 1,000 records of 256 B and their frames, in 0.15 s; each padded to 4 KiB at most.
    assert_eq!(bytes(1.0), 0.15 * 336_000.0);
    assert_eq!(bytes(1e6), 0.15 * 1e6);
    assert_eq!(bytes(1e12), 0.15 * 4_432_000.0);
    let closed = parse(VALID).unwrap().plan(0);
    assert_eq!(trial_log_bytes(&closed, settings_of(&closed), 1e6), 0.15 * 1e6);
}

fn settings_of(plan: &Plan) -> &crate::store::schema::Settings {
    &plan.configurations[0].settings
}
