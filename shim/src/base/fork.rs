//! Noticing that this process is a forked child.
//!
//! CUDA does not survive a fork, and the parent's slot, threads and locks are not the child's. A page marked
//! `MADV_WIPEONFORK` reads as zero in the child, so one load tells, without an atfork handler or a system call.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static PAGE: OnceLock<Option<&'static AtomicU64>> = OnceLock::new();

fn page() -> Option<&'static AtomicU64> {
    *PAGE.get_or_init(|| {
        // SAFETY: a fresh private anonymous mapping of one page; nothing else refers to it.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return None;
        }
        // SAFETY: the page was mapped above and is never unmapped.
        if unsafe { libc::madvise(address, 4096, libc::MADV_WIPEONFORK) } != 0 {
            return None;
        }
        // SAFETY: the page is zeroed, aligned, lives for ever and is only ever used as this atomic.
        let word = unsafe { &*address.cast::<AtomicU64>() };
        word.store(1, Ordering::Relaxed);
        Some(word)
    })
}

/// Marks this process as the one in which Missile runs. False where a later fork could not be noticed: then Missile
/// must stay out.
pub(crate) fn settle() -> bool {
    page().is_some()
}

/// Whether this process is a forked child of the one that settled.
#[inline]
pub(crate) fn is_child() -> bool {
    !super::inject::is("fork-blind") && matches!(PAGE.get(), Some(Some(word)) if word.load(Ordering::Relaxed) == 0)
}
