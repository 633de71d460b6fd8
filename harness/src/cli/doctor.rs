//! What `plimsoll doctor` may be told.

use std::path::PathBuf;

use clap::Args;

pub(super) const DOCTOR_LONG: &str = "\
Says what there is to know of a place for a log before one is there: the machine and its io_uring, the \
file system, the devices beneath it with their queue, cache and power settings, and what limits this \
process. In about three seconds it measures how fast the disk makes single blocks durable (F0), what a \
flush costs by itself, and its bandwidth, and says what class of device that looks like and why.

What may cost promises or speed is a warning, with what to do about it (docs/doctor.md has all of \
them). What follows comes last: which engine a log takes here, from which rate of arrivals on waiting \
for company is useless, and what to run next.

TARGET need not exist: its nearest existing parent is examined. Whatever is written there, some 20 MB, \
is in a directory of its own, and removed.";

pub(super) const DOCTOR_EXAMPLES: &str = "\
Examples:
  plimsoll doctor
  plimsoll doctor /mnt/nvme/wal
  plimsoll doctor /mnt/nvme/wal --json > doctor.json
  plimsoll doctor /mnt/nvme/wal --quiet --no-measure

Exit codes:
  0    a log can be here, whatever the warnings say
  2    usage: TARGET lies under a file, or nothing could be measured
  3    refused: a log would not open here
  4    inconclusive: the measurements contradict each other; run it again on a quieter machine
  130  interrupted (Ctrl-C)";

/// Arguments of `plimsoll doctor`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Directory that a log is meant to be in
    #[arg(value_name = "TARGET", default_value = "plimsoll-data")]
    pub target: PathBuf,

    /// Measure nothing; a small log is opened and removed all the same
    #[arg(long)]
    pub no_measure: bool,

    /// Print everything as one JSON document
    #[arg(long)]
    pub json: bool,

    /// Print nothing but warnings
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::super::{Verb, tests::parse};

    #[test]
    fn doctor_has_the_documented_defaults_and_takes_every_option() {
        let Verb::Doctor(doctor) = parse(&["doctor"]).unwrap().verb else {
            panic!("not a doctor");
        };
        assert_eq!(doctor.target, Path::new("plimsoll-data"), "as sweep's");
        assert!(!doctor.no_measure && !doctor.json && !doctor.quiet);
        let Verb::Doctor(doctor) = parse(&["doctor", "/d", "--no-measure", "-q"]).unwrap().verb
        else {
            panic!("not a doctor");
        };
        assert!(doctor.no_measure && doctor.quiet && doctor.target == Path::new("/d"));
        assert_eq!(parse(&["doctor", "--json", "--quiet"]).unwrap_err().exit_code(), 2);
        let help = parse(&["doctor", "--help"]).unwrap_err().to_string();
        for code in ["0", "2", "3", "4", "130"] {
            let told = help.lines().any(|l| l.trim_start().starts_with(&format!("{code} ")));
            assert!(told, "{code}: {help}");
        }
    }
}
