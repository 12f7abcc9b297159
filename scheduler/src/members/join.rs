//! Taking tenants in and letting them go.
//!
//! A tenant is a process image that holds the lock of its slot ([`region::Region::join`]). The lock alone says whether it
//! lives; its process id only serves to be woken when the process ends, and to be shown.

use super::death::DeathWatch;
use region::{Class, Layout, Region, SLOTS, Slot, Tenure};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

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

/// A tenant that was taken in.
struct Member {
    tenure: Tenure,
    /// Rings the bell at the end of the process, for as long as it is open. `None` where the system refused it: the end is
    /// then found by the next look.
    _pidfd: Option<OwnedFd>,
}

/// The tenants by slot, and those that live.
pub(crate) struct Members {
    known: Vec<Option<Member>>,
    live: Vec<Live>,
}

impl Members {
    pub(crate) fn new() -> Self {
        Members { known: (0..SLOTS).map(|_| None).collect(), live: Vec::with_capacity(SLOTS) }
    }

    /// Those that live, as [`Members::read`] last found them.
    pub(crate) fn live(&self) -> &[Live] {
        &self.live
    }

    /// Takes newcomers in. True if there were any. `forget` is told each slot whose former holder does not count any more.
    pub(crate) fn meet(&mut self, layout: &Layout, watch: &DeathWatch, forget: &mut dyn FnMut(usize)) -> bool {
        let mut joined = false;
        for (index, (slot, known)) in layout.slots.iter().zip(&mut self.known).enumerate() {
            let tenure = slot.tenure();
            if tenure == known.as_ref().map(|member| member.tenure) {
                continue;
            }
            if known.take().is_some() {
                forget(index);
            }
            *known = tenure.map(|tenure| Member { tenure, _pidfd: watch_process(tenure.pid(), watch) });
            joined |= tenure.is_some();
        }
        joined
    }

    /// Frees the slots of images that are gone.
    pub(crate) fn part(&mut self, region: &Region, forget: &mut dyn FnMut(usize)) {
        for (index, known) in self.known.iter_mut().enumerate() {
            if known.is_some() && region.end_if_gone(index) {
                *known = None;
                forget(index);
            }
        }
    }

    /// Tells all members that they are taken in: what there is for them was published before, and what a former holder of
    /// their slot was told is taken back.
    pub(crate) fn welcome(&self, layout: &Layout) {
        for (slot, known) in layout.slots.iter().zip(&self.known) {
            if let Some(member) = known {
                slot.orders.notice(member.tenure);
            }
        }
    }

    /// Reads what the living say of themselves.
    pub(crate) fn read(&mut self, layout: &Layout) {
        self.live.clear();
        let held = self.known.iter().enumerate().filter(|(_, known)| known.is_some());
        self.live.extend(held.map(|(slot, _)| {
            let tenant = &layout.slots[slot].tenant;
            Live { slot, class: tenant.class(), weight: tenant.weight() }
        }));
    }

    /// Whether the slots are held by others than those known. Changes nothing: for a last look before sleeping.
    pub(crate) fn has_news(&self, layout: &Layout) -> bool {
        let known = self.known.iter().map(|known| known.as_ref().map(|member| member.tenure));
        layout.slots.iter().map(Slot::tenure).ne(known)
    }
}

/// Has the bell rung at the end of a process, as far as the system can and this process may see that one.
fn watch_process(pid: u32, watch: &DeathWatch) -> Option<OwnedFd> {
    // SAFETY: pidfd_open takes two integers.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = RawFd::try_from(opened).ok().filter(|&fd| fd >= 0)?;
    // SAFETY: a fresh descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(fd) };
    watch.add_process(&pidfd).ok().map(|()| pidfd)
}
