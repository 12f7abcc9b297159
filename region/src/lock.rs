//! Locks of single bytes of the region's file, which the kernel ends with the last reference to the open file.
//!
//! They are open-file-description locks: they need no process id that both sides understand, and they end with whatever
//! keeps the file open, however it dies.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The byte whose lock the living arbiter holds.
pub(crate) const ARBITER: i64 = 0;

/// The byte whose lock the tenant in a slot holds.
pub(crate) const fn of_slot(slot: usize) -> i64 {
    1 + slot as i64
}

fn flock(kind: libc::c_int, byte: i64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    }
}

/// Takes a lock; false where another open file has it.
pub(crate) fn take(file: BorrowedFd, byte: i64) -> io::Result<bool> {
    let lock = flock(libc::F_WRLCK, byte);
    // SAFETY: `lock` is a live flock structure.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        error => Err(error),
    }
}

/// Gives a lock back. That it was not held, the only failure, comes to the same.
pub(crate) fn give(file: BorrowedFd, byte: i64) {
    let lock = flock(libc::F_UNLCK, byte);
    // SAFETY: `lock` is a live flock structure.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) };
}

/// Whether another open file holds a lock.
pub(crate) fn is_held(file: BorrowedFd, byte: i64) -> bool {
    let mut lock = flock(libc::F_WRLCK, byte);
    // SAFETY: `lock` is a live flock structure, which the call changes.
    let asked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut lock) };
    asked == 0 && lock.l_type != libc::F_UNLCK as libc::c_short
}
