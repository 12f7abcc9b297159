//! Nodes that the simulated driver does not have: external semaphores, conditions, nodes of kernel attributes.

use abi::cuda::*;
use std::ffi::{c_uint, c_void};

unmodelled! {
    fn cuGraphAddExternalSemaphoresSignalNode(
        node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize, params: *const c_void
    ) needs node, params;
    fn cuGraphAddExternalSemaphoresWaitNode(
        node: *mut CUgraphNode, graph: CUgraph, dependencies: *const CUgraphNode, count: usize, params: *const c_void
    ) needs node, params;
    fn cuGraphExternalSemaphoresSignalNodeSetParams(node: CUgraphNode, params: *const c_void) needs params;
    fn cuGraphExternalSemaphoresWaitNodeSetParams(node: CUgraphNode, params: *const c_void) needs params;
    fn cuGraphExecExternalSemaphoresSignalNodeSetParams(
        exec: CUgraphExec, node: CUgraphNode, params: *const c_void
    ) needs params;
    fn cuGraphExecExternalSemaphoresWaitNodeSetParams(
        exec: CUgraphExec, node: CUgraphNode, params: *const c_void
    ) needs params;
    fn cuGraphConditionalHandleCreate(
        handle: *mut CUgraphConditionalHandle, graph: CUgraph, ctx: CUcontext, initial: c_uint, flags: c_uint
    ) needs handle;
}
