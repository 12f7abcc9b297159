//! Noticing that this process is a forked child.
//!
//! CUDA does not survive a fork, and the parent's slot, threads and locks are not the child's. A page marked
//! `MADV_WIPEONFORK` reads as zero in the child, so one load tells, without an atfork handler or a system call.

use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// The page's first word, once it was mapped: 1, and 0 in a child.
static WORD: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());

/// Bytes of a page.
const PAGE: usize = 4096;

fn map() -> Option<&'static AtomicU64> {
    // SAFETY: a fresh private anonymous mapping of one page; nothing else refers to it.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the page was mapped above.
    if unsafe { libc::madvise(address, PAGE, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above; nobody else knows it.
        unsafe { libc::munmap(address, PAGE) };
        return None;
    }
    // SAFETY: the page is zeroed, aligned, lives for ever and is only ever used as this atomic.
    let word = unsafe { &*address.cast::<AtomicU64>() };
    word.store(1, Ordering::Relaxed);
    Some(word)
}

/// Marks this process as the one in which Missile runs. False where a later fork could not be noticed: then Missile
/// must stay out.
pub(crate) fn settle() -> bool {
    if WORD.load(Ordering::Acquire).is_null()
        && let Some(word) = map()
    {
        // Of two threads the later one's page stays, and the other's is never looked at again.
        WORD.store(std::ptr::from_ref(word).cast_mut(), Ordering::Release);
    }
    !WORD.load(Ordering::Acquire).is_null()
}

/// Whether this process is a forked child of the one that settled.
#[inline]
pub(crate) fn is_child() -> bool {
    let word = WORD.load(Ordering::Acquire);
    // SAFETY: null, or the word of a page that is never unmapped.
    let word = unsafe { word.as_ref() };
    !super::inject::is("fork-blind") && word.is_some_and(|word| word.load(Ordering::Relaxed) == 0)
}
