//! A log driven by its owner without waiting: submit, poll, and a descriptor for an event loop. One
//! thread does it all, with several batches in flight.

use std::os::fd::BorrowedFd;

use super::SegmentedWal;
use crate::{
    error::{Result, WalError},
    level::Reach,
    lsn::Lsn,
};

impl SegmentedWal {
    /// Sends what has been appended on its way to durability and returns without waiting for it,
    /// with the last LSN that is on its way. With the io_uring engine up to `pipeline_depth` batches
    /// are in flight at once, and what goes beyond them is started by [`SegmentedWal::poll`]; the
    /// blocking engine writes here and now.
    ///
    /// One thread does it all in this way, without a lock or a second thread:
    ///
    /// ```no_run
    /// # fn example(mut wal: plimsoll::SegmentedWal) -> Result<(), plimsoll::WalError> {
    /// # use plimsoll::{Record, RecordKind};
    /// let lsn = wal.append(&Record::new(RecordKind::PUT, b"k=v"))?;
    /// wal.submit()?; // returns at once
    /// // … something else, until `wal.completion_fd()` is readable …
    /// if wal.poll()? >= lsn {
    ///     println!("record {lsn} survives power loss");
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`SegmentedWal::sync`].
    pub fn submit(&mut self) -> Result<Lsn> {
        self.submit_to(Reach::Durable)
    }

    /// As [`SegmentedWal::submit`], but only to the device, which may lose it with its power: no
    /// flush follows. [`SegmentedWal::written_lsn`] says when it is there; the next
    /// [`SegmentedWal::submit`] or [`SegmentedWal::sync`] makes it durable, too.
    ///
    /// # Errors
    ///
    /// As [`SegmentedWal::sync`].
    pub fn submit_written(&mut self) -> Result<Lsn> {
        self.submit_to(Reach::Written)
    }

    fn submit_to(&mut self, reach: Reach) -> Result<Lsn> {
        self.check_thread()?;
        self.writer.check()?;
        self.seal(reach);
        if reach == Reach::Durable {
            self.writer.want_durable();
        }
        self.start_what_fits()?;
        Ok(self.next_lsn().previous())
    }

    /// Takes in what the device has completed, starts what waits for it, and returns the durable
    /// LSN. Does not wait; with the io_uring engine it often needs no system call.
    ///
    /// # Errors
    ///
    /// As [`SegmentedWal::sync`].
    pub fn poll(&mut self) -> Result<Lsn> {
        self.check_thread()?;
        self.writer.check()?;
        self.start_what_fits()?;
        Ok(self.durable_lsn())
    }

    /// Waits until everything up to `lsn` is durable and returns the durable LSN, which may be
    /// higher. What was appended after `lsn` may stay in memory.
    ///
    /// # Errors
    ///
    /// As [`SegmentedWal::sync`]; [`WalError::NotAppended`] for an LSN that no record has yet.
    pub fn wait(&mut self, lsn: Lsn) -> Result<Lsn> {
        if lsn > self.next_lsn().previous() {
            return Err(WalError::NotAppended { lsn, next_lsn: self.next_lsn() });
        }
        self.check_thread()?;
        self.writer.check()?;
        if self.writer.submitted_lsn() < lsn {
            self.seal(Reach::Durable);
        }
        self.writer.want_durable();
        self.start_what_fits()?;
        while self.durable_lsn() < lsn {
            self.writer.wait_one()?;
            self.start_what_fits()?;
        }
        Ok(self.durable_lsn())
    }

    /// A descriptor that becomes readable when [`SegmentedWal::poll`] has something to take in, to
    /// be watched by an event loop (epoll(7), another io_uring). It belongs to the log and is
    /// cleared by it; do not read it. It may be readable for nothing.
    ///
    /// # Errors
    ///
    /// [`WalError::Io`] if the kernel has no descriptor to spare.
    pub fn completion_fd(&mut self) -> Result<BorrowedFd<'_>> {
        let path = self.log.directory.path().to_owned();
        self.writer.completion_fd().map_err(WalError::io("make a completion descriptor for", path))
    }
}
