//! The parameters of nodes, as cuda.h lays them out, and the work that they mean.

use crate::api::launch::{self, Grid};
use crate::api::{copy, pool, words};
use crate::objects::command::{Command, HostFunction};
use crate::objects::context::Context;
use crate::objects::event::EVENTS;
use crate::objects::fill::{Area, Fill};
use crate::objects::graph::{GRAPHS, Graph, Work};
use crate::objects::graph::{TYPE_BATCH_MEM_OP, TYPE_EMPTY, TYPE_EVENT_RECORD, TYPE_GRAPH, TYPE_HOST, TYPE_KERNEL};
use crate::objects::graph::{TYPE_MEM_ALLOC, TYPE_MEM_FREE, TYPE_MEMCPY, TYPE_MEMSET, TYPE_WAIT_EVENT};
use crate::objects::host_memory::HostPointer;
use crate::objects::node_memory::{NodeMemory, is_memory};
use crate::objects::{Outcome, current};
use abi::cuda::*;
use std::ffi::{c_uint, c_void};
use std::sync::Arc;

/// cuda.h: `CUDA_KERNEL_NODE_PARAMS_v1`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct KernelV1 {
    pub(super) func: CUfunction,
    pub(super) grid: [c_uint; 3],
    pub(super) block: [c_uint; 3],
    pub(super) shared: c_uint,
    params: *mut *mut c_void,
    extra: *mut *mut c_void,
}

/// cuda.h: `CUDA_KERNEL_NODE_PARAMS_v2`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct KernelV2 {
    v1: KernelV1,
    kernel: *mut c_void,
    context: CUcontext,
}

/// cuda.h: `CUDA_MEMSET_NODE_PARAMS_v1`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Memset {
    dst: CUdeviceptr,
    pitch: usize,
    value: c_uint,
    element: c_uint,
    width: usize,
    height: usize,
}

/// cuda.h: `CUDA_HOST_NODE_PARAMS`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Host {
    function: CUhostFn,
    data: *mut c_void,
}

/// cuda.h: `CUDA_MEMCPY_NODE_PARAMS`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Memcpy {
    flags: c_uint,
    reserved: c_uint,
    context: CUcontext,
    copy: CUDA_MEMCPY3D,
}

/// cuda.h: `CUDA_MEM_ALLOC_NODE_PARAMS`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Alloc {
    properties: pool::Properties,
    access: *const c_void,
    accesses: usize,
    bytes: usize,
    dptr: CUdeviceptr,
}

/// cuda.h: `CUDA_BATCH_MEM_OP_NODE_PARAMS`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Values {
    context: CUcontext,
    count: c_uint,
    operations: *const words::Operation,
    flags: c_uint,
}

/// cuda.h: `CUgraphNodeParams`, with the union as the place for it.
#[repr(C)]
struct Any {
    kind: c_uint,
    reserved: [c_uint; 3],
    union: [u64; 29],
    last: u64,
}

const _: () = {
    assert!(size_of::<KernelV1>() == 56 && size_of::<KernelV2>() == 72 && size_of::<Memset>() == 40);
    assert!(size_of::<Memcpy>() == 216 && size_of::<Alloc>() == 120 && size_of::<Values>() == 32);
    assert!(size_of::<Any>() == 256);
};

/// A structure of the program's.
pub(super) fn read<T: Copy>(pointer: *const c_void) -> Outcome<T> {
    if pointer.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    // SAFETY: not null, so a structure of that type, as cuda.h demands.
    Ok(unsafe { pointer.cast::<T>().read_unaligned() })
}

fn check_context(context: CUcontext) -> Outcome {
    Context::find(context)?.check()
}

pub(super) fn kernel_v1(params: *const c_void) -> Outcome<Work> {
    let it: KernelV1 = read(params)?;
    let grid = Grid { grid: it.grid, block: it.block, shared: it.shared };
    // SAFETY: the caller's parameters are as cuda.h demands.
    let launch = unsafe { launch::prepare(it.func, grid, it.params, it.extra) }?;
    Ok(Work::Plain(Command::Launch(launch)))
}

pub(super) fn kernel_v2(params: *const c_void) -> Outcome<Work> {
    let it: KernelV2 = read(params)?;
    if !it.context.is_null() {
        check_context(it.context)?;
    }
    if it.v1.func.is_null() && !it.kernel.is_null() {
        // Kernels without a context come from libraries, which the simulated driver does not load.
        return Err(CUDA_ERROR_INVALID_HANDLE);
    }
    kernel_v1(params)
}

pub(super) fn memcpy(copy: *const CUDA_MEMCPY3D, context: CUcontext) -> Outcome<Work> {
    let copy: CUDA_MEMCPY3D = read(copy.cast())?;
    check_context(context)?;
    // An empty copy is nothing to run, but still a node of its kind to the real driver; here it is refused.
    copy::boxed(&copy)?.map(|copy| Work::Plain(Command::Copy(copy))).ok_or(CUDA_ERROR_INVALID_VALUE)
}

pub(super) fn memset(params: *const c_void, context: CUcontext) -> Outcome<Work> {
    let it: Memset = read(params)?;
    check_context(context)?;
    let value = it.value.to_le_bytes();
    let pattern = match it.element {
        1 | 2 | 4 if u64::from(it.value) >> (8 * it.element) == 0 => &value[..it.element as usize],
        _ => return Err(CUDA_ERROR_INVALID_VALUE),
    };
    let area = Area { pitch: it.pitch, width: it.width, height: it.height };
    Fill::new(it.dst, pattern, area)?.map(|fill| Work::Plain(Command::Fill(fill))).ok_or(CUDA_ERROR_INVALID_VALUE)
}

pub(super) fn host(params: *const c_void) -> Outcome<Work> {
    let it: Host = read(params)?;
    let function = it.function.ok_or(CUDA_ERROR_INVALID_VALUE)?;
    Ok(Work::Plain(Command::Host(HostFunction { function, data: HostPointer(it.data.cast()) })))
}

pub(super) fn child(graph: CUgraph, into: Option<&Graph>) -> Outcome<Work> {
    let child = GRAPHS.get(graph)?;
    if into.is_some_and(|into| into.id == child.id) {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    Ok(Work::Child(child.copy()))
}

pub(super) fn record(event: CUevent) -> Outcome<Work> {
    EVENTS.get(event).map(Work::Record)
}

pub(super) fn wait(event: CUevent) -> Outcome<Work> {
    EVENTS.get(event).map(Work::Await)
}

pub(super) fn values(params: *const c_void) -> Outcome<Work> {
    let it: Values = read(params)?;
    check_context(it.context)?;
    if it.flags != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    words::commands(it.count, it.operations).map(Work::Values)
}

impl Alloc {
    /// The parameters of a node that has this memory.
    pub(super) fn of(memory: &NodeMemory) -> Self {
        let properties = pool::Properties::default_pool();
        Alloc { properties, access: core::ptr::null(), accesses: 0, bytes: memory.bytes, dptr: memory.va.get() }
    }
}

/// Takes the memory of an allocation node and tells its address in the parameters.
pub(super) fn alloc(params: *mut c_void) -> Outcome<Work> {
    let it: Alloc = read(params)?;
    it.properties.check()?;
    if it.bytes == 0 || (it.accesses > 0 && it.access.is_null()) {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let memory = NodeMemory::take(it.bytes, current::context()?.id)?;
    // SAFETY: the parameters were just read; the address is their last field.
    unsafe { (&raw mut (*params.cast::<Alloc>()).dptr).write_unaligned(memory.va.get()) };
    Ok(Work::Alloc(Arc::new(memory)))
}

pub(super) fn free(va: CUdeviceptr) -> Outcome<Work> {
    if is_memory(va) { Ok(Work::Free(va)) } else { Err(CUDA_ERROR_INVALID_VALUE) }
}

/// The work that the parameters of any node mean; `into` is the graph that it is added to, if it is.
pub(super) fn any(params: *mut c_void, into: Option<&Graph>) -> Outcome<Work> {
    if params.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let params: *mut Any = params.cast();
    // SAFETY: not null, so the caller's parameters, as cuda.h demands; only addresses are taken but for the two words.
    let (kind, last, union) = unsafe {
        let kind = (&raw const (*params).kind).read_unaligned();
        (kind, (&raw const (*params).last).read_unaligned(), (&raw mut (*params).union).cast::<c_void>())
    };
    if last != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    match kind {
        TYPE_KERNEL => kernel_v2(union),
        TYPE_MEMCPY => {
            let it: Memcpy = read(union)?;
            if it.flags != 0 || it.reserved != 0 {
                return Err(CUDA_ERROR_INVALID_VALUE);
            }
            memcpy(&it.copy, it.context)
        }
        TYPE_MEMSET => {
            let (_, context): (Memset, CUcontext) = (read(union)?, read(union.wrapping_byte_add(size_of::<Memset>()))?);
            memset(union, context)
        }
        TYPE_HOST => host(union),
        TYPE_GRAPH => child(read(union)?, into),
        TYPE_EMPTY => Ok(Work::Empty),
        TYPE_WAIT_EVENT => wait(read(union)?),
        TYPE_EVENT_RECORD => record(read(union)?),
        // The address of an allocation stays for its node's life.
        TYPE_MEM_ALLOC if into.is_none() => Err(CUDA_ERROR_INVALID_VALUE),
        TYPE_MEM_ALLOC => alloc(union),
        TYPE_MEM_FREE => free(read(union)?),
        TYPE_BATCH_MEM_OP => values(union),
        8 | 9 | 13 => Err(CUDA_ERROR_NOT_SUPPORTED),
        _ => Err(CUDA_ERROR_INVALID_VALUE),
    }
}
