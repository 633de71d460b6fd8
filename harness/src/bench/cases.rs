//! What is compared with what, as a table: for each case the measurements a round makes and the
//! ratios taken of them.

use super::arms::{
    batches_of, beside_busy, blocks, compare, large, large_records, large_records_of_tasks, owner,
    sealed, small_records, tasks, threads, truncated,
};
use super::case::{Arm, Case, Quantity, Value, What};
use super::targets::{
    OF_8_THREADS, OF_64_THREADS, OF_256_TASKS, OF_ONE_CLIENT, SHARE_OF_THE_DISK_BY_TASKS,
    SHARE_OF_THE_DISK_BY_THREADS, Targets, at_least, at_most,
};
use crate::cli::BenchCase;
use crate::measure::Pages;
use crate::store::schema::Settings;

/// Segments so large that none is begun in a measured second on the reference machine, and so small
/// that the next one, which is made ready when a 64th is filled, is ready before it.
const ENDLESS_SEGMENT_BYTES: u64 = 256 << 20;

/// The device by itself: F0 and bandwidth for the heading.
pub(super) fn device() -> Case {
    Case {
        name: "device",
        arms: vec![blocks(), large(Pages::Ordinary), large(Pages::Huge)],
        comparisons: Vec::new(),
    }
}

/// The case, on a device that writes blocks of this size whole, if each measurement takes so long.
pub(super) fn case(which: BenchCase, block_bytes: u64, seconds: f64) -> Case {
    let small = small_records;
    let mut case = match which {
        BenchCase::One => one_client_for_long("one", threads("1 thread", small(1))),
        BenchCase::Threads8 => {
            many_clients_for_long("threads8", threads("8 threads", small(8)), OF_8_THREADS)
        }
        BenchCase::Threads64 => {
            many_clients_for_long("threads64", threads("64 threads", small(64)), OF_64_THREADS)
        }
        BenchCase::Threads64Of4k => {
            let log = threads("64 threads, 4 KiB", large_records(64));
            large_payload("threads64-4k", log, SHARE_OF_THE_DISK_BY_THREADS)
        }
        BenchCase::Tasks256 => {
            many_clients_for_long("tasks256", tasks("256 tasks", small(256)), OF_256_TASKS)
        }
        BenchCase::Tasks256Of4k => {
            let log = tasks("256 tasks, 4 KiB", large_records_of_tasks());
            large_payload("tasks256-4k", log, SHARE_OF_THE_DISK_BY_TASKS)
        }
        BenchCase::Owner1 => one_client("owner1", owner("its owner, 1 client", small(1))),
        BenchCase::Owner256 => {
            many_clients("owner256", owner("its owner, 256 clients", small(256)), OF_256_TASKS)
        }
        BenchCase::Encrypted64 => encrypted64(),
        BenchCase::EncryptedOf4k => encrypted_of_4k(),
        BenchCase::Steady => steady(seconds),
        BenchCase::Busy => busy(),
        BenchCase::Engines => engines(),
        BenchCase::Rollover => rollover(),
    };
    for arm in &mut case.arms {
        if let What::Log(log) = &mut arm.what {
            log.settings.alignment_bytes = block_bytes;
        }
    }
    case
}

fn one_client(name: &'static str, log: Arm) -> Case {
    use Quantity::{P99, Rate};
    let (rate_target, p99_target) = OF_ONE_CLIENT;
    Case {
        name,
        arms: vec![blocks(), log],
        comparisons: vec![
            compare("commits : bare block writes", (1, Rate), (0, Rate), rate_target),
            compare("p99 : p99 of bare block writes", (1, P99), (0, P99), p99_target),
        ],
    }
}

fn many_clients(name: &'static str, log: Arm, (rate_target, p99_target): Targets) -> Case {
    use Quantity::{Batches, P50, P99, Rate};
    Case {
        name,
        arms: vec![blocks(), log, batches_of(1)],
        comparisons: vec![
            compare("commits : bare block writes (F0)", (1, Rate), (0, Rate), rate_target),
            compare("p99 : p50 of bare block writes", (1, P99), (0, P50), p99_target),
            compare("batches : bare writes of that size", (1, Batches), (2, Batches), None),
        ],
    }
}

/// The same, and as it goes on once checkpoints truncate the log, see [`many_clients_for_long`].
fn one_client_for_long(name: &'static str, log: Arm) -> Case {
    use Quantity::{P99, Rate};
    let (rate_target, p99_target) = OF_ONE_CLIENT;
    let recycled = truncated("the same, truncated and recycled", &log);
    let mut case = one_client(name, log);
    case.arms.push(recycled);
    case.comparisons.extend([
        compare("commits, recycled segments : bare", (2, Rate), (0, Rate), rate_target),
        compare("p99, recycled segments : p99 of bare", (2, P99), (0, P99), p99_target),
    ]);
    case
}

/// The same, and as it goes on once checkpoints truncate the log: its old segments are used again,
/// and none are zeroed beside the commits.
fn many_clients_for_long(name: &'static str, log: Arm, targets: Targets) -> Case {
    use Quantity::{P50, P99, Rate};
    let recycled = truncated("the same, truncated and recycled", &log);
    let mut case = many_clients(name, log, targets);
    case.arms.push(recycled);
    case.comparisons.extend([
        compare("commits, recycled segments : F0", (3, Rate), (0, Rate), targets.0),
        compare("p99, recycled segments : p50 of bare", (3, P99), (0, P50), targets.1),
    ]);
    case
}

fn large_payload(name: &'static str, log: Arm, share: f64) -> Case {
    use Quantity::{Bandwidth, Batches};
    // Zeroing the segments ahead costs the disk a second write of every byte; a log whose
    // checkpoints keep up can use its old segments again.
    let recycled = truncated("the same, truncated and recycled", &log);
    Case {
        name,
        arms: vec![large(Pages::Ordinary), large(Pages::Huge), log, batches_of(2), recycled],
        comparisons: vec![
            compare(
                "payload : the disk (the better pages)",
                (2, Bandwidth),
                disk(),
                at_least(share),
            ),
            compare(
                "payload, recycled segments : the disk",
                (4, Bandwidth),
                disk(),
                at_least(share),
            ),
            compare("payload : 256 KiB, ordinary pages", (2, Bandwidth), (0, Bandwidth), None),
            compare("payload : 256 KiB, huge pages", (2, Bandwidth), (1, Bandwidth), None),
            compare("batches : bare writes of that size", (2, Batches), (3, Batches), None),
        ],
    }
}

fn encrypted64() -> Case {
    use Quantity::{P99, Rate};
    let log = threads("64 threads", small_records(64));
    let sealed = sealed("64 threads, a key", &log);
    Case {
        name: "encrypted64",
        arms: vec![log, sealed],
        comparisons: vec![
            compare("commits with a key : without", (1, Rate), (0, Rate), at_least(0.85)),
            compare("p99 with a key : without", (1, P99), (0, P99), None),
        ],
    }
}

fn encrypted_of_4k() -> Case {
    use Quantity::Bandwidth;
    let by_threads = threads("64 threads, 4 KiB", large_records(64));
    let by_tasks = tasks("256 tasks, 4 KiB", large_records_of_tasks());
    let sealed_by_threads = sealed("64 threads, 4 KiB, a key", &by_threads);
    let sealed_by_tasks = sealed("256 tasks, 4 KiB, a key", &by_tasks);
    let sealing = Arm { name: "one core's AES", what: What::Sealing, beside_busy: false };
    let aes = || Value::from((2, Bandwidth));
    // No log, sealed or not, is asked for more than its share of the disk.
    let within_reach =
        |share: f64| Value::Least(vec![aes(), Value::Share(share, Box::new(disk()))]);
    let (threads_reach, tasks_reach) =
        (within_reach(SHARE_OF_THE_DISK_BY_THREADS), within_reach(SHARE_OF_THE_DISK_BY_TASKS));
    Case {
        name: "encrypted-4k",
        arms: vec![
            large(Pages::Ordinary),
            large(Pages::Huge),
            sealing,
            by_threads,
            sealed_by_threads,
            by_tasks,
            sealed_by_tasks,
        ],
        comparisons: vec![
            compare(
                "threads : AES or 0.70 disk, the lower",
                (4, Bandwidth),
                threads_reach,
                at_least(1.0),
            ),
            compare("threads : one core's AES", (4, Bandwidth), aes(), None),
            compare("threads : the disk (the better pages)", (4, Bandwidth), disk(), None),
            compare("threads, with a key : without", (4, Bandwidth), (3, Bandwidth), None),
            compare(
                "tasks : AES or 0.90 disk, the lower",
                (6, Bandwidth),
                tasks_reach,
                at_least(1.0),
            ),
            compare("tasks : one core's AES", (6, Bandwidth), aes(), None),
            compare("tasks : the disk (the better pages)", (6, Bandwidth), disk(), None),
            compare("tasks, with a key : without", (6, Bandwidth), (5, Bandwidth), None),
        ],
    }
}

/// What the disk takes in 256 KiB writes, of a case that begins with both kinds of pages.
fn disk() -> Value {
    let by_pages = [0, 1].map(|arm| Value::from((arm, Quantity::Bandwidth)));
    Value::Greatest(by_pages.to_vec())
}

/// A commit allocates nothing and a byte of the log is cached nowhere. Beginning a segment costs a
/// few allocations, so there is one log that does all the time and others that never do: theirs are
/// reserved and not zeroed ahead, or opening them would take longer than measuring them.
fn steady(seconds: f64) -> Case {
    use Quantity::{Allocations, CacheGrowth, Commits, Payload, Segments};
    let endless = |settings: Settings| Settings {
        segment_size_bytes: ENDLESS_SEGMENT_BYTES * whole_seconds(seconds),
        preparation: "allocate".to_owned(),
        ..settings
    };
    let rolling = Settings { segment_size_bytes: 4 << 20, ..small_records(64) };
    Case {
        name: "steady",
        arms: vec![
            threads("64 threads, one segment", endless(small_records(64))),
            tasks("256 tasks, one segment", endless(small_records(256))),
            owner("its owner, 256 clients, one segment", endless(small_records(256))),
            threads("64 threads, 4 MiB segments", rolling),
        ],
        comparisons: vec![
            compare("threads, allocations : commits", (0, Allocations), (0, Commits), at_most(0.0)),
            compare("tasks, allocations : commits", (1, Allocations), (1, Commits), at_most(0.0)),
            compare("owner, allocations : commits", (2, Allocations), (2, Commits), at_most(0.0)),
            compare("page cache growth : payload", (3, CacheGrowth), (3, Payload), at_most(0.0)),
            compare("rolling over, allocations : segments", (3, Allocations), (3, Segments), None),
        ],
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a float-to-integer cast saturates, and the number is clamped"
)]
fn whole_seconds(seconds: f64) -> u64 {
    seconds.ceil().clamp(1.0, 60.0) as u64
}

fn busy() -> Case {
    use Quantity::Rate;
    let one = threads("1 thread", small_records(1));
    let eight = threads("8 threads", small_records(8));
    Case {
        name: "busy",
        arms: vec![
            blocks(),
            beside_busy("bare block writes, beside load", &blocks()),
            one.clone(),
            beside_busy("1 thread, beside load", &one),
            eight.clone(),
            beside_busy("8 threads, beside load", &eight),
        ],
        comparisons: vec![
            compare("1 thread, beside load : without", (3, Rate), (2, Rate), at_least(0.5)),
            compare("8 threads, beside load : without", (5, Rate), (4, Rate), at_least(0.5)),
            compare("bare block writes, beside load : without", (1, Rate), (0, Rate), None),
        ],
    }
}

/// What `auto` chose between, with one batch in flight and with four, quiet and beside load.
fn engines() -> Case {
    use Quantity::Rate;
    let log = |name: &'static str, engine: &str, pipeline_depth: u32| {
        let settings = Settings { engine: engine.to_owned(), pipeline_depth, ..small_records(8) };
        threads(name, settings)
    };
    let (auto, blocking, uring) = (
        log("8 threads, auto", "auto", 1),
        log("8 threads, blocking", "blocking", 1),
        log("8 threads, uring", "uring", 1),
    );
    let (auto4, blocking4, uring4) = (
        log("8 threads, auto, 4 in flight", "auto", 4),
        log("8 threads, blocking, 4 in flight", "blocking", 4),
        log("8 threads, uring, 4 in flight", "uring", 4),
    );
    let arms = vec![
        beside_busy("8 threads, auto, beside load", &auto),
        beside_busy("8 threads, blocking, beside load", &blocking),
        beside_busy("8 threads, uring, beside load", &uring),
        beside_busy("8 threads, auto, 4 in flight, beside load", &auto4),
        beside_busy("8 threads, blocking, 4 in flight, beside load", &blocking4),
        beside_busy("8 threads, uring, 4 in flight, beside load", &uring4),
    ];
    let arms = [auto, blocking, uring, auto4, blocking4, uring4].into_iter().chain(arms).collect();
    let better = |arm: usize| {
        Value::Greatest([arm + 1, arm + 2].map(|arm| Value::from((arm, Rate))).to_vec())
    };
    let others = |what, arm: usize| compare(what, (arm + 2, Rate), (arm + 1, Rate), None);
    Case {
        name: "engines",
        arms,
        comparisons: vec![
            compare("auto : the better engine", (0, Rate), better(0), at_least(0.9)),
            compare("auto : the better, 4 in flight", (3, Rate), better(3), at_least(0.9)),
            compare("auto : the better, beside load", (6, Rate), better(6), at_least(0.9)),
            compare(
                "auto : the better, 4 in flight, beside load",
                (9, Rate),
                better(9),
                at_least(0.9),
            ),
            others("uring : blocking", 0),
            others("uring : blocking, 4 in flight", 3),
            others("uring : blocking, beside load", 6),
            others("uring : blocking, 4 in flight, beside load", 9),
        ],
    }
}

fn rollover() -> Case {
    use Quantity::{Max, NearMax, P99, P999};
    let settings = Settings { segment_size_bytes: 4 << 20, ..small_records(8) };
    let name = "8 threads, 4 MiB segments, truncated";
    Case {
        name: "rollover",
        arms: vec![truncated(name, &threads(name, settings))],
        comparisons: vec![
            compare("slowest within 5 ms of one : p99", (0, NearMax), (0, P99), at_most(3.0)),
            compare("p99.9 : p99", (0, P999), (0, P99), None),
            compare("slowest of all : p99", (0, Max), (0, P99), None),
        ],
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    fn all() -> Vec<Case> {
        BenchCase::value_variants().iter().map(|which| case(*which, 4096, 1.0)).collect()
    }

    #[test]
    fn cases_are_named_as_on_the_command_line_and_refer_to_arms_that_they_have() {
        for (case, which) in all().iter().zip(BenchCase::value_variants()) {
            let named = which.to_possible_value().expect("a name");
            assert_eq!(case.name, named.get_name());
            assert!(!case.comparisons.is_empty() && case.comparisons[0].target.is_some());
            for comparison in &case.comparisons {
                if let Value::Least(values) = &comparison.against
                    && let Some(Value::Share(share, _)) = values.last()
                {
                    assert!(
                        comparison.what.contains(&format!("{share:.2} disk")),
                        "{comparison:?}"
                    );
                }
                for value in [&comparison.of, &comparison.against] {
                    let arms = value.arms();
                    assert!(!arms.is_empty(), "{}: {comparison:?}", case.name);
                    assert!(arms.iter().all(|arm| *arm < case.arms.len()), "{comparison:?}");
                }
            }
            for (index, arm) in case.arms.iter().enumerate() {
                if let What::BareBatchesOf(log) = arm.what {
                    let of_a_log = matches!(case.arms[log].what, What::Log(_));
                    assert!(log < index && of_a_log, "{}: {arm:?}", case.name);
                }
            }
        }
    }

    #[test]
    fn names_within_a_case_tell_its_arms_and_comparisons_apart() {
        for case in all() {
            let arms: std::collections::BTreeSet<_> = case.arms.iter().map(|a| a.name).collect();
            assert_eq!(arms.len(), case.arms.len(), "{}", case.name);
            let what: std::collections::BTreeSet<_> =
                case.comparisons.iter().map(|c| c.what).collect();
            assert_eq!(what.len(), case.comparisons.len(), "{}", case.name);
        }
    }

    #[test]
    fn auto_is_compared_with_the_forced_engines_of_the_same_load() {
        let case = engines();
        let settings = |arm: usize| match &case.arms[arm].what {
            What::Log(log) => (log.settings.clone(), case.arms[arm].beside_busy),
            other => panic!("{other:?}"),
        };
        for comparison in case.comparisons.iter().filter(|found| found.target.is_some()) {
            let auto = settings(comparison.of.arms()[0]);
            assert_eq!(auto.0.engine, "auto", "{comparison:?}");
            let forced: Vec<_> = comparison.against.arms().into_iter().map(settings).collect();
            let engines: Vec<&str> = forced.iter().map(|(s, _)| s.engine.as_str()).collect();
            assert_eq!(engines, ["blocking", "uring"]);
            for (settings, beside_busy) in &forced {
                let with_auto = Settings { engine: "auto".into(), ..settings.clone() };
                assert_eq!((&with_auto, *beside_busy), (&auto.0, auto.1), "{comparison:?}");
            }
        }
    }
}
