//! Executable graphs: what their copies move is looked at when they are made, and counted at each launch.

use crate::{fault, graphs};
use abi::cuda::*;

/// A graph is made executable.
pub(crate) fn instantiate(forward: impl FnOnce() -> CUresult, exec: *mut CUgraphExec, graph: CUgraph) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS && !exec.is_null() {
        // SAFETY: where the driver succeeded, it wrote the executable graph here.
        let exec = unsafe { exec.read_unaligned() };
        fault::shielded(|| graphs::made(exec, graph));
    }
    result
}

/// An executable graph becomes that of `graph`.
pub(crate) fn update_all(forward: impl FnOnce() -> CUresult, exec: CUgraphExec, graph: CUgraph) -> CUresult {
    let result = forward();
    if result == CUDA_SUCCESS {
        fault::shielded(|| graphs::made(exec, graph));
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
        // SAFETY: the function's contract; as the program may, unaligned.
        let copy = unsafe { copy.read_unaligned() };
        fault::shielded(|| graphs::changed(exec, node, &copy));
    }
    result
}

/// An executable graph is destroyed.
pub(crate) fn destroy_exec(forward: impl FnOnce() -> CUresult, exec: CUgraphExec) -> CUresult {
    // Before the driver may give its handle to another.
    fault::shielded(|| graphs::gone(exec));
    forward()
}
