//! Host memory that the device can reach: allocated by the driver, or the program's own, registered.
//!
//! The device sees it at the host's address.

use super::{Outcome, capture, current, init::driver, lock, put};
use abi::cuda::*;
use std::collections::BTreeMap;
use std::ffi::{c_uint, c_void};
use std::sync::Mutex;

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

fn alloc(address: *mut *mut c_void, bytes: usize, flags: c_uint) -> Outcome {
    current::context()?;
    if address.is_null() || bytes == 0 || bytes > isize::MAX as usize || flags & !ALLOC_FLAGS != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    capture::forbid()?;
    // SAFETY: a fresh private anonymous mapping at an address of the kernel's choice harms nothing that exists.
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
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(address, found) }
}

/// Takes a stretch from the books, which must begin at `address`.
fn remove(address: *mut c_void, ours: bool, otherwise: CUresult) -> Outcome<Pinned> {
    let mut pinned = lock(&PINNED);
    match pinned.get(&(address as usize)) {
        Some(found) if found.ours == ours => pinned.remove(&(address as usize)).ok_or(otherwise),
        _ => Err(otherwise),
    }
}

/// cuda.h: all of `CU_MEMHOSTALLOC_…`, and of `CU_MEMHOSTREGISTER_…` without `_IOMEMORY`, of which there is none here.
const ALLOC_FLAGS: c_uint = 7;
const REGISTER_FLAGS: c_uint = 0b1011;

fn register(address: *mut c_void, bytes: usize, flags: c_uint) -> Outcome {
    current::context()?;
    let start = address as usize;
    let end = start.checked_add(bytes).filter(|_| bytes <= isize::MAX as usize).ok_or(CUDA_ERROR_INVALID_VALUE)?;
    if address.is_null() || bytes == 0 || flags & !REGISTER_FLAGS != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    if driver()?.memory.was_given_out(units::DeviceVa::new(start as u64)) || !is_mapped(start, bytes) {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let mut pinned = lock(&PINNED);
    if pinned.range(..end).next_back().is_some_and(|(&other, found)| other + found.bytes > start) {
        return Err(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    }
    pinned.insert(start, Pinned { bytes, ours: false, flags });
    Ok(())
}

export! {
    fn cuMemHostAlloc(address: *mut *mut c_void, bytes: usize, flags: c_uint) {
        alloc(address, bytes, flags)
    }

    fn cuMemAllocHost_v2(address: *mut *mut c_void, bytes: usize) {
        alloc(address, bytes, 0)
    }

    /// Waits for all work of the context first: a copy may still use the memory.
    fn cuMemFreeHost(address: *mut c_void) {
        let context = current::context()?;
        if address.is_null() {
            return Ok(());
        }
        find(address as usize).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        context.synchronize_alone()?;
        let found = remove(address, true, CUDA_ERROR_INVALID_VALUE)?;
        // SAFETY: the stretch is one of `alloc`, was just taken from the books, and no command uses it any more; the
        // program gave up its own use with this call.
        unsafe { libc::munmap(address, found.bytes) };
        Ok(())
    }

    fn cuMemHostRegister(p: *mut c_void, bytes: usize, flags: c_uint) {
        register(p, bytes, flags)
    }

    fn cuMemHostRegister_v2(p: *mut c_void, bytes: usize, flags: c_uint) {
        register(p, bytes, flags)
    }

    fn cuMemHostUnregister(address: *mut c_void) {
        current::context()?;
        remove(address, false, CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED).map(drop)
    }

    fn cuMemHostGetDevicePointer_v2(dptr: *mut CUdeviceptr, address: *mut c_void, flags: c_uint) {
        current::context()?;
        if flags != 0 || find(address as usize).is_none() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands; so below.
        unsafe { put(dptr, address as u64) }
    }

    fn cuMemHostGetFlags(flags: *mut c_uint, address: *mut c_void) {
        current::context()?;
        let (start, _) = find(address as usize).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        let found = lock(&PINNED).get(&start).copied().ok_or(CUDA_ERROR_INVALID_VALUE)?;
        // SAFETY: as above.
        unsafe { put(flags, found.flags) }
    }
}
