//! What `plimsoll torture` may be told, and its victim.

use std::path::PathBuf;

use clap::Args;

pub(super) const TORTURE_LONG: &str = "\
Kills a process that commits, at random moments, again and again, and after each kill opens its log \
and compares every record that was acknowledged, byte by byte: none is missing, none was altered, \
the LSNs have no gap, and nothing is there that was not written. Engines, durability, preparation, \
encryption, batches in flight, truncation and the kind of caller vary from cycle to cycle; or, with \
--settings, it is exactly what you are going to run.

It works in a directory of its own below DIR, which is removed afterwards. When something is lost it \
stays, with the settings beside the log, and the exit code is 1.

What it does not show: the loss of power. What a killed process has written survives in the caches \
of the kernel and of the device, so that a missing flush goes unnoticed. `plimsoll certify` cuts the \
power of simulated disks; docs/durability.md says what was tried on real kernels.";

pub(super) const TORTURE_EXAMPLES: &str = "\
Examples:
  plimsoll torture /mnt/nvme
  plimsoll torture /mnt/nvme --seconds 3600 --settings results/20260301T020000Z-db1-quick-3f9a/recommended.toml
  plimsoll torture . --seed 7 --json torture.json";

/// Arguments of `plimsoll torture`.
#[derive(Clone, Debug, Args)]
pub(crate) struct TortureArgs {
    /// Directory on the disk and file system to try; created when missing and removed again
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// How long, seconds
    #[arg(long, value_name = "N", default_value_t = 60,
          value_parser = clap::value_parser!(u64).range(1..=30 * 86_400))]
    pub seconds: u64,

    /// Exactly these settings, such as a run's recommended.toml, in every cycle
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,

    /// Seed of the settings, the records and the moments of the kills; chosen and printed when
    /// absent. When a kill lands also depends on the machine
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Write the summary to this file as JSON, too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Print nothing but errors and the summary
    #[arg(long, short)]
    pub quiet: bool,
}

/// Arguments of the hidden verb that `plimsoll torture` kills.
#[derive(Clone, Debug, Args)]
pub(crate) struct VictimArgs {
    /// Directory of the log.
    #[arg(long)]
    pub log: PathBuf,
    /// Its settings.
    #[arg(long)]
    pub settings: PathBuf,
    /// Seed of the records.
    #[arg(long)]
    pub seed: u64,
    /// Number of this life; part of each record.
    #[arg(long)]
    pub cycle: u64,
    /// Clients that share the log; 0: one thread owns it and submits.
    #[arg(long)]
    pub clients: u32,
    /// Truncate the log now and then.
    #[arg(long)]
    pub truncate: bool,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Verb, tests::parse};
    use std::path::Path;

    #[test]
    fn torture_has_the_documented_defaults_and_takes_every_option() {
        let Verb::Torture(torture) = parse(&["torture", "/d"]).unwrap().verb else {
            panic!("not a torture");
        };
        assert_eq!((torture.dir.as_path(), torture.seconds), (Path::new("/d"), 60));
        assert!(torture.settings.is_none() && torture.seed.is_none() && !torture.quiet);
        let words = "torture /d --seconds 5 --settings s.toml --seed 9 --json f -q";
        let words: Vec<&str> = words.split(' ').collect();
        let Verb::Torture(torture) = parse(&words).unwrap().verb else {
            panic!("not a torture");
        };
        assert_eq!((torture.seconds, torture.seed, torture.quiet), (5, Some(9), true));
        assert_eq!(torture.settings.as_deref(), Some(Path::new("s.toml")));
        assert_eq!(torture.json.as_deref(), Some(Path::new("f")));
    }
}
