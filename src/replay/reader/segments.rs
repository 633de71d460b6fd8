//! From one segment to the next: found by name, opened, and held against the one before. Beside a writer
//! names change while they are looked at, which is no error.

use std::{io::ErrorKind, path::PathBuf};

use super::{ReaderOptions, WalReader};
use crate::{
    device::{LogDirectory, SegmentFile},
    error::{Result, WalError},
    format::{Meta, SegmentHeader},
    lsn::Lsn,
    replay::walk::{SegmentWalk, claims_without_header},
    segment::{
        CatalogEntry, SegmentContext, check_stays_sealed, header_error, list_segments, read_header,
        read_meta,
    },
};

impl WalReader {
    /// A reader over a directory, without a lock. A writer may be at work in it.
    ///
    /// # Errors
    ///
    /// [`WalError::Truncated`] below the floor, [`WalError::MetaDamaged`] where there is no log.
    pub(crate) fn over_directory(
        directory: LogDirectory,
        mut options: ReaderOptions,
    ) -> Result<Self> {
        let wanted = options.from;
        loop {
            let Meta { retention_floor: floor, log_id, .. } = meta_of(&directory)?;
            options.from = if wanted == Lsn::NONE { floor } else { wanted };
            if options.from < floor {
                return Err(WalError::Truncated { requested: wanted, floor });
            }
            let entries = directory_entries(&directory)?;
            if let Some(first) = entries.first().filter(|first| first.first_lsn > options.from) {
                // Truncated between the two looks: what is wanted may be gone, which the floor says.
                if floor_of(&directory)? != floor {
                    continue;
                }
                return Err(WalError::ChainBroken {
                    path: first.path.clone(),
                    problem: format!(
                        "the log promises records from LSN {floor}, but this is the first segment; \
                         an earlier one is missing, restore it"
                    ),
                });
            }
            if options.keys.is_some() {
                check_start_is_sealed(&directory, &entries, options.from)?;
            }
            return Ok(Self::over_segments(directory, log_id, entries, options));
        }
    }

    /// Opens the next segment and checks that it follows the current one. `false` at the end.
    pub(in super::super) fn open_next(&mut self) -> Result<bool> {
        while let Some(entry) = self.ahead.pop_front() {
            let opened = self.open_segment(&entry);
            if !opened.as_ref().is_err_and(|error| self.is_race(error)) {
                return opened;
            }
            self.list_again(&entry)?;
        }
        Ok(false)
    }

    /// Whether a file was gone that was listed a moment ago: its writer has truncated it, or, in an
    /// opening, removed or replaced it because it held no record.
    fn is_race(&self, error: &WalError) -> bool {
        self.options.bound.is_beside_a_writer()
            && matches!(error, WalError::Io { source, .. } if source.kind() == ErrorKind::NotFound)
    }

    /// Takes the place of what was listed before by what is there now, from a segment on that has
    /// vanished.
    fn list_again(&mut self, vanished: &CatalogEntry) -> Result<()> {
        let next = self.current.as_ref().map_or(self.options.from, SegmentWalk::expected_lsn);
        let floor = floor_of(&self.directory)?;
        if next < floor {
            return Err(WalError::Truncated { requested: next, floor });
        }
        let entries = directory_entries(&self.directory)?.into_iter();
        self.ahead = entries.filter(|entry| entry.first_lsn >= vanished.first_lsn).collect();
        Ok(())
    }

    fn open_segment(&mut self, entry: &CatalogEntry) -> Result<bool> {
        let file = self.open(entry)?;
        let mut header = read_header(&file)?;
        if let Err(problem) = header {
            if self.is_unused_newest(entry)? {
                return Ok(false);
            }
            // A writer may have started it between the two looks.
            header = read_header(&file)?.or(Err(problem));
        }
        let header = header.map_err(|problem| header_error(&entry.path, problem))?;
        self.check_follows(entry, &header)?;
        let context =
            SegmentContext::from_header(&header, &entry.path, self.options.keys.as_ref())?;
        let mut walk = SegmentWalk::with_style(file, context, self.style)?;
        if let Some(before) = self.current.take() {
            walk.go_on_from(before);
        }
        self.current = Some(walk);
        self.header = Some(header);
        Ok(true)
    }

    fn open(&self, entry: &CatalogEntry) -> Result<SegmentFile> {
        let opened = self.directory.open_for_read(entry.path.clone());
        opened.map_err(WalError::io("open", &entry.path))
    }

    /// Whether a file without a readable header is the one a writer is about to start.
    fn is_unused_newest(&self, entry: &CatalogEntry) -> Result<bool> {
        if !self.options.bound.is_beside_a_writer() || !self.ahead.is_empty() {
            return Ok(false);
        }
        let file = self.open(entry)?;
        Ok(claims_without_header(file, entry.first_lsn)? < entry.first_lsn)
    }

    /// What lies behind the successor's beginning is no part of the log, and no batch of this segment
    /// can be whole there.
    pub(super) fn check_ends_before_next(&self) -> Result<()> {
        match (&self.current, self.ahead.front()) {
            (Some(walk), Some(next)) if walk.expected_lsn() > next.first_lsn => {
                Err(WalError::ChainBroken {
                    path: next.path.clone(),
                    problem: "the segment before holds records behind its beginning".to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_follows(&self, entry: &CatalogEntry, header: &SegmentHeader) -> Result<()> {
        let broken =
            |problem: String| Err(WalError::ChainBroken { path: entry.path.clone(), problem });
        let identity = &header.identity;
        if identity.first_lsn != entry.first_lsn {
            return broken(format!(
                "it is named after LSN {} but starts at LSN {}",
                entry.first_lsn, identity.first_lsn
            ));
        }
        if identity.log_id != self.log_id {
            return broken("it belongs to another log".into());
        }
        let Some(before) = self.end_of_current().or_else(|| self.before.clone()) else {
            return Ok(());
        };
        let previous = &before.identity;
        check_stays_sealed(previous, identity, &entry.path)?;
        if identity.segment_number != previous.segment_number + 1 {
            return broken(format!(
                "it is segment {} and the one before it is segment {}",
                identity.segment_number, previous.segment_number
            ));
        }
        if header.predecessor.checksum != before.checksum || identity.first_lsn != before.next_lsn {
            return broken("the last batch of the segment before is not the one it follows".into());
        }
        Ok(())
    }
}

/// A reader that starts in clear has not seen the segments before; none of them may be encrypted. One
/// that cannot be opened is being truncated.
fn check_start_is_sealed(
    directory: &LogDirectory,
    entries: &[CatalogEntry],
    from: Lsn,
) -> Result<()> {
    let identity_of = |entry: &CatalogEntry| match directory.open_for_read(entry.path.clone()) {
        Ok(file) => Ok(read_header(&file)?.ok().map(|header| header.identity)),
        Err(_) => Ok(None),
    };
    let upto = entries.partition_point(|entry| entry.first_lsn <= from);
    let Some((start, earlier)) = entries[..upto].split_last() else { return Ok(()) };
    let Some(start_identity) = identity_of(start)?.filter(|identity| identity.key_id.is_none())
    else {
        return Ok(());
    };
    for entry in earlier {
        if let Some(before) = identity_of(entry)? {
            check_stays_sealed(&before, &start_identity, &start.path)?;
        }
    }
    Ok(())
}

pub(super) fn floor_of(directory: &LogDirectory) -> Result<Lsn> {
    Ok(meta_of(directory)?.retention_floor)
}

pub(in super::super) fn meta_of(directory: &LogDirectory) -> Result<Meta> {
    read_meta(directory)?.ok_or_else(|| WalError::MetaDamaged {
        path: directory.join("wal.meta"),
        problem: "it is missing, so this is no log".into(),
    })
}

pub(in super::super) fn directory_entries(directory: &LogDirectory) -> Result<Vec<CatalogEntry>> {
    let entry = |(first_lsn, path): (Lsn, PathBuf)| CatalogEntry { path, first_lsn };
    Ok(list_segments(directory)?.into_iter().map(entry).collect())
}
