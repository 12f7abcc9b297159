//! The functions of graphs.

mod build;
mod exec;
mod ordinary;
mod params;
mod query;
mod unmodelled;

use crate::objects::Outcome;
use crate::objects::graph::Graph;
use abi::cuda::*;

pub(in crate::api) use build::*;
pub(in crate::api) use exec::*;
pub(in crate::api) use ordinary::*;
pub(in crate::api) use query::*;
pub(in crate::api) use unmodelled::*;

/// The nodes of `graph` that an array names, each once.
pub(super) fn dependencies(graph: &Graph, nodes: *const CUgraphNode, count: usize) -> Outcome<Vec<CUgraphNode>> {
    if count > graph.nodes().len() || (count > 0 && nodes.is_null()) {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let mut found = Vec::new();
    for index in 0..count {
        // SAFETY: not null, so an array of `count` nodes, as cuda.h demands.
        let node = unsafe { nodes.add(index).read_unaligned() };
        if !graph.has(node) || found.contains(&node) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        found.push(node);
    }
    Ok(found)
}
