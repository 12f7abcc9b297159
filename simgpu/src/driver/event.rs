//! Events: points in streams that can be waited for, and between which time can be taken.

use super::capture::{self, CUDA_ERROR_CAPTURED_EVENT, Tip};
use super::command::Command;
use super::graph::Work;
use super::handles::Handles;
use super::stream::{DefaultStream, Stream};
use super::{Outcome, current, lock, pool, put};
use abi::cuda::*;
use std::ffi::c_uint;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use units::Nanos;

/// cuda.h: `CU_EVENT_DISABLE_TIMING`.
const DISABLE_TIMING: c_uint = 2;

/// One recording of an event.
#[derive(Default)]
pub(crate) struct Mark {
    time: Mutex<Option<Nanos>>,
    reached: Condvar,
}

impl Mark {
    /// Notes that the stream came to the mark at `time`.
    pub(crate) fn reach(&self, time: Nanos) {
        *lock(&self.time) = Some(time);
        self.reached.notify_all();
    }

    /// Waits for the mark; returns when it was reached.
    pub(crate) fn wait(&self) -> Nanos {
        let mut time = lock(&self.time);
        loop {
            match *time {
                Some(time) => return time,
                None => time = self.reached.wait(time).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn time(&self) -> Option<Nanos> {
        *lock(&self.time)
    }
}

/// An event.
pub(crate) struct Event {
    flags: c_uint,
    last: Mutex<Last>,
}

/// The last recording of an event.
#[derive(Clone, Default)]
enum Last {
    /// There was none.
    #[default]
    Never,
    /// In a stream.
    Recorded(Arc<Mark>),
    /// In a stream that is captured.
    Captured(Tip),
}

impl Event {
    /// The last recording that was no capture's, if there was one.
    pub(crate) fn mark(&self) -> Option<Arc<Mark>> {
        match &*lock(&self.last) {
            Last::Recorded(mark) => Some(mark.clone()),
            _ => None,
        }
    }

    /// The last recording, for a call that asks how far it is or waits for it. Neither is allowed of an event that was
    /// recorded in a capture, nor beside a capture that is the thread's business; see [`capture::forbid`].
    fn asked(&self) -> Outcome<Option<Arc<Mark>>> {
        let last = lock(&self.last).clone();
        if let Last::Captured(tip) = &last {
            tip.spoil();
            return Err(CUDA_ERROR_CAPTURED_EVENT);
        }
        capture::forbid()?;
        match last {
            Last::Recorded(mark) => Ok(Some(mark)),
            _ => Ok(None),
        }
    }

    /// Notes a recording.
    pub(crate) fn set(&self, mark: Arc<Mark>) {
        *lock(&self.last) = Last::Recorded(mark);
    }
}

pub(crate) static EVENTS: Handles<CUevent, Event> = Handles::new();

/// cuda.h: `CU_EVENT_RECORD_EXTERNAL` and `CU_EVENT_WAIT_EXTERNAL`: a captured stream takes the event as a node.
const EXTERNAL: c_uint = 1;

fn record(event: CUevent, stream: CUstream, flags: c_uint, default: DefaultStream) -> Outcome {
    let stream = Stream::resolve(stream, default)?;
    let event = EVENTS.get(event)?;
    if flags & !EXTERNAL != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let captured = lock(&stream.capture).clone();
    if let Some(tip) = captured {
        if flags == EXTERNAL {
            return stream.capture_work(Work::Record(event));
        }
        *lock(&event.last) = Last::Captured(tip);
        return Ok(());
    }
    let mark = Arc::new(Mark::default());
    stream.submit(Command::Record(mark.clone()))?;
    event.set(mark);
    Ok(())
}

fn wait(stream: CUstream, event: CUevent, flags: c_uint, default: DefaultStream) -> Outcome {
    let stream = Stream::resolve(stream, default)?;
    let event = EVENTS.get(event)?;
    if flags & !EXTERNAL != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let captured = lock(&stream.capture).clone();
    let last = lock(&event.last).clone();
    match (last, captured) {
        (Last::Captured(tip), _) => capture::join(&stream, &tip),
        (_, Some(_)) if flags == EXTERNAL => stream.capture_work(Work::Await(event)),
        // An event that was never recorded is no reason to wait.
        (Last::Never, _) => Ok(()),
        (Last::Recorded(_), Some(tip)) => Err(capture::isolation(&tip)),
        (Last::Recorded(mark), None) => stream.submit(Command::Await(mark)).map(drop),
    }
}

fn elapsed(milliseconds: *mut f32, start: CUevent, end: CUevent) -> Outcome {
    current::context()?;
    let (start, end) = (EVENTS.get(start)?, EVENTS.get(end)?);
    if (start.flags | end.flags) & DISABLE_TIMING != 0 {
        return Err(CUDA_ERROR_INVALID_HANDLE);
    }
    let (Some(start), Some(end)) = (start.mark(), end.mark()) else { return Err(CUDA_ERROR_INVALID_HANDLE) };
    let (Some(start), Some(end)) = (start.time(), end.time()) else { return Err(CUDA_ERROR_NOT_READY) };
    // SAFETY: the caller passes null or a place for the answer, as cuda.h demands.
    unsafe { put(milliseconds, ((end.get() as f64 - start.get() as f64) / 1e6) as f32) }
}

export! {
    fn cuEventCreate(event: *mut CUevent, flags: c_uint) {
        current::context()?;
        if event.is_null() || flags & !7 != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let handle = EVENTS.add(Arc::new(Event { flags, last: Mutex::default() }));
        // SAFETY: not null, and a place for the answer, as cuda.h demands.
        unsafe { put(event, handle) }
    }

    fn cuEventDestroy(event: CUevent) {
        current::context()?;
        EVENTS.remove(event).map(drop)
    }

    fn cuEventDestroy_v2(event: CUevent) {
        current::context()?;
        EVENTS.remove(event).map(drop)
    }

    fn cuEventRecord/cuEventRecord_ptsz[default](event: CUevent, stream: CUstream) {
        record(event, stream, 0, default)
    }

    fn cuEventRecordWithFlags/cuEventRecordWithFlags_ptsz[default](
        event: CUevent,
        stream: CUstream,
        flags: c_uint,
    ) {
        record(event, stream, flags, default)
    }

    fn cuStreamWaitEvent/cuStreamWaitEvent_ptsz[default](stream: CUstream, event: CUevent, flags: c_uint) {
        wait(stream, event, flags, default)
    }

    fn cuEventSynchronize(event: CUevent) {
        let context = current::context()?;
        if let Some(mark) = EVENTS.get(event)?.asked()? {
            mark.wait();
        }
        context.check()?;
        pool::after_waiting();
        Ok(())
    }

    fn cuEventQuery(event: CUevent) {
        let context = current::context()?;
        match EVENTS.get(event)?.asked()? {
            Some(mark) if mark.time().is_none() => Err(CUDA_ERROR_NOT_READY),
            _ => context.check(),
        }
    }

    fn cuEventElapsedTime(milliseconds: *mut f32, start: CUevent, end: CUevent) {
        elapsed(milliseconds, start, end)
    }

    fn cuEventElapsedTime_v2(milliseconds: *mut f32, start: CUevent, end: CUevent) {
        elapsed(milliseconds, start, end)
    }
}
