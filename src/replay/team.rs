//! The threads of a parallel replay, and what they have found, by segment. A thread takes the oldest
//! segment that nobody has taken; what it decodes waits here, within a budget, for its turn. The
//! oldest segment's thread may always put down one more piece, so that there is no waiting in a
//! circle.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::{Arc, PoisonError},
};

use super::{WalReader, reader::SegmentEnd};
use crate::{
    format::SegmentHeader,
    record::LogRecord,
    sync::{Condvar, Mutex, MutexGuard, lock, thread},
};

/// Records are put down when they come to so many bytes.
const PIECE_BYTES: usize = 256 << 10;
/// What the allocator adds to a payload, at most, for a small one.
const ALLOCATION_BYTES: usize = 16;

/// What comes next.
#[derive(Debug)]
pub(super) enum Found {
    /// These records, of the oldest segment that has not ended.
    Records(Vec<LogRecord>),
    /// That segment has no more. What it began with, and what it leaves.
    End(Box<SegmentHeader>, SegmentEnd),
    /// That segment cannot be read to its end, for whatever reason.
    Odd,
    /// There are no more segments.
    Nothing,
}

/// Threads at work.
pub(super) struct Team {
    desk: Arc<Desk>,
    threads: Vec<thread::JoinHandle<()>>,
    /// What was taken last and counts until the next is taken.
    taken_bytes: usize,
}

struct Desk {
    papers: Mutex<Papers>,
    changed: Condvar,
    /// For pieces that wait, of all segments.
    budget_bytes: usize,
}

struct Papers {
    /// Segments that nobody has taken, oldest first.
    untaken: VecDeque<(usize, WalReader)>,
    /// Pieces of each segment, with their sizes in bytes.
    pieces: Vec<VecDeque<(Found, usize)>>,
    /// The segment whose turn it is.
    oldest: usize,
    waiting_bytes: usize,
    is_over: bool,
}

impl Team {
    /// Starts threads on these readers, each of one segment, oldest first. `share_bytes` is what
    /// pieces may take for each thread.
    pub(super) fn start(runs: Vec<WalReader>, threads: usize, share_bytes: usize) -> Self {
        let papers = Papers {
            pieces: runs.iter().map(|_| VecDeque::new()).collect(),
            untaken: runs.into_iter().enumerate().collect(),
            oldest: 0,
            waiting_bytes: 0,
            is_over: false,
        };
        let desk = Arc::new(Desk {
            papers: Mutex::new(papers),
            changed: Condvar::new(),
            budget_bytes: threads * share_bytes,
        });
        let spawn = |number| {
            let desk = Arc::clone(&desk);
            let name = format!("plimsoll-replay-{number}");
            thread::Builder::new().name(name).spawn(move || desk.work())
        };
        let threads: Vec<_> = (0..threads).map_while(|number| spawn(number).ok()).collect();
        if threads.is_empty() {
            // The oldest segment will never come: whoever waits for it reads it.
            desk.papers().pieces.iter_mut().for_each(|pieces| pieces.push_back((Found::Odd, 0)));
        }
        Self { desk, threads, taken_bytes: 0 }
    }

    /// Waits for what comes next.
    pub(super) fn next(&mut self) -> Found {
        let mut papers = self.desk.papers();
        papers.waiting_bytes -= mem::take(&mut self.taken_bytes);
        self.desk.changed.notify_all();
        loop {
            let oldest = papers.oldest;
            let Some(pieces) = papers.pieces.get_mut(oldest) else { return Found::Nothing };
            if let Some((found, bytes)) = pieces.pop_front() {
                self.taken_bytes = bytes;
                if let Found::End(..) = found {
                    papers.oldest += 1;
                    self.desk.changed.notify_all();
                }
                return found;
            }
            papers = self.desk.wait(papers);
        }
    }
}

impl Desk {
    fn papers(&self) -> MutexGuard<'_, Papers> {
        lock(&self.papers)
    }

    fn wait<'a>(&self, papers: MutexGuard<'a, Papers>) -> MutexGuard<'a, Papers> {
        self.changed.wait(papers).unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let mut papers = self.papers();
            let Some((segment, run)) = papers.untaken.pop_front().filter(|_| !papers.is_over)
            else {
                return;
            };
            drop(papers);
            let mut oddity = SayIfOdd { desk: self, segment, is_odd: true };
            match self.decode(segment, run) {
                Some(end) => {
                    oddity.is_odd = false;
                    self.put(segment, end, 0);
                }
                // Nothing behind it is of use.
                None => return,
            }
        }
    }

    /// Puts down the records of a segment, and returns its end, if it is reached.
    fn decode(&self, segment: usize, mut run: WalReader) -> Option<Found> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while let Some(record) = run.next_ref() {
            let record = record.ok()?;
            bytes += mem::size_of::<LogRecord>() + ALLOCATION_BYTES + record.payload().len();
            records.push(record.to_record());
            if bytes >= PIECE_BYTES {
                let piece = Found::Records(mem::take(&mut records));
                if !self.put(segment, piece, mem::take(&mut bytes)) {
                    return None;
                }
            }
        }
        if !records.is_empty() && !self.put(segment, Found::Records(records), bytes) {
            return None;
        }
        let (header, end) = run.finish_segment().ok()??;
        Some(Found::End(Box::new(header), end))
    }

    /// Puts a piece down once there is room for it. `false` if nobody wants it any more.
    fn put(&self, segment: usize, found: Found, bytes: usize) -> bool {
        let mut papers = self.papers();
        loop {
            if papers.is_over {
                return false;
            }
            let fits = papers.waiting_bytes + bytes <= self.budget_bytes;
            if fits || (papers.oldest == segment && papers.pieces[segment].is_empty()) {
                papers.waiting_bytes += bytes;
                papers.pieces[segment].push_back((found, bytes));
                drop(papers);
                self.changed.notify_all();
                return true;
            }
            papers = self.wait(papers);
        }
    }
}

/// Says that a segment was not decoded, also where its thread panics: somebody waits for it.
struct SayIfOdd<'a> {
    desk: &'a Desk,
    segment: usize,
    is_odd: bool,
}

impl Drop for SayIfOdd<'_> {
    fn drop(&mut self) {
        if self.is_odd {
            self.desk.papers().pieces[self.segment].push_back((Found::Odd, 0));
            self.desk.changed.notify_all();
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.desk.papers().is_over = true;
        self.desk.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panic there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Team").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}
