//! Whether two runs may be compared: what of plan, machine and schema must be equal, and what is
//! worth telling where it is not. A kernel or a build is what a comparison is to judge, so those
//! are told; another disk is another measurement.

use std::fmt;

use super::schema::{Environment, Manifest, Plan};

/// What follows from a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The numbers are of different things.
    Refuses,
    /// The numbers compare, and this may be why they differ.
    IsTold,
}

/// Something that is not the same in two runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Name of the thing, as in `manifest.json`.
    pub(crate) what: &'static str,
    /// In the first run.
    pub(crate) base: String,
    /// In the second.
    pub(crate) new: String,
    /// What follows.
    pub(crate) weight: Weight,
}

const BUILD: &str = "plimsoll_version";

impl Difference {
    /// Whether it is the program itself that differs.
    pub(crate) fn is_build(&self) -> bool {
        self.what == BUILD
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} and {}", self.what, self.base, self.new)
    }
}

/// Everything that differs between two runs, the refusals first.
pub(crate) fn differences(base: &Manifest, new: &Manifest) -> Vec<Difference> {
    let (a, b) = (&base.environment_before, &new.environment_before);
    let mut found = Found(Vec::new());
    found.refuses("schema_version", &base.schema_version, &new.schema_version);
    plan_differences(base, new, &mut found);
    machine_differences(a, b, &mut found);
    found.refuses("build profile", profile_of(a), profile_of(b));
    found.is_told(BUILD, &a.plimsoll_version, &b.plimsoll_version);
    found.is_told("kernel", &a.kernel, &b.kernel);
    found.is_told("cpu_governor", optional(&a.cpu_governor), optional(&b.cpu_governor));
    let limits = |e: &Environment| {
        format!("{:?} CPUs, {:?} bytes", e.cgroup_cpu_limit, e.cgroup_memory_limit_bytes)
    };
    found.is_told("cgroup limits", &limits(a), &limits(b));
    found.is_told("mount_options", optional(&a.mount_options), optional(&b.mount_options));
    found.is_told("device_firmware", optional(&a.device_firmware), optional(&b.device_firmware));
    found.is_told("write_cache", optional(&a.write_cache), optional(&b.write_cache));
    found.is_told("scheduler", optional(&a.scheduler), optional(&b.scheduler));
    let queue = |e: &Environment| format!("{:?}", e.queue_limits);
    found.is_told("queue_limits", &queue(a), &queue(b));
    found.0.sort_by_key(|difference| difference.weight == Weight::IsTold);
    found.0
}

/// The seed, and how many blocks there are, may differ: neither says what is measured.
fn plan_differences(base: &Manifest, new: &Manifest, found: &mut Found) {
    let (a, b) = (&base.plan, &new.plan);
    found.refuses("profile", &base.profile_name, &new.profile_name);
    let seconds = |value: f64| format!("{value} s");
    found.refuses("trial", &seconds(a.trial_seconds), &seconds(b.trial_seconds));
    found.refuses("warmup", &seconds(a.warmup_seconds), &seconds(b.warmup_seconds));
    let round = |plan: &Plan| plan.round_seconds.map_or_else(|| "no rounds".to_owned(), seconds);
    found.refuses("round", &round(a), &round(b));
    found.refuses("load", &load_of(a), &load_of(b));
    if a.configurations != b.configurations || a.sentinel != b.sentinel {
        let count = |count: usize| format!("{count} configurations");
        found.0.push(Difference {
            what: "plan",
            base: count(a.configurations.len()),
            new: format!("{} with other settings", count(b.configurations.len())),
            weight: Weight::Refuses,
        });
    }
}

/// What of the load no setting says. A trace is what it holds, wherever it lies.
fn load_of(plan: &Plan) -> String {
    let Some(load) = &plan.load else { return "records of one size from threads".to_owned() };
    let sizes = load.record_sizes.as_deref().unwrap_or("one size");
    let trace = load.trace.as_ref().map_or("none", |trace| trace.sha256.as_str());
    format!(
        "{:?}, records of {sizes}, {} tenants, {} compressible, trace {trace}",
        load.callers, load.tenants, load.compressible_ratio
    )
}

fn machine_differences(a: &Environment, b: &Environment, found: &mut Found) {
    found.refuses("hostname", &a.hostname, &b.hostname);
    found.refuses("cpu_model", optional(&a.cpu_model), optional(&b.cpu_model));
    found.refuses("cpus", &a.cpus.to_string(), &b.cpus.to_string());
    found.refuses("device_model", optional(&a.device_model), optional(&b.device_model));
    found.refuses(
        "device_serial_hash",
        optional(&a.device_serial_hash),
        optional(&b.device_serial_hash),
    );
    let block = |e: &Environment| format!("{:?}", e.physical_block_bytes);
    found.refuses("physical_block_bytes", &block(a), &block(b));
    found.refuses("filesystem", optional(&a.filesystem), optional(&b.filesystem));
}

/// A debug build's numbers are worth nothing beside a release build's.
fn profile_of(environment: &Environment) -> &str {
    environment.plimsoll_version.rsplit(' ').next().unwrap_or_default()
}

fn optional(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or("unknown")
}

struct Found(Vec<Difference>);

impl Found {
    fn refuses(&mut self, what: &'static str, base: &str, new: &str) {
        self.add(what, base, new, Weight::Refuses);
    }

    fn is_told(&mut self, what: &'static str, base: &str, new: &str) {
        self.add(what, base, new, Weight::IsTold);
    }

    fn add(&mut self, what: &'static str, base: &str, new: &str, weight: Weight) {
        if base != new {
            let (base, new) = (base.to_owned(), new.to_owned());
            self.0.push(Difference { what, base, new, weight });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::{PlanCallers, PlanLoad};
    use crate::store::synthetic::SyntheticRun;

    type Alteration = fn(&mut Manifest);

    fn found(change: impl Fn(&mut Manifest)) -> Vec<(&'static str, Weight)> {
        let base = SyntheticRun::small().manifest;
        let mut new = base.clone();
        change(&mut new);
        let found = differences(&base, &new);
        found.into_iter().map(|difference| (difference.what, difference.weight)).collect()
    }

    fn tenants(tenants: u32) -> PlanLoad {
        PlanLoad {
            callers: PlanCallers::Threads,
            record_sizes: None,
            tenants,
            compressible_ratio: 0.0,
            trace: None,
        }
    }

    #[test]
    fn another_machine_plan_or_schema_refuses() {
        let changes: [(&str, Alteration); 12] = [
            ("schema_version", |m| m.schema_version = "1.9".to_owned()),
            ("profile", |m| m.profile_name = "other".to_owned()),
            ("trial", |m| m.plan.trial_seconds = 9.0),
            ("round", |m| m.plan.round_seconds = Some(1.0)),
            ("load", |m| m.plan.load = Some(tenants(2))),
            ("plan", |m| m.plan.configurations[0].settings.rate_per_second = Some(5.0)),
            ("plan", |m| m.plan.configurations[0].settings.clients += 1),
            ("hostname", |m| m.environment_before.hostname = "other".to_owned()),
            ("cpus", |m| m.environment_before.cpus += 1),
            ("device_serial_hash", |m| m.environment_before.device_serial_hash = None),
            ("filesystem", |m| m.environment_before.filesystem = Some("ext4".to_owned())),
            ("build profile", |m| m.environment_before.plimsoll_version = "1 debug".to_owned()),
        ];
        for (what, change) in changes {
            let found = found(change);
            assert_eq!(found.first(), Some(&(what, Weight::Refuses)), "{found:?}");
        }
    }

    #[test]
    fn what_a_nightly_run_is_to_judge_is_told() {
        let changes: [(&str, Alteration); 4] = [
            ("kernel", |m| m.environment_before.kernel = "Linux 7.0".to_owned()),
            ("device_firmware", |m| m.environment_before.device_firmware = None),
            ("write_cache", |m| m.environment_before.write_cache = None),
            ("cgroup limits", |m| m.environment_before.cgroup_cpu_limit = Some(2.0)),
        ];
        for (what, change) in changes {
            assert_eq!(found(change), [(what, Weight::IsTold)]);
        }
        let build = |m: &mut Manifest| {
            let version = &mut m.environment_before.plimsoll_version;
            *version = version.replace("3f2c1ab", "aaaaaaa");
        };
        assert_eq!(found(build), [("plimsoll_version", Weight::IsTold)]);
    }

    #[test]
    fn seed_blocks_and_time_are_no_difference() {
        let none = found(|m| {
            m.plan.seed += 1;
            m.plan.blocks += 1;
            m.plan_sha256.clear();
            m.started_utc = "2026-01-01T00:00:00Z".to_owned();
            m.environment_before.load_average_1m += 1.0;
            m.environment_before.free_bytes -= 1;
        });
        assert_eq!(none, []);
    }
}
