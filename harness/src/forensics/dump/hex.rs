//! A dump of bytes: every byte of the files, 16 on a line, each field of `docs/format.md` on lines of
//! its own with its name and value. What is blank takes one line.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use plimsoll::RecordKind;
use plimsoll::inspect::layout::{self, Field, TAG_BYTES};
use plimsoll::inspect::{BatchPiece, FileRole, LogFiles, Piece, SegmentFile, SegmentSurvey};

use super::{Trouble, Wanted};
use crate::cli::DumpArgs;
use crate::failure::Failure;
use crate::forensics::log::{chosen, name_of};
use crate::forensics::words::{counted, kind_name, quoted, standing_note};

/// Bytes on a line.
const LINE_BYTES: usize = 16;
/// Zeros that are worth a line of their own, and so many more are one.
const ZEROS_MIN: usize = 32;
/// Bytes taken from a file at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Dumps `wal.meta`, the leases, and the chosen segments.
pub(super) fn dump(
    log: &LogFiles,
    args: &DumpArgs,
    wanted: &Wanted,
    out: &mut dyn Write,
) -> Result<(), Trouble> {
    let segments = chosen(log, &args.segment).map_err(Trouble::Failed)?;
    if args.segment.is_empty() && wanted.are_all_positions() {
        for file in log.others() {
            let fields: Vec<Field> = match file.role {
                FileRole::Meta => layout::wal_meta().collect(),
                FileRole::Lease => layout::lease().collect(),
                _ => continue,
            };
            heading(&file.path, file.len_bytes, out)?;
            raw_file(&file.path, &fields, out)?;
        }
    }
    for segment in segments {
        if super::may_hold(log, segment, wanted) && segment.first_lsn <= wanted.to {
            heading(&segment.path, segment.len_bytes, out)?;
            dump_segment(log, segment, wanted, out)?;
        }
    }
    Ok(())
}

fn heading(path: &Path, len_bytes: u64, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "# {}, {len_bytes} bytes", name_of(path))
}

fn dump_segment(
    log: &LogFiles,
    segment: &SegmentFile,
    wanted: &Wanted,
    out: &mut dyn Write,
) -> Result<(), Trouble> {
    let fields: Vec<Field> = layout::segment_header().collect();
    let mut survey = match log.survey(segment, None)? {
        Ok(survey) => survey,
        Err(trouble) => {
            writeln!(out, "# no header: {trouble}")?;
            return raw_file(&segment.path, &fields, out);
        }
    };
    let block_bytes = segment.header().map_or(0, |header| header.block_bytes);
    let header_len = fields.last().map_or(0, |last| last.offset_bytes + last.len_bytes);
    let header = survey.bytes(0, header_len)?.to_vec();
    print_fields(0, &header, &fields, out)?;
    let header_len = header_len as u64;
    stream(&mut survey, header_len, block_bytes - header_len, "rest of the block", out)?;
    while let Some(piece) = survey.next_piece()? {
        let (at, len) = (piece.offset_bytes(), piece.len_bytes());
        match &piece {
            Piece::Batch(batch) if wanted.overlaps(batch.first_lsn, batch.last_lsn()) => {
                print_batch(&mut survey, batch, out)?;
            }
            _ if !wanted.are_all_positions() => {}
            Piece::Blank { .. } => zeros(at, len, "blank", out)?,
            Piece::EarlierLife { first_lsn, .. } => {
                writeln!(out, "# earlier life of the file, from LSN {first_lsn}")?;
                stream(&mut survey, at, len, "", out)?;
            }
            Piece::Damage { problem, .. } => {
                writeln!(out, "# DAMAGE: {problem}")?;
                stream(&mut survey, at, len, "", out)?;
            }
            Piece::AheadOfWriter { .. } => {
                writeln!(out, "# the writer has not got to this yet")?;
                stream(&mut survey, at, len, "", out)?;
            }
            _ => stream(&mut survey, at, len, "", out)?,
        }
    }
    Ok(())
}

fn print_batch(
    survey: &mut SegmentSurvey,
    batch: &BatchPiece,
    out: &mut dyn Write,
) -> Result<(), Trouble> {
    let fields: Vec<Field> = layout::batch_header().collect();
    let header_len = fields.last().map_or(0, |last| last.offset_bytes + last.len_bytes);
    let what = match batch.record_count {
        0 => "marker".to_owned(),
        count => format!("batch of {}", counted(count, "record")),
    };
    let note = standing_note(batch.standing);
    writeln!(out, "# {what}, LSN {}{note}", batch.first_lsn)?;
    let header = survey.bytes(batch.offset_bytes, header_len)?.to_vec();
    print_fields(batch.offset_bytes, &header, &fields, out)?;
    let fields: Vec<Field> = layout::frame_header().collect();
    let frame_header_len = fields.last().map_or(0, |last| last.offset_bytes + last.len_bytes);
    while let Some(record) = survey.next_record()? {
        let (lsn, at, len) = (record.lsn, record.offset_bytes, record.frame_bytes);
        let payload_len = record.payload.bytes().len() as u64;
        let sealed = !matches!(record.payload, plimsoll::inspect::SurveyedPayload::Clear(_));
        writeln!(out, "# record {lsn}")?;
        let header = survey.bytes(at, frame_header_len)?.to_vec();
        print_fields(at, &header, &fields, out)?;
        let payload_at = at + frame_header_len as u64;
        let what = if sealed { "payload, sealed" } else { "payload" };
        stream(survey, payload_at, payload_len, what, out)?;
        let mut rest_at = payload_at + payload_len;
        if sealed {
            stream(survey, rest_at, TAG_BYTES as u64, "tag", out)?;
            rest_at += TAG_BYTES as u64;
        }
        stream(survey, rest_at, at + len - rest_at, "padding of the frame", out)?;
    }
    let end = batch.offset_bytes + batch.len_bytes;
    let padding = batch.padding_bytes();
    stream(survey, end - padding, padding, "padding to the block", out)
}

/// Bytes of a segment, a little at a time; the first line says what they are.
fn stream(
    survey: &mut SegmentSurvey,
    at: u64,
    len: u64,
    what: &str,
    out: &mut dyn Write,
) -> Result<(), Trouble> {
    let (mut at, end, mut what) = (at, at + len, what);
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let bytes = survey.bytes(at, wanted)?;
        if bytes.is_empty() {
            break;
        }
        print_bytes(at, bytes, what, out)?;
        at += bytes.len() as u64;
        what = "";
    }
    Ok(())
}

/// A file that is no segment, or none that can be gone through: its fields, and the rest as it is.
fn raw_file(path: &Path, fields: &[Field], out: &mut dyn Write) -> Result<(), Trouble> {
    let unreadable = |error: io::Error| {
        let error = anyhow::Error::new(error).context(format!("cannot read {}", path.display()));
        Trouble::Failed(Failure::Usage(error))
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut at = 0;
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    loop {
        chunk.clear();
        let read = (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk);
        if read.map_err(unreadable)? == 0 {
            return Ok(());
        }
        let fields_len = fields.last().map_or(0, |last| last.offset_bytes + last.len_bytes);
        let named = if at == 0 && chunk.len() >= fields_len { fields_len } else { 0 };
        if named > 0 {
            print_fields(at, &chunk[..named], fields, out)?;
        }
        print_bytes(at + named as u64, &chunk[named..], "", out)?;
        at += chunk.len() as u64;
    }
}

fn print_fields(at: u64, bytes: &[u8], fields: &[Field], out: &mut dyn Write) -> io::Result<()> {
    for field in fields {
        let value = &bytes[field.offset_bytes..field.offset_bytes + field.len_bytes];
        let note = format!("{}{}", field.name, value_of(field.name, value));
        print_bytes(at + field.offset_bytes as u64, value, &note, out)?;
    }
    Ok(())
}

/// ` = ` and what the bytes say, if a person can make something of it.
fn value_of(name: &str, bytes: &[u8]) -> String {
    if name == "magic" {
        return format!(" = {}", quoted(bytes));
    }
    let number = bytes.iter().rev().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    match name {
        _ if bytes.len() > 8 => String::new(),
        "crc32c" | "seed" | "predecessor_checksum" => format!(" = {number:#010x}"),
        "kind" => {
            let kind = RecordKind::new(u32::try_from(number).unwrap_or(u32::MAX));
            format!(" = {number:#06x} {}", kind_name(kind))
        }
        _ => format!(" = {number}"),
    }
}

/// 16 bytes on a line, with `what` behind the first; many zeros are one line.
fn print_bytes(at: u64, bytes: &[u8], what: &str, out: &mut dyn Write) -> io::Result<()> {
    let (mut at, mut rest, mut what) = (at, bytes, what);
    while !rest.is_empty() {
        let run = rest.iter().take_while(|byte| **byte == 0).count();
        let taken = if run >= ZEROS_MIN {
            zeros(at, run as u64, what, out)?;
            run
        } else {
            let line = &rest[..rest.len().min(LINE_BYTES)];
            let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            let text = format!("{at:08x}  {:47}  {what}", digits.join(" "));
            writeln!(out, "{}", text.trim_end())?;
            line.len()
        };
        at += taken as u64;
        rest = &rest[taken..];
        what = "";
    }
    Ok(())
}

fn zeros(at: u64, count: u64, what: &str, out: &mut dyn Write) -> io::Result<()> {
    if count == 0 {
        return Ok(());
    }
    let text = format!("{at:08x}  {:47}  {what}", format!("00 x {count}"));
    writeln!(out, "{}", text.trim_end())
}
