//! Recorded traffic: when each record arrived, how large it was, and whose it was. Replayed, it
//! keeps the bursts and the lulls that a Poisson process has not.
//!
//! A text file, one record a line: `arrival_us,payload_bytes` or `arrival_us,payload_bytes,tenant`,
//! arrivals ascending. Lines that begin with `#` and a heading that begins with a letter are passed
//! over.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

/// Most records of a trace; they are held in memory, 24 bytes each.
const RECORDS_MAX: usize = 20_000_000;

/// Largest payload of a record, bytes.
const BYTES_MAX: u64 = 64 << 20;

/// A recorded arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceRecord {
    /// Since the first one.
    pub(crate) arrival_us: u64,
    pub(crate) payload_bytes: u32,
    pub(crate) tenant: u64,
}

/// At least two arrivals, not all at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    records: Vec<TraceRecord>,
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    /// When it cannot be read, a line is none, arrivals go backwards, or there are fewer than two
    /// moments; the error names file and line.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::read(BufReader::new(file)).with_context(|| format!("cannot use {}", path.display()))
    }

    fn read(lines: impl BufRead) -> Result<Self> {
        let mut records: Vec<TraceRecord> = Vec::new();
        let mut first_us = None;
        for (index, line) in lines.lines().enumerate() {
            let line = line.with_context(|| format!("line {}", index + 1))?;
            let line = line.trim();
            let passed_over = |c: char| c == '#' || (c.is_ascii_alphabetic() && records.is_empty());
            if line.is_empty() || line.starts_with(passed_over) {
                continue;
            }
            let mut record = parse_line(line).with_context(|| format!("line {}", index + 1))?;
            let first_us = *first_us.get_or_insert(record.arrival_us);
            let last_us = records.last().map_or(0, |last| last.arrival_us);
            let since_first = record.arrival_us.checked_sub(first_us);
            let Some(arrival_us) = since_first.filter(|arrival_us| *arrival_us >= last_us) else {
                bail!("line {}: an arrival before the one above it; sort the trace", index + 1);
            };
            record.arrival_us = arrival_us;
            ensure!(records.len() < RECORDS_MAX, "more than {RECORDS_MAX} records; cut the trace");
            records.push(record);
        }
        let ends_us = records.last().map_or(0, |last| last.arrival_us);
        ensure!(ends_us > 0, "a trace needs arrivals at two moments at least");
        Ok(Self { records })
    }

    /// The record at a place, counted on from the start again behind the end.
    pub(crate) fn record(&self, sequence: u64) -> TraceRecord {
        let count = self.records.len() as u64;
        self.records[usize::try_from(sequence % count).unwrap_or(0)]
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Time from the first arrival to where the trace starts again: the last arrival, and a mean
    /// gap behind it.
    pub(crate) fn period_us(&self) -> f64 {
        let ends_us = self.records.last().map_or(0, |last| last.arrival_us) as f64;
        let count = self.records.len() as f64;
        ends_us * count / (count - 1.0)
    }

    /// Arrivals a second as recorded.
    pub(crate) fn rate_per_second(&self) -> f64 {
        self.records.len() as f64 / self.period_us() * 1e6
    }

    /// SHA-256 of what is replayed, as hexadecimal digits: comments and spaces are no part of it.
    pub(crate) fn sha256(&self) -> String {
        let mut hash = Sha256::new_with_prefix(b"plimsoll trace v1");
        for record in &self.records {
            hash.update(record.arrival_us.to_le_bytes());
            hash.update(record.payload_bytes.to_le_bytes());
            hash.update(record.tenant.to_le_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn mean_bytes(&self) -> f64 {
        let sum: f64 = self.records.iter().map(|record| f64::from(record.payload_bytes)).sum();
        sum / self.records.len() as f64
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.records.iter().map(|record| u64::from(record.payload_bytes)).max().unwrap_or(0)
    }
}

fn parse_line(line: &str) -> Result<TraceRecord> {
    let mut fields = line.split(',').map(str::trim);
    let mut number = |name: &str| {
        let field = fields.next().unwrap_or("");
        field.parse::<u64>().with_context(|| format!("{name} {field:?} is no whole number"))
    };
    let (arrival_us, bytes) = (number("arrival_us")?, number("payload_bytes")?);
    let tenant = match fields.next() {
        None => 0,
        Some(text) => text.parse().with_context(|| format!("tenant {text:?} is no number"))?,
    };
    ensure!(fields.next().is_none(), "more than arrival_us,payload_bytes,tenant");
    ensure!(bytes <= BYTES_MAX, "a payload of {bytes} bytes; at most 64MiB");
    let payload_bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    Ok(TraceRecord { arrival_us, payload_bytes, tenant })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Trace> {
        Trace::read(text.as_bytes())
    }

    #[test]
    fn a_trace_is_read_from_its_first_arrival_and_goes_round() {
        let text =
            "arrival_us,payload_bytes,tenant\n# of yesterday\n1000,100,7\n1000,300\n\n1100,200,8\n";
        let trace = read(text).expect("valid");
        assert_eq!(trace.len(), 3);
        let record =
            |arrival_us, payload_bytes, tenant| TraceRecord { arrival_us, payload_bytes, tenant };
        assert_eq!(trace.record(0), record(0, 100, 7));
        assert_eq!(trace.record(1), record(0, 300, 0));
        assert_eq!(trace.record(5), record(100, 200, 8));
        assert_eq!((trace.mean_bytes(), trace.max_bytes()), (200.0, 300));
        // Three arrivals in 100 µs have two gaps; the third is where it starts again.
        assert_eq!(trace.period_us(), 150.0);
        assert!((trace.rate_per_second() - 20_000.0).abs() < 1e-6);
    }

    #[test]
    fn the_hash_is_of_what_is_replayed_and_of_nothing_else() {
        let hash = |text: &str| read(text).expect("valid").sha256();
        let first = hash("0,1\n10,2\n");
        assert_eq!(first.len(), 64);
        assert_eq!(first, hash("# the same\narrival_us,payload_bytes\n 5, 1\n15,2,0\n"));
        for other in ["0,1\n11,2\n", "0,1\n10,3\n", "0,1\n10,2,1\n", "0,1\n10,2\n10,2\n"] {
            assert_ne!(first, hash(other), "{other}");
        }
    }

    #[test]
    fn what_is_no_trace_is_refused_with_its_line() {
        for (text, why) in [
            ("", "two moments"),
            ("5,1\n5,1\n", "two moments"),
            ("1,1\nx,1\n", "line 2"),
            ("1,1\n2\n", "payload_bytes \"\" is no whole number"),
            ("1,1\n2,1,1,1\n", "more than"),
            ("2,1\n1,1\n", "line 2: an arrival before"),
            ("1,67108865\n", "at most 64MiB"),
            ("1,1\n2,1,-1\n", "tenant"),
        ] {
            let error = format!("{:#}", read(text).expect_err(text));
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}
