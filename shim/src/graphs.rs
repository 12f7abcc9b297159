//! What the copies of executable graphs move over the bus, so that a launch can take its turn as one.
//!
//! A graph's nodes are looked at once, when it is made executable. A launch asks for its graph's loads without a lock and
//! without allocating; where no graph has copies, with one load of a word.

use crate::real;
use crate::traffic::{Loads, Traffic};
use abi::cuda::*;
use std::collections::HashMap;
use std::ffi::c_uint;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use units::Bytes;

/// cuda.h: `CU_GRAPH_NODE_TYPE_MEMCPY` and `CU_GRAPH_NODE_TYPE_GRAPH`.
const NODE_MEMCPY: c_uint = 1;
const NODE_GRAPH: c_uint = 4;
/// How deep graphs within graphs are followed, and how many nodes of one graph are looked at.
const DEEPEST: usize = 8;
const MOST_NODES: usize = 1 << 16;

/// The most executable graphs with copies that are known at a time; the copies of more are not counted.
const PLACES: usize = 512;

/// One executable graph's loads, for launches to read.
struct Place {
    /// The graph; 0 where nothing was ever kept, [`GONE`] where it is no more.
    exec: AtomicUsize,
    over: [AtomicU64; 2],
}

const GONE: usize = 1;

static PLACES_BY_EXEC: [Place; PLACES] =
    [const { Place { exec: AtomicUsize::new(0), over: [const { AtomicU64::new(0) }; 2] } }; PLACES];
/// How many of them are taken.
static TAKEN: AtomicUsize = AtomicUsize::new(0);
/// What each copying node of each executable graph moves, for changes of single nodes.
static NODES: Mutex<Option<HashMap<usize, HashMap<usize, Loads>>>> = Mutex::new(None);

fn places(exec: usize) -> impl Iterator<Item = &'static Place> {
    let start = exec.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    (0..PLACES).map(move |i| &PLACES_BY_EXEC[(start + i) % PLACES])
}

fn place_of(exec: usize) -> Option<&'static Place> {
    places(exec)
        .take_while(|place| place.exec.load(Ordering::Acquire) != 0)
        .find(|place| place.exec.load(Ordering::Acquire) == exec)
}

/// What a launch of the graph moves over the bus; `None` where it moves nothing.
#[inline]
pub(crate) fn loads_of(exec: CUgraphExec) -> Option<Loads> {
    if TAKEN.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let place = place_of(exec.addr())?;
    let over = [0, 1].map(|direction| Bytes::new(place.over[direction].load(Ordering::Relaxed)));
    Some(Loads { over, within: Bytes::ZERO }).filter(|loads| *loads != Loads::default())
}

fn nodes() -> MutexGuard<'static, Option<HashMap<usize, HashMap<usize, Loads>>>> {
    NODES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The graph is executable now, or was made anew from `graph`.
pub(crate) fn made(exec: CUgraphExec, graph: CUgraph) {
    let mut found = HashMap::new();
    look_into(graph, None, 0, &mut found);
    let mut all = nodes();
    if found.is_empty() {
        if let Some(all) = all.as_mut() {
            all.remove(&exec.addr());
        }
        publish(exec.addr(), None);
    } else {
        publish(exec.addr(), Some(&found));
        all.get_or_insert_with(HashMap::new).insert(exec.addr(), found);
    }
}

/// One copying node of an executable graph has another copy now.
pub(crate) fn changed(exec: CUgraphExec, node: CUgraphNode, copy: &CUDA_MEMCPY3D) {
    let mut all = nodes();
    let all = all.get_or_insert_with(HashMap::new);
    let own = all.entry(exec.addr()).or_default();
    let mut loads = Loads::default();
    loads.add(Traffic::solid(copy));
    own.insert(node.addr(), loads);
    publish(exec.addr(), Some(own));
}

/// The executable graph is no more.
pub(crate) fn gone(exec: CUgraphExec) {
    if TAKEN.load(Ordering::Relaxed) == 0 {
        return;
    }
    if let Some(all) = nodes().as_mut() {
        all.remove(&exec.addr());
    }
    publish(exec.addr(), None);
}

/// Writes what launches read. Called with the nodes held, so there is one writer.
fn publish(exec: usize, found: Option<&HashMap<usize, Loads>>) {
    let place = match (place_of(exec), found) {
        (None, None) => return,
        (Some(place), _) => place,
        (None, Some(_)) => {
            let free = places(exec).find(|place| place.exec.load(Ordering::Relaxed) <= GONE);
            let Some(place) = free else { return };
            place
        }
    };
    let sum = |direction: usize| {
        found.into_iter().flatten().fold(Bytes::ZERO, |sum, (_, loads)| sum.saturating_add(loads.over[direction]))
    };
    for (direction, over) in place.over.iter().enumerate() {
        over.store(sum(direction).get(), Ordering::Relaxed);
    }
    let before = place.exec.swap(if found.is_some() { exec } else { GONE }, Ordering::Release);
    match (before == exec, found.is_some()) {
        (false, true) => _ = TAKEN.fetch_add(1, Ordering::Relaxed),
        (true, false) => _ = TAKEN.fetch_sub(1, Ordering::Relaxed),
        _ => {}
    }
}

/// Adds what the nodes of the graph move; those of graphs within it count for the node that holds them.
fn look_into(graph: CUgraph, holder: Option<usize>, depth: usize, found: &mut HashMap<usize, Loads>) {
    for node in nodes_of(graph) {
        let key = holder.unwrap_or(node.addr());
        match kind_of(node) {
            Some(NODE_MEMCPY) => {
                let Some(copy) = copy_of(node) else { continue };
                let traffic = Traffic::solid(&copy);
                if let Traffic::Bus(..) = traffic {
                    found.entry(key).or_default().add(traffic);
                }
            }
            Some(NODE_GRAPH) if depth < DEEPEST => {
                if let Some(child) = child_of(node) {
                    look_into(child, Some(key), depth + 1, found);
                }
            }
            _ => {}
        }
    }
}

fn nodes_of(graph: CUgraph) -> Vec<CUgraphNode> {
    let Some(ask) = real::cuGraphGetNodes.get() else { return Vec::new() };
    let mut count = 0;
    // SAFETY: without a place for the nodes the function writes their number.
    let counted = unsafe { ask(graph, std::ptr::null_mut(), &mut count) };
    if counted != CUDA_SUCCESS || count > MOST_NODES {
        return Vec::new();
    }
    let mut nodes = vec![CUgraphNode::NULL; count];
    // SAFETY: there is room for as many as it says.
    let listed = unsafe { ask(graph, nodes.as_mut_ptr(), &mut count) };
    nodes.truncate(if listed == CUDA_SUCCESS { count } else { 0 });
    nodes
}

fn kind_of(node: CUgraphNode) -> Option<c_uint> {
    let mut kind = 0;
    // SAFETY: the function writes the node's type.
    (unsafe { real::cuGraphNodeGetType.get()?(node, &mut kind) } == CUDA_SUCCESS).then_some(kind)
}

fn copy_of(node: CUgraphNode) -> Option<CUDA_MEMCPY3D> {
    let mut copy = std::mem::MaybeUninit::<CUDA_MEMCPY3D>::zeroed();
    // SAFETY: the function writes a description; the structure is integers and pointers, for which zero is valid too.
    let asked = unsafe { real::cuGraphMemcpyNodeGetParams.get()?(node, copy.as_mut_ptr()) };
    // SAFETY: as above.
    (asked == CUDA_SUCCESS).then(|| unsafe { copy.assume_init() })
}

fn child_of(node: CUgraphNode) -> Option<CUgraph> {
    let mut child = CUgraph::NULL;
    // SAFETY: the function writes a graph.
    (unsafe { real::cuGraphChildGraphNodeGetGraph.get()?(node, &mut child) } == CUDA_SUCCESS).then_some(child)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(h2d: u64) -> Loads {
        Loads { over: [Bytes::new(h2d), Bytes::ZERO], within: Bytes::ZERO }
    }

    #[test]
    fn a_launch_finds_the_loads_of_its_graph_until_that_is_gone() {
        let (one, other) = (CUgraphExec::from_addr(0x5000), CUgraphExec::from_addr(0x6000));
        assert_eq!(loads_of(one), None);
        let keep = |exec: CUgraphExec, bytes| publish(exec.addr(), Some(&HashMap::from([(1, loads(bytes))])));
        keep(one, 10);
        keep(other, 20);
        assert_eq!(loads_of(one), Some(loads(10)));
        keep(one, 30);
        assert_eq!(loads_of(one), Some(loads(30)));
        gone(one);
        assert_eq!((loads_of(one), loads_of(other)), (None, Some(loads(20))));
        gone(other);
        assert_eq!(TAKEN.load(Ordering::Relaxed), 0);
    }
}
