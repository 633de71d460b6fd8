//! The ways to look at the records of a reader besides taking them away: borrowed, headers first,
//! and in pages.

use std::path::Path;

use super::WalReader;
use crate::{
    error::Result,
    format::FrameHeader,
    lsn::Lsn,
    record::{LogRecord, RecordHeader, RecordKind},
};

/// A record whose payload is still where it was read to: checked, decrypted, and not copied. It is
/// there until the reader moves on; see [`WalReader::next_ref`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordRef<'a> {
    header: FrameHeader,
    payload: &'a [u8],
}

impl<'a> RecordRef<'a> {
    pub(super) fn new(header: FrameHeader, payload: &'a [u8]) -> Self {
        Self { header, payload }
    }

    /// Its position in the log.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.header.lsn
    }

    /// What it means.
    #[must_use]
    pub fn kind(&self) -> RecordKind {
        self.header.kind
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> u64 {
        self.header.tenant
    }

    /// Which virtual shard it belongs to.
    #[must_use]
    pub fn vshard(&self) -> u32 {
        self.header.vshard
    }

    /// Which database it belongs to.
    #[must_use]
    pub fn database(&self) -> u64 {
        self.header.database
    }

    /// The content.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// A copy that outlives the reader.
    #[must_use]
    pub fn to_record(&self) -> LogRecord {
        LogRecord {
            lsn: self.header.lsn,
            kind: self.header.kind,
            tenant: self.header.tenant,
            vshard: self.header.vshard,
            database: self.header.database,
            payload: self.payload.to_vec(),
        }
    }
}

/// A record before its payload is read, which [`RecordHead::payload`] does; see
/// [`WalReader::next_head`].
///
/// What the checksum of a record covers is header and payload together. So where payloads are
/// passed over, what is known here fits the records around it and has been checked no further,
/// until [`RecordHead::payload`] has succeeded.
#[derive(Debug)]
pub struct RecordHead<'a> {
    reader: &'a mut WalReader,
    header: FrameHeader,
}

impl<'a> RecordHead<'a> {
    pub(super) fn new(reader: &'a mut WalReader, header: FrameHeader) -> Self {
        Self { reader, header }
    }

    /// Its position in the log.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.header.lsn
    }

    /// What it means.
    #[must_use]
    pub fn kind(&self) -> RecordKind {
        self.header.kind
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> u64 {
        self.header.tenant
    }

    /// Which virtual shard it belongs to.
    #[must_use]
    pub fn vshard(&self) -> u32 {
        self.header.vshard
    }

    /// Which database it belongs to.
    #[must_use]
    pub fn database(&self) -> u64 {
        self.header.database
    }

    /// All of these together.
    #[must_use]
    pub fn header(&self) -> RecordHeader {
        let FrameHeader { kind, tenant, vshard, database, .. } = self.header;
        RecordHeader { kind, tenant, vshard, database }
    }

    /// Length of the payload, bytes.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        self.header.payload_bytes as usize
    }

    /// The segment it is in.
    #[must_use]
    pub fn segment_path(&self) -> &Path {
        self.reader.place().0
    }

    /// Where it begins in the segment, bytes.
    #[must_use]
    pub fn offset_bytes(&self) -> u64 {
        self.reader.place().1
    }

    /// Reads the payload, unless it is in memory already, checks header and payload, and decrypts.
    ///
    /// # Errors
    ///
    /// As an item of [`WalReader`]; it ends the reader.
    pub fn payload(&mut self) -> Result<&[u8]> {
        self.reader.load()?;
        Ok(self.reader.loaded())
    }

    /// As [`Self::payload`], for all of the record.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn read(self) -> Result<RecordRef<'a>> {
        self.reader.load()?;
        Ok(RecordRef { header: self.header, payload: self.reader.loaded() })
    }
}

/// Some records, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The records, oldest first.
    pub records: Vec<LogRecord>,
    /// The LSN to ask for next; [`None`] if there are no more records for now.
    pub next: Option<Lsn>,
}

impl WalReader {
    /// At most `limit` records, and the LSN to ask for next.
    ///
    /// Pages that are asked for like that miss nothing and repeat nothing, also where one ends in an
    /// atomic batch. If something is wrong behind a full page, the next one says so.
    ///
    /// # Errors
    ///
    /// As an item of [`WalReader`], if it is met before the page is full.
    pub fn into_page(mut self, limit: usize) -> Result<Page> {
        let mut records = Vec::new();
        while records.len() < limit {
            match self.next() {
                Some(record) => records.push(record?),
                None => return Ok(Page { records, next: None }),
            }
        }
        let next = match (self.next_head(), records.last()) {
            (Some(Ok(head)), _) => Some(head.lsn()),
            (Some(Err(_)), Some(last)) => Some(last.lsn().next()),
            (Some(Err(error)), None) => return Err(error),
            (None, _) => None,
        };
        Ok(Page { records, next })
    }
}
