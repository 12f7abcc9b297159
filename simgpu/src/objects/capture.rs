//! Stream capture: streams whose work becomes a graph instead of being done.

use super::command::Command;
use super::graph::{Graph, Work};
use super::kind::Kind;
use super::{Outcome, lock};
use abi::cuda::*;
use std::cell::Cell;
use std::ffi::c_uint;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::ThreadId;

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
pub(crate) const MODE_GLOBAL: c_uint = 0;
pub(crate) const MODE_RELAXED: c_uint = 2;

/// The captures that are going on, and their number for those who only want to know that there is none.
static ACTIVE: Mutex<Vec<Weak<Capture>>> = Mutex::new(Vec::new());
static COUNT: AtomicUsize = AtomicUsize::new(0);
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The mode that `cuThreadExchangeStreamCaptureMode` set.
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
    origin: Weak<Seat>,
    broken: AtomicBool,
    seats: Mutex<Vec<Weak<Seat>>>,
}

/// A stream's part in captures.
pub(crate) struct Seat {
    kind: Kind,
    /// The stream's place in a capture, while it is captured.
    tip: Mutex<Option<Tip>>,
}

/// The place of a captured stream: what comes next comes after these nodes.
#[derive(Clone)]
pub(crate) struct Tip {
    capture: Arc<Capture>,
    pub(crate) after: Vec<CUgraphNode>,
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
        let seats: Vec<_> = lock(&self.seats).drain(..).collect();
        seats.iter().filter_map(Weak::upgrade).filter_map(|seat| lock(&seat.tip).take()).collect()
    }
}

impl Tip {
    /// The number of the capture.
    pub(crate) fn id(&self) -> u64 {
        self.capture.id
    }

    /// The graph that the capture fills.
    pub(crate) fn graph(&self) -> &Arc<Graph> {
        &self.capture.graph
    }

    /// Whether the capture failed.
    pub(crate) fn is_broken(&self) -> bool {
        self.capture.is_broken()
    }

    /// The stream is told to wait for something outside of the capture.
    pub(crate) fn isolate(&self) -> CUresult {
        self.capture.spoil(CUDA_ERROR_STREAM_CAPTURE_ISOLATION)
    }

    /// Appends a node; the next one comes after it.
    fn push(&mut self, work: Work) -> Outcome {
        if self.capture.is_broken() {
            return Err(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        }
        self.after = vec![self.capture.graph.add(work, &self.after)?.id];
        Ok(())
    }

    /// Appends what a command does.
    fn take(&mut self, command: Command) -> Outcome {
        match Work::of(command) {
            Ok(work) => self.push(work),
            Err(code) => Err(self.capture.spoil(code)),
        }
    }

    /// The call is not allowed while the stream is captured.
    fn refuse(&self) -> CUresult {
        self.capture.spoil(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED)
    }

    /// Has what comes next come after these nodes as well.
    pub(crate) fn add(&mut self, nodes: &[CUgraphNode]) {
        for node in nodes {
            if !self.after.contains(node) {
                self.after.push(*node);
            }
        }
    }
}

/// The capture of that number, while it goes on.
fn find(id: u64) -> Option<Arc<Capture>> {
    lock(&ACTIVE).iter().filter_map(Weak::upgrade).find(|capture| capture.id == id)
}

/// The answer about an event that was last recorded in the capture of that number, which fails by the question.
pub(crate) fn ask_event(id: u64) -> CUresult {
    if let Some(capture) = find(id) {
        capture.spoil(CUDA_ERROR_CAPTURED_EVENT);
    }
    CUDA_ERROR_CAPTURED_EVENT
}

/// Sets the mode of the calling thread; returns the one before.
pub(crate) fn exchange_mode(mode: c_uint) -> c_uint {
    MODE.replace(mode)
}

/// Fails where a call that may disturb a capture is not allowed, and makes the captures fail that it would disturb.
///
/// Which captures they are, by the modes of the thread and of the capture, is in cuda.h on
/// `cuThreadExchangeStreamCaptureMode`. Which calls they are ("potentially unsafe API calls") it does not list. Known are
/// those that a recording of `tests/gpu/corpus.py` on an H200 has (`tests/data/corpus`).
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
pub(crate) fn forbid_legacy<'a>(seats: impl Iterator<Item = &'a Seat>, asks: bool) -> Outcome {
    if COUNT.load(Ordering::Acquire) == 0 {
        return Ok(());
    }
    for seat in seats.filter(|seat| seat.kind == Kind::Blocking) {
        if let Some(tip) = &*lock(&seat.tip) {
            let code = CUDA_ERROR_STREAM_CAPTURE_IMPLICIT;
            return Err(if asks { code } else { tip.capture.spoil(code) });
        }
    }
    Ok(())
}

/// Fails where one of these streams is captured, for calls that wait for all of them.
pub(crate) fn forbid_waiting<'a>(mut seats: impl Iterator<Item = &'a Seat>) -> Outcome {
    if COUNT.load(Ordering::Acquire) == 0 {
        return Ok(());
    }
    seats.try_for_each(Seat::forbid_waiting)
}

impl Seat {
    /// The seat of a stream that is not captured.
    pub(crate) fn new(kind: Kind) -> Self {
        Seat { kind, tip: Mutex::new(None) }
    }

    /// The stream's place in its capture, if it is captured.
    pub(crate) fn tip(&self) -> Option<Tip> {
        lock(&self.tip).clone()
    }

    /// Whether the stream is captured.
    pub(crate) fn is_captured(&self) -> bool {
        lock(&self.tip).is_some()
    }

    /// Fails where the stream is captured, for calls that wait for it or ask how far it is.
    pub(crate) fn forbid_waiting(&self) -> Outcome {
        lock(&self.tip).as_ref().map_or(Ok(()), |tip| Err(tip.refuse()))
    }

    /// Appends a node to the graph that the stream is captured into.
    pub(crate) fn push(&self, work: Work) -> Outcome {
        lock(&self.tip).as_mut().ok_or(CUDA_ERROR_UNKNOWN)?.push(work)
    }

    /// Appends what a command does to the graph that the stream is captured into, or gives the command back.
    pub(crate) fn take(&self, command: Command) -> Result<Outcome, Command> {
        match &mut *lock(&self.tip) {
            Some(tip) => Ok(tip.take(command)),
            None => Err(command),
        }
    }

    /// Changes where the stream stands in the capture that goes on.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Tip) -> Outcome) -> Outcome {
        let mut tip = lock(&self.tip);
        let tip = tip.as_mut().ok_or(CUDA_ERROR_ILLEGAL_STATE)?;
        if tip.capture.is_broken() {
            return Err(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        }
        change(tip)
    }

    /// Makes the stream wait for an event that was recorded in the capture of that number, after those nodes: it joins the
    /// capture, if that goes on.
    pub(crate) fn join(self: &Arc<Self>, id: u64, after: &[CUgraphNode]) -> Outcome {
        let capture = find(id).ok_or(CUDA_ERROR_CAPTURED_EVENT)?;
        let mut own = lock(&self.tip);
        match &mut *own {
            Some(tip) if Arc::ptr_eq(&tip.capture, &capture) => tip.add(after),
            Some(tip) => {
                tip.capture.spoil(CUDA_ERROR_STREAM_CAPTURE_MERGE);
                return Err(capture.spoil(CUDA_ERROR_STREAM_CAPTURE_MERGE));
            }
            None if self.kind == Kind::Legacy => return Err(capture.spoil(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT)),
            None => {
                *own = Some(Tip { capture: capture.clone(), after: after.to_vec() });
                lock(&capture.seats).push(Arc::downgrade(self));
            }
        }
        Ok(())
    }

    /// Takes a stream that goes away out of its capture, which fails by that, and ends where nobody else can end it.
    pub(crate) fn abandon(self: &Arc<Self>) {
        let tip = lock(&self.tip).take();
        if let Some(Tip { capture, .. }) = tip {
            capture.spoil(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
            if capture.origin.upgrade().is_none_or(|origin| Arc::ptr_eq(&origin, self)) {
                capture.end();
                capture.discard();
            }
        }
    }

    /// Begins a capture, into a graph that is there or a new one.
    pub(crate) fn begin(self: &Arc<Self>, given: Option<(Arc<Graph>, Vec<CUgraphNode>)>, mode: c_uint) -> Outcome {
        if mode > MODE_RELAXED {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        if self.kind == Kind::Legacy {
            return Err(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        }
        let mut own = lock(&self.tip);
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
            origin: Arc::downgrade(self),
            broken: AtomicBool::new(false),
            seats: Mutex::new(vec![Arc::downgrade(self)]),
        });
        let mut active = lock(&ACTIVE);
        active.retain(|other| other.strong_count() > 0);
        active.push(Arc::downgrade(&capture));
        COUNT.store(active.len(), Ordering::Release);
        drop(active);
        *own = Some(Tip { capture, after });
        Ok(())
    }

    /// Ends the capture that began in this stream; returns its graph.
    pub(crate) fn end(self: &Arc<Self>) -> Outcome<Arc<Graph>> {
        let tip = lock(&self.tip).clone().ok_or(CUDA_ERROR_ILLEGAL_STATE)?;
        let capture = &tip.capture;
        if !capture.origin.upgrade().is_some_and(|origin| Arc::ptr_eq(&origin, self)) {
            return Err(capture.spoil(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED));
        }
        if capture.mode != MODE_RELAXED && capture.thread != std::thread::current().id() {
            // The capture is over by that (recorded on an H200).
            capture.end();
            capture.discard();
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
}
