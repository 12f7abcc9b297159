//! Events: points in streams that can be waited for, and between which time can be taken.

use super::command::Command;
use super::handles::Handles;
use super::stream::{DefaultStream, Stream};
use super::{Outcome, current, lock, put};
use abi::cuda::*;
use std::ffi::{c_uint, c_void};
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
    /// The last recording.
    mark: Mutex<Option<Arc<Mark>>>,
}

impl Event {
    /// The last recording, if there was one.
    pub(crate) fn mark(&self) -> Option<Arc<Mark>> {
        lock(&self.mark).clone()
    }
}

pub(crate) static EVENTS: Handles<Event> = Handles::new();

fn record(event: *mut c_void, stream: CUstream, default: DefaultStream) -> Outcome {
    let stream = Stream::resolve(stream, default)?;
    let event = EVENTS.get(event)?;
    let mark = Arc::new(Mark::default());
    stream.submit(Command::Record(mark.clone()))?;
    *lock(&event.mark) = Some(mark);
    Ok(())
}

fn elapsed(milliseconds: *mut f32, start: *mut c_void, end: *mut c_void) -> Outcome {
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
    fn cuEventCreate(event: *mut *mut c_void, flags: c_uint) {
        current::context()?;
        if event.is_null() || flags & !7 != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let handle = EVENTS.add(Arc::new(Event { flags, mark: Mutex::new(None) }));
        // SAFETY: not null, and a place for the answer, as cuda.h demands.
        unsafe { put(event, handle) }
    }

    fn cuEventDestroy_v2(event: *mut c_void) {
        current::context()?;
        EVENTS.remove(event).map(drop)
    }

    fn cuEventRecord/cuEventRecord_ptsz[default](event: *mut c_void, stream: CUstream) {
        record(event, stream, default)
    }

    fn cuEventRecordWithFlags/cuEventRecordWithFlags_ptsz[default](
        event: *mut c_void,
        stream: CUstream,
        _flags: c_uint,
    ) {
        record(event, stream, default)
    }

    fn cuEventSynchronize(event: *mut c_void) {
        let context = current::context()?;
        if let Some(mark) = EVENTS.get(event)?.mark() {
            mark.wait();
        }
        context.check()
    }

    fn cuEventQuery(event: *mut c_void) {
        let context = current::context()?;
        match EVENTS.get(event)?.mark() {
            Some(mark) if mark.time().is_none() => Err(CUDA_ERROR_NOT_READY),
            _ => context.check(),
        }
    }

    fn cuEventElapsedTime(milliseconds: *mut f32, start: *mut c_void, end: *mut c_void) {
        elapsed(milliseconds, start, end)
    }

    fn cuEventElapsedTime_v2(milliseconds: *mut f32, start: *mut c_void, end: *mut c_void) {
        elapsed(milliseconds, start, end)
    }
}
