//! Streams: queues of commands, each served in order by a thread of its own.

use super::capture::{self, Tip};
use super::channels::Channels;
use super::command::Command;
use super::context::Context;
use super::graph::Work;
use super::{Outcome, current, lock, queues, streams::STREAMS};
use crate::timing::clock::{self, now};
use abi::cuda::*;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{c_int, c_uint};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, Weak};
use units::Nanos;

/// How far back a command may be taken to have begun. A worker wakes some time after its command could begin; the
/// simulated GPU would have begun at once.
const LATE_START: Nanos = Nanos::from_micros(200);

/// Shut while the driver waits for the device to free something: nothing is submitted meanwhile.
pub(super) static DOOR: RwLock<()> = RwLock::new(());

/// How a stream stands to the legacy default stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It is the legacy default stream: its work waits for that of all blocking streams, and they wait for its.
    Legacy,
    /// It waits for the legacy default stream, and is waited for.
    Blocking,
    /// It has nothing to do with the legacy default stream.
    NonBlocking,
}

/// What the null stream means, which the spelling of the called function says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultStream {
    /// The context's legacy default stream.
    Legacy,
    /// The thread's own default stream.
    PerThread,
}

/// A stream.
pub(crate) struct Stream {
    pub(crate) kind: Kind,
    pub(crate) priority: c_int,
    context: Weak<Context>,
    fault: Arc<AtomicU32>,
    /// The channel groups of its context.
    channels: Arc<Channels>,
    queue: Mutex<Queue>,
    changed: Condvar,
    /// A number that no other stream has.
    pub(crate) id: u64,
    /// Where the stream stands in a capture, while it is captured.
    pub(crate) capture: Mutex<Option<Tip>>,
    /// The nodes that `cuStreamGetCaptureInfo` last told of.
    pub(crate) shown: Mutex<Vec<CUgraphNode>>,
    /// The attributes that the program set.
    pub(crate) attributes: Mutex<BTreeMap<c_uint, [u64; 8]>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Queued>,
    /// How many commands were ever submitted, and how many of them are done.
    submitted: u64,
    done: u64,
    /// Whether a thread is at the head command, be it the worker or one that serves its own command.
    busy: bool,
    worker: bool,
    closing: bool,
    /// When the last command ended in simulated terms.
    ended: Nanos,
}

struct Queued {
    command: Command,
    after: Vec<Fence>,
    at: Nanos,
}

/// A point in a stream: reached when that many commands are done.
#[derive(Clone)]
pub(crate) struct Fence {
    stream: Arc<Stream>,
    commands: u64,
}

impl Fence {
    /// Waits until the point is reached.
    pub(crate) fn wait(&self) {
        let mut queue = lock(&self.stream.queue);
        while queue.done < self.commands {
            queue = self.stream.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the point is reached.
    pub(crate) fn is_reached(&self) -> bool {
        lock(&self.stream.queue).done >= self.commands
    }
}

/// The parts of a context that its streams share: the error that ended its work, and its channel groups.
pub(crate) type Shared = (Arc<AtomicU32>, Arc<Channels>);

impl Stream {
    pub(crate) fn create(kind: Kind, priority: c_int, context: Weak<Context>, shared: Shared) -> Arc<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let (fault, channels) = shared;
        Arc::new(Stream {
            kind,
            priority,
            context,
            fault,
            channels,
            queue: Mutex::default(),
            changed: Condvar::new(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            capture: Mutex::new(None),
            shown: Mutex::default(),
            attributes: Mutex::default(),
        })
    }

    /// The stream that a handle means, in the current context.
    pub(crate) fn resolve(handle: CUstream, default: DefaultStream) -> Outcome<Arc<Self>> {
        let context = current::context()?;
        let default = match handle {
            CUstream::NULL => default,
            CUstream::LEGACY => DefaultStream::Legacy,
            CUstream::PER_THREAD => DefaultStream::PerThread,
            _ => return STREAMS.get(handle),
        };
        Ok(match default {
            DefaultStream::Legacy => context.legacy.clone(),
            DefaultStream::PerThread => current::own_stream(&context),
        })
    }

    /// The context, while there is one.
    pub(crate) fn context(&self) -> Option<Arc<Context>> {
        self.context.upgrade()
    }

    /// The end of all commands so far.
    pub(crate) fn fence(self: &Arc<Self>) -> Fence {
        Fence { stream: self.clone(), commands: lock(&self.queue).submitted }
    }

    /// What a new command has to wait for in other streams. Fences only ever name commands that were submitted
    /// before, so that no two commands can wait for each other.
    pub(crate) fn foreign_fences(self: &Arc<Self>) -> Vec<Fence> {
        let Some(context) = self.context.upgrade() else { return Vec::new() };
        let others = match self.kind {
            Kind::Legacy => context.streams(),
            Kind::Blocking => vec![context.legacy.clone()],
            Kind::NonBlocking => return Vec::new(),
        };
        let blocking = others.iter().filter(|other| other.kind != Kind::NonBlocking && !Arc::ptr_eq(other, self));
        blocking.map(Stream::fence).filter(|fence| !fence.is_reached()).collect()
    }

    /// Whether the stream is captured.
    pub(crate) fn is_capturing(&self) -> bool {
        lock(&self.capture).is_some()
    }

    /// Whether it is the legacy default stream.
    pub(crate) fn is_legacy(&self) -> bool {
        self.kind == Kind::Legacy
    }

    /// Appends a node to the graph that the stream is captured into.
    pub(crate) fn capture_work(&self, work: Work) -> Outcome {
        lock(&self.capture).as_mut().ok_or(CUDA_ERROR_UNKNOWN)?.push(work)
    }

    /// Fails for the legacy default stream while a stream that it would wait for is captured.
    pub(crate) fn check_implicit(&self) -> Outcome {
        self.check_legacy(false)
    }

    /// The same for a call that only asks about the stream.
    pub(crate) fn check_asking(&self) -> Outcome {
        self.check_legacy(true)
    }

    fn check_legacy(&self, asks: bool) -> Outcome {
        match self.context.upgrade() {
            Some(context) if self.is_legacy() => capture::forbid_legacy(&context.streams(), asks),
            _ => Ok(()),
        }
    }

    /// Fails while the stream is captured, for calls that wait for it or ask how far it is.
    fn check_waiting(&self) -> Outcome {
        self.check_implicit()?;
        lock(&self.capture).as_ref().map_or(Ok(()), |tip| Err(tip.refuse()))
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
        if let Some(tip) = &mut *lock(&self.capture) {
            tip.take(command)?;
            return Ok(Fence { stream: self.clone(), commands: 0 });
        }
        self.check_implicit()?;
        let _inside = DOOR.read().unwrap_or_else(PoisonError::into_inner);
        let place = queues::Place::of(self.id, &command);
        let after = self.foreign_fences().into_iter().chain(place.in_front.iter().cloned()).collect();
        let queued = Queued { command, after, at: now() };
        let mut queue = lock(&self.queue);
        if !queue.worker {
            let stream = self.clone();
            let worker = std::thread::Builder::new().name("simgpu-stream".into()).spawn(move || stream.serve());
            worker.map_err(|_| CUDA_ERROR_OUT_OF_MEMORY)?;
            queue.worker = true;
        }
        queue.waiting.push_back(queued);
        queue.submitted += 1;
        let fence = Fence { stream: self.clone(), commands: queue.submitted };
        drop(queue);
        place.submitted(&fence);
        self.changed.notify_all();
        Ok(fence)
    }

    /// Does a command and waits for it. An idle stream serves it on the calling thread, which saves a hand-over that
    /// would take longer than a short copy.
    pub(crate) fn submit_and_wait(self: &Arc<Self>, command: Command) -> Outcome {
        self.check_waiting()?;
        drop(DOOR.read().unwrap_or_else(PoisonError::into_inner));
        let after: Vec<_> =
            self.foreign_fences().into_iter().chain(queues::Place::of(self.id, &command).in_front).collect();
        let mut queue = lock(&self.queue);
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
        lock(&self.queue).closing = true;
        self.changed.notify_all();
    }

    /// Whether the stream was closed and has no work left.
    pub(crate) fn is_over(&self) -> bool {
        let queue = lock(&self.queue);
        queue.closing && queue.done == queue.submitted
    }

    fn finish(&self, ended: Nanos) {
        let mut queue = lock(&self.queue);
        queue.busy = false;
        queue.done += 1;
        queue.ended = ended;
        drop(queue);
        self.changed.notify_all();
    }

    fn serve(self: Arc<Self>) {
        clock::sharpen_timers();
        loop {
            let mut queue = lock(&self.queue);
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
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
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
