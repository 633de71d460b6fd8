//! Sums over the records of a log, in bounded memory.

use std::collections::HashMap;

use anyhow::Context;
use hdrhistogram::Histogram;
use plimsoll::inspect::{BatchPiece, SurveyedRecord};
use serde::Serialize;

use crate::failure::Failure;

/// Owners that are told apart; the records of all others are one sum.
const OWNERS_MAX: usize = 1 << 16;
/// Digits that a quantile is good for.
const DIGITS: u8 = 3;
/// More than any batch can have, of bytes or of records.
const VALUE_MAX: u64 = 1 << 30;

/// What is counted over all segments.
pub(super) struct Tally {
    pub(super) first_lsn: Option<u64>,
    pub(super) last_lsn: Option<u64>,
    pub(super) records: u64,
    pub(super) batches: u64,
    pub(super) markers: u64,
    pub(super) records_per_batch: Histogram<u64>,
    pub(super) batch_bytes: Histogram<u64>,
    pub(super) payload_bytes: Histogram<u64>,
    pub(super) kinds: Owners,
    pub(super) tenants: Owners,
    pub(super) vshards: Owners,
    pub(super) databases: Owners,
}

impl Tally {
    pub(super) fn new() -> Result<Self, Failure> {
        let histogram = || {
            Histogram::new_with_max(VALUE_MAX, DIGITS)
                .context("cannot make a histogram")
                .map_err(Failure::Broken)
        };
        Ok(Self {
            first_lsn: None,
            last_lsn: None,
            records: 0,
            batches: 0,
            markers: 0,
            records_per_batch: histogram()?,
            batch_bytes: histogram()?,
            payload_bytes: histogram()?,
            kinds: Owners::default(),
            tenants: Owners::default(),
            vshards: Owners::default(),
            databases: Owners::default(),
        })
    }

    /// A batch of the log. Markers are no measure of how records share batches.
    pub(super) fn add_batch(&mut self, batch: &BatchPiece) {
        if batch.record_count == 0 {
            self.markers += 1;
            return;
        }
        self.batches += 1;
        self.records_per_batch.saturating_record(batch.record_count);
        self.batch_bytes.saturating_record(batch.len_bytes);
    }

    pub(super) fn add_record(&mut self, record: &SurveyedRecord<'_>) {
        let payload_bytes = record.payload.bytes().len() as u64;
        self.records += 1;
        self.first_lsn.get_or_insert(record.lsn.get());
        self.last_lsn = Some(record.lsn.get());
        self.payload_bytes.saturating_record(payload_bytes);
        for (owners, id) in [
            (&mut self.kinds, u64::from(record.kind.get())),
            (&mut self.tenants, record.tenant),
            (&mut self.vshards, u64::from(record.vshard)),
            (&mut self.databases, record.database),
        ] {
            owners.add(id, payload_bytes);
        }
    }
}

/// How a number is spread.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Spread {
    pub(super) count: u64,
    pub(super) mean: f64,
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) max: u64,
}

impl Spread {
    pub(super) fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            mean: histogram.mean(),
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            max: histogram.max(),
        }
    }
}

/// What somebody owns.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub(super) records: u64,
    pub(super) payload_bytes: u64,
}

/// Who owns how much.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    known: HashMap<u64, Sum>,
    others: Sum,
}

impl Owners {
    fn add(&mut self, id: u64, payload_bytes: u64) {
        let is_room = self.known.len() < OWNERS_MAX;
        let sum = match self.known.get_mut(&id) {
            Some(sum) => sum,
            None if is_room => self.known.entry(id).or_default(),
            None => &mut self.others,
        };
        sum.records += 1;
        sum.payload_bytes += payload_bytes;
    }

    pub(super) fn known(&self) -> impl Iterator<Item = (u64, Sum)> {
        self.known.iter().map(|(id, sum)| (*id, *sum))
    }

    /// Records and bytes of those who came when there was no room for more.
    pub(super) fn not_told_apart(&self) -> (u64, u64) {
        (self.others.records, self.others.payload_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_bounded_and_nothing_is_lost() {
        let mut owners = Owners::default();
        let count = OWNERS_MAX as u64 + 10;
        for id in 0..count {
            owners.add(id, 3);
        }
        owners.add(0, 3);
        assert_eq!(owners.known().count(), OWNERS_MAX);
        assert_eq!(owners.not_told_apart(), (10, 30));
        let known: u64 = owners.known().map(|(_, sum)| sum.records).sum();
        assert_eq!(known + 10, count + 1);
    }
}
