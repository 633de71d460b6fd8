//! `plimsoll`: measures how fast a disk can commit and finds the settings to run a log with. A
//! library, so that the fuzz targets can reach its readers ([`hostile`]); the program,
//! `bin/plimsoll.rs`, is [`run`].
//!
//! The verbs never import each other; this file joins them. `sweep` leaves a run's folder behind,
//! and everything that is concluded is made from that folder alone, by `sweep` and `report` alike.
//!
//! Imports run strictly downward:

// Floor 1: quantities, and (in `store::schema`) the types of what is stored.
mod units;
// Floor 2: what is asked for, what the machine is, what numbers mean. Never each other, but for what
// a load is: `cli` and `profile` read it.
mod cli;
mod failure;
mod host;
mod load;
mod profile;
mod scratch;
mod stats;
mod ticker;
// Floor 3: the load and the measuring. Of what measures, only `workload` uses the library.
mod measure;
mod workload;
// Floor 4: what a run leaves on disk.
mod store;
// Floor 5: how numbers leave: tables, JUnit, trackers; pages and plots.
mod export;
mod page;
// Floor 6: the verbs, which never import each other.
mod bench;
mod capacity;
mod certify;
mod compare;
mod doctor;
mod forensics;
mod history;
mod manual;
mod recommend;
mod report;
mod sweep;
mod torture;
// Floor 7: joining them.
mod conclude;
// Floor 8: the readers, for bytes that nobody vouches for.
#[doc(hidden)]
pub mod hostile;

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Parser;
use serde::Serialize;

use cli::{
    BenchArgs, CapacityArgs, CertifyArgs, Cli, CompareArgs, DoctorArgs, HistoryArgs, LogArgs,
    LogVerb, ManArgs, RecommendArgs, ReportArgs, SweepArgs, TortureArgs, Verb,
};
use conclude::{Conclusion, conclude, conclude_capacity, is_as_concluded, recommend};
use failure::{
    EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_INTERRUPTED, EXIT_PASS, EXIT_REFUSED, EXIT_USAGE, Failure,
};
use forensics::{Copied, diff, dump, migrate, retained, salvage, stat, verify};
use history::Shifted;
use store::capacity::{Finding, RunKind, run_kind};
use store::certificate::Verdict;
use sweep::Outcome;

pub use host::{CountingAllocator, INSTRUMENTED_SYSTEM};

/// The tests measure as the program does.
#[cfg(test)]
#[global_allocator]
static ALLOCATOR: &CountingAllocator = &INSTRUMENTED_SYSTEM;

/// The program: does what the command line says and answers with the process's exit code.
#[must_use]
pub fn run() -> ExitCode {
    let code = match Cli::parse().verb {
        Verb::Doctor(args) => doctor_verb(&args),
        Verb::Sweep(args) => sweep_verb(&args),
        Verb::Report(args) => report_verb(&args),
        Verb::Recommend(args) => recommend_verb(&args),
        Verb::Compare(args) => compare_verb(&args),
        Verb::History(args) => history_verb(&args),
        Verb::Bench(args) => bench_verb(&args),
        Verb::Torture(args) => torture_verb(&args),
        Verb::Certify(args) => certify_verb(&args),
        Verb::Victim(args) => {
            torture::victim(&args);
            EXIT_FAILED
        }
        Verb::Capacity(args) => capacity_verb(&args),
        Verb::Log(args) => log_verb(&args),
        Verb::Completions(args) => {
            print(&manual::completions(&args));
            EXIT_PASS
        }
        Verb::Man(args) => man_verb(&args),
        Verb::Spin => {
            bench::spin();
            EXIT_PASS
        }
    };
    ExitCode::from(code)
}

fn doctor_verb(args: &DoctorArgs) -> u8 {
    match doctor::run(args) {
        Ok(examined) => {
            print(&examined.text);
            match examined.verdict {
                doctor::Verdict::Usable => EXIT_PASS,
                doctor::Verdict::Refused => EXIT_REFUSED,
                doctor::Verdict::Disturbed => EXIT_INCONCLUSIVE,
            }
        }
        Err(failure) => failed(&failure),
    }
}

fn sweep_verb(args: &SweepArgs) -> u8 {
    let told = Told::of(args.json, args.quiet);
    match sweep::run(args) {
        Ok(Outcome::Planned(plan)) => {
            print(&plan);
            EXIT_PASS
        }
        Ok(Outcome::Ran { folder, interrupted }) => {
            let code = conclude_and_print(&folder, told);
            if interrupted { EXIT_INTERRUPTED } else { code }
        }
        Err(failure) => failed(&failure),
    }
}

fn report_verb(args: &ReportArgs) -> u8 {
    let told = Told::of(args.json, args.quiet);
    match run_kind(&args.run) {
        Ok(RunKind::Sweep) => conclude_and_print(&args.run, told),
        Ok(RunKind::Capacity) => conclude_capacity_and_print(&args.run, told),
        Err(error) => {
            complain(&format!("{error:#}"));
            EXIT_USAGE
        }
    }
}

fn capacity_verb(args: &CapacityArgs) -> u8 {
    let told = Told::of(args.json, args.quiet);
    match capacity::run(args) {
        Ok(capacity::Outcome::Planned(plan)) => {
            print(&plan);
            EXIT_PASS
        }
        Ok(capacity::Outcome::Ran { folder, interrupted }) => {
            let code = conclude_capacity_and_print(&folder, told);
            if interrupted { EXIT_INTERRUPTED } else { code }
        }
        Err(failure) => failed(&failure),
    }
}

/// Who reads the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    People,
    Programs,
    Nobody,
}

impl Told {
    fn of(json: bool, quiet: bool) -> Self {
        match (json, quiet) {
            (true, _) => Self::Programs,
            (_, true) => Self::Nobody,
            _ => Self::People,
        }
    }
}

/// Makes everything that follows from a stored capacity run, and says it.
fn conclude_capacity_and_print(folder: &Path, told: Told) -> u8 {
    match conclude_capacity(folder) {
        Ok(conclusion) => {
            match told {
                Told::People => print(&format!("{}\n", conclusion.summary)),
                Told::Programs => match serde_json::to_string_pretty(&conclusion.analysis) {
                    Ok(json) => print(&format!("{json}\n")),
                    Err(error) => complain(&error.to_string()),
                },
                Told::Nobody => {}
            }
            if told != Told::Programs {
                print(&format!("{}\n", conclusion.report_html.display()));
            }
            match conclusion.analysis.finding {
                Finding::Carried => EXIT_PASS,
                Finding::Impossible | Finding::Failed => EXIT_FAILED,
                Finding::Inconclusive | Finding::Unfinished => EXIT_INCONCLUSIVE,
            }
        }
        Err(error) => {
            complain(&format!("{error:#}"));
            EXIT_USAGE
        }
    }
}

fn recommend_verb(args: &RecommendArgs) -> u8 {
    let recommended = match run_kind(&args.run) {
        Ok(RunKind::Sweep) => recommend(args),
        Ok(RunKind::Capacity) => Err(anyhow!(
            "{} is the run of a capacity search, which varies no settings; name one that `sweep` made",
            args.run.display()
        )),
        Err(error) => Err(error),
    };
    let found = match recommended {
        Ok(found) => found,
        Err(error) => {
            complain(&format!("{error:#}"));
            return EXIT_USAGE;
        }
    };
    if args.json {
        match serde_json::to_string_pretty(&found.analysis) {
            Ok(json) => print(&format!("{json}\n")),
            Err(error) => complain(&error.to_string()),
        }
    } else {
        if !args.quiet {
            print(&format!("{}\n", found.text));
        }
        if let Some(settings) = &found.settings {
            print(&format!("{}\n", settings.display()));
        }
    }
    let missed = found.analysis.refusal.is_some_and(|refusal| refusal.slo_missed);
    if found.trial_failed || missed {
        EXIT_FAILED
    } else if found.analysis.recommendation.is_some() {
        EXIT_PASS
    } else {
        EXIT_INCONCLUSIVE
    }
}

fn compare_verb(args: &CompareArgs) -> u8 {
    match compare::run(args) {
        Ok(compared) => {
            print(&compared.text);
            match compared.verdict {
                compare::Verdict::Pass => EXIT_PASS,
                compare::Verdict::Regression | compare::Verdict::Broken => EXIT_FAILED,
                compare::Verdict::Suspected
                | compare::Verdict::NotConfirmed
                | compare::Verdict::Inconclusive => EXIT_INCONCLUSIVE,
            }
        }
        Err(failure) => failed(&failure),
    }
}

fn history_verb(args: &HistoryArgs) -> u8 {
    match history::run(args) {
        Ok(read) => {
            print(&read.text);
            match read.shifted {
                Shifted::Not => EXIT_PASS,
                Shifted::ForTheWorse => EXIT_FAILED,
                Shifted::TooShort => EXIT_INCONCLUSIVE,
            }
        }
        Err(failure) => failed(&failure),
    }
}

/// Targets are reported and never enforced: the machine under them may be any.
fn bench_verb(args: &BenchArgs) -> u8 {
    match bench::run(args) {
        Ok(measured) => {
            print(&measured.text);
            if measured.interrupted { EXIT_INTERRUPTED } else { EXIT_PASS }
        }
        Err(failure) => failed(&failure),
    }
}

fn torture_verb(args: &TortureArgs) -> u8 {
    match torture::run(args) {
        Ok(tortured) => {
            print(&tortured.text);
            if tortured.interrupted {
                EXIT_INTERRUPTED
            } else if tortured.conclusive {
                EXIT_PASS
            } else {
                EXIT_INCONCLUSIVE
            }
        }
        Err(failure) => failed(&failure),
    }
}

fn certify_verb(args: &CertifyArgs) -> u8 {
    match certify_and_report(args) {
        Ok(code) => code,
        Err(failure) => failed(&failure),
    }
}

fn log_verb(args: &LogArgs) -> u8 {
    let answered = match &args.verb {
        LogVerb::Dump(args) => {
            let mut stdout = BufWriter::new(io::stdout().lock());
            dump::run(args, &mut stdout).map(|()| EXIT_PASS)
        }
        LogVerb::Verify(args) => verify::run(args).map(|verified| {
            tell(Told::of(args.json, args.quiet), &verified, || verified.text());
            match verified.verdict {
                verify::Verdict::Whole => EXIT_PASS,
                verify::Verdict::Refused => EXIT_FAILED,
                verify::Verdict::WrongKeys => EXIT_REFUSED,
                verify::Verdict::Undecided => EXIT_INCONCLUSIVE,
            }
        }),
        LogVerb::Stat(args) => stat::run(args).map(|stat| {
            // The totals are what is asked for.
            let told = if args.json { Told::Programs } else { Told::People };
            tell(told, &stat, || stat.text(args.quiet));
            EXIT_PASS
        }),
        LogVerb::Diff(args) => diff::run(args).map(|compared| {
            tell(Told::of(args.json, args.quiet), &compared, || compared.text());
            if compared.is_same() { EXIT_PASS } else { EXIT_FAILED }
        }),
        LogVerb::WhyRetained(args) => retained::run(args).map(|retained| {
            let told = if args.json { Told::Programs } else { Told::People };
            tell(told, &retained, || retained.text(args.quiet));
            EXIT_PASS
        }),
        LogVerb::Salvage(args) => salvage::run(args).map(|salvaged| {
            tell(Told::of(args.json, args.quiet), &salvaged, || salvaged.text());
            copied_code(salvaged.verdict)
        }),
        LogVerb::Migrate(args) => migrate::run(args).map(|migrated| {
            tell(Told::of(args.json, args.quiet), &migrated, || migrated.text());
            copied_code(migrated.verdict)
        }),
    };
    answered.unwrap_or_else(|failure| failed(&failure))
}

fn copied_code(copied: Copied) -> u8 {
    match copied {
        Copied::Whole => EXIT_PASS,
        Copied::Missing => EXIT_FAILED,
        Copied::Undecided => EXIT_INCONCLUSIVE,
    }
}

/// Prints an answer for whoever reads it.
fn tell(told: Told, document: &impl Serialize, text: impl FnOnce() -> String) {
    match told {
        Told::People => print(&text()),
        Told::Programs => match serde_json::to_string_pretty(document) {
            Ok(json) => print(&format!("{json}\n")),
            Err(error) => complain(&error.to_string()),
        },
        Told::Nobody => {}
    }
}

fn man_verb(args: &ManArgs) -> u8 {
    match manual::man(args) {
        Ok(text) => {
            print(&text);
            EXIT_PASS
        }
        Err(error) => {
            complain(&format!("{error:#}"));
            EXIT_USAGE
        }
    }
}

/// A run's report shows its certificate, so it is made again.
fn certify_and_report(args: &CertifyArgs) -> Result<u8, Failure> {
    is_as_concluded(&args.run).map_err(Failure::Usage)?;
    let certified = certify::run(args)?;
    if let Some(run) = &certified.run {
        conclude(run).map_err(Failure::Broken)?;
    }
    if args.json {
        let json = fs::read_to_string(&certified.certificate);
        print(&json.map_err(|error| Failure::Broken(error.into()))?);
    } else {
        if !args.quiet {
            print(&format!("{}\n", certified.text));
        }
        print(&format!("{}\n", certified.certificate.display()));
    }
    Ok(match certified.verdict {
        Verdict::Certified => EXIT_PASS,
        Verdict::Broken => EXIT_FAILED,
        Verdict::Inconclusive => EXIT_INCONCLUSIVE,
    })
}

/// Makes everything that follows from a stored run, and says where it is.
fn conclude_and_print(folder: &Path, told: Told) -> u8 {
    match conclude(folder) {
        Ok(conclusion) => {
            match told {
                Told::People => {
                    print(&format!("{}\n", conclusion.summary));
                    if conclusion.uncertified {
                        print(&format!("Next: plimsoll certify {}\n\n", folder.display()));
                    }
                }
                Told::Programs => match conclusion.document(folder) {
                    Ok(json) => print(&format!("{json}\n")),
                    Err(error) => complain(&format!("{error:#}")),
                },
                Told::Nobody => {}
            }
            if told != Told::Programs {
                print(&format!("{}\n", conclusion.report_html.display()));
            }
            exit_code(&conclusion)
        }
        Err(error) => {
            complain(&format!("{error:#}"));
            EXIT_USAGE
        }
    }
}

fn exit_code(conclusion: &Conclusion) -> u8 {
    if conclusion.trial_failed {
        EXIT_FAILED
    } else if conclusion.recommended {
        EXIT_PASS
    } else {
        EXIT_INCONCLUSIVE
    }
}

/// A reader that has gone (`| head`) is no error of ours.
fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Says why there is no answer.
fn failed(failure: &Failure) -> u8 {
    complain(&failure.to_string());
    failure.exit_code()
}

fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "plimsoll: {text}");
}
