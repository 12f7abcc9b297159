//! Types and codes of the CUDA driver API (cuda.h of CUDA 11.8 to 13.5), under the header's own names.
#![allow(non_camel_case_types)]

use core::ffi::{c_int, c_uint, c_void};

mod batch;
mod handles;
mod memory;

pub use batch::*;
pub use handles::*;
pub use memory::*;

/// A result code; [`CUDA_SUCCESS`] or one of the errors below. An integer, not an enum: drivers add codes.
pub type CUresult = c_uint;
/// A device ordinal.
pub type CUdevice = c_int;
/// A virtual address on a device.
pub type CUdeviceptr = u64;
/// A 32-bit virtual address, as before CUDA 3.2 (cuda.h: `CUdeviceptr_v1`).
pub type CUdeviceptr_v1 = c_uint;
/// The handle of a graph's conditional node.
pub type CUgraphConditionalHandle = u64;
/// The number of a logical endpoint.
pub type CUlogicalEndpointId = c_uint;

/// The host function of `cuLaunchHostFunc`, which gets the caller's data.
pub type CUhostFn = Option<unsafe extern "C" fn(data: *mut c_void)>;
/// The host function of `cuStreamAddCallback`, which gets the stream, its status and the caller's data.
pub type CUstreamCallback = Option<unsafe extern "C" fn(stream: CUstream, status: CUresult, data: *mut c_void)>;
/// The callback of `cuStreamBeginRecaptureToGraph` for a node that changed, which gets its old and new parameters.
pub type CUgraphRecaptureCallback = Option<
    unsafe extern "C" fn(
        data: *mut c_void,
        node: CUgraphNode,
        original: *const c_void,
        recaptured: *const c_void,
        status: c_uint,
    ) -> CUresult,
>;

/// The call did what it says.
pub const CUDA_SUCCESS: CUresult = 0;
/// An argument is out of its range.
pub const CUDA_ERROR_INVALID_VALUE: CUresult = 1;
/// Not enough memory.
pub const CUDA_ERROR_OUT_OF_MEMORY: CUresult = 2;
/// `cuInit` was not called, or failed.
pub const CUDA_ERROR_NOT_INITIALIZED: CUresult = 3;
/// The driver is shutting down.
pub const CUDA_ERROR_DEINITIALIZED: CUresult = 4;
/// No device is there.
pub const CUDA_ERROR_NO_DEVICE: CUresult = 100;
/// The device ordinal is out of range.
pub const CUDA_ERROR_INVALID_DEVICE: CUresult = 101;
/// The image is no module.
pub const CUDA_ERROR_INVALID_IMAGE: CUresult = 200;
/// No context is current, or it is gone.
pub const CUDA_ERROR_INVALID_CONTEXT: CUresult = 201;
/// The handle is not one of the driver's.
pub const CUDA_ERROR_INVALID_HANDLE: CUresult = 400;
/// The name was not found.
pub const CUDA_ERROR_NOT_FOUND: CUresult = 500;
/// The work is not finished yet.
pub const CUDA_ERROR_NOT_READY: CUresult = 600;
/// A kernel touched memory that is not mapped.
pub const CUDA_ERROR_ILLEGAL_ADDRESS: CUresult = 700;
/// A launch that takes longer than it may.
pub const CUDA_ERROR_LAUNCH_TIMEOUT: CUresult = 702;
/// The range was registered before.
pub const CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED: CUresult = 712;
/// The range is not registered.
pub const CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED: CUresult = 713;
/// The operation is not supported here.
pub const CUDA_ERROR_NOT_SUPPORTED: CUresult = 801;
/// The system is not ready (what a strict tenant's `cuInit` answers).
pub const CUDA_ERROR_SYSTEM_NOT_READY: CUresult = 802;
/// The operation is not allowed while the stream is captured.
pub const CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED: CUresult = 900;
/// Anything else.
pub const CUDA_ERROR_UNKNOWN: CUresult = 999;

/// The shape and the stream of a `cuLaunchKernelEx` (cuda.h: `CUlaunchConfig`); the attributes are left opaque.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CUlaunchConfig {
    /// Blocks in x.
    pub gridDimX: c_uint,
    /// Blocks in y.
    pub gridDimY: c_uint,
    /// Blocks in z.
    pub gridDimZ: c_uint,
    /// Threads a block in x.
    pub blockDimX: c_uint,
    /// Threads a block in y.
    pub blockDimY: c_uint,
    /// Threads a block in z.
    pub blockDimZ: c_uint,
    /// Dynamic shared memory a block, in bytes.
    pub sharedMemBytes: c_uint,
    /// The stream to launch in.
    pub hStream: CUstream,
    /// `numAttrs` launch attributes of 72 bytes each, or null.
    pub attrs: *mut c_void,
    /// How many attributes there are.
    pub numAttrs: c_uint,
}

const _: () = {
    assert!(size_of::<CUlaunchConfig>() == 56);
    assert!(core::mem::offset_of!(CUlaunchConfig, hStream) == 32);
    assert!(core::mem::offset_of!(CUlaunchConfig, attrs) == 40);
};

/// `cuStreamWaitValue32`: wait until `(int32)(*addr - value) >= 0` (cuda.h: `CU_STREAM_WAIT_VALUE_GEQ`).
pub const CU_STREAM_WAIT_VALUE_GEQ: c_uint = 0;
/// `cuStreamWriteValue32`: write after all earlier work of the stream is visible (`CU_STREAM_WRITE_VALUE_DEFAULT`).
pub const CU_STREAM_WRITE_VALUE_DEFAULT: c_uint = 0;
/// `cuStreamIsCapturing`: the stream is not being captured.
pub const CU_STREAM_CAPTURE_STATUS_NONE: c_uint = 0;
/// `cuThreadExchangeStreamCaptureMode`: calls of this thread do no harm to captures (cuda.h: `CUstreamCaptureMode`).
pub const CU_STREAM_CAPTURE_MODE_RELAXED: c_uint = 2;
/// `cuMemHostRegister`: the memory is seen by every context.
pub const CU_MEMHOSTREGISTER_PORTABLE: c_uint = 1;
/// `cuMemHostRegister`: the memory is mapped into the device's address space.
pub const CU_MEMHOSTREGISTER_DEVICEMAP: c_uint = 2;
/// `cuGetProcAddress`: legacy default stream semantics.
pub const CU_GET_PROC_ADDRESS_LEGACY_STREAM: u64 = 1;
/// `cuGetProcAddress`: per-thread default stream semantics.
pub const CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM: u64 = 2;
