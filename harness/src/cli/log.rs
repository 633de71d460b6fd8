//! What `plimsoll log` may be told: a verb of its own for each thing that can be done with the files
//! of a log.

mod copies;
mod keys;
mod looking;

use clap::{Args, Subcommand};

use copies::{MIGRATE_EXAMPLES, MIGRATE_LONG, SALVAGE_EXAMPLES, SALVAGE_LONG};
pub(crate) use copies::{MigrateArgs, SalvageArgs};
pub(crate) use keys::{KeyArgs, KeyFile};
use looking::{
    DIFF_EXAMPLES, DIFF_LONG, DUMP_EXAMPLES, DUMP_LONG, STAT_EXAMPLES, STAT_LONG, VERIFY_EXAMPLES,
    VERIFY_LONG, WHY_EXAMPLES, WHY_LONG,
};
pub(crate) use looking::{
    DiffArgs, DumpArgs, DumpFormat, PayloadShown, SegmentChoice, StatArgs, VerifyArgs,
    WhyRetainedArgs,
};

pub(super) const LOG_LONG: &str = "\
Works on the files of a log, without the program that wrote it. What is read is only read; a writer \
may be at work beside it.";

pub(super) const LOG_EXAMPLES: &str = "\
Examples:
  plimsoll log verify /var/lib/db/wal
  plimsoll log dump /var/lib/db/wal --from 1000 --limit 20
  plimsoll log stat /var/lib/db/wal
  plimsoll log why-retained /var/lib/db/wal
  plimsoll log salvage /var/lib/db/wal /var/lib/db/wal.salvaged
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
    /// Print what is in a log: records, batches, or every byte
    #[command(long_about = DUMP_LONG, after_long_help = DUMP_EXAMPLES)]
    Dump(DumpArgs),
    /// Say whether a log is whole, by the rules of an opening, and why
    #[command(long_about = VERIFY_LONG, after_long_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Say what the space of a log is spent on, and on whom
    #[command(long_about = STAT_LONG, after_long_help = STAT_EXAMPLES)]
    Stat(StatArgs),
    /// Say whether two logs hold the same records
    #[command(long_about = DIFF_LONG, after_long_help = DIFF_EXAMPLES)]
    Diff(DiffArgs),
    /// Say what keeps each segment from being given up
    #[command(long_about = WHY_LONG, after_long_help = WHY_EXAMPLES)]
    WhyRetained(WhyRetainedArgs),
    /// Copy what is whole in a damaged log into a new one
    #[command(long_about = SALVAGE_LONG, after_long_help = SALVAGE_EXAMPLES)]
    Salvage(SalvageArgs),
    /// Copy a log of nodedb-wal 0.2 into a new one
    #[command(long_about = MIGRATE_LONG, after_long_help = MIGRATE_EXAMPLES)]
    Migrate(MigrateArgs),
}
