//! Nothing is ever sealed under the same key and nonce as something else: every frame that was ever
//! sent to a disk, over all lives of a log, is remembered by its segment's salt and its LSN, and
//! every header by the salt and nonce 0.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::{
    device::simulated::{Event, Journal, PendingWrite},
    format::{
        BATCH_HEADER_LEN, BatchBlock, BatchHeader, FRAME_HEADER_LEN, FrameHeader,
        SEGMENT_HEADER_LEN, SegmentHeader, SegmentIdentity, frame_len,
    },
};

/// Salt, number and LSN: what key and nonce follow from. Master key and log id are left out: a salt
/// that comes again is a repetition whatever they are.
type KeyAndNonce = ([u8; 32], u64, u64);

/// Every sealed frame so far, by key and nonce.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    sealed: HashMap<KeyAndNonce, u64>,
}

impl Nonces {
    /// Adds what was written in a life.
    pub(super) fn check(&mut self, journal: &Journal) -> Result<(), String> {
        let mut identities = HashMap::new();
        for event in &journal.events {
            let Event::Wrote(write) = event else { continue };
            if write.offset == 0
                && let Ok(header) = SegmentHeader::decode(write.data.bytes())
            {
                if header.identity.key_id.is_some() {
                    self.add(&header.identity, 0, &write.data.bytes()[..SEGMENT_HEADER_LEN])?;
                }
                identities.insert(write.file, (header.identity, header.block_bytes));
            }
            let Some((identity, block_bytes)) = identities.get(&write.file) else { continue };
            if identity.key_id.is_some() {
                self.add_batch(identity, *block_bytes, write)?;
            }
        }
        Ok(())
    }

    fn add_batch(
        &mut self,
        identity: &SegmentIdentity,
        block_bytes: u64,
        write: &PendingWrite,
    ) -> Result<(), String> {
        let start = if write.offset == 0 { usize::try_from(block_bytes).unwrap_or(0) } else { 0 };
        let Some(batch) = write.data.bytes().get(start..) else { return Ok(()) };
        let BatchBlock::Valid(header) = BatchHeader::read(identity.checksum_seed(), batch) else {
            return Ok(());
        };
        let mut at = BATCH_HEADER_LEN;
        for _ in 0..header.record_count {
            let Some(frame) = batch.get(at..at + FRAME_HEADER_LEN) else { return Ok(()) };
            let frame_header = FrameHeader::decode(frame);
            let len = frame_len(frame_header.payload_bytes as usize, true);
            let Some(frame) = batch.get(at..at + len) else { return Ok(()) };
            self.add(identity, frame_header.lsn.get(), frame)?;
            at += len;
        }
        Ok(())
    }

    /// The same bytes again are the same record written again.
    fn add(&mut self, identity: &SegmentIdentity, nonce: u64, bytes: &[u8]) -> Result<(), String> {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let digest = hasher.finish();
        match self.sealed.entry((identity.salt, identity.segment_number, nonce)) {
            Entry::Occupied(known) if *known.get() != digest => Err(format!(
                "nonce {nonce} was used twice under the key of segment {}",
                identity.segment_number
            )),
            Entry::Occupied(_) => Ok(()),
            Entry::Vacant(free) => {
                free.insert(digest);
                Ok(())
            }
        }
    }
}
