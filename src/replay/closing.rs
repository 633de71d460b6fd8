//! The end of a log that was closed in good order, found with one read. `wal.meta` says where the
//! closing marker is, and the marker has to say so, too: nothing is taken on the word of `wal.meta`
//! alone.

use std::num::NonZeroU64;

use crate::{
    device::SegmentFile,
    error::Result,
    format::{BatchBlock, BatchHeader, Meta, SegmentIdentity},
    lsn::Lsn,
    segment::{SegmentContext, read_block},
};

/// What `wal.meta` says of the last close.
#[derive(Clone, Copy, Debug)]
pub(super) struct StatedClose {
    offset_bytes: NonZeroU64,
    segment_number: u64,
    durable_lsn: Lsn,
}

impl StatedClose {
    /// `None` if the log was not closed in good order, or has been opened since.
    pub(super) fn of(meta: &Meta) -> Option<Self> {
        Some(Self {
            offset_bytes: meta.closing_marker_offset_bytes?,
            segment_number: meta.newest_segment_number,
            durable_lsn: meta.durable_lsn,
        })
    }

    /// The marker, if it is where it was, in this segment, and states all of it. Only a marker of
    /// the segment's own salt counts, so that neither a file that took its name and number later nor
    /// an earlier life of it is taken for it. A close is the last thing written to a segment: behind
    /// its marker there is nothing to look for.
    ///
    /// # Errors
    ///
    /// [`WalError::Read`](crate::WalError::Read).
    pub(super) fn find(
        self,
        file: &SegmentFile,
        context: &SegmentContext,
    ) -> Result<Option<BatchHeader>> {
        let Self { offset_bytes, segment_number, durable_lsn } = self;
        let SegmentIdentity { segment_number: number, first_lsn, .. } = context.identity;
        let offset_bytes = offset_bytes.get();
        if number != segment_number
            || durable_lsn < first_lsn.previous()
            || !offset_bytes.is_multiple_of(context.block_bytes)
        {
            return Ok(None);
        }
        #[cfg(feature = "simulated")]
        if crate::sabotage::is(crate::sabotage::Sabotage::BelieveStatedClose) {
            let (body_bytes, record_count, checksum, clean_close) = (0, 0, 0, true);
            let first_lsn = durable_lsn.next();
            return Ok(Some(BatchHeader {
                body_bytes,
                record_count,
                first_lsn,
                durable_lsn,
                clean_close,
                checksum,
            }));
        }
        let block = read_block(file, offset_bytes, |bytes| BatchHeader::read(context.seed, bytes))?;
        let BatchBlock::Valid(marker) = block else { return Ok(None) };
        let is_it = marker.clean_close
            && marker.record_count == 0
            && marker.durable_lsn == durable_lsn
            && marker.first_lsn == durable_lsn.next();
        Ok(is_it.then_some(marker))
    }
}
