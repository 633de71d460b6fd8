//! The first write, flush or directory-sync error is final. Linux reports such an error once and
//! then forgets it (fsync(2), "errors are reported once"; the pages are marked clean), so a retry
//! that succeeds proves nothing. One shared cell remembers the first cause for everybody.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{error::WalError, lsn::Lsn, sync::OnceLock};

/// Whether the log has failed for good, and why. Shared by the writer and the background thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Poison {
    cause: Arc<OnceLock<Cause>>,
}

#[derive(Debug)]
struct Cause {
    operation: &'static str,
    path: PathBuf,
    source: Arc<io::Error>,
}

impl Poison {
    /// Records a failure; only the first one is kept.
    pub(crate) fn set(&self, operation: &'static str, path: &Path, source: io::Error) {
        tracing::error!(operation, path = %path.display(), error = %source, "the log is poisoned");
        // Losing the race means that an earlier cause is already there, which is the one to keep.
        let _ =
            self.cause.set(Cause { operation, path: path.to_owned(), source: Arc::new(source) });
    }

    /// Records a failure and returns the error that everybody gets from now on, which tells of
    /// the first one.
    pub(crate) fn fail(
        &self,
        operation: &'static str,
        path: &Path,
        source: io::Error,
        durable_lsn: Lsn,
    ) -> WalError {
        self.set(operation, path, source);
        self.error(durable_lsn).unwrap_or(WalError::Closed)
    }

    /// Fails if the log is poisoned; the error states `durable_lsn` as what is safe.
    pub(crate) fn check(&self, durable_lsn: Lsn) -> Result<(), WalError> {
        self.error(durable_lsn).map_or(Ok(()), Err)
    }

    fn error(&self, durable_lsn: Lsn) -> Option<WalError> {
        let cause = self.cause.get()?;
        Some(WalError::Poisoned {
            operation: cause.operation,
            path: cause.path.clone(),
            durable_lsn,
            source: Arc::clone(&cause.source),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_stays() {
        let poison = Poison::default();
        assert!(poison.check(Lsn::NONE).is_ok());
        poison.set("flush", Path::new("a"), io::Error::from_raw_os_error(libc::EIO));
        poison.set("write", Path::new("b"), io::Error::from_raw_os_error(libc::ENOSPC));
        match poison.check(Lsn::new(7)) {
            Err(WalError::Poisoned { operation, durable_lsn, source, .. }) => {
                assert_eq!((operation, durable_lsn), ("flush", Lsn::new(7)));
                assert_eq!(source.raw_os_error(), Some(libc::EIO));
            }
            other => panic!("{other:?}"),
        }
    }
}
