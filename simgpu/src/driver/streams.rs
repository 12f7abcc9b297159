//! The stream functions.

use super::command::{Command, HostFunction, HostPointer};
use super::event::EVENTS;
use super::handles::Handles;
use super::stream::{Kind, Stream};
use super::{Outcome, current, put};
use abi::cuda::*;
use std::ffi::{c_int, c_uint, c_void};

pub(crate) static STREAMS: Handles<Stream> = Handles::new();

/// cuda.h: `CU_STREAM_NON_BLOCKING`.
const NON_BLOCKING: c_uint = 1;
/// The least and the greatest priority; a smaller number is a greater priority.
const PRIORITIES: (c_int, c_int) = (0, -5);

fn create(stream: *mut CUstream, flags: c_uint, priority: c_int) -> Outcome {
    let context = current::context()?;
    if flags & !NON_BLOCKING != 0 || stream.is_null() {
        return Err(CUDA_ERROR_INVALID_VALUE);
    }
    let kind = if flags & NON_BLOCKING != 0 { Kind::NonBlocking } else { Kind::Blocking };
    let handle = STREAMS.add(context.stream(kind, priority.clamp(PRIORITIES.1, PRIORITIES.0)));
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(stream, handle) }
}

export! {
    fn cuStreamCreate(stream: *mut CUstream, flags: c_uint) {
        create(stream, flags, PRIORITIES.0)
    }

    fn cuStreamCreateWithPriority(stream: *mut CUstream, flags: c_uint, priority: c_int) {
        create(stream, flags, priority)
    }

    fn cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) {
        current::context()?;
        for (out, value) in [(least, PRIORITIES.0), (greatest, PRIORITIES.1)] {
            if !out.is_null() {
                // SAFETY: not null, and a place for the answer, as cuda.h demands; so below.
                unsafe { put(out, value) }?;
            }
        }
        Ok(())
    }

    fn cuStreamDestroy_v2(stream: CUstream) {
        current::context()?;
        let stream = STREAMS.remove(stream)?;
        match stream.context() {
            Some(context) => context.retire(&stream),
            None => stream.close(),
        }
        Ok(())
    }

    fn cuStreamSynchronize/cuStreamSynchronize_ptsz[default](stream: CUstream) {
        Stream::resolve(stream, default)?.synchronize()
    }

    fn cuStreamQuery/cuStreamQuery_ptsz[default](stream: CUstream) {
        let stream = Stream::resolve(stream, default)?;
        let implied = stream.kind != Kind::Legacy || stream.foreign_fences().is_empty();
        if implied && stream.fence().is_reached() { stream.check() } else { Err(CUDA_ERROR_NOT_READY) }
    }

    fn cuStreamGetFlags/cuStreamGetFlags_ptsz[default](stream: CUstream, flags: *mut c_uint) {
        let kind = Stream::resolve(stream, default)?.kind;
        // SAFETY: as above.
        unsafe { put(flags, if kind == Kind::NonBlocking { NON_BLOCKING } else { 0 }) }
    }

    fn cuStreamGetPriority/cuStreamGetPriority_ptsz[default](stream: CUstream, priority: *mut c_int) {
        let stream = Stream::resolve(stream, default)?;
        // SAFETY: as above.
        unsafe { put(priority, stream.priority) }
    }

    fn cuStreamGetCtx/cuStreamGetCtx_ptsz[default](stream: CUstream, context: *mut CUcontext) {
        let stream = Stream::resolve(stream, default)?;
        let id = stream.context().ok_or(CUDA_ERROR_INVALID_CONTEXT)?.id;
        // SAFETY: as above.
        unsafe { put(context, id as CUcontext) }
    }

    fn cuStreamIsCapturing/cuStreamIsCapturing_ptsz[default](stream: CUstream, status: *mut c_uint) {
        Stream::resolve(stream, default)?;
        // SAFETY: as above.
        unsafe { put(status, CU_STREAM_CAPTURE_STATUS_NONE) }
    }

    fn cuStreamWaitEvent/cuStreamWaitEvent_ptsz[default](stream: CUstream, event: *mut c_void, _flags: c_uint) {
        let stream = Stream::resolve(stream, default)?;
        // An event that was never recorded is no reason to wait.
        if let Some(mark) = EVENTS.get(event)?.mark() {
            stream.submit(Command::Await(mark))?;
        }
        Ok(())
    }

    fn cuLaunchHostFunc/cuLaunchHostFunc_ptsz[default](
        stream: CUstream,
        function: Option<unsafe extern "C" fn(*mut c_void)>,
        data: *mut c_void,
    ) {
        let stream = Stream::resolve(stream, default)?;
        let function = function.ok_or(CUDA_ERROR_INVALID_VALUE)?;
        stream.submit(Command::Host(HostFunction { function, data: HostPointer(data.cast()) }))?;
        Ok(())
    }
}
