//! `plimsoll history DIR`: when did it get slower? Two runs say whether the newer one is slower;
//! a history says since when, sees a decline in small steps, and is not fooled by one bad night.
//!
//! Nothing is measured here and no clock is read: the same folder gives the same answer.

mod page;
mod plot;
mod series;
mod show;
#[cfg(test)]
mod tests;

use std::fs;

use anyhow::{Context, Result, anyhow};

use crate::cli::{HistoryArgs, HistoryFormat};
use crate::failure::Failure;
use crate::stats::ShiftRules;
use crate::store::identity::{Weight, differences};
use crate::store::measured::{Measured, measurements_in};
use crate::store::unusable;

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
    /// In the format that was asked for; empty where nothing is to be printed.
    pub(crate) text: String,
    /// What was found.
    pub(crate) shifted: Shifted,
}

/// Reads the history that the command line names, and writes the files it asks for.
///
/// # Errors
/// See [`Failure`]; each is one sentence that says what to do.
pub(crate) fn run(args: &HistoryArgs) -> Result<Read, Failure> {
    let mut all: Vec<Measured> = measurements_in(&args.dir)
        .and_then(|paths| paths.iter().map(|path| Measured::open(path)).collect())
        .map_err(unusable)?;
    all.sort_by(|a, b| a.manifest().started_utc.cmp(&b.manifest().started_utc));
    let Some(newest) = all.last().map(|measured| measured.manifest().clone()) else {
        return Err(Failure::Usage(anyhow!(
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
            .with_context(|| format!("cannot write {}", file.path.display()))
            .map_err(Failure::Usage)?;
    }
    let printed = args.printed().map(|format| rendered(&history, format)).transpose()?;
    Ok(Read { text: printed.unwrap_or_default(), shifted: history.shifted })
}

fn is_refusal(difference: &crate::store::identity::Difference) -> bool {
    difference.weight == Weight::Refuses
}

fn rendered(history: &History, format: HistoryFormat) -> Result<String, Failure> {
    let text = match format {
        HistoryFormat::Text => Ok(show::text(history)),
        HistoryFormat::Markdown => Ok(show::markdown(history)),
        HistoryFormat::Html => page::page(history),
        HistoryFormat::Json => show::json(history),
        HistoryFormat::Junit => show::junit(history),
        HistoryFormat::Otava => Ok(show::otava(history)),
        HistoryFormat::OtavaConfig => Ok(show::otava_test(history)),
    };
    text.map_err(Failure::Broken)
}
