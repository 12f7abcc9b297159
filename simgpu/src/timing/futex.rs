//! Waiting for a word in shared memory to change.

use super::clock::timespec;
use core::sync::atomic::{AtomicU32, Ordering};
use units::Nanos;

/// Changes the word and wakes everybody who waits for it, in all processes.
pub(crate) fn change(word: &AtomicU32) {
    word.fetch_add(1, Ordering::Release);
    // SAFETY: the word is live and aligned; a wake touches nothing else. It is not a private futex, as the waiters are in
    // other processes.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, libc::c_int::MAX) };
}

/// Sleeps until `end`, or until the word is no longer `seen`.
pub(crate) fn wait(word: &AtomicU32, seen: u32, end: Nanos) {
    let end = timespec(end);
    // SAFETY: the word and the time are live for the call. FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time; its
    // last argument, all ones, matches any wake.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT_BITSET,
            seen,
            &end as *const libc::timespec,
            core::ptr::null::<u32>(),
            u32::MAX,
        )
    };
}
