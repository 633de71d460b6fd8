//! Truncating a log under load, as an embedder's checkpoints do, and what its commits took around
//! rollovers and truncations: the two moments at which a log does more than write.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use plimsoll::{GroupCommitter, Lsn, WalError};

use super::Problem;
use super::client::{ClientLog, Span, latency_histogram_ns};
use super::gate::{Gate, Schedule};

/// How far from a rollover or a truncation a commit still counts as near it.
const NEAR: Duration = Duration::from_millis(5);

/// What happened to the commits of the measured time near rollovers and truncations.
#[derive(Debug)]
pub(crate) struct Disruptions {
    /// Segments begun in the measured time.
    pub(crate) rollovers: u64,
    /// Truncations in that time that gave up at least one segment.
    pub(crate) truncations: u64,
    /// Commits under way within 5 ms of either, nanoseconds; a part of the whole distribution.
    pub(crate) near_latency_ns: Histogram<u64>,
}

/// A thread that truncates.
pub(super) struct Checkpoints<'a> {
    pub(super) committer: &'a GroupCommitter,
    pub(super) truncation: Truncation,
}

/// How a log is truncated while it is loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Truncation {
    pub(super) every: Duration,
    /// Segments that are left, the one being written included.
    pub(super) segments_kept: usize,
    /// Whether each client keeps when its commits took place, for [`CheckpointLog::disruptions`].
    pub(super) keep_spans: bool,
}

/// What it did, and which segments there were.
#[derive(Debug, Default)]
pub(super) struct CheckpointLog {
    /// Everything below may be gone.
    pub(super) truncated_before_lsn: u64,
    /// First LSN of each segment that ever was.
    first_lsns: BTreeSet<u64>,
    truncations: Vec<Span>,
}

impl Checkpoints<'_> {
    /// Truncates from the gate's opening until the end of the measured time.
    pub(super) fn run(&self, gate: &Gate) -> Result<CheckpointLog, Problem> {
        let mut log = CheckpointLog::default();
        let Some(shift) = gate.pass() else { return Ok(log) };
        loop {
            let left = shift.schedule.measure_until.saturating_duration_since(Instant::now());
            thread::sleep(self.truncation.every.min(left));
            let outcome = self.truncate(&mut log);
            outcome.map_err(|error| Problem::Failed(format!("a truncation failed: {error}")))?;
            if left <= self.truncation.every {
                return Ok(log);
            }
        }
    }

    fn truncate(&self, log: &mut CheckpointLog) -> Result<(), WalError> {
        let first_lsns: Vec<Lsn> =
            self.committer.list_segments()?.iter().map(|segment| segment.first_lsn).collect();
        log.first_lsns.extend(first_lsns.iter().map(|lsn| lsn.get()));
        let kept = self.truncation.segments_kept;
        let Some(oldest_kept) = first_lsns.len().checked_sub(kept).filter(|at| *at > 0) else {
            return Ok(());
        };
        let before = first_lsns[oldest_kept];
        let began = Instant::now();
        self.committer.truncate_before(before)?;
        log.truncations.push(Span { began, ended: Instant::now() });
        log.truncated_before_lsn = before.get();
        Ok(())
    }
}

impl CheckpointLog {
    /// Finds the commits near rollovers and truncations. The rollover to a segment lies within the
    /// commit of its first record.
    pub(super) fn disruptions(
        &self,
        clients: &[ClientLog],
        schedule: &Schedule,
    ) -> Result<Disruptions, Problem> {
        let measured = |span: &Span| schedule.measures(span.began);
        // The log itself begins with the first of the segments: that is no rollover.
        let rollovers: Vec<Span> = self
            .first_lsns
            .iter()
            .skip(1)
            .filter_map(|lsn| clients.iter().find_map(|client| commit_span(client, *lsn)))
            .filter(measured)
            .collect();
        let truncations: Vec<Span> = self.truncations.iter().copied().filter(measured).collect();
        let near = Surroundings::of(rollovers.iter().chain(&truncations));
        let mut near_latency_ns = latency_histogram_ns()?;
        let spans = clients.iter().flat_map(|client| client.spans.iter().flatten());
        for span in spans.filter(|span| measured(span) && near.touch(span)) {
            let latency = span.ended.saturating_duration_since(span.began).as_nanos();
            near_latency_ns.saturating_record(u64::try_from(latency).unwrap_or(u64::MAX));
        }
        Ok(Disruptions {
            rollovers: rollovers.len() as u64,
            truncations: truncations.len() as u64,
            near_latency_ns,
        })
    }
}

/// When the client's commit of this LSN was under way.
fn commit_span(client: &ClientLog, lsn: u64) -> Option<Span> {
    let sequence = client.acknowledged_lsns.binary_search(&lsn).ok()?;
    client.spans.as_ref()?.get(sequence).copied()
}

/// Times around events: disjoint, in order.
#[derive(Debug)]
struct Surroundings(Vec<Span>);

impl Surroundings {
    fn of<'a>(events: impl Iterator<Item = &'a Span>) -> Self {
        let widened = |span: &Span| Span { began: span.began - NEAR, ended: span.ended + NEAR };
        let mut spans: Vec<Span> = events.map(widened).collect();
        spans.sort_unstable_by_key(|span| span.began);
        let mut merged: Vec<Span> = Vec::new();
        for span in spans {
            match merged.last_mut() {
                Some(last) if span.began <= last.ended => last.ended = last.ended.max(span.ended),
                _ => merged.push(span),
            }
        }
        Self(merged)
    }

    fn touch(&self, span: &Span) -> bool {
        let begun = self.0.partition_point(|near| near.began <= span.ended);
        begun.checked_sub(1).is_some_and(|last| self.0[last].ended >= span.began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn span(base: Instant, began_ms: u32, ended_ms: u32) -> Span {
        Span { began: base + began_ms * MS, ended: base + ended_ms * MS }
    }

    fn client(lsns: &[u64], spans: &[Span]) -> ClientLog {
        ClientLog {
            acknowledged_lsns: lsns.to_vec(),
            first_sequence: 0,
            submitted: lsns.len() as u64,
            commits_in_time: 0,
            latency_ns: latency_histogram_ns().expect("histogram"),
            interval_latency_ns: Vec::new(),
            spans: Some(spans.to_vec()),
            error: None,
        }
    }

    #[test]
    fn commits_are_near_what_they_overlap_give_or_take_5_ms() {
        let base = Instant::now() + 100 * MS;
        let events = [span(base, 100, 101), span(base, 20, 20), span(base, 28, 29)];
        let near = Surroundings::of(events.iter());
        assert_eq!(near.0.len(), 2, "two are close together: {near:?}");
        for (began, ended, expected) in [
            (0, 14, false),
            (0, 15, true),
            (24, 25, true),
            (34, 50, true),
            (35, 50, false),
            (94, 95, true),
            (0, 500, true),
            (107, 500, false),
        ] {
            assert_eq!(near.touch(&span(base, began, ended)), expected, "{began}..{ended}");
        }
        assert!(!Surroundings::of([].iter()).touch(&span(base, 0, 1)));
    }

    #[test]
    fn a_rollover_is_where_the_segments_first_record_was_committed() {
        let schedule = Schedule::from_now(Duration::ZERO, 1_000 * MS);
        let base = schedule.measure_from;
        // Segments begin at LSN 1, 3 and 6; the second rollover lies after the measured time.
        let clients = [
            client(&[1, 3, 5], &[span(base, 0, 1), span(base, 50, 52), span(base, 300, 301)]),
            client(&[2, 4, 6], &[span(base, 1, 40), span(base, 40, 49), span(base, 1_100, 1_101)]),
        ];
        let log = CheckpointLog { first_lsns: [1, 3, 6].into(), ..CheckpointLog::default() };
        let found = log.disruptions(&clients, &schedule).expect("disruptions");
        assert_eq!((found.rollovers, found.truncations), (1, 0));
        assert_eq!(found.near_latency_ns.len(), 2, "LSN 3 itself and LSN 4");
        assert!((8_900_000..9_100_000).contains(&found.near_latency_ns.max()));

        let truncations = vec![span(base, 298, 299)];
        let log = CheckpointLog { truncations, ..log };
        let found = log.disruptions(&clients, &schedule).expect("disruptions");
        assert_eq!((found.truncations, found.near_latency_ns.len()), (1, 3));
    }
}
