//! `plimsoll log stat`: what the bytes of a log are, how large its batches are, how fast its segments
//! were filled, and whose records they hold.

mod tally;
mod text;

use plimsoll::WalError;
use plimsoll::inspect::{FileRole, LogFiles, Piece, SegmentFile, Standing};
use serde::Serialize;

use super::log;
use crate::cli::StatArgs;
use crate::failure::Failure;
use crate::forensics::log::name_of;
use tally::{Owners, Spread, Tally};

/// What the document is, and in which form.
const FORMAT: &str = "plimsoll-log-stat/1";

/// Bytes of a frame before its payload, and of a batch before its frames: docs/format.md.
const FRAME_HEADER_BYTES: u64 = 40;
const BATCH_HEADER_BYTES: u64 = 40;

/// The numbers of a log.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Stat {
    format: &'static str,
    path: String,
    retention_floor_lsn: Option<u64>,
    first_lsn: Option<u64>,
    last_lsn: Option<u64>,
    writer_at_work: bool,
    /// Ids of the keys that segments are sealed with.
    key_ids: Vec<u64>,
    sealed_segments: usize,
    records: u64,
    batches: u64,
    markers: u64,
    /// Of all segments together; the sum is their length.
    bytes: Bytes,
    files: Files,
    records_per_batch: Spread,
    batch_bytes: Spread,
    payload_bytes: Spread,
    kinds: Vec<Owner>,
    tenants: Owned,
    vshards: Owned,
    databases: Owned,
    segments: Vec<SegmentStat>,
    /// Segments that their writer truncated while they were read, which are in no number.
    truncated_meanwhile: u64,
}

/// What bytes of segments are.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Bytes {
    payloads: u64,
    frame_headers: u64,
    /// Authentication tags, and zeros up to 8 bytes.
    tags_and_frame_padding: u64,
    batch_headers: u64,
    /// Zeros up to the block.
    batch_padding: u64,
    segment_headers: u64,
    /// Whole batches that no replay gets to.
    outside: u64,
    earlier_life: u64,
    blank: u64,
    damaged: u64,
    ahead_of_writer: u64,
    /// Files without a header that can be read.
    without_header: u64,
}

impl Bytes {
    fn add(&mut self, other: &Self) {
        self.payloads += other.payloads;
        self.frame_headers += other.frame_headers;
        self.tags_and_frame_padding += other.tags_and_frame_padding;
        self.batch_headers += other.batch_headers;
        self.batch_padding += other.batch_padding;
        self.segment_headers += other.segment_headers;
        self.outside += other.outside;
        self.earlier_life += other.earlier_life;
        self.blank += other.blank;
        self.damaged += other.damaged;
        self.ahead_of_writer += other.ahead_of_writer;
        self.without_header += other.without_header;
    }

    /// What batches of the log take.
    fn batches(&self) -> u64 {
        self.payloads
            + self.frame_headers
            + self.tags_and_frame_padding
            + self.batch_headers
            + self.batch_padding
    }

    /// Each with its name.
    fn named(&self) -> [(&'static str, u64); 12] {
        [
            ("payloads", self.payloads),
            ("frame headers", self.frame_headers),
            ("tags and frame padding", self.tags_and_frame_padding),
            ("batch headers", self.batch_headers),
            ("padding to blocks", self.batch_padding),
            ("segment headers", self.segment_headers),
            ("batches no replay gets to", self.outside),
            ("earlier life of the files", self.earlier_life),
            ("blank", self.blank),
            ("damaged", self.damaged),
            ("ahead of the writer", self.ahead_of_writer),
            ("files without a header", self.without_header),
        ]
    }
}

/// Lengths of files, bytes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Files {
    segments: u64,
    spares: u64,
    unfinished: u64,
    retired: u64,
    leases: u64,
    other: u64,
}

/// Who owns records, and how many.
#[derive(Clone, Copy, Debug, Serialize)]
struct Owner {
    id: u64,
    records: u64,
    payload_bytes: u64,
}

/// Those with the most bytes.
#[derive(Clone, Debug, Serialize)]
struct Owned {
    /// How many there are; at least so many if some could not be told apart.
    count: usize,
    top: Vec<Owner>,
    /// Records of those that are not listed.
    others_records: u64,
    others_payload_bytes: u64,
}

/// A segment's numbers.
#[derive(Clone, Debug, Serialize)]
struct SegmentStat {
    segment: String,
    first_lsn: u64,
    len_bytes: u64,
    below_floor: bool,
    key_id: Option<u64>,
    block_bytes: Option<u64>,
    created_unix_ns: Option<u64>,
    records: u64,
    /// Those with records.
    batches: u64,
    bytes: Bytes,
    /// Until the next segment was started; `None` for the last one, or if clocks went back.
    seconds_to_next: Option<f64>,
    records_per_second: Option<f64>,
    payload_bytes_per_second: Option<f64>,
    header_problem: Option<String>,
}

/// Counts as the command line says.
///
/// # Errors
/// When the log cannot be read.
pub(crate) fn run(args: &StatArgs) -> Result<Stat, Failure> {
    let log = log::look_into(&args.dir)?;
    let mut tally = Tally::new()?;
    let mut segments = Vec::new();
    let mut truncated_meanwhile = 0;
    for segment in log.segments() {
        match count(&log, segment, &mut tally) {
            Ok(counted) => segments.push(counted),
            Err(WalError::Truncated { .. }) => truncated_meanwhile += 1,
            Err(error) => return Err(log::unreadable(error)),
        }
    }
    add_rates(&mut segments);
    let mut bytes = Bytes::default();
    segments.iter().for_each(|segment| bytes.add(&segment.bytes));
    let mut key_ids: Vec<u64> = segments.iter().filter_map(|segment| segment.key_id).collect();
    let sealed_segments = key_ids.len();
    key_ids.sort_unstable();
    key_ids.dedup();
    Ok(Stat {
        format: FORMAT,
        path: log.path().display().to_string(),
        retention_floor_lsn: log.meta().ok().flatten().map(|meta| meta.retention_floor.get()),
        first_lsn: tally.first_lsn,
        last_lsn: tally.last_lsn,
        writer_at_work: log.writer_at_work(),
        key_ids,
        sealed_segments,
        records: tally.records,
        batches: tally.batches,
        markers: tally.markers,
        files: files(&log, &segments),
        bytes,
        records_per_batch: Spread::of(&tally.records_per_batch),
        batch_bytes: Spread::of(&tally.batch_bytes),
        payload_bytes: Spread::of(&tally.payload_bytes),
        kinds: tally.kinds.top(usize::MAX).top,
        tenants: tally.tenants.top(args.top),
        vshards: tally.vshards.top(args.top),
        databases: tally.databases.top(args.top),
        segments,
        truncated_meanwhile,
    })
}

fn files(log: &LogFiles, segments: &[SegmentStat]) -> Files {
    let segments = segments.iter().map(|segment| segment.len_bytes).sum();
    let mut files = Files { segments, ..Files::default() };
    for file in log.others() {
        let sum = match file.role {
            FileRole::Spare => &mut files.spares,
            FileRole::Unfinished => &mut files.unfinished,
            FileRole::Retired => &mut files.retired,
            FileRole::Lease => &mut files.leases,
            _ => &mut files.other,
        };
        *sum += file.len_bytes;
    }
    files
}

fn count(
    log: &LogFiles,
    segment: &SegmentFile,
    tally: &mut Tally,
) -> Result<SegmentStat, WalError> {
    let header = segment.header();
    let mut counted = SegmentStat {
        segment: name_of(&segment.path),
        first_lsn: segment.first_lsn.get(),
        len_bytes: segment.len_bytes,
        below_floor: log.is_below_floor(segment),
        key_id: header.as_ref().ok().and_then(|header| header.key_id),
        block_bytes: header.as_ref().ok().map(|header| header.block_bytes),
        created_unix_ns: header.as_ref().ok().map(|header| header.created_unix_ns),
        records: 0,
        batches: 0,
        bytes: Bytes::default(),
        seconds_to_next: None,
        records_per_second: None,
        payload_bytes_per_second: None,
        header_problem: header.as_ref().err().map(ToString::to_string),
    };
    let mut survey = match log.survey(segment, None)? {
        Ok(survey) => survey,
        Err(_) => {
            counted.bytes.without_header = segment.len_bytes;
            return Ok(counted);
        }
    };
    let bytes = &mut counted.bytes;
    while let Some(piece) = survey.next_piece()? {
        match &piece {
            Piece::Batch(batch) if batch.standing == Standing::InLog => {
                counted.batches += u64::from(batch.record_count > 0);
                counted.records += batch.record_count;
                bytes.batch_headers += BATCH_HEADER_BYTES;
                bytes.batch_padding += batch.padding_bytes();
                tally.add_batch(batch);
                while let Some(record) = survey.next_record()? {
                    let payload = record.payload.bytes().len() as u64;
                    bytes.payloads += payload;
                    bytes.frame_headers += FRAME_HEADER_BYTES;
                    bytes.tags_and_frame_padding +=
                        record.frame_bytes - FRAME_HEADER_BYTES - payload;
                    tally.add_record(&record);
                }
            }
            Piece::Batch(batch) => bytes.outside += batch.len_bytes,
            Piece::EarlierLife { len_bytes, .. } => bytes.earlier_life += len_bytes,
            Piece::Blank { len_bytes, .. } => bytes.blank += len_bytes,
            Piece::Damage { len_bytes, .. } => bytes.damaged += len_bytes,
            Piece::AheadOfWriter { len_bytes, .. } => bytes.ahead_of_writer += len_bytes,
            _ => {}
        }
    }
    // It may have grown since it was listed.
    counted.len_bytes = survey.file_len_bytes();
    bytes.segment_headers = counted.block_bytes.unwrap_or(0).min(counted.len_bytes);
    Ok(counted)
}

/// A segment was filled in the time from its start to the start of the next.
fn add_rates(segments: &mut [SegmentStat]) {
    for index in 1..segments.len() {
        let next = segments[index].created_unix_ns;
        let segment = &mut segments[index - 1];
        let (Some(from), Some(to)) = (segment.created_unix_ns, next) else { continue };
        if to <= from {
            continue;
        }
        let seconds = (to - from) as f64 / 1e9;
        segment.seconds_to_next = Some(seconds);
        segment.records_per_second = Some(segment.records as f64 / seconds);
        segment.payload_bytes_per_second = Some(segment.bytes.payloads as f64 / seconds);
    }
}

impl Owners {
    /// Those with the most bytes, at most so many.
    fn top(&self, most: usize) -> Owned {
        let mut all: Vec<Owner> = self
            .known()
            .map(|(id, sum)| Owner { id, records: sum.records, payload_bytes: sum.payload_bytes })
            .collect();
        all.sort_by_key(|owner| {
            (std::cmp::Reverse((owner.payload_bytes, owner.records)), owner.id)
        });
        let count = all.len();
        let rest = all.split_off(count.min(most));
        let (unknown_records, unknown_bytes) = self.not_told_apart();
        Owned {
            count,
            top: all,
            others_records: unknown_records + rest.iter().map(|owner| owner.records).sum::<u64>(),
            others_payload_bytes: unknown_bytes
                + rest.iter().map(|owner| owner.payload_bytes).sum::<u64>(),
        }
    }
}
