//! A dump for people: offsets in front, batches below their segment, records below their batch.

use std::io::{self, Write};

use plimsoll::Lsn;
use plimsoll::inspect::{
    BatchPiece, LogFiles, Piece, SegmentFile, SurveyedPayload, SurveyedRecord,
};

use super::Printer;
use crate::cli::PayloadShown;
use crate::forensics::log::name_of;
use crate::forensics::words::{START_BYTES, counted, kind_name, moment, quoted, standing_note};
use crate::units::format_bytes;

/// Lines of text.
pub(super) struct Text {
    payload: PayloadShown,
}

impl Text {
    pub(super) fn new(payload: PayloadShown) -> Self {
        Self { payload }
    }

    fn payload(&self, payload: SurveyedPayload<'_>) -> String {
        let bytes = match payload {
            SurveyedPayload::Clear(bytes) => bytes,
            SurveyedPayload::Sealed(_) => return "  sealed".to_owned(),
            SurveyedPayload::Tampered(_) => {
                return "  TAMPERED: good checksum, bad authentication tag".to_owned();
            }
        };
        match self.payload {
            PayloadShown::None => String::new(),
            PayloadShown::Start if bytes.len() > START_BYTES => {
                format!("  {}…", quoted(&bytes[..START_BYTES]))
            }
            PayloadShown::Start | PayloadShown::All => format!("  {}", quoted(bytes)),
        }
    }
}

impl Printer for Text {
    fn begin(&mut self, log: &LogFiles, out: &mut dyn Write) -> io::Result<()> {
        match log.meta() {
            Ok(Some(meta)) => writeln!(
                out,
                "wal.meta: keeps records from LSN {}, segment {} in use, durable to LSN {}{}",
                meta.retention_floor,
                meta.newest_segment_number,
                meta.durable_lsn,
                if meta.encrypted { ", sealed" } else { "" }
            )?,
            Ok(None) => writeln!(out, "wal.meta: MISSING")?,
            Err(error) => writeln!(out, "wal.meta: {error}")?,
        }
        if log.writer_at_work() {
            writeln!(out, "a writer is at work")?;
        }
        Ok(())
    }

    fn segment(
        &mut self,
        log: &LogFiles,
        segment: &SegmentFile,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let name = name_of(&segment.path);
        let header = match segment.header() {
            Ok(header) => header,
            Err(trouble) => {
                let len = format_bytes(segment.len_bytes);
                return writeln!(out, "\n{name}: {len}, NO HEADER: {trouble}");
            }
        };
        let sealed = header.key_id.map_or("in clear".to_owned(), |key| format!("key {key}"));
        writeln!(
            out,
            "\n{name}: segment {}, LSN {} on, {}, blocks of {}, {sealed}, {}{}",
            header.segment_number,
            header.first_lsn,
            format_bytes(segment.len_bytes),
            format_bytes(header.block_bytes),
            moment(header.created_unix_ns),
            if log.is_below_floor(segment) { ", BELOW THE FLOOR" } else { "" }
        )
    }

    fn piece(&mut self, _: &SegmentFile, piece: &Piece, out: &mut dyn Write) -> io::Result<()> {
        let (at, len) = (piece.offset_bytes(), format_bytes(piece.len_bytes()));
        match piece {
            Piece::Batch(batch) => writeln!(
                out,
                "{at:>12}  batch    {}, durable {}, {len} with {} of padding{}{}",
                lsns(batch),
                batch.durable_lsn,
                format_bytes(batch.padding_bytes()),
                if batch.clean_close { ", closed in good order" } else { "" },
                standing_note(batch.standing)
            ),
            Piece::EarlierLife { first_lsn, record_count, .. } => writeln!(
                out,
                "{at:>12}  earlier  {len} of the file's earlier life: {} from LSN {first_lsn}",
                counted(*record_count, "record")
            ),
            Piece::Blank { .. } => writeln!(out, "{at:>12}  blank    {len}"),
            Piece::Damage { problem, beyond_end, .. } => {
                let beyond = if *beyond_end { " (behind the end of the log here)" } else { "" };
                writeln!(out, "{at:>12}  DAMAGE   {len}: {problem}{beyond}")
            }
            Piece::AheadOfWriter { .. } => {
                writeln!(out, "{at:>12}  ahead    {len} that the writer has not got to yet")
            }
            other => writeln!(out, "{at:>12}  other    {len}: {other:?}"),
        }
    }

    fn record(
        &mut self,
        _: &SegmentFile,
        _: &BatchPiece,
        record: &SurveyedRecord<'_>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        writeln!(
            out,
            "{:>12}    record {:<10} {:<10} tenant {} vshard {} database {}  {:>6} B{}",
            record.offset_bytes,
            record.lsn.get(),
            kind_name(record.kind),
            record.tenant,
            record.vshard,
            record.database,
            record.payload.bytes().len(),
            self.payload(record.payload)
        )
    }

    fn truncated(&mut self, _: &SegmentFile, floor: Lsn, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "              truncated while it was read; the log begins at LSN {floor}")
    }
}

fn lsns(batch: &BatchPiece) -> String {
    match batch.record_count {
        0 => format!("marker before LSN {}", batch.first_lsn),
        1 => format!("LSN {}", batch.first_lsn),
        count => format!("LSN {} to {}, {count} records", batch.first_lsn, batch.last_lsn()),
    }
}
