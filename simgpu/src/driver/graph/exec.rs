//! Graphs made ready: instantiation, launches and updates.

use super::{GRAPHS, Graph, TYPE_KERNEL, TYPE_MEMCPY, TYPE_MEMSET, Work};
use crate::driver::command::Command;
use crate::driver::event::{Event, Mark};
use crate::driver::handles::Handles;
use crate::driver::init::driver;
use crate::driver::stream::Stream;
use crate::driver::{Outcome, lock, present, put};
use abi::cuda::*;
use std::ffi::{c_char, c_uint, c_void};
use std::sync::{Arc, Mutex};

/// cuda.h: `CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE`.
const CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE: CUresult = 910;
/// cuda.h: all of `CUDA_GRAPH_INSTANTIATE_FLAG_…`, and `_DEVICE_LAUNCH`, which needs kernels that launch graphs.
const FLAGS: u64 = 15;
const FLAG_DEVICE_LAUNCH: u64 = 4;
/// cuda.h: `CU_GRAPH_EXEC_UPDATE_SUCCESS`, `_ERROR_TOPOLOGY_CHANGED` and `_ERROR_NODE_TYPE_CHANGED`.
const UPDATED: c_uint = 0;
const TOPOLOGY_CHANGED: c_uint = 2;
const TYPE_CHANGED: c_uint = 3;
/// cuda.h: `CUDA_GRAPH_INSTANTIATE_SUCCESS` and `_ERROR`.
const INSTANTIATED: c_uint = 0;
const NOT_INSTANTIATED: c_uint = 1;

pub(super) static EXECS: Handles<CUgraphExec, Exec> = Handles::new();

/// A graph made ready.
pub(crate) struct Exec {
    flags: u64,
    steps: Mutex<Vec<Step>>,
    /// The end of the last launch; launches of one graph follow each other.
    last: Mutex<Option<Arc<Mark>>>,
}

/// A node, in the order in which all run.
#[derive(Clone)]
struct Step {
    /// The node's handle in the graph that was made ready.
    node: CUgraphNode,
    work: Work,
    enabled: bool,
    after: Vec<usize>,
}

fn steps(graph: &Graph) -> Outcome<Vec<Step>> {
    let step = |(node, after): (Arc<super::Node>, Vec<usize>)| {
        let work = lock(&node.work).frozen();
        Step { node: node.id, work, enabled: true, after }
    };
    Ok(graph.ordered()?.into_iter().map(step).collect())
}

/// What a launch asks of a stream.
#[derive(Default)]
struct Asked {
    commands: Vec<Command>,
    /// The events that it records. They are told only once the stream has taken the commands: who waits for a mark that
    /// no stream comes to waits for ever.
    records: Vec<(Arc<Event>, Arc<Mark>)>,
}

impl Asked {
    /// Adds a step, children and all.
    fn add(&mut self, work: &Work) -> Outcome {
        match work {
            Work::Plain(command) => self.commands.push(command.clone()),
            Work::Values(commands) => self.commands.extend(commands.iter().cloned()),
            Work::Child(graph) => {
                for (node, _) in graph.ordered()? {
                    self.add(&lock(&node.work))?;
                }
            }
            Work::Record(event) => {
                let mark = Arc::new(Mark::default());
                self.records.push((event.clone(), mark.clone()));
                self.commands.push(Command::Record(mark));
            }
            Work::Await(event) => self.commands.extend(self.last_mark(event).map(Command::Await)),
            // The memory is there for as long as the graph, so nothing is left to do when its nodes' turns come.
            Work::Empty | Work::Alloc(_) | Work::Free(_) => {}
        }
        Ok(())
    }

    /// The last recording of an event, here or before.
    fn last_mark(&self, event: &Arc<Event>) -> Option<Arc<Mark>> {
        let here = self.records.iter().rev().find(|(recorded, _)| Arc::ptr_eq(recorded, event));
        here.map(|(_, mark)| mark.clone()).or_else(|| event.mark())
    }
}

impl Exec {
    /// Gives a node new work of the same kind.
    pub(super) fn set(&self, node: CUgraphNode, work: Work) -> Outcome {
        let mut steps = lock(&self.steps);
        let step = steps.iter_mut().find(|step| step.node == node).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        if step.work.kind() != work.kind() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        step.work = work;
        Ok(())
    }

    /// Runs the graph in a stream; one that is captured takes it as a child.
    fn launch(&self, stream: &Arc<Stream>) -> Outcome {
        let steps = lock(&self.steps).clone();
        if stream.is_capturing() {
            return stream.capture_work(Work::Child(as_graph(&steps)?));
        }
        let mut asked = Asked::default();
        for step in steps.iter().filter(|step| step.enabled) {
            asked.add(&step.work)?;
        }
        let mark = Arc::new(Mark::default());
        let mut last = lock(&self.last);
        let before = last.iter().map(|mark| Command::Await(mark.clone()));
        let all = before.chain(asked.commands).chain([Command::Record(mark.clone())]).collect();
        // The graph's memory must outlive its work, whatever becomes of the graph meanwhile.
        let held = steps.into_iter().map(|step| step.work).filter(|work| matches!(work, Work::Alloc(_))).collect();
        stream.submit(Command::Graph(Arc::new((all, held))))?;
        *last = Some(mark);
        asked.records.into_iter().for_each(|(event, mark)| event.set(mark));
        Ok(())
    }

    /// Takes the work of a graph of the same form; else says what differs, and at which of its nodes.
    fn update(&self, graph: &Graph) -> Result<(), (c_uint, CUgraphNode)> {
        let new = steps(graph).map_err(|_| (TOPOLOGY_CHANGED, CUgraphNode::NULL))?;
        let mut own = lock(&self.steps);
        if own.len() != new.len() {
            return Err((TOPOLOGY_CHANGED, CUgraphNode::NULL));
        }
        for (own, new) in own.iter().zip(&new) {
            if own.work.kind() != new.work.kind() {
                return Err((TYPE_CHANGED, new.node));
            }
            if own.after != new.after {
                return Err((TOPOLOGY_CHANGED, new.node));
            }
        }
        for (own, new) in own.iter_mut().zip(new) {
            own.work = new.work;
        }
        Ok(())
    }
}

fn as_graph(steps: &[Step]) -> Outcome<Arc<Graph>> {
    let graph = Graph::create();
    let mut nodes = Vec::new();
    for step in steps {
        let after: Vec<CUgraphNode> = step.after.iter().filter_map(|&place| nodes.get(place).copied()).collect();
        let work = if step.enabled { step.work.frozen() } else { Work::Empty };
        nodes.push(graph.add(work, &after)?.id);
    }
    Ok(graph)
}

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
    let ready = Exec { flags, steps: Mutex::new(steps(&graph)?), last: Mutex::default() };
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(exec, EXECS.add(Arc::new(ready))) }
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
        if flags & 2 != 0 {
            Stream::resolve(upload, default)?;
        }
        let made = instantiate(exec, graph, flags);
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
        let stream = Stream::resolve(stream, default)?;
        EXECS.get(graph)?.launch(&stream)
    }

    /// Nothing has to be sent ahead to the simulated GPU.
    fn cuGraphUpload/cuGraphUpload_ptsz[default](graph: CUgraphExec, stream: CUstream) {
        Stream::resolve(stream, default)?;
        EXECS.get(graph).map(drop)
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
        let node = super::build::node(node)?;
        let mut steps = lock(&exec.steps);
        let step = steps.iter_mut().find(|step| step.node == node.id).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        if ![TYPE_KERNEL, TYPE_MEMCPY, TYPE_MEMSET].contains(&step.work.kind()) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        step.enabled = enabled != 0;
        Ok(())
    }

    fn cuGraphNodeGetEnabled(exec: CUgraphExec, node: CUgraphNode, enabled: *mut c_uint) {
        driver()?;
        let exec = EXECS.get(exec)?;
        let node = super::build::node(node)?;
        let steps = lock(&exec.steps);
        let step = steps.iter().find(|step| step.node == node.id).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        // SAFETY: the caller passes null or a place for the answer, as cuda.h demands.
        unsafe { put(enabled, c_uint::from(step.enabled)) }
    }
}
