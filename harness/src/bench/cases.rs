//! What is compared with what, as a table: for each case the measurements a round makes, the ratios
//! taken of them, and the targets those are held to.

use serde::Serialize;

use crate::cli::BenchCase;
use crate::profile::default_settings;
use crate::store::schema::Settings;

/// Single durable writes a second (F0) of the machine that the targets were set on. Its absolute
/// targets become multiples of F0, so that they say something of other disks too.
pub(super) const REFERENCE_F0_PER_SECOND: f64 = 24_300.0;

/// Records of all cases but one, bytes.
const SMALL_RECORD_BYTES: u64 = 128;

/// Something to compare.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) arms: Vec<Arm>,
    pub(super) comparisons: Vec<Comparison>,
}

/// One measurement of a round.
#[derive(Clone, Debug)]
pub(super) struct Arm {
    pub(super) name: &'static str,
    pub(super) what: What,
    /// Whether one busy process per core runs beside it.
    pub(super) beside_busy: bool,
}

/// What is measured.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// Bare durable writes of one block.
    BareBlocks,
    /// Bare durable writes of 256 KiB.
    BareLarge,
    /// Bare durable writes as large as the mean batch of the log in this arm of the same case.
    BareBatchesOf(usize),
    /// A log whose clients are threads.
    Log(Settings),
    /// A log whose clients are tasks of one thread.
    LogOfTasks(Settings),
    /// A log that is truncated all the time.
    TruncatedLog(Settings),
}

/// A ratio of two quantities of one round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparison {
    pub(super) what: &'static str,
    pub(super) of: Operand,
    pub(super) against: Operand,
    pub(super) target: Option<Target>,
}

/// A quantity of an arm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operand {
    pub(super) arm: usize,
    pub(super) quantity: Quantity,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    /// Durable commits (bare: writes) a second.
    Rate,
    /// Payload (bare: written) bytes a second.
    Bandwidth,
    /// Batches (bare: writes) a second.
    Batches,
    /// Median latency.
    P50,
    /// 99th percentile.
    P99,
    /// 99.9th percentile.
    P999,
    /// The slowest.
    Max,
    /// The slowest near a rollover or a truncation.
    NearMax,
}

/// What a ratio is held to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    AtLeast {
        ratio: f64,
        /// The target as it was set on the reference machine, if that was no ratio.
        origin: Option<&'static str>,
    },
    AtMost {
        ratio: f64,
        origin: Option<&'static str>,
    },
}

impl Target {
    pub(super) fn is_met(self, found: f64) -> bool {
        match self {
            Self::AtLeast { ratio, .. } => found >= ratio,
            Self::AtMost { ratio, .. } => found <= ratio,
        }
    }
}

const fn at_least(ratio: f64) -> Option<Target> {
    Some(Target::AtLeast { ratio, origin: None })
}

const fn at_most(ratio: f64) -> Option<Target> {
    Some(Target::AtMost { ratio, origin: None })
}

/// A rate of the reference machine, as a multiple of its F0.
const fn at_least_per_second(rate: f64, origin: &'static str) -> Option<Target> {
    Some(Target::AtLeast { ratio: rate / REFERENCE_F0_PER_SECOND, origin: Some(origin) })
}

/// The device by itself: F0 and bandwidth for the heading.
pub(super) fn device() -> Case {
    Case { name: "device", arms: vec![blocks(), large()], comparisons: Vec::new() }
}

/// The case, on a device that writes blocks of this size whole.
pub(super) fn case(which: BenchCase, block_bytes: u64) -> Case {
    let mut case = match which {
        BenchCase::One => one(),
        BenchCase::Threads8 => threads8(),
        BenchCase::Threads64 => threads64(),
        BenchCase::Threads64Of4k => threads64_of_4k(),
        BenchCase::Tasks256 => tasks256(),
        BenchCase::Tasks256Of4k => tasks256_of_4k(),
        BenchCase::Encrypted64 => encrypted64(),
        BenchCase::Busy => busy(),
        BenchCase::Rollover => rollover(),
    };
    for arm in &mut case.arms {
        if let What::Log(settings) | What::LogOfTasks(settings) | What::TruncatedLog(settings) =
            &mut arm.what
        {
            settings.alignment_bytes = block_bytes;
        }
    }
    case
}

fn one() -> Case {
    use Quantity::{P99, Rate};
    Case {
        name: "one",
        arms: vec![blocks(), log("1 thread", small_records(1))],
        comparisons: vec![
            compare("commits : bare block writes", (1, Rate), (0, Rate), at_least(0.97)),
            compare("p99 : p99 of bare block writes", (1, P99), (0, P99), at_most(1.1)),
        ],
    }
}

fn threads8() -> Case {
    let target = at_least_per_second(100_000.0, "100 k/s at an F0 of 24.3 k/s");
    many_callers("threads8", log("8 threads", small_records(8)), target, at_most(3.0))
}

fn threads64() -> Case {
    let target = at_least_per_second(500_000.0, "500 k/s at an F0 of 24.3 k/s");
    let p99 = Some(Target::AtMost { ratio: 12.0, origin: Some("500 µs at 41 µs a write") });
    many_callers("threads64", log("64 threads", small_records(64)), target, p99)
}

fn many_callers(
    name: &'static str,
    log: Arm,
    rate_target: Option<Target>,
    p99_target: Option<Target>,
) -> Case {
    use Quantity::{Batches, P50, P99, Rate};
    Case {
        name,
        arms: vec![blocks(), log, batches_of(1)],
        comparisons: vec![
            compare("commits : bare block writes (F0)", (1, Rate), (0, Rate), rate_target),
            compare("p99 : one durable write (p50)", (1, P99), (0, P50), p99_target),
            compare("batches : bare writes of that size", (1, Batches), (2, Batches), None),
        ],
    }
}

fn threads64_of_4k() -> Case {
    use Quantity::{Bandwidth, Batches};
    let settings = Settings { record_size_bytes: 4 << 10, ..small_records(64) };
    // Zeroing the segments ahead costs the disk a second write of every byte; a log whose
    // checkpoints keep up can use its old segments again.
    let recycled = Settings { preparation: "recycle".to_owned(), ..settings.clone() };
    let recycled = Arm {
        name: "64 threads, 4 KiB, truncated and recycled",
        what: What::TruncatedLog(recycled),
        beside_busy: false,
    };
    Case {
        name: "threads64-4k",
        arms: vec![large(), log("64 threads, 4 KiB", settings), batches_of(1), recycled],
        comparisons: vec![
            compare(
                "payload : bare 256 KiB writes",
                (1, Bandwidth),
                (0, Bandwidth),
                at_least(0.70),
            ),
            compare("recycled segments, the same", (3, Bandwidth), (0, Bandwidth), None),
            compare("batches : bare writes of that size", (1, Batches), (2, Batches), None),
        ],
    }
}

fn tasks256() -> Case {
    let target = at_least_per_second(2_000_000.0, "2,000 k/s at an F0 of 24.3 k/s");
    let p99 = Some(Target::AtMost { ratio: 4.9, origin: Some("200 µs at 41 µs a write") });
    many_callers("tasks256", tasks("256 tasks", small_records(256)), target, p99)
}

fn tasks256_of_4k() -> Case {
    use Quantity::{Bandwidth, Batches};
    let settings =
        Settings { record_size_bytes: 4 << 10, buffer_size_bytes: 2 << 20, ..small_records(256) };
    Case {
        name: "tasks256-4k",
        arms: vec![large(), tasks("256 tasks, 4 KiB", settings), batches_of(1)],
        comparisons: vec![
            compare(
                "payload : bare 256 KiB writes",
                (1, Bandwidth),
                (0, Bandwidth),
                at_least(0.90),
            ),
            compare("batches : bare writes of that size", (1, Batches), (2, Batches), None),
        ],
    }
}

fn encrypted64() -> Case {
    use Quantity::{P99, Rate};
    let sealed = Settings { encryption: true, ..small_records(64) };
    Case {
        name: "encrypted64",
        arms: vec![log("64 threads", small_records(64)), log("64 threads, a key", sealed)],
        comparisons: vec![
            compare("commits with a key : without", (1, Rate), (0, Rate), at_least(0.85)),
            compare("p99 with a key : without", (1, P99), (0, P99), None),
        ],
    }
}

fn busy() -> Case {
    use Quantity::Rate;
    let beside = |arm: Arm| Arm { beside_busy: true, ..arm };
    let (one, eight) = (log("1 thread", small_records(1)), log("8 threads", small_records(8)));
    Case {
        name: "busy",
        arms: vec![
            blocks(),
            beside(blocks()),
            one.clone(),
            beside(one),
            eight.clone(),
            beside(eight),
        ],
        comparisons: vec![
            compare("1 thread, beside load : without", (3, Rate), (2, Rate), at_least(0.5)),
            compare("8 threads, beside load : without", (5, Rate), (4, Rate), at_least(0.5)),
            compare("bare block writes, the same", (1, Rate), (0, Rate), None),
        ],
    }
}

fn rollover() -> Case {
    use Quantity::{Max, NearMax, P99, P999};
    let settings = Settings { segment_size_bytes: 4 << 20, ..small_records(8) };
    let what = What::TruncatedLog(settings);
    Case {
        name: "rollover",
        arms: vec![Arm { name: "8 threads, 4 MiB segments, truncated", what, beside_busy: false }],
        comparisons: vec![
            compare("slowest within 5 ms of one : p99", (0, NearMax), (0, P99), at_most(3.0)),
            compare("p99.9 : p99", (0, P999), (0, P99), None),
            compare("slowest of all : p99", (0, Max), (0, P99), None),
        ],
    }
}

fn compare(
    what: &'static str,
    (of_arm, of): (usize, Quantity),
    (against_arm, against): (usize, Quantity),
    target: Option<Target>,
) -> Comparison {
    Comparison {
        what,
        of: Operand { arm: of_arm, quantity: of },
        against: Operand { arm: against_arm, quantity: against },
        target,
    }
}

fn blocks() -> Arm {
    Arm { name: "bare block writes", what: What::BareBlocks, beside_busy: false }
}

fn large() -> Arm {
    Arm { name: "bare 256 KiB writes", what: What::BareLarge, beside_busy: false }
}

fn batches_of(log: usize) -> Arm {
    let what = What::BareBatchesOf(log);
    Arm { name: "bare writes of the log's mean batch", what, beside_busy: false }
}

fn log(name: &'static str, settings: Settings) -> Arm {
    Arm { name, what: What::Log(settings), beside_busy: false }
}

fn tasks(name: &'static str, settings: Settings) -> Arm {
    Arm { name, what: What::LogOfTasks(settings), beside_busy: false }
}

/// The library's defaults: what everybody gets who changes nothing.
fn small_records(clients: u32) -> Settings {
    Settings { clients, record_size_bytes: SMALL_RECORD_BYTES, ..default_settings() }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn cases_are_named_as_on_the_command_line_and_refer_to_arms_that_they_have() {
        for which in BenchCase::value_variants() {
            let case = case(*which, 4096);
            let named = which.to_possible_value().expect("a name");
            assert_eq!(case.name, named.get_name());
            assert!(!case.comparisons.is_empty() && case.comparisons[0].target.is_some());
            for comparison in &case.comparisons {
                for operand in [comparison.of, comparison.against] {
                    assert!(operand.arm < case.arms.len(), "{}: {comparison:?}", case.name);
                }
            }
            for (index, arm) in case.arms.iter().enumerate() {
                if let What::BareBatchesOf(log) = arm.what {
                    let of_a_log =
                        matches!(case.arms[log].what, What::Log(_) | What::LogOfTasks(_));
                    assert!(log < index && of_a_log, "{}: {arm:?}", case.name);
                }
            }
        }
    }

    #[test]
    fn targets_are_met_at_their_own_value_and_on_the_right_side() {
        let (least, most) = (at_least(0.97).expect("a target"), at_most(1.1).expect("a target"));
        assert!(least.is_met(0.97) && least.is_met(2.0) && !least.is_met(0.969));
        assert!(most.is_met(1.1) && most.is_met(0.5) && !most.is_met(1.101));
        assert!(!least.is_met(f64::NAN) && !most.is_met(f64::NAN));
    }

    #[test]
    fn absolute_targets_are_multiples_of_the_reference_machines_f0() {
        let Some(Target::AtLeast { ratio, origin }) = threads64().comparisons[0].target else {
            panic!("no target");
        };
        assert!((ratio - 20.6).abs() < 0.05, "{ratio}");
        assert!(origin.is_some());
    }
}
