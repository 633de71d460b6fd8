//! The format of `nodedb-wal` 0.2, decoded from bytes: what a record is, whether it is whole, and
//! what is in it. Pure functions; nothing here knows of files, and every length is bounded before it
//! is used.
//!
//! ```text
//! offset  size  field            little-endian
//!      0     4  magic            57 4e 59 53 ("SYNW" as a number)
//!      4     2  version          1
//!      6     4  record type      bit 15: required; bit 14: the payload is sealed
//!     10     8  LSN
//!     18     8  tenant
//!     26     4  vshard
//!     30     4  payload length   with the tag of 16 bytes where it is sealed
//!     34     8  database
//!     42     8  reserved
//!     50     4  CRC-32C          of bytes 0 to 49 and the payload
//!     54        payload
//! ```

use plimsoll::MAX_PAYLOAD_BYTES;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

/// Length of a record without its payload.
pub(super) const HEADER_LEN: usize = 54;
/// Length of what stands in front of the records of a file that has sealed ones.
pub(super) const PREAMBLE_LEN: usize = 16;
/// Direct I/O wrote batches to multiples of this.
pub(super) const BLOCK_BYTES: u64 = 4096;
/// What a record begins with.
pub(super) const MAGIC: [u8; 4] = *b"WNYS";

const PREAMBLE_MAGIC: [u8; 4] = *b"WALP";
const VERSION: u16 = 1;
const SEALED: u32 = 1 << 14;
const TAG_LEN: usize = 16;
const CRC_OFFSET: usize = 50;

/// What a record says of itself. Nothing is checked but what is needed to find its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) lsn: u64,
    /// The record's type without the flag for sealed payloads.
    pub(super) kind: u32,
    pub(super) sealed: bool,
    pub(super) tenant: u64,
    pub(super) vshard: u32,
    pub(super) database: u64,
    /// As stored: with the tag, if it is sealed.
    pub(super) payload_len: usize,
    pub(super) crc: u32,
}

/// Why there is no record at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRecord {
    /// It does not begin with the magic.
    Magic,
    /// The bytes end before the record does.
    CutOff,
    /// A version of the format that is not read here.
    Version(u16),
    /// Longer than any record was.
    Length(u32),
    /// The checksum does not match.
    Checksum,
}

impl NoRecord {
    /// Why, for people.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Magic => "no record begins here".to_owned(),
            Self::CutOff => "a record that the end of the file cuts off".to_owned(),
            Self::Version(found) => {
                format!("a record of format version {found}; version {VERSION} is read here")
            }
            Self::Length(len) => format!("a record of {len} bytes, more than one can have"),
            Self::Checksum => "a record whose checksum does not match".to_owned(),
        }
    }
}

impl Header {
    /// Decodes what `bytes` begin with.
    ///
    /// # Errors
    /// Says why that is no record's header.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, NoRecord> {
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
            let begun = bytes.iter().zip(MAGIC).all(|(&byte, magic)| byte == magic);
            let cut = begun && !bytes.is_empty();
            return Err(if cut { NoRecord::CutOff } else { NoRecord::Magic });
        };
        if field::<4>(bytes, 0) != MAGIC {
            return Err(NoRecord::Magic);
        }
        let version = u16::from_le_bytes(field(bytes, 4));
        if version != VERSION {
            return Err(NoRecord::Version(version));
        }
        let record_type = u32::from_le_bytes(field(bytes, 6));
        let sealed = record_type & SEALED != 0;
        let stated = u32::from_le_bytes(field(bytes, 30));
        let longest = MAX_PAYLOAD_BYTES + if sealed { TAG_LEN } else { 0 };
        let payload_len = usize::try_from(stated).unwrap_or(usize::MAX);
        if payload_len > longest {
            return Err(NoRecord::Length(stated));
        }
        Ok(Self {
            lsn: u64::from_le_bytes(field(bytes, 10)),
            kind: record_type & !SEALED,
            sealed,
            tenant: u64::from_le_bytes(field(bytes, 18)),
            vshard: u32::from_le_bytes(field(bytes, 26)),
            database: u64::from_le_bytes(field(bytes, 34)),
            payload_len,
            crc: u32::from_le_bytes(field(bytes, CRC_OFFSET)),
        })
    }

    /// Length of the whole record, bytes.
    pub(super) fn record_len(&self) -> usize {
        HEADER_LEN + self.payload_len
    }

    /// Whether `record`, which is as long as this says, is what was written.
    ///
    /// # Errors
    /// [`NoRecord::CutOff`] or [`NoRecord::Checksum`].
    pub(super) fn verify(&self, record: &[u8]) -> Result<(), NoRecord> {
        let Some(record) = record.get(..self.record_len()) else { return Err(NoRecord::CutOff) };
        let head = crc32c::crc32c(&record[..CRC_OFFSET]);
        let found = crc32c::crc32c_append(head, &record[HEADER_LEN..]);
        if found == self.crc { Ok(()) } else { Err(NoRecord::Checksum) }
    }
}

/// What a file with sealed records begins with: a part of their nonces, and authenticated with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Preamble([u8; PREAMBLE_LEN]);

impl Preamble {
    /// The readings of a file's first bytes, likeliest first: as they are, if they name themselves,
    /// and with everything but the epoch as it always was, since only the epoch is not known anyway.
    /// Which of them it was, the tags of the records say.
    pub(super) fn readings(start: &[u8]) -> Vec<Self> {
        let Some(&bytes) = start.first_chunk::<PREAMBLE_LEN>() else { return Vec::new() };
        let mut mended = [0; PREAMBLE_LEN];
        mended[..4].copy_from_slice(&PREAMBLE_MAGIC);
        mended[4..6].copy_from_slice(&VERSION.to_le_bytes());
        mended[8..12].copy_from_slice(&bytes[8..12]);
        let mut readings = vec![Self(mended)];
        if Self::is_at(start) && bytes != mended {
            readings.insert(0, Self(bytes));
        }
        readings
    }

    /// Whether a file begins with one.
    pub(super) fn is_at(start: &[u8]) -> bool {
        start.len() >= PREAMBLE_LEN && start.starts_with(&PREAMBLE_MAGIC)
    }
}

/// A key of an old log.
pub(super) struct OldKey(LessSafeKey);

impl OldKey {
    pub(super) fn new(key: &[u8; 32]) -> Option<Self> {
        UnboundKey::new(&AES_256_GCM, key).ok().map(|key| Self(LessSafeKey::new(key)))
    }

    /// The payload of a sealed record in clear, `None` if it was not sealed with this key in a file
    /// with this preamble. `record` has been verified.
    pub(super) fn open(&self, preamble: Preamble, record: &[u8]) -> Option<Vec<u8>> {
        let header = Header::decode(record).ok()?;
        let mut payload = record.get(HEADER_LEN..header.record_len())?.to_vec();
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&preamble.0[8..12]);
        nonce[4..].copy_from_slice(&header.lsn.to_le_bytes());
        // Of the header what was known before the payload was sealed.
        let mut associated = [0; PREAMBLE_LEN + HEADER_LEN];
        let (front, head) = associated.split_at_mut(PREAMBLE_LEN);
        front.copy_from_slice(&preamble.0);
        head.copy_from_slice(&record[..HEADER_LEN]);
        head[6..10].copy_from_slice(&header.kind.to_le_bytes());
        head[30..34].fill(0);
        head[CRC_OFFSET..].fill(0);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let clear = self.0.open_in_place(nonce, Aad::from(associated), &mut payload).ok()?.len();
        payload.truncate(clear);
        Some(payload)
    }
}

fn field<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}
