//! Telling an event loop that something has completed: an eventfd(2), made when first asked for.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// A descriptor that is readable while there is something to reap, and at first: what completed
/// before anybody asked for it would never be told otherwise.
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
                let event = EventFd::from_value_and_flags(
                    1,
                    EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK,
                )?;
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

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn is_readable(event: &mut CompletionEvent) -> bool {
        let fd = event.fd(|_| panic!("announced twice")).expect("made already");
        poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::ZERO).expect("poll") == 1
    }

    #[test]
    fn it_is_readable_from_a_signal_until_it_is_cleared() {
        let mut event = CompletionEvent::default();
        event.signal();
        event.clear();
        let mut announced = 0;
        event
            .fd(|_| {
                announced += 1;
                Ok(())
            })
            .expect("a descriptor");
        assert_eq!(announced, 1);
        assert!(is_readable(&mut event), "something may have completed before it was made");
        event.clear();
        assert!(!is_readable(&mut event));
        event.clear();
        event.signal();
        event.signal();
        assert!(is_readable(&mut event));
        event.clear();
        assert!(!is_readable(&mut event), "cleared of both at once");
    }

    #[test]
    fn one_that_could_not_be_announced_is_made_again() {
        let mut event = CompletionEvent::default();
        let refused = event.fd(|_| Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(refused.expect_err("refused").kind(), io::ErrorKind::PermissionDenied);
        assert!(event.fd(|_| Ok(())).is_ok());
        assert!(is_readable(&mut event));
    }
}
