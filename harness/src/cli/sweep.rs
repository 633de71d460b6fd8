//! What `plimsoll sweep` may be told.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::units::parse_duration_us;

pub(super) const SWEEP_LONG: &str = "\
Measures every combination of the settings in PROFILE, in randomised blocks, with a real log in the \
target directory. Then writes the results, a report and the recommended settings to a new folder \
under the output directory. It writes to the disk as fast as the disk allows; the profile says how \
long it takes and how much it writes, and --dry-run computes it without writing anything.

With --time, a profile that would take longer is screened first: a fraction of the combinations, \
chosen so that the effect of each setting can be told, shows which settings matter, and those are \
then varied in full in what is left of the time.

The first Ctrl-C finishes the trial under way and reports; the second stops at once. After either, \
or after a crash, --resume goes on with exactly the trials that are missing.";

pub(super) const SWEEP_EXAMPLES: &str = "\
Examples:
  plimsoll sweep profiles/quick.toml --dry-run
  plimsoll sweep profiles/quick.toml
  plimsoll sweep profiles/nightly.toml --target /mnt/nvme/plimsoll-data --out results
  plimsoll sweep profiles/full.toml --time 20m
  plimsoll sweep --resume results/20260301T020000Z-db1-nightly-3f9a
  plimsoll sweep profiles/quick.toml --seed 7 --quiet --json | jq .settings";

/// What `--time` may be: from a second to a fortnight.
const TIME_US: RangeInclusive<u64> = 1_000_000..=14 * 24 * 3_600_000_000;

/// Arguments of `plimsoll sweep`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SweepArgs {
    /// Profile to run: a TOML file that says what to vary and for how long
    #[arg(value_name = "PROFILE", required_unless_present = "resume")]
    pub profile: Option<PathBuf>,

    /// Go on with the run in this folder, which Ctrl-C, a kill or a crash ended: with its own
    /// profile, target and seed, and with what is left of its time
    #[arg(long, value_name = "RUN", conflicts_with_all =
          ["profile", "target", "out", "seed", "time", "no_ceiling"])]
    pub resume: Option<PathBuf>,

    /// Resume although the machine, the device or the build is another one; the run says so
    #[arg(long, requires = "resume", conflicts_with = "profile")]
    pub force: bool,

    /// Directory to measure in, on the disk to measure; created when missing, and emptied of the
    /// sweep's own files afterwards
    #[arg(long, value_name = "DIR", default_value = "plimsoll-data")]
    pub target: PathBuf,

    /// Directory under which the run's folder is made
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub out: PathBuf,

    /// Time for the whole run, such as 20m, in place of the profile's time_budget. Where the
    /// profile's blocks do not fit, the settings are screened first
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub time: Option<Duration>,

    /// Seed of the trials' order, the payloads and the bootstrap; chosen and recorded when absent
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Leave out the device's own speed without a log, for runs whose every second counts; the
    /// report then has no ceiling to compare with
    #[arg(long)]
    pub no_ceiling: bool,

    /// Print the plan, how long it takes and what it writes, and stop
    #[arg(long)]
    pub dry_run: bool,

    /// Print nothing but errors and where the report is
    #[arg(long, short)]
    pub quiet: bool,

    /// Print one JSON document at the end, and nothing else on standard output: the run's folder,
    /// how it ended, the recommended settings and the analysis. Progress stays on standard error
    #[arg(long, conflicts_with = "dry_run")]
    pub json: bool,
}

fn time(text: &str) -> Result<Duration, String> {
    let found = parse_duration_us(text).ok().filter(|time_us| TIME_US.contains(time_us));
    let found = found.ok_or_else(|| "allowed: a time from 1s to 14days, such as 20m".to_owned());
    found.map(Duration::from_micros)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Verb, tests::parse};
    use super::*;
    use std::path::Path;

    fn sweep(words: &str) -> Result<SweepArgs, clap::Error> {
        let words: Vec<&str> = words.split(' ').collect();
        parse(&words).map(|cli| match cli.verb {
            Verb::Sweep(sweep) => sweep,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn sweep_has_the_documented_defaults() {
        let sweep = sweep("sweep p.toml").unwrap();
        assert_eq!(sweep.profile.as_deref(), Some(Path::new("p.toml")));
        assert_eq!(sweep.target, Path::new("plimsoll-data"));
        assert_eq!(sweep.out, Path::new("results"));
        assert_eq!((sweep.seed, sweep.time, sweep.resume), (None, None, None));
        assert!(!sweep.dry_run && !sweep.quiet && !sweep.no_ceiling && !sweep.json && !sweep.force);
    }

    #[test]
    fn sweep_takes_every_option() {
        let found = sweep(
            "sweep p.toml --target /d --out o --seed 18446744073709551615 --time 20m --no-ceiling \
             --dry-run -q",
        );
        let found = found.unwrap();
        assert_eq!((found.target.as_path(), found.out.as_path()), ("/d".as_ref(), "o".as_ref()));
        assert_eq!((found.seed, found.time), (Some(u64::MAX), Some(Duration::from_secs(1200))));
        assert!(found.dry_run && found.quiet && found.no_ceiling);
        let resumed = sweep("sweep --resume r --force --json").unwrap();
        assert_eq!(resumed.resume.as_deref(), Some(Path::new("r")));
        assert!(resumed.force && resumed.json && resumed.profile.is_none());
    }

    #[test]
    fn what_a_resumed_run_has_of_its_own_cannot_be_given_again() {
        for words in [
            "sweep p.toml --resume r",
            "sweep --resume r --target t",
            "sweep --resume r --out o",
            "sweep --resume r --seed 1",
            "sweep --resume r --time 1h",
            "sweep --resume r --no-ceiling",
            "sweep p.toml --force",
            "sweep p.toml --json --dry-run",
            "sweep p.toml --time soon",
            "sweep p.toml --time 1ms",
        ] {
            assert_eq!(sweep(words).unwrap_err().exit_code(), 2, "{words}");
        }
    }
}
