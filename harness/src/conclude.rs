//! Everything that follows from a stored run: the analysis, the recommended settings and the
//! report. Reads the run's folder and nothing else, so the same folder gives the same answer.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use comfy_table::Table;
use serde::Serialize;

use crate::capacity;
use crate::cli::RecommendArgs;
use crate::recommend::{self, Question, analyse, recommended_toml};
use crate::report::{self, Style, capacity_summary, terminal_summary, write_capacity};
use crate::store::RunFolder;
use crate::store::capacity::{CapacityAnalysis, CapacityFolder};
use crate::store::certificate::{Certificate, RECOMMENDED, Standing, certified_settings, run_of};
use crate::store::schema::{
    Analysis, Manifest, RunStatus, SCHEMA_VERSION, Settings, TrialResult, TrialStatus,
};

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
    /// Whether somebody should certify them next.
    pub(crate) uncertified: bool,
    /// Whether a trial lost or altered a record, or its log failed.
    pub(crate) trial_failed: bool,
    /// How the run ended.
    status: RunStatus,
    /// The recommended settings.
    settings: Option<Settings>,
    /// The answer.
    analysis: Analysis,
}

/// What `plimsoll sweep --json` prints.
#[derive(Serialize)]
struct Document<'a> {
    schema_version: &'a str,
    run: &'a Path,
    status: RunStatus,
    report_html: &'a Path,
    recommended_toml: Option<PathBuf>,
    settings: Option<&'a Settings>,
    analysis: &'a Analysis,
}

impl Conclusion {
    /// Everything a script may want of the run in `folder`, as JSON.
    ///
    /// # Errors
    /// When a number in it is none.
    pub(crate) fn document(&self, folder: &Path) -> Result<String> {
        let document = Document {
            schema_version: SCHEMA_VERSION,
            run: folder,
            status: self.status,
            report_html: &self.report_html,
            recommended_toml: self.recommended.then(|| folder.join(RECOMMENDED)),
            settings: self.settings.as_ref(),
            analysis: &self.analysis,
        };
        serde_json::to_string_pretty(&document).context("the answer has no JSON form")
    }
}

/// Writes `analysis.json`, `recommended.toml`, `summary.csv`, the plots and `report.html` of the
/// run in `folder`.
///
/// # Errors
/// When the folder is none, is damaged, or cannot be written.
pub(crate) fn conclude(folder: &Path) -> Result<Conclusion> {
    let (folder, manifest) = RunFolder::open(folder)?;
    let trials = folder.trials()?;
    let latency_ns = folder.latency_ns_by_config(&trials)?;
    let analysis = analyse(&manifest, &trials, &latency_ns, &Question::default());
    folder.write_analysis(&analysis)?;
    let verified_records = trials.iter().map(|trial| trial.verified_records).sum();
    let standing = match recommended_toml(&manifest, &analysis, verified_records, None) {
        Some(settings) => {
            let file = folder.path().join(RECOMMENDED);
            let settings = certified_settings(&settings, is_encrypted(&manifest, &analysis))?;
            Some(Standing::of(&settings, Certificate::beside(&file)?))
        }
        None => None,
    };
    match recommended_toml(&manifest, &analysis, verified_records, standing.as_ref()) {
        Some(settings) => {
            folder.write_artifact(RECOMMENDED, settings.as_bytes())?;
        }
        None => folder.remove_artifact(RECOMMENDED)?,
    }
    let written = report::write_all(&folder, &manifest, &trials, &analysis, standing.as_ref())?;
    let is_failure = |trial: &TrialResult| matches!(trial.status, TrialStatus::Failed { .. });
    let screened = folder.screening().trials()?;
    Ok(Conclusion {
        summary: terminal_summary(&manifest, &trials, &analysis, standing.as_ref(), style()),
        report_html: written.report_html,
        recommended: analysis.recommendation.is_some(),
        uncertified: standing.is_some_and(|standing| !matches!(standing, Standing::OfThese(_))),
        trial_failed: trials.iter().chain(&screened).any(is_failure),
        status: manifest.status,
        settings: analysis.recommended(&manifest).map(|chosen| chosen.settings.clone()),
        analysis,
    })
}

/// Refuses a run whose recommendation was changed by hand: whatever is concluded from the run again
/// would undo that.
///
/// # Errors
/// When it was, or the run is damaged.
pub(crate) fn is_as_concluded(path: &Path) -> Result<()> {
    let Some(path) = run_of(path).filter(|folder| folder.join(RECOMMENDED).is_file()) else {
        return Ok(());
    };
    let file = path.join(RECOMMENDED);
    let (folder, manifest) = RunFolder::open(path)?;
    let analysis = folder.analysis()?;
    let encrypted = is_encrypted(&manifest, &analysis);
    let unusable = || format!("cannot use {}", file.display());
    let text = fs::read_to_string(&file).with_context(unusable)?;
    let found = certified_settings(&text, encrypted).with_context(unusable)?;
    let concluded = recommended_toml(&manifest, &analysis, 0, None).unwrap_or_default();
    if certified_settings(&concluded, encrypted).is_ok_and(|concluded| concluded == found) {
        return Ok(());
    }
    bail!(
        "{} is not what its run recommends any more; copy it out of the run's folder and certify \
         the copy, or make it again with `plimsoll report {}`",
        file.display(),
        path.display()
    )
}

fn is_encrypted(manifest: &Manifest, analysis: &Analysis) -> bool {
    analysis.recommended(manifest).is_some_and(|chosen| chosen.settings.encryption)
}

/// A recommendation that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Recommended {
    /// For the terminal.
    pub(crate) text: String,
    /// The answer.
    pub(crate) analysis: Analysis,
    /// Where the settings are, if they were written.
    pub(crate) settings: Option<PathBuf>,
    /// Whether a trial lost or altered a record, or its log failed.
    pub(crate) trial_failed: bool,
}

/// Answers what is asked of a run. The question that every run is concluded for is answered by
/// concluding it again, so that all its files agree; any other leaves the run as it is, so that
/// `report` makes the same again, and its settings go to the file that is named, if one is.
///
/// # Errors
/// As [`conclude`], and when the settings cannot be written.
pub(crate) fn recommend(args: &RecommendArgs) -> Result<Recommended> {
    let question = Question { slo: args.slo.clone(), objective: args.objective };
    let is_own = question == Question::default() && args.out.is_none();
    if is_own {
        conclude(&args.run)?;
    }
    let (folder, manifest) = RunFolder::open(&args.run)?;
    let trials = folder.trials()?;
    let analysis = if is_own {
        folder.analysis()?
    } else {
        let latency_ns = folder.latency_ns_by_config(&trials)?;
        analyse(&manifest, &trials, &latency_ns, &question)
    };
    let is_failure = |trial: &TrialResult| matches!(trial.status, TrialStatus::Failed { .. });
    let verified_records = trials.iter().map(|trial| trial.verified_records).sum();
    let made = recommended_toml(&manifest, &analysis, verified_records, None);
    let settings = match (made, &args.out) {
        (Some(made), Some(out)) => {
            fs::write(out, made)
                .with_context(|| format!("cannot write {}; name another file", out.display()))?;
            Some(out.clone())
        }
        (Some(_), None) if is_own => Some(folder.path().join(RECOMMENDED)),
        _ => None,
    };
    Ok(Recommended {
        text: recommend::text(&manifest, &analysis),
        settings,
        trial_failed: trials.iter().any(is_failure),
        analysis,
    })
}

/// What was concluded from a capacity run.
#[derive(Clone, Debug)]
pub(crate) struct CapacityConclusion {
    /// For the terminal.
    pub(crate) summary: String,
    /// The report.
    pub(crate) report_html: PathBuf,
    /// The answer.
    pub(crate) analysis: CapacityAnalysis,
}

/// Writes `analysis.json`, the plot and `report.html` of the capacity run in `folder`.
///
/// # Errors
/// As [`conclude`].
pub(crate) fn conclude_capacity(folder: &Path) -> Result<CapacityConclusion> {
    let (folder, manifest) = CapacityFolder::open(folder)?;
    let trials = folder.trials()?;
    let analysis = capacity::analyse(&manifest, &trials);
    folder.write_analysis(&analysis)?;
    let report_html = write_capacity(&folder, &manifest, &trials, &analysis)?;
    let summary = capacity_summary(&manifest, &trials, &analysis, style());
    Ok(CapacityConclusion { summary, report_html, analysis })
}

fn style() -> Style {
    let is_terminal = io::stdout().is_terminal();
    // https://no-color.org: any value but an empty one.
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let width = Table::new().width().filter(|_| is_terminal).unwrap_or(WIDTH_DEFAULT);
    Style { colour: is_terminal && !no_colour, width }
}
