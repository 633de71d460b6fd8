//! A reader of one sealed segment, and how another one goes on behind what it has read: for reading
//! several segments at once.

use super::{ReadBound, ReaderOptions, SegmentEnd, WalReader};
use crate::{
    error::Result, format::SegmentHeader, lsn::Lsn, replay::source::ReadingStyle,
    segment::CatalogEntry,
};

impl WalReader {
    /// A reader of this segment alone, up to its last record, for a thread that works for this one.
    pub(in super::super) fn over_one_segment(
        &self,
        entry: CatalogEntry,
        last: Lsn,
        window_bytes_max: usize,
    ) -> Self {
        let options = ReaderOptions { bound: ReadBound::Durable(last), ..self.options.clone() };
        let directory = self.directory.clone();
        let mut reader = Self::over_segments(directory, self.log_id, vec![entry], options);
        reader.filter = self.filter.clone();
        reader.skips_to_start = self.skips_to_start;
        reader.style = ReadingStyle { reads_ahead: false, window_bytes_max, follows: false };
        reader
    }

    /// Reads what is left of the only segment behind its last record, which can be markers, and
    /// returns what it began with and what it leaves.
    pub(in super::super) fn finish_segment(
        mut self,
    ) -> Result<Option<(SegmentHeader, SegmentEnd)>> {
        while let Some(walk) = &mut self.current
            && walk.next_batch()?
        {}
        Ok(self.header.take().zip(self.end_of_current()))
    }

    /// Segments that are known to be complete, since another one follows, with the last LSN of each;
    /// none once reading has begun.
    pub(in super::super) fn sealed_ahead(&self) -> Vec<(CatalogEntry, Lsn)> {
        if self.current.is_some() {
            return Vec::new();
        }
        let nexts = self.ahead.iter().skip(1).map(|next| next.first_lsn.previous());
        let sealed = self.ahead.iter().cloned().zip(nexts);
        sealed.take_while(|(_, last)| !self.ends_before(*last)).collect()
    }

    /// Takes the next segment for read by somebody else: up to its end, if it follows what was read
    /// before. `false` if it does not.
    pub(in super::super) fn pass_over(&mut self, header: &SegmentHeader, end: SegmentEnd) -> bool {
        let follows = self.ahead.front().is_some_and(|entry| {
            self.check_follows(entry, header).is_ok()
                && self.ahead.get(1).is_some_and(|next| next.first_lsn == end.next_lsn)
        });
        if follows {
            self.ahead.pop_front();
            self.start_at(end.next_lsn);
            self.before = Some(end);
        }
        follows
    }

    /// Hands out nothing before `lsn`.
    pub(in super::super) fn start_at(&mut self, lsn: Lsn) {
        self.options.from = self.options.from.max(lsn);
    }
}
