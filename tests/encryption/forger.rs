//! Somebody who may write the files of a log and has no key: takes segments apart and puts them
//! together again with every checksum repaired. Written from `docs/format.md` alone, with nothing of
//! the crate's own code, so that it tests that document, too.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) const SEGMENT_HEADER_LEN: usize = 256;
pub(crate) const BATCH_HEADER_LEN: usize = 40;
pub(crate) const FRAME_HEADER_LEN: usize = 40;
pub(crate) const TAG_LEN: usize = 16;

/// A field: offset and size, as the document's tables give them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field(pub(crate) usize, pub(crate) usize);

pub(crate) const VERSION: Field = Field(12, 2);
pub(crate) const CIPHER: Field = Field(14, 2);
pub(crate) const BLOCK_BYTES: Field = Field(16, 4);
pub(crate) const PREDECESSOR_CHECKSUM: Field = Field(20, 4);
pub(crate) const LOG_ID: Field = Field(24, 16);
pub(crate) const SEGMENT_NUMBER: Field = Field(40, 8);
pub(crate) const FIRST_LSN: Field = Field(48, 8);
pub(crate) const PREDECESSOR_NUMBER: Field = Field(56, 8);
pub(crate) const PREDECESSOR_END: Field = Field(64, 8);
pub(crate) const RETENTION_FLOOR: Field = Field(72, 8);
pub(crate) const CAPACITY: Field = Field(80, 8);
pub(crate) const CREATED: Field = Field(88, 8);
pub(crate) const SALT: Field = Field(96, 32);
pub(crate) const KEY_ID: Field = Field(128, 8);
pub(crate) const KEY_CHECK: Field = Field(136, 16);
pub(crate) const HEADER_TAG: Field = Field(152, 16);
pub(crate) const RESERVED: Field = Field(168, 88);

pub(crate) const FRAME_PAYLOAD_BYTES: Field = Field(4, 4);
pub(crate) const FRAME_LSN: Field = Field(8, 8);
pub(crate) const FRAME_KIND: Field = Field(16, 4);
pub(crate) const FRAME_VSHARD: Field = Field(20, 4);
pub(crate) const FRAME_TENANT: Field = Field(24, 8);
pub(crate) const FRAME_DATABASE: Field = Field(32, 8);

pub(crate) const META_LOG_ID: Field = Field(16, 16);
pub(crate) const META_FLAGS: Field = Field(14, 2);
pub(crate) const META_FLOOR: Field = Field(32, 8);
pub(crate) const META_NEWEST: Field = Field(40, 8);
pub(crate) const META_DURABLE: Field = Field(48, 8);

impl Field {
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.0..self.0 + self.1]
    }

    pub(crate) fn get(self, bytes: &[u8]) -> u64 {
        let mut value = [0; 8];
        value[..self.1].copy_from_slice(self.of(bytes));
        u64::from_le_bytes(value)
    }

    pub(crate) fn set(self, bytes: &mut [u8], value: u64) {
        self.put(bytes, &value.to_le_bytes()[..self.1]);
    }

    pub(crate) fn put(self, bytes: &mut [u8], value: &[u8]) {
        bytes[self.0..self.0 + self.1].copy_from_slice(value);
    }
}

/// A segment taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) header: [u8; SEGMENT_HEADER_LEN],
    pub(crate) batches: Vec<Batch>,
    /// What lies behind the last batch, to the file's end.
    pub(crate) rest: Vec<u8>,
    file_len: usize,
    /// As it was: a header may be forged to say something else.
    block_len: usize,
}

/// A batch whose lengths and counts follow from its frames.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) flags: u32,
    pub(crate) first_lsn: u64,
    pub(crate) durable_lsn: u64,
    pub(crate) frames: Vec<Frame>,
}

/// A frame: its header, and the payload or what stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) header: [u8; FRAME_HEADER_LEN],
    pub(crate) sealed: Vec<u8>,
    /// Absent in clear.
    pub(crate) tag: Option<[u8; TAG_LEN]>,
}

impl Frame {
    pub(crate) fn lsn(&self) -> u64 {
        FRAME_LSN.get(&self.header)
    }

    /// A record in clear that nobody with a key ever wrote.
    pub(crate) fn invented(lsn: u64, payload: &[u8]) -> Self {
        let mut header = [0; FRAME_HEADER_LEN];
        FRAME_PAYLOAD_BYTES.set(&mut header, payload.len() as u64);
        FRAME_LSN.set(&mut header, lsn);
        FRAME_KIND.set(&mut header, 0x8001);
        Self { header, sealed: payload.to_vec(), tag: None }
    }

    fn parse(body: &[u8], encrypted: bool) -> Option<(Self, usize)> {
        let header: [u8; FRAME_HEADER_LEN] = body.get(..FRAME_HEADER_LEN)?.try_into().ok()?;
        let payload_len = usize::try_from(FRAME_PAYLOAD_BYTES.get(&header)).ok()?;
        let tag_at = FRAME_HEADER_LEN.checked_add(payload_len)?;
        let sealed = body.get(FRAME_HEADER_LEN..tag_at)?.to_vec();
        let tag = match encrypted {
            true => Some(body.get(tag_at..tag_at + TAG_LEN)?.try_into().ok()?),
            false => None,
        };
        let len = (tag_at + tag.map_or(0, |tag: [u8; TAG_LEN]| tag.len())).next_multiple_of(8);
        (len <= body.len()).then_some((Self { header, sealed, tag }, len))
    }

    fn encode(&self, seed: u32) -> Vec<u8> {
        let mut bytes = self.header.to_vec();
        bytes.extend_from_slice(&self.sealed);
        bytes.extend(self.tag.iter().flatten());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let checksum = crc32c::crc32c_append(seed, &bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

impl Batch {
    /// How many records it claims to hold.
    pub(crate) fn end_lsn(&self) -> u64 {
        self.first_lsn + self.frames.len() as u64
    }

    fn encode(&self, seed: u32) -> Vec<u8> {
        let body: Vec<u8> = self.frames.iter().flat_map(|frame| frame.encode(seed)).collect();
        let mut bytes = b"PLB1".to_vec();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&seed.to_le_bytes());
        bytes.extend_from_slice(&self.flags.to_le_bytes());
        let count = |len: usize| u32::try_from(len).expect("small logs");
        bytes.extend_from_slice(&count(body.len()).to_le_bytes());
        bytes.extend_from_slice(&count(self.frames.len()).to_le_bytes());
        bytes.extend_from_slice(&self.first_lsn.to_le_bytes());
        bytes.extend_from_slice(&self.durable_lsn.to_le_bytes());
        let checksum = crc32c::crc32c_append(seed, &bytes[12..BATCH_HEADER_LEN]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }
}

impl Segment {
    /// Takes a file apart: the batches from `block_bytes` on, as far as there is a next one.
    pub(crate) fn parse(file: &[u8]) -> Self {
        let header: [u8; SEGMENT_HEADER_LEN] =
            file[..SEGMENT_HEADER_LEN].try_into().expect("the file holds a header");
        assert_eq!(&header[..8], b"PLIMSOLL");
        assert_eq!(header[8..12], crc32c::crc32c(&header[12..]).to_le_bytes());
        let file_len = file.len();
        let block_len = usize::try_from(BLOCK_BYTES.get(&header)).expect("small");
        let mut segment =
            Self { header, batches: Vec::new(), rest: Vec::new(), file_len, block_len };
        let mut at = segment.block_len();
        let mut expected_lsn = FIRST_LSN.get(&header);
        while let Some((batch, len)) = segment.parse_batch(file.get(at..).unwrap_or_default())
            && batch.first_lsn == expected_lsn
        {
            at += len.next_multiple_of(segment.block_len());
            expected_lsn = batch.end_lsn();
            segment.batches.push(batch);
        }
        segment.rest = file.get(at..).unwrap_or_default().to_vec();
        segment
    }

    /// The batch that `bytes` begin with, and its length without padding.
    pub(crate) fn parse_batch(&self, bytes: &[u8]) -> Option<(Batch, usize)> {
        let seed = self.seed();
        let head = bytes.get(..BATCH_HEADER_LEN)?;
        let sealed_by = crc32c::crc32c_append(seed, &head[12..]).to_le_bytes();
        if &head[..4] != b"PLB1" || head[4..8] != sealed_by || head[8..12] != seed.to_le_bytes() {
            return None;
        }
        let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let body_len = word(16) as usize;
        let mut body = bytes.get(BATCH_HEADER_LEN..BATCH_HEADER_LEN + body_len)?;
        let mut frames = Vec::new();
        for _ in 0..word(20) {
            let (frame, len) = Frame::parse(body, self.is_encrypted())?;
            if frame.encode(seed) != body[..len] {
                return None;
            }
            frames.push(frame);
            body = &body[len..];
        }
        let first_lsn = Field(24, 8).get(head);
        let durable_lsn = Field(32, 8).get(head);
        let batch = Batch { flags: word(12), first_lsn, durable_lsn, frames };
        body.is_empty().then_some((batch, BATCH_HEADER_LEN + body_len))
    }

    /// The file again, of the same length if it fits, with every checksum right.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut header = self.header;
        let checksum = crc32c::crc32c(&header[12..]);
        header[8..12].copy_from_slice(&checksum.to_le_bytes());
        let mut file = header.to_vec();
        file.resize(self.block_len(), 0);
        for batch in &self.batches {
            file.extend_from_slice(&batch.encode(self.seed()));
            file.resize(file.len().next_multiple_of(self.block_len()), 0);
        }
        file.extend_from_slice(&self.rest);
        let used = file.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        file.resize(self.file_len.max(used.next_multiple_of(self.block_len())), 0);
        file
    }

    pub(crate) fn block_len(&self) -> usize {
        self.block_len
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        CIPHER.get(&self.header) == 1
    }

    pub(crate) fn seed(&self) -> u32 {
        let identity = [SALT, LOG_ID, SEGMENT_NUMBER].map(|field| field.of(&self.header)).concat();
        crc32c::crc32c(&identity)
    }

    /// Every frame, as batch and place in it.
    pub(crate) fn places(&self) -> Vec<(usize, usize)> {
        let batches = self.batches.iter().enumerate();
        batches.flat_map(|(b, batch)| (0..batch.frames.len()).map(move |f| (b, f))).collect()
    }

    pub(crate) fn frame(&mut self, place: (usize, usize)) -> &mut Frame {
        &mut self.batches[place.0].frames[place.1]
    }

    /// Checksum of the last batch's header, which the next segment names.
    pub(crate) fn last_checksum(&self) -> u64 {
        let last = self.batches.last().map(|batch| batch.encode(self.seed()));
        last.map_or(0, |bytes| Field(4, 4).get(&bytes))
    }
}

/// `wal.meta` with its checksum repaired.
pub(crate) fn repair_meta(meta: &mut [u8]) {
    let checksum = crc32c::crc32c(&meta[12..64]);
    meta[8..12].copy_from_slice(&checksum.to_le_bytes());
}
