//! What the verbs may be told that look into a log and change nothing.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::KeyArgs;

pub(super) const DUMP_LONG: &str = "\
Prints segments, batches and records in the order of their bytes, and goes on behind damage. A batch \
that a replay does not get to is marked. No key is needed: payloads of sealed records are left out, \
ids, kinds and lengths are in clear.

Formats:
  text  a line for each segment, batch and record, offsets in front
  json  an object on each line, with `type`; docs/forensics.md has all fields
  hex   every byte of the files, with the names of the fields (docs/format.md)

Beside a live writer the end of the newest segment is where the writer is; nothing there is decided \
yet.";

pub(super) const DUMP_EXAMPLES: &str = "\
Examples:
  plimsoll log dump /var/lib/db/wal --from 1000 --limit 20
  plimsoll log dump /var/lib/db/wal --tenant 7 --kind delete --quiet
  plimsoll log dump /var/lib/db/wal --format json --key-file 1=wal.key
  plimsoll log dump /var/lib/db/wal --format hex --segment 1000 | less

Exit codes:
  0    everything that was asked for was printed
  2    usage, or the log cannot be read
  3    a key is missing or wrong";

pub(super) const VERIFY_LONG: &str = "\
Comes to the verdict of an opening (docs/durability.md, The decision), with every byte read and \
nothing changed: whether the log is whole, ends in a torn tail that nobody was promised, or has lost \
something, which row of the table that is, and why. Beside a live writer it says how far the log is \
whole.

Without keys the checksums of a sealed log are verified and its authentication tags are not; it is \
then whole as far as that can tell, and the exit code is 4.";

pub(super) const VERIFY_EXAMPLES: &str = "\
Examples:
  plimsoll log verify /var/lib/db/wal
  plimsoll log verify /var/lib/db/wal --key-file 1=wal.key --json

Exit codes:
  0    whole: an opening goes on; what is discarded was promised to nobody
  1    acknowledged records are lost, or the log is damaged or was tampered with: an opening is refused
  2    usage, or there is no log
  3    a key is missing or wrong
  4    it cannot be told: a read failed, a version is not known, or sealed records and no key";

pub(super) const STAT_LONG: &str = "\
Says what the bytes of a log are: payloads, headers, padding, space not used yet, an earlier life of \
recycled files; how large batches and payloads are; how fast segments were filled; and which kinds, \
tenants, vshards and databases the records belong to. No key is needed.";

pub(super) const STAT_EXAMPLES: &str = "\
Examples:
  plimsoll log stat /var/lib/db/wal
  plimsoll log stat /var/lib/db/wal --top 20 --json

Exit codes:
  0    read
  2    usage, or the log cannot be read";

pub(super) const DIFF_LONG: &str = "\
Compares two logs record by record: LSN, kind, ids and payload, whatever their segments, blocks and \
keys are. Records that a replay does not get to are not compared, nor are those below a floor. \
Sealed logs are compared in clear, so that their keys are needed.";

pub(super) const DIFF_EXAMPLES: &str = "\
Examples:
  plimsoll log diff /var/lib/db/wal /backup/wal
  plimsoll log diff a b --key-file 1=old.key --key-file 2=new.key

Exit codes:
  0    the same records
  1    they differ; the first difference is named
  2    usage, or a log cannot be read
  3    a key is missing or wrong";

pub(super) const WHY_LONG: &str = "\
Says of each segment why it is still there, and what would let it go: the log's floor, a consumer's \
lease, or that it is the newest. The embedder moves the floor with `truncate_before`; nothing is \
truncated here.";

pub(super) const WHY_EXAMPLES: &str = "\
Examples:
  plimsoll log why-retained /var/lib/db/wal
  plimsoll log why-retained /var/lib/db/wal --segment 1000

Exit codes:
  0    said
  2    usage, or the log cannot be read";

/// Arguments of `plimsoll log dump`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DumpArgs {
    /// Directory of the log
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Only these segments: an LSN in it, or its file name
    #[arg(long, value_name = "SEGMENT", value_parser = segment_choice)]
    pub segment: Vec<SegmentChoice>,

    /// Only records from this LSN on
    #[arg(long, value_name = "LSN")]
    pub from: Option<u64>,

    /// Only records up to this LSN
    #[arg(long, value_name = "LSN")]
    pub to: Option<u64>,

    /// Only records of these kinds: noop, put, delete, checkpoint, or a number
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    pub kind: Vec<u32>,

    /// Only records of these tenants
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub tenant: Vec<u64>,

    /// Only records of these vshards
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub vshard: Vec<u32>,

    /// Only records of these databases
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub database: Vec<u64>,

    /// Stop after so many records
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,

    /// How to print
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub format: DumpFormat,

    /// How much of each payload to print: none, its start, or all. In JSON all of it if not given,
    /// else its start
    #[arg(long, value_enum, value_name = "HOW MUCH")]
    pub payload: Option<PayloadShown>,

    #[command(flatten)]
    pub keys: KeyArgs,

    /// The same as --format json
    #[arg(long, conflicts_with_all = ["format", "quiet"])]
    pub json: bool,

    /// Print records only
    #[arg(long, short)]
    pub quiet: bool,
}

impl DumpArgs {
    /// How to print.
    pub(crate) fn printed(&self) -> DumpFormat {
        if self.json { DumpFormat::Json } else { self.format }
    }
}

/// How `plimsoll log dump` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DumpFormat {
    Text,
    Json,
    Hex,
}

/// How much of a payload is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PayloadShown {
    None,
    Start,
    All,
}

/// Names a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SegmentChoice {
    /// By an LSN in it.
    Holding(u64),
    /// By its file name.
    Named(String),
}

/// Arguments of `plimsoll log verify`.
#[derive(Clone, Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Directory of the log
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    #[command(flatten)]
    pub keys: KeyArgs,

    /// Print the verdict as JSON, for programs
    #[arg(long)]
    pub json: bool,

    /// Print nothing but errors
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
}

/// Arguments of `plimsoll log stat`.
#[derive(Clone, Debug, Args)]
pub(crate) struct StatArgs {
    /// Directory of the log
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// So many of the tenants, vshards and databases with the most bytes
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,

    /// Print everything as JSON, for programs
    #[arg(long)]
    pub json: bool,

    /// Print nothing but errors and the totals
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
}

/// Arguments of `plimsoll log diff`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DiffArgs {
    /// Directory of a log
    #[arg(value_name = "A")]
    pub a: PathBuf,

    /// Directory of the other one
    #[arg(value_name = "B")]
    pub b: PathBuf,

    #[command(flatten)]
    pub keys: KeyArgs,

    /// Print what was found as JSON, for programs
    #[arg(long)]
    pub json: bool,

    /// Print nothing but errors
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
}

/// Arguments of `plimsoll log why-retained`.
#[derive(Clone, Debug, Args)]
pub(crate) struct WhyRetainedArgs {
    /// Directory of the log
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// Only these segments: an LSN in it, or its file name
    #[arg(long, value_name = "SEGMENT", value_parser = segment_choice)]
    pub segment: Vec<SegmentChoice>,

    /// Print what was found as JSON, for programs
    #[arg(long)]
    pub json: bool,

    /// Print nothing but errors and one line for each segment
    #[arg(long, short, conflicts_with = "json")]
    pub quiet: bool,
}

fn segment_choice(text: &str) -> Result<SegmentChoice, String> {
    if let Ok(lsn) = text.parse() {
        return Ok(SegmentChoice::Holding(lsn));
    }
    if text.ends_with(".seg") {
        return Ok(SegmentChoice::Named(text.to_owned()));
    }
    Err("allowed: an LSN, or a file name like wal-00000000000000000001.seg".to_owned())
}

fn kind(text: &str) -> Result<u32, String> {
    let number = match text.to_ascii_lowercase().as_str() {
        "noop" => Some(0),
        "put" => Some(0x8001),
        "delete" => Some(0x8002),
        "checkpoint" => Some(0x8064),
        other => match other.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => other.parse().ok(),
        },
    };
    number.ok_or_else(|| "allowed: noop, put, delete, checkpoint, or a number".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::LogVerb;
    use super::*;
    use crate::cli::{Verb, tests::parse};

    fn log(words: &str) -> Option<LogVerb> {
        let words: Vec<&str> = words.split(' ').collect();
        match parse(&words).ok()?.verb {
            Verb::Log(log) => Some(log.verb),
            _ => None,
        }
    }

    #[test]
    fn dump_takes_every_option() {
        let words = "log dump d --segment 7 --segment wal-00000000000000000001.seg --from 1 --to 9 \
                     --kind put,0x8002,5 --tenant 1,2 --vshard 3 --database 4 --limit 5 --format json \
                     --payload none --key-file 7=k -q";
        let Some(LogVerb::Dump(dump)) = log(words) else { panic!("not a dump") };
        let named = SegmentChoice::Named("wal-00000000000000000001.seg".into());
        assert_eq!(dump.segment, [SegmentChoice::Holding(7), named]);
        assert_eq!(dump.kind, [0x8001, 0x8002, 5]);
        assert_eq!((dump.tenant, dump.vshard, dump.database), (vec![1, 2], vec![3], vec![4]));
        assert_eq!((dump.from, dump.to, dump.limit), (Some(1), Some(9), Some(5)));
        assert_eq!((dump.keys.key_file[0].id, dump.payload), (7, Some(PayloadShown::None)));
        let Some(LogVerb::Dump(plain)) = log("log dump d --json") else { panic!("not a dump") };
        assert_eq!(plain.printed(), DumpFormat::Json);
        for wrong in ["--json -q", "--json --format hex", "--kind x", "--segment x", "--limit -1"] {
            assert!(log(&format!("log dump d {wrong}")).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_others_take_theirs() {
        for words in [
            "log verify d --settings s --plain-past --json",
            "log verify d -q",
            "log stat d --top 3 --json",
            "log diff a b --key-file k --key-file 2=l -q",
            "log why-retained d --segment 5 --json",
        ] {
            assert!(log(words).is_some(), "{words}");
        }
        for words in [
            "log",
            "log dump",
            "log diff a",
            "log verify d --json -q",
            "log verify d --settings s --key-file k",
            "log why-retained d --segment wal",
        ] {
            assert!(log(words).is_none(), "{words}");
        }
    }
}
