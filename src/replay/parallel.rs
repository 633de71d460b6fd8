//! Several segments decoded at once, their records handed out in LSN order. Threads read ahead in
//! sealed segments, each for itself; whoever takes the records checks that the segments follow each
//! other. Where anything is odd, the ordinary reader goes on from there and decides, so that the two
//! can never tell different stories.

use std::{mem, thread};

use super::{
    RecordRef, WalReader,
    team::{Found, Piece, Team},
};
use crate::{error::Result, lsn::Lsn, record::LogRecord};

/// What a thread needs at least, bytes: its window, the records it is collecting, and those that
/// wait for their turn.
const LEAST_BYTES_A_THREAD: usize = 8 << 20;

/// How many threads decode, and what memory they may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParallelOptions {
    /// Threads that read and decode. Default: one for each processor. Never more than there are
    /// segments, nor than there is memory for, which is 8 MiB each; never fewer than one.
    pub threads: usize,
    /// Memory for all of them together, bytes: windows, and records that wait for their turn.
    /// Default: 64 MiB. Less than 8 MiB is taken for 8 MiB. From a batch on that is larger than a
    /// quarter of a thread's share, one thread reads alone, as any [`WalReader`] does.
    pub memory_bytes: usize,
}

impl Default for ParallelOptions {
    fn default() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Self { threads, memory_bytes: 64 << 20 }
    }
}

/// Hands out the records of a [`WalReader`], in the same order and with the same errors, decoded by
/// several threads. They end when it does, or when it is dropped.
///
/// The newest segment is read by one thread, and so is a log of one segment. On two processors plain
/// records come faster from a [`WalReader`] alone (docs/performance.md).
#[derive(Debug)]
pub struct ParallelReader {
    /// Checks what the others found, and reads what they do not.
    reader: WalReader,
    team: Option<Team>,
    /// What was taken from the team last.
    at_hand: Piece,
    /// LSN behind the record that was handed out last.
    next_lsn: Lsn,
}

impl WalReader {
    /// The same records, decoded by several threads. A reader that has begun goes on alone.
    ///
    /// ```no_run
    /// # fn example(wal: &plimsoll::SegmentedWal) -> Result<(), plimsoll::WalError> {
    /// use plimsoll::ParallelOptions;
    /// for record in wal.replay()?.in_parallel(ParallelOptions::default()) {
    ///     println!("{}", record?.lsn());
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn in_parallel(self, options: ParallelOptions) -> ParallelReader {
        let sealed = self.sealed_ahead();
        let affordable = (options.memory_bytes / LEAST_BYTES_A_THREAD).max(1);
        let threads = options.threads.clamp(1, affordable).min(sealed.len());
        let share_bytes = options.memory_bytes.max(LEAST_BYTES_A_THREAD) / threads.max(1);
        let run = |(entry, last)| self.over_one_segment(entry, last, share_bytes / 4);
        let runs: Vec<_> = sealed.into_iter().map(run).collect();
        let team = (threads > 0).then(|| Team::start(runs, threads, share_bytes / 4));
        ParallelReader { reader: self, team, at_hand: Piece::default(), next_lsn: Lsn::NONE }
    }
}

impl ParallelReader {
    /// The next record, borrowed, as [`WalReader::next_ref`]. [`None`] at the end.
    pub fn next_ref(&mut self) -> Option<Result<RecordRef<'_>>> {
        while self.at_hand.is_empty() {
            let Some(team) = &mut self.team else { return self.reader.next_ref() };
            let goes_on = match team.next(mem::take(&mut self.at_hand)) {
                Found::Records(piece) => {
                    self.at_hand = piece;
                    continue;
                }
                Found::End(header, end) => self.reader.pass_over(&header, end),
                Found::Odd | Found::Nothing => false,
            };
            if !goes_on {
                self.team = None;
                self.reader.start_at(self.next_lsn);
            }
        }
        let record = self.at_hand.next()?;
        self.next_lsn = record.lsn().next();
        Some(Ok(record))
    }
}

impl Iterator for ParallelReader {
    type Item = Result<LogRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.next_ref()?.map(|record| record.to_record()))
    }
}
