//! The thread that sleeps until a tenant's process ends or the arbiter is asked to end, and then rings the arbiter's bell.
//!
//! The arbiter sleeps on a futex, which the bell's ringers reach without a system call while it is awake; process file
//! descriptors cannot wake a futex. This thread is the bridge, and costs nothing while nobody dies.

use crate::error::ArbiterError;
use crate::stop::{Event, Stop};
use region::Doorbell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

const DEATH: u64 = 0;
const STOP: u64 = 1;
const END: u64 = 2;

/// The descriptors waited for, and what was heard.
pub(crate) struct DeathWatch {
    epoll: OwnedFd,
    end: Event,
    deaths: AtomicBool,
}

impl DeathWatch {
    pub(crate) fn new(stop: &Stop) -> Result<Self, ArbiterError> {
        let failed = |what| move |error| ArbiterError::Watch { what, error };
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(failed("epoll")(io::Error::last_os_error()));
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        let end = Event::new().map_err(failed("eventfd"))?;
        let watch = DeathWatch { epoll, end, deaths: AtomicBool::new(false) };
        watch.add(stop.event(), STOP).map_err(failed("epoll_ctl"))?;
        watch.add(&watch.end, END).map_err(failed("epoll_ctl"))?;
        Ok(watch)
    }

    /// Watches a process until its descriptor is closed.
    pub(crate) fn add_process(&self, pidfd: &OwnedFd) -> io::Result<()> {
        self.add(pidfd, DEATH)
    }

    /// Whether a process died since this was last asked.
    pub(crate) fn take_deaths(&self) -> bool {
        self.deaths.load(Ordering::SeqCst) && self.deaths.swap(false, Ordering::SeqCst)
    }

    /// Whether a process died that was not asked about yet.
    pub(crate) fn has_deaths(&self) -> bool {
        self.deaths.load(Ordering::SeqCst)
    }

    /// The thread: rings the bell for each event until [`DeathWatch::end`].
    pub(crate) fn ring_until_end(&self, bell: &Doorbell) {
        loop {
            let mut event = libc::epoll_event { events: 0, u64: 0 };
            // SAFETY: `event` has room for the one event asked for.
            let got = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), &mut event, 1, -1) };
            if got < 1 {
                // A signal; any other failure cannot mend itself, and the arbiter looks by itself once a second.
                if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return;
            }
            match event.u64 {
                END => return,
                DEATH => self.deaths.store(true, Ordering::SeqCst),
                _ => {}
            }
            bell.ring_loudly();
        }
    }

    /// Ends the thread.
    pub(crate) fn end(&self) {
        self.end.signal();
    }

    /// Adds a descriptor that is reported once: the arbiter then looks at all slots, so there is nothing to re-arm.
    fn add(&self, fd: &impl AsFd, what: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLONESHOT) as u32, u64: what };
        let fd = fd.as_fd().as_raw_fd();
        // SAFETY: both descriptors are open and `event` is live.
        match unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Ends the thread when dropped, also when the arbiter unwinds: the scope that joins the thread would wait for ever.
pub(crate) struct EndOnDrop<'a>(pub(crate) &'a DeathWatch);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
