//! New parameters for nodes of graphs, and of graphs made ready.

use super::build::node;
use super::params;
use crate::objects::driver::driver;
use crate::objects::exec::EXECS;
use crate::objects::graph::Work;
use crate::objects::{Outcome, current};
use abi::cuda::*;
use std::ffi::c_void;

/// Gives a node new work of the same kind.
fn set(node: CUgraphNode, work: impl FnOnce() -> Outcome<Work>) -> Outcome {
    let node = self::node(node)?;
    node.set(work()?)
}

/// Gives a graph made ready new work for one node, of the same kind.
fn set_ready(exec: CUgraphExec, node: CUgraphNode, work: impl FnOnce() -> Outcome<Work>) -> Outcome {
    driver()?;
    let exec = EXECS.get(exec)?;
    let node = self::node(node)?;
    exec.set(node.id, work()?)
}

/// Declares the two functions that give a node of one kind new parameters: in its graph, and in one made ready.
macro_rules! setters {
    ($($name:ident, $ready:ident($arg:ident: $ty:ty $(, $context:ident)?) $work:expr, $ready_work:expr;)*) => {
        export! {
            $(
                fn $name(node: CUgraphNode, $arg: $ty) {
                    set(node, || $work)
                }

                fn $ready(exec: CUgraphExec, node: CUgraphNode, $arg: $ty $(, $context: CUcontext)?) {
                    set_ready(exec, node, || $ready_work)
                }
            )*
        }
    };
}

/// The current context, for nodes whose own is not said.
fn here() -> Outcome<CUcontext> {
    Ok(current::context()?.id)
}

setters! {
    cuGraphKernelNodeSetParams, cuGraphExecKernelNodeSetParams(params: *const c_void)
        params::kernel_v1(params), params::kernel_v1(params);
    cuGraphKernelNodeSetParams_v2, cuGraphExecKernelNodeSetParams_v2(params: *const c_void)
        params::kernel_v2(params), params::kernel_v2(params);
    cuGraphMemcpyNodeSetParams, cuGraphExecMemcpyNodeSetParams(copy: *const CUDA_MEMCPY3D, ctx)
        params::memcpy(copy, here()?), params::memcpy(copy, ctx);
    cuGraphMemsetNodeSetParams, cuGraphExecMemsetNodeSetParams(memset: *const c_void, ctx)
        params::memset(memset, here()?), params::memset(memset, ctx);
    cuGraphHostNodeSetParams, cuGraphExecHostNodeSetParams(params: *const c_void)
        params::host(params), params::host(params);
    cuGraphEventRecordNodeSetEvent, cuGraphExecEventRecordNodeSetEvent(event: CUevent)
        params::record(event), params::record(event);
    cuGraphEventWaitNodeSetEvent, cuGraphExecEventWaitNodeSetEvent(event: CUevent)
        params::wait(event), params::wait(event);
    cuGraphBatchMemOpNodeSetParams, cuGraphExecBatchMemOpNodeSetParams(params: *const c_void)
        params::values(params), params::values(params);
    cuGraphNodeSetParams, cuGraphExecNodeSetParams(params: *mut c_void)
        params::any(params, None), params::any(params, None);
}

export! {
    fn cuGraphExecChildGraphNodeSetParams(exec: CUgraphExec, node: CUgraphNode, child: CUgraph) {
        set_ready(exec, node, || params::child(child, None))
    }
}
