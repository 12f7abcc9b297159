//! A file in memory, shared with the other processes.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use units::Bytes;

/// A shared, writable mapping of a file's beginning.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    bytes: Bytes,
}

// SAFETY: the mapping is memory of the process, not of a thread; what is done through the pointer is the users'
// business, who say at each use why it is sound.
unsafe impl Send for Mapping {}
// SAFETY: as above; a `&Mapping` only hands out the pointer and the length.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first bytes of a file. Room on the file system is taken only as pages are touched.
    pub(super) fn new(file: &File, bytes: Bytes) -> io::Result<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the host's choice disturbs no other memory; the descriptor is
        // open for as long as `file`.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), bytes.as_usize(), protection, flags, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Mapping { start, bytes })
    }

    pub(super) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    pub(super) fn bytes(&self) -> Bytes {
        self.bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is the one that `mmap` returned, and whoever borrowed from it has let go of `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes.as_usize()) };
    }
}
