//! Reads an old log from front to back, opens what is sealed, and offers every whole record to the
//! new log. Memory is bounded by the longest record and by what the new log holds back.

use anyhow::anyhow;
use plimsoll::{RecordHeader, RecordKind};
use serde::Serialize;

use super::nodedb::{HEADER_LEN, Header, OldKey, Preamble};
use super::old_log::{OldFile, OldLog};
use super::scan::{Met, Scan, What};
use super::window::Window;
use crate::failure::Failure;
use crate::forensics::rebuild::{Bounded, Found, Offered, Rebuild};
use crate::ticker::Ticker;

/// Bytes that hold no record and are not explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Unreadable {
    pub(super) file: String,
    pub(super) offset_bytes: u64,
    pub(super) len_bytes: u64,
    pub(super) problem: String,
}

/// A whole record that is not in the new log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct LeftOut {
    pub(super) file: String,
    pub(super) offset_bytes: u64,
    pub(super) lsn: u64,
    pub(super) problem: String,
}

/// One file of the old log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct FileRead {
    pub(super) file: String,
    pub(super) bytes: u64,
    /// Whole records, copies of others included.
    pub(super) records: u64,
    /// Lowest and highest LSN among them, 0 if there are none.
    pub(super) first_lsn: u64,
    pub(super) last_lsn: u64,
}

/// What was met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Read {
    pub(super) bytes: u64,
    /// Zeros between batches, and preambles.
    pub(super) padding_bytes: u64,
    /// What earlier batches left behind shorter ones.
    pub(super) residue_bytes: u64,
    /// Records that came a second time and are the same.
    pub(super) copies: u64,
    /// Records that were sealed, and opened.
    pub(super) opened: u64,
    /// Records that no key opens.
    pub(super) unopened: u64,
    pub(super) unreadable: Bounded<Unreadable>,
    pub(super) left_out: Bounded<LeftOut>,
    pub(super) files: Bounded<FileRead>,
    /// Behind the last record lies something that may have been one.
    pub(super) doubt_behind: bool,
    /// So does it before the first, and where the log began is not known otherwise.
    pub(super) doubt_before: bool,
    /// Whole records were left out for which nothing stands in the new log.
    pub(super) contradiction: bool,
}

/// What it takes to read an old log.
pub(super) struct Reader<'a> {
    pub(super) log: &'a OldLog,
    pub(super) keys: &'a [OldKey],
    /// Whether what was sealed may be written as the new log's settings have it.
    pub(super) may_write_sealed: bool,
    pub(super) ticker: &'a Ticker,
}

/// A reading under way.
struct Reading<'a> {
    reader: &'a Reader<'a>,
    rebuild: &'a mut Rebuild,
    read: Read,
    /// Where sealed records are, their preamble; the readings that may be it until one opened.
    preambles: Vec<Preamble>,
}

impl Reader<'_> {
    /// Reads all of it.
    ///
    /// # Errors
    /// When a file cannot be read, the new log cannot be written, or a key is missing.
    pub(super) fn read(&self, rebuild: &mut Rebuild) -> Result<Read, Failure> {
        let mut reading =
            Reading { reader: self, rebuild, read: Read::default(), preambles: Vec::new() };
        for file in &self.log.files {
            reading.file(file)?;
        }
        let read = reading.read;
        if read.unopened > 0 && read.opened == 0 {
            return Err(Failure::Refused(anyhow!(
                "none of the {} sealed records can be opened with the key given; nothing was \
                 written, give the right one with --key-file",
                read.unopened
            )));
        }
        Ok(read)
    }
}

impl Reading<'_> {
    fn file(&mut self, file: &OldFile) -> Result<(), Failure> {
        let window = Window::open(&file.path).map_err(Failure::Broken)?;
        let bytes = window.len();
        let mut scan = Scan::new(window);
        self.preambles = scan.preambles()?;
        let mut summary = FileRead { file: file.name.clone(), bytes, ..FileRead::default() };
        while let Some(met) = scan.next()? {
            match met {
                Met::Passed { offset, len, what } => self.passed(file, offset, len, what),
                Met::Record { offset, header } => {
                    summary.records += 1;
                    summary.last_lsn = summary.last_lsn.max(header.lsn);
                    if summary.records == 1 || header.lsn < summary.first_lsn {
                        summary.first_lsn = header.lsn;
                    }
                    self.record(file, &mut scan, offset, &header)?;
                    let records = self.rebuild.records();
                    self.reader.ticker.tick(|| format!("{records} records, {}", file.name));
                }
            }
        }
        self.read.bytes += bytes;
        self.read.files.push(summary);
        Ok(())
    }

    fn passed(&mut self, file: &OldFile, offset: u64, len: u64, what: What) {
        let problem = match what {
            What::Padding => {
                self.read.padding_bytes += len;
                return;
            }
            What::Residue => {
                self.read.residue_bytes += len;
                return;
            }
            What::Zeros => "zeros where a record could be".to_owned(),
            What::Unreadable(problem) => problem.describe(),
        };
        self.rebuild.met(format!("{len} unreadable bytes in {} at byte {offset}", file.name));
        self.doubt();
        let (file, offset_bytes, len_bytes) = (file.name.clone(), offset, len);
        self.read.unreadable.push(Unreadable { file, offset_bytes, len_bytes, problem });
    }

    fn doubt(&mut self) {
        self.read.doubt_behind = true;
        self.read.doubt_before |= self.rebuild.may_begin_later();
    }

    fn record(
        &mut self,
        file: &OldFile,
        scan: &mut Scan,
        offset: u64,
        header: &Header,
    ) -> Result<(), Failure> {
        let record = scan.record(offset, header)?;
        let clear;
        let payload = if header.sealed {
            self.check_may_open(file)?;
            match open(self.reader.keys, &mut self.preambles, record) {
                Some(opened) => {
                    self.read.opened += 1;
                    clear = opened;
                    &*clear
                }
                None => {
                    self.unopened(file, offset, header.lsn);
                    return Ok(());
                }
            }
        } else {
            &record[HEADER_LEN..]
        };
        let known = RecordHeader {
            kind: RecordKind::new(header.kind),
            tenant: header.tenant,
            vshard: header.vshard,
            database: header.database,
        };
        let offered = self.rebuild.offer(Found { lsn: header.lsn, header: known, payload })?;
        self.note(file, offset, header.lsn, offered);
        Ok(())
    }

    fn note(&mut self, file: &OldFile, offset: u64, lsn: u64, offered: Offered) {
        let problem = match offered {
            Offered::Taken => {
                // Between two records what is missing is known by their LSNs.
                self.read.doubt_behind = false;
                return;
            }
            Offered::Copy => {
                self.read.copies += 1;
                return;
            }
            Offered::Differs => "another record has its LSN",
            Offered::NotCompared => {
                "a record that was met long before has its LSN, and may or may not be the same"
            }
            Offered::TooLate => "it comes so late that a NOOP has taken its place",
            Offered::TooEarly => "the log begins behind it",
            Offered::Impossible => "no record can have this LSN",
        };
        self.read.contradiction |= offered != Offered::TooLate;
        self.leave_out(file, offset, lsn, problem);
    }

    fn leave_out(&mut self, file: &OldFile, offset_bytes: u64, lsn: u64, problem: &str) {
        let (file, problem) = (file.name.clone(), problem.to_owned());
        self.read.left_out.push(LeftOut { file, offset_bytes, lsn, problem });
    }

    fn check_may_open(&self, file: &OldFile) -> Result<(), Failure> {
        let refuse = |what: &str| Err(Failure::Refused(anyhow!("{} {what}", file.name)));
        if self.reader.keys.is_empty() {
            return refuse("holds sealed records; give the old log's key with --key-file");
        }
        if !self.reader.may_write_sealed {
            return refuse(
                "holds sealed records, and the new log would hold them in clear; give it a key with \
                 --new-key-file, or say --in-clear",
            );
        }
        Ok(())
    }

    fn unopened(&mut self, file: &OldFile, offset: u64, lsn: u64) {
        self.read.unopened += 1;
        self.doubt();
        let reason = "sealed with another key, altered, or behind a damaged preamble";
        self.rebuild.met(format!("records in {} that no key opens", file.name));
        self.leave_out(file, offset, lsn, reason);
    }
}

/// Tries each key with each reading of the preamble, and keeps to the reading that opened a record.
fn open(keys: &[OldKey], preambles: &mut Vec<Preamble>, record: &[u8]) -> Option<Vec<u8>> {
    for &preamble in &*preambles {
        for key in keys {
            if let Some(payload) = key.open(preamble, record) {
                *preambles = vec![preamble];
                return Some(payload);
            }
        }
    }
    None
}
