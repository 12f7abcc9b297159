//! The functions of events.

use super::put;
use crate::objects::command::Command;
use crate::objects::current::{self, DefaultStream};
use crate::objects::event::{EVENTS, Event, Last};
use crate::objects::graph::Work;
use crate::objects::mark::Mark;
use crate::objects::{Outcome, capture, pool};
use abi::cuda::*;
use std::ffi::c_uint;
use std::sync::Arc;

/// cuda.h: `CU_EVENT_DISABLE_TIMING`.
const DISABLE_TIMING: c_uint = 2;
/// cuda.h: `CU_EVENT_RECORD_EXTERNAL` and `CU_EVENT_WAIT_EXTERNAL`: a captured stream takes the event as a node.
const EXTERNAL: c_uint = 1;

fn record(event: CUevent, stream: CUstream, flags: c_uint, default: DefaultStream) -> Outcome {
    let stream = current::stream(stream, default)?;
    let event = EVENTS.get(event)?;
    if flags & !EXTERNAL != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    if let Some(tip) = stream.seat.tip() {
        if flags == EXTERNAL {
            return stream.seat.push(Work::Record(event));
        }
        event.set(Last::Captured(tip.id(), tip.after));
        return Ok(());
    }
    let mark = Arc::new(Mark::default());
    stream.submit(Command::Record(mark.clone()))?;
    event.set(Last::Recorded(mark));
    Ok(())
}

fn wait(stream: CUstream, event: CUevent, flags: c_uint, default: DefaultStream) -> Outcome {
    let stream = current::stream(stream, default)?;
    let event = EVENTS.get(event)?;
    if flags & !EXTERNAL != 0 {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    match (event.last(), stream.seat.tip()) {
        (Last::Captured(id, after), _) => stream.seat.join(id, &after),
        (_, Some(_)) if flags == EXTERNAL => stream.seat.push(Work::Await(event)),
        // An event that was never recorded is no reason to wait.
        (Last::Never, _) => Ok(()),
        (Last::Recorded(_), Some(tip)) => Err(tip.isolate()),
        (Last::Recorded(mark), None) => stream.submit(Command::Await(mark)).map(drop),
    }
}

fn elapsed(milliseconds: *mut f32, start: CUevent, end: CUevent) -> Outcome {
    current::context()?;
    let (start, end) = (EVENTS.get(start)?, EVENTS.get(end)?);
    if (start.flags | end.flags) & DISABLE_TIMING != 0 {
        return Err(CUDA_ERROR_INVALID_HANDLE);
    }
    // The capture goes on (recorded on an H200).
    if [&start, &end].iter().any(|event| matches!(event.last(), Last::Captured(..))) {
        return Err(capture::CUDA_ERROR_CAPTURED_EVENT);
    }
    let (Some(start), Some(end)) = (start.mark(), end.mark()) else { return Err(CUDA_ERROR_INVALID_HANDLE) };
    let (Some(start), Some(end)) = (start.time(), end.time()) else { return Err(CUDA_ERROR_NOT_READY) };
    // SAFETY: the caller passes null or a place for the answer, as cuda.h demands.
    unsafe { put(milliseconds, ((end.get() as f64 - start.get() as f64) / 1e6) as f32) }
}

/// cuda.h: `CUDA_ERROR_CONTEXT_IS_DESTROYED`.
const CONTEXT_IS_DESTROYED: CUresult = 709;

/// The last recording, for a call that asks how far it is or waits for it. Neither is allowed of an event that was recorded
/// in a capture, nor beside a capture that is the thread's business; see [`capture::forbid`].
fn asked(event: CUevent) -> Outcome<Option<Arc<Mark>>> {
    match EVENTS.get(event)?.last() {
        Last::Captured(id, _) => Err(capture::ask_event(id)),
        Last::Recorded(mark) => capture::forbid().map(|()| Some(mark)),
        Last::Never => capture::forbid().map(|()| None),
    }
}

export! {
    fn cuEventCreate(event: *mut CUevent, flags: c_uint) {
        current::context()?;
        if event.is_null() || flags & !7 != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let handle = EVENTS.add(Event::new(flags));
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
        if let Some(mark) = asked(event)? {
            mark.wait();
        }
        context.check()?;
        pool::after_waiting();
        Ok(())
    }

    fn cuEventQuery(event: CUevent) {
        let context = current::context()?;
        // Of an event that was destroyed the real driver says that its context is (recorded on an H200).
        EVENTS.get(event).map_err(|_| CONTEXT_IS_DESTROYED)?;
        match asked(event)? {
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
