//! What `plimsoll log` may be told: a verb of its own for each thing that can be done with the files
//! of a log.

mod copies;

use clap::{Args, Subcommand};

pub(crate) use copies::{KeyFile, MigrateArgs};
use copies::{MIGRATE_EXAMPLES, MIGRATE_LONG};

pub(super) const LOG_LONG: &str = "\
Works on the files of a log, without the program that wrote it. What is read is only read.";

pub(super) const LOG_EXAMPLES: &str = "\
Examples:
  plimsoll log migrate /var/lib/old/wal /var/lib/db/wal";

/// Arguments of `plimsoll log`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogArgs {
    /// What to do with the log
    #[command(subcommand)]
    pub verb: LogVerb,
}

/// What to do with a log.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum LogVerb {
    /// Copy a log of nodedb-wal 0.2 into a new one
    #[command(long_about = MIGRATE_LONG, after_long_help = MIGRATE_EXAMPLES)]
    Migrate(MigrateArgs),
}
