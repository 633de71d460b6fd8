//! How far the sweep is: a bar with an estimate of the time left on a terminal, one line a block
//! elsewhere, nothing when asked to be quiet. All of it goes to standard error.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::units::format_seconds;

const TEMPLATE: &str = "{bar:30} {pos}/{len} trials  {msg}  {elapsed} gone, {eta} left";

/// Where progress is shown.
#[derive(Debug)]
pub(super) enum Progress {
    Bar(ProgressBar),
    Lines,
    Quiet,
}

/// What a block came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BlockReport {
    /// What a block is called.
    pub(super) name: &'static str,
    /// Blocks done and planned.
    pub(super) done: u32,
    pub(super) planned: u32,
    pub(super) seconds: f64,
    pub(super) trials: usize,
    pub(super) refused: usize,
    pub(super) failed: usize,
}

impl Progress {
    pub(super) fn new(quiet: bool) -> Self {
        if quiet {
            Self::Quiet
        } else if io::stderr().is_terminal() {
            let style = ProgressStyle::with_template(TEMPLATE)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            Self::Bar(ProgressBar::no_length().with_style(style))
        } else {
            Self::Lines
        }
    }

    pub(super) fn start(&self, trials: u64) {
        if let Self::Bar(bar) = self {
            bar.set_length(trials);
            bar.enable_steady_tick(Duration::from_millis(250));
        }
    }

    /// The next trial is of configuration `config_id`.
    pub(super) fn trial(&self, config_id: &str, block: u32) {
        if let Self::Bar(bar) = self {
            bar.set_message(format!("block {}, {config_id}", block + 1));
        }
    }

    pub(super) fn trial_done(&self) {
        if let Self::Bar(bar) = self {
            bar.inc(1);
        }
    }

    /// A trial need not be run: the time that is left does not follow from it.
    pub(super) fn trial_passed_over(&self) {
        if let Self::Bar(bar) = self {
            bar.inc(1);
            bar.reset_eta();
        }
    }

    pub(super) fn block_done(&self, report: &BlockReport) {
        if let Self::Lines = self {
            note(&report.to_string());
        }
    }

    /// Something to know at once.
    pub(super) fn notice(&self, text: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| note(text)),
            Self::Lines => note(text),
            Self::Quiet => {}
        }
    }

    pub(super) fn finish(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// A closed standard error is no reason to stop measuring.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

impl std::fmt::Display for BlockReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, done, planned, seconds, trials, refused, failed } = *self;
        write!(f, "{name} {done} of {planned}: {trials} trials in {}", format_seconds(seconds))?;
        if refused > 0 {
            write!(f, ", {refused} refused")?;
        }
        if failed > 0 {
            write!(f, ", {failed} FAILED")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_says_what_it_came_to() {
        let good = BlockReport {
            name: "block",
            done: 2,
            planned: 5,
            seconds: 13.2,
            trials: 66,
            refused: 0,
            failed: 0,
        };
        assert_eq!(good.to_string(), "block 2 of 5: 66 trials in 13 s");
        let bad = BlockReport { name: "screening block", refused: 32, failed: 1, ..good };
        assert_eq!(
            bad.to_string(),
            "screening block 2 of 5: 66 trials in 13 s, 32 refused, 1 FAILED"
        );
    }

    #[test]
    fn the_template_is_one() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
