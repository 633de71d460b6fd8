//! The command line: which verbs there are and what each may be told.
//!
//! Only definitions. What a verb does is in the verb's own module; `main` joins the two.

mod capacity;
mod certify;
mod compare;
mod doctor;
mod log;
mod manual;
mod recommend;
mod sweep;
mod torture;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use capacity::CapacityArgs;
use capacity::{CAPACITY_EXAMPLES, CAPACITY_LONG};
pub(crate) use certify::CertifyArgs;
use certify::{CERTIFY_EXAMPLES, CERTIFY_LONG};
use compare::{COMPARE_EXAMPLES, COMPARE_LONG, HISTORY_EXAMPLES, HISTORY_LONG};
pub(crate) use compare::{CompareArgs, CompareFormat, HistoryArgs, HistoryFormat};
pub(crate) use doctor::DoctorArgs;
use doctor::{DOCTOR_EXAMPLES, DOCTOR_LONG};
pub(crate) use log::{
    DiffArgs, DumpArgs, DumpFormat, KeyArgs, KeyFile, LogArgs, LogVerb, MigrateArgs, PayloadShown,
    SalvageArgs, SegmentChoice, StatArgs, VerifyArgs, WhyRetainedArgs,
};
use log::{LOG_EXAMPLES, LOG_LONG};
use manual::{COMPLETIONS_EXAMPLES, COMPLETIONS_LONG, MAN_EXAMPLES, MAN_LONG};
pub(crate) use manual::{CompletionsArgs, ManArgs};
pub(crate) use recommend::{Objective, RecommendArgs};
use recommend::{RECOMMEND_EXAMPLES, RECOMMEND_LONG};
pub(crate) use sweep::SweepArgs;
use sweep::{SWEEP_EXAMPLES, SWEEP_LONG};
use torture::{TORTURE_EXAMPLES, TORTURE_LONG};
pub(crate) use torture::{TortureArgs, VictimArgs};

const EXIT_CODES: &str = "\
Exit codes:
  0    pass
  1    a log failed or lost acknowledged data, or a service-level objective was missed
  2    usage: the command line or the profile is wrong
  3    refused for safety: nothing was written
  4    inconclusive: the measurements do not support an answer
  130  interrupted (Ctrl-C); whole trials were saved";

const OVERVIEW: &str = "\
Plimsoll measures how fast a disk can make a write-ahead log durable, and finds the settings to run \
the log with on that disk. Every record that a trial acknowledged is read back and compared: a trial \
that lost one has failed, whatever its speed.";

const REPORT_LONG: &str = "\
Writes summary.csv, analysis.json, the plots, report.html and recommended.toml of a stored run \
again, from its manifest and trials alone. Measures nothing and needs no disk; the same stored run \
gives the same answer on any machine.";

const REPORT_EXAMPLES: &str = "\
Examples:
  plimsoll report results/20260301T020000Z-db1-nightly-3f9a";

const BENCH_LONG: &str = "\
Measures the log and the bare device in turns, in the same rounds, and prints the log's rate and \
latency as ratios to what the device does without a log. A ratio holds where a number does not: the \
machine may be shared and the disk of any speed. Beside each ratio stands the target that the log is \
held to; a target that is missed is reported and is no error. Every record that was acknowledged is \
read back, except what a truncation gave up.

Cases:
  one           1 thread, 128 B: against a bare loop of single durable block writes
  threads8      8 threads, 128 B
  threads64     64 threads, 128 B
  threads64-4k  64 threads, 4 KiB: against the device's durable sequential bandwidth
  tasks256      256 tasks of one thread, 128 B
  tasks256-4k   256 tasks of one thread, 4 KiB: against the device's durable sequential bandwidth
  owner1        1 client of the thread that owns the log, 128 B: against single block writes
  owner256      256 clients of the thread that owns the log, 128 B
  encrypted64   64 threads, 128 B, with a key: against the same without
  encrypted-4k  64 threads and 256 tasks, 4 KiB, with a key: against one core's AES and the device
  steady        64 threads, 256 tasks, an owner's 256 clients: allocations and page cache
  busy          1 and 8 threads beside one busy process per core: against the same undisturbed
  engines       8 threads, `auto`: against both engines forced, 1 and 4 in flight, with such load too
  rollover      8 threads, 4 MiB segments, truncated all the time: slowest commit against p99

While the clients still run, the log is taken at its word: the record of its durable LSN is looked \
up on the device. All cases together take about 6 minutes, more on a slow disk.

The log is written as fast as the disk takes it, so the free space must hold what the disk takes in \
1.2 times S seconds and half a second more, and three segments: 512 MiB each in `steady`, 64 MiB \
elsewhere.";

const BENCH_EXAMPLES: &str = "\
Examples:
  plimsoll bench --against-ceiling
  plimsoll bench --against-ceiling --only one,threads64 --rounds 9 --seconds 2
  plimsoll bench --against-ceiling --target /mnt/nvme/plimsoll-data --json ceiling.json";

/// `plimsoll`, as given on the command line.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "plimsoll",
    version,
    about = "Measures how fast a disk can commit and finds the settings to run Plimsoll with",
    long_about = OVERVIEW,
    after_long_help = EXIT_CODES,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Verb {
    /// Say what a directory, and what is beneath it, is to a log
    #[command(long_about = DOCTOR_LONG, after_long_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Measure every combination of a profile's settings and recommend one
    #[command(long_about = SWEEP_LONG, after_long_help = with_exit_codes(SWEEP_EXAMPLES))]
    Sweep(SweepArgs),
    /// Write a stored run's report and recommendation again
    #[command(long_about = REPORT_LONG, after_long_help = with_exit_codes(REPORT_EXAMPLES))]
    Report(ReportArgs),
    /// Say which settings to run, and why, from a stored run
    #[command(long_about = RECOMMEND_LONG, after_long_help = RECOMMEND_EXAMPLES)]
    Recommend(RecommendArgs),
    /// Say whether a run is slower than another one
    #[command(long_about = COMPARE_LONG, after_long_help = COMPARE_EXAMPLES)]
    Compare(CompareArgs),
    /// Find where in a history of runs a number shifted
    #[command(long_about = HISTORY_LONG, after_long_help = HISTORY_EXAMPLES)]
    History(HistoryArgs),
    /// Measure the log beside the bare device and print the ratios
    #[command(long_about = BENCH_LONG, after_long_help = with_exit_codes(BENCH_EXAMPLES))]
    Bench(BenchArgs),
    /// Kill a committing process again and again, and look for what it had acknowledged
    #[command(long_about = TORTURE_LONG, after_long_help = with_exit_codes(TORTURE_EXAMPLES))]
    Torture(TortureArgs),
    /// Cut simulated power under the recommended settings, and write down what came of it
    #[command(long_about = CERTIFY_LONG, after_long_help = with_exit_codes(CERTIFY_EXAMPLES))]
    Certify(CertifyArgs),
    /// Commit until killed; `torture` runs it as its victim
    #[command(name = VICTIM_VERB, hide = true)]
    Victim(VictimArgs),
    /// Find the highest rate of arrivals that a log carries under objectives for its latency
    #[command(long_about = CAPACITY_LONG, after_long_help = with_exit_codes(CAPACITY_EXAMPLES))]
    Capacity(CapacityArgs),
    /// Look into the files of a log: dump, verify, count, compare
    #[command(long_about = LOG_LONG, after_long_help = LOG_EXAMPLES)]
    Log(LogArgs),
    /// Print what teaches a shell to complete verbs and options
    #[command(long_about = COMPLETIONS_LONG, after_long_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Print a manual page, or write all of them
    #[command(long_about = MAN_LONG, after_long_help = MAN_EXAMPLES)]
    Man(ManArgs),
    /// Keep one core busy until standard input ends; `bench` runs it as other people's load
    #[command(name = SPIN_VERB, hide = true)]
    Spin,
}

/// Names of the hidden verbs.
pub(crate) const SPIN_VERB: &str = "__spin";
/// See [`SPIN_VERB`].
pub(crate) const VICTIM_VERB: &str = "__commit";

/// Arguments of `plimsoll report`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReportArgs {
    /// Folder of the run, as `sweep` made it
    #[arg(value_name = "RUN")]
    pub run: PathBuf,

    /// Print nothing but errors and where the report is
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,

    /// Print what was concluded as JSON, for programs
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `plimsoll bench`.
#[derive(Clone, Debug, Args)]
pub(crate) struct BenchArgs {
    /// Compare with the device's own ceiling, measured in the same rounds; the only comparison
    /// there is
    #[arg(long, required = true)]
    pub against_ceiling: bool,

    /// Directory to measure in, on the disk to measure; created when missing and removed again
    #[arg(long, value_name = "DIR", default_value = "plimsoll-data")]
    pub target: PathBuf,

    /// Rounds: each measures every case once
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,

    /// Seconds of each measurement, 0.01 to 60
    #[arg(long, value_name = "S", default_value_t = 0.7, value_parser = measured_seconds)]
    pub seconds: f64,

    /// Only these cases
    #[arg(long, value_name = "CASE", value_delimiter = ',')]
    pub only: Vec<BenchCase>,

    /// Write everything that was measured to this file as JSON, too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Print nothing but errors and the ratios
    #[arg(long, short)]
    pub quiet: bool,
}

/// What `plimsoll bench` can compare. Told in [`BENCH_LONG`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchCase {
    One,
    Threads8,
    Threads64,
    #[value(name = "threads64-4k")]
    Threads64Of4k,
    Tasks256,
    #[value(name = "tasks256-4k")]
    Tasks256Of4k,
    Owner1,
    Owner256,
    Encrypted64,
    #[value(name = "encrypted-4k")]
    EncryptedOf4k,
    Steady,
    Busy,
    Engines,
    Rollover,
}

fn measured_seconds(text: &str) -> Result<f64, String> {
    let allowed = 0.01..=60.0;
    let seconds: Option<f64> = text.parse().ok().filter(|seconds| allowed.contains(seconds));
    seconds.ok_or_else(|| "allowed: 0.01 to 60 seconds".to_owned())
}

fn with_exit_codes(examples: &str) -> String {
    format!("{examples}\n\n{EXIT_CODES}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use std::path::Path;

    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    pub(crate) fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"plimsoll").chain(words))
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn report_takes_one_run() {
        let Verb::Report(report) = parse(&["report", "results/x"]).unwrap().verb else {
            panic!("not a report");
        };
        assert_eq!(report.run, Path::new("results/x"));
        assert!(!report.quiet && !report.json);
        assert!(parse(&["report", "r", "--json"]).is_ok() && parse(&["report", "r", "-q"]).is_ok());
        assert!(parse(&["report", "r", "--json", "-q"]).is_err());
        let kind = parse(&["report", "a", "b"]).unwrap_err().kind();
        assert_eq!(kind, ErrorKind::UnknownArgument);
    }

    #[test]
    fn compare_and_history_take_every_option() {
        let words = "compare a b --confirm c --confirm-base d --noise e --force --format json \
                     --write junit=j.xml --write bencher=b.json";
        let words: Vec<&str> = words.split_whitespace().collect();
        let Verb::Compare(compare) = parse(&words).unwrap().verb else {
            panic!("not a compare");
        };
        assert_eq!((compare.base.as_path(), compare.new.as_path()), ("a".as_ref(), "b".as_ref()));
        assert_eq!(compare.confirm_base.as_deref(), Some(Path::new("d")));
        assert!(compare.force && compare.format == CompareFormat::Json);
        assert_eq!((compare.write.len(), compare.printed()), (2, Some(CompareFormat::Json)));
        let Verb::History(history) = parse(&["history", "d"]).unwrap().verb else {
            panic!("not a history");
        };
        assert_eq!((history.recent, history.printed()), (14, Some(HistoryFormat::Text)));
        for (option, printed) in [("--json", Some(HistoryFormat::Json)), ("--quiet", None)] {
            let Verb::History(history) = parse(&["history", "d", option]).unwrap().verb else {
                panic!("not a history");
            };
            assert_eq!(history.printed(), printed);
        }
    }

    #[test]
    fn verdicts_have_the_documented_exit_codes() {
        for verb in ["compare", "history"] {
            let help = parse(&[verb, "--help"]).unwrap_err().to_string();
            for code in ["0", "1", "2", "3", "4"] {
                let line = help.lines().any(|l| l.trim_start().starts_with(&format!("{code} ")));
                assert!(line, "{verb} --help lacks exit code {code}");
            }
        }
    }

    #[test]
    fn bench_has_the_documented_defaults_and_takes_every_option() {
        let Verb::Bench(bench) = parse(&["bench", "--against-ceiling"]).unwrap().verb else {
            panic!("not a bench");
        };
        assert_eq!((bench.rounds, bench.seconds, bench.only), (5, 0.7, vec![]));
        assert_eq!((bench.target.as_path(), bench.json), (Path::new("plimsoll-data"), None));
        let words = "bench --against-ceiling --target /d --rounds 2 --seconds 0.05 \
                     --only one,threads64-4k --json f -q";
        let words: Vec<&str> = words.split_whitespace().collect();
        let Verb::Bench(bench) = parse(&words).unwrap().verb else {
            panic!("not a bench");
        };
        assert_eq!((bench.rounds, bench.seconds), (2, 0.05));
        assert!(bench.quiet);
        assert_eq!(bench.only, [BenchCase::One, BenchCase::Threads64Of4k]);
        assert_eq!(bench.json.as_deref(), Some(Path::new("f")));
    }

    #[test]
    fn every_case_of_bench_is_told_in_its_help() {
        let help = parse(&["bench", "--help"]).unwrap_err().to_string();
        for case in BenchCase::value_variants() {
            let name = case.to_possible_value().expect("a name").get_name().to_owned();
            let told = help.lines().any(|line| line.trim_start().starts_with(&format!("{name}  ")));
            assert!(told, "{name}: {help}");
        }
        let help = parse(&["--help"]).unwrap_err().to_string();
        assert!(!help.contains(SPIN_VERB) && !help.contains(VICTIM_VERB), "{help}");
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        for words in [
            &["bench"][..],
            &["bench", "--against-ceiling", "--rounds", "0"],
            &["bench", "--against-ceiling", "--seconds", "nan"],
            &["bench", "--against-ceiling", "--seconds", "1s"],
            &["bench", "--against-ceiling", "--only", "two"],
            &["sweep"][..],
            &["sweep", "p", "--seed", "-1"],
            &["sweep", "p", "--sed", "1"],
            &["measure"],
            &["capacity"],
            &["capacity", "--slo", "p99"],
            &["capacity", "--slo", "p99=1ms", "--record-size", "big"],
            &["capacity", "--slo", "p99=1ms", "--trace", "t", "--tenants", "2"],
            &["capacity", "--slo", "p99=1ms", "--first-rate", "0"],
            &["capacity", "--slo", "p99=1ms", "--compressible", "101"],
            &["capacity", "--slo", "p99=1ms", "--tbw", "0"],
            &["compare", "a"],
            &["compare", "a", "b", "--confirm-base", "c"],
            &["compare", "a", "b", "--format", "pdf"],
            &["compare", "a", "b", "--write", "junit"],
            &["history"],
            &["history", "d", "--json", "--format", "text"],
            &["compare", "a", "b", "--json", "--quiet"],
            &["report"],
            &["torture"],
            &["torture", "d", "--seconds", "0"],
            &["torture", "d", "--seed", "x"],
            &["certify"],
            &["certify", "r", "--seeds", "0"],
            &[],
        ] {
            assert_eq!(parse(words).unwrap_err().exit_code(), 2, "{words:?}");
        }
    }

    #[test]
    fn long_help_shows_examples_and_every_exit_code() {
        for verb in ["sweep", "report", "bench", "capacity", "torture", "certify"] {
            let help = parse(&[verb, "--help"]).unwrap_err().to_string();
            assert!(help.contains(&format!("plimsoll {verb} ")), "{help}");
            for code in ["0", "1", "2", "3", "4", "130"] {
                let line = help.lines().any(|l| l.trim_start().starts_with(&format!("{code} ")));
                assert!(line, "{verb} --help lacks exit code {code}");
            }
        }
    }
}
