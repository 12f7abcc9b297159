//! Streams: queues of commands, each served in order by a thread of its own.

use super::capture::{self, Seat};
use super::channels::Channels;
use super::command::Command;
use super::handles::Handles;
use super::kind::Kind;
use super::line::{Fence, Line, Queued};
use super::{Outcome, lock, queues};
use crate::timing::clock::{self, now};
use abi::cuda::*;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use units::Nanos;

/// How far back a command may be taken to have begun. A worker wakes some time after its command could begin; the
/// simulated GPU would have begun at once.
const LATE_START: Nanos = Nanos::from_micros(200);

/// Shut while the driver waits for the device to free something: nothing is submitted meanwhile.
pub(super) static DOOR: RwLock<()> = RwLock::new(());

/// The streams that the program has handles of.
pub(crate) static STREAMS: Handles<CUstream, Stream> = Handles::new();

/// A stream.
pub(crate) struct Stream {
    pub(crate) kind: Kind,
    pub(crate) priority: c_int,
    /// The streams of its context.
    siblings: Weak<Streams>,
    fault: Arc<AtomicU32>,
    /// The channel groups of its context.
    channels: Arc<Channels>,
    line: Arc<Line>,
    /// A number that no other stream has.
    pub(crate) id: u64,
    /// Its part in captures.
    pub(crate) seat: Arc<Seat>,
    /// The nodes that `cuStreamGetCaptureInfo` last told of.
    pub(crate) shown: Mutex<Vec<CUgraphNode>>,
    /// The attributes that the program set.
    pub(crate) attributes: Mutex<BTreeMap<c_uint, [u64; 8]>>,
}

/// The streams of a context, and what they share.
pub(crate) struct Streams {
    /// The context's handle.
    pub(crate) context: CUcontext,
    /// The error that ended the context's work, or [`CUDA_SUCCESS`].
    fault: Arc<AtomicU32>,
    /// The channel groups that the context's work goes through.
    pub(super) channels: Arc<Channels>,
    /// All that have something to do: the default ones, those that the program has, and those that it destroyed whose
    /// work goes on. The first is the legacy default stream.
    all: Mutex<Vec<Arc<Stream>>>,
}

impl Streams {
    /// The legacy default stream of a new context.
    pub(crate) fn create(context: CUcontext, channels: Channels) -> Arc<Self> {
        let (fault, channels) = (Arc::new(AtomicU32::new(CUDA_SUCCESS)), Arc::new(channels));
        let streams = Arc::new(Streams { context, fault, channels, all: Mutex::default() });
        streams.open(Kind::Legacy, 0);
        streams
    }

    /// Makes a stream.
    pub(crate) fn open(self: &Arc<Self>, kind: Kind, priority: c_int) -> Arc<Stream> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let stream = Arc::new(Stream {
            kind,
            priority,
            siblings: Arc::downgrade(self),
            fault: self.fault.clone(),
            channels: self.channels.clone(),
            line: Arc::default(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            seat: Arc::new(Seat::new(kind)),
            shown: Mutex::default(),
            attributes: Mutex::default(),
        });
        lock(&self.all).push(stream.clone());
        stream
    }

    /// The streams that have or may get work.
    pub(crate) fn all(&self) -> Vec<Arc<Stream>> {
        let mut all = lock(&self.all);
        all.retain(|stream| !stream.is_over());
        all.clone()
    }

    /// The legacy default stream, while the context lives.
    pub(crate) fn legacy(&self) -> Option<Arc<Stream>> {
        lock(&self.all).first().cloned()
    }

    /// Fails with the context's fault.
    pub(crate) fn check(&self) -> Outcome {
        match self.fault.load(Ordering::Acquire) {
            CUDA_SUCCESS => Ok(()),
            fault => Err(fault),
        }
    }

    /// Waits for all work of all streams.
    pub(crate) fn synchronize(&self) -> Outcome {
        let all = self.all();
        capture::forbid_waiting(all.iter().map(|stream| &*stream.seat))?;
        all.iter().for_each(|stream| stream.fence().wait());
        self.check()
    }

    /// The same for a call that frees something: nobody else is let in meanwhile, as the real driver does, and a capture is no
    /// obstacle by itself (recorded on an H200).
    pub(crate) fn synchronize_alone(&self) -> Outcome {
        let _alone = DOOR.write().unwrap_or_else(PoisonError::into_inner);
        self.all().iter().for_each(|stream| stream.fence().wait());
        self.check()
    }

    /// Ends all streams.
    pub(crate) fn close(&self) {
        let all: Vec<_> = lock(&self.all).drain(..).collect();
        for stream in all {
            stream.seat.abandon();
            stream.close();
        }
    }
}

impl Stream {
    /// The handle of the context, while there is one.
    pub(crate) fn context(&self) -> Option<CUcontext> {
        self.siblings.upgrade().map(|siblings| siblings.context)
    }

    /// Ends the stream after its last command. Until then it is one of those that are waited for: "In case the device is
    /// still doing work in the stream when `cuStreamDestroy()` is called, the function will return immediately and the
    /// resources associated with the stream will be released automatically once the device has completed all work"
    /// (cuda.h), and `cuCtxSynchronize` waits for "all preceding requested tasks" of the context.
    pub(crate) fn retire(&self) {
        self.seat.abandon();
        self.close();
        if let Some(siblings) = self.siblings.upgrade() {
            lock(&siblings.all).retain(|stream| !stream.is_over());
        }
    }

    /// The end of all commands so far.
    fn fence(&self) -> Fence {
        self.line.fence()
    }

    /// The fences that a new command has to wait for in other streams. Fences only ever name commands that were submitted
    /// before, so that no two commands can wait for each other.
    fn foreign_fences(&self) -> Vec<Fence> {
        let Some(siblings) = self.siblings.upgrade() else { return Vec::new() };
        let others = match self.kind {
            Kind::Legacy => siblings.all(),
            Kind::Blocking => siblings.legacy().into_iter().collect(),
            Kind::NonBlocking => return Vec::new(),
        };
        let blocking = others.iter().filter(|other| other.kind != Kind::NonBlocking && other.id != self.id);
        blocking.map(|other| other.fence()).filter(|fence| !fence.is_reached()).collect()
    }

    /// Whether it is the legacy default stream.
    pub(crate) fn is_legacy(&self) -> bool {
        self.kind == Kind::Legacy
    }

    /// Fails for the legacy default stream while a stream that it would wait for is captured.
    fn check_implicit(&self) -> Outcome {
        self.check_legacy(false)
    }

    /// The same for a call that only asks about the stream.
    pub(crate) fn check_asking(&self) -> Outcome {
        self.check_legacy(true)
    }

    fn check_legacy(&self, asks: bool) -> Outcome {
        match self.siblings.upgrade() {
            Some(siblings) if self.is_legacy() => {
                let all = siblings.all();
                capture::forbid_legacy(all.iter().map(|stream| &*stream.seat), asks)
            }
            _ => Ok(()),
        }
    }

    /// Fails while the stream is captured, for calls that wait for it or ask how far it is.
    fn check_waiting(&self) -> Outcome {
        self.check_implicit()?;
        self.seat.forbid_waiting()
    }

    /// The same for calls that ask about the stream alone, which a capture of others forbids as well; see
    /// [`capture::forbid`].
    fn check_question(&self) -> Outcome {
        self.check_waiting()?;
        capture::forbid()
    }

    /// Whether all work is done, and what the stream implies.
    pub(crate) fn query(self: &Arc<Self>) -> Outcome {
        self.check_question()?;
        let implied = self.kind != Kind::Legacy || self.foreign_fences().is_empty();
        if implied && self.fence().is_reached() { self.check() } else { Err(CUDA_ERROR_NOT_READY) }
    }

    /// Adds a command to the end of the queue, or to the graph that the stream is captured into.
    pub(crate) fn submit(self: &Arc<Self>, command: Command) -> Outcome<Fence> {
        let command = match self.seat.take(command) {
            Ok(taken) => return taken.map(|()| Fence { line: self.line.clone(), commands: 0 }),
            Err(command) => command,
        };
        self.check_implicit()?;
        let _inside = DOOR.read().unwrap_or_else(PoisonError::into_inner);
        let place = queues::Place::of(self.id, &command);
        let after = self.foreign_fences().into_iter().chain(place.in_front.iter().cloned()).collect();
        let queued = Queued { command, after, at: now() };
        let mut queue = lock(&self.line.queue);
        if !queue.worker {
            let stream = self.clone();
            let worker = std::thread::Builder::new().name("simgpu-stream".into()).spawn(move || stream.serve());
            worker.map_err(|_| CUDA_ERROR_OUT_OF_MEMORY)?;
            queue.worker = true;
        }
        queue.waiting.push_back(queued);
        queue.submitted += 1;
        let fence = Fence { line: self.line.clone(), commands: queue.submitted };
        drop(queue);
        place.submitted(&fence);
        self.line.changed.notify_all();
        Ok(fence)
    }

    /// Does a command and waits for it. An idle stream serves it on the calling thread, which saves a hand-over that
    /// would take longer than a short copy.
    pub(crate) fn submit_and_wait(self: &Arc<Self>, command: Command) -> Outcome {
        self.check_waiting()?;
        drop(DOOR.read().unwrap_or_else(PoisonError::into_inner));
        let after: Vec<_> =
            self.foreign_fences().into_iter().chain(queues::Place::of(self.id, &command).in_front).collect();
        let mut queue = lock(&self.line.queue);
        if queue.busy || !queue.waiting.is_empty() || !after.is_empty() {
            drop(queue);
            self.submit(command)?.wait();
        } else {
            queue.busy = true;
            queue.submitted += 1;
            drop(queue);
            self.finish(command.run(&self.channels, &self.fault, now()));
        }
        self.check()
    }

    /// Waits for all work, and for what the stream implies.
    pub(crate) fn synchronize(self: &Arc<Self>) -> Outcome {
        self.check_question()?;
        if self.kind == Kind::Legacy {
            self.foreign_fences().iter().for_each(Fence::wait);
        }
        self.fence().wait();
        self.check()
    }

    /// Fails with the fault of the stream's context.
    pub(crate) fn check(&self) -> Outcome {
        match self.fault.load(Ordering::Acquire) {
            CUDA_SUCCESS => Ok(()),
            fault => Err(fault),
        }
    }

    /// Lets the worker end when the queue is empty.
    pub(crate) fn close(&self) {
        lock(&self.line.queue).closing = true;
        self.line.changed.notify_all();
    }

    /// Whether the stream was closed and has no work left.
    pub(crate) fn is_over(&self) -> bool {
        let queue = lock(&self.line.queue);
        queue.closing && queue.done == queue.submitted
    }

    fn finish(&self, ended: Nanos) {
        let mut queue = lock(&self.line.queue);
        queue.busy = false;
        queue.done += 1;
        queue.ended = ended;
        drop(queue);
        self.line.changed.notify_all();
    }

    fn serve(self: Arc<Self>) {
        clock::sharpen_timers();
        loop {
            let mut queue = lock(&self.line.queue);
            let (next, ended) = loop {
                if !queue.busy {
                    if let Some(next) = queue.waiting.pop_front() {
                        queue.busy = true;
                        break (next, queue.ended);
                    }
                    if queue.closing {
                        queue.worker = false;
                        return;
                    }
                }
                queue = self.line.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            drop(queue);
            next.after.iter().for_each(Fence::wait);
            let now = now();
            let free = if next.after.is_empty() { ended.max(next.at) } else { now };
            // Recording an event takes the device nothing: it happens when the work before it ended, however late the
            // worker comes to it.
            let is_record = matches!(next.command, Command::Record(_));
            let earliest = if is_record { free } else { free.max(now.saturating_sub(LATE_START)) };
            let ready = earliest.min(now);
            self.finish(next.command.run(&self.channels, &self.fault, ready));
        }
    }
}
