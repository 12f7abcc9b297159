//! A process image's hold on its slot.
//!
//! The image locks the slot's byte of the region's file through an open file of its own, maps a page of that file, and
//! closes the descriptor. From then on the mapping alone keeps the open file, and with it the lock. So the lock ends when
//! the image does: at an exit, a kill or an `exec`; it does not end when the program closes descriptors that it does not
//! know, and a forked child, which does not get the mapping (`MADV_DONTFORK`), cannot keep it. Nobody needs a process id to
//! see that.

use crate::claim::Tenure;
use crate::lock;
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

/// The bytes that a hold maps and never touches.
const PAGE: usize = 4096;

/// A byte of the file that nobody locks for longer than it takes to try whether its file system keeps locks.
const TRIAL: i64 = lock::of_slot(crate::terms::SLOTS);

/// A process image's hold on its slot. It ends with the image, or when dropped or given up.
#[derive(Debug)]
pub struct Hold {
    slot: usize,
    tenure: Tenure,
    page: AtomicPtr<c_void>,
}

impl Hold {
    /// Keeps the lock that `file` has of a slot.
    pub(crate) fn keep(file: &File, slot: usize, tenure: Tenure) -> io::Result<Hold> {
        let page = map(file)?;
        Ok(Hold { slot, tenure, page: AtomicPtr::new(page.as_ptr()) })
    }

    /// The slot's index.
    pub fn slot(&self) -> usize {
        self.slot
    }

    /// The tenure that began with it.
    pub fn tenure(&self) -> Tenure {
        self.tenure
    }

    /// Gives the slot up, for the arbiter or the next that joins to clear.
    pub fn give_up(&self) {
        if let Some(page) = NonNull::new(self.page.swap(ptr::null_mut(), Ordering::AcqRel)) {
            unmap(page);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Maps a page of the file that keeps it open, in this image alone.
fn map(file: &File) -> io::Result<NonNull<c_void>> {
    // SAFETY: a fresh mapping that allows no access; no address is asked for.
    let page = unsafe { libc::mmap(ptr::null_mut(), PAGE, libc::PROT_NONE, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    let Some(page) = NonNull::new(page).filter(|page| page.as_ptr() != libc::MAP_FAILED) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: the page was mapped above.
    if unsafe { libc::madvise(page.as_ptr(), PAGE, libc::MADV_DONTFORK) } != 0 {
        let error = io::Error::last_os_error();
        unmap(page);
        return Err(error);
    }
    Ok(page)
}

fn unmap(page: NonNull<c_void>) {
    // SAFETY: a page that `map` made, of which nothing is ever read or written, and which its owner forgets here.
    unsafe { libc::munmap(page.as_ptr(), PAGE) };
}

/// Whether the file system of `own`, an open file that nobody else has, keeps a lock for as long as a mapping. Those that
/// map another file than the one that was opened, such as overlayfs, do not. `other` is another open file of the same.
pub(crate) fn is_kept(own: File, other: &File) -> io::Result<bool> {
    if !lock::take(own.as_fd(), TRIAL)? {
        // Another process tries it out at this moment: what it finds holds for this one as well.
        return Ok(true);
    }
    let page = map(&own)?;
    drop(own);
    let kept = lock::is_held(other.as_fd(), TRIAL);
    unmap(page);
    Ok(kept)
}
