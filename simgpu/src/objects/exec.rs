//! Graphs made ready: instantiation, launches and updates.

use super::command::Command;
use super::descriptor;
use super::driver::driver;
use super::event::{Event, Last};
use super::graph::{Graph, Node, TYPE_KERNEL, TYPE_MEMCPY, TYPE_MEMSET, Work};
use super::handles::Handles;
use super::launch::Launch;
use super::mark::Mark;
use super::stream::Stream;
use super::{Outcome, lock};
use abi::cuda::*;
use abi::qmd::TpcMask;
use std::collections::VecDeque;
use std::ffi::c_uint;
use std::sync::{Arc, Mutex};

/// cuda.h: `CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED` and `_ERROR_NODE_TYPE_CHANGED`.
const TOPOLOGY_CHANGED: c_uint = 2;
const TYPE_CHANGED: c_uint = 3;

pub(crate) static EXECS: Handles<CUgraphExec, Exec> = Handles::new();

/// A graph made ready.
pub(crate) struct Exec {
    /// The flags that it was made with.
    pub(crate) flags: u64,
    steps: Mutex<Vec<Step>>,
    /// The masks in the descriptors of its kernels, in the order of these; `None` until they are made.
    masks: Mutex<Option<Vec<TpcMask>>>,
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
    let step = |(node, after): (Arc<Node>, Vec<usize>)| {
        let work = node.work().frozen();
        Step { node: node.id, work, enabled: true, after }
    };
    Ok(graph.ordered()?.into_iter().map(step).collect())
}

/// The number of kernels of a node, children and all.
fn kernels(work: &Work) -> Outcome<usize> {
    match work {
        Work::Plain(Command::Launch(_)) => Ok(1),
        Work::Child(graph) => graph.ordered()?.iter().map(|(node, _)| kernels(&node.work())).sum(),
        _ => Ok(0),
    }
}

/// The commands that a launch asks of a stream.
#[derive(Default)]
struct Asked {
    /// The masks of the kernels to come.
    masks: VecDeque<TpcMask>,
    commands: Vec<Command>,
    /// The events that it records. They are told only once the stream has taken the commands: who waits for a mark that
    /// no stream comes to waits for ever.
    records: Vec<(Arc<Event>, Arc<Mark>)>,
}

impl Asked {
    /// Adds a step, children and all.
    fn add(&mut self, work: &Work) -> Outcome {
        match work {
            Work::Plain(Command::Launch(launch)) => {
                // A kernel that an update added has none.
                let mask = self.masks.pop_front().unwrap_or(TpcMask::NONE);
                self.commands.push(Command::Launch(Launch { mask, ..*launch }));
            }
            Work::Plain(command) => self.commands.push(command.clone()),
            Work::Values(commands) => self.commands.extend(commands.iter().cloned()),
            Work::Child(graph) => {
                for (node, _) in graph.ordered()? {
                    self.add(&node.work())?;
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
    /// Makes a graph ready as it is now.
    pub(crate) fn of(graph: &Graph, flags: u64) -> Outcome<Arc<Self>> {
        Ok(Arc::new(Exec { flags, steps: Mutex::new(steps(graph)?), masks: Mutex::default(), last: Mutex::default() }))
    }

    /// Lets a node of a kind that can be left out run or not.
    pub(crate) fn enable(&self, node: CUgraphNode, enabled: bool) -> Outcome {
        let mut steps = lock(&self.steps);
        let step = steps.iter_mut().find(|step| step.node == node).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        if ![TYPE_KERNEL, TYPE_MEMCPY, TYPE_MEMSET].contains(&step.work.kind()) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        step.enabled = enabled;
        Ok(())
    }

    /// Whether a node runs.
    pub(crate) fn is_enabled(&self, node: CUgraphNode) -> Outcome<bool> {
        let steps = lock(&self.steps);
        let step = steps.iter().find(|step| step.node == node).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        Ok(step.enabled)
    }

    /// Gives a node new work of the same kind.
    pub(crate) fn set(&self, node: CUgraphNode, work: Work) -> Outcome {
        let mut steps = lock(&self.steps);
        let step = steps.iter_mut().find(|step| step.node == node).ok_or(CUDA_ERROR_INVALID_VALUE)?;
        if step.work.kind() != work.kind() {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        step.work = work;
        Ok(())
    }

    /// Makes the descriptors of its kernels, where there are none yet. The masks that they get then stay: setting a node's
    /// parameters again leaves them as they are, as was measured. What an update of the graph does to them was not.
    pub(crate) fn upload(&self) -> Outcome {
        let steps = lock(&self.steps).clone();
        if lock(&self.masks).is_some() {
            return Ok(());
        }
        let compute = driver()?.machine.spec().compute;
        let count: usize = steps.iter().map(|step| kernels(&step.work)).sum::<Outcome<usize>>()?;
        // Subscribers are called without locks, as they may use the graph.
        let made = (0..count).map(|_| descriptor::announce(compute)).collect();
        lock(&self.masks).get_or_insert(made);
        Ok(())
    }

    /// Runs the graph in a stream; one that is captured takes it as a child.
    pub(crate) fn launch(&self, stream: &Arc<Stream>) -> Outcome {
        let steps = lock(&self.steps).clone();
        if stream.seat.is_captured() {
            return stream.seat.push(Work::Child(as_graph(&steps)?));
        }
        self.upload()?;
        let masks = lock(&self.masks).iter().flatten().copied().collect();
        let mut asked = Asked { masks, ..Asked::default() };
        for step in &steps {
            if step.enabled {
                asked.add(&step.work)?;
            } else {
                asked.masks.drain(..kernels(&step.work)?.min(asked.masks.len()));
            }
        }
        let mark = Arc::new(Mark::default());
        let mut last = lock(&self.last);
        let before = last.iter().map(|mark| Command::Await(mark.clone()));
        let all = before.chain(asked.commands).chain([Command::Record(mark.clone())]).collect();
        // The graph's memory must outlive its work, whatever becomes of the graph meanwhile.
        let memory = |step: Step| if let Work::Alloc(memory) = step.work { Some(memory) } else { None };
        let held = steps.into_iter().filter_map(memory).collect();
        stream.submit(Command::Graph(Arc::new((all, held))))?;
        *last = Some(mark);
        asked.records.into_iter().for_each(|(event, mark)| event.set(Last::Recorded(mark)));
        Ok(())
    }

    /// Takes the work of a graph of the same form; else says what differs, and at which of its nodes.
    pub(crate) fn update(&self, graph: &Graph) -> Result<(), (c_uint, CUgraphNode)> {
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
