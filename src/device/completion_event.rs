//! Telling an event loop that something has completed: an eventfd(2), made when first asked for.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// A descriptor that is readable while there is something to reap.
#[derive(Debug, Default)]
pub(super) struct CompletionEvent {
    event: Option<EventFd>,
}

impl CompletionEvent {
    /// The descriptor, which `announce` is told of when it is made.
    pub(super) fn fd(
        &mut self,
        announce: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>,
    ) -> io::Result<BorrowedFd<'_>> {
        let event = match self.event.take() {
            Some(event) => event,
            None => {
                let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
                announce(event.as_fd())?;
                event
            }
        };
        let event: &EventFd = self.event.insert(event);
        Ok(event.as_fd())
    }

    /// Something has completed.
    pub(super) fn signal(&self) {
        if let Some(event) = &self.event {
            // Fails only when the count is at its limit, and then it is readable already.
            let _ = event.write(1);
        }
    }

    /// Everything that has completed is about to be taken in.
    pub(super) fn clear(&self) {
        if let Some(event) = &self.event {
            // Fails only when it is clear already.
            let _ = event.read();
        }
    }
}
