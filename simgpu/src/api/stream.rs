//! The functions of streams.

use super::{present, put};
use crate::objects::command::{Callback, Command, HostFunction};
use crate::objects::host_memory::HostPointer;
use crate::objects::kind::Kind;
use crate::objects::stream::STREAMS;
use crate::objects::{Outcome, current, lock, pool};
use abi::cuda::*;
use std::ffi::{c_int, c_uint, c_void};

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
    let handle = STREAMS.add(context.streams.open(kind, priority.clamp(PRIORITIES.1, PRIORITIES.0)));
    // SAFETY: not null, and a place for the answer, as cuda.h demands.
    unsafe { put(stream, handle) }
}

fn destroy(stream: CUstream) -> Outcome {
    current::context()?;
    STREAMS.remove(stream)?.retire();
    Ok(())
}

/// cuda.h: the attributes that a stream has: access policy window, synchronization policy, priority, the map of memory
/// domains and the domain. None changes what the simulated GPU does.
const ATTRIBUTES: [c_uint; 5] = [1, 3, 8, 9, 10];
const PRIORITY: c_uint = 8;

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

    fn cuStreamDestroy(stream: CUstream) {
        destroy(stream)
    }

    fn cuStreamDestroy_v2(stream: CUstream) {
        destroy(stream)
    }

    fn cuStreamSynchronize/cuStreamSynchronize_ptsz[default](stream: CUstream) {
        current::stream(stream, default)?.synchronize()?;
        pool::after_waiting();
        Ok(())
    }

    fn cuStreamQuery/cuStreamQuery_ptsz[default](stream: CUstream) {
        current::stream(stream, default)?.query()
    }

    fn cuStreamGetFlags/cuStreamGetFlags_ptsz[default](stream: CUstream, flags: *mut c_uint) {
        let kind = current::stream(stream, default)?.kind;
        // SAFETY: as above.
        unsafe { put(flags, if kind == Kind::NonBlocking { NON_BLOCKING } else { 0 }) }
    }

    fn cuStreamGetPriority/cuStreamGetPriority_ptsz[default](stream: CUstream, priority: *mut c_int) {
        let stream = current::stream(stream, default)?;
        // SAFETY: as above.
        unsafe { put(priority, stream.priority) }
    }

    fn cuStreamGetCtx/cuStreamGetCtx_ptsz[default](stream: CUstream, context: *mut CUcontext) {
        let stream = current::stream(stream, default)?;
        let id = stream.context().ok_or(CUDA_ERROR_INVALID_CONTEXT)?;
        // SAFETY: as above.
        unsafe { put(context, id) }
    }

    fn cuLaunchHostFunc/cuLaunchHostFunc_ptsz[default](
        stream: CUstream,
        function: CUhostFn,
        data: *mut c_void,
    ) {
        let stream = current::stream(stream, default)?;
        let function = function.ok_or(CUDA_ERROR_INVALID_VALUE)?;
        stream.submit(Command::Host(HostFunction { function, data: HostPointer(data.cast()) }))?;
        Ok(())
    }

    /// Runs also where the stream's work failed, and is told so. A captured stream takes no such function.
    fn cuStreamAddCallback/cuStreamAddCallback_ptsz[default](
        stream: CUstream,
        callback: CUstreamCallback,
        data: *mut c_void,
        flags: c_uint,
    ) {
        let target = current::stream(stream, default)?;
        let function = callback.ok_or(CUDA_ERROR_INVALID_VALUE)?;
        if flags != 0 {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let callback = Callback { function, stream, data: HostPointer(data.cast()) };
        target.submit(Command::Callback(callback)).map(drop)
    }

    fn cuStreamGetId/cuStreamGetId_ptsz[default](stream: CUstream, id: *mut u64) {
        let stream = current::stream(stream, default)?;
        // SAFETY: as above.
        unsafe { put(id, stream.id) }
    }

    fn cuStreamGetDevice/cuStreamGetDevice_ptsz[default](stream: CUstream, device: *mut CUdevice) {
        current::stream(stream, default)?;
        // SAFETY: as above.
        unsafe { put(device, 0) }
    }

    fn cuStreamGetCtx_v2/cuStreamGetCtx_v2_ptsz[default](
        stream: CUstream,
        context: *mut CUcontext,
        green: *mut CUgreenCtx,
    ) {
        let stream = current::stream(stream, default)?;
        let id = stream.context().ok_or(CUDA_ERROR_INVALID_CONTEXT)?;
        present(green)?;
        // SAFETY: as above, for both.
        unsafe {
            put(context, id)?;
            put(green, CUgreenCtx::NULL)
        }
    }

    fn cuStreamSetAttribute/cuStreamSetAttribute_ptsz[default](
        stream: CUstream,
        attr: c_uint,
        value: *const c_void,
    ) {
        let stream = current::stream(stream, default)?;
        present(value)?;
        if !ATTRIBUTES.contains(&attr) || attr == PRIORITY {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: not null, so a `CUstreamAttrValue`, which has 64 bytes.
        lock(&stream.attributes).insert(attr, unsafe { value.cast::<[u64; 8]>().read_unaligned() });
        Ok(())
    }

    fn cuStreamGetAttribute/cuStreamGetAttribute_ptsz[default](stream: CUstream, attr: c_uint, value: *mut c_void) {
        let stream = current::stream(stream, default)?;
        present(value)?;
        if !ATTRIBUTES.contains(&attr) {
            return Err(CUDA_ERROR_INVALID_VALUE);
        }
        let mut found = lock(&stream.attributes).get(&attr).copied().unwrap_or_default();
        if attr == PRIORITY {
            found[0] = u64::from(stream.priority as u32);
        }
        // SAFETY: not null, so a place for a `CUstreamAttrValue`, which has 64 bytes.
        unsafe { value.cast::<[u64; 8]>().write_unaligned(found) };
        Ok(())
    }

    fn cuStreamCopyAttributes/cuStreamCopyAttributes_ptsz[default](dst: CUstream, src: CUstream) {
        let (dst, src) = (current::stream(dst, default)?, current::stream(src, default)?);
        let attributes = lock(&src.attributes).clone();
        *lock(&dst.attributes) = attributes;
        Ok(())
    }
}
