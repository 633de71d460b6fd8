//! `plimsoll history DIR`: when did it get slower? Two runs say whether the newer one is slower;
//! a history says since when, sees a decline in small steps, and is not fooled by one bad night.
//!
//! Nothing is measured here and no clock is read: the same folder gives the same answer.

mod series;
mod show;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;

use anyhow::{Context, Result, anyhow};

use crate::cli::{HistoryArgs, HistoryFormat};
use crate::stats::ShiftRules;
use crate::store::UnknownSchema;
use crate::store::identity::{Weight, differences};
use crate::store::measured::{Measured, measurements_in};

use series::History;

/// Seed of the shuffling: the answer is to depend on the runs alone.
const SEED: u64 = 1;

/// Whether something got worse lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shifted {
    /// No.
    Not,
    /// Yes.
    ForTheWorse,
    /// The history is too short to tell.
    TooShort,
}

/// What a history came to.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    /// In the format that was asked for.
    pub(crate) text: String,
    /// What was found.
    pub(crate) shifted: Shifted,
}

/// Why there is no history.
#[derive(Debug)]
pub(crate) enum HistoryError {
    /// The folder cannot be read or holds no run, or a file cannot be written.
    Usage(anyhow::Error),
    /// A run is of a schema that this program does not know.
    Refused(anyhow::Error),
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Usage(error) | Self::Refused(error)) = self;
        write!(f, "{error:#}")
    }
}

impl From<anyhow::Error> for HistoryError {
    fn from(error: anyhow::Error) -> Self {
        if error.is::<UnknownSchema>() { Self::Refused(error) } else { Self::Usage(error) }
    }
}

/// Reads the history that the command line names, and writes the files it asks for.
///
/// # Errors
/// See [`HistoryError`]; each is one sentence that says what to do.
pub(crate) fn run(args: &HistoryArgs) -> Result<Read, HistoryError> {
    let mut all: Vec<Measured> = measurements_in(&args.dir)?
        .iter()
        .map(|path| Measured::open(path))
        .collect::<Result<_>>()?;
    all.sort_by(|a, b| a.manifest().started_utc.cmp(&b.manifest().started_utc));
    let Some(newest) = all.last().map(|measured| measured.manifest().clone()) else {
        return Err(HistoryError::Usage(anyhow!(
            "{} holds no runs: name a folder that sweeps were made in, such as results",
            args.dir.display()
        )));
    };
    let found = all.len();
    all.retain(|measured| {
        let refuses = |difference: &_| is_refusal(difference);
        !differences(measured.manifest(), &newest).iter().any(refuses)
    });
    let left_out = found - all.len();
    let history = History::read(&all, left_out, args.recent, &ShiftRules::new(SEED));
    for file in &args.write {
        let content = rendered(&history, file.format)?;
        fs::write(&file.path, content)
            .with_context(|| format!("cannot write {}", file.path.display()))?;
    }
    Ok(Read { text: rendered(&history, args.format)?, shifted: history.shifted })
}

fn is_refusal(difference: &crate::store::identity::Difference) -> bool {
    difference.weight == Weight::Refuses
}

fn rendered(history: &History, format: HistoryFormat) -> Result<String> {
    match format {
        HistoryFormat::Text => Ok(show::text(history)),
        HistoryFormat::Markdown => Ok(show::markdown(history)),
        HistoryFormat::Json => show::json(history),
        HistoryFormat::Junit => show::junit(history),
        HistoryFormat::Otava => Ok(show::otava(history)),
        HistoryFormat::OtavaConfig => Ok(show::otava_test(history)),
    }
}
