//! Graphs made ready: instantiation, launches and updates.

use super::build::node;
use crate::api::{present, put};
use crate::objects::driver::driver;
use crate::objects::exec::{EXECS, Exec};
use crate::objects::graph::GRAPHS;
use crate::objects::{Outcome, current};
use abi::cuda::*;
use std::ffi::{c_char, c_uint, c_void};

/// cuda.h: `CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE`.
const CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE: CUresult = 910;
/// cuda.h: all of `CUDA_GRAPH_INSTANTIATE_FLAG_…`, `_DEVICE_LAUNCH`, which needs kernels that launch graphs, and
/// `_UPLOAD`.
const FLAGS: u64 = 15;
const FLAG_DEVICE_LAUNCH: u64 = 4;
const FLAG_UPLOAD: u64 = 2;
/// cuda.h: `CU_GRAPH_EXEC_UPDATE_SUCCESS`.
const UPDATED: c_uint = 0;
/// cuda.h: `CUDA_GRAPH_INSTANTIATE_SUCCESS` and `_ERROR`.
const INSTANTIATED: c_uint = 0;
const NOT_INSTANTIATED: c_uint = 1;

fn instantiate(exec: *mut CUgraphExec, graph: CUgraph, flags: u64) -> Outcome {
    driver()?;
    let graph = GRAPHS.get(graph)?;
    present(exec)?;
    if flags & !FLAGS != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    if flags & FLAG_DEVICE_LAUNCH != 0 {
        return Err(CUDA_ERROR_NOT_SUPPORTED);
    }
    let ready = Exec::of(&graph, flags)?;
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(exec, EXECS.add(ready)) }
}

/// The older forms, which say in words what was wrong; there are none here.
fn instantiate_with_log(
    exec: *mut CUgraphExec,
    graph: CUgraph,
    error_node: *mut CUgraphNode,
    log: *mut c_char,
    log_bytes: usize,
) -> Outcome {
    // SAFETY: the caller passes null for what it does not want, or places of that size, as cuda.h demands.
    unsafe {
        let _ = put(error_node, CUgraphNode::NULL);
        if log_bytes > 0 {
            let _ = put(log, 0);
        }
    }
    instantiate(exec, graph, 0)
}

/// cuda.h: `CUDA_GRAPH_INSTANTIATE_PARAMS`.
#[repr(C)]
struct InstantiateParams {
    flags: u64,
    upload: CUstream,
    error_node: CUgraphNode,
    result: c_uint,
}

/// cuda.h: `CUgraphExecUpdateResultInfo`.
#[repr(C)]
struct UpdateInfo {
    result: c_uint,
    padding: c_uint,
    error_node: CUgraphNode,
    error_from: CUgraphNode,
}

const _: () = assert!(size_of::<InstantiateParams>() == 32 && size_of::<UpdateInfo>() == 24);

/// Updates; on failure the second part says why, where there was a graph to look at.
fn update(exec: CUgraphExec, graph: CUgraph) -> Outcome<Result<(), (c_uint, CUgraphNode)>> {
    driver()?;
    Ok(EXECS.get(exec)?.update(&*GRAPHS.get(graph)?))
}

export! {
    fn cuGraphInstantiate(
        exec: *mut CUgraphExec,
        graph: CUgraph,
        error_node: *mut CUgraphNode,
        log: *mut c_char,
        log_bytes: usize,
    ) {
        instantiate_with_log(exec, graph, error_node, log, log_bytes)
    }

    fn cuGraphInstantiate_v2(
        exec: *mut CUgraphExec,
        graph: CUgraph,
        error_node: *mut CUgraphNode,
        log: *mut c_char,
        log_bytes: usize,
    ) {
        instantiate_with_log(exec, graph, error_node, log, log_bytes)
    }

    fn cuGraphInstantiateWithFlags(exec: *mut CUgraphExec, graph: CUgraph, flags: u64) {
        instantiate(exec, graph, flags)
    }

    fn cuGraphInstantiateWithParams/cuGraphInstantiateWithParams_ptsz[default](
        exec: *mut CUgraphExec,
        graph: CUgraph,
        params: *mut c_void,
    ) {
        present(params)?;
        let params: *mut InstantiateParams = params.cast();
        // SAFETY: not null, so the caller's parameters, as cuda.h demands; so below.
        let (flags, upload) = unsafe { ((*params).flags, (*params).upload) };
        if flags & FLAG_UPLOAD != 0 {
            current::stream(upload, default)?;
        }
        let made = instantiate(exec, graph, flags);
        if flags & FLAG_UPLOAD != 0 && made.is_ok() {
            // SAFETY: it was just written, as `made` says.
            EXECS.get(unsafe { exec.read() })?.upload()?;
        }
        // SAFETY: as above.
        unsafe {
            (*params).error_node = CUgraphNode::NULL;
            (*params).result = if made.is_ok() { INSTANTIATED } else { NOT_INSTANTIATED };
        }
        made
    }

    fn cuGraphExecDestroy(exec: CUgraphExec) {
        driver()?;
        EXECS.remove(exec).map(drop)
    }

    fn cuGraphExecGetFlags(exec: CUgraphExec, flags: *mut u64) {
        driver()?;
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands.
        unsafe { put(flags, EXECS.get(exec)?.flags) }
    }

    fn cuGraphLaunch/cuGraphLaunch_ptsz[default](graph: CUgraphExec, stream: CUstream) {
        let stream = current::stream(stream, default)?;
        EXECS.get(graph)?.launch(&stream)
    }

    /// Nothing has to be sent ahead to the simulated GPU but the descriptors of kernels.
    fn cuGraphUpload/cuGraphUpload_ptsz[default](graph: CUgraphExec, stream: CUstream) {
        current::stream(stream, default)?;
        EXECS.get(graph)?.upload()
    }

    fn cuGraphExecUpdate(exec: CUgraphExec, graph: CUgraph, error_node: *mut CUgraphNode, result: *mut c_uint) {
        let updated = update(exec, graph)?;
        let (why, node) = updated.err().unwrap_or((UPDATED, CUgraphNode::NULL));
        present(result)?;
        // SAFETY: not null, and a place for the answer, as cuda.h demands; the other may be null.
        unsafe {
            put(result, why)?;
            let _ = put(error_node, node);
        }
        updated.map_err(|_| CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE)
    }

    fn cuGraphExecUpdate_v2(exec: CUgraphExec, graph: CUgraph, result: *mut c_void) {
        let updated = update(exec, graph)?;
        let (why, error_node) = updated.err().unwrap_or((UPDATED, CUgraphNode::NULL));
        let info = UpdateInfo { result: why, padding: 0, error_node, error_from: CUgraphNode::NULL };
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands.
        unsafe { put(result.cast(), info) }?;
        updated.map_err(|_| CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE)
    }

    fn cuGraphNodeSetEnabled(exec: CUgraphExec, node: CUgraphNode, enabled: c_uint) {
        driver()?;
        let exec = EXECS.get(exec)?;
        exec.enable(self::node(node)?.id, enabled != 0)
    }

    fn cuGraphNodeGetEnabled(exec: CUgraphExec, node: CUgraphNode, enabled: *mut c_uint) {
        driver()?;
        let exec = EXECS.get(exec)?;
        let is_enabled = exec.is_enabled(self::node(node)?.id)?;
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands.
        unsafe { put(enabled, c_uint::from(is_enabled)) }
    }
}
