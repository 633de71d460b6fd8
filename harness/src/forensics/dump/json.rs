//! A dump for programs: an object on each line. `docs/forensics.md` describes them.

use std::io::{self, Write};

use plimsoll::Lsn;
use plimsoll::inspect::{
    BatchPiece, LogFiles, Piece, SegmentFile, SurveyedPayload, SurveyedRecord,
};
use serde::Serialize;

use super::Printer;
use crate::cli::PayloadShown;
use crate::forensics::log::name_of;
use crate::forensics::words::{START_BYTES, hex, standing_name};

/// What the lines are of, and in which form.
const FORMAT: &str = "plimsoll-log-dump/1";

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Log {
        format: &'static str,
        path: String,
        log_id: Option<String>,
        retention_floor_lsn: Option<u64>,
        newest_segment_number: Option<u64>,
        durable_lsn: Option<u64>,
        encrypted: Option<bool>,
        meta_problem: Option<String>,
        writer_at_work: bool,
    },
    Segment {
        segment: String,
        len_bytes: u64,
        first_lsn: u64,
        below_floor: bool,
        header: Option<Header>,
        header_problem: Option<String>,
    },
    Batch {
        segment: String,
        offset_bytes: u64,
        len_bytes: u64,
        body_bytes: u64,
        padding_bytes: u64,
        first_lsn: u64,
        record_count: u64,
        durable_lsn: u64,
        clean_close: bool,
        crc32c: u32,
        standing: &'static str,
    },
    Record {
        segment: String,
        offset_bytes: u64,
        frame_bytes: u64,
        lsn: u64,
        kind: u32,
        tenant: u64,
        vshard: u32,
        database: u64,
        payload_bytes: usize,
        payload_state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        payload_hex: Option<String>,
        standing: &'static str,
    },
    EarlierLife {
        segment: String,
        offset_bytes: u64,
        len_bytes: u64,
        first_lsn: u64,
        record_count: u64,
    },
    Blank {
        segment: String,
        offset_bytes: u64,
        len_bytes: u64,
    },
    Damage {
        segment: String,
        offset_bytes: u64,
        len_bytes: u64,
        problem: String,
        beyond_end: bool,
    },
    AheadOfWriter {
        segment: String,
        offset_bytes: u64,
        len_bytes: u64,
    },
    Truncated {
        segment: String,
        retention_floor_lsn: u64,
    },
}

#[derive(Serialize)]
struct Header {
    segment_number: u64,
    log_id: String,
    block_bytes: u64,
    key_id: Option<u64>,
    predecessor_number: u64,
    predecessor_end_lsn: u64,
    predecessor_checksum: u32,
    retention_floor_lsn: u64,
    capacity_bytes: u64,
    created_unix_ns: u64,
    salt: String,
}

/// Lines of JSON.
pub(super) struct Json {
    payload: PayloadShown,
}

impl Json {
    pub(super) fn new(payload: PayloadShown) -> Self {
        Self { payload }
    }

    /// What may be shown of a payload. A ciphertext is nothing that anybody asked for.
    fn payload(&self, payload: SurveyedPayload<'_>) -> (&'static str, Option<String>) {
        let SurveyedPayload::Clear(bytes) = payload else {
            let tampered = matches!(payload, SurveyedPayload::Tampered(_));
            return (if tampered { "tampered" } else { "sealed" }, None);
        };
        let shown = match self.payload {
            PayloadShown::None => None,
            PayloadShown::Start => Some(&bytes[..bytes.len().min(START_BYTES)]),
            PayloadShown::All => Some(bytes),
        };
        ("clear", shown.map(hex))
    }
}

impl Printer for Json {
    fn begin(&mut self, log: &LogFiles, out: &mut dyn Write) -> io::Result<()> {
        let meta = log.meta();
        let said = meta.as_ref().ok().copied().flatten();
        let line = Line::Log {
            format: FORMAT,
            path: log.path().display().to_string(),
            log_id: said.map(|meta| hex(&meta.log_id)),
            retention_floor_lsn: said.map(|meta| meta.retention_floor.get()),
            newest_segment_number: said.map(|meta| meta.newest_segment_number),
            durable_lsn: said.map(|meta| meta.durable_lsn.get()),
            encrypted: said.map(|meta| meta.encrypted),
            meta_problem: match meta {
                Ok(Some(_)) => None,
                Ok(None) => Some("it is missing".to_owned()),
                Err(error) => Some(error.to_string()),
            },
            writer_at_work: log.writer_at_work(),
        };
        print(&line, out)
    }

    fn segment(
        &mut self,
        log: &LogFiles,
        segment: &SegmentFile,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let header = segment.header();
        let header_problem = header.as_ref().err().map(ToString::to_string);
        let header = header.ok().map(|header| Header {
            segment_number: header.segment_number,
            log_id: hex(&header.log_id),
            block_bytes: header.block_bytes,
            key_id: header.key_id,
            predecessor_number: header.predecessor_number,
            predecessor_end_lsn: header.predecessor_end_lsn.get(),
            predecessor_checksum: header.predecessor_checksum,
            retention_floor_lsn: header.retention_floor.get(),
            capacity_bytes: header.capacity_bytes,
            created_unix_ns: header.created_unix_ns,
            salt: hex(&header.salt),
        });
        let line = Line::Segment {
            segment: name_of(&segment.path),
            len_bytes: segment.len_bytes,
            first_lsn: segment.first_lsn.get(),
            below_floor: log.is_below_floor(segment),
            header,
            header_problem,
        };
        print(&line, out)
    }

    fn piece(
        &mut self,
        segment: &SegmentFile,
        piece: &Piece,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let segment = name_of(&segment.path);
        let (offset_bytes, len_bytes) = (piece.offset_bytes(), piece.len_bytes());
        let line = match piece {
            Piece::Batch(batch) => Line::Batch {
                segment,
                offset_bytes,
                len_bytes,
                body_bytes: batch.body_bytes,
                padding_bytes: batch.padding_bytes(),
                first_lsn: batch.first_lsn.get(),
                record_count: batch.record_count,
                durable_lsn: batch.durable_lsn.get(),
                clean_close: batch.clean_close,
                crc32c: batch.checksum,
                standing: standing_name(batch.standing),
            },
            Piece::EarlierLife { first_lsn, record_count, .. } => Line::EarlierLife {
                segment,
                offset_bytes,
                len_bytes,
                first_lsn: first_lsn.get(),
                record_count: *record_count,
            },
            Piece::Blank { .. } => Line::Blank { segment, offset_bytes, len_bytes },
            Piece::AheadOfWriter { .. } => Line::AheadOfWriter { segment, offset_bytes, len_bytes },
            Piece::Damage { problem, beyond_end, .. } => Line::Damage {
                segment,
                offset_bytes,
                len_bytes,
                problem: problem.to_string(),
                beyond_end: *beyond_end,
            },
            _ => return Ok(()),
        };
        print(&line, out)
    }

    fn record(
        &mut self,
        segment: &SegmentFile,
        batch: &BatchPiece,
        record: &SurveyedRecord<'_>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let (payload_state, payload_hex) = self.payload(record.payload);
        let line = Line::Record {
            segment: name_of(&segment.path),
            offset_bytes: record.offset_bytes,
            frame_bytes: record.frame_bytes,
            lsn: record.lsn.get(),
            kind: record.kind.get(),
            tenant: record.tenant,
            vshard: record.vshard,
            database: record.database,
            payload_bytes: record.payload.bytes().len(),
            payload_state,
            payload_hex,
            standing: standing_name(batch.standing),
        };
        print(&line, out)
    }

    fn truncated(
        &mut self,
        segment: &SegmentFile,
        floor: Lsn,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let segment = name_of(&segment.path);
        print(&Line::Truncated { segment, retention_floor_lsn: floor.get() }, out)
    }
}

fn print(line: &Line, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
