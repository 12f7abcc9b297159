//! The kernel that copies, in each context that needs it.

use crate::log::warning;
use crate::real;
use abi::cuda::*;
use std::ffi::{c_uint, c_void};
use units::Bytes;

const MODULE: &str = concat!(include_str!("../ferry.ptx"), "\0");
const BLOCKS: c_uint = 2;
const THREADS: c_uint = 512;
/// What the kernel moves at a time.
pub(super) const UNIT: u64 = 16;

/// What the kernel is to do. All addresses are the device's.
pub(super) struct Order {
    pub(super) to: CUdeviceptr,
    pub(super) from: CUdeviceptr,
    pub(super) bytes: Bytes,
    /// Those of the handover.
    pub(super) words: CUdeviceptr,
    pub(super) ticket: u32,
}

/// Launches the kernel in a stream of its context; whether that was done.
pub(super) fn launch(function: CUfunction, stream: CUstream, order: &Order) -> bool {
    let Some(launch) = real::cuLaunchKernel.get() else { return false };
    let bytes = order.bytes.get();
    let Order { mut to, mut from, mut words, mut ticket, .. } = *order;
    let (mut whole, mut rest) = (bytes / UNIT * UNIT, (bytes % UNIT) as u32);
    let mut arguments: [*mut c_void; 6] = [
        (&raw mut to).cast(),
        (&raw mut from).cast(),
        (&raw mut whole).cast(),
        (&raw mut rest).cast(),
        (&raw mut words).cast(),
        (&raw mut ticket).cast(),
    ];
    // SAFETY: the kernel's parameters are these six; both ranges are mapped for the device as a whole, and the program
    // gave them to this copy until its stream is past it, which waits for the kernel's answer. The words live for ever.
    let launched = unsafe {
        launch(function, BLOCKS, 1, 1, THREADS, 1, 1, 0, stream, arguments.as_mut_ptr(), std::ptr::null_mut())
    };
    launched == CUDA_SUCCESS
}

/// Loads the kernel in the current context.
pub(super) fn load() -> Option<CUfunction> {
    let (mut module, mut function) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the text ends with a NUL; the function writes a handle.
    let loaded = unsafe { real::cuModuleLoadData.get()?(&mut module, MODULE.as_ptr().cast()) };
    if loaded != CUDA_SUCCESS {
        warning!("copies go by the copy engine alone: the driver does not take the kernel for them (error {loaded})");
        return None;
    }
    // SAFETY: the module was loaded just now, and the name ends with a NUL.
    let found = unsafe { real::cuModuleGetFunction.get()?(&mut function, module, c"missile_ferry".as_ptr()) };
    (found == CUDA_SUCCESS).then_some(function)
}
