//! The processes that are present: locks on bytes of the state file.
//!
//! Byte `n` stands for slot `n`; the byte behind the last slot is held by whoever changes who is present. These are
//! locks of the open file (`F_OFD_…`), not of the process, because the latter vanish when any descriptor of the file
//! is closed.

use super::MAX_PROCESSES;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

const EVERYBODY: usize = MAX_PROCESSES;

/// Waits until nobody else attaches or reaps, and keeps them from it until [`admit`].
pub(super) fn exclude(file: &File) -> io::Result<()> {
    loop {
        match request(file, libc::F_OFD_SETLKW, libc::F_WRLCK, EVERYBODY, 1) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(drop),
        }
    }
}

/// Ends [`exclude`].
pub(super) fn admit(file: &File) -> io::Result<()> {
    request(file, libc::F_OFD_SETLK, libc::F_UNLCK, EVERYBODY, 1).map(drop)
}

/// Whether any slot is held through another open file.
pub(super) fn anyone(file: &File) -> io::Result<bool> {
    request(file, libc::F_OFD_GETLK, libc::F_WRLCK, 0, MAX_PROCESSES).map(|found| found != libc::F_UNLCK)
}

/// Takes a free slot, if there is one.
pub(super) fn take_slot(file: &File) -> io::Result<Option<usize>> {
    for slot in 0..MAX_PROCESSES {
        match request(file, libc::F_OFD_SETLK, libc::F_WRLCK, slot, 1) {
            Ok(_) => return Ok(Some(slot)),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether a slot is held through another open file. A slot that cannot be asked about counts as held: taking
/// something from the living is worse than leaving something to the dead.
pub(super) fn slot_is_held(file: &File, slot: usize) -> bool {
    slot < MAX_PROCESSES
        && request(file, libc::F_OFD_GETLK, libc::F_WRLCK, slot, 1).map_or(true, |found| found != libc::F_UNLCK)
}

fn request(file: &File, command: i32, kind: i32, first: usize, count: usize) -> io::Result<i32> {
    let mut lock = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: first as libc::off_t,
        l_len: count as libc::off_t,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open for as long as `file`, and the lock commands take a pointer to a `flock` that
    // the call reads and, for GETLK, writes.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), command, &mut lock) };
    if done == 0 { Ok(i32::from(lock.l_type)) } else { Err(io::Error::last_os_error()) }
}
