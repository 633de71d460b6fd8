//! How far something is that takes a minute or more: one line that is kept up to date on a
//! terminal, a line now and then elsewhere, nothing when asked to be quiet. All of it goes to
//! standard error.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Where it is shown. Shared by threads.
#[derive(Debug)]
pub(crate) struct Ticker {
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Terminal(ProgressBar),
    /// And when the last line was written.
    Lines(Mutex<Instant>),
    Quiet,
}

impl Ticker {
    pub(crate) fn new(quiet: bool) -> Self {
        let shown = if quiet {
            Shown::Quiet
        } else if io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{spinner} {elapsed}  {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let line = ProgressBar::new_spinner().with_style(style);
            line.enable_steady_tick(Duration::from_millis(250));
            Shown::Terminal(line)
        } else {
            Shown::Lines(Mutex::new(Instant::now()))
        };
        Self { shown }
    }

    /// Something to know at once, which stays.
    pub(crate) fn note(&self, text: &str) {
        match &self.shown {
            Shown::Terminal(line) => line.suspend(|| write_line(text)),
            Shown::Lines(_) => write_line(text),
            Shown::Quiet => {}
        }
    }

    /// How far it is.
    pub(crate) fn tick(&self, text: impl FnOnce() -> String) {
        match &self.shown {
            Shown::Terminal(line) => line.set_message(text()),
            Shown::Lines(last) => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() >= LINE_EVERY {
                    *last = Instant::now();
                    write_line(&text());
                }
            }
            Shown::Quiet => {}
        }
    }

    pub(crate) fn finish(self) {
        if let Shown::Terminal(line) = self.shown {
            line.finish_and_clear();
        }
    }
}

/// A closed standard error is no reason to stop.
fn write_line(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
