//! Following a log that another process writes, from its directory alone: without a lock, over
//! rollovers, truncations, crashes of the writer and its coming back.

use std::{
    collections::VecDeque,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    ReadBound, ReaderOptions, WalReader,
    reader::{directory_entries, meta_of},
    walk::Glimpse,
};
use crate::{
    crypto::KeyRing,
    device::{LogDirectory, SegmentFile},
    error::{Result, WalError},
    lsn::Lsn,
    record::{KnownKinds, LogRecord},
    segment::{CatalogEntry, read_header},
    sync::{now, thread},
};

/// How long it sleeps between two looks: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// See [`FIRST_PAUSE`]. A look at rest is one direct read of 16 KiB and a list of the directory.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Follows a log from its directory, in whatever process, and hands out each record once it is known
/// to be durable.
///
/// Nobody tells it anything, so it looks: every millisecond at first, and less and less often, down
/// to every 20 ms, while there is nothing new. That a record is durable shows from outside with the
/// batch after it, or at rest with the marker that a shared log writes after `idle_marker_after`
/// (100 ms unless configured) and an owner with
/// [`SegmentedWal::write_idle_marker`](crate::SegmentedWal::write_idle_marker): so far the tailer is
/// behind. [`DirectoryTailer::open_written`] is not, and hands out what a power cut may take back.
///
/// It takes no lock and costs the writer nothing. It stays where it is when the writer is killed or
/// closes the log, and goes on when the log is opened again. As an iterator it waits for ever, and
/// ends after an error; every other method gives the same error again and again.
///
/// ```no_run
/// # fn main() -> Result<(), plimsoll::WalError> {
/// use plimsoll::{DirectoryTailer, Lsn};
/// for record in DirectoryTailer::open("/var/lib/db/wal", None, Lsn::FIRST)? {
///     println!("{}", record?.lsn());
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct DirectoryTailer {
    reader: WalReader,
    /// Whether it hands out what is not known to be durable.
    written: bool,
    /// Everything up to here is known to be durable.
    claimed: Lsn,
    /// What it hands out next.
    next_lsn: Lsn,
    /// A newest segment that had no header yet, and was found never to have been used.
    unused: Option<Lsn>,
    failed: Option<WalError>,
}

impl DirectoryTailer {
    /// Follows the log in `dir` from `from` on ([`Lsn::NONE`]: from its oldest record), as far as it
    /// is known to be durable. `from` is at most the LSN after the last record.
    ///
    /// # Errors
    ///
    /// [`WalError::Truncated`] below the floor, [`WalError::MetaDamaged`] where there is no log, and
    /// [`WalError::Io`].
    pub fn open(dir: impl AsRef<Path>, keys: Option<&KeyRing>, from: Lsn) -> Result<Self> {
        Self::follow(LogDirectory::open(dir.as_ref())?, keys.cloned(), from, false)
    }

    /// As [`DirectoryTailer::open`], and hands out records as soon as they are written. Should the
    /// power fail, the log may go on without the last of them, and with others in their place: a
    /// tailer that sees it fails with [`WalError::NotKept`], or, opened anew, with
    /// [`WalError::NotAppended`].
    ///
    /// # Errors
    ///
    /// As [`DirectoryTailer::open`].
    pub fn open_written(dir: impl AsRef<Path>, keys: Option<&KeyRing>, from: Lsn) -> Result<Self> {
        Self::follow(LogDirectory::open(dir.as_ref())?, keys.cloned(), from, true)
    }

    pub(crate) fn follow(
        directory: LogDirectory,
        keys: Option<KeyRing>,
        from: Lsn,
        written: bool,
    ) -> Result<Self> {
        let claimed = meta_of(&directory)?.claimed_durable_lsn();
        let bound = ReadBound::Followed { claimed, hand_out: claimed };
        let options = ReaderOptions { keys, known_kinds: KnownKinds::All, bound, from };
        let reader = WalReader::over_directory(directory, options)?;
        let next_lsn = reader.options.from;
        let mut tailer = Self { reader, written, claimed, next_lsn, unused: None, failed: None };
        tailer.list_again()?;
        Ok(tailer)
    }

    /// The LSN of the record that it hands out next.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// The next record, or `None` if it is not there yet. Does not wait.
    ///
    /// # Errors
    ///
    /// [`WalError::Truncated`] if the log was truncated past it; [`WalError::NotAppended`] if the log
    /// ends before what was asked for; [`WalError::NotKept`] at the written level. The refusals of
    /// encryption; [`WalError::AcknowledgedDataLost`], [`WalError::ChainBroken`] and other damage;
    /// [`WalError::Read`] and [`WalError::Io`]. They are final.
    pub fn try_next(&mut self) -> Result<Option<LogRecord>> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let looked = self.look();
        match &looked {
            Ok(Some(record)) => self.next_lsn = record.lsn().next(),
            Ok(None) => {}
            Err(error) => self.failed = Some(error.clone()),
        }
        looked
    }

    /// The next record, or `None` if none has come within this time.
    ///
    /// # Errors
    ///
    /// As [`DirectoryTailer::try_next`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<LogRecord>> {
        self.next_until(now().checked_add(timeout))
    }

    /// The next record, or `None` if none has come by then.
    ///
    /// # Errors
    ///
    /// As [`DirectoryTailer::try_next`].
    pub fn next_by(&mut self, deadline: Instant) -> Result<Option<LogRecord>> {
        self.next_until(Some(deadline))
    }

    fn next_until(&mut self, deadline: Option<Instant>) -> Result<Option<LogRecord>> {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(record) = self.try_next()? {
                return Ok(Some(record));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            thread::sleep(left.map_or(pause, |left| pause.min(left)));
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    fn look(&mut self) -> Result<Option<LogRecord>> {
        loop {
            if let Some(record) = self.reader.next().transpose()? {
                return Ok(Some(record));
            }
            let learned = self.learn();
            if !learned.map_err(|error| self.reader.explain(error))? {
                return Ok(None);
            }
            self.reader.ended = false;
        }
    }

    /// The reader has nothing to hand out. Looks for what is new; `true` if it can go on.
    fn learn(&mut self) -> Result<bool> {
        if self.reader.current.is_none() {
            self.list_again()?;
            if !self.open_next()? {
                return Ok(false);
            }
        }
        if self.look_at_current()? {
            return Ok(true);
        }
        let Some((first_lsn, is_there)) = self.current_segment()? else { return Ok(false) };
        let entries = directory_entries(&self.reader.directory)?;
        let later: VecDeque<_> =
            entries.into_iter().filter(|entry| entry.first_lsn > first_lsn).collect();
        if let Some(next) = later.front().filter(|next| next.first_lsn < self.next_lsn) {
            return Err(self.not_kept(next.first_lsn));
        }
        if !is_there && later.is_empty() {
            return self.start_over(first_lsn);
        }
        let Some(newest) = later.back() else {
            self.check_end()?;
            return Ok(false);
        };
        let newest = newest.first_lsn.previous();
        self.reader.ahead = later;
        self.go_over(newest)
    }

    /// Later segments are there: what is left of the current one is durable.
    fn go_over(&mut self, durable: Lsn) -> Result<bool> {
        self.learned(durable);
        // Everything before a segment is there once the segment is: look again.
        if self.look_at_device()? || !self.is_withheld() {
            return Ok(true);
        }
        Ok(self.open_next()? && self.look_at_current()?)
    }

    /// Looks where the current segment goes on: at what was read along with the last batch, then at
    /// the device. `true` if there is something to hand out, or should be.
    fn look_at_current(&mut self) -> Result<bool> {
        Ok(self.glimpse()? || self.look_at_device()?)
    }

    fn look_at_device(&mut self) -> Result<bool> {
        if let Some(walk) = &mut self.reader.current {
            walk.refresh();
        }
        self.glimpse()
    }

    fn glimpse(&mut self) -> Result<bool> {
        let Some(walk) = &mut self.reader.current else { return Ok(false) };
        walk.pass_markers()?;
        if self.written && walk.next_batch()? {
            return Ok(true);
        }
        let Glimpse { claimed_durable_lsn, .. } = walk.glimpse()?;
        let expected_lsn = walk.expected_lsn();
        self.learned(claimed_durable_lsn);
        Ok(claimed_durable_lsn >= expected_lsn)
    }

    /// Whether the next batch is not known to be durable.
    fn is_withheld(&self) -> bool {
        self.reader.current.as_ref().is_none_or(|walk| walk.expected_lsn() > self.claimed)
    }

    fn learned(&mut self, durable: Lsn) {
        self.claimed = self.claimed.max(durable);
        let hand_out = if self.written { Lsn::new(u64::MAX) } else { self.claimed };
        self.reader.options.bound = ReadBound::Followed { claimed: self.claimed, hand_out };
    }

    /// Opens the next segment, unless its header is still to be written.
    fn open_next(&mut self) -> Result<bool> {
        let Some(next) = self.reader.ahead.front() else { return Ok(false) };
        let first_lsn = next.first_lsn;
        // Whether it was never used was looked at once, which takes reading all of it.
        if self.unused == Some(first_lsn) && !has_header(&self.reader, next) {
            return Ok(false);
        }
        let opened = self.reader.open_next()?;
        self.unused = (!opened).then_some(first_lsn);
        Ok(opened)
    }

    /// Where the current segment begins, and whether it still has its name.
    fn current_segment(&self) -> Result<Option<(Lsn, bool)>> {
        let Some(walk) = &self.reader.current else { return Ok(None) };
        let file: &SegmentFile = walk.file();
        let is_there = self.reader.directory.still_names(file);
        let is_there = is_there.map_err(WalError::io("examine", file.path()))?;
        Ok(Some((walk.context().identity.first_lsn, is_there)))
    }

    /// The newest segment has lost its name: it held no record when the log was opened again, and
    /// another one takes its place.
    fn start_over(&mut self, first_lsn: Lsn) -> Result<bool> {
        let floor = meta_of(&self.reader.directory)?.retention_floor;
        if self.next_lsn < floor {
            return Err(WalError::Truncated { requested: self.next_lsn, floor });
        }
        if self.next_lsn > first_lsn {
            return Err(self.not_kept(first_lsn));
        }
        self.reader.current = None;
        Ok(false)
    }

    /// Begins anew with the segment that holds what is handed out next.
    fn list_again(&mut self) -> Result<()> {
        let options = ReaderOptions { from: self.next_lsn, ..self.reader.options.clone() };
        self.reader = WalReader::over_directory(self.reader.directory.clone(), options)?;
        self.reader.follow();
        let newest = self.reader.ahead.back().map_or(Lsn::NONE, |newest| newest.first_lsn);
        self.learned(newest.previous());
        Ok(())
    }

    /// The log ends here for now. What was asked for has to be behind the end at the most: if it is
    /// not, records were lost of which somebody knows.
    fn check_end(&mut self) -> Result<()> {
        let Some(walk) = &mut self.reader.current else { return Ok(()) };
        let end_lsn = walk.glimpse()?.end_lsn;
        if self.next_lsn > end_lsn {
            return Err(WalError::NotAppended { lsn: self.next_lsn, next_lsn: end_lsn });
        }
        Ok(())
    }

    fn not_kept(&self, first_lsn: Lsn) -> WalError {
        WalError::NotKept { path: self.reader.directory.path().to_owned(), first_lsn }
    }
}

impl Iterator for DirectoryTailer {
    type Item = Result<LogRecord>;

    /// Waits for the next record, for ever if need be.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed.is_some() {
            return None;
        }
        self.next_until(None).transpose()
    }
}

/// Whether a segment's header can be read by now.
fn has_header(reader: &WalReader, entry: &CatalogEntry) -> bool {
    let opened = reader.directory.open_for_read(entry.path.clone());
    // Whatever else is wrong with it shows when it is opened.
    opened.map_or(true, |file| !matches!(read_header(&file), Ok(Err(_))))
}
