//! Memory of the GPU, and host memory that the GPU copies from and to.

use crate::{Context, DriverError};
use cudarc::driver::{result, sys};
use std::ffi::c_void;
use units::{Bytes, DeviceVa};

/// A type any of whose bit patterns is a value, and which has no padding.
///
/// # Safety
/// Both must be so.
pub unsafe trait Word: Copy {}
// SAFETY: an integer has no padding, and every pattern of its bits is a value.
unsafe impl Word for u32 {}
// SAFETY: as above.
unsafe impl Word for u64 {}

/// Device memory, freed on drop when all work of its context is done.
#[derive(Debug)]
pub struct DeviceMemory {
    context: Context,
    va: sys::CUdeviceptr,
    bytes: Bytes,
}

impl DeviceMemory {
    pub(crate) fn allocate(context: Context, bytes: Bytes) -> Result<DeviceMemory, DriverError> {
        // SAFETY: the contents are never taken for more than bytes that are not known.
        let va = unsafe { result::malloc_sync(bytes.as_usize()) };
        Ok(DeviceMemory { context, va: va.map_err(DriverError::of("cuMemAlloc"))?, bytes })
    }

    /// The first address.
    pub fn va(&self) -> DeviceVa {
        DeviceVa::new(self.va)
    }

    /// The size that was asked for.
    pub fn bytes(&self) -> Bytes {
        self.bytes
    }

    /// Copies words to the beginning of the memory; returns when they are there.
    ///
    /// # Panics
    /// If they are more than fit.
    pub fn write<W: Word>(&self, words: &[W]) -> Result<(), DriverError> {
        assert!(size_of_val(words) <= self.bytes.as_usize(), "a copy past the end of device memory");
        // SAFETY: the allocation is live and has room for the slice.
        unsafe { result::memcpy_htod_sync(self.va, words) }.map_err(DriverError::of("cuMemcpyHtoD"))
    }

    /// Copies words from the beginning of the memory; returns when they are there.
    ///
    /// # Panics
    /// If they are more than there are.
    pub fn read<W: Word>(&self, words: &mut [W]) -> Result<(), DriverError> {
        assert!(size_of_val(words) <= self.bytes.as_usize(), "a copy from past the end of device memory");
        // SAFETY: the allocation is live and has as much; any bits that come are words.
        unsafe { result::memcpy_dtoh_sync(words, self.va) }.map_err(DriverError::of("cuMemcpyDtoH"))
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        release_from(&self.context);
        // SAFETY: the address came from `cuMemAlloc`, no wrapper of it is left, and no work uses it. A failure leaves the
        // memory to the end of the context.
        let _ = unsafe { result::free_sync(self.va) };
    }
}

/// Page-locked host memory, which only the driver reads and writes; freed on drop when all work of its
/// context is done.
#[derive(Debug)]
pub struct HostMemory {
    context: Context,
    address: *mut c_void,
    bytes: Bytes,
}

// SAFETY: only the driver follows the address, from any thread.
unsafe impl Send for HostMemory {}
// SAFETY: as above.
unsafe impl Sync for HostMemory {}

impl HostMemory {
    pub(crate) fn allocate(context: Context, bytes: Bytes) -> Result<HostMemory, DriverError> {
        // SAFETY: the contents are never looked at.
        let address = unsafe { result::malloc_host(bytes.as_usize(), 0) };
        Ok(HostMemory { context, address: address.map_err(DriverError::of("cuMemHostAlloc"))?, bytes })
    }

    /// The size that was asked for.
    pub fn bytes(&self) -> Bytes {
        self.bytes
    }

    pub(crate) fn address(&self) -> *mut c_void {
        self.address
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        release_from(&self.context);
        // SAFETY: the address came from `cuMemHostAlloc`, no wrapper of it is left, and no copy of it is on its way.
        let _ = unsafe { result::free_host(self.address) };
    }
}

/// Waits until no work uses memory of the context any more. Fails only with the context, which then takes the memory.
fn release_from(context: &Context) {
    // The thread that drops the memory may have no context.
    let _ = context.enter().and_then(|()| context.synchronize());
}
