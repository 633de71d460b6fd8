//! Turns a stored run into what a person reads: a table for the terminal, a CSV, plots, and one
//! HTML page that opens offline.
//!
//! Everything but [`write_all`] is a pure function of [`Run`], the run's stored files. Nothing is
//! measured, no clock is read, and the same input gives the same bytes.

mod capacity;
mod csv;
mod html;
mod plots;
#[cfg(test)]
mod synthetic;
mod table;
mod terminal;
mod view;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::store::RunFolder;
use crate::store::certificate::Standing;
use crate::store::schema::{Analysis, Manifest, TrialResult, TrialStatus};

use csv::summary_csv;
use html::report_html;
use plots::plots;

pub(crate) use capacity::{capacity_summary, write_capacity};
pub(crate) use table::Style;
pub(crate) use terminal::terminal_summary;

/// A run as it lies on disk: all that a report is made from.
#[derive(Clone, Copy)]
struct Run<'a> {
    /// What was run, where, and how it ended.
    pub manifest: &'a Manifest,
    /// Every trial, sentinels included, in any order.
    pub trials: &'a [TrialResult],
    /// What was concluded from them.
    pub analysis: &'a Analysis,
    /// Whether its recommendation is certified; `None` without one.
    pub standing: Option<&'a Standing>,
    /// Commit latency of each configuration, all its blocks merged, nanoseconds, by
    /// configuration id. A configuration that measured nothing is absent or empty.
    pub latency_ns_by_config: &'a BTreeMap<String, Histogram<u64>>,
    /// Commit latency of each trial in equal parts of its measured time, nanoseconds, in the order
    /// of `trials`; empty for all but the sentinel and the recommended configuration.
    pub interval_latency_ns: &'a [Vec<Histogram<u64>>],
}

/// The files [`write_all`] left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// `summary.csv`.
    pub summary_csv: PathBuf,
    /// `report.html`.
    pub report_html: PathBuf,
    /// `plots/*.svg`, in the order the report shows them.
    pub plots: Vec<PathBuf>,
}

/// Writes `summary.csv`, `plots/*.svg` and `report.html` into the run's folder, each complete or
/// not at all, from the run's stored files and these parts of them. A plot of an earlier report
/// that has nothing to show any more is removed.
///
/// # Errors
/// When a stored histogram cannot be read or a file cannot be written; what was written before it
/// stays.
pub(crate) fn write_all(
    folder: &RunFolder,
    manifest: &Manifest,
    trials: &[TrialResult],
    analysis: &Analysis,
    standing: Option<&Standing>,
) -> Result<Written> {
    let latency_ns_by_config = folder.latency_ns_by_config(trials)?;
    let interval_latency_ns = interval_latency_ns(folder, trials, analysis)?;
    let run = Run {
        manifest,
        trials,
        analysis,
        standing,
        latency_ns_by_config: &latency_ns_by_config,
        interval_latency_ns: &interval_latency_ns,
    };
    let drawn = plots(&run)?;
    for file_name in plots::FILE_NAMES {
        let name = format!("plots/{file_name}");
        match drawn.iter().find(|plot| plot.file_name == file_name) {
            Some(plot) => {
                folder.write_artifact(&name, plot.svg.as_bytes())?;
            }
            None => folder.remove_artifact(&name)?,
        }
    }
    Ok(Written {
        plots: drawn.iter().map(|plot| folder.path().join("plots").join(plot.file_name)).collect(),
        summary_csv: folder.write_artifact("summary.csv", summary_csv(&run).as_bytes())?,
        // The page last: where there is a report, everything it speaks of is there too.
        report_html: folder.write_artifact("report.html", report_html(&run, &drawn).as_bytes())?,
    })
}

/// The parts of those trials that are shown over time.
fn interval_latency_ns(
    folder: &RunFolder,
    trials: &[TrialResult],
    analysis: &Analysis,
) -> Result<Vec<Vec<Histogram<u64>>>> {
    let recommended = analysis.recommendation.as_ref().map(|choice| choice.config_id.as_str());
    let is_shown = |trial: &TrialResult| {
        let is_recommended = recommended == Some(trial.config_id.as_str());
        (trial.sentinel || is_recommended) && trial.status == TrialStatus::Ok
    };
    let of_trial = |trial: &TrialResult| {
        if is_shown(trial) { folder.interval_latency_ns(trial) } else { Ok(Vec::new()) }
    };
    trials.iter().map(of_trial).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::synthetic::Synthetic;
    use super::*;
    use crate::store::{TrialFiles, empty_histogram_ns, to_hlog_with_intervals};

    /// The run on disk, its merged histograms stored with the first block's trials.
    fn stored(run: &mut Synthetic) -> (TempDir, RunFolder) {
        let out = tempfile::tempdir().expect("temporary folder");
        let folder = RunFolder::create(out.path(), &mut run.manifest).expect("create");
        let empty = empty_histogram_ns().expect("histogram");
        for (trial, intervals) in run.trials.iter().zip(&run.interval_latency_ns) {
            let first = trial.block == 0 && !trial.sentinel;
            let histogram = run.latency_ns_by_config.get(&trial.config_id).filter(|_| first);
            let histogram = histogram.unwrap_or(&empty);
            let second = Duration::from_secs(1);
            let hlog = to_hlog_with_intervals(histogram, &[], intervals, second).expect("encode");
            let files = TrialFiles { latency_hlog: Some(&hlog), ..TrialFiles::default() };
            folder.record_trial(trial, files).expect("record");
        }
        (out, folder)
    }

    fn write(folder: &RunFolder, run: &Synthetic) -> Result<Written> {
        write_all(folder, &run.manifest, &run.trials, &run.analysis, Some(&run.standing))
    }

    fn plots_of(folder: &RunFolder) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder.path().join("plots")).expect("plots");
        let mut found: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
        found.sort();
        found
    }

    #[test]
    fn write_all_leaves_exactly_the_announced_files() {
        let mut run = Synthetic::small();
        let (_out, folder) = stored(&mut run);
        let written = write(&folder, &run).expect("write");
        let mut announced = written.plots.clone();
        announced.sort();
        assert_eq!(plots_of(&folder), announced, "no temporary file is left");
        assert_eq!(announced.len(), plots::FILE_NAMES.len());
        // The stored histograms are those the run was made with.
        assert_eq!(fs::read_to_string(&written.summary_csv).expect("csv"), summary_csv(&run.run()));
        let html = fs::read_to_string(&written.report_html).expect("html");
        assert_eq!(html, report_html(&run.run(), &plots(&run.run()).expect("plots")));
    }

    #[test]
    fn every_run_that_can_be_stored_gives_a_report_twice_the_same() {
        for (name, mut run) in Synthetic::every_kind() {
            if name == "hostile_numbers" {
                continue; // Numbers that are none are refused when they are stored.
            }
            let (_out, folder) = stored(&mut run);
            let first = write(&folder, &run).expect(name);
            let before = fs::read(&first.report_html).expect("html");
            assert_eq!(write(&folder, &run).expect(name), first, "{name}");
            assert!(before == fs::read(&first.report_html).expect("html"), "{name}");
        }
    }

    #[test]
    fn a_plot_that_no_longer_has_anything_to_show_goes() {
        let mut run = Synthetic::small();
        let (_out, folder) = stored(&mut run);
        write(&folder, &run).expect("write");
        run.trials.clear();
        run.analysis.axes.clear();
        run.analysis.front.clear();
        run.analysis.configurations.clear();
        let written = write(&folder, &run).expect("write");
        assert_eq!((written.plots, plots_of(&folder)), (Vec::new(), Vec::new()));
    }

    #[test]
    fn write_all_names_the_path_it_failed_on() {
        let mut run = Synthetic::small();
        let (_out, folder) = stored(&mut run);
        fs::create_dir(folder.path().join("summary.csv")).expect("in the way");
        let error = format!("{:#}", write(&folder, &run).expect_err("in the way"));
        assert!(error.contains("summary.csv; check"), "{error}");
        assert!(!folder.path().join("summary.csv.tmp").exists());
    }
}
