//! The copies of executable graphs: what a launch moves over the bus, so that it counts as one copy.
//!
//! A graph's nodes are looked at once, when it is made executable. A launch asks for its graph's sum without a lock and
//! without allocating; where no graph has copies, with one load of a word.

use super::transfer::Transfer;
use crate::base::lock::Lock;
use crate::driver::objects::{self, Moved, OBJECTS};
use crate::driver::query;
use abi::cuda::*;
use std::collections::HashMap;
use std::ffi::c_uint;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use units::Bytes;

/// cuda.h: `CU_GRAPH_NODE_TYPE_MEMCPY` and `CU_GRAPH_NODE_TYPE_GRAPH`.
const NODE_MEMCPY: c_uint = 1;
const NODE_GRAPH: c_uint = 4;
/// Graphs within graphs are followed so deep, and so many nodes of one graph are looked at.
const DEEPEST: usize = 8;
const MOST_NODES: usize = 1 << 16;

/// The most executable graphs with copies that are known at a time; the copies of more are not counted.
const PLACES: usize = 512;

/// The sum of one executable graph, for launches to read.
struct Place {
    /// The graph; 0 where nothing was ever kept, [`GONE`] where it is no more.
    exec: AtomicUsize,
    over: [AtomicU64; 2],
}

const GONE: usize = 1;

static PLACES_BY_EXEC: [Place; PLACES] =
    [const { Place { exec: AtomicUsize::new(0), over: [const { AtomicU64::new(0) }; 2] } }; PLACES];
/// Places that are taken.
static TAKEN: AtomicUsize = AtomicUsize::new(0);
/// Held while places are written, so that there is one writer.
static WRITING: Lock<()> = Lock::new(());

fn places(exec: CUgraphExec) -> impl Iterator<Item = &'static Place> {
    let start = exec.addr().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    (0..PLACES).map(move |i| &PLACES_BY_EXEC[(start + i) % PLACES])
}

fn place_of(exec: CUgraphExec) -> Option<&'static Place> {
    places(exec)
        .take_while(|place| place.exec.load(Ordering::Acquire) != 0)
        .find(|place| place.exec.load(Ordering::Acquire) == exec.addr())
}

/// Bytes that a launch of the graph moves over the bus; `None` where it moves nothing.
#[inline]
pub(crate) fn moved_by(exec: CUgraphExec) -> Option<Moved> {
    if TAKEN.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let place = place_of(exec)?;
    let over = [0, 1].map(|direction| Bytes::new(place.over[direction].load(Ordering::Relaxed)));
    Some(Moved { over, within: Bytes::ZERO }).filter(|moved| *moved != Moved::default())
}

/// The graph is executable now, or was made anew from `graph`.
pub(crate) fn made(exec: CUgraphExec, graph: CUgraph) {
    let mut found = HashMap::new();
    look_into(graph, None, 0, &mut found);
    let _writing = WRITING.lock();
    if found.is_empty() {
        OBJECTS.graphs.take(exec);
        publish(exec, None);
    } else {
        publish(exec, Some(&found));
        OBJECTS.graphs.insert(exec, found);
    }
}

/// One copying node of an executable graph has another copy now.
pub(crate) fn changed(exec: CUgraphExec, node: CUgraphNode, copy: &CUDA_MEMCPY3D) {
    let _writing = WRITING.lock();
    OBJECTS.graphs.change(exec, HashMap::new, |nodes| {
        nodes.insert(node, Transfer::solid(copy).moved());
        publish(exec, Some(nodes));
    });
}

/// The executable graph is to be destroyed: nobody finds its sum while the driver does.
pub(crate) fn free(exec: CUgraphExec, forward: impl FnOnce() -> CUresult) -> CUresult {
    if TAKEN.load(Ordering::Relaxed) == 0 {
        return forward();
    }
    publish_under_lock(exec, None);
    let result = objects::free(&OBJECTS.graphs, exec, forward);
    if result != CUDA_SUCCESS {
        // Cloned, as the lock of places is taken before that of the table and never after it.
        let nodes = OBJECTS.graphs.look(exec, HashMap::clone);
        publish_under_lock(exec, nodes.as_ref().map(|(_, nodes)| nodes));
    }
    result
}

fn publish_under_lock(exec: CUgraphExec, found: Option<&HashMap<CUgraphNode, Moved>>) {
    let _writing = WRITING.lock();
    publish(exec, found);
}

/// Writes what launches read. Called by one thread at a time.
fn publish(exec: CUgraphExec, found: Option<&HashMap<CUgraphNode, Moved>>) {
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
        found.into_iter().flatten().fold(Bytes::ZERO, |sum, (_, moved)| sum.saturating_add(moved.over[direction]))
    };
    for (direction, over) in place.over.iter().enumerate() {
        over.store(sum(direction).get(), Ordering::Relaxed);
    }
    let now = if found.is_some() { exec.addr() } else { GONE };
    let before = place.exec.swap(now, Ordering::Release);
    match (before == exec.addr(), found.is_some()) {
        (false, true) => _ = TAKEN.fetch_add(1, Ordering::Relaxed),
        (true, false) => _ = TAKEN.fetch_sub(1, Ordering::Relaxed),
        _ => {}
    }
}

/// Adds what the nodes of the graph move; those of graphs within it count for the node that holds them.
fn look_into(graph: CUgraph, holder: Option<CUgraphNode>, depth: usize, found: &mut HashMap<CUgraphNode, Moved>) {
    for node in query::nodes(graph, MOST_NODES) {
        let key = holder.unwrap_or(node);
        match query::node_kind(node) {
            Some(NODE_MEMCPY) => {
                let Some(copy) = query::node_copy(node) else { continue };
                let transfer = Transfer::solid(&copy);
                if let Transfer::Bus(..) = transfer {
                    transfer.add_to(found.entry(key).or_default());
                }
            }
            Some(NODE_GRAPH) if depth < DEEPEST => {
                if let Some(child) = query::child_graph(node) {
                    look_into(child, Some(key), depth + 1, found);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: CUgraphNode = CUgraphNode::from_addr(1);

    fn moved(h2d: u64) -> Moved {
        Moved { over: [Bytes::new(h2d), Bytes::ZERO], within: Bytes::ZERO }
    }

    #[test]
    fn a_launch_finds_the_sum_of_its_graph_until_that_is_gone() {
        let (one, other) = (CUgraphExec::from_addr(0x5000), CUgraphExec::from_addr(0x6000));
        assert_eq!(moved_by(one), None);
        let keep = |exec: CUgraphExec, bytes| {
            OBJECTS.graphs.insert(exec, HashMap::from([(NODE, moved(bytes))]));
            publish_under_lock(exec, Some(&HashMap::from([(NODE, moved(bytes))])));
        };
        keep(one, 10);
        keep(other, 20);
        assert_eq!(moved_by(one), Some(moved(10)));
        keep(one, 30);
        assert_eq!(moved_by(one), Some(moved(30)));
        assert_eq!(free(one, || CUDA_ERROR_INVALID_VALUE), CUDA_ERROR_INVALID_VALUE);
        assert_eq!(moved_by(one), Some(moved(30)), "the driver refused");
        free(one, || CUDA_SUCCESS);
        assert_eq!((moved_by(one), moved_by(other)), (None, Some(moved(20))));
        free(other, || CUDA_SUCCESS);
        assert_eq!(TAKEN.load(Ordering::Relaxed), 0);
    }
}
