//! A reader of a log that is open in this process, whose bound moves on as records become durable.

use super::{ReadBound, WalReader};
use crate::{crypto::KeyRing, error::Result, lsn::Lsn, record::LogRecord, segment::SegmentCatalog};

/// Reads up to a durable LSN, and from there on once that has moved.
#[derive(Debug)]
pub(crate) struct LiveReader {
    reader: WalReader,
    upto: Lsn,
    /// Where the newest segment begins that the reader knows of.
    newest: Lsn,
}

impl LiveReader {
    /// Goes on where `reader` ends, which has just been made with this bound.
    pub(crate) fn new(mut reader: WalReader, upto: Lsn) -> Self {
        reader.follow();
        let newest = reader.ahead.back().map_or(Lsn::NONE, |newest| newest.first_lsn);
        Self { reader, upto, newest }
    }

    /// The last LSN it may hand out.
    pub(crate) fn upto(&self) -> Lsn {
        self.upto
    }

    /// The next record, if it is not past the bound.
    pub(crate) fn next_record(&mut self) -> Result<Option<LogRecord>> {
        self.reader.next().transpose()
    }

    /// Lets it go on up to `upto`, a durable LSN that was read before this call, so that every
    /// segment it needs is listed by now.
    pub(crate) fn move_to(
        &mut self,
        upto: Lsn,
        catalog: &SegmentCatalog,
        keys: impl FnOnce() -> Option<KeyRing>,
    ) {
        let reader = &mut self.reader;
        if catalog.active_first_lsn() > self.newest {
            for entry in catalog.entries() {
                if entry.first_lsn > self.newest {
                    self.newest = entry.first_lsn;
                    reader.ahead.push_back(entry);
                }
            }
            // It may be sealed with a key that is newer than the reader.
            reader.options.keys = keys();
            // What is wanted may begin there, and the segment that it would have been in be gone.
            if reader.current.is_none() {
                reader.find_start();
            }
        }
        reader.options.bound = ReadBound::Durable(upto);
        reader.ended = false;
        match &mut reader.current {
            // What was read ahead of the bound may have been older than what is there now.
            Some(walk) if walk.pending_lsn().is_none() => walk.refresh(),
            _ => {}
        }
        self.upto = upto;
    }
}
