//! Streams: work in order, beside the work of other streams.

use crate::{Context, DeviceMemory, DriverError, HostMemory, Kernel, Launch};
use cudarc::driver::{result, sys};
use std::ffi::c_void;

/// A stream. Its work goes on when it is dropped.
#[derive(Debug)]
pub struct Stream {
    handle: sys::CUstream,
    _context: Context,
}

/// A mark in a stream's work, without a time.
#[derive(Debug)]
pub struct Event {
    handle: sys::CUevent,
    _context: Context,
}

// SAFETY: a stream's handle means the same in every thread, and only the driver, which locks, follows it.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}
// SAFETY: as above.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Stream {
    pub(crate) fn create(context: Context) -> Result<Stream, DriverError> {
        let handle = result::stream::create(result::stream::StreamKind::NonBlocking);
        Ok(Stream { handle: handle.map_err(DriverError::of("cuStreamCreate"))?, _context: context })
    }

    pub(crate) fn default_of(context: Context) -> Stream {
        Stream { handle: result::stream::null(), _context: context }
    }

    /// Waits for all work of the stream so far.
    pub fn wait(&self) -> Result<(), DriverError> {
        // SAFETY: the stream is live.
        unsafe { result::stream::synchronize(self.handle) }.map_err(DriverError::of("cuStreamSynchronize"))
    }

    /// Copies all of the host memory to the beginning of the device memory, in the stream.
    pub fn copy_to_device(&self, to: &DeviceMemory, from: &HostMemory) -> Result<(), DriverError> {
        let (to, bytes) = (to.va().get(), from.bytes().as_usize());
        // SAFETY: the host memory has that size and waits for its copies before it is freed; a range that is not all
        // allocated the driver refuses.
        let code = unsafe { sys::cuMemcpyHtoDAsync_v2(to, from.address(), bytes, self.handle) };
        code.result().map_err(DriverError::of("cuMemcpyHtoDAsync"))
    }

    /// Fills all of the host memory from the beginning of the device memory, in the stream.
    pub fn copy_to_host(&self, to: &HostMemory, from: &DeviceMemory) -> Result<(), DriverError> {
        let (from, bytes) = (from.va().get(), to.bytes().as_usize());
        // SAFETY: as above, and nothing but the driver reads or writes the host memory.
        let code = unsafe { sys::cuMemcpyDtoHAsync_v2(to.address(), from, bytes, self.handle) };
        code.result().map_err(DriverError::of("cuMemcpyDtoHAsync"))
    }

    /// Launches a kernel in the stream.
    ///
    /// # Safety
    /// The arguments must be pointers to values of the kernel's parameters, in order and of their types, and the memory
    /// that the kernel follows from there must be allocated until it has ended.
    pub unsafe fn launch(
        &self,
        kernel: &Kernel,
        shape: Launch,
        arguments: &mut [*mut c_void],
    ) -> Result<(), DriverError> {
        let Launch { blocks, threads, shared } = shape;
        let shared = u32::try_from(shared.get()).unwrap_or(u32::MAX);
        let (grid, block) = ((blocks, 1, 1), (threads, 1, 1));
        // SAFETY: kernel and stream are live, and the caller vouches for the arguments, which are read before the call
        // returns.
        let launched = unsafe { result::launch_kernel(kernel.function(), grid, block, shared, self.handle, arguments) };
        launched.map_err(DriverError::of("cuLaunchKernel"))
    }
}

impl Event {
    pub(crate) fn create(context: Context) -> Result<Event, DriverError> {
        let handle = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING);
        Ok(Event { handle: handle.map_err(DriverError::of("cuEventCreate"))?, _context: context })
    }

    /// Has the event happen when the stream's work so far is done.
    pub fn record(&self, stream: &Stream) -> Result<(), DriverError> {
        // SAFETY: both handles are live.
        unsafe { result::event::record(self.handle, stream.handle) }.map_err(DriverError::of("cuEventRecord"))
    }

    /// Waits until the event happens; one that was never recorded has happened.
    pub fn wait(&self) -> Result<(), DriverError> {
        // SAFETY: the event is live.
        unsafe { result::event::synchronize(self.handle) }.map_err(DriverError::of("cuEventSynchronize"))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: the stream is this value's own. A failure leaves it to the end of the context.
            let _ = unsafe { result::stream::destroy(self.handle) };
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: as above.
        let _ = unsafe { result::event::destroy(self.handle) };
    }
}
