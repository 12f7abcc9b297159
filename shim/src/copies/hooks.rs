//! The hooks of copies, and of graphs that copy.

use super::account::submit;
use super::graphs;
use super::transfer::{self, Transfer};
use crate::base::shield::shielded;
use crate::driver::objects::Moved;
use abi::cuda::*;
use region::Direction;
use std::ffi::c_void;
use units::Bytes;

/// A stretch, or a part of an array, over the bus.
#[inline]
pub(crate) fn over(forward: impl FnOnce() -> CUresult, direction: Direction, bytes: usize) -> CUresult {
    submit(|| Transfer::over(direction, bytes).moved(), forward)
}

/// A stretch between addresses that tell by themselves where they are.
#[inline]
pub(crate) fn unified(
    forward: impl FnOnce() -> CUresult,
    dst: CUdeviceptr,
    src: CUdeviceptr,
    bytes: usize,
) -> CUresult {
    submit(|| Transfer::unified(dst, src, bytes).moved(), forward)
}

/// A copy that stays on devices.
#[inline]
pub(crate) fn within(forward: impl FnOnce() -> CUresult, bytes: usize) -> CUresult {
    submit(|| Moved { within: Bytes::new(bytes as u64), ..Moved::default() }, forward)
}

/// The description of a rectangle or box.
pub(crate) trait Shape: Copy {
    /// The transfer that it describes.
    fn transfer(&self) -> Transfer;
}

impl Shape for CUDA_MEMCPY2D {
    fn transfer(&self) -> Transfer {
        Transfer::rectangle(self)
    }
}

impl Shape for CUDA_MEMCPY3D {
    fn transfer(&self) -> Transfer {
        Transfer::solid(self)
    }
}

impl Shape for CUDA_MEMCPY3D_PEER {
    fn transfer(&self) -> Transfer {
        Transfer::between_devices([self.WidthInBytes, self.Height, self.Depth])
    }
}

/// A rectangle or box.
///
/// # Safety
/// `copy` is null or points to a description.
pub(crate) unsafe fn shaped<T: Shape>(forward: impl FnOnce() -> CUresult, copy: *const T) -> CUresult {
    if copy.is_null() {
        return forward();
    }
    // SAFETY: not null, so a description by the function's contract; as the program may, unaligned.
    let shape = unsafe { copy.read_unaligned() };
    submit(|| shape.transfer().moved(), forward)
}

/// Stretches that the driver takes as one.
///
/// # Safety
/// The arrays are null or have `count` entries.
pub(crate) unsafe fn batch(
    forward: impl FnOnce() -> CUresult,
    dsts: *const CUdeviceptr,
    srcs: *const CUdeviceptr,
    sizes: *const usize,
    count: usize,
) -> CUresult {
    // SAFETY: the function's contract.
    submit(|| unsafe { transfer::batch(dsts, srcs, sizes, count) }, forward)
}

/// Boxes that the driver takes as one.
///
/// # Safety
/// `operations` is null or has `count` entries.
pub(crate) unsafe fn boxes(forward: impl FnOnce() -> CUresult, operations: *const c_void, count: usize) -> CUresult {
    // SAFETY: the function's contract.
    submit(|| unsafe { transfer::boxes(operations, count) }, forward)
}

/// A graph is launched; what its copies move counts as if they were made alone.
#[inline]
pub(crate) fn graph(forward: impl FnOnce() -> CUresult, exec: CUgraphExec) -> CUresult {
    match graphs::moved_by(exec) {
        None => forward(),
        Some(moved) => submit(|| moved, forward),
    }
}

/// A graph is made executable.
///
/// # Safety
/// `exec` is null or where the driver writes a handle, if it succeeds.
pub(crate) unsafe fn instantiate(
    forward: impl FnOnce() -> CUresult,
    exec: *mut CUgraphExec,
    graph: CUgraph,
) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS && !exec.is_null() {
        // SAFETY: the driver returned success, so it wrote the executable graph here.
        let exec = unsafe { exec.read_unaligned() };
        shielded(|| graphs::made(exec, graph));
    }
    result
}

/// An executable graph becomes that of `graph`.
pub(crate) fn update_all(forward: impl FnOnce() -> CUresult, exec: CUgraphExec, graph: CUgraph) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS {
        shielded(|| graphs::made(exec, graph));
    }
    result
}

/// A node of an executable graph gets another copy.
///
/// # Safety
/// `copy` is null or points to a description.
pub(crate) unsafe fn update_copy(
    forward: impl FnOnce() -> CUresult,
    exec: CUgraphExec,
    node: CUgraphNode,
    copy: *const CUDA_MEMCPY3D,
) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS && !copy.is_null() {
        // SAFETY: not null, so a description by the function's contract; as the program may, unaligned.
        let copy = unsafe { copy.read_unaligned() };
        shielded(|| graphs::changed(exec, node, &copy));
    }
    result
}

/// An executable graph is destroyed.
pub(crate) fn destroy_exec(forward: impl FnOnce() -> CUresult, exec: CUgraphExec) -> CUresult {
    graphs::free(exec, forward)
}
