//! What `plimsoll log migrate` and `plimsoll log salvage` may be told: both copy what is whole into a
//! new log.

use std::path::PathBuf;

use clap::Args;

use super::KeyFile;
use super::keys::key_file;

pub(super) const SALVAGE_LONG: &str = "\
Copies every whole record of a damaged log into a new one, at the LSN it has: also from behind damage, \
from segments whose neighbours are gone, and without wal.meta. A batch is copied whole or not at all, \
as it is replayed. DIR is only read; a writer may be at work in it.

A record that was promised and is not there becomes a NOOP, so that the later ones keep their LSNs, \
and the report says which and why. What lies behind a torn tail was promised to nobody, and stays out, \
as it would after an opening.

The new log is built beside its name, as NEW.partial, and renamed when it has been read back. A sealed \
log stays sealed, with the first key. Segments whose header is damaged can be read if they are in \
clear; the key of a sealed one came from its header.";

pub(super) const SALVAGE_EXAMPLES: &str = "\
Examples:
  plimsoll log salvage /var/lib/db/wal /var/lib/db/wal.salvaged
  plimsoll log salvage damaged new --key-file 2=wal.key --key-file 1=older.key
  plimsoll log salvage damaged new --json > report.json

Exit codes:
  0    everything that was promised is in the new log
  1    records are missing; the report says which
  2    usage, or the new log could not be written: there is no NEW
  3    refused: nothing whole, a missing or wrong key, or too much is missing; there is no NEW
  4    whether a record is missing cannot be told; the report says why";

pub(super) const MIGRATE_LONG: &str = "\
Copies a log of nodedb-wal 0.2 into a new log, which keeps LSNs, kinds, ids and payloads. OLD is one \
file, or a directory of segments (wal-, 20 digits, .seg). It is only read.

Padding between batches of direct I/O is passed over, and so is what earlier batches left in it. \
Where bytes are damaged, the next whole record is looked for. A record that is missing in between \
becomes a NOOP, so that the later ones keep their LSNs, and the report says which and why.

The new log is built beside its name, as NEW.partial, and renamed when all of it has been read back \
and compared with OLD. Whatever ends earlier leaves no NEW. docs/migration.md has the details.";

pub(super) const MIGRATE_EXAMPLES: &str = "\
Examples:
  plimsoll log migrate /var/lib/old/wal.log /var/lib/db/wal
  plimsoll log migrate old new --key-file old.key --new-key-file 1=new.key
  plimsoll log migrate old new --settings recommended.toml --json > report.json

Exit codes:
  0    every record is in the new log
  1    records are missing; the report says which
  2    usage, or the new log could not be written or old one not be read: there is no NEW
  3    refused: nothing readable, a missing or wrong key, or too much is missing; there is no NEW
  4    whether a record is missing cannot be told; the report says where something is unreadable";

/// Arguments of `plimsoll log migrate`.
#[derive(Clone, Debug, Args)]
pub(crate) struct MigrateArgs {
    /// The old log: a file, or a directory of segments
    #[arg(value_name = "OLD")]
    pub old: PathBuf,

    /// Directory of the new log, which must not exist yet or be empty
    #[arg(value_name = "NEW")]
    pub new: PathBuf,

    /// Key of the old log: 32 bytes, in a file that only you can read. Several are tried in turn
    #[arg(long, value_name = "FILE")]
    pub key_file: Vec<PathBuf>,

    /// Key of the new log, with its id (1 if not given). The first one seals; more are for later
    #[arg(long, value_name = "[ID=]FILE", value_parser = key_file)]
    pub new_key_file: Vec<KeyFile>,

    /// Write what was sealed in the old log in clear
    #[arg(long, conflicts_with = "new_key_file")]
    pub in_clear: bool,

    /// Give the records new LSNs without gaps; the report says which became which
    #[arg(long)]
    pub renumber: bool,

    /// Settings of the new log, such as a run's recommended.toml; its directory is not used
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,

    /// Print the report as JSON, for programs
    #[arg(long)]
    pub json: bool,

    /// Print nothing but errors
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
}

/// Arguments of `plimsoll log salvage`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SalvageArgs {
    /// Directory of the damaged log
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Directory of the new log, which must not exist yet or be empty
    #[arg(value_name = "NEW")]
    pub new: PathBuf,

    /// Key of the log, with its id (1 if not given): 32 bytes, in a file that only you can read. May be
    /// given several times; the first one seals the new log
    #[arg(long, value_name = "[ID=]FILE", value_parser = key_file)]
    pub key_file: Vec<KeyFile>,

    /// Accept segments in clear before the first sealed one, of a log that was in clear once
    #[arg(long)]
    pub plain_past: bool,

    /// Leave out the segments whose keys are not there
    #[arg(long)]
    pub leave_out_sealed: bool,

    /// Write what was sealed in clear
    #[arg(long)]
    pub in_clear: bool,

    /// Give the records new LSNs without gaps; the report says which became which
    #[arg(long)]
    pub renumber: bool,

    /// Print the report as JSON, for programs
    #[arg(long)]
    pub json: bool,

    /// Print nothing but errors
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::LogVerb;
    use super::*;
    use crate::cli::{Verb, tests::parse};

    fn migrate(words: &str) -> Option<MigrateArgs> {
        let words: Vec<&str> = words.split(' ').collect();
        match parse(&words).ok()?.verb {
            Verb::Log(log) => match log.verb {
                LogVerb::Migrate(args) => Some(args),
                _ => None,
            },
            _ => None,
        }
    }

    #[test]
    fn migrate_takes_every_option_and_keys_have_ids() {
        let plain = migrate("log migrate a b").unwrap();
        assert!(plain.key_file.is_empty() && !plain.renumber && !plain.json && !plain.in_clear);
        let all = migrate(
            "log migrate a b --key-file k --key-file l --new-key-file 7=m --new-key-file ./x=y \
             --renumber --settings s --json",
        )
        .unwrap();
        assert_eq!(all.key_file.len(), 2);
        let keys: Vec<_> = all.new_key_file.iter().map(|key| (key.id, key.path.clone())).collect();
        assert_eq!(keys, [(7, "m".into()), (1, "./x=y".into())]);
        assert!(migrate("log migrate a b --in-clear -q").is_some());
        for wrong in ["--in-clear --new-key-file k", "--json -q", "--new-key-file x=k"] {
            assert!(migrate(&format!("log migrate a b {wrong}")).is_none(), "{wrong}");
        }
    }

    #[test]
    fn salvage_takes_every_option() {
        let words = "log salvage d n --key-file 2=a --key-file b --plain-past --leave-out-sealed \
                     --in-clear --renumber --json";
        let words: Vec<&str> = words.split_whitespace().collect();
        let Verb::Log(log) = parse(&words).unwrap().verb else { panic!("not a log") };
        let LogVerb::Salvage(salvage) = log.verb else { panic!("not a salvage") };
        assert_eq!((salvage.key_file[0].id, salvage.key_file[1].id), (2, 1));
        assert!(salvage.plain_past && salvage.leave_out_sealed && salvage.in_clear);
        assert!(salvage.renumber && salvage.json && !salvage.quiet);
        assert!(parse(&["log", "salvage", "d"]).is_err());
        assert!(parse(&["log", "salvage", "d", "n", "--json", "-q"]).is_err());
    }
}
