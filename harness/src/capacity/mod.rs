//! `plimsoll capacity`: the highest rate of arrivals that a log carries on this disk under a
//! service-level objective, and what follows for whoever buys the disk.
//!
//! The search knows rates and verdicts only; each trial is stored before the next one starts, and
//! the answer is made of what was stored.

mod analyse;
mod judge;
mod preview;
mod search;
mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;

use crate::cli::CapacityArgs;
use crate::failure::Failure;
use crate::host;
use crate::load::{RecordShape, Trace};
use crate::measure::{CeilingOptions, measure_ceiling};
use crate::scratch::{Interrupts, Scratch};
use crate::stats::samples_to_support;
use crate::store::capacity::{CapacityFolder, CapacityManifest, Question, ReplayedTrace};
use crate::store::schema::{Ceiling, RunStatus};
use crate::workload::{self, LogConfig, overhead_ns_per_record};

use search::{SearchPlan, search};
use trial::RealOffers;

pub(crate) use analyse::analyse;

/// Confirmations at the answer.
const CONFIRMATIONS: u32 = 3;

/// Of each of the two parts of the device's ceiling.
const CEILING: Duration = Duration::from_secs(1);

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// `--dry-run`: what would be done, for people. Nothing was written.
    Planned(String),
    /// Trials were run and stored.
    Ran {
        /// The run's folder.
        folder: PathBuf,
        /// Whether Ctrl-C ended it.
        interrupted: bool,
    },
}

/// Finds what the command line asks for.
///
/// # Errors
/// See [`Failure`]; each is one sentence that says what to do.
pub(crate) fn run(args: &CapacityArgs) -> Result<Outcome, Failure> {
    let asked = Asked::of(args).map_err(Failure::Usage)?;
    let mut manifest = asked.manifest(args);
    if args.dry_run {
        return Ok(Outcome::Planned(preview::text(&manifest, &asked.config)));
    }
    let interrupts = Interrupts::install().map_err(Failure::Broken)?;
    let existed = args.target.exists();
    prepare(&args.target, &interrupts)?;
    let outcome = (|| {
        // Again, now that the target exists.
        manifest.environment_before = host::capture(&args.target);
        let folder = CapacityFolder::create(&args.out, &mut manifest).map_err(Failure::Usage)?;
        let run = Run { args, asked: &asked, folder: &folder, interrupts: &interrupts };
        run.measure(&mut manifest)
    })();
    if !existed {
        // Fails, rightly, if somebody has put something there.
        let _ = fs::remove_dir(&args.target);
    }
    outcome
}

/// Whether a log can be had there at all.
fn prepare(target: &Path, interrupts: &Interrupts) -> Result<(), Failure> {
    let unusable = || {
        let path = target.display();
        format!("{path} cannot be measured in; name a writable directory with --target")
    };
    fs::create_dir_all(target).with_context(unusable).map_err(Failure::Usage)?;
    let scratch =
        Scratch::create(target, interrupts).with_context(unusable).map_err(Failure::Usage)?;
    let probed = workload::probe(scratch.path());
    scratch.remove().map_err(Failure::Broken)?;
    probed
        .map(|_| ())
        .map_err(|why| Failure::Refused(anyhow!(why.sentence(target, " with --target"))))
}

/// What is asked, read from the files that the command line names.
struct Asked {
    config: LogConfig,
    settings_file: Option<String>,
    shape: RecordShape,
    seed: u64,
}

impl Asked {
    fn of(args: &CapacityArgs) -> Result<Self> {
        let (config, settings_file) = match &args.config {
            None => (LogConfig::library_defaults(), None),
            Some(path) => {
                let config = LogConfig::from_file(path).map_err(|reason| anyhow!(reason))?;
                let text = fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                (config, Some(text))
            }
        };
        let trace = args.trace.as_deref().map(Trace::load).transpose()?.map(Arc::new);
        let shape = RecordShape {
            sizes: args.record_size.clone(),
            tenants: args.tenants,
            compressible: f64::from(args.compressible) / 100.0,
            trace,
        };
        // Short enough to be typed again.
        let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
        Ok(Self { config, settings_file, shape, seed })
    }

    fn manifest(&self, args: &CapacityArgs) -> CapacityManifest {
        let trace = self.shape.trace.as_ref().zip(args.trace.as_ref());
        CapacityManifest {
            // These three are filled in as the folder is made.
            schema_version: String::new(),
            kind: String::new(),
            run_id: String::new(),
            argv: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            started_utc: utc_now(),
            finished_utc: None,
            status: RunStatus::Running,
            question: Question {
                slo: args.slo.clone(),
                record_sizes: args.record_size.clone(),
                tenants: args.tenants,
                compressible_ratio: self.shape.compressible,
                trace: trace.map(|(trace, path)| ReplayedTrace {
                    path: path.display().to_string(),
                    records: trace.len() as u64,
                    rate_per_second: trace.rate_per_second(),
                }),
                mean_record_bytes: self.shape.mean_bytes(),
                settings: self
                    .config
                    .described()
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect(),
                settings_file: self.settings_file.clone(),
                zeroes_ahead: self.config.zeroes_ahead(),
                first_rate_per_second: args.first_rate.min(args.max_rate),
                max_rate_per_second: args.max_rate,
                warmup_seconds: args.warmup_seconds,
                probe_seconds: args.probe_seconds,
                confirm_seconds: args.confirm_seconds,
                confirmations: CONFIRMATIONS,
                tbw_bytes: args.tbw,
                seed: self.seed,
            },
            ceiling: None,
            generator_ns_per_record: None,
            environment_before: host::capture(&args.target),
            environment_after: None,
        }
    }
}

/// A run under way.
struct Run<'a> {
    args: &'a CapacityArgs,
    asked: &'a Asked,
    folder: &'a CapacityFolder,
    interrupts: &'a Interrupts,
}

impl Run<'_> {
    /// Measures what bounds everything, searches, and finishes the manifest.
    fn measure(&self, manifest: &mut CapacityManifest) -> Result<Outcome, Failure> {
        let (ceiling, overhead_ns) = self.bounds(manifest).map_err(Failure::Broken)?;
        manifest.ceiling = Some(ceiling.clone());
        manifest.generator_ns_per_record = Some(overhead_ns);
        self.folder.write_manifest(manifest).map_err(Failure::Broken)?;
        let mut offers = RealOffers {
            config: &self.asked.config,
            shape: &self.asked.shape,
            question: &manifest.question,
            ceiling: &ceiling,
            target: &self.args.target,
            folder: self.folder,
            interrupts: self.interrupts,
            quiet: self.args.quiet,
            next_number: 0,
        };
        let searched = search(&search_plan(&manifest.question), &mut offers);
        let status = match &searched {
            Ok(()) => RunStatus::Complete,
            Err(Failure::Interrupted) => RunStatus::Interrupted,
            Err(_) => RunStatus::Failed,
        };
        self.finish(manifest, status).map_err(Failure::Broken)?;
        let folder = self.folder.folder().path().to_path_buf();
        match searched {
            // A log that failed is an answer too, and the report says it.
            Ok(()) | Err(Failure::LogFailed(_)) => Ok(Outcome::Ran { folder, interrupted: false }),
            Err(Failure::Interrupted) => Ok(Outcome::Ran { folder, interrupted: true }),
            Err(other) => Err(other),
        }
    }

    /// What the device does without a log, and the harness without a device.
    fn bounds(&self, manifest: &CapacityManifest) -> Result<(Ceiling, f64)> {
        let options = CeilingOptions {
            physical_block_bytes: manifest.environment_before.physical_block_bytes,
            duration: CEILING,
        };
        let scratch = Scratch::create(&self.args.target, self.interrupts)?;
        let ceiling = measure_ceiling(scratch.path(), &options)?;
        scratch.remove()?;
        let overhead_ns = overhead_ns_per_record(&self.asked.shape, self.asked.seed)
            .map_err(|problem| anyhow!("cannot measure the harness's own cost: {problem:?}"))?;
        Ok((ceiling, overhead_ns))
    }

    fn finish(&self, manifest: &mut CapacityManifest, status: RunStatus) -> Result<()> {
        manifest.status = status;
        manifest.finished_utc = Some(utc_now());
        manifest.environment_after = Some(host::capture(&self.args.target));
        self.folder.write_manifest(manifest)
    }
}

fn search_plan(question: &Question) -> SearchPlan {
    SearchPlan {
        first_rate_per_second: question.first_rate_per_second,
        max_rate_per_second: question.max_rate_per_second,
        probe_seconds: question.probe_seconds,
        confirm_seconds: question.confirm_seconds,
        confirmations: question.confirmations,
        groups_needed: samples_to_support(question.slo.strictest().quantile()).unwrap_or(0),
    }
}

/// Now, to the millisecond, as RFC 3339.
fn utc_now() -> String {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now).to_string()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Verb};

    /// Of a run that asks for the defaults under `p99=1ms,p99.9=5ms`, complete.
    pub(super) fn manifest() -> CapacityManifest {
        let words = ["plimsoll", "capacity", "--slo", "p99=1ms,p99.9=5ms", "--seed", "1"];
        let Verb::Capacity(args) = Cli::parse_from(words).verb else { panic!("not a capacity") };
        let asked = Asked::of(&args).expect("no files");
        CapacityManifest { status: RunStatus::Complete, ..asked.manifest(&args) }
    }

    #[test]
    fn what_the_command_line_names_and_is_not_there_is_wrong_usage() {
        let missing = tempfile::tempdir().expect("temporary folder").path().join("missing");
        let missing = missing.to_str().expect("UTF-8");
        for option in ["--config", "--trace"] {
            let words = ["plimsoll", "capacity", "--slo", "p99=1ms", option, missing];
            let Verb::Capacity(args) = Cli::parse_from(words).verb else { panic!("not one") };
            let Err(Failure::Usage(error)) = run(&args) else { panic!("{option}") };
            assert!(format!("{error:#}").contains("missing"), "{error:#}");
        }
    }
}
