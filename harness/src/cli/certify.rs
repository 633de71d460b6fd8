//! What `plimsoll certify` may be told.

use std::path::PathBuf;

use clap::Args;

pub(super) const CERTIFY_LONG: &str = "\
Runs a log on simulated disks under exactly the settings of RUN and cuts the power, at every kind of \
moment: of what was not flushed any part may survive, in any order. Each image is recovered and \
compared with what had been acknowledged; some are damaged besides, some opened and crashed again. \
Then each of the library's seeded bugs has to be noticed under the same settings.

An image of a large segment takes its time, so the settings are tried with their own sizes in fewer \
histories, and with small segments and buffers in many. The outcome says how many of each, and lies \
beside the settings as certificate.json and certificate.txt; the run's report shows it. Needs no \
disk, but every core: half a minute of two quiet ones for segments of 4 MiB, some minutes and 4 GiB \
of memory for 64 MiB.

Exit code 1: a promise was broken; 4: a seeded bug that can show was not noticed.";

pub(super) const CERTIFY_EXAMPLES: &str = "\
Examples:
  plimsoll certify results/20260301T020000Z-db1-quick-3f9a
  plimsoll certify profiles/tuned/db1.toml --seeds 1000";

/// Arguments of `plimsoll certify`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CertifyArgs {
    /// Folder of the run whose recommendation is to be certified, or a file of settings
    #[arg(value_name = "RUN")]
    pub run: PathBuf,

    /// Histories with exactly the settings; by default as many as their segment size allows in
    /// about a third of a minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: Option<u64>,

    /// Histories with the same settings but small segments and buffers
    #[arg(long, value_name = "N", default_value_t = 4000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub small_seeds: u64,

    /// Seed of the first history; the others follow
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub first_seed: u64,

    /// Print nothing but errors and where the certificate is
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,

    /// Print the certificate as JSON, for programs
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Verb, tests::parse};

    #[test]
    fn certify_has_the_documented_defaults_and_takes_every_option() {
        let Verb::Certify(certify) = parse(&["certify", "r"]).unwrap().verb else {
            panic!("not a certify");
        };
        assert_eq!((certify.seeds, certify.small_seeds, certify.first_seed), (None, 4000, 0));
        let words = "certify r --seeds 3 --small-seeds 8 --first-seed 100 --quiet";
        let words: Vec<&str> = words.split(' ').collect();
        let Verb::Certify(certify) = parse(&words).unwrap().verb else {
            panic!("not a certify");
        };
        assert_eq!((certify.seeds, certify.small_seeds), (Some(3), 8));
        assert_eq!((certify.first_seed, certify.quiet), (100, true));
        let Verb::Certify(certify) = parse(&["certify", "r", "--json"]).unwrap().verb else {
            panic!("not a certify");
        };
        assert!(certify.json);
        assert!(parse(&["certify", "r", "--json", "-q"]).is_err());
    }
}
