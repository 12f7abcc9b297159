//! Who holds the slots of the region, and whether they still live.

use crate::watch::DeathWatch;
use region::{Class, Layout, SLOTS, Slot};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A tenant that lives, as it describes itself now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Live {
    /// Its slot.
    pub(crate) slot: usize,
    /// Its class, once it has filled in its part.
    pub(crate) class: Option<Class>,
    /// Its weight.
    pub(crate) weight: u32,
}

/// A process that holds a slot.
struct Watched {
    pid: u32,
    /// `None` where the system refused a descriptor although the process is there; it is asked for again.
    pidfd: Option<OwnedFd>,
}

/// What the system says of a process id.
enum Found {
    Alive(Option<OwnedFd>),
    Gone,
}

/// The processes that hold slots.
pub(crate) struct Tenants {
    watched: Vec<Option<Watched>>,
    live: Vec<Live>,
}

impl Tenants {
    pub(crate) fn new() -> Self {
        Tenants { watched: (0..SLOTS).map(|_| None).collect(), live: Vec::with_capacity(SLOTS) }
    }

    /// Those that live, as [`Tenants::read`] last found them.
    pub(crate) fn live(&self) -> &[Live] {
        &self.live
    }

    /// Notices new claims. True if there were any. `forget` is told each slot whose former holder no longer counts.
    pub(crate) fn notice_claims(&mut self, layout: &Layout, watch: &DeathWatch, forget: &mut dyn FnMut(usize)) -> bool {
        let mut joined = false;
        for (index, slot) in layout.slots.iter().enumerate() {
            let (claimed, known) = (slot.pid(), self.watched[index].as_ref().map(|watched| watched.pid));
            if claimed == known {
                continue;
            }
            // Only the arbiter frees slots, so a claim that changed under a known tenant was overwritten: what counts
            // is the process that the slot names now.
            if self.watched[index].take().is_some() {
                forget(index);
            }
            let Some(pid) = claimed else { continue };
            joined = true;
            match find(pid, watch) {
                Found::Alive(pidfd) => self.watched[index] = Some(Watched { pid, pidfd }),
                Found::Gone => release(slot, index, pid, forget),
            }
        }
        joined
    }

    /// Frees the slots of those that died.
    pub(crate) fn reap(&mut self, layout: &Layout, watch: &DeathWatch, forget: &mut dyn FnMut(usize)) {
        for (index, slot) in layout.slots.iter().enumerate() {
            let Some(watched) = &mut self.watched[index] else { continue };
            let died = match &watched.pidfd {
                Some(pidfd) => has_ended(pidfd.as_raw_fd()),
                None => match find(watched.pid, watch) {
                    Found::Alive(pidfd) => {
                        watched.pidfd = pidfd;
                        false
                    }
                    Found::Gone => true,
                },
            };
            if died {
                let pid = watched.pid;
                self.watched[index] = None;
                release(slot, index, pid, forget);
            }
        }
    }

    /// Reads what the living say of themselves.
    pub(crate) fn read(&mut self, layout: &Layout) {
        self.live.clear();
        let held = self.watched.iter().enumerate().filter(|(_, watched)| watched.is_some());
        self.live.extend(held.map(|(slot, _)| {
            let tenant = &layout.slots[slot].tenant;
            Live { slot, class: tenant.class(), weight: tenant.weight() }
        }));
    }

    /// Whether the claims in the region are not the ones known. Changes nothing: for a last look before sleeping.
    pub(crate) fn has_news(&self, layout: &Layout) -> bool {
        let known = self.watched.iter().map(|watched| watched.as_ref().map(|watched| watched.pid));
        layout.slots.iter().map(Slot::pid).ne(known)
    }
}

/// Frees the slot if it still is that process's.
fn release(slot: &Slot, index: usize, pid: u32, forget: &mut dyn FnMut(usize)) {
    forget(index);
    if slot.pid() == Some(pid) {
        slot.release();
    }
}

/// Looks for a process, and has the watch tell when it ends.
fn find(pid: u32, watch: &DeathWatch) -> Found {
    // SAFETY: pidfd_open takes two integers.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if let Ok(fd) = RawFd::try_from(opened)
        && fd >= 0
    {
        // SAFETY: a fresh descriptor that nobody else owns.
        let pidfd = unsafe { OwnedFd::from_raw_fd(fd) };
        // Without the watch the death is found by the look that is taken every second.
        let _ = watch.add_process(&pidfd);
        return Found::Alive(Some(pidfd));
    }
    match io::Error::last_os_error().raw_os_error() {
        // No such process, or a number that is no process's: negative, or a mere thread's.
        Some(libc::ESRCH | libc::EINVAL | libc::ENOENT) => Found::Gone,
        // Out of descriptors, or a kernel without pidfd: the process is asked about by number for the time being.
        // SAFETY: signal 0 is not delivered; the call only says whether the process exists.
        _ if unsafe { libc::kill(pid.cast_signed(), 0) } != 0
            && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH) =>
        {
            Found::Gone
        }
        _ => Found::Alive(None),
    }
}

fn has_ended(pidfd: RawFd) -> bool {
    let mut asked = libc::pollfd { fd: pidfd, events: libc::POLLIN, revents: 0 };
    // SAFETY: `asked` is one live pollfd; the timeout is zero.
    unsafe { libc::poll(&mut asked, 1, 0) == 1 && asked.revents & libc::POLLIN != 0 }
}
