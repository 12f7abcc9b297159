//! Host memory that the device can reach: allocated by the driver, or the program's own, registered.
//!
//! The device sees it at the host's address.

use super::{Outcome, lock};
use abi::cuda::*;
use std::collections::BTreeMap;
use std::ffi::{c_uint, c_void};
use std::sync::Mutex;

/// A pointer of the program's that goes to a worker thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostPointer(pub(crate) *mut u8);

// SAFETY: the pointer is only an address here; the program promised with the call that the memory behind it may be
// used by the device until the command is done, whatever thread does it.
unsafe impl Send for HostPointer {}
// SAFETY: as above; the pointer is never read through a shared reference to this.
unsafe impl Sync for HostPointer {}

static PINNED: Mutex<BTreeMap<usize, Pinned>> = Mutex::new(BTreeMap::new());

#[derive(Clone, Copy, Debug)]
struct Pinned {
    bytes: usize,
    /// Whether the driver allocated it, or the program did.
    ours: bool,
    flags: c_uint,
}

/// The pinned stretch that an address lies in: its start and its size.
pub(crate) fn find(address: usize) -> Option<(usize, usize)> {
    let pinned = lock(&PINNED);
    let (&start, found) = pinned.range(..=address).next_back()?;
    (address - start < found.bytes).then_some((start, found.bytes))
}

/// Whether a stretch is pinned as a whole.
pub(crate) fn is_pinned(address: usize, bytes: usize) -> bool {
    find(address).is_some_and(|(start, length)| bytes <= length - (address - start))
}

/// Whether the program has memory at all of a stretch.
pub(crate) fn is_mapped(address: usize, bytes: usize) -> bool {
    const PAGE: usize = 4096;
    let first = address & !(PAGE - 1);
    let Some(end) = address.checked_add(bytes.max(1)).filter(|&end| end <= 1 << 47) else { return false };
    // One byte for each page is the answer; asked for in parts, so that no size needs much room.
    let mut resident = [0u8; 1024];
    (first..end).step_by(PAGE * resident.len()).all(|part| {
        let length = (end - part).min(PAGE * resident.len());
        // SAFETY: looks up pages without touching them, and writes a byte for each, for which there is room.
        unsafe { libc::mincore(part as *mut c_void, length, resident.as_mut_ptr()) == 0 }
    })
}

/// The flags that a pinned stretch was asked for with.
pub(crate) fn flags(address: usize) -> Option<c_uint> {
    let (start, _) = find(address)?;
    lock(&PINNED).get(&start).map(|found| found.flags)
}

/// Makes new pinned memory.
pub(crate) fn alloc(bytes: usize, flags: c_uint) -> Outcome<*mut c_void> {
    // SAFETY: a fresh private anonymous mapping at an address of the host's choice harms nothing that exists.
    let found = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if found == libc::MAP_FAILED {
        return Err(CUDA_ERROR_OUT_OF_MEMORY);
    }
    lock(&PINNED).insert(found as usize, Pinned { bytes, ours: true, flags });
    Ok(found)
}

/// Ends pinned memory of [`alloc`] that no command uses any more.
///
/// # Safety
/// The program gave up its own use of it.
pub(crate) unsafe fn free(address: *mut c_void) -> Outcome {
    let found = remove(address, true, CUDA_ERROR_INVALID_VALUE)?;
    // SAFETY: the stretch is one of `alloc`, was just taken from the books, and nobody uses it any more.
    unsafe { libc::munmap(address, found.bytes) };
    Ok(())
}

/// Takes the program's own memory into the books.
pub(crate) fn register(start: usize, bytes: usize, flags: c_uint) -> Outcome {
    let mut pinned = lock(&PINNED);
    if pinned.range(..start + bytes).next_back().is_some_and(|(&other, found)| other + found.bytes > start) {
        return Err(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    }
    pinned.insert(start, Pinned { bytes, ours: false, flags });
    Ok(())
}

/// Takes it out again.
pub(crate) fn unregister(address: *mut c_void) -> Outcome {
    remove(address, false, CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED).map(drop)
}

/// Takes a stretch from the books, which must begin at `address`.
fn remove(address: *mut c_void, ours: bool, otherwise: CUresult) -> Outcome<Pinned> {
    let mut pinned = lock(&PINNED);
    match pinned.get(&(address as usize)) {
        Some(found) if found.ours == ours => pinned.remove(&(address as usize)).ok_or(otherwise),
        _ => Err(otherwise),
    }
}
