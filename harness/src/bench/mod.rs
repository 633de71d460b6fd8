//! `plimsoll bench --against-ceiling`: the log and the bare device in turns, in the same rounds, as
//! ratios, each beside the target that the log is held to.
//!
//! Nothing is stored but, if asked, one JSON file. Within a round each log runs next to what it is
//! compared with, and every other round runs backwards, so that whatever drifts cancels.

mod arms;
mod case;
mod cases;
mod heading;
mod ratios;
mod report;
mod sample;
mod spin;
mod table;
mod targets;
mod words;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;

use crate::cli::{BenchArgs, BenchCase};
use crate::failure::Failure;
use crate::host;
use crate::measure::block_bytes;
use crate::scratch::{Interrupts, Scratch};
use crate::units::{format_data, format_seconds};
use crate::workload;

use case::{Case, What};
use report::Report;
use sample::{Bench, Sample, warmup_seconds};

pub(crate) use spin::spin;

/// Segments of a log beside those that its load fills.
const SEGMENTS_BESIDE: f64 = 3.0;

/// For so long at most a log goes on after its measured time, until it has been looked at.
const LOOKING_SECONDS: f64 = 0.5;

/// What a bench came to.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// For people.
    pub(crate) text: String,
    /// Whether Ctrl-C ended it after fewer rounds.
    pub(crate) interrupted: bool,
}

/// The samples of a round: by case, then by arm.
type Round = Vec<Vec<Sample>>;

/// Measures what the command line asks for.
///
/// # Errors
/// See [`Failure`]; each is one sentence that says what to do.
pub(crate) fn run(args: &BenchArgs) -> Result<Measured, Failure> {
    let json = args.json.as_deref().map(create).transpose().map_err(Failure::Usage)?;
    let interrupts = Interrupts::install().map_err(Failure::Broken)?;
    let existed = args.target.exists();
    let measured = measure(args, &interrupts);
    if !existed {
        // Fails, rightly, if somebody has put something there.
        let _ = fs::remove_dir(&args.target);
    }
    let report = measured?;
    if let Some(mut file) = json {
        let name =
            || format!("cannot write {}", args.json.as_deref().unwrap_or(Path::new("")).display());
        serde_json::to_writer_pretty(&mut file, &report.document())
            .map_err(io::Error::from)
            .and_then(|()| file.write_all(b"\n"))
            .with_context(name)
            .map_err(Failure::Broken)?;
    }
    Ok(Measured { text: table::text(&report), interrupted: interrupts.requested() })
}

/// Before anything is measured: an answer after minutes must not be lost to a wrong path.
fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

fn measure(args: &BenchArgs, interrupts: &Interrupts) -> Result<Report, Failure> {
    let unusable = || {
        let path = args.target.display();
        format!("{path} cannot be measured in; name a writable directory with --target")
    };
    fs::create_dir_all(&args.target).with_context(unusable).map_err(Failure::Usage)?;
    let scratch =
        Scratch::create(&args.target, interrupts).with_context(unusable).map_err(Failure::Usage)?;
    let natural = workload::probe(&scratch.path().join("probe"))
        .map_err(|why| Failure::Refused(anyhow!(why.sentence(&args.target, " with --target"))))?;
    let environment = host::capture(&args.target);
    let measured = Duration::from_secs_f64(args.seconds);
    let bench =
        Bench::prepare(scratch.path(), block_bytes(Some(natural)), measured, environment.cpus)
            .map_err(Failure::Broken)?;

    let cases = chosen(args, bench.block_bytes);
    let mut report = Report::new(args, environment, bench.block_bytes, cases);
    for number in 1..=args.rounds {
        let began = Instant::now();
        let round = one_round(&bench, &report, number, args, interrupts);
        match round {
            Err(Failure::Interrupted) if !report.rounds.is_empty() => break,
            round => report.rounds.push(round?),
        }
        let seconds = format_seconds(began.elapsed().as_secs_f64());
        // Nobody reading it is no reason to stop.
        if !args.quiet {
            let _ = writeln!(io::stderr(), "round {number} of {}: {seconds}", args.rounds);
        }
    }
    scratch.remove().map_err(Failure::Broken)?;
    Ok(report)
}

/// The device by itself, and then the cases asked for, in the order of the help.
fn chosen(args: &BenchArgs, block_bytes: u64) -> Vec<Case> {
    let all = BenchCase::value_variants().iter();
    let asked = all.filter(|case| args.only.is_empty() || args.only.contains(case));
    let asked = asked.map(|case| cases::case(*case, block_bytes, args.seconds));
    std::iter::once(cases::device()).chain(asked).collect()
}

fn one_round(
    bench: &Bench,
    report: &Report,
    number: u32,
    args: &BenchArgs,
    interrupts: &Interrupts,
) -> Result<Round, Failure> {
    let mut round = Round::new();
    for (index, case) in report.cases.iter().enumerate() {
        // Bare writes of a log's batches, running before it, are as large as those of the round
        // before.
        let mut latest: Vec<Option<Sample>> = match report.rounds.last() {
            Some(earlier) => earlier[index].iter().cloned().map(Some).collect(),
            None => vec![None; case.arms.len()],
        };
        for at in order(case.arms.len(), number) {
            if interrupts.requested() {
                return Err(Failure::Interrupted);
            }
            let arm = &case.arms[at];
            let batch_bytes = match arm.what {
                What::BareBatchesOf(log) => latest[log].as_ref().map(|log| log.batch_bytes),
                _ => None,
            };
            let sample = bench.measure(arm, batch_bytes).map_err(|error| match error {
                // Ctrl-C ends the busy processes, too.
                Failure::Broken(_) if interrupts.requested() => Failure::Interrupted,
                error => error.within(|| format!("{}, {}, round {number}", case.name, arm.name)),
            })?;
            latest[at] = Some(sample);
        }
        round.push(latest.into_iter().flatten().collect());
        if index == 0 {
            check_space(&round[0], args, report)?;
        }
    }
    Ok(round)
}

/// Forwards in odd rounds, backwards in even ones.
fn order(arms: usize, round: u32) -> Vec<usize> {
    if round.is_multiple_of(2) { (0..arms).rev().collect() } else { (0..arms).collect() }
}

/// Whether a log that is as fast as the device fits into what is free.
fn check_space(device: &[Sample], args: &BenchArgs, report: &Report) -> Result<(), Failure> {
    let fastest = device.iter().map(|sample| sample.bytes_per_second).fold(0.0, f64::max);
    let seconds = warmup_seconds(args.seconds) + args.seconds + LOOKING_SECONDS;
    let needed = seconds * fastest + SEGMENTS_BESIDE * report.largest_segment_bytes() as f64;
    let free_bytes = report.environment.free_bytes;
    // 0 is an unknown amount.
    if free_bytes == 0 || free_bytes as f64 >= needed {
        return Ok(());
    }
    Err(Failure::Refused(anyhow!(
        "a log as fast as this disk needs {} of free space for {} s, and {} has {}; free some, \
         name another directory with --target, use fewer --seconds, or name cases with --only",
        format_data(needed),
        args.seconds,
        args.target.display(),
        format_data(free_bytes as f64)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::Environment;

    fn args(only: &[BenchCase]) -> BenchArgs {
        BenchArgs {
            against_ceiling: true,
            target: "/x".into(),
            rounds: 1,
            seconds: 1.0,
            only: only.to_vec(),
            json: None,
            quiet: true,
        }
    }

    #[test]
    fn cases_come_in_the_order_of_the_help_each_once_after_the_device() {
        let names = |only: &[BenchCase]| -> Vec<&str> {
            chosen(&args(only), 4096).iter().map(|case| case.name).collect()
        };
        let asked = [BenchCase::Threads64, BenchCase::One, BenchCase::One];
        assert_eq!(names(&asked), ["device", "one", "threads64"]);
        assert_eq!(names(&[]).len(), 1 + BenchCase::value_variants().len());
    }

    #[test]
    fn every_other_round_runs_backwards() {
        assert_eq!(order(3, 1), [0, 1, 2]);
        assert_eq!(order(3, 2), [2, 1, 0]);
    }

    #[test]
    fn a_disk_without_room_for_the_fastest_log_is_refused() {
        let args = args(&[BenchCase::One]);
        let speeds = [0.1e9, 2e9];
        let device =
            speeds.map(|bytes_per_second| Sample { bytes_per_second, ..Sample::default() });
        let verdict = |free_bytes: u64| {
            let environment = Environment { free_bytes, ..Environment::default() };
            check_space(&device, &args, &Report::new(&args, environment, 4096, chosen(&args, 4096)))
        };
        let error = verdict(3_000_000_000).expect_err("too small").to_string();
        assert!(error.contains("3.60 GB") && error.contains("3.00 GB"), "{error}");
        assert!(verdict(3_700_000_000).is_ok());
        assert!(verdict(0).is_ok(), "unknown");
    }
}
