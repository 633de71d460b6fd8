//! `plimsoll compare BASE NEW`: did it get slower? Reads two stored measurements, refuses to set
//! side by side what is not alike, and answers with a change, its interval, and what to do next.
//!
//! Nothing is measured here and no clock is read: the same folders give the same answer.

mod change;
mod judge;
mod rows;
mod show;
#[cfg(test)]
mod tests;
mod words;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use crate::cli::{CompareArgs, CompareFormat};
use crate::failure::Failure;
use crate::stats::Bootstrap;
use crate::store::identity::{Weight, differences};
use crate::store::measured::Measured;
use crate::store::unusable;

use judge::{Comparison, Runs, judge};

pub(crate) use judge::Verdict;

/// Seed of the resampling: the answer is to depend on the runs alone.
const SEED: u64 = 1;

/// What a comparison came to.
#[derive(Clone, Debug)]
pub(crate) struct Compared {
    /// In the format that was asked for; empty where nothing is to be printed.
    pub(crate) text: String,
    /// What was found.
    pub(crate) verdict: Verdict,
}

/// Compares what the command line names, and writes the files it asks for.
///
/// # Errors
/// See [`Failure`]; each is one sentence that says what to do.
pub(crate) fn run(args: &CompareArgs) -> Result<Compared, Failure> {
    let base = open(&args.base)?;
    let new = open(&args.new)?;
    let again = args.confirm.as_deref().map(open).transpose()?;
    let base_again = args.confirm_base.as_deref().map(open).transpose()?;
    let noise = args.noise.as_deref().map(open).transpose()?;
    for other in [Some(&new), again.as_ref(), base_again.as_ref(), noise.as_ref()] {
        if let Some(other) = other.filter(|_| !args.force) {
            refuse_unlike(&base, other)?;
        }
    }
    if let Some(again) = &again {
        require_same_build(&new, again)?;
    }
    for same in [base_again.as_ref(), noise.as_ref()].into_iter().flatten() {
        require_same_build(&base, same)?;
    }
    let runs = Runs {
        base: &base,
        new: &new,
        again: again.as_ref(),
        base_again: base_again.as_ref(),
        noise: noise.as_ref(),
    };
    let comparison = judge(&runs, &Bootstrap::fine(SEED));
    for file in &args.write {
        let content = rendered(&comparison, file.format)?;
        fs::write(&file.path, content)
            .with_context(|| format!("cannot write {}", file.path.display()))
            .map_err(Failure::Usage)?;
    }
    let printed = args.printed().map(|format| rendered(&comparison, format)).transpose()?;
    Ok(Compared { text: printed.unwrap_or_default(), verdict: comparison.verdict })
}

/// By the name that the command line gives it: two nights may have folders of one name.
fn open(path: &Path) -> Result<Measured, Failure> {
    let name = path.display().to_string();
    Ok(Measured { name, ..Measured::open(path).map_err(unusable)? })
}

fn refuse_unlike(base: &Measured, other: &Measured) -> Result<(), Failure> {
    let found = differences(base.manifest(), other.manifest());
    let reasons: Vec<String> = found
        .iter()
        .filter(|difference| difference.weight == Weight::Refuses)
        .map(ToString::to_string)
        .collect();
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Failure::Refused(anyhow!(
        "{} and {} are not alike: {}; measure both on one machine with one profile, or compare \
         them all the same with --force",
        base.name,
        other.name,
        reasons.join("; ")
    )))
}

/// A rerun of another build would confirm nothing.
fn require_same_build(first: &Measured, second: &Measured) -> Result<(), Failure> {
    let build =
        |measured: &Measured| measured.manifest().environment_before.plimsoll_version.clone();
    let (one, other) = (build(first), build(second));
    if one == other {
        return Ok(());
    }
    Err(Failure::Usage(anyhow!(
        "{} is to repeat {}, but it is of {other} and not of {one}",
        second.name,
        first.name
    )))
}

fn rendered(comparison: &Comparison, format: CompareFormat) -> Result<String, Failure> {
    let text = match format {
        CompareFormat::Text => Ok(show::text(comparison)),
        CompareFormat::Markdown => Ok(show::markdown(comparison)),
        CompareFormat::Json => show::json(comparison),
        CompareFormat::Junit => show::junit(comparison),
        CompareFormat::GithubBigger => show::github(comparison, true),
        CompareFormat::GithubSmaller => show::github(comparison, false),
        CompareFormat::Bencher => show::bencher_metrics(comparison),
    };
    text.map_err(Failure::Broken)
}
