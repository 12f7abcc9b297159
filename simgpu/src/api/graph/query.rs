//! Questions about graphs and nodes.

use super::build::node;
use super::params;
use crate::api::{copy, present, put};
use crate::objects::Outcome;
use crate::objects::command::Command;
use crate::objects::driver::driver;
use crate::objects::graph::{GRAPHS, Work};
use abi::cuda::*;
use std::ffi::{c_uint, c_void};

/// Answers with a list: how many entries there are where there is no array, else as many as fit, the rest null.
fn answer<const N: usize>(found: &[[CUgraphNode; N]], arrays: [*mut CUgraphNode; N], count: *mut usize) -> Outcome {
    present(count)?;
    if arrays.iter().all(|array| array.is_null()) {
        // SAFETY: not null, and the caller's count, as cuda.h demands; so below.
        return unsafe { put(count, found.len()) };
    }
    // SAFETY: as above.
    let room = unsafe { count.read() };
    for (index, entry) in found.iter().take(room).enumerate() {
        for (array, &value) in arrays.iter().zip(entry) {
            present(*array)?;
            // SAFETY: not null, so an array of `room` places, as cuda.h demands.
            unsafe { array.add(index).write(value) };
        }
    }
    // SAFETY: as above.
    unsafe { put(count, found.len().min(room)) }
}

fn edges(graph: CUgraph, from: *mut CUgraphNode, to: *mut CUgraphNode, count: *mut usize) -> Outcome {
    driver()?;
    let graph = GRAPHS.get(graph)?;
    let found: Vec<_> = graph.edges().into_iter().map(|(from, to)| [from, to]).collect();
    answer(&found, [from, to], count)
}

/// The nodes on one side of a node's edges.
fn neighbours(handle: CUgraphNode, out: *mut CUgraphNode, count: *mut usize, before: bool) -> Outcome {
    let node = node(handle)?;
    let graph = GRAPHS.get(node.graph)?;
    let own = graph.edges().into_iter().filter(|edge| if before { edge.1 == node.id } else { edge.0 == node.id });
    let found: Vec<_> = own.map(|edge| [if before { edge.0 } else { edge.1 }]).collect();
    answer(&found, [out], count)
}

/// Fills the data of edges that were just answered with; plain edges have zeros.
fn plain(nodes: *mut CUgraphNode, data: *mut c_void, count: *mut usize) -> Outcome {
    if nodes.is_null() || data.is_null() {
        return Ok(());
    }
    // SAFETY: the count was just written, and the array has as many places of 8 bytes, as cuda.h demands.
    unsafe { data.cast::<u64>().write_bytes(0, count.read()) };
    Ok(())
}

export! {
    fn cuGraphGetNodes(graph: CUgraph, nodes: *mut CUgraphNode, count: *mut usize) {
        driver()?;
        let graph = GRAPHS.get(graph)?;
        let found: Vec<_> = graph.nodes().iter().map(|node| [node.id]).collect();
        answer(&found, [nodes], count)
    }

    fn cuGraphGetRootNodes(graph: CUgraph, nodes: *mut CUgraphNode, count: *mut usize) {
        driver()?;
        let graph = GRAPHS.get(graph)?;
        let (nodes_there, edges) = (graph.nodes(), graph.edges());
        let roots = nodes_there.iter().filter(|node| edges.iter().all(|edge| edge.1 != node.id));
        let found: Vec<_> = roots.map(|node| [node.id]).collect();
        answer(&found, [nodes], count)
    }

    fn cuGraphGetEdges(graph: CUgraph, from: *mut CUgraphNode, to: *mut CUgraphNode, count: *mut usize) {
        edges(graph, from, to, count)
    }

    fn cuGraphNodeGetDependencies(node: CUgraphNode, nodes: *mut CUgraphNode, count: *mut usize) {
        neighbours(node, nodes, count, true)
    }

    fn cuGraphNodeGetDependentNodes(node: CUgraphNode, nodes: *mut CUgraphNode, count: *mut usize) {
        neighbours(node, nodes, count, false)
    }

    /// All edges are plain ones, whose data are zeros.
    fn cuGraphGetEdges_v2(
        graph: CUgraph,
        from: *mut CUgraphNode,
        to: *mut CUgraphNode,
        data: *mut c_void,
        count: *mut usize,
    ) {
        edges(graph, from, to, count)?;
        plain(from, data, count)
    }

    fn cuGraphNodeGetDependencies_v2(
        node: CUgraphNode,
        nodes: *mut CUgraphNode,
        data: *mut c_void,
        count: *mut usize,
    ) {
        neighbours(node, nodes, count, true)?;
        plain(nodes, data, count)
    }

    fn cuGraphNodeGetDependentNodes_v2(
        node: CUgraphNode,
        nodes: *mut CUgraphNode,
        data: *mut c_void,
        count: *mut usize,
    ) {
        neighbours(node, nodes, count, false)?;
        plain(nodes, data, count)
    }

    fn cuGraphNodeGetType(node: CUgraphNode, kind: *mut c_uint) {
        let node = self::node(node)?;
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands; so below.
        unsafe { put(kind, node.kind()) }
    }

    fn cuGraphNodeFindInClone(found: *mut CUgraphNode, original: CUgraphNode, clone: CUgraph) {
        driver()?;
        let graph = GRAPHS.get(clone)?;
        let nodes = graph.nodes();
        let node = nodes.iter().find(|node| node.origin == original).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        // SAFETY: as above.
        unsafe { put(found, node.id) }
    }

    fn cuGraphChildGraphNodeGetGraph(node: CUgraphNode, graph: *mut CUgraph) {
        match &self::node(node)?.work() {
            // SAFETY: as above.
            Work::Child(child) => unsafe { put(graph, child.id) },
            _ => Err(CUDA_ERROR_INVALID_VALUE),
        }
    }

    fn cuGraphMemcpyNodeGetParams(node: CUgraphNode, params: *mut CUDA_MEMCPY3D) {
        match &self::node(node)?.work() {
            // SAFETY: as above.
            Work::Plain(Command::Copy(transfer)) => unsafe { put(params, copy::description(transfer)) },
            _ => Err(CUDA_ERROR_INVALID_VALUE),
        }
    }

    fn cuGraphMemAllocNodeGetParams(node: CUgraphNode, out: *mut c_void) {
        match &self::node(node)?.work() {
            // SAFETY: as above.
            Work::Alloc(memory) => unsafe { put(out.cast(), params::Alloc::of(memory)) },
            _ => Err(CUDA_ERROR_INVALID_VALUE),
        }
    }

    fn cuGraphMemFreeNodeGetParams(node: CUgraphNode, dptr: *mut c_void) {
        match &self::node(node)?.work() {
            // SAFETY: as above.
            Work::Free(va) => unsafe { put(dptr.cast(), *va) },
            _ => Err(CUDA_ERROR_INVALID_VALUE),
        }
    }
}
