//! Asking the arbiter to end.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Asks a running arbiter to end. Any thread may, and a signal handler too.
#[derive(Debug)]
pub struct Stop {
    requested: AtomicBool,
    event: Event,
}

impl Stop {
    /// A request that is not made yet.
    pub fn new() -> io::Result<Stop> {
        Ok(Stop { requested: AtomicBool::new(false), event: Event::new()? })
    }

    /// Makes the request. Safe in a signal handler: one store and one `write`.
    pub fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
        self.event.signal();
    }

    /// Whether the request was made.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    pub(crate) fn event(&self) -> &Event {
        &self.event
    }
}

/// An event that happens once: an eventfd that is written and never read.
#[derive(Debug)]
pub(crate) struct Event(OwnedFd);

impl Event {
    pub(crate) fn new() -> io::Result<Event> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(Event(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn signal(&self) {
        let one = 1u64;
        // SAFETY: writes the eight bytes of a live integer. That the counter is full already, the only failure, means
        // that the event is signalled.
        unsafe { libc::write(self.0.as_raw_fd(), std::ptr::from_ref(&one).cast(), size_of::<u64>()) };
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
