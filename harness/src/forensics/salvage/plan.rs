//! What is to be copied: which segments are of the log, where it begins, and what cannot be known
//! because the file that would tell is gone.

use std::collections::HashMap;

use anyhow::anyhow;
use plimsoll::KeyRing;
use plimsoll::inspect::{HeaderTrouble, LogFiles, MetaFacts, SegmentFile};

use super::has_key;
use crate::cli::SalvageArgs;
use crate::failure::Failure;
use crate::forensics::log::name_of;

/// What is to be copied.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// Oldest first, without those that the log has given up.
    pub(super) segments: Vec<&'a SegmentFile>,
    /// The log's first promised record.
    pub(super) first_lsn: u64,
    /// What `wal.meta` says, if it can be read.
    pub(super) meta: Option<MetaFacts>,
    /// Most of the files say so, where `wal.meta` does not.
    pub(super) log_id: Option<[u8; 16]>,
    /// Records are sealed, at least in later segments.
    pub(super) sealed: bool,
    /// Sealed segments whose keys are not there are left out.
    pub(super) leave_out_sealed: bool,
    pub(super) plain_past: bool,
    /// What nothing tells.
    pub(super) doubts: Vec<String>,
}

impl<'a> Plan<'a> {
    /// Looks at names, headers and `wal.meta`.
    ///
    /// # Errors
    /// For what only the user can put right: a missing key, a renamed file, a newer format.
    pub(super) fn make(
        log: &'a LogFiles,
        args: &SalvageArgs,
        keys: Option<&KeyRing>,
    ) -> Result<Self, Failure> {
        let mut doubts = Vec::new();
        let meta = log.meta().unwrap_or_else(|error| {
            doubts.push(format!("{error}"));
            None
        });
        let segments: Vec<_> =
            log.segments().iter().filter(|segment| !log.is_below_floor(segment)).collect();
        if meta.is_none() {
            doubts.push(
                "without wal.meta nothing tells whether a segment is missing before the first one or \
                 behind the last"
                    .to_owned(),
            );
        }
        let headers = || segments.iter().filter_map(|segment| segment.header().ok());
        let stated_floor = headers().map(|header| header.retention_floor.get()).max();
        let first = segments.first().map_or(1, |segment| segment.first_lsn.get());
        let first_lsn = match meta {
            Some(meta) => meta.retention_floor.get().max(stated_floor.unwrap_or(1)),
            None => stated_floor.unwrap_or(first).max(first),
        };
        let sealed = meta.is_some_and(|meta| meta.encrypted)
            || headers().any(|header| header.key_id.is_some());
        let log_id =
            meta.map(|meta| meta.log_id).or_else(|| commonest(headers().map(|h| h.log_id)));
        let plan = Self {
            first_lsn,
            meta,
            log_id,
            sealed,
            leave_out_sealed: args.leave_out_sealed,
            plain_past: args.plain_past,
            doubts,
            segments,
        };
        plan.check(args, keys)?;
        Ok(plan)
    }

    fn check(&self, args: &SalvageArgs, keys: Option<&KeyRing>) -> Result<(), Failure> {
        let dir = args.dir.display();
        if keys.is_some() && !self.sealed {
            return Err(Failure::Usage(anyhow!(
                "the log in {dir} is in clear; leave out --key-file"
            )));
        }
        if keys.is_none() && self.sealed && !args.leave_out_sealed {
            return Err(Failure::Refused(anyhow!(
                "the log in {dir} is sealed; give its keys with --key-file, as in 1=wal.key"
            )));
        }
        for segment in &self.segments {
            let name = name_of(&segment.path);
            match segment.header() {
                Ok(header) if Some(header.log_id) != self.log_id => {}
                Ok(header) if header.first_lsn != segment.first_lsn => {
                    return Err(Failure::Refused(anyhow!(
                        "{name} begins with LSN {} by its header; name it wal-{:020}.seg again (in a \
                         copy of the directory) and salvage that",
                        header.first_lsn,
                        header.first_lsn.get()
                    )));
                }
                Ok(header) => {
                    let missing = header.key_id.filter(|id| !has_key(keys, *id));
                    if let Some(id) = missing.filter(|_| !args.leave_out_sealed) {
                        return Err(Failure::Refused(anyhow!(
                            "{name} is sealed with key {id}; give it with --key-file, or leave such \
                             segments out with --leave-out-sealed"
                        )));
                    }
                }
                Err(HeaderTrouble::Version(version)) => {
                    return Err(Failure::Refused(anyhow!(
                        "{name} has format version {version}, which is not known here; use a newer \
                         program"
                    )));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Everything up to here was durable, by the segment behind this one or by `wal.meta`.
    pub(super) fn promised_by_others(&self, number: usize) -> u64 {
        match (self.segments.get(number + 1), self.meta) {
            (Some(next), _) => next.first_lsn.previous().get(),
            (None, Some(meta)) => meta.durable_lsn.max(meta.retention_floor.previous()).get(),
            (None, None) => 0,
        }
    }
}

fn commonest(ids: impl Iterator<Item = [u8; 16]>) -> Option<[u8; 16]> {
    let mut counts: HashMap<[u8; 16], usize> = HashMap::new();
    ids.for_each(|id| *counts.entry(id).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(id, _)| id)
}
