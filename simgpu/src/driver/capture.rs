//! Stream capture: streams whose work becomes a graph instead of being done.

mod exports;

use super::command::Command;
use super::graph::{Graph, Work};
use super::stream::{Kind, Stream};
use super::{Outcome, lock};
use abi::cuda::*;
use std::cell::Cell;
use std::ffi::c_uint;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::ThreadId;

pub(in crate::driver) use exports::*;

/// cuda.h: the errors that belong to capture.
pub(crate) const CUDA_ERROR_ILLEGAL_STATE: CUresult = 401;
pub(crate) const CUDA_ERROR_STREAM_CAPTURE_INVALIDATED: CUresult = 901;
const CUDA_ERROR_STREAM_CAPTURE_MERGE: CUresult = 902;
const CUDA_ERROR_STREAM_CAPTURE_UNMATCHED: CUresult = 903;
const CUDA_ERROR_STREAM_CAPTURE_UNJOINED: CUresult = 904;
const CUDA_ERROR_STREAM_CAPTURE_ISOLATION: CUresult = 905;
const CUDA_ERROR_STREAM_CAPTURE_IMPLICIT: CUresult = 906;
pub(crate) const CUDA_ERROR_CAPTURED_EVENT: CUresult = 907;
const CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD: CUresult = 908;

/// cuda.h: `CU_STREAM_CAPTURE_MODE_…`.
const MODE_GLOBAL: c_uint = 0;
const MODE_RELAXED: c_uint = 2;

/// The captures that are going on, and their number for those who only want to know that there is none.
static ACTIVE: Mutex<Vec<Weak<Capture>>> = Mutex::new(Vec::new());
static COUNT: AtomicUsize = AtomicUsize::new(0);
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// What `cuThreadExchangeStreamCaptureMode` set.
    static MODE: Cell<c_uint> = const { Cell::new(MODE_GLOBAL) };
}

/// One capture, of one stream and those that joined it.
pub(crate) struct Capture {
    id: u64,
    graph: Arc<Graph>,
    /// Whether the graph was there before the capture.
    is_given: bool,
    mode: c_uint,
    thread: ThreadId,
    origin: Weak<Stream>,
    broken: AtomicBool,
    streams: Mutex<Vec<Weak<Stream>>>,
}

/// Where a captured stream, or an event recorded in one, stands: what comes next comes after these nodes.
#[derive(Clone)]
pub(crate) struct Tip {
    capture: Arc<Capture>,
    after: Vec<CUgraphNode>,
}

impl Capture {
    /// Makes the capture fail, now and at its end.
    fn spoil(&self, code: CUresult) -> CUresult {
        self.broken.store(true, Ordering::Release);
        code
    }

    /// Gives up the graph of a capture that failed, unless the program has it.
    fn discard(&self) {
        if !self.is_given {
            self.graph.discard();
        }
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Takes all streams out of the capture; returns where each of them stood.
    fn end(self: &Arc<Self>) -> Vec<Tip> {
        let mut active = lock(&ACTIVE);
        active.retain(|other| other.upgrade().is_some_and(|other| !Arc::ptr_eq(&other, self)));
        COUNT.store(active.len(), Ordering::Release);
        drop(active);
        let streams: Vec<_> = lock(&self.streams).drain(..).collect();
        streams.iter().filter_map(Weak::upgrade).filter_map(|stream| lock(&stream.capture).take()).collect()
    }
}

impl Tip {
    /// Appends a node; the next one comes after it.
    pub(crate) fn push(&mut self, work: Work) -> Outcome {
        if self.capture.is_broken() {
            return Err(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        }
        self.after = vec![self.capture.graph.add(work, &self.after)?.id];
        Ok(())
    }

    /// Appends what a command does.
    pub(crate) fn take(&mut self, command: Command) -> Outcome {
        match Work::of(command) {
            Ok(work) => self.push(work),
            Err(code) => Err(self.capture.spoil(code)),
        }
    }

    /// The call is not allowed while the stream is captured.
    pub(crate) fn refuse(&self) -> CUresult {
        self.capture.spoil(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED)
    }

    /// Makes the capture fail at its end.
    pub(crate) fn spoil(&self) {
        self.capture.spoil(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    }

    fn add(&mut self, nodes: &[CUgraphNode]) {
        for node in nodes {
            if !self.after.contains(node) {
                self.after.push(*node);
            }
        }
    }
}

/// Fails where a call that may disturb a capture is not allowed, and makes the captures fail that it would disturb.
///
/// Whose captures they are, by the modes of the thread and of the capture, is in cuda.h on
/// `cuThreadExchangeStreamCaptureMode`. Which calls they are ("potentially unsafe API calls") it does not list. Known are
/// `cuMemAlloc` (there as well) and `cuEventQuery` of an event from before the capture: it ends the global captures of
/// other threads, and does not from a thread in thread-local mode (seen with NCCL's watchdog, pytorch/pytorch#104555 and
/// #148594). That `cuEventSynchronize`, `cuStreamQuery` and `cuStreamSynchronize` of what has nothing to do with the capture
/// are among them is inferred from that; it waits for a recording of `tests/gpu/corpus.py`.
pub(crate) fn forbid() -> Outcome {
    if COUNT.load(Ordering::Acquire) == 0 {
        return Ok(());
    }
    let (mode, thread) = (MODE.get(), std::thread::current().id());
    let disturbed = |it: &Arc<Capture>| match mode {
        MODE_RELAXED => false,
        MODE_GLOBAL => it.mode == MODE_GLOBAL || (it.mode != MODE_RELAXED && it.thread == thread),
        _ => it.mode != MODE_RELAXED && it.thread == thread,
    };
    let disturbed: Vec<_> = lock(&ACTIVE).iter().filter_map(Weak::upgrade).filter(disturbed).collect();
    let mut outcome = Ok(());
    for capture in disturbed {
        outcome = Err(capture.spoil(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED));
    }
    outcome
}

/// Fails where the legacy default stream would have to wait for a stream that is captured. The capture fails by that
/// where the call would do something in the stream; one that only asks about it does no harm (cuda.h on
/// `cuStreamIsCapturing`: "The blocking stream capture is not invalidated").
pub(crate) fn forbid_legacy(streams: &[Arc<Stream>], asks: bool) -> Outcome {
    if COUNT.load(Ordering::Acquire) == 0 {
        return Ok(());
    }
    for stream in streams.iter().filter(|stream| stream.kind == Kind::Blocking) {
        if let Some(tip) = &*lock(&stream.capture) {
            let code = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
            return Err(if asks { code } else { tip.capture.spoil(code) });
        }
    }
    Ok(())
}

/// Fails where one of these streams is captured, for calls that wait for all of them.
pub(crate) fn forbid_waiting(streams: &[Arc<Stream>]) -> Outcome {
    if COUNT.load(Ordering::Acquire) == 0 {
        return Ok(());
    }
    match streams.iter().find_map(|stream| lock(&stream.capture).as_ref().map(Tip::refuse)) {
        Some(code) => Err(code),
        None => Ok(()),
    }
}

/// Makes `stream` wait for an event that was recorded in a captured stream: it joins the capture.
pub(crate) fn join(stream: &Arc<Stream>, event: &Tip) -> Outcome {
    let capture = &event.capture;
    let goes_on = capture.origin.upgrade().is_some_and(|origin| {
        Arc::ptr_eq(&origin, stream)
            || lock(&origin.capture).as_ref().is_some_and(|tip| Arc::ptr_eq(&tip.capture, capture))
    });
    let mut own = lock(&stream.capture);
    match &mut *own {
        Some(tip) if Arc::ptr_eq(&tip.capture, capture) => tip.add(&event.after),
        Some(tip) => {
            tip.capture.spoil(CUDA_ERROR_STREAM_CAPTURE_MERGE);
            return Err(capture.spoil(CUDA_ERROR_STREAM_CAPTURE_MERGE));
        }
        None if !goes_on => return Err(CUDA_ERROR_CAPTURED_EVENT),
        None if stream.kind == Kind::Legacy => return Err(capture.spoil(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT)),
        None => {
            *own = Some(event.clone());
            lock(&capture.streams).push(Arc::downgrade(stream));
        }
    }
    Ok(())
}

/// Takes a stream that goes away out of its capture, which fails by that, and ends where nobody else can end it.
pub(crate) fn abandon(stream: &Arc<Stream>) {
    let tip = lock(&stream.capture).take();
    if let Some(Tip { capture, .. }) = tip {
        capture.spoil(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        if capture.origin.upgrade().is_none_or(|origin| Arc::ptr_eq(&origin, stream)) {
            capture.end();
            capture.discard();
        }
    }
}

/// A captured stream is told to wait for something outside of the capture.
pub(crate) fn isolation(tip: &Tip) -> CUresult {
    tip.capture.spoil(CUDA_ERROR_STREAM_CAPTURE_ISOLATION)
}

fn begin(stream: &Arc<Stream>, given: Option<(Arc<Graph>, Vec<CUgraphNode>)>, mode: c_uint) -> Outcome {
    if mode > MODE_RELAXED {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    if stream.kind == Kind::Legacy {
        return Err(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    }
    let mut own = lock(&stream.capture);
    if own.is_some() {
        return Err(CUDA_ERROR_ILLEGAL_STATE);
    }
    let is_given = given.is_some();
    let (graph, after) = given.unwrap_or_else(|| (Graph::create(), Vec::new()));
    let capture = Arc::new(Capture {
        id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        graph,
        is_given,
        mode,
        thread: std::thread::current().id(),
        origin: Arc::downgrade(stream),
        broken: AtomicBool::new(false),
        streams: Mutex::new(vec![Arc::downgrade(stream)]),
    });
    let mut active = lock(&ACTIVE);
    active.retain(|other| other.strong_count() > 0);
    active.push(Arc::downgrade(&capture));
    COUNT.store(active.len(), Ordering::Release);
    drop(active);
    *own = Some(Tip { capture, after });
    Ok(())
}

fn end(stream: &Arc<Stream>) -> Outcome<Arc<Graph>> {
    let tip = lock(&stream.capture).clone().ok_or(CUDA_ERROR_ILLEGAL_STATE)?;
    let capture = &tip.capture;
    if !capture.origin.upgrade().is_some_and(|origin| Arc::ptr_eq(&origin, stream)) {
        return Err(capture.spoil(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED));
    }
    if capture.mode != MODE_RELAXED && capture.thread != std::thread::current().id() {
        return Err(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
    }
    let tips = capture.end();
    if capture.is_broken() {
        capture.discard();
        return Err(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    }
    let joined = capture.graph.before(&tip.after);
    if tips.iter().flat_map(|tip| &tip.after).any(|node| !joined.contains(node)) {
        capture.discard();
        return Err(CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
    }
    Ok(capture.graph.clone())
}
