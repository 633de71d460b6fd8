//! What callers have asked for, what they were told, and whether the disk agrees.
//!
//! A record says in its tenant which request it belongs to, so that it is known again wherever it
//! turns up: its LSN is only known once the request has been answered. Every check is a panic, which
//! ends the story.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    device::simulated::{Chance, DiskOptions, Fault, SimulatedDisk},
    error::WalError,
    level::Reach,
    lsn::{Lsn, LsnRange},
    record::{LogRecord, Record, RecordKind},
    wal::simulated::examine,
};

/// The requests of one story, on one disk.
pub(super) struct Ledger {
    disk: SimulatedDisk,
    flush_fails: bool,
    /// Never held while others may run.
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    requests: Vec<Request>,
    /// After so many events on the disk somebody was told that records up to here are durable.
    claims: Vec<(usize, Lsn)>,
    /// Somebody was allowed to give up records before this one.
    floor_at_most: u64,
    answers: u64,
}

/// Records that were to be appended together.
struct Request {
    payload_lens: Vec<usize>,
    /// Events on the disk before: none of these holds any of it.
    asked_at: usize,
    /// Whether who writes the payload panics, and a record of zeros takes the place.
    panics: bool,
    fate: Fate,
}

/// What the caller knows of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unknown,
    /// It has these LSNs, and may or may not be on the disk.
    Placed(LsnRange),
    /// Nothing was appended, and never will be.
    Refused,
}

/// A request, by its place among all.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestId(usize);

impl Ledger {
    pub(super) fn new(options: &DiskOptions) -> Self {
        let written = Written { floor_at_most: 1, ..Written::default() };
        Self {
            disk: SimulatedDisk::new(options.clone()),
            flush_fails: matches!(options.fault, Some(Fault::Flush(_))),
            written: Mutex::new(written),
        }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn disk(&self) -> &SimulatedDisk {
        &self.disk
    }

    /// Answers that were checked.
    pub(super) fn answers(&self) -> u64 {
        self.written().answers
    }

    /// Somebody is about to append records of these lengths.
    pub(super) fn ask(
        &self,
        payload_lens: &[usize],
        panics: bool,
    ) -> (RequestId, Vec<Record<'static>>) {
        let asked_at = self.disk.position();
        let mut written = self.written();
        let id = written.requests.len();
        let payload_lens = payload_lens.to_vec();
        let records = (0..).zip(&payload_lens).map(|(index, &len)| record(id, index, len));
        let records = records.collect();
        let fate = Fate::Unknown;
        written.requests.push(Request { payload_lens, asked_at, panics, fate });
        (RequestId(id), records)
    }

    /// The caller knows the LSNs of its records.
    pub(super) fn placed(&self, id: RequestId, range: LsnRange) {
        let mut written = self.written();
        let RequestId(number) = id;
        let request = &mut written.requests[number];
        assert_eq!(
            range.count(),
            request.payload_lens.len() as u64,
            "request {number} has {range:?} for its records"
        );
        let known = request.fate;
        assert!(
            known == Fate::Unknown || known == Fate::Placed(range),
            "request {number} has {range:?}, and had {known:?}"
        );
        request.fate = Fate::Placed(range);
    }

    /// The caller was told that nothing was appended.
    pub(super) fn refused(&self, id: RequestId) {
        self.written().requests[id.0].fate = Fate::Refused;
    }

    /// The caller was told that its records have got so far. They have.
    pub(super) fn told(&self, id: RequestId, range: LsnRange, reach: Reach) {
        self.placed(id, range);
        match reach {
            Reach::Buffered => {}
            // A flush that fails takes with it what was written, before the answer or after.
            Reach::Written if self.flush_fails => {}
            Reach::Written => self.check_now(range.last, true),
            Reach::Durable => self.is_durable(range.last),
        }
    }

    /// Somebody was told that every record up to here survives power loss. It does.
    pub(super) fn is_durable(&self, lsn: Lsn) {
        let position = self.disk.position();
        self.written().claims.push((position, lsn));
        self.check_now(lsn, false);
    }

    /// Everything appended was made durable.
    pub(super) fn closed(&self) {
        let written = self.written();
        let last = written.requests.iter().filter_map(|request| match request.fate {
            Fate::Placed(range) => Some(range.last),
            Fate::Unknown | Fate::Refused => None,
        });
        let last = last.max();
        drop(written);
        if let Some(last) = last {
            self.is_durable(last);
        }
    }

    /// Somebody is about to give up the records before this one.
    pub(super) fn gives_up_before(&self, lsn: Lsn) {
        let mut written = self.written();
        written.floor_at_most = written.floor_at_most.max(lsn.get());
    }

    /// The disk as it is, and as it would be if power failed now and took what it could.
    fn check_now(&self, at_least: Lsn, written: bool) {
        self.written().answers += 1;
        let position = self.disk.position();
        self.check(&self.disk.least(written), position, Some(at_least));
    }

    /// An image of the disk after so many events holds what was promised by then, and nothing that
    /// nobody asked for. `at_least` is a promise of this very moment.
    pub(super) fn check(&self, image: &SimulatedDisk, position: usize, at_least: Option<Lsn>) {
        let found = examine(image, None)
            .unwrap_or_else(|error| panic!("an image after {position} events is refused: {error}"));
        let (floor, last) = (found.report.floor, found.report.last_lsn);
        let written = self.written();
        let promised = written.claims.iter().filter(|(made, _)| *made <= position);
        let promised = promised.map(|(_, lsn)| *lsn).chain(at_least).max().unwrap_or(Lsn::NONE);
        assert!(
            last >= promised,
            "record {promised} was acknowledged, and after {position} events the log ends at {last}"
        );
        assert!(
            floor.get() <= written.floor_at_most,
            "the log begins at {floor}, and only records before {} were given up",
            written.floor_at_most
        );
        written.check_records(found.records(Lsn::NONE), position, floor, last);
    }

    /// What a reader of the open log sees.
    pub(super) fn check_replay(&self, records: impl Iterator<Item = Result<LogRecord, WalError>>) {
        let position = self.disk.position();
        let records: Vec<_> = records.take_while(|record| !is_truncated(record)).collect();
        let Some(Ok(first)) = records.first() else { return };
        let (floor, count) = (first.lsn(), records.len() as u64);
        let last = Lsn::new(floor.get() + count - 1);
        self.written().check_records(records.into_iter(), position, floor, last);
    }
}

fn is_truncated(record: &Result<LogRecord, WalError>) -> bool {
    matches!(record, Err(WalError::Truncated { .. }))
}

impl Written {
    /// Records from `floor` to `last`: each is one that was asked for, whole requests, each once, and
    /// where the caller was told it is.
    fn check_records(
        &self,
        records: impl Iterator<Item = Result<LogRecord, WalError>>,
        position: usize,
        floor: Lsn,
        last: Lsn,
    ) {
        let mut next = floor;
        // By request, the LSNs at which its records were found.
        let mut found: BTreeMap<usize, Vec<Lsn>> = BTreeMap::new();
        for record in records {
            let record = record.unwrap_or_else(|error| panic!("reading record {next}: {error}"));
            assert_eq!(record.lsn(), next, "records follow each other");
            let number = self.check_record(&record, position);
            found.entry(number).or_default().push(next);
            next = next.next();
        }
        assert_eq!(next, last.next(), "the log ends at {last}, and reading it does not");
        for (number, lsns) in found {
            self.check_request(number, &lsns, floor);
        }
    }

    /// A record is one that somebody asked for; returns which request it belongs to.
    fn check_record(&self, record: &LogRecord, position: usize) -> usize {
        let lsn = record.lsn();
        let number = usize::try_from(record.tenant()).unwrap_or(usize::MAX);
        let request = self.requests.get(number);
        let Some(request) = request.filter(|request| request.asked_at <= position) else {
            panic!("record {lsn} is of request {number}, which nobody had made by then");
        };
        let index = record.vshard();
        let len = request.payload_lens.get(index as usize).copied().unwrap_or(usize::MAX);
        if request.panics {
            let zeros = record.payload().len() == len && record.payload().iter().all(|b| *b == 0);
            assert!(record.kind() == RecordKind::NOOP && zeros, "record {lsn} is no empty place");
        } else {
            let expected = payload(number, index, len);
            let same = record.kind() == RecordKind::PUT && record.payload() == expected;
            assert!(same, "record {lsn} is not what request {number} was");
        }
        number
    }

    /// A request is there whole and once, unless its beginning was given up.
    fn check_request(&self, number: usize, lsns: &[Lsn], floor: Lsn) {
        let request = &self.requests[number];
        let count = request.payload_lens.len();
        let dense = lsns.windows(2).all(|pair| pair[1] == pair[0].next());
        let whole = lsns.len() == count || (lsns.len() < count && lsns[0] == floor);
        assert!(dense && whole, "request {number} of {count} records is at {lsns:?}");
        match request.fate {
            Fate::Unknown => {}
            Fate::Placed(range) => {
                let last = lsns[lsns.len() - 1];
                assert_eq!(last, range.last, "request {number} was told another LSN");
            }
            Fate::Refused => panic!("request {number} was refused, and is at {lsns:?}"),
        }
    }
}

/// What a request appends.
fn record(request: usize, index: u32, len: usize) -> Record<'static> {
    let payload = payload(request, index, len);
    Record::new(RecordKind::PUT, payload).tenant(request as u64).vshard(index)
}

/// The payload of a record that belongs to this request, like no other's.
pub(super) fn payload(request: usize, index: u32, len: usize) -> Vec<u8> {
    let mut payload = vec![0; len];
    Chance::new(((request as u64) << 32) | u64::from(index)).fill(&mut payload);
    payload
}
