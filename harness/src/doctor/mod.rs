//! `plimsoll doctor`: what a place is for a log, before one is there.
//!
//! Facts are gathered first, by asking the kernel, opening a small log, and measuring for three
//! seconds. Everything that is said, the class of device, the warnings and what follows, is made
//! from those facts alone.

mod class;
mod facts;
mod measured;
#[cfg(test)]
mod schema_file;
#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;
mod text;
mod verdict;
mod warnings;

use std::io;
use std::path::Path;

use anyhow::{Result, anyhow};
use jiff::Timestamp;

use crate::cli::DoctorArgs;
use crate::failure::Failure;
use crate::host::{self, DirectIo};
use crate::scratch::{Interrupts, Scratch};
use crate::workload::{self, Unusable};

use facts::{Facts, LogAnswer, Refusal};
use measured::{Measured, SPACE_BYTES_MIN};
use verdict::Examination;

pub(crate) use verdict::Verdict;

/// What an examination came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Examined {
    /// What to print.
    pub text: String,
    /// Whether a log can be there.
    pub verdict: Verdict,
}

/// Examines what the command line names.
///
/// # Errors
/// See [`Failure`]. A place where no log can be is an answer and no error.
pub(crate) fn run(args: &DoctorArgs) -> Result<Examined, Failure> {
    let existing = host::nearest_existing(&args.target);
    if !existing.is_dir() {
        return Err(Failure::Usage(anyhow!(
            "{} cannot be a directory, because {} is a file; name another TARGET",
            args.target.display(),
            existing.display()
        )));
    }
    let interrupts = Interrupts::install().map_err(Failure::Broken)?;
    let facts = gather(args, &existing, &interrupts)?;
    let examination = Examination::of(facts, now());
    let text = if args.json {
        examination.json().map_err(Failure::Broken)?
    } else if args.quiet {
        text::warnings(&examination)
    } else {
        text::all(&examination, &args.target)
    };
    Ok(Examined { text, verdict: examination.verdict })
}

fn gather(args: &DoctorArgs, existing: &Path, interrupts: &Interrupts) -> Result<Facts, Failure> {
    let environment = host::capture(&args.target);
    let has_room = environment.free_bytes >= SPACE_BYTES_MIN;
    let tried = match Scratch::create(existing, interrupts) {
        Ok(scratch) => Tried::out(scratch, has_room && !args.no_measure, interrupts)?,
        Err(error) => Tried::refused(&error),
    };
    Ok(Facts {
        environment,
        place: host::examine(&args.target),
        io_uring: host::io_uring_state(),
        memory_lock_unlimited: host::may_lock_without_limit(),
        direct_io: tried.direct_io,
        log: tried.log,
        measured: tried.measured,
    })
}

/// What is learned by writing.
struct Tried {
    direct_io: Option<DirectIo>,
    log: LogAnswer,
    measured: Option<Measured>,
}

impl Tried {
    fn out(scratch: Scratch, measured: bool, interrupts: &Interrupts) -> Result<Self, Failure> {
        let directory = scratch.path();
        let mut tried = Self {
            direct_io: ask_about_direct_io(directory),
            log: match workload::choices(directory) {
                Ok(choices) => LogAnswer::Opens { choices },
                Err(unusable) => LogAnswer::Refuses { refusal: refused_by_log(unusable) },
            },
            measured: None,
        };
        if let (LogAnswer::Opens { choices }, true) = (&tried.log, measured) {
            let block_bytes = Some(choices.block_bytes);
            tried.measured =
                measured::measure(directory, block_bytes, interrupts).map_err(Failure::Broken)?;
        }
        scratch.remove().map_err(Failure::Broken)?;
        if interrupts.requested() { Err(Failure::Interrupted) } else { Ok(tried) }
    }

    fn refused(error: &anyhow::Error) -> Self {
        let refusal = refusal_of(error);
        Self { direct_io: None, log: LogAnswer::Refuses { refusal }, measured: None }
    }
}

/// `None` where no file can be made: the log says why.
fn ask_about_direct_io(directory: &Path) -> Option<DirectIo> {
    let file = directory.join("file");
    std::fs::write(&file, []).ok()?;
    Some(host::direct_io(&file))
}

/// Why no directory could be made.
fn refusal_of(error: &anyhow::Error) -> Refusal {
    let kind = error.root_cause().downcast_ref::<io::Error>().map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::ReadOnlyFilesystem) => Refusal::ReadOnly,
        Some(io::ErrorKind::PermissionDenied) => Refusal::NotWritable,
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Refusal::NoSpace,
        _ => Refusal::Other { reason: format!("{error:#}") },
    }
}

fn refused_by_log(unusable: Unusable) -> Refusal {
    match unusable {
        Unusable::NoDirectIo { filesystem } => Refusal::NoDirectIo { filesystem },
        Unusable::NoSpace => Refusal::NoSpace,
        Unusable::Other(reason) => Refusal::Other { reason },
    }
}

/// Now, to the second, as RFC 3339.
fn now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}
