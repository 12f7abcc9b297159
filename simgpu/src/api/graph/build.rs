//! Building graphs: nodes and edges.

use super::{dependencies, params};
use crate::api::{present, put};
use crate::objects::Outcome;
use crate::objects::driver::driver;
use crate::objects::graph::{GRAPHS, Graph, NODES, Node, TYPE_KERNEL, Work};
use abi::cuda::*;
use std::ffi::{c_uint, c_void};
use std::sync::Arc;

/// The place of a new node.
struct Place {
    node: *mut CUgraphNode,
    graph: CUgraph,
    after: *const CUgraphNode,
    count: usize,
}

impl Place {
    fn add(self, work: impl FnOnce(&Graph) -> Outcome<Work>) -> Outcome {
        driver()?;
        let graph = GRAPHS.get(self.graph)?;
        present(self.node)?;
        let after = dependencies(&graph, self.after, self.count)?;
        let added = graph.add(work(&graph)?, &after)?;
        // SAFETY: not null, and a place for the answer, as cuda.h demands.
        unsafe { put(self.node, added.id) }
    }
}

/// The node behind a handle.
pub(super) fn node(handle: CUgraphNode) -> Outcome<Arc<Node>> {
    driver()?;
    NODES.get(handle)
}

/// The pairs that two arrays name; both nodes of each are the graph's, and no node is to run after itself.
fn pairs(
    graph: &Graph,
    from: *const CUgraphNode,
    to: *const CUgraphNode,
    count: usize,
) -> Outcome<Vec<(CUgraphNode, CUgraphNode)>> {
    let most = graph.nodes().len().saturating_pow(2);
    if count > most || (count > 0 && (from.is_null() || to.is_null())) {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let mut found = Vec::new();
    for index in 0..count {
        // SAFETY: not null, so arrays of `count` nodes, as cuda.h demands.
        let pair = unsafe { (from.add(index).read_unaligned(), to.add(index).read_unaligned()) };
        if pair.0 == pair.1 || !graph.has(pair.0) || !graph.has(pair.1) || found.contains(&pair) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        found.push(pair);
    }
    Ok(found)
}

fn connect(graph: CUgraph, from: *const CUgraphNode, to: *const CUgraphNode, count: usize) -> Outcome {
    driver()?;
    let graph = GRAPHS.get(graph)?;
    let new = pairs(&graph, from, to, count)?;
    graph.connect(new)
}

fn disconnect(graph: CUgraph, from: *const CUgraphNode, to: *const CUgraphNode, count: usize) -> Outcome {
    driver()?;
    let graph = GRAPHS.get(graph)?;
    let gone = pairs(&graph, from, to, count)?;
    graph.disconnect(&gone)
}

/// Declares the functions that add a node of one kind.
macro_rules! adders {
    ($($name:ident($($arg:ident: $ty:ty),*) $work:expr;)*) => {
        export! {
            $(
                fn $name(
                    node: *mut CUgraphNode,
                    graph: CUgraph,
                    dependencies: *const CUgraphNode,
                    count: usize,
                    $($arg: $ty,)*
                ) {
                    Place { node, graph, after: dependencies, count }.add($work)
                }
            )*
        }
    };
}

adders! {
    cuGraphAddEmptyNode() |_| Ok(Work::Empty);
    cuGraphAddKernelNode(params: *const c_void) |_| params::kernel_v1(params);
    cuGraphAddKernelNode_v2(params: *const c_void) |_| params::kernel_v2(params);
    cuGraphAddMemcpyNode(copy: *const CUDA_MEMCPY3D, ctx: CUcontext) |_| params::memcpy(copy, ctx);
    cuGraphAddMemsetNode(memset: *const c_void, ctx: CUcontext) |_| params::memset(memset, ctx);
    cuGraphAddHostNode(params: *const c_void) |_| params::host(params);
    cuGraphAddChildGraphNode(child: CUgraph) |into| params::child(child, Some(into));
    cuGraphAddEventRecordNode(event: CUevent) |_| params::record(event);
    cuGraphAddEventWaitNode(event: CUevent) |_| params::wait(event);
    cuGraphAddBatchMemOpNode(params: *const c_void) |_| params::values(params);
    cuGraphAddMemAllocNode(params: *mut c_void) |_| params::alloc(params);
    cuGraphAddMemFreeNode(dptr: CUdeviceptr) |_| params::free(dptr);
    cuGraphAddNode(params: *mut c_void) |into| params::any(params, Some(into));
}

export! {
    fn cuGraphAddNode_v2(
        node: *mut CUgraphNode,
        graph: CUgraph,
        dependencies: *const CUgraphNode,
        _edges: *const c_void,
        count: usize,
        params: *mut c_void,
    ) {
        Place { node, graph, after: dependencies, count }.add(|into| params::any(params, Some(into)))
    }

    fn cuGraphCreate(graph: *mut CUgraph, flags: c_uint) {
        driver()?;
        present(graph)?;
        if flags != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: not null, and a place for the answer, as cuda.h demands; so below.
        unsafe { put(graph, Graph::create().id) }
    }

    fn cuGraphClone(clone: *mut CUgraph, original: CUgraph) {
        driver()?;
        let original = GRAPHS.get(original)?;
        present(clone)?;
        // SAFETY: as above.
        unsafe { put(clone, original.copy().id) }
    }

    fn cuGraphDestroy(graph: CUgraph) {
        driver()?;
        GRAPHS.get(graph)?.discard();
        Ok(())
    }

    fn cuGraphDestroyNode(node: CUgraphNode) {
        let node = self::node(node)?;
        let _ = NODES.remove(node.id);
        if let Ok(graph) = GRAPHS.get(node.graph) {
            graph.remove(node.id);
        }
        Ok(())
    }

    fn cuGraphAddDependencies(graph: CUgraph, from: *const CUgraphNode, to: *const CUgraphNode, count: usize) {
        connect(graph, from, to, count)
    }

    fn cuGraphAddDependencies_v2(
        graph: CUgraph,
        from: *const CUgraphNode,
        to: *const CUgraphNode,
        _edges: *const c_void,
        count: usize,
    ) {
        connect(graph, from, to, count)
    }

    fn cuGraphRemoveDependencies(graph: CUgraph, from: *const CUgraphNode, to: *const CUgraphNode, count: usize) {
        disconnect(graph, from, to, count)
    }

    fn cuGraphRemoveDependencies_v2(
        graph: CUgraph,
        from: *const CUgraphNode,
        to: *const CUgraphNode,
        _edges: *const c_void,
        count: usize,
    ) {
        disconnect(graph, from, to, count)
    }

    /// The simulated GPU has no use for a kernel's attributes.
    fn cuGraphKernelNodeSetAttribute(node: CUgraphNode, attr: c_uint, value: *const c_void) {
        let node = self::node(node)?;
        present(value)?;
        if node.kind() != TYPE_KERNEL || attr == 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        Ok(())
    }

    fn cuGraphKernelNodeCopyAttributes(dst: CUgraphNode, src: CUgraphNode) {
        let (dst, src) = (node(dst)?, node(src)?);
        let kernels = dst.kind() == TYPE_KERNEL && src.kind() == TYPE_KERNEL;
        if kernels { Ok(()) } else { Err(CUDA_ERROR_INVALID_VALUE) }
    }
}
