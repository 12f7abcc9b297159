//! Graphs: work with its order, to be made ready once and run often.
//!
//! A graph runs node after node in the stream that it is launched in, in an order that its edges allow; the simulated
//! GPU does not run branches side by side.

use super::command::Command;
use super::event::Event;
use super::handles::{self, Handles};
use super::node_memory::{NodeMemory, is_memory};
use super::{Outcome, lock};
use abi::cuda::*;
use std::collections::BTreeSet;
use std::ffi::c_uint;
use std::sync::{Arc, Mutex};

/// cuda.h: `CU_GRAPH_NODE_TYPE_…`.
pub(crate) const TYPE_KERNEL: c_uint = 0;
pub(crate) const TYPE_MEMCPY: c_uint = 1;
pub(crate) const TYPE_MEMSET: c_uint = 2;
pub(crate) const TYPE_HOST: c_uint = 3;
pub(crate) const TYPE_GRAPH: c_uint = 4;
pub(crate) const TYPE_EMPTY: c_uint = 5;
pub(crate) const TYPE_WAIT_EVENT: c_uint = 6;
pub(crate) const TYPE_EVENT_RECORD: c_uint = 7;
pub(crate) const TYPE_MEM_ALLOC: c_uint = 10;
pub(crate) const TYPE_MEM_FREE: c_uint = 11;
pub(crate) const TYPE_BATCH_MEM_OP: c_uint = 12;

pub(crate) static GRAPHS: Handles<CUgraph, Graph> = Handles::new();
pub(crate) static NODES: Handles<CUgraphNode, Node> = Handles::new();

/// A graph.
pub(crate) struct Graph {
    /// Its handle.
    pub(crate) id: CUgraph,
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    /// In the order in which they were added.
    nodes: Vec<Arc<Node>>,
    /// Pairs of handles: the second node runs after the first.
    edges: Vec<(CUgraphNode, CUgraphNode)>,
}

/// A node of a graph.
pub(crate) struct Node {
    /// Its handle.
    pub(crate) id: CUgraphNode,
    /// The graph that it belongs to.
    pub(crate) graph: CUgraph,
    /// The node that it is a copy of, or itself.
    pub(crate) origin: CUgraphNode,
    work: Mutex<Work>,
}

/// The work of a node.
#[derive(Clone)]
pub(crate) enum Work {
    /// A kernel, a copy, a fill or a host function.
    Plain(Command),
    /// Stream memory operations.
    Values(Vec<Command>),
    /// Nothing.
    Empty,
    /// All that another graph does.
    Child(Arc<Graph>),
    /// The recording of an event.
    Record(Arc<Event>),
    /// Waiting for an event.
    Await(Arc<Event>),
    /// Memory, there from when the node is made to when nobody has it any more.
    Alloc(Arc<NodeMemory>),
    /// The end of such memory's use.
    Free(CUdeviceptr),
}

impl Work {
    /// The work that a captured command becomes.
    pub(crate) fn of(command: Command) -> Outcome<Self> {
        Ok(match command {
            Command::Copy(_) | Command::Fill(_) | Command::Launch(_) | Command::Host(_) => Work::Plain(command),
            Command::WaitValue(_) | Command::WriteValue(_) => Work::Values(vec![command]),
            Command::Free(va) if is_memory(va.get()) => Work::Free(va.get()),
            _ => return Err(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED),
        })
    }

    /// Memory for a captured allocation.
    pub(crate) fn alloc(bytes: usize, owner: CUcontext) -> Outcome<(Self, CUdeviceptr)> {
        let memory = NodeMemory::take(bytes, owner)?;
        let va = memory.va.get();
        Ok((Work::Alloc(Arc::new(memory)), va))
    }

    /// Its `CU_GRAPH_NODE_TYPE_…`.
    pub(crate) fn kind(&self) -> c_uint {
        match self {
            Work::Plain(Command::Launch(_)) => TYPE_KERNEL,
            Work::Plain(Command::Copy(_)) => TYPE_MEMCPY,
            Work::Plain(Command::Fill(_)) => TYPE_MEMSET,
            Work::Plain(_) => TYPE_HOST,
            Work::Child(_) => TYPE_GRAPH,
            Work::Empty => TYPE_EMPTY,
            Work::Await(_) => TYPE_WAIT_EVENT,
            Work::Record(_) => TYPE_EVENT_RECORD,
            Work::Alloc(_) => TYPE_MEM_ALLOC,
            Work::Free(_) => TYPE_MEM_FREE,
            Work::Values(_) => TYPE_BATCH_MEM_OP,
        }
    }

    /// The work as another graph may hold it: what it holds of a graph does not change with that graph.
    pub(crate) fn frozen(&self) -> Self {
        match self {
            Work::Child(graph) => Work::Child(graph.copy()),
            work => work.clone(),
        }
    }
}

impl Node {
    /// Its work.
    pub(crate) fn work(&self) -> Work {
        lock(&self.work).clone()
    }

    /// Its `CU_GRAPH_NODE_TYPE_…`.
    pub(crate) fn kind(&self) -> c_uint {
        lock(&self.work).kind()
    }

    /// Gives it new work of the same kind.
    pub(crate) fn set(&self, new: Work) -> Outcome {
        let mut own = lock(&self.work);
        if own.kind() != new.kind() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        *own = new;
        Ok(())
    }
}

impl Graph {
    /// A new graph without nodes.
    pub(crate) fn create() -> Arc<Self> {
        let graph = Arc::new(Graph { id: handles::fresh(), parts: Mutex::default() });
        GRAPHS.insert(graph.id, graph.clone());
        graph
    }

    /// A new graph with the same nodes, which have handles of their own.
    pub(crate) fn copy(&self) -> Arc<Self> {
        let new = Graph::create();
        let parts = lock(&self.parts);
        let mut copied = lock(&new.parts);
        let mut ids = std::collections::BTreeMap::new();
        for node in &parts.nodes {
            let id = handles::fresh();
            ids.insert(node.id, id);
            let work = Mutex::new(lock(&node.work).frozen());
            let node = Arc::new(Node { id, graph: new.id, origin: node.id, work });
            NODES.insert(id, node.clone());
            copied.nodes.push(node);
        }
        copied.edges = parts.edges.iter().filter_map(|(a, b)| Some((*ids.get(a)?, *ids.get(b)?))).collect();
        drop(copied);
        drop(parts);
        new
    }

    /// Takes the graph's handle back, and those of its nodes; who runs it keeps what it needs.
    pub(crate) fn discard(&self) {
        let _ = GRAPHS.remove(self.id);
        let nodes = lock(&self.parts).nodes.clone();
        for node in nodes {
            let _ = NODES.remove(node.id);
            if let Work::Child(child) = &*lock(&node.work) {
                child.discard();
            }
        }
    }

    /// Adds a node that runs after others of the graph.
    pub(crate) fn add(&self, work: Work, after: &[CUgraphNode]) -> Outcome<Arc<Node>> {
        let id = handles::fresh();
        let node = Arc::new(Node { id, graph: self.id, origin: id, work: Mutex::new(work) });
        let mut parts = lock(&self.parts);
        parts.nodes.push(node.clone());
        parts.edges.extend(after.iter().map(|&before| (before, id)));
        drop(parts);
        NODES.insert(id, node.clone());
        Ok(node)
    }

    /// These nodes and all that run before them.
    pub(crate) fn before(&self, nodes: &[CUgraphNode]) -> BTreeSet<CUgraphNode> {
        let parts = lock(&self.parts);
        let mut found: BTreeSet<CUgraphNode> = BTreeSet::new();
        let mut open = nodes.to_vec();
        while let Some(node) = open.pop() {
            if found.insert(node) {
                open.extend(parts.edges.iter().filter(|edge| edge.1 == node).map(|edge| edge.0));
            }
        }
        found
    }

    /// The nodes in an order in which they can run, each with the places of those that it runs after, or an error where
    /// the edges form a circle.
    pub(crate) fn ordered(&self) -> Outcome<Vec<(Arc<Node>, Vec<usize>)>> {
        let parts = lock(&self.parts);
        let mut ordered: Vec<(Arc<Node>, Vec<usize>)> = Vec::new();
        let mut places = std::collections::BTreeMap::new();
        let mut left: Vec<_> = parts.nodes.clone();
        while !left.is_empty() {
            let before = left.len();
            let mut waiting = Vec::new();
            for node in left {
                let after = parts.edges.iter().filter(|edge| edge.1 == node.id);
                match after.map(|edge| places.get(&edge.0).copied()).collect::<Option<Vec<usize>>>() {
                    Some(after) => {
                        places.insert(node.id, ordered.len());
                        ordered.push((node, after));
                    }
                    None => waiting.push(node),
                }
            }
            if waiting.len() == before {
                return Err(CUDA_ERROR_INVALID_VALUE);
            }
            left = waiting;
        }
        Ok(ordered)
    }

    /// The nodes in the order in which they were added.
    pub(crate) fn nodes(&self) -> Vec<Arc<Node>> {
        lock(&self.parts).nodes.clone()
    }

    /// Pairs of nodes: the second one runs after the first.
    pub(crate) fn edges(&self) -> Vec<(CUgraphNode, CUgraphNode)> {
        lock(&self.parts).edges.clone()
    }

    /// Adds edges between its nodes, none of which may be there.
    pub(crate) fn connect(&self, new: Vec<(CUgraphNode, CUgraphNode)>) -> Outcome {
        let mut parts = lock(&self.parts);
        if new.iter().any(|edge| parts.edges.contains(edge)) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        parts.edges.extend(new);
        Ok(())
    }

    /// Removes edges, all of which have to be there.
    pub(crate) fn disconnect(&self, gone: &[(CUgraphNode, CUgraphNode)]) -> Outcome {
        let mut parts = lock(&self.parts);
        if !gone.iter().all(|edge| parts.edges.contains(edge)) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        parts.edges.retain(|edge| !gone.contains(edge));
        Ok(())
    }

    /// Removes a node with its edges.
    pub(crate) fn remove(&self, node: CUgraphNode) {
        let mut parts = lock(&self.parts);
        parts.nodes.retain(|other| other.id != node);
        parts.edges.retain(|edge| edge.0 != node && edge.1 != node);
    }

    /// Whether a node is the graph's.
    pub(crate) fn has(&self, node: CUgraphNode) -> bool {
        lock(&self.parts).nodes.iter().any(|other| other.id == node)
    }
}
