//! What goes into the log and what comes back: a record is a payload with a kind and three ids
//! that belong to the embedder. The log never looks inside a payload.

use std::borrow::Cow;

use crate::lsn::Lsn;

/// Largest payload of one record: 64 MiB.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 20;

/// What a record means to the embedder.
///
/// Bit 15 marks a kind as *required*: a replay that does not know the kind fails on a required
/// one and passes over an optional one (see [`KnownKinds`]). All other bits are the embedder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKind(u32);

impl RecordKind {
    /// Means nothing; may be passed over by everybody.
    pub const NOOP: Self = Self(0);
    /// A value was written.
    pub const PUT: Self = Self(0x8001);
    /// A value was removed.
    pub const DELETE: Self = Self(0x8002);
    /// The embedder's state up to some LSN is safe elsewhere.
    pub const CHECKPOINT: Self = Self(0x8064);

    const REQUIRED: u32 = 1 << 15;

    /// The kind with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether a replay that does not know this kind has to fail.
    #[must_use]
    pub const fn is_required(self) -> bool {
        self.0 & Self::REQUIRED != 0
    }
}

/// The kinds an embedder can interpret, as it says when it opens a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KnownKinds {
    /// Every kind is handed out; the embedder looks at them itself.
    #[default]
    All,
    /// Only these; others are passed over when optional and an error when required.
    Only(Vec<RecordKind>),
}

impl KnownKinds {
    /// Whether the embedder knows `kind`.
    #[must_use]
    pub fn contains(&self, kind: RecordKind) -> bool {
        match self {
            Self::All => true,
            Self::Only(kinds) => kinds.contains(&kind),
        }
    }
}

/// Everything of a record but its payload, for records whose payload is written in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// What it means.
    pub kind: RecordKind,
    /// Whose it is.
    pub tenant: u64,
    /// Which virtual shard it belongs to.
    pub vshard: u32,
    /// Which database it belongs to.
    pub database: u64,
}

impl RecordHeader {
    /// A header with tenant, vshard and database 0.
    #[must_use]
    pub fn new(kind: RecordKind) -> Self {
        Self { kind, tenant: 0, vshard: 0, database: 0 }
    }
}

/// A record to append.
///
/// ```
/// use plimsoll::{Record, RecordKind};
/// let record = Record::new(RecordKind::PUT, b"user=7").tenant(1).vshard(3).database(2);
/// assert_eq!(record.payload.len(), 6);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it means.
    pub kind: RecordKind,
    /// Whose it is.
    pub tenant: u64,
    /// Which virtual shard it belongs to.
    pub vshard: u32,
    /// Which database it belongs to.
    pub database: u64,
    /// The content, at most [`MAX_PAYLOAD_BYTES`].
    pub payload: Cow<'a, [u8]>,
}

impl<'a> Record<'a> {
    /// A record with tenant, vshard and database 0. Borrowed payloads are not copied.
    pub fn new(kind: RecordKind, payload: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { kind, tenant: 0, vshard: 0, database: 0, payload: payload.into() }
    }

    /// Everything but the payload.
    #[must_use]
    pub fn header(&self) -> RecordHeader {
        let &Self { kind, tenant, vshard, database, .. } = self;
        RecordHeader { kind, tenant, vshard, database }
    }

    /// Sets the tenant.
    #[must_use]
    pub fn tenant(mut self, tenant: u64) -> Self {
        self.tenant = tenant;
        self
    }

    /// Sets the virtual shard.
    #[must_use]
    pub fn vshard(mut self, vshard: u32) -> Self {
        self.vshard = vshard;
        self
    }

    /// Sets the database.
    #[must_use]
    pub fn database(mut self, database: u64) -> Self {
        self.database = database;
        self
    }
}

/// A record as replayed: decrypted, checked, and with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    pub(crate) lsn: Lsn,
    pub(crate) kind: RecordKind,
    pub(crate) tenant: u64,
    pub(crate) vshard: u32,
    pub(crate) database: u64,
    pub(crate) payload: Vec<u8>,
}

impl LogRecord {
    /// Its position in the log.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// What it means.
    #[must_use]
    pub fn kind(&self) -> RecordKind {
        self.kind
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> u64 {
        self.tenant
    }

    /// Which virtual shard it belongs to.
    #[must_use]
    pub fn vshard(&self) -> u32 {
        self.vshard
    }

    /// Which database it belongs to.
    #[must_use]
    pub fn database(&self) -> u64 {
        self.database
    }

    /// The content.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Takes the content without copying it.
    #[must_use]
    pub fn into_payload(self) -> Vec<u8> {
        self.payload
    }
}
