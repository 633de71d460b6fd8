//! What a torture came to, in words and as JSON.

use std::time::Duration;

use serde::Serialize;

use super::ledger::Verdict;
use crate::units::{format_count, format_seconds};

/// Names the layout of the JSON.
const FORMAT: &str = "plimsoll-torture/1";

const LIMITS: &str = "\
A killed process is no power cut: what it had written survives in the caches of kernel and device, \
so that a missing flush goes unnoticed. `plimsoll certify` cuts the power of simulated disks; what \
was tried on real kernels is in docs/durability.md.";

/// What was done and found so far.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Summary {
    format: &'static str,
    pub(super) seed: u64,
    /// Settings of every cycle, if they were given.
    pub(super) settings: Option<String>,
    pub(super) seconds: f64,
    /// Processes killed.
    pub(super) cycles: u64,
    /// Logs they wrote to.
    pub(super) logs: u64,
    /// Killed before the log was open.
    pub(super) killed_while_opening: u64,
    /// Acknowledged records that were found, byte by byte.
    pub(super) acknowledged_records: u64,
    /// Records found that nobody had been told of.
    pub(super) unacknowledged_records: u64,
    /// Records of earlier cycles that were compared once more.
    pub(super) compared_again: u64,
    /// Records that somebody who followed the log from outside was given while the victim lived.
    pub(super) followed_records: u64,
    /// Openings that discarded a torn tail.
    pub(super) torn_tails: u64,
    /// Openings that removed a segment that never held a record.
    pub(super) unused_segments: u64,
    /// Openings that finished a truncation.
    pub(super) finished_truncations: u64,
    pub(super) slowest_recovery_ms: f64,
    /// What was lost, if anything was.
    pub(super) lost: Option<String>,
}

/// What the opening after a kill found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recovery {
    pub(super) verdict: Verdict,
    pub(super) took: Duration,
    pub(super) torn_tail: bool,
    pub(super) unused_segment: bool,
    pub(super) finished_truncation: bool,
}

impl Summary {
    pub(super) fn new(seed: u64, settings: Option<String>) -> Self {
        Self { format: FORMAT, seed, settings, ..Self::default() }
    }

    pub(super) fn add(&mut self, recovery: &Recovery) {
        self.cycles += 1;
        self.acknowledged_records += recovery.verdict.acknowledged;
        self.unacknowledged_records += recovery.verdict.unacknowledged;
        self.compared_again += recovery.verdict.earlier;
        self.torn_tails += u64::from(recovery.torn_tail);
        self.unused_segments += u64::from(recovery.unused_segment);
        self.finished_truncations += u64::from(recovery.finished_truncation);
        let took_ms = recovery.took.as_secs_f64() * 1e3;
        self.slowest_recovery_ms = self.slowest_recovery_ms.max(took_ms);
    }

    /// How far it is.
    pub(super) fn line(&self) -> String {
        format!(
            "{} kills, {} acknowledged records compared",
            format_count(self.cycles),
            format_count(self.acknowledged_records)
        )
    }

    /// All of it, ended by a line end.
    pub(super) fn text(&self) -> String {
        format!(
            "{} processes killed in {}, {} of them while they opened a log; {} logs (seed {}).\n\
             {} acknowledged records compared byte by byte, none lost, altered or out of place; {} \
             compared again later.\n\
             {} records found that nobody had been told of; nothing that nobody wrote.\n\
             {} records followed from outside while they were written, each of them there \
             afterwards.\n\
             Openings found {} torn tails, {} segments never used and {} truncations to finish; \
             the slowest took {:.1} ms.\n\
             {LIMITS}\n",
            format_count(self.cycles),
            format_seconds(self.seconds),
            format_count(self.killed_while_opening),
            format_count(self.logs),
            self.seed,
            format_count(self.acknowledged_records),
            format_count(self.compared_again),
            format_count(self.unacknowledged_records),
            format_count(self.followed_records),
            format_count(self.torn_tails),
            format_count(self.unused_segments),
            format_count(self.finished_truncations),
            self.slowest_recovery_ms
        )
    }
}
