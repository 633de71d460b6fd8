//! Arguments of the verbs that read stored runs and judge them: `compare` and `history`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub(super) const COMPARE_LONG: &str = "\
Says whether NEW is slower than BASE: by how much, with which confidence, and what to do next. Each of \
the two is a run's folder, or a folder of runs, whose blocks then count together. Configuration by \
configuration and over all of them it compares commit rate, p50, p99 and p99.9 where every block's \
sample supports them, and device bytes per payload byte.

A regression is what meets all of: the 95 % interval excludes no change (bootstrap over blocks, 100,000 \
resamples), the change exceeds 1 % and the noise floor, it is no chance (adjusted p under 0.05; \
Wilcoxon's signed-rank test where blocks were measured in turns, Mann and Whitney's where not; Holm's \
adjustment), and a rerun shows it again (--confirm). A pass is a commit rate for which a regression of \
5 % is excluded. Everything else is inconclusive, and says what would settle it.

Another machine, device, profile or schema is refused; a kernel, a build or a firmware is told.";

pub(super) const COMPARE_EXAMPLES: &str = "\
Examples:
  plimsoll compare results/20260301T020000Z-db1-nightly-3f9a results/20260302T020000Z-db1-nightly-81c0
  plimsoll compare nightly/base/0302 nightly/new/0302 --confirm nightly/confirm/new/0302 \\
    --confirm-base nightly/confirm/base/0302
  plimsoll compare base new --format markdown --write junit=junit.xml --write bencher=bmf.json

Exit codes:
  0    pass
  1    regression, confirmed by a rerun; or a log failed, lost data, or refused its settings
  2    usage: a folder is none of a run, or a file cannot be written
  3    refused: the runs are not alike, or of a schema that this program does not know
  4    inconclusive: suspected until a rerun confirms, not confirmed, or too noisy to tell";

pub(super) const HISTORY_LONG: &str = "\
Finds where in a history of runs a number shifted and stayed. DIR holds runs, or folders of runs; those \
of the newest one's profile and machine are its history. Change points are searched by E-divisive means \
(window of 50 runs, p 0.001), and told if they change a median by 3 % or more and have at least 3 runs \
on each side. Fewer than 14 runs can show none.

A change point for the worse among the newest runs (--recent) ends with exit code 1.";

pub(super) const HISTORY_EXAMPLES: &str = "\
Examples:
  plimsoll history results
  plimsoll history nightly/new --recent 30 --format markdown
  plimsoll history nightly/new --write otava=history.csv --write otava-config=otava.yaml

Exit codes:
  0    pass: no recent change point for the worse
  1    regression: a number got worse and stayed so
  2    usage: the folder cannot be read, or a file not be written
  3    refused: a run is of a schema that this program does not know
  4    inconclusive: too few runs to show anything";

/// Arguments of `plimsoll compare`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompareArgs {
    /// What to hold against: a run's folder, or a folder of runs
    #[arg(value_name = "BASE")]
    pub base: PathBuf,

    /// What to judge
    #[arg(value_name = "NEW")]
    pub new: PathBuf,

    /// NEW measured once more: a regression counts only if this shows it, too
    #[arg(long, value_name = "RERUN")]
    pub confirm: Option<PathBuf>,

    /// BASE measured once more beside RERUN; without it RERUN is held against BASE
    #[arg(long, value_name = "RUN", requires = "confirm")]
    pub confirm_base: Option<PathBuf>,

    /// BASE measured once more (an A/A run): how far it lies from BASE is the noise floor, instead
    /// of what the sentinels of each block say
    #[arg(long, value_name = "RUN")]
    pub noise: Option<PathBuf>,

    /// Compare runs of different machines, profiles or schema versions all the same
    #[arg(long)]
    pub force: bool,

    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: CompareFormat,

    /// Print JSON: the same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,

    /// Print nothing but errors: the exit code is the answer
    #[arg(long, short, conflicts_with_all = ["format", "json"])]
    pub quiet: bool,

    /// Write this format to a file, too; may be given several times
    #[arg(long, value_name = "FORMAT=FILE", value_parser = file::<CompareFormat>)]
    pub write: Vec<FileOf<CompareFormat>>,
}

impl CompareArgs {
    /// What is to be printed, if anything is.
    pub(crate) fn printed(&self) -> Option<CompareFormat> {
        let format = if self.json { CompareFormat::Json } else { self.format };
        (!self.quiet).then_some(format)
    }
}

/// Formats of a comparison. The last three are NEW's numbers for a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompareFormat {
    /// For a terminal
    Text,
    /// For a pull request
    Markdown,
    /// Everything, for programs
    Json,
    /// JUnit XML, for a CI system
    Junit,
    /// github-action-benchmark, customBiggerIsBetter
    GithubBigger,
    /// github-action-benchmark, customSmallerIsBetter
    GithubSmaller,
    /// Bencher Metric Format
    Bencher,
}

/// Arguments of `plimsoll history`.
#[derive(Clone, Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Folder of runs, or of folders of runs
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Runs in which a change point for the worse ends with exit code 1
    #[arg(long, value_name = "N", default_value_t = 14)]
    pub recent: usize,

    /// What to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: HistoryFormat,

    /// Print JSON: the same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,

    /// Print nothing but errors: the exit code is the answer
    #[arg(long, short, conflicts_with_all = ["format", "json"])]
    pub quiet: bool,

    /// Write this format to a file, too; may be given several times
    #[arg(long, value_name = "FORMAT=FILE", value_parser = file::<HistoryFormat>)]
    pub write: Vec<FileOf<HistoryFormat>>,
}

impl HistoryArgs {
    /// What is to be printed, if anything is.
    pub(crate) fn printed(&self) -> Option<HistoryFormat> {
        let format = if self.json { HistoryFormat::Json } else { self.format };
        (!self.quiet).then_some(format)
    }
}

/// Formats of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HistoryFormat {
    /// For a terminal
    Text,
    /// For a pull request
    Markdown,
    /// A page with every number over time, for a browser
    Html,
    /// Everything, for programs
    Json,
    /// JUnit XML, for a CI system
    Junit,
    /// CSV that Apache Otava takes
    Otava,
    /// The test definition that goes with it; expects the CSV as history.csv
    OtavaConfig,
}

/// A format and the file to write it to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileOf<F> {
    /// What to write.
    pub format: F,
    /// Where.
    pub path: PathBuf,
}

fn file<F: ValueEnum>(text: &str) -> Result<FileOf<F>, String> {
    let (name, path) = text.split_once('=').ok_or("write it as FORMAT=FILE")?;
    let format = F::from_str(name, false).map_err(|_| {
        let known: Vec<String> = F::value_variants()
            .iter()
            .filter_map(|format| Some(format.to_possible_value()?.get_name().to_owned()))
            .collect();
        format!("{name:?} is none of {}", known.join(", "))
    })?;
    if path.is_empty() {
        return Err("the file has no name".to_owned());
    }
    Ok(FileOf { format, path: PathBuf::from(path) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_with_its_format() {
        let found = file::<CompareFormat>("github-bigger=a=b.json").expect("a file");
        assert_eq!(found.format, CompareFormat::GithubBigger);
        assert_eq!(found.path, PathBuf::from("a=b.json"));
        for text in ["junit", "pdf=x", "junit=", "=x"] {
            assert!(file::<CompareFormat>(text).is_err(), "{text}");
        }
        assert!(file::<HistoryFormat>("pdf=x").expect_err("no format").contains("otava-config"));
    }
}
