//! Ctrl-C (and SIGTERM, SIGHUP): the first lets what is being measured finish, the second stops at
//! once. Either way nothing stays in the target directory.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// Exit code of an interrupted program: 128 + SIGINT.
const EXIT_INTERRUPTED: i32 = 130;

/// Attempts to remove a directory that a log is still creating files in.
const REMOVE_ATTEMPTS: u32 = 20;

/// Whether the user wants to stop. Clones share the answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupts {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    requested: AtomicBool,
    /// The measurement's directory, which a second Ctrl-C has to remove.
    scratch: Mutex<Option<PathBuf>>,
}

impl Interrupts {
    /// Takes over the signals for the rest of the process.
    pub(crate) fn install() -> Result<Self> {
        let interrupts = Self::default();
        let shared = Arc::clone(&interrupts.shared);
        ctrlc::set_handler(move || shared.signalled()).context("cannot take over Ctrl-C")?;
        Ok(interrupts)
    }

    /// Whether Ctrl-C has been pressed.
    pub(crate) fn requested(&self) -> bool {
        self.shared.requested.load(Ordering::Relaxed)
    }

    /// Names the directory to remove when stopping at once.
    pub(super) fn set_scratch(&self, path: Option<&Path>) {
        *self.shared.scratch.lock().unwrap_or_else(PoisonError::into_inner) =
            path.map(Path::to_path_buf);
    }
}

impl Shared {
    /// Runs in a thread of its own, not in the signal's context.
    fn signalled(&self) {
        if !self.requested.swap(true, Ordering::Relaxed) {
            let note = "\nfinishing what is being measured; press Ctrl-C again to stop at once";
            // Whether or not anybody can read it, the measurement is finished.
            let _ = writeln!(io::stderr(), "{note}");
            return;
        }
        let scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = scratch.as_deref() {
            remove_while_in_use(path);
        }
        process::exit(EXIT_INTERRUPTED);
    }
}

/// The log may make a segment between the listing and the removal, so one attempt can fail.
fn remove_while_in_use(path: &Path) {
    for _ in 0..REMOVE_ATTEMPTS {
        let removed = fs::remove_dir_all(path);
        if removed.is_ok() || !path.exists() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
