//! Copies between host and device.

mod batch;
mod shaped;

use crate::objects::Outcome;
use crate::objects::command::Command;
use crate::objects::context::Context;
use crate::objects::current::{self, DefaultStream};
use crate::objects::stream::Stream;
use crate::objects::transfer::{Place, Shape, Side, Transfer};
use abi::cuda::*;
use std::ffi::c_void;

pub(in crate::api) use batch::*;
pub(in crate::api) use shaped::*;

/// Copies and waits.
fn now_copy(copy: impl FnOnce() -> Outcome<Option<Transfer>>, default: DefaultStream) -> Outcome {
    let stream = current::stream(CUstream::NULL, default)?;
    match copy()? {
        Some(copy) => stream.submit_and_wait(Command::Copy(copy)),
        None => Ok(()),
    }
}

/// Copies in stream order. Pageable sources are read at once, as the program may change them after the call; a
/// pageable destination makes the call wait, as with the real driver. A captured stream takes the copy as it is.
fn stream_copy(copy: impl FnOnce() -> Outcome<Option<Transfer>>, stream: CUstream, default: DefaultStream) -> Outcome {
    let stream = current::stream(stream, default)?;
    match copy()? {
        None => Ok(()),
        Some(copy) => enqueue(&stream, copy),
    }
}

/// Puts a copy into a stream, as `stream_copy` says.
fn enqueue(stream: &std::sync::Arc<Stream>, copy: Transfer) -> Outcome {
    if stream.seat.is_captured() {
        stream.submit(Command::Copy(copy)).map(drop)
    } else if copy.may_return_early() {
        stream.submit(Command::Copy(copy.staged())).map(drop)
    } else {
        stream.submit_and_wait(Command::Copy(copy))
    }
}

/// A copy of one stretch; nothing where it is empty.
fn line(to: Place, from: Place, bytes: usize) -> Outcome<Option<Transfer>> {
    let shape = Shape::line(bytes);
    if shape.is_empty() {
        return Ok(None);
    }
    Transfer::new(Side::packed(from, shape), Side::packed(to, shape), shape).map(Some)
}

fn device(address: CUdeviceptr) -> Outcome<Place> {
    Place::at(address)?.reachable()
}

fn host(pointer: *const c_void) -> Outcome<Place> {
    Place::at(pointer as u64)
}

/// Whether two contexts are there; all contexts of a process share one address space.
fn peers(one: CUcontext, other: CUcontext) -> Outcome {
    Context::find(one)?.check()?;
    Context::find(other)?.check()
}

/// Declares copies of one stretch in their two forms, with their per-thread twins.
macro_rules! lines {
    ($bytes:ident; $(
        $now:ident / $now_twin:ident, $later:ident / $later_twin:ident
            ($dst:ident: $dst_ty:ty, $src:ident: $src_ty:ty) $to:expr, $from:expr;
    )*) => {
        export! {
            $(
                fn $now/$now_twin[default]($dst: $dst_ty, $src: $src_ty, $bytes: usize) {
                    now_copy(|| line($to, $from, $bytes), default)
                }

                fn $later/$later_twin[default]($dst: $dst_ty, $src: $src_ty, $bytes: usize, stream: CUstream) {
                    stream_copy(|| line($to, $from, $bytes), stream, default)
                }
            )*
        }
    };
}

lines! {
    bytes;
    cuMemcpyHtoD_v2 / cuMemcpyHtoD_v2_ptds, cuMemcpyHtoDAsync_v2 / cuMemcpyHtoDAsync_v2_ptsz
        (dst: CUdeviceptr, src: *const c_void) device(dst)?, host(src)?;
    cuMemcpyDtoH_v2 / cuMemcpyDtoH_v2_ptds, cuMemcpyDtoHAsync_v2 / cuMemcpyDtoHAsync_v2_ptsz
        (dst: *mut c_void, src: CUdeviceptr) host(dst)?, device(src)?;
    cuMemcpyDtoD_v2 / cuMemcpyDtoD_v2_ptds, cuMemcpyDtoDAsync_v2 / cuMemcpyDtoDAsync_v2_ptsz
        (dst: CUdeviceptr, src: CUdeviceptr) device(dst)?, device(src)?;
    cuMemcpy / cuMemcpy_ptds, cuMemcpyAsync / cuMemcpyAsync_ptsz
        (dst: CUdeviceptr, src: CUdeviceptr) Place::unified(dst, bytes)?, Place::unified(src, bytes)?;
}

export! {
    fn cuMemcpyPeer/cuMemcpyPeer_ptds[default](
        dst: CUdeviceptr,
        dst_ctx: CUcontext,
        src: CUdeviceptr,
        src_ctx: CUcontext,
        bytes: usize,
    ) {
        peers(dst_ctx, src_ctx)?;
        now_copy(|| line(device(dst)?, device(src)?, bytes), default)
    }

    fn cuMemcpyPeerAsync/cuMemcpyPeerAsync_ptsz[default](
        dst: CUdeviceptr,
        dst_ctx: CUcontext,
        src: CUdeviceptr,
        src_ctx: CUcontext,
        bytes: usize,
        stream: CUstream,
    ) {
        peers(dst_ctx, src_ctx)?;
        stream_copy(|| line(device(dst)?, device(src)?, bytes), stream, default)
    }
}
