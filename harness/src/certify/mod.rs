//! `plimsoll certify`: cuts power on simulated disks, under exactly the settings that are to be
//! used, and writes down beside them what came of it.
//!
//! Two parts: the sizes as they are, which takes long for an image of large segments, and the same
//! settings with sizes so small that a life fills many segments, which gives hundreds of times the
//! images. And each of the library's seeded bugs under the same settings: a matrix that does not
//! notice them vouches for nothing.

mod controls;
mod exploring;
mod subject;
mod words;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, anyhow};
use jiff::Timestamp;

use crate::cli::CertifyArgs;
use crate::failure::Failure;
use crate::host;
use crate::scratch::Interrupts;
use crate::store::certificate::{BrokenPromise, Certificate, Verdict};
use crate::store::schema::SCHEMA_VERSION;
use crate::ticker::Ticker;
use crate::units::format_bytes;

use exploring::{Explorer, Found, Share};
use subject::Subject;

/// What a certification came to.
#[derive(Clone, Debug)]
pub(crate) struct Certified {
    /// For people.
    pub(crate) text: String,
    /// What was found.
    pub(crate) verdict: Verdict,
    /// Where it was written.
    pub(crate) certificate: PathBuf,
    /// Folder of the run whose settings they are, if they are a run's.
    pub(crate) run: Option<PathBuf>,
}

/// Certifies what the command line names, and writes the certificate.
///
/// # Errors
/// See [`Failure`]; each is one sentence that says what to do.
pub(crate) fn run(args: &CertifyArgs) -> Result<Certified, Failure> {
    let subject = Subject::load(&args.run).map_err(Failure::Usage)?;
    let environment = host::capture(Path::new("."));
    let shares = Share::of(&subject, args);
    let segment_bytes = subject.config.segment_size;
    let Some(workers) = exploring::workers(segment_bytes, &environment) else {
        return Err(Failure::Refused(anyhow!(
            "segment_size = {} is more than can be simulated in this machine's memory; certify \
             smaller segments, or on a larger machine",
            format_bytes(segment_bytes)
        )));
    };
    let interrupts = Interrupts::install().map_err(Failure::Broken)?;
    let ticker = Ticker::new(args.quiet);
    let began = Instant::now();
    let explorer =
        Explorer { subject: &subject, workers, interrupts: &interrupts, ticker: &ticker };
    let mut certificate = Certificate {
        schema_version: SCHEMA_VERSION.to_owned(),
        plimsoll_version: environment.plimsoll_version,
        started_utc: utc_now(),
        seconds: 0.0,
        settings: subject.settings.clone(),
        first_seed: args.first_seed,
        parts: Vec::new(),
        violation: None,
        controls: Vec::new(),
    };
    explore(&explorer, &shares, &mut certificate)?;
    ticker.finish();
    certificate.seconds = began.elapsed().as_secs_f64();
    let text = words::text(&subject, &certificate);
    let [path, _] = certificate.write_beside(&subject.file, &text).map_err(Failure::Broken)?;
    let verdict = certificate.verdict();
    Ok(Certified { text, verdict, certificate: path, run: subject.run })
}

/// Fills in what is found. After a broken promise the seeded bugs are beside the point.
fn explore(
    explorer: &Explorer<'_>,
    shares: &[Share],
    certificate: &mut Certificate,
) -> Result<(), Failure> {
    for share in shares {
        explorer.ticker.note(&share.announcement());
        match explorer.explore(share, None) {
            Found::Interrupted => return Err(Failure::Interrupted),
            Found::Nothing(part) => certificate.parts.push(part),
            Found::Violation(violation) => {
                certificate.violation = Some(BrokenPromise {
                    exact_sizes: share.exact_sizes,
                    seed: violation.seed,
                    problem: violation.to_string(),
                });
                return Ok(());
            }
        }
    }
    explorer.ticker.note("the same with each seeded bug");
    let controls = controls::run(explorer, shares).ok_or(Failure::Interrupted)?;
    certificate.controls = controls;
    Ok(())
}

/// Now, to the second, as RFC 3339.
fn utc_now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}
