//! Everything that follows from a stored run: the analysis, the recommended settings and the
//! report. Reads the run's folder and nothing else, so the same folder gives the same answer.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::Result;
use comfy_table::Table;

use crate::recommend::{add_merged_p999, analyse, recommended_toml};
use crate::report::{self, Style, terminal_summary};
use crate::store::RunFolder;
use crate::store::schema::{TrialResult, TrialStatus};

const RECOMMENDED: &str = "recommended.toml";

/// Columns where the output is no terminal.
const WIDTH_DEFAULT: u16 = 100;

/// What was concluded.
#[derive(Clone, Debug)]
pub(crate) struct Conclusion {
    /// For the terminal.
    pub(crate) summary: String,
    /// The report.
    pub(crate) report_html: PathBuf,
    /// Whether there are settings to recommend.
    pub(crate) recommended: bool,
    /// Whether a trial lost or altered a record, or its log failed.
    pub(crate) trial_failed: bool,
}

/// Writes `analysis.json`, `recommended.toml`, `summary.csv`, the plots and `report.html` of the
/// run in `folder`.
///
/// # Errors
/// When the folder is none, is damaged, or cannot be written.
pub(crate) fn conclude(folder: &Path) -> Result<Conclusion> {
    let (folder, manifest) = RunFolder::open(folder)?;
    let trials = folder.trials()?;
    let mut analysis = analyse(&manifest, &trials);
    add_merged_p999(&mut analysis, &trials, &folder.latency_ns_by_config(&trials)?);
    folder.write_analysis(&analysis)?;
    let verified_records = trials.iter().map(|trial| trial.verified_records).sum();
    match recommended_toml(&manifest, &analysis, verified_records) {
        Some(settings) => {
            folder.write_artifact(RECOMMENDED, settings.as_bytes())?;
        }
        None => folder.remove_artifact(RECOMMENDED)?,
    }
    let written = report::write_all(&folder, &manifest, &trials, &analysis)?;
    let is_failure = |trial: &TrialResult| matches!(trial.status, TrialStatus::Failed { .. });
    Ok(Conclusion {
        summary: terminal_summary(&manifest, &trials, &analysis, style()),
        report_html: written.report_html,
        recommended: analysis.recommendation.is_some(),
        trial_failed: trials.iter().any(is_failure),
    })
}

fn style() -> Style {
    let is_terminal = io::stdout().is_terminal();
    // https://no-color.org: any value but an empty one.
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let width = Table::new().width().filter(|_| is_terminal).unwrap_or(WIDTH_DEFAULT);
    Style { colour: is_terminal && !no_colour, width }
}
