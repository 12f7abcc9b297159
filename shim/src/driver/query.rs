//! Questions that the library asks the driver for itself, on the calling thread and in its current context.
//!
//! Every answer is an `Option` or the driver's own error: a driver without the function is one that does not say.

use super::calls;
use abi::cuda::*;
use std::ffi::{c_int, c_uint};
use units::{Bytes, DeviceVa};

/// A result as Rust has it; the error is the driver's code.
pub(crate) fn checked(result: CUresult) -> Result<(), CUresult> {
    if result == CUDA_SUCCESS { Ok(()) } else { Err(result) }
}

/// The device of the current context.
pub(crate) fn current_device() -> Option<CUdevice> {
    let mut device: CUdevice = -1;
    // SAFETY: the function writes a device ordinal.
    (unsafe { calls::cuCtxGetDevice.get()?(&mut device) } == CUDA_SUCCESS).then_some(device)
}

/// The current context.
pub(crate) fn current_context() -> Option<CUcontext> {
    let mut context = CUcontext::NULL;
    // SAFETY: the function writes a handle.
    let asked = unsafe { calls::cuCtxGetCurrent.get()?(&mut context) };
    (asked == CUDA_SUCCESS && !context.is_null()).then_some(context)
}

/// The context of a stream that the program made and that lives.
pub(crate) fn context_of(stream: CUstream) -> Option<CUcontext> {
    let mut context = CUcontext::NULL;
    // SAFETY: the function writes a handle.
    (unsafe { calls::cuStreamGetCtx.get()?(stream, &mut context) } == CUDA_SUCCESS).then_some(context)
}

/// The context of a green context.
pub(crate) fn context_of_green(green: CUgreenCtx) -> Option<CUcontext> {
    let mut context = CUcontext::NULL;
    // SAFETY: the function writes a handle.
    (unsafe { calls::cuCtxFromGreenCtx.get()?(&mut context, green) } == CUDA_SUCCESS).then_some(context)
}

/// Whether the primary context of a device lives; `None` where the driver does not say.
pub(crate) fn primary_is_active(device: CUdevice) -> Option<bool> {
    let (mut flags, mut active) = (0, 0);
    // SAFETY: the function writes two numbers.
    let asked = unsafe { calls::cuDevicePrimaryCtxGetState.get()?(device, &mut flags, &mut active) };
    (asked == CUDA_SUCCESS).then_some(active != 0)
}

/// The number of devices that the process sees; 0 where the driver does not say.
pub(crate) fn devices() -> c_int {
    let mut count = 0;
    // SAFETY: the function writes a count.
    match calls::cuDeviceGetCount.get().map(|ask| unsafe { ask(&mut count) }) {
        Some(CUDA_SUCCESS) => count,
        _ => 0,
    }
}

/// cuda.h: `CU_DEVICE_ATTRIBUTE_MPS_ENABLED`, since CUDA 12.5.
const MPS_ENABLED: c_int = 133;

/// Whether this process is a client of MPS; `None` where the driver does not say.
pub(crate) fn is_under_mps() -> Option<bool> {
    let mut value = 0;
    // SAFETY: the function writes a number.
    let asked = unsafe { calls::cuDeviceGetAttribute.get()?(&mut value, MPS_ENABLED, current_device()?) };
    (asked == CUDA_SUCCESS).then_some(value != 0)
}

/// The UUID of a device.
pub(crate) fn uuid(device: CUdevice) -> Option<[u8; 16]> {
    let mut uuid = [0; 16];
    // SAFETY: the function writes 16 bytes.
    (unsafe { calls::cuDeviceGetUuid_v2.get()?(&mut uuid, device) } == CUDA_SUCCESS).then_some(uuid)
}

/// Free and total VRAM of the current context's device.
pub(crate) fn memory() -> Option<(Bytes, Bytes)> {
    let (mut free, mut total) = (0usize, 0usize);
    // SAFETY: the function writes two sizes.
    let asked = unsafe { calls::cuMemGetInfo_v2.get()?(&mut free, &mut total) };
    (asked == CUDA_SUCCESS).then(|| (Bytes::new(free as u64), Bytes::new(total as u64)))
}

/// The pool that the current device allocates from.
pub(crate) fn current_pool() -> Option<CUmemoryPool> {
    let (device, mut pool) = (current_device()?, CUmemoryPool::NULL);
    // SAFETY: the function writes a handle.
    (unsafe { calls::cuDeviceGetMemPool.get()?(&mut pool, device) } == CUDA_SUCCESS).then_some(pool)
}

/// cuda.h: `CU_POINTER_ATTRIBUTE_MEMORY_TYPE`.
const MEMORY_TYPE: c_uint = 2;

/// Whether a unified address points to device memory.
pub(crate) fn is_on_device(address: CUdeviceptr) -> bool {
    let mut kind: c_uint = 0;
    let Some(ask) = calls::cuPointerGetAttribute.get() else { return false };
    // SAFETY: the function writes a `CUmemorytype`; an address that the driver does not know is refused.
    unsafe { ask((&raw mut kind).cast(), MEMORY_TYPE, address) == CUDA_SUCCESS && kind == CU_MEMORYTYPE_DEVICE }
}

/// Waits for all work of a context, which is made current meanwhile.
pub(crate) fn synchronize(context: CUcontext) -> Result<(), CUresult> {
    let push = calls::cuCtxPushCurrent_v2.get().ok_or(CUDA_ERROR_NOT_FOUND)?;
    let pop = calls::cuCtxPopCurrent_v2.get().ok_or(CUDA_ERROR_NOT_FOUND)?;
    // SAFETY: the driver refuses a context that is none.
    checked(unsafe { push(context) })?;
    let waited = synchronize_current();
    let mut popped = CUcontext::NULL;
    // SAFETY: the function writes a handle.
    checked(unsafe { pop(&mut popped) })?;
    waited
}

/// Waits for all work of the current context.
pub(crate) fn synchronize_current() -> Result<(), CUresult> {
    let wait = calls::cuCtxSynchronize.get().ok_or(CUDA_ERROR_NOT_FOUND)?;
    // SAFETY: the function takes nothing.
    checked(unsafe { wait() })
}

/// Whether all work of a stream of a context is done, asked without harm to a capture that another thread may begin;
/// `None` where the driver does not say.
pub(crate) fn is_done(context: CUcontext, stream: CUstream) -> Option<bool> {
    let (push, pop) = (calls::cuCtxPushCurrent_v2.get()?, calls::cuCtxPopCurrent_v2.get()?);
    let ask = calls::cuStreamQuery.get()?;
    // SAFETY: the driver refuses a context that is none.
    checked(unsafe { push(context) }).ok()?;
    // SAFETY: the caller sees to it that the stream lives.
    let answer = unsafe { ask(stream) };
    let mut popped = CUcontext::NULL;
    // SAFETY: the function writes a handle.
    checked(unsafe { pop(&mut popped) }).ok()?;
    match answer {
        CUDA_SUCCESS => Some(true),
        CUDA_ERROR_NOT_READY => Some(false),
        _ => None,
    }
}

/// Copies from an allocation of the current context's; done as it returns.
pub(crate) fn read(to: &mut [u8], from: DeviceVa) -> Result<(), CUresult> {
    let copy = calls::cuMemcpyDtoH_v2.get().ok_or(CUDA_ERROR_NOT_FOUND)?;
    // SAFETY: the destination has that many bytes, and the copy is done as it returns.
    checked(unsafe { copy(to.as_mut_ptr().cast(), from.get(), to.len()) })
}

/// Copies to an allocation of the current context's; done as it returns.
pub(crate) fn write(to: DeviceVa, from: &[u8]) -> Result<(), CUresult> {
    let copy = calls::cuMemcpyHtoD_v2.get().ok_or(CUDA_ERROR_NOT_FOUND)?;
    // SAFETY: the source has that many bytes, and outlives the copy, which is waited for below.
    checked(unsafe { copy(to.get(), from.as_ptr().cast(), from.len()) })?;
    // From memory that is not pinned the call may return before the device has all of it.
    synchronize_current()
}

/// The nodes of a graph, in no order; none where they are more than `most`.
pub(crate) fn nodes(graph: CUgraph, most: usize) -> Vec<CUgraphNode> {
    let Some(ask) = calls::cuGraphGetNodes.get() else { return Vec::new() };
    let mut count = 0;
    // SAFETY: without a place for the nodes the function writes their number.
    let counted = unsafe { ask(graph, std::ptr::null_mut(), &mut count) };
    if counted != CUDA_SUCCESS || count > most {
        return Vec::new();
    }
    let mut nodes = vec![CUgraphNode::NULL; count];
    // SAFETY: there is room for as many as it says.
    let listed = unsafe { ask(graph, nodes.as_mut_ptr(), &mut count) };
    nodes.truncate(if listed == CUDA_SUCCESS { count } else { 0 });
    nodes
}

/// The type of a node (cuda.h: `CUgraphNodeType`).
pub(crate) fn node_kind(node: CUgraphNode) -> Option<c_uint> {
    let mut kind = 0;
    // SAFETY: the function writes the node's type.
    (unsafe { calls::cuGraphNodeGetType.get()?(node, &mut kind) } == CUDA_SUCCESS).then_some(kind)
}

/// The copy of a copying node.
pub(crate) fn node_copy(node: CUgraphNode) -> Option<CUDA_MEMCPY3D> {
    let mut copy = std::mem::MaybeUninit::<CUDA_MEMCPY3D>::zeroed();
    // SAFETY: the function writes a description; the structure is integers and pointers, for which zero is valid too.
    let asked = unsafe { calls::cuGraphMemcpyNodeGetParams.get()?(node, copy.as_mut_ptr()) };
    // SAFETY: as above.
    (asked == CUDA_SUCCESS).then(|| unsafe { copy.assume_init() })
}

/// The graph within a node.
pub(crate) fn child_graph(node: CUgraphNode) -> Option<CUgraph> {
    let mut child = CUgraph::NULL;
    // SAFETY: the function writes a graph.
    (unsafe { calls::cuGraphChildGraphNodeGetGraph.get()?(node, &mut child) } == CUDA_SUCCESS).then_some(child)
}
