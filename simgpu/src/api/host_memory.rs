//! The functions of pinned and registered host memory.

use super::put;
use crate::objects::driver::driver;
use crate::objects::{Outcome, capture, current, host_memory};
use abi::cuda::*;
use std::ffi::{c_uint, c_void};

/// cuda.h: all of `CU_MEMHOSTALLOC_…`, and of `CU_MEMHOSTREGISTER_…` without `_IOMEMORY`, of which there is none here.
const ALLOC_FLAGS: c_uint = 7;
const REGISTER_FLAGS: c_uint = 0b1011;

fn alloc(address: *mut *mut c_void, bytes: usize, flags: c_uint) -> Outcome {
    current::context()?;
    if address.is_null() || bytes == 0 || bytes > isize::MAX as usize || flags & !ALLOC_FLAGS != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    capture::forbid()?;
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(address, host_memory::alloc(bytes, flags)?) }
}

fn register(address: *mut c_void, bytes: usize, flags: c_uint) -> Outcome {
    current::context()?;
    let start = address as usize;
    start.checked_add(bytes).filter(|_| bytes <= isize::MAX as usize).ok_or(CUDA_ERROR_INVALID_VALUE)?;
    if address.is_null() || bytes == 0 || flags & !REGISTER_FLAGS != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    if driver()?.memory.was_given_out(units::DeviceVa::new(start as u64)) || !host_memory::is_mapped(start, bytes) {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    capture::forbid()?;
    host_memory::register(start, bytes, flags)
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
        host_memory::find(address as usize).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        context.synchronize_alone()?;
        // SAFETY: the program gave up its use of the memory with this call.
        unsafe { host_memory::free(address) }
    }

    fn cuMemHostRegister(p: *mut c_void, bytes: usize, flags: c_uint) {
        register(p, bytes, flags)
    }

    fn cuMemHostRegister_v2(p: *mut c_void, bytes: usize, flags: c_uint) {
        register(p, bytes, flags)
    }

    fn cuMemHostUnregister(address: *mut c_void) {
        current::context()?;
        host_memory::unregister(address)
    }

    fn cuMemHostGetDevicePointer_v2(dptr: *mut CUdeviceptr, address: *mut c_void, flags: c_uint) {
        current::context()?;
        if flags != 0 || host_memory::find(address as usize).is_none() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands; so below.
        unsafe { put(dptr, address as u64) }
    }

    fn cuMemHostGetFlags(flags: *mut c_uint, address: *mut c_void) {
        current::context()?;
        let found = host_memory::flags(address as usize).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        // SAFETY: as above.
        unsafe { put(flags, found) }
    }
}
