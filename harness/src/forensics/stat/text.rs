//! The numbers of a log, for people.

use std::fmt::Write;

use plimsoll::RecordKind;

use super::{Owned, SegmentStat, Spread, Stat};
use crate::forensics::words::{counted, kind_name, moment};
use crate::units::{
    format_bytes, format_bytes_per_second, format_count, format_rate, format_seconds, format_share,
};

impl Stat {
    /// Everything, or the totals only.
    pub(crate) fn text(&self, short: bool) -> String {
        let mut text = String::new();
        self.add_totals(&mut text);
        if short {
            return text;
        }
        self.add_bytes(&mut text);
        self.add_spreads(&mut text);
        self.add_owners(&mut text);
        self.add_segments(&mut text);
        text
    }

    fn add_totals(&self, text: &mut String) {
        // Writing to a String cannot fail.
        let lsns = match (self.first_lsn, self.last_lsn) {
            (Some(first), Some(last)) => format!("LSN {first} to {last}"),
            _ => "no record".to_owned(),
        };
        let floor = match self.retention_floor_lsn {
            Some(floor) => format!("floor at LSN {floor}"),
            None => "floor unknown".to_owned(),
        };
        let _ = writeln!(
            text,
            "{}: {lsns}, {floor}; {} in {} and {} in {}",
            self.path,
            counted(self.records, "record"),
            counted(self.batches, "batch"),
            counted(self.markers, "marker"),
            counted(self.segments.len() as u64, "segment")
        );
        if self.sealed_segments > 0 {
            let ids: Vec<String> = self.key_ids.iter().map(ToString::to_string).collect();
            let keys = if ids.len() == 1 { "key" } else { "keys" };
            let sealed = counted(self.sealed_segments as u64, "segment");
            let _ = writeln!(text, "{sealed} sealed with {keys} {}", ids.join(", "));
        }
        if self.writer_at_work {
            let _ = writeln!(text, "a writer is at work");
        }
        if self.truncated_meanwhile > 0 {
            let count = counted(self.truncated_meanwhile, "segment");
            let _ = writeln!(text, "{count} truncated meanwhile, which count for nothing here");
        }
    }

    fn add_bytes(&self, text: &mut String) {
        let all = self.files.segments.max(1) as f64;
        let _ = writeln!(text, "\nSegments, {}:", format_bytes(self.files.segments));
        for (name, bytes) in self.bytes.named() {
            if bytes > 0 {
                let share = format_share(bytes as f64 / all);
                let _ = writeln!(text, "  {name:28}{:>16} B  {share:>7}", format_count(bytes));
            }
        }
        if self.bytes.batches() > 0 {
            let payloads = self.bytes.payloads as f64 / self.bytes.batches() as f64;
            let share = format_share(1.0 - payloads);
            let _ = writeln!(text, "  of what was written, headers and padding are {share}");
        }
        let files = &self.files;
        let others = [
            ("spares", files.spares),
            ("unfinished", files.unfinished),
            ("retired", files.retired),
            ("leases", files.leases),
            ("other", files.other),
        ];
        let others: Vec<String> = others
            .into_iter()
            .filter(|(_, bytes)| *bytes > 0)
            .map(|(name, bytes)| format!("{name} {}", format_bytes(bytes)))
            .collect();
        if !others.is_empty() {
            let _ = writeln!(text, "  beside them: {}", others.join(", "));
        }
    }

    fn add_spreads(&self, text: &mut String) {
        let _ = writeln!(text, "\n{:22}{:>12}{:>12}{:>12}{:>12}", "", "mean", "p50", "p99", "max");
        for (name, spread) in [
            ("records per batch", &self.records_per_batch),
            ("batch, bytes", &self.batch_bytes),
            ("payload, bytes", &self.payload_bytes),
        ] {
            let Spread { mean, p50, p99, max, .. } = spread;
            let _ = writeln!(
                text,
                "{name:22}{mean:>12.1}{:>12}{:>12}{:>12}",
                format_count(*p50),
                format_count(*p99),
                format_count(*max)
            );
        }
    }

    fn add_owners(&self, text: &mut String) {
        let _ = writeln!(text, "\nKinds:");
        for kind in &self.kinds {
            let name = kind_name(RecordKind::new(u32::try_from(kind.id).unwrap_or(u32::MAX)));
            add_owner(text, &name, kind.records, kind.payload_bytes);
        }
        for (name, owned) in
            [("Tenants", &self.tenants), ("Vshards", &self.vshards), ("Databases", &self.databases)]
        {
            add_owned(text, name, owned);
        }
    }

    fn add_segments(&self, text: &mut String) {
        let _ = writeln!(text);
        for segment in &self.segments {
            add_segment(text, segment);
        }
    }
}

fn add_owned(text: &mut String, name: &str, owned: &Owned) {
    let _ = writeln!(text, "{name}, {}:", format_count(owned.count as u64));
    for owner in &owned.top {
        add_owner(text, &owner.id.to_string(), owner.records, owner.payload_bytes);
    }
    if owned.others_records > 0 {
        add_owner(text, "others", owned.others_records, owned.others_payload_bytes);
    }
}

fn add_owner(text: &mut String, name: &str, records: u64, payload_bytes: u64) {
    let (records, bytes) = (format_count(records), format_count(payload_bytes));
    let _ = writeln!(text, "  {name:20}{records:>14} records{bytes:>18} B");
}

fn add_segment(text: &mut String, segment: &SegmentStat) {
    let name = &segment.segment;
    let len = format_bytes(segment.len_bytes);
    if let Some(problem) = &segment.header_problem {
        let _ = writeln!(text, "{name}  {len}, no header: {problem}");
        return;
    }
    let rate = match (segment.seconds_to_next, segment.records_per_second) {
        (Some(seconds), Some(records)) => format!(
            ", filled in {} ({}, {})",
            format_seconds(seconds),
            format_rate(records),
            format_bytes_per_second(segment.payload_bytes_per_second.unwrap_or(0.0))
        ),
        _ => String::new(),
    };
    let _ = writeln!(
        text,
        "{name}  {len}, {} in {}, started {}{rate}{}",
        counted(segment.records, "record"),
        counted(segment.batches, "batch"),
        moment(segment.created_unix_ns.unwrap_or(0)),
        if segment.below_floor { ", below the floor" } else { "" }
    );
}
