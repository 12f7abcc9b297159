//! The primary context of a GPU, and what is made in it.

use crate::{DeviceMemory, DriverError, Event, Gpu, HostMemory, Kernel, Stream};
use cudarc::driver::{result, sys};
use std::ffi::CStr;
use std::ptr::null_mut;
use std::sync::Arc;
use units::Bytes;

/// The primary context of a GPU. Clones are one context, and so is what is made in it: the driver gets it back when the
/// last of all these is dropped.
#[derive(Clone, Debug)]
pub struct Context {
    retained: Arc<Retained>,
}

/// One retention of a primary context.
#[derive(Debug)]
struct Retained {
    gpu: Gpu,
    handle: sys::CUcontext,
}

// SAFETY: a context's handle means the same in every thread, and only the driver, which locks, follows it.
unsafe impl Send for Retained {}
// SAFETY: as above.
unsafe impl Sync for Retained {}

/// Sizes of a GPU's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryInfo {
    /// The memory that nobody has allocated.
    pub free: Bytes,
    /// All memory that the driver gives out.
    pub total: Bytes,
}

impl Context {
    pub(crate) fn retain(gpu: Gpu) -> Result<Context, DriverError> {
        // SAFETY: the device is one that the driver gave.
        let handle = unsafe { result::primary_ctx::retain(gpu.device()) };
        let handle = handle.map_err(DriverError::of("cuDevicePrimaryCtxRetain"))?;
        let context = Context { retained: Arc::new(Retained { gpu, handle }) };
        context.enter()?;
        Ok(context)
    }

    /// The context's GPU.
    pub fn gpu(&self) -> Gpu {
        self.retained.gpu
    }

    /// Makes the context the calling thread's. Every other call here and on what is made in the context is for threads
    /// whose context this is.
    pub fn enter(&self) -> Result<(), DriverError> {
        // SAFETY: the context is retained as long as `self` lives.
        let entered = unsafe { result::ctx::set_current(self.retained.handle) };
        entered.map_err(DriverError::of("cuCtxSetCurrent"))
    }

    /// Waits for all work in the context.
    pub fn synchronize(&self) -> Result<(), DriverError> {
        result::ctx::synchronize().map_err(DriverError::of("cuCtxSynchronize"))
    }

    /// Asks how much memory the GPU has, and how much of it is free.
    pub fn memory_info(&self) -> Result<MemoryInfo, DriverError> {
        let (free, total) = result::mem_get_info().map_err(DriverError::of("cuMemGetInfo"))?;
        Ok(MemoryInfo { free: Bytes::new(free as u64), total: Bytes::new(total as u64) })
    }

    /// Allocates device memory, with contents that are not known.
    pub fn allocate(&self, bytes: Bytes) -> Result<DeviceMemory, DriverError> {
        DeviceMemory::allocate(self.clone(), bytes)
    }

    /// Allocates page-locked host memory.
    pub fn allocate_host(&self, bytes: Bytes) -> Result<HostMemory, DriverError> {
        HostMemory::allocate(self.clone(), bytes)
    }

    /// Loads the kernel of that name from PTX text, with room for dynamic shared memory in each block.
    pub fn kernel(&self, ptx: &CStr, name: &CStr, shared: Bytes) -> Result<Kernel, DriverError> {
        Kernel::load(self.clone(), ptx, name, shared)
    }

    /// Makes a stream that does not wait for the default one.
    pub fn stream(&self) -> Result<Stream, DriverError> {
        Stream::create(self.clone())
    }

    /// The default stream, which other streams wait for unless they were made not to.
    pub fn default_stream(&self) -> Stream {
        Stream::default_of(self.clone())
    }

    /// Makes an event without a time.
    pub fn event(&self) -> Result<Event, DriverError> {
        Event::create(self.clone())
    }
}

impl Drop for Retained {
    fn drop(&mut self) {
        // SAFETY: a null context leaves none current in this thread.
        let _ = unsafe { result::ctx::set_current(null_mut()) };
        // SAFETY: the context was retained once for this value, and nothing made in it is left. A failure is the
        // driver's shutting down, which ends the context as well.
        let _ = unsafe { result::primary_ctx::release(self.gpu.device()) };
    }
}
