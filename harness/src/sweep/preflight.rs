//! What is checked before anything is measured: whether the target can hold a log at all, and
//! whether the plan's largest trial fits on it. Each refusal is one sentence, and leaves the disk
//! as it was.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use crate::failure::Failure;
use crate::profile::{ASSUMED_LOG_BYTES_PER_SECOND, trial_log_bytes};
use crate::scratch::Interrupts;
use crate::scratch::Scratch;
use crate::store::schema::Plan;
use crate::units::format_data;
use crate::workload;

/// Segments that exist beside those the trial fills: the one being written, one ready ahead, and
/// one of the log that reads back.
const SEGMENTS_BESIDE: f64 = 3.0;

/// What the ceiling's file needs.
const SPACE_BYTES_MIN: f64 = 20e6;

/// A directory that can hold a log.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    /// Directories that did not exist, outermost first.
    created: Vec<PathBuf>,
}

impl Target {
    /// Creates the directory if it is missing, and opens a log in it to see whether one can be
    /// had. What was created is removed again if not.
    pub(super) fn prepare(path: &Path, interrupts: &Interrupts) -> Result<Self, Failure> {
        let missing = path.ancestors().take_while(|part| !part.as_os_str().is_empty());
        let mut created: Vec<PathBuf> =
            missing.take_while(|part| !part.exists()).map(Path::to_path_buf).collect();
        created.reverse();
        let target = Self { path: path.to_path_buf(), created };
        target.check(interrupts).inspect_err(|_| target.undo())?;
        Ok(target)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directories that were created, as far as they are empty.
    pub(super) fn undo(&self) {
        for path in self.created.iter().rev() {
            if fs::remove_dir(path).is_err() {
                return;
            }
        }
    }

    fn check(&self, interrupts: &Interrupts) -> Result<(), Failure> {
        let unusable = || {
            let path = self.path.display();
            format!("{path} cannot be measured in; name a writable directory with --target")
        };
        fs::create_dir_all(&self.path).with_context(unusable).map_err(Failure::Usage)?;
        let scratch = Scratch::create(&self.path, interrupts)
            .with_context(unusable)
            .map_err(Failure::Usage)?;
        let probed = workload::probe(scratch.path());
        scratch.remove().map_err(Failure::Broken)?;
        probed.map(|_| ()).map_err(|error| {
            Failure::Refused(anyhow!(error.sentence(&self.path, " with --target")))
        })
    }
}

/// Whether the largest trial fits into what is free, if the log takes `log_bytes_per_second`: an
/// assumption before the device's speed is known, then that speed.
pub(super) fn check_space(
    plan: &Plan,
    free_bytes: u64,
    log_bytes_per_second: Option<f64>,
) -> Result<()> {
    let speed = log_bytes_per_second.unwrap_or(ASSUMED_LOG_BYTES_PER_SECOND);
    let needed = largest_trial_bytes(plan, speed);
    let free = free_bytes as f64;
    // 0 is what an unknown amount is stored as.
    if free_bytes == 0 || free >= needed {
        return Ok(());
    }
    bail!(
        "the largest trial needs {} of free space at {}/s of log, and the target's file system \
         has {}; free some, name another directory with --target, or use shorter trials or smaller \
         segments",
        format_data(needed),
        format_data(speed),
        format_data(free)
    )
}

fn largest_trial_bytes(plan: &Plan, log_bytes_per_second: f64) -> f64 {
    plan.configurations
        .iter()
        .map(|configuration| {
            let settings = &configuration.settings;
            // However short the trial, each client's last record may begin at its very end.
            let last_bytes = f64::from(settings.clients) * settings.record_size_bytes as f64;
            let segment_bytes = settings.segment_size_bytes as f64;
            // A trial in rounds is truncated as it grows.
            let load_bytes = match plan.round_seconds {
                Some(_) => {
                    workload::bytes_in_rounds(settings.segment_size_bytes, log_bytes_per_second)
                }
                None => trial_log_bytes(plan, settings, log_bytes_per_second),
            };
            let segments = ((load_bytes + last_bytes) / segment_bytes).ceil();
            (segments + SEGMENTS_BESIDE) * segment_bytes
        })
        .fold(SPACE_BYTES_MIN, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    fn plan() -> Plan {
        let text = "name = \"x\"\ndescription = \"x\"\ncost = \"x\"\nsnia_steady_state = false\n\
                    [run]\ntrial = \"1s\"\nwarmup = \"0\"\nblocks = 1\nmin_blocks = 1\n\
                    [axes]\nsegment_size = [\"1MB\", \"30MB\"]\n";
        Profile::parse("x.toml".as_ref(), text).expect("valid").plan(1)
    }

    #[test]
    fn the_largest_trial_must_fit() {
        // 100 MB of log and 4 records fill four segments of 30 MB, and three lie beside them.
        assert!((largest_trial_bytes(&plan(), 100e6) - 210e6).abs() < 1.0);
        assert!(check_space(&plan(), 210_000_000, None).is_ok());
        let error = check_space(&plan(), 209_000_000, None).expect_err("too small").to_string();
        assert!(error.contains("210 MB") && error.contains("209 MB"), "{error}");
        assert!(check_space(&plan(), 209_000_000, Some(50e6)).is_ok(), "a slower device");
        assert!(check_space(&plan(), 210_000_000, Some(500e6)).is_err(), "a faster one");
        assert!(check_space(&plan(), 0, None).is_ok(), "unknown");
    }

    #[test]
    fn a_path_under_a_file_is_wrong_usage_and_leaves_nothing() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("file");
        fs::write(&file, "x").expect("a file");
        let outcome = Target::prepare(&file.join("a/b"), &Interrupts::default());
        let Err(Failure::Usage(error)) = outcome else { panic!("{outcome:?}") };
        let error = format!("{error:#}");
        assert!(error.contains("file/a/b cannot be measured in"), "{error}");
        assert!(!error.contains('\n'), "{error}");
        assert_eq!(fs::read_to_string(&file).expect("untouched"), "x");
    }

    #[test]
    fn undoing_removes_what_was_created_and_nothing_else() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let kept = folder.path().join("kept");
        fs::create_dir(&kept).expect("a folder");
        let created = vec![kept.join("a"), kept.join("a/b")];
        fs::create_dir_all(&created[1]).expect("folders");
        let target = Target { path: created[1].clone(), created };
        fs::write(kept.join("a/other"), "x").expect("somebody's file");
        target.undo();
        assert!(!kept.join("a/b").exists() && kept.join("a/other").exists());
        fs::remove_file(kept.join("a/other")).expect("remove");
        fs::create_dir(kept.join("a/b")).expect("again");
        target.undo();
        assert!(kept.exists() && !kept.join("a").exists());
    }
}
